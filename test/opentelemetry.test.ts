import { context, metrics, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type DataPoint
} from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan
} from '@opentelemetry/sdk-trace-base'
import t from 'tap'
import { FST_USERS_STORE_UNAVAILABLE, refuse } from '../lib/index.js'
import { opentelemetry } from '../lib/features/opentelemetry/index.js'
import { memory } from '../lib/entries/memory.js'
import { hashTracing, loginTracing } from '../lib/shared/tracing.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, buildApp, PASSWORD } from './helpers/build-app.js'

const spans = new InMemorySpanExporter()
const measured = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
const reader = new PeriodicExportingMetricReader({ exporter: measured, exportIntervalMillis: 2 ** 31 - 1 })
const meters = new MeterProvider({ readers: [reader] })
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }))
metrics.setGlobalMeterProvider(meters)
t.teardown(() => meters.shutdown())

const named = (name: string): ReadableSpan[] => spans.getFinishedSpans().filter((span) => span.name === name)

/** Returns the values of a metric with their attributes. */
async function valuesOf (name: string): Promise<DataPoint<unknown>[]> {
  measured.reset()
  await meters.forceFlush()
  const all = measured.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics).flatMap((scope) => scope.metrics)
  const [metric] = all.filter(({ descriptor }) => descriptor.name === name)
  return (metric?.dataPoints ?? []) as DataPoint<unknown>[]
}

t.test('logins and their hashes are spans with the names of the semantic conventions', async (t) => {
  const store = watchedAdapter(memory())
  const built = await buildApp(t, { adapter: store.adapter, features: [opentelemetry()] })
  const { id } = await built.create()
  spans.reset()

  const outer = trace.getTracer('test').startSpan('POST /auth/jwt/login')
  // `inject` sends the request when its result is awaited
  await context.with(trace.setSpan(context.active(), outer), async () => await built.login('jwt', ARTHUR))
  outer.end()
  const [login] = named('fastify-users login')
  t.strictSame(login?.attributes, {
    'fastify_users.tenant': 'users',
    'fastify_users.backend': 'jwt',
    'fastify_users.method': 'password',
    'user.id': String(id)
  })
  t.equal(login?.parentSpanContext?.spanId, outer.spanContext().spanId, 'it belongs to the request')
  t.equal(login?.status.code, SpanStatusCode.UNSET)
  const [hash] = named('fastify-users hash')
  t.equal(hash?.parentSpanContext?.spanId, login?.spanContext().spanId, 'the hash belongs to the login')

  spans.reset()
  await built.login('jwt', ARTHUR, 'wrong')
  const [failed] = named('fastify-users login')
  t.match(failed?.attributes, { 'error.type': 'LOGIN_BAD_CREDENTIALS' })
  t.notOk('user.id' in (failed?.attributes ?? {}))
  t.equal(failed?.status.code, SpanStatusCode.UNSET, 'a wrong password is no error of the server')

  spans.reset()
  store.watch(() => {
    throw FST_USERS_STORE_UNAVAILABLE()
  })
  await built.login('jwt', ARTHUR)
  const [broken] = named('fastify-users login')
  t.match(broken?.attributes, { 'error.type': 'STORE_UNAVAILABLE' })
  t.equal(broken?.status.code, SpanStatusCode.ERROR)
  t.notMatch(JSON.stringify(spans.getFinishedSpans().map(({ attributes, events }) => [attributes, events])), PASSWORD)
})

t.test('logins, limits and events are counted, and hashes are measured', async (t) => {
  let isLimited = false
  const built = await buildApp(t, {
    name: 'knights',
    features: [opentelemetry()],
    hooks: {
      onBeforeLogin: () => {
        if (isLimited) throw refuse(429, 'SLOWER', 'Try again later')
      }
    }
  })
  await built.create()
  await built.login('jwt', ARTHUR)
  await built.login('jwt', ARTHUR)
  await built.login('jwt', ARTHUR, 'wrong')
  isLimited = true
  await built.login('jwt', ARTHUR)
  const ours = async (name: string): Promise<unknown[]> =>
    (await valuesOf(name))
      .filter(({ attributes }) => attributes['fastify_users.tenant'] === 'knights')
      .map(({ value, attributes: { 'fastify_users.tenant': _, ...rest } }) => [value, rest])
  const of = { 'fastify_users.backend': 'jwt' }
  t.match(await ours('fastify_users.login.attempts'), [
    [2, { ...of, 'fastify_users.outcome': 'success', 'fastify_users.method': 'password' }],
    [1, { ...of, 'fastify_users.outcome': 'failure', 'error.type': 'WRONG_PASSWORD' }],
    [1, { ...of, 'fastify_users.outcome': 'blocked', 'error.type': 'REFUSED' }]
  ])
  t.same(await ours('fastify_users.limit.hits'), [[1, { 'fastify_users.operation': 'login' }]])
  const events = await ours('fastify_users.events')
  t.ok(events.some((event) => JSON.stringify(event).includes('user.register')))
  for (const name of ['fastify_users.password.hash.duration', 'fastify_users.password.queue.duration']) {
    const [histogram] = await valuesOf(name)
    t.ok((histogram?.value as { count: number }).count >= 5, name)
  }
  const text = JSON.stringify(await Promise.all(['fastify_users.events', 'fastify_users.login.attempts'].map(valuesOf)))
  t.notMatch(text, 'camelot', 'no e-mail becomes an attribute')
})

t.test('nothing is traced without the feature, and after the application has closed', async (t) => {
  const built = await buildApp(t, { features: [opentelemetry()] })
  t.ok(loginTracing.start.hasSubscribers)
  await built.app.close()
  t.notOk(loginTracing.start.hasSubscribers)
  t.notOk(hashTracing.start.hasSubscribers)
})
