import {
  createHmac,
  createSign,
  createVerify,
  generateKeyPairSync,
  randomBytes,
  sign as signBytes,
  timingSafeEqual
} from 'node:crypto'
import { hash as hashArgon2, verify as verifyArgon2 } from '@node-rs/argon2'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import users, {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type DatabaseAdapter,
  type JwtStrategyOptions,
  type User,
  type UsersOptions
} from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { captureEvents } from '../../lib/testing/index.js'
import { fastPasswords, storedModel, storedRows } from '../helpers/build-app.js'
import { CENTURY, SECRETS, signLikePython } from './rows.js'

const EMAIL = 'king.arthur@camelot.bt'
const PASSWORD = 'guinevere'
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
// cheap hashes in the format of argon2-cffi
const COST = { memoryCost: 32, timeCost: 1, parallelism: 4 }

type Claims = Record<string, unknown>

interface Service {
  app: FastifyInstance
  adapter: DatabaseAdapter
  user: User
  storedHash(): Promise<string>
  mailed(purpose: 'reset' | 'verify'): Promise<string>
  login(backend: string): Promise<string>
  me(token: string): Promise<number>
  post(url: string, body: object): Promise<{ status: number; detail: unknown }>
}

/** Creates an application in compatibility mode with one user and this key for access tokens. */
async function serve (
  t: Test,
  key: Partial<JwtStrategyOptions> = {},
  options: Partial<UsersOptions> = {}
): Promise<Service> {
  const app = Fastify()
  t.teardown(() => app.close())
  const adapter = memory()
  await app.register(users, {
    adapter,
    secret: SECRETS.auth,
    compatibility: 'fastapi-users',
    passwords: fastPasswords,
    limits: false,
    tokens: { reset: { secret: SECRETS.reset }, verify: { secret: SECRETS.verify } },
    backends: [
      {
        name: 'jwt',
        transport: bearerTransport(),
        strategy: jwtStrategy({
          ...(Object.keys(key).some((name) => name.endsWith('Key')) ? {} : { secret: SECRETS.auth }),
          lifetimeSeconds: 3600,
          ...key
        })
      },
      { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
    ],
    ...options
  })
  const { tokenOf } = captureEvents(app)
  await app.ready()
  const user = await app.users.create({ email: EMAIL, password: PASSWORD })
  return {
    app,
    adapter,
    user,
    storedHash: async () => String((await storedRows(adapter, 'user'))[0]?.hashed_password),
    async mailed (purpose) {
      await (purpose === 'reset' ? app.users.forgotPassword(EMAIL) : app.users.requestVerify(EMAIL))
      return await tokenOf(purpose === 'reset' ? 'onAfterForgotPassword' : 'onAfterRequestVerify')
    },
    login: async (backend) => String((await app.users.login(user, { backend })).issued?.token),
    me: async (token) =>
      (await app.inject({ url: '/users/me', headers: { authorization: `Bearer ${token}` } })).statusCode,
    async post (url, payload) {
      const reply = await app.inject({ method: 'POST', url, payload })
      return { status: reply.statusCode, detail: reply.json<{ detail?: unknown } | null>()?.detail }
    }
  }
}

const parse = (segment: string): Claims => JSON.parse(Buffer.from(segment, 'base64url').toString()) as Claims
const rsa = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' }
})
const ec = generateKeyPairSync('ec', {
  namedCurve: 'prime256v1',
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' }
})
const ed = generateKeyPairSync('ed25519', {
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' }
})

/**
 * Stands for the Python service: performs the checks of `jwt.decode(token, key, algorithms=[alg], audience=…)`
 * without a library.
 */
function decodeLikePython (token: string, key: string, alg: string, audience: readonly string[]): Claims {
  const [header = '', payload = '', signature = '', ...more] = token.split('.')
  const require = (holds: boolean, what: string): void => {
    if (!holds) throw new Error(what)
  }
  require(more.length === 0 &&
    [header, payload, signature].every((part) => /^[\w-]+$/.test(part)), 'not enough segments, or padding')
  require(parse(header).alg === alg && !('crit' in parse(header)), 'the specified alg value is not allowed')
  require(isSigned(
    `${header}.${payload}`,
    Buffer.from(signature, 'base64url'),
    key,
    alg
  ), 'signature verification failed')
  const claims = parse(payload)
  const { sub, aud, exp, iat, jti, nbf } = claims
  const now = Date.now() / 1000
  require(typeof sub === 'string', 'subject must be a string')
  require(jti === undefined || typeof jti === 'string', 'JWT ID must be a string')
  require(exp === undefined || (Number.isInteger(exp) && Number(exp) > now), 'signature has expired')
  require(iat === undefined || (Number.isInteger(iat) && Number(iat) <= now), 'the token is not yet valid (iat)')
  require(nbf === undefined || Number(nbf) <= now, 'the token is not yet valid (nbf)')
  const named: unknown[] = Array.isArray(aud) ? aud : [aud]
  require(named.every((one) => typeof one === 'string') &&
    named.some((one) => audience.includes(String(one))), "audience doesn't match")
  return claims
}

function isSigned (text: string, signature: Buffer, key: string, alg: string): boolean {
  if (alg.startsWith('HS')) {
    return timingSafeEqual(
      createHmac(`sha${alg.slice(2)}`, key)
        .update(text)
        .digest(),
      signature
    )
  }
  return createVerify('sha256')
    .update(text)
    .verify(alg === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key, signature)
}

/** Creates a JWT as PyJWT does with a private key. */
function signWithKey (claims: Claims, key: string, alg: string): string {
  const text = [{ alg, typ: 'JWT' }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  const signature =
    alg === 'EdDSA'
      ? signBytes(null, Buffer.from(text), key)
      : createSign('sha256')
        .update(text)
        .sign(alg === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key)
  return `${text}.${signature.toString('base64url')}`
}

const AUDIENCE = ['fastapi-users:auth']
const claimsOf = (user: User): Claims => ({ sub: String(user.id), aud: AUDIENCE, exp: CENTURY })

t.test(
  'rows 18, 20, 90: access tokens of a Python service are accepted, and a Python service accepts those of the plugin',
  async (t) => {
    const { user, me, login } = await serve(t)
    t.equal(await me(signLikePython(claimsOf(user), SECRETS.auth)), 200, 'audiences as a list')
    t.equal(
      await me(signLikePython({ ...claimsOf(user), aud: 'fastapi-users:auth' }, SECRETS.auth)),
      200,
      'audience as text'
    )
    t.equal(
      await me(signLikePython({ sub: String(user.id), aud: AUDIENCE }, SECRETS.auth)),
      200,
      'a token of a service without a lifetime'
    )

    const before = Math.floor(Date.now() / 1000)
    const ours = await login('jwt')
    const claims = decodeLikePython(ours, SECRETS.auth, 'HS256', AUDIENCE)
    t.equal(
      Buffer.from(String(ours.split('.')[0]), 'base64url').toString(),
      '{"alg":"HS256","typ":"JWT"}',
      'the encoded header is equal'
    )
    t.strictSame(
      Object.keys(claims),
      ['sub', 'ver', 'sid', 'auth_time', 'amr', 'aud', 'exp', 'jti'],
      'the claims of FastAPI Users in its order, then those that only the plugin reads'
    )
    t.strictSame({ sub: claims.sub, aud: claims.aud }, { sub: user.id, aud: AUDIENCE })
    t.ok(
      Number.isInteger(claims.exp) &&
        Number(claims.exp) >= before + 3600 &&
        Number(claims.exp) <= Math.floor(Date.now() / 1000) + 3600,
      'the lifetime is one hour'
    )
    t.equal(typeof claims.ver, 'string')
    t.match(claims.jti, UUID)
    t.equal(await me(ours), 200)
  }
)

t.test('rows 19, 90: RS256 and ES256 in both directions', async (t) => {
  for (const [algorithm, { privateKey, publicKey }] of [
    ['RS256', rsa],
    ['ES256', ec]
  ] as const) {
    const { user, me, login } = await serve(t, { algorithm, privateKey, publicKey })
    t.equal(
      await me(signWithKey(claimsOf(user), privateKey, algorithm)),
      200,
      `${algorithm}: the plugin accepts a token of the Python service`
    )
    const ours = await login('jwt')
    t.equal(
      decodeLikePython(ours, publicKey, algorithm, AUDIENCE).sub,
      user.id,
      `${algorithm}: the Python service accepts a token of the plugin`
    )
    const header: unknown = JSON.parse(Buffer.from(String(ours.split('.')[0]), 'base64url').toString())
    const kid = /^[\w-]{43}$/ // the thumbprint of the public key (RFC 7638), which PyJWT ignores
    t.match(header, { alg: algorithm, typ: 'JWT', kid })
    t.same(Object.keys(header as object), ['alg', 'typ', 'kid'])
    t.equal(
      await me(signLikePython(claimsOf(user), publicKey)),
      401,
      `${algorithm}: the public key is not accepted as an HMAC secret`
    )
  }
})

t.test('row 19: the other supported algorithms of PyJWT work', async (t) => {
  for (const algorithm of ['HS384', 'HS512'] as const) {
    const secret = randomBytes(64).toString('base64url')
    const { user, me, login } = await serve(t, { algorithm, secret })
    t.equal(await me(signLikePython(claimsOf(user), secret, { alg: algorithm, typ: 'JWT' })), 200, algorithm)
    t.equal(decodeLikePython(await login('jwt'), secret, algorithm, AUDIENCE).sub, user.id, algorithm)
  }
  const { user, me } = await serve(t, { algorithm: 'EdDSA', privateKey: ed.privateKey, publicKey: ed.publicKey })
  t.equal(await me(signWithKey(claimsOf(user), ed.privateKey, 'EdDSA')), 200, 'EdDSA')
})

t.test('row 19: a public key alone refuses to start, because logins need a key that signs', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(
    async () =>
      await app
        .register(users, {
          adapter: memory(),
          secret: SECRETS.auth,
          compatibility: 'fastapi-users',
          backends: [
            {
              name: 'jwt',
              transport: bearerTransport(),
              strategy: jwtStrategy({ algorithm: 'RS256', publicKey: rsa.publicKey, lifetimeSeconds: 60 })
            }
          ]
        })
        .ready(),
    { code: 'FST_USERS_INVALID_OPTION' }
  )
})

t.test('row 20: tokens contain the configured audiences, and a token must contain one of them', async (t) => {
  const audience = ['first', 'second']
  const { user, me, login } = await serve(t, { audience })
  t.strictSame(decodeLikePython(await login('jwt'), SECRETS.auth, 'HS256', ['second']).aud, audience)
  for (const [aud, status] of [
    ['second', 200],
    [['x', 'first'], 200],
    [['x'], 401],
    ['fastapi-users:auth', 401],
    [[], 401],
    [undefined, 401]
  ] as const) {
    t.equal(await me(signLikePython({ ...claimsOf(user), aud }, SECRETS.auth)), status, JSON.stringify(aud) ?? 'none')
  }
})

t.test('rows 20, 23: with a lifetime of null, JWTs have no exp and stored tokens never expire', async (t) => {
  let ahead = 0
  const { me, login } = await serve(
    t,
    {},
    {
      clock: () => Date.now() + ahead,
      backends: [
        {
          name: 'jwt',
          transport: bearerTransport(),
          strategy: jwtStrategy({ secret: SECRETS.auth, lifetimeSeconds: null })
        },
        { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: null }) }
      ]
    }
  )
  const [jwt, stored] = [await login('jwt'), await login('db')]
  t.strictSame(
    Object.keys(decodeLikePython(jwt, SECRETS.auth, 'HS256', AUDIENCE)),
    ['sub', 'ver', 'sid', 'auth_time', 'amr', 'aud', 'jti']
  )
  ahead = 100 * 365 * 86_400_000
  t.equal(await me(jwt), 200)
  t.equal(await me(stored), 200)
})

t.test('rows 16, 20: a cookie keeps its maxAge if its token never expires', async (t) => {
  const { app } = await serve(
    t,
    {},
    {
      backends: [
        {
          name: 'cookie',
          transport: cookieTransport({ maxAge: 60 }),
          strategy: databaseStrategy({ lifetimeSeconds: null })
        }
      ]
    }
  )
  const reply = await app.inject({
    method: 'POST',
    url: '/auth/cookie/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({ username: EMAIL, password: PASSWORD }).toString()
  })
  t.match(reply.headers['set-cookie'], /; Max-Age=60;/)
})

t.test(
  'rows 22, 23, 90: stored tokens have the format of FastAPI Users in both directions; their age is checked when they are read',
  async (t) => {
    let ahead = 0
    const { user, adapter, me, login } = await serve(t, {}, { clock: () => Date.now() + ahead })
    const ours = await login('db')
    const [row] = await storedRows(adapter, 'accesstoken')
    t.match(ours, /^[\w-]{43}$/)
    t.strictSame(
      { token: row?.token, user_id: row?.user_id },
      { token: ours, user_id: user.id },
      'the token is stored as plain text: a Python service finds it'
    )

    const theirs = randomBytes(32).toString('base64url')
    await adapter.create(storedModel('accesstoken'), {
      token: theirs,
      user_id: user.id,
      created_at: new Date(Date.now() - 60_000)
    })
    t.equal(await me(theirs), 200)
    ahead = 3_570_000
    t.strictSame([await me(ours), await me(theirs)], [200, 401], 'the older session has ended')
  }
)

t.test('rows 51, 90: a reset token of a Python service sets a password once', async (t) => {
  const { user, storedHash, post } = await serve(t)
  const print = await hashArgon2(await storedHash(), { ...COST, algorithm: 2 })
  const token = signLikePython(
    { sub: user.id, password_fgpt: print, aud: 'fastapi-users:reset', exp: CENTURY },
    SECRETS.reset
  )
  t.equal((await post('/auth/reset-password', { token, password: 'excalibur-3' })).status, 200)
  t.strictSame(await post('/auth/reset-password', { token, password: 'excalibur-3' }), {
    status: 400,
    detail: 'RESET_PASSWORD_BAD_TOKEN'
  })
})

t.test('rows 51, 90: a reset token of the plugin has the claims and the fingerprint that a Python service checks', async (t) => {
  const { user, storedHash, mailed } = await serve(t)
  const token = await mailed('reset')
  const claims = decodeLikePython(token, SECRETS.reset, 'HS256', ['fastapi-users:reset'])
  t.strictSame(Object.keys(claims), ['sub', 'password_fgpt', 'fgpt', 'aud', 'exp', 'jti'])
  t.strictSame(
    { sub: claims.sub, aud: claims.aud },
    { sub: user.id, aud: 'fastapi-users:reset' },
    'the audience is text, not a list'
  )
  t.match(claims.password_fgpt, /^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[\w+/]{22}\$[\w+/]{43}$/)
  t.ok(
    await verifyArgon2(String(claims.password_fgpt), await storedHash()),
    'the fingerprint is a hash of the stored hash'
  )
})

t.test('row 51: a reset token with the fingerprint of another hash or of an unknown format is refused', async (t) => {
  const { user, storedHash, post } = await serve(t)
  const stored = await storedHash()
  const prints = [
    await hashArgon2('another hash', COST),
    stored,
    '$argon2id$',
    '$2b$12$short',
    '$md5$x',
    'x',
    `${await hashArgon2(stored, COST)}x`,
    7,
    null,
    {},
    ['$argon2id$']
  ]
  for (const print of prints) {
    const token = signLikePython(
      { sub: user.id, password_fgpt: print, aud: 'fastapi-users:reset', exp: CENTURY },
      SECRETS.reset
    )
    t.strictSame(
      await post('/auth/reset-password', { token, password: 'x' }),
      { status: 400, detail: 'RESET_PASSWORD_BAD_TOKEN' },
      JSON.stringify(print)
    )
  }
})

t.test(
  'row 51, RST-05: a new e-mail and endSessions invalidate reset tokens of the plugin, but not those of a Python service',
  async (t) => {
    const { app, user, storedHash, mailed, post } = await serve(t)
    const bad = { status: 400, detail: 'RESET_PASSWORD_BAD_TOKEN' }
    const ended = await mailed('reset')
    await app.users.endSessions(user)
    t.strictSame(await post('/auth/reset-password', { token: ended, password: 'x' }), bad, 'after endSessions')

    const ours = await mailed('reset')
    const { fgpt, ...claims } = parse(String(ours.split('.')[1]))
    t.strictSame(
      await post('/auth/reset-password', {
        token: signLikePython({ ...claims, fgpt: [fgpt, 'x'] }, SECRETS.reset),
        password: 'x'
      }),
      bad,
      'a fingerprint of another type'
    )
    await app.users.update(user, { email: 'arthur@camelot.bt' })
    t.strictSame(await post('/auth/reset-password', { token: ours, password: 'x' }), bad, 'after a new e-mail')
    const theirs = signLikePython(
      {
        sub: user.id,
        password_fgpt: await hashArgon2(await storedHash(), COST),
        aud: 'fastapi-users:reset',
        exp: CENTURY
      },
      SECRETS.reset
    )
    t.equal((await post('/auth/reset-password', { token: theirs, password: 'excalibur-3' })).status, 200)
  }
)

t.test('rows 56, 58, 90: verify tokens are accepted in both directions', async (t) => {
  const { user, mailed, post } = await serve(t)
  const claims = decodeLikePython(await mailed('verify'), SECRETS.verify, 'HS256', ['fastapi-users:verify'])
  t.strictSame(
    Object.keys(claims),
    ['sub', 'email', 'fgpt', 'aud', 'exp', 'jti'],
    'the claims that the Python service reads'
  )
  t.strictSame(
    { sub: claims.sub, email: claims.email, aud: claims.aud },
    { sub: user.id, email: EMAIL, aud: 'fastapi-users:verify' }
  )
  const theirs = (email: string): object => ({
    token: signLikePython({ sub: user.id, email, aud: 'fastapi-users:verify', exp: CENTURY }, SECRETS.verify)
  })
  t.strictSame(await post('/auth/verify', theirs('other@camelot.bt')), { status: 400, detail: 'VERIFY_USER_BAD_TOKEN' })
  t.equal((await post('/auth/verify', theirs(EMAIL))).status, 200)
})

t.test('row 59: secrets, lifetimes and audiences of mailed tokens can equal those of a Python service', async (t) => {
  const { mailed, user, post } = await serve(
    t,
    {},
    {
      tokens: {
        reset: { secret: SECRETS.auth, lifetimeSeconds: 60, audience: 'camelot:reset' },
        verify: { secret: SECRETS.auth, audience: 'camelot:verify' }
      }
    }
  )
  const claims = decodeLikePython(await mailed('reset'), SECRETS.auth, 'HS256', ['camelot:reset'])
  t.ok(Number(claims.exp) <= Date.now() / 1000 + 61, 'the lifetime is one minute')
  decodeLikePython(await mailed('verify'), SECRETS.auth, 'HS256', ['camelot:verify'])
  const token = signLikePython({ sub: user.id, email: EMAIL, aud: 'camelot:reset', exp: CENTURY }, SECRETS.auth)
  t.equal(
    (await post('/auth/verify', { token })).status,
    400,
    'with one secret for all purposes, the audience separates them'
  )
})

t.test('row 90: a token of one purpose is refused for every other purpose', async (t) => {
  const { user, me, mailed, login, post } = await serve(
    t,
    {},
    { tokens: { reset: { secret: SECRETS.auth }, verify: { secret: SECRETS.auth } } }
  )
  const [resetToken, verifyToken, access] = [await mailed('reset'), await mailed('verify'), await login('jwt')]
  t.strictSame([await me(resetToken), await me(verifyToken)], [401, 401])
  for (const token of [verifyToken, access]) {
    t.equal((await post('/auth/reset-password', { token, password: 'x' })).status, 400)
  }
  for (const token of [resetToken, access]) t.equal((await post('/auth/verify', { token })).status, 400)
  t.equal(
    await me(signLikePython({ user_id: user.id, aud: AUDIENCE, exp: CENTURY }, SECRETS.auth)),
    401,
    'tokens from before FastAPI Users 10.3, which current versions refuse too'
  )
})
