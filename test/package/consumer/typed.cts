import Fastify = require('fastify')
import fastifyUsers = require('fastify-users')
import fastifyUsersMemory = require('fastify-users/memory')
import fastifyUsersOauth = require('fastify-users/oauth')
import crypto = require('node:crypto')

const { users, authenticate, bearerTransport, currentUser, jwtStrategy } = fastifyUsers
const { memory } = fastifyUsersMemory
const { github, oauth } = fastifyUsersOauth

async function main (): Promise<void> {
  const app = Fastify()
  await app.register(users, {
    adapter: memory(),
    secret: crypto.randomBytes(32).toString('base64url'),
    backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }],
    features: [oauth({ providers: [github({ clientId: 'id', clientSecret: 'secret' })], publicUrl: 'https://app.example.com' })]
  })
  app.get('/hello', { preHandler: authenticate }, async (request): Promise<string> => currentUser(request).email)
  await app.ready()
  console.log((await app.inject('/hello')).statusCode)
  await app.close()
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
