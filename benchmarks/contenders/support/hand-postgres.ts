import type pg from 'pg'
import { digestOf, newToken, newUser, type HandUser } from './hand.js'
import { newDatabase } from './postgres-database.js'
import type { Settings } from './serve.js'

const TABLES = `CREATE TABLE "user" (
  id UUID PRIMARY KEY, email VARCHAR(320) NOT NULL, hashed_password VARCHAR(1024) NOT NULL, is_active BOOLEAN NOT NULL,
  is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL, session_stamp VARCHAR(64)
);
CREATE UNIQUE INDEX ON "user" (lower(email));
CREATE TABLE accesstoken (
  token VARCHAR(43) PRIMARY KEY, user_id UUID NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL, session_stamp VARCHAR(64)
);
CREATE INDEX ON accesstoken (user_id)`

/** Creates a database with the user and a token. */
export async function handDatabase (
  settings: Settings
): Promise<{ pool: pg.Pool; end(): Promise<void>; user: HandUser; token: string }> {
  const { pool, fill, end } = await newDatabase()
  const user = await newUser()
  const token = newToken()
  await pool.query(TABLES)
  const { id, email, hashed_password, is_active, is_superuser, is_verified, session_stamp } = user
  const values = [id, email, hashed_password, is_active, is_superuser, is_verified, session_stamp]
  await pool.query('INSERT INTO "user" VALUES ($1, $2, $3, $4, $5, $6, $7)', values)
  await pool.query('INSERT INTO accesstoken VALUES ($1, $2, now(), $3)', [digestOf(token), id, session_stamp])
  await fill(settings)
  return { pool, end, user, token }
}
