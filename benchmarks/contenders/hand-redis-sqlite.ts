// Reads the id of the user from Redis by the digest of the token, then the user with a prepared statement.
import { COLUMNS, digestOf, handStored, readRow, type HandRow } from './support/hand.js'
import { handFile } from './support/hand-sqlite.js'
import { connectRedis } from './support/redis-client.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const { database, user, token } = await handFile(settings)
  const { client, keyPrefix, end } = await connectRedis()
  await client.set(keyPrefix + digestOf(token), user.id, 'EX', 3600)
  const byId = database.prepare<[string], HandRow>(`SELECT ${COLUMNS} FROM user WHERE id = ?`)
  const served = await handStored(settings, token, async (digest) => {
    const id = await client.get(keyPrefix + digest)
    const row = id === null ? undefined : byId.get(id)
    return row && readRow(row)
  })
  return {
    ...served,
    async close () {
      await served.close()
      await end()
    }
  }
})
