import { once } from 'node:events'
import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isUsersError } from '../../../errors.js'
import type { ProviderFetch } from '../contracts.js'
import { providerFailed, providerUnavailable, toProviderError } from './provider-errors.js'
import { isPrivateHost, lookupPublic } from './public-addresses.js'

/** Bounds of the calls to providers. */
export interface SafeFetchOptions {
  /** From the look-up to the last byte. */
  timeoutMs: number
  /** Origins that may be plain http, and in a private network. */
  insecureOrigins: ReadonlySet<string>
  /** Sends the requests in place of Node's client; null for that one. */
  fetch?: ProviderFetch | null
}

/** What is sent. */
export interface SafeFetchInit {
  method?: string
  headers?: Record<string, string>
  body?: unknown
}

/** One call: to https and to public addresses alone, bounded in time and size, redirects not followed. */
export type SafeFetch = (address: string, init: SafeFetchInit) => Promise<Response>

/** Largest answer of a provider, in bytes. */
const MAX_BYTES = 262_144
/**
 * A provider that is there, but not now: too many requests, a gateway without its server, maintenance (RFC 6585,
 * section 4; RFC 9110, section 15.6).
 */
const BUSY: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** Throws `FST_USERS_OAUTH_PROVIDER_FAILED`, `FST_USERS_OAUTH_PROVIDER_UNAVAILABLE`, nothing else. */
export function createSafeFetch ({ timeoutMs, insecureOrigins, fetch = null }: SafeFetchOptions): SafeFetch {
  return async (address, { method = 'GET', headers = {}, body }) => {
    const url = checkAddress(address, insecureOrigins)
    const payload = body === undefined || body === null ? '' : String(body)
    if (fetch !== null) return await sendBy(fetch, url, { method, headers: { ...headers }, payload, timeoutMs })
    const options = {
      method,
      headers: { ...headers, ...(payload === '' ? {} : { 'content-length': Buffer.byteLength(payload) }) },
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
      ...(insecureOrigins.has(url.origin) ? {} : { lookup: lookupPublic })
    }
    try {
      return await send(url, options, payload)
    } catch (error) {
      throw isUsersError(error) ? error : reasonOf(error)
    }
  }
}

/** The address, when it is one that may be called, or that a browser may be sent to. */
export function checkAddress (address: string, insecureOrigins: ReadonlySet<string>): URL {
  if (!URL.canParse(address)) throw providerFailed('an address cannot be read')
  const url = new URL(address)
  if (url.username + url.password !== '') throw providerFailed('an address holds a user name')
  if (insecureOrigins.has(url.origin)) return url
  if (url.protocol !== 'https:') throw providerFailed('an address is not https')
  if (isPrivateHost(url.hostname)) throw providerFailed('an address is of a private network')
  return url
}

async function send (url: URL, options: RequestOptions & { signal: AbortSignal }, payload: string): Promise<Response> {
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options)
  request.on('error', () => {}) // one that comes after the answer began: the answer fails with it
  request.end(payload)
  try {
    // after a 101 the request itself tells nothing any more
    const [message] = (await once(request, 'response', { signal: options.signal })) as [IncomingMessage]
    return toResponse(
      message.statusCode ?? 0,
      message.headers['content-type'],
      await readBody(message as AsyncIterable<Buffer>)
    )
  } finally {
    request.destroy()
  }
}

/**
 * Sends a request by the application's function, with the same bounds, also when the function keeps to none of them.
 */
async function sendBy (
  fetch: ProviderFetch,
  url: URL,
  {
    payload,
    timeoutMs,
    ...init
  }: { method: string; headers: Record<string, string>; payload: string; timeoutMs: number }
): Promise<Response> {
  const signal = AbortSignal.timeout(timeoutMs)
  async function call (): Promise<Response> {
    const {
      status,
      redirected = false,
      headers,
      body
    } = await fetch(url.href, { ...init, ...(payload === '' ? {} : { body: payload }), redirect: 'manual', signal })
    if (redirected) throw providerFailed('a redirect was followed')
    return toResponse(
      status,
      headers.get('content-type') ?? undefined,
      body === null ? Buffer.alloc(0) : await readBody(body)
    )
  }
  try {
    return await Promise.race([call(), aborted(signal)])
  } catch (error) {
    if (isUsersError(error)) throw error
    if (signal.aborted) throw providerUnavailable('no answer in time')
    const code = codeOf(error)
    throw code === null ? toProviderError(error) : providerUnavailable(code)
  }
}

/** Rejects when the signal aborts. */
function aborted (signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener(
      'abort',
      () => {
        reject(providerUnavailable('no answer in time'))
      },
      { once: true }
    )
  })
}

/** The code of a network error, which `fetch` throws as the cause of a TypeError; null for any other error. */
function codeOf (error: unknown): string | null {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: { code?: unknown } }
  const found = code ?? cause?.code
  return typeof found === 'string' ? found : null
}

async function readBody (message: AsyncIterable<Uint8Array>): Promise<Buffer<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of message) {
    size += chunk.length
    if (size > MAX_BYTES) throw providerFailed('an answer is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function toResponse (statusCode: number, type: string | undefined, body: Buffer<ArrayBuffer>): Response {
  if (statusCode < 200 || statusCode > 599) throw providerFailed('an answer has no usual status')
  if (BUSY.has(statusCode)) throw providerUnavailable(`an answer has the status ${statusCode}`)
  const empty = body.length === 0 || [204, 205, 304].includes(statusCode)
  return new Response(empty ? null : body, {
    status: statusCode,
    ...(type === undefined ? {} : { headers: { 'content-type': type } })
  })
}

function reasonOf (error: unknown): Error {
  const reason = String((error as NodeJS.ErrnoException).code) // what sockets and signals throw
  return reason.startsWith('HPE_')
    ? providerFailed(`an answer is no HTTP: ${reason}`)
    : providerUnavailable(reason === 'ABORT_ERR' ? 'no answer in time' : reason)
}
