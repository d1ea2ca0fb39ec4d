import { stat } from 'node:fs/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import type { Settings } from '../contracts/settings.js'
import { OTHER_ACCOUNTS_MODE } from './limits.js'

/**
 * Returns a message if other accounts of the machine can read or write the database file. Returns null otherwise, for
 * adapters without a file and on Windows.
 */
export async function filePermissionProblem ({ file }: DatabaseAdapter): Promise<string | null> {
  if (file === undefined || process.platform === 'win32') return null // Windows has no permission bits
  const found = await stat(file).catch(() => null)
  if (found === null || (found.mode & OTHER_ACCOUNTS_MODE) === 0) return null
  return `the database file ${file} can be read or written by every account of this machine; run \`chmod o= ${file}\``
}

/** Logs a warning if other accounts can read the database file, unless `readableDatabase` is allowed. */
export async function warnIfFileIsReadable (
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
