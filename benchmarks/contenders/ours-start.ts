// A small application for the start of the process. It imports only what it needs.
import Fastify from 'fastify'
import users, { authenticate, bearerTransport, currentUser, jwtStrategy } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'
import { bearer, CREDENTIALS, fastifyServer, PATH, schema, SECRET } from './support/reply.js'
import { serve } from './support/serve.js'

serve(async ({ folder, prepared }) => {
  const app = Fastify()
  await app.register(users, {
    adapter: sqlite(`${folder}/ours-start.db`),
    limits: false,
    secret: SECRET,
    backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }]
  })
  app.get(PATH, { preHandler: authenticate, schema }, async (request) => currentUser(request))
  const served = fastifyServer(app)
  if (prepared) return { ...served, requests: [] }

  await app.ready()
  const user = await app.users.create(CREDENTIALS)
  const { issued } = await app.users.login(user, { backend: 'jwt' })
  return { ...served, requests: [{ method: 'GET', path: PATH, headers: bearer(issued?.token ?? '') }] }
})
