import { createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { StoreSchema } from '../lib/contracts/store-schema.js'
import users, { jwtStrategy, bearerTransport, type DatabaseAdapter, type Row } from '../lib/index.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { kStoreSchema } from '../lib/symbols.js'
import { userModel } from '../lib/users/index.js'
import { userSchemas } from '../schemas/index.js'
import { SECRET } from './helpers/build-app.js'
import { buildProgram, endPools, library, createCommandFolder, type CommandFolder } from './helpers/command-line.js'
import { makeMysqlPool, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { configOf, makeSchema, needsPostgres, postgresUrl } from './helpers/postgres.js'
import { pythonRows, pythonTables, servePythonRows } from './helpers/python-tables.js'

const service = await needsPostgres()
const mysqlService = await needsMysql()
const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
t.teardown(endPools)
process.env['USERS_SECRET'] = SECRET

const createFolder = (): CommandFolder => createCommandFolder(testFolder, program)
const MIGRATE_FROM = ['migrate', '--from', 'fastapi-users']
const OAUTH = `
  import { github, oauth } from '${library.replace('lib/index.js', 'lib/features/oauth/index.js')}'
  function listFeatures () { return [oauth({ publicUrl: 'https://app.example.com', providers: [github({ clientId: 'id', clientSecret: 'secret' })] })] }`

/** Starts an application with the adapter, and closes it. */
async function startApplication (adapter: DatabaseAdapter): Promise<void> {
  const app = Fastify()
  try {
    await app.register(users, {
      adapter,
      secret: SECRET,
      backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }]
    })
    await app.ready()
  } finally {
    await app.close()
  }
}

/** Checks that the application and each command with a store fail with the message, and print no password. */
async function checkRefusals (t: Test, adapter: DatabaseAdapter, text: string, expected: RegExp): Promise<void> {
  await t.rejects(startApplication(adapter), { code: 'FST_USERS_INVALID_OPTION', message: expected })
  const { run } = createFolder()
  for (const args of [
    ['migrate'],
    ['migrate', '--check'],
    ['prune'],
    ['create-superuser', '--email', 'a@b.example'],
    MIGRATE_FROM
  ]) {
    const outcome = await run(args, { adapter: text })
    t.match(outcome, { code: 1, out: '', err: expected }, args.join(' '))
    t.notMatch(outcome.err, /\n|hunter2/)
  }
  const report = await run(['doctor'], { adapter: text })
  t.match(report, { code: 1, out: expected })
  t.notMatch(report.out, /hunter2/)
}

t.test(
  'PostgreSQL: the application and the commands report an unknown database and an unknown role',
  service,
  async (t) => {
    const { host, pathname } = new URL(postgresUrl)
    const cases: [string, RegExp][] = [
      [
        `postgres://postgres:hunter2@${host}/no_such_database`,
        /Option adapter: the database server refuses the connection: database "no_such_database" does not exist; check the database name in the adapter's connection, or create the database/
      ],
      [
        `postgres://no_such_role:hunter2@${host}${pathname}`,
        /Option adapter: the database server refuses the connection: role "no_such_role" does not exist; check user and password in the adapter's connection/
      ]
    ]
    for (const [url, expected] of cases) {
      const pool = new pg.Pool({ connectionString: url })
      t.teardown(() => pool.end())
      await checkRefusals(t, postgres(pool), `postgres(new pg.Pool({ connectionString: '${url}' }))`, expected)
    }
  }
)

/** Returns a message of the PostgreSQL protocol. */
function encodeMessage (type: string, body: Buffer): Buffer {
  const head = Buffer.from(`${type}0000`)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** Starts a server that sends the replies in turn. The PostgreSQL server of the tests accepts every password. */
async function startPasswordServer (t: Test, replies: readonly Buffer[]): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let count = 0
    socket
      .on('error', () => {})
      .on('data', () => {
        socket.write(replies[Math.min(count++, replies.length - 1)] ?? '')
      })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => {
    // pg does not close a connection whose login failed.
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('PostgreSQL: a wrong password and a missing password are reported', async (t) => {
  const refusal = encodeMessage(
    'E',
    Buffer.from('SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "arthur"\0\0')
  )
  const mechanisms = encodeMessage('R', Buffer.concat([Buffer.from([0, 0, 0, 10]), Buffer.from('SCRAM-SHA-256\0\0')]))
  const question = encodeMessage('R', Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('r=x')]))
  const cases: [string, RegExp][] = [
    [
      `postgres://arthur:hunter2@${await startPasswordServer(t, [refusal])}/app`,
      /the database server refuses the connection: password authentication failed for user "arthur"; check user and password/
    ],
    [
      `postgres://arthur@${await startPasswordServer(t, [mechanisms, question])}/app`,
      /the database server refuses the connection: SASL: [^;]*password[^;]*; check user and password/
    ]
  ]
  for (const [connectionString, expected] of cases) {
    const pool = new pg.Pool({ connectionString })
    t.teardown(() => pool.end())
    await checkRefusals(t, postgres(pool), `postgres(new pg.Pool({ connectionString: '${connectionString}' }))`, expected)
  }
})

t.test(
  'MySQL: the application and the commands report an unknown database, a wrong login, and missing rights',
  mysqlService,
  async (t) => {
    const { pool: admin, database } = await makeMysqlPool(t)
    const user = database.slice(-20)
    await admin.query(`CREATE USER '${user}'@'%' IDENTIFIED BY 'right'`)
    t.teardown(async () => {
      const connection = await mysql2.createConnection(mysqlConfigOf('test'))
      await connection.query(`DROP USER '${user}'@'%'`)
      await connection.end()
    })
    const config = mysqlConfigOf(database)
    const cases: [mysql2.PoolOptions, RegExp][] = [
      [
        { ...config, database: 'no_such_database' },
        /Option adapter: the database server refuses the connection: Unknown database 'no_such_database'; check the database name/
      ],
      [
        { ...config, user, password: 'hunter2' },
        /Option adapter: the database server refuses the connection: Access denied for user [^;]*; check user and password/
      ],
      [
        { ...config, user: 'no_such_user', password: 'hunter2' },
        /Option adapter: the database server refuses the connection: Access denied for user [^;]*; check user and password/
      ],
      [
        { ...config, user, password: 'right' },
        /Option adapter: the database server refuses the connection: Access denied for user [^;]* to database [^;]*; grant the missing rights to the user/
      ]
    ]
    for (const [options, expected] of cases) {
      const pool = mysql2.createPool(options)
      t.teardown(() => pool.end())
      await checkRefusals(t, mysql(pool), `mysql(keep(mysql2.createPool(${JSON.stringify(options)})))`, expected)
    }
  }
)

t.test('migrate knows the schema version of tables that the application created', async (t) => {
  const { file, run } = createFolder()
  const database = new Database(file)
  t.teardown(() => {
    database.close()
  })
  t.match(await run(['prune']), { code: 0 })
  t.strictSame(await run(['migrate', '--check']), {
    code: 0,
    out: 'Nothing to do: the database has the current schema.',
    err: ''
  })
  t.match(await run(['doctor']), { code: 0 })
  t.strictSame(database.prepare('SELECT * FROM fastify_users_schema ORDER BY 1').raw().all(), [
    ['accesstoken', 1],
    ['user', 1]
  ])
  database.exec('DROP TABLE accesstoken')
  t.match(await run(['prune']), { code: 0 }, 'a table is created although its version is already recorded')
  database.exec(
    "INSERT INTO user (id, email, hashed_password, is_active, is_superuser, is_verified) VALUES ('1', 'a@b.example', 'hash', 1, 0, 0)"
  )

  const model = {
    ...userModel(userSchemas()),
    version: 2,
    upgrades: { 2: [{ transform: ({ hashed_password: hash }: Row) => ({ hashed_password: `${String(hash)}2` }) }] }
  }
  const adapter = sqlite(database) as DatabaseAdapter & { [kStoreSchema]?: StoreSchema }
  const migrate = async (): Promise<string[]> =>
    (await adapter[kStoreSchema]?.apply([model]))?.steps.map(({ text }) => text) ?? []
  t.strictSame(
    await migrate(),
    ['table "user": version 2: transform the rows', 'record version 2 of the schema in "fastify_users_schema"'],
    'rows of version 1 are upgraded'
  )
  t.strictSame(await migrate(), [])
  database.exec('DROP TABLE accesstoken; DROP TABLE user')
  adapter.define(model)
  await adapter.open()
  database.exec(
    "INSERT INTO user (id, email, hashed_password, is_active, is_superuser, is_verified) VALUES ('1', 'a@b.example', 'hash2', 1, 0, 0)"
  )
  t.strictSame(await migrate(), [], 'rows of a table that was created in version 2 are not upgraded')
  t.equal(database.prepare('SELECT hashed_password FROM user').pluck().get(), 'hash2')
})

t.test(
  'createTables records the schema version on PostgreSQL and MySQL',
  { skip: service.skip || mysqlService.skip },
  async (t) => {
    const { run } = createFolder()
    const { schema, drop } = await makeSchema()
    t.teardown(drop)
    const { database } = await makeMysqlPool(t)
    const adapters = [
      `postgres(keep(new pg.Pool({ connectionString: ${JSON.stringify(postgresUrl)}, options: '-c search_path=${schema}' }))`,
      `mysql(keep(mysql2.createPool(${JSON.stringify(mysqlConfigOf(database))}))`
    ]
    for (const adapter of adapters) {
      t.match(await run(['prune'], { adapter: `${adapter}, { createTables: true })` }), { code: 0 })
      t.strictSame(await run(['migrate', '--check'], { adapter: `${adapter})` }), {
        code: 0,
        out: 'Nothing to do: the database has the current schema.',
        err: ''
      })
    }
    await endPools()
  }
)

/** Creates the tables of FastAPI Users and inserts its rows. */
async function fillPythonTables (pool: mysql2.Pool): Promise<void> {
  for (const statement of pythonTables('CHAR(36)', 'BOOL', 'TIMESTAMP', '`')) await pool.query(statement)
  for (const [table, rows] of Object.entries(pythonRows())) {
    for (const row of rows) await pool.query(`INSERT INTO \`${table}\` VALUES (?)`, [row])
  }
}

/** Repeats a command that is killed after one change, until it has nothing left to change. */
async function killAtEachStatement (
  t: Test,
  start: CommandFolder['start'],
  args: readonly string[],
  poolText: string
): Promise<void> {
  const adapter = `mysql((() => {
    const pool = ${poolText}
    let left = Number(process.env.KILL_AT)
    const getConnection = pool.getConnection.bind(pool)
    pool.getConnection = async () => {
      const connection = await getConnection()
      const execute = connection.execute.bind(connection)
      connection.execute = (query) => {
        if (/^(DELETE|ALTER|CREATE|UPDATE)/.test(query.sql) && left-- === 0) process.kill(process.pid, 'SIGKILL')
        return execute(query)
      }
      return connection
    }
    return pool
  })())`
  let kills = 0
  for (; ; kills++) {
    const { code, out, err } = await start(args, { adapter, rest: OAUTH }, { env: { KILL_AT: '1' } }).outcome
    if (code === 0) {
      t.match(out, /^Changed:\n/)
      break
    }
    t.strictSame([code, err], [null, ''])
  }
  t.ok(kills >= 7, `killed ${kills} times`)
}

for (const collation of ['utf8mb4_general_ci', 'utf8mb4_unicode_ci', 'utf8mb4_bin', 'latin1_swedish_ci']) {
  t.test(
    `row 83: MySQL, ${collation}: migrate --from fastapi-users lists changes, stops at duplicates and writes with --yes`,
    mysqlService,
    async (t) => {
      const { run, start } = createFolder()
      const { pool, database } = await makeMysqlPool(t)
      await pool.query(`ALTER DATABASE ${database} COLLATE ${collation}`)
      await fillPythonTables(pool)
      const poolText = `keep(mysql2.createPool(${JSON.stringify(mysqlConfigOf(database))}))`
      const adapter = `mysql(${poolText})`
      await pool.query('ALTER TABLE oauth_account MODIFY expires_at INTEGER NOT NULL')
      const connection = await mysql2.createConnection(mysqlConfigOf(database))
      t.teardown(() => connection.end())
      await connection.query('SET foreign_key_checks = 0')
      await connection.query("INSERT INTO accesstoken VALUES ('00000000-0000-4000-8000-000000000009', 'orphan', now())")
      t.match(await run(MIGRATE_FROM, { adapter, rest: OAUTH }), {
        code: 1,
        out: '',
        err: /"accesstoken": rows whose user does not exist: 1; delete them with --prune-orphans$/
      })
      const duplicateAccount =
        "INSERT INTO oauth_account SELECT '00000000-0000-4000-8000-000000000002', user_id, oauth_name, access_token, expires_at, refresh_token, account_id, account_email FROM oauth_account LIMIT 1"
      await pool.query(duplicateAccount)
      t.match(await run([...MIGRATE_FROM, '--prune-orphans', '--yes'], { adapter, rest: OAUTH }), {
        code: 1,
        out: '',
        err: /nothing was changed:\n {2}- table "oauth_account": rows with the same oauth_name, account_id: "00000000-[^"]*", "[0-9a-f-]{36}"; change or delete all but one$/
      })
      await pool.query("DELETE FROM oauth_account WHERE id = '00000000-0000-4000-8000-000000000002'")
      if (collation === 'utf8mb4_bin') {
        await pool.query(
          "INSERT INTO `user` SELECT '00000000-0000-4000-8000-000000000001', 'King.Arthur@camelot.bt', hashed_password, 1, 0, 0 FROM `user` LIMIT 1"
        )
        t.match(await run([...MIGRATE_FROM, '--prune-orphans'], { adapter, rest: OAUTH }), {
          code: 1,
          err: /e-mails that differ only in case: "00000000-[^"]*", "05fff8ce-[^"]*" \(k\*\*\*@c\*\*\*\.bt\)/
        })
        await pool.query("DELETE FROM `user` WHERE id = '00000000-0000-4000-8000-000000000001'")
      }
      const args = [...MIGRATE_FROM, '--prune-orphans', '--hash-tokens']
      const emailSteps =
        collation === 'utf8mb4_bin'
          ? [
              '  - table "user": add the column "email_lower", which the database computes, for its index',
              '  - table "user": add the unique index "ix_user_email_lower" on lower(email)'
            ]
          : []
      const allChanges = [
        '  - table "accesstoken": delete rows whose user does not exist: 1',
        '  - table "user": add the column "session_stamp" (VARCHAR(64), nullable)',
        ...emailSteps,
        '  - table "accesstoken": add the column "session_stamp" (VARCHAR(64), nullable)',
        '  - table "accesstoken": add the column "session_id" (VARCHAR(64), nullable)',
        '  - table "accesstoken": add the column "authenticated_at" (DATETIME(6), nullable)',
        '  - table "accesstoken": add the column "methods" (LONGTEXT, nullable)',
        '  - table "accesstoken": add the column "details" (LONGTEXT, nullable)',
        '  - table "oauth_account": widen "access_token" to LONGTEXT, "refresh_token" to LONGTEXT; make nullable: "expires_at"',
        '  - table "oauth_account": add the column "email_verified" (BOOL, nullable)',
        '  - table "oauth_account": add the unique index "ix_oauth_account_oauth_name_account_id" on oauth_name, account_id',
        '  - table "accesstoken": replace plain tokens by digests for the backend "database": 1'
      ].join('\n')
      t.match(await run([...args, '--check'], { adapter, rest: OAUTH }), {
        code: 1,
        out: `Pending:\n${allChanges}\nNothing was changed.`,
        err: ''
      })

      if (collation === 'utf8mb4_bin') await killAtEachStatement(t, start, [...args, '--yes'], poolText)
      else t.match(await run([...args, '--yes'], { adapter, rest: OAUTH }), { code: 0, out: `Changed:\n${allChanges}`, err: '' })
      t.match(await run([...args, '--check'], { adapter, rest: OAUTH }), { code: 0, out: /^Nothing to do/ })
      t.match(await run([...args, '--check'], { adapter }), {
        code: 0,
        out: /^Nothing to do[^\n]*\nWarning: these tables refer to "user", but no model of the config uses them[^\n]*: "oauth_account"\./
      })
      t.match(await run(['migrate', '--check'], { adapter }), {
        code: 1,
        out: 'Pending:\n  - record version 1 of the schema in "fastify_users_schema"'
      })
      const [[counted]] = (await pool.query(
        'SELECT (SELECT count(*) FROM `user`) AS people, (SELECT count(*) FROM oauth_account) AS accounts, (SELECT count(*) FROM accesstoken WHERE length(token) = 43 AND length(session_stamp) = 43) AS tokens'
      )) as unknown as [[object]]
      const rows = pythonRows()
      t.strictSame({ ...counted }, { people: rows.user.length, accounts: rows.oauth_account.length, tokens: 1 })
    }
  )
}

t.test('row 83: MySQL: users can log in after migrate --from fastapi-users', mysqlService, async (t) => {
  const { run } = createFolder()
  const { pool, database } = await makeMysqlPool(t)
  await fillPythonTables(pool)
  t.match(
    await run([...MIGRATE_FROM, '--yes'], {
      adapter: `mysql(keep(mysql2.createPool(${JSON.stringify(mysqlConfigOf(database))})))`,
      more: "compatibility: { tokenStorage: 'plain' }",
      rest: OAUTH
    }),
    { code: 0, out: /^Changed:\n/ }
  )
  await servePythonRows(
    t,
    mysql(pool),
    async (text) => (await pool.query(text.replace('USERS', '`user`')))[0] as Record<string, unknown>[]
  )
})

t.test('MySQL: a migration waits a limited time for a lock and then reports it', mysqlService, async (t) => {
  const { run } = createFolder()
  const { pool, database } = await makeMysqlPool(t)
  await fillPythonTables(pool)
  const shortTimeoutAdapter = `mysql((() => {
    const pool = keep(mysql2.createPool(${JSON.stringify(mysqlConfigOf(database))}))
    const getConnection = pool.getConnection.bind(pool)
    pool.getConnection = async () => {
      const connection = await getConnection()
      const execute = connection.execute.bind(connection)
      // waits for 1 second instead of 60
      connection.execute = (query) => execute({ ...query, sql: query.sql.replace(/(lock_wait_timeout = |get_lock\\(.*, )60/, '$11') })
      return connection
    }
    return pool
  })())`
  const holder = await pool.getConnection()
  await holder.query('BEGIN')
  await holder.query('SELECT * FROM `user`')
  for (const args of [['migrate'], [...MIGRATE_FROM, '--yes']]) {
    t.match(await run(args, { adapter: shortTimeoutAdapter }), {
      code: 1,
      out: '',
      err: /^fastify-users: a transaction of another process locked a table for too long; completed changes are kept; run the command again to finish$/
    })
  }
  await holder.query('COMMIT')
  await holder.query("SELECT get_lock(left(concat('fastify-users:', database()), 64), 0)")
  t.match(await run(['migrate'], { adapter: shortTimeoutAdapter }), {
    code: 1,
    out: '',
    err: /another process holds the lock of the tables$/
  })
  t.match(await run([...MIGRATE_FROM, '--yes'], { adapter: shortTimeoutAdapter }), {
    code: 1,
    out: '',
    err: /another process holds the lock of the tables; completed changes are kept; run the command again to finish$/
  })
  await holder.query("SELECT release_lock(left(concat('fastify-users:', database()), 64))")
  holder.release()
  t.match(await run(['migrate'], { adapter: shortTimeoutAdapter }), { code: 0, out: /^Changed:/ })
})

t.test(
  'PostgreSQL and SQLite: doctor reports the NOT NULL expires_at of old tables, and migrate makes it nullable',
  service,
  async (t) => {
    const { schema, drop } = await makeSchema()
    const pool = new pg.Pool(configOf(schema))
    t.teardown(async () => {
      await pool.end()
      await drop()
    })
    const place = createFolder()
    const file = new Database(place.file)
    t.teardown(() => {
      file.close()
    })
    const [sqliteTables, postgresTables] = [
      pythonTables('CHAR(36)', 'BOOLEAN', 'TIMESTAMP', '"'),
      pythonTables('UUID', 'BOOLEAN', 'TIMESTAMP WITH TIME ZONE', '"')
    ].map((statements) =>
      statements.map((statement) =>
        statement.replace('expires_at INTEGER', 'expires_at INTEGER CHECK (expires_at IS NOT NULL OR true) NOT NULL')
      )
    )
    for (const statement of sqliteTables ?? []) file.exec(statement)
    for (const statement of postgresTables ?? []) await pool.query(statement)
    const adapters = [
      undefined,
      `postgres(keep(new pg.Pool({ connectionString: ${JSON.stringify(postgresUrl)}, options: '-c search_path=${schema}' })))`
    ]
    for (const adapter of adapters) {
      const parts = { ...(adapter === undefined ? {} : { adapter }), rest: OAUTH }
      t.match(
        (await place.run(['doctor'], parts)).out,
        /^fail {2}schema: pending: table "oauth_account": widen "access_token" to TEXT, "refresh_token" to TEXT; make nullable: "expires_at"; run/m
      )
      t.match(await place.run(MIGRATE_FROM, parts), {
        code: 0,
        out: /table "oauth_account": widen [^\n]*; make nullable: "expires_at"\n/
      })
      t.match(await place.run(['migrate'], parts), { code: 0, out: /make nullable: "expires_at"/ })
      t.match(await place.run(['migrate', '--check'], parts), { code: 0 })
    }
    t.equal(
      file
        .prepare("SELECT \"notnull\" FROM pragma_table_info('oauth_account') WHERE name = 'expires_at'")
        .pluck()
        .get(),
      0
    )
    t.match(
      file.prepare("SELECT sql FROM sqlite_master WHERE name = 'oauth_account'").pluck().get(),
      /expires_at INTEGER CHECK \(expires_at IS NOT NULL OR true\) ?, refresh_token TEXT/
    )
    await pool.query('ALTER TABLE oauth_account ALTER expires_at SET NOT NULL')
    t.match(await place.run(['doctor'], { adapter: adapters[1] ?? '', rest: OAUTH }), {
      code: 0,
      out: /^warn {2}schema: pending: table "oauth_account": make nullable: "expires_at"; run/m
    })
    file.exec('DROP TABLE oauth_account')
    file.exec(
      (sqliteTables?.find((statement) => statement.startsWith('CREATE TABLE oauth_account')) ?? '').replace(
        'true) NOT NULL',
        'true) CONSTRAINT some NOT NULL'
      )
    )
    t.match(await place.run(['migrate'], { rest: OAUTH }), {
      code: 1,
      out: '',
      err: /table "oauth_account": its definition cannot be parsed; change its columns by hand$/
    })
  }
)
