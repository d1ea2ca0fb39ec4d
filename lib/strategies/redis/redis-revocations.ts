import { claimStorageNames } from '../../adapters/shared/claims.js'
import type { RevocationStoreDefinition } from '../../contracts/revocations.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { checkKnownKeys, checkOption } from '../../shared/option-checks.js'
import { tenantName } from '../../shared/tenant.js'
import { checkTimeLimit } from '../../shared/time-limit.js'
import { attachErrorListener, commandsOf, type RedisClient } from './client.js'
import { addCommandTimeouts } from './command-timeouts.js'

/** Options of `redisRevocations`. */
export interface RedisRevocationsOptions {
  /** A client of `ioredis`, or a connected client of `redis`; single or cluster. The application closes it. */
  client: RedisClient
  /** Prefix of every key. Default: `users_revoked:`, or `<name>_users_revoked:` if the option `name` is set. */
  keyPrefix?: string
  /** Time limit of one command in milliseconds. Default: 2000. */
  timeoutMs?: number
}

const DEFAULT_PREFIX = 'users_revoked:'

/**
 * Stores the revoked sessions of `jwtStrategy({ revocable })` in Redis until their tokens have expired. A guarded
 * request costs one GET, which runs at the same time as the read of the user. If Redis fails or is too slow, requests
 * fail with `FST_USERS_STORE_UNAVAILABLE`. Redis must not evict keys: a lost key makes its token valid again. Throws
 * `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 *
 * @example
 * jwtStrategy({ revocable: redisRevocations({ client: new Redis() }) })
 */
export function redisRevocations (options: RedisRevocationsOptions): RevocationStoreDefinition {
  checkKnownKeys('redisRevocations.', options, ['client', 'keyPrefix', 'timeoutMs'])
  const { client, keyPrefix, timeoutMs = 2000 } = options
  const commands = commandsOf(client)
  if (commands === null) {
    throw FST_USERS_INVALID_OPTION(['redisRevocations.client', 'must be a client of ioredis or of redis'])
  }
  if (keyPrefix !== undefined) {
    checkOption('redisRevocations.keyPrefix', keyPrefix, (value) => typeof value === 'string', 'must be a string')
  }
  const redis = addCommandTimeouts(commands, checkTimeLimit('redisRevocations.timeoutMs', timeoutMs))
  return {
    kind: 'revocations',
    setup (scope, { name }) {
      const prefix = keyPrefix ?? tenantName(name, DEFAULT_PREFIX)
      const release = claimStorageNames(client, 'redisRevocations.keyPrefix', [[`the key prefix "${prefix}"`, name]])
      const removeErrorListener = attachErrorListener(client)
      scope.addHook('onClose', async () => {
        removeErrorListener()
        release()
      })
      return {
        has: async (key) => (await redis.get(prefix + key)) !== null,
        async add (key, seconds) {
          await redis.set(prefix + key, '1', seconds)
        }
      }
    }
  }
}
