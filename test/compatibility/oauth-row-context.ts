// Providers, database and helpers for the rows of `oauth-rows.ts`, for this package and for FastAPI Users.
import { randomUUID } from 'node:crypto'
import { chmodSync, copyFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import type { Test } from 'tap'
import { startOauthServer, type OauthServer } from '../helpers/oauth-server.js'
import type { OauthReply, OauthRow, OauthRowContext, Person, StoredAccount } from './oauth-rows.js'
import { hyphenated, readable } from './row-requests.js'
import { CENTURY, SECRETS, signLikePython } from './rows.js'

/** The cookie of a login. */
export const COOKIE = 'fastapiusersoauthcsrf'
export const STATE_SECRET = 'state-Qw8Er7Ty6Ui5Op4As3Df2Gh1Jk0LzXcV'
export const GALAHAD = { id: '1001', email: 'galahad@gmail.example' }
/** The id of Mordred. */
export const MORDRED = '0f8fad5b-d9cb-469f-a165-70867728950e'
const ME = 'https://api.github.com/user'
const PEOPLE = 'https://people.googleapis.com/v1/people/me'

/** Two test providers and their users. */
export interface RowProviders {
  servers: Record<'google' | 'github', OauthServer>
  be: OauthRowContext['be']
  fail: OauthRowContext['fail']
}

/** Starts the two providers. They stop with the test. */
export async function startRowProviders (t: Test): Promise<RowProviders> {
  const servers = { google: await startOauthServer(), github: await startOauthServer() }
  t.teardown(() => Promise.all(Object.values(servers).map((server) => server.close())))
  return {
    servers,
    be ({ id, email = null, verified = true }) {
      servers.google.behavior.claims = { sub: id, ...(email === null ? {} : { email, email_verified: verified }) }
      // this package reads the id_token of Google, FastAPI Users reads this API
      servers.google.answer(PEOPLE, {
        resourceName: `people/${id}`,
        ...(email === null ? {} : { emailAddresses: [{ value: email, metadata: { primary: true } }] })
      })
      servers.github.answer(ME, { id: Number(id), login: 'knight' })
      servers.github.answer(`${ME}/emails`, email === null ? [] : [{ email, primary: true, verified }])
    },
    fail (endpoint, fault) {
      if (fault === 'empty-token') servers.google.behavior.tokenAnswer = { access_token: undefined }
      else if (endpoint === 'api') servers.github.fail(ME, fault)
      else servers.google.fail('token', fault)
    }
  }
}

/** Copies the database of FastAPI Users to a file, opens it and adds Mordred. */
export function openRowDatabase (t: Test, file: string): Database.Database {
  const database = openFixture(t, file)
  database.exec(`INSERT INTO user VALUES ('${MORDRED}', 'mordred@camelot.bt', 'x', 0, 0, 0)`)
  database.exec(accountOf(MORDRED, 'github', '583231', 'mordred@camelot.bt'))
  return database
}

/** Copies the database of FastAPI Users to a file and opens it. */
export function openFixture (t: Test, file: string): Database.Database {
  copyFileSync('test/fixtures/fastapi-users.sqlite', file)
  chmodSync(file, 0o644)
  const database = new Database(file)
  t.teardown(() => database.close())
  return database
}

/** Returns a statement that stores an account in the format of SQLAlchemy. */
export const accountOf = (userId: string, name: string, accountId: string, email: string): string =>
  `INSERT INTO oauth_account VALUES ('${randomUUID()}', '${userId}', '${name}', 'theirs', 1893456000, 'theirs-too', '${accountId}', '${email}')`

/** Returns the header of a session. */
export const sessionOf = (id: string): { authorization: string } => ({
  authorization: `Bearer ${signLikePython({ sub: id, aud: ['fastapi-users:auth'], exp: CENTURY }, SECRETS.auth)}`
})

/** An application whose OAuth routes are compared. */
export interface OauthSide {
  readonly providers: RowProviders
  readonly database: Database.Database
  get(url: string, headers: Record<string, string>): Promise<OauthReply>
  /** Resets the password of a user with a mailed token. */
  resetPassword(email: string): Promise<void>
  /** The events so far. */
  events(): readonly { name: string; verified: boolean }[]
}

/** The result of a row: differences of the replies and the state. */
export interface PlayedRow {
  differences: string[]
  statuses: number[]
  reply: OauthReply
  context: OauthRowContext
}

/** Sends the requests of a row. */
export async function playRow (side: OauthSide, { steps }: OauthRow): Promise<PlayedRow> {
  const browser: { cookie: string | null } = { cookie: null }
  const context = createContext(side, browser)
  const differences: string[] = []
  const statuses: number[] = []
  let url = ''
  let reply: OauthReply | undefined
  side.providers.be(GALAHAD)
  for (const { before, get, as, headers, status, body, after } of steps) {
    await before?.(context)
    if (get !== 'again') url = typeof get === 'function' ? await get(context) : get
    reply = await side.get(url, {
      ...(browser.cookie === null ? {} : { cookie: `${COOKIE}=${browser.cookie}` }),
      ...(as === undefined ? {} : sessionOf(context.ids[as])),
      ...headers
    })
    statuses.push(reply.statusCode)
    const [path] = url.split('?')
    if (reply.statusCode !== status) differences.push(`${path}: ${reply.statusCode}, not ${status}: ${reply.body}`)
    const expected = body === '' || body === undefined ? body : JSON.stringify(body)
    if (expected !== undefined && readable(reply.body) !== expected) {
      differences.push(`${path}: ${readable(reply.body)}, not ${String(expected)}`)
    }
    if (reply.statusCode === status && after?.(context, reply) === false) {
      differences.push(`${path}: the reply or the state is another one`)
    }
  }
  if (reply === undefined) throw new Error('a row has at least one step')
  return { differences, statuses, reply, context }
}

function createContext (side: OauthSide, browser: { cookie: string | null }): OauthRowContext {
  const { database, providers, get } = side
  const ids = readIds(database)
  return {
    ids,
    be: providers.be,
    fail: providers.fail,
    async begin (provider = 'google', as) {
      const path = as === undefined ? `/auth/${provider}` : `/auth/associate/${provider}`
      const reply = await get(`${path}/authorize`, as === undefined ? {} : sessionOf(ids[as]))
      if (reply.statusCode !== 200) throw new Error(reply.body)
      const [, cookie = ''] = new RegExp(`${COOKIE}=([^;]*)`).exec(String(reply.headers['set-cookie'])) ?? []
      const { authorization_url: start } = reply.json<{ authorization_url: string }>()
      const { url } = await providers.servers[provider].visit(start)
      browser.cookie = cookie
      return url.pathname + url.search
    },
    acceptUsedCodes () {
      for (const { behavior } of Object.values(providers.servers)) behavior.reusableCodes = true
    },
    state: (claims = {}, secret = STATE_SECRET) =>
      signLikePython({ csrftoken: browser.cookie, aud: 'fastapi-users:oauth-state', exp: CENTURY, ...claims }, secret),
    cookie (value) {
      browser.cookie = value
    },
    accounts: () =>
      (database.prepare('SELECT * FROM oauth_account').all() as StoredAccount[]).map((account) => ({
        ...account,
        user_id: hyphenated(account.user_id)
      })),
    emails: () => database.prepare('SELECT email FROM user').pluck().all() as string[],
    link (who, accountId) {
      database.exec(accountOf(ids[who], 'google', accountId, 'x@x.bt'))
    },
    reset: (who) =>
      side.resetPassword(String(database.prepare('SELECT email FROM user WHERE id = ?').pluck().get(ids[who]))),
    statusOf: async (path, token) => (await get(path, { authorization: `Bearer ${token}` })).statusCode,
    exchanges: () => Object.values(providers.servers).reduce((sum, server) => sum + server.hits('token'), 0),
    countEvents: (wanted) =>
      side
        .events()
        .filter(({ name, verified }) => name === wanted.split(' ')[0] && (!wanted.includes(' verified') || verified))
        .length
  }
}

function readIds (database: Database.Database): Record<Person, string> {
  const found = database
    .prepare("SELECT replace(substr(email, 1, instr(email, '@') - 1), 'king.', ''), id FROM user")
    .raw()
    .all() as [string, string][]
  return Object.fromEntries(found) as Record<Person, string>
}
