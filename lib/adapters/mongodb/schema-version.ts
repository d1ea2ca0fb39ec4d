import type { Layout } from './layout.js'
import { codeOf, type Operations } from './operations.js'

/** The collection that stores the schema version of each collection or array of rows. */
export const VERSIONS = 'fastify_users_schema'
/** The current schema version. It increases when documents must change. Without a stored version, it is 1. */
export const CURRENT = 1

const DUPLICATE_KEY = 11000

/** Returns the name of the collection, or of the array in its documents, that stores the rows of a layout. */
export function locationOf ({ collection, embedded }: Layout): string {
  return embedded === undefined ? collection : `${collection}.${embedded.list}`
}

/** Stores the schema version of a layout, and keeps a newer one. */
export async function storeVersion (layout: Layout, versions: Operations): Promise<void> {
  const store = (): Promise<object | null> =>
    versions.upsert({ _id: { $eq: locationOf(layout) } }, { $max: { version: CURRENT } })
  await store().catch((error: unknown) => {
    if (codeOf(error) !== DUPLICATE_KEY) throw error
    return store() // another process has just created the document
  })
}

/** Returns the stored versions, by the name that `locationOf` returns. */
export async function readVersions (versions: Operations): Promise<Map<string, number>> {
  const documents = (await versions.find({}, { projection: { _id: 1, version: 1 } })) as {
    _id: string
    version: number
  }[] // as storeVersion writes them
  return new Map(documents.map(({ _id, version }) => [_id, version]))
}

/** Returns the mongosh command that stores the version of a layout. */
export function versionCommand (layout: Layout): string {
  const filter = JSON.stringify({ _id: { $eq: locationOf(layout) } })
  const update = `{ $max: { version: ${CURRENT} } }`
  return `db.getCollection("${VERSIONS}").updateOne(${filter}, ${update}, { upsert: true })`
}
