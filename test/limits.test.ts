import Fastify, { type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { clientOf } from '../lib/attempts/client-address.js'
import { createMemoryCounters } from '../lib/attempts/memory-counters.js'
import users, { refuse, type LimitsOptions, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { manualClock } from '../lib/testing/index.js'
import { codes } from './helpers/login-features.js'
import {
  ARTHUR,
  assertErrorReply,
  backends,
  buildApp,
  comparableReply,
  countedPasswords,
  fastPasswords,
  PASSWORD,
  SECRET,
  type TestApp
} from './helpers/build-app.js'
import { failLogins } from './helpers/fail-logins.js'

const LANCELOT = 'lancelot@camelot.bt'
const UNKNOWN = 'mordred@camelot.bt'
/** Only the limits of accounts. */
const ACCOUNTS: LimitsOptions = { client: { login: false } }
/** Accounts without windows: only failures in a row matter. */
const IN_A_ROW: LimitsOptions = { client: { login: false }, account: { failures: false, delay: false } }

interface LimitedApp extends TestApp {
  /** Fails to log in several times, and waits for work after the replies. */
  fail(times: number, email?: string): Promise<number[]>
  from(ip: string, url: string, payload: object): Promise<LightMyRequestResponse>
}

/** The clock of the application stands still, so that no window ends during a test. */
async function start (t: Test, limits: LimitsOptions = {}, options: Partial<UsersOptions> = {}): Promise<LimitedApp> {
  const clock = manualClock()
  const built = await buildApp(t, { limits, clock, ...options })
  return {
    ...built,
    tick: clock.tick,
    fail: (times, email = ARTHUR) => failLogins(built, times, email),
    from: (remoteAddress, url, payload) => built.app.inject({ method: 'POST', url, payload, remoteAddress })
  }
}

const times = (count: number, status: number): number[] => Array.from({ length: count }, () => status)

t.test('RL-01: every public route is limited per client, and replies 429 with the time to wait', async (t) => {
  const routes: [string, object, number, number][] = [
    ['/auth/jwt/login', { username: UNKNOWN, password: 'wrong' }, 400, 10],
    ['/auth/register', { email: UNKNOWN, password: 'short' }, 400, 20],
    ['/auth/forgot-password', { email: UNKNOWN }, 202, 20],
    ['/auth/request-verify-token', { email: UNKNOWN }, 202, 20],
    ['/auth/reset-password', { token: 'x', password: PASSWORD }, 400, 20],
    ['/auth/verify', { token: 'x' }, 400, 20],
    ['/auth/jwt/login/code', { ticket: 'x', code: '1' }, 400, 10]
  ]
  for (const [url, payload, status, max] of routes) {
    const { from, tick, app } = await start(t, { account: { failures: false, delay: false } }, { features: [codes()] })
    const send = (): Promise<LightMyRequestResponse> => from('192.0.2.1', url, payload)
    for (let n = 0; n < max; n++) t.equal((await send()).statusCode, status, `${url} ${n}`)
    const reply = await send()
    assertErrorReply(t, reply, 429, 'TOO_MANY_ATTEMPTS')
    t.equal(reply.headers['retry-after'], '60', url)
    t.equal(reply.headers['ratelimit-policy'], `"client";q=${max};w=60`, url)
    t.equal(reply.headers['ratelimit'], '"client";r=0;t=60', url)
    t.equal((await from('192.0.2.2', url, payload)).statusCode, status, `${url}: another client`)
    tick(60)
    t.equal((await send()).statusCode, status, `${url}: after the wait`)
    await app.users.settled()
  }
})

t.test('RL-01, RL-04: an account takes 5 failures in 5 minutes and 10 in 15 minutes, existing or not', async (t) => {
  const { create, fail, login, tick } = await start(t, ACCOUNTS)
  await create()
  t.strictSame(await fail(6), [...times(5, 400), 429])
  t.strictSame(await fail(6, UNKNOWN), [...times(5, 400), 429])
  const refused = await login('jwt', ARTHUR)
  assertErrorReply(t, refused, 429, 'TOO_MANY_ATTEMPTS')
  t.equal(refused.headers['ratelimit-policy'], '"account";q=5;w=300')
  t.strictSame(comparableReply(refused), comparableReply(await login('jwt', UNKNOWN)))
  tick(300)
  t.strictSame(await fail(6), [...times(5, 400), 429])
  tick(300)
  const third = await login('jwt', ARTHUR)
  assertErrorReply(t, third, 429, 'TOO_MANY_ATTEMPTS')
  t.equal(third.headers['ratelimit-policy'], '"account";q=10;w=900')
  tick(301)
  t.equal((await login('jwt', ARTHUR)).statusCode, 200, 'after 15 minutes')
})

t.test('RL-01: while a limit holds, the right and the wrong password get the same reply', async (t) => {
  const { create, fail, login } = await start(t, ACCOUNTS)
  await create()
  await fail(5)
  const [right, wrong] = [await login('jwt', ARTHUR), await login('jwt', ARTHUR, 'wrong')]
  t.equal(right.statusCode, 429)
  t.strictSame(comparableReply(right), comparableReply(wrong))
})

t.test('RL-02: of many simultaneous wrong logins, only the allowed ones are checked', async (t) => {
  const { passwords, calls } = countedPasswords()
  const { create, login } = await start(t, ACCOUNTS, { passwords })
  await create()
  calls.length = 0
  const replies = await Promise.all(Array.from({ length: 200 }, () => login('jwt', ARTHUR, 'wrong')))
  t.equal(replies.filter(({ statusCode }) => statusCode === 400).length, 5)
  t.equal(replies.filter(({ statusCode }) => statusCode === 429).length, 195)
  t.equal(calls.length, 5, 'passwords are checked after the attempt was counted')
})

t.test('RL-03: spellings of one e-mail share one budget', async (t) => {
  const spellings = [
    ARTHUR,
    ARTHUR.toUpperCase(),
    ` ${ARTHUR}`,
    `${ARTHUR}\n`,
    'King.Arthur@CAMELOT.bt'
  ]
  const { create, fail } = await start(t, ACCOUNTS)
  await create()
  for (const spelling of spellings) t.strictSame(await fail(1, spelling), [400], JSON.stringify(spelling))
  t.strictSame(await fail(1), [429])
  t.strictSame(await fail(5, 'jose\u0301@b\u00fccher.example'), times(5, 400))
  t.strictSame(await fail(1, 'jos\u00e9@xn--bcher-kva.example'), [429], 'another Unicode form, and the domain in ASCII')
})

t.test('RL-07: a login forgets the failures of its account, and the client keeps its failures', async (t) => {
  const { create, fail, login, app } = await start(t)
  await create()
  await create({ email: LANCELOT })
  for (let round = 0; round < 2; round++) {
    t.strictSame(await fail(4), times(4, 400))
    t.equal((await login('jwt', ARTHUR)).statusCode, 200)
    await app.users.settled()
  }
  t.equal((await login('jwt', LANCELOT)).statusCode, 200, 'logins do not count as failures of the client')
  await app.users.settled()
  t.strictSame(await fail(3, LANCELOT), [400, 400, 429], 'ten failures of the client in a minute')
})

t.test('RL-07: a right password of an inactive user counts as a failure, like a wrong one', async (t) => {
  for (const [flags, options] of [
    [{ is_active: false }, {}],
    [{ is_verified: false }, { revealExistingAccounts: false }]
  ] as const) {
    const { create, login, app } = await start(t, ACCOUNTS, options)
    await create(flags)
    const statuses: number[] = []
    for (let n = 0; n < 6; n++) {
      statuses.push((await login('jwt', ARTHUR)).statusCode)
      await app.users.settled()
    }
    t.strictSame(statuses, [...times(5, 400), 429])
  }
})

t.test('RL-08: limits belong to routes, not to the text of URLs', async (t) => {
  const app = Fastify({
    routerOptions: {
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
      caseSensitive: false
    }
  })
  t.teardown(() => app.close())
  await app.register(
    async (scope) => {
      await scope.register(users, { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords })
    },
    { prefix: '/api' }
  )
  await app.ready()
  const spellings = ['/api/auth/verify', '/api/auth/%76erify', '//api//auth/verify', '/api/auth/verify/', '/API/auth/Verify']
  const statuses: number[] = []
  for (let n = 0; n < 21; n++) {
    const url = spellings[n % spellings.length] ?? ''
    statuses.push((await app.inject({ method: 'POST', url, payload: { token: 'x' } })).statusCode)
  }
  t.strictSame(statuses, [...times(20, 400), 429])
})

t.test('RL-05, RL-06: a client is an IPv4 address or an IPv6 network of 64 bits', async (t) => {
  const same: [string, (string | undefined)[]][] = [
    ['192.0.2.1', ['192.0.2.1', '::ffff:192.0.2.1', '::ffff:c000:201', '0:0:0:0:0:FFFF:192.0.2.1', '64:ff9b::192.0.2.1', '192.0.2.1:5678', '[::ffff:192.0.2.1]:80']],
    ['2001:db8:1:2', ['2001:db8:1:2::', '2001:DB8:1:2:0:0:0:1', '2001:0db8:0001:0002:ffff:ffff:ffff:ffff', '2001:db8:1:2::1%eth0', '[2001:db8:1:2::1]:80']],
    ['0:0:0:0', ['::1', '::', '0:0:0:0:0:0:0:1']],
    ['unknown', [undefined, '', 'unknown', '_hidden', '999.1.1.1', '1.2.3', '2001:db8::1::1', '\u0000', '192.0.2.1, 192.0.2.2']]
  ]
  for (const [client, addresses] of same) {
    for (const address of addresses) t.equal(clientOf(address), client, String(address))
  }
  t.not(clientOf('2001:db8:1:2::1'), clientOf('2001:db8:1:3::1'))
})

t.test('RL-05: 1000 IP addresses of one network are one client, and X-Forwarded-For is ignored without a trusted proxy', async (t) => {
  const { from, app } = await start(t)
  const statuses: number[] = []
  for (let n = 0; n < 21; n++) {
    statuses.push((await from(`2001:db8::${(n * 47).toString(16)}`, '/auth/verify', { token: 'x' })).statusCode)
  }
  t.strictSame(statuses, [...times(20, 400), 429])
  const spoofed: number[] = []
  for (let n = 0; n < 21; n++) {
    const headers = { 'x-forwarded-for': `192.0.2.${n}`, forwarded: `for=192.0.2.${n}`, 'x-real-ip': `192.0.2.${n}` }
    const reply = await app.inject({ method: 'POST', url: '/auth/verify', payload: { token: 'x' }, headers })
    spoofed.push(reply.statusCode)
  }
  t.strictSame(spoofed, [...times(20, 400), 429])
})

t.test('RL-05: behind a trusted proxy, the client is the IP address that the proxy added', async (t) => {
  const { app } = await buildApp(t, { limits: {} }, undefined, { trustProxy: '127.0.0.1' })
  const statuses: number[] = []
  for (let n = 0; n < 21; n++) {
    const headers = { 'x-forwarded-for': `203.0.113.${n}, 192.0.2.1` } // the client wrote the first IP address
    statuses.push((await app.inject({ method: 'POST', url: '/auth/verify', payload: { token: 'x' }, headers })).statusCode)
  }
  t.strictSame(statuses, [...times(20, 400), 429])
  const headers = { 'x-forwarded-for': '192.0.2.2' }
  t.equal((await app.inject({ method: 'POST', url: '/auth/verify', payload: { token: 'x' }, headers })).statusCode, 400)
})

t.test('RL-06: requests without an IP address share one budget', async (t) => {
  const { from } = await start(t)
  const statuses: number[] = []
  for (let n = 0; n < 21; n++) statuses.push((await from('', '/auth/verify', { token: 'x' })).statusCode)
  t.strictSame(statuses, [...times(20, 400), 429])
})

t.test('RL-09: wrong current passwords and wrong answers to login steps count as failed logins', async (t) => {
  const own = await start(t, ACCOUNTS, { sensitiveChanges: 'confirm' })
  await own.create()
  const headers = await own.bearer(ARTHUR)
  const change = (current_password: string): Promise<LightMyRequestResponse> =>
    own.send('PATCH', '/users/me', { password: 'excalibur-9', current_password }, headers)
  for (let n = 0; n < 5; n++) assertErrorReply(t, await change('wrong'), 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
  assertErrorReply(t, await change(PASSWORD), 429, 'TOO_MANY_ATTEMPTS')
  assertErrorReply(t, await own.login('jwt', ARTHUR), 429, 'TOO_MANY_ATTEMPTS')
  t.equal((await own.send('GET', '/users/me', undefined, headers)).statusCode, 200, 'the session lives')

  const feature = codes()
  const steps = await start(t, ACCOUNTS, { features: [feature] })
  const user = await steps.create()
  await (steps.app.users.feature('codes') as { enrol(user: object): Promise<string> }).enrol(user)
  for (let n = 0; n < 5; n++) {
    const { ticket } = (await steps.login('jwt', ARTHUR)).json<{ detail: { ticket: string } }>().detail
    await steps.app.users.settled()
    const reply = await steps.send('POST', '/auth/jwt/login/code', { ticket, code: 'wrong' })
    t.equal(reply.statusCode, 400, `the right password forgets no wrong answer: ${n}`)
  }
  assertErrorReply(t, await steps.login('jwt', ARTHUR), 429, 'TOO_MANY_ATTEMPTS')
})

t.test('RL-09, RL-10: failed logins of a stranger block neither the current password nor a login step', async (t) => {
  const built = await start(t, ACCOUNTS, { sensitiveChanges: 'confirm', features: [codes()] })
  const user = await built.create()
  const headers = await built.bearer(ARTHUR)
  const { enrol } = built.app.users.feature('codes') as { enrol(user: object): Promise<string> }
  const recovery = await enrol(user)
  const { ticket } = (await built.login('jwt', ARTHUR)).json<{ detail: { ticket: string } }>().detail
  await built.app.users.settled()
  t.strictSame(await built.fail(6), [...times(5, 400), 429])
  t.equal((await built.send('POST', '/auth/jwt/login/recovery', { ticket, code: recovery })).statusCode, 200)
  const changes = { password: 'excalibur-9', current_password: PASSWORD }
  t.equal((await built.send('PATCH', '/users/me', changes, headers)).statusCode, 200)
})

t.test('RL-10: from the tenth failure in a row on, the wait doubles up to an hour', async (t) => {
  const { create, fail, login, tick } = await start(t, { client: { login: false }, account: { failures: false } })
  await create()
  t.strictSame(await fail(10), times(10, 400))
  for (const wait of [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]) {
    const reply = await login('jwt', ARTHUR)
    t.equal(reply.statusCode, 429)
    t.equal(reply.headers['retry-after'], String(wait))
    tick(wait)
    t.strictSame(await fail(1), [400])
  }
  tick(3600)
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
})

t.test('RL-10: after 100 failures in a row the password is refused until it is reset by mail', async (t) => {
  const built = await start(t, { ...IN_A_ROW, client: { login: false, currentPassword: false } }, { sensitiveChanges: 'confirm' })
  const { create, fail, login, bearer, cookie, send, events, tick, tokenOf, app } = built
  const user = await create()
  const [session, other] = [await bearer(ARTHUR), await cookie(ARTHUR)]
  await app.users.settled()
  t.strictSame(await fail(101), [...times(100, 400), 429])
  const locked = events.filter(({ name }) => name === 'onAccountLocked')
  t.match(locked, [{ user: { email: ARTHUR }, failures: 100 }])
  t.equal(locked.length, 1)
  tick(86_400 * 100)
  assertErrorReply(t, await login('jwt', ARTHUR), 429, 'TOO_MANY_ATTEMPTS')
  tick(-86_400 * 100)
  t.equal((await send('GET', '/users/me', undefined, session)).statusCode, 200, 'sessions live')
  t.equal((await send('GET', '/users/me', undefined, other)).statusCode, 200)
  t.not((await app.users.login(user, { backend: 'jwt', method: 'mail' })).issued, undefined, 'other methods work')
  await app.users.settled()
  assertErrorReply(t, await login('jwt', ARTHUR), 429, 'TOO_MANY_ATTEMPTS')

  t.equal((await send('POST', '/auth/forgot-password', { email: ARTHUR })).statusCode, 202)
  const payload = { token: await tokenOf('onAfterForgotPassword'), password: 'excalibur-9' }
  t.equal((await send('POST', '/auth/reset-password', payload)).statusCode, 200)
  t.equal((await login('jwt', ARTHUR, 'excalibur-9')).statusCode, 200)
})

t.test('RL-10: failures of an unknown e-mail stop, too, but fire no event', async (t) => {
  const account = { failures: false, delay: false, stopAfter: 3 } as const
  const { create, fail, events } = await start(t, { ...IN_A_ROW, account })
  await create({ is_active: false })
  t.strictSame(await fail(4, UNKNOWN), [400, 400, 400, 429])
  t.strictSame(await fail(4), [400, 400, 400, 429])
  t.strictSame(events.filter(({ name }) => name === 'onAccountLocked'), [])
})

t.test('RL-10: an attempt that a hook or a captcha refuses does not count for the account', async (t) => {
  const { create, fail, login } = await start(t, ACCOUNTS, {
    hooks: {
      onLoginAttempt: ({ userAgent }) => {
        if (userAgent === 'lightMyRequest' && refusing) throw refuse(403, 'CAPTCHA', 'Prove that you are human.')
      }
    }
  })
  let refusing = true
  await create()
  t.strictSame(await fail(10), times(10, 403))
  refusing = false
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
})

t.test('RL-11: mails to one recipient are limited; replies stay the same, and a reset is always possible', async (t) => {
  const client = { forgotPassword: false, requestVerify: false } as const
  const { create, send, events, tick, app } = await start(t, { client })
  await create()
  const ask = async (url: string, count: number): Promise<void> => {
    for (let n = 0; n < count; n++) t.equal((await send('POST', url, { email: ARTHUR })).statusCode, 202)
    await app.users.settled()
  }
  const mails = (name: string): number => events.filter((event) => event.name === name).length
  await ask('/auth/request-verify-token', 10)
  t.equal(mails('onAfterRequestVerify'), 5)
  await ask('/auth/forgot-password', 100)
  t.equal(mails('onAfterForgotPassword'), 5, 'five in an hour')
  for (let hour = 0; hour < 8; hour++) {
    tick(3601)
    await ask('/auth/forgot-password', 20)
  }
  // 20 in a day, and then one in the lifetime of its token: the mailbox always has a valid token
  t.equal(mails('onAfterForgotPassword'), 20 + 5)
})

t.test('RL-11: the mails to all recipients together are limited', async (t) => {
  const { create, send, events, app } = await start(t, {
    client: { register: false },
    mail: { all: { max: 3, seconds: 3600 } }
  }, { revealExistingAccounts: false })
  for (let n = 0; n < 6; n++) {
    await create({ email: `knight-${n}@camelot.bt` })
    const body = { email: `knight-${n}@camelot.bt`, password: PASSWORD }
    t.equal((await send('POST', '/auth/register', body)).statusCode, 202)
  }
  await app.users.settled()
  t.equal(events.filter(({ name }) => name === 'onRegisterExisting').length, 3)
})

t.test('RL-12: counters in memory are limited in number', async (t) => {
  const counters = createMemoryCounters(Date.now, 1000)
  let conflicts = 0
  for (let n = 0; n < 1_000_000; n++) if (counters.swap(`key ${n}`, null, '1', 60_000) !== null) conflicts++
  t.equal(conflicts, 0)
  t.equal(counters.size, 1000)
})

t.test('DEP-06: a clock that is set back or forward does not prolong a limit', async (t) => {
  const { create, fail, login, tick } = await start(t, ACCOUNTS)
  await create()
  await fail(5)
  tick(-3600)
  assertErrorReply(t, await login('jwt', ARTHUR), 429, 'TOO_MANY_ATTEMPTS')
  tick(300)
  t.equal((await login('jwt', ARTHUR)).statusCode, 200, 'the window begins at the time of the changed clock')
})

t.test('invalid limits are refused at the start', async (t) => {
  const invalid: [unknown, string][] = [
    [true, 'limits'],
    [{ max: 5 }, 'UNKNOWN'],
    [{ store: 'redis' }, 'limits.store'],
    [{ store: { kind: 'counters' } }, 'limits.store'],
    [{ whenUnavailable: 'allow' }, 'limits.whenUnavailable'],
    [{ client: { logins: false } }, 'UNKNOWN'],
    [{ client: { login: 10 } }, 'limits.client.login'],
    [{ client: { login: [] } }, 'limits.client.login'],
    [{ client: { login: { max: 0, seconds: 60 } } }, 'limits.client.login.max'],
    [{ client: { login: { max: 1.5, seconds: 60 } } }, 'limits.client.login.max'],
    [{ client: { login: { max: 5, seconds: '60' } } }, 'limits.client.login.seconds'],
    [{ client: { login: { max: 5, seconds: 2_592_001 } } }, 'limits.client.login.seconds'],
    [{ client: { login: [{ max: 5, seconds: 60 }, { max: 6, seconds: 60 }] } }, 'limits.client.login'],
    [{ account: { stopAfter: 101 } }, 'limits.account.stopAfter'],
    [{ account: { stopAfter: false } }, 'limits.account.stopAfter'],
    [{ account: { delay: { after: 5 } } }, 'limits.account.delay.seconds'],
    [{ mail: { all: { max: 5, seconds: 60, per: 'ip' } } }, 'UNKNOWN']
  ]
  for (const [limits, text] of invalid) {
    const code = text === 'UNKNOWN' ? 'FST_USERS_UNKNOWN_OPTION' : 'FST_USERS_INVALID_OPTION'
    await t.rejects(buildApp(t, { limits: limits as LimitsOptions }), { code }, JSON.stringify(limits))
  }
})
