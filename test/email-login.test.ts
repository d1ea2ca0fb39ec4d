import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { emailLogin, type EmailLoginOptions } from '../lib/features/email-login/index.js'
import { createCodes } from '../lib/features/email-login/code.js'
import { emailLoginModel } from '../lib/features/email-login/model.js'
import { memory } from '../lib/entries/memory.js'
import { currentUser, authenticate, type Feature, type UsersEvents, type UsersOptions } from '../lib/index.js'
import { Type, type LoginStep } from '../lib/feature/index.js'
import { sessions } from '../lib/features/sessions/index.js'
import { watchedAdapter, type WatchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, assertErrorReply, assertValidationError, backends, buildApp, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'

const LANCELOT = 'lancelot@camelot.bt'
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
type Sent = UsersEvents['onAfterRequestEmailLogin']

interface Asked {
  ticket: string
  headers: { cookie?: string }
  /** The event with the contents of the mail, if one is sent. */
  mail: Sent | undefined
}

interface EmailApp extends TestApp {
  store: WatchedAdapter
  /** Asks for a login. */
  ask(backend?: string, email?: string): Promise<Asked>
  confirm(backend: string, body: object, headers?: object): Promise<LightMyRequestResponse>
}

function addMe (app: FastifyInstance): void {
  app.get('/me', { preHandler: authenticate }, async (request) => ({
    email: currentUser(request).email,
    methods: request.authentication?.session.methods
  }))
}

async function startApp (
  t: Test,
  own: EmailLoginOptions = {},
  { features = [], adapter = memory(), ...options }: Partial<UsersOptions> = {}
): Promise<EmailApp> {
  const store = watchedAdapter(adapter)
  const all = { adapter: store.adapter, features: [emailLogin(own), ...features], ...options }
  const built = await buildApp(t, all, addMe)
  return {
    ...built,
    store,
    async ask (backend = 'jwt', email = ARTHUR) {
      built.events.length = 0
      const reply = await built.send('POST', `/auth/${backend}/email`, { email }, { 'user-agent': FIREFOX })
      if (reply.statusCode !== 202) throw new Error(`${reply.statusCode} ${reply.body}`)
      await built.app.users.settled()
      const cookie = reply.headers['set-cookie']
      return {
        ticket: reply.json<{ ticket: string }>().ticket,
        headers: cookie === undefined ? {} : { cookie: String(cookie).split(';')[0] ?? '' },
        mail: built.events.find((event) => event.name === 'onAfterRequestEmailLogin') as Sent | undefined
      }
    },
    confirm: (backend, body, headers = {}) =>
      built.send('POST', `/auth/${backend}/email/confirm`, body, headers as Record<string, string>)
  }
}

/** Returns the reply to `GET /me` with the session of a login. */
async function meOf ({ send }: TestApp, reply: LightMyRequestResponse): Promise<unknown> {
  const headers: Record<string, string> =
    reply.statusCode === 200
      ? { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
      : { cookie: [reply.headers['set-cookie'] ?? []].flat().map((cookie) => cookie.split(';')[0]).join('; ') }
  return (await send('GET', '/me', undefined, headers)).json()
}

function invalid (t: Test, reply: LightMyRequestResponse, name?: string): void {
  assertErrorReply(t, reply, 400, 'EMAIL_LOGIN_INVALID', undefined, name)
}

for (const backend of ['jwt', 'cookie']) {
  t.test(`a mailed code or link logs in once, at the backend ${backend}`, async (t) => {
    const built = await startApp(t)
    await built.create({ is_verified: true })
    for (const way of ['code', 'token'] as const) {
      const { ticket, headers, mail } = await built.ask(backend)
      const proof = way === 'code' ? { ticket, code: mail?.code?.toLowerCase().replace('-', ' ') } : { ticket, token: mail?.token }
      const reply = await built.confirm(backend, proof, headers)
      t.equal(reply.statusCode, backend === 'jwt' ? 200 : 204, way)
      t.same(await meOf(built, reply), { email: ARTHUR, methods: ['email'] })
      t.match(built.events, [{ name: 'onAfterRequestEmailLogin' }, { name: 'onBeforeLogin', method: 'email' }])
      invalid(t, await built.confirm(backend, proof, headers), 'used')
      invalid(t, await built.confirm(backend, { ticket, token: mail?.token, other_browser: true }, headers), 'the other proof too')
    }
    t.same(await built.store.rows('email_login'), [])
  })
}

t.test('LOG-01, RL-04: the replies and the work before them are the same for every e-mail, also for wrong codes', async (t) => {
  const mail = { recipient: { max: 1, seconds: 3600 } }
  const built = await startApp(t, {}, { limits: { store: 'memory', mail, client: { other: false } } })
  await built.create()
  await built.create({ email: 'inactive@camelot.bt', is_active: false })
  await built.create({ email: 'limited@camelot.bt' })
  await built.ask('cookie', 'limited@camelot.bt')
  const seen: unknown[] = []
  for (const email of [ARTHUR, 'nobody@camelot.bt', 'inactive@camelot.bt', 'limited@camelot.bt']) {
    const calls: string[] = []
    built.store.watch(({ method, model, proceed }) => {
      calls.push(`${method} ${model.name}`)
      return proceed()
    })
    const reply = await built.send('POST', '/auth/cookie/email', { email })
    const before = calls.filter((call) => !call.endsWith('counter')).slice(0, 1)
    await built.app.users.settled()
    built.store.watch()
    const { ticket, ...body } = reply.json<{ ticket: string }>()
    const headers = { cookie: String(reply.headers['set-cookie']).split(';')[0] ?? '' }
    t.match(ticket, /^[\w-]{43}$/)
    const answers: unknown[] = []
    const another = (await built.send('POST', '/auth/cookie/email', { email }, headers)).json<{ ticket: string }>().ticket
    for (let n = 0; n < 7; n++) {
      const wrong = await built.confirm('cookie', { ticket: n < 6 ? ticket : another, code: '0000-0000' }, headers)
      answers.push([wrong.statusCode, wrong.json<{ code: string }>().code])
    }
    const names = Object.keys(reply.headers).sort()
    seen.push([reply.statusCode, body, names, String(reply.headers['set-cookie']).replace(/=[\w-]{43};/, '=;'), before, answers])
  }
  for (const each of seen) t.same(each, seen[0])
  t.match(seen[0], [202, { expires_in: 600 }])
  t.match((seen[0] as unknown[]).at(-1), [
    ...Array.from({ length: 6 }, () => [400, 'FST_USERS_EMAIL_LOGIN_INVALID']),
    [429, 'FST_USERS_TOO_MANY_ATTEMPTS']
  ])
  const mails = built.events.filter(({ name }) => name === 'onAfterRequestEmailLogin')
  t.same(mails.map((event) => (event as unknown as Sent).email), ['limited@camelot.bt', ARTHUR], 'one mail each')
  t.match(
    built.events.filter(({ name }) => name === 'onLoginFailed').slice(0, 6).map((event) => ({ ...event })),
    [{ reason: 'WRONG_CODE', username: ARTHUR, user: { email: ARTHUR } }]
  )
})

t.test('VER-09: a code has 40 bits of readable characters, and a ticket allows five codes', async (t) => {
  const { create, digest, isRight } = createCodes({ keysFor: () => [{ secret: 'new' }, { secret: 'old' }] }, 600)
  const codes = Array.from({ length: 500 }, create)
  t.ok(codes.every((code) => /^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/.test(code)))
  t.equal(new Set(codes.join('').replaceAll('-', '')).size, 32, 'all characters of the alphabet')
  t.equal(new Set(codes).size, codes.length)
  const stored = digest('01AB-CDEF', 'request')
  for (const given of ['01AB-CDEF', 'oiab cdef', '0lab-c-d-e-f', ' OIABCDEF ']) t.ok(isRight(given, 'request', stored), given)
  for (const given of ['', '01AB-CDE', '01AB-CDEFF', '11AB-CDEF', 'ſ1AB-CDEF']) t.notOk(isRight(given, 'request', stored), given)
  t.notOk(isRight('01AB-CDEF', 'other', stored), 'another request')
  const before = createCodes({ keysFor: () => [{ secret: 'old' }] }, 600).digest('01AB-CDEF', 'request')
  t.ok(isRight('01AB-CDEF', 'request', before), 'a replaced secret')

  const built = await startApp(t)
  await built.create()
  const { ticket, mail } = await built.ask()
  for (let n = 0; n < 5; n++) invalid(t, await built.confirm('jwt', { ticket, code: `0000-000${n}` }))
  invalid(t, await built.confirm('jwt', { ticket, code: mail?.code }), 'the right code comes too late')
  t.equal((await built.confirm('jwt', { ticket, token: mail?.token })).statusCode, 200, 'a link cannot be guessed, and still works')
})

t.test('RL-09: wrong codes of all tickets count for the account and for its password; the link still works', async (t) => {
  const built = await startApp(t, {}, { limits: { store: 'memory', client: { login: false, other: false } } })
  await built.create({ is_verified: true })
  const tickets = [await built.ask(), await built.ask()]
  const [first, second] = tickets
  for (let n = 0; n < 5; n++) {
    invalid(t, await built.confirm('jwt', { ticket: tickets[n % 2]?.ticket, code: '0000-0000' }))
  }
  const { ticket, mail } = await built.ask('jwt', ARTHUR.toUpperCase())
  const refused = await built.confirm('jwt', { ticket, code: mail?.code })
  t.match([refused.statusCode, Number(refused.headers['retry-after']) > 0], [429, true])
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 429, 'guesses of codes and of passwords share the failures')
  t.equal((await built.confirm('jwt', { ticket: second?.ticket, token: second?.mail?.token })).statusCode, 200)
  invalid(t, await built.confirm('jwt', { ticket: first?.ticket, token: first?.mail?.token }), 'a login ends the other mails')
  built.tick(301)
  const again = await built.ask()
  t.equal((await built.confirm('jwt', { ticket: again.ticket, code: again.mail?.code })).statusCode, 200)
})

t.test('RL-09: wrong passwords of a stranger do not block the mailed code', async (t) => {
  const built = await startApp(t, {}, { limits: { store: 'memory', client: { login: false } } })
  await built.create({ is_verified: true })
  for (let n = 0; n < 6; n++) await built.login('jwt', ARTHUR, 'wrong')
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 429)
  const { ticket, mail } = await built.ask()
  t.equal((await built.confirm('jwt', { ticket, code: mail?.code })).statusCode, 200)
})

t.test('RL-11: mails are limited per recipient, and the reply stays the same', async (t) => {
  const mail = { recipient: { max: 2, seconds: 3600 } }
  const built = await startApp(t, {}, { limits: { store: 'memory', mail } })
  await built.create()
  const sent: boolean[] = []
  for (let n = 0; n < 4; n++) sent.push((await built.ask()).mail !== undefined)
  t.same(sent, [true, true, false, false])
  built.tick(601)
  t.ok((await built.ask()).mail, 'a person whose last mail has expired always gets another one')
})

for (const backend of ['jwt', 'cookie']) {
  t.test(`a link that another browser requested logs in only after a confirmation, at the backend ${backend}`, async (t) => {
    const built = await startApp(t)
    await built.create()
    const { ticket, headers, mail } = await built.ask(backend)
    const other = await built.ask(backend, LANCELOT)
    const token = mail?.token
    for (const [body, sent] of [
      [{ token }, {}],
      [{ token, ticket: other.ticket }, other.headers],
      [{ token, other_browser: false }, {}],
      ...(backend === 'cookie' ? [[{ token, ticket }, {}] as const] : [])
    ] as const) {
      const reply = await built.confirm(backend, body, sent)
      t.equal(reply.statusCode, 409)
      t.match(reply.json(), {
        code: 'FST_USERS_EMAIL_LOGIN_OTHER_BROWSER',
        detail: { code: 'EMAIL_LOGIN_OTHER_BROWSER', email: ARTHUR, device: 'Firefox, Linux', ip: '127.0.0.1', requested_at: /Z$/ }
      })
      t.notOk(reply.headers['set-cookie'])
    }
    // the session belongs to the browser with the link: the one that asked does not get it
    const reply = await built.confirm(backend, { token, other_browser: true })
    t.same(await meOf(built, reply), { email: ARTHUR, methods: ['email'] })
    invalid(t, await built.confirm(backend, { ticket, code: mail?.code }, headers))
  })
}

t.test('a code belongs to its ticket, its browser and its backend', async (t) => {
  const two = [...backends(), { ...backends()[0], name: 'other' }] as UsersOptions['backends']
  const built = await startApp(t, {}, { backends: two })
  await built.create()
  const first = await built.ask('cookie')
  const second = await built.ask('cookie')
  const code = first.mail?.code
  invalid(t, await built.confirm('cookie', { ticket: second.ticket, code }, second.headers), 'another ticket')
  invalid(t, await built.confirm('cookie', { ticket: first.ticket, code }, second.headers), 'another browser')
  invalid(t, await built.confirm('cookie', { ticket: first.ticket, code }), 'no cookie')
  invalid(t, await built.confirm('jwt', { ticket: first.ticket, code }, first.headers), 'another backend')
  const bearer = await built.ask('jwt')
  invalid(t, await built.confirm('other', { ticket: bearer.ticket, code: bearer.mail?.code }))
  invalid(t, await built.confirm('other', { token: bearer.mail?.token, other_browser: true }))
  invalid(t, await built.confirm('jwt', { ticket: bearer.mail?.token, code: bearer.mail?.code }), 'the token is no ticket')
  invalid(t, await built.confirm('jwt', { token: bearer.ticket }), 'the ticket is no token')
  for (const body of [{}, { code }, { ticket: bearer.ticket }, { ticket: '', code: '' }, { token: '' }, { token: 'x' }]) {
    invalid(t, await built.confirm('jwt', body), JSON.stringify(body))
  }
  for (const [body, path] of [
    [{ token: 1 }, '/token'],
    [{ ticket: [bearer.ticket], code }, '/ticket'],
    [{ ticket: bearer.ticket, code: { gt: '' } }, '/code'],
    [{ token: 'x'.repeat(44) }, '/token'],
    [{ token: bearer.mail?.token, other_browser: 'yes' }, '/other_browser']
  ] as const) assertValidationError(t, await built.confirm('jwt', body), [path])
  t.equal((await built.confirm('jwt', { ticket: bearer.ticket, code: bearer.mail?.code })).statusCode, 200)
})

t.test('CSRF-03, CSRF-07: other sites cannot ask or confirm at a cookie backend, and GET uses nothing up', async (t) => {
  const built = await startApp(t)
  await built.create()
  const evil = { origin: 'https://evil.bt', 'sec-fetch-site': 'cross-site' }
  const { ticket, headers, mail } = await built.ask('cookie')
  const refused = [
    await built.send('POST', '/auth/cookie/email', { email: ARTHUR }, evil),
    await built.confirm('cookie', { ticket, code: mail?.code }, { ...headers, ...evil }),
    await built.confirm('cookie', { token: mail?.token, other_browser: true }, evil)
  ]
  for (const reply of refused) assertErrorReply(t, reply, 403, 'CROSS_SITE_REQUEST', 'Forbidden')
  for (const method of ['GET', 'HEAD'] as const) {
    for (const path of ['email', `email/confirm?token=${mail?.token}`]) {
      t.equal((await built.send(method, `/auth/cookie/${path}`, undefined, headers)).statusCode, 404)
    }
  }
  t.equal((await built.confirm('cookie', { token: mail?.token }, headers)).statusCode, 204)
})

t.test('LOG-05: a login verifies the e-mail, and removes the password and sessions of the person who registered it', async (t) => {
  const built = await startApp(t, {}, { requireVerification: true })
  const user = await built.create()
  await built.app.users.update(user, { is_verified: true })
  const former = await built.bearer(ARTHUR)
  await built.app.users.update(user, { is_verified: false })
  const { ticket, mail } = await built.ask()
  const reply = await built.confirm('jwt', { ticket, code: mail?.code })
  t.same(await meOf(built, reply), { email: ARTHUR, methods: ['email'] })
  t.ok(built.events.some(({ name }) => name === 'onAfterVerify'))
  t.equal((await built.send('GET', '/me', undefined, former)).statusCode, 401, 'the former sessions have ended')
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 400, 'the unproved password is gone')

  const verified = await built.create({ email: LANCELOT, is_verified: true })
  const own = await built.ask('jwt', LANCELOT)
  t.equal((await built.confirm('jwt', { ticket: own.ticket, code: own.mail?.code })).statusCode, 200)
  t.equal((await built.login('jwt', LANCELOT)).statusCode, 200, 'a verified user keeps the password')
  t.ok(verified.is_verified)
})

t.test('SES-06: what ends the sessions of a user ends the mailed logins', async (t) => {
  const built = await startApp(t, {}, { limits: false })
  const cases: Record<string, (id: never) => Promise<unknown>> = {
    'a new password': (id) => built.app.users.update(id, { password: 'excalibur-2' }),
    'a new e-mail': (id) => built.app.users.update(id, { email: 'arthur@camelot.bt' }),
    'the former e-mail': (id) => built.app.users.update(id, { email: ARTHUR }),
    'an end of all sessions': (id) => built.app.users.endSessions(id),
    'a deactivation': (id) => built.app.users.update(id, { is_active: false }),
    'a deletion': (id) => built.app.users.delete(id)
  }
  const { id } = await built.create({ is_verified: true })
  for (const [name, change] of Object.entries(cases)) {
    const user = await built.app.users.update(id as never, { is_active: true })
    const { ticket, mail } = await built.ask('jwt', user.email)
    t.ok(mail, name)
    await change(id as never)
    invalid(t, await built.confirm('jwt', { ticket, code: mail?.code }), name)
    invalid(t, await built.confirm('jwt', { token: mail?.token, other_browser: true }), name)
  }
})

t.test('a mail expires after its lifetime', async (t) => {
  const built = await startApp(t, { lifetimeSeconds: 60 })
  await built.create()
  const first = await built.ask()
  built.tick(59)
  t.equal((await built.confirm('jwt', { ticket: first.ticket, code: first.mail?.code })).statusCode, 200)
  const { ticket, mail } = await built.ask()
  built.tick(61)
  invalid(t, await built.confirm('jwt', { ticket, code: mail?.code }))
  invalid(t, await built.confirm('jwt', { ticket, token: mail?.token }))
  await built.ask()
  t.equal((await built.store.rows('email_login')).length, 1, 'expired rows are deleted')
})

t.test('EML-04: mails are sent to the stored e-mail, with what the option send names', async (t) => {
  const built = await startApp(t)
  await built.create()
  t.match((await built.ask('jwt', ARTHUR.toUpperCase())).mail, { email: ARTHUR, user: { email: ARTHUR }, ip: '127.0.0.1', userAgent: FIREFOX })
  t.notOk((await built.ask('jwt', 'kıng.arthur@camelot.bt')).mail)
  for (const [sends, code, token] of [['code', /^.{9}$/, null], ['link', null, /^.{43}$/], ['both', /^.{9}$/, /^.{43}$/]] as const) {
    const one = await startApp(t, { send: sends })
    await one.create()
    const { ticket, mail } = await one.ask()
    t.match(mail, { code, token, lifetimeSeconds: 600 })
    const proof = code === null ? { ticket, token: mail?.token } : { ticket, code: mail?.code }
    t.equal((await one.confirm('jwt', proof)).statusCode, 200)
  }
  const secrets = await startApp(t)
  await secrets.create()
  const { ticket, mail } = await secrets.ask()
  const stored = await secrets.store.dump()
  for (const secret of [ticket, mail?.token, mail?.code]) t.notOk(stored.includes(String(secret)))
})

t.test('with signUp, the first login creates a verified user without a password', async (t) => {
  const built = await startApp(t, { signUp: true })
  const { ticket, mail } = await built.ask('jwt', LANCELOT)
  t.match(mail, { user: null, email: LANCELOT })
  t.equal(await built.app.users.getByEmail(LANCELOT), null, 'nothing is stored before')
  const second = await built.ask('jwt', LANCELOT)
  t.same(await meOf(built, await built.confirm('jwt', { ticket, code: mail?.code })), { email: LANCELOT, methods: ['email'] })
  t.match(await built.app.users.getByEmail(LANCELOT), { is_verified: true, is_superuser: false })
  t.match(built.events.map(({ name }) => name), ['onAfterRequestEmailLogin', 'onBeforeRegister', 'onAfterRegister', 'onBeforeLogin'])
  invalid(t, await built.confirm('jwt', { ticket: second.ticket, code: second.mail?.code }), 'the e-mail has a user now')
  t.notOk((await built.ask('jwt', 'x@localhost.local')).mail, 'no user may have this e-mail')

  const off = await startApp(t)
  t.notOk((await off.ask('jwt', LANCELOT)).mail)
})

t.test('REG-01, LOG-06: hooks refuse a sign-up or its login; a refused user is deleted', async (t) => {
  for (const event of ['onBeforeRegister', 'onBeforeLogin', 'onAfterLogin'] as const) {
    const refuse = (): never => {
      throw Object.assign(new Error('no'), { statusCode: 403, code: 'NO' })
    }
    const built = await startApp(t, { signUp: () => ({}) }, { hooks: { [event]: refuse } })
    const { ticket, mail } = await built.ask('jwt', LANCELOT)
    const reply = await built.confirm('jwt', { ticket, code: mail?.code })
    t.equal(reply.statusCode, 403, event)
    t.equal(await built.app.users.getByEmail(LANCELOT), null)
    invalid(t, await built.confirm('jwt', { ticket, code: mail?.code }))
  }
})

t.test('TOTP-05: a second factor follows the mail, and the session exists only after it', async (t) => {
  const step: LoginStep = {
    name: 'pin',
    needed: () => true,
    body: Type.Object({ pin: Type.String() }),
    verify: () => ({ methods: ['pin'] })
  }
  const factor: Feature = { name: 'pins', loginSteps: ['pin'], setup: () => ({ loginSteps: [step] }) }
  const built = await startApp(t, { signUp: true }, { features: [factor] })
  await built.create({ is_verified: true })
  for (const email of [ARTHUR, LANCELOT]) {
    const { ticket, mail } = await built.ask('jwt', email)
    const reply = await built.confirm('jwt', { ticket, code: mail?.code })
    t.equal(reply.statusCode, 403)
    const { detail } = reply.json<{ detail: { ticket: string, steps: object[] } }>()
    t.match(detail, { code: 'LOGIN_STEP_REQUIRED', steps: [{ name: 'pin' }] })
    t.notOk(built.events.some(({ name }) => name === 'onAfterLogin'))
    const done = await built.send('POST', '/auth/jwt/login/pin', { ticket: detail.ticket, pin: '1' })
    t.same(await meOf(built, done), { email, methods: ['email', 'pin'] })
  }
})

for (const { name, options, open } of everyStore) {
  t.test(`${name}: of parallel confirmations in two processes, one logs in`, options, async (t) => {
    const connect = await open(t)
    const first = await startApp(t, {}, { adapter: connect() })
    const second = await startApp(t, {}, { adapter: connect() })
    await first.create({ is_verified: true })
    const { ticket, mail } = await first.ask()
    const replies = await Promise.all([first, second, first, second].flatMap((one, n) => [
      ...(n < 2 ? [one.confirm('jwt', { ticket, code: mail?.code })] : []),
      one.confirm('jwt', { token: mail?.token, other_browser: true })
    ]))
    t.equal(replies.filter(({ statusCode }) => statusCode === 200).length, 1)
    t.ok(replies.every(({ statusCode }) => statusCode === 200 || statusCode === 400))
    t.equal((await first.store.adapter.findMany(emailLoginModel, {}, { limit: 10 })).length, 0)
  })
}

t.test('code uses the same functions without a request', async (t) => {
  const built = await startApp(t, { backends: ['jwt'] })
  await built.create()
  const api = built.app.users.feature('email-login')
  const { ticket } = await api.request(` ${ARTHUR} `, { backend: 'jwt' })
  await built.app.users.settled()
  const sent = built.events.find(({ name }) => name === 'onAfterRequestEmailLogin') as unknown as Sent
  t.match(await api.confirm({ ticket, code: String(sent.code) }, { backend: 'jwt' }), { issued: { token: /./ }, user: { email: ARTHUR } })
  t.match(await api.request('no e-mail', { backend: 'jwt' }), { ticket: /^.{43}$/, expires_in: 600 })
  await t.rejects(api.request(ARTHUR, { backend: 'cookie' }), { code: 'FST_USERS_UNKNOWN_BACKEND' })
  t.equal((await built.send('POST', '/auth/cookie/email', { email: ARTHUR })).statusCode, 404)
  assertValidationError(t, await built.send('POST', '/auth/jwt/email', { email: 'no e-mail' }), ['/email'])
})

t.test('invalid options stop the start', async (t) => {
  for (const own of [
    { send: 'sms' },
    { lifetimeSeconds: 59 },
    { lifetimeSeconds: 601 },
    { send: 'link', lifetimeSeconds: 3601 },
    { lifetimeSeconds: 60.5 },
    { signUp: 'yes' },
    { backends: [] },
    { backends: ['none'] }
  ]) {
    await t.rejects(startApp(t, own as never), { code: 'FST_USERS_INVALID_OPTION' }, JSON.stringify(own))
  }
  await t.rejects(startApp(t, { link: true } as never), { code: 'FST_USERS_UNKNOWN_OPTION' })
})

t.test('remember_me makes the cookie of a login by mail persistent', async (t) => {
  const built = await startApp(t, {}, { features: [sessions({ rememberMe: {} })] })
  await built.create({ is_verified: true })
  for (const rememberMe of [true, false]) {
    const { ticket, headers, mail } = await built.ask('cookie')
    const reply = await built.confirm('cookie', { ticket, code: mail?.code, remember_me: rememberMe }, headers)
    t.equal(reply.statusCode, 204, reply.body)
    const session = [reply.headers['set-cookie']].flat().find((cookie) => String(cookie).includes('users-cookie='))
    t.equal(/max-age/i.test(String(session)), rememberMe, String(session))
  }
})
