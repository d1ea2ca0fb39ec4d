import type { DatabaseAdapter, MaybePromise } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'

/** What the suite needs of a test runner: `test` of `node:test`, `t.test` of tap, `it` of others. */
export type TestFunction = (name: string, run: () => Promise<void>) => unknown

/** Options of {@link adapterConformance}. */
export interface ConformanceOptions {
  test: TestFunction
  /**
   * An adapter on a fresh, empty store. `models` are those that the suite will define, for stores that must be prepared
   * first.
   */
  makeAdapter: (models: readonly Model[]) => MaybePromise<DatabaseAdapter>
  /** Another adapter on the store of `adapter`; without it the tests of two adapters are left out. */
  makeSibling?: (adapter: DatabaseAdapter) => MaybePromise<DatabaseAdapter>
  /** Whether text may hold U+0000 (default true; PostgreSQL cannot). */
  storesNul?: boolean
}

/** One store of one test. */
export interface Context {
  adapter: DatabaseAdapter
  options: ConformanceOptions
}

/** Declares one test with a fresh, open adapter. */
export type Declare = (name: string, run: (context: Context) => Promise<void>) => void
