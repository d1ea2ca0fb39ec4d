import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { apiKeys } from '../../lib/features/api-keys/index.js'
import { github, oauth } from '../../lib/features/oauth/index.js'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  userSchemas,
  type User,
  type UsersOptions
} from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { ARTHUR, backends, buildApp, cookieOf, PASSWORD, SECRET, type TestApp } from '../helpers/build-app.js'
import { watchedAdapter, type WatchedAdapter } from '../fixtures/watched-adapter.js'

const NEW_PASSWORD = 'excalibur-2'
const COOKIE = '__Host-users-cookie'
type Claims = Record<string, string>

interface TokenApp extends TestApp {
  store: WatchedAdapter
  secrets: Record<string, string>
}

async function start (t: Test, options: Partial<UsersOptions> = {}): Promise<TokenApp> {
  const store = watchedAdapter(memory())
  const features = [apiKeys({ scopes: ['read'] })]
  const built = await buildApp(t, { adapter: store.adapter, sensitiveChanges: 'confirm', features, ...options }, (app) => {
    app.get('/scoped', { preHandler: authenticate({ scopes: ['read'], backends: ['api-key'] }) }, async () => 'in')
    app.get('/guarded', { preHandler: authenticate }, async () => 'in')
    app.get('/optional', { preHandler: authenticate({ optional: true }) }, async (request) =>
      request.user === null ? 'anonymous' : 'known'
    )
  })
  const { create, bearer, cookie, app, tokenOf, send } = built
  const user = await create()
  const { key } = await app.users.feature('api-keys').create(user, { name: 'job', scopes: ['read'] })
  const { authorization } = await bearer(ARTHUR)
  const session = await cookie(ARTHUR)
  await app.users.forgotPassword(ARTHUR)
  const reset = await tokenOf('onAfterForgotPassword')
  await app.users.requestVerify(ARTHUR)
  const verify = await tokenOf('onAfterRequestVerify')
  await send('PATCH', '/users/me', { email: 'arthur@camelot.bt', current_password: PASSWORD }, { authorization })
  const change = await tokenOf('onAfterRequestVerify')
  const secrets = { access: authorization.slice(7), cookie: session.cookie.split('=')[1] ?? '', reset, verify, change, key }
  return { ...built, store, secrets }
}

/** Returns values that an attacker may know and that are not tokens, such as ids and digests. */
async function worthless ({ store, secrets }: TokenApp): Promise<Record<string, string>> {
  const [user] = await store.rows('user')
  const [token] = await store.rows('accesstoken')
  const [apiKey] = await store.rows('api_key')
  const claims = claimsOf(secrets['reset'])
  const unsigned = (text = ''): string =>
    `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${text.split('.')[1]}.`
  return {
    'the stored digest': String(token?.['token']),
    'a digest of the stored digest': createHash('sha256').update(String(token?.['token'])).digest('base64url'),
    'the digest of a key': String(apiKey?.['digest']),
    'the id of a key': String(apiKey?.['id']),
    'a key without its checksum': String(secrets['key']).slice(0, -6),
    'the session stamp': String(user?.['session_stamp']),
    'the password hash': String(user?.['hashed_password']),
    'the fingerprint of the password': String(claims['password_fgpt']),
    'the fingerprint of the change': String(claimsOf(secrets['change'])['fgpt']),
    'the id': String(user?.['id']),
    'the id of a token': String(claimsOf(secrets['access'])['jti']),
    'the secret': SECRET,
    'the address': ARTHUR,
    'the password': PASSWORD,
    'an unsigned access token': unsigned(secrets['access']),
    'an unsigned reset token': unsigned(secrets['reset']),
    'an unsigned verify token': unsigned(secrets['verify']),
    'a mixture': mixture(secrets['access'], secrets['reset']),
    'another mixture': mixture(secrets['reset'], secrets['verify']),
    'a token without its signature': String(secrets['access']).split('.').slice(0, 2).join('.'),
    'text null': 'null',
    'text undefined': 'undefined'
  }
}

const claimsOf = (token = ''): Claims =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Claims

/** Returns the header and payload of one token with the signature of another. */
function mixture (one = '', other = ''): string {
  return [...one.split('.').slice(0, 2), other.split('.')[2]].join('.')
}

/** Every place that accepts a token, and the kinds of tokens that are valid there. */
const places: Record<string, { own: string[]; accepts(round: TestApp, token: string): Promise<boolean> }> = {
  'bearer on our route': {
    own: ['access'],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/users/me', headers: { authorization: `Bearer ${token}` } })).statusCode !== 401
  },
  'bearer on a guarded route': {
    own: ['access'],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/guarded', headers: { authorization: `Bearer ${token}` } })).statusCode !== 401
  },
  'bearer on an optional route': {
    own: ['access'],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/optional', headers: { authorization: `Bearer ${token}` } })).body !== 'anonymous'
  },
  'cookie on our route': {
    own: ['cookie'],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/users/me', headers: { cookie: `${COOKIE}=${token}` } })).statusCode !== 401
  },
  'cookie on a guarded route': {
    own: ['cookie'],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/guarded', headers: { cookie: `${COOKIE}=${token}` } })).statusCode !== 401
  },
  'cookie on an optional route': {
    own: ['cookie'],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/optional', headers: { cookie: `${COOKIE}=${token}` } })).body !== 'anonymous'
  },
  'a key in X-API-Key': {
    own: ['key'],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/scoped', headers: { 'x-api-key': token } })).statusCode !== 401
  },
  'a bearer key': {
    own: ['key'],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/scoped', headers: { authorization: `Bearer ${token}` } })).statusCode !== 401
  },
  'a key where keys are not accepted': {
    own: [],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/guarded', headers: { 'x-api-key': token } })).statusCode !== 401
  },
  'basic credentials': {
    own: [],
    accepts: async ({ app }, token) =>
      (
        await app.inject({
          url: '/users/me',
          headers: { authorization: `Basic ${Buffer.from(`${ARTHUR}:${token}`).toString('base64')}` }
        })
      ).statusCode !== 401
  },
  'cookie under another name': {
    own: [],
    accepts: async ({ app }, token) =>
      (
        await app.inject({
          url: '/users/me',
          headers: { cookie: `users-cookie=${token}; fastapiusersauth=${token}; __Host-users-jwt=${token}` }
        })
      ).statusCode !== 401
  },
  'the query': {
    own: [],
    accepts: async ({ app }, token) =>
      (await app.inject({ url: '/users/me', query: { access_token: token, token, authorization: `Bearer ${token}` } }))
        .statusCode !== 401
  },
  'the logout of jwt': {
    own: [],
    accepts: async ({ app }, token) =>
      (
        await app.inject({
          method: 'POST',
          url: '/auth/jwt/logout',
          headers: { cookie: `x=${token}` },
          query: { token }
        })
      ).statusCode !== 401
  },
  'a password': {
    own: ['the password'],
    accepts: async ({ login }, token) => (await login('jwt', ARTHUR, token)).statusCode !== 400
  },
  'a reset': {
    own: ['reset'],
    accepts: async ({ send }, token) =>
      (await send('POST', '/auth/reset-password', { token, password: NEW_PASSWORD })).statusCode !== 400
  },
  'a verification': {
    own: ['verify', 'change'],
    accepts: async ({ send }, token) => (await send('POST', '/auth/verify', { token })).statusCode !== 400
  }
}

t.test(
  'CFG-03, SES-02, RST-06, JWT-01, JWT-06, CK-04: every kind of token is refused at the places of other kinds',
  async (t) => {
    const round = await start(t)
    const { store, secrets, app } = round
    await app.users.settled()
    const restoreRows = await store.snapshot()
    const tokens = { ...secrets, ...(await worthless(round)) }
    await app.users.settled()
    const before = await store.dump()
    for (const [place, { own, accepts }] of Object.entries(places)) {
      for (const [kind, token] of Object.entries(tokens)) {
        if (own.includes(kind)) continue
        t.equal(await accepts(round, token), false, `${kind} as ${place}`)
      }
    }
    t.equal(await store.dump(), before, 'nothing is changed')
    for (const place of Object.keys(places)) {
      for (const kind of places[place]?.own ?? []) {
        await restoreRows()
        t.equal(
          await places[place]?.accepts(round, 'x'),
          false,
          `text that is not a token is refused in place of ${kind}`
        )
      }
    }
    for (const [place, { own, accepts }] of Object.entries(places)) {
      for (const kind of own) {
        await app.users.settled()
        await restoreRows()
        t.equal(await accepts(round, secrets[kind] ?? PASSWORD), true, `${kind} works as ${place}`)
      }
    }
  }
)

t.test(
  'CFG-03: each purpose has its own key, so tokens of other purposes are refused even with equal audiences',
  async (t) => {
    const audience = 'camelot'
    const round = await start(t, {
      tokens: { reset: { audience }, verify: { audience } },
      backends: [
        {
          name: 'jwt',
          transport: bearerTransport(),
          strategy: jwtStrategy({ lifetimeSeconds: 60, audience: [audience] })
        },
        { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }
      ]
    })
    const { secrets } = round
    const kids = ['access', 'reset', 'verify'].map(
      (kind) => (JSON.parse(Buffer.from(secrets[kind]?.split('.')[0] ?? '', 'base64url').toString()) as Claims)['kid']
    )
    t.equal(new Set(kids).size, 3)
    t.notOk(kids.includes(undefined))
    for (const [place, { own, accepts }] of Object.entries(places)) {
      for (const [kind, token] of Object.entries(secrets)) {
        if (!own.includes(kind)) t.equal(await accepts(round, token), false, `${kind} as ${place}`)
      }
    }
  }
)

t.test(
  'CFG-03, JWT-06: tokens of an application with the same secret and another name are refused',
  async (t) => {
    const ours = await start(t, { name: 'staff' })
    const shop = await start(t, { name: 'customers' })
    const [mine] = await ours.store.rows('staff:user')
    const [theirs] = await shop.store.rows('customers:user')
    t.not(mine?.['id'], theirs?.['id'])
    const all = await ours.store.rows('staff:accesstoken')
    const model = { name: 'customers:accesstoken' } as never
    await shop.store.adapter.create(model, {
      ...all[0],
      user_id: theirs?.['id'],
      session_stamp: theirs?.['session_stamp']
    }) // the stored session exists, too
    for (const [kind, place] of [
      ['access', 'bearer on our route'],
      ['cookie', 'cookie on our route'],
      ['reset', 'a reset'],
      ['verify', 'a verification'],
      ['change', 'a verification']
    ] as const) {
      t.equal(await places[place]?.accepts(shop, ours.secrets[kind] ?? ''), false, kind)
    }
    const cookie = `__Host-customers-cookie=${ours.secrets['cookie']}`
    t.equal((await shop.app.inject({ url: '/users/me', headers: { cookie } })).statusCode, 401)
  }
)

t.test('BR-03, CFG-03: a token of one backend is refused by another backend with the same strategy', async (t) => {
  const pairs: UsersOptions['backends'] = [
    { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) },
    { name: 'jwt2', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) },
    { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) },
    { name: 'db2', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) },
    { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }
  ]
  const names = pairs.map(({ name }) => name)
  const { create, login, app } = await buildApp(t, { backends: pairs }, (app) => {
    for (const name of names) {
      app.get(
        `/by-${name}`,
        { preHandler: authenticate({ backends: [name] }) },
        async (request) => request.authentication?.backend
      )
    }
  })
  await create()
  for (const issuer of names) {
    const reply = await login(issuer, ARTHUR)
    const token =
      issuer === 'cookie' ? (cookieOf(reply).split('=')[1] ?? '') : reply.json<{ access_token: string }>().access_token
    for (const checker of names) {
      const asBearer = await app.inject({ url: `/by-${checker}`, headers: { authorization: `Bearer ${token}` } })
      t.equal(
        asBearer.statusCode,
        checker === issuer && issuer !== 'cookie' ? 200 : 401,
        `${issuer} as bearer for ${checker}`
      )
      const asCookie = await app.inject({ url: `/by-${checker}`, headers: { cookie: `${COOKIE}=${token}` } })
      t.equal(
        asCookie.statusCode,
        checker === issuer && issuer === 'cookie' ? 200 : 401,
        `${issuer} as cookie for ${checker}`
      )
    }
  }
})

t.test('SES-02, SES-01: the store contains no issued secret in any encoding', async (t) => {
  const round = await start(t)
  const { store, secrets } = round
  const text = await store.dump()
  for (const [kind, secret] of Object.entries({ ...secrets, PASSWORD, SECRET })) {
    t.notOk(
      formsOf(secret).some((form) => text.includes(form)),
      kind
    )
  }
  t.match(text, /"token": "[\w-]{43}"/)
})

t.test('SES-02: the database file and its write-ahead log contain no issued secret', async (t) => {
  const folder = t.testdir()
  const { create, bearer, cookie, app, tokenOf, send } = await buildApp(t, {
    adapter: sqlite(join(folder, 'users.db'))
  })
  await create()
  const { authorization } = await bearer(ARTHUR)
  const session = await cookie(ARTHUR)
  await app.users.forgotPassword(ARTHUR)
  const reset = await tokenOf('onAfterForgotPassword')
  await send('POST', '/auth/reset-password', { token: reset, password: NEW_PASSWORD })
  const secrets = {
    access: authorization.slice(7),
    cookie: session.cookie.split('=')[1] ?? '',
    reset,
    PASSWORD,
    NEW_PASSWORD,
    SECRET
  }
  const bytes = readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), 'latin1'))
    .join('')
  t.match(bytes, ARTHUR, 'the file was read')
  for (const [kind, secret] of Object.entries(secrets)) {
    t.notOk(
      formsOf(secret).some((form) => bytes.includes(form)),
      kind
    )
  }
})

/** Returns a text, its parts, and its usual encodings. */
function formsOf (secret: string): string[] {
  const raw = Buffer.from(secret)
  const decoded = Buffer.from(secret, 'base64url')
  const signature = secret.includes('.') ? [secret.slice(secret.lastIndexOf('.') + 1)] : []
  return [
    secret,
    ...signature,
    ...[raw, decoded].flatMap((bytes) => [
      bytes.toString('base64'),
      bytes.toString('base64url'),
      bytes.toString('hex'),
      bytes.toString('latin1'),
      createHash('sha256').update(bytes).digest('base64url'),
      createHash('sha256').update(bytes).digest('hex')
    ])
  ]
    .map((form) => form.replace(/=+$/, ''))
    .filter((form) => form.length > 8)
}

t.test('SES-02, RST-06: rows with null, an empty string or a plain token authenticate no request', async (t) => {
  const { store, secrets, app } = await start(t)
  const [user] = await store.rows('user')
  const model = { name: 'accesstoken' } as never
  const created = new Date()
  for (const token of ['', ' ', 'null', secrets['cookie'] ?? '', 'x'.repeat(43), 'A'.repeat(43)]) {
    await store.adapter
      .create(model, { token, user_id: user?.['id'], created_at: created, session_stamp: user?.['session_stamp'] })
      .catch(() => {})
  }
  await store.adapter.delete(model, {
    token: String(
      createHash('sha256')
        .update('users:cookie\n')
        .update(secrets['cookie'] ?? '')
        .digest('base64url')
    )
  })
  for (const token of ['', ' ', 'null', secrets['cookie'] ?? '', 'x'.repeat(43), 'A'.repeat(43), '"A"', '%00']) {
    t.equal(
      (await app.inject({ url: '/users/me', headers: { cookie: `${COOKIE}=${token}` } })).statusCode,
      401,
      JSON.stringify(token)
    )
  }
})

t.test('CFG-04, SES-08: after the removal of a secret, all its tokens and sessions are invalid', async (t) => {
  const store = watchedAdapter(memory())
  const other = 'q3Zk0x7Yw1Vn5Tb9Rm2Lp6Hj4Gd8Fs-_Ac'
  const first = await buildApp(t, { adapter: store.adapter, secret: SECRET, backends: backends() })
  await first.create()
  const headers = await first.bearer(ARTHUR)
  await first.app.users.forgotPassword(ARTHUR)
  const reset = await first.tokenOf('onAfterForgotPassword')
  const statusWith = async (secret: string | string[]): Promise<number[]> => {
    const { send } = await buildApp(t, { adapter: store.adapter, secret })
    return [
      (await send('GET', '/users/me', undefined, headers)).statusCode,
      (await send('POST', '/auth/reset-password', { token: reset, password: 'short' })).json<{
        detail: { code?: string }
      }>().detail.code === 'RESET_PASSWORD_INVALID_PASSWORD'
        ? 200
        : 400
    ]
  }
  t.same(await statusWith([SECRET, other]), [200, 200])
  t.same(await statusWith([other, SECRET]), [200, 200])
  t.same(await statusWith(other), [401, 400])
})

t.test(
  'JWT-13: no route signs text that its caller chose: replies, headers and events contain no signature of it',
  async (t) => {
    const schemas = userSchemas({ nickname: Type.String({ maxLength: 1000 }) })
    const round = await buildApp(
      t,
      { schemas, publicUrl: 'https://app.example.com', sensitiveChanges: 'confirm', features: [oauth({ providers: [github({ clientId: 'client-id', clientSecret: 'client-secret' })] })] },
      () => {}
    )
    const { app, send, routes, events } = round
    const victim = await app.users.create({
      email: 'victim@camelot.bt',
      password: PASSWORD,
      nickname: 'v',
      is_superuser: true
    } as unknown as Parameters<typeof app.users.create>[0])
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const wanted = ['users:auth', 'users:reset', 'users:verify', 'users:oauth-state'].map((aud) =>
      encode({
        sub: String(victim.id),
        aud,
        iat: 1,
        exp: 9_999_999_999,
        jti: 'canary',
        ver: 'canary',
        email: victim.email,
        password_fgpt: 'canary'
      })
    )
    const canaries = [
      'canary-text',
      ...wanted,
      ...wanted.map((payload) => `${encode({ alg: 'HS256', typ: 'JWT' })}.${payload}`)
    ]
    const mallory = 'canary-text@evil.example'
    await send('POST', '/auth/register', {
      email: mallory,
      password: PASSWORD,
      nickname: canaries.join(' ').slice(0, 900)
    })
    const session = await round.bearer(mallory)
    const texts: string[] = [session.authorization]
    for (const canary of canaries) {
      for (const { method, url } of routes) {
        const query = new URLSearchParams(
          Object.fromEntries(
            ['token', 'state', 'code', 'scopes', 'redirect', 'sub', 'aud', 'nonce'].map((name) => [name, canary])
          )
        ).toString()
        const body = {
          email: mallory,
          username: mallory,
          password: PASSWORD,
          nickname: canary.slice(0, 900),
          token: canary,
          sub: canary,
          aud: canary,
          jti: canary,
          state: canary,
          claims: { sub: canary },
          id: String(victim.id),
          current_password: PASSWORD
        }
        for (const headers of [
          {},
          { ...session, 'x-request-id': canary.slice(0, 200), cookie: `__Host-users-oauth=${canary.slice(0, 43)}` }
        ] as Record<string, string>[]) {
          for (const address of [
            url.replace(':id', encodeURIComponent(canary.slice(0, 90))),
            `${url.replace(':id', 'x')}?${query}`
          ]) {
            if (method === 'DELETE' && url === '/users/me') continue
            const reply = await send(
              method as 'POST',
              address,
              method === 'POST' || method === 'PATCH' ? body : undefined,
              headers
            )
            texts.push(reply.body, decodeURIComponent(JSON.stringify(reply.headers)))
          }
        }
      }
      for (const payload of [
        { email: `${canary.slice(-20).replace(/[^a-z]/gi, '')}@evil.example`, current_password: PASSWORD },
        { nickname: canary.slice(0, 900) }
      ]) {
        await send('PATCH', '/users/me', payload, session)
      }
    }
    const authorize = await send('GET', '/auth/github/authorize')
    texts.push(decodeURIComponent(authorize.body))
    await app.users.settled()
    const told = events.map((event) => JSON.stringify(event))

    const signed = [
      ...new Set([...texts, ...told].flatMap((text) => text.match(/eyJ[\w-]+\.[\w-]+\.[\w-]{20,}/g) ?? []))
    ].filter((token) => !canaries.some((canary) => token.startsWith(canary)))
    const claimNames = new Set([
      'sub',
      'ver',
      'sid',
      'auth_time',
      'amr',
      'methods',
      'aud',
      'iat',
      'exp',
      'jti',
      'password_fgpt',
      'email',
      'new_email',
      'fgpt',
      'csrftoken'
    ])
    const kinds = new Set<string>()
    for (const token of signed) {
      const { email, new_email: newEmail, ...claims } = claimsOf(token)
      kinds.add(String(claims['aud']))
      t.same(
        Object.keys(claims).filter((name) => !claimNames.has(name)),
        []
      )
      t.notMatch(JSON.stringify(claims), 'canary')
      t.not(claims['sub'], victim.id)
      t.notOk(
        (email !== undefined || newEmail !== undefined) && texts.some((text) => text.includes(token)),
        'a token that contains an e-mail is only sent to that e-mail'
      )
    }
    t.same(
      [...kinds].sort(),
      ['users:auth', 'users:oauth-state', 'users:reset', 'users:verify'],
      `${signed.length} signed texts of every kind`
    )
    const heads = [...new Set(signed.map((token) => String(token.split('.')[0])))]
    const signatures = signed.map((token) => String(token.split('.')[2]))
    for (const payload of wanted) {
      for (const signature of signatures) {
        for (const head of heads) {
          const token = `${head}.${payload}.${signature}`
          const statuses = [
            await send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` }),
            await send('POST', '/auth/reset-password', { token, password: NEW_PASSWORD }),
            await send('POST', '/auth/verify', { token })
          ].map(({ statusCode }) => statusCode)
          if (String(statuses) !== '401,400,400') t.same(statuses, [401, 400, 400], token)
        }
      }
    }
    t.match((await app.users.get(victim.id)) as User, { email: 'victim@camelot.bt', is_verified: false })
  }
)

t.test("DEP-06: a clock that jumps by an hour extends no token's lifetime and makes no used token valid again", async (t) => {
  const hour = 3_600_000
  const begin = Date.UTC(2030, 0, 1)
  let now = begin
  const store = watchedAdapter(memory())
  const round = await buildApp(t, {
    adapter: store.adapter,
    clock: () => now,
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 7200 }) },
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 7200 }) }
    ]
  })
  const { app, send, tokenOf } = round
  await round.create()
  const reset = (token: string): Promise<number> =>
    send('POST', '/auth/reset-password', { token, password: NEW_PASSWORD }).then(({ statusCode }) => statusCode)
  const verify = (token: string): Promise<number> =>
    send('POST', '/auth/verify', { token }).then(({ statusCode }) => statusCode)
  const make = async () => {
    await app.users.forgotPassword(ARTHUR)
    await app.users.requestVerify(ARTHUR)
    return { reset: await tokenOf('onAfterForgotPassword'), verify: await tokenOf('onAfterRequestVerify') }
  }

  const sessions = [await round.bearer(ARTHUR), await round.cookie(ARTHUR)]
  const unused = await make()
  const stored = JSON.stringify(await store.rows('accesstoken'))
  const seen = async (): Promise<number[]> =>
    await Promise.all(sessions.map(async (headers) => (await send('GET', '/users/me', undefined, headers)).statusCode))
  for (const at of [-hour, 0, hour, -hour, 2 * hour - 1]) {
    now = begin + at
    const [jwt, cookie] = await seen()
    t.equal(cookie, 200)
    t.equal(jwt, at < 0 ? 401 : 200, `${at}: a JWT is refused before its issue time`)
    t.equal(JSON.stringify(await store.rows('accesstoken')), stored, 'no use extends a stored session')
  }
  for (const at of [2 * hour + 1, 3 * hour, 2 * hour + 1]) {
    now = begin + at
    t.same(await seen(), [401, 401], `${at / hour} hours later`)
    t.same([await reset(unused.reset), await verify(unused.verify)], [400, 400])
  }

  now = begin
  const used = await make()
  const bySide = await make()
  t.equal(await verify(used.verify), 200)
  const last = await make() // the verification invalidated earlier reset tokens
  t.equal(await reset(last.reset), 200)
  for (const at of [0, hour - 1, -hour, hour, 0]) {
    now = begin + at
    for (const tokens of [used, bySide, unused, last]) {
      t.same([await reset(tokens.reset), await verify(tokens.verify)], [400, 400], `${at / hour} hours later`)
    }
    t.same(await seen(), [401, 401], 'sessions from before the reset')
  }
  now = begin + hour
  const ahead = await send('POST', '/auth/jwt/login', { username: ARTHUR, password: NEW_PASSWORD })
  const authorization = `Bearer ${ahead.json<{ access_token: string }>().access_token}`
  for (const [at, status] of [
    [0, 401],
    [hour, 200],
    [3 * hour - 1, 200],
    [3 * hour, 401]
  ] as const) {
    now = begin + at
    t.equal(
      (await send('GET', '/users/me', undefined, { authorization })).statusCode,
      status,
      'a token from a clock that was ahead expires at its exp'
    )
  }
})
