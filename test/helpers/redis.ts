import { Redis } from 'ioredis'
import t from 'tap'

/**
 * Returns a client of the Redis server that `REDIS_URL` names (default: the standard port of this machine), and the
 * reason to skip its tests if no server answers. With `REQUIRE_SERVICES=1` a missing server is an error. The client is
 * disconnected when the test file ends.
 */
export async function connectRedis (): Promise<{ redis: Redis; skip: string | false }> {
  const url = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null }).on('error', () => {})
  const skip = await redis.connect().then(
    () => false as const,
    () => `no Redis answers on ${url}`
  )
  if (skip !== false && process.env['REQUIRE_SERVICES'] === '1') throw new Error(skip)
  t.teardown(() => {
    redis.disconnect()
  })
  return { redis, skip }
}
