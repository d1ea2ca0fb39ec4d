/** Says that completed changes are kept after a failure, for stores that cannot roll back schema changes. */
export const CHANGES_KEPT = 'completed changes are kept; run the command again to finish'

/**
 * Returns the first line of an error's message, without its code. For a store that does not answer it returns the
 * reason.
 */
export function messageOf (error: unknown): string {
  if (!(error instanceof Error)) return firstLine(String(error))
  // an AggregateError of node:net has an empty message
  const { message, cause, errors, code } = error as Error & { errors?: unknown[]; code?: unknown }
  if (code === 'FST_USERS_STORE_UNAVAILABLE') {
    return `the store does not answer${cause === undefined ? '' : `: ${messageOf(cause)}`}`
  }
  if (code === 'FST_ERR_HOOK_TIMEOUT') return 'the store does not answer'
  if (message === '' && errors !== undefined && errors.length > 0) return messageOf(errors[0])
  return firstLine(message === '' ? String(code ?? error.name) : message)
}

/**
 * Returns the message for a lock that another process held for too long: of the SQLite file, or of a table in
 * PostgreSQL or MySQL. Returns null for other errors.
 */
export function lockTimeoutMessage (error: unknown): string | null {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ER_LOCK_WAIT_TIMEOUT') {
    return `a transaction of another process locked a table for too long; ${CHANGES_KEPT}`
  }
  return /^(?:SQLITE_BUSY.*|55P03)$/.test(code)
    ? 'nothing was changed: another process has locked the database; try again'
    : null
}

function firstLine (text: string): string {
  return text.replace(/:?\n[^]*/, '')
}
