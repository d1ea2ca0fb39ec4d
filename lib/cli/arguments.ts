import { parseArgs } from 'node:util'
import type { Command, Values } from './command.js'

/** The options of a command, or what is wrong with them. Every command has `--help`. */
export function readArguments ({ options }: Command, args: readonly string[]): { values: Values } | { problem: string } {
  try {
    const { values } = parseArgs({ args: [...args], options: { ...options, help: { type: 'boolean', short: 'h' } }, allowPositionals: false })
    return { values: values as Values }     // no option may be given several times
  } catch (error) {
    return { problem: messageOf(error) }
  }
}

/** What an error says, in one line: its message's first, without a code; of a store that does not answer, why. */
export function messageOf (error: unknown): string {
  if (!(error instanceof Error)) return firstLine(String(error))
  const { message, cause, errors, code } = error as Error & { errors?: unknown[], code?: unknown }     // an AggregateError has no message of its own
  if (code === 'FST_USERS_STORE_UNAVAILABLE') return `the store does not answer${cause === undefined ? '' : `: ${messageOf(cause)}`}`
  if (code === 'FST_ERR_HOOK_TIMEOUT') return 'the store does not answer'
  if (message === '' && errors !== undefined && errors.length > 0) return messageOf(errors[0])
  return firstLine(message === '' ? String(code ?? error.name) : message)
}

function firstLine (text: string): string {
  return text.replace(/:?\n[^]*/, '')
}

/** Whether another process held the database for too long: SQLite's file, or PostgreSQL's locks. */
export function isBusy (error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^(?:SQLITE_BUSY.*|55P03)$/.test(String(error.code))
}
