import { redisStrategy } from 'fastify-users/redis'
import { sqlite } from 'fastify-users/sqlite'
import { ours } from './support/ours.js'
import { connectRedis } from './support/redis-client.js'
import { serve } from './support/serve.js'
import { newFile } from './support/sqlite-file.js'

serve(async (settings) => {
  const file = newFile(settings)
  const { client, keyPrefix, end } = await connectRedis()
  return await ours(settings, {
    adapter: () => sqlite(file),
    strategy: () => redisStrategy({ client, lifetimeSeconds: 3600, keyPrefix }),
    end
  })
})
