import { jwtStrategy } from 'fastify-users'
import { mysql } from 'fastify-users/mysql'
import { newDatabase } from './support/mariadb-database.js'
import { ours } from './support/ours.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { pool, end } = await newDatabase()
  return await ours(settings, {
    adapter: () => mysql(pool, { createTables: true }),
    strategy: () => jwtStrategy({ lifetimeSeconds: 3600 }),
    end
  })
})
