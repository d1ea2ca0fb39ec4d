import type { Model } from './models.js'

/** A change of the store's schema. */
export interface SchemaStep {
  /**
   * The missing thing: a table, a column, a sufficient width of a column, permission for null, an index, a unique index
   * without which the application does not start (`constraint`), an upgrade step of a model, or a note in the plugin's
   * own table.
   */
  readonly kind: 'table' | 'column' | 'width' | 'null' | 'index' | 'constraint' | 'upgrade' | 'note'
  /** Description of the step for people. */
  readonly text: string
  /** The statements of the step in the store's language. */
  readonly statements: readonly string[]
}

/**
 * The steps in order. If there are problems, no step is applied. Warnings are only printed.
 */
export interface SchemaPlan {
  readonly steps: readonly SchemaStep[]
  readonly problems: readonly string[]
  readonly warnings?: readonly string[]
}

/** The schema operations that the command line uses. An adapter has them in its property `kStoreSchema`. */
export interface StoreSchema {
  /** Returns the steps for an empty store, without a connection. */
  creation(models: readonly Model[]): Promise<SchemaPlan>
  /** Returns the missing steps and changes nothing. */
  plan(models: readonly Model[]): Promise<SchemaPlan>
  /**
   * Applies the missing steps and returns them. Parallel calls of several processes wait for each other. If a process
   * is killed, the next call finishes its work.
   */
  apply(models: readonly Model[]): Promise<SchemaPlan>
  /** Returns the time of the store's clock in milliseconds since 1970; null for a store on this machine. */
  now(): Promise<number | null>
}
