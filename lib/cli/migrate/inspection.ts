import type { MigrationDatabase } from '../../adapters/sql/migration/migration-source.js'
import {
  countOrphans,
  countPlainTokens,
  eachPlainToken,
  removeOrphans,
  storeDigest
} from '../../adapters/sql/migration/stored-rows.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { quoted } from '../../shared/text.js'
import { PLAIN_STAMP_PREFIX } from '../../strategies/database/access-token-model.js'
import { digestToken } from '../../tokens/index.js'
import type { UserRow } from '../../contracts/user.js'
import {
  findTables,
  planChanges,
  unusedTables,
  type DigestBackend,
  type Move,
  type MovedTable,
  type MovedTables,
  type PendingChange
} from './move.js'
import { findRowProblems } from './row-problems.js'

/** Number of rows in a table. */
interface RowCount {
  readonly found: MovedTable
  readonly count: number
}

/** The changes that a move of tables of FastAPI Users needs, as `inspect` found them. */
export interface MoveInspection {
  readonly users: MovedTable
  readonly changes: readonly PendingChange[]
  /** Tables with rows whose user does not exist. */
  readonly orphans: readonly RowCount[]
  /** Tokens in plain text, except those in `orphans`. Null if there are none. */
  readonly plainTokens: RowCount | null
  /** Names of tables that refer to users and belong to no model of the config. */
  readonly unused: readonly string[]
}

/** Returns the changes that the move needs, or the problems that prevent it. Changes nothing. */
export async function inspect (
  database: MigrationDatabase,
  move: Move
): Promise<MoveInspection | { problems: readonly string[] }> {
  const tables = await findTables(database, move)
  const { users, tokens, found } = tables
  if (users === null) return { problems: [missingUsersMessage(tables)] }
  const { changes, problems } = await planChanges(database, tables)
  if (problems.length === 0) problems.push(...(await findRowProblems(database, move, { found, users })))
  if (problems.length > 0) return { problems }
  const orphans: RowCount[] = []
  for (const one of found) {
    const count = await countOrphans(database, one.present, users.table)
    if (count > 0) orphans.push({ found: one, count })
  }
  const plainTokens = tokens === null ? null : await countPlain(database, tokens, users)
  return { users, changes, orphans, plainTokens, unused: await unusedTables(database, { ...tables, users }) }
}

/** Returns the message for a missing table of users. */
function missingUsersMessage ({ names: [name] }: MovedTables): string {
  return `the database has no table ${quoted(name)}; set the table's name in the adapter's option \`tables\``
}

/** Returns a description of every change, in the order of `applyMove`. */
export function describeChanges ({ changes, orphans, plainTokens }: MoveInspection, { digests }: Move): string[] {
  return [
    ...orphans.map(
      ({ found, count }) => `table ${quoted(found.table.name)}: delete rows whose user does not exist: ${count}`
    ),
    ...changes.map(({ table, text }) => `table ${quoted(table.name)}: ${text}`),
    ...(digests === null || plainTokens === null ? [] : [describeDigests(digests, plainTokens)])
  ]
}

function describeDigests ({ backend }: DigestBackend, { found, count }: RowCount): string {
  const table = quoted(found.table.name)
  return `table ${table}: replace plain tokens by digests for the backend ${quoted(backend)}: ${count}`
}

/**
 * Applies the changes of an inspection in the same transaction. Throws `FST_USERS_TABLE_MISMATCH` if the tables still
 * need a change afterwards.
 */
export async function applyMove (
  database: MigrationDatabase,
  move: Move,
  { users, orphans, changes, plainTokens }: MoveInspection
): Promise<void> {
  for (const { found } of orphans) await removeOrphans(database, found.present, users.table)
  for (const { statements } of changes) for (const statement of statements) await database.run(statement)
  if (move.digests !== null && plainTokens !== null) {
    await storeDigests(database, move, move.digests, plainTokens.found, users)
  }

  const tables = await findTables(database, move)
  const {
    changes: [left]
  } = await planChanges(database, tables)
  if (left !== undefined) {
    throw FST_USERS_TABLE_MISMATCH([left.table.name, `the database did not apply this change: ${left.text}`])
  }
}

/**
 * Replaces plain tokens by digests. A digest has the form of a token, so `session_stamp` distinguishes them: that of a
 * plain token is null or begins with a prefix. A null stamp is replaced by the user's current security stamp, so that
 * the session is revoked together with the user's other sessions.
 */
async function storeDigests (
  database: MigrationDatabase,
  { rows }: Move,
  { label }: DigestBackend,
  tokens: MovedTable,
  users: MovedTable
): Promise<void> {
  for await (const { token, stamp, user } of eachPlainToken(database, tokens.table, users.table, PLAIN_STAMP_PREFIX)) {
    // eachPlainToken reads the columns that stampOf needs
    const newStamp = stamp === null ? rows.stampOf(user as UserRow) : stamp.slice(PLAIN_STAMP_PREFIX.length)
    await storeDigest(database, tokens.table, token, digestToken(token, label), newStamp)
  }
}

async function countPlain (
  database: MigrationDatabase,
  found: MovedTable,
  users: MovedTable
): Promise<RowCount | null> {
  const { table, stored } = found
  const hasStamp = table.columns.some(
    ({ field, name }) => field === 'session_stamp' && stored.columns.has(table.dialect.foldName(name))
  )
  const count = await countPlainTokens(database, table, users.table, hasStamp ? PLAIN_STAMP_PREFIX : null)
  return count === 0 ? null : { found, count }
}
