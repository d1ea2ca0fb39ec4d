// A route without a guard. It sends the same reply as the guarded routes, and all ratios compare them with it.
import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import { bearer, CREDENTIALS, fastifyServer, PATH, schema } from './support/reply.js'
import { serve } from './support/serve.js'

serve(async () => {
  const app = Fastify()
  const user = {
    id: randomUUID(),
    email: CREDENTIALS.email,
    is_active: true,
    is_superuser: false,
    is_verified: false
  }
  app.get(PATH, { schema }, async () => user)
  return { ...fastifyServer(app), requests: [{ method: 'GET', path: PATH, headers: bearer('x'.repeat(43)) }] }
})
