import { randomBytes } from 'node:crypto'
import mysql from 'mysql2/promise'

/** The URL of MySQL or MariaDB. */
export const mysqlUrl = process.env['MYSQL_URL'] ?? 'mysql://root@127.0.0.1:3306/test'

/** Timeout for a connection. It is long because the machine may be busy. */
const LONG_MS = 30_000

/** Returns options that skip a test with a reason if no server replies, unless REQUIRE_SERVICES=1. */
export async function needsMysql (): Promise<{ skip: string | false }> {
  try {
    await run('SELECT 1')
    return { skip: false }
  } catch (error) {
    if (process.env['REQUIRE_SERVICES'] === '1') throw error
    return { skip: `no MySQL answers: ${String(error)}` }
  }
}

/** Runs one statement on a new connection. */
async function run (sql: string): Promise<void> {
  const connection = await mysql.createConnection({ uri: mysqlUrl, connectTimeout: LONG_MS })
  try {
    await connection.query(sql)
  } finally {
    await connection.end()
  }
}

/** Returns the configuration of a pool for one database. */
export function mysqlConfigOf (database: string, config: mysql.PoolOptions = {}): mysql.PoolOptions {
  const { hostname, port, username, password } = new URL(mysqlUrl)
  return {
    host: hostname,
    port: Number(port || 3306),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database,
    connectionLimit: 4,
    connectTimeout: LONG_MS,
    ...config
  }
}

/** Creates a database. `drop` deletes it. */
export async function makeMysqlDatabase (): Promise<{ database: string; drop: () => Promise<void> }> {
  const database = `users_test_${randomBytes(6).toString('hex')}`
  await run(`CREATE DATABASE ${database}`)
  return { database, drop: () => run(`DROP DATABASE ${database}`) }
}

/** Creates an empty database and a pool. Both are removed when the test ends. */
export async function makeMysqlPool (
  t: { teardown: (undo: () => Promise<void>) => void },
  config?: mysql.PoolOptions
): Promise<{ database: string; pool: mysql.Pool }> {
  const { database, drop } = await makeMysqlDatabase()
  const pool = mysql.createPool(mysqlConfigOf(database, config))
  t.teardown(async () => {
    await pool.end()
    await drop()
  })
  return { database, pool }
}
