// The database of the other packages: the same table and row as for hand-written guards, and the same reply.
import { COLUMNS, readRow } from '../../dist/benchmarks/contenders/support/hand.js'
import { handFile } from '../../dist/benchmarks/contenders/support/hand-sqlite.js'

export { fastifyServer, PATH, schema, SECRET } from '../../dist/benchmarks/contenders/support/reply.js'
export { serve } from '../../dist/benchmarks/contenders/support/serve.js'

/** Creates a database file with the user. `load` reads the row of an id by a prepared statement. */
export async function openUsers (settings) {
  const { database, user } = await handFile(settings)
  const byId = database.prepare(`SELECT ${COLUMNS} FROM user WHERE id = ?`)
  const load = (id) => {
    const row = byId.get(id)
    return row && row.is_active === 1 ? readRow(row) : undefined
  }
  return { user, load }
}

/** Returns the fields of the reply, for packages without reply schemas. */
export function publicUser ({ id, email, is_active, is_superuser, is_verified }) {
  return { id, email, is_active, is_superuser, is_verified }
}

/** Returns the requests of a session cookie that a route has set. */
export function cookieRequests (path, response) {
  const cookie = response.cookies.map(({ name, value }) => `${name}=${encodeURIComponent(value)}`).join('; ')
  return [{ method: 'GET', path, headers: { cookie } }]
}
