import { randomBytes } from 'node:crypto'
import { type Db, MongoClient, type MongoClientOptions } from 'mongodb'
import type { Test } from 'tap'
import { startMongoWirePeer } from './mongo-wire-peer.js'

/** A kind of store on which the same tests run. */
export interface MongoStore {
  name: string
  /** Begins the name of a test that shows a row of the scoreboard: empty where no MongoDB runs. */
  row: string
  skip: string | false
  /** The address of a store that lives until the test ends. */
  start(t: Test): Promise<string>
}

const url = process.env['MONGODB_URL']

/**
 * The wire peer always; MongoDB where MONGODB_URL names one. No server can be had from package registries, so that its
 * absence fails nothing.
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

/** A client that gives up soon, and is closed when the test ends. */
export function connect (t: Test, address: string, options: MongoClientOptions = {}): MongoClient {
  const client = new MongoClient(address, { serverSelectionTimeoutMS: 3000, ...options })
  t.teardown(() => client.close())
  return client
}

/** An empty database, which is dropped when the test ends. */
export function freshDb (t: Test, client: MongoClient): Db {
  const db = client.db(`users_test_${randomBytes(6).toString('hex')}`)
  t.teardown(() => db.dropDatabase())
  return db
}
