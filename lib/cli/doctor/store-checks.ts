import { filePermissionProblem } from '../../shared/file-permissions.js'
import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { SchemaStep, StoreSchema } from '../../contracts/store-schema.js'
import { FST_USERS_STORE_UNAVAILABLE } from '../../errors.js'
import { limitTime } from '../../shared/time-limit.js'
import { messageOf } from '../error-messages.js'
import { type Finding, findingsOrOk } from './finding.js'

const TIMEOUT_MS = 15_000
const CLOCK_WARN_MS = 5_000
const CLOCK_FAIL_MS = 60_000
const MIGRATE = 'run `npx fastify-users migrate`'
const LEVELS: Record<Exclude<SchemaStep['kind'], 'note'>, Finding['level']> = {
  table: 'fail',
  column: 'fail',
  width: 'fail',
  null: 'warn',
  index: 'warn',
  constraint: 'fail',
  upgrade: 'fail'
}

/** Checks that the database answers, has the current schema, and has the same time as this machine. */
export async function checkStore (schema: StoreSchema | null, models: readonly Model[]): Promise<readonly Finding[]> {
  if (schema === null) {
    return [{ level: 'warn', about: 'database', text: 'this adapter has no schema to check' }]
  }
  try {
    return await limitTime<readonly Finding[]>(
      async () => [
        { level: 'ok', about: 'database', text: 'answers' },
        ...(await checkStoreSchema(schema, models)),
        ...(await checkClock(schema))
      ],
      TIMEOUT_MS,
      () => FST_USERS_STORE_UNAVAILABLE()
    )
  } catch (error) {
    return [{ level: 'fail', about: 'database', text: `${messageOf(error)}; start the database, or correct the adapter` }]
  }
}

/** Checks that other accounts of this machine cannot read or write the database file. */
export async function checkFile (adapter: DatabaseAdapter): Promise<readonly Finding[]> {
  const problem = await filePermissionProblem(adapter)
  return problem === null ? [] : [{ level: 'warn', about: 'database', text: problem }]
}

async function checkStoreSchema (schema: StoreSchema, models: readonly Model[]): Promise<readonly Finding[]> {
  const { steps, problems, warnings = [] } = await schema.plan(models)
  const findings = [
    ...problems.map((text): Finding => ({ level: 'fail', about: 'schema', text })),
    ...warnings.map((text): Finding => ({ level: 'warn', about: 'schema', text })),
    ...steps.flatMap(({ kind, text }): Finding[] =>
      kind === 'note' ? [] : [{ level: LEVELS[kind], about: 'schema', text: `pending: ${text}; ${MIGRATE}` }]
    )
  ]
  return findingsOrOk('schema', findings, 'has all tables, columns, widths and indexes')
}

async function checkClock (schema: StoreSchema): Promise<readonly Finding[]> {
  const before = Date.now()
  const now = await schema.now()
  if (now === null) return []
  const difference = Math.abs(now - (before + Date.now()) / 2)
  if (difference < CLOCK_WARN_MS) {
    return [{ level: 'ok', about: 'clock', text: 'the database has the same time as this machine' }]
  }
  const seconds = Math.round(difference / 1000)
  return [
    {
      level: difference < CLOCK_FAIL_MS ? 'warn' : 'fail',
      about: 'clock',
      text:
        `the clocks of this machine and the database differ by ${seconds} seconds; ` +
        'synchronize both with NTP, because sessions expire by the clock'
    }
  ]
}
