import { deleteExpired } from '../../adapters/shared/delete-expired.js'
import type { BackendDefaults } from '../../contracts/definition.js'
import type { DatabaseAdapter, MaybePromise, Row, Where } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { Strategy, StrategyDefinition, TokenSubject, UserReader } from '../../contracts/strategy.js'
import type { CachedReader, SessionRows } from '../../contracts/user-cache.js'
import type { UserId } from '../../contracts/user.js'
import { checkKnownKeys } from '../../shared/option-checks.js'
import { isCachedReader } from '../cached-reader.js'
import { defineStrategy } from '../define.js'
import { checkSessionLifetime } from '../lifetime.js'
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
 * Creates a strategy with opaque tokens of 43 characters, or 50 if several backends store tokens. The table
 * `accesstoken` stores their SHA-256 digests, so each session can be revoked separately. Token and user are read
 * together. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
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
        checkSessionLifetime('databaseStrategy.lifetimeSeconds', options.lifetimeSeconds, defaults.settings),
        defaults,
        () => isClosing
      )
    }
  })
  return { ...definition, models: ({ id }) => [accessTokenModel(id)], keepsSeconds: options.lifetimeSeconds }
}

function createDatabaseStrategy (
  lifetimeSeconds: number | null,
  { backend, settings, store, opaqueTokens, background }: BackendDefaults,
  isClosing: () => boolean
): Strategy {
  const { clock, name, schemas, tokensKeptSeconds, wire } = settings
  const { areDigests, toStored: storedForm } = wire.storedTokens
  const model = accessTokenModel(schemas.id)
  const stampPrefix = areDigests ? '' : PLAIN_STAMP_PREFIX
  const toStored = (token: string): string => storedForm(token, `${name}:${backend}`)
  const secondsAgo = (seconds: number): Date => new Date(clock() - seconds * 1000)
  const unexpired = (): Where => (lifetimeSeconds === null ? {} : { created_at: { gte: secondsAgo(lifetimeSeconds) } })
  const earliest = (): number | null => (lifetimeSeconds === null ? null : clock() - lifetimeSeconds * 1000)
  const sessions = createUserSessions(store, model)
  let purgedAt = 0

  /** Returns the subject of a stored token; null if it has expired, or if its stamp has another prefix. */
  function subjectOfRows (found: SessionRows | null): TokenSubject | null {
    // comparing here costs less than a second parameter of the statement, because the row has the time anyway
    if (found === null || !isSince(found.row['created_at'], earliest())) return null
    const { row, user } = found
    const stamp = readStamp(row, stampPrefix)
    return stamp === undefined ? null : { row: user, stamp, session: () => sessionOfRow(row) }
  }

  async function purge (): Promise<number> {
    if (tokensKeptSeconds === null) return 0
    return await deleteExpired(store, model, 'created_at', secondsAgo(tokensKeptSeconds), isClosing)
  }

  return {
    description: { lifetimeSeconds, keys: [] },
    purge,

    readToken (token, { users }) {
      if (!opaqueTokens.canBeOwn(token)) return null
      const found = findRows(store, model, toStored(token), users)
      return found instanceof Promise ? found.then(subjectOfRows) : subjectOfRows(found)
    },

    async writeToken (row, { stamp, session }) {
      const now = clock()
      if (now - purgedAt > PURGE_INTERVAL_MS) {
        purgedAt = now
        background(purge)
      }
      const token = opaqueTokens.generate()
      const stored = await store.create(model, {
        token: toStored(token),
        user_id: row.id,
        created_at: new Date(now),
        session_stamp: stampPrefix + stamp,
        ...rowOfSession(session)
      })
      return { token, lifetimeSeconds, session: sessionOfRow(stored) }
    },

    async destroyToken (token, user) {
      await store.delete(model, { token: toStored(token), user_id: user.id }) // with the user, whom the cache reports
    },

    async destroyAllTokens (user, { except } = {}) {
      if (except === undefined) await store.delete(model, { user_id: user.id })
      else await sessions.removeOthers(user, except)
    },

    destroySession: (user, id) => sessions.remove(user, id),
    listSessions: (user) => sessions.list(user, unexpired(), (token) => readStamp(token, stampPrefix))
  }
}

function isSince (time: unknown, earliest: number | null): boolean {
  return earliest === null || (time instanceof Date && time.getTime() >= earliest)
}

/** Reads the token and its user, in one round trip if the adapter can. */
function findRows (
  store: DatabaseAdapter,
  model: Model,
  token: string,
  users: UserReader | CachedReader
): MaybePromise<SessionRows | null> {
  if (isCachedReader(users)) return users.findSession(model, token)
  // the rows of the joined table have the fields of users
  if (store.findWithUser !== undefined) return store.findWithUser(model, { token }) as MaybePromise<SessionRows | null>
  return findRowsInTwoReads(store, model, token, users)
}

async function findRowsInTwoReads (
  store: DatabaseAdapter,
  model: Model,
  token: string,
  users: UserReader
): Promise<SessionRows | null> {
  const row = await store.findOne(model, { token })
  const user = row && (await users.getRow(row.user_id as UserId))
  return row && user && { row, user }
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
