import { join } from 'node:path'
import type { Test } from 'tap'
import { SECRET } from './build-app.js'
import { startChild } from './child-server.js'

/** A server in a separate process. */
export interface ServerProcess {
  post(path: string, body?: object, headers?: Record<string, string>, method?: string): Promise<Response>
  stop(): Promise<void>
}

/** Starts a server process on a database file, or on a PostgreSQL schema with a Redis key prefix. */
export async function startProcess (
  t: Test,
  ...store: [file: string] | [schema: string, keyPrefix: string]
): Promise<ServerProcess> {
  const [first, ...others] = store
  return await startScript(t, 'server-process.js', [first, SECRET, ...others])
}

/** Starts a server process with a list of secrets, on a database file. */
export async function startProcessWith (t: Test, file: string, secrets: readonly string[]): Promise<ServerProcess> {
  return await startScript(t, 'server-process.js', [file, secrets.join(',')])
}

/** Starts a server process with a user cache, on a PostgreSQL schema. */
export async function startCachedProcess (
  t: Test,
  schema: string,
  channel: 'redis' | 'postgres'
): Promise<ServerProcess> {
  return await startScript(t, 'cached-server-process.js', [schema, SECRET, channel])
}

/** Starts a server process whose users register by mail, on a database file or a PostgreSQL schema. */
export async function startMailProcess (t: Test, kind: 'sqlite' | 'postgres', store: string): Promise<ServerProcess> {
  return await startScript(t, 'mail-flows-process.js', [kind, store, SECRET])
}

/** Starts a server process with limits, on a PostgreSQL schema. With a key prefix, the counters are in Redis. */
export async function startLimitedProcess (t: Test, schema: string, keyPrefix?: string): Promise<ServerProcess> {
  const prefix = keyPrefix === undefined ? [] : [keyPrefix]
  return await startScript(t, 'limited-server-process.js', [schema, SECRET, ...prefix])
}

async function startScript (t: Test, name: string, parameters: readonly string[]): Promise<ServerProcess> {
  const script = join(import.meta.dirname, '..', 'fixtures', name)
  const { greeting: port, stop } = await startChild(t, process.execPath, [...process.execArgv, script, ...parameters])
  const url = `http://127.0.0.1:${port}`
  return {
    stop,
    post: (path, body, headers = {}, method = 'POST') =>
      fetch(url + path, {
        method,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) })
      })
  }
}

/** Counts replies by status and detail. */
export function tally (replies: readonly { statusCode: number; body: string }[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { statusCode, body } of replies) {
    const detail: unknown = body === '' ? undefined : (JSON.parse(body) as { detail?: unknown }).detail
    const key =
      detail === undefined
        ? String(statusCode)
        : `${statusCode} ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`
    counts[key] = (counts[key] ?? 0) + 1
  }
  return counts
}
