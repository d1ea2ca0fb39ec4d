import { FST_USERS_INVALID_OPTION, type UsersError } from '../../errors.js'

const NAME = "check the name of the database in the adapter's connection, or make the database"
const LOGIN = "check user and password in the adapter's connection"
const RIGHTS = "grant it to the user of the adapter's connection"

/** What to look at when a server refuses a connection, by the code of PostgreSQL, MySQL or MongoDB. */
const advice: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  ['3D000', NAME],
  ['28P01', LOGIN],
  ['28000', LOGIN],
  ['42501', RIGHTS],
  ['ER_BAD_DB_ERROR', NAME],
  ['ER_ACCESS_DENIED_ERROR', LOGIN],
  ['ER_ACCESS_DENIED_NO_PASSWORD_ERROR', LOGIN],
  ['ER_DBACCESS_DENIED_ERROR', RIGHTS],
  ['ER_TABLEACCESS_DENIED_ERROR', RIGHTS],
  [18, LOGIN],
  [8000, LOGIN],
  [13, RIGHTS]
])
/** The client of PostgreSQL was asked for a password that it does not have, and gives no code. */
const NO_PASSWORD = /^SASL: .*password/

/**
 * `FST_USERS_INVALID_OPTION` for a server that knows no such database, user or password; undefined for other errors.
 */
export function connectionOptionError (error: unknown): UsersError | undefined {
  if (!(error instanceof Error)) return undefined
  const found =
    advice.get('code' in error ? error.code : undefined) ?? (NO_PASSWORD.test(error.message) ? LOGIN : undefined)
  return found === undefined
    ? undefined
    : FST_USERS_INVALID_OPTION(['adapter', `the server refuses: ${error.message}; ${found}`], { cause: error })
}
