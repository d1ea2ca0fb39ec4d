import swagger from '@fastify/swagger'
import Fastify, { type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { memory } from '../lib/entries/memory.js'
import users, { Type, usersOpenapi, type Feature, type UsersOptions } from '../lib/index.js'
import { operationsOf, validateDocument, type ApiDocument } from './helpers/api-document.js'
import { audit } from '../lib/features/audit/index.js'
import { badges, NUMBER, type Badges } from './helpers/badge-feature.js'
import { addRoutes, ARTHUR, assertErrorReply, backends, buildApp, PASSWORD, SECRET, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { openJar, type Jar } from './helpers/factor-login.js'

const DAY = 86_400

interface Served extends TestApp {
  badges: Badges
  /** Logs in with a badge in a new browser, which trusts the device. */
  trust(email?: string, jar?: Jar): Promise<Jar>
  /** Logs in with the password only, and returns the status of the reply. */
  attempt(jar: Jar, email?: string, backend?: string): Promise<number>
}

async function serve (t: Test, options: Partial<UsersOptions> = {}): Promise<Served> {
  const built = await buildApp(t, {
    features: [badges()],
    secondFactors: { trustedDevices: {} },
    ...options
  }, addRoutes)
  const begin = (jar: Jar, email: string, backend: string): Promise<LightMyRequestResponse> =>
    jar.send(built, 'POST', `/auth/${backend}/login`, { username: email, password: PASSWORD })
  return {
    ...built,
    badges: built.app.users.feature('badges') as Badges,
    async trust (email = ARTHUR, jar = openJar()) {
      const ticket = ticketOf(await begin(jar, email, 'cookie'))
      const answer = { ticket, number: NUMBER, trust_device: true }
      const reply = await jar.send(built, 'POST', '/auth/cookie/login/badge', answer)
      if (reply.statusCode !== 204) throw new Error(reply.body)
      return jar
    },
    attempt: async (jar, email = ARTHUR, backend = 'cookie') => (await begin(jar, email, backend)).statusCode
  }
}

const ticketOf = (reply: LightMyRequestResponse): string => reply.json<{ detail: { ticket: string } }>().detail.ticket

t.test('a trusted device skips the second factor, and never the first', async (t) => {
  const built = await serve(t)
  const { create, badges, trust, attempt, send, tick } = built
  await badges.add(await create(), NUMBER)
  const jar = await trust()
  t.match(jar.attributesOf('__Host-users-trusted'), {
    httpOnly: true, secure: true, sameSite: 'Lax', path: '/', maxAge: 30 * DAY
  })
  t.equal(await attempt(jar), 204)
  t.equal(await attempt(openJar()), 403, 'another browser')
  t.equal(await attempt(jar, ARTHUR, 'jwt'), 403, 'only backends with cookies have trusted devices')
  const cookie = { cookie: `__Host-users-trusted=${jar.get('__Host-users-trusted')}` }
  t.equal((await send('POST', '/auth/cookie/login', { username: ARTHUR, password: 'wrong' }, cookie)).statusCode, 400)
  t.equal((await send('GET', '/guarded', undefined, cookie)).statusCode, 401, 'the cookie is no session')
  t.match(built.events.findLast(({ name }) => name === 'onAfterLogin'), { session: { methods: ['password'] } })
  tick(30 * DAY - 60)
  t.equal(await attempt(jar), 204)
  tick(60)
  t.equal(await attempt(jar), 403, 'the lifetime is over')
})

for (const { name, options, open } of everyStore) {
  t.test(`SES-06, SES-08: ${name}: all processes know a trusted device and its end`, options, async (t) => {
    const adapter = await open(t)
    const shared = { features: [badges()], secondFactors: { trustedDevices: { maxPerUser: 2 } } }
    const [one, two] = [
      await serve(t, { ...shared, adapter: adapter() }),
      await serve(t, { ...shared, features: [badges()], adapter: adapter() })
    ]
    const user = await one.create()
    await one.badges.add(user, NUMBER)
    const [first, second] = [await one.trust(), await two.trust()]
    t.strictSame([await two.attempt(first), await one.attempt(second)], [204, 204])
    const [device] = (await two.app.users.trustedDevices(user)).filter(({ id }) => id !== '')
    t.match(device, { createdAt: Date, lastUsedAt: Date, expiresAt: Date, isCurrent: false })
    t.equal(await two.app.users.endTrustedDevices(user, device?.id), 1)
    t.equal(await one.app.users.endTrustedDevices(user, device?.id), 0)
    const left = [await one.attempt(first), await one.attempt(second)].sort()
    t.strictSame(left, [204, 403])
    await two.app.users.endSessions(user)
    t.strictSame([await one.attempt(first), await one.attempt(second)], [403, 403])
  })
}

t.test('a device that loses its trust during the login gets no session', async (t) => {
  let endTrust = async (): Promise<unknown> => null
  const late: Feature = {
    name: 'late',
    loginSteps: ['late'],
    setup: () => ({
      loginSteps: [{
        name: 'late',
        body: Type.Object({}),
        async needed () {
          await endTrust()
          return false
        },
        verify: () => {}
      }]
    })
  }
  const { app, create, badges: api, trust, attempt, events } = await serve(t, { features: [badges(), late] })
  const user = await create()
  await api.add(user, NUMBER)
  const jar = await trust()
  t.equal(await attempt(jar), 204)
  const logins = events.filter(({ name }) => name === 'onAfterLogin').length
  endTrust = () => app.users.endTrustedDevices(user)
  t.equal(await attempt(jar), 400)
  t.equal(events.filter(({ name }) => name === 'onAfterLogin').length, logins)
  t.equal((await app.users.exportData(user)).sessions.length, logins - 1, 'each login ends the session of its browser')
})

t.test('a trusted device replaces no factor when its user authenticates again', async (t) => {
  const built = await serve(t, { sensitiveChanges: 'confirm' })
  const { create, badges, trust, attempt } = built
  await badges.add(await create(), NUMBER)
  const jar = await trust()
  t.equal(await attempt(jar), 204)
  const change = { password: 'excalibur-2', current_password: PASSWORD }
  const refused = await jar.send(built, 'PATCH', '/users/me', change)
  t.match(refused.json(), { statusCode: 401, detail: { code: 'INSUFFICIENT_USER_AUTHENTICATION', methods: 2 } })
  const begun = await jar.send(built, 'POST', '/auth/cookie/reauthenticate', { password: PASSWORD })
  t.match(begun.json(), { statusCode: 403, detail: { steps: [{ name: 'badge' }] } })
  const answer = { ticket: ticketOf(begun), number: NUMBER }
  const renewed = await jar.send(built, 'POST', '/auth/cookie/reauthenticate/badge', answer)
  t.equal(renewed.statusCode, 204)
  t.equal((await jar.send(built, 'PATCH', '/users/me', change)).statusCode, 200)
})

t.test('only the answer to a second factor of a cookie backend can trust a device', async (t) => {
  const built = await serve(t)
  const { create, badges, send, attempt } = built
  await badges.add(await create(), NUMBER)
  const answers: [answer: object, isTrusted: boolean][] = [
    [{}, false],
    [{ trust_device: false }, false],
    [{ trust_device: 'false' }, false],
    [{ trust_device: 'on' }, true]
  ]
  for (const [answer, isTrusted] of answers) {
    const jar = openJar()
    const ticket = ticketOf(await jar.send(built, 'POST', '/auth/cookie/login', { username: ARTHUR, password: PASSWORD }))
    const wrong = { ticket, number: 'another', trust_device: true }
    assertErrorReply(t, await jar.send(built, 'POST', '/auth/cookie/login/badge', wrong), 400, 'BADGE_WRONG')
    t.notOk(jar.get('__Host-users-trusted'), 'a wrong answer trusts nothing')
    await jar.send(built, 'POST', '/auth/cookie/login/badge', { ticket, number: NUMBER, ...answer })
    t.equal(jar.get('__Host-users-trusted') !== undefined, isTrusted, JSON.stringify(answer))
    t.equal(await attempt(jar), isTrusted ? 204 : 403)
  }
  for (const trust of [1, 'yes', null, {}]) {
    const reply = await send('POST', '/auth/cookie/login/badge', { ticket: 'x'.repeat(43), number: NUMBER, trust_device: trust })
    t.match(reply.json(), { statusCode: 400, code: 'FST_ERR_VALIDATION' })
  }
  const bearer = ticketOf(await send('POST', '/auth/jwt/login', { username: ARTHUR, password: PASSWORD }))
  const reply = await send('POST', '/auth/jwt/login/badge', { ticket: bearer, number: NUMBER })
  t.equal(reply.statusCode, 200)
  t.same(reply.cookies, [])
})

t.test('a user lists and ends trusted devices, and a superuser those of others', async (t) => {
  const built = await serve(t, { features: [badges(), audit()] })
  const { app, create, badges: api, trust, attempt } = built
  const user = await create()
  await api.add(user, NUMBER)
  const other = await create({ email: 'mordred@camelot.bt' })
  await api.add(other, NUMBER)
  const king = await create({ email: 'uther@camelot.bt', is_superuser: true })
  const jars = [await trust(), await trust(ARTHUR), await trust('mordred@camelot.bt')] as const
  const [first, second, foreign] = jars
  const superuser = openJar()
  await superuser.send(built, 'POST', '/auth/cookie/login', { username: king.email, password: PASSWORD })

  const listed = (await first.send(built, 'GET', '/users/me/trusted-devices')).json<{ id: string }[]>()
  t.strictSame(listed.map((device) => Object.keys(device).sort()), Array(2).fill(
    ['created_at', 'expires_at', 'id', 'is_current', 'last_used_at', 'user_agent']
  ))
  t.match(listed.filter((device) => (device as unknown as { is_current: boolean }).is_current), { length: 1 })
  const [foreignDevice] = await app.users.trustedDevices(other)
  for (const id of [foreignDevice?.id, 'unknown']) {
    assertErrorReply(t, await first.send(built, 'DELETE', `/users/me/trusted-devices/${id}`), 404, 'NOT_FOUND', 'Not Found')
  }
  const current = listed.find((device) => (device as unknown as { is_current: boolean }).is_current)
  t.equal((await first.send(built, 'DELETE', `/users/me/trusted-devices/${current?.id}`)).statusCode, 204)
  t.strictSame([await attempt(first), await attempt(second), await attempt(foreign, other.email)], [403, 204, 204])

  t.match((await app.users.exportData(other)).features, {
    'trusted-devices': { devices: [{ user_agent: /./, created_at: /^\d{4}-/, expires_at: /^\d{4}-/ }] }
  })
  const path = `/users/${user.id}/trusted-devices`
  for (const method of ['GET', 'DELETE'] as const) {
    assertErrorReply(t, await foreign.send(built, method, path), 403, 'FORBIDDEN', 'Forbidden')
    assertErrorReply(t, await openJar().send(built, method, path), 401, 'UNAUTHENTICATED', 'Unauthorized')
    assertErrorReply(t, await superuser.send(built, method, '/users/unknown/trusted-devices'), 404, 'NOT_FOUND', 'Not Found')
  }
  t.equal((await superuser.send(built, 'GET', path)).json<unknown[]>().length, 1)
  t.equal((await superuser.send(built, 'DELETE', path)).statusCode, 204)
  t.equal(await attempt(second), 403)
  await app.users.settled()
  await app.users.feature('audit').flush()
  const { events } = await app.users.feature('audit').list({ limit: 100 })
  const ended = events.filter(({ event }) => event === 'device.untrust')
  t.match(ended.map(({ actor_id: actor, target_id: target }) => [actor, target]), [
    [String(king.id), String(user.id)],
    [String(user.id), String(user.id)]
  ])
  t.equal(events.filter(({ event }) => event === 'device.trust').length, 3)
})

t.test('trust ends with the sessions, the factors and the security stamp', async (t) => {
  const built = await serve(t)
  const { app, create, badges, trust, attempt, tokenOf } = built
  const user = await create({ is_verified: true })
  await badges.add(user, NUMBER)
  const rowOf = async (): Promise<never> => (await badges.kit.rows.getByEmail(ARTHUR)) as never
  const ends: Record<string, (jar: Jar) => Promise<unknown>> = {
    'all sessions end': () => app.users.endSessions(user),
    'the password changes': () => app.users.update(user, { password: PASSWORD }),
    'the password is reset': async () => {
      await app.users.forgotPassword(ARTHUR)
      await app.users.resetPassword(await tokenOf('onAfterForgotPassword'), PASSWORD)
    },
    'a factor is added': async () => badges.kit.secondFactors.changed(await rowOf(), { change: 'added', method: 'badge', undo () {} }),
    'a factor is removed': async () => badges.kit.secondFactors.changed(await rowOf(), { change: 'removed', method: 'badge' }),
    'the session of the device ends': async () => {
      const [session] = await badges.kit.sessions.list(user)
      await badges.kit.sessions.end(user, { id: session?.id ?? '' })
    }
  }
  for (const [name, end] of Object.entries(ends)) {
    const jar = await trust()
    t.equal(await attempt(jar), 204)
    await end(jar)
    t.equal(await attempt(jar), 403, name)
    t.strictSame(await app.users.trustedDevices(user), [], name)
  }
  const jar = await trust()
  await jar.send(built, 'POST', '/auth/cookie/logout')
  t.equal(await attempt(jar), 204, 'a logout keeps the trust')
})

t.test('the cookie of another user skips nothing, and a planted cookie is replaced', async (t) => {
  const { create, badges, trust, attempt } = await serve(t)
  for (const email of [ARTHUR, 'mordred@camelot.bt']) await badges.add(await create({ email }), NUMBER)
  const attacker = await trust('mordred@camelot.bt')
  const planted = attacker.get('__Host-users-trusted')
  t.equal(await attempt(attacker), 403, 'the browser is trusted for its own user')
  const victim = openJar()
  victim.set('__Host-users-trusted', String(planted))
  await trust(ARTHUR, victim)
  t.not(victim.get('__Host-users-trusted'), planted)
  const thief = openJar()
  thief.set('__Host-users-trusted', String(planted))
  t.equal(await attempt(thief), 403)
  for (const value of ['', 'x', 'x'.repeat(43), '%00', 'a'.repeat(5000)]) {
    const forged = openJar()
    forged.set('__Host-users-trusted', value)
    t.equal(await attempt(forged), 403, value.slice(0, 50))
  }
})

t.test('the policy can demand the factor in every browser', async (t) => {
  let isAllowed: unknown = true
  const { create, badges, trust, attempt, app } = await serve(t, {
    secondFactors: { trustedDevices: { allowed: () => isAllowed as boolean, maxPerUser: 2, lifetimeSeconds: DAY } }
  })
  const user = await create()
  await badges.add(user, NUMBER)
  const jar = await trust()
  isAllowed = false
  t.equal(await attempt(jar), 403)
  const late = await trust()
  t.notOk(late.get('__Host-users-trusted'))
  isAllowed = 'yes'
  t.equal(await attempt(jar), 500)
  isAllowed = true
  t.equal(await attempt(jar), 204)
  const others = [await trust(), await trust()]
  t.equal((await app.users.trustedDevices(user)).length, 2, 'the oldest one ends')
  t.equal(await attempt(jar), 403)
  for (const one of others) t.equal(await attempt(one), 204)
})

t.test('without the option, no device is trusted', async (t) => {
  const built = await serve(t, { secondFactors: {} })
  const { app, create, badges, send, attempt } = built
  const user = await create()
  await badges.add(user, NUMBER)
  const jar = openJar()
  const ticket = ticketOf(await jar.send(built, 'POST', '/auth/cookie/login', { username: ARTHUR, password: PASSWORD }))
  const reply = await jar.send(built, 'POST', '/auth/cookie/login/badge', { ticket, number: NUMBER, trust_device: true })
  t.equal(reply.statusCode, 204)
  t.notOk(jar.get('__Host-users-trusted'))
  t.equal(await attempt(jar), 403)
  t.strictSame(await app.users.trustedDevices(user), [])
  t.equal(await app.users.endTrustedDevices(user), 0)
  t.equal((await send('DELETE', '/users/me/trusted-devices')).statusCode, 404)
})

t.test('a deleted user leaves no device behind', async (t) => {
  const { app, create, badges, trust, attempt } = await serve(t)
  const user = await create()
  await badges.add(user, NUMBER)
  const jar = await trust()
  await app.users.delete(user)
  await badges.add(await create(), NUMBER)
  t.equal(await attempt(jar), 403)
})

t.test('mistakes in the option stop the start', async (t) => {
  for (const trustedDevices of [
    true,
    { lifetime: 1 },
    { lifetimeSeconds: 0 },
    { lifetimeSeconds: 91 * DAY },
    { maxPerUser: 101 },
    { maxPerUser: 1.5 },
    { allowed: true }
  ] as never[]) {
    const built = buildApp(t, { features: [badges()], secondFactors: { trustedDevices } }, () => {})
    await t.rejects(built, { code: /FST_USERS_(INVALID|UNKNOWN)_OPTION/ }, JSON.stringify(trustedDevices))
  }
})

t.test('the API document describes the routes of second factors and trusted devices, and trust_device', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const options: UsersOptions = {
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    features: [badges()],
    secondFactors: { required: () => true, trustedDevices: {} }
  }
  await app.register(swagger, usersOpenapi(options))
  await app.register(users, options)
  await app.ready()
  const document = JSON.parse(JSON.stringify(app.swagger())) as ApiDocument
  t.strictSame(await validateDocument(document), { seriousme: null, readme: null })
  const described = operationsOf(document)
    .filter(({ path }) => /second-factors|trusted-devices/.test(path))
    .map(({ method, path, operation }) => [method, path, operation.operationId, ...Object.keys(operation.responses)])
  t.strictSame(described, [
    ['get', '/users/{id}/second-factors', 'listSecondFactorsOfUser', '200', '401', '403', '404', '500', '503'],
    ['delete', '/users/{id}/second-factors', 'removeSecondFactorsOfUser', '204', '400', '401', '403', '404', '413', '415', '500', '503'],
    ['delete', '/users/{id}/second-factors/{name}', 'removeSecondFactorOfUser', '204', '400', '401', '403', '404', '413', '415', '500', '503'],
    ['get', '/users/me/trusted-devices', 'listTrustedDevices', '200', '401', '403', '500', '503'],
    ['delete', '/users/me/trusted-devices', 'endTrustedDevices', '204', '400', '401', '403', '413', '415', '500', '503'],
    ['delete', '/users/me/trusted-devices/{device}', 'endTrustedDevice', '204', '400', '401', '403', '404', '413', '415', '500', '503'],
    ['get', '/users/{id}/trusted-devices', 'listTrustedDevicesOfUser', '200', '401', '403', '404', '500', '503'],
    ['delete', '/users/{id}/trusted-devices', 'endTrustedDevicesOfUser', '204', '400', '401', '403', '404', '413', '415', '500', '503'],
    ['delete', '/users/{id}/trusted-devices/{device}', 'endTrustedDeviceOfUser', '204', '400', '401', '403', '404', '413', '415', '500', '503']
  ])
  const trusting = Object.entries(document.components.schemas).filter(([, { properties }]) => 'trust_device' in (properties ?? {}))
  t.strictSame(trusting.map(([name]) => name), ['LoginBadgeTrusted', 'LoginBadgeEnrolTrusted'])
  const refused = document.paths['/auth/jwt/login']?.['post']?.responses['403']
  t.match(JSON.stringify(refused), /FST_USERS_SECOND_FACTOR_REQUIRED/)
})
