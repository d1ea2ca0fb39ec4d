import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import type { BsonTypes, MongoDocument } from './driver.js'
import type { Layout } from './layout.js'
import type { Operations } from './operations.js'
import { validatorMismatches } from './validators.js'

/**
 * Reads one stored document and returns the layout without the optional fields that the document does not have. If the
 * document has some of them, an earlier version of this package stored it, and the layout keeps all fields unless a
 * validator refuses them. Returns the layout as it is for an empty collection. Throws `FST_USERS_TABLE_MISMATCH` if the
 * stored ids have another type: otherwise no user would ever be found. The query contains an ObjectId, which a driver
 * of another major version refuses.
 */
export async function adaptToSample (layout: Layout, operations: Operations, bson: BsonTypes): Promise<Layout> {
  const checked = layout.fields.filter(({ definition }) => definition.type === 'id' || definition.optional === true)
  const projection = Object.fromEntries([['_id', 1], ...checked.map(({ path }) => [path, 1])])
  const [document] = (await operations.find(
    { _id: { $ne: new bson.ObjectId() } },
    { projection, sort: { _id: 1 }, limit: 1 }
  )) as MongoDocument[]
  if (document === undefined) return await withCopies(layout, operations)
  for (const { field, path, codec, definition } of checked) {
    const raw = document[path] ?? null
    if (raw === null || definition.type !== 'id' || codec.decode(raw) !== undefined) continue
    throw FST_USERS_TABLE_MISMATCH([
      layout.collection,
      `"${path}" of a stored document is not of type ${codec.type}; ` +
        `choose the matching id kind in \`userSchemas\`, or map ${field} in the option \`collections\``
    ])
  }
  const missing = layout.fields.filter(
    ({ path, definition }) => definition.optional === true && !Object.hasOwn(document, path)
  )
  const optional = layout.fields.filter(({ definition }) => definition.optional === true)
  if (missing.length === 0) return await withCopies(layout, operations)
  const isOwn = missing.length < optional.length
  if (isOwn && validatorMismatches(layout, await operations.options()).length === 0) {
    return await withCopies(layout, operations)
  }
  return { ...layout, fields: layout.fields.filter((field) => !missing.includes(field)) }
}

/**
 * Returns a description of rows that are stored in arrays although the server cannot keep them unique there; null if
 * there are none, or if the collection of the rows exists.
 */
export async function describeArrays (layout: Layout, users: Operations, rows: Operations): Promise<string | null> {
  const { embed } = layout.model
  if (embed === undefined || layout.isComplete || (await rows.indexes())?.length) return null
  const documents = await users.find({ [`${embed}.0`]: { $exists: true } }, { projection: { _id: 1 }, limit: 1 })
  if (documents.length === 0) return null
  return (
    `documents of "${users.name}" contain "${embed}", which this server cannot keep unique; ` +
    `move them to documents of "${layout.collection}"`
  )
}

/** Returns the layout of a collection of this package with folded copies, unless a validator refuses them. */
async function withCopies (layout: Layout, operations: Operations): Promise<Layout> {
  if (layout.isFolding || layout.fields.every(({ foldedName }) => foldedName === undefined)) return layout
  const folding = { ...layout, isFolding: true }
  return validatorMismatches(folding, await operations.options()).length === 0 ? folding : layout
}
