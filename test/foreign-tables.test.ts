import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'
import mysql2 from 'mysql2'
import t, { type Test } from 'tap'
import { integerId, objectIdId, Type, userSchemas, type AnyUserSchemas, type DatabaseAdapter } from '../lib/index.js'
import { kysely } from '../lib/entries/kysely.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { ARTHUR, buildApp, PASSWORD } from './helpers/build-app.js'
import { buildProgram, endPools, createCommandFolder } from './helpers/command-line.js'
import { makeMysqlPool, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { configOf, makePool, needsPostgres } from './helpers/postgres.js'

// Tables that another tool created and that have all columns of the plugin.

const servers = { postgres: await needsPostgres(), mysql: await needsMysql(), none: { skip: false as const } }
const createTables = true
const TABLE_MISMATCH = { code: 'FST_USERS_TABLE_MISMATCH' }
const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
process.env['USERS_SECRET'] = 'kM1Vn4xTqZ8wBb2LsPfE7hYcRgUdJa3o'
t.teardown(endPools)

interface Store {
  /** Functions that create an adapter for the database, by name. */
  adapters: Record<string, () => DatabaseAdapter>
  /** The adapter expression of a config file. */
  config: string
  run(sql: string): Promise<unknown>
}

interface Engine {
  service: { skip: string | false }
  open(t: Test): Promise<Store>
  id: string
  text: string
  quote: (name: string) => string
}

const engines: Record<string, Engine> = {
  SQLite: {
    service: servers.none,
    id: 'CHAR(36)',
    text: 'VARCHAR(320)',
    quote: (name) => `"${name}"`,
    async open (t) {
      const file = join(t.testdir(), 'users.sqlite')
      const database = new Database(file)
      t.teardown(() => database.close())
      const db = new Kysely<unknown>({ dialect: new SqliteDialect({ database }) })
      return {
        adapters: { sqlite: () => sqlite(file), kysely: () => kysely(db, { createTables }) },
        config: `sqlite(${JSON.stringify(file)})`,
        run: async (sql) => database.exec(sql)
      }
    }
  },
  PostgreSQL: {
    service: servers.postgres,
    id: 'UUID',
    text: 'VARCHAR(320)',
    quote: (name) => `"${name}"`,
    async open (t) {
      const { pool, schema } = await makePool(t)
      const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
      const { connectionString, options } = configOf(schema)
      return {
        adapters: { postgres: () => postgres(pool, { createTables }), kysely: () => kysely(db, { createTables }) },
        config: `postgres(keep(new pg.Pool(${JSON.stringify({ connectionString, options })})))`,
        run: (sql) => pool.query(sql)
      }
    }
  },
  MySQL: {
    service: servers.mysql,
    id: 'CHAR(36)',
    text: 'VARCHAR(320)',
    quote: (name) => `\`${name}\``,
    async open (t) {
      const { pool, database } = await makeMysqlPool(t)
      const callbacks = mysql2.createPool(mysqlConfigOf(database))
      t.teardown(() => callbacks.promise().end())
      const db = new Kysely<unknown>({ dialect: new MysqlDialect({ pool: callbacks as never }) })
      return {
        adapters: { mysql: () => mysql(pool, { createTables }), kysely: () => kysely(db, { createTables }) },
        config: `mysql(keep(mysql2.createPool(${JSON.stringify(mysqlConfigOf(database))})))`,
        run: (sql) => pool.query(sql)
      }
    }
  }
}

/**
 * How a user table differs from that of the plugin. `id`, `hash` and `active` replace column definitions, `more` adds
 * columns and constraints, and `before` and `after` are further statements.
 */
interface Table {
  id?: string
  hash?: string
  active?: string
  more?: string
  before?: string
  after?: string
}

function createSql (
  { id: ownId, text, quote }: Engine,
  { id = ownId, hash = 'VARCHAR(1024) NOT NULL', active = 'BOOLEAN NOT NULL', more = '' }: Table
): string {
  return `CREATE TABLE ${quote('user')} (id ${id}${/KEY/.test(id) ? '' : ' NOT NULL PRIMARY KEY'}, email ${text} NOT NULL UNIQUE, hashed_password ${hash},
is_active ${active}, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL, session_stamp VARCHAR(64)${more === '' ? '' : `, ${more}`})`
}

/** Tables that cannot store a user, with the expected error message. */
const unusableTables: Record<
  string,
  { table: (engine: Engine) => Table; message: RegExp; schemas?: () => AnyUserSchemas; only?: string[] }
> = {
  'an unknown required column': {
    table: () => ({ more: 'tenant_id INTEGER NOT NULL' }),
    message: /column "tenant_id" must have a value/
  },
  'an unknown required column after a column with a default': {
    table: () => ({ more: "plan VARCHAR(9) NOT NULL DEFAULT 'free', created_at TIMESTAMP NULL, age INTEGER NOT NULL" }),
    message: /column "age" must have a value/
  },
  'an integer column for UUIDs': {
    table: () => ({ id: 'INTEGER' }),
    message: /"id" has the type .*int.*, and ids of the kind "uuid" need/i
  },
  'a text column for integer ids': {
    table: ({ text }) => ({ id: text }),
    schemas: () => userSchemas({}, { id: integerId() }),
    message: /"id" has the type .*char.*ids of the kind "int/i
  },
  'a column that is too short for UUIDs': {
    table: () => ({ id: 'VARCHAR(20)' }),
    message: /"id" has the type .*20.*ids of the kind/i,
    only: ['PostgreSQL', 'MySQL']
  },
  'integer ids that the database does not generate': {
    table: () => ({ id: 'BIGINT' }),
    schemas: () => userSchemas({}, { id: integerId() }),
    message: /the database does not generate ids/
  },
  'a UUID column for object ids': {
    table: () => ({ id: 'UUID' }),
    schemas: () => userSchemas({}, { id: objectIdId() }),
    message: /ids of the kind "objectid"/i,
    only: ['PostgreSQL', 'MySQL']
  },
  'a timestamp column for a flag': {
    table: () => ({ active: 'TIMESTAMP' }),
    message: /"is_active" has the type .*cannot store values of type boolean/,
    only: ['PostgreSQL', 'MySQL']
  },
  'an integer column for a text field': {
    table: () => ({ more: 'note INTEGER' }),
    schemas: () => userSchemas({ note: Type.Optional(Type.String()) }),
    message: /"note" has the type .*cannot store values of type text/,
    only: ['PostgreSQL', 'MySQL']
  },
  'a CHECK on the flags that no new user fulfils': {
    table: () => ({ more: 'CHECK (is_active = is_superuser)' }),
    message: /CHECK \(.*is_active.*\) refuses every new row/
  },
  'a CHECK for another hash format': {
    table: () => ({ more: "CONSTRAINT ok CHECK (hashed_password LIKE 'pbkdf2:%')" }),
    message: /CHECK \(.*pbkdf2.*\) refuses every new row/
  },
  'a CHECK on an unknown column': {
    table: () => ({ more: 'tenant_id INTEGER, CHECK (tenant_id IS NOT NULL)' }),
    message: /CHECK \(.*tenant_id.*\) refuses every new row/
  },
  'a foreign key on the user id': {
    table: ({ id }) => ({
      before: `CREATE TABLE person (id ${id} NOT NULL PRIMARY KEY)`,
      more: 'FOREIGN KEY (id) REFERENCES person (id)'
    }),
    message: /column "id" references the table "person"/
  },
  'a token table that references other users': {
    table: (engine) => ({
      before: `CREATE TABLE member (id ${engine.id} NOT NULL PRIMARY KEY)`,
      after: `CREATE TABLE accesstoken (token VARCHAR(43) NOT NULL PRIMARY KEY, user_id ${engine.id} NOT NULL, created_at TIMESTAMP NOT NULL, session_stamp VARCHAR(64), FOREIGN KEY (user_id) REFERENCES member (id))`
    }),
    message: /column "user_id" references the table "member", but the users are in "user"/
  }
}

/** Tables of another tool that can store users. */
const usableTables: Record<string, (engine: Engine) => Table> = {
  'additional columns that have a default or may be null': () => ({
    more: "plan VARCHAR(9) NOT NULL DEFAULT 'free', seats INTEGER NOT NULL DEFAULT 1, note VARCHAR(80), age INTEGER"
  }),
  'CHECK constraints that some registrations fulfil': () => ({
    more: "tenant_id INTEGER DEFAULT 4, CHECK (email LIKE '%@camelot.bt'), CHECK (tenant_id > 3), CHECK (is_verified OR is_active), CHECK (hashed_password LIKE '$argon2%')"
  }),
  'ids in a text column, and a foreign key on another column': ({ text }) => ({
    id: text,
    before: 'CREATE TABLE team (id INTEGER NOT NULL PRIMARY KEY)',
    more: 'team_id INTEGER, FOREIGN KEY (team_id) REFERENCES team (id)'
  })
}

for (const [name, engine] of Object.entries(engines)) {
  for (const [what, { table, message, schemas, only = [name] }] of Object.entries(unusableTables)) {
    if (!only.includes(name)) continue
    t.test(`${name}: a table with ${what} is refused at startup and by doctor`, engine.service, async (t) => {
      const { adapters, config, run } = await engine.open(t)
      const own = table(engine)
      for (const sql of [own.before, createSql(engine, own), own.after]) if (sql !== undefined) await run(sql)
      for (const [adapterName, make] of Object.entries(adapters)) {
        await t.rejects(
          buildApp(t, { adapter: make(), ...(schemas === undefined ? {} : { schemas: schemas() }) }),
          { ...TABLE_MISMATCH, message },
          adapterName
        )
      }
      const more =
        schemas === undefined
          ? ''
          : `schemas: ${what.includes('object ids') ? 'userSchemas({}, { id: objectIdId() })' : what.includes('text field') ? 'userSchemas({ note: Type.Optional(Type.String()) })' : 'userSchemas({}, { id: integerId() })'},`
      const { out, code } = await createCommandFolder(testFolder, program).run(['doctor'], { adapter: config, more })
      t.equal(code, 1)
      t.match(
        out
          .split('\n')
          .filter((line) => line.startsWith('fail  schema:'))
          .join('\n'),
        message
      )
    })
  }

  for (const [what, table] of Object.entries(usableTables)) {
    t.test(`${name}: a table with ${what} is used`, engine.service, async (t) => {
      const { adapters, config, run } = await engine.open(t)
      const own = table(engine)
      for (const sql of [own.before, createSql(engine, own), own.after]) if (sql !== undefined) await run(sql)
      for (const [adapterName, make] of Object.entries(adapters)) {
        const { send } = await buildApp(t, { adapter: make() })
        const reply = await send('POST', '/auth/register', { email: `${adapterName}@camelot.bt`, password: PASSWORD })
        t.equal(reply.statusCode, 201, adapterName)
      }
      const { out } = await createCommandFolder(testFolder, program).run(['doctor'], { adapter: config })
      t.notMatch(out, /must have a value|refuses every|references the table|has the type/)
    })
  }

  t.test(
    `${name}: a row that a constraint refuses is a 500 without retry-after, and its cause is logged`,
    engine.service,
    async (t) => {
      const { adapters, run } = await engine.open(t)
      await run(createSql(engine, { more: "CHECK (email <> 'mordred@camelot.bt')" }))
      const lines: { level: number; err?: { code?: string; message?: string } }[] = []
      const logger = {
        level: 'error',
        stream: {
          write: (line: string) => {
            lines.push(JSON.parse(line) as never)
          }
        }
      }
      const device = `CREATE TABLE device (user_id ${engine.id} NOT NULL, FOREIGN KEY (user_id) REFERENCES ${engine.quote('user')} (id))`
      await run(device)
      for (const [adapterName, make] of Object.entries(adapters)) {
        const { app, send, create } = await buildApp(t, { adapter: make() }, () => {}, { logger })
        const register = await send('POST', '/auth/register', { email: 'mordred@camelot.bt', password: PASSWORD })
        t.same(
          [register.statusCode, register.json<{ code: string }>().code, register.headers['retry-after']],
          [500, 'FST_USERS_INTERNAL_ERROR', undefined],
          `${adapterName}: a check`
        )
        t.match(lines.pop(), {
          level: 50,
          err: { code: 'FST_USERS_TABLE_MISMATCH', message: /the cause says which: .*(?:check|constraint)/i }
        })

        const { id } = await create({ email: `${adapterName}@camelot.bt` })
        await t.rejects(
          app.users.update({ id } as never, { email: 'mordred@camelot.bt' }),
          TABLE_MISMATCH,
          `${adapterName}: a change`
        )
        await run(`INSERT INTO device (user_id) VALUES ('${String(id)}')`)
        await t.rejects(
          app.users.delete({ id } as never),
          TABLE_MISMATCH,
          `${adapterName}: a row that other rows reference`
        )
        await run('DELETE FROM device')
        await t.resolves(app.users.delete({ id } as never))
      }
    }
  )

  t.test(
    `${name}: a table that is dropped while the application runs is a 500 with the cause`,
    engine.service,
    async (t) => {
      const { adapters, run } = await engine.open(t)
      for (const [adapterName, make] of Object.entries(adapters)) {
        await run(createSql(engine, {}))
        const { app, create } = await buildApp(t, { adapter: make() })
        await create()
        await run('DROP TABLE accesstoken')
        await run(`DROP TABLE ${engine.quote('user')}`)
        const error = (await app.users.getByEmail(ARTHUR).catch((thrown: unknown) => thrown)) as {
          code: string
          statusCode: number
          cause?: unknown
        }
        t.match(error, { code: 'FST_USERS_INTERNAL_ERROR', statusCode: 500, cause: { message: /user/ } }, adapterName)
        await app.close()
      }
    }
  )
}
