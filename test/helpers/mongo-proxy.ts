import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { BSON, type Document } from 'mongodb'
import type { Test } from 'tap'
import type { MongoStore } from './mongo-stores.js'

// A proxy between the driver and a server, for faults that a real server cannot be made to produce. It forwards every
// command and reply unchanged, records the commands, and can answer a command itself, answer with a broken message, or
// remain silent. It presents itself as the primary of a replica set, so that the driver retries writes.

/** A fault that replaces the execution of a command. `cut` closes the connection in the middle of the reply. */
export type ProxyFault = 'cut' | 'silence' | Document

/** A received command with its documents. */
export interface ProxyCommand {
  name: string
  body: Document
}

export interface MongoProxy {
  readonly url: string
  /** Commands on documents and indexes, newest last. */
  readonly commands: ProxyCommand[]
  /** Calls this function for every command on documents. Without a fault, the command is forwarded. */
  onCommand(fault: (command: ProxyCommand) => ProxyFault | undefined): void
  /** Closes all connections and refuses new ones. */
  stop(): Promise<void>
  start(): Promise<void>
}

const OP_REPLY = 1
const OP_QUERY = 2004
const OP_MSG = 2013
const QUIET = new Set(['ping', 'endSessions', 'killCursors', 'dropDatabase'])

/** Starts a proxy to a server. It stops when the test ends. */
export async function startMongoProxy (t: Test, { url }: Pick<MongoStore, 'url'>): Promise<MongoProxy> {
  const { hostname, port: serverPort } = new URL(url)
  const sockets = new Set<Socket>()
  const commands: ProxyCommand[] = []
  let fault: (command: ProxyCommand) => ProxyFault | undefined = () => undefined
  let server: Server | undefined
  let port = 0

  /** Returns the reply of the proxy; undefined for a command that is forwarded. */
  function answer (body: Document): ProxyFault | undefined {
    const [name = ''] = Object.keys(body)
    if (name.toLowerCase() === 'hello' || name.toLowerCase() === 'ismaster') return helloReply(port)
    if (QUIET.has(name)) return undefined
    const command = { name, body }
    commands.push(command)
    return fault(command)
  }

  function take (client: Socket): void {
    const upstream = connect(Number(serverPort || 27017), hostname)
    for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    upstream.pipe(client)
    eachMessage(client, (message) => {
      const reply = answer(readMessage(message))
      if (reply === 'silence') return
      if (reply === undefined) upstream.write(message)
      else if (reply === 'cut') client.end(writeMessage(message, { ok: 1 }).subarray(0, 20))
      else client.write(writeMessage(message, reply as Document))
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
    url: `mongodb://127.0.0.1:${port}/?replicaSet=proxy`,
    commands,
    onCommand (next) {
      fault = next
    },
    stop,
    start
  }
}

/** Calls a function for each whole message that a socket receives. The first four bytes of a message are its length. */
function eachMessage (socket: Socket, take: (message: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', (data) => {
    rest = Buffer.concat([rest, data])
    while (rest.length >= 4 && rest.length >= rest.readInt32LE(0)) {
      const message = rest.subarray(0, rest.readInt32LE(0))
      rest = rest.subarray(message.length)
      take(message)
    }
  })
}

function helloReply (port: number): Document {
  const me = `127.0.0.1:${port}`
  return {
    helloOk: true,
    isWritablePrimary: true,
    ismaster: true,
    setName: 'proxy',
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
