import type { SqlDriver } from './driver.js'
import { checkSettings, type SessionSetting } from './session-settings.js'

const ID = '05fff8ce-3a06-48f2-9c44-a16751012464'

const settings: readonly SessionSetting[] = [
  ['$1::uuid', (id) => id === ID, 'the pool does not give ids as text; leave out `binary`'],
  [
    "current_setting('extra_float_digits')",
    (digits) => Number(digits) > 0,
    'numbers would be read rounded; leave extra_float_digits at its default'
  ]
]

/**
 * Throws `FST_USERS_INVALID_OPTION` for a pool whose connections would give other values than those that are stored.
 */
export async function checkSession (driver: SqlDriver): Promise<void> {
  await checkSettings(driver, 'postgres', settings, [ID]) // without a parameter, no result is binary
}
