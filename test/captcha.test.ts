import { createChallenge, solveChallenge, type Challenge } from 'altcha-lib'
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2'
import t, { type Test } from 'tap'
import { altcha, hcaptcha, turnstile } from '../lib/captcha/index.js'
import { FST_USERS_STORE_UNAVAILABLE } from '../lib/errors.js'
import { memory } from '../lib/entries/memory.js'
import { usersOpenapi, type CaptchaOptions, type CaptchaProvider, type CaptchaResponse } from '../lib/index.js'
import { ARTHUR, assertErrorReply, backends, buildApp, countedPasswords, PASSWORD, SECRET } from './helpers/build-app.js'
import { collectAuditEvents } from './helpers/audited-events.js'
import { closedUrl, collectLog, startLocalServer, type LocalServer } from './helpers/local-server.js'

const INVALID = { code: 'FST_USERS_INVALID_OPTION' }
const UNKNOWN = { code: 'FST_USERS_UNKNOWN_OPTION' }
const DOWN = 'Service Unavailable'
const body = { email: ARTHUR, password: PASSWORD }
/** The cheapest challenges: 16 guesses of one iteration. */
const easy = { cost: 1, zeros: 1 }

/** Solves a challenge like the widget, and returns the text that the widget sends. */
async function solve (challenge: Challenge): Promise<string> {
  const solution = await solveChallenge({ challenge, deriveKey })
  return toToken({ challenge, solution })
}

const toToken = (payload: unknown): string => Buffer.from(JSON.stringify(payload)).toString('base64')

/** A provider that accepts the response `right`, and the list of what it was asked. */
function fakeProvider (values: Partial<CaptchaProvider> = {}): { provider: CaptchaProvider; asked: CaptchaResponse[] } {
  const asked: CaptchaResponse[] = []
  return {
    asked,
    provider: {
      name: 'fake',
      field: 'fake-response',
      open: () => ({
        async verify (response) {
          asked.push(response)
          return response.token === 'right'
        }
      }),
      ...values
    }
  }
}

/** Options as JavaScript code may pass them. */
const untyped = (options: unknown): CaptchaOptions => options as CaptchaOptions

t.test('the check', async (t) => {
  t.test('a response is needed, in the header or in the field, before any work', async (t) => {
    const { provider, asked } = fakeProvider()
    const audited = collectAuditEvents(t)
    const { passwords, calls } = countedPasswords()
    const policy: string[] = []
    const { send, events, app } = await buildApp(t, {
      captcha: { provider },
      passwords,
      validatePassword: (password) => { policy.push(password) }
    })
    const cases: [name: string, fields: object, headers: Record<string, string>, code: string][] = [
      ['none', {}, {}, 'CAPTCHA_REQUIRED'],
      ['empty field', { 'fake-response': '' }, {}, 'CAPTCHA_REQUIRED'],
      ['null', { 'fake-response': null }, {}, 'CAPTCHA_REQUIRED'],
      ['empty header', { 'fake-response': 'right' }, { 'x-captcha-response': '' }, 'CAPTCHA_REQUIRED'],
      ['another field', { 'g-recaptcha-response': 'right' }, {}, 'CAPTCHA_REQUIRED'],
      ['a number', { 'fake-response': 1 }, {}, 'CAPTCHA_FAILED'],
      ['a list', { 'fake-response': ['right'] }, {}, 'CAPTCHA_FAILED'],
      ['an object', { 'fake-response': { $ne: '' } }, {}, 'CAPTCHA_FAILED'],
      ['too long', { 'fake-response': 'x'.repeat(8193) }, {}, 'CAPTCHA_FAILED'],
      ['wrong', { 'fake-response': 'wrong' }, {}, 'CAPTCHA_FAILED'],
      ['lone surrogate', { 'fake-response': 'right\ud800' }, {}, 'CAPTCHA_FAILED'],
      ['wrong header', { 'fake-response': 'right' }, { 'x-captcha-response': 'wrong' }, 'CAPTCHA_FAILED']
    ]
    for (const [name, fields, headers, code] of cases) {
      const reply = await send('POST', '/auth/register', { ...body, ...fields }, headers)
      assertErrorReply(t, reply, 400, code, code, name)
    }
    t.strictSame({ calls, policy }, { calls: [], policy: [] }, 'no hash, no policy')
    t.strictSame(events.map(({ name }) => name), [], 'no hook')
    t.equal(await app.users.getByEmail(ARTHUR), null)
    await app.users.settled()
    t.same(
      audited.map(({ event, outcome, reason }) => [event, outcome, reason]),
      cases.map(([, , , code]) => ['user.register', 'failure', code]),
      'AUD-01: each refusal is an audit event'
    )

    asked.length = 0
    t.equal((await send('POST', '/auth/register', { ...body, 'fake-response': 'right' })).statusCode, 201)
    const second = { ...body, email: 'merlin@camelot.bt' }
    t.equal((await send('POST', '/auth/register', second, { 'x-captcha-response': 'right' })).statusCode, 201)
    t.match(asked, [
      { token: 'right', kind: 'register', ip: '127.0.0.1', signal: { aborted: true } },
      { token: 'right', kind: 'register', ip: '127.0.0.1' }
    ])
  })

  t.test('by default, registration and the routes that send mails need one, and logins do not', async (t) => {
    const { provider } = fakeProvider()
    const { send, create, login, tokenOf } = await buildApp(t, { captcha: { provider } })
    await create()
    const email = { email: ARTHUR }
    for (const [url, payload] of [
      ['/auth/register', body],
      ['/auth/forgot-password', email],
      ['/auth/request-verify-token', email]
    ] as const) {
      assertErrorReply(t, await send('POST', url, payload), 400, 'CAPTCHA_REQUIRED', undefined, url)
    }
    t.equal((await login('jwt', ARTHUR)).statusCode, 200)
    t.equal((await send('POST', '/auth/forgot-password', { ...email, 'fake-response': 'right' })).statusCode, 202)
    const token = await tokenOf('onAfterForgotPassword')
    t.equal((await send('POST', '/auth/reset-password', { token, password: 'round-table-2' })).statusCode, 200)
  })

  t.test('`for` selects the kinds; a login reads the field from a form, from multipart and from JSON', async (t) => {
    const { provider } = fakeProvider()
    const { send, create, login, app } = await buildApp(t, { captcha: { provider, for: ['login', 'verify'] } })
    await create()
    assertErrorReply(t, await login('jwt', ARTHUR), 400, 'CAPTCHA_REQUIRED')
    const fields = { username: ARTHUR, password: PASSWORD, 'fake-response': 'right' }
    const url = '/auth/jwt/login'
    const form = (payload: string, type = 'application/x-www-form-urlencoded') =>
      app.inject({ method: 'POST', url, headers: { 'content-type': type }, payload })
    t.equal((await form(new URLSearchParams(fields).toString())).statusCode, 200)
    const parts = Object.entries(fields).map(([name, value]) =>
      `--x\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
    t.equal((await form(`${parts.join('')}--x--\r\n`, 'multipart/form-data; boundary=x')).statusCode, 200)
    t.equal((await send('POST', url, fields)).statusCode, 200)
    const twice = `${new URLSearchParams(fields).toString()}&fake-response=wrong`
    t.equal((await form(twice)).statusCode, 400, 'two different responses')
    assertErrorReply(t, await send('POST', '/auth/verify', { token: 'x' }), 400, 'CAPTCHA_REQUIRED')
    t.equal((await send('POST', '/auth/register', { ...body, email: 'm@camelot.bt' })).statusCode, 201)
  })

  t.test('`when` can ask only for some attempts', async (t) => {
    const { provider } = fakeProvider()
    const seen: unknown[] = []
    const captcha: CaptchaOptions = {
      provider,
      for: ['login'],
      when: async (kind, { email, backend }) => {
        seen.push({ kind, email, backend })
        return backend === 'cookie'
      }
    }
    const { create, login } = await buildApp(t, { captcha })
    await create()
    t.equal((await login('jwt', 'KING.arthur@camelot.bt')).statusCode, 200)
    assertErrorReply(t, await login('cookie', ARTHUR), 400, 'CAPTCHA_REQUIRED')
    t.strictSame(seen, [
      { kind: 'login', email: ARTHUR, backend: 'jwt' },
      { kind: 'login', email: ARTHUR, backend: 'cookie' }
    ])
  })

  t.test('code that calls app.users without a request needs no captcha', async (t) => {
    const { provider, asked } = fakeProvider()
    const { app, create } = await buildApp(t, { captcha: { provider } })
    await create()
    await app.users.forgotPassword(ARTHUR)
    t.strictSame(asked, [])
  })

  t.test('DEP-01, ERR-02: a provider that fails or does not answer refuses with 503, unless it may be skipped', async (t) => {
    const failures: [name: string, verify: () => Promise<boolean>, reason: string][] = [
      ['a rejection', () => Promise.reject(Object.assign(new Error(SECRET), { code: 'ECONNREFUSED' })), 'ECONNREFUSED'],
      ['a bug', () => { throw new TypeError(SECRET) }, 'TypeError'],
      ['a black hole', () => new Promise(() => {}), 'TimeoutError']
    ]
    for (const [name, verify, reason] of failures) {
      for (const ifUnavailable of ['refuse', 'accept'] as const) {
        const { logger, lines } = collectLog('warn')
        const { provider } = fakeProvider({ open: () => ({ verify }), timeoutMs: name === 'a black hole' ? 20 : 10_000 })
        const { send } = await buildApp(t, { captcha: { provider, ifUnavailable } }, () => {}, { logger })
        const reply = await send('POST', '/auth/register', { ...body, 'fake-response': 'the response' })
        if (ifUnavailable === 'accept') t.equal(reply.statusCode, 201, name)
        else assertErrorReply(t, reply, 503, 'CAPTCHA_UNAVAILABLE', DOWN, name)
        t.equal(reply.headers['retry-after'], ifUnavailable === 'accept' ? undefined : '5')
        const warnings = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 40)
        t.match(warnings, [{ provider: 'fake', reason, msg: /captcha could not be checked/ }], name)
        t.equal(warnings.length, 1)
        for (const secret of [SECRET, 'the response', ARTHUR]) t.notOk(lines.join('').includes(secret), name)
      }
    }
  })

  t.test('a failed start of the provider stops the start of the application', async (t) => {
    const { provider } = fakeProvider({ open: () => Promise.reject(new Error('no key')) })
    await t.rejects(buildApp(t, { captcha: { provider } }), { message: 'no key' })
  })

  t.test('the OpenAPI document has the header and the errors of the routes that need a captcha, and no others', async (t) => {
    const { provider } = fakeProvider()
    const { routes } = await buildApp(t, { captcha: { provider, for: ['register', 'loginStep'] } })
    for (const { url, method, schema } of routes) {
      const { headers, response = {} } = schema as { headers?: object; response?: Record<number, object> } ?? {}
      const text = JSON.stringify(response)
      const needsOne = url === '/auth/register' && method === 'POST'
      t.equal(headers !== undefined, needsOne, `${method} ${url}`)
      for (const code of ['CAPTCHA_REQUIRED', 'CAPTCHA_FAILED', 'CAPTCHA_UNAVAILABLE']) {
        t.equal(text.includes(code), needsOne, `${method} ${url} ${code}`)
      }
    }
    const options = { adapter: memory(), secret: SECRET, backends: backends(), captcha: { provider } }
    t.doesNotThrow(() => usersOpenapi(options))
  })

  t.test("with compatibility: 'fastapi-users', the detail is the code", async (t) => {
    const { provider } = fakeProvider()
    const { send } = await buildApp(t, { captcha: { provider }, compatibility: 'fastapi-users' })
    const reply = await send('POST', '/auth/register', body)
    t.equal(reply.statusCode, 400)
    t.strictSame(reply.json(), { detail: 'CAPTCHA_REQUIRED' })
    t.equal((await send('POST', '/auth/register', { ...body, 'fake-response': 'right' })).statusCode, 201)
  })

  t.test('invalid options refuse to start', async (t) => {
    const { provider } = fakeProvider()
    for (const captcha of [
      ...[null, true, 'turnstile', {}, { provider: 'turnstile' }, { provider: {} }].map(untyped),
      ...['register', [], ['registration'], ['Register'], [1]].map((kinds) => untyped({ provider, for: kinds })),
      untyped({ provider, when: true }),
      ...['ignore', true].map((ifUnavailable) => untyped({ provider, ifUnavailable })),
      untyped({ provider: { ...provider, timeoutMs: 0 } })
    ]) {
      await t.rejects(buildApp(t, { captcha }), INVALID, JSON.stringify(captcha))
    }
    await t.rejects(buildApp(t, { captcha: untyped({ provider, routes: [] }) }), UNKNOWN)
  })
})

interface Service {
  create (options: { url: string; secretKey?: string; hostnames?: string[]; timeoutMs?: number }): CaptchaProvider
  field: string
  used: string
  wrong: string
}

const SECRET_KEY = 'secret-key-of-the-site'
const services: Record<string, Service> = {
  turnstile: {
    create: (options) => turnstile({ secretKey: SECRET_KEY, ...options }),
    field: 'cf-turnstile-response',
    used: 'timeout-or-duplicate',
    wrong: 'invalid-input-response'
  },
  hcaptcha: {
    create: (options) => hcaptcha({ secretKey: SECRET_KEY, ...options }),
    field: 'h-captcha-response',
    used: 'already-seen-response',
    wrong: 'invalid-input-response'
  }
}

/** Starts a server that speaks the documented protocol of both services. A response works once. */
async function startVerifyService (t: Test, { used, wrong }: Service, extra: object = {}): Promise<LocalServer> {
  const seen = new Set<string>()
  return startLocalServer(t, ({ body }, response) => {
    const fields = new URLSearchParams(body)
    const token = fields.get('response') ?? ''
    const refuse = (code: string): object => ({ success: false, 'error-codes': [code] })
    const reply = fields.get('secret') !== SECRET_KEY
      ? refuse('invalid-input-secret')
      : !token.startsWith('right')
          ? refuse(wrong)
          : seen.has(token)
            ? refuse(used)
            : { success: true, challenge_ts: '2026-01-01T00:00:00Z', hostname: 'camelot.bt', 'error-codes': [], ...extra }
    seen.add(token)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(reply))
  })
}

for (const [name, service] of Object.entries(services)) {
  const { create, field } = service
  t.test(name, async (t) => {
    t.test('a response is checked by the service, with the secret key and the IP address, and works once', async (t) => {
      const { url, requests } = await startVerifyService(t, service)
      const { send } = await buildApp(t, { captcha: { provider: create({ url }) } })
      assertErrorReply(t, await send('POST', '/auth/register', { ...body, [field]: 'wrong' }), 400, 'CAPTCHA_FAILED')
      t.equal((await send('POST', '/auth/register', { ...body, [field]: 'right' })).statusCode, 201)
      const again = await send('POST', '/auth/register', { email: 'merlin@camelot.bt', password: PASSWORD, [field]: 'right' })
      assertErrorReply(t, again, 400, 'CAPTCHA_FAILED')
      const fields = (response: string) => ({ secret: SECRET_KEY, response, remoteip: '127.0.0.1' })
      t.strictSame(
        requests.map(({ method, body }) => [method, Object.fromEntries(new URLSearchParams(body))]),
        ['wrong', 'right', 'right'].map((response) => ['POST', fields(response)])
      )
      t.match(requests[0]?.headers['content-type'], /^application\/x-www-form-urlencoded/)
    })

    t.test('the host name of the page is compared with `hostnames`', async (t) => {
      const { url } = await startVerifyService(t, service)
      for (const [hostnames, status] of [[['camelot.bt', 'www.camelot.bt'], 201], [['avalon.bt'], 400]] as const) {
        const { send } = await buildApp(t, { captcha: { provider: create({ url, hostnames: [...hostnames] }) } })
        const token = `right for ${hostnames.join()}`
        t.equal((await send('POST', '/auth/register', { ...body, [field]: token })).statusCode, status)
      }
    })

    t.test('DEP-01: an error of the service or of the configuration is a 503, and never accepts', async (t) => {
      const json = (value: unknown): string => JSON.stringify(value)
      const replies: [name: string, status: number, text: string][] = [
        ['wrong secret', 200, json({ success: false, 'error-codes': ['invalid-input-secret'] })],
        ['internal error', 200, json({ success: false, 'error-codes': ['internal-error'] })],
        ['bad request and a wrong response', 400, json({ success: false, 'error-codes': [service.wrong, 'bad-request'] })],
        ['no codes', 200, json({ success: false })],
        ['odd codes', 200, json({ success: false, 'error-codes': 'timeout' })],
        ['success as text', 200, json({ success: 'true' })],
        ['success with status 500', 500, json({ success: true })],
        ['success with status 503', 503, json({ success: true })],
        ['a list', 200, '[true]'],
        ['null', 200, 'null'],
        ['html', 200, '<html>'],
        ['nothing', 200, ''],
        ['70 kB', 200, `${' '.repeat(70_000)}{"success":true}`],
        ['a redirect', 302, json({ success: true })]
      ]
      for (const [title, status, text] of replies) {
        const { url } = await startLocalServer(t, (_request, response) => {
          response.writeHead(status, { location: '/other' }).end(text)
        })
        const { logger, lines } = collectLog('warn')
        const { send } = await buildApp(t, { captcha: { provider: create({ url }) } }, () => {}, { logger })
        const reply = await send('POST', '/auth/register', { ...body, [field]: 'the response' })
        assertErrorReply(t, reply, 503, 'CAPTCHA_UNAVAILABLE', DOWN, title)
        for (const secret of [SECRET_KEY, 'the response', ARTHUR]) t.notOk(lines.join('').includes(secret), title)
      }
      const closed = create({ url: await closedUrl(t) })
      const { url } = await startLocalServer(t, () => {})
      for (const provider of [closed, create({ url, timeoutMs: 30 })]) {
        const { send } = await buildApp(t, { captcha: { provider } })
        const reply = await send('POST', '/auth/register', { ...body, [field]: 'right' })
        assertErrorReply(t, reply, 503, 'CAPTCHA_UNAVAILABLE', DOWN)
      }
    })

    t.test('invalid options refuse to start', async (t) => {
      const url = 'http://127.0.0.1'
      for (const options of [
        ...['', ' ', 1, null].map((secretKey) => ({ url, secretKey })),
        ...['camelot.bt', [], [1]].map((hostnames) => ({ url, hostnames })),
        ...[0, '1', NaN].map((timeoutMs) => ({ url, timeoutMs })),
        ...['camelot.bt', '', 'ftp://camelot.bt'].map((url) => ({ url })),
        { url, fetch: 'fetch' },
        { url, sendIp: 1 }
      ]) {
        t.throws(() => create(options as { url: string }), INVALID, JSON.stringify(options))
      }
      t.throws(() => create({ url, secret: 'x' } as { url: string }), UNKNOWN)
    })
  })
}

t.test('turnstile: the action of the widget is compared', async (t) => {
  const { url } = await startVerifyService(t, services['turnstile'] as Service, { action: 'register' })
  for (const [action, status] of [
    ['register', 201],
    [(kind: string) => kind, 201],
    ['login', 400],
    [(kind: string) => `auth-${kind}`, 400]
  ] as const) {
    const provider = turnstile({ secretKey: SECRET_KEY, url, action, sendIp: false })
    const { send } = await buildApp(t, { captcha: { provider } })
    const token = `right ${String(action)}`
    const reply = await send('POST', '/auth/register', { ...body, 'cf-turnstile-response': token })
    t.equal(reply.statusCode, status, String(action))
  }
})

t.test('hcaptcha: the site key is sent, and the given fetch is used', async (t) => {
  const asked: string[] = []
  const provider = hcaptcha({
    secretKey: SECRET_KEY,
    siteKey: 'site-key',
    sendIp: false,
    fetch: async (input, init) => {
      asked.push(`${String(input)} ${String(init?.body)}`)
      return Response.json({ success: true })
    }
  })
  const { send } = await buildApp(t, { captcha: { provider } })
  t.equal((await send('POST', '/auth/register', { ...body, 'h-captcha-response': 'a' })).statusCode, 201)
  t.strictSame(asked, [`https://api.hcaptcha.com/siteverify secret=${SECRET_KEY}&response=a&sitekey=site-key`])
})

t.test('CFG-08: keys for tests, which accept every response, refuse to start in production', async (t) => {
  const create = [
    () => turnstile({ secretKey: '1x0000000000000000000000000000000AA' }),
    () => hcaptcha({ secretKey: '0x0000000000000000000000000000000000000000' })
  ]
  for (const provider of create) t.doesNotThrow(provider)
  const before = process.env['NODE_ENV']
  t.teardown(() => {
    if (before === undefined) delete process.env['NODE_ENV']
    else process.env['NODE_ENV'] = before
  })
  process.env['NODE_ENV'] = 'production'
  for (const provider of create) t.throws(provider, INVALID)
})

t.test('altcha', async (t) => {
  t.test('a browser gets a challenge, solves it, and registers with the solution', async (t) => {
    const { send, app } = await buildApp(t, { captcha: { provider: altcha(easy) } })
    assertErrorReply(t, await send('POST', '/auth/register', body), 400, 'CAPTCHA_REQUIRED')
    const reply = await send('GET', '/auth/captcha')
    t.equal(reply.statusCode, 200)
    t.equal(reply.headers['cache-control'], 'no-store')
    const challenge = reply.json<Challenge>()
    t.match(challenge, {
      parameters: { algorithm: 'PBKDF2/SHA-256', cost: 1, keyPrefix: '0', nonce: /^[0-9a-f]{32}$/, expiresAt: Number },
      signature: /^[0-9a-f]{64}$/
    })
    const token = await solve(challenge)
    t.equal((await send('POST', '/auth/register', { ...body, altcha: token })).statusCode, 201)
    t.ok(await app.users.getByEmail(ARTHUR))
    t.equal((await send('HEAD', '/auth/captcha')).statusCode, 404)
  })

  t.test('each solution is accepted once, also of parallel requests and in another process', async (t) => {
    const adapter = memory()
    const captcha = { provider: altcha(easy) }
    const first = await buildApp(t, { captcha, adapter })
    const second = await buildApp(t, { captcha: { provider: altcha(easy) }, adapter })
    const token = await solve((await first.send('GET', '/auth/captcha')).json())
    const replies = await Promise.all(Array.from({ length: 10 }, (_, index) =>
      (index % 2 === 0 ? first : second).send('POST', '/auth/register', {
        email: `knight-${index}@camelot.bt`,
        password: PASSWORD,
        altcha: token
      })))
    t.equal(replies.filter(({ statusCode }) => statusCode === 201).length, 1)
    for (const reply of replies.filter(({ statusCode }) => statusCode !== 201)) {
      assertErrorReply(t, reply, 400, 'CAPTCHA_FAILED')
    }
    const other = await buildApp(t, { captcha: { provider: altcha(easy) }, adapter: memory() })
    const reply = await other.send('POST', '/auth/register', { ...body, altcha: await solve((await second.send('GET', '/auth/captcha')).json()) })
    t.equal(reply.statusCode, 201, 'a process with the same secret knows the challenges of the others')
  })

  t.test('forged, changed, unsolved and malformed solutions are refused', async (t) => {
    const { send } = await buildApp(t, { captcha: { provider: altcha(easy) } })
    const fresh = async (): Promise<Challenge> => (await send('GET', '/auth/captcha')).json()
    const challenge = await fresh()
    const solution = await solveChallenge({ challenge, deriveKey })
    const right = { challenge, solution }
    const forged = await createChallenge({
      ...{ algorithm: 'PBKDF2/SHA-256', cost: 1, keyPrefix: '0', deriveKey },
      expiresAt: Math.floor(Date.now() / 1000) + 60,
      hmacSignatureSecret: 'a secret of the attacker'
    })
    const changed = (parameters: object): object =>
      ({ challenge: { ...challenge, parameters: { ...challenge.parameters, ...parameters } }, solution })
    let deep: unknown = 1
    for (let depth = 0; depth < 1000; depth++) deep = [deep]
    const cases: Record<string, unknown> = {
      forged: { challenge: forged, solution: await solveChallenge({ challenge: forged, deriveKey }) },
      'another nonce': changed({ nonce: '00'.repeat(16) }),
      'no work': changed({ keyPrefix: '' }),
      'a later end': changed({ expiresAt: 9_999_999_999 }),
      'a higher cost': changed({ cost: 1_000_000_000 }),
      'one more parameter': changed({ extra: 1 }),
      'the solution of another challenge': { challenge: await fresh(), solution },
      'a wrong counter': { challenge, solution: { ...solution, counter: (solution?.counter ?? 0) + 1 } },
      'a wrong key': { challenge, solution: { ...solution, derivedKey: '00'.repeat(32) } },
      'a negative counter': { challenge, solution: { ...solution, counter: -1 } },
      'no signature': { challenge: { parameters: challenge.parameters }, solution },
      'an empty signature': { challenge: { ...challenge, signature: '' }, solution },
      'no solution': { challenge },
      'solution null': { challenge, solution: null },
      'parameters null': { challenge: { ...challenge, parameters: null }, solution },
      'nested parameters': changed({ data: deep }),
      'a list': [right],
      text: 'right',
      null: null
    }
    for (const [name, payload] of Object.entries(cases)) {
      assertErrorReply(
        t, await send('POST', '/auth/register', { ...body, altcha: toToken(payload) }), 400, 'CAPTCHA_FAILED', undefined, name
      )
    }
    for (const text of ['x', '%%%', 'bm90IGpzb24=', '\ud800', 'A'.repeat(8192), JSON.stringify(right), toToken(right).slice(1)]) {
      assertErrorReply(
        t, await send('POST', '/auth/register', { ...body, altcha: text }), 400, 'CAPTCHA_FAILED', undefined, text.slice(0, 20)
      )
    }
    const reply = await send('POST', '/auth/register', { ...body, altcha: toToken(right) })
    t.equal(reply.statusCode, 201, 'refused attempts do not use the solution up')
  })

  t.test('a challenge expires', async (t) => {
    const { send, tick } = await buildApp(t, { captcha: { provider: altcha({ ...easy, lifetimeSeconds: 10 }) } })
    const token = await solve((await send('GET', '/auth/captcha')).json())
    tick(11)
    assertErrorReply(t, await send('POST', '/auth/register', { ...body, altcha: token }), 400, 'CAPTCHA_FAILED')
  })

  t.test('challenges survive a rotation of the secret, and those of another tenant or secret are refused', async (t) => {
    const other = 'another-secret-with-more-than-32-bytes-0123456789'
    const old = await buildApp(t, { captcha: { provider: altcha(easy) }, secret: other })
    const rotated = await buildApp(t, { captcha: { provider: altcha(easy) }, secret: [SECRET, other] })
    const fresh = await buildApp(t, { captcha: { provider: altcha(easy) } })
    const tenant = await buildApp(t, { captcha: { provider: altcha(easy) }, secret: other, name: 'staff' })
    const token = await solve((await old.send('GET', '/auth/captcha')).json())
    for (const { send } of [fresh, tenant]) {
      assertErrorReply(t, await send('POST', '/auth/register', { ...body, altcha: token }), 400, 'CAPTCHA_FAILED')
    }
    t.equal((await rotated.send('POST', '/auth/register', { ...body, altcha: token })).statusCode, 201)
  })

  t.test('invalid options refuse to start', async (t) => {
    for (const options of [
      ...[0, 1.5, 1_000_001, '1', NaN].map((cost) => ({ cost })),
      ...[0, 7, 1.5].map((zeros) => ({ zeros })),
      ...[9, 3601, 10.5].map((lifetimeSeconds) => ({ lifetimeSeconds }))
    ]) {
      t.throws(() => altcha(options as object), INVALID, JSON.stringify(options))
    }
    t.throws(() => altcha({ secret: 'x' } as object), UNKNOWN)
  })
})

t.test('DEP-01: if the store of used solutions fails, a right solution is refused with 503', async (t) => {
  const adapter = memory()
  const { send } = await buildApp(t, { adapter, captcha: { provider: altcha(easy), ifUnavailable: 'accept' } })
  const token = await solve((await send('GET', '/auth/captcha')).json())
  const { create } = adapter
  t.teardown(() => { adapter.create = create })
  adapter.create = () => Promise.reject(FST_USERS_STORE_UNAVAILABLE())
  assertErrorReply(t, await send('POST', '/auth/register', { ...body, altcha: token }), 503, 'STORE_UNAVAILABLE', DOWN)
})

t.test('with the limits on, the client is counted before its captcha is checked', async (t) => {
  const { provider, asked } = fakeProvider()
  const { send } = await buildApp(t, { captcha: { provider }, limits: {} })
  const statuses: number[] = []
  for (let tries = 0; tries < 100 && !statuses.includes(429); tries++) {
    statuses.push((await send('POST', '/auth/register', { ...body, 'fake-response': 'wrong' })).statusCode)
  }
  t.equal(statuses.at(-1), 429)
  t.equal(asked.length, statuses.length - 1, 'the provider is not asked beyond the limit')
  t.ok(statuses.slice(0, -1).every((status) => status === 400))
})
