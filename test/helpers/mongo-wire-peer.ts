import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { BSON, type Document } from 'mongodb'
import { PeerRefusal } from './mongo-peer-query.js'
import { type PeerCollection, PeerError, PeerStore } from './mongo-peer-store.js'

// A peer for the official MongoDB driver, for tests without a server. It implements the wire protocol (OP_MSG, and
// OP_QUERY for the first handshake), records every command, executes the commands that the adapter sends on documents
// in memory, and refuses other commands. With MONGODB_URL, the tests also run against a real server.

/** A fault that replaces the execution of a command. `cut` closes the connection in the middle of the reply. */
export type PeerFault = 'cut' | 'silence' | Document

/** A received command with its documents. */
export interface PeerCommand {
  name: string
  body: Document
}

export interface MongoWirePeer {
  /** URL with the options of a replica set, as in production: the driver retries writes. */
  readonly url: string
  /** Commands on documents and indexes, newest last. */
  readonly commands: PeerCommand[]
  /** Errors for commands that the peer does not support. */
  readonly refusals: string[]
  collection(database: string, name: string): PeerCollection
  /** Calls this function for every command on documents. */
  onCommand(fault: (command: PeerCommand) => PeerFault | undefined): void
  /** Closes all connections and refuses new ones. */
  stop(): Promise<void>
  start(): Promise<void>
}

const OP_REPLY = 1
const OP_QUERY = 2004
const OP_MSG = 2013
const QUIET = new Set(['ping', 'endSessions', 'killCursors', 'dropDatabase'])

/** Starts a peer. It stops when the test ends. */
export async function startMongoWirePeer (t: {
  teardown: (undo: () => Promise<void>) => void
}): Promise<MongoWirePeer> {
  const stores = new Map<string, PeerStore>()
  const sockets = new Set<Socket>()
  const commands: PeerCommand[] = []
  const refusals: string[] = []
  let fault: (command: PeerCommand) => PeerFault | undefined = () => undefined
  let server: Server | undefined
  let port = 0

  function storeOf (database: string): PeerStore {
    const store = stores.get(database) ?? new PeerStore()
    stores.set(database, store)
    return store
  }

  function answer (body: Document): PeerFault | Document {
    const [name = ''] = Object.keys(body)
    if (name.toLowerCase() === 'hello' || name.toLowerCase() === 'ismaster') return hello(port)
    if (name === 'dropDatabase') stores.delete(String(body['$db']))
    if (QUIET.has(name)) return { ok: 1 }
    const command = { name, body }
    commands.push(command)
    try {
      return fault(command) ?? storeOf(String(body['$db'])).run(name, body)
    } catch (error) {
      if (error instanceof PeerError) return error.answer
      if (!(error instanceof PeerRefusal)) throw error
      refusals.push(error.message)
      return { ok: 0, code: 59, errmsg: error.message }
    }
  }

  function take (socket: Socket): void {
    sockets.add(socket)
    let rest: Buffer = Buffer.alloc(0)
    socket
      .on('close', () => sockets.delete(socket))
      .on('error', () => {})
      .on('data', (data) => {
        rest = Buffer.concat([rest, data])
        while (rest.length >= 4 && rest.length >= rest.readInt32LE(0)) {
          const message = rest.subarray(0, rest.readInt32LE(0))
          rest = rest.subarray(message.length)
          const reply = answer(readMessage(message))
          if (reply === 'silence') continue
          if (reply === 'cut') socket.end(writeMessage(message, { ok: 1 }).subarray(0, 20))
          else socket.write(writeMessage(message, reply as Document))
        }
      })
  }

  async function start (): Promise<void> {
    const started = createServer(take)
    await new Promise<void>((resolve) => {
      started.listen(port, '127.0.0.1', resolve)
    })
    port = (started.address() as AddressInfo).port
    server = started
  }

  async function stop (): Promise<void> {
    const stopped = server
    server = undefined
    for (const socket of sockets) socket.destroy()
    if (stopped !== undefined) {
      await new Promise((resolve) => {
        stopped.close(resolve)
      })
    }
  }

  await start()
  t.teardown(stop)
  return {
    url: `mongodb://127.0.0.1:${port}/?replicaSet=peer`,
    commands,
    refusals,
    collection: (database, name) => storeOf(database).collection(name),
    onCommand (next) {
      fault = next
    },
    stop,
    start
  }
}

function hello (port: number): Document {
  const me = `127.0.0.1:${port}`
  return {
    helloOk: true,
    isWritablePrimary: true,
    ismaster: true,
    setName: 'peer',
    hosts: [me],
    me,
    primary: me,
    minWireVersion: 0,
    maxWireVersion: 21,
    maxBsonObjectSize: 16_777_216,
    maxMessageSizeBytes: 48_000_000,
    maxWriteBatchSize: 100_000,
    logicalSessionTimeoutMinutes: 30,
    localTime: new Date(),
    ok: 1
  }
}

/** Returns the command of a message: its body and the documents of further sections by name. */
function readMessage (message: Buffer): Document {
  if (message.readInt32LE(12) === OP_QUERY) return readDocument(message, message.indexOf(0, 20) + 9)
  const body: Document = {}
  let at = 20
  while (at < message.length) {
    const kind = message[at++]
    const end = at + message.readInt32LE(at)
    if (kind === 0) Object.assign(body, readDocument(message, at))
    else {
      const nameEnd = message.indexOf(0, at + 4)
      const list: Document[] = []
      for (let next = nameEnd + 1; next < end; next += message.readInt32LE(next)) {
        list.push(readDocument(message, next))
      }
      body[message.toString('utf8', at + 4, nameEnd)] = list
    }
    at = end
  }
  return body
}

function readDocument (message: Buffer, at: number): Document {
  return BSON.deserialize(message.subarray(at, at + message.readInt32LE(at)), { promoteBuffers: false })
}

function writeMessage (request: Buffer, document: Document): Buffer {
  const isQuery = request.readInt32LE(12) === OP_QUERY
  // flags, cursor, start and count of OP_REPLY; flags and a section's kind of OP_MSG
  const fields = Buffer.alloc(isQuery ? 20 : 5)
  if (isQuery) fields.writeInt32LE(1, 16)
  const body = Buffer.from(BSON.serialize(document))
  const header = Buffer.alloc(16)
  header.writeInt32LE(16 + fields.length + body.length, 0)
  header.writeInt32LE(request.readInt32LE(4), 8)
  header.writeInt32LE(isQuery ? OP_REPLY : OP_MSG, 12)
  return Buffer.concat([header, fields, body])
}
