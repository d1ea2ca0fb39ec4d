import { deleteExpired } from '../../adapters/shared/delete-expired.js'
import type { BackendDefaults } from '../../contracts/definition.js'
import type { RevocationStore } from '../../contracts/revocations.js'
import { hasErrorCode } from '../../errors.js'
import { isPromise } from '../../shared/values.js'
import { revokedSessionModel as model } from './revoked-session-model.js'

const PURGE_INTERVAL_MS = 3_600_000

/** Creates the store of revoked sessions in the database. Deletes expired rows at most once an hour. */
export function databaseRevocations ({
  store,
  settings: { clock },
  background
}: Pick<BackendDefaults, 'store' | 'settings' | 'background'>): RevocationStore {
  let purgedAt = 0

  function purge (): void {
    const now = clock()
    if (now - purgedAt <= PURGE_INTERVAL_MS) return
    purgedAt = now
    background(() => deleteExpired(store, model, 'expires_at', new Date(now)))
  }

  return {
    has (key) {
      const row = store.findOne(model, { id: key })
      return isPromise(row) ? row.then((found) => found !== null) : row !== null
    },

    async add (key, seconds) {
      purge()
      const expiresAt = seconds === null ? null : new Date(clock() + seconds * 1000)
      try {
        await store.create(model, { id: key, expires_at: expiresAt })
      } catch (error) {
        if (!hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) throw error
        if (expiresAt === null) return
        await store.update(model, { id: key, expires_at: { lt: expiresAt } }, { expires_at: expiresAt })
      }
    }
  }
}
