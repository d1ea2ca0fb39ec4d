import { deleteExpired } from '../adapters/shared/delete-expired.js'
import type { DatabaseAdapter, Row } from '../contracts/database-adapter.js'
import type { Clock } from '../contracts/settings.js'
import type { SingleUse, SingleUseOptions, SingleUseProof } from '../contracts/single-use.js'
import { hasErrorCode } from '../errors.js'
import type { UserId } from '../contracts/user.js'
import { digestToken, generateOpaqueToken, isOpaqueToken, isSameSecret } from '../tokens/index.js'
import { singleUseModel as model } from './single-use-model.js'

/** The services that single-use values need. */
export interface SingleUseParts {
  readonly store: DatabaseAdapter
  readonly clock: Clock
  background(work: () => Promise<unknown>): void
}

/** Number of values that are read at once. */
const MAX_VALUES = 1000

/** Creates single-use values for a purpose. The digests of different purposes differ, so tokens cannot be mixed up. */
export function createSingleUse<T> (
  { store, clock, background }: SingleUseParts,
  purpose: string,
  { lifetimeSeconds, maxAttempts = Number.MAX_SAFE_INTEGER }: SingleUseOptions
): SingleUse<T> {
  const idOf = (token: string): string => digestToken(token, `single-use:${purpose}`)
  const purge = createPurge({ store, clock, background })
  const valueIn = (row: Row): T => row.data as T // the value that `create` stored

  async function find (token: string, proof: SingleUseProof): Promise<{ row: Row; isUsable: boolean } | null> {
    const row = typeof token === 'string' && isOpaqueToken(token) ? await store.findOne(model, { id: idOf(token) }) : null
    return row && { row, isUsable: (row.expires_at as Date).getTime() > clock() && isBoundTo(row, proof) }
  }

  async function take (token: string, proof: SingleUseProof): Promise<Row | null> {
    const found = await find(token, proof)
    if (found === null || (await store.delete(model, { id: idOf(token) })) !== 1) return null
    return found.isUsable ? found.row : null
  }

  return {
    async create (value, { userId = null, browser = null, lifetimeSeconds: seconds = lifetimeSeconds } = {}) {
      purge()
      const token = generateOpaqueToken()
      await store.create(model, {
        id: idOf(token),
        purpose,
        user_id: userId === null ? null : String(userId),
        browser,
        attempts: 0,
        data: value,
        expires_at: new Date(clock() + seconds * 1000)
      })
      return token
    },

    async consume (token, proof = {}) {
      const row = await take(token, proof)
      return row && valueIn(row)
    },

    async use (token, work, proof = {}) {
      const row = await take(token, proof)
      return row && (await runOrRestore(store, row, () => work(valueIn(row))))
    },

    async peek (token, proof = {}) {
      const found = await find(token, proof)
      return found?.isUsable === true ? valueIn(found.row) : null
    },

    async attempt (token, proof = {}) {
      const found = await find(token, proof)
      if (found?.isUsable !== true) return null
      const open = { id: idOf(token), attempts: { lt: maxAttempts } }
      const counted = await store.update(model, open, { attempts: { increment: 1 } })
      return counted === 1 ? valueIn(found.row) : null
    },

    ...createQueries<T>(store, clock, purpose)
  }
}

/**
 * Returns a function that returns true for the first call with an id, in all processes, and false for every other one.
 * The id is stored until it expires.
 */
export function createClaims (
  parts: SingleUseParts,
  purpose: string
): (id: string, expiresAt: Date) => Promise<boolean> {
  const purge = createPurge(parts)
  return async (id, expiresAt) => {
    purge()
    try {
      await parts.store.create(model, {
        id: digestToken(id, `single-use:${purpose}`),
        purpose,
        user_id: null,
        browser: null,
        attempts: 0,
        data: {},
        expires_at: expiresAt
      })
      return true
    } catch (error) {
      if (hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) return false
      throw error
    }
  }
}

function conditionOf (owner: { userId: UserId } | { browser: string }): Record<string, string> {
  return 'browser' in owner ? { browser: owner.browser } : { user_id: String(owner.userId) }
}

/** Returns a function that deletes expired values in the background, unless it is doing so already. */
function createPurge ({ store, clock, background }: SingleUseParts): () => void {
  let purging = false
  return () => {
    if (purging) return
    purging = true
    background(() =>
      deleteExpired(store, model, 'expires_at', new Date(clock())).finally(() => {
        purging = false
      })
    )
  }
}

/** Creates the functions that find values by their owner. */
function createQueries<T> (
  store: DatabaseAdapter,
  clock: Clock,
  purpose: string
): Pick<SingleUse<T>, 'hasOpen' | 'valuesOf' | 'deleteOf'> {
  const valueIn = (row: Row): T => row.data as T // the value that `create` stored

  return {
    async hasOpen (browser) {
      const open = { browser, purpose, expires_at: { gt: new Date(clock()) } }
      const [row] = await store.findMany(model, open, { limit: 1 })
      return row !== undefined
    },

    async valuesOf (userId) {
      const open = { user_id: String(userId), purpose, expires_at: { gt: new Date(clock()) } }
      return (await store.findMany(model, open, { limit: MAX_VALUES })).map(valueIn)
    },

    async deleteOf (owner, isSelected) {
      const owned = { ...conditionOf(owner), purpose }
      if (isSelected === undefined) return await store.delete(model, owned)
      const rows = await store.findMany(model, owned, { limit: MAX_VALUES })
      return await deleteEach(store, rows.filter((row) => isSelected(valueIn(row))))
    }
  }
}

/** Deletes rows and returns their number. */
async function deleteEach (store: DatabaseAdapter, rows: readonly Row[]): Promise<number> {
  let deleted = 0
  for (const { id } of rows) deleted += await store.delete(model, { id: id as string }) // the model's field
  return deleted
}

/** Runs `work`. If it throws, the row is stored again, and the error is thrown. */
async function runOrRestore<R> (store: DatabaseAdapter, row: Row, work: () => Promise<R>): Promise<R> {
  try {
    return await work()
  } catch (error) {
    try {
      await store.create(model, row)
    } catch {
      // the first error is the one to report
    }
    throw error
  }
}

/**
 * Returns true if the client presents the browser to which the value is bound, or no browser for a value without one.
 */
function isBoundTo ({ browser: wanted }: Row, { browser = null }: SingleUseProof): boolean {
  if (wanted === null) return browser === null
  return browser !== null && isSameSecret(wanted as string, browser)
}
