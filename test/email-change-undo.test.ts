import { setImmediate as turn } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { User, UserId, UsersOptions } from '../lib/index.js'
import { emailLogin } from '../lib/features/email-login/index.js'
import { memory } from '../lib/entries/memory.js'
import { postgres } from '../lib/entries/postgres.js'
import { manualClock } from '../lib/testing/index.js'
import { withSlowReads } from '../lib/testing/slow-reads.js'
import { ARTHUR, assertErrorReply, assertValidationError, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { oneTimePassword } from './helpers/one-time-password.js'
import { buildWithPasskeys } from './helpers/passkey-app.js'
import { configOf, makePool, needsPostgres } from './helpers/postgres.js'
import { startMailProcess, tally } from './helpers/server-process.js'
import { totpFeatures, type Begun } from './helpers/totp-app.js'

const MORDRED = 'mordred@camelot.bt'
const OTHER = 'mordred@orkney.bt'
const STOLEN = 'mordred-was-here-1'
const NEW_PASSWORD = 'excalibur-2'
const UNDO = '/auth/undo-email-change'
const WEEK = 7 * 86_400

interface Stolen extends TestApp {
  arthur: User
  /** The undo token that was sent to Arthur. */
  token: string
}

const build = (t: Test, options: Partial<UsersOptions> = {}): Promise<TestApp> =>
  buildApp(t, { tokens: { undo: {} }, ...options })

/** Returns the undo token of the newest change, which was sent to `email`. */
async function undoTokenFor ({ app, events }: TestApp, email: string): Promise<string | null> {
  await app.users.settled()
  const event = events.findLast((one) => one.name === 'onAfterEmailChange' && one.previousEmail === email)
  if (event === undefined || event.name !== 'onAfterEmailChange') throw new Error(`no notice for ${email}`)
  return event.token
}

/** An attacker with a session of Arthur has changed the e-mail. */
async function steal (t: Test, options: Partial<UsersOptions> = {}): Promise<Stolen> {
  const built = await build(t, options)
  const arthur = await built.create({ is_verified: true })
  const reply = await built.send('PATCH', '/users/me', { email: MORDRED }, await built.bearer(ARTHUR))
  if (reply.statusCode !== 200) throw new Error(reply.body)
  return { ...built, arthur, token: String(await undoTokenFor(built, ARTHUR)) }
}

for (const { name, options, open } of everyStore) {
  t.test(`VER-06: ${name}: an undo restores the e-mail after further changes, and takes all access away`, options, async (t) => {
    const built = await steal(t, { adapter: (await open(t))() })
    const { app, send, arthur, token, bearer, cookie, login, events, tokenOf } = built
    await send('PATCH', '/users/me', { email: OTHER, password: STOLEN }, await bearer(MORDRED))
    const sessions = [await bearer(OTHER, STOLEN), await cookie(OTHER, STOLEN)]
    await app.users.forgotPassword(OTHER)
    const stolenReset = await tokenOf('onAfterForgotPassword')
    const from = events.length
    const reply = await send('POST', UNDO, { token })
    t.equal(reply.statusCode, 200)
    t.equal(reply.headers['set-cookie'], undefined, 'the reply does not log in')
    t.match(await app.users.get(arthur.id), { email: ARTHUR, is_verified: true, is_active: true })
    for (const headers of sessions) t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
    for (const email of [ARTHUR, MORDRED, OTHER]) {
      for (const password of [PASSWORD, STOLEN]) t.equal((await login('jwt', email, password)).statusCode, 400)
    }
    t.equal((await send('POST', '/auth/reset-password', { token: stolenReset, password: STOLEN })).statusCode, 400)
    await app.users.settled()
    const fired = events.slice(from).filter((event) => event.name !== 'onLoginFailed')
    t.strictSame(fired.map((event) => event.name), ['onAfterVerify', 'onAfterForgotPassword', 'onAfterUndoEmailChange'])
    t.match(fired[2], { user: { id: arthur.id, email: ARTHUR }, undoneEmail: MORDRED })
    const reset = await tokenOf('onAfterForgotPassword')
    t.equal((await send('POST', '/auth/reset-password', { token: reset, password: NEW_PASSWORD })).statusCode, 200)
    t.equal((await login('jwt', ARTHUR, NEW_PASSWORD)).statusCode, 200)
    assertErrorReply(t, await send('POST', UNDO, { token }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
    t.equal((await login('jwt', ARTHUR, NEW_PASSWORD)).statusCode, 200, 'the second use changes nothing')
  })

  t.test(`RACE-01: ${name}: of parallel uses of an undo token, exactly one succeeds`, options, async (t) => {
    const adapterOf = await open(t)
    const one = await steal(t, { adapter: adapterOf() })
    const two = await build(t, { adapter: adapterOf() })
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? one : two).send('POST', UNDO, { token: one.token }))
    )
    t.same(tally(replies), { 200: 1, '400 UNDO_EMAIL_CHANGE_BAD_TOKEN': 9 })
    for (const { app } of [one, two]) await app.users.settled()
    const resets = [...one.events, ...two.events].filter((event) => event.name === 'onAfterForgotPassword')
    t.equal(resets.length, 1)
    const [event] = resets
    if (event?.name !== 'onAfterForgotPassword') throw new Error('no reset token')
    const reset = await one.send('POST', '/auth/reset-password', { token: event.token, password: NEW_PASSWORD })
    t.equal(reset.statusCode, 200, 'the losers do not invalidate the reset token of the winner')
  })
}

t.test('VER-06: after an undo, the tokens of later changes do not give the account back', async (t) => {
  const built = await steal(t)
  const { app, send, arthur, token } = built
  await app.users.update(arthur.id, { is_verified: true }) // the attacker verifies the new mailbox
  await send('PATCH', '/users/me', { email: OTHER }, await built.bearer(MORDRED))
  const later = await undoTokenFor(built, MORDRED)
  t.type(later, 'string')
  t.equal((await send('POST', UNDO, { token })).statusCode, 200)
  assertErrorReply(t, await send('POST', UNDO, { token: later }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
  t.match(await app.users.get(arthur.id), { email: ARTHUR })
})

t.test('VER-06: an attacker who undoes a later change does not take the undo of the first one away', async (t) => {
  const built = await steal(t)
  const { app, send, arthur, token } = built
  await app.users.update(arthur.id, { is_verified: true })
  await send('PATCH', '/users/me', { email: OTHER }, await built.bearer(MORDRED))
  t.equal((await send('POST', UNDO, { token: await undoTokenFor(built, MORDRED) })).statusCode, 200)
  t.match(await app.users.get(arthur.id), { email: MORDRED })
  t.equal((await send('POST', UNDO, { token })).statusCode, 200)
  t.match(await app.users.get(arthur.id), { email: ARTHUR })
})

t.test('VER-06: of the owner and an attacker who undo different changes at the same time, the owner keeps the account', async (t) => {
  for (const order of [0, 1]) {
    for (let turns = 0; turns < 24; turns += 2) {
      const built = await steal(t, { adapter: withSlowReads(memory(), 2) })
      const { app, send, arthur, token } = built
      await app.users.update(arthur.id, { is_verified: true })
      await send('PATCH', '/users/me', { email: OTHER }, await built.bearer(MORDRED))
      const tokens = [token, await undoTokenFor(built, MORDRED)]
      const first = send('POST', UNDO, { token: tokens[order] })
      for (let n = 0; n < turns; n++) await turn()
      const replies = await Promise.all([first, send('POST', UNDO, { token: tokens[1 - order] })])
      t.equal(replies[order]?.statusCode, 200, 'the undo of the owner')
      t.match(await app.users.get(arthur.id), { email: ARTHUR })
      for (const used of tokens) {
        assertErrorReply(t, await send('POST', UNDO, { token: used }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
      }
    }
  }
})

t.test('VER-06: an attacker who changes the e-mail during the undo does not keep the account', async (t) => {
  const adapter = memory()
  const built = await steal(t, { adapter: withSlowReads(adapter, 3) })
  const { app, send, arthur, token } = built
  await app.users.update(arthur.id, { is_verified: true })
  const headers = await built.bearer(MORDRED)
  const undo = send('POST', UNDO, { token })
  for (let n = 0; n < 20; n++) {
    await turn()
    await send('PATCH', '/users/me', { email: `mordred-${n}@orkney.bt` }, headers)
  }
  const reply = await undo
  await app.users.settled()
  t.equal(reply.statusCode, 200)
  t.match(await app.users.get(arthur.id), { email: ARTHUR })
  const left = built.events.flatMap((event) =>
    event.name === 'onAfterEmailChange' && event.token !== null && event.token !== token ? [event.token] : []
  )
  for (const stolen of left) {
    assertErrorReply(t, await send('POST', UNDO, { token: stolen }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
  }
})

t.test('VER-04, VER-06: a proved change is reported to the old e-mail at the request and at the completion', async (t) => {
  for (const options of [{ sensitiveChanges: 'confirm' }, { revealExistingAccounts: false }] as const) {
    const built = await build(t, options)
    const { app, send, events, bearer, create, tokenOf } = built
    const arthur = await create({ is_verified: true })
    const headers = await bearer(ARTHUR)
    const from = events.length
    await send('PATCH', '/users/me', { email: MORDRED, current_password: PASSWORD }, headers)
    const verify = await tokenOf('onAfterRequestVerify')
    t.match(events.slice(from).filter((event) => /RequestEmail|RequestVerify|EmailChange/.test(event.name)), [
      { name: 'onAfterRequestEmailChange', user: { email: ARTHUR }, newEmail: MORDRED },
      { name: 'onAfterRequestVerify', user: { email: ARTHUR }, email: MORDRED }
    ])
    t.match(await app.users.get(arthur.id), { email: ARTHUR })
    t.equal((await send('POST', '/auth/verify', { token: verify })).statusCode, 200)
    const token = await undoTokenFor(built, ARTHUR)
    t.match(events.at(-1), { name: 'onAfterEmailChange', user: { email: MORDRED, is_verified: true }, previousEmail: ARTHUR })
    t.equal((await send('POST', UNDO, { token })).statusCode, 200)
    t.match(await app.users.get(arthur.id), { email: ARTHUR, is_verified: true })
    t.equal((await send('POST', '/auth/verify', { token: verify })).statusCode, 400, 'the verify token stays used')
  }
})

t.test('VER-07: the request of a change is reported to the old e-mail alike for a free and a taken e-mail', async (t) => {
  const built = await build(t, { revealExistingAccounts: false })
  const { app, send, events, bearer, create } = built
  await create({ is_verified: true })
  await create({ email: MORDRED, is_verified: true })
  const headers = await bearer(ARTHUR)
  const seen = []
  for (const email of [MORDRED, OTHER]) {
    const from = events.length
    const reply = await send('PATCH', '/users/me', { email }, headers)
    await app.users.settled()
    const notices = events.slice(from).filter((event) => event.name === 'onAfterRequestEmailChange')
    seen.push([reply.statusCode, reply.body, notices.map((event) => Object.keys(event))])
  }
  t.strictSame(seen[0], seen[1])
})

t.test('VER-08: no undo token is created for an unverified e-mail, and for changes by a superuser or code', async (t) => {
  const built = await build(t)
  const { app, send, create, bearer } = built
  await create()
  await send('PATCH', '/users/me', { email: MORDRED }, await bearer(ARTHUR))
  t.equal(await undoTokenFor(built, ARTHUR), null, 'the mailbox may belong to a stranger')

  const admin = await create({ email: 'merlin@camelot.bt', is_superuser: true, is_verified: true })
  const guinevere = await create({ email: 'guinevere@camelot.bt', is_verified: true })
  const headers = await bearer('merlin@camelot.bt')
  const changed = await send('PATCH', `/users/${String(guinevere.id)}`, { email: OTHER }, headers)
  t.match(changed.json(), { email: OTHER, is_verified: false })
  t.equal(await undoTokenFor(built, 'guinevere@camelot.bt'), null)
  await app.users.update(guinevere.id, { is_verified: true })
  await app.users.update(guinevere.id, { email: 'gwen@camelot.bt' })
  t.equal(await undoTokenFor(built, OTHER), null)
  await send('PATCH', `/users/${String(admin.id)}`, { email: 'emrys@camelot.bt' }, headers)
  t.type(await undoTokenFor(built, 'merlin@camelot.bt'), 'string', 'superusers change their own e-mail like any user')
})

t.test('a change that keeps the mailbox or fails fires no event', async (t) => {
  const built = await build(t)
  const { app, send, create, bearer, events } = built
  await create({ is_verified: true })
  await create({ email: MORDRED })
  const headers = await bearer(ARTHUR)
  t.equal((await send('PATCH', '/users/me', { email: 'King.Arthur@camelot.bt' }, headers)).statusCode, 200)
  t.equal((await send('PATCH', '/users/me', { email: MORDRED }, headers)).statusCode, 400)
  await app.users.settled()
  t.notOk(events.some(({ name }) => name === 'onAfterEmailChange' || name === 'onAfterRequestEmailChange'))
})

t.test('an undo is refused while another user has the e-mail, and works afterwards', async (t) => {
  const { app, send, arthur, token, create } = await steal(t)
  const blocker = await create({ email: ARTHUR })
  assertErrorReply(t, await send('POST', UNDO, { token }), 400, 'UNDO_EMAIL_CHANGE_EMAIL_TAKEN')
  t.match(await app.users.get(arthur.id), { email: MORDRED })
  await app.users.update(blocker, { email: OTHER })
  t.equal((await send('POST', UNDO, { token })).statusCode, 200)
  t.match(await app.users.get(arthur.id), { email: ARTHUR })
})

t.test('an undo does not work for an inactive or deleted user, and works again for an active one', async (t) => {
  const { app, send, arthur, token, events } = await steal(t)
  await app.users.update(arthur.id, { is_active: false })
  assertErrorReply(t, await send('POST', UNDO, { token }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
  await app.users.update(arthur.id, { is_active: true })
  t.equal((await send('POST', UNDO, { token })).statusCode, 200)
  const other = await steal(t)
  await other.app.users.delete(other.arthur.id as UserId)
  await other.create()
  assertErrorReply(t, await other.send('POST', UNDO, { token: other.token }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
  t.ok(events.length > 0)
})

t.test('an undo token is valid for seven days, or as long as the option says', async (t) => {
  for (const [undo, seconds] of [[{}, WEEK], [{ lifetimeSeconds: 60 }, 60]] as const) {
    const early = await steal(t, { tokens: { undo } })
    early.tick(seconds - 30)
    t.equal((await early.send('POST', UNDO, { token: early.token })).statusCode, 200)
    const late = await steal(t, { tokens: { undo } })
    late.tick(seconds)
    assertErrorReply(t, await late.send('POST', UNDO, { token: late.token }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
  }
})

t.test('CFG-03: hostile undo tokens are refused, and no other token undoes a change', async (t) => {
  const built = await steal(t)
  const { app, send, token, tokenOf, arthur } = built
  await app.users.forgotPassword(MORDRED)
  await app.users.requestVerify(MORDRED)
  const { authorization } = await built.bearer(MORDRED)
  const hostile: unknown[] = [
    await tokenOf('onAfterForgotPassword'), await tokenOf('onAfterRequestVerify'), authorization.slice(7),
    'A'.repeat(43), token.slice(1), `${token}A`, ` ${token}`, '\0'.repeat(43), '\ud800', '{"$ne":null}', '__proto__'
  ]
  for (const value of hostile) {
    assertErrorReply(t, await send('POST', UNDO, { token: value }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
  }
  for (const value of [undefined, null, 1, true, '', {}, [], [token], { $ne: null }, 'A'.repeat(8193)]) {
    assertValidationError(t, await send('POST', UNDO, { token: value }), ['/token'], JSON.stringify(value)?.slice(0, 20))
  }
  for (const [url, body] of [
    ['/auth/verify', { token }],
    ['/auth/reset-password', { token, password: STOLEN }]
  ] as const) t.equal((await send('POST', url, body)).statusCode, 400)
  t.equal((await send('GET', `${UNDO}?token=${token}`)).statusCode, 404)
  t.match(await app.users.get(arthur.id), { email: MORDRED })
  t.equal((await send('POST', UNDO, { token, email: OTHER, password: STOLEN })).statusCode, 200)
  t.match(await app.users.get(arthur.id), { email: ARTHUR })
})

t.test('an undo deletes login methods that did not prove the restored e-mail', async (t) => {
  const removed: User[] = []
  const { send, token } = await steal(t, {
    features: [
      {
        name: 'keys',
        setup: () => ({
          loginMethods: {
            count: () => 1,
            removeUnproved (user) {
              removed.push(user)
              return removed.length === 1 ? 1 : 0
            }
          }
        })
      }
    ]
  })
  removed.length = 0
  t.equal((await send('POST', UNDO, { token })).statusCode, 200)
  t.ok(removed.length > 0)
  t.ok(removed.every(({ email }) => email === ARTHUR))
})

t.test('without the option there is no token, no route and no table', async (t) => {
  const adapter = memory()
  for (const tokens of [{}, { undo: false }] as const) {
    const built = await buildApp(t, { adapter, tokens })
    await built.create({ email: `${Object.keys(tokens).length}-${ARTHUR}`, is_verified: true })
    const [user] = built.events.flatMap((event) => (event.name === 'onAfterRegister' ? [event.user] : []))
    await built.app.users.update(user?.id as UserId, { email: `${Object.keys(tokens).length}-${OTHER}` }, { by: 'self' })
    t.equal(await undoTokenFor(built, String(user?.email)), null)
    t.equal((await built.send('POST', UNDO, { token: 'A'.repeat(43) })).statusCode, 404)
    await t.rejects(built.app.users.undoEmailChange('A'.repeat(43)), { code: 'FST_USERS_UNDO_EMAIL_CHANGE_BAD_TOKEN' })
  }
  for (const [undo, code] of [
    [{ lifetimeSeconds: 0 }, 'FST_USERS_INVALID_OPTION'],
    [{ lifetimeSeconds: 31 * 86_400 }, 'FST_USERS_INVALID_OPTION'],
    [{ lifetimeSeconds: '60' }, 'FST_USERS_INVALID_OPTION'],
    [{ secret: 'x' }, 'FST_USERS_UNKNOWN_OPTION'],
    [true, 'FST_USERS_INVALID_OPTION'],
    [null, 'FST_USERS_INVALID_OPTION']
  ] as const) await t.rejects(build(t, { tokens: { undo: undo as never } }), { code })
})

const service = await needsPostgres()

t.test('RACE-01: exactly one of 40 parallel undos at two processes succeeds', service, async (t) => {
  const { schema } = await makePool(t)
  const pool = new pg.Pool(configOf(schema))
  t.teardown(() => pool.end())
  const own = await steal(t, { adapter: postgres(pool, { createTables: true }) })
  const servers = await Promise.all([startMailProcess(t, 'postgres', schema), startMailProcess(t, 'postgres', schema)])
  const replies = await Promise.all(
    Array.from({ length: 40 }, async (_, n) => {
      const reply = await servers[n % 2]?.post(UNDO, { token: own.token })
      return { statusCode: reply?.status ?? 0, body: (await reply?.text()) ?? '' }
    })
  )
  t.same(tally(replies), { 200: 1, '400 UNDO_EMAIL_CHANGE_BAD_TOKEN': 39 })
  t.match(await own.app.users.get(own.arthur.id), { email: ARTHUR })
})

t.test('VER-06: an undo deletes the factors that were added in the week before the change or later', async (t) => {
  const clock = manualClock(Date.UTC(2030, 0, 1))
  for (const passkeyOptions of [{}, { secondFactor: false }]) {
    const built = await buildWithPasskeys(
      t,
      { clock, tokens: { undo: {} }, sensitiveChanges: 'confirm', features: totpFeatures() },
      passkeyOptions
    )
    const { app, send, user, device, enter, tokenOf, sessionOf } = built
    const [own, stolen] = [device(), device()]
    await built.own(own)
    clock.tick(WEEK + 60)
    t.equal((await built.add(stolen, await sessionOf())).statusCode, 201)
    const headers = await sessionOf()
    const { enrolment, secret } = (await send('POST', '/users/me/totp', undefined, headers)).json<Begun>()
    const code = oneTimePassword(secret, clock())
    t.equal((await send('POST', '/users/me/totp/confirm', { enrolment, code }, headers)).statusCode, 201)
    await send('PATCH', '/users/me', { email: MORDRED }, await sessionOf())
    t.equal((await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })).statusCode, 200)
    t.equal((await send('POST', UNDO, { token: await tokenOf('onAfterEmailChange') })).statusCode, 200)
    t.equal((await enter(stolen)).statusCode, 400, 'the passkey of the attacker')
    t.equal((await enter(own)).statusCode, 200, 'the passkey of the owner')
    t.match(await app.users.feature('totp').state(user), { active: false })
    t.match(await app.users.feature('recovery-codes').state(user), { remaining: 0 })
    const reset = { token: await tokenOf('onAfterForgotPassword'), password: NEW_PASSWORD }
    t.equal((await send('POST', '/auth/reset-password', reset)).statusCode, 200)
    const login = await built.login('jwt', ARTHUR, NEW_PASSWORD)
    if (passkeyOptions.secondFactor === false) t.equal(login.statusCode, 200)
    else t.match(login.json(), { detail: { steps: [{ name: 'passkey' }] } }, 'the old mailbox does not replace the factor')
    t.equal((await enter(stolen)).statusCode, 400)
  }
})

t.test('RST-13: the first proof of a mailbox that replaces the password ends the undo tokens of the former owner', async (t) => {
  for (const way of ['reset', 'e-mail login', 'code']) {
    const built = await build(t, { features: [emailLogin()] })
    const { app, send, tokenOf, events } = built
    const mordred = await built.create({ email: MORDRED, is_verified: true })
    await send('PATCH', '/users/me', { email: ARTHUR }, await built.bearer(MORDRED))
    const token = await undoTokenFor(built, MORDRED)
    t.type(token, 'string')
    if (way === 'reset') {
      await app.users.forgotPassword(ARTHUR)
      const reset = { token: await tokenOf('onAfterForgotPassword'), password: NEW_PASSWORD }
      t.equal((await send('POST', '/auth/reset-password', reset)).statusCode, 200)
    } else if (way === 'code') {
      await app.users.confirmEmail({ ...mordred, email: ARTHUR })
    } else {
      const { ticket } = (await send('POST', '/auth/jwt/email', { email: ARTHUR })).json<{ ticket: string }>()
      await app.users.settled()
      const mail = events.findLast(({ name }) => name === 'onAfterRequestEmailLogin') as unknown as { code: string }
      t.equal((await send('POST', '/auth/jwt/email/confirm', { ticket, code: mail.code })).statusCode, 200)
    }
    assertErrorReply(t, await send('POST', UNDO, { token }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN', undefined, way)
    t.match(await app.users.get(mordred.id), { email: ARTHUR, is_verified: true }, way)
  }
})
