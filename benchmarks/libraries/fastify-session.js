// @fastify/session with its store in memory. The session contains the user's id, by which the row is read.
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import { cookieRequests, fastifyServer, openUsers, PATH, schema, SECRET, serve } from './user-rows.js'

serve(async (settings) => {
  const { user, load } = await openUsers(settings)
  const app = Fastify()
  await app.register(cookie)
  await app.register(session, { secret: SECRET, saveUninitialized: false, rolling: false, cookie: { secure: false } })
  app.decorateRequest('account', null)
  app.post('/login', async (request) => {
    request.session.set('id', user.id)
    return {}
  })
  const guard = async (request, reply) => {
    const id = request.session.get('id')
    request.account = id === undefined ? undefined : load(id)
    if (request.account === undefined) return reply.code(401).send({ error: 'unauthenticated' })
  }
  app.get(PATH, { preHandler: guard, schema }, async (request) => request.account)
  const response = await app.inject({ method: 'POST', url: '/login' })
  return { ...fastifyServer(app), requests: cookieRequests(PATH, response) }
})
