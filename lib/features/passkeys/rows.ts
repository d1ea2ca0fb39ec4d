import { randomBytes } from 'node:crypto'
import {
  hasErrorCode,
  type DatabaseAdapter,
  type FeatureKit,
  type Model,
  type UserId,
  type UserRow
} from '../../feature/index.js'
import { FST_USERS_PASSKEY_NAME_INVALID } from './errors.js'
import { NAME_MAX_LENGTH, passkeyModel, rowIdOf, type PasskeyRow } from './model.js'
import type { Assertion, NewCredential } from './verification.js'

const DEFAULT_NAME = 'Passkey'
/** Largest number of passkeys that are read. Parallel requests may exceed the option `maxPasskeys`. */
const MAX_ROWS = 200
/** Bytes of a user handle, at most 64 (WebAuthn Level 3, section 5.4.3). */
const HANDLE_BYTES = 32

/** The values of a new passkey besides its credential. */
interface NewPasskey {
  readonly userHandle: string
  readonly name?: string | undefined
  readonly isFirst?: boolean
}

type Owner = { readonly id: UserId | UserRow['id'] }

/** Reads and writes stored passkeys. */
export class PasskeyRows {
  readonly model: Model
  readonly #store: DatabaseAdapter
  readonly #clock: FeatureKit['clock']

  constructor ({ settings, store, clock }: Pick<FeatureKit, 'settings' | 'store' | 'clock'>) {
    this.model = passkeyModel(settings.schemas.id)
    this.#store = store
    this.#clock = clock
  }

  /** Returns the passkeys of a user, the oldest first. */
  async ofUser ({ id }: Owner): Promise<PasskeyRow[]> {
    const found = await this.#store.findMany(this.model, { user_id: id as UserId }, { limit: MAX_ROWS })
    const rows = found as PasskeyRow[] // rows of the model
    return rows.sort((a, b) => a.created_at.getTime() - b.created_at.getTime())
  }

  /** Returns the passkey with this credential id, of any user. */
  async ofCredential (credentialId: string): Promise<PasskeyRow | null> {
    return (await this.#store.findOne(this.model, { id: rowIdOf(credentialId) })) as PasskeyRow | null
  }

  /** Returns a passkey of a user. */
  async get ({ id: userId }: Owner, id: string): Promise<PasskeyRow | null> {
    return (await this.#store.findOne(this.model, { id, user_id: userId as UserId })) as PasskeyRow | null
  }

  /** Returns the values of a new row without the user. Throws `FST_USERS_PASSKEY_NAME_INVALID`. */
  newRow (
    credential: NewCredential,
    { userHandle, name = DEFAULT_NAME, isFirst = false }: NewPasskey
  ): Omit<PasskeyRow, 'user_id'> {
    return {
      ...credential,
      id: rowIdOf(credential.credential_id),
      user_handle: userHandle,
      name: checkPasskeyName(name),
      is_first: isFirst,
      created_at: new Date(this.#clock()),
      last_used_at: null
    }
  }

  /** Stores a passkey. Returns false if the credential belongs to a user already, to this one or another. */
  async add (row: PasskeyRow): Promise<boolean> {
    try {
      await this.#store.create(this.model, row)
      return true
    } catch (error) {
      if (hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) return false
      const stored = { id: row.id, user_id: row.user_id, created_at: { gte: row.created_at } }
      await this.#store.delete(this.model, stored).catch(() => {}) // it may be stored although the answer was lost
      throw error
    }
  }

  /**
   * Stores a passkey again after its deletion. If the store fails, nothing is deleted: the passkey may be stored
   * although the answer was lost.
   */
  async restore (row: PasskeyRow): Promise<void> {
    try {
      await this.#store.create(this.model, row)
    } catch (error) {
      if (!hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) throw error
    }
  }

  /** Changes the name. Returns the changed row; null if the user has no such passkey. */
  async rename (owner: Owner, id: string, name: string): Promise<PasskeyRow | null> {
    await this.#store.update(this.model, { id, user_id: owner.id as UserId }, { name: checkPasskeyName(name) })
    return await this.get(owner, id)
  }

  /** Deletes a passkey of a user. Returns 0 if the user has no such passkey. */
  remove ({ user_id: userId, id }: PasskeyRow): Promise<number> {
    return this.#store.delete(this.model, { id, user_id: userId })
  }

  /** Deletes all passkeys of a user, or only those with `is_first` as given. Returns their number. */
  removeAll ({ id }: Owner, where: { is_first?: boolean } = {}): Promise<number> {
    return this.#store.delete(this.model, { ...where, user_id: id as UserId })
  }

  /** Deletes the passkeys of a user that were added at a time or later. Returns their number. */
  removeSince ({ id }: Owner, since: Date): Promise<number> {
    return this.#store.delete(this.model, { user_id: id as UserId, created_at: { gte: since } })
  }

  /**
   * Records a use and the signature counter. Returns false if the counter did not grow: of parallel uses with one
   * value, one is recorded. Authenticators without a counter always report 0 (WebAuthn Level 3, section 6.1.1).
   */
  async recordUse (
    { id, user_id: userId }: PasskeyRow,
    { signCount, isBackedUp, isUserVerified }: Assertion
  ): Promise<boolean> {
    const isCounted = signCount > 0
    const unused = { id, user_id: userId, sign_count: isCounted ? { lt: signCount } : 0 }
    const changes = {
      last_used_at: new Date(this.#clock()),
      backed_up: isBackedUp,
      ...(isUserVerified ? { verifies_user: true } : {}),
      ...(isCounted ? { sign_count: signCount } : {})
    }
    return (await this.#store.update(this.model, unused, changes)) === 1
  }

  /** Records a use whose counter did not grow. Returns false if the passkey was deleted. */
  async recordTime ({ id, user_id: userId }: PasskeyRow): Promise<boolean> {
    const used = { last_used_at: new Date(this.#clock()) }
    return (await this.#store.update(this.model, { id, user_id: userId }, used)) === 1
  }
}

/** Returns a random id of a user for authenticators. It contains nothing about the user. */
export function newUserHandle (): string {
  return randomBytes(HANDLE_BYTES).toString('base64url')
}

/** Returns the name without spaces around it. Throws `FST_USERS_PASSKEY_NAME_INVALID`. */
export function checkPasskeyName (name: string): string {
  const text = typeof name === 'string' ? name.trim() : ''
  const isValid = text !== '' && text.length <= NAME_MAX_LENGTH && text.isWellFormed() && !/\p{Cc}/u.test(text)
  if (!isValid) throw FST_USERS_PASSKEY_NAME_INVALID()
  return text
}
