import type { FastifyBaseLogger } from 'fastify'
import {
  type CallContext,
  type Changes,
  type DatabaseAdapter,
  type ExternalUser,
  type FeatureKit,
  idOf,
  isSameEmail,
  isUsersError,
  type Model,
  type NewRow,
  type Row,
  type UserId,
  type UserRow
} from '../../feature/index.js'
import { FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED } from './errors.js'
import { accountModel, ACCOUNT_TEXT_MAX_LENGTH, type AccountRow } from './account-model.js'
import type { Identity, ProviderTokens } from './contracts.js'
import { isProven } from './identity.js'
import { NO_TOKENS, type AccountKey, type StoredTokens, type TokenVault } from './token-vault.js'

/** Maximum number of accounts that are read for one user. */
const MAX_ACCOUNTS = 1000
const TOO_LONG =
  "fastify-users: the provider's tokens do not fit their columns and are not stored. Widen the columns"
/** Error codes of stores for a text that is longer than its column. */
const TOO_LONG_CODES: ReadonlySet<string> = new Set(['FST_USERS_TABLE_MISMATCH', 'FST_USERS_INVALID_USER'])

/** Reads and writes stored accounts. Contains no rules. */
export interface AccountRows {
  /**
   * Returns the account of an identity, or null. Throws `FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED` if an existing table
   * assigns it to two users.
   */
  find(identity: Identity): Promise<AccountRow | null>
  ofUser(userId: UserId): Promise<AccountRow[]>
  get(id: AccountRow['id']): Promise<AccountRow | null>
  /** Adds an account. Returns null if it belongs to a user already. */
  add(userId: UserRow['id'], identity: Identity): Promise<AccountRow | null>
  /** Creates a user with an account. Returns null if the account belongs to a user already. */
  createUser(values: ExternalUser, identity: Identity, call: CallContext): Promise<UserRow | null>
  /** Updates the e-mail and the tokens of an account. Returns false if the account was deleted. */
  renew(row: AccountRow, identity: Identity): Promise<boolean>
  /** Stores refreshed tokens. Returns false if the stored refresh token is no longer that of `row`. */
  replaceTokens(row: AccountRow, tokens: ProviderTokens): Promise<boolean>
  remove(row: AccountRow): Promise<number>
  removeAll(userId: UserRow['id']): Promise<number>
  /** Inserts a deleted row again. */
  restore(row: AccountRow): Promise<void>
}

interface RowParts {
  store: DatabaseAdapter
  model: Model
  vault: TokenVault
  log: FastifyBaseLogger
}

export function createAccountRows (kit: FeatureKit, vault: TokenVault): AccountRows {
  const { store, settings, log } = kit
  const model = accountModel(settings.schemas.id)
  const parts: RowParts = { store, model, vault, log }

  return {
    find: (identity) => findAccount(parts, identity),
    ofUser: (userId) => findMany(parts, { user_id: userId }),
    get: async (id) => (await store.findOne(model, { id })) as AccountRow | null,
    add: (userId, identity) => addAccount(parts, userId, identity),
    createUser: (values, identity, call) => createUserWithAccount(parts, kit, { values, identity, call }),
    renew: (row, identity) => renewAccount(parts, row, identity),

    replaceTokens: async (row, tokens) =>
      (await writeTokens(parts, vault.store(row, tokens), (stored) =>
        store.update(model, { id: row.id, refresh_token: row.refresh_token }, { ...stored })
      )) > 0,
    remove: ({ id, user_id: userId }) => store.delete(model, { id, user_id: userId }),
    removeAll: (userId) => store.delete(model, { user_id: userId }),
    async restore (row) {
      await store.create(model, { ...row })
    }
  }
}

/**
 * Checks whether the provider of a stored account stated, at the last login, that this e-mail belongs to the account.
 */
export function vouchesFor ({ account_email: known, email_verified: isVerified }: AccountRow, email: string): boolean {
  return isVerified === true && isSameEmail(known, email)
}

async function findAccount (parts: RowParts, identity: Identity): Promise<AccountRow | null> {
  const [first, ...others] = await findMany(parts, accountKeyOf(identity))
  if (first !== undefined && others.some((other) => String(other.user_id) !== String(first.user_id))) {
    throw FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED()
  }
  return first ?? null
}

async function addAccount (parts: RowParts, userId: UserRow['id'], identity: Identity): Promise<AccountRow | null> {
  const { store, model, vault } = parts
  const tokens = vault.store(accountKeyOf(identity), identity.tokens)
  const added = await nullOnDuplicate(() =>
    writeTokens(parts, tokens, (stored) => store.create(model, { ...newAccountRow(identity, stored), user_id: userId }))
  )
  return added !== null && !(await deleteIfDuplicate(parts, added as AccountRow)) ? (added as AccountRow) : null
}

async function createUserWithAccount (
  { model, vault, log }: RowParts,
  kit: FeatureKit,
  { values, identity, call }: { values: ExternalUser; identity: Identity; call: CallContext }
): Promise<UserRow | null> {
  const tokens = vault.store(accountKeyOf(identity), identity.tokens)
  const rowsWith = (some: StoredTokens): NewRow[] => [[model, { ...newAccountRow(identity, some), user_id: idOf(0) }]]
  const shorter = tokens.access_token === '' ? undefined : rowsWith(NO_TOKENS)
  const stored = await kit.externalUsers.create(values, { rows: rowsWith(tokens), shorter }, call)
  if (stored === null) return null
  const [user, account] = stored
  if (shorter !== undefined && account?.['access_token'] === '') log.warn(`${TOO_LONG}.`)
  return user
}

async function renewAccount (parts: RowParts, row: AccountRow, identity: Identity): Promise<boolean> {
  const { store, model, vault } = parts
  // many providers return a refresh token at the first login only
  const refreshToken = identity.tokens.refreshToken ?? vault.read(row)?.refreshToken ?? null
  const where = { ...accountKeyOf(identity), user_id: row.user_id }
  const email: Changes = storableEmailOf(identity) === '' ? {} : emailColumnsOf(identity)
  const changed = await writeTokens(parts, vault.store(row, { ...identity.tokens, refreshToken }), (tokens) =>
    store.update(model, where, { ...email, ...tokens })
  )
  return changed > 0
}

async function findMany ({ store, model }: RowParts, where: Partial<AccountRow>): Promise<AccountRow[]> {
  const conditions = where as Row as Record<string, string | number> // only ids and texts
  return (await store.findMany(model, conditions, { limit: MAX_ACCOUNTS })) as AccountRow[]
}

/** Writes tokens. If a column of an existing table is too narrow for them, the row is written without tokens. */
async function writeTokens<T> (
  { log }: RowParts,
  tokens: StoredTokens,
  action: (tokens: StoredTokens) => Promise<T>
): Promise<T> {
  try {
    return await action(tokens)
  } catch (error) {
    if (!isUsersError(error) || !TOO_LONG_CODES.has(error.code) || tokens.access_token === '') throw error
    const written = await action(NO_TOKENS)
    log.warn({ code: error.code }, `${TOO_LONG}: ${error.message}`)
    return written
  }
}

/**
 * Deletes a new row if another row has the same key, which is possible without the unique index. Returns true if the
 * row was deleted.
 */
async function deleteIfDuplicate (parts: RowParts, { id, oauth_name, account_id }: AccountRow): Promise<boolean> {
  if ((await findMany(parts, { oauth_name, account_id })).every((account) => account.id === id)) return false
  await parts.store.delete(parts.model, { id })
  return true
}

/** Returns null if a row violates a unique index. */
async function nullOnDuplicate<T> (action: () => Promise<T>): Promise<T | null> {
  try {
    return await action()
  } catch (error) {
    if (!isUsersError(error) || error.code !== 'FST_USERS_UNIQUE_VIOLATION') throw error
    return null
  }
}

function accountKeyOf ({ provider: { name }, accountId }: Identity): AccountKey {
  return { oauth_name: name, account_id: accountId }
}

/** Returns the values of a new account without its `user_id`. */
function newAccountRow (identity: Identity, tokens: StoredTokens): Row {
  return { ...accountKeyOf(identity), ...emailColumnsOf(identity), ...tokens }
}

function emailColumnsOf (identity: Identity): Pick<AccountRow, 'account_email'> & { email_verified: boolean } {
  return { account_email: storableEmailOf(identity), email_verified: isProven(identity) }
}

/** Returns the e-mail as the provider writes it, or an empty text if it cannot be stored. */
function storableEmailOf ({ email }: Identity): string {
  return email === null || email.length > ACCOUNT_TEXT_MAX_LENGTH || !email.isWellFormed() || email.includes('\0')
    ? ''
    : email
}
