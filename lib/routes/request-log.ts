import type { FastifyInstance, FastifyRequest } from 'fastify'

const LONGEST = 500 // characters of one value
const kSerializers = Symbol.for('pino.serializers')

type Serialize = (request: FastifyRequest) => unknown
/** A logger of pino, with what turns objects into lines of the log; other loggers have nothing there. */
interface Serializing {
  [kSerializers]?: { req?: Serialize }
}

/**
 * The log says of requests to the scope's routes where they went, without the query, which may hold codes and tokens.
 * The
 * form is that of the application's own `req` serializer; long texts are cut.
 */
export function logWithoutQuery (scope: FastifyInstance): void {
  const own = (scope.log as Serializing)[kSerializers]?.req
  if (own === undefined) return
  scope.addHook('onRoute', (route) => {
    const serialize = (route.logSerializers?.req as Serialize | undefined) ?? own
    const req: Serialize = (request) => cut(serialize(withoutQuery(request)))
    route.logSerializers = Object.assign(Object.create(route.logSerializers ?? null), { req })
  })
}

function withoutQuery (request: FastifyRequest): FastifyRequest {
  const url = { value: request.url.replace(/\?.*/s, '') }
  return Object.create(request, { url, originalUrl: url, query: { value: {} } }) as FastifyRequest
}

function cut (entry: unknown): unknown {
  const short = (value: unknown): unknown => (typeof value === 'string' ? value.slice(0, LONGEST) : value)
  return typeof entry === 'object' && entry !== null
    ? Object.fromEntries(Object.entries(entry).map(([name, value]) => [name, short(value)]))
    : short(entry)
}
