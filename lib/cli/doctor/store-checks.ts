import { filePermissionProblem } from '../../validation/file-permissions.js'
import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { SchemaStep, StoreSchema } from '../../contracts/store-schema.js'
import { FST_USERS_STORE_UNAVAILABLE } from '../../errors.js'
import { messageOf } from '../arguments.js'
import { type Finding, findingsOr, withinTime } from './finding.js'

const PATIENCE_MS = 15_000
const CLOCK_WARN_MS = 5_000
const CLOCK_FAIL_MS = 60_000
const MIGRATE = 'run `npx fastify-users migrate`'
const LEVELS: Record<Exclude<SchemaStep['kind'], 'note'>, Finding['level']> = {
  table: 'fail',
  column: 'fail',
  width: 'fail',
  null: 'warn',
  index: 'warn',
  constraint: 'fail'
}

/** Whether the database answers, has our schema, and has the time of this machine. */
export async function checkStore (schema: StoreSchema | null, models: readonly Model[]): Promise<readonly Finding[]> {
  if (schema === null) {
    return [{ level: 'warn', about: 'database', text: 'this adapter has no schema that could be looked at' }]
  }
  try {
    return await withinTime(
      PATIENCE_MS,
      () => FST_USERS_STORE_UNAVAILABLE(),
      async () => [
        { level: 'ok', about: 'database', text: 'answers' },
        ...(await checkSchema(schema, models)),
        ...(await checkClock(schema))
      ]
    )
  } catch (error) {
    return [{ level: 'fail', about: 'database', text: `${messageOf(error)}; start it, or correct the adapter` }]
  }
}

/** Checks that other accounts of the machine cannot read the file of the database. */
export async function checkFile (adapter: DatabaseAdapter): Promise<readonly Finding[]> {
  const problem = await filePermissionProblem(adapter)
  return problem === null ? [] : [{ level: 'warn', about: 'database', text: problem }]
}

async function checkSchema (schema: StoreSchema, models: readonly Model[]): Promise<readonly Finding[]> {
  const { steps, problems, warnings = [] } = await schema.plan(models)
  const findings = [
    ...problems.map((text): Finding => ({ level: 'fail', about: 'schema', text })),
    ...warnings.map((text): Finding => ({ level: 'warn', about: 'schema', text })),
    ...steps.flatMap(({ kind, text }): Finding[] =>
      kind === 'note' ? [] : [{ level: LEVELS[kind], about: 'schema', text: `missing: ${text}; ${MIGRATE}` }]
    )
  ]
  return findingsOr('schema', findings, 'tables, columns, widths and indexes are there')
}

async function checkClock (schema: StoreSchema): Promise<readonly Finding[]> {
  const before = Date.now()
  const now = await schema.now()
  if (now === null) return []
  const apart = Math.abs(now - (before + Date.now()) / 2)
  if (apart < CLOCK_WARN_MS) return [{ level: 'ok', about: 'clock', text: 'the database has the time of this machine' }]
  return [
    {
      level: apart < CLOCK_FAIL_MS ? 'warn' : 'fail',
      about: 'clock',
      text: `this machine and the database are ${Math.round(apart / 1000)} seconds apart; set both by NTP, for sessions end by the clock`
    }
  ]
}
