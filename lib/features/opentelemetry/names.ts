import type * as OpenTelemetry from '@opentelemetry/api'

/** The parts of `@opentelemetry/api` that this feature uses. */
export type OpenTelemetryApi = Pick<
  typeof OpenTelemetry,
  'context' | 'metrics' | 'trace' | 'SpanKind' | 'SpanStatusCode'
>

/** Name of the tracer and the meter. */
export const SCOPE = 'fastify-users'

/** Attributes of the semantic conventions of OpenTelemetry. */
export const ERROR_TYPE = 'error.type'
export const USER_ID = 'user.id'

/** Attributes of this package, which the conventions do not have. */
export const TENANT = 'fastify_users.tenant'
export const BACKEND = 'fastify_users.backend'
export const METHOD = 'fastify_users.method'
export const OUTCOME = 'fastify_users.outcome'
export const EVENT = 'fastify_users.event'
export const OPERATION = 'fastify_users.operation'

/** Returns the code of an error, without its prefix; `_OTHER` for an error without a code. */
export function errorType (error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code.replace('FST_USERS_', '') : '_OTHER'
}
