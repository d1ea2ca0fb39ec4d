import { jwtStrategy } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'
import { ours } from './support/ours.js'
import { serve } from './support/serve.js'
import { fillFile, newFile } from './support/sqlite-file.js'

serve(async (settings) => {
  const file = newFile(settings)
  return await ours(settings, {
    adapter: () => sqlite(file),
    strategy: () => jwtStrategy({ lifetimeSeconds: 3600, revocable: settings.revocable }),
    fill: (amount) => fillFile(file, amount)
  })
})
