import { FST_USERS_INTERNAL_ERROR, isUsersError, storeUnavailable, type UsersError } from '../../errors.js'
import { isUnreachable } from './unreachable.js'

/** Codes by which drivers say that they lost their server or wait for it: PostgreSQL (SQLSTATE), MySQL, Prisma, ioredis, undici. */
const DRIVER_CODE = /^(?:08[0-9A-Z]{3}|53[0-9A-Z]{3}|57P0[1-5]|PROTOCOL_CONNECTION_LOST|ER_CON_COUNT_ERROR|ER_SERVER_SHUTDOWN|P1001|P1002|P1008|P1017|P2024|NR_CLOSED|UND_ERR_(?:SOCKET|[A-Z_]*TIMEOUT))$/
/** Names of errors that say the same: ioredis, redis, MongoDB, Knex, Sequelize. */
const DRIVER_NAMES = new Set([
  'MaxRetriesPerRequestError', 'ClientClosedError', 'ClientOfflineError', 'ConnectionTimeoutError', 'SocketClosedUnexpectedlyError', 'SocketTimeoutError',
  'MongoNetworkError', 'MongoNetworkTimeoutError', 'MongoServerSelectionError', 'MongoNotConnectedError', 'MongoPoolClearedError',
  'KnexTimeoutError', 'SequelizeConnectionError', 'SequelizeConnectionRefusedError', 'TimeoutError'
])
const BUGS = [TypeError, RangeError, ReferenceError, SyntaxError]
const MAX_DEPTH = 5

/**
 * Returns the coded error for what an adapter or a client of a store threw: `FST_USERS_STORE_UNAVAILABLE`, with the cause
 * for the log alone. A mistake in the program, such as a `TypeError`, becomes `FST_USERS_INTERNAL_ERROR`: it is no reason to
 * try again later.
 */
export function toStoreError (error: unknown): UsersError {
  if (isUsersError(error)) return error
  return isStoreFailure(error) || !isBug(error) ? storeUnavailable(error) : FST_USERS_INTERNAL_ERROR([], { cause: error })
}

/**
 * Returns the coded error for what code of the application threw, such as a transport, a strategy or a `backends` function.
 * Only an error by which a driver says that its server is away is a failing store; every other one is a mistake.
 */
export function toCallError (error: unknown): UsersError {
  if (isUsersError(error)) return error
  return isStoreFailure(error) ? storeUnavailable(error) : FST_USERS_INTERNAL_ERROR([], { cause: error })
}

/** Returns true if an error, or one of its causes, says that a store cannot be reached. `fetch` wraps it in a `TypeError`. */
function isStoreFailure (error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth === MAX_DEPTH) return false
  const code = 'code' in error ? String(error.code) : ''
  return isUnreachable(error) || DRIVER_CODE.test(code) || DRIVER_NAMES.has(error.name) || isStoreFailure(error.cause, depth + 1)
}

function isBug (error: unknown): boolean {
  return BUGS.some((kind) => error instanceof kind) || (error instanceof Error && 'code' in error && error.code === 'ERR_ASSERTION')
}
