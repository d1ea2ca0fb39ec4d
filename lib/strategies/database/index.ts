import { deleteExpired } from '../../adapters/shared/delete-expired.js'
import type { BackendDefaults } from '../../contracts/definition.js'
import type { DatabaseAdapter, Row, Where } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { Strategy, StrategyDefinition, TokenSubject, UserReader } from '../../contracts/strategy.js'
import type { UserId, UserRow } from '../../contracts/user.js'
import { digestToken, generateOpaqueToken, isOpaqueToken } from '../../tokens/index.js'
import { refuseUnknown } from '../../validation/options.js'
import { defineStrategy } from '../define.js'
import { checkLifetime } from '../lifetime.js'
import { accessTokenModel, PLAIN_MARK } from './access-token-model.js'

/** Options of `databaseStrategy`. */
export interface DatabaseStrategyOptions {
  /**
   * Seconds that a session lives, counted from login; null for ever (needs `endlessTokens`). Applies to existing
   * sessions too.
   */
  lifetimeSeconds: number | null
}

const PURGE_EVERY_MS = 3_600_000

/**
 * Opaque tokens of 43 characters, stored as SHA-256 in the table `accesstoken`: each can be ended on its own. Token and
 * user are read together. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 */
export function databaseStrategy (options: DatabaseStrategyOptions): StrategyDefinition {
  refuseUnknown('databaseStrategy.', options, ['lifetimeSeconds'])
  const definition = defineStrategy({
    name: 'database',
    setup (scope, defaults) {
      let isClosing = false
      scope.addHook('preClose', async () => {
        isClosing = true
      })
      return createStrategy(
        checkLifetime('databaseStrategy.lifetimeSeconds', options.lifetimeSeconds, defaults.settings),
        defaults,
        () => isClosing
      )
    }
  })
  return { ...definition, keepsSeconds: options.lifetimeSeconds }
}

function createStrategy (
  lifetimeSeconds: number | null,
  { backend, settings, store, background }: BackendDefaults,
  isClosing: () => boolean
): Strategy {
  const { clock, name, schemas, tokenStorage, tokensKeptSeconds } = settings
  const model = accessTokenModel(schemas.id)
  store.define(model)
  const label = `${name}:${backend}`
  const mark = tokenStorage === 'plain' ? PLAIN_MARK : ''
  const stored = (token: string): string => (tokenStorage === 'plain' ? token : digestToken(token, label))
  const oldest = (): Date => new Date(clock() - Number(lifetimeSeconds) * 1000) // asked only where sessions end
  let purgedAt = 0

  async function purge (): Promise<number> {
    if (tokensKeptSeconds === null) return 0
    return await deleteExpired(store, model, 'created_at', new Date(clock() - tokensKeptSeconds * 1000), isClosing)
  }

  return {
    purge,

    readToken (token, { users }) {
      if (!isOpaqueToken(token)) return null
      const where: Where =
        lifetimeSeconds === null ? { token: stored(token) } : { token: stored(token), created_at: { gte: oldest() } }
      return findSubject(store, model, where, users, mark)
    },

    async writeToken (row, { stamp }) {
      const now = clock()
      if (now - purgedAt > PURGE_EVERY_MS) {
        purgedAt = now
        background(purge)
      }
      const token = generateOpaqueToken()
      await store.create(model, {
        token: stored(token),
        user_id: row.id,
        created_at: new Date(now),
        session_stamp: mark + stamp
      })
      return { token, lifetimeSeconds }
    },

    async destroyToken (token) {
      await store.delete(model, { token: stored(token) })
    },
    async destroyAllTokens ({ id }) {
      await store.delete(model, { user_id: id })
    }
  }
}

/** Token and user in one round trip where the adapter can. */
function findSubject (
  store: DatabaseAdapter,
  model: Model,
  where: Where,
  users: UserReader,
  mark: string
): ReturnType<Strategy['readToken']> {
  if (store.findWithUser === undefined) return findInTwo(store, model, where, users, mark)
  const found = store.findWithUser(model, where)
  return found instanceof Promise ? found.then((both) => subjectOf(both, mark)) : subjectOf(found, mark)
}

function subjectOf (found: { row: Row; user: Row } | null, mark: string): TokenSubject | null {
  return found && subject(found.user as unknown as UserRow, found.row, mark)
}

async function findInTwo (
  store: DatabaseAdapter,
  model: Model,
  where: Where,
  users: UserReader,
  mark: string
): Promise<TokenSubject | null> {
  const token = await store.findOne(model, where)
  const row = token && (await users.getRow(token.user_id as UserId))
  return row && token && subject(row, token, mark)
}

/**
 * A token that an adopted table stored without a stamp is good as long as it is there. A stored digest is no plain
 * token.
 */
function subject (row: UserRow, { session_stamp: stamp }: Row, mark: string): TokenSubject | null {
  if (typeof stamp !== 'string') return { row }
  return stamp.startsWith(mark) ? { row, stamp: stamp.slice(mark.length) } : null
}
