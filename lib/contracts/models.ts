import type { IdKind } from '../../schemas/index.js'

/** A stored value in TypeScript: ids as their kind says, times as `Date`, json as plain data. */
export type Value = string | number | boolean | Date | null | object

/** How one field of a model is stored. */
export interface Field {
  type: 'id' | 'text' | 'boolean' | 'integer' | 'number' | 'time' | 'json'
  /** For `id`: its form. */
  id?: IdKind
  nullable?: boolean
  /** For `text`: the column's width, in characters; absent for unbounded text. */
  maxLength?: number
  /** Look-ups and uniqueness treat ASCII letters of either case as equal. */
  ignoreCase?: boolean
  /** Name of the model whose `id` this field holds; its rows go with that row. */
  references?: string
  /** An adopted table may lack the column: the field then reads as absent, and writing it does nothing. */
  optional?: boolean
  /** Values as new rows have them, if they are known: a table whose constraints allow none of them does not fit. */
  examples?: readonly Value[]
  /** What the rows get that are older than the field. New rows bring their value. */
  default?: Value
}

/** One kind of record, as a value: an adapter creates, encodes and decodes from it. */
export interface Model {
  /** The name that other models and adapter options refer to. */
  name: string
  /** The table or collection, unless the adapter's options rename it. */
  table: string
  /** Field names in column order. The first is the primary key. */
  fields: Record<string, Field>
  /** Groups of fields whose values together are unique. */
  unique?: string[][]
  /** Groups of fields that look-ups go by. */
  index?: string[][]
  /** Name of a time field: when it has passed, the row is of no use any more, and `fastify-users prune` removes it. */
  expires?: string
  /**
   * The name of the registration that the model belongs to, with which `name` then begins; absent for the default one.
   */
  tenant?: string
  /** A document store may keep the rows inside the row that `user_id` names, as a list under this name. */
  embed?: string
}
