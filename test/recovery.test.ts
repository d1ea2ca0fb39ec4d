import { createHmac } from 'node:crypto'
import t, { type Test } from 'tap'
import type { DatabaseAdapter, User, UsersHooks, UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { withSlowReads } from '../lib/testing/index.js'
import {
  ARTHUR,
  buildApp,
  countedPasswords,
  assertValidationError,
  PASSWORD,
  assertErrorReply,
  storedModel,
  storedRows,
  comparableReply,
  weakerHash,
  type TestApp
} from './helpers/build-app.js'

const LANCELOT = 'lancelot@camelot.bt'
const NEW_PASSWORD = 'guinevere-2'
const RESET_SECRET = 'Zk3vQ9xT1mW7pL5rB8nD2fH6jK0sA4cE'
const VERIFY_SECRET = 'mX8wR2yU6tG1vN9bP5qL3zC7dF0hJ4kS'

interface Claims {
  sub: string
  aud: string
  exp: number
  iat: number
  jti: string
  [claim: string]: unknown
}
const decode = (token: string): Claims =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Claims

/** Signs a token with any claims, as an attacker who knows the secret could. */
function sign (secret: string, claims: object, header: object = { alg: 'HS256', typ: 'JWT' }): string {
  const body = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`
}

const forgot = ({ send }: TestApp, email = ARTHUR) => send('POST', '/auth/forgot-password', { email })
const reset = ({ send }: TestApp, token: unknown, password: unknown = NEW_PASSWORD) =>
  send('POST', '/auth/reset-password', { token, password })
const request = ({ send }: TestApp, email = ARTHUR) => send('POST', '/auth/request-verify-token', { email })
const verify = ({ send }: TestApp, token: unknown) => send('POST', '/auth/verify', { token })

async function resetToken (app: TestApp, email = ARTHUR): Promise<string> {
  await forgot(app, email)
  return app.tokenOf('onAfterForgotPassword')
}

async function verifyToken (app: TestApp, email = ARTHUR): Promise<string> {
  await request(app, email)
  return app.tokenOf('onAfterRequestVerify')
}

const badReset = (t: Test, reply: Awaited<ReturnType<typeof reset>>, name?: string) => {
  assertErrorReply(t, reply, 400, 'RESET_PASSWORD_BAD_TOKEN', undefined, name)
}
const badVerify = (t: Test, reply: Awaited<ReturnType<typeof verify>>, name?: string) => {
  assertErrorReply(t, reply, 400, 'VERIFY_USER_BAD_TOKEN', undefined, name)
}

/** A promise that a test resolves, with the number of calls that wait for it. */
function createGate (): { open(): void; pass(): Promise<void>; waiting(): number } {
  let open = (): void => {}
  let count = 0
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return {
    open,
    pass: () => {
      count++
      return opened
    },
    waiting: () => count
  }
}

const tokenRequests = {
  'forgot-password': {
    ask: forgot,
    event: 'onAfterForgotPassword',
    silent: ['nobody@camelot.bt', 'inactive@camelot.bt']
  },
  'request-verify-token': {
    ask: request,
    event: 'onAfterRequestVerify',
    silent: ['nobody@camelot.bt', 'inactive@camelot.bt', 'verified@camelot.bt']
  }
} as const

for (const [path, { ask: requestToken, event, silent }] of Object.entries(tokenRequests)) {
  const labels =
    path === 'forgot-password'
      ? { row: 'row 50', rule: 'RST-01', failing: 'RST-02' }
      : { row: 'row 55', rule: 'VER-01', failing: 'VER-01' }

  async function buildAppWithUsers (t: Test, options: Partial<UsersOptions> = {}, server = {}): Promise<TestApp> {
    const app = await buildApp(t, options, () => {}, server)
    await app.create()
    await app.create({ email: 'inactive@camelot.bt', is_active: false })
    await app.create({ email: 'verified@camelot.bt', is_verified: true })
    app.events.length = 0
    return app
  }

  t.test(`POST /auth/${path}`, async (t) => {
    t.test(
      `${labels.row}, ${labels.rule}: replies 202 with the same bytes for every e-mail; a token is created for eligible users only`,
      async (t) => {
        const { passwords, calls } = countedPasswords()
        const app = await buildAppWithUsers(t, { passwords })
        calls.length = 0
        const known = await requestToken(app, ARTHUR)
        t.equal(known.statusCode, 202)
        t.equal(known.body, '')
        for (const email of [...silent, 'KING.arthur@CAMELOT.bt', 'a@bücher.example', 'mıke@camelot.bt']) {
          t.same(comparableReply(await requestToken(app, email)), comparableReply(known), email)
        }
        await app.app.users.settled()
        t.match(app.events, [
          { name: event, user: { email: ARTHUR }, token: String },
          { name: event, user: { email: ARTHUR }, token: String }
        ])
        t.equal(app.events.length, 2)
        t.notMatch(JSON.stringify(app.events), /argon2/)
        t.same(calls, [], 'no password is hashed')
      }
    )

    t.test(`${labels.row}, EML-05: a body without exactly one plain e-mail is refused`, async (t) => {
      const { app, send, events } = await buildAppWithUsers(t)
      const url = `/auth/${path}`
      for (const payload of [
        {},
        { email: null },
        { email: '' },
        { email: 'x' },
        { email: [ARTHUR] },
        { email: `${ARTHUR},${LANCELOT}` },
        { email: `Arthur <${ARTHUR}>` },
        { email: `x ${ARTHUR}` },
        { email: { $gt: '' } },
        { user: ARTHUR }
      ]) {
        assertValidationError(t, await send('POST', url, payload), ['/email'], JSON.stringify(payload))
      }
      for (const payload of ['', 'null', JSON.stringify(ARTHUR), '[]', '1']) {
        assertValidationError(
          t,
          await app.inject({ method: 'POST', url, headers: { 'content-type': 'application/json' }, payload }),
          [''],
          payload
        )
      }
      t.equal(
        (
          await app.inject({
            method: 'POST',
            url,
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            payload: `email=${ARTHUR}`
          })
        ).statusCode,
        415
      )
      t.equal((await app.inject({ method: 'GET', url: `${url}?email=${ARTHUR}` })).statusCode, 404)
      await app.users.settled()
      t.same(events, [])
    })

    t.test('EML-04: the token is sent to the stored e-mail, and look-alike e-mails get none', async (t) => {
      const app = await buildAppWithUsers(t)
      await app.create({ email: 'mike@github.com' })
      app.events.length = 0
      for (const email of [
        'mıke@github.com',
        'mike@gıthub.com',
        'ｍike@github.com',
        'mike@github.com.evil.example',
        'míke@github.com'
      ]) {
        t.equal((await requestToken(app, email)).statusCode, 202)
      }
      await app.app.users.settled()
      t.same(app.events, [])
      for (const email of ['MIKE@GITHUB.COM', 'mike@ｇithub.com', 'mi\u212ae@github.com']) await requestToken(app, email)
      await app.app.users.settled()
      t.same(
        app.events.map((captured) => 'user' in captured && captured.user?.email),
        ['mike@github.com', 'mike@github.com', 'mike@github.com'],
        'other spellings of the same e-mail find the user'
      )
    })

    t.test(
      `${labels.rule}, row 60: a slow hook does not delay the reply, and receives the request and the reply`,
      async (t) => {
        const gate = createGate()
        const received: unknown[] = []
        const hooks: UsersHooks = {
          [event]: async (
            { user }: { user: { email: string } },
            { request, reply }: { request: { routeOptions: { url?: string } } | null; reply: object | null }
          ) => {
            await gate.pass()
            received.push([user.email, request?.routeOptions.url, reply === null])
          }
        }
        const app = await buildAppWithUsers(t, { hooks })
        t.equal((await requestToken(app)).statusCode, 202)
        t.equal((await requestToken(app)).statusCode, 202)
        t.same(received, [])
        gate.open()
        await app.app.users.settled()
        t.same(received, [
          [ARTHUR, `/auth/${path}`, false],
          [ARTHUR, `/auth/${path}`, false]
        ])
      }
    )

    t.test(
      `${labels.failing}: a hook that throws does not change the reply, and is logged without the e-mail or the token`,
      async (t) => {
        const lines: string[] = []
        const stream = {
          write: (line: string) => {
            lines.push(line)
          }
        }
        let token = ''
        const hooks: UsersHooks = {
          [event]: async (payload: { token: string }) => {
            token = payload.token
            throw new Error('smtp is down')
          }
        }
        const app = await buildAppWithUsers(t, { hooks }, { logger: { level: 'debug', stream } })
        const unknown = await requestToken(app, 'nobody@camelot.bt')
        t.same(comparableReply(await requestToken(app)), comparableReply(unknown))
        await app.app.users.settled()
        const log = lines.join('')
        t.equal(lines.filter((line) => line.includes('smtp is down')).length, 1)
        t.match(JSON.parse(lines.find((line) => line.includes('smtp is down')) ?? '{}'), { level: 50 })
        t.ok(token.length > 0)
        t.notOk(log.includes(token) || log.includes(ARTHUR) || log.includes('nobody@camelot.bt'))
      }
    )

    t.test('app.close() and app.users.settled() wait for the hooks', async (t) => {
      const gate = createGate()
      const done: string[] = []
      const app = await buildAppWithUsers(t, {
        hooks: {
          [event]: async () => {
            await gate.pass()
            done.push('listener')
          }
        }
      })
      await requestToken(app)
      const settled = app.app.users.settled().then(() => {
        done.push('settled')
      })
      const closed = app.app.close().then(() => {
        done.push('closed')
      })
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
      t.equal(gate.waiting(), 1)
      t.same(done, [])
      gate.open()
      await Promise.all([settled, closed])
      t.equal(done[0], 'listener')
      t.same([...done].sort(), ['closed', 'listener', 'settled'])
    })
  })
}

t.test('RST-12: a hundred reset requests change nothing, and the user can still log in', async (t) => {
  const adapter = memory()
  const app = await buildApp(t, { adapter })
  await app.create()
  const headers = await app.bearer(ARTHUR)
  const before = await storedRows(adapter, 'user')
  await Promise.all(Array.from({ length: 100 }, () => forgot(app)))
  await app.app.users.settled()
  t.same(await storedRows(adapter, 'user'), before)
  t.equal((await app.login('jwt', ARTHUR)).statusCode, 200)
  t.equal((await app.send('GET', '/users/me', undefined, headers)).statusCode, 200)
})

t.test('POST /auth/reset-password', async (t) => {
  t.test('row 51, RST-09, RST-10: sets the password, calls the hooks and starts no session', async (t) => {
    const adapter = memory()
    const app = await buildApp(t, { adapter })
    const user = await app.create()
    const token = await resetToken(app)
    app.events.length = 0
    const reply = await reset(app, token)
    t.equal(reply.statusCode, 200)
    t.equal(reply.body, '')
    t.equal(reply.headers['set-cookie'], undefined)
    const verified = { ...user, is_verified: true }
    t.same(
      app.events,
      [
        { name: 'onAfterVerify', user: verified },
        { name: 'onAfterResetPassword', user: verified }
      ],
      'onAfterUpdate is not emitted'
    )
    t.same(await storedRows(adapter, 'accesstoken'), [])
    t.equal((await app.login('jwt', ARTHUR)).statusCode, 400)
    t.equal((await app.login('jwt', ARTHUR, NEW_PASSWORD)).statusCode, 200)
    t.match(
      await app.app.users.get(user.id),
      { is_active: true, is_verified: true },
      'a reset proves control of the mailbox'
    )
  })

  t.test(
    'row 60: emits onAfterResetPassword with the request after the write; an error of the hook keeps the new password',
    async (t) => {
      const log: unknown[] = []
      const app = await buildApp(t, {
        hooks: {
          async onAfterResetPassword ({ user }, { request, reply }) {
            log.push([user.email, request?.routeOptions.url, reply === null])
            throw new Error('mail')
          }
        }
      })
      await app.create()
      assertErrorReply(t, await reset(app, await resetToken(app)), 500, 'INTERNAL_ERROR', 'Internal Server Error')
      t.same(log, [[ARTHUR, '/auth/reset-password', false]])
      t.equal((await app.login('jwt', ARTHUR, NEW_PASSWORD)).statusCode, 200)
    }
  )

  t.test(
    "row 52, RST-04: a token works once, even for the same password, and its use invalidates the user's other tokens",
    async (t) => {
      const app = await buildApp(t)
      await app.create()
      const [first, second, third] = [await resetToken(app), await resetToken(app), await resetToken(app)]
      t.equal(new Set([first, second, third]).size, 3)
      t.equal((await reset(app, second, PASSWORD)).statusCode, 200)
      for (const token of [second, first, third]) badReset(t, await reset(app, token))
      t.equal((await app.login('jwt', ARTHUR)).statusCode, 200)
    }
  )

  for (const slow of [false, true]) {
    t.test(
      `row 52, RST-04, RACE-01: of 30 parallel resets one succeeds, and only its password logs in${slow ? ', also with slow reads' : ''}`,
      async (t) => {
        const adapter = memory()
        const app = await buildApp(t, { adapter: slow ? withSlowReads(adapter, 3) : adapter })
        await app.create()
        const tokens = [await resetToken(app), await resetToken(app)]
        const passwords = Array.from({ length: 30 }, (_, i) => `guinevere-round-${i}`)
        const replies = await Promise.all(passwords.map((password, i) => reset(app, tokens[i % 2], password)))
        const winners = replies.flatMap(({ statusCode }, i) => (statusCode === 200 ? [i] : []))
        t.equal(winners.length, 1)
        for (const [i, reply] of replies.entries()) if (i !== winners[0]) badReset(t, reply)
        t.equal(app.events.filter(({ name }) => name === 'onAfterResetPassword').length, 1)
        const logins = []
        for (const password of [...passwords, PASSWORD]) {
          logins.push((await app.login('jwt', ARTHUR, password)).statusCode)
        }
        t.same(
          logins.flatMap((status, i) => (status === 200 ? [i] : [])),
          winners
        )
      }
    )
  }

  t.test(
    'row 53, RST-05: a token is invalid after a change of password, e-mail, status or sessions, and after deletion',
    async (t) => {
      const changes: Record<string, (app: TestApp, id: string) => Promise<unknown>> = {
        'the user changes the password': async (app) =>
          app.send('PATCH', '/users/me', { password: 'guinevere-3' }, await app.bearer(ARTHUR)),
        'the user sets the same password again': async (app) =>
          app.send('PATCH', '/users/me', { password: PASSWORD }, await app.bearer(ARTHUR)),
        'a superuser changes the password': (app, id) =>
          app.app.users.update(id, { password: 'guinevere-3' }, { by: 'superuser' }),
        'the e-mail changes': async (app) =>
          app.send('PATCH', '/users/me', { email: 'new@camelot.bt' }, await app.bearer(ARTHUR)),
        'the e-mail changes its case': async (app) =>
          app.send('PATCH', '/users/me', { email: 'King.Arthur@camelot.bt' }, await app.bearer(ARTHUR)),
        deactivation: (app, id) => app.app.users.update(id, { is_active: false }),
        'deactivation and reactivation': async (app, id) => {
          await app.app.users.update(id, { is_active: false })
          await app.app.users.update(id, { is_active: true })
        },
        'the e-mail changes, and changes back': async (app, id) => {
          await app.app.users.update(id, { email: 'new@camelot.bt' })
          await app.app.users.update(id, { email: ARTHUR })
        },
        verification: async (app) => verify(app, await verifyToken(app)),
        endSessions: (app, id) => app.app.users.endSessions(id),
        deletion: (app, id) => app.app.users.delete(id),
        'deletion and another registration of the e-mail': async (app, id) => {
          await app.app.users.delete(id)
          await app.register()
        }
      }
      for (const [name, act] of Object.entries(changes)) {
        const app = await buildApp(t)
        const { id } = await app.create()
        const token = await resetToken(app)
        await act(app, String(id))
        badReset(t, await reset(app, token), name)
        t.equal((await app.login('jwt', ARTHUR, NEW_PASSWORD)).statusCode, 400)
      }
    }
  )

  t.test('row 53: a token stays valid after a profile change, a login and a logout', async (t) => {
    const app = await buildApp(t)
    await app.create()
    const token = await resetToken(app)
    const headers = await app.cookie(ARTHUR)
    await app.send('PATCH', '/users/me', {}, headers)
    await app.send('POST', '/auth/cookie/logout', undefined, headers)
    t.equal((await reset(app, token)).statusCode, 200)
  })

  t.test('row 53: a token is invalid after the hash was upgraded at login', async (t) => {
    const adapter = memory()
    const app = await buildApp(t, { adapter })
    await app.create()
    const weak = await weakerHash(PASSWORD)
    await adapter.update(storedModel('user'), { email: ARTHUR }, { hashed_password: weak })
    const token = await resetToken(app)
    t.equal((await app.login('jwt', ARTHUR)).statusCode, 200)
    t.match(await storedRows(adapter, 'user'), [{ hashed_password: /^\$argon2id\$v=19\$m=8/ }])
    badReset(t, await reset(app, token))
  })

  t.test('row 53: a token expires to the second, by the clock option', async (t) => {
    let now = 1_800_000_000_000
    const app = await buildApp(t, { clock: () => now })
    await app.create()
    const [first, second] = [await resetToken(app), await resetToken(app)]
    t.match(decode(first), { iat: 1_800_000_000, exp: 1_800_003_600 })
    now += 3_600_000
    badReset(t, await reset(app, first))
    now -= 1
    t.equal((await reset(app, second)).statusCode, 200)
  })

  t.test('row 53, RST-06: a token with a change in any segment is refused', async (t) => {
    const app = await buildApp(t)
    await app.create()
    const token = await resetToken(app)
    const segments = token.split('.')
    t.equal(segments.length, 3)
    const changed: string[] = []
    for (const [i, segment] of segments.entries()) {
      for (let at = 0; at < segment.length - 1; at += 3) {
        const other = segment[at] === 'A' ? 'B' : 'A'
        changed.push(segments.map((one, j) => (j === i ? one.slice(0, at) + other + one.slice(at + 1) : one)).join('.'))
      }
      changed.push(
        segments.filter((_, j) => j !== i).join('.'),
        segments.map((one, j) => (j === i ? '' : one)).join('.'),
        segments.map((one, j) => (j === i ? `${one}A` : one)).join('.'),
        segments.map((one, j) => (j === i ? `${one}=` : one)).join('.')
      )
    }
    changed.push(
      `${token}.`,
      `.${token}`,
      `${token}.${token}`,
      ` ${token}`,
      `${token} `,
      `${token}\n`,
      `Bearer ${token}`,
      token.toUpperCase(),
      [...token].reverse().join('')
    )
    for (const one of changed) badReset(t, await reset(app, one), one.slice(0, 60))
    t.equal((await reset(app, token)).statusCode, 200, 'the unchanged token still works')
  })

  t.test(
    'RST-06: tokens that are malformed, too long or not text are refused, even if the user has no hash and no stamp',
    async (t) => {
      const adapter = memory()
      const app = await buildApp(t, { adapter })
      await app.create()
      await adapter.update(storedModel('user'), { email: ARTHUR }, { session_stamp: null, hashed_password: '' })
      for (const token of ['', null, [], {}, 0, 1, true, ['x'], 'x'.repeat(8193)]) {
        assertValidationError(t, await reset(app, token), ['/token'], JSON.stringify(token).slice(0, 30))
      }
      for (const token of [
        ' ',
        '\u0000',
        'null',
        'undefined',
        'a.b.c',
        '..',
        '.',
        'eyJhbGciOiJub25lIn0.e30.',
        `${'x'.repeat(100)}.${'y'.repeat(100)}.z`,
        'é.é.é',
        '💥',
        "' or 1=1 --",
        'x'.repeat(8192)
      ]) {
        badReset(t, await reset(app, token), token.slice(0, 30))
      }
      assertValidationError(t, await app.send('POST', '/auth/reset-password', { password: NEW_PASSWORD }), ['/token'])
      assertValidationError(t, await app.send('POST', '/auth/reset-password', { token: 'x' }), ['/password'])
      assertValidationError(t, await app.send('POST', '/auth/reset-password', {}), ['/password', '/token'])
    }
  )

  t.test('row 54, RST-11: a refused password is reported with its reason, and the token still works', async (t) => {
    const app = await buildApp(t)
    await app.create()
    const token = await resetToken(app)
    for (const password of ['', 'short', 'password1', ARTHUR, 'king.arthur']) {
      const reply = await reset(app, token, password)
      t.match(
        reply.json<object>(),
        {
          statusCode: 400,
          code: 'FST_USERS_RESET_PASSWORD_INVALID_PASSWORD',
          detail: { code: 'RESET_PASSWORD_INVALID_PASSWORD', reason: String }
        },
        password
      )
    }
    for (const password of ['x'.repeat(1025), null, 12345678, [NEW_PASSWORD]]) {
      assertValidationError(t, await reset(app, token, password), ['/password'])
    }
    badReset(t, await reset(app, 'nonsense', 'short'), 'the token is checked before the password')
    t.equal((await app.login('jwt', ARTHUR)).statusCode, 200)
    t.equal((await reset(app, token)).statusCode, 200)
  })

  t.test(
    'RST-07, RST-08: other fields of the body cannot name another user, and only a token sets a password',
    async (t) => {
      const app = await buildApp(t)
      await app.create()
      const lancelot = await app.create({ email: LANCELOT })
      const token = await resetToken(app)
      const extra = { email: LANCELOT, user_id: lancelot.id, id: lancelot.id, sub: lancelot.id, username: LANCELOT }
      for (const payload of [
        { ...extra, password: NEW_PASSWORD },
        { ...extra, password: NEW_PASSWORD, token: '' }
      ]) {
        assertValidationError(t, await app.send('POST', '/auth/reset-password', payload), ['/token'])
      }
      badReset(
        t,
        await app.send('POST', '/auth/reset-password', {
          ...extra,
          password: NEW_PASSWORD,
          token: await verifyToken(app, LANCELOT)
        })
      )
      for (const url of ['/auth/verify', '/auth/forgot-password', '/auth/request-verify-token']) {
        await app.send('POST', url, { ...extra, token, password: NEW_PASSWORD })
      }
      for (const email of [ARTHUR, LANCELOT]) {
        t.equal(
          (await app.login('jwt', email, NEW_PASSWORD)).statusCode,
          400,
          'no request without a valid reset token set the password'
        )
      }
      t.equal(
        (await app.send('POST', '/auth/reset-password', { ...extra, token, password: NEW_PASSWORD })).statusCode,
        200
      )
      t.equal((await app.login('jwt', ARTHUR, NEW_PASSWORD)).statusCode, 200)
      t.equal((await app.login('jwt', LANCELOT, NEW_PASSWORD)).statusCode, 400)
      t.equal((await app.login('jwt', LANCELOT)).statusCode, 200)
      for (const method of ['GET', 'PUT', 'HEAD'] as const) {
        t.equal(
          (await app.send(method, `/auth/reset-password?token=${token}&password=${NEW_PASSWORD}`)).statusCode,
          404
        )
      }
    }
  )

  t.test('RST-09: a deactivated user cannot reset, and does not become active', async (t) => {
    const adapter = memory()
    const app = await buildApp(t, { adapter })
    await app.create()
    const token = await resetToken(app)
    await adapter.update(storedModel('user'), { email: ARTHUR }, { is_active: false })
    badReset(t, await reset(app, token))
    t.match(await storedRows(adapter, 'user'), [{ is_active: false }])
  })

  t.test('app.users.forgotPassword and app.users.resetPassword work without a request', async (t) => {
    const app = await buildApp(t)
    await app.create()
    await app.app.users.forgotPassword(ARTHUR)
    t.match(await app.app.users.resetPassword(await app.tokenOf('onAfterForgotPassword'), NEW_PASSWORD), {
      email: ARTHUR
    })
    await t.rejects(app.app.users.resetPassword('x', NEW_PASSWORD), { code: 'FST_USERS_RESET_PASSWORD_BAD_TOKEN' })
  })

  t.test(
    'RST-06, row 10: app.users.resetPassword refuses ill-formed passwords and tokens that are too long',
    async (t) => {
      const app = await buildApp(t, { tokens: { reset: { secret: RESET_SECRET } } })
      await app.create()
      const { users } = app.app
      const claims = decode(await resetToken(app))
      const padded = (length: number): string => sign(RESET_SECRET, { ...claims, padding: 'x'.repeat(length) })
      for (const password of ['guinevere-\ud800', 'x'.repeat(1025), '\u{1F9D9}'.repeat(257)]) {
        await t.rejects(users.resetPassword(padded(0), password), {
          code: 'FST_USERS_INVALID_USER',
          detail: [{ path: '/password' }]
        })
      }
      await t.rejects(users.resetPassword(padded(8192), NEW_PASSWORD), { code: 'FST_USERS_RESET_PASSWORD_BAD_TOKEN' })
      t.equal((await app.login('jwt', ARTHUR)).statusCode, 200, 'nothing was changed')
      t.match(
        await users.resetPassword(padded(1000), NEW_PASSWORD),
        { email: ARTHUR },
        'a shorter token with the same claims works'
      )
    }
  )
})

t.test('POST /auth/verify', async (t) => {
  t.test('row 56: replies 200 with the verified user and calls the hooks', async (t) => {
    const app = await buildApp(t)
    const user = await app.create()
    const token = await verifyToken(app)
    t.same(app.events.at(-1), { name: 'onAfterRequestVerify', user, token, email: ARTHUR })
    const reply = await verify(app, token)
    t.equal(reply.statusCode, 200)
    t.same(reply.json<object>(), { ...user, is_verified: true })
    t.same(app.events.at(-1), { name: 'onAfterVerify', user: { ...user, is_verified: true } })
    t.equal(app.events.filter(({ name }) => name === 'onAfterUpdate' || name === 'onBeforeUpdate').length, 0)
    t.match(await app.app.users.get(user.id), { is_verified: true })
  })

  t.test('row 56: an inactive user cannot verify, even if deactivated directly in the store', async (t) => {
    const adapter = memory()
    const app = await buildApp(t, { adapter })
    const { id } = await app.create()
    const token = await verifyToken(app)
    await adapter.update(storedModel('user'), { id }, { is_active: false })
    badVerify(t, await verify(app, token))
    t.match(await app.app.users.get(id), { is_active: false, is_verified: false })
  })

  t.test(
    'VER-02, REG-04: a token is invalid after a change of password, e-mail, status or sessions, and after its use',
    async (t) => {
      const updateTwice = async (app: TestApp, id: string, ...changes: [object, object]): Promise<void> => {
        for (const change of changes) await app.app.users.update(id, change)
      }
      const changes: Record<string, (app: TestApp, id: string) => Promise<unknown>> = {
        'the user changes the password': async (app) =>
          app.send('PATCH', '/users/me', { password: 'guinevere-3' }, await app.bearer(ARTHUR)),
        'a superuser changes the password': (app, id) =>
          app.app.users.update(id, { password: 'guinevere-3' }, { by: 'superuser' }),
        'a reset, then is_verified is cleared': async (app, id) => {
          await reset(app, await resetToken(app))
          await app.app.users.update(id, { is_verified: false })
        },
        'deactivation and reactivation': (app, id) => updateTwice(app, id, { is_active: false }, { is_active: true }),
        'the e-mail changes, and changes back': (app, id) =>
          updateTwice(app, id, { email: 'new@camelot.bt' }, { email: ARTHUR }),
        'another token is used, then is_verified is cleared': async (app, id) => {
          await verify(app, await verifyToken(app))
          await app.app.users.update(id, { is_verified: false })
        },
        endSessions: (app, id) => app.app.users.endSessions(id)
      }
      for (const [name, act] of Object.entries(changes)) {
        const app = await buildApp(t)
        const { id } = await app.create()
        const token = await verifyToken(app)
        await act(app, String(id))
        badVerify(t, await verify(app, token), name)
        t.match(await app.app.users.get(id), { is_verified: false }, name)
      }
      const app = await buildApp(t)
      const { id } = await app.create()
      const token = await verifyToken(app)
      t.equal((await verify(app, token)).statusCode, 200)
      for (const change of [{ is_verified: false }, { email: 'new@camelot.bt' }, { email: ARTHUR }]) {
        await app.app.users.update(id, change)
        badVerify(t, await verify(app, token), `a used token after ${JSON.stringify(change)}`)
      }
    }
  )

  t.test(
    'row 60: emits onAfterVerify with the request after the write; an error of the hook keeps the verification',
    async (t) => {
      const log: unknown[] = []
      const app = await buildApp(t, {
        hooks: {
          async onAfterVerify ({ user }, { request, reply }) {
            log.push([user.email, user.is_verified, request?.routeOptions.url, reply === null])
            throw new Error('mail')
          }
        }
      })
      const { id } = await app.create()
      assertErrorReply(t, await verify(app, await verifyToken(app)), 500, 'INTERNAL_ERROR', 'Internal Server Error')
      t.same(log, [[ARTHUR, true, '/auth/verify', false]])
      t.match(await app.app.users.get(id), { is_verified: true })
    }
  )

  t.test('row 57: a second use is refused with VERIFY_USER_ALREADY_VERIFIED', async (t) => {
    const app = await buildApp(t)
    const { id } = await app.create()
    const [token, other] = [await verifyToken(app), await verifyToken(app)]
    t.equal((await verify(app, token)).statusCode, 200)
    for (const again of [token, other]) assertErrorReply(t, await verify(app, again), 400, 'VERIFY_USER_ALREADY_VERIFIED')
    const late = await app.create({ email: LANCELOT })
    const lateToken = await verifyToken(app, LANCELOT)
    await app.app.users.update(late.id, { is_verified: true })
    assertErrorReply(t, await verify(app, lateToken), 400, 'VERIFY_USER_ALREADY_VERIFIED')
    t.match(await app.app.users.get(id), { is_verified: true })
  })

  t.test('row 57, RACE-01: of parallel uses one verifies the user and emits the event', async (t) => {
    const app = await buildApp(t, { adapter: withSlowReads(memory(), 2) })
    await app.create()
    const token = await verifyToken(app)
    const replies = await Promise.all(Array.from({ length: 20 }, () => verify(app, token)))
    t.equal(replies.filter(({ statusCode }) => statusCode === 200).length, 1)
    for (const reply of replies) if (reply.statusCode !== 200) assertErrorReply(t, reply, 400, 'VERIFY_USER_ALREADY_VERIFIED')
    t.equal(app.events.filter(({ name }) => name === 'onAfterVerify').length, 1)
  })

  t.test('row 58, VER-02: a token is valid only for the user and the e-mail it was created for', async (t) => {
    const app = await buildApp(t)
    const { id } = await app.create()
    const token = await verifyToken(app)
    await app.app.users.update(id, { email: 'new@camelot.bt' })
    badVerify(t, await verify(app, token), 'the e-mail changed')
    const other = await app.create()
    badVerify(t, await verify(app, token), 'another user has the e-mail now')
    t.match(await app.app.users.get(other.id), { is_verified: false })
    await app.app.users.delete(other.id)
    await app.app.users.update(id, { email: ARTHUR })
    badVerify(t, await verify(app, token), 'the same user has the same e-mail again')
    const gone = await app.create({ email: LANCELOT })
    const ofGone = await verifyToken(app, LANCELOT)
    await app.app.users.delete(gone.id)
    badVerify(t, await verify(app, ofGone), 'the user was deleted')
    await app.create({ email: LANCELOT })
    badVerify(t, await verify(app, ofGone), 'another user registered with the e-mail')
  })

  t.test('VER-02: a user whose e-mail changes or who is deleted between read and write is not verified', async (t) => {
    const changes: [object[], (adapter: DatabaseAdapter, id: User['id']) => Promise<number>][] = [
      [
        [{ email: 'new@camelot.bt', is_verified: false }],
        (adapter, id) => adapter.update(storedModel('user'), { id }, { email: 'new@camelot.bt' })
      ],
      [[], (adapter, id) => adapter.delete(storedModel('user'), { id })]
    ]
    for (const [left, change] of changes) {
      const adapter = memory()
      const changing = withSlowReads(adapter, 0)
      const { findOne } = changing
      let armed = false
      changing.findOne = async (model, where) => {
        const row = await findOne(model, where)
        if (armed && row !== null) {
          armed = false
          t.equal(await change(adapter, row['id'] as User['id']), 1)
        }
        return row
      }
      const app = await buildApp(t, { adapter: changing })
      await app.create()
      const token = await verifyToken(app)
      armed = true
      badVerify(t, await verify(app, token))
      t.match(await storedRows(adapter, 'user'), left)
      t.equal((await storedRows(adapter, 'user')).length, left.length)
    }
  })

  t.test('row 57: an expired, modified or malformed token is refused', async (t) => {
    let now = 1_800_000_000_000
    const app = await buildApp(t, { clock: () => now })
    const { id } = await app.create()
    const token = await verifyToken(app)
    const [header, payload, signature] = token.split('.') as [string, string, string]
    const flip = (text: string): string => `${text.slice(0, 5)}${text[5] === 'A' ? 'B' : 'A'}${text.slice(6)}`
    for (const one of [
      `${flip(header)}.${payload}.${signature}`,
      `${header}.${flip(payload)}.${signature}`,
      `${header}.${payload}.${flip(signature)}`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      'nonsense',
      ' '
    ]) {
      badVerify(t, await verify(app, one), one.slice(0, 40))
    }
    for (const one of ['', null, 1, [], {}, 'x'.repeat(8193)]) {
      assertValidationError(t, await verify(app, one), ['/token'], JSON.stringify(one).slice(0, 20))
    }
    now += 3_600_000
    badVerify(t, await verify(app, token), 'expired')
    t.match(await app.app.users.get(id), { is_verified: false })
    now -= 1
    t.equal((await verify(app, token)).statusCode, 200)
  })

  t.test('CSRF-07: a GET request cannot use a token', async (t) => {
    const app = await buildApp(t)
    const { id } = await app.create()
    const token = await verifyToken(app)
    for (const method of ['GET', 'HEAD'] as const) {
      t.equal((await app.send(method, `/auth/verify?token=${token}`)).statusCode, 404)
    }
    t.match(await app.app.users.get(id), { is_verified: false })
  })

  t.test('app.users.requestVerify and app.users.verify work without a request', async (t) => {
    const app = await buildApp(t)
    await app.create()
    await app.app.users.requestVerify(ARTHUR)
    t.match(await app.app.users.verify(await app.tokenOf('onAfterRequestVerify')), { is_verified: true })
    await t.rejects(app.app.users.verify('x'), { code: 'FST_USERS_VERIFY_USER_BAD_TOKEN' })
  })
})

t.test(
  'CFG-03, rows 53, 57, RST-06: a token of one purpose is refused for every other one, even with the same secret',
  async (t) => {
    for (const tokens of [{}, { reset: { secret: RESET_SECRET }, verify: { secret: RESET_SECRET } }]) {
      const app = await buildApp(t, { tokens })
      const { id } = await app.create()
      const ofReset = await resetToken(app)
      const ofVerify = await verifyToken(app)
      const { authorization } = await app.bearer(ARTHUR)
      const { cookie } = await app.cookie(ARTHUR)
      const ofSession = [authorization.slice('Bearer '.length), cookie.slice(cookie.indexOf('=') + 1)]
      for (const token of [ofVerify, ...ofSession]) badReset(t, await reset(app, token))
      for (const token of [ofReset, ...ofSession]) badVerify(t, await verify(app, token))
      for (const token of [ofReset, ofVerify]) {
        t.equal((await app.send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })).statusCode, 401)
        t.equal(
          (await app.send('GET', '/users/me', undefined, { cookie: `__Host-users-cookie=${token}` })).statusCode,
          401
        )
      }
      t.match(await app.app.users.get(id), { is_verified: false })
      t.equal((await app.login('jwt', ARTHUR)).statusCode, 200)
    }
  }
)

t.test('row 59: the tokens option', async (t) => {
  const options = {
    tokens: {
      reset: { secret: RESET_SECRET, lifetimeSeconds: 60, audience: 'camelot:reset' },
      verify: { secret: VERIFY_SECRET, lifetimeSeconds: 120, audience: 'camelot:verify' }
    }
  }

  t.test('row 59: sets secrets, lifetimes and audiences', async (t) => {
    const app = await buildApp(t, options)
    const { id } = await app.create()
    for (const [token, secret, aud, seconds] of [
      [await resetToken(app), RESET_SECRET, 'camelot:reset', 60],
      [await verifyToken(app), VERIFY_SECRET, 'camelot:verify', 120]
    ] as const) {
      const [header, payload, signature] = token.split('.')
      t.equal(createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url'), signature)
      const claims = decode(token)
      t.match(claims, { sub: id, aud, iat: Number, jti: String })
      t.equal(claims.exp - claims.iat, seconds)
    }
    const [first, second] = [await resetToken(app), await verifyToken(app)]
    app.tick(61)
    badReset(t, await reset(app, first))
    t.equal((await verify(app, second)).statusCode, 200)
    await app.app.users.update(id, { is_verified: false })
    const [third, late] = [await verifyToken(app), await resetToken(app)]
    app.tick(59)
    t.equal((await reset(app, late)).statusCode, 200)
    await app.app.users.update(id, { is_verified: false })
    const fourth = await verifyToken(app)
    app.tick(121)
    for (const token of [third, fourth]) badVerify(t, await verify(app, token))
  })

  t.test('row 59: defaults to one hour and to audiences with the name of the registration', async (t) => {
    const app = await buildApp(t, { name: 'staff' })
    await app.create()
    for (const [token, aud] of [
      [await resetToken(app), 'staff:reset'],
      [await verifyToken(app), 'staff:verify']
    ] as const) {
      const claims = decode(token)
      t.match(claims, { aud })
      t.equal(claims.exp - claims.iat, 3600)
    }
  })

  t.test(
    'RST-03: a token contains the user id, the purpose, the expiry and a keyed fingerprint, but no hash and no stamp',
    async (t) => {
      const adapter = memory()
      const app = await buildApp(t, { adapter })
      await app.create()
      const claims = decode(await resetToken(app))
      t.same(Object.keys(claims).sort(), ['aud', 'exp', 'iat', 'jti', 'password_fgpt', 'sub'])
      t.match(claims['password_fgpt'], /^[A-Za-z0-9_-]{43}$/)
      const [row] = await storedRows(adapter, 'user')
      for (const value of [row?.['hashed_password'], row?.['session_stamp'], ARTHUR]) {
        t.notOk(JSON.stringify(claims).includes(String(value)))
      }
      t.same(Object.keys(decode(await verifyToken(app))).sort(), ['aud', 'email', 'exp', 'fgpt', 'iat', 'jti', 'sub'])
      t.match(decode(await verifyToken(app))['fgpt'], /^[A-Za-z0-9_-]{43}$/)
    }
  )

  t.test('row 53, row 57: a token with wrong claims is refused even if its signature is valid', async (t) => {
    const app = await buildApp(t, options)
    const { id } = await app.create()
    const lancelot = await app.create({ email: LANCELOT })
    const goodReset = decode(await resetToken(app))
    const goodVerify = decode(await verifyToken(app))
    const without = (claims: Claims, name: string): object =>
      Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name))
    const common = (claims: Claims): object[] => [
      ...['sub', 'aud', 'exp', 'iat', 'jti'].map((name) => without(claims, name)),
      { ...claims, sub: lancelot.id },
      { ...claims, sub: '' },
      { ...claims, sub: 1 },
      { ...claims, sub: [id] },
      { ...claims, sub: 'nonsense' },
      { ...claims, sub: '05fff8ce-3a06-48f2-9c44-a16751012464' },
      { ...claims, sub: String(id).toUpperCase() },
      { ...claims, sub: ` ${String(id)}` },
      { ...claims, aud: 'users:reset' },
      { ...claims, aud: ['camelot:other'] },
      { ...claims, aud: '' },
      { ...claims, aud: [] },
      { ...claims, aud: [1, claims.aud] },
      { ...claims, exp: claims.iat - 1 },
      { ...claims, exp: 0 },
      { ...claims, exp: String(claims.exp) },
      { ...claims, exp: null },
      { ...claims, iat: claims.iat + 1000 },
      { ...claims, nbf: claims.iat + 1000 },
      { ...claims, jti: 1 }
    ]
    const resets = [
      ...common(goodReset),
      without(goodReset, 'password_fgpt'),
      { ...goodReset, password_fgpt: '' },
      { ...goodReset, password_fgpt: 'A'.repeat(43) },
      { ...goodReset, password_fgpt: null },
      { ...goodReset, password_fgpt: '$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAA' }
    ]
    const verifies = [
      ...common(goodVerify),
      without(goodVerify, 'email'),
      without(goodVerify, 'fgpt'),
      { ...goodVerify, fgpt: null },
      { ...goodVerify, fgpt: goodReset['password_fgpt'] },
      { ...goodVerify, fgpt: 'A'.repeat(43) },
      { ...goodVerify, email: '' },
      { ...goodVerify, email: LANCELOT },
      { ...goodVerify, email: [ARTHUR] },
      { ...goodVerify, email: null },
      { ...goodVerify, new_email: 'evil@camelot.bt' },
      { ...goodVerify, new_email: 'evil@camelot.bt', fgpt: 'A'.repeat(43) },
      { ...goodVerify, new_email: null },
      { ...goodVerify, new_email: ['x'] }
    ]
    for (const claims of resets) {
      badReset(t, await reset(app, sign(RESET_SECRET, claims)), JSON.stringify(claims).slice(0, 200))
    }
    for (const claims of verifies) {
      badVerify(t, await verify(app, sign(VERIFY_SECRET, claims)), JSON.stringify(claims).slice(0, 200))
    }
    badReset(t, await reset(app, sign(VERIFY_SECRET, goodReset)), 'another secret')
    badReset(t, await reset(app, sign(RESET_SECRET, goodReset, { alg: 'none', typ: 'JWT' })), 'alg none')
    badReset(t, await reset(app, sign(RESET_SECRET, goodReset, { alg: 'HS512', typ: 'JWT' })), 'another algorithm')
    badReset(
      t,
      await reset(app, sign(RESET_SECRET, goodReset, { alg: 'HS256', typ: 'JWT', kid: 'x' })),
      'an unknown kid'
    )
    t.equal(
      (await verify(app, sign(VERIFY_SECRET, { ...goodVerify, extra: true }))).statusCode,
      200,
      'an additional claim is accepted, so the refusals above are due to the wrong claims'
    )
    const nextReset = decode(await resetToken(app))
    t.equal((await reset(app, sign(RESET_SECRET, { ...nextReset, aud: ['other', 'camelot:reset'] }))).statusCode, 200)
  })

  t.test('row 59, CFG-01: refuses weak secrets, wrong lifetimes and unknown options', async (t) => {
    for (const purpose of ['reset', 'verify']) {
      for (const secret of ['', 'short', 'x'.repeat(64), 'SECRET'.repeat(8)]) {
        await t.rejects(buildApp(t, { tokens: { [purpose]: { secret } } }), { code: 'FST_USERS_INVALID_SECRET' })
      }
      for (const lifetimeSeconds of [0, -1, 1.5, NaN, Infinity, '60' as never, null as never]) {
        await t.rejects(buildApp(t, { tokens: { [purpose]: { lifetimeSeconds } } }), {
          code: 'FST_USERS_INVALID_OPTION'
        })
      }
      await t.rejects(buildApp(t, { tokens: { [purpose]: { lifetime: 60 } as never } }), {
        code: 'FST_USERS_UNKNOWN_OPTION'
      })
    }
  })
})

t.test('RST-14: the hooks receive the user and the token, and no header of the request', async (t) => {
  const app = await buildApp(t, { publicUrl: 'https://app.example.com' })
  const user = await app.create()
  const evil = {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'http',
    forwarded: 'host=evil.example',
    origin: 'https://evil.example',
    referer: 'https://evil.example/'
  }
  await app.send('POST', '/auth/forgot-password', { email: ARTHUR }, evil)
  const token = await app.tokenOf('onAfterForgotPassword')
  t.same(app.events.at(-1), { name: 'onAfterForgotPassword', user, token })
  await app.send('POST', '/auth/request-verify-token', { email: ARTHUR }, evil)
  const verifyToken = await app.tokenOf('onAfterRequestVerify')
  t.same(app.events.at(-1), { name: 'onAfterRequestVerify', user, token: verifyToken, email: ARTHUR })
  for (const one of [token, verifyToken]) {
    t.notMatch(Buffer.from(one.split('.')[1] ?? '', 'base64url').toString(), /evil|http/)
  }
})

t.test('RST-14: GET and HEAD accept no token, and POST accepts none in the URL', async (t) => {
  const adapter = memory()
  const app = await buildApp(t, { adapter })
  await app.create()
  const [forReset, forVerify] = [await resetToken(app), await verifyToken(app)]
  const before = await storedRows(adapter, 'user')
  const urls = [...new Set(app.routes.map(({ url }) => url.replace(':id', 'x')))]
  t.ok(urls.includes('/auth/reset-password') && urls.includes('/auth/verify'))
  for (const token of [forReset, forVerify]) {
    for (const url of urls) {
      for (const target of [`${url}?token=${token}&password=${NEW_PASSWORD}`, `${url}/${token}`]) {
        for (const method of ['GET', 'HEAD'] as const) {
          t.ok((await app.send(method, target)).statusCode >= 400, `${method} ${target.slice(0, 40)}`)
        }
      }
    }
    for (const url of ['/auth/reset-password', '/auth/verify']) {
      assertValidationError(t, await app.send('POST', `${url}?token=${token}`, { password: NEW_PASSWORD }), ['/token'])
      t.equal((await app.send('POST', `${url}/${token}`, { password: NEW_PASSWORD })).statusCode, 404)
    }
  }
  t.same(await storedRows(adapter, 'user'), before)
  t.equal((await verify(app, forVerify)).statusCode, 200)
  badReset(t, await reset(app, forReset), 'the verification invalidated it')
  t.equal((await reset(app, await resetToken(app))).statusCode, 200)
})
