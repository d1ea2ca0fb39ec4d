import type { MaybePromise } from '../../contracts/database-adapter.js'
import type { BackendDefaults } from '../../contracts/definition.js'
import type { RevocationStore } from '../../contracts/revocations.js'
import type { UserReader } from '../../contracts/strategy.js'
import type { User, UserId, UserRow } from '../../contracts/user.js'
import { isPromise } from '../../shared/values.js'
import { digestToken, type Claims } from '../../tokens/index.js'
import { isCachedReader } from '../cached-reader.js'

export { databaseRevocations } from './database-revocations.js'

/** Ends the sessions of signed tokens. */
export interface Revocations {
  /**
   * Returns the row of the user of a token; null if there is none, or if the session is revoked. Both reads run at the
   * same time. Synchronous if the stores are.
   */
  readUser(users: UserReader, id: UserId, session: string): MaybePromise<UserRow | null>
  /** Returns true for a token that is older than the lifetime, which may have been longer when it was signed. */
  isOutdated(claims: Claims): boolean
  /**
   * Revokes a session until no token of it can be valid. `exp` is the end of a known token, in seconds since 1970.
   * Processes that have cached the user read again.
   */
  revoke(user: User, session: string, exp?: unknown): Promise<void>
}

/**
 * Seconds for which a revocation outlives the last token. A token may be signed, checked and deleted by processes whose
 * clocks differ.
 */
const MARGIN_SECONDS = 300

/** Creates the revocations of a backend. */
export function createRevocations (
  store: RevocationStore,
  lifetimeSeconds: number | null,
  { settings: { clock }, reportUser }: Pick<BackendDefaults, 'settings' | 'reportUser'>
): Revocations {
  const keyOf = (user: UserId, session: string): string => digestToken(`${String(user)}\n${session}`, 'revoked-session')

  /** Returns how long a revocation is stored, in seconds. */
  function secondsFor (exp: unknown): number | null {
    if (lifetimeSeconds === null) return null
    const left = typeof exp === 'number' ? exp - Math.floor(clock() / 1000) : 0
    return Math.ceil(Math.max(left, lifetimeSeconds)) + MARGIN_SECONDS
  }

  return {
    readUser (users, id, session) {
      const row = users.getRow(id)
      if (isPromise(row)) return readBoth(row, () => store.has(keyOf(id, session)))
      if (row === null) return null
      const cache = isCachedReader(users) ? users : null
      if (cache?.isAdmitted(row, session) === true) return row
      const admit = (isRevoked: boolean): UserRow | null => {
        if (isRevoked) return null
        cache?.admit(row, session)
        return row
      }
      const isRevoked = store.has(keyOf(id, session))
      return isPromise(isRevoked) ? isRevoked.then(admit) : admit(isRevoked)
    },

    isOutdated ({ iat }) {
      return lifetimeSeconds !== null && typeof iat === 'number' && clock() >= (iat + lifetimeSeconds) * 1000
    },

    async revoke (user, session, exp) {
      try {
        await store.add(keyOf(user.id as UserId, session), secondsFor(exp))
      } finally {
        await reportUser(user.id as UserId) // also after an error: the row may be stored
      }
    }
  }
}

async function readBoth (
  row: Promise<UserRow | null>,
  isRevoked: () => MaybePromise<boolean>
): Promise<UserRow | null> {
  const ask = async (): Promise<boolean> => await isRevoked() // an error that is thrown at once rejects as well
  const [found, revoked] = await Promise.all([row, ask()])
  return revoked ? null : found
}
