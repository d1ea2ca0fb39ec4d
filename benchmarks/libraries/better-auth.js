// better-auth in a Fastify application, with its own tables on SQLite. `cached` turns on its cookie cache.
import { randomUUID } from 'node:crypto'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { fromNodeHeaders } from 'better-auth/node'
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import { newFile } from '../../dist/benchmarks/contenders/support/sqlite-file.js'
import { CREDENTIALS } from '../../dist/benchmarks/contenders/support/reply.js'
import { fastifyServer, PATH, schema, SECRET, serve } from './user-rows.js'

const FLAG = { type: 'boolean', required: true, input: false }

serve(async (settings) => {
  const database = new Database(newFile(settings))
  database.pragma('journal_mode = WAL')
  const auth = betterAuth({
    database,
    secret: SECRET,
    baseURL: 'http://localhost',
    telemetry: { enabled: false },
    emailAndPassword: { enabled: true },
    session: settings.cached ? { cookieCache: { enabled: true, maxAge: 300 } } : {},
    advanced: { database: { generateId: () => randomUUID() } },
    user: {
      additionalFields: {
        is_active: { ...FLAG, defaultValue: true },
        is_superuser: { ...FLAG, defaultValue: false },
        is_verified: { ...FLAG, defaultValue: false }
      }
    }
  })
  await (await getMigrations(auth.options)).runMigrations()
  const { headers } = await auth.api.signUpEmail({ body: { ...CREDENTIALS, name: 'Arthur' }, returnHeaders: true })
  const cookie = headers.getSetCookie().map((line) => line.split(';')[0]).join('; ')

  const app = Fastify()
  app.decorateRequest('account', null)
  const guard = async (request, reply) => {
    const session = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) })
    if (session === null) return reply.code(401).send({ error: 'unauthenticated' })
    request.account = session.user
  }
  app.get(PATH, { preHandler: guard, schema }, async (request) => request.account)
  return { ...fastifyServer(app), requests: [{ method: 'GET', path: PATH, headers: { cookie } }] }
})
