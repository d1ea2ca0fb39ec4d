import type { Field, Model } from '../../contracts/models.js'
import type { Row } from '../../contracts/database-adapter.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { invalidArgument } from '../shared/errors.js'
import { primaryKeyOf, userModelOf } from '../shared/model-registry.js'
import { type TypeCheck, typeCheckOf } from '../shared/values.js'
import { checkKnownKeys } from '../../shared/option-checks.js'
import { checkDistinctStorage, type StorageName } from '../shared/claims.js'
import { optionNameOf, tenantOf } from '../../shared/tenant.js'
import { bsonCodecOf, type Codec, type IdForm } from './codecs.js'
import type { BsonTypes, MongoDocument } from './driver.js'

/** Names of an existing collection and of its fields. */
export interface CollectionMapping {
  /** Name of the collection, or of the array in the users' documents. */
  collection?: string
  /** Names of the stored fields, by field name of the model. */
  fields?: Record<string, string>
  /** BSON type of the ids and of references to them: the type of the id kind, or text. Default: `native`. */
  ids?: 'native' | 'text'
}

/** Mappings by model name. */
export type CollectionMappings = Record<string, CollectionMapping>

/** One field of a model in documents. */
export interface StoredField {
  readonly field: string
  readonly definition: Field
  /** The name in the document, or in the array element. */
  readonly name: string
  /** The path from the root of the document, after `$unwind` if the field is in an array element. */
  readonly path: string
  readonly accepts: TypeCheck
  readonly codec: Codec
  /** For a text that ignores case: the name of the field with its folded copy. Such texts are never in arrays. */
  readonly foldedName?: string
}

/** The storage of one model's rows in documents. */
export interface Layout {
  readonly model: Model
  readonly collection: string
  readonly primaryKey: StoredField
  /** Fields in the order of the model, without optional fields that an existing collection does not have. */
  readonly fields: readonly StoredField[]
  /** All fields of the model. */
  readonly byField: ReadonlyMap<string, StoredField>
  /** For rows in an array: its name, the layout of the documents with the array, and the field that refers to them. */
  readonly embedded?: { readonly list: string; readonly owner: Layout; readonly reference: StoredField }
  /** True if the server has all features of MongoDB that the adapter can use. */
  readonly isComplete: boolean
  /** The look-up of texts that ignore case: by their folded copies, or by the collation of an existing index. */
  readonly lookup: 'folded' | 'collation'
  /** True if folded copies are stored. */
  readonly isFolding: boolean
}

/** The places of rows, which depend on the server. */
export interface StorageRules {
  readonly isComplete: boolean
  /** Checks whether a collection with this name stores rows that a complete server could store in arrays. */
  isSeparate(collection: string): boolean
}

/** The rules of MongoDB without stored rows of another server. */
export const MONGODB_RULES: StorageRules = { isComplete: true, isSeparate: () => false }

/** Default names of collections, as FastAPI Users documents them. */
const COLLECTIONS = new Map([
  ['user', 'User'],
  ['accesstoken', 'AccessToken']
])
const FOLDED = '_folded'

/**
 * Returns the layouts of all models by name. Throws `FST_USERS_UNKNOWN_OPTION` or `FST_USERS_INVALID_OPTION` for
 * invalid mappings and names.
 */
export function createLayouts (
  models: readonly Model[],
  mappings: CollectionMappings,
  bson: BsonTypes,
  rules: StorageRules = MONGODB_RULES
): Map<string, Layout> {
  checkKnownKeys('collections.', mappings, [...new Set(models.map(optionNameOf))])
  const layouts = new Map<string, Layout>()
  const formOf = (model: Model, field: Field): IdForm => {
    const target = optionNameOf({ ...model, name: field.references ?? model.name })
    const storage = field.id?.storage ?? 'text'
    const asText = mappings[target]?.ids === 'text'
    if (asText && storage === 'integer') {
      throw invalidArgument(`collections.${target}`, 'ids', 'cannot be "text", because the ids are integers')
    }
    return asText ? 'text' : storage
  }
  // models with their own collection come first: models in arrays need their layouts
  const inOrder = models.toSorted((one, other) => Number(one.embed !== undefined) - Number(other.embed !== undefined))
  for (const model of inOrder) {
    const mapping = mappings[optionNameOf(model)] ?? {}
    checkMapping(model, mapping)
    const fields = (prefix: string, own: (field: string) => string): StoredField[] =>
      Object.entries(model.fields).map(([field, definition]) => {
        const name = mapping.fields?.[field] ?? own(field)
        checkFieldName(model, name)
        return {
          field,
          definition,
          name,
          path: prefix + name,
          accepts: typeCheckOf(definition),
          codec: bsonCodecOf(definition, formOf(model, definition), bson, rules.isComplete),
          ...(definition.ignoreCase === true ? { foldedName: name + FOLDED } : {})
        }
      })
    const collection = mapping.collection ?? COLLECTIONS.get(model.name) ?? model.table
    const { embed } = model
    layouts.set(
      model.name,
      embed === undefined || !rules.isComplete || rules.isSeparate(collection)
        ? separateLayout(
          model,
          collection,
          rules,
          fields('', (field) => (field === 'id' && primaryKeyOf(model).name === 'id' ? '_id' : field))
        )
        : embeddedLayout(model, mapping.collection ?? embed, layoutOf(layouts, userModelOf(model)), (prefix) =>
          fields(prefix, (field) => field)
        )
    )
  }
  for (const { fields } of layouts.values()) {
    for (const { definition } of fields) {
      if (definition.references !== undefined) layoutOf(layouts, definition.references)
    }
  }
  checkDistinctStorage('collections', collectionNamesOf(layouts.values()))
  return layouts
}

/** Returns a description of where each layout stores its rows, with the tenant. */
export function collectionNamesOf (layouts: Iterable<Layout>): StorageName[] {
  return [...layouts].map(({ collection, embedded, model }) => {
    const list = embedded === undefined ? '' : `the array "${embedded.list}" in `
    return [`${list}the collection "${collection}"`, tenantOf(model)]
  })
}

/** Returns the layout of a model. Throws `FST_USERS_INVALID_OPTION` for an unknown model. */
export function layoutOf (layouts: ReadonlyMap<string, Layout>, name: string): Layout {
  const layout = layouts.get(name)
  if (layout === undefined) throw invalidArgument(name, '', 'there is no such model; define it before open()')
  return layout
}

/** Returns the unique groups of a layout. */
export function uniqueGroupsOf (layout: Layout): StoredField[][] {
  return (layout.model.unique ?? []).map((names) => names.map((name) => storedFieldOf(layout, name)))
}

/** Checks whether the primary key is `_id`, which the server keeps unique without another index. */
export function usesDocumentId ({ primaryKey: { name }, embedded }: Layout): boolean {
  return name === '_id' && embedded === undefined
}

/** Returns a field by name. Throws `FST_USERS_INVALID_OPTION` for an unknown field. */
export function storedFieldOf (layout: Layout, name: string): StoredField {
  const field = layout.byField.get(name)
  if (field === undefined) throw invalidArgument(layout.model.name, name, 'there is no such field')
  return field
}

/**
 * Returns the value of a field in documents that are older than the field: null or the default of the field; undefined
 * for a required field.
 */
export function absentValueOf ({ nullable, optional, default: fallback, type }: Field): unknown {
  if (nullable === true || optional === true) return null
  return type === 'json' ? structuredClone(fallback) : fallback
}

/** Checks whether an existing collection has no such optional field. It is then read as null and never written. */
export function isMissingField ({ fields }: Layout, field: StoredField): boolean {
  return field.definition.optional === true && !fields.includes(field)
}

/** Returns a projection of the fields of a layout, with a prefix before each path. */
export function projectionOf ({ fields }: Layout, prefix = ''): Record<string, 0 | 1> {
  const names = fields.map(({ path }) => [prefix + path, 1] as const)
  return { ...(prefix === '' ? { _id: 0 } : {}), ...Object.fromEntries(names) }
}

/**
 * Returns the row that a document contains. For rows in arrays, the document is a result of `$unwind`. Throws
 * `FST_USERS_TABLE_MISMATCH` for a value of another type.
 */
export function decodeDocument (layout: Layout, document: object): Row {
  const { embedded: inside, collection } = layout
  const element = inside === undefined ? document : readProperty(document, inside.list)
  const row: Row = {}
  for (const field of layout.fields) {
    const raw = field === inside?.reference ? readProperty(document, field.path) : readProperty(element, field.name)
    const { definition } = field
    const value =
      raw === undefined ? absentValueOf(definition) : raw === null ? null : field.codec.decode(raw)
    if (value === undefined) {
      throw FST_USERS_TABLE_MISMATCH([collection, `"${field.path}" of a stored document is not of type ${definition.type}`])
    }
    row[field.field] = value
  }
  return row
}

function readProperty (document: unknown, name: string): unknown {
  return typeof document === 'object' && document !== null && Object.hasOwn(document, name)
    ? (document as MongoDocument)[name] // checked above
    : undefined
}

/** Returns the names of all fields that the adapter writes to new documents. */
export function writtenNamesOf ({ fields, isFolding }: Layout): string[] {
  return fields.flatMap(({ path, foldedName }) => (isFolding && foldedName !== undefined ? [path, foldedName] : [path]))
}

function separateLayout (
  model: Model,
  collection: string,
  { isComplete }: StorageRules,
  fields: StoredField[]
): Layout {
  return { model, collection, isComplete, lookup: 'folded', isFolding: true, ...fieldsByName(model, fields) }
}

/** Returns the layout of rows in an array. Their `user_id` is not stored in the element: it is the user's own key. */
function embeddedLayout (model: Model, list: string, owner: Layout, make: (prefix: string) => StoredField[]): Layout {
  checkFieldName(model, list)
  const fields = make(`${list}.`).map((field) =>
    field.field === 'user_id' ? { ...field, name: owner.primaryKey.name, path: owner.primaryKey.path } : field
  )
  for (const { field, definition } of fields) {
    if (definition.ignoreCase === true) {
      throw invalidArgument(
        model.name, field, 'is in an array element, where case-insensitive lookups are not supported'
      )
    }
  }
  const { collection, isComplete, lookup } = owner
  const layout = { model, collection, isComplete, lookup, isFolding: false, ...fieldsByName(model, fields) }
  return { ...layout, embedded: { list, owner, reference: storedFieldOf(layout, 'user_id') } }
}

function fieldsByName (model: Model, fields: StoredField[]): Pick<Layout, 'fields' | 'byField' | 'primaryKey'> {
  const byField = new Map(fields.map((field) => [field.field, field]))
  const primaryKey = byField.get(primaryKeyOf(model).name)
  const paths = fields.flatMap(({ path, foldedName }) => (foldedName === undefined ? [path] : [path, foldedName]))
  if (primaryKey === undefined || new Set(paths).size < paths.length) {
    throw invalidArgument(model.name, '', 'has two fields with the same name in its documents')
  }
  return { fields, byField, primaryKey }
}

function checkMapping (model: Model, mapping: CollectionMapping): void {
  const name = optionNameOf(model)
  const { fields } = model
  checkKnownKeys(`collections.${name}.`, mapping, ['collection', 'fields', 'ids'])
  checkKnownKeys(`collections.${name}.fields.`, mapping.fields ?? {}, Object.keys(fields))
  if (!['native', 'text', undefined].includes(mapping.ids)) {
    throw invalidArgument(`collections.${name}`, 'ids', 'must be "native" or "text"')
  }
}

/** Throws `FST_USERS_INVALID_OPTION` for a name that MongoDB would read as an operator or a path. */
export function checkFieldName ({ name: model }: Model, name: string): void {
  if (typeof name !== 'string' || name === '' || name.startsWith('$') || /[.\0]/.test(name)) {
    const rule = 'must be a field name of MongoDB: not empty, without ".", NUL and a leading "$"'
    throw invalidArgument(model, String(name), rule)
  }
}
