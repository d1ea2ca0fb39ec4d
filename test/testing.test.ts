import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import users, {
  authenticate,
  currentUser,
  defineTransport,
  jwtStrategy,
  refuse,
  type UsersHooks
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import {
  asUser,
  captureEvents,
  createUser,
  manualClock,
  withSlowReads,
  type CapturedEvents
} from '../lib/testing/index.js'
import { ARTHUR, backends, fastPasswords, PASSWORD, SECRET } from './helpers/build-app.js'

async function build (
  t: Test,
  clock = manualClock(),
  hooks: UsersHooks = {}
): Promise<{ app: FastifyInstance; captured: CapturedEvents; clock: ReturnType<typeof manualClock> }> {
  const app = Fastify()
  t.teardown(() => app.close())
  const headerlessTransport = defineTransport({
    name: 'nowhere',
    describe: () => ({ scheme: {}, login: {}, logout: {} }),
    setup: () => ({ ambient: false, extractToken: () => null, sendLogin: (reply) => reply })
  })
  const more = { name: 'nowhere', transport: headerlessTransport, strategy: jwtStrategy({ lifetimeSeconds: 60 }) }
  await app.register(users, {
    adapter: memory(),
    secret: SECRET,
    passwords: fastPasswords,
    limits: false,
    clock,
    hooks,
    backends: [...backends(), more]
  })
  app.get('/who', { preHandler: authenticate }, async (request) => currentUser(request))
  const captured = captureEvents(app)
  await app.ready()
  return { app, captured, clock }
}

t.test('asUser logs in a new user with the given attributes', async (t) => {
  const { app } = await build(t)
  const headers = await asUser(app, { is_superuser: true })
  const { is_superuser: isSuperuser, is_active: isActive } = (await app.inject({ url: '/who', headers })).json()
  t.strictSame([isSuperuser, isActive], [true, true])
  t.equal((await app.inject({ url: '/who', headers: await asUser(app) })).statusCode, 200)
})

t.test('asUser logs in an existing user at the given backend', async (t) => {
  const { app, captured } = await build(t)
  const user = await createUser(app, { email: ARTHUR })
  const headers = await asUser(app, user, { backend: 'cookie' })
  t.match(headers.cookie, /^__Host-users-cookie=/)
  t.equal((await app.inject({ url: '/who', headers })).json().email, ARTHUR)
  t.strictSame(
    captured.events.filter(({ name }) => name === 'onAfterLogin').map((event) => 'method' in event && event.method),
    ['test']
  )
})

t.test('asUser throws a coded error if it cannot log in the user', async (t) => {
  const { app } = await build(t)
  await t.rejects(asUser(app, {}, { backend: 'other' }), { code: 'FST_USERS_UNKNOWN_BACKEND' })
  await t.rejects(
    asUser(app, {}, { backend: 'nowhere' }),
    { code: 'FST_USERS_INVALID_OPTION' },
    'its transport uses no request headers'
  )
  await t.rejects(asUser(app, { is_active: false }), { code: 'FST_USERS_LOGIN_BAD_CREDENTIALS' })
  const { app: pending } = await build(t, undefined, { onBeforeLogin: () => ({ pending: { code: 'SECOND_FACTOR' } }) })
  await t.rejects(asUser(pending), { code: 'FST_USERS_INVALID_OPTION', message: /the login waits for another step/ })
})

t.test('captureEvents records the events in order and returns their tokens', async (t) => {
  const { app, captured } = await build(t)
  await createUser(app, { email: ARTHUR, password: PASSWORD })
  t.strictSame(captured.names(), ['onBeforeRegister', 'onAfterRegister'])
  captured.clear()
  await t.rejects(captured.tokenOf('onAfterForgotPassword'), { code: 'FST_USERS_INVALID_OPTION' })
  await app.inject({ method: 'POST', url: '/auth/forgot-password', payload: { email: ARTHUR } })
  const token = await captured.tokenOf('onAfterForgotPassword')
  const reply = await app.inject({
    method: 'POST',
    url: '/auth/reset-password',
    payload: { token, password: 'excalibur-1' }
  })
  t.equal(reply.statusCode, 200)
  t.strictSame(captured.names(), [
    'onForgotPasswordAttempt',
    'onAfterForgotPassword',
    'onResetPasswordAttempt',
    'onAfterVerify',
    'onAfterResetPassword'
  ])
})

t.test('manualClock stays at its time until it is moved', async (t) => {
  const { app, clock } = await build(t, manualClock(Date.UTC(2030, 0, 1)))
  t.equal(clock(), clock())
  const headers = await asUser(app)
  t.equal((await app.inject({ url: '/who', headers })).statusCode, 200)
  clock.tick(3601)
  t.equal((await app.inject({ url: '/who', headers })).statusCode, 401)
  t.equal(clock(), Date.UTC(2030, 0, 1) + 3_601_000)
})

t.test('refuse creates an error with a status from 400 to 499', async (t) => {
  t.match(refuse(422, 'NO_INVITE', 'Ask for an invitation.'), {
    statusCode: 422,
    code: 'FST_USERS_REFUSED',
    detail: 'NO_INVITE',
    message: 'Ask for an invitation.'
  })
  for (const status of [200, 399, 500, Number.NaN]) t.equal(refuse(status, 'X', 'y').statusCode, 403)
})

t.test('withSlowReads delays reads and leaves writes unchanged, also writes of several rows', async (t) => {
  const model = { name: 'knight', table: 'knight', fields: { name: { type: 'text' } } } as const
  const slow = withSlowReads(memory(), 30)
  slow.define(model)
  t.same(await slow.createAll?.([[model, { name: 'Galahad' }], [model, { name: 'Percival' }]]), [
    { name: 'Galahad' },
    { name: 'Percival' }
  ])
  const start = performance.now()
  t.same(await slow.findOne(model, { name: 'Percival' }), { name: 'Percival' })
  t.ok(performance.now() - start > 25)
  const { createAll: _, ...plain } = slow
  t.equal(withSlowReads(plain, 30).createAll, undefined, 'createAll stays undefined if the adapter lacks it')
})
