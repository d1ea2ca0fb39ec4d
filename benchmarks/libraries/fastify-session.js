// @fastify/session with its store in memory. The session contains the user's id, by which the row is read.
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import { addSessionRoutes, cookieRequests, fastifyServer, openUsers, PATH, SECRET, serve } from './user-rows.js'

serve(async (settings) => {
  const users = await openUsers(settings)
  const app = Fastify()
  await app.register(cookie)
  await app.register(session, { secret: SECRET, saveUninitialized: false, rolling: false, cookie: { secure: false } })
  addSessionRoutes(app, users)
  const response = await app.inject({ method: 'POST', url: '/login' })
  return { ...fastifyServer(app), requests: cookieRequests(PATH, response) }
})
