import { randomBytes, randomUUID } from 'node:crypto'
import { hash } from '@node-rs/argon2'
import Fastify from 'fastify'
import { handFile, INSERT_USER, valuesOf } from './support/hand-sqlite.js'
import { COST } from './support/password.js'
import { registrations } from './support/registrations.js'
import { credentialsSchema, CREDENTIALS, fastifyServer, schema } from './support/reply.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { database } = await handFile(settings)
  const isTaken = database.prepare('SELECT 1 FROM user WHERE lower(email) = ?')
  const insert = database.prepare(INSERT_USER)
  const app = Fastify()
  const options = { schema: { body: credentialsSchema, response: { 201: schema.response[200] } } }
  app.post<{ Body: typeof CREDENTIALS }>('/register', options, async (request, reply) => {
    const { email, password } = request.body
    if (isTaken.get(email.toLowerCase()) !== undefined) return reply.code(400).send({ error: 'e-mail exists' })
    const user = {
      id: randomUUID(),
      email,
      hashed_password: await hash(password, COST),
      is_active: true,
      is_superuser: false,
      is_verified: false,
      session_stamp: randomBytes(16).toString('base64url')
    }
    insert.run(...valuesOf(user))
    return reply.code(201).send(user)
  })
  return { ...fastifyServer(app), requests: registrations('/register'), expect: 201 }
})
