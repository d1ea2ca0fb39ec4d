import { stat } from 'node:fs/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import type { Settings } from '../contracts/settings.js'
import { OTHERS_BITS } from './limits.js'

/**
 * Returns what is wrong with the permissions of an adapter's file; null for none, for other adapters and on Windows.
 */
export async function filePermissionProblem ({ file }: DatabaseAdapter): Promise<string | null> {
  if (file === undefined || process.platform === 'win32') return null // Windows has no such bits
  const found = await stat(file).catch(() => null)
  if (found === null || (found.mode & OTHERS_BITS) === 0) return null
  return `the database file ${file} can be read or written by every account of this machine; run \`chmod o= ${file}\``
}

/** Logs a warning for a database file that other accounts can read, unless `allowInsecure` names it. */
export async function warnOfReadableFile (
  adapter: DatabaseAdapter,
  { allowInsecure }: Settings,
  log: FastifyBaseLogger
): Promise<void> {
  if (allowInsecure.has('readableDatabase')) return
  const problem = await filePermissionProblem(adapter)
  if (problem !== null) {
    log.warn(`fastify-users: ${problem}, or accept the risk with allowInsecure: ['readableDatabase']`)
  }
}
