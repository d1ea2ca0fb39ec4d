import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { UserDependents } from '../lib/feature/index.js'
import { Type, userSchemas, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { postgres } from '../lib/entries/postgres.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { adminOnly } from '../schemas/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import {
  ARTHUR,
  assertErrorReply,
  assertValidationError,
  backends,
  buildApp,
  comparableReply,
  countedPasswords,
  fastPasswords,
  PASSWORD,
  SECRET,
  type TestApp
} from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { configOf, makePool, needsPostgres } from './helpers/postgres.js'
import { startMailProcess, tally, type ServerProcess } from './helpers/server-process.js'

const MERLIN = 'merlin@camelot.bt'
const COMPLETE = '/auth/register/complete'
const NEW_PASSWORD = 'excalibur-2'

const build = (t: Test, options: Partial<UsersOptions> = {}): Promise<TestApp> =>
  buildApp(t, { registration: 'mail', ...options })

/** Begins a registration and returns the mailed token. */
async function mailedToken ({ send, tokenOf }: TestApp, email = ARTHUR): Promise<string> {
  await send('POST', '/auth/register', { email })
  return await tokenOf('onAfterRequestRegister')
}

/** Returns the names of the events since `from`, and the payloads as JSON. */
async function eventsOf ({ app, events }: TestApp, from = 0): Promise<[string, object][]> {
  await app.users.settled()
  return events.slice(from).map(({ name, ...payload }) => [name, payload])
}

for (const { name, options, open } of everyStore) {
  t.test(`REG-04: ${name}: a registration by mail stores no user until its link sets the password`, options, async (t) => {
    const built = await build(t, { adapter: (await open(t))() })
    const { app, send, login } = built
    const reply = await send('POST', '/auth/register', { email: ' King.Arthur@Camelot.BT ', password: 'attacker-1' })
    t.equal(reply.statusCode, 202)
    t.equal(reply.headers['set-cookie'], undefined, 'the reply does not log in')
    t.equal(await app.users.getByEmail(ARTHUR), null)
    const token = await built.tokenOf('onAfterRequestRegister')
    t.strictSame(await eventsOf(built), [['onAfterRequestRegister', { email: 'King.Arthur@camelot.bt', token }]])
    t.equal((await login('jwt', ARTHUR, 'attacker-1')).statusCode, 400)

    const from = built.events.length
    const completed = await send('POST', COMPLETE, { token, password: PASSWORD })
    t.equal(completed.statusCode, 201)
    t.match(completed.json(), { email: 'King.Arthur@camelot.bt', is_active: true, is_superuser: false, is_verified: true })
    t.equal(completed.headers['set-cookie'], undefined, 'the reply does not log in')
    t.notMatch(completed.body, 'access_token')
    t.strictSame((await eventsOf(built, from)).map(([event]) => event), ['onBeforeRegister', 'onAfterRegister'])
    t.equal((await login('jwt', ARTHUR)).statusCode, 200)
    t.equal((await login('jwt', ARTHUR, 'attacker-1')).statusCode, 400, 'the password of the first request never works')
    assertErrorReply(t, await send('POST', COMPLETE, { token, password: NEW_PASSWORD }), 400, 'REGISTER_BAD_TOKEN')
    t.equal((await login('jwt', ARTHUR, NEW_PASSWORD)).statusCode, 400)
    const user = await app.users.getByEmail(ARTHUR)
    if (user === null) throw new Error('no Arthur')
    await app.users.delete(user)
    assertErrorReply(t, await send('POST', COMPLETE, { token, password: PASSWORD }), 400, 'REGISTER_BAD_TOKEN')
    t.equal(await app.users.getByEmail(ARTHUR), null, 'a used token stays used after the user was deleted')
  })

  t.test(`RACE-01: ${name}: of parallel uses of the links of one e-mail, exactly one creates the user`, options, async (t) => {
    const adapterOf = await open(t)
    const [one, two] = [await build(t, { adapter: adapterOf() }), await build(t, { adapter: adapterOf() })]
    for (let round = 0; round < 3; round++) {
      const email = `knight-${round}@camelot.bt`
      const tokens = [await mailedToken(one, email), await mailedToken(two, email)]
      const replies = await Promise.all(
        Array.from({ length: 12 }, (_, n) =>
          (n % 2 === 0 ? one : two).send('POST', COMPLETE, { token: tokens[n % 3 === 0 ? 1 : 0], password: `${PASSWORD}-${n}` })
        )
      )
      t.same(tally(replies), { 201: 1, '400 REGISTER_BAD_TOKEN': 11 })
      const logins = await Promise.all(replies.map((_, n) => two.login('jwt', email, `${PASSWORD}-${n}`)))
      t.same(
        logins.map(({ statusCode }) => statusCode === 200),
        replies.map(({ statusCode }) => statusCode === 201),
        'only the password of the winner works'
      )
    }
  })
}

t.test('REG-02: the reply, the reads and the hashes are the same for a new and a known e-mail', async (t) => {
  const { passwords, calls } = countedPasswords()
  const reads: string[] = []
  const store = watchedAdapter(memory())
  const { send, create, app } = await build(t, { adapter: store.adapter, passwords })
  await create({ is_verified: true })
  await create({ email: MERLIN, is_active: false })
  const seen: object[] = []
  for (const email of ['nimue@avalon.bt', ARTHUR, ARTHUR.toUpperCase(), MERLIN]) {
    calls.length = 0
    reads.length = 0
    let isReplied = false
    store.watch(({ method, model, proceed }) => {
      if (!isReplied) reads.push(`${method} ${model.name}`)
      return proceed()
    })
    const reply = await send('POST', '/auth/register', { email })
    isReplied = true
    seen.push({ reply: comparableReply(reply), reads: new Set(reads) })
    await app.users.settled()
    t.strictSame(calls, [], 'no password is hashed')
  }
  for (const one of seen) t.strictSame(one, seen[0])
})

t.test('REG-03: the owner of a known e-mail is informed, and the account does not change', async (t) => {
  const built = await build(t)
  const { app, send, create, events } = built
  const arthur = await create({ is_verified: true })
  const before = await app.users.getByEmail(ARTHUR)
  const from = events.length
  t.equal((await send('POST', '/auth/register', { email: 'KING.ARTHUR@camelot.bt' })).statusCode, 202)
  t.strictSame(await eventsOf(built, from), [['onRegisterExisting', { user: arthur, attempt: 'register' }]])
  t.strictSame(await app.users.getByEmail(ARTHUR), before)
})

t.test('a link stops working when its e-mail gets an account in another way, and when it expires', async (t) => {
  const built = await build(t, { tokens: { register: { lifetimeSeconds: 600 } } })
  const { app, send, tick, create } = built
  const token = await mailedToken(built)
  const arthur = await create()
  assertErrorReply(t, await send('POST', COMPLETE, { token, password: NEW_PASSWORD }), 400, 'REGISTER_BAD_TOKEN')
  t.same(await app.users.get(arthur.id), arthur, 'the account is unchanged')
  await app.users.delete(arthur)
  assertErrorReply(t, await send('POST', COMPLETE, { token, password: PASSWORD }), 400, 'REGISTER_BAD_TOKEN')

  const other = await mailedToken(built)
  tick(599)
  const late = await mailedToken(built, MERLIN)
  tick(1)
  assertErrorReply(t, await send('POST', COMPLETE, { token: other, password: PASSWORD }), 400, 'REGISTER_BAD_TOKEN')
  t.equal((await send('POST', COMPLETE, { token: late, password: PASSWORD })).statusCode, 201)
})

t.test('CFG-03: a link completes only a registration, and no other token completes one', async (t) => {
  const built = await build(t, { tokens: { undo: {} }, revealExistingAccounts: true })
  const { app, send, create, tokenOf } = built
  const token = await mailedToken(built)
  const merlin = await create({ email: MERLIN, is_verified: true })
  await app.users.update(merlin, { email: 'emrys@camelot.bt' }, { by: 'self' })
  const { authorization } = await built.bearer('emrys@camelot.bt')
  await app.users.forgotPassword('emrys@camelot.bt')
  const others: Record<string, unknown> = {
    'a reset token': await tokenOf('onAfterForgotPassword'),
    'an undo token': await tokenOf('onAfterEmailChange'),
    'a session token': authorization.slice('Bearer '.length),
    'an unknown token': 'A'.repeat(43),
    'a longer token': `${token}A`,
    'a shorter token': token.slice(1),
    'a token with white space': ` ${token}`,
    'a token in another case': token.toUpperCase() === token ? token.toLowerCase() : token.toUpperCase(),
    'a NUL': '\0'.repeat(43),
    'an unpaired surrogate': '\ud800'.repeat(43),
    'an operator of MongoDB as text': '{"$ne":null}',
    'a prototype': '__proto__'
  }
  for (const [what, value] of Object.entries(others)) {
    assertErrorReply(t, await send('POST', COMPLETE, { token: value, password: PASSWORD }), 400, 'REGISTER_BAD_TOKEN', undefined, what)
  }
  for (const value of [null, 1, true, {}, [], [token], { $ne: null }, { token }, '']) {
    assertValidationError(t, await send('POST', COMPLETE, { token: value, password: PASSWORD }), ['/token'], JSON.stringify(value))
  }
  assertValidationError(t, await send('POST', COMPLETE, { password: PASSWORD }), ['/token'])
  assertValidationError(t, await send('POST', COMPLETE, { token }), ['/password'])
  for (const [url, body, word] of [
    ['/auth/reset-password', { token, password: PASSWORD }, 'RESET_PASSWORD_BAD_TOKEN'],
    ['/auth/verify', { token }, 'VERIFY_USER_BAD_TOKEN'],
    ['/auth/undo-email-change', { token }, 'UNDO_EMAIL_CHANGE_BAD_TOKEN']
  ] as const) assertErrorReply(t, await send('POST', url, body), 400, word)
  t.equal((await send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })).statusCode, 401)
  t.equal((await send('POST', COMPLETE, { token, password: PASSWORD })).statusCode, 201, 'the token is still valid')
})

t.test('REG-01: the e-mail comes from the link, and flags of the body are ignored', async (t) => {
  const built = await build(t)
  const { send } = built
  const token = await mailedToken(built)
  const reply = await send('POST', COMPLETE, {
    token,
    password: PASSWORD,
    email: MERLIN,
    id: 'f4f54ff1-0b3f-4a5c-9c8c-0123456789ab',
    is_superuser: true,
    is_active: false,
    is_verified: false,
    hashed_password: 'x',
    session_stamp: 'x'
  })
  t.equal(reply.statusCode, 201)
  t.match(reply.json(), { email: ARTHUR, is_superuser: false, is_active: true, is_verified: true })
  t.not(reply.json<{ id: string }>().id, 'f4f54ff1-0b3f-4a5c-9c8c-0123456789ab')
})

t.test('EML-05: a registration by mail accepts one plain e-mail, and sends nothing otherwise', async (t) => {
  const built = await build(t)
  const { send, app } = built
  const hostile: unknown[] = [
    '', ' ', 'a', 'a@', '@b.bt', 'a@b', 'Arthur <a@b.bt>', 'a@b.bt,c@d.bt', 'a@b.bt;c@d.bt', 'a@b.bt c@d.bt',
    'a@b.bt\r\nBcc: c@d.bt', '"a"@b.bt', 'a@[127.0.0.1]', 'a%c@b.bt', 'a!c@b.bt', 'a(x)@b.bt', 'a\0@b.bt', '\ud800@b.bt',
    `${'a'.repeat(65)}@b.bt`, `a@${'b.'.repeat(200)}bt`, 'a@b.localhost', 'a@b.test', null, 1, true, {}, [], ['a@b.bt'],
    { $ne: null }, { email: 'a@b.bt' }
  ]
  for (const email of hostile) {
    assertValidationError(t, await send('POST', '/auth/register', { email }), ['/email'], JSON.stringify(email))
  }
  assertValidationError(t, await send('POST', '/auth/register', {}), ['/email'])
  await t.rejects(app.users.requestRegistration('Arthur <a@b.bt>'), { code: 'FST_USERS_INVALID_USER' })
  t.strictSame(await eventsOf(built), [])
})

t.test('INP-06: no GET or HEAD of the routes uses a link', async (t) => {
  const built = await build(t, { tokens: { undo: {} } })
  const token = await mailedToken(built)
  for (const url of ['/auth/register', COMPLETE, '/auth/undo-email-change']) {
    for (const method of ['GET', 'HEAD'] as const) {
      t.equal((await built.send(method, `${url}?token=${token}&password=${PASSWORD}`)).statusCode, 404, `${method} ${url}`)
    }
  }
  t.equal((await built.send('POST', COMPLETE, { token, password: PASSWORD })).statusCode, 201)
})

t.test('RST-11: a refused password, a refused field and a hook that throws do not use the link up', async (t) => {
  let isRefused = true
  const schemas = userSchemas({
    nickname: Type.String({ minLength: 2 }),
    rank: adminOnly(Type.Integer({ default: 0 }))
  })
  const built = await build(t, {
    schemas,
    hooks: {
      onBeforeRegister () {
        if (isRefused) throw Object.assign(new Error('Not today.'), { statusCode: 402, code: 'PAY_FIRST' })
      }
    }
  })
  const { app, send, events } = built
  const token = await mailedToken(built)
  const complete = (body: object) => send('POST', COMPLETE, { token, password: PASSWORD, nickname: 'Wart', ...body })
  const weak = await complete({ password: 'short' })
  assertErrorReply(t, weak, 400, 'REGISTER_INVALID_PASSWORD', weak.json<{ detail: unknown }>().detail)
  const own = await complete({ password: ARTHUR })
  assertErrorReply(t, own, 400, 'REGISTER_INVALID_PASSWORD', own.json<{ detail: unknown }>().detail)
  assertValidationError(t, await complete({ nickname: undefined }), ['/nickname'])
  assertValidationError(t, await complete({ nickname: 'W' }), ['/nickname'])
  t.equal((await complete({ nickname: 'W\0' })).json<{ code: string }>().code, 'FST_USERS_INVALID_USER')
  t.equal((await complete({})).statusCode, 402)
  t.equal(await app.users.getByEmail(ARTHUR), null)
  isRefused = false
  const reply = await complete({ rank: 9 })
  t.equal(reply.statusCode, 201)
  t.match(reply.json(), { nickname: 'Wart', rank: 0 })
  const before = events.findLast(({ name }) => name === 'onBeforeRegister')
  t.strictSame(before, {
    name: 'onBeforeRegister',
    user: { email: ARTHUR, is_verified: true, nickname: 'Wart' }
  })
})

t.test('REG-09: onBeforeRegister refuses registrations by mail, with a password, by code and through a provider', async (t) => {
  const hooks: UsersOptions['hooks'] = {
    onBeforeRegister () {
      throw Object.assign(new Error('closed'), { statusCode: 403, code: 'CLOSED' })
    }
  }
  const byMail = await build(t, { hooks })
  const token = await mailedToken(byMail)
  t.equal((await byMail.send('POST', COMPLETE, { token, password: PASSWORD })).json<{ code: string }>().code, 'CLOSED')
  await t.rejects(byMail.create(), { code: 'CLOSED' })
  await t.rejects(byMail.app.users.completeRegistration(token, { password: PASSWORD }), { code: 'CLOSED' })
  const withPassword = await buildApp(t, { hooks })
  const reply = await withPassword.send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
  t.equal(reply.json<{ code: string }>().code, 'CLOSED')
  const external = await buildApp(t, {
    hooks,
    features: [
      {
        name: 'external',
        setup: ({ externalUsers }) => ({
          api: async () => {
            const dependents = { rows: [], shorter: () => null } as unknown as UserDependents
            return await externalUsers.create({ email: ARTHUR, is_verified: true }, dependents, {})
          }
        })
      }
    ]
  })
  await t.rejects((external.app.users.feature('external') as () => Promise<unknown>)(), { code: 'CLOSED' })
  for (const { app } of [byMail, withPassword, external]) t.equal(await app.users.getByEmail(ARTHUR), null)
})

t.test('a hook that fails after the registration fails the reply, and the user exists', async (t) => {
  const built = await build(t, {
    hooks: {
      onAfterRegister () {
        throw new Error('canary')
      }
    }
  })
  const token = await mailedToken(built)
  assertErrorReply(t, await built.send('POST', COMPLETE, { token, password: PASSWORD }), 500, 'INTERNAL_ERROR', 'Internal Server Error')
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 200)
  assertErrorReply(t, await built.send('POST', COMPLETE, { token, password: NEW_PASSWORD }), 400, 'REGISTER_BAD_TOKEN')
})

t.test('a link belongs to its tenant, also in one store', async (t) => {
  const adapter = memory()
  const [staff, customers] = [await build(t, { adapter, name: 'staff' }), await build(t, { adapter, name: 'customers' })]
  const token = await mailedToken(staff)
  assertErrorReply(t, await customers.send('POST', COMPLETE, { token, password: PASSWORD }), 400, 'REGISTER_BAD_TOKEN')
  t.equal((await staff.send('POST', COMPLETE, { token, password: PASSWORD })).statusCode, 201)
  t.equal(await customers.app.users.getByEmail(ARTHUR), null)
})

t.test('registration by mail hides accounts by default', async (t) => {
  const hidden = await build(t)
  await hidden.create()
  assertErrorReply(t, await hidden.login('jwt', ARTHUR), 400, 'LOGIN_BAD_CREDENTIALS', undefined, 'not verified')
  const open = await build(t, { revealExistingAccounts: true })
  await open.create()
  t.equal((await open.login('jwt', ARTHUR)).statusCode, 200)
  t.equal((await open.send('POST', '/auth/register', { email: ARTHUR })).statusCode, 202, 'the registration is neutral')
})

t.test('combinations of options that cannot work stop the start', async (t) => {
  const refused: Record<string, [Partial<UsersOptions>, string]> = {
    'an unknown kind': [{ registration: 'sms' as never }, 'FST_USERS_INVALID_OPTION'],
    'the clients of FastAPI Users': [{ compatibility: 'fastapi-users' }, 'FST_USERS_INVALID_OPTION'],
    'a preset': [{ compatibility: { preset: 'fastapi-users', errorStyle: 'fastify' } }, 'FST_USERS_INVALID_OPTION'],
    'a field named token': [{ schemas: userSchemas({ token: Type.String() }) }, 'FST_USERS_INVALID_OPTION'],
    'a lifetime of zero': [{ tokens: { register: { lifetimeSeconds: 0 } } }, 'FST_USERS_INVALID_OPTION'],
    'a lifetime of more than a day': [{ tokens: { register: { lifetimeSeconds: 86_401 } } }, 'FST_USERS_INVALID_OPTION'],
    'a secret': [{ tokens: { register: { secret: SECRET } as never } }, 'FST_USERS_UNKNOWN_OPTION'],
    'no object': [{ tokens: { register: true as never } }, 'FST_USERS_INVALID_OPTION']
  }
  for (const [what, [options, code]] of Object.entries(refused)) await t.rejects(build(t, options), { code }, what)
  await t.resolves(build(t, { compatibility: { errorStyle: 'fastapi', nullBodies: true } }))
  await t.resolves(build(t, { tokens: { register: { lifetimeSeconds: 86_401 } }, allowInsecure: ['longTokens'] }))
  const { app } = await buildApp(t)
  await t.rejects(app.users.requestRegistration(ARTHUR), { code: 'FST_USERS_INVALID_OPTION' })
  await t.rejects(app.users.completeRegistration('x', { password: PASSWORD }), { code: 'FST_USERS_INVALID_OPTION' })
})

t.test('the table of mailed tokens contains no token, and expired tokens are deleted', async (t) => {
  const adapter = memory()
  const built = await build(t, { adapter })
  const token = await mailedToken(built)
  const model = { name: 'single_use', table: 'single_use', fields: {} }
  t.notMatch(JSON.stringify(await adapter.findMany(model, {}, { limit: 10 })), token)
  built.tick(3601)
  await mailedToken(built, MERLIN)
  await built.app.users.settled()
  t.same((await adapter.findMany(model, {}, { limit: 10 })).map(({ data }) => data), [{ email: MERLIN }])
})

const service = await needsPostgres()

t.test('RACE-01, REG-05: exactly one of 40 parallel uses of a link at two processes creates the user', async (t) => {
  async function race (t: Test, servers: readonly ServerProcess[], own: TestApp): Promise<void> {
    const token = await mailedToken(own)
    const replies = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const reply = await servers[n % servers.length]?.post(COMPLETE, { token, password: `${PASSWORD}-${n}` })
        return { statusCode: reply?.status ?? 0, body: (await reply?.text()) ?? '' }
      })
    )
    t.same(tally(replies), { 201: 1, '400 REGISTER_BAD_TOKEN': 39 })
    const winner = replies.findIndex(({ statusCode }) => statusCode === 201)
    t.equal((await own.login('jwt', ARTHUR, `${PASSWORD}-${winner}`)).statusCode, 200)
  }

  await t.test('on SQLite', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'fastify-users-'))
    t.teardown(() => {
      rmSync(folder, { recursive: true })
    })
    const file = join(folder, 'users.db')
    const own = await build(t, { adapter: sqlite(file) })
    await race(t, await Promise.all([startMailProcess(t, 'sqlite', file), startMailProcess(t, 'sqlite', file)]), own)
  })

  await t.test('on PostgreSQL', service, async (t) => {
    const { schema } = await makePool(t)
    const pool = new pg.Pool(configOf(schema))
    t.teardown(() => pool.end())
    const own = await build(t, { adapter: postgres(pool, { createTables: true }) })
    await race(t, await Promise.all([startMailProcess(t, 'postgres', schema), startMailProcess(t, 'postgres', schema)]), own)
  })
})

t.test('the events of one registration carry no password and no hash', async (t) => {
  const built = await build(t, { passwords: fastPasswords, limits: false, backends: backends() })
  const token = await mailedToken(built)
  await built.send('POST', COMPLETE, { token, password: PASSWORD })
  const text = JSON.stringify(await eventsOf(built))
  t.notMatch(text, PASSWORD)
  t.notMatch(text, '$argon2')
})
