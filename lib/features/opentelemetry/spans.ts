import { AsyncLocalStorage } from 'node:async_hooks'
import type { TracingChannel } from 'node:diagnostics_channel'
import type * as OpenTelemetry from '@opentelemetry/api'
import { hashTracing, loginTracing, type HashTrace, type LoginTrace } from '../../feature/index.js'
import { BACKEND, ERROR_TYPE, errorType, METHOD, SCOPE, TENANT, USER_ID, type OpenTelemetryApi } from './names.js'

/** Creates a span for each login with a password and for each hash. Returns a function that ends it. */
export function subscribeSpans (api: OpenTelemetryApi): () => void {
  const { context, trace, SpanKind } = api
  const tracer = trace.getTracer(SCOPE)
  /** The context of the login in which a hash runs, because tracing channels cannot set that of OpenTelemetry. */
  const current = new AsyncLocalStorage<OpenTelemetry.Context>()

  function attach<T extends { error?: unknown }> (
    channel: TracingChannel<unknown, T>,
    name: string,
    startAttributes: (traced: T) => OpenTelemetry.Attributes,
    endAttributes: (traced: T) => OpenTelemetry.Attributes
  ): () => void {
    const spans = new WeakMap<object, OpenTelemetry.Span>()
    const begin = (message: unknown): OpenTelemetry.Context => {
      const traced = message as T
      const parent = current.getStore() ?? context.active()
      const span = tracer.startSpan(name, { kind: SpanKind.INTERNAL, attributes: startAttributes(traced) }, parent)
      spans.set(traced, span)
      return trace.setSpan(parent, span)
    }
    const end = (message: unknown): void => {
      const traced = message as T
      const span = spans.get(traced)
      if (span === undefined) return
      span.setAttributes(endAttributes(traced))
      setError(api, span, traced.error)
      span.end()
    }
    channel.start.bindStore(current, begin)
    channel.asyncEnd.subscribe(end)
    return () => {
      channel.start.unbindStore(current)
      channel.asyncEnd.unsubscribe(end)
    }
  }

  const ends = [
    attach<LoginTrace>(
      loginTracing,
      'fastify-users login',
      ({ tenant, backend, method }) => ({ [TENANT]: tenant, [BACKEND]: backend, [METHOD]: method }),
      ({ userId }) => (userId === null ? {} : { [USER_ID]: userId })
    ),
    attach<HashTrace>(hashTracing, 'fastify-users hash', () => ({}), () => ({}))
  ]
  return () => {
    for (const end of ends) end()
  }
}

/** Sets `error.type`. Only errors of the server set the status, as the conventions for HTTP servers say. */
function setError ({ SpanStatusCode }: OpenTelemetryApi, span: OpenTelemetry.Span, error: unknown): void {
  if (error === undefined) return
  const { statusCode = 500 } = error as { statusCode?: number }
  span.setAttribute(ERROR_TYPE, errorType(error))
  if (statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
}
