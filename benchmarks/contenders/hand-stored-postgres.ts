// Reads token and user by the digest of the token, with one join in a named prepared statement.
import { handStored, JOINED, type HandUser } from './support/hand.js'
import { handDatabase } from './support/hand-postgres.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { pool, token, end } = await handDatabase(settings)
  const text = `SELECT ${JOINED} FROM accesstoken t JOIN "user" u ON u.id = t.user_id
WHERE t.token = $1 AND t.created_at > now() - interval '1 hour'`
  const served = await handStored(settings, token, async (digest) => {
    const { rows } = await pool.query<HandUser>({ name: 'user-by-token', text, values: [digest] })
    return rows[0]
  })
  return { ...served, close: () => served.close().then(end) }
})
