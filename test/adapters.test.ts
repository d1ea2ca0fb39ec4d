import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { memory } from '../lib/adapters/memory/index.js'
import { idOf, resolveRow } from '../lib/adapters/shared/row-references.js'
import { openBetterSqlite3 } from '../lib/adapters/sql/drivers/better-sqlite3.js'
import type { SqlDriver, SqlWritten } from '../lib/adapters/sql/drivers/driver.js'
import { sqliteDialect } from '../lib/adapters/sql/dialects/sqlite.js'
import { sqlAdapter } from '../lib/adapters/sql/sql-adapter.js'
import { sqlite, type SqlAdapterOptions } from '../lib/entries/sqlite.js'
import type { Changes, DatabaseAdapter, MaybePromise, Row } from '../lib/contracts/database-adapter.js'
import type { Model } from '../lib/contracts/models.js'
import { FST_USERS_UNIQUE_VIOLATION } from '../lib/errors.js'
import { AccessToken, createToken, createUserRow, Membership, models, User } from '../lib/testing/conformance/models.js'
import { adapterConformance, type ConformanceOptions, withSlowReads } from '../lib/testing/index.js'
import { id, Person } from './helpers/adopted-user.js'
import { fixturePath } from './helpers/root.js'

const Session: Model = {
  name: 'accesstoken',
  table: 'accesstoken',
  fields: {
    token: { type: 'text', maxLength: 43 },
    user_id: { type: 'id', id, references: 'user' },
    created_at: { type: 'time' }
  },
  index: [['created_at'], ['user_id']]
}
const ARTHUR_ID = '05fff8ce-3a06-48f2-9c44-a16751012464'
const person = {
  email: 'Galahad@camelot.bt',
  hashed_password: 'hash',
  is_active: true,
  is_superuser: false,
  is_verified: false
}

function createDatabasePath (t: Test, name = 'users.db'): string {
  return join(t.testdir({}), name)
}

async function openAdapter (
  t: Test,
  pathOrDatabase: string | Database.Database,
  defined: readonly Model[],
  options?: SqlAdapterOptions
): Promise<DatabaseAdapter> {
  const adapter = sqlite(pathOrDatabase, options)
  for (const model of defined) adapter.define(model)
  t.teardown(() => adapter.close?.())
  await adapter.open()
  return adapter
}

function testConformance (name: string, make: (t: Test) => Omit<ConformanceOptions, 'test'>): void {
  t.test(`row 85: ${name} passes the conformance suite`, async (t) => {
    adapterConformance({
      ...make(t),
      test: (name, run) => {
        t.test(name, async (t) => {
          await run()
          t.pass(name)
        })
      }
    })
  })
}

testConformance('memory()', () => ({ makeAdapter: () => memory() }))

// A store may lack joins, refuse U+0000, and treat e-mails that differ only in accents as duplicates.
testConformance('an asynchronous adapter with only the required methods', () => ({
  storesNul: false,
  makeAdapter () {
    const adapter = memory()
    const runLater = async <T>(work: () => MaybePromise<T>): Promise<T> => {
      await nextTurn()
      return await work()
    }
    const foldEmail = (email: unknown): string => String(email).normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()
    return {
      define: (model) => {
        adapter.define(model)
      },
      open: () => adapter.open(),
      create: (model, row) =>
        runLater(async () => {
          const rows = model === User ? await adapter.findMany(User, {}, { limit: 100 }) : []
          if (rows.some(({ email }) => foldEmail(email) === foldEmail(row['email']))) {
            throw FST_USERS_UNIQUE_VIOLATION(['email'], { fields: ['email'] })
          }
          return await adapter.create(model, row)
        }),
      findOne: (model, where) => runLater(() => adapter.findOne(model, where)),
      findMany: (model, where, options) => runLater(() => adapter.findMany(model, where, options)),
      update: (model, where, changes) => runLater(() => adapter.update(model, where, changes)),
      delete: (model, where) => runLater(() => adapter.delete(model, where))
    }
  }
}))

testConformance('sqlite(file)', (t) => {
  const directory = t.testdir({})
  const files = new WeakMap<DatabaseAdapter, string>()
  return {
    makeAdapter () {
      const file = join(directory, randomUUID())
      const adapter = sqlite(file)
      files.set(adapter, file)
      return adapter
    },
    makeSibling: (adapter) => sqlite(files.get(adapter) ?? '')
  }
})

// Runs the SQL of SQLite as a database server would: asynchronously, with numbered placeholders and RETURNING.
testConformance('an asynchronous SQL driver', () => ({
  makeAdapter () {
    const database = new Database(':memory:')
    const name = (parameters: readonly unknown[]): Record<string, unknown> =>
      Object.fromEntries(parameters.map((value, n) => [n + 1, value]))
    const run = (text: string, parameters: readonly unknown[]): SqlWritten => {
      const statement = database.prepare<unknown[], unknown[]>(text)
      return statement.reader
        ? { changes: 1, insertId: statement.raw(true).get(name(parameters))?.[0] }
        : { changes: statement.run(name(parameters)).changes, insertId: undefined }
    }
    const driver: SqlDriver = {
      prepare (text) {
        const statement = database.prepare<unknown[], unknown[]>(text)
        if (statement.reader) statement.raw(true)
        return {
          get: async (parameters) => statement.get(name(parameters)),
          all: async (parameters) => statement.all(name(parameters)),
          run: async (parameters) => run(text, parameters)
        }
      },
      transaction: async (writes) =>
        database.transaction(() => {
          const steps = writes()
          let step = steps.next()
          while (step.done !== true) step = steps.next(run(step.value.sql, step.value.parameters))
          return step.value
        })(),
      change: async (catalog, plan) => {
        for (const text of plan(database.prepare<[], unknown[]>(catalog).raw(true).all())) database.exec(text)
      },
      close: async () => {
        database.close()
      }
    }
    const dialect = {
      ...sqliteDialect,
      placeholder: (position: number) => `?${position}`,
      returnsId: true,
      nullsFirst: ' NULLS FIRST'
    }
    return sqlAdapter({ dialect, connect: () => driver })
  }
}))

testConformance('sqlite(database)', (t) => {
  const databases = new WeakMap<DatabaseAdapter, Database.Database>()
  const make = (database: Database.Database): DatabaseAdapter => {
    const adapter = sqlite(database)
    databases.set(adapter, database)
    return adapter
  }
  return {
    makeAdapter: () => make(new Database(':memory:').defaultSafeIntegers(true)),
    makeSibling: (adapter) => make(databases.get(adapter) ?? new Database())
  }
})

t.test('the conformance suite fails for adapters with races, shared rows or ignored conditions', async (t) => {
  const broken: [RegExp, (adapter: DatabaseAdapter) => Partial<DatabaseAdapter>][] = [
    [
      /^RACE-01: only one of many parallel deletes/,
      (adapter) => ({
        async delete (model, where) {
          const rows = await adapter.findMany(model, where, { limit: 99 })
          await adapter.delete(model, where)
          return Math.max(rows.length, 1)
        }
      })
    ],
    [
      /^RACE-01: only one of many parallel compare-and-set/,
      (adapter) => ({
        async update (model, where, changes) {
          const row = await adapter.findOne(model, where)
          await sleep(200) // long enough for all parallel updates to read before one of them writes
          return row === null ? 0 : await adapter.update(model, { id: row['id'] as string }, changes)
        }
      })
    ],
    [
      /^RACE-02: only one of many parallel creates/,
      (adapter) => ({
        create: async (model, row) =>
          await adapter.create(model, { ...row, ...(model === User ? { email: randomUUID() } : {}) })
      })
    ],
    [
      /^DEP-03: a failed createAll/,
      (adapter) => ({
        async createAll (rows) {
          const stored: Row[] = []
          for (const [position, [model]] of rows.entries()) {
            stored.push(await adapter.create(model, resolveRow(rows, position, stored)))
          }
          return stored
        }
      })
    ],
    [
      /^a change of a returned row/,
      (adapter) => {
        const rows = new Map<unknown, Row | null>()
        return {
          findOne: (model, where) =>
            rows.get(where['id']) ??
            rows.set(where['id'], adapter.findOne(model, where) as Row | null).get(where['id']) ??
            null
        }
      }
    ],
    [
      /^times are stored/,
      (adapter) => ({
        findMany: async (model, where, options) =>
          await adapter.findMany(model, where['seen_at'] instanceof Date ? {} : where, options)
      })
    ]
  ]
  for (const [name, breakAdapter] of broken) {
    const runs: (() => Promise<void>)[] = []
    const makeAdapter = (): DatabaseAdapter => {
      const adapter = memory()
      const bound = withSlowReads(adapter, 0)
      return { ...bound, ...breakAdapter(adapter) }
    }
    adapterConformance({
      makeAdapter,
      test: (title, run) => {
        if (name.test(title)) runs.push(run)
      }
    })
    t.ok(runs.length > 0)
    for (const run of runs) await t.rejects(run(), { code: 'ERR_ASSERTION' }, name.source)
  }
})

t.test('memory() and sqlite() return the result of a single read without a promise', async (t) => {
  for (const adapter of [memory(), sqlite(createDatabasePath(t))]) {
    for (const model of models) adapter.define(model)
    await adapter.open()
    t.teardown(() => adapter.close?.())
    const user = await createUserRow(adapter)
    await createToken(adapter, user, 'token')
    await nextTurn() // in one turn of the event loop, sqlite() returns only the first result without a promise
    t.strictSame(adapter.findOne(User, { id: user['id'] as string }), user)
    await nextTurn()
    t.hasStrict(adapter.findWithUser?.(AccessToken, { token: 'token' }), { user })
  }
})

t.test('a model with a taken name, without fields, or with an index on an unknown field is refused', async (t) => {
  for (const adapter of [memory(), sqlite(createDatabasePath(t))]) {
    adapter.define(User)
    t.throws(
      () => {
        adapter.define({ ...User, table: 'people' })
      },
      { code: 'FST_USERS_INVALID_OPTION' }
    )
    t.throws(
      () => {
        adapter.define({ name: 'a', table: 'a', fields: { id: { type: 'id' } }, unique: [['nothing']] })
      },
      { code: 'FST_USERS_INVALID_OPTION' }
    )
    t.throws(
      () => {
        adapter.define({ name: 'a', table: 'a', fields: {} })
      },
      { code: 'FST_USERS_INVALID_OPTION' }
    )
  }
})

t.test('update() ignores undefined, and create() requires an id that the model does not generate', async (t) => {
  const Badge: Model = {
    name: 'badge',
    table: 'badge',
    fields: { id: { type: 'id' }, label: { type: 'text', nullable: true } }
  }
  for (const adapter of [memory(), sqlite(':memory:')]) {
    adapter.define(Badge)
    await adapter.open()
    await t.rejects(adapter.create(Badge, { label: 'a' }), { code: 'FST_USERS_INVALID_OPTION', message: /badge\.id/ })
    await adapter.create(Badge, { id: 'x', label: 'a' })
    t.equal(await adapter.update(Badge, { id: 'x' }, { label: undefined } as unknown as Changes), 1)
    t.same(await adapter.findOne(Badge, { id: 'x' }), { id: 'x', label: 'a' })
    await adapter.close?.()
  }
})

t.test('row 12: among tokens whose labels differ only in case, the exact one is found with its user', async (t) => {
  const Device: Model = {
    name: 'device',
    table: 'device',
    fields: {
      id: { type: 'id', id },
      user_id: { type: 'id', id, references: 'user' },
      label: { type: 'text', ignoreCase: true }
    }
  }
  for (const adapter of [memory(), sqlite(':memory:')]) {
    for (const model of [Person, Device]) adapter.define(model)
    await adapter.open()
    const user = await adapter.create(Person, person)
    for (const label of ['PHONE', 'Phone', 'phone']) await adapter.create(Device, { user_id: user['id'], label })
    for (const label of ['PHONE', 'Phone', 'phone']) {
      t.hasStrict(await adapter.findWithUser?.(Device, { label }), { row: { label }, user })
    }
    await adapter.close?.()
  }
})

t.test('memory() refuses to change an id that other rows reference', async (t) => {
  const adapter = memory()
  for (const model of models) adapter.define(model)
  const user = await createUserRow(adapter)
  await createToken(adapter, user)
  await t.rejects(adapter.update(User, { id: user['id'] as string }, { id: randomUUID() }), {
    code: 'FST_USERS_TABLE_MISMATCH'
  })
  t.equal(await adapter.delete(AccessToken, {}), 1)
  t.equal(await adapter.update(User, { id: user['id'] as string }, { id: randomUUID() }), 1)
})

t.test('SQLite: created tables have the columns of FastAPI Users and the constraints of this plugin', async (t) => {
  const database = new Database(':memory:')
  await openAdapter(t, database, [
    Person,
    Session,
    { ...Membership, unique: [['team', 'member_number']], index: [['team'], ['user_id']] }
  ])
  const ddl = (name: string): unknown =>
    database.prepare('SELECT sql FROM sqlite_master WHERE name = ?').pluck().get(name)
  t.equal(
    ddl('user'),
    'CREATE TABLE "user" (\n\t"id" CHAR(36) NOT NULL,\n\t"email" VARCHAR(320) NOT NULL,\n\t"hashed_password" VARCHAR(1024) NOT NULL,\n\t' +
      '"is_active" BOOLEAN NOT NULL,\n\t"is_superuser" BOOLEAN NOT NULL,\n\t"is_verified" BOOLEAN NOT NULL,\n\t"session_stamp" VARCHAR(43),\n\tPRIMARY KEY ("id")\n)'
  )
  t.equal(
    ddl('accesstoken'),
    'CREATE TABLE "accesstoken" (\n\t"token" VARCHAR(43) NOT NULL,\n\t"user_id" CHAR(36) NOT NULL,\n\t"created_at" TIMESTAMP NOT NULL,\n\t' +
      'PRIMARY KEY ("token"),\n\tFOREIGN KEY ("user_id") REFERENCES "user" ("id") ON DELETE CASCADE\n)'
  )
  t.equal(ddl('ix_user_email'), 'CREATE UNIQUE INDEX "ix_user_email" ON "user" ("email")')
  t.equal(ddl('ix_user_email_lower'), 'CREATE UNIQUE INDEX "ix_user_email_lower" ON "user" (lower("email"))')
  t.equal(ddl('ix_accesstoken_created_at'), 'CREATE INDEX "ix_accesstoken_created_at" ON "accesstoken" ("created_at")')
  t.equal(ddl('ix_accesstoken_user_id'), 'CREATE INDEX "ix_accesstoken_user_id" ON "accesstoken" ("user_id")')
  t.equal(
    ddl('ix_membership_team'),
    'CREATE INDEX "ix_membership_team" ON "membership" ("team")'
  )
  t.match(ddl('ix_membership_team_member_number'), /^CREATE UNIQUE INDEX/)
})

t.test('SQLite: each type of field and id is stored in a column of its type', async (t) => {
  const database = new Database(':memory:')
  await openAdapter(t, database, models)
  const types = (table: string): unknown =>
    database.prepare("SELECT name || ' ' || type FROM pragma_table_info(?)").pluck().all(table)
  t.strictSame(types('user'), [
    'id CHAR(36)',
    'email VARCHAR(320)',
    'hashed_password VARCHAR(1024)',
    'is_active BOOLEAN',
    'session_stamp VARCHAR(43)',
    'nickname VARCHAR(80)',
    'credits INTEGER',
    'ratio FLOAT',
    'settings JSON',
    'seen_at TIMESTAMP',
    'order TEXT'
  ])
  t.strictSame(types('person_integer'), ['id INTEGER', 'email VARCHAR(320)'])
  t.strictSame(types('person_objectid'), ['id CHAR(24)', 'email VARCHAR(320)'])
  t.strictSame(types('person_custom_token'), ['token VARCHAR(43)', 'user_id VARCHAR(30)'])
})

t.test(
  'SQLite: sqlite(path) sets WAL mode; sqlite(database) keeps the journal mode and leaves the database open',
  async (t) => {
    const file = createDatabasePath(t)
    const adapter = await openAdapter(t, file, models)
    await adapter.close?.()
    t.throws(() => adapter.findOne(User, {}), { code: 'FST_USERS_NOT_READY' }, 'after close()')
    const database = new Database(file)
    t.equal(database.pragma('journal_mode', { simple: true }), 'wal')
    database.pragma('journal_mode = DELETE')
    database.pragma('foreign_keys = OFF')
    const other = await openAdapter(t, database, models)
    t.equal(database.pragma('journal_mode', { simple: true }), 'delete')
    t.equal(database.pragma('foreign_keys', { simple: true }), 1)
    t.equal(database.pragma('busy_timeout', { simple: true }), 5000)
    await other.close?.()
    t.equal(database.open, true)
    database.close()
    await adapter.open()
    t.equal(await adapter.findOne(User, {}), null, 'after the second open()')
  }
)

t.test('SQLite: a write waits for the lock of another connection without blocking the event loop', async (t) => {
  const file = createDatabasePath(t)
  const adapter = await openAdapter(t, file, models)
  const other = new Database(file)
  t.teardown(() => {
    other.close()
  })
  other.exec('BEGIN IMMEDIATE')
  let loopTurns = 0
  const timer = setInterval(() => {
    if (++loopTurns === 5) other.exec('COMMIT')
  }, 1)
  t.teardown(() => {
    clearInterval(timer)
  })
  await adapter.create(User, {
    id: randomUUID(),
    email: 'king.arthur@camelot.bt',
    hashed_password: 'x',
    is_active: true
  })
  t.ok(loopTurns >= 5, 'the event loop was not blocked')
  t.match(await adapter.findOne(User, { email: 'king.arthur@camelot.bt' }), { email: 'king.arthur@camelot.bt' })
})

t.test(
  'DEP-03: SQLite: createAll() waits for locks without blocking the event loop, and stores all its rows',
  async (t) => {
    const file = createDatabasePath(t)
    // Without a write-ahead log, a reader blocks a commit.
    const [own, other] = [new Database(file, { timeout: 0 }), new Database(file)]
    t.teardown(() => {
      for (const database of [own, other]) database.close()
    })
    const adapter = await openAdapter(t, own, models)
    await createUserRow(adapter)
    let attempts = 0
    const create = (): Promise<Row[]> | undefined =>
      adapter.createAll?.([
        [User, { email: `${randomUUID()}@camelot.bt`, hashed_password: 'x', is_active: true }],
        [
          Membership,
          {
            user_id: idOf(0),
            member_number: randomUUID(),
            get team () {
              attempts++ // read once in each attempt
              return 'knights'
            }
          }
        ]
      ])
    for (const begin of ['BEGIN IMMEDIATE', 'BEGIN; SELECT * FROM user']) {
      attempts = 0
      other.exec(begin)
      let loopTurns = 0
      const timer = setInterval(() => {
        if (++loopTurns === 5) other.exec('COMMIT')
      }, 1)
      t.teardown(() => {
        clearInterval(timer)
      })
      const rows = await create()
      t.ok(loopTurns >= 5, 'the event loop was not blocked')
      t.strictSame(
        [
          await adapter.findOne(User, { id: rows?.[0]?.['id'] as string }),
          await adapter.findMany(Membership, { user_id: rows?.[0]?.['id'] as string }, { limit: 9 })
        ],
        [rows?.[0], rows?.slice(1)]
      )
      t.equal(attempts > 1, begin !== 'BEGIN IMMEDIATE', 'all rows are written again after a refused commit')
    }
    own.exec('BEGIN')
    await t.rejects(
      async () => await create(),
      { message: /within a transaction/ },
      "createAll() is refused within the application's transaction"
    )
    own.exec('ROLLBACK')
    t.equal((await adapter.findMany(User, {}, { limit: 9 })).length, 3)
  }
)

t.test('SQLite: open() waits until another connection unlocks a new file', async (t) => {
  const file = createDatabasePath(t)
  const other = new Database(file)
  t.teardown(() => {
    other.close()
  })
  other.exec('BEGIN EXCLUSIVE')
  setTimeout(() => {
    other.exec('COMMIT')
  }, 100)
  await t.resolves(openAdapter(t, file, models))
})

t.test('SQLite: times are stored as UTC text with microseconds, and other formats can be read', async (t) => {
  const database = new Database(':memory:')
  const adapter = await openAdapter(t, database, [Person, Session])
  const user = await adapter.create(Person, person)
  await adapter.create(Session, {
    token: 'ours',
    user_id: user['id'],
    created_at: new Date('2026-11-21T03:52:56.005+02:00')
  })
  t.strictSame(database.prepare('SELECT created_at, typeof(created_at) FROM accesstoken').raw().get(), [
    '2026-11-21 01:52:56.005000',
    'text'
  ])
  t.strictSame(database.prepare('SELECT is_active, is_verified FROM user').raw().get(), [1, 0])
  const forms = {
    '2026-11-21 01:52:56.545992': '2026-11-21T01:52:56.545Z',
    '2026-11-21 01:52:56.545': '2026-11-21T01:52:56.545Z',
    '2026-11-21 01:52:56': '2026-11-21T01:52:56.000Z',
    '2026-11-21T01:52:56.5Z': '2026-11-21T01:52:56.500Z',
    '2026-11-21 01:52:56+01:00': '2026-11-21T00:52:56.000Z'
  }
  const write = database.prepare("INSERT OR REPLACE INTO accesstoken VALUES ('theirs', ?, ?)")
  for (const [form, iso] of Object.entries(forms)) {
    write.run(user['id'], form)
    t.hasStrict(await adapter.findOne(Session, { token: 'theirs' }), { created_at: new Date(iso) }, form)
  }
  for (const broken of ['yesterday', '2026-13-41 99:00:00', 5, '']) {
    write.run(user['id'], broken)
    const read = async (): Promise<Row | null> => await adapter.findOne(Session, { token: 'theirs' })
    await t.rejects(read(), { code: 'FST_USERS_TABLE_MISMATCH' }, String(broken))
  }
  database.prepare('UPDATE user SET is_active = 2').run()
  t.hasStrict(await adapter.findOne(Person, { id: user['id'] as string }), { is_active: true })
})

t.test('SQLite: invalid JSON in a column is an FST_USERS_TABLE_MISMATCH', async (t) => {
  const database = new Database(':memory:')
  const adapter = await openAdapter(t, database, models)
  await createUserRow(adapter, { settings: {} })
  database.prepare("UPDATE user SET settings = '{'").run()
  await t.rejects(async () => await adapter.findOne(User, {}), { code: 'FST_USERS_TABLE_MISMATCH' })
})

t.test('SQLite: an integer that JavaScript would round is an FST_USERS_TABLE_MISMATCH', async (t) => {
  const database = new Database(':memory:')
  const adapter = await openAdapter(t, database, models)
  await createUserRow(adapter, { credits: Number.MAX_SAFE_INTEGER })
  t.hasStrict(await adapter.findOne(User, {}), { credits: Number.MAX_SAFE_INTEGER })
  for (const value of ['9007199254740993', "'many'", '1.5']) {
    database.exec(`UPDATE user SET credits = ${value}`)
    const read = async (): Promise<Row | null> => await adapter.findOne(User, {})
    await t.rejects(read(), { code: 'FST_USERS_TABLE_MISMATCH', message: /"credits"/ }, value)
  }
})

t.test('SQLite: queries by id, e-mail, token, user, time and provider account use indexes', async (t) => {
  const database = new Database(':memory:')
  const statements: string[] = []
  const prepare = database.prepare.bind(database)
  database.prepare = ((sql: string) => {
    statements.push(sql)
    return prepare(sql)
  }) as typeof database.prepare
  const adapter = await openAdapter(t, database, models)
  const plan = async (read: () => unknown): Promise<string> => {
    await read()
    const sql = statements.at(-1) ?? ''
    const rows = prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...Array.from(sql.matchAll(/\?/g), () => 'x')) as {
      detail: string
    }[]
    return rows.map(({ detail }) => detail).join('; ')
  }
  const day = new Date()
  t.match(
    await plan(() => adapter.findOne(User, { id: 'x' })),
    /^SEARCH user USING INDEX sqlite_autoindex_user_1 \(id=\?\)$/
  )
  t.match(
    await plan(() => adapter.findOne(User, { email: 'x' })),
    /^SEARCH user USING INDEX ix_user_email_lower \(<expr>=\?\)/
  )
  t.match(await plan(() => adapter.findOne(User, { nickname: 'x' })), /ix_user_nickname_lower/)
  t.match(
    await plan(() => adapter.findWithUser?.(AccessToken, { token: 'x', created_at: { gte: day } })),
    /SEARCH t USING INDEX sqlite_autoindex_accesstoken_1 \(token=\?\); SEARCH u USING INDEX sqlite_autoindex_user_1 \(id=\?\)/
  )
  t.match(await plan(() => adapter.delete(AccessToken, { user_id: 'x' })), /ix_accesstoken_user_id/)
  t.match(await plan(() => adapter.delete(AccessToken, { created_at: { lt: day } })), /ix_accesstoken_created_at/)
  t.match(
    await plan(() => adapter.findOne(Membership, { team: 'x', member_number: 'x' })),
    /ix_membership_team_member_number/
  )
  t.notMatch(
    await plan(() => adapter.findMany(User, {}, { limit: 1, order: 'email', after: { email: 'x', id: 'x' } })),
    /SCAN user$/
  )
  const before = statements.length
  await adapter.findOne(User, { id: 'y' })
  await adapter.findWithUser?.(AccessToken, { token: 'y', created_at: { gte: day } })
  t.equal(statements.length, before, 'a repeated query is not prepared again')
})

t.test('SQLite: updates of 256 combinations of fields succeed, although few statements stay prepared', async (t) => {
  const fields = Object.fromEntries(
    Array.from({ length: 8 }, (_, n) => [`f${n}`, { type: 'integer', nullable: true } as const])
  )
  const Wide: Model = { name: 'wide', table: 'wide', fields: { id: { type: 'text' }, ...fields } }
  const adapter = await openAdapter(t, ':memory:', [Wide])
  await adapter.create(Wide, { id: 'a' })
  for (let bits = 0; bits < 256; bits++) {
    const changes = Object.fromEntries(
      Object.keys(fields)
        .filter((_, n) => (bits >> n) % 2 === 1)
        .map((field) => [field, bits])
    )
    t.equal(await adapter.update(Wide, { id: 'a' }, changes), 1)
  }
  t.hasStrict(await adapter.findOne(Wide, { id: 'a' }), { f0: 255, f7: 255 })
})

t.test(
  'row 83: a database of FastAPI Users is used without schema changes, and its users have no session_stamp',
  async (t) => {
    const file = createDatabasePath(t)
    copyFileSync(fixturePath('fastapi-users.sqlite'), file)
    const database = new Database(file)
    t.teardown(() => {
      database.close()
    })
    const schema = (): unknown => database.prepare('SELECT * FROM sqlite_master ORDER BY name').all()
    const before = schema()
    const adapter = await openAdapter(t, file, [Person, Session])
    t.strictSame(schema(), before)
    const user = await adapter.findOne(Person, { email: 'KING.ARTHUR@camelot.bt' })
    t.hasStrict(user, {
      id: ARTHUR_ID,
      email: 'king.arthur@camelot.bt',
      is_active: true,
      is_superuser: true,
      is_verified: true
    })
    t.notOk(Object.hasOwn(user as object, 'session_stamp'))
    t.hasStrict(await adapter.findWithUser?.(Session, { token: 'doskgLOY_6m4uUOKgY3PO68_G-aJqhcnSAEyu-XPBzM' }), {
      user,
      row: { created_at: new Date('2026-11-21T03:52:56.545Z') }
    })

    t.equal(
      await adapter.update(Person, { id: ARTHUR_ID }, { session_stamp: 'x' }),
      1,
      'the row is counted although no column is written'
    )
    t.equal(
      await adapter.update(Person, { id: ARTHUR_ID, session_stamp: null }, { is_verified: false, session_stamp: 'x' }),
      1
    )
    t.equal(await adapter.update(Person, { session_stamp: 'x' }, { is_verified: true }), 0)
    t.equal(await adapter.findOne(Person, { session_stamp: { in: ['x'] } }), null)
    const created = await adapter.create(Person, { ...person, session_stamp: 'x' })
    t.notOk(Object.hasOwn(created, 'session_stamp'))
    t.strictSame(database.prepare('SELECT * FROM user WHERE id = ?').get(created['id']), {
      ...person,
      id: created['id'],
      is_active: 1,
      is_superuser: 0,
      is_verified: 0
    })
    await t.rejects(adapter.create(Person, { ...person, email: 'king.arthur@camelot.bt' }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: ['email']
    })
  }
)

t.test(
  'row 83: tables and columns may have other names, and a unique violation reports the names of our fields',
  async (t) => {
    const database = new Database(':memory:')
    database.exec(
      'CREATE TABLE people (uid TEXT PRIMARY KEY, mail TEXT, hash TEXT, active INTEGER, is_superuser INTEGER, is_verified INTEGER); CREATE UNIQUE INDEX mine ON people (lower(mail))'
    )
    const adapter = await openAdapter(t, database, [Person, Session], {
      tables: {
        user: { table: 'people', columns: { id: 'uid', email: 'mail', hashed_password: 'hash', is_active: 'active' } },
        accesstoken: { columns: { token: 'secret' } }
      }
    })
    const user = await adapter.create(Person, person)
    t.strictSame(user, { id: user['id'], ...person })
    t.strictSame(database.prepare('SELECT uid, mail, active FROM people').get(), {
      uid: user['id'],
      mail: person.email,
      active: 1
    })
    await t.rejects(adapter.create(Person, { ...person, email: 'GALAHAD@camelot.bt' }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: ['email']
    })
    await t.rejects(adapter.create(Person, { ...person, id: user['id'], email: 'x' }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: ['id']
    })
    database.exec('CREATE UNIQUE INDEX one_superuser ON people (hash, active)')
    await t.rejects(
      adapter.create(Person, { ...person, email: 'x' }),
      { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['hashed_password', 'is_active'] },
      'the unique index is missing in the model'
    )
    database.exec(
      'DROP INDEX one_superuser; ALTER TABLE people ADD badge DEFAULT 1; CREATE UNIQUE INDEX badges ON people (badge)'
    )
    await t.rejects(
      adapter.create(Person, { ...person, email: 'x' }),
      { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['badge'] },
      'the unique column belongs to no field'
    )
    await adapter.create(Session, { token: 'a', user_id: user['id'], created_at: new Date() })
    t.hasStrict(await adapter.findWithUser?.(Session, { token: 'a' }), { user })
    t.equal(database.prepare('SELECT secret FROM accesstoken').pluck().get(), 'a')
    t.equal(await adapter.delete(Person, { id: user['id'] as string }), 1)
    t.equal(await adapter.findOne(Session, {}), null, 'the foreign key of the token table references the existing user table')
  }
)

t.test(
  'row 83: a table may be renamed without its columns, and a duplicate in an expression index names our unique fields',
  async (t) => {
    const database = new Database(':memory:')
    database.exec(`CREATE TABLE people (id TEXT PRIMARY KEY, email TEXT, hashed_password TEXT, is_active INTEGER, is_superuser INTEGER, is_verified INTEGER);
    CREATE TABLE accesstoken (token TEXT PRIMARY KEY, user_id TEXT, created_at TEXT); CREATE UNIQUE INDEX tokens ON accesstoken (lower(token));
    CREATE TABLE membership (id TEXT PRIMARY KEY, user_id TEXT, team TEXT, member_number TEXT); CREATE UNIQUE INDEX memberships ON membership (lower(team), member_number)`)
    const adapter = await openAdapter(t, database, [Person, Session, Membership], {
      tables: { user: { table: 'people' } }
    })
    const { id: owner } = await adapter.create(Person, person)
    t.equal(database.prepare('SELECT id FROM people').pluck().get(), owner)
    const token = { token: 'a', user_id: owner, created_at: new Date() }
    await adapter.create(Session, token)
    await t.rejects(adapter.create(Session, { ...token, token: 'A' }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: []
    })
    const membership = { id: randomUUID(), user_id: owner, team: 'knights', member_number: '1' }
    await adapter.create(Membership, membership)
    await t.rejects(adapter.create(Membership, { ...membership, id: randomUUID(), team: 'Knights' }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: ['team', 'member_number']
    })
  }
)

t.test('EML-03: text is compared byte by byte in an existing table with NOCASE columns', async (t) => {
  const database = new Database(':memory:')
  database.exec('CREATE TABLE accesstoken (token TEXT COLLATE NOCASE PRIMARY KEY, user_id TEXT, created_at TEXT)')
  const adapter = await openAdapter(t, database, [Person, Session])
  await adapter.create(Session, { token: 'Secret', user_id: ARTHUR_ID, created_at: new Date() })
  t.equal(await adapter.findOne(Session, { token: 'SECRET' }), null)
  t.equal(await adapter.delete(Session, { token: { in: ['SECRET'] } }), 0)
  t.equal(await adapter.findOne(Session, { token: { gt: 'Secret' } }), null)
  t.hasStrict(await adapter.findOne(Session, { token: 'Secret' }), { token: 'Secret' })
  t.equal(await adapter.findWithUser?.(Session, { token: 'Secret' }), null, 'the token has no user')
})

t.test('SQLite: an existing table is refused if it lacks columns, and the error names the columns', async (t) => {
  const database = new Database(':memory:')
  database.exec('CREATE TABLE "User" ("ID" CHAR(36) PRIMARY KEY, email TEXT, hashed_password TEXT, is_active BOOLEAN)')
  await t.rejects(openAdapter(t, database, [Person, Session]), {
    code: 'FST_USERS_TABLE_MISMATCH',
    message: /"user".*"is_superuser", "is_verified"; run/
  })
  t.strictSame(
    database.prepare("SELECT name FROM sqlite_master WHERE name LIKE 'accesstoken'").all(),
    [],
    'no table is created'
  )
  const Optional: Model = { name: 'user', table: 'user', fields: { badge: { type: 'text', optional: true } } }
  await t.rejects(openAdapter(t, database, [Optional]), { code: 'FST_USERS_INVALID_OPTION', message: /has no columns/ })
})

t.test('SQLite: unknown options, invalid options and calls before open() are refused', async (t) => {
  const refusesUnknown = async (options: object): Promise<void> => {
    await t.rejects(
      openAdapter(t, ':memory:', [Person], options),
      { code: 'FST_USERS_UNKNOWN_OPTION' },
      JSON.stringify(options)
    )
  }
  await refusesUnknown({ table: {} })
  await refusesUnknown({ tables: { users: {} } })
  await refusesUnknown({ tables: { user: { name: 'x' } } })
  await refusesUnknown({ tables: { user: { columns: { mail: 'x' } } } })
  const invalid = { code: 'FST_USERS_INVALID_OPTION' }
  for (const wrong of ['', null, undefined, 5, {}]) t.throws(() => sqlite(wrong as string), invalid)
  await t.rejects(openAdapter(t, ':memory:', [Session]), invalid, 'the referenced model is not defined')
  await t.rejects(
    openBetterSqlite3(':memory:', () => Promise.reject(new Error('Cannot find package'))),
    invalid,
    'better-sqlite3 is missing'
  )
  await t.rejects(openAdapter(t, join(createDatabasePath(t), 'no', 'such', 'directory'), [Person]), {
    ...invalid,
    message: /cannot open .*directory/
  })
  const adapter = sqlite(':memory:')
  adapter.define(Person)
  t.throws(() => adapter.findOne(Person, {}), { code: 'FST_USERS_NOT_READY' }, 'before open()')
})

t.test(
  'DEP-02: SQLite: the adapter keeps working for other tenants when a second open() fails',
  async (t) => {
    const file = join(t.testdir({}), 'users.db')
    const [own, other] = [new Database(file, { timeout: 0 }), new Database(file)]
    t.teardown(() => {
      for (const database of [own, other]) database.close()
    })
    const adapter = await openAdapter(t, own, models)
    const { id } = await createUserRow(adapter)
    other.exec('BEGIN EXCLUSIVE')
    await t.rejects(adapter.open(), { code: 'SQLITE_BUSY' })
    other.exec('ROLLBACK')
    t.equal((await adapter.findOne(User, { id: id as string }))?.['id'], id)
    await adapter.open()
  }
)

t.test('SQLite: open() refuses a file that is not a database', async (t) => {
  const file = join(
    t.testdir({ 'users.db': 'this is no database, but long enough to be looked at as one'.repeat(20) }),
    'users.db'
  )
  await t.rejects(openAdapter(t, file, [Person]), {
    code: 'FST_USERS_INVALID_OPTION',
    message: /cannot open .*users\.db: file is not a database/
  })
})

t.test(
  'RACE-02: two processes that open a new file and create the same e-mails in parallel store each e-mail once',
  async (t) => {
    const file = createDatabasePath(t)
    const child = join(import.meta.dirname, 'fixtures', 'create-same-users.js')
    const start = String(Date.now() + 4000)
    const run = promisify(execFile)
    const outputs = await Promise.all(
      [1, 2].map(async () => await run(process.execPath, [...process.execArgv, child, file, start]))
    )
    const created = outputs.map(({ stdout }) => Number(stdout))
    t.equal(
      created.reduce((sum, count) => sum + count, 0),
      100,
      `created: ${created.join(' and ')}`
    )
    const adapter = await openAdapter(t, file, [User])
    t.equal((await adapter.findMany(User, {}, { limit: 999 })).length, 100)
  }
)
