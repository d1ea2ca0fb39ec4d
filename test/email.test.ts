import BetterSqlite from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import { join } from 'node:path'
import { domainToASCII } from 'node:url'
import t, { type Test } from 'tap'
import { userSchemas, type DatabaseAdapter } from '../lib/index.js'
import { kysely, type KyselyInstance } from '../lib/entries/kysely.js'
import { memory } from '../lib/entries/memory.js'
import { mongodb } from '../lib/entries/mongodb.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { userModel } from '../lib/users/index.js'
import { parseEmail, storedForms } from '../lib/users/email.js'
import { ARTHUR, buildApp, assertValidationError, PASSWORD, assertErrorReply, comparableReply } from './helpers/build-app.js'
import { freshDbOn, stores as mongoStores } from './helpers/mongo-stores.js'
import { makeMysqlPool, needsMysql } from './helpers/mysql.js'
import { makePool, needsPostgres } from './helpers/postgres.js'

interface Store {
  name: string
  options: { skip?: string | false }
  make: (t: Test) => DatabaseAdapter | Promise<DatabaseAdapter>
}

const createTables = true
const stores: Store[] = [
  { name: 'memory()', options: {}, make: () => memory() },
  { name: 'sqlite()', options: {}, make: (t) => sqlite(join(t.testdir(), 'users.sqlite')) },
  {
    name: 'postgres()',
    options: await needsPostgres(),
    make: async (t) => postgres((await makePool(t)).pool, { createTables })
  },
  {
    name: 'mysql()',
    options: await needsMysql(),
    make: async (t) => mysql((await makeMysqlPool(t)).pool, { createTables })
  },
  {
    name: 'kysely()',
    options: {},
    make: (t) =>
      kysely(
        new Kysely({
          dialect: new SqliteDialect({ database: new BetterSqlite(join(t.testdir(), 'users.sqlite')) })
        }) as unknown as KyselyInstance,
        { createTables }
      )
  },
  ...mongoStores.map((store): Store => ({
    name: `mongodb() on ${store.name}`,
    options: store.options,
    make: (t) => mongodb(freshDbOn(t, store), { createTables, timeoutMs: 30_000 })
  }))
]

/** Each entry lists spellings of the same e-mail. */
const SPELLINGS: readonly (readonly [string, ...string[]])[] = [
  ['José@x.example', 'Jose\u0301@x.example', 'jos\u00e9@X.EXAMPLE', 'jose\u0301@x.example', ' jose\u0301@x.example\t'],
  [
    'merlin@bücher.example',
    'merlin@bu\u0308cher.example',
    'Merlin@BU\u0308CHER.example',
    'merlin@xn--bcher-kva.example',
    'merlin@XN--BCHER-KVA.example'
  ],
  [
    'a@\u1f84b.example',
    'a@\u03b1\u0313\u0301\u0345b.example',
    'a@\u1f00\u0301\u0345b.example',
    'a@\u1f80\u0301b.example'
  ],
  ['가웨인@x.example', '가웨인'.normalize('NFD') + '@x.example'],
  ['Å@x.example', 'A\u030a@x.example', '\u212b@x.example']
]

for (const { name, options, make } of stores) {
  t.test(
    `EML-01, EML-03: spellings that differ in Unicode form, case or white space are one account in ${name}`,
    options,
    async (t) => {
      const adapter = await make(t)
      const { register, send, login, app } = await buildApp(t, { adapter })
      for (const [first, ...others] of SPELLINGS) {
        const { id } = await register({ email: first })
        for (const email of [first, ...others]) {
          assertErrorReply(
            t,
            await send('POST', '/auth/register', { email, password: PASSWORD }),
            400,
            'REGISTER_USER_ALREADY_EXISTS',
            undefined,
            JSON.stringify(email)
          )
          t.equal((await login('jwt', email)).statusCode, 200, `${JSON.stringify(email)} logs in`)
          t.equal((await app.users.getByEmail(email))?.id, id)
        }
      }
      const spellings = ['galahad\u00e9@x.example', 'galahade\u0301@x.example', 'GALAHADe\u0301@x.example']
      const replies = await Promise.all(
        spellings.map((email) => send('POST', '/auth/register', { email, password: PASSWORD }))
      )
      t.same(
        replies.map(({ statusCode }) => statusCode).sort(),
        [201, 400, 400],
        'one of the parallel registrations succeeds'
      )
    }
  )

  t.test(
    `EML-01: an e-mail that another program stored in another form is found and not duplicated in ${name}`,
    options,
    async (t) => {
      const adapter = await make(t)
      const { create, send, login, app, tokenOf, events } = await buildApp(t, { adapter })
      const people = [
        ['jose\u0301@x.example', 'josé@x.example'],
        ['merlin@xn--bcher-kva.example', 'Merlin@bücher.example'],
        ['a@раypal.com', 'a@xn--ypal-43d9g.com'],
        ['Emi\u0301@bücher.example', 'emí@BÜCHER.example']
      ]
      for (const [i, [stored = '', typed = '']] of people.entries()) {
        const { id } = await create({ email: `person${i}@x.example` })
        await adapter.update(userModel(userSchemas()), { id: id as string }, { email: stored })
        for (const email of [stored, typed]) {
          t.equal((await app.users.getByEmail(email))?.email, stored, JSON.stringify(email))
          t.equal((await login('jwt', email)).statusCode, 200)
          assertErrorReply(
            t,
            await send('POST', '/auth/register', { email, password: PASSWORD }),
            400,
            'REGISTER_USER_ALREADY_EXISTS'
          )
          events.length = 0
          t.equal((await send('POST', '/auth/forgot-password', { email })).statusCode, 202)
          await tokenOf('onAfterForgotPassword')
          t.match(
            events,
            [{ name: 'onAfterForgotPassword', user: { email: stored } }],
            'the mail is sent to the stored e-mail'
          )
        }
        t.equal(
          (await app.users.update(id, { email: typed })).email,
          typed.replace('BÜCHER', 'bücher'),
          'the user may change the e-mail to its normalized form'
        )
      }
    }
  )
}

t.test('EML-01: a capital letter and a mark that become one character in lower case are refused', async (t) => {
  const { register, send } = await buildApp(t)
  await register({ email: 'ǰ@x.example' })
  for (const email of [
    'J\u030c@x.example',
    'H\u0331@x.example',
    'T\u0308@x.example',
    'W\u030a@x.example',
    'Y\u030a@x.example'
  ]) {
    assertValidationError(t, await send('POST', '/auth/register', { email, password: PASSWORD }), ['/email'], JSON.stringify(email))
  }
})

t.test('EML-01: an e-mail in ASCII has the form that node:url gives its domain, and no other form', async (t) => {
  const locals = ['arthur', 'Arthur', "o'neil+x!#$%&*-/=?^_`{|}~", 'a.b', '9']
  const labels = ['camelot', 'CAMELOT', 'x', '9', 'a-b', 'a--b', '-a', 'a-', '_dmarc', 'xn', 'x'.repeat(64)]
  for (const local of locals) {
    for (const label of labels) {
      for (const domain of [`${label}.bt`, `www.${label}.BT`, `${label}.${label}.example`]) {
        const expected = `${local}@${domainToASCII(domain)}`
        t.equal(parseEmail(` ${local}@${domain} `), expected)
        t.same(storedForms(`${local}@${domain}`), [expected])
      }
    }
  }
  for (const domain of ['xn--mnchen-3ya.bt', 'bt.xn--p1ai', 'www.XN--MNCHEN-3YA.bt']) {
    t.ok(storedForms(`arthur@${domain}`).length > 1, `${domain} has a form in Unicode`)
  }
  for (const text of ['arthur@127.0.0.1', 'arthur@a.0x1f', 'arthur@bt', 'a b@camelot.bt', 'a@b@camelot.bt', 'a"b@c.bt']) {
    t.equal(parseEmail(text), null, text)
  }
})

t.test('EML-01: white space around an e-mail is removed by all routes and methods', async (t) => {
  const { app, create, bearer, send, login, tokenOf, events } = await buildApp(t)
  const user = await create({ email: `\t${ARTHUR}\n` })
  t.equal(user.email, ARTHUR)
  for (const email of [` ${ARTHUR}`, `${ARTHUR} `, `\u00a0\u3000${ARTHUR}\r\n`, `\ufeff${ARTHUR}`]) {
    const name = JSON.stringify(email)
    assertErrorReply(t, await send('POST', '/auth/register', { email, password: PASSWORD }), 400, 'REGISTER_USER_ALREADY_EXISTS')
    t.equal((await login('jwt', email)).statusCode, 200, `${name} in a form`)
    t.equal(
      (await send('POST', '/auth/cookie/login', { username: email, password: PASSWORD })).statusCode,
      204,
      `${name} in JSON`
    )
    for (const [path, event] of [
      ['forgot-password', 'onAfterForgotPassword'],
      ['request-verify-token', 'onAfterRequestVerify']
    ] as const) {
      events.length = 0
      t.equal((await send('POST', `/auth/${path}`, { email })).statusCode, 202, `${path} ${name}`)
      t.ok(await tokenOf(event))
    }
    t.equal((await app.users.getByEmail(email))?.id, user.id)
  }
  const headers = await bearer(ARTHUR)
  t.match((await send('PATCH', '/users/me', { email: ' galahad@camelot.bt ' }, headers)).json(), {
    email: 'galahad@camelot.bt'
  })
  await login('jwt', ' Nobody@CAMELOT.bt ')
  t.match(
    events.at(-1),
    { name: 'onLoginFailed', username: 'Nobody@camelot.bt', reason: 'UNKNOWN_USER' },
    'listeners get the normalized e-mail'
  )
})

/** E-mails that FastAPI Users may have stored and that this plugin refuses for new users. */
const EXISTING = [
  '😀@camelot.bt',
  `${'a'.repeat(65)}@camelot.bt`,
  `${'é'.repeat(40)}@camelot.bt`,
  'a@x.b',
  'a@camelot.1a',
  'bang!path@camelot.bt',
  'percent%hack@camelot.bt',
  '∑☃@bücher.example',
  'a@x.local',
  'a@x.home.arpa',
  'a@ab--cd.com',
  '\u0301a@camelot.bt',
  'dots..docomo.@x.example',
  'a@under_score.example',
  'a@x.test'
]

for (const [compatibility, status] of [
  [undefined, 400],
  ['fastapi-users', 422]
] as const) {
  t.test(
    `EML-05: with compatibility ${String(compatibility)}, stored e-mails that registration refuses remain usable`,
    async (t) => {
      const adapter = memory()
      const { create, send, login, tokenOf, bearer, app } = await buildApp(t, {
        adapter,
        ...(compatibility === undefined ? {} : { compatibility })
      })
      for (const [i, email] of EXISTING.entries()) {
        t.equal(
          (await send('POST', '/auth/register', { email, password: PASSWORD })).statusCode,
          status,
          `${email} is refused at registration`
        )
        const { id } = await create({ email: `person${i}@camelot.bt` })
        await adapter.update(userModel(userSchemas()), { id: id as string }, { email })
        t.equal((await login('jwt', ` ${email.normalize('NFD')}`)).statusCode, 200, email)
        t.equal((await send('POST', '/auth/request-verify-token', { email })).statusCode, 202)
        t.equal((await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })).statusCode, 200)
        t.equal((await send('POST', '/auth/forgot-password', { email })).statusCode, 202)
        t.equal(
          (
            await send('POST', '/auth/reset-password', {
              token: await tokenOf('onAfterForgotPassword'),
              password: 'guinevere-2'
            })
          ).statusCode,
          200
        )
        const headers = await bearer(email, 'guinevere-2')
        t.match(
          (await send('PATCH', '/users/me', { email, is_active: true }, headers)).json(),
          { email },
          'an unchanged e-mail is accepted'
        )
        t.equal(
          (await send('PATCH', '/users/me', { email: `x${email}` }, headers)).statusCode,
          email.startsWith('\u0301') ? 200 : status,
          'a new e-mail must meet the rules'
        )
        await app.users.delete(id)
      }
    }
  )
}

t.test(
  'EML-05: forgot-password and request-verify-token refuse invalid e-mails, and reply the same to all others',
  async (t) => {
    const { create, send, events, app } = await buildApp(t)
    await create()
    events.length = 0
    const invalid = [
      'Arthur <king.arthur@camelot.bt>',
      `<${ARTHUR}>`,
      `${ARTHUR} (king)`,
      'king(x).arthur@camelot.bt',
      '"king.arthur"@camelot.bt',
      `${ARTHUR},a@evil.example`,
      `${ARTHUR};a@evil.example`,
      `${ARTHUR}\r\nBcc: a@evil.example`,
      'king arthur@camelot.bt',
      'king.arthur@camelot.bt@evil.example',
      `${ARTHUR}\u200b`,
      'a@camelot',
      'a@[127.0.0.1]',
      'a@127.0.0.1'
    ]
    for (const path of ['forgot-password', 'request-verify-token']) {
      for (const email of invalid) {
        assertValidationError(t, await send('POST', `/auth/${path}`, { email }), ['/email'], `${path} ${JSON.stringify(email)}`)
      }
      const known = await send('POST', `/auth/${path}`, { email: ARTHUR })
      for (const email of EXISTING) {
        t.same(comparableReply(await send('POST', `/auth/${path}`, { email })), comparableReply(known), email)
      }
    }
    await app.users.settled()
    t.equal(events.length, 2, 'only the known e-mail gets tokens')
  }
)

t.test('the option allowIntranetEmails', async (t) => {
  const INTRANET = ['a@x.local', 'a@host.sub.LOCAL', 'a@x.home.arpa']
  const RESERVED = [
    'a@x.test',
    'a@x.invalid',
    'a@x.localhost',
    'a@x.onion',
    'a@1.0.0.127.in-addr.arpa',
    'a@home.arpa',
    'a@local'
  ]

  t.test('EML-05: the option allows e-mails of private networks, but no reserved domains', async (t) => {
    const defaultApp = await buildApp(t)
    const intranetApp = await buildApp(t, { allowIntranetEmails: true })
    for (const email of INTRANET) {
      assertValidationError(t, await defaultApp.send('POST', '/auth/register', { email, password: PASSWORD }), ['/email'], email)
      t.rejects(defaultApp.create({ email }), { code: 'FST_USERS_INVALID_USER' })
      const { id } = await intranetApp.register({ email })
      t.equal((await intranetApp.login('jwt', email)).statusCode, 200)
      t.equal((await intranetApp.app.users.update(id, { email: `new-${email}` })).email, `new-${email.toLowerCase()}`)
    }
    for (const email of RESERVED) {
      assertValidationError(t, await intranetApp.send('POST', '/auth/register', { email, password: PASSWORD }), ['/email'], email)
    }
  })

  t.test('the reply to a refused e-mail states the reason', async (t) => {
    const reasons: [string, RegExp][] = [
      ['a@x.local', /private networks/],
      ['a@x.home.arpa', /private networks/],
      ['a@x.test', /reserved/],
      [`${'a'.repeat(65)}@camelot.bt`, /64 bytes before the @/],
      [`${'a'.repeat(400)}@camelot.bt`, /254 bytes/],
      ['a!b@camelot.bt', /without % and !/],
      ['a@x.b', /valid domain/],
      ['Arthur <a@camelot.bt>', /one plain e-mail/],
      ['arthur', /one plain e-mail/]
    ]
    const plainApp = await buildApp(t)
    const compatibleApp = await buildApp(t, { compatibility: 'fastapi-users' })
    for (const [email, reason] of reasons) {
      const body = { email, password: PASSWORD }
      const { message, detail } = (await plainApp.send('POST', '/auth/register', body)).json<{
        message: string
        detail: { message: string }[]
      }>()
      t.match(message, reason)
      t.ok(
        detail.some((problem) => reason.test(problem.message)),
        email
      )
      t.match(
        (await compatibleApp.send('POST', '/auth/register', body)).json(),
        { detail: [{ type: 'value_error', msg: reason, ctx: { reason } }] },
        email
      )
      await t.rejects(plainApp.create(body), { code: 'FST_USERS_INVALID_USER', message: reason })
    }
  })

  t.test('must be true or false', async (t) => {
    for (const wrong of ['true', 1, ['local']]) {
      await t.rejects(buildApp(t, { allowIntranetEmails: wrong as never }), {
        code: 'FST_USERS_INVALID_OPTION',
        message: /allowIntranetEmails/
      })
    }
  })
})

t.test('EML-01: an accepted e-mail does not change when it is parsed or normalized again', async (t) => {
  const { parseNewEmail } = await import('../lib/users/index.js')
  const { foldCase } = await import('../lib/shared/text.js')
  const rules = { allowIntranetEmails: false }
  const seen = new Map<string, string>()
  const wrong: string[] = []
  for (let code = 0x21; code < 0x30000; code += code < 0x3000 ? 1 : 7) {
    if (code >= 0xd800 && code < 0xe000) continue
    const letter = String.fromCodePoint(code)
    for (const text of [
      `a${letter}b@x.example`,
      `${letter}\u030c@x.example`,
      `a@a${letter}b.example`,
      `a@${letter}\u0301b.example`
    ]) {
      const email = parseNewEmail(text, rules)
      if (email === null) continue
      const folded = foldCase(email)
      const others = ['NFC', 'NFD']
        .map((form) => parseNewEmail(text.normalize(form), rules))
        .filter((other) => other !== null)
      const knownForm = seen.get(folded.normalize('NFD')) ?? folded
      if (
        parseNewEmail(email, rules) !== email ||
        others.some((other) => foldCase(other) !== folded) ||
        knownForm !== folded
      ) {
        wrong.push(JSON.stringify(text))
      }
      seen.set(folded.normalize('NFD'), folded)
    }
  }
  t.same(wrong, [])
})
