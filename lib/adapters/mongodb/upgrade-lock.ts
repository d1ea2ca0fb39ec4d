import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { storeUnavailable } from '../../errors.js'
import { serverCodeOf, type Operations } from './operations.js'

/** The id of the document that locks upgrades. No collection of rows has this name. */
const LOCK = '(upgrade lock)'
/** Milliseconds after which another process takes over the lock of a process that was killed. */
const LEASE_MS = 15_000
/** Milliseconds that a process waits for the lock. */
const WAIT_MS = 60_000
const PAUSE_MS = 100
const DUPLICATE_KEY = 11000

/** Extends the lock. Throws `FST_USERS_STORE_UNAVAILABLE` if another process has taken it over. */
export type RenewLock = () => Promise<void>

/**
 * Runs work in one process at a time. The work calls `renew` at least every few seconds. `now` returns the time of the
 * server, which all processes share. Throws `FST_USERS_STORE_UNAVAILABLE` if the lock is not free in time.
 */
export async function whileLocked<T> (
  locks: Operations,
  now: () => Promise<number>,
  work: (renew: RenewLock) => Promise<T>
): Promise<T> {
  const holder = randomUUID()
  const own = { _id: { $eq: LOCK }, holder: { $eq: holder } }
  await acquire(locks, now, holder)
  try {
    return await work(async () => {
      const count = await locks.update(own, { $set: { until: (await now()) + LEASE_MS } }, { single: true })
      if (count === 0) throw storeUnavailable('another process has taken over the upgrade')
    })
  } finally {
    await locks.remove(own, { single: true })
  }
}

async function acquire (locks: Operations, now: () => Promise<number>, holder: string): Promise<void> {
  for (let waited = 0; ; waited += PAUSE_MS) {
    const time = await now()
    const free = { _id: { $eq: LOCK }, until: { $lt: time } }
    try {
      await locks.upsert(free, { $set: { holder, until: time + LEASE_MS } })
      return
    } catch (error) {
      if (serverCodeOf(error) !== DUPLICATE_KEY) throw error // the document exists: the lock is held
    }
    if (waited >= WAIT_MS) throw storeUnavailable('another process holds the lock of the upgrade')
    await sleep(PAUSE_MS)
  }
}
