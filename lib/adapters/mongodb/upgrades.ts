import { isDeepStrictEqual } from 'node:util'
import type { Changes } from '../../contracts/database-adapter.js'
import type { Model, UpgradeStep } from '../../contracts/models.js'
import { storeUnavailable } from '../../errors.js'
import { optionNameOf } from '../../shared/tenant.js'
import type { PendingStep } from '../shared/upgrades.js'
import type { BsonTypes, MongoDocument } from './driver.js'
import type { FoundIndex } from './indexes.js'
import {
  type CollectionMappings,
  createLayouts,
  decodeDocument,
  type Layout,
  layoutOf,
  type StorageRules,
  storedFieldOf
} from './layout.js'
import { encodeChanges } from './model-rows.js'
import type { Operations } from './operations.js'

type ColumnChange = Exclude<UpgradeStep, { transform: unknown }>
type ChangeElement = (element: MongoDocument, document: MongoDocument) => MongoDocument

const BATCH = 100
/** Maximum number of attempts to change a document that the application changes at the same time. */
const ATTEMPTS = 20

/** Returns the layout of a model as it is before an upgrade step. */
export function layoutBefore (
  step: PendingStep,
  models: readonly Model[],
  mappings: CollectionMappings,
  bson: BsonTypes,
  rules: StorageRules
): Layout {
  const { before } = step
  const name = optionNameOf(before)
  const mapping = mappings[name]
  const fields = Object.entries(mapping?.fields ?? {}).filter(([field]) => Object.hasOwn(before.fields, field))
  const own = mapping === undefined ? {} : { [name]: { ...mapping, fields: Object.fromEntries(fields) } }
  const all = models.map((model) => (model.name === before.name ? before : model))
  return layoutOf(createLayouts(all, { ...mappings, ...own }, bson, rules), before.name)
}

/** Returns the indexes that a step drops: those on fields that it renames or drops, or the ones that it names. */
export function indexesToDrop (layout: Layout, change: UpgradeStep, indexes: readonly FoundIndex[]): FoundIndex[] {
  if ('transform' in change) return []
  const own = indexes.filter(({ name }) => name !== '_id_')
  if ('dropIndex' in change) {
    const fields = change.dropIndex.map((field) => storedFieldOf(layout, field))
    const variants = [fields.map(({ path }) => path), fields.map(({ path, foldedName }) => foldedName ?? path)]
    const reference = layout.embedded?.reference.path ?? ''
    // lookups in arrays have a second index, with the fields in reverse order, or with the key of the document
    const keys = variants.flatMap((paths) => [paths.join(), paths.toReversed().join(), [...paths, reference].join()])
    return own.filter(({ key }) => keys.includes(Object.keys(key).join()))
  }
  const { path, foldedName = path } = storedFieldOf(layout, 'drop' in change ? change.drop : change.rename)
  return own.filter(({ key }) => Object.hasOwn(key, path) || Object.hasOwn(key, foldedName))
}

/** Applies one upgrade step. `after` is the layout of the current model, `renew` is called between batches. */
export async function applyCollectionStep (
  layout: Layout,
  after: Layout,
  { change, dropped }: PendingStep,
  operations: Operations,
  renew: () => Promise<void>
): Promise<void> {
  const indexes = ((await operations.indexes()) ?? []) as FoundIndex[] // the reply of listIndexes
  for (const { name } of indexesToDrop(layout, change, indexes)) await operations.dropIndex(name)
  if ('dropIndex' in change) return
  if (!('transform' in change)) {
    await changeFields(layout, after, change, operations, renew)
    return
  }
  const { transform } = change
  const defaults = layout.fields.filter(
    ({ field, definition }) => definition.default !== undefined && !dropped.includes(field)
  )
  await changeAllRows(layout, operations, renew, (element, document) => {
    const whole = { ...element }
    for (const { name, definition, codec } of defaults) {
      if (whole[name] === undefined) whole[name] = codec.encode(definition.default)
    }
    const { embedded } = layout
    const wrapped = embedded === undefined ? whole : { ...document, [embedded.list]: whole }
    return applyElementChanges(layout, whole, transform(decodeDocument(layout, wrapped)))
  })
}

function applyElementChanges (layout: Layout, element: MongoDocument, changes: Changes | null): MongoDocument {
  const { set } = encodeChanges(layout, changes ?? {})
  return { ...element, ...Object.fromEntries([...set].map(([{ name }, value]) => [name, value])) }
}

/** Renames or drops a field in all rows that have it. */
async function changeFields (
  layout: Layout,
  after: Layout,
  change: Exclude<ColumnChange, { dropIndex: unknown }>,
  operations: Operations,
  renew: () => Promise<void>
): Promise<void> {
  const { name, path, foldedName } = storedFieldOf(layout, 'drop' in change ? change.drop : change.rename)
  const target = 'drop' in change ? undefined : (after.byField.get(change.to)?.name ?? change.to)
  if (layout.embedded === undefined) {
    const copy = foldedName === undefined ? {} : { $unset: { [foldedName]: '' } } // it is stored again after the steps
    const update =
      target === undefined
        ? { $unset: { [name]: '', ...copy.$unset } }
        : { $rename: { [name]: target }, ...copy }
    await operations.update({ [path]: { $exists: true } }, update, { single: false })
    return
  }
  await changeAllRows(layout, operations, renew, ({ [name]: value, ...rest }) =>
    value === undefined || target === undefined ? rest : { ...rest, [target]: value }
  )
}

interface DocumentChange {
  /** The path of the primary key of the documents. */
  readonly key: string
  /** The array that contains the rows; undefined if each document is a row. */
  readonly list: string | undefined
  readonly operations: Operations
  readonly change: ChangeElement
}

/** Changes all rows in batches. A document that the application changes meanwhile is read and changed again. */
async function changeAllRows (
  layout: Layout,
  operations: Operations,
  renew: () => Promise<void>,
  change: ChangeElement
): Promise<void> {
  const list = layout.embedded?.list
  const { path: key } = layout.embedded?.owner.primaryKey ?? layout.primaryKey
  const hasRows = list === undefined ? {} : { [list]: { $exists: true } }
  let last: unknown
  for (;;) {
    await renew()
    const filter = last === undefined ? hasRows : { ...hasRows, [key]: { $gt: last } }
    const documents = (await operations.find(filter, { sort: { [key]: 1 }, limit: BATCH })) as MongoDocument[]
    for (const document of documents) await changeDocument(document, { key, list, operations, change })
    if (documents.length < BATCH) return
    last = documents.at(-1)?.[key]
  }
}

async function changeDocument (first: MongoDocument, { key, list, operations, change }: DocumentChange): Promise<void> {
  let document: MongoDocument | undefined = first
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const changed =
      list === undefined ? change(document, document) : { ...document, [list]: changeList(document, list, change) }
    const before: MongoDocument = document
    const fields = Object.keys(changed).filter((name) => !isDeepStrictEqual(before[name], changed[name]))
    if (fields.length === 0) return
    const old = fields.map((name) => [name, before[name] === undefined ? { $exists: false } : { $eq: before[name] }])
    const filter = { [key]: { $eq: document[key] }, ...Object.fromEntries(old) }
    const $set = Object.fromEntries(fields.map((name) => [name, changed[name]]))
    if ((await operations.update(filter, { $set }, { single: true })) === 1) return
    const [again] = await operations.find({ [key]: { $eq: document[key] } }, { limit: 1 })
    if (again === undefined) return
    document = again as MongoDocument
  }
  throw storeUnavailable('a document changed too often to be upgraded')
}

function changeList (document: MongoDocument, list: string, change: ChangeElement): unknown {
  const elements = document[list]
  if (!Array.isArray(elements)) return elements
  return elements.map((element: MongoDocument) => {
    const changed = change(element, document)
    return isDeepStrictEqual(element, changed) ? element : changed
  })
}
