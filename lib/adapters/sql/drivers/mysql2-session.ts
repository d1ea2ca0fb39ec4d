import { FST_USERS_INVALID_OPTION } from '../../../errors.js'
import type { SqlDriver } from './driver.js'
import { checkSettings, type SessionSetting } from './session-settings.js'

/** Required session settings. With other values the server would store or compare different values than intended. */
const settings: readonly SessionSetting[] = [
  ['database()', (name) => name !== '', 'the pool has no `database`; set it'],
  [
    "concat_ws(',', @@character_set_client, @@character_set_connection, coalesce(@@character_set_results, 'none'))",
    (sets) => sets === 'utf8mb4,utf8mb4,utf8mb4',
    'the character set of the connections cannot represent all text; leave out `charset`, or set it to UTF8MB4_UNICODE_CI'
  ],
  [
    '@@sql_mode',
    (mode) => /STRICT_(?:TRANS|ALL)_TABLES/.test(mode),
    'sql_mode is not strict, so the server would cut values that are too long for their column; add STRICT_TRANS_TABLES'
  ],
  [
    '@@sql_mode',
    (mode) => !/EMPTY_STRING_IS_NULL|PAD_CHAR_TO_FULL_LENGTH/.test(mode),
    'sql_mode changes stored text; remove EMPTY_STRING_IS_NULL and PAD_CHAR_TO_FULL_LENGTH'
  ],
  ['@@autocommit', (on) => on === '1', 'autocommit is off, so changes would be lost; switch it on'],
  ['@@foreign_key_checks', (on) => on === '1', 'foreign_key_checks is off, so the sessions of a deleted user would remain; switch it on'],
  ['@@unique_checks', (on) => on === '1', 'unique_checks is off, so two users could get the same e-mail; switch it on']
]

/** Throws `FST_USERS_INVALID_OPTION` if the session settings of the pool would change stored or compared values. */
export async function checkMysqlSession (driver: SqlDriver): Promise<void> {
  await checkSettings(driver, 'mysql', settings)
}

/**
 * Throws `FST_USERS_INVALID_OPTION` if a backslash does not escape characters. Some clients let mysql2 insert values
 * into the statement text, with backslashes before quotes. `adapter` is the name of the adapter for the message.
 */
export async function checkEscapes (driver: SqlDriver, adapter: string): Promise<void> {
  const row = await driver.prepare('SELECT @@sql_mode').get([])
  if (String(row?.[0]).includes('NO_BACKSLASH_ESCAPES')) {
    throw FST_USERS_INVALID_OPTION([
      'adapter',
      `${adapter}(): with sql_mode NO_BACKSLASH_ESCAPES, values could be executed as SQL; remove that mode`
    ])
  }
}
