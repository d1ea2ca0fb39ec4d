import { once } from 'node:events'
import { request as openRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { startChild } from './child-server.js'
import { pythonProgram } from './python.js'
import { root } from './root.js'

/** The interpreter with FastAPI Users, and the reason to skip its tests if it is missing. */
export const python = pythonProgram('fastapi-users', 'python')

export interface ServiceReply {
  status: number
  /** The parsed JSON of the body, or the text if it is not JSON. */
  body: unknown
  text: string
  headers: Headers
}

/** A body: an object is sent as JSON, search parameters as a form. */
export type ServiceBody = object | URLSearchParams | string

/** A server, reached over a socket. */
export interface Service {
  readonly name: string
  request(method: string, path: string, body?: ServiceBody, headers?: Record<string, string>): Promise<ServiceReply>
}

/** A request whose headers and body are sent unchanged. */
export interface RawRequest {
  method: string
  url: string
  headers: Record<string, string>
  payload?: string
}

export interface RawReply {
  status: number
  rawBody: string
  headers: IncomingHttpHeaders
}

export interface PythonService extends Service {
  readonly url: string
  /** Sends a request on a new connection. */
  send(request: RawRequest): Promise<RawReply>
  stop(): Promise<void>
}

/** Returns a service at a URL. */
export function serviceAt (name: string, url: string): Service {
  return {
    name,
    async request (method, path, body, headers = {}) {
      const isJson = typeof body === 'object' && !(body instanceof URLSearchParams)
      const reply = await fetch(url + path, {
        method,
        redirect: 'manual',
        headers: { ...(isJson ? { 'content-type': 'application/json' } : {}), ...headers },
        ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : body })
      })
      const text = await reply.text()
      return { status: reply.status, body: parse(text), text, headers: reply.headers }
    }
  }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Starts the service of `test/python/service.py`. It ends when the test ends, or at `stop`. */
export async function startPython (t: Test, environment: Record<string, string>): Promise<PythonService> {
  const { greeting: port, stop } = await startChild(t, python.path, ['-B', 'service.py'], {
    cwd: join(root, 'test/python'),
    env: { ...process.env, ...environment },
    quiet: true
  })
  const url = `http://127.0.0.1:${port}`
  return { url, stop, send: (request) => sendTo(port, request), ...serviceAt('FastAPI Users', url) }
}

async function sendTo (port: string, { method, url, headers, payload }: RawRequest): Promise<RawReply> {
  const sent = openRequest({ hostname: '127.0.0.1', port, method, path: url, headers, agent: false }).end(payload)
  const [reply] = (await once(sent, 'response')) as [IncomingMessage]
  return { status: reply.statusCode ?? 0, rawBody: await text(reply), headers: reply.headers }
}
