import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import {
  authenticate,
  currentUser,
  FST_USERS_INVALID_PASSWORD,
  integerId,
  objectIdId,
  userSchemas,
  uuidId,
  type IdKind,
  type User,
  type UserChanges,
  type UserSchemas,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { withSlowReads } from '../lib/testing/index.js'
import {
  ARTHUR,
  addRoutes,
  buildApp,
  cookieOf,
  assertValidationError,
  PASSWORD,
  assertErrorReply,
  storedModel,
  storedRows,
  comparableReply,
  type TestApp
} from './helpers/build-app.js'

const LANCELOT = 'lancelot@camelot.bt'
const ADMIN = 'merlin@camelot.bt'
const UNKNOWN_ID = '05fff8ce-3a06-48f2-9c44-a16751012464'
type Headers = Record<string, string>

interface AppWithUsers extends TestApp {
  arthur: User
  lancelot: User
  merlin: User
  asArthur: Headers
  asMerlin: Headers
  row(email: string): Promise<Record<string, unknown> | undefined>
}

/** Builds an application with the verified users Arthur and Lancelot and the verified superuser Merlin. */
async function buildAppWithUsers (
  t: Test,
  options: Partial<UsersOptions> = {},
  extend = addRoutes
): Promise<AppWithUsers> {
  const adapter = options.adapter ?? memory()
  const made = await buildApp(t, { adapter, ...options }, extend)
  const arthur = await made.create({ is_verified: true })
  const lancelot = await made.create({ email: LANCELOT, is_verified: true })
  const merlin = await made.create({ email: ADMIN, is_verified: true, is_superuser: true })
  const [asArthur, asMerlin] = [await made.bearer(ARTHUR), await made.bearer(ADMIN)]
  made.events.length = 0
  return {
    ...made,
    arthur,
    lancelot,
    merlin,
    asArthur,
    asMerlin,
    row: async (email) => (await storedRows(adapter, 'user')).find((one) => one['email'] === email)
  }
}

t.test('rows 37, 43, USR-01: the status of every route for every kind of user', async (t) => {
  const personas: Record<string, { is_active?: boolean; is_verified?: boolean; is_superuser?: boolean } | null> = {
    anonymous: null,
    inactive: { is_active: false },
    unverified: {},
    verified: { is_verified: true },
    'inactive superuser': { is_active: false, is_verified: true, is_superuser: true },
    'unverified superuser': { is_superuser: true },
    'verified superuser': { is_verified: true, is_superuser: true }
  }
  const routes = [
    ['GET', 'me'],
    ['PATCH', 'me'],
    ['DELETE', 'me'],
    ['GET', 'own'],
    ['PATCH', 'own'],
    ['GET', 'other'],
    ['PATCH', 'other'],
    ['GET', 'unknown'],
    ['PATCH', 'unknown'],
    ['DELETE', 'unknown'],
    ['GET', 'malformed'],
    ['DELETE', 'malformed'],
    ['DELETE', 'other'],
    ['DELETE', 'own']
  ] as const

  /** Returns the expected status. */
  function expected (persona: string, method: string, target: string, required: boolean): number {
    const flags = personas[persona]
    if (flags == null || flags.is_active === false) return 401
    if (required && flags.is_verified !== true) return 403
    if (target === 'me' && method !== 'DELETE') return 200
    if (flags.is_superuser !== true) return 403
    if (['unknown', 'malformed', 'me'].includes(target)) return 404
    return method === 'DELETE' ? 204 : 200
  }

  for (const requireVerification of [false, true]) {
    for (const [persona, flags] of Object.entries(personas)) {
      t.test(`${persona}${requireVerification ? ', verification required' : ''}`, async (t) => {
        const adapter = memory()
        const { create, bearer, cookie, send } = await buildApp(t, { adapter, requireVerification })
        // a superuser who stays, so that the others can be deleted
        await create({ email: 'lady.of.the.lake@camelot.bt', is_superuser: true })
        for (const transport of ['bearer', 'cookie'] as const) {
          const email = `self-${transport}@camelot.bt`
          const self = await create({ email, is_verified: true })
          const other = await create({ email: `other-${transport}@camelot.bt` })
          const headers: Headers =
            flags === null ? {} : transport === 'bearer' ? await bearer(email) : await cookie(email)
          // changed directly in the store, because app.users.update would end the session; the flag alone must refuse
          // access
          if (flags !== null) await adapter.update(storedModel('user'), { email }, { is_verified: false, ...flags })
          const urls: Record<string, string> = {
            me: 'me',
            own: String(self.id),
            other: String(other.id),
            unknown: UNKNOWN_ID,
            malformed: 'nonsense'
          }
          for (const [method, target] of routes) {
            const reply = await send(method, `/users/${urls[target]}`, method === 'PATCH' ? {} : undefined, headers)
            t.equal(
              reply.statusCode,
              expected(persona, method, target, requireVerification),
              `${method} ${target} by ${transport}`
            )
            if (reply.statusCode === 401) {
              assertErrorReply(t, reply, 401, 'UNAUTHENTICATED', 'Unauthorized')
              t.equal(reply.headers['www-authenticate'], 'Bearer')
            }
            if (reply.statusCode === 403) assertErrorReply(t, reply, 403, 'FORBIDDEN', 'Forbidden')
            if (reply.statusCode === 404) assertErrorReply(t, reply, 404, 'NOT_FOUND', 'Not Found')
          }
        }
      })
    }
  }
})

t.test('LOG-04, USR-10: a flag changed directly in the store applies to the next request', async (t) => {
  const adapter = memory()
  const { asArthur, asMerlin, send, arthur } = await buildAppWithUsers(t, { adapter })
  const set = (email: string, changes: Record<string, boolean>) =>
    adapter.update(storedModel('user'), { email }, changes)
  await set(ADMIN, { is_superuser: false })
  t.equal((await send('GET', `/users/${String(arthur.id)}`, undefined, asMerlin)).statusCode, 403)
  await set(ARTHUR, { is_active: false })
  t.equal((await send('GET', '/users/me', undefined, asArthur)).statusCode, 401)
  await set(ARTHUR, { is_active: true, is_superuser: true })
  t.equal((await send('GET', `/users/${String(arthur.id)}`, undefined, asArthur)).statusCode, 200)
})

t.test('USR-04: a user without superuser rights cannot find out which ids exist', async (t) => {
  const { asArthur, send, lancelot } = await buildAppWithUsers(t)
  for (const headers of [asArthur, {}]) {
    for (const method of ['GET', 'PATCH', 'DELETE'] as const) {
      const replies = await Promise.all(
        [String(lancelot.id), UNKNOWN_ID, 'nonsense'].map((id) =>
          send(method, `/users/${id}`, method === 'PATCH' ? { email: 1 } : undefined, headers)
        )
      )
      for (const reply of replies) t.same(comparableReply(reply), comparableReply(replies[0] as typeof reply), method)
      t.equal(replies[0]?.statusCode, headers === asArthur ? 403 : 401)
    }
  }
})

t.test(
  'row 47, USR-01: authentication is checked before the id, the id before the body, the body before the rules',
  async (t) => {
    const { app, arthur, asArthur, asMerlin } = await buildAppWithUsers(t, { requireVerification: true })
    const bodies: [payload: string, type: string, status: number][] = [
      ['{', 'application/json', 400],
      ['', 'application/json', 400],
      ['[]', 'application/json', 400],
      ['{"email":1}', 'application/json', 400],
      ['{"password":"short"}', 'application/json', 400],
      ['x=1', 'application/x-www-form-urlencoded', 415],
      [`{"x":"${'x'.repeat(20_000)}"}`, 'application/json', 413],
      ['{"__proto__":1}', 'application/json', 400]
    ]
    const targets = [
      ['me', {}, 401],
      [arthur.id, {}, 401],
      ['nonsense', {}, 401],
      [UNKNOWN_ID, {}, 401],
      [arthur.id, asArthur, 403],
      ['nonsense', asArthur, 403],
      [UNKNOWN_ID, asMerlin, 404],
      ['nonsense', asMerlin, 404]
    ] as const
    for (const [payload, type, status] of bodies) {
      const patch = (id: unknown, headers: Headers) =>
        app.inject({
          method: 'PATCH',
          url: `/users/${String(id)}`,
          headers: { ...headers, 'content-type': type },
          payload
        })
      for (const [id, headers, expected] of targets) {
        t.equal((await patch(id, headers)).statusCode, expected, `${payload.slice(0, 20)} to ${String(id)}`)
      }
      t.equal((await patch('me', asArthur)).statusCode, status, `${payload.slice(0, 20)} to me`)
      t.equal((await patch(arthur.id, asMerlin)).statusCode, status, `${payload.slice(0, 20)} to an id`)
    }
    assertValidationError(
      t,
      await app.inject({
        method: 'PATCH',
        url: '/users/me',
        headers: asArthur,
        payload: { email: LANCELOT, password: 'short', is_active: 1 }
      }),
      ['/is_active']
    )
  }
)

t.test('row 46, USR-05: a malformed id is 404 for a superuser', async (t) => {
  const { app, asMerlin, arthur } = await buildAppWithUsers(t)
  const malformed = [
    'nonsense',
    '0',
    '1',
    '-1',
    '1e0',
    '1%20or%201=1',
    "'%20or%20''='",
    '%00',
    `${String(arthur.id)}%00`,
    `${String(arthur.id)}%20`,
    `%20${String(arthur.id)}`,
    `${String(arthur.id)}x`,
    String(arthur.id).slice(0, -1),
    `%7B${String(arthur.id)}`,
    `${String(arthur.id)}%7D`,
    String(arthur.id).replace('-', '--'),
    String(arthur.id).replace('-', '_'),
    '%2e%2e',
    '..%2fme',
    '%2e%2e%2fme',
    '%2fusers%2fme',
    'me%2f',
    'me%00',
    '%6De%20',
    'ME',
    '%F0%9F%91%91',
    '%EF%BC%91',
    '$ne',
    '%5Bobject%20Object%5D',
    'null',
    'undefined',
    'true',
    '*',
    '%25',
    '%252e',
    'x'.repeat(100)
  ]
  for (const id of malformed) {
    for (const method of ['GET', 'PATCH', 'DELETE'] as const) {
      const reply = await app.inject({
        method,
        url: `/users/${id}`,
        headers: asMerlin,
        ...(method === 'PATCH' ? { payload: { email: 'hacked@camelot.bt' } } : {})
      })
      t.equal(reply.statusCode, 404, `${method} ${id.slice(0, 50)}`)
    }
  }
  const long = await app.inject({ method: 'GET', url: `/users/${'x'.repeat(10_000)}`, headers: asMerlin })
  t.equal(long.statusCode, 414, "Fastify's router refuses a longer path segment for any user")
  for (const [url, status] of [
    ['/users/../users/me', 200],
    ['/users//me', 404],
    ['/users/', 404],
    ['/users', 404],
    ['/users/me/', 404],
    ['/users/%zz', 400]
  ] as const) {
    t.equal((await app.inject({ method: 'GET', url, headers: asMerlin })).statusCode, status, url)
  }
})

t.test('row 49: each kind of id works from registration to deletion', async (t) => {
  let made = 0
  const slugId: IdKind<string> = {
    name: 'slug',
    schema: Type.String({ pattern: '^knight-[0-9]+$' }),
    storage: 'text',
    maxLength: 20,
    parse: (text) => (/^knight-[1-9][0-9]*$/.test(text) ? text : null),
    generate: () => `knight-${++made}`
  }
  const kinds: [id: IdKind, form: RegExp, others: (id: string) => string[], malformed: string[]][] = [
    [
      uuidId(),
      /^[0-9a-f-]{36}$/,
      (id) => [id.toUpperCase(), id.replaceAll('-', ''), `%7B${id}%7D`, `urn:uuid:${id}`],
      ['1', 'x', UNKNOWN_ID]
    ],
    [
      integerId(),
      /^\d+$/,
      () => [],
      [
        '01',
        '+1',
        '-1',
        '1.0',
        '1e0',
        '%201',
        '1%20',
        '1_0',
        '0x1',
        '%D9%A1',
        '2147483648',
        '99999999999999999999',
        '',
        'NaN',
        'Infinity'
      ]
    ],
    [objectIdId(), /^[0-9a-f]{24}$/, (id) => [id.toUpperCase()], ['1', 'x'.repeat(24), '0'.repeat(24), '0'.repeat(23)]],
    [slugId, /^knight-\d+$/, () => [], ['knight-0', 'KNIGHT-1', 'knight-99', 'knight-01']]
  ]
  for (const [id, form, others, malformed] of kinds) {
    t.test(id.name, async (t) => {
      const { register, create, bearer, cookie, send, login, tokenOf, app } = await buildApp(t, {
        schemas: userSchemas({}, { id }) as unknown as UserSchemas
      })
      const user = await register()
      t.match(String(user.id), form)
      t.type(user.id, id.storage === 'integer' ? 'number' : 'string')
      const second = await register({ email: LANCELOT })
      t.not(second.id, user.id)
      for (const headers of [await bearer(ARTHUR), await cookie(ARTHUR)] as Headers[]) {
        t.same((await send('GET', '/users/me', undefined, headers)).json<object>(), user)
      }
      await create({ email: ADMIN, is_superuser: true })
      const admin = await bearer(ADMIN)
      for (const text of [String(user.id), ...others(String(user.id))]) {
        t.same((await send('GET', `/users/${text}`, undefined, admin)).json<object>(), user, text)
      }
      for (const text of malformed) {
        t.equal((await send('GET', `/users/${text}`, undefined, admin)).statusCode, 404, text)
      }
      t.same((await send('PATCH', `/users/${String(user.id)}`, { is_superuser: true }, admin)).json<object>(), {
        ...user,
        is_superuser: true
      })
      await send('POST', '/auth/request-verify-token', { email: ARTHUR })
      t.match((await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })).json<object>(), {
        id: user.id,
        is_verified: true
      })
      await send('POST', '/auth/forgot-password', { email: ARTHUR })
      t.equal(
        (
          await send('POST', '/auth/reset-password', {
            token: await tokenOf('onAfterForgotPassword'),
            password: 'guinevere-2'
          })
        ).statusCode,
        200
      )
      const headers = await bearer(ARTHUR, 'guinevere-2')
      t.equal((await send('DELETE', `/users/${String(user.id)}`, undefined, admin)).statusCode, 204)
      t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
      t.equal((await send('GET', `/users/${String(user.id)}`, undefined, admin)).statusCode, 404)
      t.equal((await login('jwt', LANCELOT)).statusCode, 200)
      t.equal(await app.users.get(user.id), null)
    })
  }
})

t.test('GET', async (t) => {
  t.test('rows 37, 43, USR-03: replies with the user as registered, without hash and stamp', async (t) => {
    const { arthur, asArthur, asMerlin, send, row } = await buildAppWithUsers(t)
    const stored = await row(ARTHUR)
    for (const [url, headers] of [
      ['/users/me', asArthur],
      [`/users/${String(arthur.id)}`, asMerlin]
    ] as const) {
      const reply = await send('GET', url, undefined, headers)
      t.equal(reply.statusCode, 200)
      t.same(reply.json<object>(), arthur)
      t.same(Object.keys(reply.json<object>()), ['id', 'email', 'is_active', 'is_superuser', 'is_verified'])
      t.notOk(
        reply.body.includes(String(stored?.['hashed_password'])) ||
          reply.body.includes(String(stored?.['session_stamp']))
      )
      t.equal(reply.headers['cache-control'], 'no-store')
      t.equal((await send('HEAD', url, undefined, headers)).statusCode, 404)
    }
  })
})

t.test('PATCH /users/me', async (t) => {
  t.test('row 38: an empty body replies 200 and calls the hooks', async (t) => {
    const { arthur, asArthur, send, events, row } = await buildAppWithUsers(t)
    const before = await row(ARTHUR)
    const reply = await send('PATCH', '/users/me', {}, asArthur)
    t.equal(reply.statusCode, 200)
    t.same(reply.json<object>(), arthur)
    t.same(events, [
      { name: 'onBeforeUpdate', user: arthur, changes: {} },
      { name: 'onAfterUpdate', user: arthur, changes: {} }
    ])
    t.same(await row(ARTHUR), before)
  })

  t.test('row 38: changes only the given custom field', async (t) => {
    const schemas = userSchemas({ first_name: Type.Optional(Type.String()) }) as unknown as UserSchemas
    const { arthur, asArthur, send, events } = await buildAppWithUsers(t, { schemas })
    const reply = await send('PATCH', '/users/me', { first_name: 'Artus' }, asArthur)
    t.same(reply.json<object>(), { ...arthur, first_name: 'Artus' })
    t.same(events.at(-1), { name: 'onAfterUpdate', user: reply.json<object>(), changes: { first_name: 'Artus' } })
  })

  t.test('row 39, USR-02, USR-08: ignores flags, null flags and unknown keys', async (t) => {
    const { arthur, asArthur, send, events, row } = await buildAppWithUsers(t)
    const before = await row(ARTHUR)
    const extras = [
      { is_superuser: true },
      { is_active: false },
      { is_verified: false },
      { is_superuser: true, is_active: false, is_verified: false },
      { is_superuser: null, is_active: null, is_verified: null },
      { id: UNKNOWN_ID },
      { hashed_password: 'x' },
      { session_stamp: 'x' },
      { oauth_accounts: [] },
      { created_at: 0 },
      { user: { is_superuser: true } },
      { password: null },
      { email: ARTHUR },
      { current_password: 'x' }
    ]
    for (const extra of extras) {
      events.length = 0
      const reply = await send('PATCH', '/users/me', extra, asArthur)
      t.equal(reply.statusCode, 200, JSON.stringify(extra))
      t.same(reply.json<object>(), arthur)
      t.same(await row(ARTHUR), before, 'the row is unchanged')
      t.same(
        events.map((event) => ('changes' in event ? event.changes : null)),
        'email' in extra ? [{ email: ARTHUR }, { email: ARTHUR }] : [{}, {}]
      )
    }
    for (const values of [{ is_superuser: 'true' }, { is_active: 0 }, { is_verified: {} }]) {
      assertValidationError(t, await send('PATCH', '/users/me', values, asArthur), [`/${Object.keys(values)[0]}`])
    }
  })

  t.test('row 40: a new e-mail makes the user unverified', async (t) => {
    const { arthur, asArthur, send, events, login } = await buildAppWithUsers(t)
    const reply = await send(
      'PATCH',
      '/users/me',
      { email: 'Arthur.Pendragon@CAMELOT.bt', is_verified: true },
      asArthur
    )
    t.equal(reply.statusCode, 200)
    t.same(reply.json<object>(), { ...arthur, email: 'Arthur.Pendragon@camelot.bt', is_verified: false })
    t.same(
      events.map(({ name }) => name),
      ['onBeforeUpdate', 'onAfterUpdate'],
      'no mail event is emitted'
    )
    t.same(events.at(-1), {
      name: 'onAfterUpdate',
      user: reply.json<object>(),
      changes: { email: 'Arthur.Pendragon@camelot.bt' }
    })
    t.equal((await login('jwt', ARTHUR)).statusCode, 400)
    t.equal((await login('jwt', 'arthur.pendragon@camelot.bt')).statusCode, 200)
  })

  t.test('row 40: a new e-mail locks the user out if verification is required', async (t) => {
    const { asArthur, send, login } = await buildAppWithUsers(t, { requireVerification: true })
    t.equal((await send('PATCH', '/users/me', { email: 'new@camelot.bt' }, asArthur)).statusCode, 200)
    assertErrorReply(t, await send('GET', '/users/me', undefined, asArthur), 401, 'UNAUTHENTICATED', 'Unauthorized')
    assertErrorReply(t, await login('jwt', 'new@camelot.bt'), 400, 'LOGIN_USER_NOT_VERIFIED')
  })

  t.test('row 41: the same e-mail in another case keeps the user verified', async (t) => {
    const { asArthur, send, login } = await buildAppWithUsers(t)
    for (const email of ['King.Arthur@camelot.bt', 'KING.ARTHUR@CAMELOT.bt', ARTHUR]) {
      t.match((await send('PATCH', '/users/me', { email }, asArthur)).json<object>(), {
        email: email.replace('CAMELOT', 'camelot'),
        is_verified: true
      })
      t.equal((await login('jwt', ARTHUR)).statusCode, 200)
    }
  })

  t.test('row 41: the e-mail of another user, in any case, is refused, and nothing is written', async (t) => {
    const { asArthur, asMerlin, arthur, send, events, row } = await buildAppWithUsers(t)
    const before = await row(ARTHUR)
    for (const email of [LANCELOT, 'LANCELOT@camelot.bt', 'Lancelot@CAMELOT.BT']) {
      assertErrorReply(
        t,
        await send('PATCH', '/users/me', { email, password: 'guinevere-2' }, asArthur),
        400,
        'UPDATE_USER_EMAIL_ALREADY_EXISTS',
        undefined,
        email
      )
      assertErrorReply(
        t,
        await send('PATCH', `/users/${String(arthur.id)}`, { email, is_superuser: true }, asMerlin),
        400,
        'UPDATE_USER_EMAIL_ALREADY_EXISTS',
        undefined,
        email
      )
    }
    t.same(await row(ARTHUR), before)
    t.same(events, [])
  })

  t.test('row 42: a new password replaces the old one; null keeps the old one', async (t) => {
    const { arthur, asArthur, bearer, send, events, login } = await buildAppWithUsers(t)
    t.equal((await send('PATCH', '/users/me', { password: null }, asArthur)).statusCode, 200)
    t.equal((await login('jwt', ARTHUR)).statusCode, 200)
    events.length = 0
    const reply = await send('PATCH', '/users/me', { password: 'guinevere-2' }, await bearer(ARTHUR))
    t.equal(reply.statusCode, 200)
    t.same(reply.json<object>(), arthur)
    t.same(
      events.slice(-1),
      [{ name: 'onAfterUpdate', user: arthur, changes: { password: '**********' } }],
      'the hook receives the password masked'
    )
    t.notMatch(JSON.stringify(events), /guinevere/)
    t.equal((await login('jwt', ARTHUR)).statusCode, 400)
    t.equal((await login('jwt', ARTHUR, 'guinevere-2')).statusCode, 200)
  })

  t.test('row 42, PW-07: a refused password prevents all other changes of the body', async (t) => {
    const asked: unknown[] = []
    const { arthur, asArthur, asMerlin, send, row, events } = await buildAppWithUsers(t, {
      validatePassword (password, user) {
        asked.push([password, user])
        if (password.length < 8) throw FST_USERS_INVALID_PASSWORD('too short')
      }
    })
    const before = await row(ARTHUR)
    const detail = { code: 'UPDATE_USER_INVALID_PASSWORD', reason: 'too short', reasons: [{ code: 'REFUSED', message: 'too short' }] }
    for (const password of ['', 'short']) {
      assertErrorReply(
        t,
        await send('PATCH', '/users/me', { email: 'new@camelot.bt', password }, asArthur),
        400,
        'UPDATE_USER_INVALID_PASSWORD',
        detail
      )
      assertErrorReply(
        t,
        await send('PATCH', `/users/${String(arthur.id)}`, { is_superuser: true, password }, asMerlin),
        400,
        'UPDATE_USER_INVALID_PASSWORD',
        detail
      )
    }
    t.same(asked.at(-1), ['short', arthur], 'validatePassword receives the stored user')
    t.same(await row(ARTHUR), before)
    t.same(events, [])
    const plain = await buildAppWithUsers(t)
    for (const password of ['password1', ARTHUR, 'king.arthur', '1234567']) {
      t.match(
        (await plain.send('PATCH', '/users/me', { password }, plain.asArthur)).json<object>(),
        { code: 'FST_USERS_UPDATE_USER_INVALID_PASSWORD' },
        password
      )
    }
  })

  t.test('row 41: null and invalid e-mails are refused', async (t) => {
    const { asArthur, asMerlin, arthur, send } = await buildAppWithUsers(t)
    for (const [values, path] of [
      [{ email: null }, '/email'],
      [{ email: '' }, '/email'],
      [{ email: 'x' }, '/email'],
      [{ email: 'Arthur <a@camelot.bt>' }, '/email'],
      [{ email: [ARTHUR] }, '/email'],
      [{ password: 12345678 }, '/password'],
      [{ password: ['guinevere-2'] }, '/password'],
      [{ password: 'x'.repeat(1025) }, '/password']
    ] as const) {
      assertValidationError(t, await send('PATCH', '/users/me', values, asArthur), [path], JSON.stringify(values).slice(0, 40))
      assertValidationError(t, await send('PATCH', `/users/${String(arthur.id)}`, values, asMerlin), [path])
    }
  })
})

t.test('PATCH /users/{id}', async (t) => {
  t.test('row 44: a superuser can set every flag', async (t) => {
    const { arthur, asMerlin, send, events, row } = await buildAppWithUsers(t)
    for (const flags of [
      { is_superuser: true },
      { is_verified: false },
      { is_active: false },
      { is_active: true, is_superuser: false, is_verified: true }
    ]) {
      const reply = await send('PATCH', `/users/${String(arthur.id)}`, flags, asMerlin)
      t.equal(reply.statusCode, 200)
      t.match(reply.json<object>(), flags)
      t.match(await row(ARTHUR), flags)
      t.same(events.at(-1), { name: 'onAfterUpdate', user: reply.json<object>(), changes: flags })
    }
  })

  t.test('row 44, USR-08: ignores null and unknown fields', async (t) => {
    const { arthur, asMerlin, send, row } = await buildAppWithUsers(t)
    const before = await row(ARTHUR)
    for (const values of [
      {},
      { is_active: null },
      { is_active: null, is_superuser: null, is_verified: null, password: null },
      { id: UNKNOWN_ID },
      { hashed_password: 'x', session_stamp: 'x' }
    ]) {
      const reply = await send('PATCH', `/users/${String(arthur.id)}`, values, asMerlin)
      t.equal(reply.statusCode, 200, JSON.stringify(values))
      t.same(reply.json<object>(), arthur)
      t.same(await row(ARTHUR), before)
    }
    t.match((await send('PATCH', `/users/${String(arthur.id)}`, { is_verified: false }, asMerlin)).json<object>(), {
      ...arthur,
      is_verified: false
    })
  })

  t.test(
    'row 44, VER-08: a new e-mail makes the user unverified, unless the body sets is_verified',
    async (t) => {
      const { arthur, asMerlin, app, send } = await buildAppWithUsers(t)
      const url = `/users/${String(arthur.id)}`
      t.match((await send('PATCH', url, { email: 'a1@camelot.bt' }, asMerlin)).json<object>(), {
        email: 'a1@camelot.bt',
        is_verified: false
      })
      for (const [i, payload] of [
        '{"is_verified":true,"email":"b0@camelot.bt"}',
        '{"email":"b1@camelot.bt","is_verified":true}'
      ].entries()) {
        const reply = await app.inject({
          method: 'PATCH',
          url,
          headers: { ...asMerlin, 'content-type': 'application/json' },
          payload
        })
        t.match(reply.json<object>(), { email: `b${i}@camelot.bt`, is_verified: true })
      }
      t.match((await send('PATCH', url, { email: 'B1@camelot.bt' }, asMerlin)).json<object>(), {
        email: 'B1@camelot.bt',
        is_verified: true
      })
    }
  )

  t.test('row 44: a superuser can set a password', async (t) => {
    const { arthur, asMerlin, send, login } = await buildAppWithUsers(t)
    t.equal(
      (await send('PATCH', `/users/${String(arthur.id)}`, { password: 'set-by-merlin-1' }, asMerlin)).statusCode,
      200
    )
    t.equal((await login('jwt', ARTHUR, 'set-by-merlin-1')).statusCode, 200)
    t.equal((await login('jwt', ARTHUR)).statusCode, 400)
  })

  t.test('USR-10: superusers who demote themselves lose the rights with the next request', async (t) => {
    const { arthur, merlin, asMerlin, send, create } = await buildAppWithUsers(t)
    await create({ email: 'morgana@camelot.bt', is_superuser: true })
    t.equal((await send('PATCH', `/users/${String(merlin.id)}`, { is_superuser: false }, asMerlin)).statusCode, 200)
    for (const method of ['GET', 'PATCH', 'DELETE'] as const) {
      t.equal(
        (await send(method, `/users/${String(arthur.id)}`, method === 'PATCH' ? {} : undefined, asMerlin)).statusCode,
        403
      )
    }
    t.equal((await send('GET', '/users/me', undefined, asMerlin)).statusCode, 200)
  })
})

t.test('DELETE /users/{id}', async (t) => {
  t.test(
    'row 45, SES-15: replies 204 without a body, and deletes the user with all sessions',
    async (t) => {
      const adapter = memory()
      const { arthur, asArthur, asMerlin, cookie, send, login, row, register } = await buildAppWithUsers(t, { adapter })
      const asCookie = await cookie(ARTHUR)
      const url = `/users/${String(arthur.id)}`
      const reply = await send('DELETE', url, undefined, { ...asMerlin, 'content-type': 'application/json' })
      t.equal(reply.statusCode, 204)
      t.equal(reply.body, '')
      for (const name of ['content-type', 'content-length']) t.equal(reply.headers[name], undefined)
      for (const method of ['DELETE', 'GET', 'PATCH'] as const) {
        assertErrorReply(
          t,
          await send(method, url, method === 'PATCH' ? {} : undefined, asMerlin),
          404,
          'NOT_FOUND',
          'Not Found'
        )
      }
      for (const headers of [asArthur, asCookie] as Headers[]) {
        assertErrorReply(t, await send('GET', '/users/me', undefined, headers), 401, 'UNAUTHENTICATED', 'Unauthorized')
      }
      assertErrorReply(t, await login('jwt', ARTHUR), 400, 'LOGIN_BAD_CREDENTIALS')
      t.equal(await row(ARTHUR), undefined)
      t.same(await storedRows(adapter, 'accesstoken'), [])
      t.not((await register()).id, arthur.id, 'the e-mail can be registered again')
      for (const headers of [asArthur, asCookie] as Headers[]) {
        t.equal(
          (await send('GET', '/users/me', undefined, headers)).statusCode,
          401,
          'old sessions are not valid for the new user'
        )
      }
    }
  )

  t.test('row 45: needs no body and ignores the content type', async (t) => {
    const { create, asMerlin, app } = await buildAppWithUsers(t)
    for (const [i, type] of [null, 'application/json', 'application/json; charset=utf-8'].entries()) {
      const { id } = await create({ email: `page${i}@camelot.bt` })
      const reply = await app.inject({
        method: 'DELETE',
        url: `/users/${String(id)}`,
        headers: { ...asMerlin, ...(type === null ? {} : { 'content-type': type }) },
        ...(i === 2 ? { payload: '' } : {})
      })
      t.equal(reply.statusCode, 204, String(type))
    }
  })

  t.test('row 45: superusers may delete themselves while there is another one', async (t) => {
    const { merlin, asMerlin, send, create } = await buildAppWithUsers(t)
    await create({ email: 'morgana@camelot.bt', is_superuser: true })
    t.equal((await send('DELETE', `/users/${String(merlin.id)}`, undefined, asMerlin)).statusCode, 204)
    t.equal((await send('GET', '/users/me', undefined, asMerlin)).statusCode, 401)
  })

  t.test('row 60: emits onBeforeDelete before the user is deleted and onAfterDelete afterwards', async (t) => {
    const log: unknown[] = []
    const adapter = memory()
    const countArthur = async (): Promise<number> =>
      (await storedRows(adapter, 'user')).filter((row) => row['email'] === ARTHUR).length
    const { arthur, asMerlin, send, events } = await buildAppWithUsers(t, {
      adapter,
      hooks: {
        async onBeforeDelete ({ user }, { request, reply }) {
          log.push(['before', user, request?.method, reply === null, await countArthur()])
        },
        async onAfterDelete ({ user }, { request }) {
          log.push(['after', user, request?.method, await countArthur()])
        }
      }
    })
    await send('DELETE', `/users/${String(arthur.id)}`, undefined, asMerlin)
    t.same(log, [
      ['before', arthur, 'DELETE', false, 1],
      ['after', arthur, 'DELETE', 0]
    ])
    t.same(
      events.map(({ name }) => name),
      ['onBeforeDelete', 'onAfterDelete']
    )
  })

  t.test('row 62: a hook onBeforeDelete that throws keeps the user and the sessions', async (t) => {
    const { arthur, asArthur, asMerlin, cookie, send, events } = await buildAppWithUsers(t, {
      hooks: {
        async onBeforeDelete () {
          throw Object.assign(new Error('still owes'), { statusCode: 409, code: 'APP_OWES' })
        }
      }
    })
    const asCookie = await cookie(ARTHUR)
    events.length = 0
    t.match((await send('DELETE', `/users/${String(arthur.id)}`, undefined, asMerlin)).json<object>(), {
      statusCode: 409,
      code: 'APP_OWES'
    })
    for (const headers of [asArthur, asCookie] as Headers[]) {
      t.same((await send('GET', '/users/me', undefined, headers)).json<object>(), arthur)
    }
    t.same(events, [])
  })

  t.test('of parallel deletions one succeeds, and the others are 404', async (t) => {
    const { arthur, asMerlin, send, events } = await buildAppWithUsers(t)
    const replies = await Promise.all(
      Array.from({ length: 5 }, () => send('DELETE', `/users/${String(arthur.id)}`, undefined, asMerlin))
    )
    t.same(replies.map(({ statusCode }) => statusCode).sort(), [204, 404, 404, 404, 404])
    t.equal(events.filter(({ name }) => name === 'onAfterDelete').length, 1)
  })
})

t.test('update events', async (t) => {
  t.test(
    'row 60: onBeforeUpdate is emitted before the write and onAfterUpdate after it, for both routes',
    async (t) => {
      const log: unknown[] = []
      const adapter = memory()
      const { arthur, asArthur, asMerlin, send, app } = await buildAppWithUsers(t, {
        adapter,
        hooks: {
          async onBeforeUpdate ({ user, changes }, { request }) {
            log.push([
              'before',
              user.email,
              changes,
              request?.routeOptions.url,
              (await adapter.findOne(storedModel('user'), { email: 'new@camelot.bt' })) === null
            ])
          },
          async onAfterUpdate ({ user, changes }, { request, reply }) {
            log.push([
              'after',
              user.email,
              changes,
              request?.routeOptions.url,
              (await adapter.findOne(storedModel('user'), { email: 'new@camelot.bt' })) === null
            ])
            reply?.header('x-changed', 'yes')
          }
        }
      })
      const changes = { email: 'new@camelot.bt' }
      t.equal((await send('PATCH', '/users/me', changes, asArthur)).headers['x-changed'], 'yes')
      t.same(log, [
        ['before', ARTHUR, changes, '/users/me', true],
        ['after', 'new@camelot.bt', changes, '/users/me', false]
      ])
      log.length = 0
      await send('PATCH', `/users/${String(arthur.id)}`, { is_superuser: true }, asMerlin)
      t.match(log, [
        ['before', 'new@camelot.bt', { is_superuser: true }, '/users/:id'],
        ['after', 'new@camelot.bt', { is_superuser: true }, '/users/:id']
      ])
      log.length = 0
      await app.users.update(arthur.id, { is_superuser: false })
      t.match(
        log,
        [
          ['before', 'new@camelot.bt', { is_superuser: false }, undefined],
          ['after', 'new@camelot.bt', { is_superuser: false }, undefined]
        ],
        'app.users.update emits them without a request'
      )
    }
  )

  t.test(
    'a hook onBeforeUpdate that throws keeps the user unchanged; one of onAfterUpdate undoes nothing',
    async (t) => {
      const { asArthur, send, row } = await buildAppWithUsers(t, {
        hooks: {
          async onBeforeUpdate ({ changes }) {
            if (changes.email === 'no@camelot.bt') {
              throw Object.assign(new Error('no'), { statusCode: 409, code: 'APP_NO' })
            }
          }
        }
      })
      const before = await row(ARTHUR)
      t.match(
        (
          await send('PATCH', '/users/me', { email: 'no@camelot.bt', password: 'guinevere-2' }, asArthur)
        ).json<object>(),
        { statusCode: 409, code: 'APP_NO' }
      )
      t.same(await row(ARTHUR), before)
      const after = await buildAppWithUsers(t, {
        hooks: {
          async onAfterUpdate () {
            throw new Error('mail')
          }
        }
      })
      assertErrorReply(
        t,
        await after.send('PATCH', '/users/me', { email: 'new@camelot.bt' }, after.asArthur),
        500,
        'INTERNAL_ERROR',
        'Internal Server Error'
      )
      t.match(await after.row('new@camelot.bt'), { is_verified: false })
    }
  )
})

t.test('parallel changes', async (t) => {
  t.test('USR-08, RACE-03: of different fields are all stored', async (t) => {
    const schemas = userSchemas({
      a: Type.Integer({ default: 0 }),
      b: Type.Integer({ default: 0 }),
      c: Type.Integer({ default: 0 })
    }) as unknown as UserSchemas
    const adapter = memory()
    const { arthur, asArthur, asMerlin, send, row } = await buildAppWithUsers(t, {
      adapter: withSlowReads(adapter, 5),
      schemas
    }).then((made) => ({
      ...made,
      row: async () => (await storedRows(adapter, 'user')).find((one) => one['id'] === made.arthur.id)
    }))
    const byId = `/users/${String(arthur.id)}`
    const replies = await Promise.all([
      send('PATCH', '/users/me', { a: 1 }, asArthur),
      send('PATCH', '/users/me', { b: 2 }, asArthur),
      send('PATCH', byId, { c: 3 }, asMerlin),
      send('PATCH', byId, { is_superuser: true }, asMerlin),
      send('PATCH', '/users/me', { email: 'new@camelot.bt' }, asArthur)
    ])
    for (const reply of replies) t.equal(reply.statusCode, 200)
    t.match(await row(), { a: 1, b: 2, c: 3, is_superuser: true, email: 'new@camelot.bt', is_verified: false })
  })

  t.test('USR-08, RACE-03: of the profile and of is_active do not undo each other', async (t) => {
    const schemas = userSchemas({ first_name: Type.Optional(Type.String()) }) as unknown as UserSchemas
    for (let round = 0; round < 10; round++) {
      const adapter = memory()
      const { arthur, asArthur, asMerlin, send } = await buildAppWithUsers(t, {
        adapter: withSlowReads(adapter, round % 3),
        schemas
      })
      const requests = [
        () => send('PATCH', '/users/me', { first_name: 'Artus' }, asArthur),
        () => send('PATCH', `/users/${String(arthur.id)}`, { is_active: false }, asMerlin)
      ]
      if (round % 2 === 1) requests.reverse()
      const replies = await Promise.all(requests.map((request) => request()))
      const row = (await storedRows(adapter, 'user')).find(({ id }) => id === arthur.id)
      t.equal(row?.['is_active'], false)
      t.ok(replies.every(({ statusCode }) => [200, 401].includes(statusCode)))
      const patched = replies[round % 2 === 1 ? 1 : 0]
      t.equal(row?.['first_name'] ?? null, patched?.statusCode === 200 ? 'Artus' : null)
    }
  })

  t.test(
    'RACE-02, row 41: to the same e-mail: one succeeds, the others get UPDATE_USER_EMAIL_ALREADY_EXISTS',
    async (t) => {
      for (const slow of [0, 3]) {
        const adapter = memory()
        const { create, bearer, send, register } = await buildApp(t, {
          adapter: slow === 0 ? adapter : withSlowReads(adapter, slow)
        })
        const knights = await Promise.all(
          Array.from({ length: 8 }, async (_, i) => {
            await create({ email: `knight${i}@camelot.bt` })
            return bearer(`knight${i}@camelot.bt`)
          })
        )
        const spellings = ['Grail@camelot.bt', 'grail@camelot.bt', 'GRAIL@CAMELOT.bt']
        const replies = await Promise.all(
          knights.map((headers, i) => send('PATCH', '/users/me', { email: spellings[i % 3] }, headers))
        )
        t.equal(replies.filter(({ statusCode }) => statusCode === 200).length, 1)
        for (const reply of replies) {
          if (reply.statusCode !== 200) assertErrorReply(t, reply, 400, 'UPDATE_USER_EMAIL_ALREADY_EXISTS')
        }
        t.equal(
          (await storedRows(adapter, 'user')).filter((row) => String(row['email']).toLowerCase() === 'grail@camelot.bt')
            .length,
          1
        )
        const race = await Promise.all([
          send('PATCH', '/users/me', { email: 'free@camelot.bt' }, knights[0]),
          register({ email: 'FREE@camelot.bt' }).then(
            () => true,
            () => false
          )
        ])
        t.equal(race[0].statusCode === 200, !race[1], 'of a change and a registration only one succeeds')
      }
    }
  )
})

t.test('routing', async (t) => {
  t.test('row 48: an application may add its own DELETE /users/me', async (t) => {
    const { asArthur, asMerlin, send, row } = await buildAppWithUsers(t, {}, (app) => {
      app.delete('/users/me', { preHandler: authenticate }, async (request, reply) => {
        await app.users.delete(currentUser(request), { request, reply })
        return reply.code(204).send()
      })
    })
    t.equal((await send('DELETE', '/users/me', undefined, asArthur)).statusCode, 204)
    t.equal(await row(ARTHUR), undefined)
    t.equal((await send('DELETE', '/users/me')).statusCode, 401)
    t.match((await send('DELETE', '/users/me', undefined, asMerlin)).json<object>(), {
      statusCode: 400,
      code: 'FST_USERS_LAST_SUPERUSER'
    })
    const without = await buildAppWithUsers(t)
    assertErrorReply(
      t,
      await without.send('DELETE', '/users/me', undefined, without.asMerlin),
      404,
      'NOT_FOUND',
      'Not Found',
      "without the application's route, `me` is an unknown id"
    )
    assertErrorReply(t, await without.send('DELETE', '/users/me', undefined, without.asArthur), 403, 'FORBIDDEN', 'Forbidden')
  })

  t.test('row 48: there is no list of users', async (t) => {
    const { asMerlin, send } = await buildAppWithUsers(t)
    for (const url of ['/users', '/users/']) {
      for (const method of ['GET', 'POST'] as const) {
        t.equal((await send(method, url, method === 'POST' ? {} : undefined, asMerlin)).statusCode, 404)
      }
    }
  })

  const groups = {
    auth: [
      ['POST', '/jwt/login'],
      ['POST', '/jwt/logout'],
      ['POST', '/cookie/login'],
      ['POST', '/cookie/logout']
    ],
    register: [['POST', '/register']],
    reset: [
      ['POST', '/forgot-password'],
      ['POST', '/reset-password']
    ],
    verify: [
      ['POST', '/request-verify-token'],
      ['POST', '/verify']
    ],
    users: [
      ['GET', '/me'],
      ['PATCH', '/me'],
      ['GET', '/:id'],
      ['PATCH', '/:id'],
      ['DELETE', '/:id']
    ]
  } as const
  type Group = keyof typeof groups
  const names = Object.keys(groups) as Group[]
  const defaultPrefixes: Record<Group, string> = {
    auth: '/auth',
    register: '/auth',
    reset: '/auth',
    verify: '/auth',
    users: '/users'
  }

  t.test('row 88: any subset of the route groups can be mounted', async (t) => {
    for (let mask = 0; mask < 2 ** names.length; mask++) {
      const on = names.filter((_, i) => (mask >> i) % 2 === 1)
      const { app } = await buildApp(t, {
        routes: Object.fromEntries(names.filter((name) => !on.includes(name)).map((name) => [name, false as const]))
      })
      const found = names.filter((name) =>
        groups[name].every(([method, url]) => app.hasRoute({ method, url: defaultPrefixes[name] + url }))
      )
      const partly = names.filter((name) =>
        groups[name].some(([method, url]) => app.hasRoute({ method, url: defaultPrefixes[name] + url }))
      )
      t.same([found, partly], [on, on], on.join(' ') || 'none')
      if (mask === 0) {
        t.equal(
          (await app.inject({ url: '/guarded' })).statusCode,
          401,
          "the guard works without the plugin's routes"
        )
      }
    }
  })

  t.test('row 88: each group accepts another prefix', async (t) => {
    const { app, create, send } = await buildApp(t, {
      routes: Object.fromEntries(names.map((name) => [name, { prefix: `/api/v1/${name}` }]))
    })
    for (const name of names) {
      for (const [method, url] of groups[name]) {
        t.ok(app.hasRoute({ method, url: `/api/v1/${name}${url}` }), `${method} ${name}${url}`)
        t.notOk(app.hasRoute({ method, url: defaultPrefixes[name] + url }))
      }
    }
    await create({ is_superuser: true })
    const login = await app.inject({
      method: 'POST',
      url: '/api/v1/auth/jwt/login',
      payload: { username: ARTHUR, password: PASSWORD }
    })
    const headers = { authorization: `Bearer ${login.json<{ access_token: string }>().access_token}` }
    t.equal((await send('POST', '/api/v1/register/register', { email: LANCELOT, password: PASSWORD })).statusCode, 201)
    t.equal((await send('GET', '/api/v1/users/me', undefined, headers)).statusCode, 200)
    t.equal((await send('PATCH', '/api/v1/users/me', {}, headers)).statusCode, 200)
    t.equal((await send('POST', '/api/v1/reset/forgot-password', { email: ARTHUR })).statusCode, 202)
    t.equal((await send('POST', '/api/v1/verify/request-verify-token', { email: ARTHUR })).statusCode, 202)
  })

  t.test('row 88: the plugin can be registered in a scope with a prefix', async (t) => {
    const { default: Fastify } = await import('fastify')
    const { default: users } = await import('../lib/index.js')
    const { backends, fastPasswords, SECRET } = await import('./helpers/build-app.js')
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(
      async (scope) => {
        await scope.register(users, {
          adapter: memory(),
          secret: SECRET,
          backends: backends(),
          passwords: fastPasswords,
          limits: false
        })
      },
      { prefix: '/tenant' }
    )
    await app.ready()
    t.equal(
      (
        await app.inject({
          method: 'POST',
          url: '/tenant/auth/register',
          payload: { email: ARTHUR, password: PASSWORD }
        })
      ).statusCode,
      201
    )
    t.equal((await app.inject({ method: 'GET', url: '/tenant/users/me' })).statusCode, 401)
    t.equal((await app.inject({ method: 'GET', url: '/users/me' })).statusCode, 404)
  })
})

t.test("with sensitiveChanges: 'confirm'", async (t) => {
  const NEW = 'arthur.pendragon@camelot.bt'
  const buildConfirmingApp = (t: Test, options: Partial<UsersOptions> = {}) =>
    buildAppWithUsers(t, { sensitiveChanges: 'confirm', ...options })
  const refusedCurrentPassword = (t: Test, reply: Awaited<ReturnType<TestApp['send']>>, name?: string) => {
    assertErrorReply(t, reply, 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD', undefined, name)
  }
  const refusedStaleSession = (t: Test, reply: Awaited<ReturnType<TestApp['send']>>, name?: string) => {
    const detail = { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300 }
    assertErrorReply(t, reply, 401, 'INSUFFICIENT_USER_AUTHENTICATION', detail, name)
  }

  t.test('VER-05, USR-09: a new password requires the current one, a new e-mail too unless the login is fresh; other changes do not', async (t) => {
    const schemas = userSchemas({ first_name: Type.Optional(Type.String()) }) as unknown as UserSchemas
    const { asArthur, send, row, events, tick, bearer } = await buildConfirmingApp(t, { schemas })
    const before = await row(ARTHUR)
    refusedCurrentPassword(t, await send('PATCH', '/users/me', { password: 'guinevere-2' }, asArthur), 'a fresh login')
    tick(302)
    for (const current of [
      undefined,
      '',
      'wrong-password',
      `${PASSWORD} `,
      'x'.repeat(2000),
      String(before?.['hashed_password'])
    ]) {
      for (const changes of [
        { password: 'guinevere-2' },
        { email: NEW },
        { email: LANCELOT },
        { email: 'KING.ARTHUR@camelot.bt' },
        { email: NEW, password: 'short' }
      ]) {
        const refused = current === undefined && !('password' in changes) ? refusedStaleSession : refusedCurrentPassword
        refused(
          t,
          await send(
            'PATCH',
            '/users/me',
            { ...changes, ...(current === undefined ? {} : { current_password: current }) },
            asArthur
          ),
          `${current?.slice(0, 20)} ${JSON.stringify(changes)}`
        )
      }
    }
    assertValidationError(t, await send('PATCH', '/users/me', { password: 'guinevere-2', current_password: 1 }, asArthur), [
      '/current_password'
    ])
    t.same(await row(ARTHUR), before)
    t.same(events, [])
    for (const changes of [{}, { first_name: 'Artus' }, { email: ARTHUR }, { password: null }]) {
      t.equal((await send('PATCH', '/users/me', changes, asArthur)).statusCode, 200, JSON.stringify(changes))
    }
    const fresh = await bearer(ARTHUR)
    const wrong = { email: NEW, current_password: 'wrong-password' }
    refusedCurrentPassword(t, await send('PATCH', '/users/me', wrong, fresh), 'a given password is always checked')
    t.equal((await send('PATCH', '/users/me', { email: NEW }, fresh)).statusCode, 200)
    t.match(await row(ARTHUR), { email: ARTHUR }, 'the new e-mail must be proved')
  })

  t.test('VER-05: with the current password a new password applies at once', async (t) => {
    const { asArthur, send, login, events } = await buildConfirmingApp(t)
    t.equal(
      (await send('PATCH', '/users/me', { password: 'guinevere-2', current_password: PASSWORD }, asArthur)).statusCode,
      200
    )
    t.notMatch(JSON.stringify(events), /guinevere/, 'the hooks receive neither password')
    t.equal((await login('jwt', ARTHUR, 'guinevere-2')).statusCode, 200)
    t.equal((await login('jwt', ARTHUR)).statusCode, 400)
  })

  t.test(
    'VER-04, row 60: a new e-mail applies when it is verified, once, and ends all sessions',
    async (t) => {
      const { arthur, asArthur, cookie, send, login, events, tokenOf, row } = await buildConfirmingApp(t)
      const asCookie = await cookie(ARTHUR)
      events.length = 0
      const reply = await send(
        'PATCH',
        '/users/me',
        { email: 'Arthur.Pendragon@CAMELOT.bt', current_password: PASSWORD },
        asArthur
      )
      t.equal(reply.statusCode, 200)
      t.same(reply.json<object>(), arthur, 'the user is unchanged')
      const token = await tokenOf('onAfterRequestVerify')
      t.same(
        events.find(({ name }) => name === 'onAfterRequestVerify'),
        { name: 'onAfterRequestVerify', user: arthur, token, email: 'Arthur.Pendragon@camelot.bt' }
      )
      t.equal((await login('jwt', NEW)).statusCode, 400, 'the new e-mail cannot log in yet')
      t.equal((await login('jwt', ARTHUR)).statusCode, 200)
      for (const headers of [asArthur, asCookie] as Headers[]) {
        t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 200)
      }

      const proved = await send('POST', '/auth/verify', { token })
      t.equal(proved.statusCode, 200)
      t.same(proved.json<object>(), { ...arthur, email: 'Arthur.Pendragon@camelot.bt', is_verified: true })
      t.same(events.at(-1), { name: 'onAfterVerify', user: proved.json<object>() })
      t.equal(await row(ARTHUR), undefined)
      for (const headers of [asArthur, asCookie] as Headers[]) {
        t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
      }
      t.equal((await login('jwt', ARTHUR)).statusCode, 400)
      t.equal((await login('jwt', NEW)).statusCode, 200)
      assertErrorReply(t, await send('POST', '/auth/verify', { token }), 400, 'VERIFY_USER_BAD_TOKEN')
    }
  )

  t.test('VER-04: the verification of a new e-mail makes an unverified user verified', async (t) => {
    const { create, bearer, send, tokenOf } = await buildConfirmingApp(t)
    await create({ email: 'gawain@camelot.bt' })
    await send('PATCH', '/users/me', { email: NEW, current_password: PASSWORD }, await bearer('gawain@camelot.bt'))
    t.match((await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })).json<object>(), {
      email: NEW,
      is_verified: true
    })
  })

  t.test('RACE-01: of parallel verifications with one token one succeeds', async (t) => {
    const adapter = memory()
    const { asArthur, send, tokenOf, events } = await buildConfirmingApp(t, { adapter: withSlowReads(adapter, 2) })
    await send('PATCH', '/users/me', { email: NEW, current_password: PASSWORD }, asArthur)
    const token = await tokenOf('onAfterRequestVerify')
    const replies = await Promise.all(Array.from({ length: 10 }, () => send('POST', '/auth/verify', { token })))
    t.equal(replies.filter(({ statusCode }) => statusCode === 200).length, 1)
    for (const reply of replies) if (reply.statusCode !== 200) assertErrorReply(t, reply, 400, 'VERIFY_USER_BAD_TOKEN')
    t.equal(events.filter(({ name }) => name === 'onAfterVerify').length, 1)
  })

  t.test(
    'VER-03: of two pending changes each token verifies its own e-mail, and the first use invalidates the other token',
    async (t) => {
      const { asArthur, arthur, send, events, app } = await buildConfirmingApp(t)
      const emails = ['first@camelot.bt', 'second@camelot.bt']
      for (const email of emails) {
        t.equal((await send('PATCH', '/users/me', { email, current_password: PASSWORD }, asArthur)).statusCode, 200)
      }
      await app.users.settled()
      const tokens = events.flatMap((event) => (event.name === 'onAfterRequestVerify' ? [event] : []))
      t.same(
        tokens.map(({ email }) => email),
        emails
      )
      t.match((await send('POST', '/auth/verify', { token: tokens[1]?.token })).json<object>(), {
        id: arthur.id,
        email: 'second@camelot.bt'
      })
      assertErrorReply(t, await send('POST', '/auth/verify', { token: tokens[0]?.token }), 400, 'VERIFY_USER_BAD_TOKEN')
    }
  )

  t.test(
    'VER-07: the e-mail of another user gets the same reply as a free one; its verification is refused',
    async (t) => {
      const { asArthur, arthur, send, tokenOf, row } = await buildConfirmingApp(t)
      const [taken, free] = [
        await send('PATCH', '/users/me', { email: LANCELOT, current_password: PASSWORD }, asArthur),
        await send('PATCH', '/users/me', { email: NEW, current_password: PASSWORD }, asArthur)
      ]
      t.same(comparableReply(taken), comparableReply(free))
      await send('PATCH', '/users/me', { email: 'LANCELOT@camelot.bt', current_password: PASSWORD }, asArthur)
      assertErrorReply(
        t,
        await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') }),
        400,
        'VERIFY_USER_BAD_TOKEN'
      )
      t.match(await row(ARTHUR), { id: arthur.id })
      t.match(
        (await send('GET', '/users/me', undefined, asArthur)).json<object>(),
        arthur,
        'a failed verification ends no session'
      )
    }
  )

  t.test('VER-07: an e-mail that another user registered before its verification is refused', async (t) => {
    const { asArthur, send, tokenOf, create, row } = await buildConfirmingApp(t)
    await send('PATCH', '/users/me', { email: NEW, current_password: PASSWORD }, asArthur)
    const token = await tokenOf('onAfterRequestVerify')
    await create({ email: NEW.toUpperCase() })
    assertErrorReply(t, await send('POST', '/auth/verify', { token }), 400, 'VERIFY_USER_BAD_TOKEN')
    t.ok(await row(ARTHUR))
  })

  t.test(
    'VER-02: the token is invalid after a change of password, e-mail, status or sessions, after deletion and expiry',
    async (t) => {
      const changes: Record<string, (made: AppWithUsers) => Promise<unknown>> = {
        'password change': ({ app, arthur }) => app.users.update(arthur.id, { password: 'guinevere-2' }),
        'e-mail change by a superuser': ({ app, arthur }) => app.users.update(arthur.id, { email: 'other@camelot.bt' }),
        deactivation: ({ app, arthur }) => app.users.update(arthur.id, { is_active: false }),
        'deactivation and reactivation': async ({ app, arthur }) => {
          await app.users.update(arthur.id, { is_active: false })
          await app.users.update(arthur.id, { is_active: true })
        },
        endSessions: ({ app, arthur }) => app.users.endSessions(arthur.id),
        deletion: ({ app, arthur }) => app.users.delete(arthur.id),
        time: async ({ tick }) => {
          tick(3601)
        }
      }
      for (const [name, act] of Object.entries(changes)) {
        const made = await buildConfirmingApp(t)
        await made.send('PATCH', '/users/me', { email: NEW, current_password: PASSWORD }, made.asArthur)
        const token = await made.tokenOf('onAfterRequestVerify')
        await act(made)
        assertErrorReply(t, await made.send('POST', '/auth/verify', { token }), 400, 'VERIFY_USER_BAD_TOKEN', undefined, name)
        t.equal(await made.row(NEW), undefined)
      }
    }
  )

  t.test('another spelling of the same e-mail applies at once', async (t) => {
    const { asArthur, send, events, app } = await buildConfirmingApp(t)
    t.match(
      (
        await send('PATCH', '/users/me', { email: 'King.Arthur@camelot.bt', current_password: PASSWORD }, asArthur)
      ).json<object>(),
      { email: 'King.Arthur@camelot.bt', is_verified: true }
    )
    await app.users.settled()
    t.notOk(events.some(({ name }) => name === 'onAfterRequestVerify'))
  })

  t.test('superusers change other users, and app.users.update any user, without a current password', async (t) => {
    const { arthur, lancelot, asMerlin, send, app } = await buildConfirmingApp(t)
    t.match(
      (
        await send('PATCH', `/users/${String(arthur.id)}`, { email: NEW, password: 'guinevere-2' }, asMerlin)
      ).json<object>(),
      { email: NEW, is_verified: false }
    )
    t.match(await app.users.update(lancelot.id, { email: 'l@camelot.bt' }), { email: 'l@camelot.bt' })
  })

  t.test('row 42: a cookie session that changes its password is renewed', async (t) => {
    const { cookie, send } = await buildConfirmingApp(t)
    const asCookie = await cookie(ARTHUR)
    const reply = await send('PATCH', '/users/me', { password: 'guinevere-2', current_password: PASSWORD }, asCookie)
    t.equal(reply.statusCode, 200)
    t.equal((await send('GET', '/users/me', undefined, asCookie)).statusCode, 401)
    t.equal((await send('GET', '/users/me', undefined, { cookie: cookieOf(reply) })).statusCode, 200)
  })
})

t.test('app.users.update accepts a user or an id, and every flag', async (t) => {
  const { arthur, app } = await buildAppWithUsers(t)
  t.match(await app.users.update(arthur, { is_superuser: true } as UserChanges), { is_superuser: true })
  t.match(await app.users.update(arthur.id, { is_verified: false, email: 'x@camelot.bt' }, { by: 'superuser' }), {
    is_verified: false,
    email: 'x@camelot.bt'
  })
  t.match(
    await app.users.update(arthur.id, { is_verified: true }, { by: 'self' }),
    { is_verified: false },
    'by: self ignores the flags'
  )
  await t.rejects(app.users.update(UNKNOWN_ID, {}), { code: 'FST_USERS_NOT_FOUND' })
  await t.rejects(app.users.delete(UNKNOWN_ID), { code: 'FST_USERS_NOT_FOUND' })
  await t.rejects(app.users.endSessions(UNKNOWN_ID), { code: 'FST_USERS_NOT_FOUND' })
  await t.rejects(app.users.update(arthur.id, { email: 'no address' }), { code: 'FST_USERS_INVALID_USER' })
  await t.rejects(app.users.update(arthur.id, { is_active: 'yes' } as never), { code: 'FST_USERS_INVALID_USER' })
  await t.rejects(app.users.update(arthur.id, { password: '\ud800guinevere' }), { code: 'FST_USERS_INVALID_USER' })
})
