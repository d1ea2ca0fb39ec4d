import type { FastifyInstance, FastifyRequest } from 'fastify'

const MAX_VALUE_LENGTH = 500 // characters
const kSerializers = Symbol.for('pino.serializers')

type Serialize = (request: FastifyRequest) => unknown
/** A pino logger with its serializers. Other loggers do not have the property. */
interface PinoLogger {
  [kSerializers]?: { req?: Serialize }
}

/**
 * Removes the query, which may contain codes and tokens, from the log lines of requests to the scope's routes. The
 * application's `req` serializer formats them. Long values are truncated.
 */
export function logWithoutQuery (scope: FastifyInstance): void {
  const own = (scope.log as PinoLogger)[kSerializers]?.req
  if (own === undefined) return
  scope.addHook('onRoute', (route) => {
    const serialize = (route.logSerializers?.req as Serialize | undefined) ?? own
    const req: Serialize = (request) => truncateValues(serialize(withoutQuery(request)))
    route.logSerializers = Object.assign(Object.create(route.logSerializers ?? null), { req })
  })
}

function withoutQuery (request: FastifyRequest): FastifyRequest {
  const url = { value: request.url.replace(/\?.*/s, '') }
  return Object.create(request, { url, originalUrl: url, query: { value: {} } }) as FastifyRequest
}

function truncateValues (entry: unknown): unknown {
  const short = (value: unknown): unknown => (typeof value === 'string' ? value.slice(0, MAX_VALUE_LENGTH) : value)
  return typeof entry === 'object' && entry !== null
    ? Object.fromEntries(Object.entries(entry).map(([name, value]) => [name, short(value)]))
    : short(entry)
}
