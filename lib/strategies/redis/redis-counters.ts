import { claimStorageNames } from '../../adapters/shared/claims.js'
import { withStoreTimeout } from '../../adapters/shared/time-limit.js'
import type { CounterStoreDefinition } from '../../contracts/limits.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { checkKnownKeys, checkOption } from '../../shared/option-checks.js'
import { tenantName } from '../../shared/tenant.js'
import { checkTimeLimit } from '../../shared/time-limit.js'
import { attachErrorListener } from './client.js'

/** The method of an `ioredis` client that the counters call. */
export interface IoredisScripts {
  eval(script: string, keyCount: number, ...keysAndArguments: string[]): Promise<unknown>
}

/** The methods of a client of the package `redis` that the counters call. */
export interface NodeRedisScripts {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
  /** Distinguishes these clients from those of `ioredis`. */
  setEx(key: string, seconds: number, value: string): Promise<unknown>
}

/** Options of `redisCounters`. */
export interface RedisCountersOptions {
  /** A client of `ioredis`, or a connected client of `redis`; single or cluster. The application closes it. */
  client: IoredisScripts | NodeRedisScripts
  /** Prefix of every key. Default: `users_attempts:`, or `<name>_users_attempts:` if the option `name` is set. */
  keyPrefix?: string
  /** Time limit of one command in milliseconds. Default: 2000. */
  timeoutMs?: number
}

const DEFAULT_PREFIX = 'users_attempts:'

/**
 * Stores ARGV[2] under the key if the stored text is ARGV[1]; an empty text stands for none. Returns false if it was
 * stored, otherwise the text that is there. A script is atomic, and it names one key, so that it works on a cluster.
 */
const SWAP = `
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then return current end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
elseif ARGV[2] ~= current then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return false`

type Evaluate = (key: string, ...values: string[]) => Promise<unknown>

/**
 * Stores the counters of the option `limits` in Redis. Each change is one script. Redis deletes counters when their
 * time is over. If Redis fails or is too slow, attempts fail with `FST_USERS_STORE_UNAVAILABLE`. Throws
 * `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 *
 * @example
 * limits: { store: redisCounters({ client: new Redis() }) }
 */
export function redisCounters (options: RedisCountersOptions): CounterStoreDefinition {
  checkKnownKeys('redisCounters.', options, ['client', 'keyPrefix', 'timeoutMs'])
  const { client, keyPrefix, timeoutMs = 2000 } = options
  const evaluate = evaluateWith(client)
  if (keyPrefix !== undefined) {
    checkOption('redisCounters.keyPrefix', keyPrefix, (value) => typeof value === 'string', 'must be a string')
  }
  checkTimeLimit('redisCounters.timeoutMs', timeoutMs)
  return {
    kind: 'counters',
    setup (scope, { name }) {
      const prefix = keyPrefix ?? tenantName(name, DEFAULT_PREFIX)
      const release = claimStorageNames(client, 'redisCounters.keyPrefix', [[`the key prefix "${prefix}"`, name]])
      const removeErrorListener = attachErrorListener(client)
      scope.addHook('onClose', async () => {
        removeErrorListener()
        release()
      })
      return {
        async swap (key, expected, next, lifetimeMs) {
          const values = [expected ?? '', next ?? '', String(Math.max(1, lifetimeMs))]
          const current = await withStoreTimeout(() => evaluate(prefix + key, ...values), timeoutMs)
          if (current === null) return null
          return { current: String(current) === '' ? null : String(current) }
        }
      }
    }
  }
}

function evaluateWith (client: unknown): Evaluate {
  if (typeof client !== 'object' || client === null || typeof (client as IoredisScripts).eval !== 'function') {
    throw FST_USERS_INVALID_OPTION(['redisCounters.client', 'must be a client of ioredis or of redis'])
  }
  if ('setEx' in client) {
    const nodeRedis = client as NodeRedisScripts
    return (key, ...values) => nodeRedis.eval(SWAP, { keys: [key], arguments: values })
  }
  const ioredis = client as IoredisScripts
  return (key, ...values) => ioredis.eval(SWAP, 1, key, ...values)
}
