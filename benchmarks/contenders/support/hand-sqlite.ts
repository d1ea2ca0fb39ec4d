import Database from 'better-sqlite3'
import { newUser, digestOf, newToken, type HandUser } from './hand.js'
import type { Settings } from './serve.js'
import { fillFile, newFile } from './sqlite-file.js'

const TABLES = `CREATE TABLE user (
  id CHAR(36) NOT NULL PRIMARY KEY, email VARCHAR(320) NOT NULL, hashed_password VARCHAR(1024) NOT NULL,
  is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL, session_stamp VARCHAR(64)
);
CREATE UNIQUE INDEX ix_user_email_lower ON user (lower(email));
CREATE TABLE accesstoken (
  token VARCHAR(43) NOT NULL PRIMARY KEY, user_id CHAR(36) NOT NULL REFERENCES user (id) ON DELETE CASCADE,
  created_at TIMESTAMP NOT NULL, session_stamp VARCHAR(64)
);
CREATE INDEX ix_accesstoken_user_id ON accesstoken (user_id);
CREATE INDEX ix_accesstoken_created_at ON accesstoken (created_at)`

export const INSERT_USER = 'INSERT INTO user VALUES (?, ?, ?, ?, ?, ?, ?)'

export const timeText = (time: number): string => `${new Date(time).toISOString().slice(0, 23).replace('T', ' ')}000`

/** Creates a database file with the user and a token, and opens it. */
export async function handFile (
  settings: Settings
): Promise<{ database: Database.Database; user: HandUser; token: string }> {
  const file = newFile(settings)
  const user = await newUser()
  const token = newToken()
  const empty = open(file)
  empty.exec(TABLES)
  empty.prepare(INSERT_USER).run(...valuesOf(user))
  empty
    .prepare('INSERT INTO accesstoken VALUES (?, ?, ?, ?)')
    .run(digestOf(token), user.id, timeText(Date.now()), user.session_stamp)
  empty.close()
  await fillFile(file, settings)
  return { database: open(file), user, token }
}

export function valuesOf (user: HandUser): unknown[] {
  const { id, email, hashed_password, is_active, is_superuser, is_verified, session_stamp } = user
  return [id, email, hashed_password, Number(is_active), Number(is_superuser), Number(is_verified), session_stamp]
}

function open (file: string): Database.Database {
  const database = new Database(file)
  database.pragma('journal_mode = WAL')
  database.pragma('foreign_keys = ON')
  return database
}
