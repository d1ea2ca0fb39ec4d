import type { Model } from './models.js'

/** One step that brings a store to our schema. */
export interface SchemaStep {
  /**
   * What is missing: a table, a column, characters that a column holds, null as its value, an index, an index without
   * which nothing starts, or a note of ours.
   */
  readonly kind: 'table' | 'column' | 'width' | 'null' | 'index' | 'constraint' | 'note'
  /** What the step does, in words. */
  readonly text: string
  /** The same in the store's own language. */
  readonly statements: readonly string[]
}

/**
 * The steps in their order, and what stands against them: with problems nothing is changed. Warnings are for people:
 * nothing here changes what they are about.
 */
export interface SchemaPlan {
  readonly steps: readonly SchemaStep[]
  readonly problems: readonly string[]
  readonly warnings?: readonly string[]
}

/** What the command line asks of a store with a schema. An adapter keeps it under `kStoreSchema`. */
export interface StoreSchema {
  /** Says what makes all in an empty store, and asks none. */
  creation(models: readonly Model[]): Promise<SchemaPlan>
  /** Says what is missing, and changes nothing. */
  plan(models: readonly Model[]): Promise<SchemaPlan>
  /**
   * Adds what is missing and says what that was. Processes that call it at once wait for each other; one that is killed
   * leaves nothing that the next cannot finish.
   */
  apply(models: readonly Model[]): Promise<SchemaPlan>
  /** Milliseconds since 1970 by the store's clock; null for a store on this machine. */
  now(): Promise<number | null>
}
