// @fastify/secure-session. An encrypted cookie contains the user's id, by which the row is read.
import { randomBytes } from 'node:crypto'
import secureSession from '@fastify/secure-session'
import Fastify from 'fastify'
import { cookieRequests, fastifyServer, openUsers, PATH, schema, serve } from './user-rows.js'

serve(async (settings) => {
  const { user, load } = await openUsers(settings)
  const app = Fastify()
  await app.register(secureSession, { key: randomBytes(32), cookie: { path: '/', httpOnly: true } })
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
