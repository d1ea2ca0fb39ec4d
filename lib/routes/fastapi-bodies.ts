import type { FastifyInstance } from 'fastify'
import { BODY_LIMIT } from './parsers.js'

type Json = Record<string, unknown>

const TRUE = new Set(['true', 't', 'yes', 'y', 'on', '1'])
const FALSE = new Set(['false', 'f', 'no', 'n', 'off', '0'])

/** Accepts the same booleans as Pydantic: 0 and 1, and words such as `yes` and `off` in any case. */
export function acceptLaxBooleans (scope: FastifyInstance): void {
  scope.addHook('preValidation', (request, _reply, done) => {
    const { properties = {} } = (request.routeOptions.schema?.body ?? {}) as { properties?: Record<string, Json> }
    const { body } = request
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
      const values = body as Json
      for (const [name, schema] of Object.entries(properties)) {
        if (Object.hasOwn(values, name) && isBoolean(schema)) values[name] = toBoolean(values[name])
      }
    }
    done()
  })
}

/** Treats a JSON body as empty, because FastAPI's login route reads forms only. */
export function ignoreJsonBodies (scope: FastifyInstance): void {
  scope.removeContentTypeParser('application/json')
  scope.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    (_request, _body, done) => {
      done(null, undefined)
    }
  )
}

function isBoolean ({ type, anyOf }: Json): boolean {
  return type === 'boolean' || (Array.isArray(anyOf) && anyOf.some((variant: Json) => variant.type === 'boolean'))
}

function toBoolean (value: unknown): unknown {
  const word = typeof value === 'number' || typeof value === 'string' ? String(value).toLowerCase() : ''
  return TRUE.has(word) ? true : FALSE.has(word) ? false : value
}
