import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { AUDIT_CHANNEL, hashTracing, type AuditEvent, type HashTrace } from '../../feature/index.js'
import { BACKEND, ERROR_TYPE, errorType, EVENT, METHOD, OPERATION, OUTCOME, SCOPE, TENANT, type OpenTelemetryApi } from './names.js'

/** Upper bounds of the histograms in seconds. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5]

/** Counts audit events, and measures hashes. Returns a function that ends it. */
export function subscribeMetrics ({ metrics }: OpenTelemetryApi): () => void {
  const meter = metrics.getMeter(SCOPE)
  const events = meter.createCounter('fastify_users.events', { unit: '{event}', description: 'Security events.' })
  const logins = meter.createCounter('fastify_users.login.attempts', { unit: '{attempt}', description: 'Logins.' })
  const limits = meter.createCounter('fastify_users.limit.hits', {
    unit: '{hit}',
    description: 'Requests that a limit refused.'
  })
  const seconds = { unit: 's', advice: { explicitBucketBoundaries: SECONDS } }
  const work = meter.createHistogram('fastify_users.password.hash.duration', {
    ...seconds,
    description: 'Time of a hash, without the time in the queue.'
  })
  const wait = meter.createHistogram('fastify_users.password.queue.duration', {
    ...seconds,
    description: 'Time that a hash waits for its turn.'
  })

  function count (message: unknown): void {
    const { event, outcome, reason, tenant, backend, method, details } = message as AuditEvent
    events.add(1, { [EVENT]: event, [OUTCOME]: outcome, [TENANT]: tenant })
    const failed = reason === null ? {} : { [ERROR_TYPE]: reason }
    const of = { ...(backend === null ? {} : { [BACKEND]: backend }), ...(method === null ? {} : { [METHOD]: method }) }
    if (event === 'login') logins.add(1, { [OUTCOME]: outcome, [TENANT]: tenant, ...of, ...failed })
    if (event === 'limit.hit') limits.add(1, { [TENANT]: tenant, [OPERATION]: String(details['operation'] ?? 'request') })
  }

  function measure (message: unknown): void {
    const { waitSeconds, workSeconds, error } = message as HashTrace
    if (waitSeconds !== null) wait.record(waitSeconds)
    if (workSeconds !== null) work.record(workSeconds, error === undefined ? {} : { [ERROR_TYPE]: errorType(error) })
  }

  subscribe(AUDIT_CHANNEL, count)
  hashTracing.start.subscribe(ignoreStart)
  hashTracing.asyncEnd.subscribe(measure)
  return () => {
    unsubscribe(AUDIT_CHANNEL, count)
    hashTracing.start.unsubscribe(ignoreStart)
    hashTracing.asyncEnd.unsubscribe(measure)
  }
}

/** A subscriber of `start`, without which nothing is traced. */
function ignoreStart (): void {}
