import { isUsersError } from '../../errors.js'

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN'
])
/** Another connection holds the file, or the file system cannot serve now (https://sqlite.org/rescode.html). */
const SQLITE = /^SQLITE_(?:BUSY|LOCKED|PROTOCOL|INTERRUPT|IOERR|FULL|CANTOPEN|NOMEM)/
/** The same by number, as `node:sqlite` has them. */
const SQLITE_NUMBERS = new Set([5, 6, 7, 9, 10, 13, 14, 15])
const MAX_DEPTH = 5

/**
 * Returns whether a store could not be reached, or cannot serve now: an error of ours that says so, an error of the
 * network
 * among the causes, or a file that another process holds. What a store that answers refuses is another matter.
 */
export function isUnreachable (error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth === MAX_DEPTH) return false
  const code = 'code' in error ? String(error.code) : ''
  if (isUsersError(error)) return code === 'FST_USERS_STORE_UNAVAILABLE'
  if (NETWORK.has(code) || SQLITE.test(code)) return true
  if ('errcode' in error && SQLITE_NUMBERS.has(Number(error.errcode) & 0xff)) return true
  const inner = error instanceof AggregateError ? (error.errors as unknown[]) : []
  return [error.cause, ...inner].some((cause) => isUnreachable(cause, depth + 1))
}
