// Verifies a JWT with @fastify/jwt, and reads the user with a prepared statement.
import { COLUMNS, handJwt, readRow, type HandRow } from './support/hand.js'
import { handFile } from './support/hand-sqlite.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { database, user } = await handFile(settings)
  const byId = database.prepare<[string], HandRow>(`SELECT ${COLUMNS} FROM user WHERE id = ?`)
  return await handJwt(settings, user, (id) => {
    const row = byId.get(id)
    return row && readRow(row)
  })
})
