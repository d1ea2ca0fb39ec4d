import Fastify from 'fastify'
import users, { authenticate, bearerTransport, currentUser, jwtStrategy } from 'fastify-users'
import { apiKeys } from 'fastify-users/api-keys'
import { sqlite } from 'fastify-users/sqlite'
import { CREDENTIALS, fastifyServer, PATH, schema, SECRET } from './support/reply.js'
import { serve } from './support/serve.js'
import { newFile } from './support/sqlite-file.js'

serve(async (settings) => {
  const app = Fastify()
  await app.register(users, {
    adapter: sqlite(newFile(settings)),
    limits: false,
    secret: SECRET,
    backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy() }],
    features: [apiKeys({ scopes: ['read'] })]
  })
  app.get(PATH, { preHandler: authenticate({ scopes: ['read'] }), schema }, async (request) => currentUser(request))
  await app.ready()
  const user = await app.users.create({ email: CREDENTIALS.email, password: CREDENTIALS.password })
  const { key } = await app.users.feature('api-keys').create(user, { name: 'benchmark', scopes: ['read'] })
  return { ...fastifyServer(app), requests: [{ method: 'GET', path: PATH, headers: { 'x-api-key': key } }] }
})
