import type { CacheSettings } from '../contracts/settings.js'
import type { UserCacheOptions } from '../contracts/user-cache.js'
import { checkKnownKeys, checkOption } from '../shared/option-checks.js'
import { isFunction, isObject } from '../shared/values.js'

const DEFAULT_AGE_MS = 5000
/** Largest value of `maxAgeMs`. A change that is not reported must apply soon. */
const MAX_AGE_MS = 60_000
const DEFAULT_MAX = 10_000
const MAX_ENTRIES = 1_000_000

/**
 * Returns the settings of the user cache; null if it is off. Throws `FST_USERS_INVALID_OPTION`,
 * `FST_USERS_UNKNOWN_OPTION`.
 */
export function readCacheOptions (given: UserCacheOptions | undefined): CacheSettings | null {
  if (given === undefined) return null
  checkKnownKeys('cache.', given, ['maxAgeMs', 'max', 'channel'])
  const { maxAgeMs = DEFAULT_AGE_MS, max = DEFAULT_MAX, channel } = given
  if (channel !== undefined) {
    checkOption('cache.channel', channel, isChannel, 'must be redisChannel(client), postgresChannel(pool) or an object with publish and subscribe')
  }
  return {
    maxAgeMs: checkWholeNumber('cache.maxAgeMs', maxAgeMs, MAX_AGE_MS),
    max: checkWholeNumber('cache.max', max, MAX_ENTRIES),
    channel: channel ?? null
  }
}

function checkWholeNumber (option: string, value: number, max: number): number {
  const isValid = (given: number): boolean => Number.isInteger(given) && given >= 1 && given <= max
  return checkOption(option, value, isValid, `must be a whole number from 1 to ${max}`)
}

function isChannel (channel: unknown): boolean {
  return isObject(channel) && isFunction(channel['publish']) && isFunction(channel['subscribe'])
}
