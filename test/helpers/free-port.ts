import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Ports below the range that systems assign to sockets, so that no other socket takes the port before its use or while
 * its server is stopped.
 */
const [FIRST, END] = [10_240, 32_768]

/** Returns a free port of 127.0.0.1. */
export async function freePort (): Promise<number> {
  const port = randomInt(FIRST, END)
  const server = createServer().listen(port, '127.0.0.1')
  const isFree = await once(server, 'listening').then(
    () => true,
    () => false
  )
  if (!isFree) return await freePort()
  server.close()
  await once(server, 'close')
  return port
}
