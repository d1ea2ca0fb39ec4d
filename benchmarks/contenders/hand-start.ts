// A small application for the start of the process: @fastify/jwt and a prepared statement.
import { randomUUID } from 'node:crypto'
import jwt from '@fastify/jwt'
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import { bearer, CREDENTIALS, fastifyServer, PATH, schema, SECRET } from './support/reply.js'
import { serve } from './support/serve.js'

interface Row {
  id: string
  is_active: number
  is_superuser: number
  is_verified: number
  session_stamp: string
}

const TABLE = `CREATE TABLE user (id TEXT PRIMARY KEY, email TEXT NOT NULL, hashed_password TEXT NOT NULL,
  is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL, session_stamp TEXT)`

serve(async ({ folder, prepared }) => {
  const app = Fastify()
  const database = new Database(`${folder}/hand-start.db`)
  database.pragma('journal_mode = WAL')
  const id = randomUUID()
  if (!prepared) {
    database.exec(TABLE)
    database.prepare('INSERT INTO user VALUES (?, ?, ?, 1, 0, 0, ?)').run(id, CREDENTIALS.email, '-', 'stamp')
  }
  const byId = database.prepare<[string], Row>('SELECT * FROM user WHERE id = ?')
  await app.register(jwt, { secret: SECRET, sign: { expiresIn: '1h' } })
  app.get(PATH, { schema }, async (request, reply) => {
    const { sub, ver } = await request.jwtVerify<{ sub: string; ver: string }>()
    const row = byId.get(sub)
    if (row === undefined || row.is_active !== 1 || row.session_stamp !== ver) return reply.code(401 as 200).send()
    return { ...row, is_active: true, is_superuser: row.is_superuser === 1, is_verified: row.is_verified === 1 }
  })
  await app.ready()
  const token = app.jwt.sign({ sub: id, ver: 'stamp' })
  return { ...fastifyServer(app), requests: [{ method: 'GET', path: PATH, headers: bearer(token) }] }
})
