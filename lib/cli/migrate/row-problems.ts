import type { MigrationDatabase } from '../../adapters/sql/migration/migration-source.js'
import {
  countOrphans,
  eachRow,
  findDuplicates,
  findNulls,
  type Duplicates
} from '../../adapters/sql/migration/stored-rows.js'
import { foldEmail, parseEmail, storedForms } from '../../users/index.js'
import { quoted, type Move, type MovedTable, type MovedTables } from './move.js'

const SHOWN = 20
const IS_ASCII = /^[\x21-\x7e]*$/

/** Rows that the new form of the tables would not hold, or that nobody could find in them, in words. */
export async function findRowProblems (
  database: MigrationDatabase,
  move: Move,
  { users, tokens, accounts }: MovedTables & { users: MovedTable }
): Promise<string[]> {
  const problems: string[] = []
  for (const found of [users, tokens, accounts]) {
    if (found !== null) problems.push(...(await nullProblems(database, found)))
  }
  problems.push(...(await addressProblems(database, move, users)))
  const addresses = await findDuplicates(database, users.table, ['email'], SHOWN)
  problems.push(
    ...addresses.map(
      ({ values: [email], ids }) =>
        `${nameOf(users)}: addresses that differ only in case: ${list(ids)} (${maskEmail(String(email))})`
    )
  )
  if (accounts !== null) {
    problems.push(
      ...(await findDuplicates(database, accounts.table, ['oauth_name', 'account_id'], SHOWN)).map((duplicates) =>
        accountProblem(accounts, duplicates)
      )
    )
  }
  for (const found of [tokens, accounts]) {
    if (found !== null && !move.pruneOrphans) problems.push(...(await orphanProblems(database, found, users)))
  }
  return problems
}

/** As much of an address as tells its owner: first letters and the last label. */
export function maskEmail (email: string): string {
  const at = email.lastIndexOf('@')
  const domain = email.slice(at + 1)
  const last = /\.([a-z]{2,})$/i.exec(domain)?.[1] ?? ''
  return at === -1 ? hide(email) : `${hide(email.slice(0, at))}@${hide(domain)}.${last}`
}

function hide (text: string): string {
  return `${/^[\p{L}\p{N}]/u.exec(text)?.[0] ?? ''}***`
}

async function nullProblems (database: MigrationDatabase, found: MovedTable): Promise<string[]> {
  return (await findNulls(database, found.table)).map(
    ({ column, count }) => `${nameOf(found)}: rows without a value in ${quoted(column)}: ${count}`
  )
}

/** Users who could not be found by their e-mail or id, and users who share one e-mail in two Unicode forms. */
async function addressProblems (
  database: MigrationDatabase,
  { rows, config }: Move,
  users: MovedTable
): Promise<string[]> {
  const addresses: string[] = []
  const ids: unknown[] = []
  const internationalized = new Map<string, unknown[]>()
  for await (const [id, email] of eachRow(database, users.table, ['email'])) {
    if (rows.parseId(String(id)) !== users.table.primaryKey.codec.decode(id)) ids.push(id)
    if (email === null) continue
    const known = parseEmail(String(email))
    if (known === null || !isFoundBy(known, String(email))) {
      addresses.push(`${quoted(id)} (${maskEmail(String(email))})`)
    } else if (!IS_ASCII.test(known) || String(email).includes('xn--')) push(internationalized, foldEmail(known), id)
  }
  const problems: string[] = []
  if (ids.length > 0) {
    problems.push(
      `${nameOf(users)}: ids that are not of the kind ${quoted(config.settings.schemas.id.name)}, which the option \`schemas\` says: ${list(ids)}`
    )
  }
  if (addresses.length > 0) {
    problems.push(
      `${nameOf(users)}: addresses in a form that is not stored here (one plain address): ${shorten(addresses)}`
    )
  }
  for (const same of internationalized.values()) {
    if (same.length > 1) {
      problems.push(`${nameOf(users)}: e-mails that differ only in their Unicode form: ${list(same)}`)
    }
  }
  return problems
}

/** Checks that who types an e-mail in our form finds a row that holds it in another. */
function isFoundBy (known: string, stored: string): boolean {
  return storedForms(known).some((form) => foldEmail(form) === foldEmail(stored))
}

function push (map: Map<string, unknown[]>, key: string, value: unknown): void {
  map.set(key, [...(map.get(key) ?? []), value])
}

function accountProblem (accounts: MovedTable, { values: [provider], ids }: Duplicates): string {
  return `${nameOf(accounts)}: an account of ${quoted(provider)} that is linked more than once: rows ${list(ids)}`
}

async function orphanProblems (database: MigrationDatabase, found: MovedTable, users: MovedTable): Promise<string[]> {
  const count = await countOrphans(database, found.table, users.table)
  return count === 0 ? [] : [`${nameOf(found)}: rows whose user is gone: ${count}; --prune-orphans removes them`]
}

function nameOf ({ table }: MovedTable): string {
  return `table ${quoted(table.name)}`
}

function list (ids: readonly unknown[]): string {
  return shorten(ids.map(quoted))
}

function shorten (texts: readonly string[]): string {
  const more = texts.length - SHOWN
  return texts.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
