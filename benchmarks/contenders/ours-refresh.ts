import Fastify from 'fastify'
import users, { bearerTransport, jwtStrategy } from 'fastify-users'
import { refreshTokens } from 'fastify-users/refresh-tokens'
import { sqlite } from 'fastify-users/sqlite'
import { CREDENTIALS, fastifyServer, SECRET } from './support/reply.js'
import { followRefreshTokens } from './support/refreshes.js'
import { serve } from './support/serve.js'
import { newFile } from './support/sqlite-file.js'

serve(async (settings) => {
  const app = Fastify()
  await app.register(users, {
    adapter: sqlite(newFile(settings)),
    limits: false,
    secret: SECRET,
    features: [refreshTokens()],
    backends: [{ name: 'b1', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 600 }) }]
  })
  await app.ready()
  await app.users.create(CREDENTIALS)
  const logIn = async (): Promise<string> => {
    const body = { username: CREDENTIALS.email, password: CREDENTIALS.password }
    const reply = await app.inject({ method: 'POST', url: '/auth/b1/login', body })
    return reply.json<{ refresh_token: string }>().refresh_token
  }
  return { ...fastifyServer(app), ...(await followRefreshTokens('/auth/b1/refresh', logIn)) }
})
