import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'

/** Connects to the Redis server. `end` deletes the keys with the prefix, and disconnects. */
export async function connectRedis (): Promise<{ client: Redis; keyPrefix: string; end(): Promise<void> }> {
  const url = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null })
  client.on('error', () => {}) // connect() reports the error
  await client.connect()
  const keyPrefix = `users_bench_${randomBytes(6).toString('hex')}:`
  return {
    client,
    keyPrefix,
    async end () {
      const keys = await client.keys(`${keyPrefix}*`)
      if (keys.length > 0) await client.del(keys)
      client.disconnect()
    }
  }
}
