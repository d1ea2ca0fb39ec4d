import { chmodSync, copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomBytes, randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { hash as hashBcrypt } from '@node-rs/bcrypt'
import { verify as verifyArgon2 } from '@node-rs/argon2'
import Database from 'better-sqlite3'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import users, {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  integerId,
  jwtStrategy,
  userSchemas,
  type User,
  type UserId,
  type UsersOptions
} from '../../lib/index.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { captureEvents, type CapturedEvents } from '../../lib/testing/index.js'
import { fastPasswords } from '../helpers/build-app.js'
import { CENTURY, signLikePython } from './rows.js'

interface Fixture {
  users: { id: string; email: string; password: string }[]
  tokens_of_king_arthur: { jwt: string; db: string; cookie: string }
  reset_token_of_lancelot: string
  verify_token_of_lancelot: string
  secrets: { AUTH_SECRET: string; RESET_SECRET: string; VERIFY_SECRET: string }
}
const fixture = JSON.parse(readFileSync('test/fixtures/fastapi-users.json', 'utf8')) as Fixture
const [arthur, lancelot, merlin, galahad] = fixture.users as [
  Fixture['users'][0],
  Fixture['users'][0],
  Fixture['users'][0],
  Fixture['users'][0]
] // the secrets of the README
const { AUTH_SECRET, RESET_SECRET, VERIFY_SECRET } = fixture.secrets

type Rows = Record<string, unknown>[]

/** Copies the database of FastAPI Users and opens a second connection, which stands for the Python service. */
function copyFixture (t: Test, ...changes: string[]): { file: string; python: Database.Database } {
  const file = join(t.testdir(), 'users.sqlite')
  copyFileSync('test/fixtures/fastapi-users.sqlite', file)
  chmodSync(file, 0o644)
  return open(t, file, changes)
}

/** Creates a database file with the tables of an older or renamed installation. */
function makeDatabase (t: Test, ...statements: string[]): { file: string; python: Database.Database } {
  return open(t, join(t.testdir(), 'users.sqlite'), statements)
}

function open (t: Test, file: string, statements: string[]): { file: string; python: Database.Database } {
  const python = new Database(file)
  t.teardown(() => python.close())
  for (const statement of statements) python.exec(statement)
  return { file, python }
}

const schemaOf = (database: Database.Database): unknown[] =>
  database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name').all()
const rowsOf = (database: Database.Database, table: string): Rows =>
  database.prepare(`SELECT * FROM "${table}" ORDER BY rowid`).all() as Rows

interface Service {
  app: FastifyInstance
  events: CapturedEvents
  logged: string[]
  login(backend: string, username: string, password: string): Promise<LightMyRequestResponse>
  token(backend: string, username: string, password: string): Promise<string>
  me(headers: Record<string, string>): Promise<LightMyRequestResponse>
  post(url: string, payload: object): Promise<LightMyRequestResponse>
}

async function serve (t: Test, file: string, options: Partial<UsersOptions> = {}): Promise<Service> {
  const logged: string[] = []
  const app = Fastify({
    logger: {
      level: 'error',
      stream: {
        write: (line: string) => {
          logged.push(line)
        }
      }
    }
  })
  t.teardown(() => app.close())
  await app.register(users, {
    adapter: sqlite(file),
    secret: AUTH_SECRET,
    compatibility: 'fastapi-users',
    tokens: { reset: { secret: RESET_SECRET }, verify: { secret: VERIFY_SECRET } },
    backends: [
      {
        name: 'jwt',
        transport: bearerTransport(),
        strategy: jwtStrategy({ secret: AUTH_SECRET, lifetimeSeconds: 3600 })
      },
      { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: null }) },
      {
        name: 'cookie',
        transport: cookieTransport(),
        strategy: jwtStrategy({ secret: AUTH_SECRET, lifetimeSeconds: 3600 })
      }
    ],
    ...options
  })
  const events = captureEvents(app)
  await app.ready()
  const login: Service['login'] = (backend, username, password) =>
    app.inject({
      method: 'POST',
      url: `/auth/${backend}/login`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ username, password }).toString()
    })
  return {
    app,
    events,
    logged,
    login,
    token: async (...given) => String((await login(...given)).json<{ access_token?: string }>().access_token),
    me: (headers) => app.inject({ url: '/users/me', headers }),
    post: (url, payload) => app.inject({ method: 'POST', url, payload })
  }
}

const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })
const UUID_4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const FORMS: Record<string, Record<string, [type: string, form: RegExp]>> = {
  user: {
    id: ['text', UUID_4],
    email: ['text', /^[^@]+@[^@]+$/],
    hashed_password: ['text', /^\$(?:argon2id\$v=19\$m=65536,t=3,p=4\$[\w+/]{22}\$[\w+/]{43}|2b\$12\$.{53})$/],
    is_active: ['integer', /^[01]$/],
    is_superuser: ['integer', /^[01]$/],
    is_verified: ['integer', /^[01]$/]
  },
  accesstoken: {
    user_id: ['text', UUID_4],
    token: ['text', /^[\w-]{43}$/],
    created_at: ['text', /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/]
  }
}

t.test(
  'rows 83, 90: the database of FastAPI Users is used unchanged and stays readable for FastAPI Users',
  async (t) => {
    const { file, python } = copyFixture(t)
    const [schema, accounts, before] = [schemaOf(python), rowsOf(python, 'oauth_account'), rowsOf(python, 'user')]
    const { app, login, me, post } = await serve(t, file)
    const { jwt, db, cookie } = fixture.tokens_of_king_arthur

    for (const [name, headers] of [
      ['JWT', bearer(jwt)],
      ['database', bearer(db)],
      ['cookie', { cookie: String(cookie.split(';')[0]) }]
    ] as const) {
      const reply = await me(headers)
      t.strictSame(
        [reply.statusCode, reply.json()],
        [200, { id: arthur.id, email: arthur.email, is_active: true, is_superuser: true, is_verified: true }],
        `a valid ${name} token of FastAPI Users`
      )
    }
    for (const { email, password } of fixture.users) {
      t.equal((await login('jwt', email, password)).statusCode, 200, email)
    }
    t.equal(
      (await login('jwt', merlin.email.replace('Merlin', 'MERLIN'), merlin.password)).statusCode,
      200,
      'ASCII letters in another case'
    )
    t.equal(
      (await login('jwt', merlin.email.replace('É', 'é'), merlin.password)).statusCode,
      400,
      'other letters keep their case, as with lower() of SQLite in FastAPI Users'
    )

    const verified = await post('/auth/verify', { token: fixture.verify_token_of_lancelot })
    t.strictSame(
      [verified.statusCode, verified.json<User>().is_verified],
      [200, true],
      'a verify token of FastAPI Users'
    )
    const dead = await post('/auth/reset-password', { token: fixture.reset_token_of_lancelot, password: 'x' })
    t.strictSame(
      [dead.statusCode, dead.body],
      [400, '{"detail":"RESET_PASSWORD_BAD_TOKEN"}'],
      'a used reset token of FastAPI Users'
    )

    const after = rowsOf(python, 'user')
    const changed = after.filter((row, i) => JSON.stringify(row) !== JSON.stringify(before[i]))
    t.strictSame(
      changed.map(({ email }) => email),
      [lancelot.email],
      'only the bcrypt hash was replaced, and only its user was verified'
    )
    t.ok(await verifyArgon2(String(changed[0]?.hashed_password), lancelot.password))

    t.equal((await post('/auth/register', { email: 'bors@camelot.bt', password: 'x' })).statusCode, 201)
    t.equal((await login('db', 'bors@camelot.bt', 'x')).statusCode, 200)
    for (const [table, columns] of Object.entries(FORMS)) {
      t.ok(rowsOf(python, table).length > 1, `${table}: the rows of FastAPI Users and of the plugin`)
      for (const [column, [type, form]] of Object.entries(columns)) {
        const values = python.prepare(`SELECT typeof("${column}") type, "${column}" value FROM "${table}"`).all() as {
          type: string
          value: unknown
        }[]
        for (const { type: found, value } of values) {
          t.ok(found === type && form.test(String(value)), `${table}.${column}: ${found} ${String(value)}`)
        }
      }
    }

    t.strictSame(rowsOf(python, 'oauth_account'), accounts, 'the OAuth account is unchanged')
    await app.users.delete(galahad.id as UserId)
    t.strictSame(rowsOf(python, 'oauth_account'), [], 'the OAuth account is deleted with its user')
    t.strictSame(schemaOf(python), schema, 'no table and no index is created or altered')
  }
)

t.test('row 90: a Python service on the same database sees every write at once, and so does the plugin', async (t) => {
  const { file, python } = copyFixture(t)
  const { app, token, me } = await serve(t, file, { passwords: fastPasswords, limits: false })
  const theirs = randomBytes(32).toString('base64url')
  python
    .prepare('INSERT INTO accesstoken (user_id, token, created_at) VALUES (?, ?, ?)')
    .run(arthur.id, theirs, '2026-01-02 03:04:05.678901')
  t.equal((await me(bearer(theirs))).statusCode, 200, 'a session that the Python service created')
  python.prepare('DELETE FROM accesstoken WHERE token = ?').run(theirs)
  t.equal((await me(bearer(theirs))).statusCode, 401, 'a session that the Python service ended')

  await app.users.create({ email: 'bors@camelot.bt', password: 'bors' })
  const ours = await token('db', 'bors@camelot.bt', 'bors')
  const row = python
    .prepare(
      'SELECT u.email, t.created_at FROM accesstoken t JOIN user u ON u.id = t.user_id WHERE t.token = ? AND t.created_at >= ?'
    )
    .get(ours, '2026-01-01 00:00:00.000000') as { email: string }
  t.equal(row.email, 'bors@camelot.bt', 'the query of the Python service finds a session of the plugin')
  python.prepare('UPDATE user SET is_active = 0 WHERE email = ?').run('bors@camelot.bt')
  t.equal((await me(bearer(ours))).statusCode, 401, 'a user that the Python service deactivated')

  python.pragma('foreign_keys = OFF')
  python.prepare('DELETE FROM user WHERE email = ?').run('bors@camelot.bt')
  t.equal((await me(bearer(ours))).statusCode, 401, 'a user that the Python service deleted without its tokens')
})

t.test('row 83: without the column session_stamp, a password change invalidates JWTs of the plugin', async (t) => {
  const { file } = copyFixture(t)
  const { app, token, me } = await serve(t, file, { passwords: fastPasswords, limits: false })
  const bors = await app.users.create({ email: 'bors@camelot.bt', password: 'bors' })
  const sessions = [await token('jwt', bors.email, 'bors'), await token('db', bors.email, 'bors')]
  for (const session of sessions) t.equal((await me(bearer(session))).statusCode, 200)
  const theirs = signLikePython({ sub: bors.id, aud: ['fastapi-users:auth'], exp: CENTURY }, AUTH_SECRET)
  await app.users.update(bors, { password: 'bors-2' })
  for (const session of sessions) t.equal((await me(bearer(session))).statusCode, 401)
  t.equal(
    (await me(bearer(theirs))).statusCode,
    200,
    'a JWT without a security stamp stays valid, as in FastAPI Users'
  )
})

t.test(
  'row 83: without the column session_stamp, a change of password invalidates JWTs and fails after another change',
  async (t) => {
    const { file, python } = copyFixture(t)
    let hash: string | null = null
    const { app, token, me } = await serve(t, file, {
      passwords: fastPasswords,
      limits: false,
      hooks: {
        onBeforeUpdate: () => {
          if (hash !== null) {
            python.prepare('UPDATE user SET hashed_password = ? WHERE email = ?').run(hash, 'bors@camelot.bt')
          }
        }
      }
    })
    const { email } = await app.users.create({ email: 'bors@camelot.bt', password: 'bors' })
    const change = async (session: string, password: string): Promise<number> =>
      (await app.inject({ method: 'PATCH', url: '/users/me', headers: bearer(session), payload: { password } }))
        .statusCode
    const session = await token('jwt', email, 'bors')
    t.equal(await change(session, 'bors-2'), 200)
    t.equal((await me(bearer(session))).statusCode, 401)
    const next = await token('jwt', email, 'bors-2')
    hash = await fastPasswords.hash('bors-3')
    t.equal(await change(next, 'bors-4'), 401, 'the password has changed in the meantime')
    t.equal((await me(bearer(await token('jwt', email, 'bors-3')))).statusCode, 200)
  }
)

t.test(
  'row 83: without the column session_stamp, endSessions reports the backends it cannot revoke and revokes the others',
  async (t) => {
    const { file, python } = copyFixture(t)
    const { app, me, post, events } = await serve(t, file, { passwords: fastPasswords, limits: false })
    const { jwt, db } = fixture.tokens_of_king_arthur
    await t.rejects(app.users.endSessions(arthur.id as UserId), {
      code: 'FST_USERS_SESSIONS_NOT_REVOCABLE',
      message: /backend jwt, cookie /
    })
    t.equal((await me(bearer(db))).statusCode, 401, 'stored sessions have ended')
    t.equal((await me(bearer(jwt))).statusCode, 200)
    t.strictSame(rowsOf(python, 'accesstoken'), [])

    await app.users.forgotPassword(arthur.email)
    const token = await events.tokenOf('onAfterForgotPassword')
    t.equal((await post('/auth/reset-password', { token, password: 'x' })).statusCode, 200, 'a reset works')
    t.equal((await post('/auth/reset-password', { token, password: 'x' })).statusCode, 400, 'once')

    const stored = await serve(t, copyFixture(t).file, {
      backends: [{ name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: null }) }]
    })
    await t.resolves(
      stored.app.users.endSessions(arthur.id as UserId),
      'with stored sessions alone there is nothing left'
    )
  }
)

const usersTable = (hash: string, more = ''): string =>
  `CREATE TABLE user (id CHAR(36) NOT NULL, email VARCHAR(320) NOT NULL, hashed_password ${hash} NOT NULL, is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL${more}, PRIMARY KEY (id))`
const TOKENS_TABLE =
  'CREATE TABLE accesstoken (user_id CHAR(36) NOT NULL, token VARCHAR(43) NOT NULL, created_at TIMESTAMP NOT NULL, PRIMARY KEY (token))'
const insertUser = (hash: string, email = 'bors@camelot.bt', id: string = randomUUID()): string =>
  `INSERT INTO user (id, email, hashed_password, is_active, is_superuser, is_verified) VALUES ('${id}', '${email}', '${hash}', 1, 0, 0)`

t.test('row 83: a hash that is longer than its column is refused before the write, and logins still work', async (t) => {
  for (const type of ['VARCHAR(72)', 'varchar (72)', 'NVARCHAR(72)', 'CHARACTER VARYING(72)']) {
    const bcrypt = await hashBcrypt('bors', 4)
    const { file, python } = makeDatabase(t, usersTable(type), TOKENS_TABLE, insertUser(bcrypt))
    const { app, logged, login, token, post } = await serve(t, file, { passwords: fastPasswords, limits: false })
    const before = rowsOf(python, 'user')
    t.equal((await login('jwt', 'bors@camelot.bt', 'wrong')).statusCode, 400)
    const session = await token('jwt', 'bors@camelot.bt', 'bors')
    t.match(session, /^eyJ/, `${type}: the login works`)
    await app.users.settled()
    t.ok(
      logged.join('').includes('FST_USERS_TABLE_MISMATCH'),
      'the log contains the reason why the hash was not replaced'
    )

    const mismatch = {
      code: 'FST_USERS_TABLE_MISMATCH',
      message: /"user".*"hashed_password" holds 72 characters.*make the column wider/
    }
    await t.rejects(app.users.create({ email: 'new@camelot.bt', password: 'x' }), mismatch)
    await t.rejects(app.users.update(before[0]?.id as UserId, { password: 'x' }), mismatch)
    const register = await post('/auth/register', { email: 'new@camelot.bt', password: 'x' })
    t.strictSame([register.statusCode, register.body], [500, 'Internal Server Error'])
    t.strictSame(rowsOf(python, 'user'), before, 'nothing was written')
    t.equal(
      (
        await app.inject({
          method: 'PATCH',
          url: '/users/me',
          headers: bearer(session),
          payload: { email: 'b@camelot.bt' }
        })
      ).statusCode,
      200,
      'a hash that fits its column is written'
    )
  }
})

t.test('row 83: columns without a width or with a sufficient width accept every hash; widths count characters', async (t) => {
  for (const type of ['VARCHAR', 'TEXT', 'VARCHAR(97)', 'VARCHAR(255)', 'CLOB']) {
    const { file, python } = makeDatabase(t, usersTable(type, ', nick VARCHAR(3)'), TOKENS_TABLE)
    const { app } = await serve(t, file, {
      passwords: fastPasswords,
      limits: false,
      schemas: userSchemas({ nick: Type.String({ maxLength: 10 }) })
    })
    const values = { email: 'bors@camelot.bt', password: 'x', nick: '😀😀😀' }
    await t.resolves(app.users.create(values), type)
    await t.rejects(app.users.create({ ...values, email: 'b@camelot.bt', nick: 'Bors' } as typeof values), {
      code: 'FST_USERS_TABLE_MISMATCH',
      message: /"nick" holds 3 characters/
    })
    t.equal(rowsOf(python, 'user').length, 1)
  }
})

t.test(
  'rows 12, 83: of e-mails that differ only in letter case, the exact one is used, otherwise one of them; no request is a 500',
  async (t) => {
    const [first, second] = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002']
    const { file, python } = makeDatabase(
      t,
      usersTable('VARCHAR(1024)'),
      'CREATE UNIQUE INDEX ix_user_email ON user (email)',
      TOKENS_TABLE,
      insertUser(await fastPasswords.hash('second'), 'Bors@camelot.bt', second),
      insertUser(await fastPasswords.hash('first'), 'bors@camelot.bt', first)
    )
    const { app, events, login, token, me, post } = await serve(t, file, { passwords: fastPasswords, limits: false })
    const idOf = async (email: string, password: string): Promise<unknown> =>
      (await me(bearer(await token('jwt', email, password)))).json<User>().id
    t.equal(await idOf('bors@camelot.bt', 'first'), first)
    t.equal(await idOf('Bors@camelot.bt', 'second'), second)
    t.equal(await idOf('BORS@camelot.bt', 'first'), first, 'without an exact match always the same user is found')
    t.equal((await login('jwt', 'BORS@camelot.bt', 'second')).statusCode, 400)

    for (const [email, id] of [
      ['bors@camelot.bt', first],
      ['Bors@camelot.bt', second],
      ['BORS@camelot.bt', first]
    ] as const) {
      events.clear()
      t.equal((await post('/auth/forgot-password', { email })).statusCode, 202)
      const tokenSent = await events.tokenOf('onAfterForgotPassword')
      t.equal(
        (JSON.parse(Buffer.from(String(tokenSent.split('.')[1]), 'base64url').toString()) as { sub: string }).sub,
        id,
        email
      )
      t.equal((await post('/auth/request-verify-token', { email })).statusCode, 202)
    }
    const taken = await post('/auth/register', { email: 'BoRs@camelot.bt', password: 'x' })
    t.strictSame([taken.statusCode, taken.body], [400, '{"detail":"REGISTER_USER_ALREADY_EXISTS"}'])
    t.equal(
      (await app.users.update(second as UserId, { email: 'bors.2@camelot.bt' })).email,
      'bors.2@camelot.bt',
      'the two users can be distinguished again'
    )
    t.equal(rowsOf(python, 'user').length, 2)
  }
)

t.test('rows 49, 83: integer ids, and tables and columns under other names', async (t) => {
  const { file, python } = makeDatabase(
    t,
    'CREATE TABLE members (number INTEGER NOT NULL, mail VARCHAR(320) NOT NULL, secret_hash VARCHAR(1024) NOT NULL, is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, confirmed BOOLEAN NOT NULL, PRIMARY KEY (number))',
    'CREATE UNIQUE INDEX ix_members_mail ON members (mail)',
    'CREATE TABLE sessions (member INTEGER NOT NULL, token VARCHAR(43) NOT NULL, created_at TIMESTAMP NOT NULL, PRIMARY KEY (token), FOREIGN KEY(member) REFERENCES members (number) ON DELETE cascade)'
  )
  python
    .prepare('INSERT INTO members VALUES (7, ?, ?, 1, 1, 1)')
    .run('bors@camelot.bt', await fastPasswords.hash('bors'))
  const theirs = randomBytes(32).toString('base64url')
  python.prepare('INSERT INTO sessions VALUES (7, ?, ?)').run(theirs, '2026-01-02 03:04:05.678901')
  const schema = schemaOf(python)
  const { app, token, me, post } = await serve(t, file, {
    passwords: fastPasswords,
    limits: false,
    schemas: userSchemas({}, { id: integerId() }),
    adapter: sqlite(file, {
      tables: {
        user: {
          table: 'members',
          columns: { id: 'number', email: 'mail', hashed_password: 'secret_hash', is_verified: 'confirmed' }
        },
        accesstoken: { table: 'sessions', columns: { user_id: 'member' } }
      }
    })
  })
  const bors = { id: 7, email: 'bors@camelot.bt', is_active: true, is_superuser: true, is_verified: true }
  t.strictSame((await me(bearer(theirs))).json(), bors, 'a stored session of FastAPI Users')
  t.strictSame(
    (await me(bearer(signLikePython({ sub: '7', aud: ['fastapi-users:auth'], exp: CENTURY }, AUTH_SECRET)))).json(),
    bors,
    'a JWT of FastAPI Users, with text as sub'
  )
  const ours = await token('jwt', bors.email, 'bors')
  t.equal((JSON.parse(Buffer.from(String(ours.split('.')[1]), 'base64url').toString()) as { sub: unknown }).sub, '7')

  t.strictSame((await post('/auth/register', { email: 'new@camelot.bt', password: 'x' })).json(), {
    id: 8,
    email: 'new@camelot.bt',
    is_active: true,
    is_superuser: false,
    is_verified: false
  })
  await token('db', 'new@camelot.bt', 'x')
  t.strictSame(
    rowsOf(python, 'sessions').map(({ member }) => member),
    [7, 8]
  )
  const remove = await app.inject({ method: 'DELETE', url: '/users/8', headers: bearer(ours) })
  t.equal(remove.statusCode, 204)
  t.strictSame([rowsOf(python, 'members').length, rowsOf(python, 'sessions').length], [1, 1])
  for (const id of ['+7', '7.0', '07', '9'.repeat(50), '9']) {
    t.equal((await app.inject({ url: `/users/${id}`, headers: bearer(ours) })).statusCode, 404, id)
  }
  t.strictSame(schemaOf(python), schema)
})

t.test(
  'row 83: older tables: without is_verified the start is refused; without foreign keys, sessions are still deleted with their user',
  async (t) => {
    const old = makeDatabase(
      t,
      'CREATE TABLE user (id CHAR(36) NOT NULL, email VARCHAR(320) NOT NULL, hashed_password VARCHAR NOT NULL, is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, PRIMARY KEY (id))',
      TOKENS_TABLE
    )
    await t.rejects(
      serve(t, old.file),
      { code: 'FST_USERS_TABLE_MISMATCH', message: /"user".*columns are missing: "is_verified"/ }
    )

    const { file, python } = makeDatabase(t, usersTable('VARCHAR'), TOKENS_TABLE)
    const { app, token } = await serve(t, file, { passwords: fastPasswords, limits: false })
    const bors = await app.users.create({ email: 'bors@camelot.bt', password: 'bors' })
    await token('db', bors.email, 'bors')
    await app.users.delete(bors)
    t.strictSame([rowsOf(python, 'user'), rowsOf(python, 'accesstoken')], [[], []])
  }
)
