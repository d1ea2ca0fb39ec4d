import { createHash } from 'node:crypto'
import type { BreachSource, PasswordContext } from '../contracts/password-policy.js'
import { failureWord, readBoundedText } from '../shared/bounded-body.js'
import { checkKnownKeys, checkOption, parseBaseUrl } from '../shared/option-checks.js'
import { checkTimeLimit, limitTime } from '../shared/time-limit.js'
import { isFunction } from '../shared/values.js'

/** Options of `pwnedPasswords`. */
export interface PwnedPasswordsOptions {
  /** URL to which the first five digits of the SHA-1 digest are appended. Default `https://api.pwnedpasswords.com/range`. */
  url?: string
  /** Time limit in milliseconds. Default 2000. */
  timeoutMs?: number
  /** Number of occurrences in breaches from which a password is refused. Default 1. */
  minimumCount?: number
  /** Function that sends the request, for example through a proxy. Default: the global `fetch`. */
  fetch?: typeof fetch
}

const KEYS = ['url', 'timeoutMs', 'minimumCount', 'fetch'] satisfies (keyof PwnedPasswordsOptions)[]
const DEFAULT_URL = 'https://api.pwnedpasswords.com/range'
const DEFAULT_TIMEOUT_MS = 2000
const PREFIX_LENGTH = 5
const MAX_REPLY_BYTES = 1_048_576 // a padded reply has about 40 kB

/**
 * Creates a source of breached passwords for `passwordPolicy({ breached })`: the range search of Have I Been Pwned
 * (https://haveibeenpwned.com/API/v3#PwnedPasswords), or a copy of its data. Only the first five digits of the SHA-1
 * digest leave the process, and the header `Add-Padding` hides the size of the reply. Throws
 * `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`.
 */
export function pwnedPasswords (options: PwnedPasswordsOptions = {}): BreachSource {
  checkKnownKeys('pwnedPasswords.', options, KEYS)
  const url = parseBaseUrl('pwnedPasswords.url', options.url ?? DEFAULT_URL)
  const isCount = (value: number): boolean => Number.isInteger(value) && value >= 1
  const minimumCount = checkOption(
    'pwnedPasswords.minimumCount', options.minimumCount ?? 1, isCount, 'must be a whole number of at least 1'
  )
  const send = options.fetch ?? ((...args: Parameters<typeof fetch>) => globalThis.fetch(...args))
  checkOption('pwnedPasswords.fetch', send, isFunction, 'must be a function such as the global fetch')

  return {
    timeoutMs: checkTimeLimit('pwnedPasswords.timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS),
    async isBreached (password, signal) {
      const digest = createHash('sha1').update(password).digest('hex').toUpperCase()
      const response = await send(`${url}/${digest.slice(0, PREFIX_LENGTH)}`, {
        headers: { 'add-padding': 'true', 'user-agent': 'fastify-users' },
        redirect: 'error',
        signal
      })
      if (response.status !== 200) throw new DOMException(`status ${response.status}`, 'NetworkError')
      return countOf(digest.slice(PREFIX_LENGTH), await readBoundedText(response, MAX_REPLY_BYTES)) >= minimumCount
    }
  }
}

/** Returns how often breaches contain the digest that ends in `suffix`. Lines of the padding have the count 0. */
function countOf (suffix: string, lines: string): number {
  const line = lines.split('\n').find((candidate) => candidate.slice(0, suffix.length).toUpperCase() === suffix)
  return line === undefined ? 0 : Number(line.slice(suffix.length + 1))
}

/**
 * Returns true if the source knows the password. If the source fails or exceeds its time limit, returns false and logs
 * one warning, which contains nothing of the password.
 */
export async function askBreachSource (
  source: BreachSource,
  password: string,
  { log }: PasswordContext
): Promise<boolean> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = source
  const controller = new AbortController()
  try {
    return await limitTime(
      () => source.isBreached(password, controller.signal),
      timeoutMs,
      () => new DOMException(`no answer within ${timeoutMs} ms`, 'TimeoutError')
    )
  } catch (error) {
    log?.warn(
      { reason: failureWord(error) },
      'fastify-users: the source of breached passwords failed, so a new password was not compared with it'
    )
    return false
  } finally {
    controller.abort()
  }
}
