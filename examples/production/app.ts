import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import users, { authenticate, currentUser } from 'fastify-users'
import { healthRoutes } from './health.js'
import type { Settings } from './settings.js'
import { createClients, serverOptions, usersOptions } from './users-options.js'

/** Builds the application of one process. */
export async function buildApp (settings: Settings): Promise<FastifyInstance> {
  const clients = createClients(settings)
  const app = Fastify({ logger: { level: 'warn' }, ...serverOptions(settings) })
  // the hooks of Fastify for closing run in reverse order: the plugin finishes its work before the clients are closed
  app.addHook('onClose', async () => {
    await clients.pool.end()
    clients.redis.disconnect()
    clients.mailer?.close()
  })
  await app.register(fp(healthRoutes(clients)))
  await app.register(users, usersOptions(settings, clients))
  app.get('/hello', { preHandler: authenticate }, async (request) => ({ hello: currentUser(request).email }))
  app.get('/reports', { preHandler: authenticate({ scopes: ['reports'] }) }, async (request) => ({
    reports: [],
    of: currentUser(request).email
  }))
  return app
}
