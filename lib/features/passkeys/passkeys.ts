import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FeatureKit, LoginMethods, SecondFactor, User, UserId, UserRow } from '../../feature/index.js'
import type { PasskeysApi } from './contracts.js'
import { FST_USERS_PASSKEY_LAST_LOGIN_METHOD, FST_USERS_PASSKEY_NOT_FOUND } from './errors.js'
import { toPasskey } from './model.js'
import type { PasskeyRows } from './rows.js'

/** Creates the functions for application code. */
export function createApi (kit: FeatureKit, rows: PasskeyRows): PasskeysApi {
  return {
    list: async (user) => (await rows.ofUser(user)).map(toPasskey),
    async rename (user, id, name) {
      const renamed = await rows.rename(user, id, name)
      if (renamed === null) throw FST_USERS_PASSKEY_NOT_FOUND()
      return toPasskey(renamed)
    },
    async remove ({ id: userId }, id) {
      const row = await kit.rows.getRow(userId as UserId)
      if (row === null) throw FST_USERS_PASSKEY_NOT_FOUND()
      await removePasskey(kit, rows, row, id, {})
    }
  }
}

/**
 * Deletes a passkey of a user, unless it is the only login method, and ends the other sessions. Throws
 * `FST_USERS_PASSKEY_NOT_FOUND` and `FST_USERS_PASSKEY_LAST_LOGIN_METHOD`.
 */
export async function removePasskey (
  kit: FeatureKit,
  rows: PasskeyRows,
  row: UserRow,
  id: string,
  exchange: { request?: FastifyRequest; reply?: FastifyReply }
): Promise<void> {
  const passkey = await rows.get(row, id)
  if (passkey === null) throw FST_USERS_PASSKEY_NOT_FOUND()
  const isCounted = passkey.verifies_user
  // before any session ends
  if (isCounted && (await kit.loginMethods.count(row)) <= 1) throw FST_USERS_PASSKEY_LAST_LOGIN_METHOD()
  const remove = async (now: UserRow): Promise<void> => {
    const isRemoved = isCounted
      ? await kit.loginMethods.removeOne(now, {
        remove: () => rows.remove(passkey),
        restore: () => rows.restore(passkey),
        refusal: FST_USERS_PASSKEY_LAST_LOGIN_METHOD
      })
      : (await rows.remove(passkey)) > 0
    if (!isRemoved) throw FST_USERS_PASSKEY_NOT_FOUND()
  }
  await kit.secondFactors.changed(row, { change: 'removed', kind: 'passkey', method: 'passkey', remove, ...exchange })
}

/** Counts the passkeys with which the user can log in without anything else, and deletes passkeys. */
export function createPasskeyLoginMethods (rows: PasskeyRows): LoginMethods {
  return {
    count: async (user) => (await rows.ofUser(user)).filter((row) => row.verifies_user).length,
    /**
     * Verified users have added their passkeys themselves. An unverified user may have been registered by another
     * person: the passkey of the registration stays as long as a password would. An undo of an e-mail change trusts
     * no recent passkey.
     */
    async removeUnproved (user, { wasVerified, replacesPassword, untrustedSince }) {
      if (untrustedSince !== null) return await rows.removeSince(user, untrustedSince)
      if (wasVerified) return 0
      return await rows.removeAll(user, replacesPassword ? {} : { is_first: false })
    },
    removeAll: (user: User) => rows.removeAll(user)
  }
}

/** Passkeys as second factors. */
export function createSecondFactor (rows: PasskeyRows): SecondFactor {
  return {
    name: 'passkey',
    count: async (user) => (await rows.ofUser(user)).length,
    list: async (user) => (await rows.ofUser(user)).map((passkey) => ({
      label: passkey.name,
      createdAt: passkey.created_at,
      lastUsedAt: passkey.last_used_at
    })),
    removeAll: (user, since) => (since === undefined ? rows.removeAll(user) : rows.removeSince(user, since))
  }
}
