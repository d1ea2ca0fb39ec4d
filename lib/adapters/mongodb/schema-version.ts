import type { Layout } from './layout.js'
import { codeOf, type Operations } from './operations.js'

/** The collection that holds the version of our schema that each place of rows has. */
export const VERSIONS = 'fastify_users_schema'
/** Counted up when documents must change. Places without a stored version are of the first. */
export const CURRENT = 1

const DUPLICATE_KEY = 11000

/** Where the rows of a layout lie: a collection, or a list in its documents. */
export function placeOf ({ collection, embedded }: Layout): string {
  return embedded === undefined ? collection : `${collection}.${embedded.list}`
}

/** Stores the version of a layout, unless it is stored. */
export async function noteVersion (layout: Layout, versions: Operations): Promise<void> {
  const note = (): Promise<object | null> =>
    versions.upsert({ _id: { $eq: placeOf(layout) } }, { $max: { version: CURRENT } })
  await note().catch((error: unknown) => {
    if (codeOf(error) !== DUPLICATE_KEY) throw error
    return note() // another process has just made it
  })
}

/** The stored versions, by place. */
export async function readVersions (versions: Operations): Promise<Map<string, number>> {
  const documents = (await versions.find({}, { projection: { _id: 1, version: 1 } })) as {
    _id: string
    version: number
  }[] // as noteVersion writes them
  return new Map(documents.map(({ _id, version }) => [_id, version]))
}

/** The command of mongosh that stores a version. */
export function noteCommand (layout: Layout): string {
  return `db.getCollection("${VERSIONS}").updateOne(${JSON.stringify({ _id: { $eq: placeOf(layout) } })}, { $max: { version: ${CURRENT} } }, { upsert: true })`
}
