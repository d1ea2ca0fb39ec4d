// @fastify/passport with passport-jwt, which reads the row of the user.
import { randomBytes } from 'node:crypto'
import { Authenticator } from '@fastify/passport'
import secureSession from '@fastify/secure-session'
import Fastify from 'fastify'
import { jwtRequests, rowStrategy } from './jwt-requests.js'
import { fastifyServer, openUsers, PATH, schema, serve } from './user-rows.js'

serve(async (settings) => {
  const { user, load } = await openUsers(settings)
  const app = Fastify()
  const passport = new Authenticator()
  passport.use('jwt', rowStrategy(load))
  // its initialization needs a session, which requests with a token do not have
  await app.register(secureSession, { key: randomBytes(32) })
  await app.register(passport.initialize())
  const preValidation = passport.authenticate('jwt', { session: false })
  app.get(PATH, { preValidation, schema }, async (request) => request.user)
  return { ...fastifyServer(app), requests: jwtRequests(user) }
})
