// The database of the other packages: the same table and row as for hand-written guards, and the same reply.
import { COLUMNS, readRow } from '../../dist/benchmarks/contenders/support/hand.js'
import { PATH, schema } from '../../dist/benchmarks/contenders/support/reply.js'
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

/** Adds a route that stores the user's id in the session, and a guarded route that reads the row by this id. */
export function addSessionRoutes (app, { user, load }) {
  app.decorateRequest('account', null)
  app.post('/login', async (request) => {
    request.session.set('id', user.id)
    return {}
  })
  const guard = async (request, reply) => {
    const id = request.session.get('id')
    request.account = id === undefined ? undefined : load(id)
    if (request.account === undefined) return reply.code(401).send({ error: 'unauthenticated' })
  }
  app.get(PATH, { preHandler: guard, schema }, async (request) => request.account)
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
