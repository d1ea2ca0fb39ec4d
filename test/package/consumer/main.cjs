const { randomBytes } = require('node:crypto')
const Fastify = require('fastify')
const { users, authenticate, bearerTransport, currentUser, jwtStrategy } = require('fastify-users')
const { memory } = require('fastify-users/memory')
const { asUser } = require('fastify-users/testing')

async function main () {
  const app = Fastify()
  await app.register(users, {
    adapter: memory(),
    secret: randomBytes(32).toString('base64url'),
    backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }]
  })
  app.get('/hello', { preHandler: authenticate }, async (request) => currentUser(request).email)
  await app.ready()
  const headers = await asUser(app, { email: 'king.arthur@camelot.bt' })
  console.log((await app.inject({ url: '/hello', headers })).body)
  await app.close()
}

main()
