// Makes the k-th call to the store fail, for every flow and every k, and prints what the replies and the rows were.
//
//   npm run faults                     all flows on memory and PostgreSQL
//   npm run faults -- reset login      the flows whose names contain one of these words
import type { LightMyRequestResponse } from 'fastify'
import type { DatabaseAdapter, Row } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { postgres } from '../../lib/entries/postgres.js'
import type { Intercept } from '../fixtures/watched-adapter.js'
import { CANARY, changesOf, flows, isWholeChange, start, type Flow, type FlowApp } from '../helpers/flows.js'
import { makePool, needsPostgres } from '../helpers/postgres.js'
import { browserOf } from '../helpers/totp-app.js'
import { ARTHUR } from '../helpers/build-app.js'
import { furtherFlows } from './further-flows.js'
import { scriptTest, type ScriptTest } from './script-test.js'

const connectionLost = (): Error => Object.assign(new Error(CANARY), { code: 'ECONNRESET' })

interface Fault {
  name: string
  /** The status that reports this fault. */
  status: 500 | 503
  /** The store has done its work before the fault. */
  isAfterCall: boolean
  at(k: number): Intercept
}

const faults: readonly Fault[] = [
  {
    name: 'the connection is lost before the call',
    status: 503,
    isAfterCall: false,
    at:
      (k) =>
        ({ n, proceed }) =>
          n === k ? Promise.reject(connectionLost()) : proceed()
  },
  {
    name: 'the connection is lost after the call',
    status: 503,
    isAfterCall: true,
    at:
      (k) =>
        async ({ n, proceed }) => {
          const result = await proceed()
          if (n === k) throw connectionLost()
          return result
        }
  },
  {
    name: 'the call throws an error that is no outage',
    status: 500,
    isAfterCall: false,
    at:
      (k) =>
        ({ n, proceed }) =>
          n === k ? Promise.reject(new TypeError(CANARY)) : proceed()
  }
]

/** The results of one flow, or of all flows of a store. */
interface Figures {
  calls: number
  faults: number
  unavailable: number
  internal: number
  /** Replies that report success, because the failed call was not needed. */
  success: number
  /** Sessions that exist after a failed request, or that a failed reply contains. */
  sessions: number
  /** Stored sessions whose token no client received, because the answer of the store was lost. */
  unsent: number
  /** Users that changed partly, and rows that belong to no user. */
  incomplete: number
  /** Replies without one of these statuses, without a code, or with the text of the error. */
  other: number
}

const none = (): Figures => ({
  calls: 0,
  faults: 0,
  unavailable: 0,
  internal: 0,
  success: 0,
  sessions: 0,
  unsent: 0,
  incomplete: 0,
  other: 0
})
const problems: string[] = []
/** Models of second factors. */
const FACTOR_MODELS = ['totp', 'recovery_codes', 'passkey'] as const

/** What a flow changes without a fault. */
interface Complete {
  /** The changes of the user rows. */
  readonly users: readonly string[]
  /** The second factors that are added and removed. */
  readonly factors: readonly string[]
}

/** Runs a flow once without a fault. Returns the number of its calls and its changes. */
async function measure (flow: Flow, makeStore: () => DatabaseAdapter, { t }: ScriptTest): Promise<[number, Complete]> {
  const round = await start(t, flow.options, makeStore)
  const run = await flow.prepare(round)
  await round.app.users.settled()
  const valid = await validOf(round, flow)
  if (valid.length !== (flow.ends ?? []).length) throw new Error(`of the sessions, ${valid.join()} are valid`)
  const before = await rowsOf(round)
  round.store.watch()
  const { statusCode, body } = await run()
  const { calls } = round.store
  if (statusCode !== flow.success) throw new Error(`${statusCode}, not ${flow.success}: ${body}`)
  await round.app.users.settled()
  const left = await validOf(round, flow)
  if (left.length > 0) throw new Error(`the session ${left.join()} has not ended`)
  return [calls, changesBetween(before, await rowsOf(round))]
}

/**
 * Returns true if the change of the factors is complete, or there is none. The deletion of a user can be repeated, and
 * no login opens the account meanwhile, which `check` tries.
 * Recovery codes that remain without a factor open nothing, and the next factor replaces or deletes them.
 */
function isWhole (changed: readonly string[], { users, factors }: Complete): boolean {
  if (changed.length === 0 || users.some((change) => change.startsWith('no '))) return true
  const wanted = factors.filter((change) => !change.startsWith('recovery_codes: no '))
  return [factors.join(), wanted.join()].includes(changed.join())
}

type Rows = ReadonlyMap<string, Row[]>

/** Returns the users and their second factors. */
async function rowsOf ({ store }: FlowApp): Promise<Rows> {
  const models = ['user', ...FACTOR_MODELS]
  return new Map(await Promise.all(models.map(async (model) => [model, await store.rows(model)] as const)))
}

function changesBetween (before: Rows, after: Rows): Complete {
  const of = (model: string): string[] => changesOf(before.get(model) ?? [], after.get(model) ?? [])
  const isPresence = (change: string): boolean => change === 'a new row' || change.startsWith('no ')
  return {
    users: of('user'),
    factors: FACTOR_MODELS.flatMap((model) => of(model).filter(isPresence).map((change) => `${model}: ${change}`))
  }
}

/** Returns those sessions that the flow ends, and that are valid. */
async function validOf ({ send, ...round }: FlowApp, { ends = [] }: Flow): Promise<string[]> {
  const statuses = await Promise.all(ends.map(async (name) => (await send('GET', '/guarded', undefined, round[name])).statusCode))
  return ends.filter((_name, n) => statuses[n] === 200)
}

async function runFlow (name: string, flow: Flow, storeName: string): Promise<Figures> {
  const figures = none()
  const script = scriptTest()
  try {
    const [calls, complete] = await measure(flow, await storeOf(storeName, script), script)
    figures.calls = calls
    const round = await start(script.t, flow.options, await storeOf(storeName, script))
    const run = await flow.prepare(round)
    await round.app.users.settled()
    const restore = await round.store.snapshot()
    for (let k = 1; k <= calls; k++) {
      for (const fault of faults) {
        await restore()
        await check(`${storeName}, ${name}, call ${k}: ${fault.name}`, { round, run, fault, k, flow, complete, figures })
      }
    }
  } finally {
    await script.end()
  }
  return figures
}

interface Attempt {
  round: FlowApp
  run: () => Promise<LightMyRequestResponse>
  fault: Fault
  k: number
  flow: Flow
  complete: Complete
  figures: Figures
}

async function check (label: string, { round, run, fault, k, flow, complete, figures }: Attempt): Promise<void> {
  const { store, app } = round
  const [before, tokens] = [await rowsOf(round), await sessionsIn(round)]
  store.watch(fault.at(k))
  const reply = await run()
  await app.users.settled()
  store.watch()
  figures.faults++
  const report = (kind: 'sessions' | 'incomplete' | 'other', what: string): void => {
    figures[kind]++
    problems.push(`${label}: ${what}`)
  }

  const hasCode = /"code":"FST_USERS_(?:STORE_UNAVAILABLE|INTERNAL_ERROR)"/.test(reply.body)
  const isSuccess = reply.statusCode === flow.success
  if (reply.body.includes('canary')) report('other', 'the reply contains the text of the error')
  if (isSuccess) figures.success++
  else if (reply.statusCode !== fault.status || !hasCode) report('other', `${reply.statusCode} ${reply.body}`)
  else if (reply.statusCode === 503) figures.unavailable++
  else figures.internal++
  const changed = changesBetween(before, await rowsOf(round))
  if (changed.factors.length > 0) {
    for (const name of await validOf(round, flow)) report('incomplete', `the session ${name} remains`)
  }
  if (isSuccess) return

  // a failed removal of a factor continues the session of its request with a new cookie
  const renews = round.acting !== undefined
  if (!renews && (await sessionsIn(round)).some((token) => !tokens.includes(token))) {
    if (fault.isAfterCall) figures.unsent++
    else report('sessions', 'a session exists')
  }
  const cookies = [reply.headers['set-cookie'] ?? []].flat()
  if (!renews && cookies.some((cookie) => /^__Host-users-cookie=[^;]/.test(cookie))) {
    report('sessions', 'the reply contains a session')
  }
  if (reply.body.includes('access_token')) {
    report('sessions', 'the reply contains a session')
  }
  if (!isWholeChange(changed.users, complete.users)) {
    report('incomplete', `${changed.users.join()} changed instead of ${complete.users.join()}`)
  }
  if (!isWhole(changed.factors, complete)) {
    report('incomplete', `${changed.factors.join()} changed instead of ${complete.factors.join()}`)
  }
  if (complete.users.some((change) => change.startsWith('no '))) {
    // the flow of an account without factors logs in with the password before and after a failure
    const factors = FACTOR_MODELS.flatMap((model) => before.get(model) ?? [])
    const hasFactors = factors.some(({ user_id: id }) => String(id) === round.id)
    const { statusCode } = await round.login('jwt', ARTHUR)
    if (hasFactors && statusCode === 200) report('sessions', 'the password alone opens a session')
  }
  if (round.acting !== undefined) {
    const renewed = browserOf(reply)
    const own = renewed.cookie === '' ? round.acting : renewed
    const { statusCode } = await round.send('GET', '/guarded', undefined, own)
    if (statusCode !== 200) report('sessions', `the session of the request has ended: ${statusCode}`)
  }
  const ids = (await store.rows('user')).map(({ id }) => String(id))
  for (const model of ['accesstoken', 'refresh_token', 'oauth_account']) {
    const orphans = (await store.rows(model)).filter((row) => !ids.includes(String(row['user_id'])))
    if (orphans.length > 0) report('incomplete', `${orphans.length} rows of ${model} belong to no user`)
  }
}

/** Returns the digests or ids of all stored sessions. */
async function sessionsIn ({ store }: FlowApp): Promise<string[]> {
  const rows = [...(await store.rows('accesstoken')), ...(await store.rows('refresh_token'))]
  return rows.map((row) => String(row['token'] ?? row['id']))
}

async function storeOf (name: string, { t }: ScriptTest): Promise<() => DatabaseAdapter> {
  if (name === 'memory') return memory
  const { pool } = await makePool(t)
  return () => postgres(pool, { createTables: true, timeoutMs: 60_000 })
}

const COLUMNS = [
  'calls',
  'faults',
  'unavailable',
  'internal',
  'success',
  'unsent',
  'sessions',
  'incomplete',
  'other'
] as const satisfies readonly (keyof Figures)[]
const HEADINGS = ['calls', 'faults', '503', '500', 'success', 'unsent', 'sessions', 'incomplete', 'other']

function line (name: string, cells: readonly (string | number)[]): string {
  return name.padEnd(34) + cells.map((cell) => String(cell).padStart(11)).join('')
}

const words = process.argv.slice(2)
const script = scriptTest()
const all = Object.entries({ ...flows, ...(await furtherFlows(script)) }).filter(
  ([name]) => words.length === 0 || words.some((word) => name.includes(word))
)
const { skip } = await needsPostgres()
if (skip !== false) console.log(skip)
for (const storeName of skip === false ? ['memory', 'PostgreSQL'] : ['memory']) {
  console.log(`\n${line(storeName, HEADINGS)}`)
  const sum = none()
  for (const [name, flow] of all) {
    const figures = await runFlow(name, flow, storeName)
    for (const column of COLUMNS) sum[column] += figures[column]
    console.log(line(name, COLUMNS.map((column) => figures[column])))
  }
  console.log(line(`${all.length} flows`, COLUMNS.map((column) => sum[column])))
}
await script.end()
console.log('')
for (const problem of problems) console.log(problem)
console.log(problems.length === 0 ? 'no session, no incomplete change, every reply as documented' : `${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1
