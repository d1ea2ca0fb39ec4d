import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import callbacks from 'mysql2'
import mysql2, { type Pool, type PoolOptions } from 'mysql2/promise'
import t from 'tap'
import { idOf } from '../lib/adapters/shared/row-references.js'
import { mysqlDialect } from '../lib/adapters/sql/dialects/mysql.js'
import { useMysql2 } from '../lib/adapters/sql/drivers/mysql2.js'
import type { SqlServerOptions } from '../lib/entries/mysql.js'
import type { DatabaseAdapter } from '../lib/contracts/database-adapter.js'
import type { Model } from '../lib/contracts/models.js'
import { integerId, objectIdId, Type, userSchemas, uuidId, type IdKind } from '../lib/index.js'
import {
  mysql,
  type MysqlCallbackPool,
  type MysqlConnection,
  type MysqlPool,
  type MysqlQuery
} from '../lib/entries/mysql.js'
import { AccessToken, createToken, createUserRow, Membership, models, User } from '../lib/testing/conformance/models.js'
import { adapterConformance } from '../lib/testing/index.js'
import { startTcpProxy } from './fixtures/tcp-proxy.js'
import { Person } from './helpers/adopted-user.js'
import { ARTHUR, buildApp, PASSWORD } from './helpers/build-app.js'
import { flow } from './helpers/flow.js'
import { makeMysqlDatabase, makeMysqlPool, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { pythonRows, pythonTables, servePythonRows } from './helpers/python-tables.js'

const service = await needsMysql()
const mismatch = { code: 'FST_USERS_TABLE_MISMATCH' }
const invalid = { code: 'FST_USERS_INVALID_OPTION' }
const createTables = true

async function opened (
  pool: MysqlPool,
  defined: readonly Model[] = models,
  options: SqlServerOptions = { createTables }
): Promise<DatabaseAdapter> {
  const adapter = mysql(pool, options)
  for (const model of defined) adapter.define(model)
  await adapter.open()
  return adapter
}

/** Returns the first value of each row. */
async function column (pool: Pool, sql: string, values: unknown[] = []): Promise<unknown[]> {
  const [rows] = await pool.query({ sql, values, rowsAsArray: true })
  return (rows as unknown[][]).map(([value]) => value)
}

const tableNames = (pool: Pool): Promise<unknown[]> =>
  column(pool, 'SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = database()')

/** Creates the tables of FastAPI Users as SQLAlchemy creates them on MySQL. */
async function makePythonTables (pool: Pool): Promise<void> {
  for (const sql of pythonTables('CHAR(36)', 'BOOL', 'TIMESTAMP', '')) await pool.query(sql)
}

function conform (name: string, config: PoolOptions = {}, only = /./): void {
  t.test(`row 85: ${name}`, service, async (t) => {
    const databases = new WeakMap<DatabaseAdapter, string>()
    const make = (database: string, drop?: () => Promise<void>): DatabaseAdapter => {
      const pool = mysql2.createPool(mysqlConfigOf(database, config))
      const adapter = mysql(pool, { createTables })
      const close = adapter.close?.bind(adapter)
      adapter.close = async () => {
        await close?.()
        await pool.end()
        await drop?.()
      }
      databases.set(adapter, database)
      return adapter
    }
    adapterConformance({
      test: (name, run) => {
        if (only.test(name)) {
          t.test(name, async (t) => {
            await run()
            t.pass(name)
          })
        }
      },
      async makeAdapter () {
        const { database, drop } = await makeMysqlDatabase()
        return make(database, drop)
      },
      makeSibling: (adapter) => make(databases.get(adapter) ?? '')
    })
  })
}

conform('mysql(pool) passes the conformance suite')
conform("mysql() on a pool of one connection passes the suite's races", { connectionLimit: 1 }, /^RACE/)

t.test(
  'MySQL: tables, types and index names are those of FastAPI Users, with additional constraints',
  service,
  async (t) => {
    const { pool } = await makeMysqlPool(t)
    await opened(pool)
    const types = (table: string): Promise<unknown[]> =>
      column(
        pool,
        `SELECT concat(COLUMN_NAME, ' ', COLUMN_TYPE, IF(COLLATION_NAME IS NULL, '', concat(' ', COLLATION_NAME)), IF(IS_NULLABLE = 'YES', ' null', ''))
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = database() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`,
        [table]
      )
    t.strictSame(
      (await types('user')).map((type) => String(type).replace(/(int|bigint)\(\d{2}\)/, '$1')),
      [
        'id char(36) utf8mb4_bin',
        'email varchar(320) utf8mb4_bin',
        'hashed_password varchar(1024) utf8mb4_bin',
        'is_active tinyint(1)',
        'session_stamp varchar(43) utf8mb4_bin null',
        'nickname varchar(80) utf8mb4_bin null',
        'credits bigint null',
        'ratio double null',
        'settings longtext utf8mb4_bin null',
        'seen_at datetime(6) null',
        'order longtext utf8mb4_bin null',
        'email_lower varbinary(1280) null',
        'nickname_lower varbinary(320) null'
      ]
    )
    t.strictSame(await types('person_objectid'), ['id char(24) utf8mb4_bin', 'email varchar(320) utf8mb4_bin'])
    t.strictSame(
      await types('person_custom_token'),
      ['token varchar(43) utf8mb4_bin', 'user_id varchar(30) utf8mb4_bin']
    )
    const indexes = await column(
      pool,
      `SELECT concat(IF(NON_UNIQUE, '', 'unique '), INDEX_NAME, ' ', group_concat(COLUMN_NAME ORDER BY SEQ_IN_INDEX)) FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = database() AND TABLE_NAME IN ('user', 'membership') GROUP BY TABLE_NAME, INDEX_NAME, NON_UNIQUE ORDER BY TABLE_NAME DESC, INDEX_NAME`
    )
    t.strictSame(indexes, [
      'unique ix_user_email email',
      'unique ix_user_email_lower email_lower',
      'ix_user_nickname_lower nickname_lower',
      'unique PRIMARY id',
      'unique ix_membership_team_member_number team,member_number',
      'ix_membership_user_id user_id',
      'unique PRIMARY id'
    ])
    const Wide: Model = {
      name: 'wide',
      table: 'wide',
      fields: {
        id: { type: 'id', id: integerId({ maximum: 2 ** 40 }) },
        note: { type: 'text', nullable: true },
        name: { type: 'text', ignoreCase: true, maxLength: 9 }
      }
    }
    const Free: Model = {
      name: 'free',
      table: 'free',
      fields: {
        id: {
          type: 'id',
          id: { name: 'free', schema: Type.String(), storage: 'text', parse: (text) => text } satisfies IdKind<string>
        }
      }
    }
    const Plain: Model = { name: 'plain', table: 'plain', fields: { id: { type: 'id' } } }
    const wide = await opened(pool, [Wide, Plain, Free])
    t.strictSame(
      [await types('plain'), await types('free')],
      [['id char(36) utf8mb4_bin'], ['id varchar(255) utf8mb4_bin']]
    )
    t.strictSame(await wide.create(Wide, { id: 2 ** 40, name: 'Name' }), { id: 2 ** 40, note: null, name: 'Name' })
    t.hasStrict(await wide.findOne(Wide, { name: 'NAME' }), { id: 2 ** 40 }, 'found without an index')
  }
)

t.test(
  'MySQL: a missing table refuses to start with the statements that create it, and creates nothing',
  service,
  async (t) => {
    const { pool, database } = await makeMysqlPool(t)
    for (const options of [{}, { createTables: false }]) {
      await t.rejects(opened(pool, [Person], options), {
        ...mismatch,
        message: /"user".*createTables: true[^]*CREATE TABLE `user` \([^]*UNIQUE INDEX `ix_user_email_lower`/
      })
    }
    t.strictSame(await tableNames(pool), [])
    const message = await opened(pool, models, {}).catch((error: Error) => error.message)
    const byHand = await mysql2.createConnection(mysqlConfigOf(database, { multipleStatements: true }))
    await byHand.query(String(message).split('development:\n')[1] ?? '')
    await byHand.end()
    await t.resolves(opened(pool, models, {}), 'the printed statements run')
  }
)

t.test(
  'MySQL: an existing table without a required column refuses to start, names the column, and creates nothing',
  service,
  async (t) => {
    const { pool } = await makeMysqlPool(t)
    await pool.query('CREATE TABLE user (id CHAR(36) PRIMARY KEY, email TEXT, hashed_password TEXT, is_active BOOL)')
    await t.rejects(opened(pool, [Person, AccessToken]), {
      ...mismatch,
      message: /"user".*columns are missing: "is_superuser", "is_verified";/
    })
    t.strictSame(await tableNames(pool), ['user'])
  }
)

t.test('MySQL: wrong options are refused', service, async (t) => {
  const { pool, database } = await makeMysqlPool(t)
  const connection = await mysql2.createConnection(mysqlConfigOf(database))
  for (const wrong of [null, undefined, '', 'mysql://127.0.0.1', {}, connection]) {
    t.throws(() => mysql(wrong as unknown as MysqlPool), invalid)
  }
  await connection.end()
  t.throws(() => mysql(pool, { createTables: 'yes' } as unknown as SqlServerOptions), invalid)
  await t.rejects(opened(pool, [Person], { table: {} } as SqlServerOptions), {
    code: 'FST_USERS_UNKNOWN_OPTION',
    message: /createTables/
  })
})

t.test(
  'MySQL: session settings that change stored data refuse to start, and the message names the setting',
  service,
  async (t) => {
    const { database, pool } = await makeMysqlPool(t)
    const cases: [PoolOptions, string, RegExp][] = [
      [{ database: undefined as unknown as string }, '', /no `database`/],
      [{ charset: 'LATIN1_SWEDISH_CI' }, '', /`charset`/],
      [{ charset: 'UTF8_GENERAL_CI' }, '', /`charset`/],
      [{}, 'SET character_set_results = NULL', /`charset`/],
      [{}, "SET sql_mode = ''", /strict/],
      [{}, "SET sql_mode = concat(@@sql_mode, ',EMPTY_STRING_IS_NULL')", /changes stored text/],
      [{}, "SET sql_mode = concat(@@sql_mode, ',PAD_CHAR_TO_FULL_LENGTH')", /changes stored text/],
      [{}, 'SET autocommit = 0', /autocommit/],
      [{}, 'SET foreign_key_checks = 0', /foreign_key_checks/],
      [{}, 'SET unique_checks = 0', /unique_checks/]
    ]
    for (const [config, sql, problem] of cases) {
      const customPool = callbacks.createPool(mysqlConfigOf(database, config))
      if (sql !== '') {
        customPool.on('connection', (connection) => {
          connection.query(sql)
        })
      }
      await t.rejects(opened(customPool.promise()), { ...invalid, message: problem }, `${sql}${JSON.stringify(config)}`)
      await customPool.promise().end()
    }
    t.strictSame(await tableNames(pool), [])
  }
)

t.test(
  "MySQL: the pool's options change neither the stored values nor the values that are read",
  service,
  async (t) => {
    const { pool, database } = await makeMysqlPool(t)
    const adapter = await opened(pool)
    const fields = {
      nickname: '\\\'"\u{1F9D9}\0:x?',
      credits: Number.MAX_SAFE_INTEGER,
      ratio: 0.1,
      settings: { a: ['é'], big: 1 },
      seen_at: new Date('2026-11-21T03:52:56.005+02:00'),
      order: ''
    }
    const user = await createUserRow(adapter, { ...fields, email: 'plain@x.org' })
    const raw =
      "SELECT concat_ws('|', hex(nickname), credits, ratio, hex(settings), seen_at, hex(`order`), is_active) FROM user"
    const stored = await column(pool, raw)
    const configs: PoolOptions[] = [
      { dateStrings: true },
      { timezone: '+09:00' },
      { typeCast: false },
      { typeCast: () => 'cast by the application' },
      { supportBigNumbers: true, bigNumberStrings: true },
      { decimalNumbers: true },
      { multipleStatements: true },
      { namedPlaceholders: true },
      { rowsAsArray: true },
      { nestTables: true },
      { nestTables: '_' },
      { stringifyObjects: true },
      { jsonStrings: true },
      { disableEval: true },
      { charset: 'UTF8MB4_BIN' },
      { flags: ['-FOUND_ROWS'] },
      { resetOnRelease: true },
      { maxPreparedStatements: 1 },
      { queryFormat: () => 'SELECT 1' }
    ]
    for (const [position, config] of configs.entries()) {
      const customPool = mysql2.createPool(mysqlConfigOf(database, config))
      const other = await opened(customPool)
      const name = JSON.stringify(config)
      t.strictSame(
        await other.findOne(User, {
          email: 'PLAIN@x.org',
          credits: fields.credits,
          ratio: 0.1,
          seen_at: fields.seen_at
        }),
        user,
        name
      )
      t.strictSame(
        await other.findMany(User, { nickname: fields.nickname, email: 'plain@x.org' }, { limit: 9, order: 'seen_at' }),
        [user]
      )
      t.equal(
        await other.update(User, { id: user['id'] as string }, { is_active: true }),
        1,
        'the count is of matching rows, not of changed rows'
      )
      t.equal(await other.update(User, { id: 'x' }, { is_active: true }), 0)
      await createUserRow(other, { ...fields, email: `${position}@x.org` })
      await createToken(other, user)
      t.hasStrict(await other.findWithUser?.(AccessToken, { user_id: user['id'] as string }), { user })
      t.equal(await other.delete(AccessToken, { user_id: user['id'] as string }), 1)
      const [owner] = models.filter(({ name }) => name === 'person_integer') as [Model]
      t.type((await other.create(owner, { email: `${position}@x.org` }))['id'], 'number')
      await customPool.end()
    }
    t.strictSame([...new Set(await column(pool, raw))], stored)
  }
)

t.test("MySQL: a pool of mysql2's callback API works too", service, async (t) => {
  const { database } = await makeMysqlDatabaseFor(t)
  const pool = callbacks.createPool(mysqlConfigOf(database))
  t.teardown(() => pool.promise().end())
  const adapter = mysql(pool as MysqlCallbackPool, { createTables })
  for (const model of models) adapter.define(model)
  await adapter.open()
  const user = await createUserRow(adapter)
  t.strictSame(await adapter.findOne(User, { id: user['id'] as string }), user)
})

async function makeMysqlDatabaseFor (t: {
  teardown: (undo: () => Promise<void>) => void
}): Promise<{ database: string }> {
  const { database, drop } = await makeMysqlDatabase()
  t.teardown(drop)
  return { database }
}

t.test(
  'MySQL: look-ups use indexes and need one round trip each, on new and on existing tables',
  service,
  async (t) => {
    for (const adopted of [false, true]) {
      const { pool } = await makeMysqlPool(t)
      const queries: MysqlQuery[] = []
      const watched: MysqlPool = {
        async getConnection () {
          const connection = await pool.getConnection()
          return {
            execute: (query) => {
              queries.push(query)
              return connection.execute(query as never)
            },
            unprepare: (query) => {
              connection.unprepare(query as never)
            },
            beginTransaction: () => connection.beginTransaction(),
            commit: () => connection.commit(),
            rollback: () => connection.rollback(),
            release: () => {
              connection.release()
            },
            destroy: () => {
              connection.destroy()
            }
          }
        },
        execute: 1
      } as MysqlPool
      if (adopted) await makePythonTables(pool)
      const adapter = await opened(watched, [Person, AccessToken])
      await pool.query(
        "INSERT INTO user (id, email, hashed_password, is_active, is_superuser, is_verified) SELECT concat(lpad(seq, 8, '0'), '-3a06-48f2-9c44-a16751012464'), concat('User', seq, '@x.org'), 'hash', 1, 0, 0 FROM seq_1_to_5000"
      )
      await pool.query(
        "INSERT INTO accesstoken (token, user_id, created_at) SELECT concat('token', substr(id, 5, 4)), id, now() - INTERVAL rand() * 365 DAY FROM user"
      )
      await pool.query('ANALYZE TABLE user, accesstoken')
      const userId = '00000007-3a06-48f2-9c44-a16751012464'
      t.hasStrict(await adapter.findOne(Person, { email: 'USER7@x.org' }), { id: userId, email: 'User7@x.org' })
      const plan = async (read: () => unknown): Promise<string> => {
        const before = queries.length
        await read()
        t.equal(queries.length, before + 1, 'one round trip')
        const { sql, values } = queries.at(-1) as MysqlQuery
        const [rows] = await pool.execute<mysql2.RowDataPacket[]>({
          sql: sql.replace(/^(\/\*.*?\*\/ )?/, '$1EXPLAIN '),
          values: values as string[]
        })
        return rows
          .map(({ table, type, key, rows }) => `${table} ${type} ${key} ${Number(rows) < 500 ? 'few' : 'many'}`)
          .join(', ')
      }
      const old = new Date(Date.now() - 364 * 86_400_000)
      const email = adopted ? 'user (const|range) ix_user_email few' : 'user (const|range) ix_user_email_lower few'
      const token = { token: 'token0009' }
      t.match(await plan(() => adapter.findOne(Person, { id: userId })), /^user const PRIMARY/)
      t.match(await plan(() => adapter.findOne(Person, { email: 'user9@X.org' })), new RegExp(`^${email}`))
      t.match(
        await plan(() => adapter.findMany(Person, { email: { in: ['user9@X.org', 'user8@X.org'] } }, { limit: 9 })),
        new RegExp(`^${email}`)
      )
      t.match(
        await plan(() => adapter.findMany(Person, { id: { in: [userId, 'x'] } }, { limit: 9 })),
        /^user range PRIMARY few/
      )
      t.match(
        await plan(() => adapter.findWithUser?.(AccessToken, { ...token, created_at: { gte: old } })),
        /^t const PRIMARY few, u const PRIMARY few$/
      )
      t.match(
        await plan(() => adapter.update(Person, { id: userId, is_active: true }, { is_verified: true })),
        /^user range PRIMARY few/
      )
      t.match(
        await plan(() => adapter.delete(AccessToken, { user_id: userId })),
        /^accesstoken range (ix_accesstoken_)?user_id few/
      )
      t.match(
        await plan(() => adapter.delete(AccessToken, { created_at: { lt: old } })),
        /^accesstoken range ix_accesstoken_created_at few/
      )
      t.match(
        await plan(() =>
          adapter.findMany(Person, {}, { limit: 20, after: { id: '00004990-3a06-48f2-9c44-a16751012464' } })
        ),
        /^user range PRIMARY few/
      )
      t.match(
        await plan(() =>
          adapter.findMany(Person, {}, { limit: 20, order: 'email', after: { email: 'User999@x.org', id: userId } })
        ),
        /^user range ix_user_email few/
      )
    }
  }
)

t.test('MySQL: many combinations of changed fields do not accumulate prepared statements', service, async (t) => {
  const { pool } = await makeMysqlPool(t, { connectionLimit: 1 })
  const fields = Object.fromEntries(
    Array.from({ length: 9 }, (_, n) => [`f${n}`, { type: 'integer', nullable: true } as const])
  )
  const Many: Model = { name: 'many', table: 'many', fields: { id: { type: 'text', maxLength: 9 }, ...fields } }
  const adapter = await opened(pool, [Many])
  await adapter.create(Many, { id: 'a' })
  for (let bits = 1; bits < 512; bits++) {
    const changes = Object.fromEntries(
      Object.keys(fields)
        .filter((_, n) => (bits >> n) % 2 === 1)
        .map((field) => [field, bits])
    )
    await adapter.update(Many, { id: 'a' }, changes)
  }
  t.hasStrict(await adapter.findOne(Many, { id: 'a' }), { f0: 511, f8: 511 })
  const [rows] = await pool.query<mysql2.RowDataPacket[]>(
    "SHOW STATUS WHERE Variable_name IN ('Com_stmt_prepare', 'Com_stmt_close')"
  )
  const count = (name: string): number => Number(rows.find(({ Variable_name }) => Variable_name === name)?.['Value'])
  t.ok(count('Com_stmt_prepare') - count('Com_stmt_close') <= 110, JSON.stringify(rows))
})

t.test(
  "EML-03: text compares byte by byte with any collation of the column, and the collation's index is used",
  service,
  async (t) => {
    const collations: [name: string, ignoresCase: boolean][] = [
      ['utf8mb4_general_ci', true],
      ['utf8mb4_unicode_ci', true],
      ['utf8mb4_unicode_nopad_ci', true],
      ['utf8mb4_turkish_ci', false],
      ['utf8mb4_bin', false],
      ['latin1_swedish_ci', true],
      ['latin1_general_cs', false],
      ['utf8mb3_general_ci', true]
    ]
    for (const [collation, ignoresCase] of collations) {
      const { pool } = await makeMysqlPool(t)
      const text = (width: number): string =>
        `VARCHAR(${width}) CHARACTER SET ${collation.split('_')[0]} COLLATE ${collation}`
      await pool.query(
        `CREATE TABLE user (id ${text(36)} PRIMARY KEY, email ${text(320)}, hashed_password TEXT, is_active BOOL, nickname ${text(80)}, credits INT, ratio DOUBLE, settings JSON, seen_at DATETIME, \`order\` ${text(80)}, KEY (email))`
      )
      const adapter = await opened(pool, [User, AccessToken])
      const addresses = ['Jose@x.org', 'jos\u00E9@x.org', 'Jose@x.org ', 'I@x.org']
      const users = []
      for (const email of addresses) users.push(await createUserRow(adapter, { email, order: email, nickname: email }))
      for (const [position, email] of addresses.entries()) {
        for (const look of [
          email,
          email.replace(/[a-z]/g, (letter) => letter.toUpperCase()),
          email.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
        ]) {
          t.strictSame(await adapter.findOne(User, { email: look }), users[position], `${collation} ${look}`)
          t.equal((await adapter.findMany(User, { email: { in: [look] } }, { limit: 9 })).length, 1)
        }
        t.strictSame(await adapter.findMany(User, { order: email }, { limit: 9 }), [users[position]])
        t.strictSame(await adapter.findMany(User, { order: { in: [email, 'x'] } }, { limit: 9 }), [users[position]])
      }
      for (const email of [
        'jos\u00C9@x.org',
        'jose\u0301@x.org',
        'J\u00F6se@x.org',
        '\u0131@x.org',
        '\u0130@x.org',
        'Jose@x.org\t',
        'Jose@x.org\0'
      ]) {
        t.equal(await adapter.findOne(User, { email }), null, `${collation} ${JSON.stringify(email)}`)
        t.equal(await adapter.update(User, { email }, { credits: 1 }), 0)
      }
      t.strictSame(
        (await adapter.findMany(User, { order: { gt: 'Jose@x.org' } }, { limit: 9, order: 'order' })).length,
        2,
        'the order is by bytes, not by language'
      )
      const token = await createToken(adapter, users[0] ?? {}, 'Secret')
      for (const wrong of ['SECRET', 'Secret ', 'S\u00E9cret']) {
        t.equal(await adapter.findWithUser?.(AccessToken, { token: wrong }), null)
      }
      t.strictSame(
        await adapter.findWithUser?.(AccessToken, { token: 'Secret' }),
        { row: token, user: users[0] },
        'a new table that references an existing one'
      )
      t.equal(mysqlDialect.ignoresCase?.(`varchar(320) CHARACTER SET x COLLATE ${collation}`), ignoresCase, collation)
    }
  }
)

t.test(
  'MySQL: the statement of the documentation adds the e-mail index to an existing table',
  service,
  async (t) => {
    const { pool } = await makeMysqlPool(t)
    await makePythonTables(pool)
    await pool.query('ALTER TABLE user MODIFY email VARCHAR(320) COLLATE utf8mb4_bin NOT NULL')
    const adapter = await opened(pool, [Person])
    const given = { hashed_password: 'hash', is_active: true, is_superuser: false, is_verified: false }
    await adapter.create(Person, { ...given, email: 'Galahad@x.org' })
    t.hasStrict(
      await adapter.findOne(Person, { email: 'GALAHAD@x.org' }),
      { email: 'Galahad@x.org' },
      'found without an index'
    )
    await pool.query(/```sql\n([^]*?);\n```/.exec(readFileSync('docs/databases/mysql.md', 'utf8'))?.[1] ?? '')
    const again = await opened(pool, [Person])
    t.hasStrict(await again.findOne(Person, { email: 'GALAHAD@x.org' }), { email: 'Galahad@x.org' })
    await t.rejects(again.create(Person, { ...given, email: 'galahad@x.org' }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: ['email']
    })
  }
)

t.test(
  'MySQL: times are UTC in any time zone of session, pool and process, for DATETIME and TIMESTAMP',
  service,
  async (t) => {
    const { pool, database } = await makeMysqlPool(t)
    await makePythonTables(pool)
    await pool.query('ALTER TABLE accesstoken ADD seen DATETIME NULL, ADD fine TIMESTAMP(6) NULL')
    const Token: Model = {
      ...AccessToken,
      fields: { ...AccessToken.fields, seen: { type: 'time', nullable: true }, fine: { type: 'time', nullable: true } }
    }
    const whole = new Date('2026-03-29T02:30:00Z')
    const time = new Date('2026-03-29T02:30:00.987Z')
    const zones = ["'+00:00'", "'+05:45'", "'-11:00'", "'SYSTEM'"]
    for (const zone of zones) {
      const customPool = callbacks.createPool(mysqlConfigOf(database, { timezone: '-03:00' }))
      customPool.on('connection', (connection) => {
        connection.query(`SET time_zone = ${zone}`)
      })
      const adapter = await opened(customPool.promise(), [Person, Token])
      const user =
        (await adapter.findOne(Person, {})) ??
        (await adapter.create(Person, {
          email: 'a@x.org',
          hashed_password: 'hash',
          is_active: true,
          is_superuser: false,
          is_verified: false
        }))
      const row = await adapter.create(Token, {
        token: zone,
        user_id: user['id'],
        created_at: time,
        seen: time,
        fine: time
      })
      t.strictSame(
        row,
        { token: zone, user_id: user['id'], created_at: whole, seen: whole, fine: time },
        'fractions of a second are cut off, not rounded'
      )
      for (const where of [
        { created_at: time },
        { created_at: { gte: time } },
        { created_at: whole, seen: whole, fine: time },
        { created_at: { gt: new Date(whole.getTime() - 1000), lt: new Date(whole.getTime() + 1000) } }
      ]) {
        t.strictSame(await adapter.findWithUser?.(Token, { token: zone, ...where }), { row, user }, zone)
      }
      t.equal(await adapter.findWithUser?.(Token, { token: zone, created_at: { gt: time } }), null)
      t.equal(await adapter.update(Token, { token: zone, created_at: whole }, { fine: new Date(0.5e12) }), 1)
      t.hasStrict(await adapter.findOne(Token, { token: zone, fine: { lt: whole } }), { fine: new Date(0.5e12) })
      t.strictSame(
        await column(customPool.promise(), `SELECT @@time_zone = ${zone} FROM user`),
        [1],
        'the session keeps its time zone'
      )
      await customPool.promise().end()
    }
    t.strictSame(
      await column(
        pool,
        "SELECT DISTINCT concat(unix_timestamp(created_at), ' ', cast(seen AS CHAR)) FROM accesstoken"
      ),
      [`${whole.getTime() / 1000} 2026-03-29 02:30:00`]
    )
    const adapter = await opened(pool, [Person, Token])
    await pool.query("SET STATEMENT sql_mode = '' FOR UPDATE accesstoken SET created_at = '0000-00-00'")
    await t.rejects(async () => await adapter.findOne(Token, {}), mismatch)
    await t.rejects(
      adapter.update(Token, {}, { created_at: new Date('2300-01-01') }),
      { code: 'FST_USERS_INVALID_USER' },
      'out of the range of TIMESTAMP'
    )
  }
)

t.test(
  'MySQL: TIMESTAMP columns are refused on a server that ignores the time zone set in a statement',
  service,
  async (t) => {
    const ignoringConnection = {
      execute: async () => [[['SYSTEM']], []],
      unprepare () {},
      release () {},
      destroy () {}
    } as unknown as MysqlConnection
    await t.rejects(async () => await useMysql2({ getConnection: async () => ignoringConnection }, 5000).inUtc?.(), {
      ...invalid,
      message: /DATETIME/
    })
  }
)

t.test(
  'MySQL: other column types of existing tables work, and values that do not fit the column are refused',
  service,
  async (t) => {
    const { pool } = await makeMysqlPool(t)
    await pool.query(`CREATE TABLE user (id VARCHAR(36) PRIMARY KEY, email VARCHAR(320) CHARACTER SET latin1, hashed_password TEXT, is_active INT, nickname VARCHAR(80), credits INTEGER,
    ratio DECIMAL(20, 2), settings LONGTEXT, seen_at DATETIME, \`order\` VARCHAR(5), notes TINYTEXT)`)
    const adapter = await opened(pool, [User])
    const user = await createUserRow(adapter, {
      credits: 5,
      ratio: 1.5,
      settings: { a: ['é'] },
      seen_at: new Date(1e12),
      order: 'a'
    })
    t.notOk(Object.hasOwn(user, 'session_stamp'))
    t.strictSame(
      await adapter.findOne(User, { id: user['id'] as string, credits: 5, ratio: 1.5, seen_at: new Date(1e12) }),
      user
    )
    await createUserRow(adapter, { order: 'B' })
    t.strictSame(
      (await adapter.findMany(User, { order: { lt: 'a' } }, { limit: 9 })).map((row) => row['order']),
      ['B'],
      'the order is by bytes, not by language'
    )
    await t.rejects(createUserRow(adapter, { order: 'abcdef' }), { ...mismatch, message: /"order" holds 5 characters/ })
    for (const change of [
      { credits: 2 ** 40 },
      { credits: { increment: 2_147_483_647 } },
      { ratio: 1e30 },
      { email: '\u{1F9D9}@x.org' }
    ]) {
      await t.rejects(
        adapter.update(User, { id: user['id'] as string }, change),
        { code: 'FST_USERS_INVALID_USER', statusCode: 400 },
        JSON.stringify(change).slice(0, 50)
      )
    }
    await t.rejects(
      adapter.update(User, { id: user['id'] as string }, { hashed_password: 'x'.repeat(65_536) }),
      mismatch,
      'more bytes than the column holds'
    )
    t.equal(await adapter.findOne(User, { credits: 2 ** 40 }), null)
    t.equal(await adapter.findOne(User, { email: '\u{1F9D9}@x.org' }), null)
    t.strictSame(
      (await adapter.findMany(User, { credits: { lt: 2 ** 40 } }, { limit: 9 })).map((row) => row['credits']),
      [5]
    )
    for (const change of ["settings = '{'", 'seen_at = NULL, settings = NULL, is_active = NULL', 'email = NULL']) {
      await pool.query(`UPDATE user SET ${change} WHERE credits = 5`)
    }
    t.hasStrict(await adapter.findOne(User, { credits: 5 }), { is_active: null, settings: null })
    await pool.query("UPDATE user SET settings = '{' WHERE credits = 5")
    await t.rejects(async () => await adapter.findOne(User, { credits: 5 }), mismatch)
    await pool.query('ALTER TABLE user MODIFY credits BIGINT')
    await pool.query('UPDATE user SET settings = NULL, credits = 9007199254740993 WHERE credits = 5')
    await t.rejects(
      async () => await adapter.findOne(User, { id: user['id'] as string }),
      { ...mismatch, message: /"credits"/ },
      "an integer beyond JavaScript's safe range"
    )
    await pool.query('UPDATE user SET credits = 5 WHERE credits > 5')
    await pool.query(
      'ALTER TABLE user DROP settings, ADD settings JSON, MODIFY is_active VARBINARY(5), MODIFY nickname VARBINARY(80), MODIFY credits VARBINARY(5)'
    )
    for (const change of ["is_active = 'x'", "is_active = 1, nickname = 'x'", "nickname = NULL, credits = 'many'"]) {
      await pool.query(`UPDATE user SET ${change}`)
      await t.rejects(async () => await adapter.findOne(User, {}), mismatch, change)
    }
  }
)

t.test('INP-07: hostile values are stored unchanged or refused by MySQL, and never run as SQL', service, async (t) => {
  const { pool } = await makeMysqlPool(t)
  const adapter = await opened(pool)
  const user = await createUserRow(adapter, { order: 'a' })
  for (const value of [
    "'; DROP TABLE user; -- ",
    '\\',
    "\\'",
    '`',
    '"',
    '\0',
    'a\0b',
    '\u{1F9D9}',
    '%',
    '_',
    '\u001a',
    '\r\n',
    '/*! 1 */',
    '@@version',
    '\u{10FFFF}'
  ]) {
    await adapter.update(User, { id: user['id'] as string }, { order: value, settings: { value }, nickname: value })
    t.hasStrict(await adapter.findOne(User, { order: value, nickname: value }), {
      id: user['id'],
      order: value,
      nickname: value,
      settings: { value }
    })
    t.strictSame(await column(pool, 'SELECT hex(`order`) FROM user'), [
      Buffer.from(value).toString('hex').toUpperCase()
    ])
  }
  for (const value of ['\uD800', 'a\uDC00']) {
    await t.rejects(adapter.update(User, {}, { order: value }), invalid)
    t.equal(await adapter.findOne(User, { order: value }), null)
    t.equal(await adapter.findOne(User, { email: value }), null)
  }
  for (const id of ['x', String(user['id']).toUpperCase(), `${user['id']} `, '']) {
    t.equal(await adapter.findOne(User, { id }), null, id)
    t.equal(await adapter.delete(User, { id }), 0)
  }
  await t.rejects(createUserRow(adapter, { id: 'x' }), invalid)
  const [owner, token] = models.filter(({ name }) => name.startsWith('person_integer')) as [Model, Model]
  await adapter.create(owner, { email: 'a@x.org' })
  for (const id of [2_147_483_648, Number.MAX_SAFE_INTEGER, -2_147_483_649]) {
    t.equal(await adapter.findOne(owner, { id }), null)
    t.equal(await adapter.findOne(token, { user_id: id }), null)
    t.equal(await adapter.delete(owner, { id: { in: [id] } }), 0)
    await t.rejects(adapter.create(owner, { id, email: 'b@x.org' }), { code: 'FST_USERS_INVALID_USER' })
  }
})

t.test(
  'row 83: MySQL tables made by SQLAlchemy work unchanged, with rows of both programs',
  service,
  async (t) => {
    const { pool } = await makeMysqlPool(t)
    await makePythonTables(pool)
    for (const [table, rows] of Object.entries(pythonRows())) {
      for (const row of rows) await pool.query(`INSERT INTO ${table} VALUES (?)`, [row])
    }
    const definitions = async (): Promise<unknown[]> =>
      await Promise.all(
        ['user', 'oauth_account', 'accesstoken'].map(
          async (table) =>
            (await pool.query<mysql2.RowDataPacket[]>(`SHOW CREATE TABLE ${table}`))[0][0]?.['Create Table']
        )
      )
    const before = await definitions()
    const adapter = await opened(pool, [Person, AccessToken], {})
    const user = await adapter.findOne(Person, { email: 'KING.ARTHUR@camelot.bt' })
    t.hasStrict(user, {
      id: '05fff8ce-3a06-48f2-9c44-a16751012464',
      email: 'king.arthur@camelot.bt',
      is_superuser: true
    })
    t.notOk(Object.hasOwn(user as object, 'session_stamp'))
    t.hasStrict(await adapter.findWithUser?.(AccessToken, { token: 'doskgLOY_6m4uUOKgY3PO68_G-aJqhcnSAEyu-XPBzM' }), {
      user,
      row: { created_at: new Date('2026-11-21T03:52:56Z') }
    })
    await t.rejects(adapter.create(Person, { ...user, id: undefined }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: ['email']
    })
    await servePythonRows(
      t,
      mysql(pool),
      async (sql) => (await pool.query<mysql2.RowDataPacket[]>(sql.replace('USERS', 'user')))[0]
    )
    const built = await buildApp(t, { adapter: mysql(pool), compatibility: 'fastapi-users' })
    await flow(t, built, 'bedivere@camelot.bt')
    t.strictSame(await definitions(), before, 'no table was altered')
  }
)

t.test(
  'row 83: MySQL tables with other names are mapped, and a unique violation names the fields of the model',
  service,
  async (t) => {
    const { pool } = await makeMysqlPool(t)
    await pool.query(`CREATE TABLE \`Peo\`\`ple\` (uid CHAR(36), \`E-Mail\` VARCHAR(320), hash VARCHAR(99), active BOOL, is_superuser BOOL, is_verified BOOL, badge CHAR(9) DEFAULT 'b',
    shouted VARCHAR(320) AS (upper(\`E-Mail\`)) STORED, PRIMARY KEY (uid), UNIQUE INDEX \`mine. really\` (shouted))`)
    const adapter = await opened(pool, [Person], {
      tables: {
        user: {
          table: 'Peo`ple',
          columns: { id: 'uid', email: 'E-Mail', hashed_password: 'hash', is_active: 'active' }
        }
      }
    })
    const given = {
      email: 'Galahad@camelot.bt',
      hashed_password: 'hash',
      is_active: true,
      is_superuser: false,
      is_verified: false
    }
    const user = await adapter.create(Person, given)
    const clash = (fields: string[]) => ({ code: 'FST_USERS_UNIQUE_VIOLATION', fields })
    await t.rejects(
      adapter.create(Person, { ...given, email: 'GALAHAD@camelot.bt' }),
      clash(['email']),
      'a generated column'
    )
    await t.rejects(adapter.create(Person, { ...given, id: user['id'], email: 'x' }), clash(['id']))
    await pool.query(
      'ALTER TABLE `Peo``ple` ADD UNIQUE INDEX one_superuser (hash, active), ADD UNIQUE INDEX badges (badge)'
    )
    const again = await opened(pool, [Person], {
      tables: {
        user: {
          table: 'Peo`ple',
          columns: { id: 'uid', email: 'E-Mail', hashed_password: 'hash', is_active: 'active' }
        }
      }
    })
    await t.rejects(again.create(Person, { ...given, email: 'x' }), clash(['hashed_password', 'is_active']))
    await t.rejects(
      again.create(Person, { ...given, email: 'x', hashed_password: 'y' }),
      clash(['badge']),
      'a column without a field'
    )
    const messages = [
      "Duplicate entry 'a' for key 'b'' for key 'ix'",
      "Duplicate entry 'a' for key 'user.ix'",
      "Doppelter Eintrag 'a' f\u00FCr Schl\u00FCssel 'ix'",
      "'a' \u306F\u7D22\u5F15 'ix' \u3067\u91CD\u8907\u3057\u3066\u3044\u307E\u3059\u3002"
    ]
    for (const message of messages) {
      t.strictSame(
        mysqlDialect.uniqueViolation(Object.assign(new Error(message), { errno: 1062 })),
        { index: 'ix' },
        message
      )
    }
    t.strictSame(mysqlDialect.uniqueViolation(Object.assign(new Error('of a proxy'), { errno: 1062 })), { index: '' })
  }
)

t.test(
  'rows 21, 22, 49, RACE-05: every flow works on MySQL with one connection, both backends and every kind of id',
  service,
  async (t) => {
    const custom: IdKind<string> = {
      name: 'custom',
      schema: Type.String(),
      storage: 'text',
      maxLength: 30,
      parse: (text) => (/^usr_\w+$/.test(text) ? text : null),
      generate: () => `usr_${Math.random().toString(36).slice(2)}`
    }
    const fields = { credits: Type.Integer() }
    for (const schemas of [
      userSchemas(fields, { id: uuidId() }),
      userSchemas(fields, { id: integerId() }),
      userSchemas(fields, { id: objectIdId() }),
      userSchemas(fields, { id: custom })
    ]) {
      const { pool } = await makeMysqlPool(t, { connectionLimit: 1 })
      const built = await buildApp(t, { adapter: mysql(pool, { createTables }), schemas: schemas as never })
      await flow(t, built, ARTHUR, { credits: 5 })
      const { id } = await built.create({ is_superuser: true, credits: 2 ** 52 })
      const headers = await built.bearer(ARTHUR)
      t.hasStrict((await built.send('GET', `/users/${id}`, undefined, headers)).json(), { id, credits: 2 ** 52 })
      for (const absent of [
        '2147483648',
        '9007199254740993',
        '999',
        'x',
        '-1',
        '05fff8ce-3a06-48f2-9c44-a16751012464',
        '%00',
        'a%00',
        `${id}%20`
      ]) {
        t.equal((await built.send('GET', `/users/${absent}`, undefined, headers)).statusCode, 404, absent)
      }
      await built.app.close()
    }
  }
)

t.test(
  'RACE-02: of two processes that create the tables on MySQL and register one e-mail 200 times, one request succeeds',
  service,
  async (t) => {
    const { pool, database } = await makeMysqlPool(t)
    const child = join(import.meta.dirname, 'fixtures', 'register-same-user.js')
    const start = String(Date.now() + 4000)
    const outputs = await Promise.all(
      [1, 2].map(
        async () => await promisify(execFile)(process.execPath, [...process.execArgv, child, 'mysql', database, start])
      )
    )
    const statuses = outputs.flatMap(({ stdout }) => JSON.parse(stdout) as number[])
    t.equal(statuses.length, 200)
    t.equal(statuses.filter((status) => status === 201).length, 1)
    t.equal(statuses.filter((status) => status === 400).length, 199)
    t.strictSame(await column(pool, 'SELECT count(*) FROM user'), [1])
  }
)

t.test('RACE-02: eight pools create the tables on MySQL at the same time, and all open', service, async (t) => {
  const { database } = await makeMysqlPool(t)
  const pools = Array.from({ length: 8 }, () => mysql2.createPool(mysqlConfigOf(database, { connectionLimit: 1 })))
  await Promise.all(pools.map((pool) => opened(pool)))
  t.pass('opened')
  await Promise.all(pools.map((pool) => pool.end()))
})

t.test(
  'MySQL: open() throws if a table cannot be created, keeps the tables created before, and releases the lock',
  service,
  async (t) => {
    const { pool } = await makeMysqlPool(t)
    await pool.query(
      'CREATE TABLE user (id CHAR(36), email TEXT, hashed_password TEXT, is_active BOOL, nickname TEXT, credits INT, ratio REAL, settings JSON, seen_at DATETIME, `order` TEXT)'
    )
    await t.rejects(
      opened(pool, [{ name: 'a', table: 'a', fields: { id: { type: 'text', maxLength: 9 } } }, User, Membership]),
      { code: 'ER_CANT_CREATE_TABLE' },
      'a reference to a column without a key'
    )
    t.strictSame((await tableNames(pool)).sort(), ['a', 'fastify_users_schema', 'user'])
    t.strictSame(
      await column(pool, "SELECT get_lock(left(concat('fastify-users:', database()), 64), 60)"),
      [1],
      'the lock is free as soon as the server has ended the session'
    )
  }
)

t.test(
  'DEP-01, DEP-03: MySQL: related rows are stored together or not at all, in time and again after a deadlock',
  service,
  async (t) => {
    const { pool: direct, database } = await makeMysqlPool(t)
    const pool = mysql2.createPool(mysqlConfigOf(database, { connectionLimit: 1 }))
    t.teardown(() => pool.end())
    const adapter = await opened(pool, models, { createTables, timeoutMs: 3000 })
    let runs = 0
    const create = (n: number): Promise<unknown> | undefined =>
      adapter.createAll?.([
        [User, { email: `${n}@x.org`, hashed_password: 'hash', is_active: true }],
        [
          Membership,
          {
            user_id: idOf(0),
            member_number: String(n),
            get team () {
              runs++ // read once in each run of the transaction
              return 'knights'
            }
          }
        ]
      ])
    const counts = async (): Promise<number[]> => [
      (await adapter.findMany(User, {}, { limit: 9 })).length,
      (await adapter.findMany(Membership, {}, { limit: 9 })).length
    ]
    const { id: owner } = await createUserRow(adapter, { email: '0@x.org' })
    await direct.query('CREATE TABLE heavy SELECT seq FROM seq_1_to_1000')
    const other = await direct.getConnection()
    t.teardown(() => {
      other.destroy()
    })
    const hold = async (account: string): Promise<void> => {
      await other.query('START TRANSACTION')
      await other.query('UPDATE heavy SET seq = seq + 1') // InnoDB rolls back the transaction that changed fewer rows
      await other.query(
        "INSERT INTO membership (id, user_id, team, member_number) VALUES (uuid(), ?, 'knights', ?)",
        [owner, account]
      )
    }
    await hold('1')
    await t.rejects(
      async () => await create(1),
      { code: 'FST_USERS_STORE_UNAVAILABLE' },
      'the second row waits for a lock longer than the timeout'
    )
    await other.query('ROLLBACK')
    t.same(await counts(), [1, 0])

    await hold('2')
    runs = 0
    const waiting = create(2)
    while (
      (
        await column(
          direct,
          "SELECT 1 FROM information_schema.INNODB_TRX x JOIN information_schema.PROCESSLIST p ON p.ID = x.trx_mysql_thread_id WHERE p.DB = database() AND x.trx_state = 'LOCK WAIT'"
        )
      ).length === 0
    ) {
      await sleep(150)
    } // InnoDB refreshes INNODB_TRX only if nobody has read it for 0.1 s
    // both transactions now wait for each other
    await other.query('UPDATE user SET email = "2@x.org" WHERE id = ?', [owner])
    await other.query('ROLLBACK')
    await waiting
    t.equal(runs, 2, 'the whole transaction runs again')
    t.same(await counts(), [2, 1])
    await Promise.all(
      [3, 4, 5, 6].map(async (n) => {
        await create(n)
      })
    )
    t.same(await counts(), [6, 5])
  }
)

t.test(
  'MySQL: a statement runs again after a deadlock and after the server lost the prepared statement',
  service,
  async (t) => {
    const { pool } = await makeMysqlPool(t, { connectionLimit: 3 })
    const adapter = await opened(pool)
    const ids = ['00000000-3a06-48f2-9c44-a16751012464', '00000001-3a06-48f2-9c44-a16751012464']
    for (const id of ids) await createUserRow(adapter, { id, credits: 0 })
    await pool.query('CREATE TABLE heavy SELECT seq FROM seq_1_to_1000')
    const other = await pool.getConnection()
    await other.query('START TRANSACTION')
    await other.query('UPDATE heavy SET seq = seq + 1') // InnoDB rolls back the transaction that changed fewer rows
    await other.query('UPDATE user SET credits = 5 WHERE id = ?', [ids[1]])
    // locks the first user and waits for the second
    const waiting = adapter.update(User, {}, { credits: { increment: 1 } })
    while (
      (
        await column(
          pool,
          "SELECT 1 FROM information_schema.INNODB_TRX x JOIN information_schema.PROCESSLIST p ON p.ID = x.trx_mysql_thread_id WHERE p.DB = database() AND x.trx_state = 'LOCK WAIT'"
        )
      ).length === 0
    ) {
      await sleep(150)
    } // InnoDB refreshes INNODB_TRX only if nobody has read it for 0.1 s
    await other.query('UPDATE user SET credits = 5 WHERE id = ?', [ids[0]])
    await other.query('COMMIT')
    t.equal(await waiting, 2)
    t.strictSame(await column(pool, 'SELECT credits FROM user'), [6, 6])

    const core = (other as unknown as { connection: { _statements: Map<string, unknown> } }).connection
    other.release()
    await Promise.all([1, 2, 3, 4].map(async () => await adapter.findOne(User, { id: ids[0] as string })))
    const statements = [...core._statements.entries()]
    t.ok(statements.length > 0)
    await other.reset()
    // restores the client's list, as if a proxy had changed the session behind the client
    for (const [key, statement] of statements) core._statements.set(key, statement)
    for (let n = 0; n < 4; n++) t.hasStrict(await adapter.findOne(User, { id: ids[0] as string }), { credits: 6 })
  }
)

t.test(
  'DEP-01, DEP-02: requests reply 503 in time, never 401, while MySQL is down or silent, and then succeed again',
  service,
  async (t) => {
    const { pool: direct, database } = await makeMysqlPool(t)
    const config = mysqlConfigOf(database)
    const proxy = await startTcpProxy(config.host ?? '', config.port ?? 0)
    t.teardown(() => proxy.refuse())
    const pool = mysql2.createPool({ ...config, host: '127.0.0.1', port: proxy.port })
    const built = await buildApp(t, { adapter: mysql(pool, { createTables }) })
    await built.register()
    const sessions = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)]
    const statuses = (): Promise<number[]> =>
      Promise.all(
        sessions.map(async (headers) => (await built.send('GET', '/users/me', undefined, headers)).statusCode)
      )
    t.strictSame(await statuses(), [200, 200])
    await proxy.refuse()
    t.strictSame(await statuses(), [503, 503])
    for (const reply of [
      await built.login('jwt', ARTHUR),
      await built.send('POST', '/auth/register', { email: 'a@camelot.bt', password: PASSWORD }),
      await built.send('GET', '/users/me', undefined, sessions[0])
    ]) {
      t.equal(reply.statusCode, 503)
      t.equal(reply.headers['retry-after'], '1')
      t.equal(reply.json<{ code: string }>().code, 'FST_USERS_STORE_UNAVAILABLE')
    }
    await proxy.pass()
    t.strictSame(await statuses(), [200, 200])

    const small = mysql2.createPool({
      ...config,
      host: '127.0.0.1',
      port: proxy.port,
      connectionLimit: 1,
      connectTimeout: 500
    })
    const driver = useMysql2(small, 500)
    const one = driver.prepare('SELECT 1')
    t.strictSame(await one.get([]), [1])
    await proxy.blackHole()
    const answers = await Promise.allSettled([one.get([]), one.get([]), one.get([])])
    t.strictSame(
      answers.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected']
    )
    await proxy.refuse()
    await proxy.pass()
    t.strictSame(await one.get([]), [1])
    await proxy.blackHole()
    await t.rejects(
      async () => await driver.prepare('SELECT 2').get([]),
      { code: 'FST_USERS_STORE_UNAVAILABLE' },
      'a statement that the connection has not prepared yet'
    )
    await proxy.refuse()
    await proxy.pass()
    t.strictSame(await one.get([]), [1])
    await small.end()

    await built.app.close()
    t.strictSame(await column(pool, 'SELECT 1'), [1], 'the pool stays open after the application has closed')
    await pool.end()
    const blocker = await direct.getConnection()
    await blocker.query('START TRANSACTION')
    await blocker.query('UPDATE user SET is_active = 1')
    const waiter = callbacks.createPool(config)
    waiter.on('connection', (connection) => {
      connection.query('SET innodb_lock_wait_timeout = 1')
    })
    const late = await buildApp(t, { adapter: mysql(waiter) })
    const reply = await late.send('PATCH', '/users/me', { email: 'late@camelot.bt' }, sessions[1])
    t.strictSame([reply.statusCode, reply.headers['retry-after']], [503, '1'], 'a row lock that is held too long')
    await blocker.query('ROLLBACK')
    blocker.release()
    await late.app.close()
    await waiter.promise().end()
  }
)

t.test(
  'MySQL: a held migration lock and a read-only server are reported as unavailable, and the connection is closed',
  service,
  async (t) => {
    const failing = (error: object, answer: unknown[][]): { pool: MysqlPool; ended: string[] } => {
      const ended: string[] = []
      const connection = {
        async execute ({ sql }: MysqlQuery) {
          if (sql.startsWith('SELECT get_lock')) return [answer, []]
          if (sql.startsWith('CREATE')) throw Object.assign(new Error('refused'), error)
          return [[], []]
        },
        unprepare () {},
        release () {
          ended.push('released')
        },
        destroy () {
          ended.push('destroyed')
        }
      } as unknown as MysqlConnection
      return { pool: { getConnection: async () => connection }, ended }
    }
    const held = failing({}, [[0]])
    await t.rejects(
      async () => {
        await useMysql2(held.pool, 5000).change('SELECT', () => ['CREATE'])
      },
      { code: 'FST_USERS_STORE_UNAVAILABLE' }
    )
    t.strictSame(held.ended, ['released', 'destroyed'])
    const readOnly = failing({ errno: 1290, code: 'ER_OPTION_PREVENTS_STATEMENT', sqlState: 'HY000' }, [[1]])
    await t.rejects(async () => await useMysql2(readOnly.pool, 5000).prepare('CREATE').run([]), {
      code: 'FST_USERS_STORE_UNAVAILABLE',
      cause: { code: 'ER_OPTION_PREVENTS_STATEMENT' }
    })
    t.strictSame(readOnly.ended, ['destroyed'])
  }
)
