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
/** Another connection has locked the file, or the file system fails (https://sqlite.org/rescode.html). */
const SQLITE = /^SQLITE_(?:BUSY|LOCKED|PROTOCOL|INTERRUPT|IOERR|FULL|CANTOPEN|NOMEM)/
/** The same errors as numbers, which `node:sqlite` reports. */
const SQLITE_NUMBERS = new Set([5, 6, 7, 9, 10, 13, 14, 15])
const MAX_DEPTH = 5

/**
 * Returns true if a database could not be reached or cannot serve now: a coded error that says so, a network error
 * among the causes, or a file that another process has locked. Returns false if a reachable database refused a
 * statement.
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
