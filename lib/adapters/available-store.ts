import type { FastifyBaseLogger } from 'fastify'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import { FST_USERS_NOT_READY } from '../errors.js'
import { toCallError } from './shared/store-errors.js'
import { storeOpening } from './store-opening.js'

/** An adapter whose faults are coded. */
export interface Store extends DatabaseAdapter {
  /**
   * Opens the adapter; before that every call throws `FST_USERS_NOT_READY`. Does not throw for a store that cannot be
   * reached.
   */
  open(): Promise<void>
}

/**
 * Wraps an adapter: what it throws without a code of ours becomes `FST_USERS_STORE_UNAVAILABLE` (503) for a store that
 * cannot be reached or cannot serve now, and `FST_USERS_INTERNAL_ERROR` (500) otherwise, with the cause for the log
 * alone.
 * A store that is absent when it is opened is opened by the first call that finds it; neither the start nor a call
 * waits
 * for that longer than that many milliseconds. Answers that come at once stay that way.
 */
export function availableStore (adapter: DatabaseAdapter, log: FastifyBaseLogger, timeoutMs: number): Store {
  const opening = storeOpening(adapter, log, timeoutMs)

  function guard<A extends unknown[], R> (call: (...args: A) => R): (...args: A) => R {
    return function guarded (...args): R {
      if (opening.state === 'closed') throw FST_USERS_NOT_READY()
      // every method may answer later
      if (opening.state === 'absent') return opening.retry().then(() => guarded(...args)) as R
      try {
        const result = call(...args)
        return isThenable(result) ? (Promise.resolve(result).catch(rethrow) as R) : result
      } catch (error) {
        return rethrow(error)
      }
    }
  }

  return {
    define: (model) => {
      adapter.define(model)
    },
    open: () => opening.begin(),
    create: guard((model, row) => adapter.create(model, row)),
    ...(adapter.createWith === undefined ? {} : { createWith: guard(adapter.createWith.bind(adapter)) }),
    findOne: guard((model, where) => adapter.findOne(model, where)),
    findMany: guard((model, where, options) => adapter.findMany(model, where, options)),
    update: guard((model, where, changes) => adapter.update(model, where, changes)),
    delete: guard((model, where) => adapter.delete(model, where)),
    ...(adapter.findWithUser === undefined ? {} : { findWithUser: guard(adapter.findWithUser.bind(adapter)) }),
    async close () {
      await opening.end()
      await adapter.close?.()
    }
  }
}

/** True for promises of any make. A row may have a field of that name. */
function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function rethrow (error: unknown): never {
  throw toCallError(error)
}
