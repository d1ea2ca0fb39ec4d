import { errorNumberOf } from '../dialects/mysql.js'

/**
 * Errors after which neither the statement nor its transaction had an effect: it was the victim of a deadlock, or the
 * server no longer knew the prepared statement.
 */
const REFUSED: ReadonlySet<unknown> = new Set([1213, 1243, 1615])
/**
 * Errors that make the connection unusable: the server is read-only, as after a failover, or it lost the prepared
 * statements.
 */
const SPENT: ReadonlySet<unknown> = new Set([1290, 1792, 1836, 1243])

/**
 * Errors of a server that cannot serve now: too many connections, a shutdown, an account limit, an ended connection; a
 * lock wait time-out, a deadlock, a row that changed meanwhile, a statement that took too long or was killed; a
 * read-only server.
 */
const NOT_NOW: ReadonlySet<unknown> = new Set([
  1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 4031, 1205, 1213, 1020, 1317, 1969, 3024, 3572, 1021,
  1037, 1041, 1290, 1792, 1836
])

/** Returns true if the server refused the statement and the connection stays usable. */
export function isUsable (error: unknown): boolean {
  return error instanceof Error && 'sqlState' in error && !SPENT.has(errorNumberOf(error))
}

/** Returns true if a statement failed without an effect and can be retried. */
export function hadNoEffect (error: unknown): boolean {
  return REFUSED.has(errorNumberOf(error))
}

/** Returns true if a working server refused the statement. */
export function isMysqlRefusal (error: unknown): boolean {
  return error instanceof Error && 'sqlState' in error && !NOT_NOW.has(errorNumberOf(error))
}
