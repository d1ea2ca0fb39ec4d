import { jwtStrategy } from 'fastify-users'
import { postgres } from 'fastify-users/postgres'
import { ours } from './support/ours.js'
import { newDatabase } from './support/postgres-database.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { pool, fill, end } = await newDatabase()
  return await ours(settings, {
    adapter: () => postgres(pool, { createTables: true }),
    strategy: () => jwtStrategy({ lifetimeSeconds: 3600, revocable: settings.revocable }),
    fill,
    end
  })
})
