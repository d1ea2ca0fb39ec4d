import type { FeatureHost, StoreUser } from '../../contracts/feature-host.js'
import type { Changes, Row } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { UserId, UserRow } from '../../contracts/user.js'
import { FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED, isUsersError } from '../../errors.js'
import { isSameEmail } from '../../users/index.js'
import { accountModel, ACCOUNT_TEXT_MAX_LENGTH, type AccountRow } from './account-model.js'
import type { Identity, ProviderTokens } from './contracts.js'
import { isProven } from './identity.js'
import { NO_TOKENS, type AccountKey, type StoredTokens, type TokenVault } from './token-vault.js'

const MOST = 1000 // accounts of one user

/** Reads and writes stored accounts; knows nothing of rules. */
export interface AccountRows {
  /**
   * The account of an identity. Throws `FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED` when an adopted table gives it to two
   * users.
   */
  find(identity: Identity): Promise<AccountRow | null>
  ofUser(userId: UserId): Promise<AccountRow[]>
  get(id: AccountRow['id']): Promise<AccountRow | null>
  /** Adds an account; null when it has a user already. */
  add(userId: UserRow['id'], identity: Identity): Promise<AccountRow | null>
  /** Has a new user stored with an account, and gives the user; null when the account has another one. */
  addWith(store: StoreUser, identity: Identity): Promise<UserRow | null>
  /** Stores what the provider says now. False when the account is gone. */
  renew(row: AccountRow, identity: Identity): Promise<boolean>
  /** Stores refreshed tokens, as long as the stored ones are those of the row. */
  replaceTokens(row: AccountRow, tokens: ProviderTokens): Promise<boolean>
  remove(row: AccountRow): Promise<number>
  removeAll(userId: UserRow['id']): Promise<number>
  /** Puts a removed row back. */
  restore(row: AccountRow): Promise<void>
}

export function createAccountRows ({ store, settings, log }: FeatureHost, vault: TokenVault): AccountRows {
  const model = accountModel(settings)
  store.define(model)
  const many = async (where: Partial<AccountRow>): Promise<AccountRow[]> =>
    // ids and texts
    (await store.findMany(model, where as Row as Record<string, string | number>, { limit: MOST })) as AccountRow[]

  const tokensOf = (identity: Identity): StoredTokens => vault.store(keyOf(identity), identity.tokens)

  /** An adopted column may be too narrow for a provider's tokens: then the account goes without, and the login on. */
  async function write<T> (tokens: StoredTokens, action: (tokens: StoredTokens) => Promise<T>): Promise<T> {
    try {
      return await action(tokens)
    } catch (error) {
      if (!isUsersError(error) || !MISFITS.has(error.code) || tokens.access_token === '') throw error
      const written = await action(NO_TOKENS)
      log.warn({ code: error.code }, `fastify-users: tokens of a provider are not stored: ${error.message}`)
      return written
    }
  }

  /**
   * False when another account has the same key, as in an adopted table without the index: who sees another one goes.
   */
  async function isAlone ({ id, oauth_name, account_id }: AccountRow): Promise<boolean> {
    if ((await many({ oauth_name, account_id })).every((account) => account.id === id)) return true
    await store.delete(model, { id })
    return false
  }

  return {
    async find ({ provider: { name }, accountId }) {
      const [first, ...others] = await many({ oauth_name: name, account_id: accountId })
      if (first !== undefined && others.some((other) => String(other.user_id) !== String(first.user_id))) {
        throw FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED()
      }
      return first ?? null
    },

    ofUser: (userId) => many({ user_id: userId }),
    get: async (id) => (await store.findOne(model, { id })) as AccountRow | null,

    async add (userId, identity) {
      const added = await unlessTaken(() =>
        write(tokensOf(identity), (tokens) => store.create(model, rowOf(userId, identity, tokens)))
      )
      return added !== null && (await isAlone(added as AccountRow)) ? (added as AccountRow) : null
    },

    async addWith (storeUser, identity) {
      const stored = await unlessTaken(
        () => write(tokensOf(identity), (tokens) => storeUser(({ id }) => [[model, rowOf(id, identity, tokens)]])),
        model
      )
      return stored !== null && (await isAlone(stored[1] as AccountRow)) ? stored[0] : null // the user's only dependent
    },

    async renew (row, identity) {
      // many providers give one at the first login alone
      const refreshToken = identity.tokens.refreshToken ?? vault.read(row)?.refreshToken ?? null
      const where = { ...keyOf(identity), user_id: row.user_id }
      const email: Changes = addressOf(identity) === '' ? {} : emailOf(identity)
      const changed = await write(vault.store(row, { ...identity.tokens, refreshToken }), (tokens) =>
        store.update(model, where, { ...email, ...tokens })
      )
      return changed > 0
    },

    replaceTokens: async (row, tokens) =>
      (await write(vault.store(row, tokens), (stored) =>
        store.update(model, { id: row.id, refresh_token: row.refresh_token }, { ...stored })
      )) > 0,
    remove: ({ id, user_id: userId }) => store.delete(model, { id, user_id: userId }),
    removeAll: (userId) => store.delete(model, { user_id: userId }),
    async restore (row) {
      await store.create(model, { ...row })
    }
  }
}

/** How stores say that a text is longer than its column. */
const MISFITS: ReadonlySet<string> = new Set(['FST_USERS_TABLE_MISMATCH', 'FST_USERS_INVALID_USER'])

function keyOf ({ provider: { name }, accountId }: Identity): AccountKey {
  return { oauth_name: name, account_id: accountId }
}

/** Null where the row clashes; of several rows, where that of the model does. */
async function unlessTaken<T> (action: () => Promise<T>, model?: Model): Promise<T | null> {
  try {
    return await action()
  } catch (error) {
    if (!isUsersError(error) || error.code !== 'FST_USERS_UNIQUE_VIOLATION') throw error
    if (model !== undefined && error.fields?.every((field) => Object.hasOwn(model.fields, field)) === false) throw error
    return null
  }
}

function rowOf (userId: UserRow['id'], identity: Identity, tokens: StoredTokens): Row {
  return { ...keyOf(identity), user_id: userId, ...emailOf(identity), ...tokens }
}

/**
 * Checks whether the provider of a stored account said, at the last login, that this mailbox belongs to the account.
 */
export function vouchesFor ({ account_email: known, email_verified: isVerified }: AccountRow, email: string): boolean {
  return isVerified === true && isSameEmail(known, email)
}

function emailOf (identity: Identity): Pick<AccountRow, 'account_email'> & { email_verified: boolean } {
  return { account_email: addressOf(identity), email_verified: isProven(identity) }
}

/** The address as the provider writes it; empty where none can be stored. */
function addressOf ({ email }: Identity): string {
  return email === null || email.length > ACCOUNT_TEXT_MAX_LENGTH || !email.isWellFormed() || email.includes('\0')
    ? ''
    : email
}
