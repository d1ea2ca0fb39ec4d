import type { IdKind } from '../../schemas/index.js'

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
}
