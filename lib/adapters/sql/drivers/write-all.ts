import type { SqlWrite, SqlWrites, SqlWritten } from './driver.js'

/** Runs the writes of a transaction one after the other with `write`. */
export async function writeAll<T> (writes: SqlWrites<T>, write: (one: SqlWrite) => Promise<SqlWritten>): Promise<T> {
  const steps = writes()
  let step = steps.next()
  while (step.done !== true) step = steps.next(await write(step.value))
  return step.value
}
