// Verifies a JWT with @fastify/jwt, and reads the user with a named prepared statement.
import { COLUMNS, handJwt, type HandUser } from './support/hand.js'
import { handDatabase } from './support/hand-postgres.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { pool, user, end } = await handDatabase(settings)
  const text = `SELECT ${COLUMNS} FROM "user" WHERE id = $1`
  const { app, ...served } = await handJwt(settings, user, async (id) => {
    const { rows } = await pool.query<HandUser>({ name: 'user-by-id', text, values: [id] })
    return rows[0]
  })
  return { ...served, close: () => app.close().then(end) }
})
