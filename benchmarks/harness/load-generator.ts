import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { LoadRequest } from '../contenders/support/serve.js'
import { nodeOn } from './cores.js'
import { exchange } from './exchange.js'
import type { LoadOrder, LoadOutcome } from './load-process.js'

/** The server to be measured. */
export interface LoadTarget {
  port: number
  requests: readonly LoadRequest[]
  expect: number
  follow?: string | undefined
}

/** An HTTP client in its own process. Each connection sends its next request after the reply. */
export interface LoadGenerator {
  /** Opens the connections, and sends one request on each. Returns the body of the first reply. */
  connect(target: LoadTarget, connections: number): Promise<string>
  /** Measures for a while. Rejects if a reply has an unexpected status. */
  run(milliseconds: number): Promise<LoadOutcome>
  disconnect(): Promise<void>
  close(): void
}

const ANSWER_MS = 20_000

/** Starts the client on a core. */
export function startLoadGenerator (core: number | undefined): LoadGenerator {
  const child = fork(fileURLToPath(new URL('./load-process.js', import.meta.url)), nodeOn(core))
  const order = <A extends object>(message: LoadOrder, limit = ANSWER_MS): Promise<A> => exchange(child, message, limit)
  return {
    async connect ({ port, requests, expect, follow }, connections) {
      const texts = requests.map(write)
      return (await order<{ body: string }>({ connect: { port, requests: texts, expect, follow, connections } })).body
    },
    run: (milliseconds) => order({ run: milliseconds }, milliseconds + ANSWER_MS),
    async disconnect () {
      await order({ disconnect: true })
    },
    close () {
      child.kill()
    }
  }
}

function write ({ method, path, headers = {}, body = '' }: LoadRequest): string {
  const length = body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const lines = Object.entries({ host: 'localhost', ...headers, ...length }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}
