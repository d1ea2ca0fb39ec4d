import { jwtStrategy } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'
import { ours } from './support/ours.js'
import { registrations } from './support/registrations.js'
import { serve } from './support/serve.js'
import { newFile } from './support/sqlite-file.js'

serve(async (settings) => {
  const file = newFile(settings)
  const served = await ours(settings, {
    adapter: () => sqlite(file),
    strategy: () => jwtStrategy({ lifetimeSeconds: 3600 })
  })
  return { ...served, requests: registrations('/auth/register'), expect: 201 }
})
