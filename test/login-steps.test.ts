import { randomBytes } from 'node:crypto'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import users, {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  usersOpenapi,
  type BackendOptions,
  type DatabaseAdapter,
  type Feature,
  type LoginStep,
  type OfferedStep,
  type Session,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { manualClock } from '../lib/testing/index.js'
import { withSlowReads } from '../lib/testing/slow-reads.js'
import {
  ARTHUR,
  backends,
  buildApp,
  fastPasswords,
  assertValidationError,
  PASSWORD,
  assertErrorReply,
  SECRET,
  storedRows,
  comparableReply,
  type TestApp
} from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { codes, terms, type Codes } from './helpers/login-features.js'
import { connectRedis } from './helpers/redis.js'

const LIFETIME = { lifetimeSeconds: 3600 }
const FORM = 'application/x-www-form-urlencoded'

const { redis, skip } = await connectRedis()

/** A pending login, as its client sees it. */
interface Pending {
  ticket: string
  steps: OfferedStep[]
  /** Headers of the browser; empty without a cookie. */
  headers: Record<string, string>
}

interface Served extends TestApp {
  codes: Codes
  adapter: DatabaseAdapter
  /** Creates a user who needs a second factor, and returns a recovery code. */
  enrol(): Promise<string>
  /** Logs in with the password, and expects a pending login. */
  begin(backend?: string): Promise<Pending>
  answer(
    step: string,
    pending: Pending,
    answer: object,
    more?: { backend?: string; headers?: Record<string, string> }
  ): Promise<LightMyRequestResponse>
  /** Answers with the code that was sent last. */
  finish(pending: Pending, backend?: string): Promise<LightMyRequestResponse>
  /** The session of a login reply, or the status of the guard's reply. */
  sessionOf(reply: LightMyRequestResponse): Promise<Session | number>
}

async function serve (
  t: Test,
  options: Partial<UsersOptions> = {},
  extend: (app: FastifyInstance) => void | Promise<void> = () => {}
): Promise<Served> {
  const adapter = options.adapter ?? memory()
  const built = await buildApp(t, { features: [codes()], ...options, adapter }, async (app) => {
    app.get('/session', { preHandler: authenticate }, async ({ authentication }) => authentication?.session)
    await extend(app)
  })
  const { app, send, login, create } = built
  const api = app.users.feature('codes') as Codes
  const answer: Served['answer'] = (step, { ticket, headers }, body, more = {}) =>
    send('POST', `/auth/${more.backend ?? 'jwt'}/login/${step}`, { ticket, ...body }, { ...headers, ...more.headers })
  return {
    ...built,
    codes: api,
    adapter,
    answer,
    enrol: async () => api.enrol(await create()),
    begin: async (backend = 'jwt') => pendingOf(await login(backend, ARTHUR)),
    finish: (pending, backend = 'jwt') => answer('code', pending, { code: api.sent.at(-1) }, { backend }),
    async sessionOf (reply) {
      const me = await send('GET', '/session', undefined, credentialsOf(reply))
      return me.statusCode === 200 ? me.json<Session>() : me.statusCode
    }
  }
}

/** The pending login of a reply. Throws for another reply. */
function pendingOf (reply: LightMyRequestResponse): Pending {
  const { detail } = reply.json<{ detail: { code: string; ticket: string; steps: OfferedStep[] } }>()
  if (reply.statusCode !== 403 || detail.code !== 'LOGIN_STEP_REQUIRED') throw new Error(reply.body)
  return { ticket: detail.ticket, steps: detail.steps, headers: browserOf(reply) }
}

/** The Cookie header of a browser that received this reply. */
function browserOf (reply: LightMyRequestResponse): Record<string, string> {
  const set = reply.cookies.filter(({ value }) => value !== '')
  return set.length === 0 ? {} : { cookie: set.map(({ name, value }) => `${name}=${value}`).join('; ') }
}

/** The headers with which a client uses the session of a login reply. */
function credentialsOf (reply: LightMyRequestResponse): Record<string, string> {
  if (reply.statusCode !== 200) return browserOf(reply)
  return { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
}

/** A login route in the API document. */
interface DocumentedLogin {
  requestBody: { content: object }
  responses: Record<string, { content: Record<string, { schema: unknown; examples?: object }> }>
}

const names = (steps: readonly OfferedStep[]): string[] => steps.map(({ name }) => name)
const namesOf = (events: TestApp['events']): string[] => events.map(({ name }) => name)

/** Backends of every strategy with both transports, by name. */
const kinds: [name: string, skip: string | false, make: (prefix: string) => BackendOptions['strategy']][] = [
  ['jwt', false, () => jwtStrategy(LIFETIME)],
  ['database', false, () => databaseStrategy(LIFETIME)],
  ['redis', skip, (keyPrefix) => redisStrategy({ client: redis, ...LIFETIME, keyPrefix })]
]

for (const [strategy, skip, make] of kinds) {
  for (const transport of ['bearer', 'cookie'] as const) {
    t.test(`a login with a step at a ${transport} backend with ${strategy} tokens`, { skip }, async (t) => {
      const prefix = `test-${randomBytes(6).toString('hex')}:`
      t.teardown(async () => {
        const keys = strategy === 'redis' ? await redis.keys(`${prefix}*`) : []
        if (keys.length > 0) await redis.del(...keys)
      })
      const clock = manualClock(Date.UTC(2030, 0, 1))
      const { enrol, answer, finish, sessionOf, events, login, adapter } = await serve(t, {
        clock,
        backends: [
          {
            name: 'own',
            transport: transport === 'bearer' ? bearerTransport() : cookieTransport(),
            strategy: make(prefix)
          }
        ]
      })
      await enrol()
      events.length = 0
      const reply = await login('own', ARTHUR)
      t.equal(reply.statusCode, 403)
      const pending = pendingOf(reply)
      t.strictSame(pending.steps, [{ name: 'code', sent_to: 'k…' }, { name: 'recovery' }])
      t.match(pending.ticket, /^[A-Za-z0-9_-]{43}$/)
      t.strictSame(namesOf(events), ['onBeforeLogin'], 'no token is issued')
      t.equal(await sessionOf(reply), 401, 'TOTP-04: what the client has opens nothing')
      if (strategy === 'database') t.strictSame(await storedRows(adapter, 'accesstoken'), [])
      if (strategy === 'redis') t.strictSame(await redis.keys(`${prefix}*`), [])

      events.length = 0
      const wrong = await answer('code', pending, { code: 'wrong' }, { backend: 'own' })
      assertErrorReply(t, wrong, 400, 'CODE_WRONG')
      t.match(events, [{ name: 'onLoginFailed', reason: 'STEP_FAILED', username: ARTHUR, backend: 'own' }])

      clock.tick(60)
      events.length = 0
      const done = await finish(pending, 'own')
      t.equal(done.statusCode, transport === 'bearer' ? 200 : 204, done.body)
      t.strictSame(namesOf(events), ['onIssueToken', 'onAfterLogin'])
      t.match(events.at(-1), { method: 'password', backend: 'own' })
      t.match(await sessionOf(done), {
        methods: ['password', 'otp'],
        authenticatedAt: '2030-01-01T00:01:00.000Z'
      })
      assertErrorReply(t, await finish(pending, 'own'), 400, 'LOGIN_TICKET_INVALID')
    })
  }
}

for (const { name, options, open } of everyStore) {
  t.test(`RACE-01: on ${name}, another process finishes a login, and of parallel right answers one wins`, options, async (t) => {
    const adapterOf = await open(t)
    const one = await serve(t, { adapter: adapterOf() })
    const other = await serve(t, { adapter: adapterOf() })
    const recovery = await one.enrol()
    for (const backend of ['jwt', 'cookie']) {
      const pending = await one.begin(backend)
      assertErrorReply(t, await other.answer('code', pending, { code: 'wrong' }, { backend }), 400, 'CODE_WRONG')
      const code = one.codes.sent.at(-1)
      const served = [one, other, one, other]
      const replies = await Promise.all(served.map(({ answer }) => answer('code', pending, { code }, { backend })))
      const [won = 0, ...lost] = replies.map(({ statusCode }) => statusCode).sort()
      t.equal(won, backend === 'jwt' ? 200 : 204)
      t.strictSame(lost, [400, 400, 400])
      for (const reply of replies) if (reply.statusCode === 400) assertErrorReply(t, reply, 400, 'LOGIN_TICKET_INVALID')
    }
    const pending = await other.begin()
    t.equal((await one.answer('recovery', pending, { code: recovery })).statusCode, 200)
    const again = await other.begin()
    assertErrorReply(t, await one.answer('recovery', again, { code: recovery }), 400, 'CODE_WRONG')
  })

  t.test(`on ${name}, a ticket allows five answers, also in parallel`, options, async (t) => {
    const { enrol, begin, answer, finish } = await serve(t, { adapter: (await open(t))() })
    await enrol()
    const pending = await begin()
    const replies = await Promise.all(Array.from({ length: 9 }, () => answer('code', pending, { code: 'wrong' })))
    const codesOf = replies.map((reply) => reply.json<{ detail: string }>().detail).sort()
    t.strictSame(codesOf, [...Array<string>(5).fill('CODE_WRONG'), ...Array<string>(4).fill('LOGIN_TICKET_INVALID')])
    assertErrorReply(t, await finish(pending), 400, 'LOGIN_TICKET_INVALID')
    t.equal((await finish(await begin())).statusCode, 200, 'a new login has its own answers')
  })
}

t.test('RACE-01: one parallel answer wins on a store whose reads are slow', async (t) => {
  const { enrol, begin, finish } = await serve(t, { adapter: withSlowReads(memory(), 20) })
  await enrol()
  const pending = await begin()
  const replies = await Promise.all([finish(pending), finish(pending), finish(pending)])
  t.strictSame(replies.map(({ statusCode }) => statusCode).sort(), [200, 400, 400])
})

t.test('users without the factor log in as before, and steps reveal nothing before the password is right', async (t) => {
  const plain = await buildApp(t, { features: [] })
  const stepped = await serve(t)
  for (const built of [plain, stepped]) await built.create({ id: undefined })
  await stepped.codes.enrol((await stepped.app.users.getByEmail(ARTHUR)) as never)
  for (const [email, password] of [
    [ARTHUR, 'wrong-password'],
    ['nobody@camelot.bt', PASSWORD]
  ] as const) {
    for (const backend of ['jwt', 'cookie']) {
      const [one, other] = [await plain.login(backend, email, password), await stepped.login(backend, email, password)]
      t.strictSame(comparableReply(one), comparableReply(other), `${email} at ${backend}`)
    }
  }
  await stepped.create({ email: 'lancelot@camelot.bt' })
  t.equal((await stepped.login('jwt', 'lancelot@camelot.bt')).statusCode, 200)
  t.equal(stepped.codes.sent.length, 0, 'no challenge began')
  const inactive = await stepped.create({ email: 'mordred@camelot.bt', is_active: false })
  await stepped.codes.enrol(inactive)
  assertErrorReply(t, await stepped.login('jwt', 'mordred@camelot.bt'), 400, 'LOGIN_BAD_CREDENTIALS')
})

t.test('groups of steps are done in the order of the features, each with its own ticket', async (t) => {
  const { enrol, begin, answer, finish, sessionOf, events, login } = await serve(t, { features: [codes(), terms()] })
  const recovery = await enrol()
  const first = await begin()
  t.strictSame(names(first.steps), ['code', 'recovery'], 'the first group only')
  assertErrorReply(t, await answer('terms', first, { version: 7 }), 400, 'LOGIN_TICKET_INVALID')
  events.length = 0
  const reply = await answer('recovery', first, { code: recovery })
  const second = pendingOf(reply)
  t.strictSame(second.steps, [{ name: 'terms', version: 7 }])
  t.not(second.ticket, first.ticket)
  t.strictSame(namesOf(events), [])
  assertErrorReply(t, await answer('terms', first, { version: 7 }), 400, 'LOGIN_TICKET_INVALID')
  assertErrorReply(t, await finish(first), 400, 'LOGIN_TICKET_INVALID')
  assertErrorReply(t, await finish(second), 400, 'LOGIN_TICKET_INVALID')
  const done = await answer('terms', second, { version: 7 })
  t.match(await sessionOf(done), { methods: ['password', 'recovery'] })
  t.strictSame(names(pendingOf(await login('jwt', ARTHUR)).steps), ['code', 'recovery'])
  t.match(await sessionOf(await finish(await begin())), { methods: ['password', 'otp'] }, 'accepted terms stay accepted')
})

t.test('a step that a user needs since the login began is part of the login', async (t) => {
  const { app, begin, codes: api, create, answer } = await serve(t, { features: [terms(), codes()] })
  const user = await create()
  const pending = await begin()
  t.strictSame(names(pending.steps), ['terms'])
  await api.enrol(user)
  const next = pendingOf(await answer('terms', pending, { version: 7 }))
  t.strictSame(names(next.steps), ['code', 'recovery'])
  await api.withdraw(user)
  t.equal((await answer('code', next, { code: api.sent.at(-1) })).statusCode, 200)
  t.equal((await app.users.login(user, { backend: 'jwt' })).pending, undefined)
})

t.test('INP-02: tickets and bodies of any form never create a session', async (t) => {
  const { enrol, begin, answer, finish, send } = await serve(t, { features: [codes(), terms()] })
  await enrol()
  const pending = await begin()
  const other = await begin()
  const invalid = [
    randomBytes(32).toString('base64url'),
    'a',
    ' ',
    'A'.repeat(43),
    `${pending.ticket} `,
    `${pending.ticket}A`,
    pending.ticket.slice(1),
    pending.ticket.toLowerCase(),
    '../../login',
    '\u0000'.repeat(43),
    "' OR 1=1 --",
    'A'.repeat(8192)
  ]
  for (const ticket of invalid) {
    assertErrorReply(t, await answer('code', { ...pending, ticket }, { code: '1' }), 400, 'LOGIN_TICKET_INVALID', undefined, JSON.stringify(ticket).slice(0, 60))
  }
  for (const [body, paths] of [
    [{ ticket: null, code: '1' }, ['/ticket']],
    [{ ticket: { gt: '' }, code: '1' }, ['/ticket']],
    [{ ticket: [pending.ticket], code: '1' }, ['/ticket']],
    [{ ticket: '', code: '1' }, ['/ticket']],
    [{ ticket: 'A'.repeat(8193), code: '1' }, ['/ticket']],
    [{ code: '1' }, ['/ticket']],
    [{ ticket: pending.ticket }, ['/code']],
    [{ ticket: pending.ticket, code: 1 }, ['/code']],
    [{ ticket: pending.ticket, code: ['1'] }, ['/code']],
    [{ ticket: pending.ticket, code: '' }, ['/code']],
    [{ ticket: pending.ticket, code: '1'.repeat(65) }, ['/code']],
    [[], ['']],
    ['text', ['']],
    [null, ['']]
  ] as const) {
    const reply = await send('POST', '/auth/jwt/login/code', JSON.stringify(body), { 'content-type': 'application/json' })
    assertValidationError(t, reply, paths, JSON.stringify(body).slice(0, 60))
  }
  for (const path of ['code', 'recovery', 'terms']) {
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH'] as const) {
      t.equal((await send(method, `/auth/jwt/login/${path}`)).statusCode, 404, `${method} ${path}`)
    }
  }
  t.equal((await send('POST', '/auth/jwt/login/other', { ticket: pending.ticket })).statusCode, 404)
  assertErrorReply(t, await send('POST', '/auth/jwt/login/code', '{"ticket":', { 'content-type': 'application/json' }), 400, 'BAD_REQUEST', 'Bad Request')
  t.equal((await send('POST', '/auth/jwt/login/code', 'a', { 'content-type': 'text/plain' })).statusCode, 415)
  t.equal((await finish(pending)).statusCode, 400, 'the code belongs to the login that began later')
  t.equal((await finish(other)).statusCode, 403, 'none of these requests counted as an answer')
})

t.test('answers may be forms, as the login', async (t) => {
  const { app, enrol, begin, codes: api } = await serve(t)
  await enrol()
  const send = (contentType: string, payload: string): Promise<LightMyRequestResponse> =>
    app.inject({ method: 'POST', url: '/auth/jwt/login/code', headers: { 'content-type': contentType }, payload })
  const values = async (): Promise<Record<string, string>> => {
    const { ticket } = await begin()
    return { ticket, code: String(api.sent.at(-1)) }
  }
  t.equal((await send(FORM, new URLSearchParams(await values()).toString())).statusCode, 200)
  const parts = Object.entries(await values()).map(
    ([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  )
  t.equal((await send('multipart/form-data; boundary=b', `${parts.join('')}--b--\r\n`)).statusCode, 200)
  const { ticket, code } = await values()
  assertErrorReply(t, await send(FORM, `ticket=${ticket}&ticket=${ticket}&code=${code}`), 400, 'BAD_REQUEST', 'Bad Request')
})

t.test('TOTP-04: a ticket expires after five minutes, or after the longest time of its steps', async (t) => {
  for (const [features, seconds] of [
    [[codes()], 300],
    [[codes({ lifetimeSeconds: 60 })], 300],
    [[codes({ lifetimeSeconds: 600 })], 600]
  ] as const) {
    const clock = manualClock()
    const { enrol, begin, finish } = await serve(t, { clock, features })
    await enrol()
    for (const [wait, statusCode] of [
      [seconds - 1, 200],
      [seconds, 400],
      [seconds * 100, 400]
    ] as const) {
      const pending = await begin()
      clock.tick(wait)
      t.equal((await finish(pending)).statusCode, statusCode, `${wait} of ${seconds}`)
    }
  }
})

t.test('expired tickets are deleted from the store', async (t) => {
  const clock = manualClock()
  const { app, enrol, begin, adapter } = await serve(t, { clock })
  await enrol()
  for (let i = 0; i < 5; i++) await begin()
  clock.tick(301)
  await begin()
  await app.users.settled()
  t.equal((await adapter.findMany({ name: 'single_use', table: 'single_use', fields: {} }, {}, { limit: 9 })).length, 1)
})

t.test('SES-01: the ticket of a cookie backend is bound to the browser', async (t) => {
  const { enrol, begin, answer, finish, login } = await serve(t)
  await enrol()
  const reply = await login('cookie', ARTHUR)
  const [cookie] = reply.cookies
  t.match(cookie, { name: '__Host-users-login', path: '/', httpOnly: true, secure: true, sameSite: 'Lax', maxAge: 600 })
  t.match(cookie?.value, /^[A-Za-z0-9_-]{43}$/)
  const pending = pendingOf(reply)
  const stranger = await begin('cookie')
  const wrongBrowsers = [
    {},
    stranger.headers,
    { cookie: `__Host-users-login=${'A'.repeat(43)}` },
    { cookie: '__Host-users-login=' },
    { cookie: `${pending.headers['cookie']}; __Host-users-login=${'A'.repeat(43)}` },
    { cookie: String(pending.headers['cookie']).replace('__Host-', '') }
  ]
  for (const headers of [...wrongBrowsers, ...wrongBrowsers]) {
    assertErrorReply(t, await finish({ ...pending, headers: headers as Record<string, string> }, 'cookie'), 400, 'LOGIN_TICKET_INVALID', undefined, JSON.stringify(headers))
  }
  assertErrorReply(t, await finish(pending, 'jwt'), 400, 'LOGIN_TICKET_INVALID', undefined, 'another backend')
  const bearer = await begin('jwt')
  t.strictSame(bearer.headers, {}, 'a bearer backend sets no cookie')
  assertErrorReply(t, await finish({ ...bearer, headers: pending.headers }, 'cookie'), 400, 'LOGIN_TICKET_INVALID')
  t.equal((await finish(bearer)).statusCode, 200)
  t.equal((await answer('recovery', pending, { code: 'x' }, { backend: 'cookie' })).json<{ detail: string }>().detail, 'CODE_WRONG', 'no wrong browser used up an answer')
})

t.test('several tabs of one browser can log in at once, and the cookie ends with the last login', async (t) => {
  const { app, enrol, codes: api, answer, login } = await serve(t)
  await enrol()
  const first = pendingOf(await login('cookie', ARTHUR))
  const second = pendingOf(
    await app.inject({
      method: 'POST',
      url: '/auth/cookie/login',
      headers: first.headers,
      payload: { username: ARTHUR, password: PASSWORD }
    })
  )
  t.strictSame(second.headers, first.headers, 'the value is kept')
  const cleared = ({ cookies }: LightMyRequestResponse): boolean =>
    cookies.some(({ name, value }) => name === '__Host-users-login' && value === '')
  const one = await answer('code', first, { code: api.sent[0] }, { backend: 'cookie' })
  t.strictSame([one.statusCode, cleared(one)], [204, false])
  const other = await answer('code', second, { code: api.sent[1] }, { backend: 'cookie' })
  t.strictSame([other.statusCode, cleared(other)], [204, true])
})

t.test('the cookie has the attributes that its session cookie needs', async (t) => {
  for (const [options, allowed, wanted] of [
    [{ sameSite: 'none' }, [], { name: '__Host-users-login', sameSite: 'None', secure: true }],
    [{ sameSite: 'strict' }, [], { name: '__Host-users-login', sameSite: 'Lax', secure: true }],
    [{ secure: false }, ['plainCookies'], { name: 'users-login', sameSite: 'Lax' }]
  ] as const) {
    const { enrol, login, finish } = await serve(t, {
      allowInsecure: allowed,
      backends: [{ name: 'cookie', transport: cookieTransport(options), strategy: jwtStrategy(LIFETIME) }]
    } as never)
    await enrol()
    const reply = await login('cookie', ARTHUR)
    t.match(reply.cookies, [{ ...wanted, httpOnly: true }])
    t.equal((await finish(pendingOf(reply), 'cookie')).statusCode, 204)
  }
})

t.test('CSRF-02: answers from other sites are assertErrorReply at a cookie backend', async (t) => {
  const { enrol, begin, answer, finish } = await serve(t)
  await enrol()
  const pending = await begin('cookie')
  for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://evil.example' }, { 'sec-fetch-site': 'same-site' }]) {
    const reply = await answer('code', pending, { code: '1' }, { backend: 'cookie', headers: headers as never })
    assertErrorReply(t, reply, 403, 'CROSS_SITE_REQUEST', 'Forbidden')
  }
  t.equal((await finish(pending, 'cookie')).statusCode, 204)
  const bearer = await begin()
  const reply = await answer('code', bearer, { code: '1' }, { headers: { 'sec-fetch-site': 'cross-site' } })
  assertErrorReply(t, reply, 400, 'CODE_WRONG')
})

t.test('SES-06: a change of the user ends pending logins', async (t) => {
  const changes: [string, (served: Served, id: never) => Promise<unknown>][] = [
    ['password', ({ app }, id) => app.users.update(id, { password: `${PASSWORD}-new` })],
    ['e-mail', ({ app }, id) => app.users.update(id, { email: 'arthur@camelot.bt' })],
    ['deactivation', ({ app }, id) => app.users.update(id, { is_active: false })],
    [
      'deactivation that is taken back',
      async ({ app }, id) => {
        await app.users.update(id, { is_active: false })
        await app.users.update(id, { is_active: true })
      }
    ],
    ['verification', ({ app }, id) => app.users.update(id, { is_verified: true })],
    ['end of all sessions', ({ app }, id) => app.users.endSessions(id)],
    ['deletion', ({ app }, id) => app.users.delete(id)],
    [
      'deletion and a new user with the same e-mail',
      async ({ app, create }, id) => {
        await app.users.delete(id)
        await create()
      }
    ],
    [
      'password reset',
      async ({ app, tokenOf }) => {
        await app.users.forgotPassword(ARTHUR)
        await app.users.resetPassword(await tokenOf('onAfterForgotPassword'), `${PASSWORD}-new`)
      }
    ]
  ]
  for (const [name, change] of changes) {
    for (const backend of ['jwt', 'cookie']) {
      const served = await serve(t)
      await served.enrol()
      const { id } = (await served.app.users.getByEmail(ARTHUR)) as unknown as { id: never }
      const pending = await served.begin(backend)
      await change(served, id)
      assertErrorReply(t, await served.finish(pending, backend), 400, 'LOGIN_TICKET_INVALID', undefined, `${name} at ${backend}`)
    }
  }
  const served = await serve(t)
  await served.enrol()
  const user = await served.app.users.getByEmail(ARTHUR)
  const pending = await served.begin()
  await served.app.users.update(user as never, { is_superuser: true })
  t.equal((await served.finish(pending)).statusCode, 200, 'other changes do not')
})

t.test('a user who changes while an answer is checked gets no session', async (t) => {
  let meanwhile = async (): Promise<unknown> => null
  const { enrol, begin, finish, sessionOf } = await serve(t, {
    hooks: {
      async onIssueToken () {
        await meanwhile()
      }
    }
  })
  await enrol()
  const pending = await begin()
  const step = await serve(t, {
    features: [
      codes({
        async verify ({ user }) {
          await step.app.users.endSessions(user)
        }
      })
    ]
  })
  await step.enrol()
  assertErrorReply(t, await step.finish(await step.begin()), 400, 'LOGIN_TICKET_INVALID')
  meanwhile = () => Promise.reject(new Error('a hook fails'))
  assertErrorReply(t, await finish(pending), 500, 'INTERNAL_ERROR', 'Internal Server Error')
  assertErrorReply(t, await finish(pending), 400, 'LOGIN_TICKET_INVALID', undefined, 'nothing of the login is left')
  meanwhile = async () => null
  t.type(await sessionOf(await finish(await begin())), 'object')
})

t.test('LOG-08: logout ends the pending logins of the browser', async (t) => {
  const { app, enrol, begin, finish, codes: api, create } = await serve(t)
  await enrol()
  await create({ email: 'lancelot@camelot.bt' })
  const pending = await begin('cookie')
  const inBrowser = (url: string, payload?: object, cookie = pending.headers['cookie']): Promise<LightMyRequestResponse> =>
    app.inject({ method: 'POST', url, headers: { cookie }, ...(payload === undefined ? {} : { payload }) })
  const session = browserOf(await inBrowser('/auth/cookie/login', { username: 'lancelot@camelot.bt', password: PASSWORD }))
  const reply = await inBrowser('/auth/cookie/logout', undefined, `${session['cookie']}; ${pending.headers['cookie']}`)
  t.equal(reply.statusCode, 204)
  t.ok(reply.cookies.some(({ name, value }) => name === '__Host-users-login' && value === ''))
  assertErrorReply(t, await finish(pending, 'cookie'), 400, 'LOGIN_TICKET_INVALID')
  t.equal(api.sent.length, 1)
})

t.test('TOTP-05: a login from code passes the steps, and code can continue it', async (t) => {
  const { app, enrol, codes: api, events } = await serve(t)
  await enrol()
  const user = (await app.users.getByEmail(ARTHUR)) as never
  events.length = 0
  for (const backend of ['jwt', 'cookie']) {
    const { pending, issued } = await app.users.login(user, { backend, method: 'magic-link' })
    t.equal(issued, undefined)
    t.match(pending, { code: 'LOGIN_STEP_REQUIRED', steps: [{ name: 'code' }, { name: 'recovery' }] })
    const answer = { ticket: String(pending?.ticket), step: 'code', answer: { code: api.sent.at(-1) } }
    for (const [changed, context, code] of [
      [{ ticket: 'x' }, { backend }, 'FST_USERS_LOGIN_TICKET_INVALID'],
      [{ ticket: null }, { backend }, 'FST_USERS_LOGIN_TICKET_INVALID'],
      [{ step: 'other' }, { backend }, 'FST_USERS_LOGIN_TICKET_INVALID'],
      [{}, { backend: backend === 'jwt' ? 'cookie' : 'jwt' }, 'FST_USERS_LOGIN_TICKET_INVALID'],
      [{}, { backend: 'other' }, 'FST_USERS_UNKNOWN_BACKEND'],
      [{ answer: {} }, { backend }, 'FST_ERR_VALIDATION'],
      [{ answer: { code: 1 } }, { backend }, 'FST_ERR_VALIDATION'],
      [{ answer: null }, { backend }, 'FST_ERR_VALIDATION'],
      [{ answer: { code: 'wrong' } }, { backend }, 'FST_USERS_CODE_WRONG']
    ] as const) {
      const changedAnswer = { ...answer, ...changed } as never
      await t.rejects(app.users.resumeLogin(changedAnswer, context), { code }, JSON.stringify(changed))
    }
    if (backend === 'cookie') {
      const headers = { cookie: `__Host-users-login=${'A'.repeat(43)}` }
      const reply = await app.inject({ method: 'POST', url: '/auth/cookie/login/code', headers, payload: { ticket: answer.ticket, ...answer.answer } })
      assertErrorReply(t, reply, 400, 'LOGIN_TICKET_INVALID', undefined, 'a login without a browser continues in none')
    }
    const result = await app.users.resumeLogin(answer, { backend })
    t.equal(result.user?.email, ARTHUR)
    t.match(result.issued?.session, { methods: ['magic-link', 'otp'] })
    await t.rejects(app.users.resumeLogin(answer, { backend }), { code: 'FST_USERS_LOGIN_TICKET_INVALID' })
  }
  t.match(events.filter(({ name }) => name === 'onAfterLogin'), [{ method: 'magic-link' }, { method: 'magic-link' }])
})

t.test('onBeforeLogin runs first: its own step has no ticket, and the steps follow when it lets the user pass', async (t) => {
  let asks = true
  const { enrol, login, begin, answer, finish, codes: api, events } = await serve(t, {
    hooks: {
      onBeforeLogin: async () => (asks ? { pending: { code: 'NEW_DEVICE', body: { ticket: 'own' } } } : undefined)
    }
  })
  await enrol()
  const reply = await login('cookie', ARTHUR)
  assertErrorReply(t, reply, 403, 'LOGIN_PENDING', { code: 'NEW_DEVICE', ticket: 'own' })
  t.strictSame([reply.cookies, api.sent], [[], []])
  const own = { ticket: 'own', steps: [], headers: {} }
  assertErrorReply(t, await answer('code', own, { code: '1' }), 400, 'LOGIN_TICKET_INVALID')
  asks = false
  const pending = await begin()
  asks = true
  events.length = 0
  t.equal((await finish(pending)).statusCode, 200, 'it does not run again when the login continues')
  t.notOk(namesOf(events).includes('onBeforeLogin'))
})

t.test('ERR-02: a step that fails or is mistaken creates no session', async (t) => {
  const later = async (): Promise<never> => {
    throw new Error('the sender does not answer')
  }
  for (const [changes, when] of [
    [{ needed: later }, 'begin'],
    [{ needed: () => undefined as never }, 'begin'],
    [{ needed: () => 0 as never }, 'begin'],
    [{ needed: (async () => 'yes') as never }, 'begin'],
    [{ challenge: later }, 'begin'],
    [{ verify: later }, 'answer'],
    [{ verify: () => false as never }, 'answer'],
    [{ verify: () => true as never }, 'answer'],
    [{ verify: () => ({ methods: 'otp' }) as never }, 'answer']
  ] as [Partial<LoginStep>, string][]) {
    const { enrol, login, finish, events } = await serve(t, { features: [codes(changes as never)] })
    await enrol()
    const begun = await login('jwt', ARTHUR)
    const reply = when === 'begin' ? begun : await finish(pendingOf(begun))
    assertErrorReply(t, reply, 500, 'INTERNAL_ERROR', 'Internal Server Error', String(Object.values(changes)))
    t.notOk(namesOf(events).some((name) => ['onIssueToken', 'onAfterLogin', 'onLoginFailed'].includes(name)))
  }
})

t.test('a login without features with steps costs no call more, and has no table', async (t) => {
  const calls: string[] = []
  const adapter = memory()
  const counted = new Proxy(adapter, {
    get (target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        calls.push(`${String(name)} ${(args[0] as { name?: string } | undefined)?.name ?? ''}`)
        return (value as (...args: unknown[]) => unknown).apply(target, args)
      }
    }
  })
  const { app, create, login } = await buildApp(t, { adapter: counted })
  const user = await create()
  await login('cookie', ARTHUR)
  await app.users.endSessions(user)
  t.notOk(calls.some((call) => call.includes('single_use')), calls.join())
})

t.test('ERR-03: replies in the format of FastAPI have the ticket in detail', async (t) => {
  const { enrol, login, finish, answer } = await serve(t, { compatibility: 'fastapi-users' })
  await enrol()
  for (const backend of ['jwt', 'cookie']) {
    const reply = await login(backend, ARTHUR)
    t.equal(reply.statusCode, 403)
    t.strictSame(Object.keys(reply.json()), ['detail'])
    const pending = pendingOf(reply)
    const wrong = await answer('code', pending, { code: 'wrong' }, { backend })
    t.strictSame([wrong.statusCode, wrong.json()], [400, { detail: 'CODE_WRONG' }])
    t.equal((await answer('code', pending, {}, { backend })).statusCode, 422)
    t.ok([200, 204].includes((await finish(pending, backend)).statusCode))
    const used = await finish(pending, backend)
    t.strictSame([used.statusCode, used.json()], [400, { detail: 'LOGIN_TICKET_INVALID' }])
  }
})

t.test('the API document describes the pending reply and the routes of the steps', async (t) => {
  for (const compatibility of [undefined, 'fastapi-users'] as const) {
    const features = [codes(), terms()]
    const options: UsersOptions = {
      adapter: memory(),
      secret: SECRET,
      backends: backends(),
      features,
      passwords: fastPasswords,
      limits: false,
      ...(compatibility === undefined ? {} : { compatibility })
    }
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(swagger, usersOpenapi(options) as never)
    await app.register(users, options)
    await app.ready()
    const { paths, components } = app.swagger() as unknown as {
      paths: Record<string, { post: DocumentedLogin }>
      components: { schemas: Record<string, unknown> }
    }
    for (const backend of ['jwt', 'cookie']) {
      for (const path of ['', '/code', '/recovery', '/terms']) {
        const { content } = paths[`/auth/${backend}/login${path}`]?.post.responses['403'] ?? {}
        const { schema, examples } = content?.['application/json'] ?? {}
        const { anyOf } = schema as { anyOf: object[] }
        t.strictSame(anyOf.at(-1), { $ref: '#/components/schemas/LoginPending' }, `${backend}${path}`)
        t.match(examples, { FST_USERS_LOGIN_PENDING: { value: { detail: { ticket: String } } } })
      }
      const { requestBody, responses } = paths[`/auth/${backend}/login/terms`]?.post ?? {}
      t.strictSame(Object.keys(requestBody?.content ?? {}), [FORM, 'multipart/form-data', 'application/json'])
      t.match(Object.keys(responses ?? {}), [backend === 'jwt' ? '200' : '204', '400', '403'])
      t.match(JSON.stringify(paths[`/auth/${backend}/login/code`]?.post.responses['400']), /CODE_WRONG.*LOGIN_TICKET_INVALID|LOGIN_TICKET_INVALID.*CODE_WRONG/)
    }
    const { LoginPending, LoginTerms } = components.schemas
    t.match(LoginPending, {
      properties: {
        detail: {
          required: ['code', 'ticket', 'steps'],
          properties: {
            code: { enum: ['LOGIN_STEP_REQUIRED'] },
            steps: { items: { properties: { name: { enum: ['code', 'recovery', 'terms'] } } } }
          }
        }
      }
    })
    t.match(LoginTerms, { required: ['ticket', 'version'], properties: { ticket: { type: 'string' }, version: {}, note: {} } })
  }
})

t.test('CFG-01: login steps that are not valid refuse to start', async (t) => {
  const step = { name: 'code', needed: () => false, body: codes, verify: () => {} }
  const Body = { type: 'object', properties: {} }
  const valid = { ...step, body: Body }
  const feature = (loginSteps: unknown, returned: unknown = loginSteps, more: object = {}): Feature =>
    ({ name: 'a', loginSteps, setup: () => ({ loginSteps: returned }), ...more }) as never
  const cases: [readonly Feature[], string][] = [
    [[feature('code', [valid])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['Code'], [{ ...valid, name: 'Code' }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['a/b'], [])], 'FST_USERS_INVALID_OPTION'],
    [[feature([''], [])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], undefined)], 'FST_USERS_INVALID_OPTION'],
    [[feature([], [valid])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code', 'code'], [valid, valid])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [valid]), { ...feature(['code'], [valid]), name: 'b' }], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], 'code')], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [null])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, neded: true }])], 'FST_USERS_UNKNOWN_OPTION'],
    [[feature(['code'], [{ ...valid, needed: true }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, challenge: {} }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, verify: undefined }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, group: '' }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, body: undefined }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, body: { type: 'string' } }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, body: { type: 'object', properties: { ticket: {} } } }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, lifetimeSeconds: 0 }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, lifetimeSeconds: 601 }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, lifetimeSeconds: 1.5 }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, errors: ['NO_SUCH_CODE'] }])], 'FST_USERS_INVALID_OPTION'],
    [[feature(['code'], [{ ...valid, errors: 'CODE' }])], 'FST_USERS_INVALID_OPTION']
  ]
  for (const [features, code] of cases) {
    const app = Fastify()
    t.teardown(() => app.close())
    const options = { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords, features }
    await t.rejects(async () => await app.register(users, options as UsersOptions), { code }, JSON.stringify(features))
  }
  await buildApp(t, { features: [feature(['code'], [valid])] })
})

t.test('without the routes of the group auth, code can offer the steps on its own routes', async (t) => {
  const { app, send, create } = await buildApp(t, { features: [codes()], routes: { auth: false } })
  const api = app.users.feature('codes') as Codes
  const user = await create()
  await api.enrol(user)
  t.equal((await send('POST', '/auth/jwt/login/code', {})).statusCode, 404)
  const { pending } = await app.users.login(user, { backend: 'jwt' })
  const answer = { ticket: String(pending?.ticket), step: 'code', answer: { code: api.sent[0] } }
  t.type((await app.users.resumeLogin(answer, { backend: 'jwt' })).issued?.token, 'string')
})

t.test('a feature continues a login at its own step without an answer, and at no other', async (t) => {
  const link: Feature = {
    name: 'link',
    loginSteps: ['link'],
    setup: ({ login }) => ({
      loginSteps: [
        {
          name: 'link',
          needed: () => true,
          body: { type: 'object', properties: {} } as never,
          verify () {
            throw new Error('only the link counts')
          }
        }
      ],
      api: login
    })
  }
  const { app, create, begin } = await serve(t, { features: [codes(), link] })
  const { resume } = app.users.feature('link') as { resume: (...args: unknown[]) => Promise<{ issued?: { session?: Session } }> }
  const user = await create()
  const pending = await begin()
  t.strictSame(names(pending.steps), ['link'])
  await t.rejects(resume('x', 'link', { backend: 'jwt' }), { code: 'FST_USERS_LOGIN_TICKET_INVALID' })
  await t.rejects(resume(pending.ticket, 'code', { backend: 'jwt' }), { code: 'FST_USERS_INVALID_OPTION' })
  const { issued } = await resume(pending.ticket, 'link', { backend: 'jwt' }, { methods: ['mailbox'] })
  t.strictSame(issued?.session?.methods, ['password', 'mailbox'])
  await t.rejects(resume(pending.ticket, 'link', { backend: 'jwt' }), { code: 'FST_USERS_LOGIN_TICKET_INVALID' })
  await (app.users.feature('codes') as Codes).enrol(user)
  const bound = await begin()
  t.strictSame(names(bound.steps), ['code', 'recovery'])
  await t.rejects(resume(bound.ticket, 'link', { backend: 'jwt' }), { code: 'FST_USERS_LOGIN_TICKET_INVALID' }, 'a step that is not offered')
})

t.test('TEN-01: a ticket of one tenant is unknown to another', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const adapter = sqlite(':memory:')
  const pending: Pending[] = []
  for (const name of ['knights', 'merchants']) {
    await app.register(
      async (scope) => {
        await scope.register(users, {
          adapter,
          secret: SECRET,
          backends: backends(),
          passwords: fastPasswords,
          limits: false,
          name,
          features: [codes()]
        })
        scope.addHook('onReady', async () => {
          const user = await scope.users.create({ email: ARTHUR, password: PASSWORD })
          await (scope.users.feature('codes') as Codes).enrol(user)
        })
      },
      { prefix: `/${name}` }
    )
  }
  await app.ready()
  for (const name of ['knights', 'merchants']) {
    const payload = { username: ARTHUR, password: PASSWORD }
    pending.push(pendingOf(await app.inject({ method: 'POST', url: `/${name}/auth/cookie/login`, payload })))
  }
  const [knights, merchants] = pending as [Pending, Pending]
  t.match(knights.headers['cookie'], /^__Host-knights-login=/)
  for (const headers of [knights.headers, merchants.headers]) {
    const payload = { ticket: knights.ticket, code: 'wrong' }
    const reply = await app.inject({ method: 'POST', url: '/merchants/auth/cookie/login/code', headers, payload })
    assertErrorReply(t, reply, 400, 'LOGIN_TICKET_INVALID')
  }
})
