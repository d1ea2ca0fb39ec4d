import {
  digestToken,
  FST_USERS_STORE_UNAVAILABLE,
  generateOpaqueToken,
  hasErrorCode,
  isSameSecret,
  type FeatureKit,
  type PreparedRecoveryCodes,
  type User
} from '../../feature/index.js'
import { generateCode, readRecoveryCode } from './code-format.js'
import type { RecoveryCodesState } from './contracts.js'
import { recoveryCodeModel, type CodesRow } from './model.js'

/** Number of codes of one user. */
const COUNT = 10
/** Number of tries to change a row that parallel requests change too. */
const MAX_TRIES = 30

type Owner = Pick<User, 'id'>

/** The stored recovery codes. */
export interface StoredCodes {
  /** Creates ten codes with their digests. */
  generate(user: Owner): PreparedRecoveryCodes
  state(user: Owner): Promise<RecoveryCodesState>
  /** Stores codes for a user who has none. Returns false if the user has some. */
  add(user: Owner, digests: readonly string[]): Promise<boolean>
  /** Stores codes in place of those that the user has. Returns true if there were some. */
  replace(user: Owner, digests: readonly string[]): Promise<boolean>
  /** Uses a code up. Returns the number of codes that are left, or null for a wrong code. */
  use(user: Owner, text: string): Promise<number | null>
  /** Deletes these codes of a user, and no others. */
  withdraw(user: Owner, digests: readonly string[]): Promise<number>
  /** Deletes the codes, or only those that were created at a time or later. Returns the number of deleted rows. */
  remove(user: Owner, since?: Date): Promise<number>
}

/** Creates the functions for stored codes. All codes of a user are one row, so that each change is one write. */
export function createStoredCodes ({ store, settings, clock }: Pick<FeatureKit, 'store' | 'settings' | 'clock'>): StoredCodes {
  const model = recoveryCodeModel(settings.schemas.id)
  const find = async ({ id }: Owner): Promise<CodesRow | null> =>
    (await store.findOne(model, { id: String(id) })) as CodesRow | null // the model's fields

  async function add (user: Owner, digests: readonly string[]): Promise<boolean> {
    const fresh = { digests: digests.join(' '), revision: generateOpaqueToken(), created_at: new Date(clock()) }
    try {
      await store.create(model, { id: String(user.id), user_id: user.id, ...fresh })
      return true
    } catch (error) {
      if (hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) return false
      throw error
    }
  }

  return {
    generate (user) {
      const codes = Array.from({ length: COUNT }, generateCode)
      return { codes, digests: codes.map((code) => codeDigestOf(user, String(readRecoveryCode(code)))) }
    },

    async state (user) {
      const row = await find(user)
      return row === null
        ? { remaining: 0, created_at: null }
        : { remaining: digestsIn(row).length, created_at: row.created_at.toISOString() }
    },

    add,

    async replace (user, digests) {
      const id = String(user.id)
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const fresh = { digests: digests.join(' '), revision: generateOpaqueToken(), created_at: new Date(clock()) }
        if ((await store.update(model, { id }, fresh)) === 1) return true
        if (await add(user, digests)) return false
      }
      throw FST_USERS_STORE_UNAVAILABLE()
    },

    async use (user, text) {
      const code = readRecoveryCode(text)
      if (code === null) return null
      const digest = codeDigestOf(user, code)
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const row = await find(user)
        const digests = row === null ? [] : digestsIn(row)
        const rest = digests.filter((known) => !isSameSecret(known, digest))
        if (row === null || rest.length === digests.length) return null
        // of parallel calls, only one changes this revision; the others read the row again
        const read = { id: row.id, revision: row.revision }
        const written = { digests: rest.join(' '), revision: generateOpaqueToken() }
        const changed = rest.length === 0 ? store.delete(model, read) : store.update(model, read, written)
        if ((await changed) === 1) return rest.length
      }
      throw FST_USERS_STORE_UNAVAILABLE()
    },

    withdraw: ({ id }, digests) => store.delete(model, { id: String(id), digests: digests.join(' ') }),
    remove: ({ id }, since) =>
      store.delete(model, { id: String(id), ...(since === undefined ? {} : { created_at: { gte: since } }) })
  }
}

function digestsIn ({ digests }: CodesRow): string[] {
  return digests.split(' ')
}

/** Returns the digest of a code. It depends on the user, so the code of another user is a different one. */
function codeDigestOf ({ id }: Owner, code: string): string {
  return digestToken(`${id}\n${code}`, 'recovery-code')
}
