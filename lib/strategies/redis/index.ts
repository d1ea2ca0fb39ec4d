import { claimStorageNames } from '../../adapters/shared/claims.js'
import { tenantName } from '../../adapters/shared/tenant.js'
import { checkTimeLimit } from '../../adapters/shared/time-limit.js'
import type { BackendDefaults } from '../../contracts/definition.js'
import type { Strategy, StrategyDefinition, TokenSubject, UserReader } from '../../contracts/strategy.js'
import type { UserId } from '../../contracts/user.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { digestToken, generateOpaqueToken, isOpaqueToken } from '../../tokens/index.js'
import { refuseUnknown } from '../../validation/options.js'
import { defineStrategy } from '../define.js'
import { checkLifetime } from '../lifetime.js'
import { boundedCommands } from './bounded.js'
import { commandsOf, hearErrors, type RedisClient, type RedisCommands } from './client.js'
import { createUserTokens } from './user-tokens.js'

export type { IoredisClient, NodeRedisClient, RedisClient } from './client.js'

/** Options of `redisStrategy`. */
export interface RedisStrategyOptions {
  /** A client of `ioredis` or of `redis` (connected), single or cluster. Yours to close. */
  client: RedisClient
  /** Seconds that a session lives, counted from login by Redis; null for ever (needs `endlessTokens`). */
  lifetimeSeconds: number | null
  /**
   * Begins every key (default `fastapi_users_token:`, or `<name>_fastapi_users_token:` for users with a `name` of their
   * own).
   * Two registrations with different names cannot use one prefix of one client.
   */
  keyPrefix?: string
  /** Milliseconds that one command may take (default 2000). */
  timeoutMs?: number
}

/** The prefix that FastAPI Users has. */
const DEFAULT_PREFIX = 'fastapi_users_token:'
const KEYS = ['client', 'lifetimeSeconds', 'keyPrefix', 'timeoutMs']

/**
 * Opaque tokens of 43 characters, stored in Redis under their SHA-256 until they end: each can be ended on its own. A
 * guarded request costs one GET and the user's row. Every command names one key, for clusters. Throws
 * `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`; a Redis that fails or is late is
 * `FST_USERS_STORE_UNAVAILABLE`.
 */
export function redisStrategy (options: RedisStrategyOptions): StrategyDefinition {
  refuseUnknown('redisStrategy.', options, KEYS)
  const { client, keyPrefix, lifetimeSeconds, timeoutMs = 2000 } = options
  const commands = commandsOf(client)
  if (commands === null) {
    throw FST_USERS_INVALID_OPTION(['redisStrategy.client', 'must be a client of ioredis or of redis'])
  }
  if (keyPrefix !== undefined && typeof keyPrefix !== 'string') {
    throw FST_USERS_INVALID_OPTION(['redisStrategy.keyPrefix', 'must be text'])
  }
  const redis = boundedCommands(commands, checkTimeLimit('redisStrategy.timeoutMs', timeoutMs))
  return defineStrategy({
    name: 'redis',
    setup (scope, defaults) {
      const { settings } = defaults
      const prefix = keyPrefix ?? tenantName(settings.name, DEFAULT_PREFIX)
      const strategy = createStrategy(
        redis,
        prefix,
        checkLifetime('redisStrategy.lifetimeSeconds', lifetimeSeconds, settings),
        defaults
      )
      const release = claimStorageNames(client, 'redisStrategy.keyPrefix', [[`the key prefix "${prefix}"`, settings.name]])
      const stopHearing = hearErrors(client)
      scope.addHook('onClose', async () => {
        stopHearing()
        release()
      })
      return strategy
    }
  })
}

/** Plain tokens are those of whoever uses the prefix; digests are of one backend, and so are its sets. */
function createStrategy (
  redis: RedisCommands,
  keyPrefix: string,
  lifetimeSeconds: number | null,
  { backend, settings, background }: BackendDefaults
): Strategy {
  const { clock, name, tokenStorage } = settings
  const plain = tokenStorage === 'plain'
  const label = `${name}:${backend}`
  const keyPartOf = (token: string): string => (plain ? token : digestToken(token, label))
  const setKeyOf = (id: UserId): string => `${keyPrefix}user:${plain ? '' : `${label}:`}${String(id)}`
  const tokens = createUserTokens(redis, keyPrefix, clock, background)

  return {
    async readToken (token, { users }) {
      if (!isOpaqueToken(token)) return null
      const value = await redis.get(keyPrefix + keyPartOf(token))
      return value === null ? null : await subjectOf(plain ? { id: value } : readValue(value), users)
    },

    async writeToken (row, { stamp }) {
      const token = generateOpaqueToken()
      const keyPart = keyPartOf(token)
      // first, so that no token is ever outside its set
      await tokens.add(setKeyOf(row.id as UserId), keyPart, lifetimeSeconds)
      await redis.set(keyPrefix + keyPart, plain ? String(row.id) : writeValue(String(row.id), stamp), lifetimeSeconds)
      return { token, lifetimeSeconds }
    },

    destroyToken: (token, user) => tokens.remove(setKeyOf(user.id as UserId), keyPartOf(token)),
    destroyAllTokens: (user) => tokens.removeAll(setKeyOf(user.id as UserId))
  }
}

/** What a stored token says; a plain one carries no stamp. */
interface StoredToken {
  id: string
  stamp?: string
}

/** The stamp has no colon; an id may have. */
function writeValue (id: string, stamp: string): string {
  return `${stamp}:${id}`
}

function readValue (value: string): StoredToken {
  const end = value.indexOf(':')
  return { stamp: value.slice(0, Math.max(end, 0)), id: value.slice(end + 1) } // without a stamp, none that fits
}

async function subjectOf ({ id: text, ...stamp }: StoredToken, users: UserReader): Promise<TokenSubject | null> {
  const id = users.parseId(text)
  const row = id === null ? null : await users.getRow(id)
  return row === null ? null : { row, ...stamp }
}
