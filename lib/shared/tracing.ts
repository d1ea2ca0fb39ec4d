import { tracingChannel } from 'node:diagnostics_channel'
import { performance } from 'node:perf_hooks'

/** The message of `tracing:fastify-users:login` about a login with a password. */
export interface LoginTrace {
  readonly tenant: string
  readonly backend: string
  readonly method: string
  /** Id of the user after the right password; null before and for a wrong one. */
  userId: string | null
  error?: unknown
}

/** The message of `tracing:fastify-users:hash` about a hash. */
export interface HashTrace {
  /** Seconds for which the hash waited for its turn. Set when the work begins. */
  waitSeconds: number | null
  /** Seconds of the work. Set when it ends. */
  workSeconds: number | null
  error?: unknown
}

/** The channels of logins with a password (`start`, `asyncEnd`, `error` of a tracing channel). */
export const loginTracing = tracingChannel<unknown, LoginTrace>('fastify-users:login')
/** The channels of hashes. */
export const hashTracing = tracingChannel<unknown, HashTrace>('fastify-users:hash')

/** Runs work, and publishes it if hashes are traced. */
export function traceHash<T> (run: (trace: HashTrace | null) => Promise<T>): Promise<T> {
  if (!hashTracing.start.hasSubscribers) return run(null)
  const trace: HashTrace = { waitSeconds: null, workSeconds: null }
  return hashTracing.tracePromise(() => run(trace), trace)
}

/** Runs the login of a request, and publishes it if logins are traced. */
export function traceLogin<T> (
  values: Pick<LoginTrace, 'tenant' | 'backend' | 'method'>,
  run: (trace: LoginTrace | null) => Promise<T>
): Promise<T> {
  if (!loginTracing.start.hasSubscribers) return run(null)
  const trace: LoginTrace = { ...values, userId: null }
  return loginTracing.tracePromise(() => run(trace), trace)
}

/** Returns the time in seconds since the process started. */
export function secondsNow (): number {
  return performance.now() / 1000
}
