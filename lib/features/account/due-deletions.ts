import { contextOf, hasErrorCode, type FeatureKit, type UserId } from '../../feature/index.js'
import { deletionModel as model, type DeletionRow } from './model.js'

/** Time between two searches for accounts that are due, in milliseconds. */
const INTERVAL_MS = 10 * 60_000
/** Accounts that one search deletes at most, so that it does not load the database for long. */
const MAX_DELETED = 100
/** Time for which one process works on a deletion. If it is killed, another one continues after that. */
const CLAIM_MS = 5 * 60_000
/** A deletion begins this late, so that an undo at the last moment in a process with a slower clock is complete. */
const GRACE_MS = 60_000

/** Returns a function that deletes the accounts whose delay is over, and starts to call it regularly. */
export function startDueDeletions (kit: FeatureKit): () => Promise<number> {
  let isClosing = false
  const search = (): Promise<number> => deleteDue(kit, () => isClosing)
  const timer = setInterval(() => {
    kit.background(search)
  }, INTERVAL_MS).unref()
  kit.scope.addHook('onReady', async () => {
    kit.background(search)
  })
  kit.scope.addHook('preClose', async () => {
    isClosing = true
    clearInterval(timer)
  })
  return search
}

async function deleteDue (kit: FeatureKit, isStopped: () => boolean): Promise<number> {
  const due = { due_at: { lt: new Date(kit.clock() - GRACE_MS) }, claimed_until: { lt: new Date(kit.clock()) } }
  const found = (await kit.store.findMany(model, due, { limit: MAX_DELETED, order: 'due_at' })) as DeletionRow[]
  let deleted = 0
  for (const row of found) {
    if (isStopped()) break
    try {
      if ((await claim(kit, row)) && (await finish(kit, row))) deleted++
    } catch (error) {
      // the row stays, and the next search after the end of the claim tries again
      kit.log.error({ err: error }, 'fastify-users: an account that is due was not deleted')
    }
  }
  return deleted
}

/** Reserves a deletion. Of several processes, one returns true. */
async function claim ({ store, clock }: FeatureKit, { id }: DeletionRow): Promise<boolean> {
  const now = clock()
  const open = { id, claimed_until: { lt: new Date(now) } }
  return (await store.update(model, open, { claimed_until: new Date(now + CLAIM_MS) })) === 1
}

/** Deletes the user of a request, then the request. A user who is active again is kept. */
async function finish (kit: FeatureKit, { id }: DeletionRow): Promise<boolean> {
  const { rows, store, users } = kit
  const userId = rows.parseId(id)
  const row = userId === null ? null : await rows.getRow(userId)
  const isDue = row !== null && !row.is_active
  if (isDue) await users.delete(row.id as UserId).catch(ignoreMissing)
  await store.delete(model, { id })
  if (isDue) await kit.fire('onAfterDeleteAccount', { user: rows.toUser(row) }, contextOf())
  return isDue
}

/** The user may have been deleted meanwhile. */
function ignoreMissing (error: unknown): void {
  if (!hasErrorCode(error, 'FST_USERS_NOT_FOUND')) throw error
}
