import type { FastifyInstance } from 'fastify'

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

function isBoolean ({ type, anyOf }: Json): boolean {
  return type === 'boolean' || (Array.isArray(anyOf) && anyOf.some((variant: Json) => variant.type === 'boolean'))
}

function toBoolean (value: unknown): unknown {
  const word = typeof value === 'number' || typeof value === 'string' ? String(value).toLowerCase() : ''
  return TRUE.has(word) ? true : FALSE.has(word) ? false : value
}
