import type { MigrationDatabase } from '../../adapters/sql/migration/migration-source.js'
import {
  columnsOf,
  countOrphans,
  eachRow,
  findDuplicates,
  findNulls,
  type Duplicates
} from '../../adapters/sql/migration/stored-rows.js'
import { foldCase, quoted } from '../../shared/text.js'
import { parseEmail, storedForms } from '../../users/index.js'
import type { Move, MovedTable, MovedTables } from './move.js'

const SHOWN = 20
const IS_ASCII = /^[\x21-\x7e]*$/

/** Returns messages about rows that conflict with the new schema, or that the application could not find in it. */
export async function findRowProblems (
  database: MigrationDatabase,
  move: Move,
  { found, users }: Pick<MovedTables, 'found'> & { users: MovedTable }
): Promise<string[]> {
  const problems: string[] = []
  for (const one of found) problems.push(...(await nullProblems(database, one)))
  problems.push(...(await emailProblems(database, move, users)))
  for (const one of found) problems.push(...(await duplicateProblems(database, one, users)))
  for (const one of found) {
    if (!move.pruneOrphans) problems.push(...(await orphanProblems(database, one, users)))
  }
  return problems
}

/** Returns an e-mail with only its first letters and its last label, enough for its owner to recognize it. */
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
  return (await findNulls(database, found.present)).map(
    ({ column, count }) => `${tableNameOf(found)}: rows without a value in ${quoted(column)}: ${count}`
  )
}

/** Returns messages about ids and e-mails that lookups would not find, and e-mails equal in another Unicode form. */
async function emailProblems (
  database: MigrationDatabase,
  { rows, config }: Move,
  users: MovedTable
): Promise<string[]> {
  const unsupported: string[] = []
  const wrongIds: unknown[] = []
  const internationalized = new Map<string, unknown[]>()
  for await (const [id, email] of eachRow(database, users.table, ['email'])) {
    if (rows.parseId(String(id)) !== users.table.primaryKey.codec.decode(id)) wrongIds.push(id)
    if (email === null) continue
    const normalized = parseEmail(String(email))
    if (normalized === null || !isFoundByLookup(normalized, String(email))) {
      unsupported.push(`${quoted(id)} (${maskEmail(String(email))})`)
    } else if (!IS_ASCII.test(normalized) || String(email).includes('xn--')) {
      addTo(internationalized, foldCase(normalized), id)
    }
  }
  const problems: string[] = []
  if (wrongIds.length > 0) {
    const type = quoted(config.settings.schemas.id.name)
    problems.push(`${tableNameOf(users)}: ids that are not of the type ${type} of the option \`schemas\`: ${quotedIds(wrongIds)}`)
  }
  if (unsupported.length > 0) {
    const emails = shorten(unsupported)
    problems.push(`${tableNameOf(users)}: e-mails in an unsupported form (name@example.com is required): ${emails}`)
  }
  for (const same of internationalized.values()) {
    if (same.length > 1) {
      problems.push(`${tableNameOf(users)}: e-mails that differ only in their Unicode form: ${quotedIds(same)}`)
    }
  }
  return problems
}

/** Checks that a lookup by the normalized e-mail finds a row with the stored form. */
function isFoundByLookup (normalized: string, stored: string): boolean {
  return storedForms(normalized).some((form) => foldCase(form) === foldCase(stored))
}

function addTo (map: Map<string, unknown[]>, key: string, value: unknown): void {
  map.set(key, [...(map.get(key) ?? []), value])
}

/** Returns a message for each group of rows that prevents a unique index of the model. */
async function duplicateProblems (
  database: MigrationDatabase,
  found: MovedTable,
  users: MovedTable
): Promise<string[]> {
  const { table, present } = found
  const problems: string[] = []
  for (const fields of table.model.unique ?? []) {
    // columns that are new have no duplicates
    if (columnsOf(present, fields).length < fields.length) continue
    for (const duplicates of await findDuplicates(database, present, fields, SHOWN)) {
      const isEmail = found === users && fields.join() === 'email'
      problems.push(isEmail ? sameEmails(found, duplicates) : sameRows(found, fields, duplicates))
    }
  }
  return problems
}

function sameEmails (users: MovedTable, { values: [email], ids }: Duplicates): string {
  return `${tableNameOf(users)}: e-mails that differ only in case: ${quotedIds(ids)} (${maskEmail(String(email))})`
}

function sameRows (found: MovedTable, fields: readonly string[], { ids }: Duplicates): string {
  return `${tableNameOf(found)}: rows with the same ${fields.join(', ')}: ${quotedIds(ids)}; change or delete all but one`
}

async function orphanProblems (database: MigrationDatabase, found: MovedTable, users: MovedTable): Promise<string[]> {
  const count = await countOrphans(database, found.present, users.table)
  const text = `${tableNameOf(found)}: rows whose user does not exist: ${count}; delete them with --prune-orphans`
  return count === 0 ? [] : [text]
}

function tableNameOf ({ table }: MovedTable): string {
  return `table ${quoted(table.name)}`
}

function quotedIds (ids: readonly unknown[]): string {
  return shorten(ids.map(quoted))
}

function shorten (texts: readonly string[]): string {
  const more = texts.length - SHOWN
  return texts.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
