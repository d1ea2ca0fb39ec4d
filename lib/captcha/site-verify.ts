import type { CaptchaProvider, CaptchaResponse } from '../contracts/captcha.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { readBoundedText } from '../shared/bounded-body.js'
import { checkKnownKeys, checkBoolean, checkOption, parseHttpUrl } from '../shared/option-checks.js'
import { checkTimeLimit } from '../shared/time-limit.js'
import { isFunction, isObject } from '../shared/values.js'

/** Options of providers with a verification service. */
export interface SiteVerifyOptions {
  /** Secret key of the site. Pages contain the public site key instead. */
  secretKey: string
  /** Host names of your pages. A response from another page is refused. Default: not checked. */
  hostnames?: readonly string[]
  /** Sends the IP address of the client to the provider, which improves its judgement. Default true. */
  sendIp?: boolean
  /** Time limit in milliseconds. Default 5000. */
  timeoutMs?: number
  /** Function that sends the request, for example through a proxy. Default: the global `fetch`. */
  fetch?: typeof fetch
  /** URL of the verification service. Default: that of the provider. */
  url?: string
}

/** The values that differ between the providers. */
export interface SiteVerifyService {
  readonly name: string
  readonly field: string
  readonly url: string
  /** Names of the options of the provider, in addition to those of `SiteVerifyOptions`. */
  readonly options: readonly string[]
  /** Keys for tests, with which the provider accepts every response. */
  readonly testKeys: readonly string[]
  /** Error codes that are about the response. All others are about the configuration or the service. */
  readonly refusals: ReadonlySet<string>
  /** Further parameters of the request. */
  readonly parameters?: Readonly<Record<string, string>>
  /** Checks further properties of a successful reply. */
  accepts?(reply: Readonly<Record<string, unknown>>, response: CaptchaResponse): boolean
}

const KEYS = ['secretKey', 'hostnames', 'sendIp', 'timeoutMs', 'fetch', 'url'] satisfies (keyof SiteVerifyOptions)[]
const DEFAULT_TIMEOUT_MS = 5000
const MAX_REPLY_BYTES = 65_536

/**
 * Creates a provider that asks a verification service: it sends a form with `secret` and `response`, and the service
 * replies with `success` and `error-codes`. Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`.
 */
export function createSiteVerifyProvider (given: SiteVerifyOptions, service: SiteVerifyService): CaptchaProvider {
  const { name, field } = service
  checkKnownKeys(`${name}.`, given, [...KEYS, ...service.options])
  const { secretKey, hostnames } = given
  checkSecretKey(name, secretKey, service.testKeys)
  checkOption(`${name}.hostnames`, hostnames ?? [''], isNames, 'must be a list of host names')
  const sendIp = checkBoolean(`${name}.sendIp`, given.sendIp, true)
  const url = parseHttpUrl(`${name}.url`, given.url ?? service.url).href
  const send = given.fetch ?? ((...args: Parameters<typeof fetch>) => globalThis.fetch(...args))
  checkOption(`${name}.fetch`, send, isFunction, 'must be a function such as the global fetch')

  async function ask ({ token, ip, signal }: CaptchaResponse): Promise<Record<string, unknown>> {
    const body = new URLSearchParams({
      secret: secretKey,
      response: token,
      ...(sendIp && ip !== null ? { remoteip: ip } : {}),
      ...service.parameters
    })
    const reply = await send(url, { method: 'POST', body, redirect: 'error', signal })
    if (reply.status >= 500) throw new DOMException(`status ${reply.status}`, 'NetworkError')
    const parsed: unknown = JSON.parse(await readBoundedText(reply, MAX_REPLY_BYTES))
    if (!isObject(parsed)) throw new DOMException('the reply is not an object', 'DataError')
    return parsed
  }

  return {
    name,
    field,
    timeoutMs: checkTimeLimit(`${name}.timeoutMs`, given.timeoutMs ?? DEFAULT_TIMEOUT_MS),
    open: () => ({
      async verify (response) {
        const reply = await ask(response)
        if (reply['success'] !== true) return refuseOrThrow(reply['error-codes'], service.refusals)
        const isOwnPage = hostnames === undefined || hostnames.includes(String(reply['hostname']))
        return isOwnPage && (service.accepts?.(reply, response) ?? true)
      }
    })
  }
}

/** Returns false if all error codes are about the response. Throws for other codes: the service could not check it. */
function refuseOrThrow (codes: unknown, refusals: ReadonlySet<string>): false {
  const list: unknown[] = Array.isArray(codes) ? codes : []
  const other = list.find((code) => !refusals.has(String(code)))
  if (list.length > 0 && other === undefined) return false
  throw Object.assign(new DOMException('the service could not check the response', 'OperationError'), {
    cause: { code: other }
  })
}

function checkSecretKey (name: string, secretKey: string, testKeys: readonly string[]): void {
  const isText = (value: unknown): boolean => typeof value === 'string' && value.trim() !== ''
  checkOption(`${name}.secretKey`, secretKey, isText, 'must be the secret key of the site')
  if (process.env.NODE_ENV === 'production' && testKeys.includes(secretKey)) {
    throw FST_USERS_INVALID_OPTION([`${name}.secretKey`, 'is a key for tests, which accepts every response'])
  }
}

function isNames (value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string')
}
