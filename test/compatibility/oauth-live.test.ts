// Sends the requests of `oauth-rows.ts` to the real FastAPI Users and its clients for Google and GitHub, which ask the
// test providers. It must reply as the rows say, and the replies of the rows that differ on purpose must differ.
import { join } from 'node:path'
import type Database from 'better-sqlite3'
import t from 'tap'
import { python, startPython } from '../helpers/python-service.js'
import {
  GALAHAD,
  openRowDatabase,
  playRow,
  startRowProviders,
  STATE_SECRET,
  type OauthSide,
  type PlayedRow
} from './oauth-row-context.js'
import { rows, statusesIn, type OauthRow, type OauthVariant } from './oauth-rows.js'
import { SECRETS } from './rows.js'

const SETTINGS: Readonly<Record<OauthVariant, object>> = {
  plain: {},
  cookie: { oauth_backend: 'cookie' },
  'associate-by-email': { oauth: { associate_by_email: true } },
  'verified-by-default': { oauth: { is_verified_by_default: true } },
  verified: { requires_verification: true }
}

const providers = await startRowProviders(t)
const pristine = { google: { ...providers.servers.google.behavior }, github: { ...providers.servers.github.behavior } }
const folder = t.testdir()
const built = new Map<OauthVariant, Promise<LiveSide>>()

interface LiveSide extends OauthSide {
  /** Restores the database and the providers. */
  reset(): Promise<void>
}

async function findOrStart (variant: OauthVariant): Promise<LiveSide> {
  const started = built.get(variant) ?? start(variant)
  built.set(variant, started)
  return await started
}

async function start (variant: OauthVariant): Promise<LiveSide> {
  const file = join(folder, `${variant}.sqlite`)
  const database = openRowDatabase(t, file)
  const service = await startPython(t, {
    DATABASE_URL: `sqlite+aiosqlite:///${file}`,
    REDIS_URL: 'redis://127.0.0.1:6379',
    REDIS_PREFIX: 'unused:',
    AUTH_SECRET: SECRETS.auth,
    RESET_SECRET: SECRETS.reset,
    VERIFY_SECRET: SECRETS.verify,
    STATE_SECRET,
    CLIENT_ID: 'client-id',
    CLIENT_SECRET: 'client-secret',
    PROVIDERS: JSON.stringify({ google: providers.servers.google.url, github: providers.servers.github.url }),
    SETTINGS: JSON.stringify({ cheap_hashes: true, create: false, ...SETTINGS[variant] })
  })
  const restore = keepRows(database)
  let events: LiveEvent[] = []
  const readEvents = async (): Promise<void> => {
    events = (await service.request('GET', '/_test/events')).body as LiveEvent[]
  }
  return {
    providers,
    database,
    async get (url, headers) {
      const { status, rawBody, headers: received } = await service.send({ method: 'GET', url, headers })
      await readEvents()
      return { statusCode: status, headers: received, body: rawBody, json: <T>() => JSON.parse(rawBody) as T }
    },
    async resetPassword (email) {
      await service.request('POST', '/auth/forgot-password', { email })
      await readEvents()
      const token = events.findLast(({ name }) => name === 'onAfterForgotPassword')?.token
      await service.request('POST', '/auth/reset-password', { token, password: 'excalibur-3' })
    },
    events: () => events.map(({ name, verified = false }) => ({ name, verified })),
    async reset () {
      restore()
      await service.request('DELETE', '/_test/events')
      events = []
      providers.be(GALAHAD)
      for (const [name, server] of Object.entries(providers.servers)) {
        Object.assign(server.behavior, pristine[name as 'google'], { requirePkce: false })
        for (const where of ['token', 'https://api.github.com/user'] as const) server.fail(where, null)
        server.seen.length = 0
      }
    }
  }
}

interface LiveEvent {
  name: string
  token?: string
  verified?: boolean
}

/** Returns a function that restores the present rows. */
function keepRows (database: Database.Database): () => void {
  const kept = ['user', 'oauth_account'].map((table) => ({
    table,
    stored: database.prepare(`SELECT * FROM "${table}"`).raw().all() as unknown[][]
  }))
  return () => {
    for (const { table } of kept.toReversed()) database.exec(`DELETE FROM "${table}"`)
    for (const { table, stored } of kept) {
      for (const row of stored) {
        database.prepare(`INSERT INTO "${table}" VALUES (${row.map(() => '?').join(', ')})`).run(row)
      }
    }
  }
}

/** Sends a row to FastAPI Users. */
async function measure (row: OauthRow): Promise<PlayedRow> {
  const side = await findOrStart(row.variant ?? 'plain')
  await side.reset()
  return await playRow(side, row)
}

t.test('row 90: the OAuth routes of the real FastAPI Users reply as the table says', { skip: python.skip }, async (t) => {
  for (const row of rows) {
    const title = `${row.at} ${row.name}`
    const { differs } = row
    const { differences, statuses, reply, context } = await measure(row)
    if (differs === undefined) {
      t.strictSame(differences, [], title)
      continue
    }
    const { upstream, shows } = differs
    t.strictSame(statuses, statusesIn(upstream), `${title}: the statuses of "${upstream}", ${reply.body}`)
    t.ok(differences.length > 0, `${title}: it differs`)
    if (shows !== undefined) t.ok(await shows(context, reply), `${title}: ${upstream}`)
  }
})

t.test('a row that differs only in its body or in the stored state says how', async (t) => {
  for (const { name, steps, differs } of rows) {
    if (differs === undefined || differs.shows !== undefined) continue
    const statuses = steps.map(({ status }) => status)
    t.notSame(statuses, statusesIn(differs.upstream), name)
  }
})
