import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ports that systems give out by themselves, so that no other socket takes it before it is used, or while
 * what listened there is down.
 */
const [FIRST, END] = [10_240, 32_768]

/** A port of 127.0.0.1 on which nothing listens. */
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
