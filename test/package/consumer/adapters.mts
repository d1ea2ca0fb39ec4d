// The adapters take what the drivers' own types say, without a cast. Compiled only.
import Database from 'better-sqlite3'
import type { DatabaseAdapter } from 'fastify-users'
import { drizzle, type DrizzleInstance } from 'fastify-users/drizzle'
import { kysely } from 'fastify-users/kysely'
import { mongodb } from 'fastify-users/mongodb'
import { mysql } from 'fastify-users/mysql'
import { postgres } from 'fastify-users/postgres'
import { sqlite } from 'fastify-users/sqlite'
import { Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'
import { MongoClient } from 'mongodb'
import mysql2 from 'mysql2'
import mysql2Promise from 'mysql2/promise'
import pg from 'pg'

interface Tables { person: { id: number } }

const pool = new pg.Pool()
const callbackPool = mysql2.createPool({})
const client = new MongoClient('mongodb://127.0.0.1')
const database = new Database(':memory:')

export const adapters: DatabaseAdapter[] = [
  postgres(pool, { createTables: true, timeoutMs: 1000 }),
  mysql(callbackPool),
  mysql(callbackPool.promise()),
  mysql(mysql2Promise.createPool({})),
  kysely(new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })),
  kysely(new Kysely<unknown>({ dialect: new MysqlDialect({ pool: callbackPool }) })),
  kysely(new Kysely<Tables>({ dialect: new SqliteDialect({ database }) })),
  drizzle({} as DrizzleInstance, { user: {} }, { timeoutMs: 1000 }),
  mongodb(client.db('app')),
  sqlite(database)
]

// @ts-expect-error a client is not a pool
postgres(new pg.Client())
// @ts-expect-error a URL is not a pool
postgres('postgres://127.0.0.1')
// @ts-expect-error there is no such option
postgres(pool, { createTable: true })
// @ts-expect-error the pool of another driver
mysql(pool)
// @ts-expect-error a client is not a database
mongodb(client)
