import { FST_USERS_INVALID_OPTION } from '../../../errors.js'
import type { SqlDriver } from './driver.js'

/** What a session must be like: an expression, the values of it that fit, and what is wrong about others. */
export type SessionSetting = readonly [expression: string, isValid: (value: string) => boolean, problem: string]

/**
 * Throws `FST_USERS_INVALID_OPTION`, with the adapter's name, for a pool whose connections would store or find other
 * values than those that are given.
 */
export async function checkSettings (
  driver: SqlDriver,
  adapter: string,
  settings: readonly SessionSetting[],
  parameters: readonly unknown[] = []
): Promise<void> {
  const row =
    (await driver
      .prepare(`SELECT ${settings.map(([expression], position) => `${expression} AS s${position}`).join(', ')}`)
      .get(parameters)) ?? []
  for (const [position, [, isValid, problem]] of settings.entries()) {
    if (!isValid(String(row[position] ?? ''))) throw FST_USERS_INVALID_OPTION(['adapter', `${adapter}(): ${problem}`])
  }
}
