// Reads token and user by the digest of the token, with one join in a prepared statement.
import { handStored, JOINED, LIFETIME_MS, readRow, type HandRow } from './support/hand.js'
import { handFile, timeText } from './support/hand-sqlite.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { database, token } = await handFile(settings)
  const byToken = database.prepare<[string, string], HandRow>(
    `SELECT ${JOINED} FROM accesstoken t JOIN user u ON u.id = t.user_id WHERE t.token = ? AND t.created_at > ?`
  )
  return await handStored(settings, token, (digest) => {
    const row = byToken.get(digest, timeText(Date.now() - LIFETIME_MS))
    return row && readRow(row)
  })
})
