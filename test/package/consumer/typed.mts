import { randomBytes } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import users, { authenticate, bearerTransport, currentUser, jwtStrategy, userSchemas, type UserOf } from 'fastify-users'
import { memory } from 'fastify-users/memory'
import { google, oauth } from 'fastify-users/oauth'
import { asUser } from 'fastify-users/testing'

const schemas = userSchemas({ display_name: Type.String({ maxLength: 80 }) })

declare module 'fastify-users' {
  interface UsersRegister { user: UserOf<typeof schemas> }
}

const app = Fastify()
await app.register(users, {
  adapter: memory(),
  secret: randomBytes(32).toString('base64url'),
  schemas,
  backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }],
  features: [oauth({ providers: [google({ clientId: 'id', clientSecret: 'secret' })], publicUrl: 'https://app.example.com' })]
})
app.get('/hello', { preHandler: authenticate }, async (request): Promise<string> => currentUser(request).display_name)
await app.ready()
const headers = await asUser(app, { display_name: 'Arthur' })
console.log((await app.inject({ url: '/hello', headers })).body)
await app.close()
