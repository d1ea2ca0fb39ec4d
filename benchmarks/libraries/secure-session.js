// @fastify/secure-session. An encrypted cookie contains the user's id, by which the row is read.
import { randomBytes } from 'node:crypto'
import secureSession from '@fastify/secure-session'
import Fastify from 'fastify'
import { addSessionRoutes, cookieRequests, fastifyServer, openUsers, PATH, serve } from './user-rows.js'

serve(async (settings) => {
  const users = await openUsers(settings)
  const app = Fastify()
  await app.register(secureSession, { key: randomBytes(32), cookie: { path: '/', httpOnly: true } })
  addSessionRoutes(app, users)
  const response = await app.inject({ method: 'POST', url: '/login' })
  return { ...fastifyServer(app), requests: cookieRequests(PATH, response) }
})
