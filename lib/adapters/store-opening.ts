import type { FastifyBaseLogger } from 'fastify'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import { FST_USERS_INTERNAL_ERROR, isUsersError, storeUnavailable } from '../errors.js'
import { withTimeout } from './shared/time-limit.js'
import { isUnreachable } from './shared/unreachable.js'

/** The opening of an adapter, with its state. */
export interface StoreOpening {
  readonly state: 'closed' | 'absent' | 'open'
  /** Tries to open the adapter at the start. Resolves also if the database cannot be reached. */
  begin(): Promise<void>
  /**
   * Tries to open the adapter again. Concurrent calls share one attempt. Throws `FST_USERS_STORE_UNAVAILABLE` if the
   * database still cannot be reached, and `FST_USERS_INTERNAL_ERROR` if it can be reached but not used.
   */
  retry(): Promise<void>
  /** Ends the attempts and waits for the current one. */
  end(): Promise<void>
}

/**
 * Returns the functions that open an adapter, also if its database cannot be reached at first. An attempt that takes
 * longer than `timeoutMs` milliseconds continues in the background.
 */
export function storeOpening (adapter: DatabaseAdapter, log: FastifyBaseLogger, timeoutMs: number): StoreOpening {
  let state: StoreOpening['state'] = 'closed'
  let currentAttempt: Promise<void> | null = null

  async function open (): Promise<void> {
    // an adapter in plain JavaScript may throw synchronously
    await adapter.open()
  }

  /** Waits for an attempt and changes the state. Throws coded errors. */
  async function finishLater (attempt: Promise<void>): Promise<void> {
    try {
      await attempt
    } catch (error) {
      // do not nest two coded errors
      if (isUnreachable(error)) throw storeUnavailable(isUsersError(error) ? (error.cause ?? error) : error)
      log.error({ err: error }, 'fastify-users: the database can be reached again, but opening it failed; see the error')
      throw FST_USERS_INTERNAL_ERROR([], { cause: error })
    }
    if (state === 'closed') return
    state = 'open'
    log.info('fastify-users: the database can be reached again')
  }

  /** Makes an attempt the current one until it has finished. */
  function trackAttempt (attempt: Promise<void>): Promise<void> {
    const tracked = finishLater(attempt).finally(() => {
      currentAttempt = null
    })
    currentAttempt = tracked
    return tracked
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
        // a failed start must reject with an Error
        if (!isUnreachable(error)) throw error instanceof Error ? error : storeUnavailable(error)
        state = 'absent'
        log.error(
          { err: error },
          'fastify-users: the database does not answer; every request that needs it tries to connect again'
        )
        trackAttempt(attempt).catch(() => {}) // the database may only be slow
      }
    },
    async retry () {
      const attempt = currentAttempt ?? trackAttempt(open())
      await withTimeout(() => attempt, timeoutMs)
    },
    async end () {
      state = 'closed'
      const attempt = currentAttempt
      if (attempt !== null) await withTimeout(() => attempt, timeoutMs).catch(() => {})
    }
  }
}
