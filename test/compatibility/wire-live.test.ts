// Sends the requests of `rows.ts` to the real FastAPI Users. It must reply as the rows say, and the replies of the rows
// that differ on purpose must differ.
import { chmodSync, copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { hash as hashArgon2 } from '@node-rs/argon2'
import { hash as hashBcrypt } from '@node-rs/bcrypt'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { python, startPython, type PythonService, type RawReply } from '../helpers/python-service.js'
import { cookieMeaning, hyphenated, readable, requestOf, textOf, type RowRequest } from './row-requests.js'
import { emailOf, PASSWORD, rows, SECRETS, type Actor, type RowContext, type Variant, type WireRow } from './rows.js'

const FLAGS: Readonly<Record<Actor, { active?: boolean; superuser?: boolean; verified?: boolean }>> = {
  arthur: { superuser: true, verified: true },
  galahad: { verified: true },
  lancelot: {},
  mordred: { active: false }
}
const SETTINGS: Readonly<Record<Variant, object>> = {
  plain: {},
  verified: { requires_verification: true },
  policy: { policy: true },
  faulty: { faulty: true },
  'cookie-age': { cookie: { cookie_max_age: 3600 } },
  'cookie-own': {
    cookie: {
      cookie_name: 'sess',
      cookie_domain: 'camelot.bt',
      cookie_path: '/x',
      cookie_secure: false,
      cookie_httponly: false,
      cookie_samesite: 'strict'
    }
  },
  'broken-store': { broken: true },
  custom: { custom: true },
  fixture: { create: false }
}

/** Rows whose replies FastAPI, Starlette and pwdlib changed after the table was written, with the reason. */
const CHANGED: Readonly<Record<string, string>> = {
  'login with a malformed form': 'Starlette 1.10 names the problem of the form',
  'PATCH me unauthenticated with a bad body': 'FastAPI 0.165 reads JSON before it checks the user',
  'PATCH id by a normal user, even an unknown id or with a bad body': 'FastAPI 0.165 reads JSON first',
  'PATCH id by a superuser: unknown or malformed, even with a bad or absent body': 'FastAPI 0.165 reads JSON first',
  'null for a parameter of a body counts as missing': 'FastAPI 0.165 reports a wrong type',
  'reset with the fingerprint "$argon2id$v=19$m=8,t=1,p=1$broken"': 'pwdlib 0.3 refuses a malformed hash with 400'
}
/** Differences that `readable` and `cookieMeaning` hide, or that only listeners notice. */
const HIDDEN: Readonly<Record<string, (measured: Measured) => boolean>> = {
  'cookie logout': ({ replies: [reply] }) => String(reply?.headers['set-cookie']).includes('fastapiusersauth="";'),
  'two JWT logins in the same second': ({ replies: [reply], kept }) =>
    reply?.rawBody.includes(`"${String(kept['first'])}"`) === true,
  'PATCH me with null as password: it stays': ({ events }) => events.includes('"changes":{"password":null}'),
  'forgot: listeners are called for known and active users only': ({ events }) =>
    events.includes('"onAfterForgotPassword"')
}

/** The result of a row. */
interface Measured {
  /** Differences between the replies and the row. */
  differences: readonly string[]
  replies: readonly RawReply[]
  /** The calls of listeners as JSON. */
  events: string
  kept: RowContext['kept']
}

interface LiveVariant {
  send(request: RowRequest): Promise<RawReply>
  /** Returns the calls of listeners as JSON. */
  events(): Promise<string>
  /** Restores the rows of the four actors and returns the helpers of a row. */
  reset(): Promise<RowContext>
}

const folder = t.testdir()
const built = new Map<Variant, Promise<LiveVariant>>()

async function findOrStart (variant: Variant): Promise<LiveVariant> {
  const started = built.get(variant) ?? start(variant)
  built.set(variant, started)
  return await started
}

async function start (variant: Variant): Promise<LiveVariant> {
  const file = join(folder, `${variant}.sqlite`)
  if (variant === 'fixture') {
    copyFileSync('test/fixtures/fastapi-users.sqlite', file)
    chmodSync(file, 0o644)
  }
  const service = await startPython(t, {
    DATABASE_URL: `sqlite+aiosqlite:///${file}`,
    REDIS_URL: 'redis://127.0.0.1:6379',
    REDIS_PREFIX: 'unused:',
    AUTH_SECRET: SECRETS.auth,
    RESET_SECRET: SECRETS.reset,
    VERIFY_SECRET: SECRETS.verify,
    STATE_SECRET: SECRETS.auth,
    SETTINGS: JSON.stringify({ cheap_hashes: true, ...SETTINGS[variant] })
  })
  const database = new Database(file)
  t.teardown(() => database.close())
  const hash = await hashArgon2(PASSWORD, { memoryCost: 8, timeCost: 1, parallelism: 1 })
  const kept = ['user', 'accesstoken', 'oauth_account'].map((table) => ({
    table,
    stored: database.prepare(`SELECT * FROM "${table}"`).all() as Record<string, unknown>[]
  }))
  return {
    send: (request) => service.send(request),
    events: async () => (await service.request('GET', '/_test/events')).text,
    async reset () {
      for (const { table } of kept.toReversed()) database.prepare(`DELETE FROM "${table}"`).run()
      for (const { table, stored } of kept) for (const row of stored) insert(database, table, row)
      for (const [who, { active = true, superuser = false, verified = false }] of Object.entries(FLAGS)) {
        const isStored = database.prepare('SELECT 1 FROM user WHERE email = ?').get(emailOf(who as Actor)) !== undefined
        if (isStored) continue
        insert(database, 'user', {
          id: crypto.randomUUID(),
          email: emailOf(who as Actor),
          hashed_password: hash,
          is_active: Number(active),
          is_superuser: Number(superuser),
          is_verified: Number(verified),
          ...(variant === 'custom' ? { nick: who.slice(0, 5) } : {})
        })
      }
      await service.request('DELETE', '/_test/events')
      return createContext(service, database)
    }
  }
}

function insert (database: Database.Database, table: string, row: Record<string, unknown>): void {
  const names = Object.keys(row)
  const sql = `INSERT INTO "${table}" (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`
  database.prepare(sql).run(...Object.values(row))
}

function createContext (service: PythonService, database: Database.Database): RowContext {
  const idOf = (who: Actor): string =>
    String(database.prepare('SELECT id FROM user WHERE email = ?').pluck().get(emailOf(who)))
  const ids = Object.fromEntries(Object.keys(FLAGS).map((who) => [who, hyphenated(idOf(who as Actor))]))
  const byEmail = (who: Actor): string => emailOf(who)
  return {
    ids: ids as Record<Actor, string>,
    kept: {},
    get now () {
      return Math.floor(Date.now() / 1000)
    },
    async requestToken (purpose, who) {
      const path = purpose === 'reset' ? '/auth/forgot-password' : '/auth/request-verify-token'
      await service.request('POST', path, { email: byEmail(who) })
      const { body } = await service.request('GET', '/_test/events')
      return (body as { token?: string }[]).findLast(({ token }) => token !== undefined)?.token ?? ''
    },
    async change (who, changes) {
      const { password, ...others } = changes as { password?: string }
      const columns: Record<string, unknown> = { ...others }
      if (password !== undefined) columns['hashed_password'] = await hashArgon2(password, { memoryCost: 8, timeCost: 1 })
      for (const [name, value] of Object.entries(columns)) {
        const stored = typeof value === 'boolean' ? Number(value) : value
        database.prepare(`UPDATE user SET ${name} = ? WHERE email = ?`).run(stored, byEmail(who))
      }
    },
    async makeOldHash (who) {
      const hash = (await hashBcrypt(PASSWORD, 4)).replace('$2y$', '$2b$')
      database.prepare('UPDATE user SET hashed_password = ? WHERE email = ?').run(hash, byEmail(who))
    },
    async remove (who) {
      database.prepare('DELETE FROM user WHERE email = ?').run(byEmail(who))
    },
    async login (backend, who) {
      const { body } = await service.request('POST', `/_test/login/${backend}/${byEmail(who)}`)
      return String(body)
    },
    settled: async () => {},
    eventsNamed: () => []
  }
}

const WORDING = /"msg":"value is not a valid email address: .*?"(?=,"input")|"ctx":\{"reason":".*?"\}(?=\})/g

/**
 * Returns a reply without what differs in all rows: ids and tokens, and the sentences of the library email-validator.
 * Two rows are about these differences.
 */
function comparable (body: string): string {
  return readable(body).replace(WORDING, '')
}

const mediaType = (value: unknown): string | null => (value === undefined ? null : String(value).replace(/;.*/, ''))

/** Sends the requests of a row. */
async function measure (row: WireRow): Promise<Measured> {
  const { variant = 'plain', steps, differs } = row
  const normal = differs === undefined ? comparable : readable
  const { send, reset, events } = await findOrStart(variant)
  const context = await reset()
  const differences: string[] = []
  const all: RawReply[] = []
  for (const [n, step] of steps.entries()) {
    await step.before?.(context)
    const replies = await Promise.all(
      Array.from({ length: step.times ?? 1 }, () => send(requestOf(step, context)))
    )
    replies.sort((a, b) => Number(b.status === step.status) - Number(a.status === step.status))
    all.push(...replies)
    for (const [i, { status, rawBody, headers }] of replies.entries()) {
      const expected = i === 0 || step.others === undefined ? step : step.others
      const compare = (what: string, actual: unknown, wanted: unknown): void => {
        if (JSON.stringify(actual) !== JSON.stringify(wanted)) {
          differences.push(`${n + 1}: ${what} ${JSON.stringify(actual)}, not ${JSON.stringify(wanted)}`)
        }
      }
      compare('status', status, expected.status)
      compare('body', normal(rawBody), normal(textOf(expected.body)))
      const cookie = readable(String(headers['set-cookie']?.[0] ?? ''))
      compare('cookie', cookieMeaning(cookie), cookieMeaning(step.cookie ?? ''))
      for (const [name, value] of Object.entries(step.has ?? {})) {
        const exact = name !== 'content-type' || differs !== undefined
        if (exact) compare(name, headers[name] ?? null, value)
        else compare(name, mediaType(headers[name]), mediaType(value ?? undefined))
      }
    }
  }
  return { differences, replies: all, events: await events(), kept: context.kept }
}

t.test('row 90: the real FastAPI Users replies as the table says', { skip: python.skip }, async (t: Test) => {
  for (const row of rows) {
    const name = `${row.at} ${row.name}`.replaceAll('#', '')
    const hidden = HIDDEN[row.name]
    let measured = await measure(row)
    // two logins belong to one second only sometimes
    for (let n = 0; n < 20 && hidden?.(measured) === false; n++) measured = await measure(row)
    const { differences, replies } = measured
    const changed = CHANGED[row.name]
    // a changed reply differs from the table, or no longer differs from the reply of this package
    if (changed !== undefined) t.equal(differences.length > 0, row.differs === undefined, `${name}: ${changed}`)
    else if (hidden !== undefined) t.ok(hidden(measured), `${name}: differs`)
    else if (row.differs === undefined) t.same(differences, [], name)
    else {
      const { upstream } = row.differs
      t.ok(differences.length > 0, `${name}: ${upstream}`)
      const [first] = /^\d{3}/.exec(upstream) ?? []
      const statuses = replies.map(({ status }) => status)
      if (first !== undefined) t.ok(statuses.includes(Number(first)), `${name}: ${first} in ${statuses.join()}`)
    }
  }
})
