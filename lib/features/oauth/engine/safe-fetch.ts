import { once } from 'node:events'
import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isUsersError } from '../../../feature/index.js'
import type { ProviderFetch } from '../contracts.js'
import { providerFailed, providerUnavailable, toProviderError } from './provider-errors.js'
import { isPrivateIpHost, lookupPublic } from './public-ip.js'

/** Limits of the calls to providers. */
export interface SafeFetchOptions {
  /** Milliseconds from the DNS lookup to the last byte. */
  timeoutMs: number
  /** Origins that may use http and private IP addresses. */
  insecureOrigins: ReadonlySet<string>
  /** Function that sends the requests; null for Node's client. */
  fetch?: ProviderFetch | null
}

export interface SafeFetchInit {
  method?: string
  headers?: Record<string, string>
  body?: unknown
}

/**
 * Sends one request, to https URLs with public IP addresses only. Time and size are limited, and redirects are not
 * followed.
 */
export type SafeFetch = (url: string, init: SafeFetchInit) => Promise<Response>

const TIMED_OUT = 'no complete response within timeoutMs'
/** Maximum size of a response, in bytes. */
const MAX_BYTES = 262_144
/** Statuses of a temporary failure (RFC 6585, section 4; RFC 9110, section 15.6). */
const UNAVAILABLE: ReadonlySet<number> = new Set([429, 502, 503, 504])

/**
 * Creates the function that calls providers. It throws only `FST_USERS_OAUTH_PROVIDER_FAILED` and
 * `FST_USERS_OAUTH_PROVIDER_UNAVAILABLE`.
 */
export function createSafeFetch ({ timeoutMs, insecureOrigins, fetch = null }: SafeFetchOptions): SafeFetch {
  return async (text, { method = 'GET', headers = {}, body }) => {
    const url = checkProviderUrl(text, insecureOrigins)
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
      throw isUsersError(error) ? error : toNetworkError(error)
    }
  }
}

/** Returns the parsed URL if it may be called, or opened in a browser. Throws `FST_USERS_OAUTH_PROVIDER_FAILED`. */
export function checkProviderUrl (text: string, insecureOrigins: ReadonlySet<string>): URL {
  if (!URL.canParse(text)) throw providerFailed('a URL is malformed')
  const url = new URL(text)
  if (url.username + url.password !== '') throw providerFailed('a URL contains a user name')
  if (insecureOrigins.has(url.origin)) return url
  if (url.protocol !== 'https:') throw providerFailed('a URL is not https, and its origin is not in insecureOrigins')
  if (isPrivateIpHost(url.hostname)) throw providerFailed('a URL has a private IP address, and its origin is not in insecureOrigins')
  return url
}

async function send (url: URL, options: RequestOptions & { signal: AbortSignal }, payload: string): Promise<Response> {
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options)
  request.on('error', () => {}) // an error after the response began also makes the response fail
  request.end(payload)
  try {
    // the signal is needed here too: after status 101 the request emits no error
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

/** Sends a request with the application's `fetch`. The limits are enforced even if that function ignores them. */
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
    return await Promise.race([call(), rejectOnAbort(signal)])
  } catch (error) {
    if (isUsersError(error)) throw error
    if (signal.aborted) throw providerUnavailable(TIMED_OUT)
    const code = networkCodeOf(error)
    throw code === null ? toProviderError(error) : providerUnavailable(code)
  }
}

/** Returns a promise that rejects when the signal aborts. */
function rejectOnAbort (signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener(
      'abort',
      () => {
        reject(providerUnavailable(TIMED_OUT))
      },
      { once: true }
    )
  })
}

/** Returns the code of a network error, which `fetch` throws as the cause of a TypeError; null for other errors. */
function networkCodeOf (error: unknown): string | null {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: { code?: unknown } }
  const found = code ?? cause?.code
  return typeof found === 'string' ? found : null
}

async function readBody (message: AsyncIterable<Uint8Array>): Promise<Buffer<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of message) {
    size += chunk.length
    if (size > MAX_BYTES) throw providerFailed(`a response has more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function toResponse (statusCode: number, type: string | undefined, body: Buffer<ArrayBuffer>): Response {
  if (statusCode < 200 || statusCode > 599) throw providerFailed('a response has an invalid status')
  if (UNAVAILABLE.has(statusCode)) throw providerUnavailable(`a response has the status ${statusCode}`)
  const empty = body.length === 0 || [204, 205, 304].includes(statusCode)
  return new Response(empty ? null : body, {
    status: statusCode,
    ...(type === undefined ? {} : { headers: { 'content-type': type } })
  })
}

function toNetworkError (error: unknown): Error {
  const reason = String((error as NodeJS.ErrnoException).code) // sockets and signals throw such errors
  return reason.startsWith('HPE_')
    ? providerFailed(`a response is not valid HTTP: ${reason}`)
    : providerUnavailable(reason === 'ABORT_ERR' ? TIMED_OUT : reason)
}
