import {
  contextOf,
  FST_USERS_NOT_FOUND,
  hasErrorCode,
  type FeatureKit,
  type User,
  type UserId,
  type UsersHooks
} from '../../feature/index.js'
import { claimDeletion, hasClaim, postponeDeletion, recordDeletionBegin } from './claims.js'
import { deletionModel as model, type DeletionRow } from './model.js'

/** Time between two searches for accounts that are due, in milliseconds. */
const INTERVAL_MS = 10 * 60_000
/** Accounts that one search deletes at most, so that it does not load the database for long. */
const MAX_DELETED = 100
/** Time after which a refused deletion is tried again. The other accounts that are due come first. */
const RETRY_MS = 60 * 60_000
/**
 * Time after which a deletion begins, so that a process with a slower clock has completed an undo of the last moment.
 */
const GRACE_MS = 60_000

/** The regular deletion of accounts. */
export interface DueDeletions {
  /** Deletes the accounts whose delay is over. Returns their number. */
  run(): Promise<number>
  readonly hooks: Pick<UsersHooks, 'onBeforeDelete'>
  /** Records that the deletion of a user has begun, by the regular deletion or by others. */
  begin(user: User): Promise<void>
}

/** Starts to delete the accounts whose delay is over, regularly. */
export function startDueDeletions (kit: FeatureKit): DueDeletions {
  let isClosing = false
  /** The requests whose users are being deleted, by id. */
  const running = new Map<string, DeletionRow>()
  const run = (): Promise<number> => deleteDue(kit, running, () => isClosing)
  const timer = setInterval(() => {
    kit.background(run)
  }, INTERVAL_MS).unref()
  kit.scope.addHook('onReady', async () => {
    kit.background(run)
  })
  kit.scope.addHook('preClose', async () => {
    isClosing = true
    clearInterval(timer)
  })
  return {
    run,
    begin: (user) => recordDeletionBegin(kit, user, running.get(String(user.id))),
    hooks: {
      // It runs after the hooks of the application, which may take long. A deletion that was undone meanwhile stops.
      async onBeforeDelete ({ user }: { user: User }) {
        const claimed = running.get(String(user.id))
        if (claimed !== undefined && !(await hasClaim(kit, claimed))) throw FST_USERS_NOT_FOUND()
      }
    }
  }
}

async function deleteDue (
  kit: FeatureKit,
  running: Map<string, DeletionRow>,
  isStopped: () => boolean
): Promise<number> {
  const due = { due_at: { lt: new Date(kit.clock() - GRACE_MS) }, claimed_until: { lt: new Date(kit.clock()) } }
  const found = (await kit.store.findMany(model, due, { limit: MAX_DELETED, order: 'due_at' })) as DeletionRow[]
  let deleted = 0
  for (const row of found) {
    if (isStopped()) break
    const claimed = await claimDeletion(kit, row)
    if (claimed === null) continue
    running.set(claimed.id, claimed)
    try {
      if (await finishDeletion(kit, claimed)) deleted++
    } catch (error) {
      kit.log.error({ err: error }, 'fastify-users: an account that is due was not deleted')
      await postponeDeletion(kit, claimed, new Date(kit.clock() + RETRY_MS))
    } finally {
      running.delete(claimed.id)
    }
  }
  return deleted
}

/** Deletes the user of a request, then the request. A user who is active again is kept. */
async function finishDeletion (kit: FeatureKit, { id, token }: DeletionRow): Promise<boolean> {
  const { rows, store } = kit
  const userId = rows.parseId(id)
  const row = userId === null ? null : await rows.getRow(userId)
  const isDue = row !== null && !row.is_active
  if (isDue && !(await deleteDueUser(kit, row.id as UserId))) return false
  await store.delete(model, { id, token })
  if (isDue) await kit.fire('onAfterDeleteAccount', { user: rows.toUser(row) }, contextOf())
  return isDue
}

/** Deletes a user, who may have been deleted meanwhile. Returns false if the deletion was undone. */
async function deleteDueUser ({ rows, users }: FeatureKit, id: UserId): Promise<boolean> {
  try {
    await users.delete(id)
    return true
  } catch (error) {
    if (!hasErrorCode(error, 'FST_USERS_NOT_FOUND')) throw error
    return (await rows.getRow(id)) === null
  }
}
