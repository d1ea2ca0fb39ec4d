import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { sqlite } from 'fastify-users/sqlite'
import { HASH, makeTables, tokenOf, type Site } from './site.js'

const FILL = `INSERT INTO user (id, email, hashed_password, is_active, is_superuser, is_verified, session_stamp)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $ROWS)
SELECT uuid_of(n), 'User.' || n || '@camelot.bt', '${HASH}', 1, 0, n % 2 = 0, substr(token_of(n), 1, 22) FROM numbers;
INSERT INTO accesstoken (token, user_id, created_at, session_stamp)
SELECT token_of(n), id, strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || (n * 7919 % 80000) || ' seconds'), session_stamp
FROM (SELECT id, session_stamp, CAST(substr(email, 6, length(email) - 16) AS INTEGER) AS n FROM user)`

/** Creates a database file and fills it. `close` deletes it. */
export async function sqliteSite (rows: number): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-users-scale-'))
  const database = new Database(join(folder, 'users.db'))
  database.pragma('journal_mode = WAL')
  const close = async (): Promise<void> => {
    database.close()
    rmSync(folder, { recursive: true })
  }
  try {
    const texts: string[] = []
    const adapter = sqlite(recordStatements(database, texts))
    const models = await makeTables(adapter)
    database.function('token_of', tokenOf)
    database.function('uuid_of', uuidOf)
    database.pragma('synchronous = OFF')
    for (const statement of FILL.replace('$ROWS', String(rows)).split(';')) database.prepare(statement).run()
    database.pragma('wal_checkpoint(TRUNCATE)')
    return {
      rows,
      adapter,
      ...models,
      close,
      async explain (read) {
        const before = texts.length
        await read()
        const [text, ...others] = texts.slice(before)
        if (text === undefined || others.length > 0) throw new Error('one statement was expected')
        const parameters = Array.from(text.matchAll(/\?/g), () => null)
        return database
          .prepare(`EXPLAIN QUERY PLAN ${text}`)
          .all(...parameters)
          .map((line) => (line as { detail: string }).detail)
      }
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Returns the database with methods that record the text of every statement. */
function recordStatements (database: Database.Database, texts: string[]): Parameters<typeof sqlite>[0] & object {
  const recorded =
    <A extends unknown[], R>(text: string, run: (...parameters: A) => R) =>
      (...parameters: A): R => {
        texts.push(text)
        return run(...parameters)
      }
  return {
    prepare (text) {
      const statement = database.prepare(text)
      return Object.assign(statement, {
        get: recorded(text, statement.get.bind(statement)),
        all: recorded(text, statement.all.bind(statement)),
        run: recorded(text, statement.run.bind(statement))
      })
    },
    exec: (text) => database.exec(text),
    pragma: (text) => database.pragma(text),
    get inTransaction () {
      return database.inTransaction
    }
  }
}

/** Returns a UUID that is derived from a number. Consecutive numbers have unordered UUIDs. */
function uuidOf (n: number): string {
  const hex = Buffer.from(tokenOf(n), 'base64url').toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
