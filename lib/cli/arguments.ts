import { parseArgs } from 'node:util'
import type { Command, Values } from './command.js'

/** The options of a command, or what is wrong with them. Every command has `--help`. */
export function readArguments (
  { options }: Command,
  args: readonly string[]
): { values: Values } | { problem: string } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ...options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: false
    })
    return { values: values as Values } // no option may be given several times
  } catch (error) {
    return { problem: messageOf(error) }
  }
}

/** What an error says, in one line: its message's first, without a code; of a store that does not answer, why. */
export function messageOf (error: unknown): string {
  if (!(error instanceof Error)) return firstLine(String(error))
  // an AggregateError has no message of its own
  const { message, cause, errors, code } = error as Error & { errors?: unknown[]; code?: unknown }
  if (code === 'FST_USERS_STORE_UNAVAILABLE') {
    return `the store does not answer${cause === undefined ? '' : `: ${messageOf(cause)}`}`
  }
  if (code === 'FST_ERR_HOOK_TIMEOUT') return 'the store does not answer'
  if (message === '' && errors !== undefined && errors.length > 0) return messageOf(errors[0])
  return firstLine(message === '' ? String(code ?? error.name) : message)
}

function firstLine (text: string): string {
  return text.replace(/:?\n[^]*/, '')
}

/**
 * What to say when another process held the database for too long: SQLite's file, or locks of PostgreSQL and MySQL;
 * null for other errors.
 */
export function busyText (error: unknown): string | null {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ER_LOCK_WAIT_TIMEOUT') return `a transaction of another process held a table for too long; ${KEPT}`
  return /^(?:SQLITE_BUSY.*|55P03)$/.test(code)
    ? 'nothing was changed: another process holds the database; try again'
    : null
}

/** What a failure leaves where each change is kept. */
export const KEPT = 'what was changed before stays, and the next run goes on'
