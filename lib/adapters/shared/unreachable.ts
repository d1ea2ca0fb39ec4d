import { isUsersError } from '../../errors.js'

const NETWORK = new Set(['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'ETIMEDOUT', 'EPIPE', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENETDOWN', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'])
const MAX_DEPTH = 5

/**
 * Whether an adapter could not reach its store, or not now: our code for that, an error of the network among the causes,
 * or a file that another process holds. What a store that answers refuses is another matter.
 */
export function isUnreachable (error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth === MAX_DEPTH) return false
  const code = 'code' in error ? String(error.code) : ''
  if (isUsersError(error)) return code === 'FST_USERS_STORE_UNAVAILABLE'
  return NETWORK.has(code) || code.startsWith('SQLITE_BUSY') || isUnreachable(error.cause, depth + 1)
}
