// The process of the load generator. It uses plain sockets, because HTTP clients need more processor time than a bare
// server, and the measured server must stay the bottleneck.
import { connect, type Socket } from 'node:net'

/** The requests to a server, as text. */
interface Requests {
  port: number
  requests: readonly string[]
  expect: number
  follow?: string | undefined
  connections: number
}

export type LoadOrder =
  | { connect: Requests }
  | { run: number }
  | { disconnect: true }

/** Replies of one run: their number, rate, and the latencies in milliseconds. */
export interface LoadOutcome {
  count: number
  perSecond: number
  p50: number
  p99: number
}

interface Connection {
  socket: Socket
  /** Sends a request, and calls back with the reply. */
  send(done: (reply: Buffer) => void): void
}

let connections: Connection[] = []
const positions = new Map<number, number>()
/** The next request of each connection to a server whose requests follow from its replies. */
const followed = new Map<number, Buffer[]>()

process.on('message', (order: LoadOrder) => {
  follow(order).then(answer, (error: unknown) => {
    answer({ error: error instanceof Error ? error.message : String(error) })
  })
})
process.once('disconnect', () => process.exit())
process.on('SIGINT', () => {}) // the harness ends this process

function answer (message: object): void {
  process.send?.(message)
}

async function follow (order: LoadOrder): Promise<object> {
  if ('run' in order) return await run(order.run)
  for (const { socket } of connections) socket.destroy()
  connections = []
  if ('disconnect' in order) return {}
  const { port, requests, expect, follow } = order.connect
  const bytes = requests.map((request) => Buffer.from(request))
  const inTurn = (): Buffer => {
    const position = positions.get(port) ?? 0
    positions.set(port, position + 1)
    return bytes[position % bytes.length] as Buffer
  }
  const own = followed.get(port) ?? bytes
  if (follow !== undefined) followed.set(port, own)
  for (let i = 0; i < order.connect.connections; i++) {
    const next = follow === undefined ? inTurn : () => own[i] as Buffer
    const onReply = (reply: Buffer): void => {
      if (follow !== undefined) own[i] = followingRequest(own[i] as Buffer, reply, follow)
    }
    connections.push(await open(port, expect, next, onReply))
  }
  const replies = await Promise.all(connections.map((each) => new Promise<Buffer>((resolve) => each.send(resolve))))
  const text = replies[0]?.toString() ?? ''
  return { body: text.slice(text.indexOf('\r\n\r\n') + 4) }
}

async function run (milliseconds: number): Promise<LoadOutcome> {
  const latencies: number[] = []
  const begin = performance.now()
  const end = begin + milliseconds
  await Promise.all(
    connections.map(
      ({ send }) =>
        new Promise<void>((resolve) => {
          let sent = performance.now()
          const onReply = (): void => {
            const now = performance.now()
            latencies.push(now - sent)
            if (now >= end) return resolve()
            sent = now
            send(onReply)
          }
          send(onReply)
        })
    )
  )
  const perSecond = (latencies.length / (performance.now() - begin)) * 1000
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? NaN
  return { count: latencies.length, perSecond, p50: at(0.5), p99: at(0.99) }
}

async function open (
  port: number,
  expect: number,
  next: () => Buffer,
  onReply: (reply: Buffer) => void
): Promise<Connection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  const isWhole = createReader(expect)
  let done: ((reply: Buffer) => void) | undefined
  let pending: Buffer | undefined
  const fail = (reason: string): void => {
    if (connections.some((each) => each.socket === socket)) answer({ error: reason })
    connections = []
  }
  socket.on('error', (error) => {
    fail(error.message)
  })
  socket.on('close', () => {
    fail('the server closed the connection')
  })
  socket.on('data', (chunk) => {
    const reply = pending === undefined ? chunk : Buffer.concat([pending, chunk])
    const whole = isWhole(reply)
    if (whole === undefined) return fail(`unexpected reply: ${summarizeReply(reply)}`)
    pending = whole ? undefined : reply
    if (!whole) return
    onReply(reply)
    done?.(reply)
  })
  return {
    socket,
    send (callback) {
      done = callback
      socket.write(next())
    }
  }
}

/** Returns the request with the value that a property of the JSON reply has. */
function followingRequest (request: Buffer, reply: Buffer, property: string): Buffer {
  const [head = '', body = ''] = request.toString().split('\r\n\r\n')
  const replied = JSON.parse(reply.toString().split('\r\n\r\n')[1] ?? '') as Record<string, unknown>
  const text = JSON.stringify({ ...(JSON.parse(body) as object), [property]: replied[property] })
  return Buffer.from(`${head.replace(/(?<=content-length: )\d+/, String(text.length))}\r\n\r\n${text}`)
}

/** Returns the first line and the beginning of the body. */
function summarizeReply (reply: Buffer): string {
  const [head = '', body = ''] = reply.toString('latin1').split('\r\n\r\n')
  return `${head.split('\r\n')[0]} ${body.slice(0, 200)}`
}

/**
 * Returns a function that returns whether a reply is complete, or undefined if its status is not the expected one. A
 * reply with the length of the reply before has the same headers, so only its status is read.
 */
function createReader (expect: number): (reply: Buffer) => boolean | undefined {
  const status = `HTTP/1.1 ${expect} `
  let usual = 0
  return (reply) => {
    if (reply.length < status.length) return false
    if (reply.toString('latin1', 0, status.length) !== status) return undefined
    if (reply.length === usual) return true
    const text = reply.toString('latin1')
    const head = text.indexOf('\r\n\r\n')
    if (head === -1) return false
    const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1] ?? '0')
    if (reply.length < head + 4 + length) return false
    usual = reply.length
    return true
  }
}
