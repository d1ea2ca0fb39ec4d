import { FST_USERS_INTERNAL_ERROR, isUsersError, storeUnavailable, type UsersError } from '../../errors.js'
import { isUnreachable } from './unreachable.js'

/**
 * Error codes of a lost connection, a time-out, a lock or a deadlock: PostgreSQL (SQLSTATE), MySQL, Prisma, ioredis,
 * undici.
 */
const DRIVER_CODE =
  /^(?:08[0-9A-Z]{3}|53[0-9A-Z]{3}|57014|57P0[1-5]|40001|40P01|55P03|ER_LOCK_WAIT_TIMEOUT|ER_LOCK_DEADLOCK|P2034|PROTOCOL_CONNECTION_LOST|ER_CON_COUNT_ERROR|ER_SERVER_SHUTDOWN|P1001|P1002|P1008|P1017|P2024|NR_CLOSED|UND_ERR_(?:SOCKET|[A-Z_]*TIMEOUT))$/
/** Error names with the same meaning: ioredis, redis, MongoDB, Knex, Sequelize. */
const DRIVER_NAMES = new Set([
  'MaxRetriesPerRequestError',
  'ClientClosedError',
  'ClientOfflineError',
  'ConnectionTimeoutError',
  'SocketClosedUnexpectedlyError',
  'SocketTimeoutError',
  'MongoNetworkError',
  'MongoNetworkTimeoutError',
  'MongoServerSelectionError',
  'MongoNotConnectedError',
  'MongoPoolClearedError',
  'KnexTimeoutError',
  'SequelizeConnectionError',
  'SequelizeConnectionRefusedError',
  'TimeoutError'
])
const BUGS = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError]
const MAX_DEPTH = 5

/**
 * Returns the coded error for an error of a database or Redis client: `FST_USERS_STORE_UNAVAILABLE` by default, since
 * most of these errors concern the connection and many have no code. A programming error such as a `TypeError` becomes
 * `FST_USERS_INTERNAL_ERROR`, because retrying does not help. The original error is the `cause`, for the log only.
 */
export function toStoreError (error: unknown): UsersError {
  if (isUsersError(error)) return error
  return isBug(error) ? FST_USERS_INTERNAL_ERROR([], { cause: error }) : storeUnavailable(error)
}

/**
 * Returns the coded error for an error of an adapter, or of application code such as a transport, a strategy or a
 * `backends` function. It is `FST_USERS_STORE_UNAVAILABLE` only if the error says that a database cannot be reached or
 * cannot serve now. Every other error is a bug or a violated constraint, and retrying does not help.
 */
export function toCallError (error: unknown): UsersError {
  if (isUsersError(error)) return error
  return isStoreFailure(error) ? storeUnavailable(error) : FST_USERS_INTERNAL_ERROR([], { cause: error })
}

/**
 * Returns true if the error or one of its causes says that a database cannot be reached or cannot serve now. `fetch`
 * wraps such errors in a `TypeError`.
 */
function isStoreFailure (error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth === MAX_DEPTH) return false
  const code = 'code' in error ? String(error.code) : ''
  return (
    isUnreachable(error) ||
    DRIVER_CODE.test(code) ||
    DRIVER_NAMES.has(error.name) ||
    isStoreFailure(error.cause, depth + 1)
  )
}

/** Returns true for a programming error. A `TypeError` with which `fetch` reports a network error is not one. */
export function isBug (error: unknown): boolean {
  if (isStoreFailure(error)) return false
  return (
    BUGS.some((kind) => error instanceof kind) ||
    (error instanceof Error && 'code' in error && error.code === 'ERR_ASSERTION')
  )
}
