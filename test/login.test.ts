import t, { type Test } from 'tap'
import {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type CookieTransportOptions,
  type PasswordHelper,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import {
  ARTHUR,
  buildApp,
  cookieOf,
  countedPasswords,
  fastPasswords,
  assertValidationError,
  PASSWORD,
  assertErrorReply,
  storedModel,
  storedRows,
  comparableReply,
  weakerHash
} from './helpers/build-app.js'

const LANCELOT = 'lancelot@camelot.bt'
const FORM = 'application/x-www-form-urlencoded'
const TOKEN = /^[A-Za-z0-9_-]{43}$/

function multipart (fields: readonly (readonly [string, string])[], extra = ''): { type: string; payload: string } {
  const parts = fields.map(
    ([name, value]) => `--knight\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  )
  return { type: 'multipart/form-data; boundary=knight', payload: `${parts.join('')}${extra}--knight--\r\n` }
}

async function app (t: Test, options: Partial<UsersOptions> = {}) {
  const adapter = memory()
  const made = await buildApp(t, { adapter, ...options })
  return {
    ...made,
    adapter,
    post: (type: string | null, payload: string | Buffer, backend = 'jwt', headers: Record<string, string> = {}) =>
      made.app.inject({
        method: 'POST',
        url: `/auth/${backend}/login`,
        headers: { ...headers, ...(type === null ? {} : { 'content-type': type }) },
        payload
      }),
    sessions: () => storedRows(adapter, 'accesstoken'),
    userRow: async (email = ARTHUR) => (await storedRows(adapter, 'user')).find((row) => row['email'] === email),
    setHash: (hashed_password: string, email = ARTHUR) =>
      adapter.update(storedModel('user'), { email }, { hashed_password })
  }
}

t.test('bearer login', async (t) => {
  t.test('row 7, CK-08: replies 200 with the token and cache-control: no-store', async (t) => {
    const { create, login, send } = await app(t)
    await create()
    const reply = await login('jwt', ARTHUR)
    t.equal(reply.statusCode, 200)
    const { access_token: token, ...rest } = reply.json<{ access_token: string }>()
    t.same(rest, { token_type: 'bearer' })
    t.equal(reply.headers['cache-control'], 'no-store')
    t.equal(reply.headers['set-cookie'], undefined)
    t.equal((await send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })).statusCode, 200)
  })

  t.test('row 7: two logins in the same second return different tokens', async (t) => {
    const { create, bearer } = await app(t, { clock: () => 1_800_000_000_000 })
    await create()
    t.not((await bearer(ARTHUR)).authorization, (await bearer(ARTHUR)).authorization)
  })
})

t.test('the login body', async (t) => {
  t.test('row 8: may be a urlencoded form, a multipart form or JSON', async (t) => {
    const { create, post } = await app(t)
    await create({ email: 'Merlin.Émrys@camelot.bt', password: 'пароль🔑 +&=%' })
    const fields = [
      ['username', 'Merlin.Émrys@camelot.bt'],
      ['password', 'пароль🔑 +&=%']
    ] as const
    const urlencoded = new URLSearchParams(Object.fromEntries(fields)).toString()
    const form = multipart(fields)
    const json = JSON.stringify(Object.fromEntries(fields))
    for (const [type, payload] of [
      [FORM, urlencoded],
      [`${FORM}; charset=utf-8`, urlencoded],
      [form.type, form.payload],
      ['application/json', json],
      ['application/json; charset=utf-8', json]
    ] as const) {
      t.equal((await post(type, payload)).statusCode, 200, type)
    }
  })

  t.test(
    'row 9: may omit grant_type, or set it to an empty text or password; an empty field counts as missing',
    async (t) => {
      const { create, post } = await app(t)
      await create()
      const good = { username: ARTHUR, password: PASSWORD }
      const forms: [fields: Record<string, string>, paths: string[] | null][] = [
        [good, null],
        [{ ...good, grant_type: '' }, null],
        [{ ...good, grant_type: 'password' }, null],
        [{ ...good, grant_type: 'password', scope: 'a b', client_id: 'x', client_secret: 'y' }, null],
        [{ ...good, scope: '', client_id: '', client_secret: '', more: 'x' }, null],
        [{ ...good, grant_type: 'foo' }, ['/grant_type']],
        [{ ...good, grant_type: 'Password' }, ['/grant_type']],
        [{ ...good, grant_type: 'passwordx' }, ['/grant_type']],
        [{ ...good, grant_type: 'password\n' }, ['/grant_type']],
        [{ ...good, password: '' }, ['/password']],
        [{ ...good, username: '' }, ['/username']],
        [{ username: '', password: '' }, ['/username', '/password']],
        [{ username: ARTHUR }, ['/password']],
        [{ password: PASSWORD }, ['/username']],
        [{ email: ARTHUR, password: PASSWORD }, ['/username']],
        [{ grant_type: 'foo' }, ['/grant_type', '/password', '/username']],
        [{ ...good, password: 'x'.repeat(1025) }, ['/password']],
        [{ ...good, username: `${'x'.repeat(320)}@camelot.bt` }, ['/username']]
      ]
      for (const [fields, paths] of forms) {
        const form = multipart(Object.entries(fields))
        for (const [type, payload] of [
          [FORM, new URLSearchParams(fields).toString()],
          [form.type, form.payload],
          ['application/json', JSON.stringify(fields)]
        ] as const) {
          const reply = await post(type, payload)
          const name = `${type.split(';')[0]} ${JSON.stringify(fields).slice(0, 100)}`
          if (paths === null) t.equal(reply.statusCode, 200, name)
          else assertValidationError(t, reply, paths, name)
          t.notOk(reply.body.includes(PASSWORD), 'the reply does not contain the password')
        }
      }
      assertValidationError(t, await post(FORM, ''), ['/password', '/username'], 'an empty form')
      assertValidationError(t, await post('application/json', ''), [''], 'no body')
      assertValidationError(t, await post('application/json', JSON.stringify({ ...good, password: 1 })), ['/password'], 'a number')
      assertValidationError(
        t,
        await post('application/json', JSON.stringify({ ...good, password: null, username: [ARTHUR] })),
        ['/password', '/username'],
        'null and an array'
      )
      assertValidationError(
        t,
        await post('application/json', '{"username":"a@camelot.bt","password":"\\ud800guinevere"}'),
        ['/password'],
        'a lone surrogate'
      )
    }
  )

  t.test(
    'row 8: is refused if it has a file, a repeated field, broken parts or an unsupported content type',
    async (t) => {
      const { create, post, sessions } = await app(t)
      await create()
      const pair = [
        ['username', ARTHUR],
        ['password', PASSWORD]
      ] as const
      const file =
        '--knight\r\ncontent-disposition: form-data; name="file"; filename="x.txt"\r\ncontent-type: text/plain\r\n\r\nx\r\n'
      const filePassword = `--knight\r\ncontent-disposition: form-data; name="password"; filename="p"\r\n\r\n${PASSWORD}\r\n`
      const multiparts = [
        multipart(pair, file),
        multipart([['username', ARTHUR]], filePassword),
        multipart([...pair, ['password', 'other']]),
        multipart(Array.from({ length: 11 }, (_, i) => [`f${i}`, 'x'] as const)),
        multipart([...pair, ['scope', 'x'.repeat(5000)]]),
        { type: 'multipart/form-data', payload: multipart(pair).payload },
        { type: 'multipart/form-data; boundary=knight', payload: multipart(pair).payload.slice(0, -20) }
      ]
      for (const { type, payload } of multiparts) {
        assertErrorReply(t, await post(type, payload, 'cookie'), 400, 'BAD_REQUEST', 'Bad Request', `${type} ${payload.length}`)
      }
      for (const payload of [
        `username=${ARTHUR}&password=${PASSWORD}&password=other`,
        `username=${ARTHUR}&username=x&password=${PASSWORD}`
      ]) {
        assertErrorReply(t, await post(FORM, payload, 'cookie'), 400, 'BAD_REQUEST', 'Bad Request', payload)
      }
      const form = new URLSearchParams(Object.fromEntries(pair)).toString()
      for (const type of ['text/plain', 'application/xml', 'application/octet-stream', null]) {
        t.equal((await post(type, form, 'cookie')).statusCode, 415, String(type))
      }
      t.equal((await post(FORM, `${form}&scope=${'x'.repeat(17_000)}`, 'cookie')).statusCode, 413)
      t.same(await sessions(), [])
    }
  )

  t.test(
    'row 8: is refused in every content type if it contains invalid UTF-8, raw or percent-encoded',
    async (t) => {
      const { create, post, sessions } = await app(t)
      await create({ email: 'merliné@camelot.bt', password: 'guinevere-\ufffd' })
      const send = (type: string, payload: Buffer) => post(type, payload, 'cookie')
      const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
      const user = encodeURIComponent('merliné@camelot.bt')
      const part = (name: string, value: Buffer, type = ''): Buffer =>
        Buffer.concat([
          bytes(`--k\r\ncontent-disposition: form-data; name="${name}"\r\n${type}\r\n`),
          value,
          bytes('\r\n')
        ])
      const parts = (...list: Buffer[]): Buffer => Buffer.concat([...list, bytes('--k--\r\n')])
      const MULTIPART = 'multipart/form-data; boundary=k'
      const named = part('username', Buffer.from('merliné@camelot.bt'))
      const json = (password: string): Buffer =>
        Buffer.concat([
          Buffer.from('{"username":"merliné@camelot.bt","password":"guinevere-'),
          bytes(password),
          bytes('"}')
        ])
      const INVALID = ['\xff', '\xc3', '\xc0\xaf', '\xed\xa0\x80', '\xf5\x80\x80\x80', '\xe9', '\xf0\x9f\x94']
      for (const invalid of INVALID) {
        const escaped = [...bytes(invalid)].map((byte) => `%${byte.toString(16)}`).join('')
        const mixed = escaped.length > 3 ? `${escaped.slice(0, -3)}${invalid.slice(-1)}` : escaped.toUpperCase()
        for (const text of [invalid, escaped, mixed]) {
          assertErrorReply(
            t,
            await send(FORM, bytes(`username=${user}&password=guinevere-${text}`)),
            400,
            'BAD_REQUEST',
            'Bad Request',
            `password=${JSON.stringify(text)}`
          )
          assertErrorReply(
            t,
            await send(FORM, bytes(`username=merlin${text}@camelot.bt&password=x`)),
            400,
            'BAD_REQUEST',
            'Bad Request',
            `username=${JSON.stringify(text)}`
          )
          assertErrorReply(
            t,
            await send(FORM, bytes(`username=${user}&password=x&m${text}=x`)),
            400,
            'BAD_REQUEST',
            'Bad Request',
            `name ${JSON.stringify(text)}`
          )
        }
        assertErrorReply(
          t,
          await send(MULTIPART, parts(named, part('password', bytes(`guinevere-${invalid}`)))),
          400,
          'BAD_REQUEST',
          'Bad Request',
          `multipart ${JSON.stringify(invalid)}`
        )
        assertErrorReply(
          t,
          await send(MULTIPART, parts(named, part('password', bytes('x')), part(invalid, bytes('x')))),
          400,
          'BAD_REQUEST',
          'Bad Request'
        )
        assertErrorReply(
          t,
          await send('application/json', json(invalid)),
          400,
          'BAD_REQUEST',
          'Bad Request',
          `JSON ${JSON.stringify(invalid)}`
        )
      }
      for (const [type, value] of [
        ['content-type: text/plain; charset=utf-16le\r\n', Buffer.from('guinevere-\ufffd', 'utf16le')],
        ['Content-Type: text/plain;\r\n charset=latin1\r\n', bytes('guinevere-\xc3\xa9')],
        ['content-type: text/plain; charset="iso-8859-1"\r\n', bytes('guinevere-\xe9')]
      ] as const) {
        assertErrorReply(
          t,
          await send(MULTIPART, parts(named, part('password', value, type))),
          400,
          'BAD_REQUEST',
          'Bad Request',
          type
        )
      }
      t.same(await sessions(), [])
      t.equal(
        (await send(FORM, bytes(`username=${user}&password=guinevere-%EF%BF%BD`))).statusCode,
        204,
        'U+FFFD itself is accepted'
      )
      t.equal(
        (
          await send(
            MULTIPART,
            parts(
              named,
              part('password', Buffer.from('guinevere-\ufffd'), 'content-type: text/plain; charset=UTF-8\r\n')
            )
          )
        ).statusCode,
        204
      )
      t.equal((await send(FORM, bytes(`username=${user}&password=100%`))).statusCode, 400)
      await create({ email: 'galahad@camelot.bt', password: '100% guinevere %zz' })
      t.equal(
        (await send(FORM, bytes('username=galahad@camelot.bt&password=100%+guinevere+%zz'))).statusCode,
        204,
        'a percent sign without two hex digits is kept'
      )
    }
  )

  t.test('LOG-10: is the only source of credentials', async (t) => {
    const { create, app: fastify } = await app(t)
    await create()
    const query = new URLSearchParams({ username: ARTHUR, password: PASSWORD }).toString()
    for (const headers of [
      {},
      { 'content-type': FORM },
      { 'content-type': 'application/json' },
      { authorization: `Basic ${Buffer.from(`${ARTHUR}:${PASSWORD}`).toString('base64')}` }
    ]) {
      const reply = await fastify.inject({ method: 'POST', url: `/auth/jwt/login?${query}`, headers })
      t.equal(reply.statusCode, 400, JSON.stringify(headers))
      t.equal(reply.json<{ code: string }>().code, 'FST_ERR_VALIDATION')
    }
    for (const method of ['GET', 'HEAD', 'PUT'] as const) {
      t.equal((await fastify.inject({ method, url: `/auth/jwt/login?${query}` })).statusCode, 404, method)
    }
  })
})

t.test('a failed login', async (t) => {
  t.test(
    'rows 10, 17, LOG-01: gets the same reply for an unknown, inactive or unverified user and for a wrong password',
    async (t) => {
      for (const backend of ['jwt', 'cookie']) {
        const { create, login, sessions } = await app(t, { requireVerification: true })
        await create({ is_verified: true })
        await create({ email: 'unverified@camelot.bt' })
        await create({ email: 'inactive@camelot.bt', is_verified: true, is_active: false })
        await create({ email: 'both@camelot.bt', is_active: false })
        const attempts: [string, string][] = [
          ['nobody@camelot.bt', PASSWORD],
          [ARTHUR, 'wrong-password'],
          ['unverified@camelot.bt', 'wrong-password'],
          ['inactive@camelot.bt', PASSWORD],
          ['inactive@camelot.bt', 'wrong-password'],
          ['both@camelot.bt', PASSWORD],
          [`x ${ARTHUR}`, PASSWORD],
          [`${ARTHUR} x`, PASSWORD],
          [ARTHUR.replace('@', ' @'), PASSWORD],
          [`Arthur <${ARTHUR}>`, PASSWORD],
          ['no address', PASSWORD],
          ['a\u0000b', PASSWORD],
          ['%', PASSWORD],
          ["' or 1=1 --", PASSWORD],
          [ARTHUR, PASSWORD.toUpperCase()],
          [ARTHUR, `${PASSWORD} `],
          [ARTHUR, ` ${PASSWORD}`],
          [ARTHUR, PASSWORD.slice(0, -1)],
          [ARTHUR, `${PASSWORD}\u0000`]
        ]
        const replies = []
        for (const [username, password] of attempts) replies.push(await login(backend, username, password))
        for (const [i, reply] of replies.entries()) {
          assertErrorReply(t, reply, 400, 'LOGIN_BAD_CREDENTIALS', undefined, JSON.stringify(attempts[i]))
          t.same(comparableReply(reply), comparableReply(replies[0] as typeof reply))
        }
        t.same(await sessions(), [])
      }
    }
  )

  t.test('row 66, LOG-02: costs one hash for known and unknown users', async (t) => {
    const { passwords, calls } = countedPasswords()
    const { create, login, setHash } = await app(t, { passwords, requireVerification: true })
    const accounts = {
      good: { is_verified: true },
      inactive: { is_active: false, is_verified: true },
      unverified: {},
      broken: {},
      empty: {},
      foreign: {}
    }
    for (const [name, flags] of Object.entries(accounts)) await create({ email: `${name}@camelot.bt`, ...flags })
    await setHash('no hash at all', 'broken@camelot.bt')
    await setHash('', 'empty@camelot.bt')
    await setHash(
      '$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E',
      'foreign@camelot.bt'
    )
    const cost = async (username: string, password: string): Promise<string[]> => {
      calls.length = 0
      await login('jwt', username, password)
      return [...calls]
    }
    t.same(await cost('nobody@camelot.bt', PASSWORD), ['hash'])
    t.same(await cost('no e-mail', PASSWORD), ['hash'])
    for (const name of Object.keys(accounts)) {
      t.same(await cost(`${name}@camelot.bt`, 'wrong-password'), ['verify'], `${name}, wrong password`)
      t.same(await cost(`${name}@camelot.bt`, PASSWORD), ['verify'], `${name}, right password`)
    }
  })

  t.test('PW-10: is the result of a stored hash that cannot be read', async (t) => {
    const { create, login, setHash } = await app(t)
    await create()
    for (const hash of [
      '',
      'x',
      PASSWORD,
      '!',
      '$argon2id$',
      '$argon2id$v=19$m=8,t=1,p=1$$',
      '$2b$12$short',
      '$1$abc$def',
      '{SHA}x',
      'a'.repeat(1024)
    ]) {
      await setHash(hash)
      assertErrorReply(t, await login('jwt', ARTHUR), 400, 'LOGIN_BAD_CREDENTIALS', undefined, hash.slice(0, 40))
      t.equal(
        (await login('jwt', ARTHUR, hash || 'x')).statusCode,
        400,
        'the stored text is not accepted as a password'
      )
    }
  })
})

t.test(
  'row 11: an unverified user with the right password gets LOGIN_USER_NOT_VERIFIED if verification is required',
  async (t) => {
    const { create, login, app: fastify } = await app(t, { requireVerification: true })
    const { id } = await create()
    for (const backend of ['jwt', 'cookie']) {
      assertErrorReply(t, await login(backend, ARTHUR), 400, 'LOGIN_USER_NOT_VERIFIED')
      assertErrorReply(t, await login(backend, ARTHUR, 'wrong-password'), 400, 'LOGIN_BAD_CREDENTIALS')
    }
    await fastify.users.update(id, { is_verified: true })
    t.equal((await login('jwt', ARTHUR)).statusCode, 200)
    const withoutVerification = await app(t)
    await withoutVerification.create()
    t.equal((await withoutVerification.login('jwt', ARTHUR)).statusCode, 200, 'without required verification the login succeeds')
  }
)

t.test('row 12: a login accepts the e-mail in any case', async (t) => {
  const { create, login } = await app(t)
  await create({ email: 'King.Arthur@camelot.bt' })
  for (const username of ['King.Arthur@camelot.bt', 'king.arthur@camelot.bt', 'KING.ARTHUR@CAMELOT.BT']) {
    t.equal((await login('jwt', username)).statusCode, 200, username)
  }
})

t.test('PW-04: NFC and NFD of a password are equal; a ligature differs from its letters', async (t) => {
  const { create, login } = await app(t)
  await create({ password: 'caf\u00e9-guinevere' })
  await create({ email: LANCELOT, password: 'caf\u0065\u0301-lancelot' })
  t.equal((await login('jwt', ARTHUR, 'caf\u0065\u0301-guinevere')).statusCode, 200)
  t.equal((await login('jwt', LANCELOT, 'caf\u00e9-lancelot')).statusCode, 200)
  await create({ email: 'fi@camelot.bt', password: 'ﬁ-guinevere' })
  t.equal((await login('jwt', 'fi@camelot.bt', 'fi-guinevere')).statusCode, 400)
})

t.test('PW-01: a password does not expire', async (t) => {
  const { create, login, tick } = await app(t)
  await create()
  tick(20 * 365 * 86_400)
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
})

t.test('PW-02: every character of a long password counts', async (t) => {
  const { create, login } = await app(t)
  const password = `${'correct horse '.repeat(7)}a`
  await create({ password })
  t.equal((await login('jwt', ARTHUR, password)).statusCode, 200)
  for (const wrong of [
    `${'correct horse '.repeat(7)}b`,
    password.slice(0, 72),
    `${password} `,
    password.toUpperCase()
  ]) {
    t.equal((await login('jwt', ARTHUR, wrong)).statusCode, 400)
  }
})

t.test('cookies', async (t) => {
  const backendOf = (options: CookieTransportOptions): UsersOptions['backends'] => [
    { name: 'cookie', transport: cookieTransport(options), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
  ]

  /** Parses the only Set-Cookie header of a reply into name, value and attributes. */
  function parse (header: unknown): { name: string | undefined; value: string | undefined; attributes: string[] } {
    const [pair = '', ...attributes] = String(header).split('; ')
    const at = pair.indexOf('=')
    return { name: pair.slice(0, at), value: pair.slice(at + 1), attributes: attributes.sort() }
  }

  t.test(
    'row 13, CK-01, CK-10: a login replies 204 and sets a __Host- cookie that ends with the browser session',
    async (t) => {
      const { create, login } = await app(t)
      await create()
      const reply = await login('cookie', ARTHUR)
      t.equal(reply.statusCode, 204)
      t.equal(reply.body, '')
      for (const name of ['content-type', 'content-length']) t.equal(reply.headers[name], undefined, name)
      t.equal(reply.headers['cache-control'], 'no-store')
      const { name, value, attributes } = parse(reply.headers['set-cookie'])
      t.equal(name, '__Host-users-cookie')
      t.match(value, TOKEN)
      t.same(attributes, ['HttpOnly', 'Path=/', 'SameSite=Lax', 'Secure'])
    }
  )

  const table: [options: CookieTransportOptions, name: string, attributes: string[]][] = [
    [{}, '__Host-users-cookie', ['HttpOnly', 'Path=/', 'SameSite=Lax', 'Secure']],
    [{ maxAge: 3600 }, '__Host-users-cookie', ['HttpOnly', 'Max-Age=3600', 'Path=/', 'SameSite=Lax', 'Secure']],
    [{ maxAge: 1_000_000 }, '__Host-users-cookie', ['HttpOnly', 'Max-Age=86400', 'Path=/', 'SameSite=Lax', 'Secure']],
    [{ path: '/app' }, 'users-cookie', ['HttpOnly', 'Path=/app', 'SameSite=Lax', 'Secure']],
    [{ domain: 'camelot.bt' }, 'users-cookie', ['Domain=camelot.bt', 'HttpOnly', 'Path=/', 'SameSite=Lax', 'Secure']],
    [{ sameSite: 'strict' }, '__Host-users-cookie', ['HttpOnly', 'Path=/', 'SameSite=Strict', 'Secure']],
    [{ sameSite: 'none' }, '__Host-users-cookie', ['HttpOnly', 'Path=/', 'SameSite=None', 'Secure']],
    [
      { name: 'sess', domain: 'camelot.bt', path: '/x', secure: false, httpOnly: false, sameSite: 'strict' },
      'sess',
      ['Domain=camelot.bt', 'Path=/x', 'SameSite=Strict']
    ]
  ]

  t.test(
    'rows 13, 14, 16, CK-01: the cookie has each configured attribute, and logout clears it with the same attributes',
    async (t) => {
      for (const [options, name, attributes] of table) {
        const { create, login, send } = await app(t, { backends: backendOf(options) })
        await create()
        const set = await login('cookie', ARTHUR)
        t.equal(set.statusCode, 204)
        t.match(parse(set.headers['set-cookie']), { name, value: TOKEN }, JSON.stringify(options))
        t.same(parse(set.headers['set-cookie']).attributes, attributes)
        const clear = await send('POST', '/auth/cookie/logout', undefined, { cookie: cookieOf(set) })
        t.equal(clear.statusCode, 204)
        t.equal(clear.body, '')
        t.same(parse([clear.headers['set-cookie']].flat().at(-1)), {
          name,
          value: '',
          attributes: [...attributes.filter((one) => !one.startsWith('Max-Age')), 'Max-Age=0'].sort()
        })
      }
    }
  )

  t.test('CK-06: Secure is set whatever the forwarded headers say about the protocol', async (t) => {
    const { create, post } = await app(t)
    await create()
    const reply = await post(FORM, new URLSearchParams({ username: ARTHUR, password: PASSWORD }).toString(), 'cookie', {
      'x-forwarded-proto': 'http',
      forwarded: 'proto=http'
    })
    t.ok(parse(reply.headers['set-cookie']).attributes.includes('Secure'))
  })

  t.test(
    'LOG-03: a login ends the session whose cookie the browser sent, even a session of another user',
    async (t) => {
      const { create, cookie, post, send, sessions } = await app(t)
      await create()
      await create({ email: LANCELOT })
      const old = await cookie(ARTHUR)
      const form = (username: string, password = PASSWORD): string =>
        new URLSearchParams({ username, password }).toString()
      t.equal((await post(FORM, form(LANCELOT, 'wrong-password'), 'cookie', old)).statusCode, 400)
      t.equal((await send('GET', '/users/me', undefined, old)).statusCode, 200, 'a failed login keeps the session')

      const fresh = await post(FORM, form(LANCELOT), 'cookie', old)
      t.equal(fresh.statusCode, 204)
      t.equal((await send('GET', '/users/me', undefined, old)).statusCode, 401)
      t.match((await send('GET', '/users/me', undefined, { cookie: cookieOf(fresh) })).json<object>(), {
        email: LANCELOT
      })
      t.equal((await sessions()).length, 1)

      const fixed = { cookie: `__Host-users-cookie=${'A'.repeat(43)}` }
      const after = await post(FORM, form(ARTHUR), 'cookie', fixed)
      t.equal(after.statusCode, 204)
      t.not(cookieOf(after), fixed.cookie)
      t.equal(
        (await send('GET', '/users/me', undefined, fixed)).statusCode,
        401,
        'a token that an attacker chose does not become a session'
      )
      const other = await post(FORM, form(ARTHUR), 'cookie', { cookie: `other=1; ${cookieOf(fresh)}; more=2` })
      t.equal(other.statusCode, 204)
      t.equal(
        (await send('GET', '/users/me', undefined, { cookie: cookieOf(fresh) })).statusCode,
        401,
        'the old session ends when the request has other cookies too'
      )
      t.equal((await sessions()).length, 2)
    }
  )
})

t.test('events', async (t) => {
  t.test('row 60, PW-13: a login emits its events in order, without the password or its hash', async (t) => {
    for (const [backend, status] of [
      ['jwt', 200],
      ['cookie', 204]
    ] as const) {
      const { create, login, events } = await app(t)
      const user = await create()
      events.length = 0
      t.equal((await login(backend, ARTHUR)).statusCode, status)
      t.match(events, [
        { name: 'onBeforeLogin', user, backend, method: 'password' },
        { name: 'onIssueToken', user, backend, issued: { token: String } },
        { name: 'onAfterLogin', user, backend, method: 'password' }
      ])
      t.equal(events.length, 3)
      t.notMatch(JSON.stringify(events), /guinevere|argon2/)
    }
  })

  t.test('a failed login reports its reason to onLoginFailed only', async (t) => {
    const { create, login, events } = await app(t, { requireVerification: true })
    const users = {
      inactive: await create({ email: 'inactive@camelot.bt', is_active: false, is_verified: true }),
      unverified: await create({ email: 'unverified@camelot.bt' }),
      arthur: await create({ is_verified: true })
    }
    const cases = [
      ['nobody@camelot.bt', PASSWORD, 'UNKNOWN_USER', null],
      [ARTHUR, 'wrong-password', 'WRONG_PASSWORD', users.arthur],
      ['inactive@camelot.bt', PASSWORD, 'INACTIVE', users.inactive],
      ['inactive@camelot.bt', 'wrong-password', 'WRONG_PASSWORD', users.inactive],
      ['unverified@camelot.bt', PASSWORD, 'NOT_VERIFIED', users.unverified]
    ] as const
    for (const [username, password, reason, user] of cases) {
      events.length = 0
      await login('cookie', username, password)
      t.same(events, [{ name: 'onLoginFailed', username, user, backend: 'cookie', reason }], reason)
    }
  })

  t.test('row 61: onAfterLogin receives the request and can add headers to the reply', async (t) => {
    const { create, login } = await app(t, {
      hooks: {
        async onAfterLogin ({ user, backend }, { request, reply }) {
          reply?.header('x-welcome', `${user.email} ${backend} ${request?.routeOptions.url}`)
        }
      }
    })
    await create()
    for (const backend of ['jwt', 'cookie']) {
      t.equal((await login(backend, ARTHUR)).headers['x-welcome'], `${ARTHUR} ${backend} /auth/${backend}/login`)
    }
  })

  t.test('onIssueToken can add refresh_token and expires_in to a bearer reply, and no other fields', async (t) => {
    const { create, login } = await app(t, {
      hooks: {
        async onIssueToken ({ issued }) {
          Object.assign(issued, { refresh_token: 'refresh', expires_in: issued.lifetimeSeconds, secret: 'x' })
        }
      }
    })
    await create()
    const { access_token: token, ...rest } = (await login('jwt', ARTHUR)).json<Record<string, unknown>>()
    t.type(token, 'string')
    t.same(rest, { token_type: 'bearer', expires_in: 3600, refresh_token: 'refresh' })
    const cookie = await login('cookie', ARTHUR)
    t.equal(cookie.statusCode, 204)
    t.equal(cookie.body, '')
  })

  t.test(
    'onBeforeLogin can require a further step: the reply is 403 with its code and body, and no session is created',
    async (t) => {
      const { create, login, events, sessions } = await app(t, {
        hooks: {
          async onBeforeLogin ({ user }) {
            if (user.email === ARTHUR) {
              return { pending: { code: 'TOTP_REQUIRED', body: { ticket: 't-1', methods: ['totp'] } } }
            }
          }
        }
      })
      await create()
      await create({ email: LANCELOT })
      for (const backend of ['jwt', 'cookie']) {
        events.length = 0
        const reply = await login(backend, ARTHUR)
        assertErrorReply(t, reply, 403, 'LOGIN_PENDING', { code: 'TOTP_REQUIRED', ticket: 't-1', methods: ['totp'] })
        t.equal(reply.headers['set-cookie'], undefined)
        t.same(events, [], 'no token was issued')
        assertErrorReply(t, await login(backend, ARTHUR, 'wrong-password'), 400, 'LOGIN_BAD_CREDENTIALS')
      }
      t.same(await sessions(), [])
      t.equal((await login('jwt', LANCELOT)).statusCode, 200)
    }
  )

  t.test('LOG-06: a hook that throws stops the login, and no session stays in the store', async (t) => {
    const cases = [
      [Object.assign(new Error('blocked'), { statusCode: 403, code: 'APP_BLOCKED' }), 403, 'APP_BLOCKED'],
      [new Error('database password is x'), 500, 'FST_USERS_INTERNAL_ERROR']
    ] as const
    for (const event of ['onBeforeLogin', 'onIssueToken', 'onAfterLogin'] as const) {
      for (const [error, statusCode, code] of cases) {
        const tokens: string[] = []
        const { create, login, sessions, events, send } = await app(t, {
          hooks: {
            async onIssueToken ({ issued }) {
              tokens.push(issued.token)
            },
            [event]: async (payload: { issued?: { token: string } }) => {
              if (payload.issued !== undefined) tokens.push(payload.issued.token)
              throw error
            }
          }
        })
        await create()
        events.length = 0
        for (const backend of ['jwt', 'cookie']) {
          const reply = await login(backend, ARTHUR)
          t.match(reply.json<object>(), { statusCode, code }, `${event} ${backend}`)
          t.equal(reply.headers['set-cookie'], undefined)
          t.notMatch(reply.body, /access_token|database password/)
        }
        t.same(await sessions(), [], `${event}: no session is stored`)
        for (const token of tokens.filter((one) => TOKEN.test(one))) {
          t.equal(
            (await send('GET', '/users/me', undefined, { cookie: `__Host-users-cookie=${token}` })).statusCode,
            401
          )
        }
        if (event === 'onBeforeLogin') {
          t.match(events, [
            { name: 'onLoginFailed', reason: 'REFUSED', backend: 'jwt' },
            { name: 'onLoginFailed', reason: 'REFUSED', backend: 'cookie' }
          ])
        }
      }
    }
  })

  t.test('LOG-02: a wrong password is refused with the error that onLoginFailed throws', async (t) => {
    const { create, login, sessions } = await app(t, {
      hooks: {
        async onLoginFailed () {
          throw Object.assign(new Error('slow down'), { statusCode: 429, code: 'APP_SLOW_DOWN' })
        }
      }
    })
    await create()
    t.match((await login('cookie', ARTHUR, 'wrong-password')).json<object>(), {
      statusCode: 429,
      code: 'APP_SLOW_DOWN'
    })
    t.same(await sessions(), [])
  })

  t.test('row 60: a logout emits onAfterLogout once, with the backend that authenticated the request', async (t) => {
    const { create, bearer, cookie, events, send } = await app(t)
    const user = await create()
    for (const [headers, backend] of [
      [await bearer(ARTHUR), 'jwt'],
      [await cookie(ARTHUR), 'cookie']
    ] as const) {
      events.length = 0
      t.equal((await send('POST', '/auth/jwt/logout', undefined, headers)).statusCode, 204)
      t.match(events, [{ name: 'onAfterLogout', user, backend, session: { methods: ['password'] } }])
      t.equal(events.length, 1)
    }
  })
})

t.test('an upgrade of the stored hash during parallel changes', async (t) => {
  t.test('PW-09, RACE-01: parallel logins that upgrade one hash all succeed, and their sessions work', async (t) => {
    const { create, login, setHash, send, userRow } = await app(t)
    await create()
    await setHash(await weakerHash('excalibur-1'))
    const replies = await Promise.all(
      Array.from({ length: 6 }, (_, i) => login(i % 2 === 0 ? 'jwt' : 'cookie', ARTHUR, 'excalibur-1'))
    )
    for (const [i, reply] of replies.entries()) {
      t.equal(reply.statusCode, i % 2 === 0 ? 200 : 204)
      const headers =
        i % 2 === 0
          ? { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
          : { cookie: cookieOf(reply) }
      t.equal((await send('GET', '/users/me', undefined, headers as Record<string, string>)).statusCode, 200)
    }
    t.match((await userRow())?.['hashed_password'], /^\$argon2id\$v=19\$m=8,t=1,p=1\$/)
  })

  t.test('RACE-01: an upgrade does not overwrite a password that changed at the same time', async (t) => {
    const old = await weakerHash('excalibur-1')
    let meanwhile = async (): Promise<void> => {}
    const passwords: PasswordHelper = {
      ...fastPasswords,
      async verifyAndUpdate (password, hash) {
        const result = await fastPasswords.verifyAndUpdate(password, hash)
        await meanwhile()
        return result
      }
    }
    const { create, login, setHash, app: fastify, userRow } = await app(t, { passwords })
    const { id } = await create()
    await setHash(old)
    meanwhile = async () => {
      meanwhile = async () => {}
      await fastify.users.update(id, { password: 'changed-pass-1' })
    }
    assertErrorReply(t, await login('jwt', ARTHUR, 'excalibur-1'), 400, 'LOGIN_BAD_CREDENTIALS')
    t.match((await userRow())?.['hashed_password'], /^\$argon2id\$v=19\$m=8,t=1,p=1\$/)
    t.equal((await login('jwt', ARTHUR, 'changed-pass-1')).statusCode, 200)
    t.equal((await login('jwt', ARTHUR, 'excalibur-1')).statusCode, 400)
  })
})

t.test('row 65: a custom password helper creates, verifies and replaces all hashes', async (t) => {
  const reverse = (text: string): string => [...text].reverse().join('')
  const passwords: PasswordHelper = {
    hash: async (password) => `v2:${reverse(password)}`,
    verifyAndUpdate: async (password, hash) => {
      const ok = hash === `v2:${reverse(password)}` || hash === `v1:${password}`
      return { ok, newHash: ok && hash.startsWith('v1:') ? `v2:${reverse(password)}` : null }
    },
    generate: () => 'generated'
  }
  const { register, login, setHash, userRow, send, bearer } = await app(t, { passwords })
  await register()
  t.equal((await userRow())?.['hashed_password'], `v2:${reverse(PASSWORD)}`)
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
  t.equal((await login('jwt', ARTHUR, 'wrong-password')).statusCode, 400)
  await setHash('v1:excalibur-1')
  t.equal((await login('jwt', ARTHUR, 'excalibur-1')).statusCode, 200)
  t.equal((await userRow())?.['hashed_password'], `v2:${reverse('excalibur-1')}`)
  await send('PATCH', '/users/me', { password: 'guinevere-2' }, await bearer(ARTHUR, 'excalibur-1'))
  t.equal((await userRow())?.['hashed_password'], `v2:${reverse('guinevere-2')}`)
})

t.test('logout', async (t) => {
  t.test('row 15: of a bearer session replies 204; a JWT stays valid, because the server stores none', async (t) => {
    const { create, bearer, send } = await app(t)
    await create()
    const headers = await bearer(ARTHUR)
    for (const more of [{}, { 'content-type': 'application/json' }]) {
      const reply = await send('POST', '/auth/jwt/logout', undefined, { ...headers, ...more })
      t.equal(reply.statusCode, 204)
      t.equal(reply.body, '')
      for (const name of ['content-type', 'content-length', 'set-cookie']) t.equal(reply.headers[name], undefined, name)
      t.equal(reply.headers['cache-control'], 'no-store')
    }
    t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 200)
  })

  t.test(
    'rows 16, 22, LOG-07: of a cookie session deletes its row and clears the cookie; a second logout is 401',
    async (t) => {
      const { create, cookie, send, sessions } = await app(t)
      await create()
      const [first, second] = [await cookie(ARTHUR), await cookie(ARTHUR)]
      t.equal((await sessions()).length, 2)
      const reply = await send('POST', '/auth/cookie/logout', { anything: 'is ignored' }, first)
      t.equal(reply.statusCode, 204)
      t.match(reply.headers['set-cookie'], /^__Host-users-cookie=; Max-Age=0; /)
      t.equal((await sessions()).length, 1)
      t.equal((await send('GET', '/users/me', undefined, first)).statusCode, 401)
      assertErrorReply(t, await send('POST', '/auth/cookie/logout', undefined, first), 401, 'UNAUTHENTICATED', 'Unauthorized')
      t.equal((await send('GET', '/users/me', undefined, second)).statusCode, 200, 'the other session stays valid')
    }
  )

  t.test(
    'LOG-07: ends a session through the strategy that authenticated it, at the route of any backend',
    async (t) => {
      const backends: UsersOptions['backends'] = [
        { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
        { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) },
        { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
      ]
      const { create, cookie, login, send, sessions } = await app(t, { backends })
      await create()
      const ofDb = {
        authorization: `Bearer ${(await login('db', ARTHUR)).json<{ access_token: string }>().access_token}`
      }
      t.equal((await send('POST', '/auth/jwt/logout', undefined, ofDb)).statusCode, 204)
      t.equal((await send('GET', '/users/me', undefined, ofDb)).statusCode, 401)
      const ofCookie = await cookie(ARTHUR)
      t.equal((await send('POST', '/auth/db/logout', undefined, ofCookie)).statusCode, 204)
      t.equal((await send('GET', '/users/me', undefined, ofCookie)).statusCode, 401)
      const again = {
        authorization: `Bearer ${(await login('db', ARTHUR)).json<{ access_token: string }>().access_token}`
      }
      const reply = await send('POST', '/auth/cookie/logout', undefined, again)
      t.equal(reply.statusCode, 204)
      t.match(reply.headers['set-cookie'], /Max-Age=0/)
      t.equal((await send('GET', '/users/me', undefined, again)).statusCode, 401)
      t.same(await sessions(), [])
    }
  )

  t.test(
    "LOG-07: at the cookie backend's route ends the cookie's session, even if a bearer token authenticated too",
    async (t) => {
      const { create, bearer, cookie, send, sessions } = await app(t)
      await create()
      await create({ email: LANCELOT })
      const [ofBearer, ofCookie] = [await bearer(ARTHUR), await cookie(LANCELOT)]
      const reply = await send('POST', '/auth/cookie/logout', undefined, { ...ofBearer, ...ofCookie })
      t.equal(reply.statusCode, 204)
      t.match(reply.headers['set-cookie'], /Max-Age=0/)
      t.equal((await send('GET', '/users/me', undefined, ofCookie)).statusCode, 401)
      t.same(await sessions(), [])
    }
  )

  t.test('LOG-07: ends only the session that the request presents to the backend, or is refused', async (t) => {
    const backends: UsersOptions['backends'] = [
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
      { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) },
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
    ]
    // the backend of the logout route, extra headers, the status, and which of the two sessions stays valid
    const table: [string, Record<string, string>, number, { bearer: boolean; cookie: boolean }][] = [
      ['cookie', {}, 204, { bearer: true, cookie: false }],
      ['db', {}, 204, { bearer: false, cookie: true }],
      ['jwt', {}, 401, { bearer: true, cookie: true }],
      ['cookie', { origin: 'https://evil.example' }, 403, { bearer: true, cookie: true }],
      ['db', { origin: 'https://evil.example' }, 204, { bearer: false, cookie: true }]
    ]
    for (const order of [backends, backends.toReversed()]) {
      const { create, cookie, login, send, events } = await app(t, { backends: order })
      await create()
      await create({ email: LANCELOT })
      for (const [backend, more, status, lives] of table) {
        const ofBearer = {
          authorization: `Bearer ${(await login('db', ARTHUR)).json<{ access_token: string }>().access_token}`
        }
        const ofCookie = await cookie(LANCELOT)
        const reply = await send('POST', `/auth/${backend}/logout`, undefined, { ...ofBearer, ...ofCookie, ...more })
        const about = `${backend} ${JSON.stringify(more)}`
        t.equal(reply.statusCode, status, about)
        t.equal(
          reply.headers['set-cookie'] !== undefined,
          !lives.cookie,
          `${about}: the cookie is cleared when its session has ended`
        )
        if (status === 204) {
          t.match(
            events.at(-1),
            { name: 'onAfterLogout', backend, user: { email: backend === 'db' ? ARTHUR : LANCELOT } },
            about
          )
        }
        t.same(
          {
            bearer: (await send('GET', '/users/me', undefined, ofBearer)).statusCode === 200,
            cookie: (await send('GET', '/users/me', undefined, ofCookie)).statusCode === 200
          },
          lives,
          about
        )
      }
    }
  })

  t.test('LOG-07: of a session that may not log out is 403, and no other session of the request ends', async (t) => {
    const { create, bearer, cookie, send, app: fastify, sessions } = await app(t, { requireVerification: true })
    await create({ is_verified: true })
    const { id } = await create({ email: LANCELOT, is_verified: true })
    const headers = { ...(await bearer(ARTHUR)), ...(await cookie(LANCELOT)) }
    await fastify.users.update(id, { is_verified: false })
    const reply = await send('POST', '/auth/cookie/logout', undefined, headers)
    assertErrorReply(t, reply, 403, 'FORBIDDEN', 'Forbidden')
    t.equal(reply.headers['set-cookie'], undefined)
    t.equal((await sessions()).length, 1)
  })

  t.test(
    'row 17: requires a valid session of an active user, who is verified if requireVerification is set',
    async (t) => {
      for (const requireVerification of [false, true]) {
        const { create, bearer, cookie, send, app: fastify } = await app(t, { requireVerification })
        const { id } = await create({ is_verified: true })
        for (const backend of ['jwt', 'cookie']) {
          const anonymous = await send('POST', `/auth/${backend}/logout`)
          assertErrorReply(t, anonymous, 401, 'UNAUTHENTICATED', 'Unauthorized')
          t.equal(anonymous.headers['www-authenticate'], 'Bearer')
          t.equal(anonymous.headers['set-cookie'], undefined)
          assertErrorReply(
            t,
            await send('POST', `/auth/${backend}/logout`, undefined, {
              authorization: 'Bearer nonsense',
              cookie: '__Host-users-cookie=nonsense'
            }),
            401,
            'UNAUTHENTICATED',
            'Unauthorized'
          )
          for (const start of [bearer, cookie]) {
            const headers: Record<string, string> = await start(ARTHUR)
            await fastify.users.update(id, { is_verified: false })
            const reply = await send('POST', `/auth/${backend}/logout`, undefined, headers)
            if (requireVerification) assertErrorReply(t, reply, 403, 'FORBIDDEN', 'Forbidden')
            else t.equal(reply.statusCode, 204)
            await fastify.users.update(id, { is_verified: true })
          }
          for (const headers of [await bearer(ARTHUR), await cookie(ARTHUR)] as Record<string, string>[]) {
            await fastify.users.update(id, { is_active: false })
            assertErrorReply(
              t,
              await send('POST', `/auth/${backend}/logout`, undefined, headers),
              401,
              'UNAUTHENTICATED',
              'Unauthorized'
            )
            await fastify.users.update(id, { is_active: true })
          }
        }
      }
    }
  )

  t.test('LOG-08: accepts only POST', async (t) => {
    const { create, cookie, app: fastify, send } = await app(t)
    await create()
    const headers = await cookie(ARTHUR)
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH'] as const) {
      t.equal((await fastify.inject({ method, url: '/auth/cookie/logout', headers })).statusCode, 404, method)
    }
    t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 200)
  })

  t.test('LOG-09: sends cache-control: no-store and no Clear-Site-Data', async (t) => {
    const { create, cookie, send } = await app(t)
    await create()
    const { headers } = await send('POST', '/auth/cookie/logout', undefined, await cookie(ARTHUR))
    t.equal(headers['cache-control'], 'no-store')
    t.equal(headers['clear-site-data'], undefined)
  })
})

t.test('app.users.login and app.users.checkCredentials work without a request', async (t) => {
  const { create, app: fastify, send, events } = await app(t)
  await create()
  events.length = 0
  t.equal(await fastify.users.checkCredentials({ username: ARTHUR, password: 'wrong-password' }), null)
  t.equal(
    await fastify.users.checkCredentials({ username: 'nobody@camelot.bt', password: PASSWORD }, { backend: 'jwt' }),
    null
  )
  t.match(events, [
    { name: 'onLoginFailed', reason: 'WRONG_PASSWORD', backend: null },
    { name: 'onLoginFailed', reason: 'UNKNOWN_USER', backend: 'jwt' }
  ])
  t.equal(await fastify.users.checkCredentials({ username: ARTHUR, password: 'x'.repeat(2000) }), null)
  t.equal(await fastify.users.checkCredentials({ username: ARTHUR, password: '\ud800' }), null)
  const row = await fastify.users.checkCredentials({ username: ARTHUR, password: PASSWORD })
  if (row === null) throw new Error('no row')
  const { issued } = await fastify.users.login(row, { backend: 'cookie', method: 'magic' })
  t.match(events.at(-1), { name: 'onAfterLogin', method: 'magic', backend: 'cookie' })
  t.equal(
    (await send('GET', '/users/me', undefined, { cookie: `__Host-users-cookie=${issued?.token}` })).statusCode,
    200
  )
  await t.rejects(fastify.users.login(row, { backend: 'nope' }), { code: 'FST_USERS_UNKNOWN_BACKEND' })
  await t.rejects(fastify.users.login({ ...row, is_active: false }, { backend: 'jwt' }), {
    code: 'FST_USERS_LOGIN_BAD_CREDENTIALS'
  })
})

t.test('LOG-05: app.users.login requires verification as the routes do', async (t) => {
  const { create, app: fastify, sessions } = await app(t, { requireVerification: true })
  await create()
  const row = await fastify.users.checkCredentials({ username: ARTHUR, password: PASSWORD })
  if (row === null) throw new Error('no row')
  for (const method of ['password', 'oauth', 'magic']) {
    await t.rejects(fastify.users.login(row, { backend: 'cookie', method }), {
      code: 'FST_USERS_LOGIN_USER_NOT_VERIFIED'
    })
  }
  t.same(await sessions(), [])
})
