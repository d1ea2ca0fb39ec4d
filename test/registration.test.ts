import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import {
  adminOnly,
  createOnly,
  FST_USERS_INVALID_PASSWORD,
  readOnly,
  userSchemas,
  type UserSchemas
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import {
  ARTHUR,
  buildApp,
  cookieOf,
  countedPasswords,
  assertValidationError,
  PASSWORD,
  assertErrorReply,
  storedRows,
  comparableReply,
  type TestApp
} from './helpers/build-app.js'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const body = { email: ARTHUR, password: PASSWORD }

t.test('a new user', async (t) => {
  t.test('row 1: gets 201 with its fields and without the hash', async (t) => {
    const adapter = memory()
    const { send, events } = await buildApp(t, { adapter })
    const reply = await send('POST', '/auth/register', body)
    t.equal(reply.statusCode, 201)
    const { id, ...rest } = reply.json<{ id: string }>()
    t.match(id, UUID)
    t.same(rest, { email: ARTHUR, is_active: true, is_superuser: false, is_verified: false })
    t.same(Object.keys(reply.json<object>()), ['id', 'email', 'is_active', 'is_superuser', 'is_verified'])
    const [row] = await storedRows(adapter, 'user')
    t.match(row, { id, email: ARTHUR, hashed_password: /^\$argon2id\$/, session_stamp: /^[A-Za-z0-9_-]{22}$/ })
    t.notMatch(reply.body, String(row?.['hashed_password']))
    t.same(
      events,
      [
        { name: 'onBeforeRegister', user: { email: ARTHUR } },
        { name: 'onAfterRegister', user: reply.json<object>() }
      ],
      'the hooks receive no password and no hash'
    )
  })

  t.test('REG-07: gets no session from the registration', async (t) => {
    const adapter = memory()
    const { send } = await buildApp(t, { adapter })
    const reply = await send('POST', '/auth/register', body)
    t.equal(reply.headers['set-cookie'], undefined)
    t.notMatch(reply.json<object>(), { access_token: String })
    t.same(await storedRows(adapter, 'accesstoken'), [])
    t.equal(reply.headers['cache-control'], 'no-store')
  })
})

t.test(
  'row 2, CFG-07, REG-01: there are no users at first, and the body can set no flag, id or internal field',
  async (t) => {
    const adapter = memory()
    const { send } = await buildApp(t, { adapter })
    t.same(await storedRows(adapter, 'user'), [])
    const extras: Record<string, unknown>[] = [
      { is_superuser: true },
      { is_active: false },
      { is_verified: true },
      { is_superuser: true, is_active: false, is_verified: true },
      { is_superuser: null, is_active: null, is_verified: null },
      { isSuperuser: true },
      { isVerified: true },
      { IS_SUPERUSER: true },
      { superuser: true },
      { role: 'admin' },
      { id: '05fff8ce-3a06-48f2-9c44-a16751012464' },
      { id: 1 },
      { hashed_password: '$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAA' },
      { hashedPassword: 'x' },
      { session_stamp: 'known' },
      { created_at: '2000-01-01' },
      { current_password: 'x' },
      { oauth_accounts: [{ oauth_name: 'google', account_id: '1' }] },
      { user: { is_superuser: true } },
      { data: { is_superuser: true }, fields: { is_superuser: true } },
      { 'is_superuser ': true },
      { 'user.is_superuser': true },
      { 'is_superuser\u0000': true }
    ]
    for (const [i, extra] of extras.entries()) {
      const email = `knight${i}@camelot.bt`
      const reply = await send('POST', '/auth/register', { ...body, ...extra, email })
      const name = JSON.stringify(extra)
      t.equal(reply.statusCode, 201, name)
      t.match(reply.json<object>(), { id: UUID, email, is_active: true, is_superuser: false, is_verified: false }, name)
    }
    for (const row of await storedRows(adapter, 'user')) {
      t.same(Object.keys(row).sort(), [
        'email',
        'hashed_password',
        'id',
        'is_active',
        'is_superuser',
        'is_verified',
        'session_stamp'
      ])
      t.match(row, {
        id: UUID,
        is_active: true,
        is_superuser: false,
        is_verified: false,
        session_stamp: /^[\w-]{22}$/,
        hashed_password: /^\$argon2id\$v=19\$m=8,t=1,p=1\$.{22}\$.{43}$/
      })
    }
  }
)

t.test('REG-01: the keys __proto__ and constructor.prototype are refused, and nothing is stored', async (t) => {
  const adapter = memory()
  const { app } = await buildApp(t, { adapter })
  for (const key of ['"__proto__"', '"\\u005f_proto__"']) {
    const payload = `{"email":"${ARTHUR}","password":"${PASSWORD}",${key}:{"is_superuser":true}}`
    const reply = await app.inject({
      method: 'POST',
      url: '/auth/register',
      headers: { 'content-type': 'application/json' },
      payload
    })
    assertErrorReply(t, reply, 400, 'BAD_REQUEST', 'Bad Request')
  }
  const payload = `{"email":"${ARTHUR}","password":"${PASSWORD}","constructor":{"prototype":{"is_superuser":true}}}`
  assertErrorReply(
    t,
    await app.inject({
      method: 'POST',
      url: '/auth/register',
      headers: { 'content-type': 'application/json' },
      payload
    }),
    400,
    'BAD_REQUEST',
    'Bad Request'
  )
  t.same(await storedRows(adapter, 'user'), [])
})

t.test('row 3, EML-01: an e-mail that exists in another case or another form of its domain is refused', async (t) => {
  const adapter = memory()
  const { send, register } = await buildApp(t, { adapter })
  await register()
  await register({ email: 'gawain@bücher.example' })
  const before = await storedRows(adapter, 'user')
  for (const email of [
    ARTHUR,
    'KING.ARTHUR@camelot.bt',
    'king.arthur@CAMELOT.BT',
    'King.Arthur@Camelot.Bt',
    'king.arthur@ｃamelot.bt',
    'GAWAIN@xn--bcher-kva.example',
    'gawain@BÜCHER.example',
    'gawain@bu\u0308cher.example'
  ]) {
    assertErrorReply(
      t,
      await send('POST', '/auth/register', { email, password: 'another-pass-1' }),
      400,
      'REGISTER_USER_ALREADY_EXISTS',
      undefined,
      email
    )
  }
  t.same(await storedRows(adapter, 'user'), before, 'no row changed')
})

t.test('the password', async (t) => {
  t.test(
    'row 4, REG-08, PW-07: is checked before the e-mail, so the reply is the same for new and existing e-mails',
    async (t) => {
      const { send, register, events } = await buildApp(t)
      await register()
      events.length = 0
      for (const password of ['short-1', 'password1', 'king.arthur', ARTHUR, '12345678']) {
        const replies = await Promise.all(
          [ARTHUR, 'KING.arthur@camelot.bt'].map((email) => send('POST', '/auth/register', { email, password }))
        )
        const free = await send('POST', '/auth/register', {
          email: 'king.arthur@avalon.bt',
          password: password === ARTHUR ? 'short-1' : password
        })
        for (const reply of [...replies, free]) {
          t.match(
            reply.json<object>(),
            {
              statusCode: 400,
              code: 'FST_USERS_REGISTER_INVALID_PASSWORD',
              detail: { code: 'REGISTER_INVALID_PASSWORD', reason: String, reasons: [{ code: String, message: String }] }
            },
            password
          )
          if (password !== 'king.arthur') {
            t.notOk(
              reply.body.includes(password),
              'the reply does not contain the password'
            )
          }
        }
        t.same(comparableReply(replies[0] as typeof free), comparableReply(replies[1] as typeof free))
      }
      t.same(events, [], 'no hook is called')
    }
  )

  t.test('row 4: is refused by a custom validatePassword, with any reason', async (t) => {
    const asked: unknown[] = []
    const { send } = await buildApp(t, {
      async validatePassword (password, user) {
        asked.push({ password, user })
        if (password.length < 3) throw FST_USERS_INVALID_PASSWORD({ rule: 'length', least: 3 })
        if (password === 'boom') throw new Error('the policy broke')
      }
    })
    const reason = { rule: 'length', least: 3 }
    for (const password of ['', 'ab']) {
      assertErrorReply(t, await send('POST', '/auth/register', { ...body, password }), 400, 'REGISTER_INVALID_PASSWORD', {
        code: 'REGISTER_INVALID_PASSWORD',
        reason,
        reasons: [{ code: 'REFUSED', message: 'The password is refused.' }]
      })
    }
    assertErrorReply(
      t,
      await send('POST', '/auth/register', { ...body, password: 'boom' }),
      500,
      'INTERNAL_ERROR',
      'Internal Server Error'
    )
    t.equal((await send('POST', '/auth/register', { ...body, password: 'abc' })).statusCode, 201)
    t.same(
      asked[1],
      { password: 'ab', user: { email: ARTHUR, password: 'ab' } },
      'validatePassword receives the fields that were sent'
    )
  })

  t.test('PW-05, PW-06: is refused if it is longer than 1024 bytes or ill-formed', async (t) => {
    const { app, send } = await buildApp(t)
    for (const password of ['x'.repeat(1025), 'é'.repeat(513), '\u0300\u0323'.repeat(1000)]) {
      assertValidationError(
        t,
        await send('POST', '/auth/register', { ...body, password }),
        ['/password'],
        `${password.length} characters`
      )
    }
    const lone = await app.inject({
      method: 'POST',
      url: '/auth/register',
      headers: { 'content-type': 'application/json' },
      payload: `{"email":"${ARTHUR}","password":"guinevere\\ud800-1"}`
    })
    assertValidationError(t, lone, ['/password'])
    t.equal((await send('POST', '/auth/register', { ...body, password: 'long enough '.repeat(85) })).statusCode, 201)
  })
})

/** Texts that are not an e-mail and that every route refuses. */
const INVALID_EMAILS = [
  '',
  '@',
  'a',
  'a@',
  '@camelot.bt',
  'camelot.bt',
  'a@@camelot.bt',
  'a@b@camelot.bt',
  'a @camelot.bt',
  'a@ camelot.bt',
  'a@came lot.bt',
  'a\u00a0@camelot.bt',
  'a@camelot.bt\r\nBcc: mordred@camelot.bt',
  'a\r\n@camelot.bt',
  'a\u0000@camelot.bt',
  'a@camelot.bt\u0000',
  'a@camelot\u0000.bt',
  'a\u007f@camelot.bt',
  'a\u200b@camelot.bt',
  'a\u202e@camelot.bt',
  'a@came\u200blot.bt',
  'a@came\u00adlot.bt',
  'Arthur <a@camelot.bt>',
  '<a@camelot.bt>',
  'a@camelot.bt (king)',
  'a(king)@camelot.bt',
  '"a"@camelot.bt',
  '"a b"@camelot.bt',
  '"a@evil.example"@camelot.bt',
  'a\\@camelot.bt',
  'a@camelot.bt,b@camelot.bt',
  'a@camelot.bt;b@camelot.bt',
  'a,b@camelot.bt',
  'a:b@camelot.bt',
  'mailto:a@camelot.bt',
  'a@camelot.bt?cc=b@camelot.bt',
  'a[1]@camelot.bt',
  'a@.camelot.bt',
  'a@camelot..bt',
  'a@camelot.bt.',
  'a@camelot.1',
  'a@localhost',
  'a@camelot',
  'a@127.0.0.1',
  'a@[127.0.0.1]',
  'a@[IPv6:::1]',
  'a@0x7f.1',
  'a@１２７.0.0.1',
  'a@2130706433',
  'a＠camelot.bt',
  'a﹫camelot.bt',
  'a@camelot。bt',
  'a@camelot．bt',
  'a@camelot｡bt',
  'a@camelot․bt',
  'a@xn--a.bt',
  'a@xn--.bt',
  'a@xn--ab.com',
  'a@\u0301camelot.bt',
  'a@camelot.bt/path',
  'a@camelot.bt:25',
  'a@user:pw@camelot.bt',
  `${'a'.repeat(400)}@camelot.bt`
]

/** E-mails that other programs may have stored: recovery accepts them, registration refuses them. */
const RECOVERY_ONLY_EMAILS = [
  'a%evil.example@camelot.bt',
  'evil.example!a@camelot.bt',
  '.a@camelot.bt',
  'a.@camelot.bt',
  'a..b@camelot.bt',
  '\u0301a@camelot.bt',
  '\u0903a@camelot.bt',
  '😀@camelot.bt',
  'a@-camelot.bt',
  'a@camelot-.bt',
  'a@came_lot.bt',
  'a@camelot.b-',
  'a@camelot.1a',
  'a@camelot.b',
  'x@ab--cd.com',
  'a@x.ab---cd.com',
  'a@xn--i-7iq.ws',
  'a@x.localhost',
  'a@x.test',
  'a@x.local',
  'a@x.home.arpa',
  'a@x.invalid',
  'a@x.onion',
  'a@1.0.0.127.in-addr.arpa',
  'a@X.TEST',
  'a@x.ｔest',
  `${'a'.repeat(65)}@camelot.bt`,
  `${'é'.repeat(33)}@camelot.bt`,
  `a@${'b'.repeat(64)}.bt`,
  `a@${'ü'.repeat(60)}.bt`,
  `${'a'.repeat(60)}@${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}.${'e'.repeat(20)}`
]

const CANONICAL: [given: string, stored: string][] = [
  ['King.Arthur@CAMELOT.bt', 'King.Arthur@camelot.bt'],
  ['a@x.example', 'a@x.example'],
  ['a@x.internal', 'a@x.internal'],
  ["o'brien+tag/x=y{z}|~`^?#$&*_-@camelot.bt", "o'brien+tag/x=y{z}|~`^?#$&*_-@camelot.bt"],
  [' a2@camelot.bt', 'a2@camelot.bt'],
  ['\ta3@camelot.bt\n', 'a3@camelot.bt'],
  ['\ufeffa4@camelot.bt ', 'a4@camelot.bt'],
  ['a@x--y.com', 'a@x--y.com'],
  ['1@1.co', '1@1.co'],
  ['user@xn--bcher-kva.example', 'user@bücher.example'],
  ['user2@BÜCHER.example', 'user2@bücher.example'],
  ['user3@bu\u0308cher.example', 'user3@bücher.example'],
  ['user@ｅxample.com', 'user@example.com'],
  ['user@例え.jp', 'user@例え.jp'],
  ['Merlin.E\u0301mrys@camelot.bt', 'Merlin.Émrys@camelot.bt'],
  ['пользователь@почта.рф', 'пользователь@почта.рф'],
  [`${'a'.repeat(64)}@camelot.bt`, `${'a'.repeat(64)}@camelot.bt`],
  [`a@${'b'.repeat(63)}.bt`, `a@${'b'.repeat(63)}.bt`]
]

t.test('the e-mail', async (t) => {
  t.test(
    `row 5, EML-05: is refused for ${INVALID_EMAILS.length} invalid texts on every route, and for ${RECOVERY_ONLY_EMAILS.length} unusual forms at registration only`,
    async (t) => {
      const adapter = memory()
      const { send } = await buildApp(t, { adapter })
      for (const email of [...INVALID_EMAILS, ...RECOVERY_ONLY_EMAILS]) {
        assertValidationError(
          t,
          await send('POST', '/auth/register', { email, password: PASSWORD }),
          ['/email'],
          JSON.stringify(email)
        )
      }
      for (const path of ['forgot-password', 'request-verify-token']) {
        for (const email of INVALID_EMAILS) {
          t.equal((await send('POST', `/auth/${path}`, { email })).statusCode, 400, `${path} ${JSON.stringify(email)}`)
        }
        for (const email of RECOVERY_ONLY_EMAILS) {
          t.equal((await send('POST', `/auth/${path}`, { email })).statusCode, 202, `${path} ${JSON.stringify(email)}`)
        }
      }
      t.same(await storedRows(adapter, 'user'), [])
    }
  )

  t.test(
    'row 5, EML-01, EML-02: is stored with its domain in lower-case Unicode and its local part in NFC',
    async (t) => {
      const { register, login, app } = await buildApp(t)
      for (const [given, stored] of CANONICAL) {
        const { email, id } = await register({ email: given })
        t.equal(email, stored, given)
        t.equal((await login('jwt', given)).statusCode, 200, `${given} logs in`)
        t.equal((await login('jwt', stored)).statusCode, 200, `${stored} logs in`)
        t.equal((await app.users.getByEmail(given))?.id, id)
      }
    }
  )

  t.test('EML-02, EML-03: look-alikes with other scripts or accents are different e-mails', async (t) => {
    const { register, login } = await buildApp(t)
    const addresses = [
      'mike@github.com',
      'mıke@github.com',
      'mike@gıthub.com',
      'ｍike@github.com',
      'jose@x.example',
      'josé@x.example',
      'JOSÉ@x.example',
      'straße@x.example',
      'strasse@x.example',
      'a@faß.example',
      'a@fass.example',
      'аdmin@x.example',
      'admin@x.example'
    ]
    const ids = new Set<unknown>()
    for (const [i, email] of addresses.entries()) ids.add((await register({ email, password: `guinevere-${i}` })).id)
    t.equal(ids.size, addresses.length)
    for (const [i, email] of addresses.entries()) {
      const replies = await Promise.all(addresses.map((_, j) => login('jwt', email, `guinevere-${j}`)))
      t.same(
        replies.flatMap(({ statusCode }, j) => (statusCode === 200 ? [j] : [])),
        [i],
        `${email} logs in with its own password only`
      )
    }
  })

  t.test('EML-07: a domain that mixes scripts is stored in its ASCII form', async (t) => {
    const { register } = await buildApp(t)
    for (const [given, stored] of [
      ['a@раypal.com', 'a@xn--ypal-43d9g.com'],
      ['b@xn--ypal-43d9g.com', 'b@xn--ypal-43d9g.com'],
      ['a@почта.com', 'a@почта.com']
    ] as const) {
      t.equal((await register({ email: given })).email, stored)
    }
  })

  t.test('EML-09: hooks receive fields as they are stored, including markup', async (t) => {
    const schemas = userSchemas({ display_name: Type.Optional(Type.String()) })
    const { register, events } = await buildApp(t, { schemas })
    const display_name = '<img src=x onerror=alert(1)>\r\nBcc: mordred@camelot.bt'
    await register({ display_name, email: 'a&b@camelot.bt' })
    t.match(events.at(-1), { name: 'onAfterRegister', user: { email: 'a&b@camelot.bt', display_name } })
  })
})

t.test('an invalid body', async (t) => {
  t.test('is refused with a problem for each field, without the values that were sent', async (t) => {
    const { send } = await buildApp(t)
    const cases: [payload: object, paths: string[]][] = [
      [{}, ['/email', '/password']],
      [{ email: ARTHUR }, ['/password']],
      [{ password: PASSWORD }, ['/email']],
      [{ email: 'x', password: 123 }, ['/email', '/password']],
      [{ email: null, password: null }, ['/email', '/password']],
      [{ email: [ARTHUR], password: [PASSWORD] }, ['/email', '/password']],
      [{ email: { $ne: null }, password: { $ne: null } }, ['/email', '/password']],
      [{ ...body, is_active: 'yes' }, ['/is_active']],
      [
        { ...body, is_active: 'maybe', is_superuser: 1, is_verified: [] },
        ['/is_active', '/is_superuser', '/is_verified']
      ],
      [[], ['']],
      [[body], ['']]
    ]
    for (const [payload, paths] of cases) {
      const reply = await send('POST', '/auth/register', payload)
      assertValidationError(t, reply, paths, JSON.stringify(payload))
      t.notOk(reply.body.includes(PASSWORD) || reply.body.includes(ARTHUR), 'the reply contains no value of the body')
    }
  })

  t.test('is refused if it is not JSON or has another content type', async (t) => {
    const adapter = memory()
    const { app } = await buildApp(t, { adapter })
    const post = (payload: string | Buffer, type: string | null = 'application/json') =>
      app.inject({
        method: 'POST',
        url: '/auth/register',
        headers: type === null ? {} : { 'content-type': type },
        payload
      })
    const json = JSON.stringify(body)
    for (const broken of [
      '{',
      '{"email":',
      `${json}x`,
      `${json}${json}`,
      json.slice(1),
      "{'email':'x'}",
      'null x',
      '\ufeff{',
      '\u0000'
    ]) {
      assertErrorReply(t, await post(broken), 400, 'BAD_REQUEST', 'Bad Request', broken)
    }
    assertErrorReply(
      t,
      await post(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])),
      400,
      'BAD_REQUEST',
      'Bad Request'
    )
    assertValidationError(t, await post(''), [''], 'an empty body')
    for (const text of ['null', '"text"', '1', 'true']) assertValidationError(t, await post(text), [''], text)
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'text/json',
      'application/xml'
    ]) {
      t.match(
        (await post(json, type)).json<object>(),
        { statusCode: 415, code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE' },
        type
      )
    }
    t.equal((await post(json, null)).statusCode, 415, 'no content type')
    t.equal((await post(JSON.stringify({ ...body, extra: 'x'.repeat(20_000) }))).statusCode, 413)
    t.same(await storedRows(adapter, 'user'), [])
    t.equal((await post(json, 'application/json; charset=utf-8')).statusCode, 201)
  })
})

t.test('custom fields', async (t) => {
  const fields = {
    first_name: Type.String({ minLength: 1, maxLength: 40 }),
    nickname: Type.Optional(Type.String()),
    theme: Type.String({ default: 'light' }),
    newsletter: Type.Boolean({ default: false }),
    height: Type.Union([Type.Number({ minimum: 0 }), Type.Null()], { default: null }),
    castle: Type.Union([Type.String(), Type.Null()]),
    address: Type.Object(
      { city: Type.String(), tags: Type.Array(Type.String(), { maxItems: 3 }) },
      { default: { city: 'Camelot', tags: [] } }
    ),
    scores: Type.Array(Type.Integer(), { default: [] }),
    plan: readOnly(Type.String({ default: 'free' })),
    invited_by: createOnly(Type.Optional(Type.String())),
    credits: adminOnly(Type.Integer({ default: 0 })),
    note: adminOnly(Type.Optional(Type.String()))
  }
  const schemas = userSchemas(fields) as unknown as UserSchemas
  const required = { first_name: 'Arthur', castle: null }
  const defaults = {
    theme: 'light',
    newsletter: false,
    height: null,
    address: { city: 'Camelot', tags: [] },
    scores: [],
    plan: 'free',
    credits: 0
  }

  async function admin ({ create, bearer }: TestApp): Promise<Record<string, string>> {
    await create({ email: 'admin@camelot.bt', is_superuser: true, ...required })
    return bearer('admin@camelot.bt')
  }

  t.test(
    'INP-01: a number too large for JSON is refused in number fields and in fields of any type',
    async (t) => {
      const fields = {
        height: Type.Number({ default: 0 }),
        size: Type.Union([Type.Number(), Type.Null()], { default: null }),
        count: Type.Integer({ default: 0 }),
        any: Type.Optional(Type.Any()),
        list: Type.Array(Type.Number(), { default: [] }),
        deep: Type.Object({ x: Type.Number() }, { default: { x: 0 } })
      }
      const { app, create, bearer } = await buildApp(t, { schemas: userSchemas(fields) as unknown as UserSchemas })
      const { id } = await create({ is_superuser: true })
      const headers = { ...(await bearer(ARTHUR)), 'content-type': 'application/json' }
      for (const values of [
        '"height":1e400',
        '"height":-1e400',
        '"size":1e400',
        '"count":1e400',
        '"any":1e400',
        '"any":[{"x":-1e400}]',
        '"list":[1,1e400]',
        '"deep":{"x":1e400}'
      ]) {
        for (const [method, url, payload] of [
          ['POST', '/auth/register', `{"email":"a@camelot.bt","password":"${PASSWORD}",${values}}`],
          ['PATCH', '/users/me', `{${values}}`],
          ['PATCH', `/users/${id}`, `{${values}}`]
        ] as const) {
          t.equal((await app.inject({ method, url, headers, payload })).statusCode, 400, `${method} ${url} ${values}`)
        }
      }
      for (const height of [Infinity, -Infinity, NaN]) {
        await t.rejects(app.users.update(id, { height } as never), { code: 'FST_USERS_INVALID_USER' })
      }
      t.equal(
        (await app.inject({ method: 'PATCH', url: '/users/me', headers, payload: '{"height":1e300}' })).statusCode,
        200
      )
    }
  )

  t.test('row 6: are stored, read back and changed', async (t) => {
    const { register, bearer, send } = await buildApp(t, { schemas })
    const given = {
      first_name: 'Arthur',
      nickname: 'Wart',
      theme: 'dark',
      newsletter: true,
      height: 1.8,
      castle: 'Camelot',
      address: { city: 'Tintagel', tags: ['a'] },
      scores: [3, -1],
      invited_by: 'merlin'
    }
    const user = await register(given)
    t.match(user, { ...given, plan: 'free', credits: 0 })
    const headers = await bearer(ARTHUR)
    t.same((await send('GET', '/users/me', undefined, headers)).json<object>(), user)
    const changes = {
      first_name: 'Artus',
      nickname: '',
      theme: 'dim',
      newsletter: false,
      height: null,
      castle: null,
      address: { city: 'Avalon', tags: ['b', 'c'] },
      scores: []
    }
    const reply = await send('PATCH', '/users/me', changes, headers)
    t.equal(reply.statusCode, 200)
    t.same(reply.json<object>(), { ...user, ...changes })
    t.same((await send('GET', '/users/me', undefined, headers)).json<object>(), reply.json<object>())
  })

  t.test(
    'row 6: have their own copy of the default for each user; optional fields without a value are absent',
    async (t) => {
      const { register, bearer, send } = await buildApp(t, { schemas })
      const { id, email, is_active, is_superuser, is_verified, ...custom } = (await register(
        required
      )) as unknown as Record<string, unknown>
      t.same(custom, { ...required, ...defaults })
      t.notOk('nickname' in custom || 'note' in custom)
      await send('PATCH', '/users/me', { scores: [1], address: { city: 'Avalon', tags: ['x'] } }, await bearer(ARTHUR))
      t.match(await register({ ...required, email: 'lancelot@camelot.bt' }), {
        scores: [],
        address: { city: 'Camelot', tags: [] }
      })
    }
  )

  t.test('row 6: are validated at registration and at changes', async (t) => {
    const app = await buildApp(t, { schemas })
    const { register, bearer, send } = app
    const cases: [values: object, paths: string[]][] = [
      [{ first_name: '' }, ['/first_name']],
      [{ first_name: 'x'.repeat(41) }, ['/first_name']],
      [{ first_name: null }, ['/first_name']],
      [{ first_name: 1 }, ['/first_name']],
      [{ nickname: null }, ['/nickname']],
      [{ newsletter: 'true' }, ['/newsletter']],
      [{ height: '1' }, ['/height']],
      [{ height: -1 }, ['/height']],
      [{ address: {} }, ['/address/city', '/address/tags']],
      [{ address: { city: 'x', tags: ['a', 1] } }, ['/address/tags/1']],
      [{ address: null }, ['/address']],
      [{ scores: [1.5] }, ['/scores/0']],
      [{ scores: { 0: 1 } }, ['/scores']],
      [{ credits: 'many' }, ['/credits']]
    ]
    for (const [values, paths] of cases) {
      assertValidationError(
        t,
        await send('POST', '/auth/register', { ...body, ...required, ...values }),
        paths,
        `register ${JSON.stringify(values)}`
      )
    }
    assertValidationError(t, await send('POST', '/auth/register', body), ['/castle', '/first_name'], 'without the required fields')
    await register(required)
    const headers = await bearer(ARTHUR)
    for (const [values, paths] of cases) {
      assertValidationError(t, await send('PATCH', '/users/me', values, headers), paths, `change ${JSON.stringify(values)}`)
    }
    for (const values of [{ nickname: 'a\u0000b' }, { scores: [], address: { city: '\ud800', tags: [] } }]) {
      t.match(
        (await send('PATCH', '/users/me', values, headers)).json<object>(),
        { statusCode: 400, code: 'FST_USERS_INVALID_USER', detail: [{ path: `/${Object.keys(values).at(-1)}` }] },
        JSON.stringify(values)
      )
    }
    t.match((await send('GET', '/users/me', undefined, headers)).json<object>(), { ...required, ...defaults })
  })

  t.test('USR-02: can be written only by the role that their marker allows', async (t) => {
    const app = await buildApp(t, { schemas })
    const { register, bearer, send, events } = app
    const everything = { plan: 'gold', invited_by: 'merlin', credits: 100, note: 'vip', theme: 'dark' }
    const user = await register({ ...required, ...everything })
    t.match(
      user,
      { plan: 'free', invited_by: 'merlin', credits: 0, theme: 'dark' },
      'registration writes unmarked and createOnly fields'
    )
    t.notOk('note' in user)

    const own = await send(
      'PATCH',
      '/users/me',
      { ...everything, invited_by: 'mordred', theme: 'dim' },
      await bearer(ARTHUR)
    )
    t.match(
      own.json<object>(),
      { plan: 'free', invited_by: 'merlin', credits: 0, theme: 'dim' },
      'the user writes unmarked fields'
    )
    t.same(
      events.at(-1),
      { name: 'onAfterUpdate', user: own.json<object>(), changes: { theme: 'dim' } },
      'the hook receives only the fields that were applied'
    )

    const byId = await send(
      'PATCH',
      `/users/${String(user.id)}`,
      { ...everything, invited_by: 'mordred' },
      await admin(app)
    )
    t.match(
      byId.json<object>(),
      { plan: 'free', invited_by: 'merlin', credits: 100, note: 'vip', theme: 'dark' },
      'a superuser writes adminOnly fields too'
    )

    t.match(
      await app.app.users.update(user.id, { plan: 'gold', invited_by: 'code' } as object),
      { plan: 'gold', invited_by: 'code' },
      'app.users.update writes all fields'
    )
    t.match(
      await app.create({ ...required, ...everything, email: 'x@camelot.bt' }),
      everything,
      'app.users.create writes all fields'
    )
  })

  t.test('a readOnly or adminOnly field needs a default, and reserved or malformed names are refused', async (t) => {
    t.throws(() => userSchemas({ plan: readOnly(Type.String()) }), TypeError)
    t.throws(() => userSchemas({ credits: adminOnly(Type.Integer()) }), TypeError)
    for (const name of [
      'id',
      'email',
      'password',
      'hashed_password',
      'session_stamp',
      'is_superuser',
      'constructor',
      'first name',
      '1st',
      'a'.repeat(64)
    ]) {
      t.throws(() => userSchemas({ [name]: Type.String() }), TypeError, name)
    }
    t.doesNotThrow(() => userSchemas({ invited_by: createOnly(Type.String()) }))
  })

  t.test('a createOnly field without a default is required at registration', async (t) => {
    const { send } = await buildApp(t, {
      schemas: userSchemas({ invited_by: createOnly(Type.String()) }) as unknown as UserSchemas
    })
    assertValidationError(t, await send('POST', '/auth/register', body), ['/invited_by'])
    t.match((await send('POST', '/auth/register', { ...body, invited_by: 'merlin' })).json<object>(), {
      invited_by: 'merlin'
    })
  })
})

t.test('with revealExistingAccounts: false', async (t) => {
  async function buildConcealingApp (t: Test, more: Parameters<typeof buildApp>[1] = {}) {
    const adapter = memory()
    const { passwords, calls } = countedPasswords()
    const app = await buildApp(t, { adapter, passwords, revealExistingAccounts: false, ...more })
    return {
      ...app,
      adapter,
      calls,
      post: (email: string, password = PASSWORD) => app.send('POST', '/auth/register', { email, password })
    }
  }

  t.test('REG-02: a new and an existing e-mail get the same bytes for the same work', async (t) => {
    const { post, calls, adapter, app } = await buildConcealingApp(t)
    const first = await post(ARTHUR)
    t.equal(first.statusCode, 202)
    t.equal(first.body, '')
    t.same(calls, ['hash'])
    const [row] = await storedRows(adapter, 'user')
    t.match(row, { email: ARTHUR })
    for (const email of [ARTHUR, 'KING.arthur@CAMELOT.bt', 'lancelot@camelot.bt']) {
      calls.length = 0
      t.same(comparableReply(await post(email, 'another-pass-1')), comparableReply(first), email)
      t.same(calls, ['hash'], email)
    }
    await app.users.settled()
    t.same(
      (await storedRows(adapter, 'user')).find(({ email }) => email === ARTHUR),
      row,
      'the existing account is unchanged'
    )
  })

  t.test('REG-08: a refused password gets the same reply for a new and an existing e-mail', async (t) => {
    const { app, post, events } = await buildConcealingApp(t)
    await post(ARTHUR)
    await app.users.settled()
    events.length = 0
    const [known, unknown] = await Promise.all([post(ARTHUR, 'short'), post('lancelot@camelot.bt', 'short')])
    t.same(comparableReply(known), comparableReply(unknown))
    t.match(known.json<object>(), { statusCode: 400, detail: { code: 'REGISTER_INVALID_PASSWORD' } })
    t.same(events, [])
  })

  t.test(
    'REG-03: onRegisterExisting receives the stored e-mail after the reply, once for each attempt',
    async (t) => {
      let open = (): void => {}
      const closed = new Promise<void>((resolve) => {
        open = resolve
      })
      const received: unknown[] = []
      const wait = async ({ user }: { user: { email: string } }): Promise<void> => {
        await closed
        received.push(user.email)
      }
      const { post, events, app } = await buildConcealingApp(
        t,
        { hooks: { onAfterRegister: wait, onRegisterExisting: wait } }
      )
      t.equal((await post(ARTHUR)).statusCode, 202)
      t.equal((await post('KING.ARTHUR@CAMELOT.BT')).statusCode, 202)
      t.same(received, [], 'the replies did not wait for the hooks')
      open()
      await app.users.settled()
      t.same(received, [ARTHUR, ARTHUR])
      t.same(events.map(({ name }) => name).sort(), [
        'onAfterRegister',
        'onBeforeRegister',
        'onBeforeRegister',
        'onRegisterExisting'
      ])
    }
  )

  t.test('REG-02: a hook that throws changes neither reply', async (t) => {
    const fail = async (): Promise<void> => {
      throw new Error('the mail server is down')
    }
    const { post, app } = await buildConcealingApp(t, { hooks: { onAfterRegister: fail, onRegisterExisting: fail } })
    const replies = [await post(ARTHUR), await post(ARTHUR)]
    t.same(
      replies.map(({ statusCode }) => statusCode),
      [202, 202]
    )
    await app.users.settled()
  })

  t.test('REG-05: parallel registrations create one user, and all get the same reply', async (t) => {
    const { post, adapter, app, events } = await buildConcealingApp(t)
    const replies = await Promise.all(Array.from({ length: 20 }, () => post(ARTHUR)))
    for (const reply of replies) t.same(comparableReply(reply), comparableReply(replies[0] as typeof reply))
    t.equal((await storedRows(adapter, 'user')).length, 1)
    await app.users.settled()
    t.equal(events.filter(({ name }) => name === 'onAfterRegister').length, 1)
    t.equal(events.filter(({ name }) => name === 'onRegisterExisting').length, 19)
  })
})

t.test(
  'row 3, REG-05, RACE-02: of parallel registrations with one e-mail one succeeds; the others are duplicates',
  async (t) => {
    const adapter = memory()
    const { send, login, events } = await buildApp(t, { adapter })
    const spellings = [
      'king.arthur@camelot.bt',
      'KING.ARTHUR@camelot.bt',
      'king.arthur@CAMELOT.bt',
      'King.Arthur@camelot.bt'
    ]
    const attempts = Array.from({ length: 24 }, (_, i) => ({
      email: spellings[i % spellings.length] as string,
      password: `guinevere-${i}`
    }))
    const replies = await Promise.all(attempts.map((attempt) => send('POST', '/auth/register', attempt)))
    const winners = replies.flatMap(({ statusCode }, i) => (statusCode === 201 ? [i] : []))
    t.equal(winners.length, 1)
    for (const [i, reply] of replies.entries()) {
      if (i !== winners[0]) assertErrorReply(t, reply, 400, 'REGISTER_USER_ALREADY_EXISTS')
    }
    t.equal((await storedRows(adapter, 'user')).length, 1)
    t.equal(events.filter(({ name }) => name === 'onAfterRegister').length, 1)
    for (const [i, { password }] of attempts.entries()) {
      t.equal((await login('jwt', ARTHUR, password)).statusCode, i === winners[0] ? 200 : 400, `password ${i}`)
    }
  }
)

t.test('events', async (t) => {
  t.test(
    'row 60: a registration awaits onBeforeRegister and onAfterRegister before the reply, each with request and reply',
    async (t) => {
      const log: unknown[] = []
      const adapter = memory()
      const { send } = await buildApp(t, {
        adapter,
        hooks: {
          async onBeforeRegister ({ user }, { request, reply }) {
            log.push([
              'before',
              user,
              request?.routeOptions.url,
              reply === null,
              (await storedRows(adapter, 'user')).length
            ])
          },
          async onAfterRegister ({ user }, { request, reply }) {
            log.push(['after', user.email, request?.routeOptions.url, (await storedRows(adapter, 'user')).length])
            reply?.header('x-welcome', 'yes')
          }
        }
      })
      const reply = await send('POST', '/auth/register', { ...body, is_superuser: true })
      t.equal(reply.headers['x-welcome'], 'yes')
      t.same(log, [
        ['before', { email: ARTHUR }, '/auth/register', false, 0],
        ['after', ARTHUR, '/auth/register', 1]
      ])
    }
  )

  t.test('REG-09: a hook onBeforeRegister that throws prevents registrations and app.users.create', async (t) => {
    const adapter = memory()
    const { send, app, events } = await buildApp(t, {
      adapter,
      hooks: {
        async onBeforeRegister () {
          throw Object.assign(new Error('closed'), { statusCode: 403, code: 'APP_CLOSED' })
        }
      }
    })
    const reply = await send('POST', '/auth/register', body)
    t.match(reply.json<object>(), { statusCode: 403, code: 'APP_CLOSED' })
    await t.rejects(app.users.create(body), { code: 'APP_CLOSED' }, 'app.users.create throws the error of the hook')
    t.same(await storedRows(adapter, 'user'), [])
    t.same(events, [])
  })

  t.test('row 60: an error in onAfterRegister fails the request, and the user stays stored', async (t) => {
    const { send, login } = await buildApp(t, {
      hooks: {
        async onAfterRegister () {
          throw new Error('mail server down at 10.0.0.7')
        }
      }
    })
    const reply = await send('POST', '/auth/register', body)
    assertErrorReply(t, reply, 500, 'INTERNAL_ERROR', 'Internal Server Error')
    t.notMatch(reply.body, /10\.0\.0\.7/)
    t.equal((await login('jwt', ARTHUR)).statusCode, 200)
  })
})

t.test('row 86: app.users.create creates users without a request, with flags', async (t) => {
  const { app, events, send, bearer } = await buildApp(t)
  const user = await app.users.create({ ...body, is_superuser: true, is_verified: true, is_active: true })
  t.match(user, { email: ARTHUR, is_superuser: true, is_verified: true, is_active: true })
  t.same(events.at(-1), { name: 'onAfterRegister', user })
  t.equal((await send('GET', `/users/${String(user.id)}`, undefined, await bearer(ARTHUR))).statusCode, 200)
  await t.rejects(app.users.create(body), { code: 'FST_USERS_REGISTER_USER_ALREADY_EXISTS', statusCode: 400 })
  await t.rejects(app.users.create({ email: 'x@camelot.bt', password: 'short' }), {
    code: 'FST_USERS_REGISTER_INVALID_PASSWORD'
  })
  await t.rejects(app.users.create({ email: 'no address', password: PASSWORD }), { code: 'FST_USERS_INVALID_USER' })
  await t.rejects(app.users.create({ email: ARTHUR } as never), { code: 'FST_USERS_INVALID_USER' })
})

t.test('PW-13: no reply to a registration contains the password or its hash', async (t) => {
  const adapter = memory()
  const { send, app } = await buildApp(t, {
    adapter,
    hooks: {
      async onAfterRegister ({ user }) {
        if (user.email.startsWith('boom')) throw new Error(JSON.stringify(user))
      }
    }
  })
  const password = 'canary-Zq7-password'
  const payloads: Record<string, unknown>[] = [
    { ...body, password },
    { ...body, password },
    { email: 'boom@camelot.bt', password },
    { email: 'x', password },
    { email: password, password },
    { password },
    { ...body, password: [password] },
    { ...body, password, is_active: password }
  ]
  for (const payload of payloads) {
    const reply = await send('POST', '/auth/register', payload)
    t.notOk(
      reply.body.includes('canary') || JSON.stringify(reply.headers).includes('canary'),
      JSON.stringify(reply.statusCode)
    )
    for (const { hashed_password: hash } of await storedRows(adapter, 'user')) {
      t.notOk(reply.body.includes(String(hash)))
    }
  }
  const broken = await app.inject({
    method: 'POST',
    url: '/auth/register',
    headers: { 'content-type': 'application/json' },
    payload: `{"password":"${password}"`
  })
  t.notOk(broken.body.includes('canary'))
  t.equal(cookieOf(broken), 'undefined')
})
