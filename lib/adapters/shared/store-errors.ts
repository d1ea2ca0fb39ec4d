import { FST_USERS_INTERNAL_ERROR, isUsersError, storeUnavailable, type UsersError } from '../../errors.js'
import { isUnreachable } from './unreachable.js'

/**
 * Codes by which drivers say that they lost their server or wait for it, for a lock too: PostgreSQL (SQLSTATE), MySQL,
 * Prisma,
 * ioredis, undici.
 */
const DRIVER_CODE =
  /^(?:08[0-9A-Z]{3}|53[0-9A-Z]{3}|57014|57P0[1-5]|40001|40P01|55P03|ER_LOCK_WAIT_TIMEOUT|ER_LOCK_DEADLOCK|P2034|PROTOCOL_CONNECTION_LOST|ER_CON_COUNT_ERROR|ER_SERVER_SHUTDOWN|P1001|P1002|P1008|P1017|P2024|NR_CLOSED|UND_ERR_(?:SOCKET|[A-Z_]*TIMEOUT))$/
/** Names of errors that say the same: ioredis, redis, MongoDB, Knex, Sequelize. */
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
 * Returns the coded error for what the client of a store threw: `FST_USERS_STORE_UNAVAILABLE`, with the cause for the
 * log
 * alone. Its errors are of the connection as a rule, and many have no code. A mistake in the program, such as a
 * `TypeError`,
 * becomes `FST_USERS_INTERNAL_ERROR`: it is no reason to try again later.
 */
export function toStoreError (error: unknown): UsersError {
  if (isUsersError(error)) return error
  return isBug(error) ? FST_USERS_INTERNAL_ERROR([], { cause: error }) : storeUnavailable(error)
}

/**
 * Returns the coded error for what an adapter or code of the application threw, such as a transport, a strategy or a
 * `backends` function. Only an error by which a driver says that its server is away, or cannot serve now, is a failing
 * store;
 * every other one is a mistake or a constraint of a table, which trying again does not mend.
 */
export function toCallError (error: unknown): UsersError {
  if (isUsersError(error)) return error
  return isStoreFailure(error) ? storeUnavailable(error) : FST_USERS_INTERNAL_ERROR([], { cause: error })
}

/**
 * Returns true if an error, or one of its causes, says that a store cannot be reached. `fetch` wraps it in a
 * `TypeError`.
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

/**
 * Returns true for a mistake in a program, whatever it was doing. `fetch` reports errors of the network as such too.
 */
export function isBug (error: unknown): boolean {
  if (isStoreFailure(error)) return false
  return (
    BUGS.some((kind) => error instanceof kind) ||
    (error instanceof Error && 'code' in error && error.code === 'ERR_ASSERTION')
  )
}
