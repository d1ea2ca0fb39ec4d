import { randomUUID } from 'node:crypto'
import { Kysely, MysqlDialect, PostgresDialect } from 'kysely'
import { createPool } from 'mysql2'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { DatabaseAdapter, Row } from '../lib/index.js'
import { kysely } from '../lib/entries/kysely.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { readInUnion } from '../lib/adapters/sql/drivers/union-reads.js'
import { startTcpProxy, type TcpProxy } from './fixtures/tcp-proxy.js'
import { AccessToken } from '../lib/testing/conformance/models.js'
import { recordQueries } from '../benchmarks/helpers/recorded-pool.js'
import { Person as User } from './helpers/adopted-user.js'
import { ARTHUR, buildApp, type TestApp } from './helpers/build-app.js'
import { makeMysqlPool, mysqlConfigOf, mysqlUrl, needsMysql } from './helpers/mysql.js'
import { configOf, makePool, needsPostgres, postgresUrl } from './helpers/postgres.js'

const createTables = true
const unavailable = { code: 'FST_USERS_STORE_UNAVAILABLE' }
/** More than one statement holds, and not a power of two. */
const COUNT = 150

/** A database. The adapters of `open` connect through a proxy, `direct` without it. */
interface Peer {
  proxy: TcpProxy
  direct: DatabaseAdapter
  /** Creates an adapter. `statements` returns the number of statements that its connections have sent. */
  open(timeoutMs?: number): { adapter: DatabaseAdapter; statements: () => number }
}

interface Server {
  name: string
  options: { skip: string | false }
  start(t: Test): Promise<Peer>
}

const onPostgres = await needsPostgres()
const onMysql = await needsMysql()

const servers: readonly Server[] = [
  {
    name: 'postgres()',
    options: onPostgres,
    start: (t) => startPostgres(t, (pool, timeoutMs) => postgres(pool, { createTables, timeoutMs }))
  },
  {
    name: 'kysely() on PostgreSQL',
    options: onPostgres,
    start: (t) =>
      startPostgres(t, (pool, timeoutMs) =>
        kysely(new Kysely({ dialect: new PostgresDialect({ pool }) }), { createTables, timeoutMs })
      )
  },
  {
    name: 'mysql()',
    options: onMysql,
    start: (t) =>
      startMysql(t, (config, timeoutMs) => {
        const pool = mysql2.createPool(config)
        let sent = 0
        pool.on('acquire', () => sent++) // one for each statement outside of a transaction
        t.teardown(() => pool.end())
        return { adapter: mysql(pool, { createTables, timeoutMs }), statements: () => sent }
      })
  },
  {
    name: 'kysely() on MySQL',
    options: onMysql,
    start: (t) =>
      startMysql(t, (config, timeoutMs) => {
        const pool = createPool(config)
        let sent = 0
        pool.on('acquire', () => sent++)
        const db = new Kysely({ dialect: new MysqlDialect({ pool }) })
        t.teardown(() => db.destroy())
        return { adapter: kysely(db, { createTables, timeoutMs }), statements: () => sent }
      })
  }
]

async function startPostgres (
  t: Test,
  makeAdapter: (pool: pg.Pool, timeoutMs: number) => DatabaseAdapter
): Promise<Peer> {
  const { schema, pool: direct } = await makePool(t)
  const url = new URL(postgresUrl)
  const proxy = await startTcpProxy(url.hostname, Number(url.port || 5432))
  t.teardown(proxy.refuse)
  url.host = `127.0.0.1:${proxy.port}`
  return {
    proxy,
    direct: makeAdapter(direct, 30_000),
    open (timeoutMs = 30_000) {
      const pool = new pg.Pool(configOf(schema, { connectionString: url.href, idleTimeoutMillis: 0 }))
        .on('error', () => {})
        .on('connect', (client) => client.on('error', () => {})) // Kysely adds no listener
      let sent = 0
      pool.on('acquire', () => sent++) // one for each statement outside of a transaction
      t.teardown(() => pool.end())
      return { adapter: makeAdapter(pool, timeoutMs), statements: () => sent }
    }
  }
}

async function startMysql (
  t: Test,
  makeAdapter: (config: mysql2.PoolOptions, timeoutMs: number) => ReturnType<Peer['open']>
): Promise<Peer> {
  const { database } = await makeMysqlPool(t)
  const url = new URL(mysqlUrl)
  const proxy = await startTcpProxy(url.hostname, Number(url.port || 3306))
  t.teardown(proxy.refuse)
  const config = mysqlConfigOf(database)
  return {
    proxy,
    direct: makeAdapter(config, 30_000).adapter,
    open: (timeoutMs = 30_000) => makeAdapter({ ...config, host: '127.0.0.1', port: proxy.port }, timeoutMs)
  }
}

async function opened (adapter: DatabaseAdapter): Promise<DatabaseAdapter> {
  for (const model of [User, AccessToken]) adapter.define(model)
  await adapter.open()
  return adapter
}

/** Stores users with one session each. */
async function addSessions (adapter: DatabaseAdapter, count: number): Promise<{ id: string; token: string }[]> {
  return await Promise.all(
    Array.from({ length: count }, async (_, number) => {
      const user = { email: `knight${number}@camelot.bt`, hashed_password: 'x', session_stamp: `stamp ${number}` }
      const { id } = await adapter.create(User, { ...user, is_active: true, is_superuser: false, is_verified: false })
      const token = `token ${number}`
      await adapter.create(AccessToken, { token, user_id: id, created_at: new Date(1_700_000_000_000 + number) })
      return { id: String(id), token }
    })
  )
}

const find = async (adapter: DatabaseAdapter, id: string): Promise<Row | null> => await adapter.findOne(User, { id })

for (const { name, options, start } of servers) {
  t.test(`${name}: simultaneous reads share round trips, and each returns its own row or null`, options, async (t) => {
    const { open } = await start(t)
    const { adapter, statements } = open()
    await opened(adapter)
    const sessions = await addSessions(adapter, COUNT)
    const ids = [...sessions.map(({ id }) => id), randomUUID(), 'not a UUID', '\0', '', sessions[3]?.id ?? '']
    const expected = ids.map((id, position) => (position < COUNT ? id : position === ids.length - 1 ? id : null))

    const before = statements()
    const rows = await Promise.all(ids.map((id) => find(adapter, id)))
    t.strictSame(rows.map((row) => row && row['id']), expected)
    t.ok(statements() - before < ids.length / 4, `${statements() - before} statements for ${ids.length} reads`)
    t.not(rows[3], rows.at(-1), 'callers that read the same row get separate objects')

    const pairs = await Promise.all(
      sessions.flatMap(({ token }, number) => [
        adapter.findWithUser?.(AccessToken, { token, created_at: { gte: new Date(1_700_000_000_000 + number) } }),
        adapter.findWithUser?.(AccessToken, { token, created_at: { gte: new Date(1_700_000_000_001 + number) } }),
        adapter.findOne(User, { email: `KNIGHT${number}@camelot.bt` })
      ])
    )
    for (const [number, { id, token }] of sessions.entries()) {
      const [current, expired, byEmail] = pairs.slice(number * 3)
      t.hasStrict(current, { row: { token }, user: { id, session_stamp: `stamp ${number}` } })
      t.equal(expired, null, 'a condition with another value is another read')
      t.hasStrict(byEmail, { id })
    }
    t.hasStrict(await find(adapter, ids[0] ?? ''), { id: ids[0] }, 'a read alone')
  })

  t.test(`SES-08: ${name}: a request that begins after a revocation never gets the row of an earlier read`, options, async (t) => {
    const { proxy, direct, open } = await start(t)
    const other = await buildApp(t, { adapter: direct })
    const { adapter } = open()
    const begun = watchReads(adapter)
    const app = await buildApp(t, { adapter })
    const { id } = await app.register()
    for (const login of ['bearer', 'cookie'] as const) {
      const headers = await app[login](ARTHUR)
      const status = async ({ send }: TestApp): Promise<number> =>
        (await send('GET', '/users/me', undefined, headers)).statusCode
      t.equal(await status(app), 200)

      const { held, release } = proxy.hold()
      const early = status(app)
      await held // the server has read the row, and the answer is on its way
      await other.app.users.endSessions(id)
      const late = Array.from({ length: 3 }, () => status(app))
      await begun(3)
      release()
      t.equal(await early, 200, 'the request was answered with the row of its time')
      t.strictSame(await Promise.all(late), [401, 401, 401])
    }
  })

  t.test(`${name}: if the server is lost, all waiting reads fail with 503, and later ones work`, options, async (t) => {
    const { proxy, open } = await start(t)
    const adapter = await opened(open().adapter)
    const sessions = await addSessions(adapter, 20)
    const { held, release } = proxy.hold()
    const waiting = sessions.map(({ id }) => t.rejects(find(adapter, id), unavailable))
    await held
    await proxy.refuse()
    await Promise.all(waiting)
    await Promise.all(sessions.map(({ id }) => t.rejects(find(adapter, id), unavailable)))
    release()
    await proxy.pass()
    for (const { id } of sessions) t.hasStrict(await find(adapter, id), { id })
  })

  t.test(`${name}: every read has a time limit, and a connection that is too slow is not used again`, options, async (t) => {
    const { proxy, direct, open } = await start(t)
    const sessions = await addSessions(await opened(direct), 20)
    const adapter = await opened(open(2000).adapter)
    const { release } = proxy.hold()
    await Promise.all(sessions.map(({ id }) => t.rejects(find(adapter, id), unavailable)))
    release()
    const found = await Promise.all(sessions.map(({ id }) => find(adapter, id)))
    t.strictSame(found.map((row) => row?.['id']), sessions.map(({ id }) => id))
  })
}

/** Returns a function that waits until this number of reads of the guard has begun since the last call. */
function watchReads (adapter: DatabaseAdapter): (count: number) => Promise<void> {
  let begun = 0
  let check = (): void => {}
  const { findOne, findWithUser } = adapter
  adapter.findOne = (...args) => {
    begun++
    setImmediate(() => {
      check() // the read has been sent
    })
    return findOne.apply(adapter, args)
  }
  adapter.findWithUser = (...args) => {
    begun++
    setImmediate(() => {
      check()
    })
    return findWithUser?.apply(adapter, args) ?? null
  }
  return (count) =>
    new Promise((resolve) => {
      begun = 0
      check = () => {
        if (begun >= count) resolve()
      }
    })
}

t.test('PostgreSQL: a refused read does not fail the others that were sent with it', onPostgres, async (t) => {
  const { pool: admin } = await makePool(t)
  const name = `users_test_${randomUUID().replaceAll('-', '')}`
  await admin.query(`CREATE DATABASE ${name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
  const pool = new pg.Pool({ connectionString: Object.assign(new URL(postgresUrl), { pathname: name }).href })
  t.teardown(async () => {
    await pool.end()
    await admin.query(`DROP DATABASE ${name}`)
  })
  const adapter = await opened(postgres(pool, { createTables }))
  await addSessions(adapter, 3)
  // the database cannot represent the first letter
  const emails = ['knight0@camelot.bt', 'łancelot@camelot.bt', 'knight1@camelot.bt', 'ł', 'knight2@camelot.bt']
  const rows = await Promise.all(emails.map(async (email) => await adapter.findOne(User, { email })))
  t.strictSame(
    rows.map((row) => row?.['email'] ?? null),
    ['knight0@camelot.bt', null, 'knight1@camelot.bt', null, 'knight2@camelot.bt']
  )
})

t.test('PostgreSQL: simultaneous reads survive lost and outdated prepared statements', onPostgres, async (t) => {
  const { pool } = await makePool(t, { max: 2 })
  const adapter = await opened(postgres(pool, { createTables }))
  const sessions = await addSessions(adapter, 20)
  const ids = sessions.map(({ id }) => id)
  const read = async (): Promise<unknown[]> =>
    (await Promise.all(ids.map((id) => find(adapter, id)))).map((row) => row?.['id'])
  t.strictSame(await read(), ids)
  for (const change of ['ALTER TABLE "user" ALTER hashed_password TYPE TEXT', 'DEALLOCATE ALL']) {
    await pool.query(change)
    t.strictSame(await read(), ids, change)
  }
  await pool.query('ALTER TABLE "user" DROP hashed_password')
  await Promise.all(ids.map((id) => t.rejects(find(adapter, id), { code: '42703' })))
})

t.test('PostgreSQL: clients that cannot share a round trip read one row at a time', onPostgres, async (t) => {
  const { pool, schema } = await makePool(t)
  const sessions = await addSessions(await opened(postgres(pool, { createTables })), 5)
  const pipelined = new pg.Pool(configOf(schema, { pipeline: true } as pg.PoolConfig))
  t.teardown(() => pipelined.end())
  const wrapped = recordQueries(pool).pool
  for (const [kind, used] of Object.entries({ pipelined, wrapped })) {
    const adapter = await opened(postgres(used))
    for (let round = 0; round < 2; round++) {
      const rows = await Promise.all(sessions.map(({ id }) => find(adapter, id)))
      t.strictSame(rows.map((row) => row?.['id']), sessions.map(({ id }) => id), kind)
    }
  }
})

t.test('reads in one statement have separate placeholders, and run one by one if the server refuses them', async (t) => {
  const refusal = new Error('refused')
  const sent: string[] = []
  const get = readInUnion(
    'SELECT "a$1" FROM `$2` WHERE b = $1 AND c = \'$3\' AND d = $2',
    async (sql) => {
      sent.push(sql)
      throw refusal
    },
    async ([id]) => {
      if (id === 2) throw refusal
      return [id]
    },
    (error) => error === refusal
  )
  const results = await Promise.allSettled([1, 2, 3].map(async (id) => await get([id, 'x'])))
  t.strictSame(results, [
    { status: 'fulfilled', value: [1] },
    { status: 'rejected', reason: refusal },
    { status: 'fulfilled', value: [3] }
  ])
  const part = (position: number): string =>
    `(SELECT ${position}, "a$1" FROM \`$2\` WHERE b = $${2 * position + 1} AND c = '$3' AND d = $${2 * position + 2})`
  t.strictSame(sent, [[0, 1, 2, 3].map(part).join(' UNION ALL ')])
})
