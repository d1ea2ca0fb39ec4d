import type { FastifyBaseLogger } from 'fastify'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_NOT_READY, storeUnavailable } from '../errors.js'
import { toCallError } from './shared/store-errors.js'
import { storeOpening } from './store-opening.js'

/** A database adapter that throws only errors with an `FST_USERS_…` code. */
export interface Store extends DatabaseAdapter {
  /**
   * Opens the adapter. Until then every other method throws `FST_USERS_NOT_READY`. Resolves also if the database cannot
   * be reached.
   */
  open(): Promise<void>
  within(transaction: unknown): DatabaseAdapter
}

/**
 * Returns the adapter with coded errors: `FST_USERS_STORE_UNAVAILABLE` (503) if the database cannot be reached or
 * cannot serve now, and `FST_USERS_INTERNAL_ERROR` (500) for every other error. The original error is the `cause`, for
 * the log only.
 * If the database cannot be reached at the start, later calls try to open it again. Start and calls wait for that at
 * most `timeoutMs` milliseconds. Synchronous results of the adapter stay synchronous.
 */
export function availableStore (adapter: DatabaseAdapter, log: FastifyBaseLogger, timeoutMs: number): Store {
  const opening = storeOpening(adapter, log, timeoutMs)

  function guard<A extends unknown[], R> (call: (...args: A) => R): (...args: A) => R {
    return function guarded (...args): R {
      if (opening.state === 'closed') throw FST_USERS_NOT_READY()
      // every method may return a promise
      if (opening.state === 'absent') return opening.retry().then(() => guarded(...args)) as R
      try {
        const result = call(...args)
        return isThenable(result) ? (Promise.resolve(result).catch(rethrow) as R) : result
      } catch (error) {
        return rethrow(error)
      }
    }
  }

  /** Returns the methods that read and write rows. */
  function rowMethods (inner: DatabaseAdapter): Omit<DatabaseAdapter, 'define' | 'open' | 'within' | 'close'> {
    return {
      create: guard((model, row) => inner.create(model, row)),
      ...(inner.createAll === undefined ? {} : { createAll: guard(inner.createAll.bind(inner)) }),
      findOne: guard((model, where) => inner.findOne(model, where)),
      findMany: guard((model, where, options) => inner.findMany(model, where, options)),
      update: guard((model, where, changes) => inner.update(model, where, changes)),
      delete: guard((model, where) => inner.delete(model, where)),
      ...(inner.findWithUser === undefined ? {} : { findWithUser: guard(inner.findWithUser.bind(inner)) })
    }
  }

  const store: Store = {
    define: (model) => {
      adapter.define(model)
    },
    open: () => opening.begin(),
    ...rowMethods(adapter),
    within (transaction) {
      if (adapter.within === undefined) {
        throw FST_USERS_INVALID_OPTION(['transaction', 'is not supported by this adapter'])
      }
      if (opening.state === 'absent') throw storeUnavailable('the database has not answered yet')
      return { ...store, ...rowMethods(adapter.within(transaction)) }
    },
    async close () {
      await opening.end()
      await adapter.close?.()
    }
  }
  return store
}

/** Returns true for promises of any implementation. A row may have a column named `then`, so its type is checked. */
function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function rethrow (error: unknown): never {
  throw toCallError(error)
}
