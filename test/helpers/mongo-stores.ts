import { randomBytes } from 'node:crypto'
import { type Db, MongoClient, type MongoClientOptions } from 'mongodb'
import type { Test } from 'tap'
import { startMongoWirePeer } from './mongo-wire-peer.js'

/** A kind of store on which the same tests run. */
export interface MongoStore {
  name: string
  /** Prefix of the titles of tests for the scoreboard. It is empty if no MongoDB server is available. */
  row: string
  skip: string | false
  /** Creates a store that exists until the test ends. Returns its URL. */
  start(t: Test): Promise<string>
}

const url = process.env['MONGODB_URL']

/**
 * The wire peer, and MongoDB if MONGODB_URL is set. Package registries contain no MongoDB server, so a missing server
 * is not a failure.
 */
export const stores: MongoStore[] = [
  { name: 'the wire peer', row: '', skip: false, start: async (t) => (await startMongoWirePeer(t)).url },
  {
    name: 'MongoDB',
    row: 'row 84: ',
    skip: url === undefined && 'MONGODB_URL is not set: no MongoDB server was run',
    start: async () => url ?? ''
  }
]

/** Creates a client with short timeouts. It is closed when the test ends. */
export function connect (t: Test, address: string, options: MongoClientOptions = {}): MongoClient {
  const client = new MongoClient(address, { serverSelectionTimeoutMS: 3000, ...options })
  t.teardown(() => client.close())
  return client
}

/** Creates an empty database. It is dropped when the test ends. */
export function freshDb (t: Test, client: MongoClient): Db {
  const db = client.db(`users_test_${randomBytes(6).toString('hex')}`)
  t.teardown(() => db.dropDatabase())
  return db
}
