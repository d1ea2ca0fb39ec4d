import { deleteExpired } from '../../adapters/shared/delete-expired.js'
import type { BackendDefaults } from '../../contracts/definition.js'
import type { DatabaseAdapter, Row, Where } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { Strategy, StrategyDefinition, TokenSubject, UserReader } from '../../contracts/strategy.js'
import type { CachedReader, SessionRows } from '../../contracts/user-cache.js'
import type { UserId, UserRow } from '../../contracts/user.js'
import { generateOpaqueToken, isOpaqueToken } from '../../tokens/index.js'
import { checkKnownKeys } from '../../shared/option-checks.js'
import { defineStrategy } from '../define.js'
import { checkLifetime } from '../lifetime.js'
import { accessTokenModel, PLAIN_STAMP_PREFIX, rowOfSession, sessionOfRow } from './access-token-model.js'
import { createUserSessions } from './user-sessions.js'

/** Options of `databaseStrategy`. */
export interface DatabaseStrategyOptions {
  /**
   * Lifetime of a session in seconds, counted from login. Null: sessions never expire; needs `endlessTokens`. A new
   * value also applies to existing sessions.
   */
  lifetimeSeconds: number | null
}

const PURGE_INTERVAL_MS = 3_600_000

/**
 * Creates a strategy with opaque tokens of 43 characters. The table `accesstoken` stores their SHA-256 digests, so each
 * session can be revoked separately. Token and user are read together. Throws `FST_USERS_INVALID_OPTION`,
 * `FST_USERS_UNKNOWN_OPTION`.
 *
 * @example
 * databaseStrategy({ lifetimeSeconds: 604_800 })
 */
export function databaseStrategy (options: DatabaseStrategyOptions): StrategyDefinition {
  checkKnownKeys('databaseStrategy.', options, ['lifetimeSeconds'])
  const definition = defineStrategy({
    name: 'database',
    setup (scope, defaults) {
      let isClosing = false
      scope.addHook('preClose', async () => {
        isClosing = true
      })
      return createDatabaseStrategy(
        checkLifetime('databaseStrategy.lifetimeSeconds', options.lifetimeSeconds, defaults.settings),
        defaults,
        () => isClosing
      )
    }
  })
  return { ...definition, models: ({ id }) => [accessTokenModel(id)], keepsSeconds: options.lifetimeSeconds }
}

function createDatabaseStrategy (
  lifetimeSeconds: number | null,
  { backend, settings, store, background }: BackendDefaults,
  isClosing: () => boolean
): Strategy {
  const { clock, name, schemas, tokensKeptSeconds, wire } = settings
  const { areDigests, toStored: storedForm } = wire.storedTokens
  const model = accessTokenModel(schemas.id)
  const label = `${name}:${backend}`
  const stampPrefix = areDigests ? '' : PLAIN_STAMP_PREFIX
  const toStored = (token: string): string => storedForm(token, label)
  const secondsAgo = (seconds: number): Date => new Date(clock() - seconds * 1000)
  const unexpired = (): Where => (lifetimeSeconds === null ? {} : { created_at: { gte: secondsAgo(lifetimeSeconds) } })
  const sessions = createUserSessions(store, model)
  let purgedAt = 0

  async function purge (): Promise<number> {
    if (tokensKeptSeconds === null) return 0
    return await deleteExpired(store, model, 'created_at', secondsAgo(tokensKeptSeconds), isClosing)
  }

  return {
    purge,

    readToken (token, { users }) {
      if (!isOpaqueToken(token)) return null
      const stored = toStored(token)
      const since = lifetimeSeconds === null ? null : secondsAgo(lifetimeSeconds)
      if (isCachedReader(users)) return findCachedSubject(users, model, stored, since, stampPrefix)
      const where: Where = since === null ? { token: stored } : { token: stored, created_at: { gte: since } }
      return findSubject(store, model, where, users, stampPrefix)
    },

    async writeToken (row, { stamp, session }) {
      const now = clock()
      if (now - purgedAt > PURGE_INTERVAL_MS) {
        purgedAt = now
        background(purge)
      }
      const token = generateOpaqueToken()
      const stored = await store.create(model, {
        token: toStored(token),
        user_id: row.id,
        created_at: new Date(now),
        session_stamp: stampPrefix + stamp,
        ...rowOfSession(session)
      })
      return { token, lifetimeSeconds, session: sessionOfRow(stored) }
    },

    async destroyToken (token) {
      await store.delete(model, { token: toStored(token) })
    },

    async destroyAllTokens (user, { except } = {}) {
      if (except === undefined) await store.delete(model, { user_id: user.id })
      else await sessions.removeOthers(user, except)
    },

    destroySession: (user, id) => sessions.remove(user, id),
    listSessions: (user) => sessions.list(user, unexpired(), (token) => readStamp(token, stampPrefix))
  }
}

/** Returns true if the session may come from the user cache. */
function isCachedReader (users: UserReader | CachedReader): users is CachedReader {
  return 'findSession' in users
}

/** Finds the token and its user through the user cache. A token that was created before `since` has expired. */
function findCachedSubject (
  users: CachedReader,
  model: Model,
  stored: string,
  since: Date | null,
  stampPrefix: string
): ReturnType<Strategy['readToken']> {
  const accept = (found: SessionRows | null): TokenSubject | null => {
    if (found === null || (since !== null && (found.row['created_at'] as Date) < since)) return null
    return toTokenSubject(found.user, found.row, stampPrefix)
  }
  const found = users.findSession(model, stored)
  return found instanceof Promise ? found.then(accept) : accept(found)
}

/** Reads the token and its user in one round trip if the adapter can. */
function findSubject (
  store: DatabaseAdapter,
  model: Model,
  where: Where,
  users: UserReader,
  stampPrefix: string
): ReturnType<Strategy['readToken']> {
  if (store.findWithUser === undefined) return findSubjectInTwoReads(store, model, where, users, stampPrefix)
  const found = store.findWithUser(model, where)
  return found instanceof Promise
    ? found.then((rows) => subjectOfRows(rows, stampPrefix))
    : subjectOfRows(found, stampPrefix)
}

function subjectOfRows (found: { row: Row; user: Row } | null, stampPrefix: string): TokenSubject | null {
  return found && toTokenSubject(found.user as unknown as UserRow, found.row, stampPrefix)
}

async function findSubjectInTwoReads (
  store: DatabaseAdapter,
  model: Model,
  where: Where,
  users: UserReader,
  stampPrefix: string
): Promise<TokenSubject | null> {
  const token = await store.findOne(model, where)
  const row = token && (await users.getRow(token.user_id as UserId))
  return row && token && toTokenSubject(row, token, stampPrefix)
}

/** Returns the subject of a stored token; null if its stamp has another prefix. */
function toTokenSubject (row: UserRow, token: Row, stampPrefix: string): TokenSubject | null {
  const stamp = readStamp(token, stampPrefix)
  return stamp === undefined ? null : { row, stamp, session: () => sessionOfRow(token) }
}

/**
 * Returns the stamp of a stored token. Returns null for a token without a stamp, which comes from an existing table and
 * is valid until it expires. Returns undefined if the stamp has another prefix, so that a leaked digest is not accepted
 * as a plain token.
 */
function readStamp ({ session_stamp: stamp }: Row, prefix: string): string | null | undefined {
  if (typeof stamp !== 'string') return null
  return stamp.startsWith(prefix) ? stamp.slice(prefix.length) : undefined
}
