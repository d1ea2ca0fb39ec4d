// HTTP/2 applications, plain and secure: the guard, `request.user` and registration type-check as with HTTP/1.
import { readFileSync } from 'node:fs'
import type { Http2SecureServer, Http2Server } from 'node:http2'
import Fastify, { type FastifyInstance } from 'fastify'
import users, {
  authenticate,
  bearerTransport,
  cookieTransport,
  currentUser,
  databaseStrategy,
  jwtStrategy,
  type User,
  type UsersApi,
  type UsersOptions
} from 'fastify-users'
import { memory } from 'fastify-users/memory'
import { same, type Equal } from '../equal.js'

const options: UsersOptions = {
  adapter: memory(),
  secret: '',
  backends: [
    { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
    { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
  ]
}

const plain = Fastify({ http2: true })
plain.server satisfies Http2Server
await plain.register(users, options)
same<Equal<typeof plain.users, UsersApi>>()
plain.get('/a', { preHandler: authenticate }, async (request) => currentUser(request).email)
plain.get('/b', { onRequest: plain.authenticate({ superuser: true, backends: ['jwt'] }) }, async (request) => {
  same<Equal<typeof request.user, User | null>>()
  return request.authentication?.backend
})
plain.get('/c', async (request, reply) => await authenticate(request, reply, { optional: true }))
plain.get('/d', { preHandler: [authenticate()] }, async (request, reply) => {
  const user: User | null = await plain.authenticate(request, reply)
  return reply.send(user?.email)
})
plain.addHook('onRequest', authenticate)
plain.addHook('preHandler', authenticate({ verified: true }))
plain.get('/e', async (request, reply) => {
  const row = await plain.users.checkCredentials({ username: 'a@example.com', password: 'guinevere-1' })
  if (row !== null) await plain.users.login(row, { backend: 'jwt' })
  return reply.send(row === null)
})

const secure = Fastify({ http2: true, https: { key: readFileSync('key.pem'), cert: readFileSync('cert.pem'), allowHTTP1: true } })
secure.server satisfies Http2SecureServer
await secure.register(users, options)
secure.get('/a', { preHandler: authenticate({ verified: true }) }, async (request) => currentUser(request).email)
secure.register(async (scope) => {
  scope.addHook('onRequest', scope.authenticate)
  scope.get('/b', async (request) => request.user?.id)
})

export function addRoutes (app: FastifyInstance<Http2SecureServer>): void {
  app.get('/f', { preHandler: app.authenticate }, async (request) => currentUser(request))
}
// @ts-expect-error the flag does not exist
secure.get('/g', { preHandler: authenticate({ admin: true }) }, async () => {})
