import {
  createHmac,
  createSign,
  generateKeyPairSync,
  randomBytes,
  randomUUID,
  sign as signWith,
  type KeyObject
} from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  integerId,
  jwtStrategy,
  objectIdId,
  userSchemas,
  type JwtStrategyOptions,
  type User,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { checkJwtKey, createJwtCodec } from '../lib/tokens/index.js'
import { ARTHUR, PASSWORD, SECRET, backends, buildApp, storedModel, type TestApp } from './helpers/build-app.js'

const KEY = randomBytes(64).toString('base64url')
const OTHER_KEY = randomBytes(64).toString('base64url')
const LANCELOT = 'lancelot@camelot.bt'

type Claims = Record<string, unknown>
const base64url = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const decode = (segment: string | undefined): Claims =>
  JSON.parse(Buffer.from(String(segment), 'base64url').toString()) as Claims
const headerOf = (token: string): Claims => decode(token.split('.')[0])
const claimsOf = (token: string): Claims => decode(token.split('.')[1])

const hmac =
  (bits: string, key: string | Buffer) =>
    (input: string): string =>
      createHmac(`sha${bits}`, key).update(input).digest('base64url')
/** Creates a token with any header, payload and signature. A payload that is text is not changed. */
function forge (header: unknown, payload: unknown, signature: (input: string) => string = hmac('256', KEY)): string {
  const input = `${base64url(header)}.${base64url(payload)}`
  return `${input}.${signature(input)}`
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed = generateKeyPairSync('ed25519')
const pem = (key: KeyObject): string =>
  key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }).toString()
const rsaPem = { privateKey: pem(rsa.privateKey), publicKey: pem(rsa.publicKey) }
const ecPem = { privateKey: pem(ec.privateKey), publicKey: pem(ec.publicKey) }
const edPem = { privateKey: pem(ed.privateKey), publicKey: pem(ed.publicKey) }

const jwtBackend = (options: Partial<JwtStrategyOptions> = {}, name = 'jwt'): UsersOptions['backends'][number] => ({
  name,
  transport: bearerTransport(),
  strategy: jwtStrategy({ lifetimeSeconds: 3600, ...options })
})
const buildJwtApp = (
  t: Test,
  options: Partial<JwtStrategyOptions> = {},
  more: Partial<UsersOptions> = {}
): Promise<TestApp> => buildApp(t, { backends: [jwtBackend(options)], ...more })
const createToken = async (built: TestApp, email = ARTHUR): Promise<string> =>
  (await built.bearer(email)).authorization.slice(7)

/** Sends a guarded request with the token. Returns the status, and the code of an error. */
async function useToken ({ send }: TestApp, token: string): Promise<string> {
  const reply = await send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })
  return reply.statusCode === 200 ? '200' : `${reply.statusCode} ${reply.json<{ code: string }>().code}`
}
const REFUSED = '401 FST_USERS_UNAUTHENTICATED'

t.test('row 18, JWT-12: access tokens have the documented header and exactly the documented claims', async (t) => {
  const now = Date.UTC(2030, 0, 1) + 700
  const built = await buildJwtApp(t, {}, { clock: () => now })
  const { id } = await built.register()
  const token = await createToken(built)
  t.match(token, /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/)
  const { kid, ...header } = headerOf(token)
  t.same(header, { alg: 'HS256', typ: 'JWT' })
  t.match(kid, /^[A-Za-z0-9_-]{8}$/, 'the header has a key id')
  const { jti, ver, sid, ...claims } = claimsOf(token)
  const seconds = Math.floor(now / 1000)
  t.same(claims, {
    sub: id,
    aud: ['users:auth'],
    iat: seconds,
    exp: seconds + 3600,
    auth_time: seconds,
    amr: ['pwd']
  })
  t.match(sid, /^[A-Za-z0-9_-]{22}$/)
  t.match(jti, /^[0-9a-f-]{36}$/)
  t.match(ver, /^[A-Za-z0-9_-]{22}$/)
  t.equal(await useToken(built, token), '200')
})

t.test('row 59: reset and verify tokens have the configured audience, lifetime and claims', async (t) => {
  const now = Date.UTC(2030, 0, 1)
  const built = await buildJwtApp(
    t,
    {},
    {
      clock: () => now,
      tokens: { reset: { lifetimeSeconds: 60, secret: KEY }, verify: { audience: 'my:verify', secret: OTHER_KEY } }
    }
  )
  const { id } = await built.register()
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  await built.send('POST', '/auth/request-verify-token', { email: ARTHUR })
  const reset = await built.tokenOf('onAfterForgotPassword')
  const verify = await built.tokenOf('onAfterRequestVerify')
  const { jti, password_fgpt: fingerprint, ...claims } = claimsOf(reset)
  t.same(claims, { sub: id, aud: 'users:reset', iat: now / 1000, exp: now / 1000 + 60 })
  t.match(fingerprint, /^[A-Za-z0-9_-]{43}$/)
  const { jti: otherJti, fgpt, ...otherClaims } = claimsOf(verify)
  t.match(fgpt, /^[A-Za-z0-9_-]{43}$/)
  t.same(otherClaims, { sub: id, email: ARTHUR, aud: 'my:verify', iat: now / 1000, exp: now / 1000 + 3600 })
  t.not(jti, otherJti)
  for (const [token, key] of [
    [reset, KEY],
    [verify, OTHER_KEY]
  ] as const) {
    const [header, payload, signature] = token.split('.')
    t.equal(hmac('256', key)(`${header}.${payload}`), signature, 'a configured secret is used without derivation')
  }
})

t.test('row 19: each algorithm signs and verifies tokens and is named in their header', async (t) => {
  const cases: Partial<JwtStrategyOptions>[] = [
    { secret: KEY },
    { algorithm: 'HS256' },
    { algorithm: 'HS384' },
    { algorithm: 'HS512' },
    { algorithm: 'HS384', secret: KEY },
    { algorithm: 'HS512', secret: KEY },
    { algorithm: 'RS256', ...rsaPem },
    { algorithm: 'ES256', ...ecPem },
    { algorithm: 'EdDSA', ...edPem },
    { algorithm: 'RS256', privateKey: rsaPem.privateKey },
    { algorithm: 'ES256', privateKey: ecPem.privateKey },
    { algorithm: 'EdDSA', privateKey: edPem.privateKey }
  ]
  for (const options of cases) {
    const about = `${options.algorithm ?? 'default'} ${Object.keys(options).join(' ')}`
    const built = await buildJwtApp(t, options)
    await built.register()
    const token = await createToken(built)
    t.equal(headerOf(token)['alg'], options.algorithm ?? 'HS256', about)
    t.equal(await useToken(built, token), '200', about)
    const [header, payload, signature = ''] = token.split('.')
    const altered = `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`
    t.equal(await useToken(built, `${header}.${payload}.${altered}`), REFUSED, `${about}: another signature`)
    t.equal(
      await useToken(built, `${header}.${base64url({ ...claimsOf(token), exp: 9999999999 })}.${signature}`),
      REFUSED,
      `${about}: another payload`
    )
  }
})

t.test('row 19, JWT-01: tokens of another program that has the private key are accepted', async (t) => {
  const signers: Record<string, [Partial<JwtStrategyOptions>, (input: string) => string]> = {
    RS256: [rsaPem, (input) => createSign('RSA-SHA256').update(input).sign(rsa.privateKey, 'base64url')],
    ES256: [
      ecPem,
      (input) =>
        signWith('sha256', Buffer.from(input), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')
    ],
    EdDSA: [edPem, (input) => signWith(undefined, Buffer.from(input), ed.privateKey).toString('base64url')]
  }
  for (const [alg, [keys, signature]] of Object.entries(signers)) {
    const built = await buildJwtApp(t, { algorithm: alg as 'RS256', ...keys })
    await built.register()
    const claims = claimsOf(await createToken(built))
    t.equal(await useToken(built, forge({ alg, typ: 'JWT' }, claims, signature)), '200', alg)
    for (const other of ['HS256', 'RS512', 'PS256', 'ES384', 'RS256', 'ES256', 'EdDSA', 'Ed25519'].filter(
      (name) => name !== alg
    )) {
      t.equal(
        await useToken(built, forge({ alg: other, typ: 'JWT' }, claims, signature)),
        REFUSED,
        `${alg} key, header ${other}`
      )
    }
  }
})

t.test('JWT-02, CFG-01: weak keys and keys of another algorithm are refused at startup', async (t) => {
  const weakRsa = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const secp = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  const pss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 })
  const x25519 = generateKeyPairSync('x25519')
  const ed448 = generateKeyPairSync('ed448')
  const otherEc = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const encrypted = rsa.privateKey
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
    .toString()
  const { publicKey: rsaText } = rsaPem
  const pair = ({
    privateKey,
    publicKey
  }: {
    privateKey: KeyObject
    publicKey: KeyObject
  }): Partial<JwtStrategyOptions> => ({ privateKey: pem(privateKey), publicKey: pem(publicKey) })
  const wrong: Record<string, Record<string, unknown>> = {
    'a short secret': { secret: randomBytes(15).toString('base64url') },
    'an empty secret': { secret: '' },
    'null for a secret': { secret: null },
    'a Buffer for a secret': { secret: randomBytes(64) },
    'a function for a secret': { secret: () => KEY },
    'a repeated secret': { secret: 'ab'.repeat(32) },
    'no key at all with RS256': { algorithm: 'RS256' },
    'no key at all with EdDSA': { algorithm: 'EdDSA' },
    'a placeholder': { secret: 'your-secret-key-goes-here-please!' },
    'HS384 with 43 bytes': { algorithm: 'HS384', secret: randomBytes(32).toString('base64url') },
    'HS512 with 48 bytes': { algorithm: 'HS512', secret: randomBytes(36).toString('base64url') },
    'a public key as secret': { secret: rsaText },
    'a private key as secret': { secret: rsaPem.privateKey },
    'a PEM after a newline as secret': { secret: `\n${rsaText}` },
    'a PEM after blanks as secret': { secret: ` \t  ${rsaText}` },
    'a PEM with CRLF as secret': { secret: rsaText.replaceAll('\n', '\r\n') },
    'a PEM on one line as secret': { secret: rsaText.replaceAll('\n', ' ') },
    'a trimmed PEM as secret': { secret: rsaText.trim() },
    'a PEM after a byte order mark as secret': { secret: `\uFEFF${rsaText}` },
    'a PEM with HS512 as secret': { algorithm: 'HS512', secret: rsaText },
    'a JWK as secret': { secret: JSON.stringify(rsa.publicKey.export({ format: 'jwk' })) },
    'an SSH key as secret': { secret: `ssh-ed25519 ${randomBytes(51).toString('base64')} arthur@camelot` },
    'RS256 with a secret': { algorithm: 'RS256', secret: KEY },
    'RS256 with secret and keys': { algorithm: 'RS256', secret: KEY, ...rsaPem },
    'HS256 with keys beside the secret': { secret: KEY, ...rsaPem },
    'no algorithm with an RSA pair': { ...rsaPem },
    'RS256 with 1024 bits': { algorithm: 'RS256', ...pair(weakRsa) },
    'RS256 with a P-256 pair': { algorithm: 'RS256', ...ecPem },
    'RS256 with RSA-PSS': { algorithm: 'RS256', ...pair(pss) },
    'ES256 with RSA': { algorithm: 'ES256', ...rsaPem },
    'ES256 with P-384': { algorithm: 'ES256', ...pair(p384) },
    'ES256 with secp256k1': { algorithm: 'ES256', ...pair(secp) },
    'ES256 with Ed25519': { algorithm: 'ES256', ...edPem },
    'EdDSA with P-256': { algorithm: 'EdDSA', ...ecPem },
    'EdDSA with X25519': { algorithm: 'EdDSA', ...pair(x25519) },
    'EdDSA with Ed448': { algorithm: 'EdDSA', ...pair(ed448) },
    'a private key of one curve and a public key of another': {
      algorithm: 'ES256',
      privateKey: ecPem.privateKey,
      publicKey: rsaText
    },
    'two halves of different pairs': {
      algorithm: 'ES256',
      privateKey: ecPem.privateKey,
      publicKey: pem(otherEc.publicKey)
    },
    'an encrypted private key': { algorithm: 'RS256', privateKey: encrypted },
    'a key that is not PEM': { algorithm: 'RS256', privateKey: KEY },
    'a public key as the private one': { algorithm: 'RS256', privateKey: rsaText },
    'only a public key': { algorithm: 'RS256', publicKey: rsaText },
    'an unknown algorithm': { algorithm: 'RS1', ...rsaPem },
    'the algorithm none': { algorithm: 'none', secret: KEY },
    'an algorithm in lower case': { algorithm: 'hs256', secret: KEY },
    'an algorithm that is the name of a method': { algorithm: 'toString', secret: KEY },
    'RS256 without a key': { algorithm: 'RS256' },
    'no keys': { keys: [] },
    'keys that is no list': { keys: { kid: 'a', secret: KEY } },
    'keys beside a secret': { secret: KEY, keys: [{ kid: 'a', secret: OTHER_KEY }] },
    'a first key that cannot sign': { algorithm: 'RS256', keys: [{ kid: 'a', publicKey: rsaText }] },
    'two keys with the same kid': {
      keys: [
        { kid: 'a', secret: KEY },
        { kid: 'a', secret: OTHER_KEY }
      ]
    },
    'two keys without kid': { keys: [{ secret: KEY }, { secret: OTHER_KEY }] },
    'a weak second key': {
      keys: [
        { kid: 'a', secret: KEY },
        { kid: 'b', secret: 'short' }
      ]
    },
    'an unknown option of a key': { keys: [{ kid: 'a', secret: KEY, use: 'sig' }] },
    'a number for a kid': { keys: [{ kid: 1, secret: KEY }] },
    'an empty kid': { keys: [{ kid: '', secret: KEY }] },
    'null for a key': { keys: [null] }
  }
  for (const [what, options] of Object.entries(wrong)) {
    await t.rejects(
      buildJwtApp(t, options as Partial<JwtStrategyOptions>),
      { code: /^FST_USERS_(INVALID_SECRET|INVALID_OPTION|UNKNOWN_OPTION)$/ },
      what
    )
  }
})

t.test('CFG-02: an empty secret is never used as a key', async (t) => {
  for (const secret of ['', undefined, null, [], [''], [SECRET, ''], [SECRET, undefined], [SECRET, null]]) {
    await t.rejects(
      buildApp(t, { secret: secret as string }),
      { code: /^FST_USERS_INVALID_(SECRET|OPTION)$/ },
      JSON.stringify(secret)
    )
  }
  const built = await buildApp(t)
  await built.register()
  const token = await createToken(built)
  const [header, payload] = token.split('.')
  for (const key of ['', '\0', 'undefined', 'null']) {
    t.equal(await useToken(built, `${header}.${payload}.${hmac('256', key)(`${header}.${payload}`)}`), REFUSED)
  }
})

/** Builds an application with the HS256 key `KEY` and one user. Returns it with valid claims of the user. */
async function buildWithKnownKey (t: Test): Promise<{ built: TestApp; claims: Claims }> {
  const built = await buildJwtApp(t, { secret: KEY })
  await built.register()
  return { built, claims: claimsOf(await createToken(built)) }
}
const HEADER = { alg: 'HS256', typ: 'JWT' }

t.test(
  'row 21, JWT-01, JWT-03, JWT-04: tokens with another header are refused, and URLs in the header are not fetched',
  async (t) => {
    const { built, claims } = await buildWithKnownKey(t)
    let connections = 0
    const server = createServer((socket) => {
      connections++
      socket.destroy()
    }).listen(0, '127.0.0.1')
    t.teardown(() => server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`
    const jwk = { kty: 'oct', k: base64url(OTHER_KEY) }

    for (const header of [
      HEADER,
      { alg: 'HS256' },
      { typ: 'jwt', alg: 'HS256' },
      { ...HEADER, cty: 'x' },
      { ...HEADER, jwk, jku: url, x5u: url, x5c: ['x'] }
    ]) {
      t.equal(await useToken(built, forge(header, claims)), '200', `signed with our key: ${JSON.stringify(header)}`)
    }
    t.equal(
      await useToken(built, forge({ ...HEADER, jwk, jku: url, x5u: url, x5c: ['x'] }, claims, hmac('256', OTHER_KEY))),
      REFUSED,
      'keys in the header are ignored'
    )

    const headers: Record<string, unknown> = {
      none: { alg: 'none' },
      'alg nOnE': { alg: 'nOnE', typ: 'JWT' },
      'alg NONE': { alg: 'NONE', typ: 'JWT' },
      'alg empty': { alg: '', typ: 'JWT' },
      'alg missing': { typ: 'JWT' },
      'alg null': { alg: null },
      'alg array': { alg: ['HS256'] },
      'alg object': { alg: { name: 'HS256' } },
      'alg lower case': { alg: 'hs256' },
      'alg with a blank': { alg: 'HS256 ' },
      'alg number': { alg: 256 },
      'alg HS384': { alg: 'HS384', typ: 'JWT' },
      'alg HS512': { alg: 'HS512', typ: 'JWT' },
      'alg RS256': { alg: 'RS256', typ: 'JWT' },
      'alg dir': { alg: 'dir', enc: 'A256GCM' },
      'kid unknown': { ...HEADER, kid: 'unknown' },
      'kid number': { ...HEADER, kid: 0 },
      'kid null': { ...HEADER, kid: null },
      'kid empty': { ...HEADER, kid: '' },
      'kid array': { ...HEADER, kid: [] },
      'kid path': { ...HEADER, kid: '../../../../dev/null' },
      'kid __proto__': { ...HEADER, kid: '__proto__' },
      crit: { ...HEADER, crit: ['exp'], exp: 1 },
      'crit unknown': { ...HEADER, crit: ['x'], x: true },
      'crit empty': { ...HEADER, crit: [] },
      'crit null': { ...HEADER, crit: null },
      'b64 false': { ...HEADER, b64: false, crit: ['b64'] },
      'b64 false without crit': { ...HEADER, b64: false },
      'typ other': { ...HEADER, typ: 'at+jwt' },
      'typ number': { ...HEADER, typ: 1 },
      'an array': [HEADER],
      'a string': '"HS256"',
      'a number': '1',
      null: 'null',
      'no JSON': 'HS256',
      empty: ''
    }
    for (const [what, header] of Object.entries(headers)) {
      for (const [how, signature] of Object.entries({
        256: hmac('256', KEY),
        384: hmac('384', KEY),
        512: hmac('512', KEY),
        none: () => ''
      })) {
        t.equal(await useToken(built, forge(header, claims, signature)), REFUSED, `${what}, signature ${how}`)
      }
    }
    t.equal(connections, 0, 'no network call')
  }
)

t.test('JWT-05, JWT-07, SES-11: tokens with missing, invalid or expired claims are refused', async (t) => {
  const { built, claims } = await buildWithKnownKey(t)
  const now = Math.floor(Date.now() / 1000)
  const raw = (change: string, key: string): string =>
    JSON.stringify(claims).replace(new RegExp(`"${key}":(?:\\[[^\\]]*\\]|"[^"]*"|[0-9]+)`), change)
  const wrong: Record<string, unknown> = {
    'exp missing': { exp: undefined },
    'exp text': { exp: '9999999999' },
    'exp 1e400': raw('"exp":1e400', 'exp'),
    'exp -1e400': raw('"exp":-1e400', 'exp'),
    'exp NaN': raw('"exp":NaN', 'exp'),
    'exp null': { exp: null },
    'exp true': { exp: true },
    'exp array': { exp: [9999999999] },
    'exp object': { exp: {} },
    'exp empty text': { exp: '' },
    'exp past': { exp: now - 1 },
    'exp now': { exp: now },
    'exp 0': { exp: 0 },
    'exp negative': { exp: -now },
    'nbf future': { nbf: now + 3600 },
    'nbf text': { nbf: String(now) },
    'nbf null': { nbf: null },
    'nbf 1e400': raw('"nbf":1e400,"exp":9999999999', 'exp'),
    'iat missing': { iat: undefined },
    'iat future': { iat: now + 3600 },
    'iat not whole': { iat: now - 0.5 },
    'iat text': { iat: String(now) },
    'iat null': { iat: null },
    'iat -1e400': raw('"iat":-1e400', 'iat'),
    'aud missing': { aud: undefined },
    'aud empty': { aud: '' },
    'aud empty list': { aud: [] },
    'aud other': { aud: 'other:auth' },
    'aud others': { aud: ['other:auth', 'users:reset'] },
    'aud of reset': { aud: 'users:reset' },
    'aud part': { aud: 'users' },
    'aud longer': { aud: 'users:auth:x' },
    'aud upper case': { aud: 'USERS:AUTH' },
    'aud null': { aud: null },
    'aud number': { aud: 1 },
    'aud object': { aud: { 0: 'users:auth' } },
    'aud nested': { aud: [['users:auth']] },
    'aud mixed': { aud: ['users:auth', 1] },
    'sub missing': { sub: undefined },
    'sub number': { sub: 1 },
    'sub object': { sub: {} },
    'sub list': { sub: [claims['sub']] },
    'sub empty': { sub: '' },
    'sub null': { sub: null },
    'sub true': { sub: true },
    'sub of no user': { sub: randomUUID() },
    'sub no id': { sub: 'arthur' },
    'sub upper case': { sub: String(claims['sub']).toUpperCase() },
    'sub braced': { sub: `{${String(claims['sub'])}}` },
    'sub urn': { sub: `urn:uuid:${String(claims['sub'])}` },
    'sub compact': { sub: String(claims['sub']).replaceAll('-', '') },
    'sub with a blank': { sub: ` ${String(claims['sub'])}` },
    'sub with a newline': { sub: `${String(claims['sub'])}\n` },
    'sub with NUL': { sub: `${String(claims['sub'])}\0` },
    'sub injection': { sub: "' OR 1=1 --" },
    'jti missing': { jti: undefined },
    'jti number': { jti: 1 },
    'jti null': { jti: null },
    'jti object': { jti: {} },
    'ver missing': { ver: undefined },
    'ver wrong': { ver: randomBytes(16).toString('base64url') },
    'ver empty': { ver: '' },
    'ver null': { ver: null },
    'ver number': { ver: 0 },
    'ver object': { ver: {} },
    'ver list': { ver: [claims['ver']] },
    'legacy user_id': { sub: undefined, user_id: claims['sub'] },
    'array payload': [claims],
    'empty array payload': [],
    'string payload': JSON.stringify(JSON.stringify(claims)),
    'number payload': '1',
    'null payload': 'null',
    'true payload': 'true',
    'empty object': '{}',
    'no JSON': 'claims',
    'empty payload': '',
    'JSON with a rest': `${JSON.stringify(claims)}{}`
  }
  t.equal(await useToken(built, forge(HEADER, claims)), '200', 'the unchanged claims')
  const validChanges: Claims[] = [
    { exp: now + 60.5 },
    { nbf: now - 60 },
    { nbf: now + 60 },
    { iat: now + 60 },
    { aud: 'users:auth' },
    { aud: ['x', 'users:auth'] },
    { iss: 'x', extra: { deep: [1] } },
    { jti: 'x' },
    { iat: now - 1000 }
  ]
  for (const change of validChanges) {
    t.equal(await useToken(built, forge(HEADER, { ...claims, ...change })), '200', JSON.stringify(change))
  }
  for (const [what, change] of Object.entries(wrong)) {
    const payload = typeof change === 'string' || Array.isArray(change) ? change : { ...claims, ...(change as Claims) }
    t.equal(await useToken(built, forge(HEADER, payload)), REFUSED, what)
  }
  t.equal(({} as Claims)['polluted'], undefined)
  t.equal(
    await useToken(built, forge(HEADER, JSON.stringify(claims).replace('{', '{"__proto__":{"polluted":1},'))),
    '200'
  )
  t.equal(({} as Claims)['polluted'], undefined, 'INP-05: a claim named __proto__ changes nothing')
})

t.test('JWT-04, JWT-11: text that is not exactly one compact JWS is refused as a token', async (t) => {
  const { built, claims } = await buildWithKnownKey(t)
  const good = forge(HEADER, claims)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const last = signature.at(-1) ?? ''
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const sameBytes = [...alphabet].filter(
    (letter) =>
      letter !== last &&
      Buffer.from(`${signature.slice(0, -1)}${letter}`, 'base64url').equals(Buffer.from(signature, 'base64url'))
  )
  t.ok(sameBytes.length > 0)
  const texts: Record<string, string> = {
    'no dot': 'token',
    'one dot': `${header}.${payload}`,
    'an empty signature': `${header}.${payload}.`,
    'an empty payload': `${header}..${signature}`,
    'an empty header': `.${payload}.${signature}`,
    'dots alone': '..',
    'four segments': `${good}.${signature}`,
    'five segments': `${good}.${payload}.${signature}`,
    'a dot in front': `.${good}`,
    'a dot at the end': `${good}.`,
    'trailing data': `${good}AAAA`,
    'a signature cut short': good.slice(0, -1),
    'signature of the payload alone': `${header}.${payload}.${hmac('256', KEY)(payload)}`,
    'padding at the signature': `${good}=`,
    'padding at the header': `${header}==.${payload}.${signature}`,
    'padding at the payload': `${header}.${payload}=.${signature}`,
    'a plus': `${header}.${payload}.${signature.slice(0, -1)}+`,
    'a slash': `${header}.${payload}./${signature.slice(1)}`,
    'a tilde': `${header}.${payload}.~${signature}`,
    'a blank': `${header}. ${payload}.${signature}`,
    'a comma and another': `${good},${good}`,
    quotes: `"${good}"`,
    'an umlaut': `${good}ä`,
    'JSON serialization': JSON.stringify({ protected: header, payload, signature }),
    'general JSON serialization': JSON.stringify({ payload, signatures: [] }),
    'a padded signature of the padded input': `${header}=.${payload}.${hmac('256', KEY)(`${header}=.${payload}`)}`,
    'base64 instead of base64url': Buffer.from(good).toString('base64'),
    '1 MB of text': 'a'.repeat(1_000_000),
    '1 MB of dots': '.'.repeat(1_000_000),
    '1 MB payload, signed': forge(HEADER, { ...claims, extra: 'x'.repeat(1_000_000) }),
    'just over 8 kB, signed': forge(HEADER, { ...claims, extra: 'x'.repeat(6144) })
  }
  for (const letter of sameBytes) {
    texts[`other trailing bits of the signature: ${letter}`] = `${header}.${payload}.${signature.slice(0, -1)}${letter}`
  }
  t.equal(await useToken(built, good), '200')
  t.equal(
    await useToken(built, forge(HEADER, { ...claims, extra: 'x'.repeat(4096) })),
    '200',
    'a token below the maximum length'
  )
  for (const [what, text] of Object.entries(texts)) t.equal(await useToken(built, text), REFUSED, what)
})

t.test(
  'JWT-02: a token that is signed with the public key as HMAC secret is refused in each encoding of the key',
  async (t) => {
    for (const [algorithm, keys, key] of [
      ['RS256', rsaPem, rsa],
      ['ES256', ecPem, ec],
      ['EdDSA', edPem, ed]
    ] as const) {
      const built = await buildJwtApp(t, { algorithm, ...keys })
      await built.register()
      const claims = claimsOf(await createToken(built))
      const text = keys.publicKey
      const secrets = [
        text,
        text.trim(),
        `\n${text}`,
        `${text}\n`,
        text.replaceAll('\n', '\r\n'),
        text.replaceAll('\n', ''),
        text.replaceAll('\n', ' '),
        text.split('\n').slice(1, -2).join(''),
        text.split('\n').slice(1, -2).join('\n'),
        key.publicKey.export({ type: 'spki', format: 'der' }),
        JSON.stringify(key.publicKey.export({ format: 'jwk' })),
        ...(algorithm === 'RS256' ? [rsa.publicKey.export({ type: 'pkcs1', format: 'pem' })] : [])
      ]
      for (const secret of secrets) {
        for (const bits of ['256', '384', '512']) {
          t.equal(await useToken(built, forge({ alg: `HS${bits}`, typ: 'JWT' }, claims, hmac(bits, secret))), REFUSED)
          t.equal(await useToken(built, forge({ alg: algorithm, typ: 'JWT' }, claims, hmac(bits, secret))), REFUSED)
        }
      }
    }
  }
)

t.test(
  'CFG-04: a key is selected by its kid alone, the first key signs, and tokens of a removed key are refused',
  async (t) => {
    const adapter = memory()
    const a = { kid: 'a', secret: KEY }
    const b = { kid: 'b', secret: OTHER_KEY }
    const c = { kid: 'c', algorithm: 'RS256', ...rsaPem } as const
    const first = await buildJwtApp(t, { keys: [a] }, { adapter })
    await first.register()
    const tokenA = await createToken(first)
    t.equal(headerOf(tokenA)['kid'], 'a')

    const rotated = await buildJwtApp(t, { keys: [c, b, a] }, { adapter })
    const tokenC = await createToken(rotated)
    t.match(headerOf(tokenC), { kid: 'c', alg: 'RS256' })
    t.equal(await useToken(rotated, tokenA), '200')
    t.equal(await useToken(rotated, tokenC), '200')
    t.equal(await useToken(first, tokenC), REFUSED)

    const claims = claimsOf(tokenA)
    const signedBy = (key: string, kid?: string): string =>
      forge({ ...HEADER, ...(kid === undefined ? {} : { kid }) }, claims, hmac('256', key))
    t.equal(await useToken(rotated, signedBy(OTHER_KEY, 'b')), '200')
    for (const token of [
      signedBy(OTHER_KEY, 'a'),
      signedBy(KEY, 'b'),
      signedBy(KEY, 'c'),
      signedBy(KEY),
      signedBy(OTHER_KEY),
      signedBy(KEY, 'A'),
      signedBy(KEY, 'x'),
      signedBy(rsaPem.publicKey, 'c')
    ]) {
      t.equal(await useToken(rotated, token), REFUSED, JSON.stringify(headerOf(token)))
    }
    const withoutKeyA = await buildJwtApp(t, { keys: [c, b] }, { adapter })
    t.equal(await useToken(withoutKeyA, tokenA), REFUSED)
    t.equal(await useToken(withoutKeyA, tokenC), '200')

    const verifyOnly = await buildJwtApp(
      t,
      { keys: [a, { kid: 'c', algorithm: 'RS256', publicKey: rsaPem.publicKey }] },
      { adapter }
    )
    t.equal(await useToken(verifyOnly, tokenC), '200', 'a public key alone verifies tokens')
  }
)

t.test(
  'CFG-04: the first secret signs, all secrets verify, and tokens of a removed secret are refused',
  async (t) => {
    const adapter = memory()
    const [k1, k2] = [randomBytes(32).toString('base64url'), randomBytes(32).toString('base64url')]
    const built = await buildApp(t, { adapter, secret: k1 })
    await built.register()
    const session = await createToken(built)
    const cookie = await built.cookie(ARTHUR)
    await built.send('POST', '/auth/request-verify-token', { email: ARTHUR })
    const verify = await built.tokenOf('onAfterRequestVerify')
    await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
    const reset = await built.tokenOf('onAfterForgotPassword')

    const newSecretApp = await buildApp(t, { adapter, secret: k2 })
    t.equal(await useToken(newSecretApp, session), REFUSED)
    t.equal(
      (await newSecretApp.send('POST', '/auth/verify', { token: verify })).json<{ code: string }>().code,
      'FST_USERS_VERIFY_USER_BAD_TOKEN'
    )
    t.equal(
      (await newSecretApp.send('POST', '/auth/reset-password', { token: reset, password: 'excalibur-9' })).json<{
        code: string
      }>().code,
      'FST_USERS_RESET_PASSWORD_BAD_TOKEN'
    )

    const rotated = await buildApp(t, { adapter, secret: [k2, k1] })
    t.equal(await useToken(rotated, session), '200')
    t.equal((await rotated.send('GET', '/users/me', undefined, cookie)).statusCode, 200)
    const fresh = await createToken(rotated)
    t.not(headerOf(fresh)['kid'], headerOf(session)['kid'])
    t.equal(await useToken(built, fresh), REFUSED)
    t.equal(await useToken(newSecretApp, fresh), '200')
    t.equal((await rotated.send('POST', '/auth/verify', { token: verify })).statusCode, 200)
    // The verification has invalidated the earlier reset token.
    await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
    const next = await built.tokenOf('onAfterForgotPassword')
    t.equal(
      (await rotated.send('POST', '/auth/reset-password', { token: reset, password: 'excalibur-9' })).statusCode,
      400
    )
    t.equal(
      (await rotated.send('POST', '/auth/reset-password', { token: next, password: 'excalibur-9' })).statusCode,
      200
    )
  }
)

t.test(
  'CFG-03, JWT-06: a token is refused for any other purpose, with separate keys and with a shared key',
  async (t) => {
    const shared: Partial<UsersOptions> = {
      backends: [
        jwtBackend({ secret: KEY }),
        { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }
      ],
      tokens: { reset: { secret: KEY }, verify: { secret: KEY } }
    }
    for (const options of [{}, shared]) {
      const built = await buildApp(t, { ...options, sensitiveChanges: 'confirm' })
      await built.register()
      const access = await createToken(built)
      const opaque = (await built.cookie(ARTHUR)).cookie.split('=')[1] ?? ''
      await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
      const reset = await built.tokenOf('onAfterForgotPassword')
      await built.send('POST', '/auth/request-verify-token', { email: ARTHUR })
      const verify = await built.tokenOf('onAfterRequestVerify')
      const change = await built.send(
        'PATCH',
        '/users/me',
        { email: LANCELOT, current_password: PASSWORD },
        { authorization: `Bearer ${access}` }
      )
      t.equal(change.statusCode, 200)
      const emailChange = await built.tokenOf('onAfterRequestVerify')
      t.equal(claimsOf(emailChange)['new_email'], LANCELOT)

      const uses: Record<string, (token: string) => Promise<number>> = {
        bearer: async (token) =>
          (await built.send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })).statusCode,
        cookie: async (token) =>
          (await built.send('GET', '/users/me', undefined, { cookie: `__Host-users-cookie=${token}` })).statusCode,
        reset: async (token) =>
          (await built.send('POST', '/auth/reset-password', { token, password: 'excalibur-9' })).statusCode,
        verify: async (token) => (await built.send('POST', '/auth/verify', { token })).statusCode
      }
      const refusals: Record<string, number> = { bearer: 401, cookie: 401, reset: 400, verify: 400 }
      const tokens: Record<string, [string, string]> = {
        'access token': [access, 'bearer'],
        'opaque token': [opaque, 'cookie'],
        'e-mail change token': [emailChange, ''],
        'verify token': [verify, 'verify'],
        'reset token': [reset, 'reset']
      }
      for (const [what, [token, own]] of Object.entries(tokens)) {
        for (const [purpose, use] of Object.entries(uses)) {
          if (purpose !== own && !(what === 'e-mail change token' && purpose === 'verify')) {
            t.equal(await use(token), refusals[purpose], `${what} as ${purpose}`)
          }
        }
      }
      for (const [what, [token, own]] of Object.entries(tokens)) {
        // The verification has invalidated the earlier reset token.
        if (own === 'reset') await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
        if (own !== '') {
          t.equal(
            await uses[own]?.(own === 'reset' ? await built.tokenOf('onAfterForgotPassword') : token),
            200,
            `${what} for its own purpose`
          )
        }
      }
    }
  }
)

t.test('JWT-06: a token of another deployment with the same keys is refused because of its audience', async (t) => {
  const adapter = memory()
  const ours = await buildJwtApp(t, { secret: KEY }, { adapter })
  await ours.register()
  // Both applications use the same store, so the user exists in both.
  const otherDeployment = await buildJwtApp(t, { secret: KEY }, { adapter, compatibility: { audiencePrefix: 'sister' } })
  t.equal(await useToken(otherDeployment, await createToken(ours)), REFUSED)
  t.equal(await useToken(ours, await createToken(otherDeployment)), REFUSED)
  t.equal(await useToken(otherDeployment, await createToken(otherDeployment)), '200')
})

t.test('JWT-05: reset and verify tokens with a missing or invalid claim are refused', async (t) => {
  const built = await buildJwtApp(t, {}, { tokens: { reset: { secret: KEY }, verify: { secret: KEY } } })
  await built.register()
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  await built.send('POST', '/auth/request-verify-token', { email: ARTHUR })
  const reset = claimsOf(await built.tokenOf('onAfterForgotPassword'))
  const verify = claimsOf(await built.tokenOf('onAfterRequestVerify'))
  const now = Math.floor(Date.now() / 1000)
  const changes: Claims[] = [
    { exp: undefined },
    { exp: '9999999999' },
    { exp: now },
    { nbf: now + 3600 },
    { iat: undefined },
    { iat: now + 3600 },
    { iat: now - 0.5 },
    { jti: undefined },
    { jti: 1 },
    { aud: undefined },
    { aud: [] },
    { aud: 'users:auth' },
    { sub: undefined },
    { sub: 1 },
    { sub: {} },
    { sub: '' },
    { sub: randomUUID() },
    { sub: 'x' },
    { sub: String(reset['sub']).toUpperCase() },
    { sub: undefined, user_id: reset['sub'] }
  ]
  const resetChanges: Claims[] = [
    { password_fgpt: undefined },
    { password_fgpt: '' },
    { password_fgpt: 'x' },
    { password_fgpt: null },
    { password_fgpt: {} },
    { password_fgpt: '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$x' }
  ]
  const verifyChanges: Claims[] = [
    { email: undefined },
    { email: '' },
    { email: LANCELOT },
    { email: null },
    { email: {} },
    { email: [ARTHUR] },
    { new_email: LANCELOT },
    { new_email: LANCELOT, fgpt: 'x' },
    { new_email: {}, fgpt: {} }
  ]
  for (const change of [...changes, ...resetChanges]) {
    const reply = await built.send('POST', '/auth/reset-password', {
      token: forge(HEADER, { ...reset, ...change }),
      password: 'excalibur-9'
    })
    t.same(
      [reply.statusCode, reply.json<{ code: string }>().code],
      [400, 'FST_USERS_RESET_PASSWORD_BAD_TOKEN'],
      JSON.stringify(change)
    )
  }
  for (const change of [...changes, ...verifyChanges]) {
    const reply = await built.send('POST', '/auth/verify', { token: forge(HEADER, { ...verify, ...change }) })
    t.same(
      [reply.statusCode, reply.json<{ code: string }>().code],
      [400, 'FST_USERS_VERIFY_USER_BAD_TOKEN'],
      JSON.stringify(change)
    )
  }
  const good = forge(HEADER, verify)
  const last = good.at(-1) ?? ''
  const malformed: unknown[] = [
    'none',
    `${good}=`,
    `${good}.x`,
    ` ${good}`,
    `${good}\n`,
    good.replaceAll('.', '..'),
    `${good.slice(0, -1)}${last === '-' ? '_' : '-'}`,
    forge({ alg: 'none' }, verify, () => ''),
    forge({ ...HEADER, crit: ['x'] }, verify)
  ]
  for (const token of malformed) {
    t.equal(
      (await built.send('POST', '/auth/verify', { token })).json<{ code: string }>().code,
      'FST_USERS_VERIFY_USER_BAD_TOKEN',
      String(token).slice(-8)
    )
  }
  t.equal((await built.send('POST', '/auth/verify', { token: forge(HEADER, verify) })).statusCode, 200)
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  const next = claimsOf(await built.tokenOf('onAfterForgotPassword'))
  t.equal(
    (await built.send('POST', '/auth/reset-password', { token: forge(HEADER, next), password: 'excalibur-9' }))
      .statusCode,
    200
  )
})

t.test('SES-11: only the canonical form of an id is accepted as subject', async (t) => {
  const kinds: Record<string, [UsersOptions['schemas'], (id: string) => string[]]> = {
    integer: [
      userSchemas({}, { id: integerId() }),
      (id) => [
        `0${id}`,
        ` ${id}`,
        `${id} `,
        `+${id}`,
        `${id}.0`,
        `${id}e0`,
        `0x${id}`,
        `${id}_0`,
        `-${id}`,
        '１',
        'NaN',
        '9'.repeat(30)
      ]
    ],
    objectid: [
      userSchemas({}, { id: objectIdId() }),
      (id) => [id.toUpperCase(), ` ${id}`, `${id}0`, id.slice(1), `ObjectId("${id}")`]
    ]
  }
  for (const [kind, [schemas, others]] of Object.entries(kinds)) {
    const built = await buildJwtApp(t, { secret: KEY }, schemas === undefined ? {} : { schemas })
    let id = String((await built.register())['id'])
    if (kind === 'objectid' && id.toUpperCase() === id) id = String((await built.register({ email: LANCELOT }))['id'])
    const claims = claimsOf(await createToken(built))
    t.equal(await useToken(built, forge(HEADER, claims)), '200')
    for (const sub of others(id)) {
      t.equal(await useToken(built, forge(HEADER, { ...claims, sub })), REFUSED, `${kind} ${JSON.stringify(sub)}`)
    }
  }
})

t.test('JWT-09: claims of a token never grant a role', async (t) => {
  const { built, claims } = await buildWithKnownKey(t)
  const token = forge(HEADER, {
    ...claims,
    is_superuser: true,
    is_verified: true,
    is_active: true,
    role: 'admin',
    scope: 'admin'
  })
  t.equal(await useToken(built, token), '200')
  const reply = await built.send('GET', `/users/${String(claims['sub'])}`, undefined, {
    authorization: `Bearer ${token}`
  })
  t.same([reply.statusCode, reply.json<{ code: string }>().code], [403, 'FST_USERS_FORBIDDEN'])
  const me = await built.send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })
  t.match(me.json(), { is_superuser: false, is_verified: false })
})

t.test(
  'JWT-08: a new password, deactivation, endSessions and deletion invalidate a JWT at once; logout does not',
  async (t) => {
    const events: Record<string, (built: TestApp, token: string) => Promise<unknown>> = {
      'password change': async ({ send }, token) =>
        await send('PATCH', '/users/me', { password: 'excalibur-9' }, { authorization: `Bearer ${token}` }),
      'password change by code': async ({ app }) =>
        await app.users.update(await arthur(app), { password: 'excalibur-9' }),
      'password reset': async (built) => {
        await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
        return await built.send('POST', '/auth/reset-password', {
          token: await built.tokenOf('onAfterForgotPassword'),
          password: 'excalibur-9'
        })
      },
      deactivation: async ({ app }) => await app.users.update(await arthur(app), { is_active: false }),
      'deactivation and activation': async ({ app }) => {
        await app.users.update(await arthur(app), { is_active: false })
        return await app.users.update(await arthur(app), { is_active: true })
      },
      endSessions: async ({ app }) => {
        await app.users.endSessions(await arthur(app))
      },
      deletion: async ({ app }) => {
        await app.users.delete(await arthur(app))
      }
    }
    async function arthur (app: TestApp['app']): Promise<User> {
      const user = await app.users.getByEmail(ARTHUR)
      if (user === null) throw new Error('no Arthur')
      return user
    }
    for (const [what, endSession] of Object.entries(events)) {
      const built = await buildJwtApp(t)
      await built.register()
      const token = await createToken(built)
      t.equal(await useToken(built, token), '200')
      await endSession(built, token)
      t.equal(await useToken(built, token), REFUSED, what)
    }
    const built = await buildJwtApp(t)
    await built.register()
    const token = await createToken(built)
    t.equal(
      (await built.send('POST', '/auth/jwt/logout', undefined, { authorization: `Bearer ${token}` })).statusCode,
      204
    )
    t.equal(await useToken(built, token), '200', 'a JWT stays valid after logout')
  }
)

t.test(
  'row 20, JWT-07: exp has no tolerance, iat and nbf have one minute, and tokens without exp require endlessTokens',
  async (t) => {
    const start = Date.UTC(2030, 0, 1)
    let now = start
    const built = await buildJwtApp(t, { lifetimeSeconds: 60, secret: KEY }, { clock: () => now })
    await built.register()
    const token = await createToken(built)
    const claims = claimsOf(token)
    for (const [ms, expected] of [
      [0, '200'],
      [59_999, '200'],
      [60_000, REFUSED],
      [60_001, REFUSED],
      [3_600_000, REFUSED],
      [-1, '200'],
      [-60_000, '200'],
      [-60_001, REFUSED]
    ] as const) {
      now = start + ms
      t.equal(await useToken(built, token), expected, `after ${ms} ms`)
    }
    now = start
    t.equal(await useToken(built, forge(HEADER, { ...claims, nbf: start / 1000 + 61 })), REFUSED)
    now = start + 1000
    t.equal(await useToken(built, forge(HEADER, { ...claims, nbf: start / 1000 + 61 })), '200')

    await t.rejects(buildJwtApp(t, { lifetimeSeconds: null }), { code: 'FST_USERS_INVALID_OPTION' })
    const compatibility = { endlessTokens: true }
    const endless = await buildJwtApp(t, { lifetimeSeconds: null, secret: KEY }, { compatibility })
    await endless.register()
    const endlessToken = await createToken(endless)
    t.notOk('exp' in claimsOf(endlessToken))
    t.equal(await useToken(endless, endlessToken), '200')
    endless.tick(10 * 365 * 86_400)
    t.equal(await useToken(endless, endlessToken), '200')
    t.equal(
      await useToken(endless, forge(HEADER, { ...claimsOf(endlessToken), exp: 1 })),
      REFUSED,
      'an existing exp is checked'
    )
  }
)

t.test('row 20: a token has all audiences of the option, and must name one of them to be accepted', async (t) => {
  const built = await buildJwtApp(t, { secret: KEY, audience: ['api', 'web'] })
  await built.register()
  const claims = claimsOf(await createToken(built))
  t.same(claims['aud'], ['api', 'web'])
  for (const [aud, expected] of [
    ['api', '200'],
    [['web'], '200'],
    [['x', 'api'], '200'],
    [['x'], REFUSED],
    ['users:auth', REFUSED],
    ['ap', REFUSED],
    [[], REFUSED]
  ] as const) {
    t.equal(await useToken(built, forge(HEADER, { ...claims, aud })), expected, JSON.stringify(aud))
  }
})

t.test('logins in the same second create different tokens', async (t) => {
  const built = await buildJwtApp(t, {}, { clock: () => Date.UTC(2030, 0, 1) })
  await built.register()
  const tokens = await Promise.all(Array.from({ length: 10 }, async () => await createToken(built)))
  t.equal(new Set(tokens).size, 10)
  t.equal(new Set(tokens.map((token) => claimsOf(token)['jti'])).size, 10)
})

t.test('SES-10: repeated requests with one token have the same result, and users are not confused', async (t) => {
  const { built, claims } = await buildWithKnownKey(t)
  await built.register({ email: LANCELOT })
  const [a, b, bad] = [
    forge(HEADER, claims),
    await createToken(built, LANCELOT),
    forge(HEADER, claims, hmac('256', OTHER_KEY))
  ]
  for (let i = 0; i < 10; i++) {
    t.equal(
      (await built.send('GET', '/guarded', undefined, { authorization: `Bearer ${a}` })).json<{
        user: { email: string }
      }>().user.email,
      ARTHUR
    )
    t.equal(
      (await built.send('GET', '/guarded', undefined, { authorization: `Bearer ${b}` })).json<{
        user: { email: string }
      }>().user.email,
      LANCELOT
    )
    t.equal(await useToken(built, bad), REFUSED)
  }
})

t.test(
  'SES-09: users and sessions are not cached, so each request sees the writes of other processes',
  async (t) => {
    const adapter = memory()
    const built = await buildApp(t, { adapter })
    await built.create()
    const sessions = { jwt: await built.bearer(ARTHUR), cookie: await built.cookie(ARTHUR) }
    const seen = async (): Promise<(number | [string, boolean])[]> =>
      await Promise.all(
        Object.values(sessions).map(async (headers) => {
          const reply = await built.send('GET', '/users/me', undefined, headers)
          const { email, is_superuser: superuser } = reply.json<User>()
          return reply.statusCode === 200 ? [email, superuser] : reply.statusCode
        })
      )
    const write = (changes: Record<string, string | boolean>): Promise<number> =>
      adapter.update(storedModel('user'), {}, changes)
    for (let i = 0; i < 3; i++) {
      t.same(await seen(), [
        [ARTHUR, false],
        [ARTHUR, false]
      ])
    }
    await write({ is_superuser: true, email: LANCELOT })
    t.same(await seen(), [
      [LANCELOT, true],
      [LANCELOT, true]
    ])
    await write({ is_active: false })
    t.same(await seen(), [401, 401])
    await write({ is_active: true, is_superuser: false })
    t.same(await seen(), [
      [LANCELOT, false],
      [LANCELOT, false]
    ])
    await adapter.delete(storedModel('accesstoken'), {})
    t.same(await seen(), [[LANCELOT, false], 401])
    await write({ session_stamp: 'another' })
    t.same(await seen(), [401, 401])
  }
)

t.test('SES-09, SES-10: a limited number of valid signatures is cached, each for its whole token', async (t) => {
  const scope = Fastify()
  t.teardown(() => scope.close())
  let now = Date.now()
  const codec = await createJwtCodec(scope, {
    keys: [checkJwtKey('secret', { secret: KEY })],
    audience: 'x',
    lifetimeSeconds: 60,
    clock: () => now,
    issuedAt: true,
    strict: true,
    required: [],
    cachedSignatures: 2
  })
  const [a, b, c] = ['a', 'b', 'c'].map((sub) => codec.sign({ sub })) as [string, string, string]
  const known = codec.read(a)
  t.equal(codec.read(a), known, 'the cached object is returned')
  t.ok(Object.isFrozen(known))
  t.equal(codec.read(`${a.slice(0, -4)}AAAA`), null, 'another signature for the same claims is refused')
  t.equal(codec.read(a), known, 'a token with a bad signature is not cached')
  codec.read(b)
  codec.read(c)
  t.not(codec.read(a), known, 'the oldest entry is removed')
  t.same(codec.read(a), known)
  now += 60_000
  t.equal(codec.read(a), null, 'the expiry is checked at each read')
})

t.test('JWT-10: an audience must not be a regular expression, and repeated checks have the same result', async (t) => {
  for (const audience of [/x/g, [/x/g], [/x/y, 'x'], 'x']) {
    t.throws(
      () => jwtStrategy({ lifetimeSeconds: 60, audience: audience as unknown as string[] }),
      { code: 'FST_USERS_INVALID_OPTION' },
      String(audience)
    )
  }
  for (const purpose of ['reset', 'verify']) {
    await t.rejects(
      buildApp(t, { tokens: { [purpose]: { audience: /x/g } } }),
      { code: 'FST_USERS_INVALID_OPTION' },
      purpose
    )
  }
  const { built, claims } = await buildWithKnownKey(t)
  const results = async (token: string): Promise<Set<string>> => {
    const found = new Set<string>()
    for (let i = 0; i < 10; i++) found.add(await useToken(built, token))
    return found
  }
  t.same(await results(forge(HEADER, claims)), new Set(['200']))
  t.same(await results(forge(HEADER, { ...claims, aud: 'another' })), new Set([REFUSED]))
})

t.test("two JWT backends without separate keys refuse each other's tokens", async (t) => {
  const built = await buildApp(t, { backends: [jwtBackend({}, 'web'), jwtBackend({}, 'mobile')] }, (app) => {
    for (const name of ['web', 'mobile']) {
      app.get(`/${name}`, { preHandler: app.authenticate({ backends: [name] }) }, async () => 'ok')
    }
  })
  await built.register()
  for (const [own, other] of [
    ['web', 'mobile'],
    ['mobile', 'web']
  ] as const) {
    const token = (await built.login(own, ARTHUR)).json<{ access_token: string }>().access_token
    t.equal((await built.send('GET', `/${own}`, undefined, { authorization: `Bearer ${token}` })).statusCode, 200)
    t.equal((await built.send('GET', `/${other}`, undefined, { authorization: `Bearer ${token}` })).statusCode, 401)
  }
  t.equal(backends().length, 2)
})

t.test('without lifetimeSeconds, a token is valid for 600 seconds', async (t) => {
  const backend = { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy() }
  const { create, bearer, send, tick } = await buildApp(t, { backends: [backend] })
  await create()
  const session = await bearer(ARTHUR)
  tick(598)
  t.equal((await send('GET', '/users/me', undefined, session)).statusCode, 200)
  tick(3)
  t.equal((await send('GET', '/users/me', undefined, session)).statusCode, 401)
})
