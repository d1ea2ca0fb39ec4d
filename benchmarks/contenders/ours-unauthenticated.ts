import { jwtStrategy } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'
import { ours } from './support/ours.js'
import { PATH } from './support/reply.js'
import { serve } from './support/serve.js'
import { newFile } from './support/sqlite-file.js'

serve(async (settings) => {
  const file = newFile(settings)
  const served = await ours(settings, {
    adapter: () => sqlite(file),
    strategy: () => jwtStrategy({ lifetimeSeconds: 3600 })
  })
  return { ...served, requests: [{ method: 'GET', path: PATH }], expect: 401 }
})
