import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import pg from 'pg'
import t, { type Test } from 'tap'
import { LOCK_TABLES } from '../lib/adapters/sql/drivers/pg.js'
import type { StoreSchema } from '../lib/contracts/store-schema.js'
import users, { bearerTransport, databaseStrategy, type Model, type UpgradeStep } from '../lib/index.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { kStoreSchema } from '../lib/symbols.js'
import { userModel } from '../lib/users/index.js'
import { userSchemas } from '../schemas/index.js'
import { SECRET } from './helpers/build-app.js'
import { buildProgram, endPools, library, createCommandFolder, rowsOf, runIn, type CommandFolder } from './helpers/command-line.js'
import { makeMysqlPool, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { configOf, makeDatabase, makeSchema, needsPostgres, postgresUrl } from './helpers/postgres.js'

const service = await needsPostgres()
const mysqlService = await needsMysql()
const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
t.teardown(endPools)
process.env['USERS_SECRET'] = SECRET

const createFolder = (): CommandFolder => createCommandFolder(testFolder, program)

/** Creates a folder like createFolder, and a PostgreSQL schema for its adapter. */
async function makePostgresPlace (t: Test) {
  const { schema, drop } = await makeSchema()
  return makePlaceOn(t, postgresUrl, schema, drop)
}

/** Like makePostgresPlace with a new database, because the lock for changes of tables covers the whole database. */
async function makeDatabasePlace (t: Test) {
  const { url, drop } = await makeDatabase()
  return makePlaceOn(t, url, 'public', drop)
}

function makePlaceOn (t: Test, url: string, schema: string, drop: () => Promise<void>) {
  const pool = new pg.Pool(configOf(schema, { connectionString: url }))
  t.teardown(async () => {
    await pool.end()
    await drop()
  })
  // the drop of the database terminates the idle connections of this pool, which the pool reports as an error
  const poolText = `new pg.Pool({ connectionString: ${JSON.stringify(url)}, options: '-c search_path=${schema}' }).on('error', () => {})`
  const column = async (sql: string, values: unknown[] = []): Promise<unknown[]> =>
    (await pool.query<unknown[]>({ text: sql, values, rowMode: 'array' })).rows.map(([value]) => value)
  return {
    ...createFolder(),
    schema,
    pool,
    poolText,
    adapter: `postgres(${poolText})`,
    column,
    tables: () => column('SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1', [schema])
  }
}

function executeSql (file: string, sql: string): void {
  const database = new Database(file)
  database.exec(sql)
  database.close()
}

const DEFINITIONS = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
const USER = 'INSERT INTO user (id, email, hashed_password, is_active, is_superuser, is_verified) VALUES'

/** The end of a config file that registers oauth with one provider. */
const OAUTH = `
  import { github, oauth } from '${library.replace('lib/index.js', 'lib/features/oauth/index.js')}'
  function listFeatures () { return [oauth({ publicUrl: 'https://app.example.com', providers: [github({ clientId: 'id', clientSecret: 'secret' })] })] }`

t.test(
  'each command prints its options and exit codes with --help, and refuses unknown arguments',
  async (t) => {
    for (const name of ['schema', 'migrate', 'create-superuser', 'prune', 'doctor']) {
      for (const flag of ['--help', '-h']) {
        t.match(await runIn('/', [name, flag]), {
          code: 0,
          out: new RegExp(
            `^Usage: fastify-users ${name} [^]*--config FILE[^]*Exit codes: 0 [^]* 2 wrong usage\\.$`
          ),
          err: ''
        })
      }
      t.match(await runIn('/', [name, '--colour']), {
        code: 2,
        out: '',
        err: new RegExp(`--colour[^]*\nSee fastify-users ${name} --help\\.`)
      })
      t.match(await runIn('/', [name, 'now']), { code: 2, out: '', err: /now/ })
      t.match(
        await runIn('/', [name, ...(name === 'create-superuser' ? ['--email', 'a@b.example'] : [])]),
        name === 'doctor'
          ? { code: 2, out: /^fail {2}config: The config file users\.config\.js does not exist/ }
          : { code: 2, out: '', err: /^fastify-users: The config file users\.config\.js does not exist[^\n]*$/ }
      )
    }
    t.match(await runIn('/', ['--help']), {
      code: 0,
      out: / schema [^]* migrate [^]* create-superuser [^]* prune [^]* doctor [^]*Exit codes: 0 success, 1 refused or failed, 2 wrong usage\.$/
    })
  }
)

t.test('schema prints the statements that create all tables, without a database', async (t) => {
  const { folder, file, run } = createFolder()
  const fields = '{ display_name: Type.String({ maxLength: 80 }), nick: Type.Optional(Type.String()) }'
  const own = await run(['schema'], { fields })
  t.match(own, {
    code: 0,
    err: '',
    out: /^CREATE TABLE "user" \(\n\t"id" CHAR\(36\) NOT NULL,[^]*\t"display_name" VARCHAR\(80\) NOT NULL,\n\t"nick" TEXT,[^]*CREATE TABLE "accesstoken"[^]*CREATE INDEX "ix_accesstoken_user_id"/
  })
  t.notOk(existsSync(file))
  const database = new Database(':memory:')
  database.exec(own.out)
  t.equal(database.prepare('SELECT count(*) FROM fastify_users_schema').pluck().get(), 2, 'the script runs to its end')
  database.close()
  const dry = await run(['migrate', '--dry-run'], { fields })
  t.strictSame(dry, own, 'migrate --dry-run prints the same')
  t.notOk(existsSync(file))

  t.match(await run(['schema', '--dialect', 'postgres'], { fields, adapter: 'memory()' }), {
    code: 0,
    out: /^CREATE TABLE "user" \(\n\t"id" UUID NOT NULL[^]*lower\("email"::text COLLATE "C"\)/
  })
  t.match(
    await run(['schema', '--dialect', 'sqlite'], {
      adapter: "sqlite('x.sqlite', { tables: { user: { table: 'people', columns: { email: 'mail' } } } })"
    }),
    { code: 0, out: /CREATE TABLE "people"[^]*"mail"[^]*REFERENCES "people"/ }
  )
  t.notMatch(
    (
      await run(['schema', '--dialect', 'sqlite'], {
        backends: "[{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }]"
      })
    ).out,
    /accesstoken/
  )
  t.match(await run(['schema', '--dialect', 'oracle']), {
    code: 2,
    out: '',
    err: /^fastify-users: --dialect must be one of sqlite, postgres, mysql(?:, (?:drizzle|prisma)-(?:postgres|mysql|sqlite)){6}$/
  })
  t.match(await run(['schema'], { adapter: 'memory()' }), { code: 2, out: '', err: /has no SQL dialect; choose one with --dialect/ })
  t.match(await run(['schema'], { rest: 'export const features = 1' }), {
    code: 1,
    out: '',
    err: /the export `features` of config-\d+\.js has no effect; list the features in the options/
  })
  t.match(await run(['schema'], { more: 'features: {}' }), { code: 1, out: '', err: /Option features: must be a list/ })
  // models are read from the values: no feature is started
  const feature = (models: string): string =>
    `features: [{ name: 'grail', models: ${models}, setup () { throw new Error('was started') } }]`
  const grail = "{ name: 'grail', table: 'grail', fields: { id: { type: 'text', maxLength: 9 } } }"
  t.match(await run(['schema'], { more: feature(`() => [${grail}]`) }), { code: 0, out: /CREATE TABLE "grail"/ })
  t.match(await run(['schema'], { more: feature("() => { throw new Error('no such provider\\nat all') }") }), {
    code: 1,
    out: '',
    err: 'fastify-users: no such provider'
  })
  t.match(await run(['schema'], { adapter: "sqlite('x.sqlite', { tables: { people: {} } })" }), {
    code: 1,
    err: /no option tables\.people/
  })
  t.notOk(existsSync(join(folder, 'x.sqlite')))
})

t.test('SQLite: migrate creates the tables once, and the application starts with them', async (t) => {
  const { file, run } = createFolder()
  t.strictSame(await run(['migrate', '--check']), {
    code: 1,
    out: 'Pending:\n  - create the table "user"\n  - create the table "accesstoken"\n  - record version 1 of the schema in "fastify_users_schema"',
    err: ''
  })
  t.notOk(existsSync(file))
  t.strictSame(await run(['migrate']), {
    code: 0,
    out: 'Changed:\n  - create the table "user"\n  - create the table "accesstoken"\n  - record version 1 of the schema in "fastify_users_schema"',
    err: ''
  })
  const createdTables = rowsOf(file, DEFINITIONS)
  t.strictSame(rowsOf(file, 'SELECT * FROM fastify_users_schema ORDER BY 1'), [
    ['accesstoken', 1],
    ['user', 1]
  ])
  for (const args of [['migrate'], ['migrate', '--check']]) {
    t.strictSame(await run(args), { code: 0, out: 'Nothing to do: the database has the current schema.', err: '' })
  }
  t.strictSame(await run(['migrate', '--dry-run']), { code: 0, out: '-- Nothing to do.', err: '' })
  const app = Fastify()
  await app.register(users, {
    adapter: sqlite(file),
    secret: SECRET,
    limits: false,
    backends: [{ name: 'database', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }]
  })
  await app.ready()
  await app.close()
  t.strictSame(rowsOf(file, DEFINITIONS), createdTables)
})

t.test('SQLite: migrate adds columns for new custom fields and fills them with the defaults', async (t) => {
  const { file, run } = createFolder()
  await run(['migrate'], { fields: '{ nick: Type.String({ maxLength: 20 }) }' })
  executeSql(file, "INSERT INTO user VALUES ('1', 'a@b.example', 'hash', 1, 0, 0, NULL, 'nick')")
  const fields = `{
    nick: Type.String({ maxLength: 40 }), plan: Type.String({ default: "it's \\\\ free" }), credits: Type.Integer({ default: 5 }), ratio: Type.Number({ default: 0.5 }),
    beta: Type.Boolean({ default: true }), settings: Type.Object({}, { default: { a: "'" } }), note: Type.Optional(Type.String()), size: Type.Union([Type.Integer(), Type.Null()], { default: null })
  }`
  const before = rowsOf(file, DEFINITIONS)
  t.match(await run(['migrate', '--dry-run'], { fields }), {
    code: 0,
    out: /ALTER TABLE "user" ADD COLUMN "plan" TEXT NOT NULL DEFAULT 'it''s \\ free';/
  })
  t.strictSame(rowsOf(file, DEFINITIONS), before)
  t.match(await run(['migrate'], { fields }), {
    code: 0,
    out: /widen "nick" to VARCHAR\(40\)\n.*add the column "plan" \(TEXT\)\n[^]*"note" \(TEXT, nullable\)\n[^]*"size" \(INTEGER, nullable\)$/
  })
  t.strictSame(rowsOf(file, 'SELECT id, nick, plan, credits, ratio, beta, settings, note, size FROM user'), [
    ['1', 'nick', "it's \\ free", 5, 0.5, 1, '{"a":"\'"}', null, null]
  ])
  t.match(await run(['migrate', '--check'], { fields }), { code: 0 })
})

t.test('SQLite: a change that cannot be made is reported with its reason, and nothing is changed', async (t) => {
  const cases: [string, string, string, RegExp][] = [
    [
      'a required field without a value for the rows',
      `${USER} ('1', 'a@b.example', '', 1, 0, 0)`,
      '{ plan: Type.String(), note: Type.Optional(Type.String()) }',
      /table "user" lacks "plan" and has rows: give the field a default/
    ],
    [
      'e-mails that differ only in case',
      `DROP INDEX ix_user_email_lower; ${USER} ('1', 'a@b.example', '', 1, 0, 0), ('2', 'A@b.example', '', 1, 0, 0)`,
      '{}',
      /table "user": rows with the same email, ignoring case: "1", "2"; change or delete all but one$/
    ],
    [
      'a table without the primary key "id"',
      'DROP TABLE user; CREATE TABLE user (name TEXT)',
      '{}',
      /lacks "id", which every table of its model needs/
    ],
    [
      'a newer version',
      "UPDATE fastify_users_schema SET version = 99 WHERE table_name = 'user'",
      '{}',
      /was created by a newer version of this package \(its schema version is 99, this package supports 1\); update the package$/
    ]
  ]
  for (const [name, change, fields, err] of cases) {
    const { file, run } = createFolder()
    await run(['migrate'])
    executeSql(file, change)
    const before = readFileSync(file)
    for (const args of [['migrate'], ['migrate', '--dry-run'], ['migrate', '--check']]) {
      t.match(await run(args, { fields }), { code: 1, out: '', err }, `${name}: ${args.join(' ')}`)
    }
    t.ok(before.equals(readFileSync(file)), name)
    t.match((await run(['migrate'], { fields })).err, /^fastify-users: nothing was changed:\n {2}- table "user"/)
  }
  const unparsable = createFolder()
  executeSql(
    unparsable.file,
    'CREATE TABLE user (id CHAR(36), email TEXT, hash€ VARCHAR(72), is_active, is_superuser, is_verified)'
  )
  t.match(
    await unparsable.run(['migrate'], {
      adapter:
        "sqlite(new URL('users.sqlite', import.meta.url).pathname, { tables: { user: { columns: { hashed_password: 'hash€' } } } })"
    }),
    { code: 1, out: '', err: /table "user": its definition cannot be parsed; change its columns by hand$/ }
  )
  const empty = createFolder()
  await empty.run(['migrate'])
  t.match(
    await empty.run(['migrate'], { fields: '{ plan: Type.String() }' }),
    { code: 0, out: /add the column "plan" \(TEXT\)$/ },
    'a required column needs no default while the table has no rows'
  )
})

t.test('SQLite: migrate upgrades tables of an earlier version and keeps their rows', async (t) => {
  const { file, run } = createFolder()
  executeSql(
    file,
    `CREATE TABLE user (id CHAR(36) PRIMARY KEY, email VARCHAR(255) NOT NULL, hashed_password VARCHAR(72) NOT NULL, is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL);
    CREATE TABLE accesstoken (token VARCHAR(43) PRIMARY KEY, user_id CHAR(36) NOT NULL REFERENCES user (id) ON DELETE CASCADE, created_at TIMESTAMP NOT NULL);
    ${USER} ('1', 'a@b.example', 'hash', 1, 0, 0); INSERT INTO accesstoken VALUES ('token', '1', '2026-01-01 00:00:00.000000')`
  )
  t.match(await run(['migrate']), {
    code: 0,
    out: /widen "email" to VARCHAR\(320\), "hashed_password" to VARCHAR\(1024\)\n[^]*add the column "session_stamp" \(VARCHAR\(64\), nullable\)\n[^]*the unique index "ix_user_email_lower"[^]*"accesstoken": add the index "ix_accesstoken_created_at"/
  })
  t.strictSame(rowsOf(file, 'SELECT u.email, t.token FROM user u JOIN accesstoken t ON t.user_id = u.id'), [
    ['a@b.example', 'token']
  ])
  t.strictSame(rowsOf(file, 'PRAGMA foreign_key_check'), [])
  t.match(await run(['migrate', '--check']), { code: 0 })
})

t.test(
  'a schema version that changes rows is applied once, beginning with the recorded version of the table',
  async (t) => {
    const database = new Database(':memory:')
    const schema = sqlite(database) as { [kStoreSchema]?: StoreSchema }
    const migrate = async (version: number): Promise<string[]> => {
      const upgrades = [2, 3]
        .filter((number) => number <= version)
        .map((number): [number, UpgradeStep[]] => [
          number,
          [{ transform: ({ hashed_password: hash }) => ({ hashed_password: `${String(hash)}${number}` }) }]
        ])
      const models: Model[] = [{ ...userModel(userSchemas()), version, upgrades: Object.fromEntries(upgrades) }]
      const { steps = [], problems = [] } = (await schema[kStoreSchema]?.apply(models)) ?? {}
      return [...problems, ...steps.map(({ text }) => text)]
    }
    await migrate(1)
    database.exec(`${USER} ('1', 'a@b.example', 'hash', 1, 0, 0)`)
    t.strictSame(await migrate(1), [])
    t.strictSame(await migrate(3), [
      'table "user": version 2: transform the rows',
      'table "user": version 3: transform the rows',
      'record version 3 of the schema in "fastify_users_schema"'
    ])
    t.strictSame(await migrate(3), [])
    t.equal(database.prepare('SELECT hashed_password FROM user').pluck().get(), 'hash23')
    t.match(await migrate(2), [/newer version/])
  }
)

t.test('SQLite: one of several parallel migrations makes all changes, and a locked database is reported', async (t) => {
  const { file, folder, start, run } = createFolder()
  const outcomes = await Promise.all([0, 1, 2].map(() => start(['migrate']).outcome))
  t.strictSame(
    outcomes.map(({ code }) => code),
    [0, 0, 0]
  )
  t.strictSame(outcomes.map(({ out }) => out.split(/[: ]/)[0]).sort(), ['Changed', 'Nothing', 'Nothing'])
  t.strictSame(rowsOf(file, 'PRAGMA integrity_check'), [['ok']])
  const holder = new Database(file)
  holder.exec('BEGIN IMMEDIATE')
  t.match(
    await run(['migrate'], {
      adapter: "sqlite(new Database(new URL('users.sqlite', import.meta.url).pathname, { timeout: 10 }))"
    }),
    { code: 1, out: '', err: 'fastify-users: nothing was changed: another process has locked the database; try again' }
  )
  holder.exec('ROLLBACK')
  holder.close()
  t.match(await run(['migrate'], { adapter: "sqlite('no/such/folder/users.sqlite')" }), {
    code: 1,
    out: '',
    err: /no database file "no\/such\/folder\/users\.sqlite", or it cannot be opened$/
  })
  t.match(await run(['migrate'], { adapter: 'memory()' }), {
    code: 1,
    out: '',
    err: /the adapter of config-\d+\.js has no schema to migrate$/
  })
  t.notOk(existsSync(join(folder, 'no')))
})

t.test('migrate exits with 2 if its options cannot be combined', async (t) => {
  const calls: [string[], RegExp][] = [
    [['--yes'], /--yes requires --from/],
    [['--prune-orphans'], /--prune-orphans requires --from/],
    [['--dry-run', '--check'], /--check and --dry-run cannot be combined/],
    [['--from', 'fastapi-users', '--dry-run'], /--dry-run and --from cannot be combined/]
  ]
  for (const [args, err] of calls) {
    t.match(await runIn(testFolder, ['migrate', ...args]), { code: 2, out: '', err }, args.join(' '))
  }
})

t.test(
  'PostgreSQL: the error about missing tables names the command that creates them',
  service,
  async (t) => {
    const { run, adapter, tables } = await makePostgresPlace(t)
    t.match(await run(['prune'], { adapter }), {
      code: 1,
      out: '',
      err: /^fastify-users: [^\n]*"user", "accesstoken"[^\n]*run `npx fastify-users migrate`[^\n]*[^:]$/
    })
    t.match(await run(['migrate', '--check'], { adapter }), { code: 1, out: /create the table "user"/ })
    t.strictSame(await tables(), [])
    const script = await run(['migrate', '--dry-run'], { adapter })
    t.strictSame(script, await run(['schema'], { adapter }))
    t.match(await run(['migrate'], { adapter }), { code: 0, out: /^Changed:\n {2}- create the table "user"\n/, err: '' })
    t.strictSame(await tables(), ['accesstoken', 'fastify_users_schema', 'user'])
    t.match(await run(['prune'], { adapter }), { code: 0, out: 'backend database: expired tokens removed: 0' })
    t.match(
      await run(['migrate', '--check'], { adapter }),
      { code: 0, out: /^Nothing to do/ },
      'a second migration has nothing to do'
    )

    const other = await makePostgresPlace(t)
    await other.pool.query(script.out)
    t.match(
      await other.run(['migrate', '--check'], { adapter: other.adapter }),
      { code: 0 },
      'the printed script creates the same tables'
    )
  }
)

t.test(
  'PostgreSQL: migrate upgrades SQLAlchemy tables with unusual names and keeps their rows',
  service,
  async (t) => {
    const { run, poolText, pool, column } = await makePostgresPlace(t)
    await pool.query(`CREATE TABLE "People" (id UUID PRIMARY KEY, "E-Mail" VARCHAR(255) NOT NULL, hashed_password VARCHAR(72) NOT NULL, is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL, extra TEXT);
    CREATE UNIQUE INDEX by_mail ON "People" ("E-Mail"); CREATE INDEX "ix_People_E-Mail_lower" ON "People" (lower("E-Mail"));
    CREATE TABLE accesstoken (token VARCHAR(43) PRIMARY KEY, user_id UUID NOT NULL REFERENCES "People" (id) ON DELETE CASCADE, created_at TIMESTAMPTZ NOT NULL);
    CREATE INDEX partial ON accesstoken (created_at) WHERE user_id IS NOT NULL; CREATE INDEX hashed ON accesstoken USING hash (user_id); CREATE INDEX two ON accesstoken (created_at, token);
    INSERT INTO "People" VALUES ('05fff8ce-3a06-48f2-9c44-a16751012464', 'a@b.example', 'hash', true, false, false, 'kept');
    INSERT INTO accesstoken VALUES ('token', '05fff8ce-3a06-48f2-9c44-a16751012464', now())`)
    const adapter = `postgres(${poolText}, { tables: { user: { table: 'People', columns: { email: 'E-Mail' } } } })`
    const fields =
      '{ plan: Type.String({ maxLength: 20, default: "it\'s \\\\ free" }), credits: Type.Integer({ default: 5 }), beta: Type.Boolean({ default: true }), settings: Type.Object({}, { default: { a: 1 } }) }'
    t.match(await run(['migrate'], { adapter, fields }), {
      code: 0,
      out: `Changed:
  - table "People": widen "E-Mail" to VARCHAR(320), "hashed_password" to VARCHAR(1024)
  - table "People": add the column "session_stamp" (VARCHAR(64), nullable)
  - table "People": add the column "plan" (VARCHAR(20))
  - table "People": add the column "credits" (BIGINT)
  - table "People": add the column "beta" (BOOLEAN)
  - table "People": add the column "settings" (JSON)
  - table "People": add the unique index "ix_People_E-Mail_lower_2" on lower(E-Mail)
  - table "accesstoken": add the column "session_stamp" (VARCHAR(64), nullable)
  - table "accesstoken": add the column "session_id" (VARCHAR(64), nullable)
  - table "accesstoken": add the column "authenticated_at" (TIMESTAMP WITH TIME ZONE, nullable)
  - table "accesstoken": add the column "methods" (TEXT, nullable)
  - table "accesstoken": add the column "details" (TEXT, nullable)
  - table "accesstoken": add the index "ix_accesstoken_user_id" on user_id
  - record version 1 of the schema in "fastify_users_schema"`
    })
    t.match(await run(['migrate', '--check'], { adapter, fields }), { code: 0 })
    t.strictSame(await column('SELECT to_json(p) FROM "People" p'), [
      {
        id: '05fff8ce-3a06-48f2-9c44-a16751012464',
        'E-Mail': 'a@b.example',
        hashed_password: 'hash',
        is_active: true,
        is_superuser: false,
        is_verified: false,
        extra: 'kept',
        session_stamp: null,
        plan: "it's \\ free",
        credits: 5,
        beta: true,
        settings: { a: 1 }
      }
    ])
    t.strictSame(await column('SELECT token FROM accesstoken'), ['token'])

    await pool.query(
      'DROP INDEX "ix_People_E-Mail_lower_2"; INSERT INTO "People" SELECT gen_random_uuid(), upper("E-Mail"), hashed_password, is_active, is_superuser, is_verified, extra, NULL, plan, credits, beta, settings FROM "People"'
    )
    t.match(await run(['migrate'], { adapter, fields }), {
      code: 1,
      out: '',
      err: /rows with the same email, ignoring case: "05fff8ce-3a06-48f2-9c44-a16751012464", "[0-9a-f-]{36}"|rows with the same email, ignoring case: "[0-9a-f-]{36}", "05fff8ce/
    })
    await pool.query("UPDATE fastify_users_schema SET version = 7 WHERE table_name = 'accesstoken'")
    t.match(await run(['migrate'], { adapter, fields: fields.replace('{', '{ must: Type.String(),') }), {
      code: 1,
      err: /"People" lacks "must" and has rows[^]*"accesstoken" was created by a newer version/
    })
    await pool.query('DROP TABLE accesstoken; CREATE VIEW accesstoken AS SELECT 1')
    t.match(await run(['migrate'], { adapter: adapter.replace("'E-Mail'", "'extra'") }), {
      code: 1,
      out: '',
      err: /nothing was changed|already exists/
    })
  }
)

t.test('PostgreSQL: one of several parallel migrations makes all changes, and all succeed', service, async (t) => {
  const { start, adapter, tables } = await makePostgresPlace(t)
  const outcomes = await Promise.all([0, 1, 2].map(() => start(['migrate'], { adapter }).outcome))
  t.strictSame(
    outcomes.map(({ code, err }) => [code, err]),
    [
      [0, ''],
      [0, ''],
      [0, '']
    ]
  )
  t.strictSame(outcomes.map(({ out }) => out.split(/[: ]/)[0]).sort(), ['Changed', 'Nothing', 'Nothing'])
  t.strictSame(await tables(), ['accesstoken', 'fastify_users_schema', 'user'])
})

t.test(
  'PostgreSQL: a migration that is killed changes nothing, and the next run makes all changes',
  service,
  async (t) => {
    const { start, adapter, pool, poolText, tables, column } = await makeDatabasePlace(t)
    const holder = await pool.connect()
    await holder.query('BEGIN')
    await holder.query(LOCK_TABLES)
    const [backend] = (await holder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows
    const waiting = start(['migrate'], { adapter })
    while (
      (await column('SELECT 1 FROM pg_locks WHERE NOT granted AND $1 = ANY (pg_blocking_pids(pid))', [backend?.pid]))
        .length === 0
    ) {
      await sleep(20)
    }
    waiting.child.kill('SIGKILL')
    t.equal((await waiting.outcome).code, null)
    await holder.query('ROLLBACK')
    holder.release()
    t.strictSame(await tables(), [])

    const killAdapter = `postgres((() => {
    const pool = ${poolText}
    let left = Number(process.env.KILL_AT)
    pool.on('connect', (client) => {
      const query = client.query
      client.query = function (config, ...rest) {
        if (/^(CREATE|INSERT|COMMIT)/.test(config.text) && left-- === 0) process.kill(process.pid, 'SIGKILL')
        return query.call(client, config, ...rest)
      }
    })
    return pool
  })())`
    for (const at of [0, 3, 9]) {
      const { code } = await start(['migrate'], { adapter: killAdapter }, { env: { KILL_AT: String(at) } }).outcome
      t.equal(code, null, `killed at statement ${at}`)
      t.strictSame(await tables(), [])
    }
    const stopped = start(
      ['migrate'],
      { adapter: killAdapter.replaceAll("process.kill(process.pid, 'SIGKILL')", "process.kill(process.pid, 'SIGINT')") },
      { env: { KILL_AT: '4' } }
    )
    const [, signal] = (await once(stopped.child, 'close')) as [number | null, string | null]
    t.equal(signal, 'SIGINT', 'SIGINT ends the command')
    t.strictSame(await tables(), [])
    t.match(await start(['migrate'], { adapter }).outcome, { code: 0, out: /^Changed/ })
  }
)

t.test('an unreachable database is reported in one line, with exit code 1', async (t) => {
  const { run } = createFolder()
  const adapter = "postgres(new pg.Pool({ connectionString: 'postgres://postgres:hunter2@127.0.0.1:1/test' }))"
  for (const args of [
    ['migrate'],
    ['migrate', '--dry-run'],
    ['prune'],
    ['create-superuser', '--email', 'a@b.example'],
    ['migrate', '--from', 'fastapi-users']
  ]) {
    const { code, out, err } = await run(args, { adapter })
    t.strictSame([code, out], [1, ''], args.join(' '))
    t.match(err, /^fastify-users: [^\n]*ECONNREFUSED[^\n]*$/)
    t.notMatch(err, /hunter2| at /)
  }
})

t.test(
  'row 83: PostgreSQL: migrate --from fastapi-users lists the changes, stops at duplicate rows, and writes with --yes',
  service,
  async (t) => {
    const { run, adapter, pool, column } = await makePostgresPlace(t)
    const MIGRATE_FROM = ['migrate', '--from', 'fastapi-users']
    await pool.query(`CREATE TABLE "user" (id UUID NOT NULL, email VARCHAR(320) NOT NULL, hashed_password VARCHAR(72) NOT NULL, is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL, PRIMARY KEY (id));
    CREATE UNIQUE INDEX ix_user_email ON "user" (email);
    CREATE TABLE accesstoken (user_id UUID NOT NULL, token VARCHAR(43) NOT NULL, created_at TIMESTAMP WITH TIME ZONE NOT NULL, PRIMARY KEY (token));
    CREATE INDEX ix_accesstoken_created_at ON accesstoken (created_at);
    CREATE TABLE oauth_account (id UUID NOT NULL, user_id UUID NOT NULL, oauth_name VARCHAR(100) NOT NULL, access_token VARCHAR(1024) NOT NULL, expires_at INTEGER, refresh_token VARCHAR(1024), account_id VARCHAR(320) NOT NULL, account_email VARCHAR(320) NOT NULL, PRIMARY KEY (id), FOREIGN KEY (user_id) REFERENCES "user" (id) ON DELETE CASCADE);
    INSERT INTO "user" SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'user' || n || '@camelot.bt', 'hash', true, false, false FROM generate_series(1, 3) n;
    INSERT INTO accesstoken SELECT id, 'plain-' || email, now() FROM "user"; INSERT INTO accesstoken VALUES (gen_random_uuid(), 'orphan', now());
    INSERT INTO oauth_account SELECT gen_random_uuid(), id, 'google', 'a', 1, NULL, 'same', email FROM "user" LIMIT 2`)
    const stopped = await run([...MIGRATE_FROM, '--yes'], { adapter, rest: OAUTH })
    t.match(stopped, {
      code: 1,
      out: '',
      err: /^fastify-users: the tables cannot be moved, and nothing was changed:\n[^]*rows with the same oauth_name, account_id: "[0-9a-f-]{36}", "[0-9a-f-]{36}"; change or delete all but one\n[^]*"accesstoken": rows whose user does not exist: 1; delete them with --prune-orphans$/
    })
    await pool.query(
      "DELETE FROM oauth_account; UPDATE \"user\" SET email = 'USER1@camelot.bt' WHERE email = 'user2@camelot.bt'"
    )
    t.match(await run([...MIGRATE_FROM, '--prune-orphans'], { adapter, rest: OAUTH }), {
      code: 1,
      err: /e-mails that differ only in case: "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002" \(u\*\*\*@c\*\*\*\.bt\)/
    })
    await pool.query("UPDATE \"user\" SET email = 'user2@camelot.bt' WHERE email = 'USER1@camelot.bt'")

    const ALL_CHANGES = `  - table "accesstoken": delete rows whose user does not exist: 1
  - table "user": widen "hashed_password" to VARCHAR(1024)
  - table "user": add the column "session_stamp" (VARCHAR(64), nullable)
  - table "user": add the unique index "ix_user_email_lower" on lower(email)
  - table "accesstoken": add the column "session_stamp" (VARCHAR(64), nullable)
  - table "accesstoken": add the column "session_id" (VARCHAR(64), nullable)
  - table "accesstoken": add the column "authenticated_at" (TIMESTAMP WITH TIME ZONE, nullable)
  - table "accesstoken": add the column "methods" (TEXT, nullable)
  - table "accesstoken": add the column "details" (TEXT, nullable)
  - table "accesstoken": add the index "ix_accesstoken_user_id" on user_id
  - table "oauth_account": widen "access_token" to TEXT, "refresh_token" to TEXT
  - table "oauth_account": add the column "email_verified" (BOOLEAN, nullable)
  - table "oauth_account": add the unique index "ix_oauth_account_oauth_name_account_id" on oauth_name, account_id
  - table "oauth_account": add the index "ix_oauth_account_user_id" on user_id
  - table "accesstoken": replace plain tokens by digests for the backend "database": 3`
    const args = [...MIGRATE_FROM, '--prune-orphans', '--hash-tokens']
    t.match(await run([...args, '--check'], { adapter, rest: OAUTH }), {
      code: 1,
      out: `Pending:\n${ALL_CHANGES}\nNothing was changed.`,
      err: ''
    })
    t.strictSame(await column('SELECT count(*)::int FROM accesstoken'), [4])
    t.strictSame(await run([...args, '--yes'], { adapter, rest: OAUTH }), { code: 0, out: `Changed:\n${ALL_CHANGES}`, err: '' })
    t.match(await run([...args, '--check'], { adapter, rest: OAUTH }), { code: 0, out: /^Nothing to do/ })
    t.strictSame(
      await column('SELECT count(*)::int FROM accesstoken WHERE length(token) = 43 AND length(session_stamp) = 43'),
      [3]
    )
    t.match(await run([...args, '--check'], { adapter }), {
      code: 0,
      out: /^Nothing to do[^\n]*\nWarning: these tables refer to "user", but no model of the config uses them[^\n]*: "oauth_account"\./
    })
    t.match(await run(['migrate'], { adapter }), { code: 0 })

    const integers = await makePostgresPlace(t)
    await integers.pool
      .query(`CREATE TABLE "user" (id SERIAL PRIMARY KEY, email TEXT NOT NULL, hashed_password TEXT NOT NULL, is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL);
    INSERT INTO "user" SELECT n, 'user' || n || '@camelot.bt', 'hash', true, false, false FROM generate_series(7, 9) n`)
    t.match(
      await integers.run(MIGRATE_FROM, {
        adapter: integers.adapter,
        more: 'schemas: userSchemas({}, { id: integerId() })'
      }),
      { code: 0, out: /^Pending:/ }
    )
    t.match(await integers.run(MIGRATE_FROM, { adapter: integers.adapter }), {
      code: 1,
      err: /ids that are not of the type "uuid" of the option `schemas`: "7", "8", "9"/
    })
  }
)

t.test(
  'MySQL: parallel migrations create the tables once, and the application starts with them',
  mysqlService,
  async (t) => {
    const { run, start } = createFolder()
    const { pool, database } = await makeMysqlPool(t)
    const adapter = `mysql(keep(mysql2.createPool(${JSON.stringify(mysqlConfigOf(database))})))`
    t.match(await run(['prune'], { adapter }), { code: 1, out: '', err: /run `npx fastify-users migrate`/ })
    t.match(await run(['migrate', '--check'], { adapter }), { code: 1, out: /create the table "user"/ })
    const script = await run(['migrate', '--dry-run'], { adapter })
    t.strictSame(script, await run(['schema'], { adapter }))
    const outcomes = await Promise.all([0, 1, 2].map(() => start(['migrate'], { adapter }).outcome))
    t.strictSame(
      outcomes.map(({ code, err }) => [code, err]),
      [
        [0, ''],
        [0, ''],
        [0, '']
      ]
    )
    t.strictSame(outcomes.map(({ out }) => out.split(/[: ]/)[0]).sort(), ['Changed', 'Nothing', 'Nothing'])
    t.match(await run(['migrate', '--check'], { adapter }), { code: 0, out: /^Nothing to do/ })
    t.match(await run(['prune'], { adapter }), { code: 0 })
    t.match(await run(['doctor'], { adapter }), {
      code: 0,
      out: /^ok {4}clock: the database has the same time as this machine$/m
    })
    const [rows] = await pool.query('SELECT table_name, version FROM fastify_users_schema ORDER BY 1')
    t.strictSame(
      (rows as { version: number }[]).map(({ version }) => version),
      [1, 1]
    )
  }
)

t.test(
  'MySQL: a migration that is killed is completed by later runs, and keeps rows and other columns',
  mysqlService,
  async (t) => {
    const { run, start } = createFolder()
    const { pool, database } = await makeMysqlPool(t, { multipleStatements: true })
    await pool.query(`CREATE TABLE user (id CHAR(36) NOT NULL PRIMARY KEY, email VARCHAR(255) COLLATE utf8mb4_bin NOT NULL COMMENT 'of the user', hashed_password VARCHAR(72) NOT NULL DEFAULT 'it''s, none', is_active BOOL NOT NULL, is_superuser BOOL NOT NULL, is_verified BOOL NOT NULL, extra TEXT, UNIQUE INDEX ix_user_email (email)) COLLATE utf8mb4_general_ci;
    INSERT INTO user VALUES ('05fff8ce-3a06-48f2-9c44-a16751012464', 'a@b.example', 'hash', 1, 0, 0, 'kept')`)
    const poolText = `keep(mysql2.createPool(${JSON.stringify(mysqlConfigOf(database))}))`
    const killAdapter = `mysql((() => {
    const pool = ${poolText}
    let left = Number(process.env.KILL_AT)
    const getConnection = pool.getConnection.bind(pool)
    pool.getConnection = async () => {
      const connection = await getConnection()
      const execute = connection.execute.bind(connection)
      connection.execute = (query) => {
        if (/^(CREATE|ALTER|INSERT)/.test(query.sql) && left-- === 0) process.kill(process.pid, 'SIGKILL')
        return execute(query)
      }
      return connection
    }
    return pool
  })())`
    const fields =
      '{ plan: Type.String({ maxLength: 20, default: "it\'s \\\\ free" }), note: Type.String({ default: "it\'s" }), credits: Type.Integer({ default: 5 }), beta: Type.Boolean({ default: true }), settings: Type.Object({}, { default: { a: 1 } }) }'
    let kills = 0
    for (; ; kills++) {
      const { code, out, err } = await start(['migrate'], { adapter: killAdapter, fields }, { env: { KILL_AT: '1' } })
        .outcome // killed after one change
      if (code === 0) {
        t.match(out, /^Changed:\n/)
        break
      }
      t.strictSame([code, err], [null, ''])
    }
    t.ok(kills > 8, `killed ${kills} times`)
    t.match(await run(['migrate', '--check'], { adapter: `mysql(${poolText})`, fields }), {
      code: 0,
      out: /^Nothing to do/
    })
    const [[row]] = (await pool.query(
      'SELECT email, extra, hashed_password, plan, note, credits, beta, settings, cast(email_lower AS CHAR) AS lowered FROM user'
    )) as unknown as [[Record<string, unknown>]]
    t.match(row, {
      email: 'a@b.example',
      extra: 'kept',
      hashed_password: 'hash',
      plan: "it's \\ free",
      note: "it's",
      credits: 5,
      beta: 1,
      lowered: 'a@b.example'
    })
    const [[, create]] = (await pool.query({ sql: 'SHOW CREATE TABLE user', rowsAsArray: true }))[0] as unknown as [
      [string, string]
    ]
    t.match(create, /`email` varchar\(320\) [^\n]*utf8mb4_bin NOT NULL COMMENT 'of the user',/)
    t.match(create, /`hashed_password` varchar\(1024\) [^\n]*DEFAULT 'it''s, none',/)

    await pool.query(
      "ALTER TABLE user DROP INDEX ix_user_email_lower, DROP COLUMN email_lower; INSERT INTO user (id, email, is_active, is_superuser, is_verified) VALUES ('15fff8ce-3a06-48f2-9c44-a16751012464', 'A@b.example', 1, 0, 0)"
    )
    t.match(await run(['migrate'], { adapter: `mysql(${poolText})`, fields }), {
      code: 1,
      out: '',
      err: /rows with the same email, ignoring case: "05fff8ce-[^"]*", "15fff8ce-/
    })
  }
)

t.test(
  'MySQL: SQLAlchemy tables with a case-insensitive collation get no additional column for e-mails',
  mysqlService,
  async (t) => {
    const { run } = createFolder()
    const { pool, database } = await makeMysqlPool(t, { multipleStatements: true })
    await pool.query(`CREATE TABLE user (id CHAR(36) NOT NULL PRIMARY KEY, email VARCHAR(320) NOT NULL, hashed_password VARCHAR(1024) NOT NULL, is_active BOOL NOT NULL, is_superuser BOOL NOT NULL, is_verified BOOL NOT NULL, UNIQUE INDEX ix_user_email (email)) COLLATE utf8mb4_general_ci;
    INSERT INTO user VALUES ('05fff8ce-3a06-48f2-9c44-a16751012464', 'a@b.example', 'hash', 1, 0, 1)`)
    const adapter = `mysql(keep(mysql2.createPool(${JSON.stringify(mysqlConfigOf(database))})))`
    t.match(await run(['migrate'], { adapter }), {
      code: 0,
      out: /^Changed:\n {2}- table "user": add the column "session_stamp" \(VARCHAR\(64\), nullable\)\n {2}- create the table "accesstoken"\n {2}- record/
    })
    t.match(await run(['migrate', '--check'], { adapter }), { code: 0 })
    t.match(await run(['create-superuser', '--email', 'A@b.example', '--promote'], { adapter }), {
      code: 0,
      out: /^a@b\.example is a superuser now/
    })
  }
)

t.test(
  'SQLite: with the oauth feature, migrate creates its tables, and prune deletes expired oauth transactions',
  async (t) => {
    const { file, run } = createFolder()
    const parts = { rest: OAUTH }
    t.match(await run(['schema'], parts), {
      code: 0,
      err: '',
      out: /CREATE TABLE "oauth_account" [^]*CREATE UNIQUE INDEX "ix_oauth_account_oauth_name_account_id"[^]*CREATE TABLE "oauth_issuer" [^]*CREATE TABLE "single_use" /
    })
    t.match(await run(['schema', '--dialect', 'postgres'], parts), {
      code: 0,
      out: /CREATE TABLE "single_use" [^]*"expires_at" TIMESTAMP WITH TIME ZONE/
    })
    await run(['migrate'])
    t.match(await run(['migrate', '--check'], parts), {
      code: 1,
      out: /^Pending:\n {2}- create the table "oauth_account"\n {2}- create the table "oauth_issuer"\n {2}- create the table "single_use"\n/
    })
    t.match(await run(['migrate'], parts), { code: 0, out: /^Changed:\n/ })
    t.strictSame(await run(['migrate', '--check'], parts), {
      code: 0,
      out: 'Nothing to do: the database has the current schema.',
      err: ''
    })
    for (const [id, age] of [
      ['old', '-1'],
      ['new', '+1']
    ]) {
      executeSql(
        file,
        `INSERT INTO single_use (id, purpose, attempts, data, expires_at) VALUES ('${id}', 'oauth-state', 0, '{}', strftime('%Y-%m-%d %H:%M:%f000', 'now', '${age} hours'))`
      )
    }
    t.strictSame(await run(['prune'], parts), {
      code: 0,
      out: 'backend database: expired tokens removed: 0\nsingle_use: expired rows removed: 1',
      err: ''
    })
    t.strictSame(rowsOf(file, 'SELECT id FROM single_use'), [['new']])
  }
)

t.test(
  'PostgreSQL: an application with oauth fails to start until migrate has created its tables',
  service,
  async (t) => {
    const { run, adapter, tables, poolText } = await makePostgresPlace(t)
    t.match(await run(['migrate'], { adapter }), { code: 0 })
    const refusal = await run(['prune'], { adapter, rest: OAUTH })
    t.match(refusal, {
      code: 1,
      out: '',
      err: /"oauth_account", "oauth_issuer", "single_use"[^]*run `npx fastify-users migrate`/
    })
    t.match(await run(['doctor'], { adapter: `postgres(${poolText})`, rest: OAUTH }), {
      code: 1,
      out: /fail {2}schema: [^]*single_use[^]*npx fastify-users migrate/
    })
    t.match(await run(['migrate'], { adapter, rest: OAUTH }), {
      code: 0,
      out: /create the table "oauth_account"\n {2}- create the table "oauth_issuer"\n {2}- create the table "single_use"/
    })
    t.strictSame(await tables(), [
      'accesstoken',
      'fastify_users_schema',
      'oauth_account',
      'oauth_issuer',
      'single_use',
      'user'
    ])
    t.match(await run(['prune'], { adapter, rest: OAUTH }), {
      code: 0,
      out: /single_use: expired rows removed: 0/
    })
  }
)
