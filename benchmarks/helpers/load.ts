import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Requests that are sent again and again; of several headers each takes its turn. */
export interface LoadTarget {
  port: number
  method: 'GET' | 'POST'
  path: string
  headers: readonly Record<string, string>[]
  body?: string
  expect: number
}

/** What a round gave: requests per second, and the processor time that this process spent on each, in microseconds. */
export interface LoadResult {
  perSecond: number
  cpuMicroseconds: number
}

export interface LoadOptions {
  connections: number
  milliseconds: number
  /**
   * The client takes a whole processor and never sleeps; else the server pays for waking it, and the more the slower a
   * route is.
   */
  awake: boolean
}

/**
 * A closed-loop HTTP client in a process of its own: each connection sends its next request when the reply is there.
 */
export interface LoadClient {
  /** Rejects when a reply has another status than expected. */
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
