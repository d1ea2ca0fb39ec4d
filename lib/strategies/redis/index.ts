import { claimStorageNames } from '../../adapters/shared/claims.js'
import { tenantName } from '../../shared/tenant.js'
import { checkTimeLimit } from '../../shared/time-limit.js'
import type { MaybePromise } from '../../contracts/database-adapter.js'
import type { BackendDefaults } from '../../contracts/definition.js'
import type { StoredSession, Strategy, StrategyDefinition, TokenSubject, UserReader } from '../../contracts/strategy.js'
import type { UserId, UserRow } from '../../contracts/user.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { checkKnownKeys } from '../../shared/option-checks.js'
import { isPromise } from '../../shared/values.js'
import { defineStrategy } from '../define.js'
import { checkSessionLifetime } from '../lifetime.js'
import { addNewest } from '../newest-sessions.js'
import { addCommandTimeouts } from './command-timeouts.js'
import { collectGets } from './collected-gets.js'
import { attachErrorListener, commandsOf, type RedisClient, type RedisCommands } from './client.js'
import { readPlain, readValue, type StoredToken, unknownSession, writeValue } from './stored-token.js'
import { createUserTokens, type NamedToken } from './user-tokens.js'

export type { IoredisClient, NodeRedisClient, RedisClient } from './client.js'

/** Options of `redisStrategy`. */
export interface RedisStrategyOptions {
  /** A client of `ioredis`, or a connected client of `redis`; single or cluster. The application closes it. */
  client: RedisClient
  /** Lifetime of a session in seconds, counted from login. Null: sessions never expire; needs `endlessTokens`. */
  lifetimeSeconds: number | null
  /**
   * Prefix of every key. Default: `fastapi_users_token:`, or `<name>_fastapi_users_token:` if the option `name` is set.
   * Two registrations with different names cannot share a prefix on one client.
   */
  keyPrefix?: string
  /** Time limit of one command in milliseconds. Default: 2000. */
  timeoutMs?: number
}

/** The prefix of FastAPI Users, so that existing keys are found. */
const DEFAULT_PREFIX = 'fastapi_users_token:'
const KEYS = ['client', 'lifetimeSeconds', 'keyPrefix', 'timeoutMs']

/**
 * Creates a strategy with opaque tokens of 43 characters, or 50 if several backends store tokens. Redis stores their
 * SHA-256 digests until they expire, so each session can be revoked separately. A guarded request costs one read in
 * Redis and one of the user; simultaneous requests share the former. Clusters work. Throws `FST_USERS_INVALID_OPTION`,
 * `FST_USERS_UNKNOWN_OPTION`. If Redis fails or is too slow, requests fail with `FST_USERS_STORE_UNAVAILABLE`.
 *
 * @example
 * redisStrategy({ client: new Redis(), lifetimeSeconds: 604_800 })
 */
export function redisStrategy (options: RedisStrategyOptions): StrategyDefinition {
  checkKnownKeys('redisStrategy.', options, KEYS)
  const { client, keyPrefix, lifetimeSeconds, timeoutMs = 2000 } = options
  const commands = commandsOf(client)
  if (commands === null) {
    throw FST_USERS_INVALID_OPTION(['redisStrategy.client', 'must be a client of ioredis or of redis'])
  }
  if (keyPrefix !== undefined && typeof keyPrefix !== 'string') {
    throw FST_USERS_INVALID_OPTION(['redisStrategy.keyPrefix', 'must be a string'])
  }
  const limited = addCommandTimeouts(commands, checkTimeLimit('redisStrategy.timeoutMs', timeoutMs))
  const redis = { ...limited, get: collectGets(limited) }
  return defineStrategy({
    name: 'redis',
    setup (scope, defaults) {
      const { settings } = defaults
      const prefix = keyPrefix ?? tenantName(settings.name, DEFAULT_PREFIX)
      const strategy = createRedisStrategy(
        redis,
        prefix,
        checkSessionLifetime('redisStrategy.lifetimeSeconds', lifetimeSeconds, settings),
        defaults
      )
      const release = claimStorageNames(client, 'redisStrategy.keyPrefix', [[`the key prefix "${prefix}"`, settings.name]])
      const removeErrorListener = attachErrorListener(client)
      scope.addHook('onClose', async () => {
        removeErrorListener()
        release()
      })
      return strategy
    }
  })
}

/**
 * Creates the strategy of one backend. Plain tokens are shared by all backends with the same prefix; digests and their
 * sets belong to one backend.
 */
function createRedisStrategy (
  redis: RedisCommands,
  keyPrefix: string,
  lifetimeSeconds: number | null,
  { backend, settings, opaqueTokens, reportUser, background }: BackendDefaults
): Strategy {
  const { clock, name, wire } = settings
  const { areDigests, toStored } = wire.storedTokens
  const label = `${name}:${backend}`
  const keyPartOf = (token: string): string => toStored(token, label)
  const setKeyOf = (id: UserId): string => `${keyPrefix}user:${areDigests ? `${label}:` : ''}${String(id)}`
  const tokens = createUserTokens(redis, keyPrefix, clock, background)
  const readStored = ({ value, keyPart }: NamedToken): StoredToken =>
    areDigests ? readValue(value, keyPart) : readPlain(value, keyPart)

  return {
    description: { lifetimeSeconds, keys: [] },

    readToken (token, { users }) {
      if (!opaqueTokens.canBeOwn(token)) return null
      const keyPart = keyPartOf(token)
      return redis
        .get(keyPrefix + keyPart)
        .then((value) => (value === null ? null : subjectOfStored(readStored({ value, keyPart }), users)))
    },

    async writeToken (row, { stamp, session }) {
      const token = opaqueTokens.generate()
      const keyPart = keyPartOf(token)
      // before the token is stored, so that `destroyAllTokens` finds every stored token
      await tokens.add(setKeyOf(row.id as UserId), keyPart, lifetimeSeconds)
      const value = areDigests ? writeValue(String(row.id), stamp, session) : String(row.id)
      await redis.set(keyPrefix + keyPart, value, lifetimeSeconds)
      return { token, lifetimeSeconds, session: areDigests ? session : unknownSession(keyPart) }
    },

    async destroyToken (token, { id }) {
      await tokens.remove(setKeyOf(id as UserId), keyPartOf(token))
      await reportUser(id as UserId)
    },
    destroyAllTokens: (user, { except } = {}) =>
      tokens.removeAll(
        setKeyOf(user.id as UserId),
        except === undefined ? undefined : (token) => readStored(token).session().id === except
      ),

    async destroySession (user, id) {
      const setKey = setKeyOf(user.id as UserId)
      const found: NamedToken[] = []
      for await (const batch of tokens.batches(setKey)) {
        found.push(...batch.filter((token) => readStored(token).session().id === id))
      }
      for (const { keyPart } of found) await tokens.remove(setKey, keyPart)
      if (found.length > 0) await reportUser(user.id as UserId)
      return found.length > 0
    },

    async listSessions (user) {
      let sessions: StoredSession[] = []
      for await (const batch of tokens.batches(setKeyOf(user.id as UserId))) {
        const stored = batch.map(readStored)
        sessions = addNewest(sessions, stored.map(({ stamp, session }) => ({ stamp, session: session() })))
      }
      return sessions
    }
  }
}

/** Returns the subject of a stored token; null without its user. Synchronous if the database is. */
function subjectOfStored (stored: StoredToken, users: UserReader): MaybePromise<TokenSubject | null> {
  const id = users.parseId(stored.id)
  const row = id === null ? null : users.getRow(id)
  return isPromise(row) ? row.then((found) => withUserRow(stored, found)) : withUserRow(stored, row)
}

function withUserRow ({ stamp, session }: StoredToken, row: UserRow | null): TokenSubject | null {
  return row === null ? null : { row, stamp, session }
}
