import { databaseStrategy } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'
import { ours } from './support/ours.js'
import { serve } from './support/serve.js'
import { fillFile, newFile } from './support/sqlite-file.js'

serve(async (settings) => {
  const file = newFile(settings)
  return await ours(settings, {
    adapter: () => sqlite(file),
    strategy: () => databaseStrategy({ lifetimeSeconds: 3600 }),
    fill: (amount) => fillFile(file, amount)
  })
})
