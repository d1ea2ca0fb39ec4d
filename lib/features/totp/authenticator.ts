import {
  createTextCipher,
  generateOpaqueToken,
  hasErrorCode,
  type FeatureKit,
  type User
} from '../../feature/index.js'
import type { TotpState } from './contracts.js'
import { FST_USERS_TOTP_ALREADY_ACTIVE } from './errors.js'
import { totpModel, type TotpRow } from './model.js'
import type { OneTimePasswords } from './one-time-password.js'

type Owner = Pick<User, 'id'>

/** The authenticator apps of users. */
export interface Authenticators {
  find(user: Owner): Promise<TotpRow | null>
  state(user: Owner): Promise<TotpState>
  /** Creates an encrypted secret, which is not active yet. */
  createSecret(user: Owner): { secret: string; sealed: string }
  /**
   * Makes a secret active with the first code of its app. Returns null for a wrong code. Throws
   * `FST_USERS_TOTP_ALREADY_ACTIVE`.
   */
  activate(user: Owner, sealed: string, code: string): Promise<TotpRow | null>
  /**
   * Uses a code up. Returns false for a wrong code, and for one of a time step that is not later than the last accepted
   * one. Of parallel calls with codes of one time step, in all processes, one returns true.
   */
  accept(row: TotpRow, code: string): Promise<boolean>
  /** Deletes one authenticator app. Returns false if it no longer exists. */
  remove(row: Pick<TotpRow, 'id' | 'enrolment'>): Promise<boolean>
  /** Deletes the authenticator app of a user, or only one that was added at a time or later. Returns the number. */
  removeOf(user: Owner, since?: Date): Promise<number>
}

/** Creates the functions for authenticator apps. */
export function createAuthenticators (kit: FeatureKit, passwords: OneTimePasswords): Authenticators {
  const { store, clock, log, settings } = kit
  const model = totpModel(settings.schemas.id)
  // an app works while `secret` lists the plugin secret that encrypted its own secret
  const cipher = createTextCipher(kit.keysFor('totp', null))
  const find = async ({ id }: Owner): Promise<TotpRow | null> =>
    (await store.findOne(model, { id: String(id) })) as TotpRow | null // the model's fields
  const remove: Authenticators['remove'] = async ({ id, enrolment }) =>
    (await store.delete(model, { id, enrolment })) === 1

  return {
    find,

    async state (user) {
      const row = await find(user)
      return { active: row !== null, since: row?.created_at.toISOString() ?? null }
    },

    createSecret (user) {
      const secret = passwords.generateSecret()
      return { secret, sealed: cipher.seal(secret, secretPlaceOf(user.id)) }
    },

    async activate (user, sealed, code) {
      const secret = cipher.open(sealed, secretPlaceOf(user.id))
      const step = secret === null ? null : passwords.stepOf(secret, code, clock())
      if (step === null) return null
      const row = {
        id: String(user.id),
        user_id: user.id,
        enrolment: generateOpaqueToken(),
        secret: sealed,
        last_step: step,
        created_at: new Date(clock())
      }
      try {
        return (await store.create(model, row)) as TotpRow // the model's fields
      } catch (error) {
        if (hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) throw FST_USERS_TOTP_ALREADY_ACTIVE()
        await remove(row).catch(() => {}) // the row may be stored although the answer was lost
        throw error
      }
    },

    async accept (row, code) {
      const { id, enrolment, user_id: userId, secret: sealed } = row
      const secret = cipher.open(sealed, secretPlaceOf(userId))
      if (secret === null) {
        const hint = 'the option `secret` no longer lists the secret that encrypted it, or the stored text was changed'
        log.error({ user: String(userId) }, `fastify-users: the secret of an authenticator app cannot be read: ${hint}`)
        return false
      }
      const step = passwords.stepOf(secret, code, clock())
      if (step === null) return false
      const resealed = cipher.isCurrent(sealed) ? {} : { secret: cipher.seal(secret, secretPlaceOf(userId)) }
      const earlier = { id, enrolment, last_step: { lt: step } }
      return (await store.update(model, earlier, { last_step: step, ...resealed })) === 1
    },

    remove,
    removeOf: ({ id }, since) =>
      store.delete(model, { id: String(id), ...(since === undefined ? {} : { created_at: { gte: since } }) })
  }
}

/** Returns the context of an encrypted secret, which makes it invalid for other users. */
function secretPlaceOf (userId: User['id']): readonly string[] {
  return ['totp', String(userId)]
}
