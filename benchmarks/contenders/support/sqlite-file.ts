import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { FILLER_HASH } from './password.js'
import type { Settings } from './serve.js'

const ID = `lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' ||
  substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))`

const USERS = `INSERT INTO user (id, email, hashed_password, is_active, is_superuser, is_verified, session_stamp)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
SELECT ${ID}, 'User.' || n || '@camelot.bt', '${FILLER_HASH}', 1, 0, n % 2 = 0, substr(hex(randomblob(11)), 1, 22)
FROM numbers`

const TOKENS = `INSERT INTO accesstoken (token, user_id, created_at, session_stamp)
SELECT substr(hex(randomblob(22)), 1, 43), id, strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || abs(random() % 3000) || ' seconds'),
session_stamp FROM user`

/** Returns the path of a new database file. */
export function newFile ({ folder }: Settings): string {
  return join(mkdtempSync(join(folder, 'sqlite-')), 'users.db')
}

/** Adds users, each with a stored token if there is such a table. Returns the e-mails of some of them. */
export async function fillFile (file: string, { users, tokens, analyzed }: Settings): Promise<readonly string[]> {
  const database = new Database(file)
  const count = users - 1
  database.pragma('synchronous = OFF')
  if (count > 0) database.prepare(USERS).run(count)
  const hasTokens = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'accesstoken'").get() !== undefined
  if (hasTokens) database.prepare(TOKENS).run()
  if (analyzed) {
    database.exec('ANALYZE')
    database.pragma('optimize')
  }
  database.pragma('wal_checkpoint(TRUNCATE)')
  database.close()
  return spreadEmails(count, tokens)
}

/** Returns e-mails of users at regular intervals in the table. */
export function spreadEmails (count: number, wanted: number): readonly string[] {
  return Array.from({ length: Math.min(count, wanted) }, (_, index) => {
    return `User.${1 + Math.floor((index * count) / Math.min(count, wanted))}@camelot.bt`
  })
}
