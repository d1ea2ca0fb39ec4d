import { connect, type Socket } from 'node:net'
import type { LoadAnswer, LoadOrder } from './load.js'

let next = 0

// The client uses plain sockets, because Node's HTTP client would need more processor time than the measured server.
process.on('message', (order: LoadOrder) => {
  measure(order).then(answer, (error: unknown) => {
    answer({ error: String(error) })
  })
})

function answer (message: LoadAnswer): void {
  process.send?.(message)
}

async function measure ({ connections, milliseconds, awake, ...order }: LoadOrder): Promise<LoadAnswer> {
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(order.port)))
  const start = performance.now()
  let running = awake
  const stayAwake = (): void => {
    if (running) setImmediate(stayAwake)
  }
  stayAwake()
  const counts = await Promise.all(sockets.map((socket) => loop(socket, order, start + milliseconds)))
  running = false
  const count = counts.reduce((sum, each) => sum + each, 0)
  const perSecond = (count / (performance.now() - start)) * 1000
  for (const socket of sockets) socket.destroy()
  return { count, perSecond }
}

function open (port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => {
      resolve(socket)
    })
    socket.once('error', reject)
  })
}

/** Sends requests until the time is over, and returns the number of replies. All connections share the list in turn. */
function loop (
  socket: Socket,
  { requests, expect }: Pick<LoadOrder, 'requests' | 'expect'>,
  end: number
): Promise<number> {
  const bytes = requests.map((request) => Buffer.from(request))
  let count = 0
  let pending = ''
  const send = (): void => {
    const request = bytes[next++ % bytes.length]
    if (request !== undefined) socket.write(request)
  }
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('close', () => {
      reject(new Error('the server closed the connection'))
    })
    socket.on('data', (chunk) => {
      pending += chunk.toString('latin1')
      if (!isWhole(pending)) return
      if (!pending.startsWith(`HTTP/1.1 ${expect} `)) return reject(new Error(pending))
      pending = ''
      count++
      if (performance.now() < end) send()
      else resolve(count)
    })
    send()
  })
}

function isWhole (reply: string): boolean {
  const head = reply.indexOf('\r\n\r\n')
  if (head === -1) return false
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(reply)?.[1] ?? '0'
  return reply.length >= head + 4 + Number(length)
}
