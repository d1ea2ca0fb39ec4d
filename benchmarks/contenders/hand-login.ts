// Checks the password, also for an unknown e-mail. Then it signs a JWT, or stores a token for a cookie.
import { hash, verify } from '@node-rs/argon2'
import { COLUMNS, digestOf, newJwtApp, newToken, type HandRow } from './support/hand.js'
import { handFile, timeText } from './support/hand-sqlite.js'
import { COST } from './support/password.js'
import { credentialsSchema, CREDENTIALS, fastifyServer } from './support/reply.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { database } = await handFile(settings)
  const byEmail = database.prepare<[string], HandRow>(`SELECT ${COLUMNS} FROM user WHERE lower(email) = ?`)
  const insertToken = database.prepare('INSERT INTO accesstoken VALUES (?, ?, ?, ?)')
  const unknown = await hash(newToken(), COST)
  const stored = settings.transport === 'cookie'
  const app = await newJwtApp()
  if (stored) await app.register(import('@fastify/cookie'))

  app.post<{ Body: typeof CREDENTIALS }>('/login', { schema: { body: credentialsSchema } }, async (request, reply) => {
    const { email, password } = request.body
    const row = byEmail.get(email.toLowerCase())
    const isCorrect = await verify(row?.hashed_password ?? unknown, password)
    if (row === undefined || !isCorrect || row.is_active !== 1) {
      return reply.code(400).send({ error: 'bad credentials' })
    }
    if (!stored) {
      return { access_token: app.jwt.sign({ sub: row.id, ver: row.session_stamp }), token_type: 'bearer' }
    }
    const token = newToken()
    insertToken.run(digestOf(token), row.id, timeText(Date.now()), row.session_stamp)
    reply.setCookie('session', token, { httpOnly: true, secure: true, sameSite: 'lax', path: '/' })
    return reply.code(204).send()
  })
  const headers = { 'content-type': 'application/json' }
  const requests = [{ method: 'POST' as const, path: '/login', headers, body: JSON.stringify(CREDENTIALS) }]
  return { ...fastifyServer(app), requests, expect: stored ? 204 : 200 }
})
