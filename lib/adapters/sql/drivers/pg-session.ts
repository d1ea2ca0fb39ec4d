import type { SqlDriver } from './driver.js'
import { checkSettings, type SessionSetting } from './session-settings.js'

const ID = '05fff8ce-3a06-48f2-9c44-a16751012464'

const settings: readonly SessionSetting[] = [
  ['$1::uuid', (id) => id === ID, 'the pool returns ids in binary form; remove its option `binary`'],
  [
    "current_setting('extra_float_digits')",
    (digits) => Number(digits) > 0,
    'extra_float_digits is set so that numbers are rounded when they are read; remove that setting'
  ]
]

/** Throws `FST_USERS_INVALID_OPTION` if the connections of the pool would return other values than those stored. */
export async function checkPgSession (driver: SqlDriver): Promise<void> {
  await checkSettings(driver, 'postgres', settings, [ID]) // pg returns binary results only for queries with parameters
}
