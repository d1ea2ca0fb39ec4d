import { sqlStateOf } from '../dialects/postgres.js'

/**
 * Errors of a prepared statement that a changed table or a connection pooler made unusable: feature not supported,
 * statement does not exist, duplicate statement.
 */
const STALE = new Set(['0A000', '26000', '42P05'])
/**
 * SQLSTATE classes of a server that cannot serve now: connection exception, insufficient resources, operator
 * intervention, system error.
 */
const NOT_NOW_CLASSES = new Set(['08', '53', '57', '58'])
/**
 * SQLSTATE codes with the same meaning: serialization failure, deadlock, lock not available, read-only server (as after
 * a failover), time-outs of transactions.
 */
const NOT_NOW = new Set(['40001', '40P01', '55P03', '25006', '25P03', '25P04'])

/** Returns true if a prepared statement became unusable. The server refused it before it ran, so a retry is safe. */
export function isStale (error: unknown): boolean {
  return STALE.has(sqlStateOf(error))
}

/**
 * Returns true if a working server refused the statement. An error without a severity comes from the client and
 * concerns the connection.
 */
export function isPgRefusal (error: unknown): boolean {
  const state = sqlStateOf(error)
  return error instanceof Error && 'severity' in error && !NOT_NOW.has(state) && !NOT_NOW_CLASSES.has(state.slice(0, 2))
}
