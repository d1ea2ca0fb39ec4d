import { FST_USERS_INVALID_OPTION } from '../../../errors.js'
import type { SqlDriver } from './driver.js'
import { createPrivateFile } from './private-file.js'
import { isBusy, useSqlite, retryWhileBusy } from './sqlite.js'
import type { OwnSqliteDatabase } from './sqlite-database.js'

type Client = new (path: string, options: { timeout: number }) => OwnSqliteDatabase
const loadBetterSqlite = async (): Promise<Client> => (await import('better-sqlite3')).default

/** Opens a database file with better-sqlite3. Throws `FST_USERS_INVALID_OPTION` when the package is not installed. */
export async function openBetterSqlite3 (
  path: string,
  load: () => Promise<Client> = loadBetterSqlite
): Promise<SqlDriver> {
  const Opened = await load().catch((cause: unknown) => {
    throw FST_USERS_INVALID_OPTION(
      ['adapter', 'sqlite(path) needs the package better-sqlite3; run `npm install better-sqlite3`'],
      { cause }
    )
  })
  const refuse = (cause: unknown): Error =>
    isBusy(cause)
      ? (cause as Error)
      : FST_USERS_INVALID_OPTION(
        [
          'adapter',
            `cannot open ${path}: ${String((cause as Error).message)}; its folder must exist, and folder and file must be writable`
        ],
        { cause }
      )
  let database: OwnSqliteDatabase
  try {
    createPrivateFile(path)
    database = new Opened(path, { timeout: 0 })
  } catch (error) {
    throw refuse(error)
  }
  try {
    // two processes that open a new file at the same time both switch its journal mode
    await retryWhileBusy(() => database.pragma('journal_mode = WAL'))
    return useSqlite(database, () => {
      database.close()
    })
  } catch (error) {
    database.close()
    throw refuse(error)
  }
}
