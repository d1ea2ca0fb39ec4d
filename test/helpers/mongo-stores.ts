import { randomBytes } from 'node:crypto'
import { type Db, MongoClient, type MongoClientOptions } from 'mongodb'
import type { Test } from 'tap'

/** A server on which the same tests run. */
export interface MongoStore {
  name: string
  url: string
  options: { skip: string | false }
  /** True if the server has collations, arrays with unique values and partial indexes, as MongoDB does. */
  isComplete: boolean
}

/** Time limits for the first connection, in milliseconds. A required server gets more time, if the machine is busy. */
const LONG_MS = 30_000
const SHORT_MS = 2000

async function findStore (
  variable: string,
  { name, url: ownUrl, isComplete }: { name: string; url: string; isComplete: boolean }
): Promise<MongoStore> {
  const given = process.env[variable]
  const url = given ?? ownUrl
  const isRequired = process.env['REQUIRE_SERVICES'] === '1'
  const store = { name: given === undefined ? name : variable, url, isComplete }
  const client = new MongoClient(url, { serverSelectionTimeoutMS: isRequired ? LONG_MS : SHORT_MS })
  try {
    await client.db('admin').command({ ping: 1 })
    const answered = given === undefined ? isComplete : await hasCollations(client)
    return { ...store, isComplete: answered, options: { skip: false } }
  } catch (error) {
    if (isRequired) throw error
    return { ...store, options: { skip: `no ${name} answers on ${url}` } }
  } finally {
    await client.close()
  }
}

async function hasCollations (client: MongoClient): Promise<boolean> {
  const collation = { locale: 'en', strength: 2 }
  return await client.db('test').collection('none').find({}, { collation }).toArray().then(
    () => true,
    () => false
  )
}

/**
 * Two independent servers for the protocol of MongoDB: FerretDB, which has no collations and no joins, and mongoeco,
 * which has them. MONGODB_URL and MONGODB_COLLATION_URL select other servers.
 */
export const ferretdb = await findStore('MONGODB_URL', {
  name: 'FerretDB',
  url: 'mongodb://127.0.0.1:27017',
  isComplete: false
})
export const mongoeco = await findStore('MONGODB_COLLATION_URL', {
  name: 'mongoeco',
  url: 'mongodb://127.0.0.1:27018/?directConnection=true',
  isComplete: true
})
export const stores: readonly MongoStore[] = [ferretdb, mongoeco]

/** The servers with collations: they can serve the collections of Beanie. */
export const completeStores: readonly MongoStore[] = stores.filter(({ isComplete }) => isComplete)

/** Creates a client. It is closed when the test ends. */
export function connect (t: Test, address: string, options: MongoClientOptions = {}): MongoClient {
  const client = new MongoClient(address, { serverSelectionTimeoutMS: LONG_MS, ...options })
  t.teardown(() => client.close())
  return client
}

/** Creates an empty database. It is dropped when the test ends. */
export function freshDb (t: Test, client: MongoClient): Db {
  const db = client.db(`users_test_${randomBytes(6).toString('hex')}`)
  t.teardown(() => db.dropDatabase())
  return db
}

/** Creates an empty database on a server. It is dropped, and its client is closed, when the test ends. */
export function freshDbOn (t: Test, { url }: MongoStore, options?: MongoClientOptions): Db {
  return freshDb(t, connect(t, url, options))
}
