// Verifies a JWT with @fastify/jwt, and reads the user with a statement that mysql2 prepares once per connection.
import type { RowDataPacket } from 'mysql2'
import { COLUMNS, handJwt, newUser, readRow, type HandRow } from './support/hand.js'
import { valuesOf } from './support/hand-sqlite.js'
import { newDatabase } from './support/mariadb-database.js'
import { serve } from './support/serve.js'

const TABLE = `CREATE TABLE user (
  id CHAR(36) PRIMARY KEY, email VARCHAR(320) NOT NULL, hashed_password VARCHAR(1024) NOT NULL, is_active BOOL NOT NULL,
  is_superuser BOOL NOT NULL, is_verified BOOL NOT NULL, session_stamp VARCHAR(64)
)`

serve(async (settings) => {
  const { pool, end } = await newDatabase()
  const user = await newUser()
  await pool.query(TABLE)
  await pool.query('INSERT INTO user VALUES (?)', [valuesOf(user)])
  const { app, ...served } = await handJwt(settings, user, async (id) => {
    const [rows] = await pool.execute<(HandRow & RowDataPacket)[]>(`SELECT ${COLUMNS} FROM user WHERE id = ?`, [id])
    const row = rows[0]
    return row && readRow(row)
  })
  return { ...served, close: () => app.close().then(end) }
})
