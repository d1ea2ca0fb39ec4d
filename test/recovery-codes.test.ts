import t from 'tap'
import { generateCode, readRecoveryCode } from '../lib/features/recovery-codes/code-format.js'
import { recoveryCodeModel } from '../lib/features/recovery-codes/model.js'
import { memory } from '../lib/entries/memory.js'
import { withSlowReads } from '../lib/testing/slow-reads.js'
import type { Mail } from '../lib/index.js'
import { passkeys } from '../lib/features/passkeys/index.js'
import { uuidId } from '../schemas/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { createAuthenticator } from './helpers/authenticator.js'
import { ORIGIN } from './helpers/browser.js'
import { ARTHUR, assertErrorReply, assertValidationError } from './helpers/build-app.js'
import type { Creation } from './helpers/passkey-app.js'
import { buildTotpApp, RECOVERY, TOTP, totpFeatures } from './helpers/totp-app.js'

const model = recoveryCodeModel(uuidId())
const LANCELOT = 'lancelot@camelot.bt'

t.test('TOTP-08: codes have 80 random bits in four groups, and are read leniently', async (t) => {
  const codes = Array.from({ length: 1000 }, generateCode)
  t.equal(new Set(codes).size, 1000)
  t.equal(16 * Math.log2(32), 80)
  const characters = new Set(codes.join('').replaceAll('-', ''))
  t.equal(characters.size, 32, 'all characters occur')
  for (const code of codes.slice(0, 20)) {
    t.match(code, /^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}$/)
    const plain = code.replaceAll('-', '')
    for (const form of [code, plain, code.toLowerCase(), code.replaceAll('-', ' '), ` ${code} `, plain.replaceAll('0', 'O').replaceAll('1', 'l')]) {
      t.equal(readRecoveryCode(form), plain, form)
    }
  }
  const others = [
    '', ' ', '0000-0000-0000-000', '0000-0000-0000-00000', 'U000-0000-0000-0000', '００００-0000-0000-0000',
    '0000\0-0000-0000-0000', '0000\n0000-0000-0000', '0000–0000–0000–0000', '0'.repeat(100_000)
  ]
  for (const other of others) t.equal(readRecoveryCode(other), null, JSON.stringify(other.slice(0, 30)))
})

t.test('TOTP-08: codes are stored as digests, work once in any spelling, and only for their user', async (t) => {
  const adapter = memory()
  const built = await buildTotpApp(t, { adapter })
  const { codes, headers } = await built.enrol()
  const lancelot = await built.enrol(LANCELOT)
  const rows = JSON.stringify(await adapter.findMany(model, {}, { limit: 10 }))
  for (const code of codes) {
    t.notOk(rows.includes(code))
    t.notOk(rows.includes(code.replaceAll('-', '')))
  }
  const [first = '', second = ''] = codes
  const refuse = async (code: unknown, name: string, email = ARTHUR): Promise<void> => {
    assertErrorReply(t, await built.loginWith('recovery-code', code, email), 400, 'RECOVERY_CODE_INVALID', undefined, name)
  }
  await refuse(first, 'the code of another user', LANCELOT)
  t.equal((await built.loginWith('recovery-code', first.toLowerCase().replaceAll('-', ' '))).statusCode, 200)
  await refuse(first, 'a used code')
  await refuse('0000-0000-0000-0000', 'an unknown code')
  await refuse(`${second}0`, 'a longer code')
  await refuse(second.slice(1), 'a shorter code')
  await refuse(built.codeOf(lancelot.secret), 'a code of an app')
  const { ticket } = await built.pend()
  for (const code of [7, null, true, ['x'], { $ne: 1 }, '', 'x'.repeat(65)]) {
    assertValidationError(t, await built.answer('recovery-code', ticket, code), ['/code'], JSON.stringify(code))
  }
  t.equal((await built.answer('recovery-code', ticket, second)).statusCode, 200)
  const state = await built.send('GET', RECOVERY, undefined, headers)
  t.match(state.json(), { remaining: 8, created_at: /^2030-01-01/ })
  t.same(Object.keys(state.json()), ['remaining', 'created_at'])
  t.equal((await built.send('GET', RECOVERY)).statusCode, 401)
})

t.test('TOTP-08: new codes replace all former ones at once, also in parallel', async (t) => {
  const built = await buildTotpApp(t, { adapter: withSlowReads(memory(), 1) })
  const { codes, headers: enrolled, secret, user } = await built.enrol()
  const headers = await built.present(enrolled, secret)
  const replies = await Promise.all([1, 2, 3].map(() => built.send('POST', RECOVERY, undefined, headers)))
  t.same(replies.map(({ statusCode }) => statusCode), [201, 201, 201])
  const sets = replies.map((reply) => reply.json<{ codes: string[] }>().codes)
  t.match(await built.app.users.feature('recovery-codes').state(user), { remaining: 10 }, 'one of the sets remains')
  const statuses = await Promise.all(sets.map(async ([code]) => (await built.loginWith('recovery-code', code)).statusCode))
  t.same(statuses.sort(), [200, 400, 400])
  t.equal((await built.loginWith('recovery-code', codes[0])).statusCode, 400, 'a former code')
  t.match(built.events.filter(({ name }) => name === 'onAfterCreateRecoveryCodes'), [
    { isReplacement: false }, { isReplacement: true }, { isReplacement: true }, { isReplacement: true }
  ])
})

t.test('TOTP-08: each use is mailed, with a request for new codes when few are left', async (t) => {
  const mails: Mail[] = []
  const mail = { from: 'no-reply@camelot.example', service: 'Camelot', send: (sent: Mail) => mails.push(sent) }
  const built = await buildTotpApp(t, { mail, publicUrl: 'https://camelot.example' })
  const { codes, headers, secret, user } = await built.enrol()
  for (const [n, code] of codes.entries()) {
    const remaining = 9 - n
    t.equal((await built.loginWith('recovery-code', code)).statusCode, 200)
    await built.app.users.settled()
    t.match(built.events.at(-1)?.name === 'onAfterUseRecoveryCode' ? built.events.at(-1) : built.events.findLast(({ name }) => name === 'onAfterUseRecoveryCode'), {
      user: { id: user.id }, remaining
    })
    const sent = mails.findLast(({ kind }) => kind === 'recoveryCodeUsed')
    t.match(sent, { to: ARTHUR, text: new RegExp(`Recovery codes left: ${remaining}`) })
    t.equal(/Create new ones/.test(String(sent?.text)), remaining <= 3, `${remaining} left`)
    t.notOk(String(sent?.text).includes(code))
  }
  t.same((await built.pend()).steps, [{ name: 'totp' }], 'without codes, the step is not offered')
  t.equal(mails.filter(({ kind }) => kind === 'recoveryCodeUsed').length, 10)
  const strong = await built.present(headers, secret)
  t.equal((await built.send('POST', RECOVERY, undefined, strong)).statusCode, 201)
  t.equal((await built.send('POST', RECOVERY, undefined, strong)).statusCode, 201)
  await built.app.users.settled()
  t.equal(mails.filter(({ kind }) => kind === 'recoveryCodesReplaced').length, 1, 'codes after none replace nothing')
})

t.test('TOTP-09: a session that shows no second factor creates no recovery codes, whatever sensitiveChanges is', async (t) => {
  for (const sensitiveChanges of ['immediate', 'confirm'] as const) {
    const built = await buildTotpApp(t, { sensitiveChanges })
    const { codes, headers, secret } = await built.enrol()
    const refused = await built.send('POST', RECOVERY, {}, headers)
    assertErrorReply(t, refused, 401, 'INSUFFICIENT_USER_AUTHENTICATION', refused.json<{ detail: object }>().detail)
    for (const password of [7, null, true, ['x'], {}]) {
      const reply = await built.send('POST', RECOVERY, { current_password: password }, headers)
      assertValidationError(t, reply, ['/current_password'], `${sensitiveChanges}: ${JSON.stringify(password)}`)
    }
    t.equal((await built.loginWith('recovery-code', codes[0])).statusCode, 200, 'the former codes are valid')
    t.equal((await built.send('POST', RECOVERY, undefined, await built.present(headers, secret))).statusCode, 201)
  }
})

t.test('recovery codes need a second factor, and end with the last one', async (t) => {
  const built = await buildTotpApp(t)
  const { app, send } = built
  const user = await built.create({ is_verified: true })
  const headers = await built.session()
  assertErrorReply(t, await send('POST', RECOVERY, undefined, headers), 400, 'RECOVERY_CODES_NOT_NEEDED')
  await t.rejects(app.users.feature('recovery-codes').create(user), { code: 'FST_USERS_RECOVERY_CODES_NOT_NEEDED' })
  const lancelot = await built.enrol(LANCELOT)
  t.equal((await app.users.feature('recovery-codes').create(lancelot.user)).length, 10)
  t.equal((await built.loginWith('recovery-code', lancelot.codes[0], LANCELOT)).statusCode, 400)
  t.equal((await send('DELETE', TOTP, { code: built.codeOf(lancelot.secret) }, lancelot.headers)).statusCode, 204)
  t.match(await app.users.feature('recovery-codes').state(lancelot.user), { remaining: 0, created_at: null })
  t.equal(await app.users.feature('recovery-codes').remove(lancelot.user), false)
})

t.test('RST-13: an unverified user gets no recovery codes, and the first factor replaces older codes', async (t) => {
  const adapter = memory()
  const built = await buildTotpApp(t, { adapter })
  const { codes, user, headers } = await built.enrol()
  await built.app.users.update(user, { is_verified: false })
  t.equal((await built.send('POST', RECOVERY, undefined, headers)).statusCode, 403)
  await built.app.users.update(user, { is_verified: true })
  const [old] = await adapter.findMany(model, {}, { limit: 1 })
  await built.app.users.removeSecondFactors(user)
  t.equal(await adapter.findOne(model, {}), null)
  await adapter.create(model, { ...old }) // for example by a request that was still running
  const session = await built.session()
  const confirmed = await built.confirm(session, await built.begin(session))
  const fresh = confirmed.json<{ recovery_codes: string[] }>().recovery_codes
  t.equal(fresh.length, 10)
  assertErrorReply(t, await built.loginWith('recovery-code', codes[0]), 400, 'RECOVERY_CODE_INVALID')
  t.equal((await built.loginWith('recovery-code', fresh[0])).statusCode, 200)
})

t.test('TOTP-08, DEP-03: codes whose deletion failed do not open a later passkey', async (t) => {
  const store = watchedAdapter(memory())
  const features = [...totpFeatures(), passkeys()]
  const built = await buildTotpApp(t, { adapter: store.adapter, publicUrl: ORIGIN, features })
  const { send } = built
  const { secret, headers, codes } = await built.enrol()
  store.watch(({ method, model, proceed }) => {
    if (method !== 'delete' || model.name !== 'recovery_codes') return proceed()
    throw Object.assign(new Error('lost'), { code: 'ECONNRESET' })
  })
  t.equal((await send('DELETE', TOTP, { code: built.codeOf(secret) }, headers)).statusCode, 503)
  store.watch()
  const session = await built.session() // no factor is left
  t.match((await send('GET', RECOVERY, undefined, session)).json(), { remaining: codes.length })

  const { ticket, options } = (await send('POST', '/users/me/passkeys/options', undefined, session)).json<Creation>()
  const credential = createAuthenticator(ORIGIN).create(options)
  t.equal((await send('POST', '/users/me/passkeys', { ticket, credential }, session)).statusCode, 201)
  const { steps } = await built.pend()
  t.strictSame(steps.map(({ name }) => name), ['passkey'])
})
