import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import users, { authenticate, bearerTransport, currentUser, jwtStrategy } from 'fastify-users'
import { memory } from 'fastify-users/memory'
import { github, oauth } from 'fastify-users/oauth'
import { asUser } from 'fastify-users/testing'

const app = Fastify()
await app.register(users, {
  adapter: memory(),
  secret: randomBytes(32).toString('base64url'),
  backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }],
  features: [oauth({ providers: [github({ clientId: 'id', clientSecret: 'secret' })], publicUrl: 'https://app.example.com' })]
})
app.get('/hello', { preHandler: authenticate }, async (request) => currentUser(request).email)
await app.ready()
const headers = await asUser(app, { email: 'king.arthur@camelot.bt' })
console.log((await app.inject({ url: '/hello', headers })).body)
await app.close()
