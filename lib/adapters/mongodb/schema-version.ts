import type { Model } from '../../contracts/models.js'
import { FIRST_VERSION, type PendingStep, type Progress, versionOf } from '../shared/upgrades.js'
import type { Layout } from './layout.js'
import { serverCodeOf, type Operations } from './operations.js'

/** The collection that stores the model version of each collection or array of rows. */
export const VERSIONS = 'fastify_users_schema'

const DUPLICATE_KEY = 11000
const UNAUTHORIZED = 13

/** The stored versions, by the name that `locationOf` returns. */
export type Versions = ReadonlyMap<string, Progress>

/** Returns the name of the collection, or of the array in its documents, that stores the rows of a layout. */
export function locationOf ({ collection, embedded }: Layout): string {
  return embedded === undefined ? collection : `${collection}.${embedded.list}`
}

/** Stores the current version of a layout unless a newer one is stored. */
export async function storeVersion (layout: Layout, versions: Operations): Promise<void> {
  const update = { $max: { version: versionOf(layout.model) } }
  const store = (): Promise<object | null> => versions.upsert({ _id: { $eq: locationOf(layout) } }, update)
  await store().catch((error: unknown) => {
    if (serverCodeOf(error) !== DUPLICATE_KEY) throw error
    return store() // another process has just created the document
  })
}

/** Stores that an upgrade step of a layout is done. */
export async function storeStep (layout: Layout, step: PendingStep, versions: Operations): Promise<void> {
  const { version, position, isLastOfVersion } = step
  const progress = isLastOfVersion ? { version, done: 0 } : { version: version - 1, done: position + 1 }
  await versions.upsert({ _id: { $eq: locationOf(layout) } }, { $set: progress })
}

/** Reads the stored versions. Returns none if the user has no permission to read them. */
export async function readCollectionVersions (versions: Operations): Promise<Versions> {
  const projection = { _id: 1, version: 1, done: 1 }
  const documents = (await versions.find({}, { projection }).catch((error: unknown) => {
    if (serverCodeOf(error) === UNAUTHORIZED) return []
    throw error
  })) as { _id: string; version?: number; done?: number }[] // as storeVersion and storeStep write them
  return new Map(
    documents.map(({ _id, version = FIRST_VERSION, done = 0 }) => [_id, { version, done }] satisfies [string, Progress])
  )
}

/**
 * Returns the stored progress of a layout. Without stored progress, existing rows have version 1, and a collection
 * without rows has the current version.
 */
export async function progressOf (layout: Layout, versions: Versions, rows: Operations): Promise<Progress> {
  const stored = versions.get(locationOf(layout))
  const current: Progress = { version: versionOf(layout.model), done: 0 }
  if (stored !== undefined || current.version === FIRST_VERSION) return stored ?? current
  const { path } = layout.primaryKey
  const [row] = await rows.find({ [path]: { $exists: true } }, { projection: { _id: 1 }, limit: 1 })
  return row === undefined ? current : { version: FIRST_VERSION, done: 0 }
}

/** Returns the mongosh command that stores the version of a layout. */
export function versionCommand (layout: Layout): string {
  const filter = JSON.stringify({ _id: { $eq: locationOf(layout) } })
  const update = `{ $max: { version: ${versionOf(layout.model)} } }`
  return `db.getCollection("${VERSIONS}").updateOne(${filter}, ${update}, { upsert: true })`
}

/** Returns the versions of models, each once, in ascending order. */
export function versionsOf (models: readonly Model[]): string {
  return [...new Set(models.map(versionOf))].toSorted((one, other) => one - other).join(', ')
}
