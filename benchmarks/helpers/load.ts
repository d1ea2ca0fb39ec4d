import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A repeated request. Several sets of headers are used in turn. */
export interface LoadTarget {
  port: number
  method: 'GET' | 'POST'
  path: string
  headers: readonly Record<string, string>[]
  body?: string
  expect: number
}

/** Result of a round: requests per second, and the processor time of this process per request, in microseconds. */
export interface LoadResult {
  perSecond: number
  cpuMicroseconds: number
}

export interface LoadOptions {
  connections: number
  milliseconds: number
  /**
   * Keeps the client busy on one processor. Otherwise the server spends time on waking the client, and more of it for
   * slower routes.
   */
  awake: boolean
}

/** An HTTP client in a separate process. Each connection sends its next request after the reply. */
export interface LoadClient {
  /** Runs one round. Rejects if a reply has an unexpected status. */
  run(target: LoadTarget, options: LoadOptions): Promise<LoadResult>
  close(): void
}

export interface LoadOrder extends LoadOptions {
  port: number
  requests: readonly string[]
  expect: number
}
export type LoadAnswer = { count: number; perSecond: number } | { error: string }

export function startLoadClient (): LoadClient {
  const client = fork(fileURLToPath(new URL('./load-client.js', import.meta.url)))
  return {
    run ({ port, expect, headers, ...target }, options) {
      const order: LoadOrder = { port, expect, requests: headers.map((each) => write(target, each)), ...options }
      const before = process.cpuUsage()
      return new Promise((resolve, reject) => {
        client.once('message', (answer: LoadAnswer) => {
          if ('error' in answer) return reject(new Error(answer.error))
          const { user, system } = process.cpuUsage(before)
          resolve({ perSecond: answer.perSecond, cpuMicroseconds: (user + system) / answer.count })
        })
        client.send(order)
      })
    },
    close () {
      client.kill()
    }
  }
}

function write (
  { method, path, body = '' }: Pick<LoadTarget, 'method' | 'path' | 'body'>,
  headers: Record<string, string>
): string {
  const all = {
    host: 'localhost',
    ...headers,
    ...(body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) })
  }
  return `${method} ${path} HTTP/1.1\r\n${Object.entries(all)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n${body}`
}
