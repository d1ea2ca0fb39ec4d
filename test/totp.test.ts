import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { splitPending } from '../lib/features/oauth/browser-reply.js'
import { loadOneTimePasswords } from '../lib/features/totp/one-time-password.js'
import { totp, type TotpOptions } from '../lib/features/totp/index.js'
import { totpModel } from '../lib/features/totp/model.js'
import { authenticate, bearerTransport, databaseStrategy, jwtStrategy, type DatabaseAdapter, type Feature, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { withSlowReads } from '../lib/testing/slow-reads.js'
import { uuidId } from '../schemas/index.js'
import { addRoutes, ARTHUR, assertErrorReply, assertValidationError, buildApp, PASSWORD, SECRET } from './helpers/build-app.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { checkAuditEvents, collectAuditEvents } from './helpers/audited-events.js'
import { everyStore } from './helpers/every-store.js'
import { fromBase32, oneTimePassword, toBase32 } from './helpers/one-time-password.js'
import { browserOf, buildTotpApp, ISSUER, RECOVERY, TOTP, totpFeatures, WRONG_CODE, type Begun, type TotpApp } from './helpers/totp-app.js'

const model = totpModel(uuidId())
const LANCELOT = 'lancelot@camelot.bt'

/** The hostile texts and values that a code may be. None is a code. */
const MALFORMED: readonly [name: string, code: unknown][] = [
  ['full-width digits', '１２３４５６'],
  ['Arabic-Indic digits', '١٢٣٤٥٦'],
  ['five digits', '12345'],
  ['seven digits', '1234567'],
  ['eight digits', '12345678'],
  ['a number', 123456],
  ['a list', ['123456']],
  ['an object', { $ne: null }],
  ['null', null],
  ['true', true],
  ['empty text', ''],
  ['a null byte', '12345\0'],
  ['a code and a null byte', '123456\0'],
  ['a code and a line break', '123456\n'],
  ['a sign', '+12345'],
  ['a hexadecimal number', '0x1234'],
  ['an exponent', '1e0000'],
  ['a space at another place', '12 3456'],
  ['two spaces', '123  456'],
  ['a no-break space', '123\u00a0456'],
  ['a long text', '1'.repeat(5000)]
]

async function rowOf (adapter: DatabaseAdapter, user: { id: unknown }): Promise<Record<string, unknown> | null> {
  return await adapter.findOne(model, { id: String(user.id) })
}

for (const store of everyStore) {
  t.test(`TOTP-01, TOTP-07, TOTP-09: ${store.name}: an app is added, used and removed, and one of parallel logins gets a session`, store.options, async (t) => {
    const create = await store.open(t)
    const adapter = create()
    const first = await buildTotpApp(t, { adapter })
    const second = await buildTotpApp(t, { adapter: create(), clock: first.clock, secret: SECRET })
    const { user, secret, headers, codes } = await first.enrol()
    t.equal(codes.length, 10)
    const row = await rowOf(adapter, user)
    t.match(row, { user_id: user.id, last_step: Math.floor(first.clock() / 30_000) - 1 })
    t.notOk(JSON.stringify(row).includes(secret), 'the secret is encrypted')
    t.match((await first.send('GET', TOTP, undefined, headers)).json(), { active: true, since: /^2030-01-01T00:00:00/ })
    t.match((await first.app.users.exportData(user)).features, { totp: { since: /^2030/ }, 'recovery-codes': { remaining: 10 } })

    const tickets = await Promise.all([first.pend(), second.pend(), first.pend(), second.pend()])
    const replies = await Promise.all(tickets.map(async ({ ticket }, n) => {
      return await [first, second][n % 2]?.answer('totp', ticket, first.codeOf(secret))
    }))
    t.same(replies.map((reply) => reply?.statusCode).sort(), [200, 400, 400, 400], 'one of parallel answers with one code wins')
    const [code = ''] = codes
    const more = await Promise.all([first.pend(), second.pend(), first.pend(), second.pend()])
    const used = await Promise.all(more.map(async ({ ticket }, n) => {
      return await [first, second][n % 2]?.answer('recovery-code', ticket, code)
    }))
    t.same(used.map((reply) => reply?.statusCode).sort(), [200, 400, 400, 400], 'one of parallel answers with one recovery code wins')
    t.match((await first.send('GET', RECOVERY, undefined, headers)).json(), { remaining: 9 })
    const different = await Promise.all(codes.slice(1, 5).map(async (each, n) => {
      const app = n % 2 === 0 ? first : second
      return await app.answer('recovery-code', (await app.pend()).ticket, each)
    }))
    t.same(different.map(({ statusCode }) => statusCode), [200, 200, 200, 200], 'parallel uses of different recovery codes all succeed')
    t.match((await first.send('GET', RECOVERY, undefined, headers)).json(), { remaining: 5 })

    first.clock.tick(60)
    t.equal((await first.send('DELETE', TOTP, { code: first.codeOf(secret) }, headers)).statusCode, 204)
    t.equal(await rowOf(adapter, user), null)
    t.equal((await first.login('jwt', ARTHUR)).statusCode, 200, 'a login no longer needs a code')
    const again = await first.enrol(LANCELOT)
    await first.app.users.delete(again.user)
    t.equal(await rowOf(adapter, again.user), null, 'the app is deleted with its user')
  })
}

t.test('TOTP-02: codes are those of RFC 6238, appendix B', async (t) => {
  const seed = Buffer.from('12345678901234567890')
  const secret = toBase32(seed)
  t.same(fromBase32(secret), seed)
  const passwords = await loadOneTimePasswords(ISSUER)
  const vectors: readonly [seconds: number, code: string][] = [
    [59, '94287082'],
    [1111111109, '07081804'],
    [1111111111, '14050471'],
    [1234567890, '89005924'],
    [2000000000, '69279037'],
    [20000000000, '65353130']
  ]
  for (const [seconds, code] of vectors) {
    t.equal(oneTimePassword(secret, seconds * 1000, 8), code, `the independent implementation at ${seconds}`)
    t.equal(passwords.stepOf(secret, code.slice(2), seconds * 1000), Math.floor(seconds / 30), `the feature at ${seconds}`)
  }
})

t.test('TOTP-07: secrets have 160 random bits, and the URL and the image contain them', async (t) => {
  const passwords = await loadOneTimePasswords('Café & Söhne')
  const secrets = Array.from({ length: 200 }, () => passwords.generateSecret())
  t.equal(new Set(secrets).size, 200)
  for (const secret of secrets.slice(0, 5)) {
    t.match(secret, /^[A-Z2-7]{32}$/)
    t.equal(fromBase32(secret).length, 20)
    const { url, svg } = passwords.describe(secret, 'a:b@camelot.bt')
    const read = new URL(url)
    t.equal(read.protocol, 'otpauth:')
    t.equal(read.host, 'totp')
    t.equal(decodeURIComponent(read.pathname), '/Café & Söhne:ab@camelot.bt')
    t.same(Object.fromEntries(read.searchParams), {
      issuer: 'Café & Söhne', secret, algorithm: 'SHA1', digits: '6', period: '30'
    })
    t.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"[^]*<\/svg>$/)
    t.notMatch(svg, /script|href/)
  }
})

t.test('TOTP-02: a code of the present, the previous or the next time step is accepted, and no other text or value', async (t) => {
  const built = await buildTotpApp(t)
  const { secret, headers } = await built.enrol()
  const { codeOf, loginWith, answer, clock, send } = built
  const { ticket } = await built.pend()
  for (const [name, code] of MALFORMED) {
    assertValidationError(t, await answer('totp', ticket, code), ['/code'], `login: ${name}`)
    const reply = await send('POST', `${TOTP}/confirm`, { enrolment: 'x', code }, headers)
    assertValidationError(t, reply, ['/code'], `confirmation: ${name}`)
    const removal = await send('DELETE', TOTP, { code }, headers)
    t.equal(removal.statusCode, 400, `removal: ${name}`)
  }
  t.equal((await answer('totp', ticket, codeOf(secret))).statusCode, 200, 'malformed codes use no attempt of the ticket up')
  clock.tick(300)
  for (const [steps, status] of [[-2, 400], [2, 400], [-1, 200], [0, 200], [1, 200]] as const) {
    t.equal((await loginWith('totp', codeOf(secret, steps))).statusCode, status, `the code of step ${steps}`)
  }
  clock.tick(90)
  const code = codeOf(secret)
  t.equal((await loginWith('totp', `${code.slice(0, 3)} ${code.slice(3)}`)).statusCode, 200, 'a space in the middle is accepted')
  // a code with leading zeros
  const later = Array.from({ length: 5000 }, (_none, n) => n + 10)
  const zero = later.find((steps) => codeOf(secret, steps).startsWith('00')) ?? 0
  clock.tick(zero * 30)
  t.match(codeOf(secret), /^00/)
  t.equal((await loginWith('totp', codeOf(secret).replace(/^0+/, ''))).statusCode, 400, 'leading zeros belong to the code')
  t.equal((await loginWith('totp', codeOf(secret))).statusCode, 200)
})

t.test('TOTP-01: a code is accepted once, also a code of an earlier time step, and after the clock was set back', async (t) => {
  const built = await buildTotpApp(t)
  const { secret } = await built.enrol()
  const { codeOf, loginWith, clock, app } = built
  const reused = async (steps: number, name: string): Promise<void> => {
    assertErrorReply(t, await loginWith('totp', codeOf(secret, steps)), 400, 'TOTP_CODE_INVALID', undefined, name)
  }
  await reused(-1, 'the code of the enrolment')
  t.equal((await loginWith('totp', codeOf(secret))).statusCode, 200)
  await reused(0, 'the same code')
  t.equal((await loginWith('totp', codeOf(secret, 1))).statusCode, 200)
  await reused(0, 'a code before the last one')
  await reused(1, 'the code of the next step again')
  clock.tick(30)
  await reused(0, 'the code of the present step, which was used one step early')
  clock.tick(-3600)
  await reused(0, 'a code after the clock was set back')
  clock.tick(3660)
  const [user] = [await app.users.getByEmail(ARTHUR)]
  t.equal(await app.users.feature('totp').verify(user as never, codeOf(secret)), true, 'from code, too')
  t.equal(await app.users.feature('totp').verify(user as never, codeOf(secret)), false)
  await reused(0, 'a code that code has used')
})

t.test('TOTP-01: with slow reads, one of many parallel answers with one code gets a session', async (t) => {
  const built = await buildTotpApp(t, { adapter: withSlowReads(memory(), 2) })
  const { secret } = await built.enrol()
  const tickets = await Promise.all(Array.from({ length: 8 }, () => built.pend()))
  const replies = await Promise.all(tickets.map(({ ticket }) => built.answer('totp', ticket, built.codeOf(secret))))
  t.same(replies.map(({ statusCode }) => statusCode).sort(), [200, ...Array<number>(7).fill(400)])
})

t.test('TOTP-03, RL-09: wrong codes count for the account over all tickets, factors and routes', async (t) => {
  const limits = { client: { login: false, loginStep: false, other: false } } as const
  type Try = (built: TotpApp, headers: Record<string, string>) => Promise<{ statusCode: number }>
  const ways: readonly [name: string, attempt: Try][] = [
    ['codes of the app at logins', async ({ loginWith }) => await loginWith('totp', WRONG_CODE)],
    ['recovery codes at logins', async ({ loginWith }) => await loginWith('recovery-code', '0000-0000-0000-0000')],
    ['codes at a removal', async ({ send }, headers) => await send('DELETE', TOTP, { code: WRONG_CODE }, headers)],
    ['recovery codes at a removal', async ({ send }, headers) => await send('DELETE', TOTP, { code: 'no code' }, headers)]
  ]
  for (const [name, attempt] of ways) {
    const built = await buildTotpApp(t, { limits })
    const { secret, headers, codes } = await built.enrol()
    const open = await built.pend()
    const statuses: number[] = []
    for (let n = 0; n < 5; n++) statuses.push((await attempt(built, headers)).statusCode)
    t.same(statuses, [400, 400, 400, 400, 400], name)
    await built.app.users.settled()
    for (const [step, code] of [['totp', built.codeOf(secret)], ['recovery-code', codes[0]]] as const) {
      const reply = await built.answer(step, open.ticket, code)
      assertErrorReply(t, reply, 429, 'TOO_MANY_ATTEMPTS', undefined, `${name}: then ${step} is refused`)
    }
    const removal = await built.send('DELETE', TOTP, { code: built.codeOf(secret) }, headers)
    assertErrorReply(t, removal, 429, 'TOO_MANY_ATTEMPTS', undefined, `${name}: then a removal is refused`)
    built.clock.tick(301)
    const { ticket } = await built.pend()
    t.equal((await built.answer('totp', ticket, built.codeOf(secret))).statusCode, 200, `${name}: later a right code is accepted`)
  }
})

t.test('TOTP-03: the right code of a new enrolment does not reset the counter of wrong codes', async (t) => {
  const built = await buildTotpApp(t, { limits: { client: { login: false, loginStep: false, other: false } } })
  const { secret, headers } = await built.enrol()
  t.equal((await built.send('DELETE', TOTP, { code: built.codeOf(secret) }, headers)).statusCode, 204)
  const session = await built.session()
  const begun = await built.begin(session)
  for (let n = 0; n < 4; n++) {
    assertErrorReply(t, await built.confirm(session, begun, WRONG_CODE), 400, 'TOTP_CODE_INVALID')
  }
  await built.app.users.settled()
  const reply = await built.confirm(session, begun)
  t.equal(reply.statusCode, 201)
  await built.app.users.settled()
  built.clock.tick(30)
  const { ticket } = await built.pend()
  t.equal((await built.answer('totp', ticket, WRONG_CODE)).statusCode, 400)
  await built.app.users.settled()
  const sixth = await built.answer('totp', ticket, built.codeOf(begun.secret))
  assertErrorReply(t, sixth, 429, 'TOO_MANY_ATTEMPTS', undefined, 'after five failures in five minutes')
})

t.test('TOTP-07: an enrolment needs a verified e-mail, its own session, and a right code in time', async (t) => {
  const built = await buildTotpApp(t)
  const { begin, confirm, session, send, clock, login, app } = built
  const user = await built.create({ is_verified: true })
  await built.create({ email: LANCELOT })
  const unverified = await session(LANCELOT)
  assertErrorReply(t, await send('POST', TOTP, undefined, unverified), 403, 'FORBIDDEN', 'Forbidden')
  assertErrorReply(t, await send('POST', `${TOTP}/confirm`, { enrolment: 'x', code: '123456' }, unverified), 403, 'FORBIDDEN', 'Forbidden')
  assertErrorReply(t, await send('POST', TOTP), 401, 'UNAUTHENTICATED', 'Unauthorized')

  const headers = await session()
  const other = await session()
  const begun = await begin(headers)
  t.match((await send('GET', TOTP, undefined, headers)).json(), { active: false, since: null })
  t.equal((await login('jwt', ARTHUR)).statusCode, 200, 'an enrolment without a code changes no login')
  const refuse = async (name: string, reply: ReturnType<TotpApp['confirm']>, word = 'TOTP_ENROLMENT_INVALID'): Promise<void> => {
    assertErrorReply(t, await reply, 400, word, undefined, name)
  }
  await refuse('another session of the user', confirm(other, begun))
  await refuse('an unknown enrolment', confirm(headers, { ...begun, enrolment: randomBytes(32).toString('base64url') }))
  await refuse('a wrong code', confirm(headers, begun, WRONG_CODE), 'TOTP_CODE_INVALID')
  const replaced = await begin(headers)
  await refuse('an enrolment that another one replaced', confirm(headers, begun))
  await refuse('the code of the replaced secret', confirm(headers, replaced, built.codeOf(begun.secret)), 'TOTP_CODE_INVALID')
  clock.tick(601)
  await refuse('an expired enrolment', confirm(headers, replaced))
  const tried = await begin(headers)
  for (let n = 0; n < 5; n++) await refuse(`wrong code ${n + 1}`, confirm(headers, tried, WRONG_CODE), 'TOTP_CODE_INVALID')
  await refuse('the sixth code of an enrolment', confirm(headers, tried))
  const lost = await begin(headers)
  await app.users.endSessions(user)
  t.equal((await confirm(headers, lost)).statusCode, 401, 'a session that has ended')
  await refuse('another session, after the first has ended', confirm(await session(), lost))
  t.match(await app.users.feature('totp').state(user), { active: false })

  const last = await session()
  const final = await begin(last)
  const replies = await Promise.all([confirm(last, final), confirm(last, final)] as const)
  const [confirmed, ...refused] = replies.sort((a, b) => a.statusCode - b.statusCode)
  t.equal(confirmed.statusCode, 201)
  t.match(refused.map(({ statusCode }) => statusCode), [/^40[01]$/], 'one of two parallel confirmations succeeds')
  const renewed = browserOf(confirmed)
  await refuse('an enrolment that was confirmed', confirm(renewed, final))
  await refuse('a second app', send('POST', TOTP, undefined, renewed), 'TOTP_ALREADY_ACTIVE')
})

t.test('TOTP-07: a session that ends during the confirmation adds no app', async (t) => {
  const adapter = memory()
  const built = await buildTotpApp(t, { adapter })
  const user = await built.create({ is_verified: true })
  const headers = await built.session()
  const begun = await built.begin(headers)
  const insert = adapter.create.bind(adapter)
  adapter.create = async (given, row) => {
    const stored = await insert(given, row)
    if (given.name === 'totp') await built.app.users.endSessions(user)
    return stored
  }
  t.equal((await built.confirm(headers, begun)).statusCode, 401)
  t.equal(await rowOf(adapter, user), null)
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 200)
})

t.test('TOTP-09: a removal needs a code, ends the other sessions and pending logins, and is reported', async (t) => {
  const audited = collectAuditEvents(t)
  const built = await buildTotpApp(t)
  const { send, events, codeOf, app, clock } = built
  const { user, secret, headers } = await built.enrol()
  t.match(events.filter(({ name }) => name === 'onLoginMethodAdded'), [{ user: { id: user.id }, kind: 'second-factor', method: 'totp' }])
  const reply = await built.loginWith('totp', codeOf(secret))
  const bearer = { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
  t.equal((await send('GET', '/users/me', undefined, bearer)).statusCode, 200)
  const pending = await built.pend()
  clock.tick(30)
  assertValidationError(t, await send('DELETE', TOTP, {}, headers), ['/code'])
  assertErrorReply(t, await send('DELETE', TOTP, { code: WRONG_CODE }, headers), 400, 'TOTP_CODE_INVALID')
  assertErrorReply(t, await send('DELETE', TOTP, { code: '0000-0000-0000-0000' }, headers), 400, 'TOTP_CODE_INVALID')
  t.equal((await send('GET', '/users/me', undefined, bearer)).statusCode, 200, 'a refused removal changes nothing')
  const removed = await send('DELETE', TOTP, { code: codeOf(secret) }, headers)
  t.equal(removed.statusCode, 204)
  t.equal((await send('GET', '/users/me', undefined, bearer)).statusCode, 401, 'other sessions have ended')
  t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401, 'the former cookie has ended')
  const renewed = browserOf(removed)
  t.equal((await send('GET', '/users/me', undefined, renewed)).statusCode, 200, 'the acting session continues')
  assertErrorReply(t, await built.answer('totp', pending.ticket, codeOf(secret)), 400, 'LOGIN_TICKET_INVALID')
  assertErrorReply(t, await send('DELETE', TOTP, { code: codeOf(secret) }, renewed), 404, 'TOTP_NOT_ACTIVE', 'Not Found')
  t.match(events.filter(({ name }) => name === 'onLoginMethodRemoved'), [{ user: { id: user.id }, kind: 'second-factor', method: 'totp' }])
  t.match((await send('GET', RECOVERY, undefined, renewed)).json(), { remaining: 0 }, 'without a factor, there are no recovery codes')
  await app.users.settled()
  const own = audited.filter(({ event }) => event.startsWith('factor.') || event.startsWith('recovery_codes.'))
  t.same(own.map(({ event, target_id: id }) => [event, id]), [
    ['recovery_codes.create', user.id], ['factor.add', user.id], ['factor.remove', user.id]
  ])
  checkAuditEvents(t, audited)
})

t.test('TOTP-09: a recovery code removes a lost app, once', async (t) => {
  const built = await buildTotpApp(t)
  const { codes: [first = '', second = ''], headers } = await built.enrol()
  t.equal((await built.loginWith('recovery-code', first)).statusCode, 200)
  assertErrorReply(t, await built.send('DELETE', TOTP, { code: first }, headers), 400, 'TOTP_CODE_INVALID')
  t.equal((await built.send('DELETE', TOTP, { code: second }, headers)).statusCode, 204)
})

t.test('TOTP-07, TOTP-09: with sensitiveChanges confirm, an app needs a proof, and new recovery codes need both factors', async (t) => {
  const built = await buildTotpApp(t, { sensitiveChanges: 'confirm' })
  const { send, codeOf } = built
  await built.create({ is_verified: true })
  const headers = await built.session()
  assertErrorReply(t, await send('POST', TOTP, { current_password: 'wrong' }, headers), 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
  const confirmed = { current_password: PASSWORD }
  built.clock.tick(301)
  assertErrorReply(t, await send('POST', TOTP, {}, headers), 401, 'INSUFFICIENT_USER_AUTHENTICATION', {
    code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300
  })
  const begun = (await send('POST', TOTP, confirmed, headers)).json<Begun>()
  const reply = await built.confirm(headers, begun)
  t.equal(reply.statusCode, 201)
  const renewed = browserOf(reply)
  built.clock.tick(30)
  const twoFactors = { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300, methods: 2 }
  const refused = await send('POST', RECOVERY, confirmed, renewed)
  assertErrorReply(t, refused, 401, 'INSUFFICIENT_USER_AUTHENTICATION', twoFactors, 'the password alone')
  const again = '/auth/cookie/reauthenticate'
  const pending = await send('POST', again, { password: PASSWORD }, renewed)
  const { ticket } = pending.json<{ detail: { ticket: string } }>().detail
  const answer = { ticket, code: codeOf(begun.secret) }
  const strong = browserOf(await send('POST', `${again}/totp`, answer, renewed))
  t.equal((await send('POST', RECOVERY, {}, strong)).statusCode, 201)
  built.clock.tick(301)
  const code = codeOf(begun.secret)
  const wrong = await send('DELETE', TOTP, { code, current_password: 'wrong' }, strong)
  assertErrorReply(t, wrong, 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
  t.equal((await send('DELETE', TOTP, { code }, strong)).statusCode, 401)
  t.equal((await send('DELETE', TOTP, { code, ...confirmed }, strong)).statusCode, 204, 'password and code')
})

t.test('secrets are encrypted anew with a new key, and a removed key makes codes wrong', async (t) => {
  const adapter = memory()
  const [old, fresh] = [SECRET, randomBytes(32).toString('base64url')]
  const built = await buildTotpApp(t, { adapter })
  const { user, secret } = await built.enrol()
  const sealed = (await rowOf(adapter, user))?.['secret']
  const { clock } = built
  const rotated = await buildTotpApp(t, { adapter, clock, secret: [fresh, old] })
  t.equal((await rotated.loginWith('totp', built.codeOf(secret))).statusCode, 200)
  const renewed = (await rowOf(adapter, user))?.['secret']
  t.not(renewed, sealed, 'a right code encrypts the secret with the first key')
  clock.tick(30)
  t.equal((await rotated.loginWith('totp', built.codeOf(secret))).statusCode, 200)
  t.equal((await rowOf(adapter, user))?.['secret'], renewed, 'once')
  clock.tick(30)
  const finished = await buildTotpApp(t, { adapter, clock, secret: [fresh] })
  t.equal((await finished.loginWith('totp', built.codeOf(secret))).statusCode, 200, 'the old key is no longer needed')
  clock.tick(30)
  const removed = await buildTotpApp(t, { adapter, clock, secret: [old] })
  assertErrorReply(t, await removed.loginWith('totp', built.codeOf(secret)), 400, 'TOTP_CODE_INVALID')
  t.equal((await removed.login('jwt', ARTHUR)).statusCode, 403, 'the login still needs a second factor')
  await adapter.update(model, { id: String(user.id) }, { secret: String(renewed).slice(0, -4) + 'AAAA' })
  assertErrorReply(t, await finished.loginWith('totp', built.codeOf(secret)), 400, 'TOTP_CODE_INVALID')
})

t.test('TOTP-07: an encrypted secret is invalid for another user', async (t) => {
  const adapter = memory()
  const built = await buildTotpApp(t, { adapter })
  const arthur = await built.enrol()
  const lancelot = await built.enrol(LANCELOT)
  const stolen = (await rowOf(adapter, lancelot.user))?.['secret'] as string
  await adapter.update(model, { id: String(arthur.user.id) }, { secret: stolen })
  built.clock.tick(30)
  assertErrorReply(t, await built.loginWith('totp', built.codeOf(lancelot.secret)), 400, 'TOTP_CODE_INVALID')
  t.equal((await built.loginWith('totp', built.codeOf(lancelot.secret), LANCELOT)).statusCode, 200)
})

t.test('TOTP-07: if a login requires a second factor, a user without one adds an app during the login', async (t) => {
  const adapter = memory()
  const built = await buildTotpApp(t, {
    adapter,
    secondFactors: { required: ({ user }) => user.is_superuser }
  }, (app) => {
    addRoutes(app)
    app.get('/session', { preHandler: authenticate() }, async ({ authentication }) => authentication?.session)
  })
  const { pend, answer, codeOf, events, clock, login } = built
  const user = await built.create({ is_verified: true, is_superuser: true })
  await built.create({ email: LANCELOT, is_superuser: true })
  t.equal((await login('jwt', LANCELOT)).statusCode, 400, 'a user without a verified e-mail adds no app')
  const { ticket, steps } = await pend()
  const [step] = steps as unknown as [Begun & { name: string; recovery_codes: string[] }]
  t.match(steps, [{ name: 'totp-enrol', secret: /^[A-Z2-7]{32}$/, url: /^otpauth:/, svg: /^<svg/, recovery_codes: { length: 10 } }])
  t.equal(await rowOf(adapter, user), null)
  assertErrorReply(t, await answer('totp-enrol', ticket, WRONG_CODE), 400, 'TOTP_CODE_INVALID')
  assertErrorReply(t, await answer('totp', ticket, codeOf(step.secret)), 400, 'LOGIN_TICKET_INVALID')
  t.match((await pend()).steps, [{ name: 'totp-enrol' }], 'an enrolment without a code changes nothing')
  const reply = await answer('totp-enrol', ticket, codeOf(step.secret))
  t.equal(reply.statusCode, 200)
  const headers = { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
  t.match((await built.send('GET', '/session', undefined, headers)).json(), { methods: ['password', 'otp'] })
  t.match(events.filter(({ name }) => name === 'onLoginMethodAdded'), [{ user: { id: user.id }, method: 'totp' }])
  t.match((await built.send('GET', RECOVERY, undefined, headers)).json(), { remaining: 10 })
  assertErrorReply(t, await built.loginWith('totp', codeOf(step.secret)), 400, 'TOTP_CODE_INVALID', undefined, 'the code of the enrolment')
  clock.tick(30)
  t.equal((await built.loginWith('totp', codeOf(step.secret))).statusCode, 200)
  t.equal((await built.loginWith('recovery-code', step.recovery_codes[3])).statusCode, 200)
})

t.test('invalid options stop the start', async (t) => {
  const issuers: unknown[] = ['', 'a:b', ' Camelot', 7, 'x'.repeat(65), 'a\nb', '\ud800', null]
  for (const issuer of issuers) {
    t.throws(() => totp({ issuer } as TotpOptions), { code: 'FST_USERS_INVALID_OPTION' }, JSON.stringify(issuer))
  }
  t.throws(() => totp({ isuer: 'Camelot' } as TotpOptions), { code: 'FST_USERS_UNKNOWN_OPTION' })
  const start = (t: Test, features: Feature[], options: Partial<UsersOptions> = {}): Promise<unknown> =>
    buildApp(t, { features, backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }], ...options })
  await t.rejects(start(t, [totp()]), { code: 'FST_USERS_INVALID_OPTION', message: /totp\.issuer/ })
  await t.resolves(start(t, [totp()], { publicUrl: 'https://camelot.example/app' }))
  await t.resolves(start(t, totpFeatures().slice(0, 1)), 'recovery codes are optional')
})

t.test('without recoveryCodes(), an app works alone', async (t) => {
  const built = await buildTotpApp(t, { features: totpFeatures().slice(0, 1) })
  const { secret, headers, codes } = await built.enrol()
  t.equal(codes, null)
  const { ticket, steps } = await built.pend()
  t.same(steps, [{ name: 'totp' }])
  t.equal((await built.answer('totp', ticket, built.codeOf(secret))).statusCode, 200)
  assertErrorReply(t, await built.send('DELETE', TOTP, { code: '0000-0000-0000-0000' }, headers), 400, 'TOTP_CODE_INVALID')
})

t.test('RST-09, RST-13: a reset by mail neither removes an app nor skips it', async (t) => {
  const built = await buildTotpApp(t)
  const { secret } = await built.enrol()
  const password = 'excalibur-2'
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  const token = await built.tokenOf('onAfterForgotPassword')
  const reset = await built.send('POST', '/auth/reset-password', { token, password })
  t.equal(reset.statusCode, 200)
  t.equal(reset.headers['set-cookie'], undefined)
  const login = await built.login('jwt', ARTHUR, password)
  t.equal(login.statusCode, 403)
  const { ticket } = login.json<{ detail: { ticket: string } }>().detail
  t.equal((await built.answer('totp', ticket, built.codeOf(secret))).statusCode, 200)
})

t.test('RST-13: the first proof of a mailbox that replaces the password removes all factors and recovery codes', async (t) => {
  const password = 'excalibur-2'
  for (const way of ['reset', 'confirmEmail', 'superuser']) {
    const built = await buildTotpApp(t)
    const { app, send } = built
    const mordred = 'mordred@orkney.bt'
    const { user } = await built.enrol(mordred)
    built.clock.tick(30 * 86_400)
    const moved = await app.users.update(user, { email: ARTHUR })
    t.equal(moved.is_verified, false)
    if (way === 'reset') {
      await app.users.forgotPassword(ARTHUR)
      const token = await built.tokenOf('onAfterForgotPassword')
      t.equal((await send('POST', '/auth/reset-password', { token, password })).statusCode, 200)
    } else if (way === 'confirmEmail') {
      await app.users.confirmEmail(moved)
      await app.users.update(moved, { password })
    } else {
      await app.users.update(moved, { is_verified: true, password })
    }
    t.match(await app.users.feature('totp').state(user), { active: false }, way)
    t.match(await app.users.feature('recovery-codes').state(user), { remaining: 0 }, way)
    t.equal((await built.login('jwt', ARTHUR, password)).statusCode, 200, way)
  }
})

t.test("RST-13: a user with a second factor proves a new e-mail first, also with sensitiveChanges: 'immediate'", async (t) => {
  const built = await buildTotpApp(t)
  const { send, tokenOf } = built
  const { user, headers } = await built.enrol()
  const reply = await send('PATCH', '/users/me', { email: 'mordred@orkney.bt' }, headers)
  t.match([reply.statusCode, reply.json()], [200, { email: ARTHUR, is_verified: true }])
  t.equal((await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })).statusCode, 200)
  t.match(await built.app.users.get(user.id), { email: 'mordred@orkney.bt', is_verified: true })
  t.match(await built.app.users.feature('totp').state(user), { active: true })
})

t.test('a pending login fits into the cookie of a login with a provider in the browser', async (t) => {
  const passwords = await loadOneTimePasswords('A service with a long name of sixty-four characters, to be sure.')
  const shown = passwords.describe(passwords.generateSecret(), `${'k'.repeat(64)}@${'camelot.'.repeat(20)}example`)
  const codes = Array.from({ length: 10 }, () => '9KQ2-7XDM-4RJT-0VWB')
  const steps = [{ name: 'totp-enrol', ...shown, recovery_codes: codes }, { name: 'recovery-code' }]
  const { fragment, detail } = splitPending({ code: 'LOGIN_STEP_REQUIRED', ticket: 'x', steps })
  t.equal(fragment, 'ticket=x&steps=totp-enrol,recovery-code')
  const { secret, url } = shown
  t.same(detail, {
    code: 'LOGIN_STEP_REQUIRED',
    steps: [{ name: 'totp-enrol', secret, url, recovery_codes: codes }, { name: 'recovery-code' }]
  })
  t.ok(encodeURIComponent(JSON.stringify(detail)).length < 3500)
})

t.test('SES-06: a password reset that overlaps the addition of an app stays in effect, and the app is removed', async (t) => {
  const password = 'another-pass-word-1'
  const store = watchedAdapter(memory())
  let hasColumn = true
  /** Returns rows of users without the stamp, as from a table without this column. */
  const shown = (model: string, row: unknown): unknown => {
    if (hasColumn || model !== 'user' || row === null || typeof row !== 'object') return row
    const { session_stamp: _stamp, ...rest } = row as Record<string, unknown>
    return rest
  }
  /** Runs `work` once, before or after the call of the store that matches. */
  const once = (when: 'before' | 'after', method: string, model: string, work: () => Promise<unknown>, from = ''): void => {
    let isArmed = from === ''
    let isDone = false
    store.watch(async (call) => {
      const matches = isArmed && !isDone && call.method === method && call.model.name === model
      isArmed ||= call.model.name === from
      isDone ||= matches
      if (matches && when === 'before') await work()
      const result = shown(call.model.name, await call.proceed())
      if (matches && when === 'after') await work()
      return result
    })
  }
  const watchNothing = (): void => store.watch(async ({ model, proceed }) => shown(model.name, await proceed()))
  let isRequired = true
  const built = await buildTotpApp(t, { adapter: store.adapter, secondFactors: { required: () => isRequired } })
  const prepare = async (email: string): Promise<() => Promise<void>> => {
    await built.create({ email, is_verified: true })
    await built.app.users.forgotPassword(email)
    const token = await built.tokenOf('onAfterForgotPassword')
    return async () => {
      t.equal((await built.send('POST', '/auth/reset-password', { token, password })).statusCode, 200)
    }
  }
  const isFree = async (email: string): Promise<void> => {
    watchNothing()
    isRequired = false
    t.equal((await built.login('jwt', email, password)).statusCode, 200, 'the owner logs in without the app of another person')
    t.strictSame(await store.rows('totp'), [])
    t.strictSame(await store.rows('recovery_codes'), [])
    isRequired = true
  }
  for (const [when, method, model, column] of [
    ['after', 'delete', 'single_use', true],
    ['before', 'create', 'totp', true],
    ['after', 'create', 'totp', true],
    ['after', 'delete', 'single_use', false],
    ['before', 'create', 'totp', false]
  ] as const) {
    const email = `${when}-${method}-${column ? 'stamp' : 'hash'}@camelot.bt`
    hasColumn = column
    watchNothing()
    const reset = await prepare(email)
    const { ticket, steps } = await built.pend(email)
    const secret = String(steps.find(({ name }) => name === 'totp-enrol')?.['secret'])
    once(when, method, model, reset)
    assertErrorReply(t, await built.answer('totp-enrol', ticket, built.codeOf(secret)), 400, 'LOGIN_TICKET_INVALID')
    await isFree(email)
  }

  hasColumn = true
  watchNothing()
  isRequired = false
  const reset = await prepare(ARTHUR)
  const headers = await built.session()
  const begun = await built.begin(headers)
  once('before', 'update', 'user', reset, 'totp')
  const reply = await built.confirm(headers, begun)
  assertErrorReply(t, reply, 401, 'UNAUTHENTICATED', 'Unauthorized')
  t.strictSame(reply.cookies.filter(({ value }) => value !== ''), [], 'the session is not renewed')
  await isFree(ARTHUR)
})

t.test('SES-06, TOTP-05: a login that began before the first factor was added gets no session, also if the stamp stays', async (t) => {
  const store = watchedAdapter(memory())
  const backends = [{ name: 'jwt', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86400 }) }]
  const built = await buildTotpApp(t, { adapter: store.adapter, backends })
  await built.create({ is_verified: true })
  const own = await built.bearer(ARTHUR)
  const begun = await built.begin(own)
  let isAdded = false
  store.watch(async ({ method, model, proceed }) => {
    if (!isAdded && method === 'create' && model.name === 'accesstoken') {
      isAdded = true
      t.equal((await built.confirm(own, begun)).statusCode, 201)
    }
    return await proceed()
  })
  assertErrorReply(t, await built.login('jwt', ARTHUR), 400, 'LOGIN_BAD_CREDENTIALS')
  t.ok(isAdded)
  t.equal((await store.rows('accesstoken')).length, 1, 'the session that added the app continues')
  t.equal((await built.send('GET', '/users/me', undefined, own)).statusCode, 200)
})
