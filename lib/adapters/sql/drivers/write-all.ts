import type { SqlDriver, SqlWrite, SqlWrites, SqlWritten } from './driver.js'

/** Runs the writes of a transaction one after the other with `write`. */
export async function writeAll<T> (writes: SqlWrites<T>, write: (one: SqlWrite) => Promise<SqlWritten>): Promise<T> {
  const steps = writes()
  let step = steps.next()
  while (step.done !== true) step = steps.next(await write(step.value))
  return step.value
}

/** Returns a driver for a running transaction, in which `prepare` prepares the statements. */
export function transactionDriver (prepare: SqlDriver['prepare']): SqlDriver {
  return {
    prepare,
    transaction: (writes) => writeAll(writes, async ({ sql, parameters }) => await prepare(sql).run(parameters)),
    async change (catalog, plan) {
      plan(await prepare(catalog).all([]))
    },
    close () {}
  }
}
