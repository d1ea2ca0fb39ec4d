import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { bearerTransport, databaseStrategy, type OfferedStep, type UsersOptions } from '../lib/index.js'
import type { SecondFactorChange } from '../lib/feature/index.js'
import { audit } from '../lib/features/audit/index.js'
import { ORIGIN } from './helpers/browser.js'
import { asUser } from '../lib/testing/index.js'
import { badges, NUMBER, type Badges } from './helpers/badge-feature.js'
import { ARTHUR, addRoutes, assertErrorReply, buildApp, cookieOf, PASSWORD, type TestApp } from './helpers/build-app.js'

const PAGES = { publicUrl: ORIGIN, detectNewDevices: false }
/** The sent mails. */
const sent: { to: string; subject: string }[] = []
const MAIL: NonNullable<UsersOptions['mail']> = {
  from: 'Camelot <no-reply@camelot.bt>',
  service: 'Camelot',
  send: async ({ to, subject }) => {
    sent.push({ to, subject })
  }
}

interface Served extends TestApp {
  badges: Badges
  /** Answers a pending login with the number of a badge. */
  answer(begun: LightMyRequestResponse, step: string, backend?: string, number?: string): ReturnType<TestApp['send']>
  /** Status of a guarded request with these headers. */
  statusOf(headers: Record<string, string>): Promise<number>
}

async function serve (t: Test, options: Partial<UsersOptions> = {}): Promise<Served> {
  const built = await buildApp(t, { features: [badges()], ...options }, (app) => {
    addRoutes(app)
    app.get('/session', { preHandler: app.authenticate }, async ({ authentication }) => authentication?.session)
    const { kit } = app.users.feature('badges') as Badges
    for (const change of ['added', 'removed'] as const) {
      app.post(`/${change}`, { preHandler: app.authenticate }, async (request, reply) => {
        const row = await kit.readActingUser(request)
        await kit.secondFactors.changed(row, { change, method: 'badge', undo () {}, request, reply } as SecondFactorChange)
        return reply.code(204).send()
      })
    }
  })
  const { app, send } = built
  return {
    ...built,
    badges: app.users.feature('badges') as Badges,
    answer: (reply, step, backend = 'jwt', number = NUMBER) =>
      send('POST', `/auth/${backend}/login/${step}`, { ticket: pending(reply).ticket, number }, browserOf(reply)),
    statusOf: async (headers) => (await send('GET', '/guarded', undefined, headers)).statusCode
  }
}

function pending (reply: LightMyRequestResponse): { ticket: string; steps: OfferedStep[] } {
  const { detail } = reply.json<{ detail: { ticket: string; steps: OfferedStep[] } }>()
  if (reply.statusCode !== 403) throw new Error(reply.body)
  return detail
}

function browserOf (reply: LightMyRequestResponse): Record<string, string> {
  const set = reply.cookies.filter(({ value }) => value !== '')
  return set.length === 0 ? {} : { cookie: set.map(({ name, value }) => `${name}=${value}`).join('; ') }
}

const stepsOf = (reply: LightMyRequestResponse): string[] => pending(reply).steps.map(({ name }) => name)
const bearerOf = (reply: LightMyRequestResponse): { authorization: string } =>
  ({ authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` })

t.test('a user with a factor presents it at each login', async (t) => {
  const { create, login, answer, badges, statusOf } = await serve(t)
  const user = await create()
  t.equal((await login('jwt', ARTHUR)).statusCode, 200, 'no factor')
  await badges.add(user, NUMBER)
  const begun = await login('jwt', ARTHUR)
  t.strictSame(stepsOf(begun), ['badge'])
  assertErrorReply(t, await answer(begun, 'badge', 'jwt', 'another'), 400, 'BADGE_WRONG')
  assertErrorReply(t, await answer(begun, 'badge-enrol'), 400, 'LOGIN_TICKET_INVALID')
  const done = await answer(begun, 'badge')
  t.equal(done.statusCode, 200)
  t.equal(await statusOf(bearerOf(done)), 200)
})

t.test('the policy makes users without a factor add one during the login', async (t) => {
  const asked: unknown[] = []
  const { create, login, answer, events, bearer, statusOf } = await serve(t, {
    secondFactors: {
      required ({ user, backend }) {
        asked.push([user.email, backend, 'hashed_password' in user])
        return user.is_superuser
      }
    }
  })
  const { id } = await create({ email: 'lancelot@camelot.bt' })
  t.equal((await login('jwt', 'lancelot@camelot.bt')).statusCode, 200, 'not required')
  t.strictSame(asked, [['lancelot@camelot.bt', 'jwt', false], ['lancelot@camelot.bt', 'jwt', false]])
  const older = await bearer('lancelot@camelot.bt')

  for (const backend of ['jwt', 'cookie']) {
    const user = await create({ email: `${backend}@camelot.bt`, is_superuser: true })
    const begun = await login(backend, user.email)
    t.strictSame(stepsOf(begun), ['badge-enrol'])
    const parallel = await login(backend, user.email)
    const done = await answer(begun, 'badge-enrol', backend)
    t.equal(done.statusCode, backend === 'jwt' ? 200 : 204)
    t.equal(await statusOf(backend === 'jwt' ? bearerOf(done) : browserOf(done)), 200)
    t.match(events.findLast(({ name }) => name === 'onLoginMethodAdded'), { user: { id: user.id }, method: 'badge' })
    assertErrorReply(t, await answer(parallel, 'badge-enrol', backend), 400, 'LOGIN_TICKET_INVALID')
    t.strictSame(stepsOf(await login(backend, user.email)), ['badge'])
  }
  t.equal(await statusOf(older), 200, `sessions of ${id} continue`)
})

t.test('a factor that is added during a login ends the sessions that are older', async (t) => {
  let isRequired = false
  const { create, login, answer, bearer, cookie, statusOf } = await serve(t, {
    secondFactors: { required: () => isRequired }
  })
  await create()
  const older = [await bearer(ARTHUR), await cookie(ARTHUR)]
  isRequired = true
  for (const headers of older) t.equal(await statusOf(headers), 200, 'the policy applies to logins')
  t.equal((await answer(await login('jwt', ARTHUR), 'badge-enrol')).statusCode, 200)
  for (const headers of older) t.equal(await statusOf(headers), 401)
})

t.test('no session exists if a step does not ask for the factor', async (t) => {
  const { create, login, badges: api } = await serve(t, { features: [badges({ isAsked: false })] })
  await api.add(await create(), NUMBER)
  assertErrorReply(t, await login('jwt', ARTHUR), 403, 'SECOND_FACTOR_REQUIRED')
  const strict = await serve(t, { features: [badges({ canEnrol: false })], secondFactors: { required: () => true } })
  await strict.create()
  assertErrorReply(t, await strict.login('jwt', ARTHUR), 403, 'SECOND_FACTOR_REQUIRED')
})

t.test('a policy that does not return a boolean refuses every login', async (t) => {
  const { create, login } = await serve(t, { secondFactors: { required: () => undefined as never } })
  await create()
  t.equal((await login('jwt', ARTHUR)).statusCode, 500)
})

t.test('methods that prove two factors need no further step', async (t) => {
  const { app, create, badges } = await serve(t)
  const user = await create()
  await badges.add(user, NUMBER)
  for (const [method, isPending] of [
    ['passkey', false],
    ['passkey-presence', true],
    ['email', true],
    ['oauth:google', true],
    ['otp', true]
  ] as const) {
    const { pending } = await app.users.login(user, { backend: 'jwt', method })
    t.equal(pending !== undefined, isPending, method)
  }
})

t.test('a change of the factors ends the other sessions and renews that of the request', async (t) => {
  const { create, cookie, bearer, send, statusOf, events } = await serve(t)
  await create()
  for (const change of ['added', 'removed'] as const) {
    const acting = await cookie(ARTHUR)
    const others = [await cookie(ARTHUR), await bearer(ARTHUR)]
    const reply = await send('POST', `/${change}`, undefined, { ...acting, 'sec-fetch-site': 'same-origin' })
    t.equal(reply.statusCode, 204)
    t.equal(await statusOf({ cookie: cookieOf(reply) }), 200, 'the session of the request')
    for (const headers of [acting, ...others]) t.equal(await statusOf(headers), 401)
    const name = change === 'added' ? 'onLoginMethodAdded' : 'onLoginMethodRemoved'
    t.match(events.at(-1), { name, kind: 'second-factor', method: 'badge', user: { email: ARTHUR } })
  }
})

t.test('a bearer session continues if the others can be deleted one by one', async (t) => {
  const { create, login, send, statusOf } = await serve(t, {
    backends: [{ name: 'stored', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }]
  })
  await create()
  const [acting, other] = [bearerOf(await login('stored', ARTHUR)), bearerOf(await login('stored', ARTHUR))]
  t.equal((await send('POST', '/added', undefined, acting)).statusCode, 204)
  t.strictSame([await statusOf(acting), await statusOf(other)], [200, 401])
})

t.test('a deleted user leaves no factor behind', async (t) => {
  const { app, create, badges } = await serve(t)
  const user = await create()
  await badges.add(user, NUMBER)
  t.equal(await badges.kit.secondFactors.count(user), 1)
  await app.users.delete(user)
  t.equal(await badges.kit.secondFactors.count(user), 0)
})

t.test('a superuser sees and removes the lost factors of a user, and never their own', async (t) => {
  const built = await serve(t, { features: [badges(), audit()], mail: MAIL, ...PAGES })
  const { app, create, login, send, bearer, cookie, statusOf, badges: api, events } = built
  const user = await create()
  const king = await create({ email: 'uther@camelot.bt', is_superuser: true })
  const [superuser, other] = [await bearer(king.email), await bearer(ARTHUR)]
  const sessions = [other, await cookie(ARTHUR)]
  await api.add(user, NUMBER)
  const path = `/users/${user.id}/second-factors`
  const begun = await login('jwt', ARTHUR)
  t.strictSame((await send('GET', path, undefined, superuser)).json(), [
    { name: 'badge', label: null, created_at: null, last_used_at: null }
  ])
  for (const [method, url] of [['GET', path], ['DELETE', path], ['DELETE', `${path}/badge`]] as const) {
    t.equal((await send(method, url)).statusCode, 401)
    t.equal((await send(method, url, undefined, other)).statusCode, 403)
    const unknown = url.replace(String(user.id), 'unknown')
    t.equal((await send(method, unknown, undefined, superuser)).statusCode, 404)
  }
  t.equal((await send('DELETE', `${path}/unknown`, undefined, superuser)).statusCode, 404)
  const own = `/users/${king.id}/second-factors`
  for (const url of [own, `${own}/badge`]) {
    assertErrorReply(t, await send('DELETE', url, undefined, superuser), 400, 'OWN_SECOND_FACTORS')
  }
  for (const headers of sessions) t.equal(await statusOf(headers), 200)
  t.strictSame(stepsOf(await login('jwt', ARTHUR)), ['badge'])

  t.equal((await send('DELETE', `${path}/badge`, undefined, superuser)).statusCode, 204)
  for (const headers of sessions) t.equal(await statusOf(headers), 401, 'the sessions end')
  t.equal(await statusOf(superuser), 200)
  assertErrorReply(t, await built.answer(begun, 'badge'), 400, 'LOGIN_TICKET_INVALID')
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
  t.strictSame((await send('GET', path, undefined, superuser)).json(), [])
  t.match(events.find(({ name }) => name === 'onLoginMethodRemoved'), { user: { id: user.id }, method: 'badge' })
  await app.users.settled()
  t.match(sent.filter(({ subject }) => /second factor/i.test(subject)).map(({ to }) => to), [ARTHUR])
  await app.users.feature('audit').flush()
  const { events: audited } = await app.users.feature('audit').list({ limit: 100, event: 'factor.remove' })
  t.match(audited, [{ actor_id: String(king.id), actor_type: 'superuser', target_id: String(user.id), method: 'badge' }])
  t.equal((await send('DELETE', path, undefined, superuser)).statusCode, 204, 'there is none left')
})

t.test('with sensitiveChanges confirm, a superuser authenticates again to remove the factors of a user', async (t) => {
  const { create, send, bearer, badges: api, tick, login } = await serve(t, { sensitiveChanges: 'confirm' })
  const user = await create()
  await api.add(user, NUMBER)
  await create({ email: 'uther@camelot.bt', is_superuser: true })
  const superuser = await bearer('uther@camelot.bt')
  const path = `/users/${user.id}/second-factors`
  tick(301)
  for (const url of [path, `${path}/badge`]) {
    const reply = await send('DELETE', url, undefined, superuser)
    t.match(reply.json(), { statusCode: 401, code: 'FST_USERS_INSUFFICIENT_USER_AUTHENTICATION' })
  }
  t.equal((await send('GET', path, undefined, superuser)).statusCode, 200)
  const again = bearerOf(await send('POST', '/auth/jwt/reauthenticate', { password: PASSWORD }, superuser))
  t.equal((await send('DELETE', path, undefined, again)).statusCode, 204)
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
})

t.test('asUser creates the session of a user whose login needs a step', async (t) => {
  const { app, create, badges, send } = await serve(t)
  const user = await create()
  await badges.add(user, NUMBER)
  await t.rejects(asUser(app, user), { code: 'FST_USERS_INVALID_OPTION', message: /methods/ })
  const headers = await asUser(app, user, { methods: ['password', 'otp'] })
  t.match((await send('GET', '/session', undefined, headers)).json(), { methods: ['password', 'otp'] })
})

t.test('mistakes in the options stop the start', async (t) => {
  const feature = badges()
  const withParts = (parts: object, more: object = {}): UsersOptions['features'] =>
    [{ ...feature, ...more, setup: async (kit) => ({ ...(await feature.setup(kit)), ...parts }) }]
  const factor = { name: 'x', count: () => 0, removeAll: () => 0 }
  for (const options of [
    { secondFactors: { required: true } },
    { secondFactors: { require: () => true } },
    { features: [], secondFactors: { required: () => true } },
    { features: withParts({ secondFactors: {} }) },
    { features: withParts({ secondFactors: [{ ...factor, name: 'Not a name' }] }) },
    { features: withParts({ secondFactors: [{ ...factor, count: 1 }] }) },
    { features: withParts({ secondFactors: [{ ...factor, remove: () => 0 }] }) },
    { features: withParts({}, { events: [] }) }
  ]) {
    const built = buildApp(t, { features: [feature], ...options } as Partial<UsersOptions>, () => {})
    await t.rejects(built, { code: /FST_USERS_(INVALID|UNKNOWN)_OPTION/ }, JSON.stringify(options))
  }
})

t.test('a feature that does not count its factors refuses every login', async (t) => {
  const feature = badges()
  const broken: typeof feature = {
    ...feature,
    async setup (kit) {
      const parts = await feature.setup(kit)
      return { ...parts, secondFactors: [{ name: 'badge', count: () => undefined as never, removeAll: () => 0 }] }
    }
  }
  const { create, login } = await serve(t, { features: [broken] })
  await create()
  t.equal((await login('jwt', ARTHUR)).statusCode, 500)
})
