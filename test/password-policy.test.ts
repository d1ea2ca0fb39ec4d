import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import {
  passwordPolicy,
  pwnedPasswords,
  userSchemas,
  type PasswordPolicyOptions,
  type PasswordReason,
  type UsersOptions
} from '../lib/index.js'
import { dictionary } from '@zxcvbn-ts/language-common'
import type { RefusedPassword } from '../schemas/index.js'
import { createStrengthCheck } from '../lib/passwords/index.js'
import { ARTHUR, assertErrorReply, buildApp, comparableReply, PASSWORD } from './helpers/build-app.js'
import { closedUrl, collectLog, startLocalServer, type LocalServer } from './helpers/local-server.js'

const user = { email: ARTHUR }
const codes = (reasons: readonly PasswordReason[]): string[] => reasons.map(({ code }) => code)
const INVALID = { code: 'FST_USERS_INVALID_OPTION' }
const UNKNOWN = { code: 'FST_USERS_UNKNOWN_OPTION' }

/** Options as JavaScript code may pass them. */
const untyped = (options: unknown): PasswordPolicyOptions => options as PasswordPolicyOptions

t.test('the password policy', async (t) => {
  const policy = passwordPolicy()

  t.test('PW-01: length counts code points after NFC, and nothing else about the characters matters', async (t) => {
    for (const password of ['', 'excalib', '😀'.repeat(7), 'e\u0301'.repeat(7), 'пароль1']) {
      t.strictSame(
        await policy(password, user),
        [{ code: 'TOO_SHORT', message: 'Use at least 8 characters.', minimumLength: 8 }],
        password
      )
    }
    for (const password of [
      'excalib8',
      '😀'.repeat(8),
      'e\u0301'.repeat(8),
      ' '.repeat(8),
      'пароль🔑word',
      'lowercaseonly',
      'x'.repeat(1024)
    ]) {
      t.strictSame(await policy(password, user), [], password.slice(0, 20))
    }
    const strict = passwordPolicy({ minimumLength: 15 })
    t.match(await strict('😀'.repeat(14), user), [{ code: 'TOO_SHORT', message: /at least 15/, minimumLength: 15 }])
    t.strictSame(await strict('😀'.repeat(15), user), [])
  })

  t.test('PW-01: the preset for passwords that are the only factor requires 15 characters', async (t) => {
    const single = passwordPolicy({ preset: 'single-factor' })
    t.match(await single('fourteen chars', user), [{ code: 'TOO_SHORT', minimumLength: 15 }])
    t.strictSame(await single('fifteen chars !', user), [])
    const longer = passwordPolicy({ preset: 'single-factor', minimumLength: 20 })
    t.match(await longer('fifteen chars !', user), [{ code: 'TOO_SHORT', minimumLength: 20 }])
    t.throws(() => passwordPolicy({ preset: 'single-factor', minimumLength: 14 }), INVALID)
  })

  t.test('PW-05, PW-06: text that cannot be hashed is refused before any other rule reads it', async (t) => {
    const asked: string[] = []
    const careful = passwordPolicy({
      strength: true,
      breached: { isBreached: async (password) => { asked.push(password); return false } },
      check: (password) => { asked.push(password); return null }
    })
    const normalize = t.capture(String.prototype, 'normalize', String.prototype.normalize)
    for (const password of [
      'x'.repeat(1025),
      '\u0300\u0323'.repeat(100_000),
      'a'.repeat(1_000_000),
      'password\ud800',
      '\udc00\ud800'.repeat(4),
      '\ud83d\ud83d\ude00 excalibur'
    ]) {
      for (const check of [policy, careful]) {
        const reasons = await check(password, user)
        t.match(reasons, [{ code: 'INVALID_TEXT', message: /well-formed/, maximumBytes: 1024 }])
        t.equal(reasons.length, 1)
      }
    }
    t.strictSame(asked, [])
    t.equal(normalize().length, 0)
  })

  t.test('PW-07: the e-mail and its local part are refused', async (t) => {
    for (const password of ['king.arthur@camelot.bt', 'King.Arthur@Camelot.BT', 'king.arthur', 'KING.ARTHUR']) {
      t.strictSame(codes(await policy(password, user)), ['EMAIL'], password)
    }
    t.strictSame(codes(await policy('MERLIN.E\u0301MRYS', { email: 'merlin.\u00e9mrys@camelot.bt' })), ['EMAIL'])
    t.strictSame(codes(await policy('"a@b"-long', { email: '"a@b"-long@camelot.bt' })), ['EMAIL'])
    for (const password of ['king.arthur-1', 'the king.arthur', 'camelot.bt']) {
      t.strictSame(await policy(password, user), [], password)
    }
  })

  t.test('PW-07: a common password is refused in any case, but may be part of a longer password', async (t) => {
    for (const password of [
      'password',
      'Password',
      '12345678',
      'iloveyou',
      'qwertyuiop',
      'password1',
      'QWERTY123',
      'excalibur'
    ]) {
      t.strictSame(codes(await policy(password, user)), ['COMMON'], password)
      t.strictSame(await policy(`${password}, but longer`, user), [], password)
    }
    for (const password of ['guinevere', 'guinevere-1', 'excalibur-1', 'grail-grail', 'lancelot-1']) {
      t.strictSame(await policy(password, user), [], password)
    }
  })

  t.test('PW-07: the list has at least 3000 common passwords that have 8 and 9 characters or more', async (t) => {
    for (const minimumLength of [8, 9]) {
      const long = dictionary['passwords-common'].filter((password) => [...password].length >= minimumLength)
      t.ok(long.length >= 3000, `${long.length} of at least ${minimumLength} characters`)
      for (const password of long.slice(0, 3000).filter((_, index) => index % 300 === 0)) {
        t.ok(codes(await policy(password, user)).includes('COMMON'), password)
      }
    }
  })

  t.test('PW-07: context words and their simple variants are refused, and may be part of a longer password', async (t) => {
    const careful = passwordPolicy({ contextWords: ['Camelot', 'Round Table', 'Ærø', 'web3shop'] })
    for (const password of [
      'camelot!',
      'CAMELOT-2026',
      '1234Camelot',
      '  camelot  ',
      'round table',
      'RoundTable1',
      'round-table!',
      '-r-o-u-n-d-',
      'table-9876',
      'ærØ12345',
      'web3shop',
      'web3shop-123456'
    ]) {
      t.ok(codes(await careful(password, user)).includes('CONTEXT_WORD'), password)
    }
    for (const password of [
      'camelot12345678',
      'camelot!"$%&/()',
      'camelot is far',
      'camelotcamelot',
      'xcamelot-2026',
      'ramelot-2026',
      'web3shopper-1'
    ]) {
      t.strictSame(await careful(password, user), [], password)
    }
  })

  t.test('PW-07: the text fields of the user are context words, and the option userFields selects them', async (t) => {
    const knight = {
      id: 'lancelot-of-the-lake',
      email: 'l@camelot.bt',
      display_name: 'Lancelot du Lac',
      motto: 'x'.repeat(10_000) + '\u0300\u0323'.repeat(100_000),
      empty: '',
      credits: 12_345_678,
      is_active: true
    }
    for (const password of ['lancelot-1', '&lancelot!', 'lancelot du lac', 'LancelotDuLac', 'lac-12345']) {
      t.strictSame(codes(await policy(password, knight)), ['CONTEXT_WORD'], password)
      t.strictSame(await passwordPolicy({ userFields: [] })(password, knight), [], password)
      t.strictSame(await passwordPolicy({ userFields: ['motto'] })(password, knight), [], password)
      t.strictSame(codes(await passwordPolicy({ userFields: ['display_name'] })(password, knight)), ['CONTEXT_WORD'])
    }
    for (const password of ['lancelot-of-the-lake', '12345678.', 'x'.repeat(300)]) {
      t.strictSame(await policy(password, knight), [], password.slice(0, 30))
    }
  })

  t.test('a rule of the application adds its reason', async (t) => {
    const own = passwordPolicy({
      check: async (password, { email }) =>
        password.includes('grail') ? { code: 'GRAIL', message: `Not the grail, ${email}.`, found: 1 } : null
    })
    t.strictSame(codes(await own('grail', user)), ['TOO_SHORT', 'GRAIL'])
    t.strictSame(await own('guinevere-1', user), [])
  })

  t.test('Q2: invalid options refuse to start', async (t) => {
    const refused: PasswordPolicyOptions[] = [
      ...[7, 0, -1, 8.5, NaN, Infinity, 257, '12'].map((minimumLength) => untyped({ minimumLength })),
      ...['', 'two-factor', true, null].map((preset) => untyped({ preset })),
      ...['camelot', [''], ['ab'], [1], ['x'.repeat(257)], Array.from({ length: 1001 }, () => 'word'), {}].map(
        (contextWords) => untyped({ contextWords })
      ),
      ...['display_name', [''], [null]].map((userFields) => untyped({ userFields })),
      ...[null, true, {}, { isBreached: 1 }].map((breached) => untyped({ breached })),
      ...[false, 3, null, { minimumScore: 0 }, { minimumScore: 5 }, { minimumScore: '3' }].map((strength) =>
        untyped({ strength })),
      ...[{ dictionary: [] }, { dictionary: { words: 'a' } }].map((strength) => untyped({ strength })),
      untyped({ check: 'grail' })
    ]
    for (const options of refused) {
      t.throws(() => passwordPolicy(options), INVALID, JSON.stringify(options).slice(0, 80))
    }
    for (const options of [{ minLength: 12 }, { strength: { score: 3 } }, { toString: 1 }].map(untyped)) {
      t.throws(() => passwordPolicy(options), UNKNOWN, JSON.stringify(options))
    }
    for (const minimumLength of [8, 15, 256]) t.doesNotThrow(() => passwordPolicy({ minimumLength }))
  })
})

t.test('strength', async (t) => {
  const policy = passwordPolicy({ strength: true })

  t.test('PW-07: a password that is easy to guess is refused with its score', async (t) => {
    await policy.start()
    for (const password of ['aaaaaaaaaaaa', 'abcdefgh1234', 'password1234', 'qwertyuiop[]', '10.12.1990']) {
      const reasons = await policy(password, user)
      t.ok(codes(reasons).includes('TOO_WEAK'), password)
      t.match(reasons.at(-1), { score: Number, minimumScore: 3, suggestions: Array }, password)
    }
    for (const password of ['correct horse battery staple', 'guinevere-and-lancelot', 'tr7-Vq.91x_mZ']) {
      t.strictSame(await policy(password, user), [], password)
    }
  })

  t.test('words of the user and of the application make a password weaker', async (t) => {
    const name = 'bedivere-galahad'
    t.strictSame(await policy(name, user), [])
    const known = { email: ARTHUR, display_name: 'Bedivere Galahad' }
    const strict = passwordPolicy({ strength: { minimumScore: 4 } })
    t.strictSame(codes(await strict(name, known)), ['CONTEXT_WORD', 'TOO_WEAK'])
    const careful = passwordPolicy({ strength: { minimumScore: 4 }, contextWords: ['bedivere', 'galahad'] })
    t.strictSame(codes(await careful(name, user)), ['TOO_WEAK'])
    t.strictSame(codes(await passwordPolicy({
      strength: { minimumScore: 4, dictionary: { knights: ['bedivere', 'galahad'] } }
    })(name, user)), ['TOO_WEAK'])
  })

  t.test('PW-05: only the first 64 characters are examined', async (t) => {
    const lengths: number[] = []
    const { check } = createStrengthCheck(true, async () => ({
      ZxcvbnFactory: class {
        readonly maxLength: number
        constructor (options: object) {
          this.maxLength = (options as { maxLength: number }).maxLength
        }

        check (): { score: number; feedback: { warning: null; suggestions: [] } } {
          lengths.push(this.maxLength)
          return { score: 4, feedback: { warning: null, suggestions: [] } }
        }
      }
    }))
    t.equal(await check('p4$$w0rd'.repeat(128), []), null)
    t.strictSame(lengths, [64])
    for (const password of ['p4$$w0rd'.repeat(128), '\u0300\u0323'.repeat(256), '4'.repeat(1024), '😀'.repeat(256)]) {
      t.ok(codes(await policy(password, user)).includes('TOO_WEAK'), password.slice(0, 8))
    }
  })

  t.test('a missing package, or an older release of it, is a clear error at the start', async (t) => {
    const missing = createStrengthCheck(true, async () => {
      throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
    })
    await t.rejects(missing.start())
    const old = createStrengthCheck(true, async () => ({}))
    await t.rejects(old.start(), { ...INVALID, message: /npm install @zxcvbn-ts\/core@4/ })
    await t.rejects(old.check('guinevere-1', []), INVALID)
    const validatePassword = Object.assign(passwordPolicy(), { start: () => old.start() })
    await t.rejects(buildApp(t, { validatePassword }), INVALID)
  })
})

/** Starts a server that answers like the range search of Have I Been Pwned. */
async function startRangeServer (t: Test, breached: Record<string, number>): Promise<LocalServer> {
  const known = Object.entries(breached).map(([password, count]) => ({ digest: sha1(password), count }))
  return startLocalServer(t, ({ url }, response) => {
    const prefix = url.slice('/range/'.length)
    const lines = known
      .filter(({ digest }) => digest.startsWith(prefix))
      .map(({ digest, count }) => `${digest.slice(5)}:${count}`)
    const padding = Array.from({ length: 800 }, (_, index) => `${sha1(String(index)).slice(5)}:0`)
    response.end([...padding.slice(400), ...lines, ...padding.slice(0, 400)].join('\r\n'))
  })
}

/** Starts a server that answers every request in the same way, and returns its URL. */
async function startAnswering (t: Test, answer: (response: ServerResponse) => void): Promise<string> {
  return (await startLocalServer(t, (_request, response) => answer(response))).url
}

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex').toUpperCase()

t.test('breached passwords', async (t) => {
  t.test('PW-07: a password that the range search knows is refused, and only five digits are sent', async (t) => {
    const { url, requests } = await startRangeServer(t, { 'guinevere-1': 3, 'caf\u00e9-creme': 1, 'lancelot-1': 0 })
    const policy = passwordPolicy({ breached: pwnedPasswords({ url: `${url}/range/` }) })
    for (const password of ['guinevere-1', 'cafe\u0301-creme']) {
      t.strictSame(codes(await policy(password, user)), ['BREACHED'], password)
    }
    for (const password of ['lancelot-1', 'GUINEVERE-1', 'bedivere-1']) {
      t.strictSame(await policy(password, user), [], `${password} is padding or unknown`)
    }
    t.strictSame(
      requests.map(({ method, url, body }) => `${method} ${url} ${body}`),
      ['guinevere-1', 'caf\u00e9-creme', 'lancelot-1', 'GUINEVERE-1', 'bedivere-1'].map(
        (password) => `GET /range/${sha1(password).slice(0, 5)} `
      )
    )
    for (const { headers } of requests) t.match(headers, { 'add-padding': 'true', 'user-agent': 'fastify-users' })
    const lenient = passwordPolicy({ breached: pwnedPasswords({ url: `${url}/range`, minimumCount: 4 }) })
    t.strictSame(await lenient('guinevere-1', user), [])
  })

  t.test('the request goes through the given fetch', async (t) => {
    const asked: string[] = []
    const breached = pwnedPasswords({
      fetch: async (input, init) => {
        asked.push(`${String(input)} ${String(init?.redirect)}`)
        return new Response(`${sha1('guinevere-1').slice(5).toLowerCase()}:12\n`)
      }
    })
    t.strictSame(codes(await passwordPolicy({ breached })('guinevere-1', user)), ['BREACHED'])
    t.strictSame(asked, [`https://api.pwnedpasswords.com/range/${sha1('guinevere-1').slice(0, 5)} error`])
  })

  t.test(
    'PW-08: if the source fails or does not answer, the other rules still apply and one log line without secrets reports it',
    async (t) => {
      const stalls = (response: ServerResponse): void => {
        response.writeHead(200).write('00000000000000000000000000000000000:1\r\n')
      }
      const failures: [name: string, answer: ((response: ServerResponse) => void) | null, reason: RegExp][] = [
        ['a black hole', () => {}, /^TimeoutError$/],
        ['a body that never ends', stalls, /^TimeoutError$/],
        ['a closed port', null, /^ECONNREFUSED$/],
        ['a broken connection', (response) => response.destroy(), /^(ECONNRESET|UND_ERR_SOCKET)$/],
        ['status 503', (response) => response.writeHead(503).end(`${sha1('guinevere-1').slice(5)}:9`), /^NetworkError$/],
        ['status 404', (response) => response.writeHead(404).end(), /^NetworkError$/],
        ['a redirect', (response) => response.writeHead(302, { location: '/other' }).end(), /^(TypeError|unknown)$/],
        ['2 MB', (response) => response.end('0'.repeat(2_000_000)), /^DataError$/]
      ]
      for (const [name, answer, reason] of failures) {
        const url = answer === null ? await closedUrl(t) : await startAnswering(t, answer)
        const { logger, lines } = collectLog('warn')
        const timeoutMs = String(reason).includes('Timeout') ? 50 : 10_000
        const validatePassword = passwordPolicy({ breached: pwnedPasswords({ url, timeoutMs }) })
        const { send } = await buildApp(t, { validatePassword }, () => {}, { logger })
        const refused = await send('POST', '/auth/register', { email: ARTHUR, password: 'password1' })
        t.strictSame(codes(refused.json<{ detail: RefusedPassword }>().detail.reasons), ['COMMON'], name)
        t.equal((await send('POST', '/auth/register', { email: ARTHUR, password: 'guinevere-1' })).statusCode, 201, name)

        t.equal(lines.length, 2, `${name}: one line per password`)
        for (const line of lines) {
          t.match(JSON.parse(line), { level: 40, reason, reqId: String, msg: /source of breached passwords/ }, name)
          for (const secret of ['guinevere', 'password1', ARTHUR, sha1('guinevere-1').slice(0, 5), sha1('password1').slice(0, 5)]) {
            t.notOk(line.toLowerCase().includes(secret.toLowerCase()), `${name}: ${secret}`)
          }
        }
      }
    }
  )

  t.test('PW-08: a source of the application is limited and survives failures in the same way', async (t) => {
    const warnings: object[] = []
    const log = { warn: (values: object) => { warnings.push(values) } } as never
    const failing = [
      { isBreached: () => Promise.reject(new Error('guinevere-1 is unknown')) },
      { isBreached (): Promise<boolean> { throw new TypeError('a bug') } },
      { isBreached: () => new Promise<boolean>(() => {}), timeoutMs: 20 }
    ]
    for (const breached of failing) {
      t.strictSame(await passwordPolicy({ breached })('guinevere-1', user, { log }), [])
      t.strictSame(await passwordPolicy({ breached })('guinevere-1', user), [])
    }
    t.strictSame(warnings, [{ reason: 'Error' }, { reason: 'TypeError' }, { reason: 'TimeoutError' }])
    class Source {
      readonly #known = new Set(['guinevere-1'])
      async isBreached (password: string): Promise<boolean> {
        return this.#known.has(password)
      }
    }
    t.strictSame(codes(await passwordPolicy({ breached: new Source() })('guinevere-1', user)), ['BREACHED'])
  })

  t.test('PW-08: the request to the source is aborted after the answer and after the time limit', async (t) => {
    const signals: AbortSignal[] = []
    const answers: Promise<boolean>[] = [Promise.resolve(false), new Promise(() => {})]
    for (const answer of answers) {
      const isBreached = (_: string, signal: AbortSignal): Promise<boolean> => {
        signals.push(signal)
        return answer
      }
      await passwordPolicy({ breached: { isBreached, timeoutMs: 20 } })('guinevere-1', user)
    }
    t.strictSame(signals.map(({ aborted }) => aborted), [true, true])
  })

  t.test('invalid options refuse to start', async (t) => {
    for (const options of [
      ...['', 'api.pwnedpasswords.com', 'ftp://127.0.0.1', 1].map((url) => ({ url })),
      ...[0, -1, 1.5, NaN, '1'].map((timeoutMs) => ({ timeoutMs })),
      ...[0, -1, 1.5, NaN, '1'].map((minimumCount) => ({ minimumCount })),
      { fetch: 'fetch' }
    ]) {
      t.throws(() => pwnedPasswords(options as never), INVALID, JSON.stringify(options))
    }
    t.throws(() => pwnedPasswords({ timeout: 1 } as never), UNKNOWN)
  })
})

t.test('replies', async (t) => {
  const options = (): Partial<UsersOptions> => ({
    schemas: userSchemas({ display_name: Type.Optional(Type.String()) }),
    validatePassword: passwordPolicy({
      minimumLength: 12,
      contextWords: ['camelot'],
      breached: { isBreached: async () => true },
      strength: true,
      check: () => ({ code: 'GRAIL', message: 'Find the grail first.' })
    })
  })
  const all = ['TOO_SHORT', 'CONTEXT_WORD', 'BREACHED', 'TOO_WEAK', 'GRAIL']

  t.test(
    'PW-07, REG-08: one reply lists all reasons with their codes, without the password',
    async (t) => {
      const { send } = await buildApp(t, options())
      const reply = await send('POST', '/auth/register', { email: ARTHUR, password: 'camelot-1' })
      const { detail, message } = reply.json<{ message: string; detail: RefusedPassword }>()
      t.equal(reply.statusCode, 400)
      t.strictSame(codes(detail.reasons), all)
      t.equal(detail.reason, detail.reasons.map((reason) => reason.message).join(' '), 'reason is the text of all')
      t.ok(message.endsWith(String(detail.reason)))
      t.notOk(reply.body.includes('camelot'), 'the reply does not contain the password')
    }
  )

  t.test('PW-07: registration, change, reset and changes by superusers apply the same policy', async (t) => {
    const built = await buildApp(t, { validatePassword: passwordPolicy({ contextWords: ['camelot'], userFields: [] }) })
    const { app, send, bearer, tokenOf, create } = built
    const arthur = await create({ is_superuser: true, is_verified: true })
    const asArthur = await bearer(ARTHUR)
    await app.users.forgotPassword(ARTHUR)
    const token = await tokenOf('onAfterForgotPassword')
    const body = { password: 'camelot-1' }
    const replies = {
      REGISTER: await send('POST', '/auth/register', { email: 'mordred@camelot.bt', ...body }),
      UPDATE_USER: await send('PATCH', '/users/me', body, asArthur),
      'UPDATE_USER ': await send('PATCH', `/users/${arthur.id}`, body, asArthur),
      RESET_PASSWORD: await send('POST', '/auth/reset-password', { token, ...body })
    }
    const message = 'Do not use your name or the name of this service as the password.'
    for (const [route, reply] of Object.entries(replies)) {
      const code = `${route.trim()}_INVALID_PASSWORD`
      const reasons = [{ code: 'CONTEXT_WORD', message }]
      assertErrorReply(t, reply, 400, code, { code, reason: message, reasons }, route)
    }
    await t.rejects(app.users.create({ email: 'm@camelot.bt', ...body }), {
      code: 'FST_USERS_REGISTER_INVALID_PASSWORD',
      detail: { reasons: [{ code: 'CONTEXT_WORD' }] }
    })
    t.equal((await send('POST', '/auth/reset-password', { token, password: 'far from camelot' })).statusCode, 200)
  })

  t.test('REG-08: the reply is the same for a known and an unknown e-mail', async (t) => {
    for (const revealExistingAccounts of [true, false]) {
      const { send, app, create } = await buildApp(t, { revealExistingAccounts })
      await create()
      for (const password of ['short', 'password1', 'x'.repeat(1025), '1234567']) {
        const replies = await Promise.all([ARTHUR, 'king.arthur@avalon.bt'].map((email) =>
          send('POST', '/auth/register', { email, password })))
        t.equal(replies[0]?.statusCode, 400)
        t.same(...(replies.map(comparableReply) as [object, object]))
      }
      t.equal(await app.users.getByEmail('king.arthur@avalon.bt'), null)
    }
  })

  t.test('a custom policy may return a text, one reason, a list or nothing', async (t) => {
    const reason = { code: 'GRAIL', message: 'Find the grail first.' }
    const results: [unknown, unknown][] = [
      ['Too easy.', { reason: 'Too easy.', reasons: [{ code: 'REFUSED', message: 'Too easy.' }] }],
      [reason, { reason: reason.message, reasons: [reason] }],
      [[reason, { ...reason, code: 'B' }], {
        reason: 'Find the grail first. Find the grail first.',
        reasons: [reason, { ...reason, code: 'B' }]
      }]
    ]
    for (const [result, detail] of results) {
      const { send } = await buildApp(t, { validatePassword: () => result as string })
      const reply = await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
      const code = 'REGISTER_INVALID_PASSWORD'
      assertErrorReply(t, reply, 400, code, { code, ...(detail as object) }, JSON.stringify(result))
    }
    for (const result of [null, undefined, [], true]) {
      const { send } = await buildApp(t, { validatePassword: () => result as null })
      const reply = await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
      t.equal(reply.statusCode, 201, JSON.stringify(result))
    }
    for (const result of [{}, [{}], ['Too easy.'], [reason, { code: 1, message: 'x' }], { code: 'A' }]) {
      const { send, app } = await buildApp(t, { validatePassword: () => result as never })
      const reply = await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
      assertErrorReply(t, reply, 500, 'INTERNAL_ERROR', 'Internal Server Error', JSON.stringify(result))
      t.equal(await app.users.getByEmail(ARTHUR), null, 'an invalid result does not accept the password')
    }
  })

  t.test("with compatibility: 'fastapi-users', the reply has only the code and the reason", async (t) => {
    const { send } = await buildApp(t, { compatibility: 'fastapi-users', validatePassword: passwordPolicy() })
    const reply = await send('POST', '/auth/register', { email: ARTHUR, password: 'pass' })
    t.equal(reply.statusCode, 400)
    t.strictSame(reply.json(), { detail: { code: 'REGISTER_INVALID_PASSWORD', reason: 'Use at least 8 characters.' } })
  })

  t.test('the policy is given the logger of the request', async (t) => {
    const logs: unknown[] = []
    const { app, send } = await buildApp(t, {
      validatePassword (_password, _user, context) {
        logs.push(context?.log)
      }
    })
    await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
    await app.users.create({ email: 'merlin@camelot.bt', password: PASSWORD })
    t.equal(logs[1], app.log)
    t.ok(logs[0])
  })
})
