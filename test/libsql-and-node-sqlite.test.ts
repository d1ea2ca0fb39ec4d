import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import Libsql from 'libsql'
import t, { type Test } from 'tap'
import type { DatabaseAdapter } from '../lib/contracts/database-adapter.js'
import { migrationOf } from '../lib/adapters/sql/migration/adapter-migration.js'
import {
  sqlite,
  type NodeSqliteDatabase,
  type NodeSqliteStatement,
  type SqliteDatabase
} from '../lib/entries/sqlite.js'
import { createToken, createUserRow, AccessToken, models, User } from '../lib/testing/conformance/models.js'
import { adapterConformance } from '../lib/testing/index.js'
import { ARTHUR, buildApp, cookieOf, PASSWORD } from './helpers/build-app.js'
import { openLikeNodeSqlite, openNodeSqlite } from './helpers/node-sqlite.js'

type Opened = (SqliteDatabase | NodeSqliteDatabase) & { close(): unknown }
interface Client {
  name: string
  open: (path: string) => Opened
  options?: { skip: string }
}

const skipWithoutNodeSqlite =
  openNodeSqlite === undefined ? { options: { skip: `Node ${process.versions.node} has no node:sqlite` } } : {}
const clients: Client[] = [
  { name: 'libsql', open: (path) => new Libsql(path) },
  { name: 'node:sqlite', open: openNodeSqlite ?? openLikeNodeSqlite, ...skipWithoutNodeSqlite },
  { name: 'a database with the interface of node:sqlite', open: openLikeNodeSqlite }
]

function path (t: Test): string {
  return join(t.testdir({}), 'users.db')
}

async function opened (t: Test, database: Opened): Promise<DatabaseAdapter> {
  const adapter = sqlite(database)
  for (const model of models) adapter.define(model)
  await adapter.open()
  t.teardown(() => {
    database.close()
  })
  return adapter
}

/** All values of one column. */
function column (database: Opened, sql: string): unknown[] {
  // without parameters, `all` has the same signature in all clients
  const statement = database.prepare(sql) as NodeSqliteStatement
  return (statement.all() as Record<string, unknown>[]).map((row) => Object.values(row)[0])
}

for (const { name, open, options = {} } of clients) {
  t.test(`row 85: sqlite() on ${name} passes the conformance suite`, options, async (t) => {
    const directory = t.testdir({})
    const files = new WeakMap<DatabaseAdapter, string>()
    const make = (file: string): DatabaseAdapter => {
      const database = open(file)
      const adapter = sqlite(database)
      adapter.close = async () => {
        database.close()
      }
      files.set(adapter, file)
      return adapter
    }
    adapterConformance({
      test: (name, run) => {
        t.test(name, async (t) => {
          await run()
          t.pass(name)
        })
      },
      storesNul: false,
      makeAdapter: () => make(join(directory, randomUUID())),
      makeSibling: (adapter) => make(files.get(adapter) ?? '')
    })
  })

  t.test(`rows 21, 22: every flow works on ${name} while two applications write to one file`, options, async (t) => {
    const file = path(t)
    const databases = [open(file), open(file)] as const
    t.teardown(() => {
      for (const database of databases) database.close()
    })
    column(databases[0], 'PRAGMA journal_mode = WAL')
    const one = await buildApp(t, { adapter: sqlite(databases[0]) })
    const other = await buildApp(t, { adapter: sqlite(databases[1]) })
    const statuses = await Promise.all(
      [one, other, one, other].map(
        async ({ send }) => (await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })).statusCode
      )
    )
    t.strictSame(statuses.sort(), [201, 400, 400, 400], 'RACE-02')
    const headers = { cookie: cookieOf(await one.login('cookie', ARTHUR.toUpperCase())) }
    for (const { send } of [one, other]) {
      t.hasStrict((await send('GET', '/users/me', undefined, headers)).json(), {
        email: ARTHUR,
        is_active: true,
        is_superuser: false
      })
    }
    const changed = await other.send('PATCH', '/users/me', { email: 'new@camelot.bt' }, headers)
    t.equal(changed.statusCode, 200)
    // the change of the e-mail ends the session and renews the cookie
    const renewed = { cookie: cookieOf(changed) }
    for (const { send } of [one, other]) t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
    t.equal((await one.send('POST', '/auth/cookie/logout', undefined, renewed)).statusCode, 204)
    for (const { send } of [one, other]) t.equal((await send('GET', '/users/me', undefined, renewed)).statusCode, 401)
    const many = await Promise.all(
      Array.from(
        { length: 40 },
        async (_, n) =>
          await (n % 2 === 0 ? one : other).send('POST', '/auth/register', {
            email: `knight${n}@camelot.bt`,
            password: PASSWORD
          })
      )
    )
    t.strictSame(
      many.map(({ statusCode }) => statusCode),
      many.map(() => 201)
    )
    await one.app.close()
    t.strictSame(
      column(databases[0], 'SELECT count(*) FROM user'),
      [41],
      'the database stays open after the application has closed'
    )
  })

  t.test(
    `${name}: foreign keys are enforced, the journal mode is kept, and writes wait for other connections`,
    options,
    async (t) => {
      const file = path(t)
      const [database, other] = [open(file), open(file)]
      t.teardown(() => {
        other.close()
      })
      database.exec('PRAGMA foreign_keys = OFF')
      const adapter = await opened(t, database)
      t.strictSame(column(database, 'PRAGMA foreign_keys'), [1])
      t.strictSame(column(database, 'PRAGMA journal_mode'), ['delete'])
      other.exec('BEGIN IMMEDIATE')
      let turns = 0
      const counting = setInterval(() => {
        if (++turns === 5) other.exec('COMMIT')
      }, 1)
      t.teardown(() => {
        clearInterval(counting)
      })
      const user = await createUserRow(adapter)
      t.ok(turns >= 5, 'the event loop keeps running while the write waits')
      other.exec('BEGIN IMMEDIATE; UPDATE "user" SET email = \'taken@camelot.bt\'')
      const late = t.rejects(
        createUserRow(adapter, { email: 'TAKEN@camelot.bt' }),
        { code: 'FST_USERS_UNIQUE_VIOLATION' },
        'the other connection stores the e-mail first'
      )
      other.exec('COMMIT')
      await late
      Object.assign(user, { email: 'taken@camelot.bt' })
      await createToken(adapter, user, 'token')
      t.hasStrict(await adapter.findWithUser?.(AccessToken, { token: 'token' }), { user }, 'the adapter reads the change')
      for (const read of [() => adapter.findOne(User, {}), () => adapter.findWithUser?.(AccessToken, {})]) {
        await read()
        await t.resolves(async () => {
          other.exec('CREATE TABLE probe (a); DROP TABLE probe')
        }, 'a read leaves no lock')
      }
      t.equal(await adapter.delete(User, {}), 1)
      t.equal(await adapter.findOne(AccessToken, {}), null)
    }
  )

  t.test(`${name}: text with U+0000 is refused or stored completely, and JSON keeps it`, options, async (t) => {
    const adapter = await opened(t, open(':memory:'))
    const user = await createUserRow(adapter, { order: 'a', settings: { text: 'a\0b' } })
    t.strictSame(await adapter.findOne(User, { order: 'a' }), user)
    for (const order of ['a\0b', 'a\0', '\0']) {
      const refusal = await createUserRow(adapter, { order }).then(
        () => null,
        ({ code }: { code: string }) => code
      )
      const found = await adapter.findMany(User, { order }, { limit: 9 })
      if (refusal === null) {
        t.strictSame(
          found.map((row) => row['order']),
          [order]
        )
      } else t.strictSame([refusal, found], ['FST_USERS_INVALID_OPTION', []])
    }
    for (const where of [{ email: '\0' }, { order: { in: ['a\0c'] } }, { id: `${String(user['id'])}\0` }]) {
      t.equal(await adapter.findOne(User, where), null, JSON.stringify(where))
    }
  })

  t.test(`${name}: a failed creation leaves no tables behind`, options, async (t) => {
    const database = open(':memory:')
    t.teardown(() => {
      database.close()
    })
    database.exec('CREATE TABLE mine (a); CREATE INDEX ix_accesstoken_user_id ON mine (a)')
    const adapter = sqlite(database)
    for (const model of models) adapter.define(model)
    await t.rejects(adapter.open(), { message: /already exists/ })
    t.strictSame(column(database, "SELECT name FROM sqlite_master WHERE type = 'table'"), ['mine'])
  })

  t.test(`${name}: a migration reads and writes the database`, options, async (t) => {
    const adapter = await opened(t, open(':memory:'))
    await createUserRow(adapter)
    const source = await migrationOf(adapter)?.connect('refuse')
    const found = await source?.transaction('write', async (database) => {
      t.equal(await database.run('UPDATE "user" SET nickname = ?', ['Galahad']), 1)
      t.equal(await database.hasIndex('ix_user_email'), true)
      return await database.describe('accesstoken')
    })
    t.strictSame([...(found?.columns.keys() ?? [])], Object.keys(AccessToken.fields))
    await t.rejects(
      async () =>
        await source?.transaction('write', async (database) => {
          await database.run('DELETE FROM "user"')
          throw new Error('rolled back')
        }),
      { message: 'rolled back' }
    )
    t.hasStrict(await adapter.findOne(User, {}), { nickname: 'Galahad' })
  })
}
