import type { DatabaseAdapter, MaybePromise } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'

/** The test function of a test runner: `test` of `node:test`, `t.test` of tap, `it` of Vitest. */
export type TestFunction = (name: string, run: () => Promise<void>) => unknown

/** Options of {@link adapterConformance}. */
export interface ConformanceOptions {
  /** Declares one test. */
  test: TestFunction
  /**
   * Creates an adapter on a new, empty store. `models` are the models that the suite defines. If the adapter creates no
   * tables, create those of `models` first.
   */
  makeAdapter: (models: readonly Model[]) => MaybePromise<DatabaseAdapter>
  /** Creates another adapter on the store of `adapter`. Without it, tests with two adapters are skipped. */
  makeSibling?: (adapter: DatabaseAdapter) => MaybePromise<DatabaseAdapter>
  /** True if text can contain U+0000. Default: true. PostgreSQL cannot store it. */
  storesNul?: boolean
}

/** The adapter and the options of one test. */
export interface Context {
  adapter: DatabaseAdapter
  options: ConformanceOptions
}

/** Declares one test. It receives an open adapter on an empty store. */
export type Declare = (name: string, run: (context: Context) => Promise<void>) => void
