import type { SqlDriver, SqlWrite, SqlWrites, SqlWritten } from './driver.js'

/** Runs the writes of a transaction one after the other with `write`. */
export async function writeAll<T> (writes: SqlWrites<T>, write: (one: SqlWrite) => Promise<SqlWritten>): Promise<T> {
  const steps = writes()
  let step = steps.next()
  while (step.done !== true) step = steps.next(await write(step.value))
  return step.value
}

/** Returns the driver of a running transaction, which also runs the writes of `transaction`. */
export function inSameTransaction (driver: SqlDriver): SqlDriver {
  return {
    ...driver,
    transaction: (writes) => writeAll(writes, async ({ sql, parameters }) => await driver.prepare(sql).run(parameters))
  }
}
