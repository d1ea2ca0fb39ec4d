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
