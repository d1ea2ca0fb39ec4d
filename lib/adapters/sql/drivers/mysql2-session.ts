import type { SqlDriver } from './driver.js'
import { checkSettings, type SessionSetting } from './session-settings.js'

/** A row holds what was written, and is found by it. */
const settings: readonly SessionSetting[] = [
  ['database()', (name) => name !== '', 'the pool has no `database`'],
  [
    "concat_ws(',', @@character_set_client, @@character_set_connection, coalesce(@@character_set_results, 'none'))",
    (sets) => sets === 'utf8mb4,utf8mb4,utf8mb4',
    'the connections use a character set that does not hold all text; leave out `charset`, or set it to UTF8MB4_UNICODE_CI'
  ],
  [
    '@@sql_mode',
    (mode) => /STRICT_(?:TRANS|ALL)_TABLES/.test(mode),
    'sql_mode is not strict: values that do not fit their column would be cut; add STRICT_TRANS_TABLES'
  ],
  [
    '@@sql_mode',
    (mode) => !/EMPTY_STRING_IS_NULL|PAD_CHAR_TO_FULL_LENGTH/.test(mode),
    'sql_mode changes text: remove EMPTY_STRING_IS_NULL and PAD_CHAR_TO_FULL_LENGTH'
  ],
  ['@@autocommit', (on) => on === '1', 'autocommit is off: no change would be kept'],
  ['@@foreign_key_checks', (on) => on === '1', 'foreign_key_checks is off: the sessions of a deleted user would stay'],
  ['@@unique_checks', (on) => on === '1', 'unique_checks is off: an address could be taken twice']
]

/**
 * Throws `FST_USERS_INVALID_OPTION` for a pool whose connections would store or find other values than those that are
 * given.
 */
export async function checkSession (driver: SqlDriver): Promise<void> {
  await checkSettings(driver, 'mysql', settings)
}
