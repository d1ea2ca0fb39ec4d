import type { IdKind } from '../../schemas/index.js'

/** A value of a field: an id has the type of its kind, a time is a `Date`, json is plain data. */
export type Value = string | number | boolean | Date | null | object

/** The storage type and the constraints of a field. */
export interface Field {
  type: 'id' | 'text' | 'boolean' | 'integer' | 'number' | 'time' | 'json'
  /** For `id`: the kind of id. */
  id?: IdKind
  nullable?: boolean
  /** For `text`: width of the column in characters. Default: unlimited. */
  maxLength?: number
  /** Queries and unique indexes ignore the case of ASCII letters. */
  ignoreCase?: boolean
  /** Name of the model whose `id` this field holds. If that row is deleted, rows that refer to it are deleted too. */
  references?: string
  /** An existing table may lack this column. The field is then absent when read, and ignored when written. */
  optional?: boolean
  /** Typical values of new rows. A table whose constraints refuse all of them cannot be used. */
  examples?: readonly Value[]
  /** Value of the field in rows that are older than the field, and in new rows that lack it. */
  default?: Value
}

/**
 * One change of stored rows and their columns. Missing columns, wider columns and new indexes need no step: `migrate`
 * adds them by itself.
 */
export type UpgradeStep =
  /** Renames a field. Its values stay. */
  | { readonly rename: string; readonly to: string }
  /** Drops a field with its values and its indexes. `was` is its former definition. */
  | { readonly drop: string; readonly was: Field }
  /** Drops the indexes on exactly these fields. */
  | { readonly dropIndex: readonly string[] }
  /**
   * Returns the changed values of a row, or null if the row stays as it is. It must be pure and idempotent: it may be
   * called again with a row that it has changed. The row has the fields that exist before and after the step.
   */
  | { readonly transform: (row: Readonly<Record<string, unknown>>) => Record<string, Value> | null }

/** A kind of record, such as the user. Adapters create tables from it, and encode and decode rows with it. */
export interface Model {
  /** Name by which other models and adapter options refer to it. */
  name: string
  /** Default name of the table or collection; the adapter's options can rename it. */
  table: string
  /** Field names in column order. The first is the primary key. */
  fields: Record<string, Field>
  /** Unique indexes: each is a list of fields. */
  unique?: string[][]
  /** Other indexes: each is a list of fields. */
  index?: string[][]
  /** Name of a time field after which the row has expired. `fastify-users prune` deletes expired rows. */
  expires?: string
  /**
   * Name of the tenant that the model belongs to; `name` then begins with it. Absent for the default tenant.
   */
  tenant?: string
  /** A document store may embed the rows in the document of their user, as a list with this name. */
  embed?: string
  /**
   * Version of the stored form, a positive integer. Default: 1. Increase it when stored rows must change, and add the
   * steps to `upgrades`.
   */
  version?: number
  /**
   * The steps to each version from the one before, by version. `fastify-users migrate` applies the missing ones in
   * order. An application does not start while steps are missing.
   */
  upgrades?: Readonly<Record<number, readonly UpgradeStep[]>>
}

/**
 * Columns that a feature adds to a model of the core. They are part of stored rows, and never of users in replies or of
 * `request.user`. `fastify-users migrate` adds them to existing tables.
 */
export interface ModelExtension {
  /** Name of the model: `user`, or `accesstoken` if the registration stores its tokens in the database. */
  extends: 'user' | 'accesstoken'
  /** The added fields. Each must be nullable or have a default, because existing rows have no value. */
  fields: Record<string, Field>
  /** Unique indexes on added fields. */
  unique?: string[][]
  /** Other indexes on added fields. */
  index?: string[][]
}

/** Properties of a registration from which features and strategies derive their models. */
export interface ModelBase {
  /** Kind of the users' ids, for fields that refer to a user. */
  readonly id: IdKind
  /** Name of the tenant. The plugin prefixes the names of models and tables itself. */
  readonly tenant: string
}
