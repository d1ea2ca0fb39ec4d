import { randomBytes } from 'node:crypto'
import mysql2 from 'mysql2/promise'

const URL_OF_SERVER = process.env['MYSQL_URL'] ?? 'mysql://root@127.0.0.1:3306/test'

/** Creates a database of its own on the server. `end` ends the pool and drops the database. */
export async function newDatabase (): Promise<{ pool: mysql2.Pool; end(): Promise<void> }> {
  const name = `users_bench_${randomBytes(6).toString('hex')}`
  await administer(`CREATE DATABASE ${name}`)
  const pool = mysql2.createPool({ uri: String(new URL(`/${name}`, URL_OF_SERVER)), connectionLimit: 10 })
  return {
    pool,
    async end () {
      await pool.end()
      await administer(`DROP DATABASE ${name}`)
    }
  }
}

async function administer (sql: string): Promise<void> {
  const connection = await mysql2.createConnection({ uri: URL_OF_SERVER, connectTimeout: 3000 })
  await connection.query(sql)
  await connection.end()
}
