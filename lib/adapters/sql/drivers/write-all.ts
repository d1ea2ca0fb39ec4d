import type { SqlWrite, SqlWrites, SqlWritten } from './driver.js'

/** Does writes one after the other; `write` runs each in their transaction. */
export async function writeAll<T> (writes: SqlWrites<T>, write: (one: SqlWrite) => Promise<SqlWritten>): Promise<T> {
  const steps = writes()
  let step = steps.next()
  while (step.done !== true) step = steps.next(await write(step.value))
  return step.value
}
