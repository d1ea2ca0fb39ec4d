// Sends hundreds of logins at once to a server with production hashes, and prints the replies, the latency of a guarded
// route before, during and after the flood, the memory of the server, and whether other people can still log in.
//
//   npm run flood                      500 logins
//   npm run flood -- 2000              more
import { once } from 'node:events'
import { Agent, request as openRequest, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { PASSWORD, SECRET } from '../helpers/build-app.js'
import { startChild } from '../helpers/child-server.js'
import { makePool, needsPostgres } from '../helpers/postgres.js'
import { tally } from '../helpers/server-process.js'
import { scriptTest, type ScriptTest } from './script-test.js'

/** Pause between two probes of the guarded route, and between two logins of another person, in milliseconds. */
const PROBE_PAUSE_MS = 10
const LOGIN_PAUSE_MS = 500
const QUIET_MS = 2000

interface Answer {
  statusCode: number
  body: string
  ms: number
}
interface Measures {
  rss: number
  delayP99: number
  delayMax: number
}
interface Server {
  send(method: string, path: string, body?: object, headers?: Record<string, string>, agent?: Agent): Promise<Answer>
  /** Logs in from an IP address, which a trusted proxy reports. */
  login(email: string, password: string, ip: string): Promise<Answer>
  measure(): Promise<Measures>
}

interface Flood {
  name: string
  limits: 'on' | 'off'
  /** Returns the n-th login: e-mail, password and IP address. */
  login(n: number): [email: string, password: string, ip: string]
}

const emailOf = (n: number): string => `user-${n}@camelot.bt`
const addressOf = (n: number): string => `198.18.${n >> 8}.${n & 255}`
const floods: readonly Flood[] = [
  {
    name: 'limits off: right passwords of many users',
    limits: 'off',
    login: (n) => [emailOf(n), PASSWORD, addressOf(n)]
  },
  {
    name: 'limits on: right passwords of many users from many IP addresses',
    limits: 'on',
    login: (n) => [emailOf(n), PASSWORD, addressOf(n)]
  },
  {
    name: 'limits on: guesses for one user from one IP address',
    limits: 'on',
    login: (n) => [emailOf(0), `guess-${n}`, '198.18.0.1']
  },
  {
    name: 'limits on: guesses for one user from many IP addresses',
    limits: 'on',
    login: (n) => [emailOf(0), `guess-${n}`, addressOf(n)]
  },
  {
    name: 'limits on: one guess for each user from one IP address',
    limits: 'on',
    login: (n) => [emailOf(n), 'guess-1', '198.18.0.1']
  }
]

async function startServer ({ t }: ScriptTest, limits: string): Promise<Server> {
  const { schema } = await makePool(t)
  const file = join(import.meta.dirname, '../fixtures/flood-server.js')
  const { greeting: port } = await startChild(t, process.execPath, [file, schema, SECRET, limits], { quiet: true })
  const send: Server['send'] = async (method, path, body, headers = {}, agent) => {
    const begin = performance.now()
    const sent = openRequest({
      hostname: '127.0.0.1',
      port,
      method,
      path,
      agent: agent ?? false,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers }
    }).end(body === undefined ? undefined : JSON.stringify(body))
    const [reply] = (await once(sent, 'response')) as [IncomingMessage]
    return { statusCode: reply.statusCode ?? 0, body: await text(reply), ms: performance.now() - begin }
  }
  return {
    send,
    login: (username, password, ip) =>
      send('POST', '/auth/db/login', { username, password }, { 'x-forwarded-for': ip }),
    measure: async () => JSON.parse((await send('GET', '/measures')).body) as Measures
  }
}

/** Calls a function again and again until the work is done. Returns its results. */
async function repeat<R> (work: Promise<unknown>, pauseMs: number, call: () => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const done = work.then(() => 'done')
  do {
    results.push(await call())
  } while ((await Promise.race([done, sleep(pauseMs)])) !== 'done')
  return results
}

function percentile (values: readonly number[], share: number): string {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? NaN).toFixed(1)
}

const latencyOf = (answers: readonly Answer[]): string => {
  const values = answers.map(({ ms }) => ms)
  const counts = `${answers.length} requests, ${answers.filter(({ statusCode }) => statusCode === 200).length} × 200`
  return `p50 ${percentile(values, 0.5)} ms, p99 ${percentile(values, 0.99)} ms, longest ${percentile(values, 1)} ms (${counts})`
}

const show = (name: string, value: string): void => {
  console.log(`  ${name.padEnd(30)}${value}`)
}

async function run ({ name, limits, login }: Flood, count: number): Promise<void> {
  console.log(`\n${name}`)
  const script = scriptTest()
  try {
    const server = await startServer(script, limits)
    await server.send('POST', '/users-of-flood', { count: count + 1, password: PASSWORD })
    const { body } = await server.login(emailOf(count), PASSWORD, '203.0.113.1')
    const { access_token: token } = JSON.parse(body) as { access_token: string }
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const probe = (): Promise<Answer> =>
      server.send('GET', '/guarded', undefined, { authorization: `Bearer ${token}` }, agent)

    show('guarded route before', latencyOf(await repeat(sleep(QUIET_MS), PROBE_PAUSE_MS, probe)))
    const before = await server.measure()

    const begin = performance.now()
    const flood = Promise.all(Array.from({ length: count }, (_, n) => server.login(...login(n))))
    let peak = 0
    const [during, others] = await Promise.all([
      repeat(flood, PROBE_PAUSE_MS, probe),
      repeat(flood, LOGIN_PAUSE_MS, () => server.login(emailOf(count), PASSWORD, '203.0.113.1')),
      repeat(flood, LOGIN_PAUSE_MS, async () => {
        peak = Math.max(peak, (await server.measure()).rss)
      })
    ])
    const replies = await flood
    const seconds = (performance.now() - begin) / 1000
    show('guarded route during', latencyOf(during))
    show('guarded route after', latencyOf(await repeat(sleep(QUIET_MS), PROBE_PAUSE_MS, probe)))
    const after = await server.measure()
    show('replies to the flood', Object.entries(tally(replies)).map(([reply, n]) => `${n} × ${reply}`).join(', '))
    show('duration of the flood', `${seconds.toFixed(1)} s, ${latencyOf(replies)}`)
    show('logins of another person', Object.entries(tally(others)).map(([reply, n]) => `${n} × ${reply}`).join(', '))
    show(
      'memory of the server',
      `${megabytes(before.rss)} before, ${megabytes(peak)} at most, ${megabytes(after.rss)} after`
    )
    agent.destroy()
  } finally {
    await script.end()
  }
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`

const { skip } = await needsPostgres()
if (skip !== false) throw new Error(skip)
const count = Number(process.argv[2] ?? 500)
for (const flood of floods) await run(flood, count)
