import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

/** A server on a free port of this machine that stands for a service of another company. */
export interface LocalServer {
  url: string
  server: Server
  /** All requests so far, with their bodies. */
  requests: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[]
}

/** Starts a server. It closes when the test ends, with all its connections. */
export async function startLocalServer (
  t: Test,
  answer: (request: LocalServer['requests'][number], response: ServerResponse) => void
): Promise<LocalServer> {
  const requests: LocalServer['requests'] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      const seen = { method, url, headers, body: Buffer.concat(chunks).toString() }
      requests.push(seen)
      answer(seen, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, requests }
}

/** Returns the URL of a port at which nothing listens. */
export async function closedUrl (t: Test): Promise<string> {
  const { url, server } = await startLocalServer(t, () => {})
  await new Promise((resolve) => server.close(resolve))
  return url
}

/** Collects the log lines of an application: pass `logger` to it. */
export function collectLog (level = 'trace'): { logger: { level: string; stream: { write (line: string): void } }; lines: string[] } {
  const lines: string[] = []
  return { lines, logger: { level, stream: { write: (line) => { lines.push(line) } } } }
}
