// Sends parallel requests to two processes on one PostgreSQL database, for everything that works once, and prints how
// many of them succeeded.
//
//   npm run races              60 requests in each race
//   npm run races -- 500       more
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type pg from 'pg'
import { PASSWORD, SECRET } from '../helpers/build-app.js'
import { startChild } from '../helpers/child-server.js'
import { oneTimePassword } from '../helpers/one-time-password.js'
import { startOauthServer, type OauthServer } from '../helpers/oauth-server.js'
import { makePool, needsPostgres } from '../helpers/postgres.js'
import { tally } from '../helpers/server-process.js'
import { scriptTest, type ScriptTest } from './script-test.js'

interface Answer {
  statusCode: number
  body: string
  cookie: string
}

/** One of the two processes. */
interface Server {
  send(method: string, path: string, body?: object, headers?: Record<string, string>): Promise<Answer>
  /** Runs an action of `fixtures/race-server.ts`. */
  script(action: string, values?: object): Promise<unknown>
}

interface World {
  servers: readonly [Server, Server]
  idp: OauthServer
  pool: pg.Pool
  /** Creates a verified user. Returns its e-mail, its id and a session. */
  person(flags?: object): Promise<{ email: string; id: string; session: Record<string, string> }>
}

interface Tokens {
  access_token: string
  refresh_token: string
}

type Send = (server: Server, n: number) => Promise<Answer>

interface Race {
  /** Prepares the race. Returns the n-th request. */
  prepare(world: World): Promise<Send>
  /** Statuses of a success. */
  success: readonly number[]
  /** Number of requests that must succeed. Default: exactly one. NaN stands for any number. */
  winners?: (requests: number) => number
  /** Returns what is wrong in the database or the replies afterwards. */
  check?(world: World, replies: readonly Answer[]): Promise<string | undefined>
}

const newEmail = (): string => `${randomBytes(6).toString('hex')}@camelot.bt`
const countOf = async ({ pool }: World, sql: string, values: unknown[]): Promise<number> =>
  Number((await pool.query<{ count: string }>(sql, values)).rows[0]?.count)

/** Returns a request that both processes receive in turn. */
const same =
  (method: string, path: string, body?: object, headers?: Record<string, string>): Send =>
    (server) =>
      server.send(method, path, body, headers)

/** Visits the provider. Returns the path of the callback and the cookie of the browser. */
async function visit (
  { servers: [one], idp }: World,
  path: string,
  session: Record<string, string> = {}
): Promise<[string, string]> {
  const begun = await one.send('GET', path, undefined, { ...session, 'sec-fetch-site': 'same-origin' })
  const { authorization_url: start } = JSON.parse(begun.body) as { authorization_url: string }
  const { url } = await idp.visit(start)
  return [url.pathname + url.search, begun.cookie]
}

/** Seconds of a code of an authenticator app, in milliseconds. */
const STEP_MS = 30_000

/** Begins to add an authenticator app to a new user. */
async function beginApp (
  { servers: [one], person }: World
): Promise<{ enrolment: string; secret: string; email: string; session: Record<string, string> }> {
  const { email, session } = await person()
  const { body } = await one.send('POST', '/users/me/totp', { current_password: PASSWORD }, session)
  return { ...(JSON.parse(body) as { enrolment: string; secret: string }), email, session }
}

/** Adds an authenticator app to a new user. Returns its secret, recovery codes, and the tickets of pending logins. */
async function enrolApp (world: World): Promise<{ secret: string; codes: string[]; tickets: string[] }> {
  const { servers: [one] } = world
  const { enrolment, secret, email, session } = await beginApp(world)
  const code = oneTimePassword(secret, Date.now())
  const confirmed = await one.send('POST', '/users/me/totp/confirm', { enrolment, code }, session)
  const { recovery_codes: codes } = JSON.parse(confirmed.body) as { recovery_codes: string[] }
  const tickets = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const reply = await one.send('POST', '/auth/jwt/login', { username: email, password: PASSWORD })
      return (JSON.parse(reply.body) as { detail: { ticket: string } }).detail.ticket
    })
  )
  return { secret, codes, tickets }
}

let taken = ''
let account = ''
let left: string[] = []
let superusers: string[] = []

const races: Readonly<Record<string, Race>> = {
  'registration of one e-mail': {
    async prepare () {
      taken = newEmail()
      return (server, n) =>
        server.send('POST', '/auth/register', { email: n % 2 === 0 ? taken : taken.toUpperCase(), password: PASSWORD })
    },
    success: [201],
    async check (world) {
      const count = await countOf(world, 'SELECT count(*) FROM "user" WHERE lower(email) = $1', [taken])
      return count === 1 ? undefined : `${count} users`
    }
  },
  'one reset token': {
    async prepare ({ servers: [one], person }) {
      const token = await one.script('forgot', { email: (await person()).email })
      return (server, n) => server.send('POST', '/auth/reset-password', { token, password: `excalibur-${n}` })
    },
    success: [200]
  },
  'one verify token': {
    async prepare ({ servers: [one], person }) {
      const token = await one.script('verify', { email: (await person({ is_verified: false })).email })
      return same('POST', '/auth/verify', { token })
    },
    success: [200]
  },
  'one token of a new e-mail': {
    async prepare ({ servers: [one], person }) {
      const token = await claim(one, (await person()).session, newEmail())
      return same('POST', '/auth/verify', { token })
    },
    success: [200]
  },
  'one e-mail that several users confirm': {
    async prepare ({ servers: [one], person }) {
      taken = newEmail()
      const tokens: unknown[] = []
      for (let n = 0; n < 10; n++) tokens.push(await claim(one, (await person()).session, taken))
      return (server, n) => server.send('POST', '/auth/verify', { token: tokens[n % 10] })
    },
    success: [200],
    async check (world) {
      const count = await countOf(world, 'SELECT count(*) FROM "user" WHERE lower(email) = $1', [taken])
      return count === 1 ? undefined : `${count} users`
    }
  },
  'one token that undoes a change of the e-mail': {
    async prepare ({ servers: [one], person }) {
      const token = await claim(one, (await person()).session, newEmail())
      await one.send('POST', '/auth/verify', { token })
      return same('POST', '/auth/undo-email-change', { token: await one.script('mailed') })
    },
    success: [200]
  },
  'ticket and code of one login': {
    async prepare ({ servers: [one], person }) {
      const { email, id } = await person()
      await one.script('enrol', { id })
      const reply = await one.send('POST', '/auth/jwt/login', { username: email, password: PASSWORD })
      const { ticket } = (JSON.parse(reply.body) as { detail: { ticket: string } }).detail
      return same('POST', '/auth/jwt/login/code', { ticket, code: await one.script('code') })
    },
    success: [200]
  },
  'one refresh token: all receive the same successor': {
    async prepare ({ servers: [one], person }) {
      const { email } = await person()
      const { body } = await one.send('POST', '/auth/jwt/login', { username: email, password: PASSWORD })
      const { refresh_token } = JSON.parse(body) as Tokens
      return same('POST', '/auth/jwt/refresh', { refresh_token })
    },
    success: [200],
    winners: (requests) => requests,
    async check (_world, replies) {
      const successors = new Set(replies.map(({ body }) => (JSON.parse(body) as Tokens).refresh_token))
      return successors.size === 1 ? undefined : `${successors.size} successors`
    }
  },
  'a refresh beside a logout leaves no session': {
    async prepare ({ servers: [one], person }) {
      const { email } = await person()
      const tokens = await loggedIn(one, email)
      left = [tokens.refresh_token]
      const own = { authorization: `Bearer ${tokens.access_token}` }
      return (server, n) => n % 3 === 2
        ? server.send('POST', '/auth/jwt/logout', undefined, own)
        : server.send('POST', '/auth/jwt/refresh', { refresh_token: tokens.refresh_token })
    },
    success: [204],
    winners: () => NaN,
    check: checkNothingLeft
  },
  'a refresh beside a change of the password': {
    async prepare ({ servers: [one], person }) {
      const { email, session } = await person()
      const tokens = await loggedIn(one, email)
      left = [tokens.refresh_token]
      const change = { password: `${PASSWORD}-2`, current_password: PASSWORD }
      return (server, n) => n % 5 === 4
        ? server.send('PATCH', '/users/me', change, session)
        : server.send('POST', '/auth/jwt/refresh', { refresh_token: tokens.refresh_token })
    },
    success: [200],
    winners: () => NaN,
    check: checkNothingLeft
  },
  'one recovery code in several logins': {
    async prepare ({ servers: [one], person }) {
      const { email, id } = await person()
      const code = await one.script('enrol', { id })
      const tickets = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const reply = await one.send('POST', '/auth/jwt/login', { username: email, password: PASSWORD })
          return (JSON.parse(reply.body) as { detail: { ticket: string } }).detail.ticket
        })
      )
      return (server, n) => server.send('POST', '/auth/jwt/login/recovery', { ticket: tickets[n % 20], code })
    },
    success: [200]
  },
  'one code of an app in several logins': {
    async prepare (world) {
      const { secret, tickets } = await enrolApp(world)
      const code = oneTimePassword(secret, Date.now() + STEP_MS)
      return (server, n) => server.send('POST', '/auth/jwt/login/totp', { ticket: tickets[n % tickets.length], code })
    },
    success: [200]
  },
  'one stored recovery code in several logins': {
    async prepare (world) {
      const { codes: [code], tickets } = await enrolApp(world)
      return (server, n) =>
        server.send('POST', '/auth/jwt/login/recovery-code', { ticket: tickets[n % tickets.length], code })
    },
    success: [200]
  },
  'one enrolment of an authenticator app': {
    async prepare (world) {
      const { enrolment, secret, session } = await beginApp(world)
      return same('POST', '/users/me/totp/confirm', { enrolment, code: oneTimePassword(secret, Date.now()) }, session)
    },
    success: [201]
  },
  'one callback of a provider': {
    async prepare (world) {
      world.idp.behavior.claims = { sub: newEmail(), email: newEmail(), email_verified: true }
      const [url, cookie] = await visit(world, '/auth/openid/authorize')
      return same('GET', url, undefined, { cookie })
    },
    success: [200]
  },
  'first logins of one provider account': {
    async prepare (world) {
      account = newEmail()
      world.idp.behavior.claims = { sub: account, email: account, email_verified: true }
      const visits: [string, string][] = []
      for (let n = 0; n < 20; n++) visits.push(await visit(world, '/auth/openid/authorize'))
      return (server, n) => {
        const [url, cookie] = visits[n % 20] ?? ['', '']
        return server.send('GET', url, undefined, { cookie })
      }
    },
    success: [200],
    winners: (requests) => Math.min(requests, 20),
    async check (world) {
      const users = await countOf(world, 'SELECT count(*) FROM "user" WHERE email = $1', [account])
      const accounts = await countOf(world, 'SELECT count(*) FROM oauth_account WHERE account_id = $1', [account])
      return users === 1 && accounts === 1 ? undefined : `${users} users and ${accounts} accounts`
    }
  },
  'links of one provider account to several users': {
    async prepare (world) {
      account = newEmail()
      world.idp.behavior.claims = { sub: account, email: account, email_verified: true }
      const visits: [string, Record<string, string>][] = []
      for (let n = 0; n < 10; n++) {
        const { session } = await world.person()
        const password = { current_password: PASSWORD }
        const begun = await world.servers[0].send('POST', '/auth/associate/openid/authorize', password, session)
        const { authorization_url: start } = JSON.parse(begun.body) as { authorization_url: string }
        const { url } = await world.idp.visit(start)
        visits.push([url.pathname + url.search, { ...session, cookie: begun.cookie }])
      }
      return (server, n) => {
        const [url, headers] = visits[n % 10] ?? ['', {}]
        return server.send('GET', url, undefined, headers)
      }
    },
    success: [200],
    async check (world) {
      const count = await countOf(world, 'SELECT count(*) FROM oauth_account WHERE account_id = $1', [account])
      return count === 1 ? undefined : `${count} accounts`
    }
  },
  'deletion of one user': {
    async prepare ({ person }) {
      const { session } = await person({ is_superuser: true })
      const { id } = await person()
      return same('DELETE', `/users/${id}`, undefined, session)
    },
    success: [204]
  },
  'demotions of the last superusers': {
    async prepare ({ pool, person }) {
      await pool.query('UPDATE "user" SET is_superuser = false')
      const two = [await person({ is_superuser: true }), await person({ is_superuser: true })]
      superusers = two.map(({ id }) => id)
      return (server, n) => {
        const [actor, target] = n % 4 < 2 ? two : [...two].reverse()
        return server.send('PATCH', `/users/${target?.id}`, { is_superuser: false }, actor?.session)
      }
    },
    success: [200],
    winners: () => NaN,
    async check (world) {
      const sql = 'SELECT count(*) FROM "user" WHERE is_superuser AND is_active AND id::text = ANY($1)'
      const count = await countOf(world, sql, [superusers])
      return count >= 1 ? undefined : 'no superuser is left'
    }
  }
}

async function loggedIn (server: Server, email: string): Promise<Tokens> {
  const { body } = await server.send('POST', '/auth/jwt/login', { username: email, password: PASSWORD })
  return JSON.parse(body) as Tokens
}

/** Uses all tokens that the replies contain, and returns what still works. */
async function checkNothingLeft ({ servers }: World, replies: readonly Answer[]): Promise<string | undefined> {
  const issued = replies.filter(({ body }) => body.includes('refresh_token')).map(({ body }) => JSON.parse(body) as Tokens)
  const refreshTexts = new Set([...left, ...issued.map(({ refresh_token: token }) => token)])
  for (const server of servers) {
    for (const { access_token: token } of issued) {
      const { statusCode } = await server.send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })
      if (statusCode !== 401) return `an access token is accepted: ${statusCode}`
    }
    for (const token of refreshTexts) {
      const { statusCode } = await server.send('POST', '/auth/jwt/refresh', { refresh_token: token })
      if (statusCode !== 400) return `a refresh token is accepted: ${statusCode}`
    }
  }
  return undefined
}

/** Asks for a new e-mail. Returns the token that is mailed to it. */
async function claim (server: Server, session: Record<string, string>, email: string): Promise<unknown> {
  await server.send('PATCH', '/users/me', { email, current_password: PASSWORD }, session)
  return await server.script('mailed')
}

async function startServer ({ t }: ScriptTest, parameters: readonly string[]): Promise<Server> {
  const file = join(import.meta.dirname, '../fixtures/race-server.js')
  const { greeting: port } = await startChild(t, process.execPath, [file, ...parameters], { quiet: true })
  const send: Server['send'] = async (method, path, body, headers = {}) => {
    const reply = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      redirect: 'manual',
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    const cookie = reply.headers.getSetCookie().map((text) => text.split(';')[0]).join('; ')
    return { statusCode: reply.status, body: await reply.text(), cookie }
  }
  return {
    send,
    async script (action, values = {}) {
      const { statusCode, body } = await send('POST', `/script/${action}`, values)
      if (statusCode !== 200) throw new Error(`${action}: ${body}`)
      return (JSON.parse(body) as { result: unknown }).result
    }
  }
}

async function startWorld (script: ScriptTest): Promise<World> {
  const idp = await startOauthServer({ clientAuthentication: 'client_secret_basic', reusableCodes: true })
  script.t.teardown(() => idp.close())
  const { pool, schema } = await makePool(script.t)
  const parameters = [schema, SECRET, idp.url]
  const one = await startServer(script, parameters)
  const two = await startServer(script, parameters)
  return {
    servers: [one, two],
    idp,
    pool,
    async person (flags = {}) {
      const email = newEmail()
      const values = { email, password: PASSWORD, is_verified: true, ...flags }
      const { id } = (await one.script('create', values)) as { id: string }
      const { body } = await one.send('POST', '/auth/jwt/login', { username: email, password: PASSWORD })
      const { access_token: token } = JSON.parse(body) as { access_token: string }
      return { email, id, session: { authorization: `Bearer ${token}` } }
    }
  }
}

/** Returns what is wrong after a race. */
async function run (world: World, name: string, race: Race, requests: number): Promise<string | undefined> {
  const send = await race.prepare(world)
  const sent = Array.from({ length: requests }, (_, n) => send(world.servers[n % 2 === 0 ? 0 : 1], n))
  const replies = await Promise.all(sent)
  const winners = replies.filter(({ statusCode }) => race.success.includes(statusCode)).length
  const others = tally(replies.filter(({ statusCode }) => !race.success.includes(statusCode)))
  const texts = Object.entries(others).map(([reply, count]) => `${count} × ${reply}`)
  console.log(`${name.padEnd(48)}${String(winners).padStart(4)} of ${requests}   ${texts.join(', ')}`)
  const expected = race.winners?.(requests) ?? 1
  if (!Number.isNaN(expected) && winners !== expected) return `${winners} succeeded, not ${expected}`
  if (replies.some(({ statusCode }) => statusCode >= 500)) return 'a reply is a server error'
  return await race.check?.(world, replies)
}

const { skip } = await needsPostgres()
if (skip !== false) throw new Error(skip)
const requests = Number(process.argv[2] ?? 60)
const script = scriptTest()
const world = await startWorld(script)
const problems: string[] = []
console.log(`${'two processes on PostgreSQL'.padEnd(48)}success   other replies`)
for (const [name, race] of Object.entries(races)) {
  const problem = await run(world, name, race, requests)
  if (problem !== undefined) problems.push(`${name}: ${problem}`)
}
await script.end()
for (const problem of problems) console.log(problem)
const verdict = problems.length === 0 ? 'each was won as often as allowed' : `${problems.length} problems`
console.log(`\n${Object.keys(races).length} races: ${verdict}`)
process.exitCode = problems.length === 0 ? 0 : 1
