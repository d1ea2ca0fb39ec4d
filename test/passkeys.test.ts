import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { Passkey } from '../lib/features/passkeys/index.js'
import type { PasskeysOptions } from '../lib/features/passkeys/index.js'
import { passkeys } from '../lib/features/passkeys/index.js'
import { loadLibrary } from '../lib/features/passkeys/library.js'
import { passkeyModel, type PasskeyRow } from '../lib/features/passkeys/model.js'
import type { CaptchaProvider } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { uuidId } from '../schemas/index.js'
import { cborBytes, cborList, cborMap, type AlgorithmName, type Mutations } from './helpers/authenticator.js'
import {
  ARTHUR,
  assertErrorReply,
  assertValidationError,
  buildApp,
  comparableReply,
  PASSWORD,
  type TestApp
} from './helpers/build-app.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { everyStore } from './helpers/every-store.js'
import { totpFeatures } from './helpers/totp-app.js'
import { bearerOf, buildWithPasskeys, cookiesOf, PASSKEYS, PUBLIC_URL, type Assertion, type Creation, type Headers } from './helpers/passkey-app.js'

const LANCELOT = 'lancelot@camelot.bt'
const model = passkeyModel(uuidId())
const statusOf = async ({ send }: TestApp, headers: Record<string, string>): Promise<number> =>
  (await send('GET', '/guarded', undefined, headers)).statusCode
const stepOf = (reply: LightMyRequestResponse): { ticket: string; steps: { name: string; options: never }[] } =>
  reply.json<{ detail: never }>().detail

for (const store of everyStore) {
  t.test(`${store.name}: a passkey is added, listed, used, renamed and deleted`, store.options, async (t) => {
    const create = await store.open(t)
    const adapter = create()
    const built = await buildWithPasskeys(t, { adapter })
    const device = built.device({ counts: true })
    const added = await built.own(device)
    t.match(added, {
      name: 'Passkey',
      device_type: 'multi_device',
      backed_up: true,
      transports: ['hybrid', 'internal'],
      verifies_user: true,
      last_used_at: null
    })
    const entered = await built.enter(device)
    t.equal(entered.statusCode, 200)
    const session = bearerOf(entered)
    t.match((await built.send('GET', '/guarded', undefined, session)).json(), { user: { id: built.user.id } })
    t.strictSame((await built.send('GET', '/methods', undefined, session)).json(), ['passkey'])
    const [listed] = (await built.send('GET', PASSKEYS, undefined, session)).json<Passkey[]>()
    t.match(listed, { ...added, last_used_at: /^20/ })
    const renamed = await built.send('PATCH', `${PASSKEYS}/${added.id}`, { name: ' Round table ' }, session)
    t.match(renamed.json(), { id: added.id, name: 'Round table' })
    // long ids, and the unique key over all users
    const long = await built.add(built.device(), session, { credentialId: Buffer.alloc(1023, 7) })
    t.equal(long.statusCode, 201, 'an id of 1023 bytes')
    const again = await built.sessionOf()
    assertErrorReply(t, await built.add(built.device(), again, { credentialId: Buffer.alloc(1023, 7) }), 400, 'PASSKEY_ALREADY_REGISTERED')
    t.match((await built.app.users.exportData(built.user)), { features: { passkeys: { passkeys: [{ id: added.id }, { name: 'Passkey' }] } } })
    t.equal((await built.send('DELETE', `${PASSKEYS}/${added.id}`, undefined, again)).statusCode, 204)
    assertErrorReply(t, await built.enter(device), 400, 'PASSKEY_INVALID')
    await built.app.users.delete(built.user.id)
    t.strictSame(await adapter.findMany(model, {}, { limit: 10 }), [], 'passkeys are deleted with their user')
  })

  t.test(`PK-04: ${store.name}: of parallel answers with one counter, one logs in, and no count is lost`, store.options, async (t) => {
    const create = await store.open(t)
    const built = await buildWithPasskeys(t, { adapter: create() })
    const device = built.device({ counts: true })
    await built.own(device)
    const begun = await Promise.all([1, 2, 3, 4].map(() => built.ask()))
    const same = await Promise.all(begun.map((each) => built.answer(each, device.get(each.options, { signCount: 40 }))))
    t.strictSame(same.map(({ statusCode }) => statusCode).sort(), [200, 400, 400, 400])
    assertErrorReply(t, await built.enter(device, { signCount: 39 }), 400, 'PASSKEY_INVALID')
    t.equal((await built.enter(device, { signCount: 41 })).statusCode, 200)
  })
}

t.test('PK-02: all offered algorithms work, and one that was not offered is refused', async (t) => {
  const built = await buildWithPasskeys(t)
  for (const algorithm of ['ES256', 'RS256', 'EdDSA'] as const satisfies AlgorithmName[]) {
    const device = built.device({ algorithm })
    await built.own(device)
    t.equal((await built.enter(device)).statusCode, 200, algorithm)
    t.equal((await built.enter(device)).statusCode, 200, `${algorithm} again: a counter that stays 0 is normal`)
  }
  const { options } = await built.begin(await built.sessionOf())
  t.match(options, {
    rp: { id: 'camelot.example', name: 'camelot.example' },
    pubKeyCredParams: [{ alg: -8 }, { alg: -7 }, { alg: -257 }],
    attestation: 'none',
    authenticatorSelection: { residentKey: 'required', userVerification: 'preferred' }
  })
  assertErrorReply(t, await built.add(built.device({ algorithm: 'ES384' }), await built.sessionOf()), 400, 'PASSKEY_INVALID')
})

t.test('PK-02, PK-03: a changed answer of a known passkey is refused', async (t) => {
  const built = await buildWithPasskeys(t)
  await built.create({ email: LANCELOT, is_verified: true })
  const device = built.device()
  await built.own(device)
  const foreign = built.device()
  await built.own(foreign, LANCELOT)
  const cases: Record<string, Mutations> = {
    'another origin': { origin: 'https://mordred.example' },
    'a subdomain': { origin: 'https://www.camelot.example' },
    'another port': { origin: 'https://camelot.example:8443' },
    'no origin': { origin: '' },
    'another RP ID': { rpId: 'mordred.example' },
    'another challenge': { challenge: 'a'.repeat(43) },
    'an empty challenge': { challenge: '' },
    'the type of a registration': { type: 'webauthn.create' },
    'no user presence': { userPresent: false },
    'no user verification': { userVerified: false },
    'neither presence nor verification': { userPresent: false, userVerified: false },
    'a changed signature': { signature: (signature) => Buffer.from(signature.map((byte, at) => at === 12 ? byte ^ 1 : byte)) },
    'an empty signature': { signature: () => Buffer.from('0') },
    'a page in a frame of another site': { crossOrigin: true },
    'a named page around it': { crossOrigin: true, topOrigin: 'https://mordred.example' },
    'a page around it without crossOrigin': { topOrigin: PUBLIC_URL },
    'the user handle of another user': { userHandle: foreign.credentials[0]?.userHandle ?? '' },
    'no user handle': { userHandle: null },
    'an empty user handle': { userHandle: '' },
    'another backup eligibility': { backupEligible: false, backedUp: false },
    'impossible backup flags': { backupEligible: false, backedUp: true }
  }
  for (const [name, mutations] of Object.entries(cases)) {
    assertErrorReply(t, await built.enter(device, mutations), 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', name)
  }
  t.equal((await built.enter(device)).statusCode, 200, 'the unchanged answer is accepted')
  const [own] = device.credentials
  const [other] = foreign.credentials
  if (own === undefined || other === undefined) throw new Error('no credentials')
  const begun = await built.ask()
  const stolenId = { ...device.get(begun.options), id: other.id.toString('base64url'), rawId: other.id.toString('base64url') }
  assertErrorReply(t, await built.answer(begun, stolenId), 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', 'the id of the passkey of another user')
  const unknown = built.device()
  unknown.create({ rp: { id: 'camelot.example' }, user: { id: own.userHandle }, challenge: 'x' })
  assertErrorReply(t, await built.enter(unknown), 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', 'an unknown passkey')
})

t.test('PK-02, PK-03, PK-07: a changed registration is refused', async (t) => {
  const built = await buildWithPasskeys(t)
  const certificates = cborMap([
    ['alg', Buffer.from([0x26])], ['sig', cborBytes(Buffer.alloc(70))], ['x5c', cborList([cborBytes(Buffer.alloc(100))])]
  ])
  const cases: Record<string, Mutations> = {
    'another origin': { origin: 'https://mordred.example' },
    'another RP ID': { rpId: 'mordred.example' },
    'another challenge': { challenge: 'a'.repeat(43) },
    'the type of a login': { type: 'webauthn.get' },
    'no user presence': { userPresent: false },
    'a page in a frame of another site': { crossOrigin: true },
    'a page around it': { crossOrigin: true, topOrigin: 'https://mordred.example' },
    'an id that is too long': { credentialId: Buffer.alloc(1024, 1) },
    'an attestation with certificates': { format: 'packed', statement: certificates },
    'an attestation of another form': { format: 'fido-u2f', statement: certificates },
    'an unknown form': { format: 'camelot' },
    'a statement without a form': { statement: certificates },
    'a self attestation without a signature': { format: 'packed' }
  }
  for (const [name, mutations] of Object.entries(cases)) {
    const reply = await built.add(built.device(), await built.sessionOf(), mutations)
    if (name.startsWith('an id')) assertValidationError(t, reply, ['/credential/id', '/credential/rawId'], name)
    else assertErrorReply(t, reply, 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', name)
  }
  const session = await built.sessionOf()
  const { ticket, options } = await built.begin(session)
  const short = { ...built.device().create(options, { credentialId: Buffer.alloc(1024, 1) }), id: 'AAAA', rawId: 'AAAA' }
  const reply = await built.send('POST', PASSKEYS, { ticket, credential: short }, session)
  assertErrorReply(t, reply, 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', 'the outer id differs from the signed one')
  t.strictSame((await built.send('GET', PASSKEYS, undefined, await built.sessionOf())).json(), [], 'nothing is stored')
  const self = built.device()
  t.equal((await built.add(self, await built.sessionOf(), { selfAttestation: true })).statusCode, 201, 'self attestation is accepted')
  t.equal((await built.enter(self)).statusCode, 200)
})

t.test('PK-01: a ticket works once, for its purpose, its session and its time', async (t) => {
  const built = await buildWithPasskeys(t, {}, { signUp: true })
  await built.create({ email: LANCELOT, is_verified: true })
  const device = built.device()
  await built.own(device)
  const refuse = (reply: LightMyRequestResponse, name: string): void => {
    assertErrorReply(t, reply, 400, 'PASSKEY_CHALLENGE_INVALID', 'PASSKEY_CHALLENGE_INVALID', name)
  }

  const used = await built.ask()
  t.equal((await built.answer(used, device.get(used.options))).statusCode, 200)
  refuse(await built.answer(used, device.get(used.options)), 'a used ticket')
  const failed = await built.ask()
  assertErrorReply(t, await built.answer(failed, device.get(failed.options, { origin: 'https://mordred.example' })), 400, 'PASSKEY_INVALID')
  refuse(await built.answer(failed, device.get(failed.options)), 'a ticket after a refused answer')
  const late = await built.ask()
  const inTime = await built.ask()
  built.tick(299)
  t.equal((await built.answer(inTime, device.get(inTime.options))).statusCode, 200)
  built.tick(2)
  refuse(await built.answer(late, device.get(late.options)), 'an expired ticket')
  const parallel = await built.ask()
  const replies = await Promise.all([1, 2, 3].map(() => built.answer(parallel, device.get(parallel.options))))
  t.strictSame(replies.map(({ statusCode }) => statusCode).sort(), [200, 400, 400], 'of parallel answers, one is accepted')

  const arthur = await built.sessionOf()
  const lancelot = await built.sessionOf(LANCELOT)
  const started = await built.begin(arthur)
  refuse(await built.answer(started as never, device.get({ ...started.options, rpId: 'camelot.example' })), 'the ticket of a registration')
  const registering = await built.begin(arthur)
  const credential = built.device().create(registering.options)
  refuse(await built.send('POST', PASSKEYS, { ticket: registering.ticket, credential }, lancelot), 'the ticket of another user')
  refuse(await built.send('POST', PASSKEYS, { ticket: registering.ticket, credential }, arthur), 'which is then used up')
  const other = await built.begin(arthur)
  const secondSession = await built.sessionOf()
  const elsewhere = { ticket: other.ticket, credential: built.device().create(other.options) }
  refuse(await built.send('POST', PASSKEYS, elsewhere, secondSession), 'the ticket of another session of the user')
  const signUp = (await built.send('POST', '/auth/register/passkey/options', { email: 'galahad@camelot.bt' })).json<Creation>()
  const forOther = { ticket: signUp.ticket, credential: built.device().create(signUp.options) }
  refuse(await built.send('POST', PASSKEYS, forOther, arthur), 'the ticket of a sign-up')
})

t.test('PK-01: at a backend with cookies, a login is bound to its browser and its site', async (t) => {
  const built = await buildWithPasskeys(t)
  const device = built.device()
  await built.own(device)
  const entered = await built.enter(device, {}, 'cookie')
  t.equal(entered.statusCode, 204)
  const cookies = [entered.headers['set-cookie'] ?? []].flat()
  t.ok(cookies.some((cookie) => /^__Host-users-passkey=;.*Max-Age=0/.test(cookie)), 'the cookie of the ceremony is deleted')
  t.equal(await statusOf(built, { cookie: cookies.at(-1)?.split(';')[0] ?? '' }), 200)
  for (const headers of [{}, (await built.ask('cookie')).headers]) {
    const begun = await built.ask('cookie')
    t.match(begun.headers, { cookie: /^__Host-users-passkey=/ })
    const reply = await built.answer({ ...begun, headers }, device.get(begun.options), 'cookie')
    assertErrorReply(t, reply, 400, 'PASSKEY_CHALLENGE_INVALID')
  }
  const begun = await built.ask('cookie')
  assertErrorReply(t, await built.answer({ ...begun, headers: {} }, device.get(begun.options)), 400, 'PASSKEY_CHALLENGE_INVALID')
  const bearer = await built.ask()
  assertErrorReply(t, await built.answer(bearer, device.get(bearer.options), 'cookie'), 400, 'PASSKEY_CHALLENGE_INVALID')
  for (const path of ['/auth/cookie/passkey/options', '/auth/cookie/passkey']) {
    const reply = await built.send('POST', path, {}, { origin: 'https://mordred.example', 'sec-fetch-site': 'cross-site' })
    assertErrorReply(t, reply, 403, 'CROSS_SITE_REQUEST', 'Forbidden', path)
  }
})

t.test('PK-01, PK-02: bodies of other forms are refused before any work', async (t) => {
  const built = await buildWithPasskeys(t)
  const device = built.device()
  await built.own(device)
  const { options } = await built.ask()
  const right = device.get(options)
  const broken: unknown[] = [
    undefined, null, 7, 'text', [], {}, { ...right, type: 'password' }, { ...right, id: '' }, { ...right, id: 7 },
    { ...right, id: 'a+b/' }, { ...right, rawId: undefined }, { ...right, response: null }, { ...right, response: [] },
    { ...right, response: { ...right.response, clientDataJSON: 'x'.repeat(5000) } },
    { ...right, response: { ...right.response, signature: {} } },
    { ...right, response: { ...right.response, userHandle: 7 } }
  ]
  for (const credential of broken) {
    const reply = await built.send('POST', '/auth/jwt/passkey', { ticket: 'x', credential })
    t.equal(reply.statusCode, 400, JSON.stringify(credential)?.slice(0, 60))
    t.equal(reply.json<{ code: string }>().code, 'FST_ERR_VALIDATION')
  }
  // each of these texts is base64url, but no JSON, no CBOR or no authenticator data
  for (const clientDataJSON of ['AAAA', 'bnVsbA', 'e30', 'W10', 'eyJjaGFsbGVuZ2UiOjd9', 'eyJjaGFsbGVuZ2UiOiJ4IiwiY3Jvc3NPcmlnaW4iOiJubyJ9']) {
    const begun = await built.ask()
    const reply = await built.answer(begun, { ...right, response: { ...right.response, clientDataJSON } })
    assertErrorReply(t, reply, 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', clientDataJSON)
  }
  for (const authenticatorData of ['AAAA', 'A'.repeat(49), 'A'.repeat(4096)]) {
    const begun = await built.ask()
    const credential = device.get(begun.options)
    const reply = await built.answer(begun, { ...credential, response: { ...credential.response, authenticatorData } })
    assertErrorReply(t, reply, 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', authenticatorData.slice(0, 10))
  }
  for (const attestationObject of ['AAAA', 'gYGBgYGBgYGB', Buffer.alloc(6000, 0x81).toString('base64url'), cborMap([]).toString('base64url')]) {
    const session = await built.sessionOf()
    const begun = await built.begin(session)
    const credential = built.device().create(begun.options)
    const response = { ...credential.response, attestationObject }
    const body = { ticket: begun.ticket, credential: { ...credential, response } }
    assertErrorReply(t, await built.send('POST', PASSKEYS, body, session), 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', attestationObject.slice(0, 10))
  }
  const large = await built.send('POST', '/auth/jwt/passkey', { ticket: 'x', credential: 'x'.repeat(1_100_000) })
  t.equal(large.statusCode, 413)
})

t.test('PK-04: a counter that does not grow is refused and reported, or only reported', async (t) => {
  for (const whenCloned of ['refuse', 'report'] as const) {
    const built = await buildWithPasskeys(t, {}, { whenCloned })
    const device = built.device({ counts: true })
    await built.own(device)
    t.equal((await built.enter(device, { signCount: 9 })).statusCode, 200)
    for (const signCount of [9, 8, 0]) {
      const { statusCode } = await built.enter(device, { signCount })
      t.equal(statusCode, whenCloned === 'refuse' ? 400 : 200, `${whenCloned}: ${signCount} after 9`)
    }
    const warnings = built.events.filter(({ name }) => name === 'onPasskeyCloned')
    t.equal(warnings.length, 3)
    t.match(warnings[0], { user: { email: ARTHUR }, passkey: { name: 'Passkey' }, refused: whenCloned === 'refuse' })
    t.equal((await built.enter(device, { signCount: 10 })).statusCode, 200, 'the largest count is kept')
  }
})

t.test('PK-05: the options of a login are the same for everyone', async (t) => {
  const built = await buildWithPasskeys(t)
  const before = await built.send('POST', '/auth/jwt/passkey/options', { email: ARTHUR })
  await built.own(built.device())
  const after = await built.send('POST', '/auth/jwt/passkey/options', { email: ARTHUR })
  const shapeOf = (reply: LightMyRequestResponse): object => {
    const { ticket, options } = reply.json<Assertion>()
    t.match(options, { allowCredentials: [], userVerification: 'required', rpId: 'camelot.example', challenge: /^[\w-]{43}$/ })
    const body = { ...options, challenge: options.challenge.length, ticket: ticket.length }
    return { ...comparableReply(reply), body }
  }
  t.strictSame(shapeOf(after), shapeOf(before))
})

t.test('PK-06: only a verified user with a session adds a passkey, and only its owner changes it', async (t) => {
  const built = await buildWithPasskeys(t)
  await built.create({ email: LANCELOT })
  const lancelot = await built.sessionOf(LANCELOT)
  const added = await built.own(built.device())
  assertErrorReply(t, await built.send('POST', `${PASSKEYS}/options`, undefined, lancelot), 403, 'FORBIDDEN', 'Forbidden')
  assertErrorReply(t, await built.send('POST', `${PASSKEYS}/options`), 401, 'UNAUTHENTICATED', 'Unauthorized')
  const unknownId = 'A'.repeat(43)
  for (const [method, body] of [['PATCH', { name: 'mine' }], ['DELETE', undefined]] as const) {
    const foreign = await built.send(method, `${PASSKEYS}/${added.id}`, body, lancelot)
    const unknown = await built.send(method, `${PASSKEYS}/${unknownId}`, body, lancelot)
    t.strictSame(comparableReply(foreign), comparableReply(unknown), `${method}: a foreign id looks like an unknown one`)
    assertErrorReply(t, foreign, 404, 'PASSKEY_NOT_FOUND', 'Not Found')
  }
  for (const name of [' ', '\u0000', '\ud800', 'a\nb']) {
    const reply = await built.send('PATCH', `${PASSKEYS}/${added.id}`, { name }, await built.sessionOf())
    assertErrorReply(t, reply, 400, 'PASSKEY_NAME_INVALID', 'PASSKEY_NAME_INVALID', JSON.stringify(name))
  }
  t.strictSame((await built.send('GET', PASSKEYS, undefined, lancelot)).json(), [])
})

t.test('PK-06, SES-06: adding and removing a passkey ends the other sessions and is reported', async (t) => {
  const built = await buildWithPasskeys(t)
  const acting = await built.sessionOf(ARTHUR, 'cookie')
  const other = await built.sessionOf()
  const reply = await built.add(built.device(), acting, {}, { name: 'Phone' })
  t.equal(reply.statusCode, 201)
  t.equal(await statusOf(built, other), 401, 'the other session has ended')
  const renewed = cookiesOf(reply)
  t.equal(await statusOf(built, renewed), 200, 'the acting session continues with a new cookie')
  t.match(built.events.at(-1), { name: 'onLoginMethodAdded', kind: 'passkey', method: 'passkey', user: { email: ARTHUR } })
  const bystander = await built.sessionOf()
  const removal = await built.send('DELETE', `${PASSKEYS}/${reply.json<Passkey>().id}`, undefined, renewed)
  t.equal(removal.statusCode, 204)
  t.equal(await statusOf(built, bystander), 401)
  t.match(built.events.at(-1), { name: 'onLoginMethodRemoved', kind: 'passkey', method: 'passkey' })
})

t.test('PK-06: the only login method cannot be deleted', async (t) => {
  const built = await buildWithPasskeys(t, {}, { signUp: true })
  const device = built.device()
  const { ticket, options } = (await built.send('POST', '/auth/register/passkey/options', { email: LANCELOT })).json<Creation>()
  const created = await built.send('POST', '/auth/register/passkey', { ticket, credential: device.create(options) })
  t.equal(created.statusCode, 201)
  t.match(created.json(), { email: LANCELOT, is_verified: false })
  const session = bearerOf(await built.enter(device))
  const [first] = (await built.send('GET', PASSKEYS, undefined, session)).json<Passkey[]>()
  assertErrorReply(t, await built.send('DELETE', `${PASSKEYS}/${first?.id}`, undefined, session), 400, 'PASSKEY_LAST_LOGIN_METHOD')
  t.equal((await built.enter(device)).statusCode, 200, 'the passkey is still there')
  await built.app.users.update((created.json<{ id: string }>()).id, { is_verified: true })
  t.equal((await built.enter(device)).statusCode, 200, 'a verification keeps the passkey of the registration')
  const present = built.device()
  await built.own(present, LANCELOT, { userVerified: false })
  const now = await built.sessionOf(LANCELOT)
  const again = await built.send('DELETE', `${PASSKEYS}/${first?.id}`, undefined, now)
  assertErrorReply(t, again, 400, 'PASSKEY_LAST_LOGIN_METHOD', 'PASSKEY_LAST_LOGIN_METHOD', 'a passkey without verification is not a login method')
  await built.own(built.device(), LANCELOT)
  t.equal((await built.send('DELETE', `${PASSKEYS}/${first?.id}`, undefined, await built.sessionOf(LANCELOT))).statusCode, 204)
})

t.test('PK-06: with sensitiveChanges, adding and deleting a passkey need a proof', async (t) => {
  const built = await buildWithPasskeys(t, { sensitiveChanges: 'confirm' })
  const session = await built.bearer(ARTHUR)
  const wrong = await built.send('POST', `${PASSKEYS}/options`, { current_password: 'wrong' }, session)
  assertErrorReply(t, wrong, 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
  const begun = await built.send('POST', `${PASSKEYS}/options`, { current_password: PASSWORD }, session)
  const { ticket, options } = begun.json<Creation>()
  const added = await built.send('POST', PASSKEYS, { ticket, credential: built.device().create(options) }, session)
  t.equal(added.statusCode, 201)
  const again = await built.sessionOf()
  const url = `${PASSKEYS}/${added.json<Passkey>().id}`
  built.tick(302)
  assertErrorReply(t, await built.send('DELETE', url, { current_password: PASSWORD }, again), 401, 'INSUFFICIENT_USER_AUTHENTICATION', {
    code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300, methods: 2
  })
})

t.test('a passkey is the second factor of a login with a password', async (t) => {
  const built = await buildWithPasskeys(t)
  const device = built.device()
  await built.own(device)
  for (const [mutations, methods] of [[{}, ['password', 'passkey']], [{ userVerified: false }, ['password', 'passkey-presence']]] as const) {
    const pending = await built.login('jwt', ARTHUR)
    assertErrorReply(t, pending, 403, 'LOGIN_PENDING', stepOf(pending))
    const { ticket, steps: [step] } = stepOf(pending)
    t.match(step, { name: 'passkey', options: { userVerification: 'preferred', allowCredentials: [{ type: 'public-key' }] } })
    const credential = device.get(step?.options as never, { userHandle: null, ...mutations })
    const reply = await built.send('POST', '/auth/jwt/login/passkey', { ticket, credential })
    t.equal(reply.statusCode, 200)
    t.strictSame((await built.send('GET', '/methods', undefined, bearerOf(reply))).json(), methods)
  }
  t.equal((await built.enter(device)).statusCode, 200, 'a login with the passkey alone needs no second step')
})

t.test('PK-01, PK-02, PK-03: wrong answers to the login step are refused, each challenge once', async (t) => {
  const built = await buildWithPasskeys(t)
  await built.create({ email: LANCELOT, is_verified: true })
  const device = built.device({ counts: true })
  await built.own(device)
  const foreign = built.device()
  await built.own(foreign, LANCELOT)
  const ask = async (): Promise<{ ticket: string; options: never }> => {
    const { ticket, steps } = stepOf(await built.login('jwt', ARTHUR))
    return { ticket, options: steps[0]?.options as never }
  }
  const answer = ({ ticket }: { ticket: string }, credential: unknown): Promise<LightMyRequestResponse> =>
    built.send('POST', '/auth/jwt/login/passkey', { ticket, credential })
  const cases: Record<string, (options: never) => unknown> = {
    'the passkey of another user': (options) => foreign.get(options),
    'another origin': (options) => device.get(options, { origin: 'https://mordred.example' }),
    'no user presence': (options) => device.get(options, { userPresent: false }),
    'the handle of another user': (options) => device.get(options, { userHandle: 'AAAA' }),
    'a counter that did not grow': (options) => device.get(options, { signCount: 1 })
  }
  for (const [name, make] of Object.entries(cases)) {
    const begun = await ask()
    assertErrorReply(t, await answer(begun, make(begun.options)), 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', name)
    const second = await answer(begun, device.get(begun.options))
    assertErrorReply(t, second, 400, 'PASSKEY_CHALLENGE_INVALID', 'PASSKEY_CHALLENGE_INVALID', `${name}: the challenge is used up`)
  }
  const pending = await ask()
  const login = await built.ask()
  assertErrorReply(t, await answer(pending, device.get(login.options)), 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', 'the challenge of a login')
  const required = await buildWithPasskeys(t, {}, { userVerification: 'required' })
  const strict = required.device()
  assertErrorReply(t, await required.add(strict, await required.sessionOf(), { userVerified: false }), 400, 'PASSKEY_INVALID')
  await required.own(strict)
  const { ticket, steps } = stepOf(await required.login('jwt', ARTHUR))
  const lowered = strict.get(steps[0]?.options as never, { userVerified: false })
  assertErrorReply(t, await required.send('POST', '/auth/jwt/login/passkey', { ticket, credential: lowered }), 400, 'PASSKEY_INVALID')
})

t.test('a user who needs a second factor and has none adds a passkey during the login', async (t) => {
  const built = await buildWithPasskeys(t, { secondFactors: { required: () => true } })
  const device = built.device()
  const { ticket, steps: [step] } = stepOf(await built.login('jwt', ARTHUR))
  t.equal(step?.name, 'passkey-enrol')
  const credential = device.create(step?.options as never)
  const reply = await built.send('POST', '/auth/jwt/login/passkey-enrol', { ticket, credential, name: 'Shield' })
  t.equal(reply.statusCode, 200)
  const session = bearerOf(reply)
  t.strictSame((await built.send('GET', '/methods', undefined, session)).json(), ['password', 'passkey'])
  t.match((await built.send('GET', PASSKEYS, undefined, session)).json(), [{ name: 'Shield' }])
  t.match(stepOf(await built.login('jwt', ARTHUR)).steps, [{ name: 'passkey' }], 'the next login asks for it')
  t.ok(built.events.some(({ name }) => name === 'onLoginMethodAdded'))
})

t.test('without secondFactor, passkeys do not change other logins', async (t) => {
  const built = await buildWithPasskeys(t, {}, { secondFactor: false })
  const device = built.device()
  await built.own(device)
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 200)
  t.equal((await built.enter(device)).statusCode, 200)
})

t.test('PK-02, TOTP-05: with a required factor, a passkey that is no second factor needs none if it verified its user', async (t) => {
  const built = await buildWithPasskeys(t, {
    features: totpFeatures(),
    secondFactors: { required: () => true }
  }, { secondFactor: false, userVerification: 'preferred' })
  const device = built.device()
  await built.own(device)
  for (const backend of ['jwt', 'cookie']) {
    const entered = await built.enter(device, {}, backend)
    t.equal(entered.statusCode, backend === 'jwt' ? 200 : 204, entered.body)
    const session = backend === 'jwt' ? bearerOf(entered) : cookiesOf(entered)
    t.strictSame((await built.send('GET', '/methods', undefined, session)).json(), ['passkey'])
    // the steps of the other ways in add a factor that counts, and no further passkey
    t.match(stepOf(await built.login(backend, ARTHUR)).steps.map(({ name }) => name), ['totp-enrol'])
  }
  for (const method of ['passkey-presence', 'email', 'oauth:openid']) {
    t.notOk((await built.app.users.login(built.user, { backend: 'jwt', method })).issued, method)
  }
})

t.test('logins with a passkey pass the checks and hooks of other logins', async (t) => {
  let refuses = false
  const built = await buildWithPasskeys(t, {
    limits: { client: { other: { max: 3, seconds: 60 } } },
    hooks: { onBeforeLogin: () => { if (refuses) throw Object.assign(new Error('no'), { statusCode: 418 }) } }
  })
  const device = built.device()
  await built.own(device)
  for (let round = 0; round < 5; round++) t.equal((await built.enter(device)).statusCode, 200, 'right answers are not limited')
  await built.app.users.settled()
  const former = await built.enter(device, {}, 'cookie')
  const session = cookiesOf(former)
  const begun = await built.ask('cookie')
  const both = { cookie: `${begun.headers['cookie']}; ${session['cookie']}` }
  t.equal((await built.answer({ ...begun, headers: both }, device.get(begun.options), 'cookie')).statusCode, 204)
  t.equal(await statusOf(built, session), 401, 'the session of the former cookie has ended (SES-02)')
  refuses = true
  t.equal((await built.enter(device)).statusCode, 418)
  refuses = false
  await built.app.users.update(built.user.id, { is_active: false })
  assertErrorReply(t, await built.enter(device), 400, 'LOGIN_BAD_CREDENTIALS')
  for (let round = 0; round < 4; round++) await built.enter(device, { origin: 'https://mordred.example' })
  assertErrorReply(t, await built.enter(device), 429, 'TOO_MANY_ATTEMPTS')
  t.ok(built.events.some((event) => event.name === 'onLoginFailed' && event.reason === 'WRONG_PASSKEY'))
})

t.test('with revealExistingAccounts: false, a sign-up and a login reveal no account', async (t) => {
  const built = await buildWithPasskeys(t, { revealExistingAccounts: false }, { signUp: true })
  const replies: object[] = []
  built.events.length = 0
  for (const email of [ARTHUR, LANCELOT]) {
    const device = built.device()
    const begun = await built.send('POST', '/auth/register/passkey/options', { email })
    t.equal(begun.statusCode, 200)
    const { ticket, options } = begun.json<Creation>()
    const done = await built.send('POST', '/auth/register/passkey', { ticket, credential: device.create(options) })
    const entered = await built.enter(device)
    replies.push([comparableReply(done), comparableReply(entered)])
    t.equal(done.statusCode, 202)
    assertErrorReply(t, entered, 400, 'PASSKEY_INVALID')
  }
  t.strictSame(replies[0], replies[1])
  await built.app.users.settled()
  t.match(built.events.filter(({ name }) => /Register/.test(name)), [
    { name: 'onBeforeRegister', user: { email: ARTHUR } },
    { name: 'onRegisterExisting', user: { email: ARTHUR } },
    { name: 'onBeforeRegister', user: { email: LANCELOT } },
    { name: 'onAfterRegister', user: { email: LANCELOT } }
  ])
})

t.test('REG-02, PK-05: the sign-up with a registered credential has one reply for a new and a taken e-mail, also in parallel', async (t) => {
  const store = watchedAdapter(memory())
  const built = await buildWithPasskeys(t, { adapter: store.adapter, revealExistingAccounts: false }, { signUp: true })
  const device = built.device()
  const signUp = async (email: string): Promise<LightMyRequestResponse> => {
    const begun = await built.send('POST', '/auth/register/passkey/options', { email })
    const { ticket, options } = begun.json<Creation>()
    const credential = device.create(options, { credentialId: Buffer.alloc(32, 9) })
    return await built.send('POST', '/auth/register/passkey', { ticket, credential })
  }
  t.equal((await signUp('mordred@camelot.bt')).statusCode, 202)
  const known = await signUp(ARTHUR)
  const free = await signUp(LANCELOT)
  assertErrorReply(t, known, 400, 'PASSKEY_ALREADY_REGISTERED')
  t.strictSame(comparableReply(free), comparableReply(known))

  // the credential is registered between the look-up and the insert
  store.watch(async ({ method, model, proceed }) => method === 'findOne' && model.name === 'passkey' ? null : await proceed())
  const replies = [await signUp(ARTHUR), await signUp(LANCELOT)] as const
  store.watch()
  t.equal(replies[0].statusCode, 202)
  t.strictSame(comparableReply(replies[1]), comparableReply(replies[0]))
  t.equal(await built.app.users.getByEmail(LANCELOT), null)
})

t.test('RL-01: one session keeps one open challenge, and its requests are counted', async (t) => {
  const store = watchedAdapter(memory())
  const built = await buildWithPasskeys(t, {
    adapter: store.adapter, limits: { store: 'memory', client: { other: { max: 8, seconds: 60 } } }
  })
  await built.own(built.device())
  const headers = await built.sessionOf()
  built.tick(600) // the session is no longer fresh
  const openRows = async (): Promise<number> => (await store.rows('single_use')).length
  const before = await openRows()
  const send = (url: string, sender: Headers): Promise<LightMyRequestResponse> => built.send('POST', url, undefined, sender)
  for (const [url, sender, perRequest] of [
    [`${PASSKEYS}/options`, headers, 1],
    ['/auth/jwt/reauthenticate', headers, 2]
  ] as const) {
    const count = await openRows()
    const replies = [await send(url, sender), await send(url, sender), await send(url, sender)]
    for (const { statusCode } of replies) t.not(statusCode, 429)
    t.equal(await openRows() - count, perRequest, url)
    let last = replies[2]
    for (let n = 0; n < 8 && last?.statusCode !== 429; n++) last = await send(url, sender)
    assertErrorReply(t, last as LightMyRequestResponse, 429, 'TOO_MANY_ATTEMPTS')
  }
  t.equal(await openRows() - before, 3)
})

t.test('PK-06: the mail about a passkey has no text of its author, and explains how to remove it', async (t) => {
  const sent: { text: string; html?: string }[] = []
  const built = await buildWithPasskeys(t, { mail: { from: 'a@camelot.bt', send: (mail) => { sent.push(mail) } } })
  const name = 'x. Account locked, unlock at https://mordred.example/unlock'
  t.equal((await built.add(built.device(), await built.sessionOf(), {}, { name })).statusCode, 201)
  await built.app.users.settled()
  t.equal(sent.length, 1)
  t.match(sent[0]?.text, /with a passkey\.[^]*remove it in your account/)
  t.notMatch(JSON.stringify(sent), /mordred|locked/)
})

t.test('with registration by mail, a sign-up needs the mailed token, which works once', async (t) => {
  const built = await buildWithPasskeys(t, { registration: 'mail' }, { signUp: true })
  await built.send('POST', '/auth/register', { email: LANCELOT })
  const token = await built.tokenOf('onAfterRequestRegister')
  assertValidationError(t, await built.send('POST', '/auth/register/passkey/options', { email: LANCELOT }), ['/token'])
  assertErrorReply(t, await built.send('POST', '/auth/register/passkey/options', { token: 'wrong' }), 400, 'REGISTER_BAD_TOKEN')
  const begin = async (): Promise<Creation> => (await built.send('POST', '/auth/register/passkey/options', { token })).json<Creation>()
  const device = built.device()
  const first = await begin()
  t.match(first.options.user, { name: LANCELOT })
  const wrong = await built.send('POST', '/auth/register/passkey', {
    token, ticket: first.ticket, credential: device.create(first.options, { origin: 'https://mordred.example' })
  })
  assertErrorReply(t, wrong, 400, 'PASSKEY_INVALID')
  const second = await begin()
  const done = await built.send('POST', '/auth/register/passkey', { token, ticket: second.ticket, credential: device.create(second.options) })
  t.equal(done.statusCode, 201, 'a refused passkey does not use the token up')
  t.match(done.json(), { email: LANCELOT, is_verified: true })
  t.equal((await built.enter(device)).statusCode, 200)
  assertErrorReply(t, await built.send('POST', '/auth/register/passkey/options', { token }), 400, 'REGISTER_BAD_TOKEN')
})

t.test('a sign-up follows the rules of registrations', async (t) => {
  const built = await buildWithPasskeys(t, {}, { signUp: true })
  const signUp = async (email: string, fields: object = {}): Promise<LightMyRequestResponse> => {
    const { ticket, options } = (await built.send('POST', '/auth/register/passkey/options', { email })).json<Creation>()
    return await built.send('POST', '/auth/register/passkey', { ticket, credential: built.device().create(options), ...fields })
  }
  assertValidationError(t, await built.send('POST', '/auth/register/passkey/options', { email: 'no e-mail' }), ['/email'])
  assertErrorReply(t, await signUp(ARTHUR), 400, 'REGISTER_USER_ALREADY_EXISTS')
  const created = await signUp(LANCELOT, { is_superuser: true, is_verified: true, email: ARTHUR })
  t.match(created.json(), { email: LANCELOT, is_superuser: false, is_verified: false }, 'flags and another e-mail are ignored')
  const { ticket, options } = (await built.send('POST', '/auth/register/passkey/options', { email: 'galahad@camelot.bt' })).json<Creation>()
  const device = built.device()
  await built.own(device)
  const known = { ...device.create(options, { credentialId: device.credentials[0]?.id ?? Buffer.alloc(1) }) }
  assertErrorReply(t, await built.send('POST', '/auth/register/passkey', { ticket, credential: known }), 400, 'PASSKEY_ALREADY_REGISTERED')
  t.equal(await built.app.users.getByEmail('galahad@camelot.bt'), null, 'no user is stored without the passkey')
  for (const options of [{ routes: { register: false } } as const, {}]) {
    const off = await buildWithPasskeys(t, options, 'routes' in options ? { signUp: true } : {})
    t.equal((await off.send('POST', '/auth/register/passkey/options', { email: LANCELOT })).statusCode, 404)
  }
})

t.test('EML-05: a proof of the mailbox removes passkeys of an unverified user, as far as it removes the password', async (t) => {
  const built = await buildWithPasskeys(t, {}, { signUp: true })
  const device = built.device()
  const { ticket, options } = (await built.send('POST', '/auth/register/passkey/options', { email: LANCELOT })).json<Creation>()
  await built.send('POST', '/auth/register/passkey', { ticket, credential: device.create(options) })
  t.equal((await built.enter(device)).statusCode, 200)
  const user = await built.app.users.getByEmail(LANCELOT)
  if (user === null) throw new Error('no user')
  await built.app.users.confirmEmail(user)
  assertErrorReply(t, await built.enter(device), 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', 'the owner of the mailbox keeps nothing of the registration')
  const own = built.device()
  await built.own(own, LANCELOT)
  await built.app.users.update(user.id, { email: 'lake@camelot.bt', is_verified: true })
  t.equal((await built.enter(own)).statusCode, 200, 'a new e-mail of a verified user keeps the passkeys')
})

t.test('related origins are accepted and listed', async (t) => {
  const built = await buildWithPasskeys(t, {}, {
    rpName: 'Camelot', relatedOrigins: ['https://camelot.example.org'], topOrigins: ['https://tintagel.example']
  })
  t.strictSame((await built.send('GET', '/.well-known/webauthn')).json(), { origins: [PUBLIC_URL, 'https://camelot.example.org'] })
  const device = built.device({ origin: 'https://camelot.example.org' })
  await built.own(device)
  t.equal((await built.enter(device)).statusCode, 200)
  t.equal((await built.enter(device, { crossOrigin: true, topOrigin: 'https://tintagel.example' })).statusCode, 200)
  for (const mutations of [{ crossOrigin: true }, { topOrigin: 'https://tintagel.example' }, { crossOrigin: true, topOrigin: PUBLIC_URL }]) {
    assertErrorReply(t, await built.enter(device, mutations), 400, 'PASSKEY_INVALID', 'PASSKEY_INVALID', JSON.stringify(mutations))
  }
  const plain = await buildWithPasskeys(t)
  t.equal((await plain.send('GET', '/.well-known/webauthn')).statusCode, 404)
})

t.test('invalid options stop the start', async (t) => {
  const cases: [options: unknown, option: string, publicUrl?: string | null][] = [
    [{ rpId: 'https://camelot.example' }, 'passkeys.rpId'],
    [{ rpId: '127.0.0.1' }, 'passkeys.rpId'],
    [{}, 'passkeys.rpId', 'http://127.0.0.1:3000'],
    [{ rpId: 'mordred.example' }, 'passkeys.origins'],
    [{ rpId: 'ample' }, 'passkeys.origins'],
    [{ origins: [] }, 'passkeys.origins'],
    [{ origins: ['http://camelot.example'] }, 'passkeys.origins'],
    [{ origins: ['https://camelot.example/path'] }, 'passkeys.origins'],
    [{ origins: 'https://camelot.example' }, 'passkeys.origins'],
    [{ relatedOrigins: [7] }, 'passkeys.relatedOrigins'],
    [{ topOrigins: ['*'] }, 'passkeys.topOrigins'],
    [{ rpName: ' ' }, 'passkeys.rpName'],
    [{}, 'passkeys', null],
    [{ rpId: 'camelot.example' }, 'passkeys', null]
  ]
  for (const [options, option, publicUrl = PUBLIC_URL] of cases) {
    const features = [passkeys(options as PasskeysOptions)]
    const given = publicUrl === null ? { features } : { features, publicUrl }
    await t.rejects(buildApp(t, given), { code: 'FST_USERS_INVALID_OPTION', message: new RegExp(option) }, JSON.stringify(options))
  }
  for (const options of [
    { userVerification: 'discouraged' }, { whenCloned: 'ignore' }, { maxPasskeys: 0 }, { lifetimeSeconds: 301 },
    { lifetimeSeconds: 29 }, { signUp: 1 }, { secondFactor: 'yes' }, { routes: { own: true } }, { routes: { login: 1 } }
  ]) {
    t.throws(() => passkeys(options as PasskeysOptions), { code: 'FST_USERS_INVALID_OPTION' }, JSON.stringify(options))
  }
  t.throws(() => passkeys({ rpid: 'x' } as PasskeysOptions), { code: 'FST_USERS_UNKNOWN_OPTION' })
  const native = `android:apk-key-hash:${'a'.repeat(43)}`
  const features = [passkeys({ rpId: 'example', origins: ['https://camelot.example', 'http://localhost.example'.replace('http:', 'https:'), native] })]
  await t.resolves(buildApp(t, { features }), 'without publicUrl, rpId and origins are enough')
})

t.test('at most maxPasskeys can be added, and switched-off routes do not exist', async (t) => {
  const built = await buildWithPasskeys(t, {}, { maxPasskeys: 2, routes: { login: false } })
  await built.own(built.device())
  const open = await built.begin(await built.sessionOf())
  t.equal((open.options as unknown as { excludeCredentials: unknown[] }).excludeCredentials.length, 1)
  await built.own(built.device())
  const session = await built.sessionOf()
  assertErrorReply(t, await built.send('POST', `${PASSKEYS}/options`, undefined, session), 400, 'PASSKEY_LIMIT_REACHED')
  t.equal((await built.send('POST', '/auth/jwt/passkey/options')).statusCode, 404)
  const off = await buildWithPasskeys(t, {}, { routes: { own: false } })
  t.equal((await off.send('GET', PASSKEYS, undefined, await off.sessionOf())).statusCode, 404)
})

t.test('all passkeys of a user share one random handle, which is not the id', async (t) => {
  const adapter = memory()
  const built = await buildWithPasskeys(t, { adapter })
  const first = built.device()
  await built.own(first)
  await built.own(built.device())
  const rows = (await adapter.findMany(model, {}, { limit: 10 })) as PasskeyRow[]
  t.equal(new Set(rows.map(({ user_handle: handle }) => handle)).size, 1)
  t.match(rows[0]?.user_handle, /^[\w-]{43}$/)
  const api = built.app.users.feature('passkeys')
  const [oldest] = await api.list(built.user)
  t.match(await api.rename(built.user, oldest?.id ?? '', 'Old'), { name: 'Old' })
  const session = await built.sessionOf()
  await api.remove(built.user, oldest?.id ?? '')
  t.equal(await statusOf(built, session), 401)
  await t.rejects(api.remove(built.user, oldest?.id ?? ''), { code: 'FST_USERS_PASSKEY_NOT_FOUND' })
  await t.rejects(api.rename(built.user, 'unknown', 'x'), { code: 'FST_USERS_PASSKEY_NOT_FOUND' })
})

t.test('a missing package is a clear error at the start', async (t) => {
  const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
  const error = { code: 'FST_USERS_INVALID_OPTION', message: /npm install @simplewebauthn\/server@14/ }
  await t.rejects(loadLibrary(() => Promise.reject(missing)), error)
  await t.rejects(loadLibrary(() => Promise.reject(new SyntaxError('broken'))), { name: 'SyntaxError' })
})

t.test('a user authenticates again with a passkey that verifies them, without the password', async (t) => {
  const built = await buildWithPasskeys(t)
  const device = built.device()
  await built.own(device)
  const session = await built.sessionOf()
  built.tick(600)
  const again = async (mutations: Mutations): Promise<LightMyRequestResponse> => {
    const begun = await built.send('POST', '/auth/jwt/reauthenticate', {}, session)
    const { ticket, steps: [step] } = stepOf(begun)
    t.match(step, { name: 'passkey', options: { userVerification: 'required' } })
    const credential = device.get(step?.options as never, mutations)
    return await built.send('POST', '/auth/jwt/reauthenticate/passkey', { ticket, credential }, session)
  }
  assertErrorReply(t, await again({ userVerified: false }), 400, 'PASSKEY_INVALID')
  const reply = await again({})
  t.equal(reply.statusCode, 200)
  t.strictSame((await built.send('GET', '/methods', undefined, bearerOf(reply))).json(), ['passkey'])
})

t.test('a sign-up needs the captcha of a registration at its first request', async (t) => {
  const provider: CaptchaProvider = {
    name: 'fake',
    field: 'captcha_response',
    open: () => ({ verify: async ({ token }) => token === 'solved' })
  }
  const built = await buildWithPasskeys(t, { captcha: { provider, for: ['register'] } }, { signUp: true })
  const path = '/auth/register/passkey/options'
  assertErrorReply(t, await built.send('POST', path, { email: LANCELOT }), 400, 'CAPTCHA_REQUIRED')
  const begun = await built.send('POST', path, { email: LANCELOT }, { 'x-captcha-response': 'solved' })
  const { ticket, options } = begun.json<Creation>()
  const done = await built.send('POST', '/auth/register/passkey', { ticket, credential: built.device().create(options) })
  t.equal(done.statusCode, 201)
})
