import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import Fastify, { type FastifyRequest, type FastifyServerOptions, type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { google, oauth } from '../../lib/features/oauth/index.js'
import usersPlugin, {
  argon2Passwords,
  authenticate,
  bearerTransport,
  currentUser,
  jwtStrategy,
  type UsersHooks,
  type UsersOptions
} from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { eventNames } from '../../lib/hooks/index.js'
import { ARTHUR, backends, buildApp, cookieOf, fastPasswords, SECRET, type TestApp } from '../helpers/build-app.js'
import { watchedAdapter, type WatchedAdapter } from '../fixtures/watched-adapter.js'

const MERLIN = 'merlin@camelot.bt'
const PASSWORD = 'canary-password-Zx81'
const WRONG = 'canary-wrong-Qy72'
const NEW_PASSWORD = 'canary-new-Wv63'
const ADAPTER = 'canary-adapter-postgres://u:p@db/x'

interface RecordedApp extends TestApp {
  store: WatchedAdapter
  log: string[]
  replies: LightMyRequestResponse[]
  /** Name and payload of each event. The payload is text that includes hidden properties. */
  eventTexts: { name: string; text: string }[]
  users: string[]
}

/** Creates an application with the log level `trace` and records all replies, events and log lines. */
async function start (t: Test, options: Partial<UsersOptions> = {}): Promise<RecordedApp> {
  const log: string[] = []
  const replies: LightMyRequestResponse[] = []
  const eventTexts: RecordedApp['eventTexts'] = []
  const users: string[] = []
  const store = watchedAdapter(memory())
  const hooks = Object.fromEntries(
    eventNames.map((name) => [
      name,
      async (payload: object) => {
        eventTexts.push({ name, text: show(payload) })
      }
    ])
  ) as UsersHooks
  const server: FastifyServerOptions = {
    logger: {
      level: 'trace',
      stream: {
        write: (line: string) => {
          log.push(line)
        }
      }
    }
  }
  const built = await buildApp(
    t,
    { adapter: store.adapter, hooks, ...options },
    (app) => {
      app.get('/guarded', { preHandler: authenticate }, async (request) => {
        users.push(show(request.user))
        request.log.info({ user: request.user }, 'seen')
        return { user: currentUser(request) }
      })
      app.post('/guarded', { preHandler: authenticate }, async (request) => ({ user: request.user }))
      app.get('/optional', { preHandler: authenticate({ optional: true }) }, async (request) => ({
        user: request.user
      }))
    },
    server
  )
  const { inject } = built.app
  const recorded = async (...args: Parameters<typeof inject>): Promise<LightMyRequestResponse> => {
    const reply = (await inject.apply(built.app, args)) as LightMyRequestResponse
    replies.push(reply)
    return reply
  }
  built.app.inject = recorded as typeof inject
  return { ...built, store, log, replies, eventTexts, users }
}

const show = (value: unknown): string =>
  `${inspect(value, { depth: 10, showHidden: true, getters: true })} ${JSON.stringify(value)}`

/** Runs all flows of a user, with successes and failures. Returns the secrets that were issued. */
async function live ({ app, send, login, tokenOf, store }: RecordedApp): Promise<Record<string, string>> {
  const secrets: Record<string, string> = { PASSWORD, WRONG, NEW_PASSWORD, SECRET }
  const keepHash = async (name: string): Promise<void> => {
    const row = (await store.rows('user')).find(({ email }) => email === ARTHUR)
    secrets[`hash ${name}`] = String(row?.['hashed_password'])
    secrets[`stamp ${name}`] = String(row?.['session_stamp'])
    for (const [i, { token }] of (await store.rows('accesstoken')).entries()) {
      secrets[`digest ${name} ${i}`] = String(token)
    }
  }
  await app.users.create({ email: MERLIN, password: PASSWORD, is_superuser: true, is_verified: true })
  await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
  await send('POST', '/auth/register', { email: ARTHUR, password: WRONG })
  await send('POST', '/auth/register', { email: 'not an address', password: [WRONG] })
  await send('POST', '/auth/register', { email: 'x@camelot.bt', password: `${WRONG}\ud800` })
  await keepHash('first')
  await login('jwt', ARTHUR, WRONG)
  await login('cookie', 'nobody@camelot.bt', WRONG)
  const access = (await login('jwt', ARTHUR, PASSWORD)).json<{ access_token: string }>().access_token
  const bearer = { authorization: `Bearer ${access}` }
  const session = cookieOf(await login('cookie', ARTHUR, PASSWORD))
  await keepHash('logged in')
  Object.assign(secrets, { access, 'signature of access': access.split('.')[2], cookie: session.split('=')[1] })
  for (const headers of [bearer, { cookie: session }]) {
    for (const url of ['/users/me', '/guarded', '/optional']) await send('GET', url, undefined, headers)
    await send('PATCH', '/users/me', { email: 'not an address', password: WRONG }, headers)
    await send('PATCH', '/users/me', { password: 'short' }, headers)
    await send('PATCH', '/users/me', { is_active: 'perhaps', password: WRONG }, headers)
    await send('DELETE', '/users/me', undefined, headers)
  }
  await send('GET', '/users/me', undefined, { authorization: `Bearer ${WRONG}.${WRONG}.${WRONG}` })
  await send('GET', '/users/me', undefined, { cookie: `__Host-users-cookie=${WRONG}` })
  await send('POST', '/guarded', {}, { cookie: session, origin: 'https://evil.example' })
  for (const payload of [
    `{"password":"${WRONG}"`,
    `{"password":"${WRONG}","__proto__":1}`,
    `[{"password":"${WRONG}"}]`
  ]) {
    for (const url of ['/auth/register', '/auth/jwt/login', '/auth/reset-password']) {
      await app.inject({ method: 'POST', url, headers: { 'content-type': 'application/json' }, payload })
    }
  }
  for (const [type, payload] of [
    ['application/x-www-form-urlencoded', `username=${ARTHUR}&username=x&password=${WRONG}`],
    ['multipart/form-data; boundary=x', `--x\r\n${WRONG}`],
    ['text/plain', WRONG],
    [`application/${WRONG}`, WRONG]
  ]) {
    await app.inject({
      method: 'POST',
      url: '/auth/cookie/login',
      headers: { 'content-type': type ?? '' },
      payload: payload ?? ''
    })
  }
  await send('POST', '/auth/request-verify-token', { email: ARTHUR })
  const verify = await tokenOf('onAfterRequestVerify')
  await send('POST', '/auth/verify', { token: `${verify}x` })
  await send('POST', '/auth/verify', { token: verify })
  await send('POST', '/auth/verify', { token: verify })
  await send('POST', '/auth/forgot-password', { email: ARTHUR })
  const reset = await tokenOf('onAfterForgotPassword')
  await send('POST', '/auth/reset-password', { token: verify, password: WRONG })
  await send('POST', '/auth/reset-password', { token: reset, password: 'short' })
  await send('POST', '/auth/reset-password', { token: reset, password: NEW_PASSWORD })
  await send('POST', '/auth/reset-password', { token: reset, password: WRONG })
  await keepHash('reset')
  Object.assign(secrets, {
    verify,
    reset,
    fingerprint: (JSON.parse(Buffer.from(reset.split('.')[1] ?? '', 'base64url').toString()) as Record<string, string>)[
      'password_fgpt'
    ]
  })
  const newer = await login('cookie', ARTHUR, NEW_PASSWORD)
  const newSession = cookieOf(newer)
  await send('PATCH', '/users/me', { password: PASSWORD }, { cookie: newSession })
  await send('POST', '/auth/cookie/logout', undefined, { cookie: newSession })
  secrets['second cookie'] = newSession.split('=')[1] ?? ''
  await keepHash('changed')
  const admin = {
    authorization: `Bearer ${(await login('jwt', MERLIN, PASSWORD)).json<{ access_token: string }>().access_token}`
  }
  secrets['access of the superuser'] = admin.authorization.slice(7)
  const id = String((await app.users.getByEmail(ARTHUR))?.id)
  await send('GET', `/users/${id}`, undefined, admin)
  await send('PATCH', `/users/${id}`, { password: NEW_PASSWORD, is_verified: false }, admin)
  await keepHash('by a superuser')
  await send('DELETE', `/users/${id}`, undefined, admin)
  await send('GET', `/users/${id}`, undefined, admin)
  await send('POST', '/auth/jwt/logout', undefined, admin)
  await app.users.settled()
  return secrets
}

/** Returns the names of the secrets that a text contains, plain or in a common encoding. */
function found (text: string, secrets: Record<string, string>): string[] {
  return Object.entries(secrets)
    .filter(([, secret]) => {
      const forms = [
        secret,
        JSON.stringify(secret).slice(1, -1),
        encodeURIComponent(secret),
        Buffer.from(secret).toString('base64'),
        Buffer.from(secret).toString('hex')
      ]
      return secret.length > 3 && forms.some((form) => text.includes(form))
    })
    .map(([name]) => name)
}

for (const errorStyle of ['fastify', 'fastapi'] as const) {
  t.test(
    `PW-13, LOGG-01, USR-03, CK-05, REG-08: no flow of a user leaks a secret into a log line, or into an event or reply of another purpose (${errorStyle})`,
    async (t) => {
      const round = await start(t, { compatibility: { errorStyle } })
      const secrets = await live(round)
      const { log, eventTexts, replies, users } = round
      const seen = [Object.keys(secrets).length > 20, log.length > 100, eventTexts.length > 15, replies.length > 50]
      t.same(seen, [true, true, true, true], 'the flows produced enough secrets, log lines, events and replies')
      t.match(log.join(''), '"level":20', 'the log contains debug lines')
      const lines = log.filter((line) => !line.includes('"msg":"seen"'))
      t.same(
        lines.filter((line) => found(line, { ...secrets, ARTHUR, MERLIN }).length > 0),
        [],
        'no log line contains a secret or an e-mail'
      )
      t.same(
        log.filter((line) => found(line, secrets).length > 0),
        [],
        'log lines in which the application logs its user contain no secret'
      )
      for (const text of users) t.same(found(text, secrets), [], 'request.user')

      const belongs: Record<string, RegExp> = {
        onAfterForgotPassword: /^reset$/,
        onAfterRequestVerify: /^verify$/,
        onIssueToken: /access|cookie/
      }
      for (const { name, text } of eventTexts) {
        const left = found(text, secrets).filter((secret) => belongs[name]?.test(secret) !== true)
        t.same(left, [], name)
      }
      t.notMatch(eventTexts.map(({ text }) => text).join(), /hashed_password|session_stamp|\$argon2/)

      for (const { statusCode, body, headers, raw } of replies) {
        const label = `${raw.req.method} ${raw.req.url} ${statusCode}`
        const isLogin = /login$/.test(raw.req.url ?? '') && statusCode < 300
        t.same(
          found(body, secrets).filter((name) => !(isLogin && name.includes('access'))),
          [],
          label
        )
        const { 'set-cookie': setCookie, ...others } = headers
        t.same(found(JSON.stringify(others), secrets), [], label)
        if (!isLogin && raw.req.method !== 'PATCH') t.same(found(String(setCookie), secrets), [], label)
        t.notMatch(body, /hashed_password|session_stamp|\$argon2|password_fgpt/, label)
        if (errorStyle === 'fastify') t.notMatch(body, 'canary', `${label}: validation errors contain no value`)
      }
    }
  )
}

t.test('ERR-01, LOGG-01: the text of a store error is logged and not sent', async (t) => {
  const round = await start(t)
  const { store, send, login, app, log } = round
  await app.users.create({ email: ARTHUR, password: PASSWORD })
  const access = (await login('jwt', ARTHUR, PASSWORD)).json<{ access_token: string }>().access_token
  store.watch(() => {
    throw Object.assign(new Error(ADAPTER), {
      detail: ADAPTER,
      code: ADAPTER,
      statusCode: 418,
      validation: [{ message: ADAPTER }],
      sql: ADAPTER
    })
  })
  const headers = { authorization: `Bearer ${access}` }
  const replies = [
    await login('jwt', ARTHUR, PASSWORD),
    await send('POST', '/auth/register', { email: 'x@camelot.bt', password: PASSWORD }),
    await send('POST', '/auth/forgot-password', { email: ARTHUR }),
    await send('GET', '/users/me', undefined, headers),
    await send('GET', '/guarded', undefined, headers),
    await send('GET', '/optional', undefined, headers)
  ]
  for (const { statusCode, body, headers, raw } of replies) {
    t.equal(statusCode, 500, raw.req.url ?? '')
    t.notMatch(body + JSON.stringify(headers), 'canary')
    t.match(JSON.parse(body), {
      code: 'FST_USERS_INTERNAL_ERROR',
      message: /^An internal error occurred\. The server log has the cause\.( Request req-\w+\.)?$/
    })
  }
  t.ok(
    log.some((line) => line.includes(ADAPTER)),
    'the log contains the cause'
  )
  t.same(found(log.join(''), { PASSWORD, access }), [])
})

t.test('ERR-01: replies with 500 and 503 have constant bodies', async (t) => {
  const { send, store, login } = await start(t, {
    hooks: {
      onBeforeRegister: () => {
        throw Object.assign(new Error(ADAPTER), { cause: ADAPTER, expose: true, statusCode: 500 })
      }
    }
  })
  const oops = await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
  t.equal(oops.statusCode, 500)
  const { message, ...rest } = oops.json<Record<string, unknown>>()
  t.same(rest, {
    statusCode: 500,
    code: 'FST_USERS_INTERNAL_ERROR',
    error: 'Internal Server Error',
    detail: 'Internal Server Error'
  })
  t.match(message, /^An internal error occurred\. The server log has the cause\. Request req-\w+\.$/)
  store.watch(() => {
    throw Object.assign(new Error(ADAPTER), { code: 'ECONNREFUSED' })
  })
  const down = await login('cookie', ARTHUR)
  t.equal(down.statusCode, 503)
  t.same(down.json(), {
    statusCode: 503,
    code: 'FST_USERS_STORE_UNAVAILABLE',
    error: 'Service Unavailable',
    message: 'The user store does not answer. Try again later.',
    detail: 'Service Unavailable'
  })
})

t.test(
  'ERR-04, CK-08, CSRF-09: every reply of the plugin has cache-control: no-store, nosniff, a content type, and no CORS headers',
  async (t) => {
    const round = await start(t)
    await live(round)
    const { replies, send } = round
    await send('POST', '/auth/register', { pad: 'x'.repeat(20_000) }, { origin: 'https://evil.example' })
    await send('GET', '/users/me', undefined, { origin: 'https://evil.example' })
    await send(
      'POST',
      '/auth/cookie/login',
      {},
      { origin: 'https://evil.example', 'access-control-request-method': 'POST' }
    )
    const ours = replies.filter(({ raw }) => /^\/(?:auth|users)\//.test(raw.req.url ?? ''))
    const statuses = new Set(ours.map(({ statusCode }) => statusCode))
    for (const status of [200, 201, 202, 204, 400, 401, 403, 404, 413, 415]) {
      t.ok(statuses.has(status), `a reply with ${status} occurred`)
    }
    for (const { statusCode, headers, body, raw } of ours) {
      const label = `${raw.req.method} ${raw.req.url} ${statusCode}`
      t.equal(headers['cache-control'], 'no-store', label)
      t.equal(headers['x-content-type-options'], 'nosniff', label)
      if (body !== '') t.equal(headers['content-type'], 'application/json; charset=utf-8', label)
      if (statusCode === 401) t.ok(headers['www-authenticate'], label)
      t.same(
        Object.keys(headers).filter((name) => name.startsWith('access-control-')),
        [],
        label
      )
      if (headers['set-cookie'] !== undefined) t.match(headers['set-cookie'], /; HttpOnly; Secure; SameSite=Lax/, label)
    }
    for (const { headers } of replies) {
      t.same(
        Object.keys(headers).filter((name) => name.startsWith('access-control-')),
        []
      )
    }
  }
)

t.test('REG-08, LOGG-01: validation errors contain the name of the field and never its value', async (t) => {
  const { send } = await start(t)
  const canary = 'canary-value'
  const bodies: [string, object][] = [
    ['/auth/register', { email: canary, password: canary, is_active: canary }],
    ['/auth/register', { email: { [canary]: canary }, password: [canary] }],
    ['/auth/register', { email: `${canary}@camelot.bt`, password: canary.slice(0, 7) }],
    ['/auth/register', { [canary]: canary }],
    ['/auth/register', { email: `${canary}@camelot.bt`, password: `${canary}@camelot.bt` }],
    ['/auth/jwt/login', { username: ARTHUR, password: canary, grant_type: canary }],
    ['/auth/jwt/login', { username: [canary], password: { canary } }],
    ['/auth/reset-password', { token: canary, password: [canary] }],
    ['/auth/reset-password', { token: { canary }, password: canary }],
    ['/auth/verify', { token: [canary] }],
    ['/auth/forgot-password', { email: canary }]
  ]
  for (const [url, body] of bodies) {
    const reply = await send('POST', url, body)
    t.equal(reply.statusCode, 400, url)
    t.notMatch(reply.body, 'canary', url)
  }
})

t.test(
  'LOGG-02: log lines of every route of the plugin contain the path without the query, in the format of the application',
  async (t) => {
    const canary = 'canary-in-a-query'
    const forms: Record<string, FastifyServerOptions['logger'] & object> = {
      "Fastify's own": {},
      'one of the application': {
        serializers: { req: ({ method, url, originalUrl, query }) => ({ method, url, originalUrl, query, mine: true }) }
      }
    }
    for (const [form, logger] of Object.entries(forms)) {
      const lines: string[] = []
      const { app, routes } = await buildApp(
        t,
        {},
        (app) => {
          app.get('/theirs', async () => 'theirs')
        },
        {
          logger: {
            ...logger,
            level: 'trace',
            stream: {
              write: (line: string) => {
                lines.push(line)
              }
            }
          }
        }
      )
      const ours = routes.filter(({ url }) => /^\/(?:auth|users)\//.test(url))
      t.ok(ours.length >= 12, `${form}: ${ours.length} routes`)
      for (const { method, url } of ours) {
        await app.inject({
          method: String(method) as 'GET',
          url: `${url.replace(':id', 'x')}?token=${canary}&code=${canary}#${canary}`
        })
      }
      const seen = lines
        .filter((line) => line.includes('incoming request'))
        .map((line) => JSON.parse(line) as { req: { method: string; url: string; mine?: true } })
      t.same(
        seen.map(({ req: { method, url } }) => `${method} ${url}`),
        ours.map(({ method, url }) => `${String(method)} ${url.replace(':id', 'x')}`),
        form
      )
      t.same(
        seen.map(({ req: { mine } }) => mine === true),
        ours.map(() => form !== "Fastify's own"),
        `${form}: all other values are unchanged`
      )
      t.notMatch(lines.join(''), canary)
      lines.length = 0
      await app.inject({ url: `/theirs?token=${canary}` })
      t.match(lines.join(''), canary, `${form}: log lines of the application are unchanged`)
    }
  }
)

t.test('LOGG-02: request serializers of a surrounding scope receive no query either', async (t) => {
  const lines: string[] = []
  const app = Fastify({
    logger: {
      stream: {
        write: (line: string) => {
          lines.push(line)
        }
      }
    }
  })
  t.teardown(() => app.close())
  await app.register(
    async (scope) => {
      await scope.register(usersPlugin, {
        adapter: memory(),
        secret: SECRET,
        backends: backends(),
        passwords: fastPasswords,
        limits: false
      })
    },
    { prefix: '/api', logSerializers: { req: ({ method, url }: FastifyRequest) => `${method} ${url}` } }
  )
  t.equal((await app.inject({ url: '/api/users/me?token=canary' })).statusCode, 401)
  t.match(lines.join(''), '"req":"GET /api/users/me"')
  t.notMatch(lines.join(''), 'canary')
})

t.test(
  'LOGG-03: for every request, a log entry is one short line of JSON without control characters',
  async (t) => {
    const { app, send, log } = await start(t)
    const forged = '\n{"level":60,"msg":"forged"}\r\u0000\u001b[2J\u2028'
    const long = 'x'.repeat(7000)
    for (const text of [forged, long]) {
      const header = encodeURIComponent(text)
      for (const { method, url } of [
        { method: 'POST', url: '/auth/register' },
        { method: 'POST', url: '/auth/jwt/login' },
        { method: 'POST', url: '/auth/forgot-password' },
        { method: 'GET', url: '/users/me' }
      ] as const) {
        const body = { email: `${text}@camelot.bt`, username: text, password: text, [text]: text }
        await send(method, `${url}?${header}`, method === 'POST' ? body : undefined)
        await send(method, url, method === 'POST' ? body : undefined, {
          host: header,
          authorization: `Bearer ${header}`,
          cookie: `__Host-users-cookie=${header}`,
          'user-agent': header,
          'accept-version': header,
          'x-forwarded-for': header,
          'x-request-id': header
        })
        await app.inject({
          method,
          url,
          headers: { 'content-type': `text/${header}`, origin: header },
          ...(method === 'POST' ? { payload: text } : {})
        })
        await app.inject({
          method,
          url,
          headers: { 'content-type': 'application/json' },
          ...(method === 'POST' ? { payload: `{"email":"${text}` } : {})
        })
      }
      await send('GET', `/users/${header.slice(0, 90)}`)
    }
    t.ok(log.length > 60, `${log.length} lines`)
    for (const line of log) {
      t.match(line, /^[^\p{Cc}]*\n$/u)
      const { level, msg } = JSON.parse(line) as { level: number; msg: string }
      t.ok(level < 50 && msg !== 'forged', 'no log line is forged')
      t.ok(line.length < 3000, `${line.length} characters: ${line.slice(0, 200)}`)
    }
  }
)

t.test('LOGG-04: objects of the plugin reveal no secret when they are printed, serialized or copied', async (t) => {
  const [resetSecret, jwtSecret, stateSecret, encryptionKey, clientSecret] = Array.from({ length: 5 }, () =>
    randomBytes(32).toString('base64url')
  ) as [string, string, string, string, string]
  const provider = google({ clientId: 'client-id', clientSecret })
  const strategy = jwtStrategy({ lifetimeSeconds: 60, secret: jwtSecret })
  const printed: Record<string, unknown> = {
    provider,
    strategy,
    transport: bearerTransport(),
    passwords: argon2Passwords()
  }
  const list = [{ name: 'jwt', transport: bearerTransport(), strategy }, ...backends().slice(1)]
  const { app, bearer, cookie } = await buildApp(
    t,
    { backends: list, tokens: { reset: { secret: resetSecret } }, publicUrl: 'https://app.example.com', features: [oauth({ providers: [provider], stateSecret, encryptionKey })] },
    async (app) => {
      app.get('/guarded/:name', { preHandler: authenticate }, async (request) => {
        const { name } = request.params as { name: string }
        Object.assign(printed, {
          [`user of ${name}`]: request.user,
          [`authentication of ${name}`]: request.authentication
        })
        request.log.info({ authentication: request.authentication })
        return { ...request.authentication, token: request.authentication?.token }
      })
      Object.assign(printed, { accounts: app.users.feature('oauth') })
    }
  )
  const { hashed_password: hash, session_stamp: stamp } = (await app.users.checkCredentials({
    username: (await app.users.create({ email: ARTHUR, password: PASSWORD })).email,
    password: PASSWORD
  })) as unknown as Record<string, string>
  const secrets: Record<string, string | undefined> = {
    resetSecret,
    jwtSecret,
    stateSecret,
    encryptionKey,
    clientSecret,
    SECRET,
    hash,
    stamp
  }
  for (const [name, headers] of Object.entries({
    jwt: await bearer(ARTHUR, PASSWORD),
    cookie: await cookie(ARTHUR, PASSWORD)
  })) {
    const token = ('cookie' in headers ? headers.cookie : headers.authorization).split(/[ =]/)[1]
    t.equal(
      (await app.inject({ url: `/guarded/${name}`, headers })).json<{ token: string }>().token,
      token,
      'the token can be read by its name'
    )
    secrets[`token of ${name}`] = token
  }
  Object.assign(printed, { users: app.users, backends: [...app.users.backends], application: app })
  t.equal(Object.keys(printed).length, 12)
  for (const [name, object] of Object.entries(printed)) {
    const copy: unknown = typeof object === 'object' ? { ...object } : object
    const text = [object, copy]
      .map(
        (one) =>
          `${inspect(one, { depth: 8, maxArrayLength: null, maxStringLength: null })} ${JSON.stringify(one)} ${String(one)}`
      )
      .join()
    t.ok(text.length > 30, name)
    t.same(
      Object.entries(secrets)
        .filter(([, secret]) => secret === undefined || text.includes(secret))
        .map(([key]) => key),
      [],
      name
    )
  }
})
