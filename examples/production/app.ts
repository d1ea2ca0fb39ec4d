import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import users, { authenticate, currentUser } from 'fastify-users'
import { healthRoutes } from './health.js'
import type { Settings } from './settings.js'
import { createClients, usersOptions } from './users-options.js'

/** Builds the application of one process. */
export async function buildApp (settings: Settings): Promise<FastifyInstance> {
  const clients = createClients(settings)
  const app = Fastify({
    logger: { level: 'warn' },
    trustProxy: settings.proxies,
    requestTimeout: 30_000,
    // longer than nginx keeps an unused connection, so that nginx never writes to a connection that is being closed
    keepAliveTimeout: 75_000
  })
  await app.register(fp(healthRoutes(clients)))
  await app.register(users, usersOptions(settings, clients))
  app.addHook('onClose', async () => {
    await clients.pool.end()
    clients.redis.disconnect()
  })
  app.get('/hello', { preHandler: authenticate }, async (request) => ({ hello: currentUser(request).email }))
  return app
}
