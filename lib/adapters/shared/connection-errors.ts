import { FST_USERS_INVALID_OPTION, type UsersError } from '../../errors.js'

const CHECK_DATABASE = "check the database name in the adapter's connection, or create the database"
const CHECK_LOGIN = "check user and password in the adapter's connection"
const GRANT_RIGHTS = "grant the missing rights to the user of the adapter's connection"

/** Advice by the error code with which PostgreSQL, MySQL or MongoDB refuses a connection. */
const advice: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  ['3D000', CHECK_DATABASE],
  ['28P01', CHECK_LOGIN],
  ['28000', CHECK_LOGIN],
  ['42501', GRANT_RIGHTS],
  ['ER_BAD_DB_ERROR', CHECK_DATABASE],
  ['ER_ACCESS_DENIED_ERROR', CHECK_LOGIN],
  ['ER_ACCESS_DENIED_NO_PASSWORD_ERROR', CHECK_LOGIN],
  ['ER_DBACCESS_DENIED_ERROR', GRANT_RIGHTS],
  ['ER_TABLEACCESS_DENIED_ERROR', GRANT_RIGHTS],
  [18, CHECK_LOGIN],
  [8000, CHECK_LOGIN],
  [13, GRANT_RIGHTS]
])
/** `pg` throws this error, without a code, if the server wants a password and none is configured. */
const NO_PASSWORD = /^SASL: .*password/

/**
 * Returns `FST_USERS_INVALID_OPTION` with advice if the server refuses the database name, the user, the password or the
 * rights. Returns undefined for other errors.
 */
export function connectionOptionError (error: unknown): UsersError | undefined {
  if (!(error instanceof Error)) return undefined
  const found =
    advice.get('code' in error ? error.code : undefined) ?? (NO_PASSWORD.test(error.message) ? CHECK_LOGIN : undefined)
  return found === undefined
    ? undefined
    : FST_USERS_INVALID_OPTION(['adapter', `the database server refuses the connection: ${error.message}; ${found}`], { cause: error })
}
