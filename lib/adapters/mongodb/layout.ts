import type { Field, Model } from '../../contracts/models.js'
import type { Row } from '../../contracts/database-adapter.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { misuse } from '../shared/errors.js'
import { primaryKeyOf, userModelOf } from '../shared/model-registry.js'
import { type Accepts, acceptorOf } from '../shared/values.js'
import { checkKeys } from '../shared/check-keys.js'
import { checkDistinctStorage, type StorageName } from '../shared/claims.js'
import { optionNameOf, tenantOf } from '../shared/tenant.js'
import { type Codec, codecOf, type IdForm } from './codecs.js'
import type { BsonTypes, MongoDocument } from './driver.js'

/**
 * Names of an adopted collection: its own (of a list inside of the users' documents: the list's), and its fields' by
 * ours.
 */
export interface CollectionMapping {
  collection?: string
  fields?: Record<string, string>
  /** How ids of this collection, and references to them, are stored (default: natively, as their kind says). */
  ids?: 'native' | 'text'
}

/** Mappings by model name. */
export type CollectionMappings = Record<string, CollectionMapping>

/** One field of a model in documents. */
export interface StoredField {
  readonly field: string
  readonly definition: Field
  /** The name in its document, or in its element of a list. */
  readonly name: string
  /** The name from the root of the document; that of a list's field counts once the list is unwound. */
  readonly path: string
  readonly accepts: Accepts
  readonly codec: Codec
}

/** How the rows of a model lie in documents. */
export interface Layout {
  readonly model: Model
  readonly collection: string
  readonly primaryKey: StoredField
  /** In the model's order, without those that an adopted collection lacks. */
  readonly fields: readonly StoredField[]
  /** All fields of the model. */
  readonly byField: ReadonlyMap<string, StoredField>
  /**
   * For rows inside of other rows: the list's name, the layout of the rows that hold it, and the field that names them.
   */
  readonly embedded?: { readonly list: string; readonly owner: Layout; readonly reference: StoredField }
}

/** The names that FastAPI Users documents for its collections. */
const COLLECTIONS = new Map([
  ['user', 'User'],
  ['accesstoken', 'AccessToken']
])

/**
 * The layouts of all models. Throws `FST_USERS_UNKNOWN_OPTION`, `FST_USERS_INVALID_OPTION` for mappings and names that
 * cannot be.
 */
export function makeLayouts (
  models: readonly Model[],
  mappings: CollectionMappings,
  bson: BsonTypes
): Map<string, Layout> {
  checkKeys('collections', mappings, [...new Set(models.map(optionNameOf))])
  const layouts = new Map<string, Layout>()
  const formOf = (model: Model, field: Field): IdForm => {
    const target = optionNameOf({ ...model, name: field.references ?? model.name })
    const storage = field.id?.storage ?? 'text'
    const asText = mappings[target]?.ids === 'text'
    if (asText && storage === 'integer') {
      throw misuse(`collections.${target}`, 'ids', 'cannot be "text" where ids are integers')
    }
    return asText ? 'text' : storage
  }
  // owners first
  const inOrder = models.toSorted((one, other) => Number(one.embed !== undefined) - Number(other.embed !== undefined))
  for (const model of inOrder) {
    const mapping = mappings[optionNameOf(model)] ?? {}
    checkMapping(model, mapping)
    const fields = (prefix: string, own: (field: string) => string): StoredField[] =>
      Object.entries(model.fields).map(([field, definition]) => {
        const name = mapping.fields?.[field] ?? own(field)
        checkName(model, name)
        return {
          field,
          definition,
          name,
          path: prefix + name,
          accepts: acceptorOf(definition),
          codec: codecOf(definition, formOf(model, definition), bson)
        }
      })
    layouts.set(
      model.name,
      model.embed === undefined
        ? separateLayout(
          model,
          mapping.collection ?? COLLECTIONS.get(model.name) ?? model.table,
          fields('', (field) => (field === 'id' && primaryKeyOf(model).name === 'id' ? '_id' : field))
        )
        : embeddedLayout(model, mapping.collection ?? model.embed, layoutOf(layouts, userModelOf(model)), (prefix) =>
          fields(prefix, (field) => field)
        )
    )
  }
  for (const { fields } of layouts.values()) {
    for (const {
      definition: { references }
    } of fields) {
      if (references !== undefined) layoutOf(layouts, references)
    }
  }
  checkDistinctStorage('collections', storageNamesOf(layouts.values()))
  return layouts
}

/** Returns the place of each layout's rows in words, with its tenant. */
export function storageNamesOf (layouts: Iterable<Layout>): StorageName[] {
  return [...layouts].map(({ collection, embedded, model }) => {
    const list = embedded === undefined ? '' : `the list "${embedded.list}" in `
    return [`${list}the collection "${collection}"`, tenantOf(model)]
  })
}

/** The layout of a model. Throws `FST_USERS_INVALID_OPTION` for a name that no model has. */
export function layoutOf (layouts: ReadonlyMap<string, Layout>, name: string): Layout {
  const layout = layouts.get(name)
  if (layout === undefined) throw misuse(name, '', 'there is no such model; define it before open()')
  return layout
}

/** The groups of fields whose values together are unique. */
export function groupsOf (layout: Layout): StoredField[][] {
  return (layout.model.unique ?? []).map((names) => names.map((name) => fieldOf(layout, name)))
}

/** Whether the primary key is the document's own, which the server keeps unique. */
export function hasOwnKey ({ primaryKey: { name }, embedded }: Layout): boolean {
  return name === '_id' && embedded === undefined
}

/** The field of a layout. Throws `FST_USERS_INVALID_OPTION` for an unknown one. */
export function fieldOf (layout: Layout, name: string): StoredField {
  const field = layout.byField.get(name)
  if (field === undefined) throw misuse(layout.model.name, name, 'there is no such field')
  return field
}

/** Whether an adopted collection lacks the field: it then reads as absent, and is not written. */
export function isAbsent ({ fields }: Layout, field: StoredField): boolean {
  return field.definition.optional === true && !fields.includes(field)
}

/** What to read of a document: the fields of a layout, below `prefix`, and nothing else. */
export function projectionOf ({ fields }: Layout, prefix = ''): Record<string, 0 | 1> {
  const names = fields.map(({ path }) => [prefix + path, 1] as const)
  return { ...(prefix === '' ? { _id: 0 } : {}), ...Object.fromEntries(names) }
}

/**
 * The row of a document, whose list is unwound where the layout lies in one. Throws `FST_USERS_TABLE_MISMATCH` for one
 * that cannot be read.
 */
export function decodeDocument (layout: Layout, document: object): Row {
  const { embedded: inside, collection } = layout
  const element = inside === undefined ? document : read(document, inside.list)
  const row: Row = {}
  for (const field of layout.fields) {
    const raw = field === inside?.reference ? read(document, field.path) : read(element, field.name)
    const { nullable, optional, type } = field.definition
    const value =
      raw === null || (raw === undefined && (nullable === true || optional === true))
        ? null
        : raw === undefined
          ? undefined
          : field.codec.decode(raw)
    if (value === undefined) {
      throw FST_USERS_TABLE_MISMATCH([collection, `"${field.path}" of a document is no value of type ${type}`])
    }
    row[field.field] = value
  }
  return row
}

function read (document: unknown, name: string): unknown {
  return typeof document === 'object' && document !== null && Object.hasOwn(document, name)
    ? (document as MongoDocument)[name]
    : undefined // looked up by name
}

function separateLayout (model: Model, collection: string, fields: StoredField[]): Layout {
  return { model, collection, ...indexed(model, fields) }
}

/** The reference to the owner is no field of the list, but the owner's own key. */
function embeddedLayout (model: Model, list: string, owner: Layout, make: (prefix: string) => StoredField[]): Layout {
  checkName(model, list)
  const fields = make(`${list}.`).map((field) =>
    field.field === 'user_id' ? { ...field, name: owner.primaryKey.name, path: owner.primaryKey.path } : field
  )
  for (const { field, definition } of fields) {
    if (definition.ignoreCase === true) {
      throw misuse(model.name, field, 'lies in a list, which has no look-up without case')
    }
  }
  const layout = { model, collection: owner.collection, ...indexed(model, fields) }
  return { ...layout, embedded: { list, owner, reference: fieldOf(layout, 'user_id') } }
}

function indexed (model: Model, fields: StoredField[]): Pick<Layout, 'fields' | 'byField' | 'primaryKey'> {
  const byField = new Map(fields.map((field) => [field.field, field]))
  const primaryKey = byField.get(primaryKeyOf(model).name)
  if (primaryKey === undefined || new Set(fields.map(({ path }) => path)).size < fields.length) {
    throw misuse(model.name, '', 'has two fields of one name')
  }
  return { fields, byField, primaryKey }
}

function checkMapping (model: Model, mapping: CollectionMapping): void {
  const name = optionNameOf(model)
  const { fields } = model
  checkKeys(`collections.${name}`, mapping, ['collection', 'fields', 'ids'])
  checkKeys(`collections.${name}.fields`, mapping.fields ?? {}, Object.keys(fields))
  if (!['native', 'text', undefined].includes(mapping.ids)) {
    throw misuse(`collections.${name}`, 'ids', 'must be "native" or "text"')
  }
}

/** A name that MongoDB would read as an operator or a path is refused. */
export function checkName ({ name: model }: Model, name: string): void {
  if (typeof name !== 'string' || name === '' || name.startsWith('$') || /[.\0]/.test(name)) {
    throw misuse(model, String(name), 'is no name for a field of a document')
  }
}
