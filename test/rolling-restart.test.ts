import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type * as production from '../examples/production/app.js'
import type * as clusters from '../examples/production/cluster.js'
import { SECRET } from './helpers/build-app.js'
import { buildPackage } from './helpers/build-package.js'
import { freePort } from './helpers/free-port.js'
import { makeSchema, needsPostgres, postgresUrl } from './helpers/postgres.js'
import { connectRedis } from './helpers/redis.js'

interface Reply {
  status: number
  body: string
  cookie: string
}
type Headers = Record<string, string>
/** Sends a request on a new connection. */
type Send = (method: string, path: string, body?: object, headers?: Headers) => Promise<Reply>

const PASSWORD = 'guinevere-1'
const SIZE = 3
const CLIENTS = 4

const folder = t.testdir()
buildPackage(folder)
const example = (name: string): string => join(folder, 'examples/production', name)
const load = async <T>(name: string): Promise<T> => (await import(pathToFileURL(example(name)).href)) as T
const { startCluster } = await load<typeof clusters>('cluster.js')
const { buildApp } = await load<typeof production>('app.js')

const { skip: noPostgres } = await needsPostgres()
const { redis, skip: noRedis } = await connectRedis()
const skip = noPostgres !== false ? noPostgres : noRedis !== false ? noRedis : noNginx()

/** Returns the reason why nginx cannot be started, or false. */
function noNginx (): string | false {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'ignore' })
    return false
  } catch (error) {
    if (process.env['REQUIRE_SERVICES'] === '1') throw error
    return 'no nginx'
  }
}

function sender (target: { socketPath: string } | { host: string; port: number }): Send {
  return async (method, path, body, headers = {}) =>
    await new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body)
      const type: Headers = payload === undefined ? {} : { 'content-type': 'application/json' }
      const sent = request({ ...target, agent: false, method, path, headers: { ...type, ...headers } }, (reply) => {
        text(reply).then((received) => {
          const [cookie = ''] = reply.headers['set-cookie']?.[0]?.split(';') ?? []
          resolve({ status: reply.statusCode ?? 0, body: received, cookie })
        }, reject)
      })
      sent.on('error', reject).end(payload)
    })
}

/** Starts the example on an empty schema. Returns senders to nginx, and to each process. */
async function startExample (t: Test): Promise<{ cluster: clusters.Cluster; send: Send; members: () => Send[] }> {
  const { schema, drop } = await makeSchema()
  const files = mkdtempSync(join(tmpdir(), 'users-nginx-'))
  const prefix = `test-${randomBytes(6).toString('hex')}:`
  const database = new URL(postgresUrl)
  database.searchParams.set('options', `-c search_path=${schema}`)
  const environment = {
    ...process.env,
    DATABASE_URL: database.href,
    REDIS_URL: `${process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'}?keyPrefix=${prefix}`,
    PUBLIC_URL: 'https://camelot.example',
    USERS_SECRETS: SECRET,
    LIMITS: 'off' // all visitors of the test have one IP address
  }
  const cli = join(folder, 'lib/cli/main.js')
  await promisify(execFile)(process.execPath, [cli, 'migrate', '--config', example('users.config.js')], {
    env: environment
  })
  const socketPath = join(files, 'nginx.sock')
  const cluster = await startCluster({ size: SIZE, listen: `unix:${socketPath}`, folder: files, environment })
  t.teardown(async () => {
    await cluster.stop()
    await drop()
    rmSync(files, { recursive: true })
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1000 })) {
      for (const key of keys as string[]) await redis.del(key)
    }
  })
  return {
    cluster,
    send: sender({ socketPath }),
    members: () => cluster.members.map(({ port }) => sender({ host: '127.0.0.1', port }))
  }
}

async function logIn (send: Send, username: string): Promise<{ browser: Headers; jwt: Headers }> {
  const browser = await send('POST', '/auth/browser/login', { username, password: PASSWORD })
  const jwt = await send('POST', '/auth/jwt/login', { username, password: PASSWORD })
  const { access_token: token } = JSON.parse(jwt.body) as { access_token: string }
  return { browser: { cookie: browser.cookie }, jwt: { authorization: `Bearer ${token}` } }
}

t.test('the production example', { skip }, async (t) => {
  const { cluster, send, members } = await startExample(t)
  const statuses = async (headers: Headers): Promise<number[]> =>
    await Promise.all(members().map(async (member) => (await member('GET', '/hello', undefined, headers)).status))

  await t.test('SES-06: a session that one process revokes is refused by all', async (t) => {
    const email = 'lancelot@camelot.bt'
    t.equal((await send('POST', '/auth/register', { email, password: PASSWORD })).status, 201)
    const { browser, jwt } = await logIn(send, email)
    t.same(await statuses(browser), [200, 200, 200])
    t.same(await statuses(jwt), [200, 200, 200])
    const [one, two] = members()
    t.equal((await one?.('POST', '/auth/browser/logout', undefined, browser))?.status, 204)
    t.same(await statuses(browser), [401, 401, 401])
    t.same(await statuses(jwt), [200, 200, 200], 'a logout ends one session')
    const change = { password: 'excalibur-2', current_password: PASSWORD }
    t.equal((await two?.('PATCH', '/users/me', change, jwt))?.status, 200)
    t.same(await statuses(jwt), [401, 401, 401])
  })

  await t.test('a rolling restart under load fails no request and ends no session', async (t) => {
    const email = 'galahad@camelot.bt'
    t.equal((await send('POST', '/auth/register', { email, password: PASSWORD })).status, 201)
    const kept = await logIn(send, email)
    const revoked = await logIn(send, email)
    t.equal((await send('POST', '/auth/browser/logout', undefined, revoked.browser)).status, 204)
    const before = cluster.members.map(({ process: { pid } }) => pid)

    const differences: string[] = []
    let requests = 0
    const expect = async (status: number, ...call: Parameters<Send>): Promise<Reply | null> => {
      requests++
      const reply = await send(...call).catch((error: unknown) => {
        differences.push(`${call[0]} ${call[1]}: ${String(error)}`)
        return null
      })
      if (reply !== null && reply.status !== status) differences.push(`${call[0]} ${call[1]}: ${reply.status}`)
      return reply
    }
    /** One visitor: registers, logs in, uses the session, logs out, and is refused. */
    const visit = async (visitor: string): Promise<void> => {
      await expect(200, 'GET', '/hello', undefined, kept.browser)
      await expect(200, 'GET', '/hello', undefined, kept.jwt)
      await expect(401, 'GET', '/hello', undefined, revoked.browser)
      await expect(201, 'POST', '/auth/register', { email: visitor, password: PASSWORD })
      const login = await expect(200, 'POST', '/auth/jwt/login', { username: visitor, password: PASSWORD })
      const session = await expect(204, 'POST', '/auth/browser/login', { username: visitor, password: PASSWORD })
      if (login === null || session === null) return
      const { cookie } = session
      await expect(200, 'GET', '/users/me', undefined, { cookie })
      await expect(204, 'POST', '/auth/browser/logout', undefined, { cookie })
      await expect(401, 'GET', '/users/me', undefined, { cookie })
    }

    const restarted = new AbortController()
    const firstVisits: Promise<void>[] = []
    const loops = Array.from({ length: CLIENTS }, async (_, client) => {
      for (let n = 0; !restarted.signal.aborted; n++) {
        const done = visit(`visitor-${client}-${n}@camelot.bt`)
        if (n === 0) firstVisits.push(done)
        await done
      }
    })
    await Promise.all(firstVisits)
    await cluster.restart()
    restarted.abort()
    await Promise.all(loops)

    t.same(differences, [])
    t.comment(`${requests} requests`)
    const after = cluster.members.map(({ process: { pid } }) => pid)
    t.equal(new Set([...before, ...after]).size, 2 * SIZE, 'all processes are new')
    t.same(await statuses(kept.browser), [200, 200, 200])
    t.same(await statuses(kept.jwt), [200, 200, 200])
    t.same(await statuses(revoked.browser), [401, 401, 401])
  })

  await t.test('the health routes are reached at a process, not from outside', async (t) => {
    const [one] = members()
    const reply = await one?.('GET', '/health/ready')
    t.same(JSON.parse(reply?.body ?? ''), { ready: true, stopping: false, postgres: true, redis: true })
    t.equal((await send('GET', '/health/ready')).status, 404)
  })
})

t.test('the health routes of a process whose servers do not answer, and that stops', async (t) => {
  const nowhere = await freePort()
  const app = await buildApp({
    databaseUrl: `postgres://postgres@127.0.0.1:${nowhere}/test`,
    redisUrl: `redis://127.0.0.1:${nowhere}`,
    secrets: [SECRET],
    publicUrl: 'https://camelot.example',
    smtpUrl: null,
    mailFrom: 'no-reply@camelot.example',
    hasLimits: false,
    proxies: ['127.0.0.1'],
    host: '127.0.0.1',
    port: 0,
    drainSeconds: 0
  })
  t.teardown(() => app.close())
  app.refuseTraffic()
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 503)
  t.same(ready.json(), { ready: false, stopping: true, postgres: false, redis: false })
  t.equal((await app.inject('/health/live')).statusCode, 200)
})
