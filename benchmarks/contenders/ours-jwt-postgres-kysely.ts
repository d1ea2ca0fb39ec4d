import { Kysely, PostgresDialect } from 'kysely'
import { jwtStrategy } from 'fastify-users'
import { kysely } from 'fastify-users/kysely'
import { ours } from './support/ours.js'
import { newDatabase } from './support/postgres-database.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { pool, fill, end } = await newDatabase()
  const db = new Kysely({ dialect: new PostgresDialect({ pool }) })
  return await ours(settings, {
    adapter: () => kysely(db, { createTables: true }),
    strategy: () => jwtStrategy({ lifetimeSeconds: 3600 }),
    fill,
    end
  })
})
