import { FST_USERS_INVALID_OPTION } from '../../../errors.js'
import type { SqlDriver } from './driver.js'

/** A check of one session setting: an SQL expression, a test of its value, and the message if the test fails. */
export type SessionSetting = readonly [expression: string, isValid: (value: string) => boolean, problem: string]

/** Throws `FST_USERS_INVALID_OPTION` with the message of the first session setting whose test fails. */
export async function checkSettings (
  driver: SqlDriver,
  adapter: string,
  settings: readonly SessionSetting[],
  parameters: readonly unknown[] = []
): Promise<void> {
  const statement = driver.prepare(
    `SELECT ${settings.map(([expression], position) => `${expression} AS s${position}`).join(', ')}`
  )
  const [row = []] = await statement.all(parameters)
  for (const [position, [, isValid, problem]] of settings.entries()) {
    if (!isValid(String(row[position] ?? ''))) throw FST_USERS_INVALID_OPTION(['adapter', `${adapter}(): ${problem}`])
  }
}
