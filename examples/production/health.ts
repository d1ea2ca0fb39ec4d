import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { Clients } from './users-options.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** From now on `/health/ready` replies 503, so that no balancer sends further requests to this process. */
    refuseTraffic(): void
  }
}

/** Milliseconds within which the servers must answer. */
const TIMEOUT_MS = 2000

/**
 * Registers `/health/live`, which replies 200 as long as the process works, and `/health/ready`, which replies 200 if
 * the process can serve requests, and 503 otherwise. A restart would not help against an unavailable database.
 */
export function healthRoutes ({ pool, redis }: Clients): FastifyPluginAsync {
  return async (app: FastifyInstance) => {
    let stopping = false
    app.decorate('refuseTraffic', () => {
      stopping = true
    })
    app.get('/health/live', async () => ({ status: 'live' }))
    app.get('/health/ready', async (_request, reply) => {
      const [postgres, sessions] = await Promise.all([
        answers(pool.query('SELECT 1')),
        answers(redis.ping())
      ])
      const ready = postgres && sessions && !stopping
      return reply.code(ready ? 200 : 503).send({ ready, stopping, postgres, redis: sessions })
    })
  }
}

/** Returns true if a server answers in time. */
async function answers (answer: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, TIMEOUT_MS, false)
  })
  const answered = answer.then(
    () => true,
    () => false
  )
  return await Promise.race([answered, timeout]).finally(() => {
    clearTimeout(timer)
  })
}
