import { AsyncLocalStorage } from 'node:async_hooks'
import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import users, {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  integerId,
  jwtStrategy,
  objectIdId,
  userSchemas,
  uuidId,
  type DatabaseAdapter,
  type IdKind,
  type User,
  type UserSchemas,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { sqlite } from '../lib/entries/sqlite.js'
import {
  ARTHUR,
  buildApp,
  cookieOf,
  fastPasswords,
  PASSWORD,
  assertErrorReply,
  SECRET,
  storedModel,
  storedRows,
  weakerHash,
  type TestApp
} from './helpers/build-app.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'

const NEW_PASSWORD = 'guinevere-2'
const ADMIN = 'merlin@camelot.bt'
type Headers = Record<string, string>

/** Returns a backend for each pair of strategy and transport. */
const allBackends = (): UsersOptions['backends'] => [
  { name: 'jwt-bearer', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
  { name: 'db-bearer', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) },
  { name: 'jwt-cookie', transport: cookieTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
  { name: 'db-cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
]
const NAMES = ['jwt-bearer', 'db-bearer', 'jwt-cookie', 'db-cookie']

/** Returns the request headers for the session of a login reply, or null for a refused login. */
function headersOf (reply: Awaited<ReturnType<TestApp['login']>>): Headers | null {
  if (reply.statusCode === 204) return { cookie: cookieOf(reply) }
  return reply.statusCode === 200
    ? { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
    : null
}

async function session (app: TestApp, backend: string, email = ARTHUR, password = PASSWORD): Promise<Headers> {
  const headers = headersOf(await app.login(backend, email, password))
  if (headers === null) throw new Error(`no session of ${backend}`)
  return headers
}

const statusOf = async ({ send }: TestApp, headers: Headers): Promise<number> =>
  (await send('GET', '/guarded', undefined, headers)).statusCode

async function resetToken (app: TestApp, email = ARTHUR): Promise<string> {
  await app.send('POST', '/auth/forgot-password', { email })
  return app.tokenOf('onAfterForgotPassword')
}

async function verifyToken (app: TestApp): Promise<string> {
  await app.app.users.requestVerify(ARTHUR)
  return app.tokenOf('onAfterRequestVerify')
}

t.test('events that end sessions', async (t) => {
  type Act = (app: TestApp, user: User) => Promise<unknown>
  const asAdmin = async (app: TestApp): Promise<Headers> => session(app, 'db-bearer', ADMIN)
  const ends: Record<string, Act> = {
    'a password change by the user': async (app) =>
      app.send('PATCH', '/users/me', { password: NEW_PASSWORD }, await session(app, 'jwt-bearer')),
    'the same password set again': async (app) =>
      app.send('PATCH', '/users/me', { password: PASSWORD }, await session(app, 'db-cookie')),
    'a password change by a superuser': async (app, { id }) =>
      app.send('PATCH', `/users/${String(id)}`, { password: NEW_PASSWORD }, await asAdmin(app)),
    'a password change by app.users.update': (app, { id }) => app.app.users.update(id, { password: NEW_PASSWORD }),
    'a password reset': async (app) =>
      app.send('POST', '/auth/reset-password', { token: await resetToken(app), password: NEW_PASSWORD }),
    deactivation: async (app, { id }) =>
      app.send('PATCH', `/users/${String(id)}`, { is_active: false }, await asAdmin(app)),
    'deactivation and reactivation': async (app, { id }) => {
      await app.app.users.update(id, { is_active: false })
      await app.app.users.update(id, { is_active: true })
    },
    'a change of the e-mail by the user': async (app) =>
      app.send('PATCH', '/users/me', { email: 'new@camelot.bt' }, await session(app, 'jwt-bearer')),
    'a change of the e-mail by a superuser': async (app, { id }) =>
      app.send('PATCH', `/users/${String(id)}`, { email: 'new@camelot.bt' }, await asAdmin(app)),
    'a change of the e-mail by app.users.update': (app, { id }) => app.app.users.update(id, { email: 'new@camelot.bt' }),
    'a verification by mail': async (app) => app.send('POST', '/auth/verify', { token: await verifyToken(app) }),
    'a verification by a superuser': async (app, { id }) =>
      app.send('PATCH', `/users/${String(id)}`, { is_verified: true }, await asAdmin(app)),
    'a verification by a login method of the application': ({ app }, user) => app.users.confirmEmail(user),
    deletion: async (app, { id }) => app.send('DELETE', `/users/${String(id)}`, undefined, await asAdmin(app)),
    endSessions: (app, user) => app.app.users.endSessions(user)
  }
  const keeps: Record<string, Act> = {
    'an empty change': async (app, { id }) => app.app.users.update(id, {}),
    'a change of the case of the e-mail': (app, { id }) =>
      app.app.users.update(id, { email: 'King.Arthur@camelot.bt' }),
    'a change of other flags': (app, { id }) =>
      app.app.users.update(id, { is_superuser: true, is_verified: false, is_active: true }),
    'password: null': (app, { id }) => app.app.users.update(id, { password: null }),
    'a refused password': (app, { id }) => app.app.users.update(id, { password: 'short' }).catch(() => {}),
    'a refused reset': async (app) =>
      app.send('POST', '/auth/reset-password', { token: await resetToken(app), password: 'short' }),
    'a request for a reset': (app) => resetToken(app),
    'a failed login': (app) => app.login('db-cookie', ARTHUR, 'wrong-password'),
    "the end of another user's sessions": async ({ app }) =>
      app.users.endSessions((await app.users.getByEmail(ADMIN)) as User)
  }

  const { adapter, snapshot } = watchedAdapter(memory())
  const app = await buildApp(t, { adapter, backends: allBackends() })
  const user = await app.create()
  await app.create({ email: ADMIN, is_superuser: true })
  const sessions = new Map<string, Headers>()
  for (const name of NAMES) for (const i of [1, 2]) sessions.set(`${name} ${i}`, await session(app, name))
  await app.app.users.settled()
  const restoreRows = await snapshot()

  /** Restores the users and their sessions, and checks that every session is valid. */
  async function restoreSessions (t: Test): Promise<void> {
    await app.app.users.settled()
    await restoreRows()
    for (const [name, headers] of sessions) t.equal(await statusOf(app, headers), 200, `${name} is valid before`)
  }

  for (const [name, act] of Object.entries(ends)) {
    t.test(`SES-06, LOG-04: ${name} ends the sessions of every strategy on every transport`, async (t) => {
      await restoreSessions(t)
      const other = await session(app, 'db-bearer', ADMIN)
      await act(app, user)
      for (const [one, headers] of sessions) t.equal(await statusOf(app, headers), 401, one)
      t.equal(await statusOf(app, other), 200, 'the sessions of other users stay valid')
      const rows = await storedRows(adapter, 'accesstoken')
      t.ok(
        rows.filter((row) => row['user_id'] === user.id).length <= 1,
        'stored sessions are deleted, except for a renewed one'
      )
    })
  }

  for (const [name, act] of Object.entries(keeps)) {
    t.test(`${name} ends no session`, async (t) => {
      await restoreSessions(t)
      await act(app, user)
      for (const [one, headers] of sessions) t.equal(await statusOf(app, headers), 200, one)
    })
  }

  t.test(
    'SES-07, row 42: a password change renews the cookie session that sent it and ends a bearer session that sent it',
    async (t) => {
      for (const name of NAMES) {
        await restoreSessions(t)
        const acting = await session(app, name)
        const reply = await app.send('PATCH', '/users/me', { password: NEW_PASSWORD }, acting)
        t.equal(reply.statusCode, 200, name)
        t.equal(await statusOf(app, acting), 401)
        if (name.endsWith('cookie')) {
          const renewed = { cookie: cookieOf(reply) }
          t.not(renewed.cookie, acting['cookie'])
          t.equal(renewed.cookie.split('=')[0], acting['cookie']?.split('=')[0])
          t.match(reply.headers['set-cookie'], /; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
          t.equal(await statusOf(app, renewed), 200)
          t.match((await app.send('GET', '/guarded', undefined, renewed)).json<object>(), { backend: name })
        } else {
          t.equal(reply.headers['set-cookie'], undefined)
          t.notMatch(reply.json<object>(), { access_token: String })
        }
        t.equal((await storedRows(adapter, 'accesstoken')).length, name === 'db-cookie' ? 1 : 0)
      }
    }
  )

  t.test(
    'SES-07: other changes by the user renew the cookie session only if they end sessions',
    async (t) => {
      const changes: [method: 'me' | 'own id', payload: object, renews: boolean][] = [
        ['me', {}, false],
        ['me', { password: null }, false],
        ['me', { email: 'King.Arthur@camelot.bt' }, false],
        ['me', { email: 'new@camelot.bt' }, true],
        ['own id', { is_verified: false }, false],
        ['own id', { password: NEW_PASSWORD }, true],
        ['own id', { email: 'new@camelot.bt' }, true],
        ['own id', { is_verified: true }, true]
      ]
      for (const name of ['jwt-cookie', 'db-cookie']) {
        for (const [route, payload, renews] of changes) {
          await restoreSessions(t)
          await app.app.users.update(user.id, { is_superuser: true })
          const acting = await session(app, name)
          const reply = await app.send('PATCH', `/users/${route === 'me' ? 'me' : String(user.id)}`, payload, acting)
          const title = `${name} ${route} ${JSON.stringify(payload)}`
          t.equal(reply.statusCode, 200, title)
          t.equal(reply.headers['set-cookie'] !== undefined, renews, title)
          t.equal(await statusOf(app, acting), renews ? 401 : 200, title)
          if (renews) t.equal(await statusOf(app, { cookie: cookieOf(reply) }), 200, title)
        }
      }
    }
  )

  t.test(
    'SES-07: a verification renews the cookie session of the same user that sent it, and no other session',
    async (t) => {
      for (const name of NAMES) {
        await restoreSessions(t)
        const acting = await session(app, name)
        const reply = await app.send('POST', '/auth/verify', { token: await verifyToken(app) }, acting)
        t.equal(reply.statusCode, 200, name)
        t.equal(await statusOf(app, acting), 401, `${name}: the old session has ended`)
        t.equal(reply.headers['set-cookie'] !== undefined, name.endsWith('cookie'), name)
        if (name.endsWith('cookie')) {
          t.match((await app.send('GET', '/guarded', undefined, { cookie: cookieOf(reply) })).json<object>(), {
            user: { id: user.id, is_verified: true },
            backend: name
          })
        }
        await restoreSessions(t)
        const admins = await session(app, name, ADMIN)
        const other = await app.send('POST', '/auth/verify', { token: await verifyToken(app) }, admins)
        t.strictSame(
          [other.statusCode, other.headers['set-cookie'], await statusOf(app, admins)],
          [200, undefined, 200],
          `${name}: another user's session is unchanged`
        )
      }
    }
  )
})

t.test(
  'SES-06, LOG-04: superusers who deactivate themselves get no renewed session, which would be valid after a reactivation',
  async (t) => {
    for (const name of NAMES) {
      const adapter = memory()
      const app = await buildApp(t, { adapter, backends: allBackends() })
      const { id } = await app.create({ is_superuser: true })
      await app.create({ email: ADMIN, is_superuser: true })
      const acting = await session(app, name)
      const reply = await app.send('PATCH', `/users/${String(id)}`, { is_active: false }, acting)
      t.strictSame([reply.statusCode, reply.headers['set-cookie']], [200, undefined], name)
      t.same(await storedRows(adapter, 'accesstoken'), [], `${name}: no session is stored`)
      await app.app.users.update(id, { is_active: true })
      t.equal(await statusOf(app, acting), 401, name)
    }
  }
)

t.test(
  'SES-06: a deactivation ends sessions even if the user was reactivated between its read and its write',
  async (t) => {
    const adapter = memory()
    let duringUpdate = async (): Promise<void> => {}
    const app = await buildApp(t, { adapter, backends: allBackends(), hooks: { onBeforeUpdate: () => duringUpdate() } })
    const { id } = await app.create({ is_active: false })
    const sessions: Headers[] = []
    duringUpdate = async () => {
      await adapter.update(storedModel('user'), { id }, { is_active: true })
      for (const name of NAMES) sessions.push(await session(app, name))
    }
    await app.app.users.update(id, { is_active: false })
    duringUpdate = async () => {}
    await app.app.users.update(id, { is_active: true })
    t.equal(sessions.length, NAMES.length)
    for (const headers of sessions) t.equal(await statusOf(app, headers), 401)
  }
)

t.test(
  'SES-01, SES-02, row 23: an opaque token is 43 random characters, and only its digest is stored',
  async (t) => {
    const adapter = memory()
    const app = await buildApp(t, { adapter, backends: allBackends() })
    await app.create()
    const tokens = new Set<string>()
    for (let i = 0; i < 20; i++) {
      tokens.add((await session(app, 'db-bearer'))['authorization']?.slice('Bearer '.length) ?? '')
    }
    t.equal(tokens.size, 20)
    const rows = await storedRows(adapter, 'accesstoken')
    const dump = JSON.stringify(rows)
    for (const token of tokens) {
      t.match(token, /^[A-Za-z0-9_-]{6}~[A-Za-z0-9_-]{43}$/)
      for (const form of [
        token,
        token.slice(-43),
        Buffer.from(token).toString('base64url'),
        Buffer.from(token).toString('hex'),
        Buffer.from(token.slice(-43), 'base64url').toString('hex')
      ]) {
        t.notOk(dump.includes(form))
      }
    }
    for (const row of rows) {
      t.match(row['token'], /^[A-Za-z0-9_-]{43}$/)
      for (const headers of [
        { authorization: `Bearer ${String(row['token'])}` },
        { cookie: `__Host-users-db-cookie=${String(row['token'])}` }
      ]) {
        t.equal(await statusOf(app, headers), 401, 'the stored digest is not accepted as a token')
      }
    }
  }
)

t.test('BR-03: a token is accepted only by the backend that issued it', async (t) => {
  const app = await buildApp(t, { backends: allBackends() })
  await app.create()
  for (const name of NAMES) {
    const headers = await session(app, name)
    const token = headers['authorization']?.slice('Bearer '.length) ?? headers['cookie']?.split('=')[1]
    const elsewhere = name.endsWith('bearer')
      ? NAMES.filter((one) => one.endsWith('cookie')).map((one) => ({ cookie: `__Host-users-${one}=${token}` }))
      : [
          { authorization: `Bearer ${token}` },
          ...NAMES.filter((one) => one.endsWith('cookie') && one !== name).map((one) => ({
            cookie: `__Host-users-${one}=${token}`
          }))
        ]
    for (const one of elsewhere) {
      t.equal(await statusOf(app, one), 401, `${name} as ${JSON.stringify(one).slice(0, 40)}`)
    }
  }
})

t.test('expiry', async (t) => {
  const START = 1_800_000_000_000

  t.test(
    'row 23, SES-04: depends on created_at and the clock, to the millisecond, whatever Max-Age the cookie has',
    async (t) => {
      let now = START
      const backends: UsersOptions['backends'] = [
        {
          name: 'cookie',
          transport: cookieTransport({ maxAge: 3600 }),
          strategy: databaseStrategy({ lifetimeSeconds: 3600 })
        }
      ]
      const app = await buildApp(t, { backends, clock: () => now })
      await app.create()
      const headers = await session(app, 'cookie')
      const table: [ahead: number, status: number][] = [
        [0, 200],
        [3_599_999, 200],
        [3_600_000, 200],
        [3_600_001, 401],
        [10_000_000, 401],
        [3_600_000, 200]
      ]
      for (const [ahead, status] of table) {
        now = START + ahead
        t.equal(await statusOf(app, headers), status, `${ahead} ms`)
      }
      now = START + 3_500_000
      t.equal(await statusOf(app, headers), 200)
      now = START + 3_700_000
      t.equal(await statusOf(app, headers), 401, 'use does not extend a session')
    }
  )

  t.test('SES-04: a JWT session ends at exp', async (t) => {
    let now = START
    const app = await buildApp(t, { clock: () => now })
    await app.create()
    const headers = await app.bearer(ARTHUR)
    for (const [ahead, status] of [
      [0, 200],
      [3_599_999, 200],
      [3_600_000, 401],
      [1e9, 401]
    ] as const) {
      now = START + ahead
      t.equal(await statusOf(app, headers), status, `${ahead} ms`)
    }
  })

  t.test('row 23: a changed lifetime applies to existing sessions', async (t) => {
    let now = START
    const adapter = memory()
    const cookie = (lifetimeSeconds: number): UsersOptions['backends'] => [
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds }) }
    ]
    const options = { adapter, clock: () => now }
    const [long, short] = [
      await buildApp(t, { ...options, backends: cookie(3600) }),
      await buildApp(t, { ...options, backends: cookie(60) })
    ]
    await long.create()
    const headers = await session(long, 'cookie')
    t.equal(await statusOf(short, headers), 200)
    now += 61_000
    t.equal(await statusOf(short, headers), 401)
    t.equal(await statusOf(long, headers), 200)
  })

  for (const makeStore of [memory, () => sqlite(join(t.testdir(), 'users.sqlite'))]) {
    t.test(
      `SES-13, SES-04: the first login of an hour deletes all expired rows in batches (${makeStore.name || 'sqlite'})`,
      async (t) => {
        let now = START
        const adapter = makeStore()
        const batches: number[] = []
        const watched: DatabaseAdapter = {
          ...ownMethods(adapter),
          delete (model, where) {
            const { in: keys } = (where['token'] ?? {}) as { in?: unknown[] }
            if (keys !== undefined) batches.push(keys.length)
            return adapter.delete(model, where)
          }
        }
        const app = await buildApp(t, { adapter: watched, clock: () => now })
        const { id } = await app.create()
        const first = await app.cookie(ARTHUR)
        await app.app.users.settled()
        const model = storedModel('accesstoken')
        for (let i = 0; i < 2500; i++) {
          await adapter.create(model, {
            token: `old-${i}`.padEnd(43, 'x'),
            user_id: id,
            created_at: new Date(START - 1000 - i),
            session_stamp: 'x'
          })
        }
        const count = async (): Promise<number> => (await adapter.findMany(model, {}, { limit: 100_000 })).length
        t.equal(await count(), 2501)

        now = START + 86_400_000 // the rows above are expired, the first session is not
        t.equal(await statusOf(app, first), 200)
        const logIn = async (): Promise<void> => {
          await app.cookie(ARTHUR)
          await app.app.users.settled()
        }
        await logIn()
        t.equal(await count(), 2, 'the first session and the new one')
        t.same(batches, [1000, 1000, 500])
        now += 1000
        t.equal(await statusOf(app, first), 401, 'the first session has expired')
        await logIn()
        t.equal(await count(), 3, 'the next purge is an hour later')
        t.equal(await app.app.users.backends.get('cookie')?.strategy.purge?.(), 1, 'purge() runs at once')
        now = START + 2 * 86_400_000 + 3_600_001
        await logIn()
        t.equal(await count(), 1, 'all expired rows are deleted')
      }
    )
  }

  t.test(
    'SES-13: a purge continues if another process deletes the same rows, and stops when the application closes',
    async (t) => {
      let now = START
      const adapter = memory()
      const model = storedModel('accesstoken')
      let reads = 0
      let duringRead = async (): Promise<void> => {}
      const watched: DatabaseAdapter = {
        ...ownMethods(adapter),
        async findMany (...args) {
          const rows = await adapter.findMany(...args)
          if (rows.length === 1000) reads++
          await duringRead()
          return rows
        }
      }
      const app = await buildApp(t, { adapter: watched, clock: () => now })
      const { id } = await app.create()
      const purge = async (): Promise<number | undefined> =>
        await app.app.users.backends.get('cookie')?.strategy.purge?.()
      const fill = async (prefix = ''): Promise<void> => {
        for (let i = 0; i < 2500; i++) {
          await adapter.create(model, {
            token: `${prefix}old-${i}`.padEnd(43, 'x'),
            user_id: id,
            created_at: new Date(START),
            session_stamp: 'x'
          })
        }
      }
      now = START + 2 * 86_400_000
      await fill()
      duringRead = async () => {
        duringRead = async () => {}
        const rows = await adapter.findMany(model, {}, { limit: 1000, order: 'created_at' })
        await adapter.delete(model, { token: { in: rows.map(({ token }) => String(token)) } })
      }
      t.equal(await purge(), 1500, 'the other process deleted the first batch')
      t.equal((await storedRows(adapter, 'accesstoken')).length, 0)

      for (let i = 0; i < 4; i++) await fill(`${i}-`)
      reads = 0
      let begin = (): void => {}
      const begun = new Promise<void>((resolve) => {
        begin = resolve
      })
      const closed = begun.then(() => app.app.close())
      duringRead = async () => {
        begin()
        for (let scheduler = 0; scheduler < 20; scheduler++) await new Promise(setImmediate)
      }
      await app.cookie(ARTHUR)
      await closed
      t.ok(reads < 5, `${reads} of 10 batches were read`)
      t.ok((await storedRows(adapter, 'accesstoken')).length > 5000)
    }
  )

  t.test('SES-13: a purge that fails does not affect logins', async (t) => {
    const adapter = memory()
    const broken: DatabaseAdapter = {
      ...ownMethods(adapter),
      findMany: async () => {
        throw new Error('no')
      }
    }
    const app = await buildApp(t, { adapter: broken })
    await app.create()
    t.equal((await app.login('cookie', ARTHUR)).statusCode, 204)
    await app.app.users.settled()
    t.equal((await app.login('cookie', ARTHUR)).statusCode, 204)
  })
})

t.test('SES-08: a revocation applies to all processes with the same store, and after a restart', async (t) => {
  const adapter = memory()
  const [one, other] = [
    await buildApp(t, { adapter, backends: allBackends() }),
    await buildApp(t, { adapter, backends: allBackends() })
  ]
  const { id } = await one.create()
  const actions: [string, (app: TestApp) => Promise<unknown>][] = [
    ['endSessions', ({ app }) => app.users.endSessions(id)],
    ['password change', ({ app }) => app.users.update(id, { password: PASSWORD })],
    [
      'deactivation',
      async ({ app }) => {
        await app.users.update(id, { is_active: false })
        await app.users.update(id, { is_active: true })
      }
    ]
  ]
  for (const [name, act] of actions) {
    for (const backend of NAMES) {
      const headers = await session(one, backend)
      t.equal(await statusOf(other, headers), 200, `${backend}: a session of one process is valid in the other`)
      await act(other)
      const restarted = await buildApp(t, { adapter, backends: allBackends() })
      for (const app of [one, other, restarted]) t.equal(await statusOf(app, headers), 401, name)
    }
  }
})

t.test('SES-11: the subject of a token is accepted only in the exact form that the plugin writes', async (t) => {
  const secret = 'tQ7wX2zR9vB4nL6kM1pH8dF3sJ5cG0yA'
  const backends = (): UsersOptions['backends'] => [
    { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600, secret }) }
  ]
  const forms: [id: IdKind, others: (id: string) => unknown[]][] = [
    [
      integerId(),
      (id) => [
        `0${id}`,
        `+${id}`,
        `-${id}`,
        `${id} `,
        ` ${id}`,
        `${id}.0`,
        `${id}e0`,
        `0x${id}`,
        `${id}_0`,
        `${id}\u0000`,
        '１',
        '',
        Number(id),
        [id],
        { id },
        null,
        true
      ]
    ],
    [uuidId(), (id) => [id.toUpperCase(), id.replaceAll('-', ''), `{${id}}`, `urn:uuid:${id}`, ` ${id}`, `${id}\n`]],
    [
      objectIdId(),
      (id) => [`${id} `, ` ${id}`, `0x${id}`, `${id}00`].concat(id === id.toUpperCase() ? [] : [id.toUpperCase()])
    ]
  ]
  for (const [id, others] of forms) {
    const app = await buildApp(t, { backends: backends(), schemas: userSchemas({}, { id }) as unknown as UserSchemas })
    const user = await app.create()
    const token = (await session(app, 'jwt'))['authorization']?.slice('Bearer '.length) ?? ''
    const [header, payload] = token.split('.')
    const claims = JSON.parse(Buffer.from(String(payload), 'base64url').toString()) as object
    const forge = (sub: unknown): Headers => {
      const body = `${header}.${Buffer.from(JSON.stringify({ ...claims, sub })).toString('base64url')}`
      return { authorization: `Bearer ${body}.${createHmac('sha256', secret).update(body).digest('base64url')}` }
    }
    t.equal(await statusOf(app, forge(String(user.id))), 200, id.name)
    for (const sub of others(String(user.id))) {
      t.equal(await statusOf(app, forge(sub)), 401, `${id.name} ${JSON.stringify(sub)}`)
    }
  }
})

t.test('SES-15: a session of a user who was deleted from the store is unauthenticated', async (t) => {
  const adapter = memory()
  const app = await buildApp(t, { adapter, backends: allBackends() })
  const { id } = await app.create()
  const sessions = await Promise.all(NAMES.map((name) => session(app, name)))
  await adapter.delete(storedModel('user'), { id })
  for (const headers of sessions) {
    assertErrorReply(t, await app.send('GET', '/users/me', undefined, headers), 401, 'UNAUTHENTICATED', 'Unauthorized')
  }
  for (const method of ['GET', 'PATCH'] as const) {
    for (const headers of sessions) {
      t.equal((await app.send(method, '/users/me', method === 'PATCH' ? {} : undefined, headers)).statusCode, 401)
    }
  }
})

/** Returns the adapter's methods as own properties, so that a test can spread and replace them. */
function ownMethods (adapter: DatabaseAdapter): DatabaseAdapter {
  return {
    define: (model) => {
      adapter.define(model)
    },
    open: () => adapter.open(),
    create: (model, row) => adapter.create(model, row),
    findOne: (model, where) => adapter.findOne(model, where),
    findMany: (model, where, options) => adapter.findMany(model, where, options),
    update: (model, where, changes) => adapter.update(model, where, changes),
    delete: (model, where) => adapter.delete(model, where),
    findWithUser: (model, where) => adapter.findWithUser?.(model, where) ?? null
  }
}

interface Actor {
  go: () => void
  idle: Promise<void>
  arrived: () => void
  waiting: boolean
  done: boolean
}
type Name = 'a' | 'b'

// shared by all tests, because Node.js 20 copies every storage that was ever used into each new asynchronous resource
const context = new AsyncLocalStorage<Name>()

/** Runs two tasks in one process and lets their store calls happen in a given order, one at a time. */
class CallScheduler {
  #actors: Partial<Record<Name, Actor>> = {}
  /** The store calls in order: the task and the method. */
  readonly log: [Name, string][] = []

  wrap (adapter: DatabaseAdapter): DatabaseAdapter {
    const waitForTurn =
      <A extends unknown[], R>(name: string, call: (...args: A) => R) =>
        async (...args: A): Promise<Awaited<R>> => {
          const actor = context.getStore()
          if (actor !== undefined) {
            await this.#turn(actor)
            this.log.push([actor, name])
          }
          return await call(...args)
        }
    const all = ownMethods(adapter)
    return {
      ...all,
      create: waitForTurn('create', all.create),
      findOne: waitForTurn('findOne', all.findOne),
      findMany: waitForTurn('findMany', all.findMany),
      update: waitForTurn('update', all.update),
      delete: waitForTurn('delete', all.delete),
      findWithUser: waitForTurn('findWithUser', all.findWithUser as NonNullable<DatabaseAdapter['findWithUser']>)
    }
  }

  /** After the given order has ended, all calls of `a` run first, then those of `b`. */
  async run<A, B>(order: string, a: () => Promise<A>, b: () => Promise<B>): Promise<[A, B]> {
    this.log.length = 0
    this.#actors = { a: this.#actor(), b: this.#actor() }
    const both = Promise.all([this.#start('a', a), this.#start('b', b)])
    await Promise.all([this.#actors.a?.idle, this.#actors.b?.idle])
    for (const name of `${order}${'a'.repeat(20)}${'b'.repeat(20)}`) await this.#step(name as Name)
    this.#actors = {}
    return both
  }

  /** Returns the number of store calls that a task makes. */
  async count (task: () => Promise<unknown>): Promise<number> {
    await this.run('', task, async () => {})
    return this.log.length
  }

  #actor (): Actor {
    const actor: Actor = { go () {}, idle: Promise.resolve(), arrived () {}, waiting: false, done: false }
    actor.idle = new Promise((resolve) => {
      actor.arrived = resolve
    })
    return actor
  }

  async #start<T>(name: Name, task: () => Promise<T>): Promise<T> {
    try {
      return await context.run(name, async () => await task()) // inject() starts only when it is awaited
    } finally {
      const actor = this.#actors[name]
      if (actor !== undefined) {
        actor.done = true
        actor.arrived()
      }
    }
  }

  async #turn (name: Name): Promise<void> {
    const actor = this.#actors[name]
    if (actor === undefined) return
    if (actor.waiting) throw new Error('one call at a time')
    await new Promise<void>((resolve) => {
      actor.go = resolve
      actor.waiting = true
      actor.arrived()
    })
  }

  async #step (name: Name): Promise<void> {
    const actor = this.#actors[name]
    if (actor === undefined || actor.done || !actor.waiting) return
    actor.idle = new Promise((resolve) => {
      actor.arrived = resolve
    })
    actor.waiting = false
    actor.go()
    await actor.idle
  }
}

/** Returns every possible order of `a` calls of one task and `b` calls of the other. */
function interleavings (a: number, b: number): string[] {
  if (a === 0 || b === 0) return ['a'.repeat(a) + 'b'.repeat(b)]
  return [...interleavings(a - 1, b).map((rest) => `a${rest}`), ...interleavings(a, b - 1).map((rest) => `b${rest}`)]
}

t.test('a parallel login and', async (t) => {
  interface Scenario {
    app: TestApp
    id: User['id']
    email: string
    token: string
  }
  const actions: Record<
    string,
    { act(scenario: Scenario): Promise<unknown>; after?(scenario: Scenario): Promise<unknown>; mayLive?: boolean }
  > = {
    'a password change': { act: ({ app, id }) => app.app.users.update(id, { password: NEW_PASSWORD }) },
    'a password reset': { act: ({ app, token }) => app.app.users.resetPassword(token, NEW_PASSWORD) },
    'a deactivation and reactivation': {
      act: ({ app, id }) => app.app.users.update(id, { is_active: false }),
      after: ({ app, id }) => app.app.users.update(id, { is_active: true })
    },
    'a deletion': { act: ({ app, id }) => app.app.users.delete(id) },
    endSessions: { act: ({ app, id }) => app.app.users.endSessions(id), mayLive: true }
  }

  for (const backend of ['db-cookie', 'db-bearer', 'jwt-bearer']) {
    for (const upgrades of [false, true]) {
      for (const [name, { act, after, mayLive = false }] of Object.entries(actions)) {
        t.test(
          `RACE-04: ${name} leave no valid session of the old state (${backend}${upgrades ? ', the login upgrades the hash' : ''})`,
          async (t) => {
            const scheduler = new CallScheduler()
            const { adapter, snapshot } = watchedAdapter(memory())
            const app = await buildApp(t, {
              adapter: scheduler.wrap(adapter),
              backends: allBackends().filter(({ name }) => name === backend)
            })
            const hash = await (upgrades ? weakerHash(PASSWORD) : fastPasswords.hash(PASSWORD))
            let made = 0
            const makeScenario = async (): Promise<Scenario> => {
              const email = `knight${++made}@camelot.bt`
              const { id } = await app.create({ email })
              await adapter.update(storedModel('user'), { id }, { hashed_password: hash })
              return { app, id, email, token: await resetToken(app, email) }
            }
            await app.login(backend, (await makeScenario()).email) // waits until the purge of the first login has ended
            await app.app.users.settled()
            const now = await makeScenario()
            const restore = await snapshot()
            const loginCalls = await scheduler.count(() => app.login(backend, now.email))
            await restore()
            const calls = [loginCalls, await scheduler.count(() => act(now))]
            const all = interleavings(calls[0] ?? 0, calls[1] ?? 0)
            t.ok(all.length >= 6, `${all.length} orders`)
            const wrong: string[] = []
            let validCount = 0
            for (const order of all) {
              await restore()
              const [login, acted] = await scheduler.run(
                order,
                () => app.login(backend, now.email),
                () =>
                  act(now).then(
                    () => 'done',
                    (error: { code: string }) => error.code
                  )
              )
              const log = scheduler.log.map((entry) => entry.join(' '))
              await after?.(now)
              const headers = headersOf(login)
              if (headers === null) {
                const { code } = login.json<{ code: string }>()
                if (code !== 'FST_USERS_LOGIN_BAD_CREDENTIALS') wrong.push(`${order}: ${code}`)
              } else if ((await statusOf(app, headers)) !== 401) {
                const began = log.findIndex((entry) => entry.startsWith('a '))
                const ended = log.indexOf('b update')
                if ((mayLive && began > ended) || acted !== 'done') validCount++
                else wrong.push(`${order}: a valid session after ${log.join(', ')}`)
              }
              // a hash upgrade invalidates the reset token, so the reset may fail
              if (acted !== 'done' && !(upgrades && acted === 'FST_USERS_RESET_PASSWORD_BAD_TOKEN')) {
                wrong.push(`${order}: the other task returned ${acted}`)
              }
            }
            t.same(wrong, [])
            t.equal(
              validCount > 0,
              mayLive || (upgrades && name === 'a password reset'),
              'only a login that began afterwards, or whose hash upgrade invalidated the reset token, may leave a valid session'
            )
          }
        )
      }
    }
  }
})

t.test(
  'RACE-04, SES-07: a password change by a cookie session, parallel to another event that ends sessions, leaves no valid session',
  async (t) => {
    interface Scenario {
      id: User['id']
      token: string
    }
    const actions: Record<
      string,
      {
        act(app: TestApp, scenario: Scenario): Promise<unknown>
        after?(app: TestApp, scenario: Scenario): Promise<unknown>
        wins?: string
      }
    > = {
      endSessions: { act: ({ app }, { id }) => app.users.endSessions(id) },
      'a reset': {
        act: ({ app }, { token }) => app.users.resetPassword(token, 'guinevere-reset'),
        wins: 'guinevere-reset'
      },
      'a password change by app.users.update': {
        act: ({ app }, { id }) => app.users.update(id, { password: 'guinevere-code' }),
        wins: 'guinevere-code'
      },
      'a deactivation and reactivation': {
        act: ({ app }, { id }) => app.users.update(id, { is_active: false }),
        after: ({ app }, { id }) => app.users.update(id, { is_active: true })
      },
      'a deletion': { act: ({ app }, { id }) => app.users.delete(id) }
    }
    for (const backend of ['db-cookie', 'jwt-cookie']) {
      for (const [name, { act, after, wins }] of Object.entries(actions)) {
        t.test(`${name} (${backend})`, async (t) => {
          const scheduler = new CallScheduler()
          const { adapter, snapshot } = watchedAdapter(memory())
          const app = await buildApp(t, {
            adapter: scheduler.wrap(adapter),
            backends: allBackends().filter(({ name }) => name === backend)
          })
          let made = 0
          const makeScenario = async (): Promise<Scenario & { headers: Headers; email: string }> => {
            const email = `knight${++made}@camelot.bt`
            const { id } = await app.create({ email })
            const headers = await session(app, backend, email)
            return { id, headers, email, token: await resetToken(app, email) }
          }
          await makeScenario()
          await app.app.users.settled()
          const now = await makeScenario()
          const restore = await snapshot()
          const patch = ({ headers }: { headers: Headers }) =>
            app.send('PATCH', '/users/me', { password: 'guinevere-own' }, headers)
          const patchCalls = await scheduler.count(() => patch(now))
          await restore()
          const calls = [patchCalls, await scheduler.count(() => act(app, now))]
          const all = interleavings(calls[0] ?? 0, calls[1] ?? 0)
          t.ok(all.length >= 15, `${all.length} orders`)
          const wrong: string[] = []
          for (const order of all) {
            await restore()
            const [reply, acted] = await scheduler.run(
              order,
              () => patch(now),
              () =>
                act(app, now).then(
                  () => 'done',
                  (error: { code: string }) => error.code
                )
            )
            const log = scheduler.log.map((entry) => entry.join(' ')).join(', ')
            if (
              wins !== undefined &&
              acted === 'done' &&
              headersOf(await app.login(backend, now.email, wins)) === null
            ) {
              wrong.push(`${order}: the password is not that of the event that ended the sessions: ${log}`)
            }
            await after?.(app, now)
            if ((await statusOf(app, now.headers)) !== 401) wrong.push(`${order}: the old session is valid`)
            const renewed = reply.headers['set-cookie'] === undefined ? null : { cookie: cookieOf(reply) }
            if (renewed !== null && acted === 'done' && (await statusOf(app, renewed)) !== 401) {
              wrong.push(`${order}: the renewed session is valid: ${log}`)
            }
            if (reply.statusCode !== 200 && reply.statusCode !== 401) wrong.push(`${order}: ${reply.body}`)
          }
          t.same(wrong, [])
        })
      }
    }
  }
)

t.test(
  'app.users.logout refuses an unauthenticated request, and ends the session of a route that sends its own reply',
  async (t) => {
    const app = await buildApp(t, {}, (app) => {
      app.post('/open/logout', async (request) => await app.users.logout(request))
      app.post('/guarded/logout', { preHandler: app.authenticate }, async (request) => {
        await app.users.logout(request)
        return { user: request.user, authentication: request.authentication }
      })
      app.get('/guarded', { preHandler: app.authenticate }, async () => ({}))
    })
    await app.create()
    const headers = await session(app, 'jwt')
    const stored = await session(app, 'cookie')
    t.match((await app.send('POST', '/open/logout', undefined, headers)).json<object>(), {
      statusCode: 401,
      code: 'FST_USERS_UNAUTHENTICATED'
    })
    t.equal(await statusOf(app, headers), 200, 'the session stays valid')
    t.same((await app.send('POST', '/guarded/logout', undefined, stored)).json(), { user: null, authentication: null })
    t.equal(await statusOf(app, stored), 401)
    t.match(app.events.at(-1), { name: 'onAfterLogout', backend: 'cookie' })
  }
)

t.test('SES-07: a request that a hook of the application has logged out cannot change the password', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.addHook('preHandler', async (request) => {
    if (request.headers['x-leave'] === 'yes') await app.users.logout(request)
  })
  await app.register(users, { adapter: memory(), secret: SECRET, passwords: fastPasswords, backends: allBackends() })
  const user = await app.ready().then(() => app.users.create({ email: ARTHUR, password: PASSWORD }))
  const { issued } = await app.users.login(user, { backend: 'jwt-bearer' })
  const change = async (leave: string): Promise<number> =>
    (
      await app.inject({
        method: 'PATCH',
        url: '/users/me',
        headers: { authorization: `Bearer ${String(issued?.token)}`, 'x-leave': leave },
        payload: { password: NEW_PASSWORD, current_password: PASSWORD }
      })
    ).statusCode
  t.equal(await change('yes'), 401)
  t.ok(await app.users.checkCredentials({ username: ARTHUR, password: PASSWORD }), 'the password is unchanged')
  t.equal(await change('no'), 200)
})

t.test('SES-07: a hook that logs out during a password change gets no renewed session', async (t) => {
  const app = await buildApp(t, {}, (app) => {
    app.users.addHook('onAfterUpdate', async (_payload, { request }) => {
      if (request !== null) await app.users.logout(request)
    })
  })
  await app.create()
  const reply = await app.send('PATCH', '/users/me', { password: NEW_PASSWORD }, await session(app, 'cookie'))
  t.strictSame([reply.statusCode, reply.headers['set-cookie']], [200, undefined])
})
