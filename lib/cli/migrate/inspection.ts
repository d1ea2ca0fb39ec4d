import type { MigrationDatabase } from '../../adapters/sql/migration/migration-source.js'
import {
  countOrphans,
  countPlainTokens,
  eachPlainToken,
  removeOrphans,
  storeDigest
} from '../../adapters/sql/migration/stored-rows.js'
import { mappingOf } from '../../adapters/sql/schema.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { PLAIN_STAMP_PREFIX } from '../../strategies/database/access-token-model.js'
import { digestToken } from '../../tokens/index.js'
import type { UserRow } from '../../contracts/user.js'
import { adoptedModels } from './adopted-models.js'
import {
  findTables,
  planChanges,
  quoted,
  type Digests,
  type Move,
  type MovedTable,
  type PendingChange
} from './move.js'
import { findRowProblems } from './row-problems.js'

/** Rows of a table. */
interface Counted {
  readonly found: MovedTable
  readonly count: number
}

/** What a move would change. */
export interface Inspection {
  readonly users: MovedTable
  readonly changes: readonly PendingChange[]
  /** Rows without their user, of the tables that have any. */
  readonly orphans: readonly Counted[]
  /** Tokens that are stored as they are, without those of users who are gone; null when there are none. */
  readonly plainTokens: Counted | null
}

/** Looks at everything and changes nothing. Gives what stops the move, if anything does. */
export async function inspect (
  database: MigrationDatabase,
  move: Move
): Promise<Inspection | { problems: readonly string[] }> {
  const { users, tokens, accounts } = await findTables(database, move)
  if (users === null) return { problems: [missingUsers(move)] }
  const { changes, problems } = await planChanges(database, { users, tokens, accounts })
  if (problems.length === 0) problems.push(...(await findRowProblems(database, move, { users, tokens, accounts })))
  if (problems.length > 0) return { problems }
  const orphans: Counted[] = []
  for (const found of [tokens, accounts]) {
    const count = found === null ? 0 : await countOrphans(database, found.table, users.table)
    if (found !== null && count > 0) orphans.push({ found, count })
  }
  return { users, changes, orphans, plainTokens: tokens === null ? null : await countPlain(database, tokens, users) }
}

/** Returns what to do about a table of users that is not there. */
function missingUsers ({ mappings, config: { settings } }: Move): string {
  const { model } = adoptedModels(settings).users
  const name = mappingOf(model, mappings).table ?? model.table
  return `there is no table ${quoted(name)} in this database; say the table's name with the adapter's option \`tables\``
}

/** The texts of all that a move would do, in its order. */
export function pendingOf ({ changes, orphans, plainTokens }: Inspection, { digests }: Move): string[] {
  return [
    ...orphans.map(({ found, count }) => `table ${quoted(found.table.name)}: remove rows whose user is gone: ${count}`),
    ...changes.map(({ table, text }) => `table ${quoted(table.name)}: ${text}`),
    ...(digests !== null && plainTokens !== null
      ? [
          `table ${quoted(plainTokens.found.table.name)}: replace plain tokens by their digests, for the backend ${quoted(digests.backend)}: ${plainTokens.count}`
        ]
      : [])
  ]
}

/**
 * Does what the inspection found, in its transaction. Throws `FST_USERS_TABLE_MISMATCH` when something is left to do
 * then.
 */
export async function applyMove (
  database: MigrationDatabase,
  move: Move,
  { users, orphans, changes, plainTokens }: Inspection
): Promise<void> {
  for (const { found } of orphans) await removeOrphans(database, found.table, users.table)
  for (const { statements } of changes) for (const statement of statements) await database.run(statement)
  if (move.digests !== null && plainTokens !== null) {
    await storeDigests(database, move, move.digests, plainTokens.found, users)
  }

  const tables = await findTables(database, move)
  const {
    changes: [left]
  } = await planChanges(database, tables)
  if (left !== undefined) {
    throw FST_USERS_TABLE_MISMATCH([left.table.name, `the database does not do this: ${left.text}`])
  }
}

/**
 * A digest looks like a token, so the stamp beside it tells them apart: plain tokens have none, or one with a mark. The
 * stamp that a row gets is its user's of now, so that the session ends with all others.
 */
async function storeDigests (
  database: MigrationDatabase,
  { rows }: Move,
  { label }: Digests,
  tokens: MovedTable,
  users: MovedTable
): Promise<void> {
  for await (const { token, stamp, user } of eachPlainToken(database, tokens.table, users.table, PLAIN_STAMP_PREFIX)) {
    // all that a stamp is made of
    const own = stamp === null ? rows.stampOf(user as UserRow) : stamp.slice(PLAIN_STAMP_PREFIX.length)
    await storeDigest(database, tokens.table, token, digestToken(token, label), own)
  }
}

async function countPlain (database: MigrationDatabase, found: MovedTable, users: MovedTable): Promise<Counted | null> {
  const { table, stored } = found
  const hasStamp = table.columns.some(
    ({ field, name }) => field === 'session_stamp' && stored.columns.has(table.dialect.foldName(name))
  )
  const count = await countPlainTokens(database, table, users.table, hasStamp ? PLAIN_STAMP_PREFIX : null)
  return count === 0 ? null : { found, count }
}
