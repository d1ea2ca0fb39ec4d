import type { FastifyBaseLogger } from 'fastify'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import { FST_USERS_INTERNAL_ERROR, isUsersError, storeUnavailable } from '../errors.js'
import { withTimeout } from './shared/time-limit.js'
import { isUnreachable } from './shared/unreachable.js'

/** How far an adapter is. */
export interface StoreOpening {
  readonly state: 'closed' | 'absent' | 'open'
  /** The attempt at the start. Does not throw for a store that cannot be reached. */
  begin(): Promise<void>
  /**
   * Another attempt, one for all calls that wait. Throws `FST_USERS_STORE_UNAVAILABLE`, and `FST_USERS_INTERNAL_ERROR`
   * for one that cannot be used.
   */
  retry(): Promise<void>
  /** Waits for an attempt under way. */
  end(): Promise<void>
}

/**
 * Opens an adapter, also when its store is absent at first. An attempt that takes longer than that many milliseconds
 * goes
 * on, and nobody waits for it longer.
 */
export function storeOpening (adapter: DatabaseAdapter, log: FastifyBaseLogger, timeoutMs: number): StoreOpening {
  let state: StoreOpening['state'] = 'closed'
  let underWay: Promise<void> | null = null

  async function open (): Promise<void> {
    // plain JavaScript may throw at once
    await adapter.open()
  }

  async function late (attempt: Promise<void>): Promise<void> {
    try {
      await attempt
    } catch (error) {
      // one error of ours is enough
      if (isUnreachable(error)) throw storeUnavailable(isUsersError(error) ? (error.cause ?? error) : error)
      log.error({ err: error }, 'fastify-users: the user store is here now, but cannot be used')
      throw FST_USERS_INTERNAL_ERROR([], { cause: error })
    }
    if (state === 'closed') return
    state = 'open'
    log.info('fastify-users: the user store is here now')
  }

  function follow (attempt: Promise<void>): Promise<void> {
    const followed = late(attempt).finally(() => {
      underWay = null
    })
    underWay = followed
    return followed
  }

  return {
    get state () {
      return state
    },
    async begin () {
      const attempt = open()
      try {
        await withTimeout(() => attempt, timeoutMs)
        state = 'open'
      } catch (error) {
        // a start is refused by an error alone
        if (!isUnreachable(error)) throw error instanceof Error ? error : storeUnavailable(error)
        state = 'absent'
        log.error(
          { err: error },
          'fastify-users: the user store does not answer; it is tried again by every request that needs it'
        )
        follow(attempt).catch(() => {}) // it may only be slow
      }
    },
    async retry () {
      const attempt = underWay ?? follow(open())
      await withTimeout(() => attempt, timeoutMs)
    },
    async end () {
      state = 'closed'
      const attempt = underWay
      if (attempt !== null) await withTimeout(() => attempt, timeoutMs).catch(() => {})
    }
  }
}
