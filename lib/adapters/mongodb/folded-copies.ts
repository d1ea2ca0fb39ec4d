import type { MongoDocument } from './driver.js'
import { type Layout, uniqueGroupsOf } from './layout.js'
import { caselessFieldsOf } from './lookup.js'
import type { Operations } from './operations.js'
import { foldedCopyOf } from './stored-values.js'

/** The folded copies of a document, by name. A text that is missing or null has none. */
type Copies = Record<string, string | null>

const BATCH = 100
/** Number of conflicting documents that a message lists. */
const LISTED = 20

/**
 * Stores the missing and outdated folded copies of all documents, in batches. `renew` is called before each batch. If
 * the application changes a document in the meantime, that change stores the copies. Returns the number of changed
 * documents.
 */
export async function storeCopies (
  layout: Layout,
  operations: Operations,
  renew: () => Promise<void>
): Promise<number> {
  let count = 0
  const fields = caselessFieldsOf(layout)
  await visitDocuments(layout, operations, renew, async (document) => {
    const copies = copiesOf(layout, document)
    const $set = Object.fromEntries(Object.entries(copies).filter(([name, copy]) => (document[name] ?? null) !== copy))
    if (Object.keys($set).length === 0) return
    const texts = fields.map(({ path }) => [path, { $eq: document[path] ?? null }] as const)
    const filter = { _id: { $eq: document['_id'] }, ...Object.fromEntries(texts) }
    count += await operations.update(filter, { $set }, { single: true })
  })
  return count
}

/**
 * Returns a description of each unique group in which several documents would have the same folded copies. It contains
 * ids, and no stored texts.
 */
export async function describeDuplicates (layout: Layout, operations: Operations): Promise<string[]> {
  const groups = uniqueGroupsOf(layout).filter((fields) => fields.some(({ foldedName }) => foldedName !== undefined))
  const known = groups.map((fields) => ({ fields, owners: new Map<string, unknown>(), pairs: [] as string[] }))
  if (groups.length === 0) return []
  await visitDocuments(layout, operations, async () => {}, async (document) => {
    const copies = copiesOf(layout, document)
    for (const { fields, owners, pairs } of known) {
      const values = fields.map(({ path, foldedName }) => {
        return foldedName === undefined ? document[path] : copies[foldedName]
      })
      if (values.some((value) => (value ?? null) === null)) continue
      const key = JSON.stringify(values)
      const owner = owners.get(key)
      if (owner === undefined) owners.set(key, document['_id'])
      else pairs.push(`${labelOf(owner)} and ${labelOf(document['_id'])}`)
    }
  })
  return known
    .filter(({ pairs }) => pairs.length > 0)
    .map(({ fields, pairs }) => {
      const names = fields.map(({ path }) => JSON.stringify(path)).join(' and ')
      const more = pairs.length > LISTED ? `, and ${pairs.length - LISTED} more` : ''
      return `has documents with the same ${names} apart from case: ${pairs.slice(0, LISTED).join(', ')}${more}; ` +
        'change or delete one document of each pair'
    })
}

/** Calls a function for each document, with its key, its texts that ignore case, and their copies. */
async function visitDocuments (
  layout: Layout,
  operations: Operations,
  renew: () => Promise<void>,
  visit: (document: MongoDocument) => Promise<void>
): Promise<void> {
  const paths = uniqueGroupsOf(layout).flat().map(({ path }) => path)
  const names = caselessFieldsOf(layout).flatMap(({ path, foldedName }) => [path, foldedName])
  const projection = Object.fromEntries(['_id', ...paths, ...names].map((name) => [name, 1]))
  let last: unknown
  for (;;) {
    await renew()
    const filter = last === undefined ? {} : { _id: { $gt: last } }
    const documents = (await operations.find(filter, { projection, sort: { _id: 1 }, limit: BATCH })) as MongoDocument[]
    for (const document of documents) await visit(document)
    if (documents.length < BATCH) return
    last = documents.at(-1)?.['_id']
  }
}

function copiesOf (layout: Layout, document: MongoDocument): Copies {
  return Object.fromEntries(
    caselessFieldsOf(layout).map(({ path, foldedName }) => [foldedName, foldedCopyOf(document[path])])
  )
}

/** Returns an id as text. Ids in binary data are written in hexadecimal form. */
function labelOf (id: unknown): string {
  const isBinary = typeof id === 'object' && id !== null && 'toString' in id && 'sub_type' in id
  return isBinary ? (id as { toString: (encoding: string) => string }).toString('hex') : String(id)
}
