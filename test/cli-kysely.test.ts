import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Kysely, MysqlDialect, PostgresDialect, sql, SqliteDialect } from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import t, { type Test } from 'tap'
import { migrationOf } from '../lib/adapters/sql/migration/adapter-migration.js'
import { kysely } from '../lib/entries/kysely.js'
import { SECRET } from './helpers/build-app.js'
import {
  buildProgram,
  endPools,
  createCommandFolder,
  library,
  type ConfigParts,
  type Outcome,
  type CommandFolder
} from './helpers/command-line.js'
import { makeMysqlDatabase, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { configOf, makeSchema, needsPostgres, postgresUrl } from './helpers/postgres.js'
import { pythonRows, pythonTables } from './helpers/python-tables.js'

const service = await needsPostgres()
const mysqlService = await needsMysql()
const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
t.teardown(endPools)
process.env['USERS_SECRET'] = SECRET

const createFolder = (): CommandFolder => createCommandFolder(testFolder, program)

/** Returns the first word of each output, sorted. */
function firstWords (outcomes: readonly Outcome[]): (string | undefined)[] {
  return outcomes.map(({ out }) => out.split(/[: ]/)[0]).sort()
}

/** Returns the lines of a report that do not begin with `ok`. */
function problemLines ({ out }: Outcome): string[] {
  // the lines about limits have a test of their own
  return out.split('\n').filter((line) => !line.startsWith('ok ') && !line.includes(' limits: '))
}

/** A Kysely instance, the adapter expression of a config file for the same database, and the FastAPI Users tables. */
interface KyselyPlace {
  place: CommandFolder
  adapter: string
  db: Kysely<unknown>
  python: string[]
  boolean: (value: unknown) => unknown
}

interface KyselyEngine {
  name: string
  options: { skip?: string | false }
  quote: string
  make: (t: Test) => Promise<KyselyPlace>
}

const IMPORTS = `
  import { createPool } from 'mysql2'
  import { CamelCasePlugin, Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'`

/** The end of a config file that registers oauth with one provider. */
const OAUTH = `
  import { github, oauth } from '${library.replace('lib/index.js', 'lib/features/oauth/index.js')}'
  function listFeatures () { return [oauth({ publicUrl: 'https://app.example.com', providers: [github({ clientId: 'id', clientSecret: 'secret' })] })] }`

/** Returns the adapter expression of a config file. Its Kysely instance is destroyed after the tests. */
function kyselyExpression (dialect: string, options = '{}'): string {
  return `kysely((() => { const db = new Kysely({ dialect: ${dialect}, plugins: [new CamelCasePlugin()] }); keep({ end: () => db.destroy() }); return db })(), ${options})`
}

const engines: KyselyEngine[] = [
  {
    name: 'SQLite',
    options: {},
    quote: '"',
    async make (t) {
      const place = createFolder()
      const db = new Kysely<unknown>({
        dialect: new SqliteDialect({ database: new Database(place.file).defaultSafeIntegers(true) })
      })
      t.teardown(() => db.destroy())
      return {
        place,
        db,
        adapter: kyselyExpression(
          "new SqliteDialect({ database: new Database(new URL('users.sqlite', import.meta.url).pathname).defaultSafeIntegers(true) })"
        ),
        python: pythonTables('CHAR(36)', 'BOOLEAN', 'TIMESTAMP', '"'),
        boolean: (value) => value
      }
    }
  },
  {
    name: 'PostgreSQL',
    options: service,
    quote: '"',
    async make (t) {
      const { schema, drop } = await makeSchema()
      const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: new pg.Pool(configOf(schema)) }) })
      t.teardown(async () => {
        await db.destroy()
        await drop()
      })
      const pool = `new pg.Pool({ connectionString: ${JSON.stringify(postgresUrl)}, options: '-c search_path=${schema}' })`
      return {
        place: createFolder(),
        db,
        adapter: kyselyExpression(`new PostgresDialect({ pool: ${pool} })`),
        python: pythonTables('UUID', 'BOOLEAN', 'TIMESTAMP WITH TIME ZONE', '"'),
        boolean: (value) => value === 1
      }
    }
  },
  {
    name: 'MySQL',
    options: mysqlService,
    quote: '`',
    async make (t) {
      const { database, drop } = await makeMysqlDatabase()
      const config = mysqlConfigOf(database)
      const db = new Kysely<unknown>({ dialect: new MysqlDialect({ pool: createPool(config) }) })
      t.teardown(async () => {
        await db.destroy()
        await drop()
      })
      return {
        place: createFolder(),
        db,
        adapter: kyselyExpression(`new MysqlDialect({ pool: createPool(${JSON.stringify(config)}) })`),
        python: pythonTables('CHAR(36)', 'BOOL', 'TIMESTAMP', '`'),
        boolean: (value) => value
      }
    }
  }
]

for (const { name, options, quote, make } of engines) {
  t.test(
    `kysely() on ${name}: parallel migrations create the tables once; doctor reports missing parts, which migrate adds`,
    options,
    async (t) => {
      const {
        place: { run, start },
        adapter,
        db
      } = await make(t)
      const parts: ConfigParts = { adapter, rest: IMPORTS }
      const user = `${quote}user${quote}`
      t.match(await run(['prune'], parts), { code: 1, out: '', err: /run `npx fastify-users migrate`/ })
      t.match(await run(['migrate', '--check'], parts), { code: 1, out: /^Pending:\n {2}- create the table "user"\n/ })
      t.strictSame(await run(['migrate', '--dry-run'], parts), await run(['schema'], parts))
      t.match(problemLines(await run(['doctor'], parts)), [
        /^fail {2}schema: pending: create the table "user"/,
        /"accesstoken"/
      ])
      const outcomes = await Promise.all([0, 1, 2].map(() => start(['migrate'], parts).outcome))
      t.strictSame(
        outcomes.map(({ code, err }) => [code, err]),
        [
          [0, ''],
          [0, ''],
          [0, '']
        ]
      )
      t.strictSame(firstWords(outcomes), ['Changed', 'Nothing', 'Nothing'])
      t.match(await run(['migrate', '--check'], parts), { code: 0, out: /^Nothing to do/ })
      t.strictSame(problemLines(await run(['doctor'], parts)), [])
      t.match(await run(['create-superuser', '--email', 'a@b.example'], parts, { lines: ['a long enough password'] }), {
        code: 0
      })

      await sql
        .raw(`DROP INDEX ix_accesstoken_user_id${name === 'MySQL' ? ' ON accesstoken' : ''}`)
        .execute(db)
        // MySQL refuses to drop the index of a foreign key.
        .catch(() => sql.raw('DROP INDEX ix_accesstoken_created_at ON accesstoken').execute(db))
      const more = { ...parts, fields: "{ nick: Type.String({ maxLength: 40, default: 'none' }) }" }
      t.match(problemLines(await run(['doctor'], more)), [
        /^fail {2}schema: pending: table "user": add the column "nick"/,
        /^warn {2}schema: pending: table "accesstoken": add the index "ix_accesstoken_/
      ])
      t.match(await run(['migrate'], more), {
        code: 0,
        out: /^Changed:\n {2}- table "user": add the column "nick" \(VARCHAR\(40\)\)\n {2}- table "accesstoken": add the index "ix_accesstoken_[^"]*" on/
      })
      t.match(await run(['migrate', '--check'], more), { code: 0 })
      t.strictSame((await sql.raw<{ nick: string }>(`SELECT nick FROM ${user}`).execute(db)).rows, [{ nick: 'none' }])
      t.match(await run(['migrate'], { ...more, fields: '{ must: Type.String() }' }), {
        code: 1,
        out: '',
        err: /^fastify-users: nothing was changed:\n {2}- table "user" lacks "must" and has rows/
      })
      await sql.raw("UPDATE fastify_users_schema SET version = 99 WHERE table_name = 'user'").execute(db)
      t.match(await run(['migrate'], parts), { code: 1, out: '', err: /was created by a newer version of this package/ })
    }
  )

  t.test(
    `row 83: kysely() on ${name}: migrate --from fastapi-users upgrades the tables and keeps their rows`,
    options,
    async (t) => {
      const {
        place: { run },
        adapter,
        db,
        python,
        boolean
      } = await make(t)
      for (const statement of python) await sql.raw(statement).execute(db)
      const rows = pythonRows()
      const insert = (table: string, values: unknown[]): Promise<unknown> =>
        sql`INSERT INTO ${sql.table(table)} VALUES (${sql.join(values)})`.execute(db)
      for (const [id, email, hash, ...flags] of rows.user) {
        await insert('user', [id, email, hash, ...flags.map(boolean)])
      }
      for (const row of rows.oauth_account) await insert('oauth_account', row)
      for (const row of rows.accesstoken) await insert('accesstoken', row)
      const args = ['migrate', '--from', 'fastapi-users', '--hash-tokens']
      const parts: ConfigParts = { adapter, rest: IMPORTS + OAUTH }
      t.match(await run([...args, '--check'], parts), {
        code: 1,
        out: /^Pending:\n[^]*replace plain tokens by digests for the backend "database": 1\n/,
        err: ''
      })
      t.match(await run([...args, '--yes'], parts), {
        code: 0,
        out: /^Changed:\n[^]*widen "access_token" to (?:LONG)?TEXT, "refresh_token" to/,
        err: ''
      })
      t.match(await run([...args, '--check'], parts), { code: 0, out: /^Nothing to do/ })
      t.match(await run(args, { ...parts, rest: IMPORTS }), {
        code: 0,
        out: /^Nothing to do[^\n]*\nWarning: these tables refer to "user"[^\n]*: "oauth_account"\./
      })
      const {
        rows: [counted]
      } = await sql<{
        count: unknown
      }>`SELECT count(*) AS count FROM accesstoken WHERE length(token) = 43 AND length(session_stamp) = 43`.execute(db)
      t.equal(Number(counted?.count), 1)
      await t.rejects(
        sql`UPDATE ${sql.table('user')} SET email = ${'KING.arthur@camelot.bt'} WHERE email = ${'lancelot@camelot.bt'}`.execute(
          db
        ),
        'e-mails that differ only in case are duplicates'
      )
    }
  )

  t.test(`kysely() on ${name}: a failed migration restores the settings of the connection`, options, async (t) => {
    const { db } = await make(t)
    const source = await migrationOf(kysely(db))?.connect('refuse')
    const settings = async (): Promise<unknown> =>
      (
        await sql
          .raw(
            name === 'SQLite'
              ? 'PRAGMA foreign_keys'
              : name === 'MySQL'
                ? "SELECT @@lock_wait_timeout AS wait, is_free_lock(left(concat('fastify-users:', database()), 64)) AS free"
                : "SELECT current_setting('lock_timeout') AS wait, now() = statement_timestamp() AS free"
          )
          .execute(db)
      ).rows
    const before = await settings()
    for (const mode of ['read', 'write'] as const) {
      await t.rejects(
        async () =>
          await source?.transaction(mode, async (database) => {
            await database.run('CREATE TABLE mine (a INTEGER)')
            throw new TypeError('no')
          }),
        mode === 'read' && name === 'PostgreSQL' ? { code: '25006' } : { message: 'no' }
      )
      if (name !== 'MySQL') await t.rejects(sql`SELECT * FROM mine`.execute(db), 'the table is rolled back')
      else await sql`DROP TABLE mine`.execute(db)
      t.strictSame(await settings(), before)
    }
    await source?.close()
  })
}
