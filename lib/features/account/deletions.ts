import {
  contextOf,
  digestToken,
  FST_USERS_NOT_FOUND,
  FST_USERS_UNAUTHENTICATED,
  generateOpaqueToken,
  hasErrorCode,
  isOpaqueToken,
  type CallContext,
  type EventContext,
  type FeatureKit,
  type User,
  type UserId,
  type UserRow,
  type UsersHooks
} from '../../feature/index.js'
import { claimDeletion, isDeletionBegun, releaseClaim } from './claims.js'
import type { AccountApi } from './contracts.js'
import { FST_USERS_UNDO_DELETION_BAD_TOKEN } from './errors.js'
import { deletionModel as model, type DeletionRow } from './model.js'
import type { AccountSettings } from './options.js'
import { createOwnWrites, type OwnWrites } from './own-writes.js'

const undoDigestOf = (token: string): string => digestToken(token, 'account-deletion')
const userIdOf = (given: User | UserId): UserId => (typeof given === 'object' ? (given.id as UserId) : given)

/** The functions that request and undo deletions. */
export interface Deletions extends Omit<AccountApi, 'deleteDue' | 'cancelDeletion'> {
  /** Undoes the requested deletion of a user. Returns false if there is none, or if the deletion has begun. */
  cancel(user: User | UserId, context: EventContext): Promise<boolean>
  /**
   * Hooks that delete a request when code outside of this feature writes `is_active` or deletes the user. So an
   * inactive user with a request is inactive because of the request. The request is deleted before and after such a
   * write, because another request may arrive in between.
   */
  readonly hooks: UsersHooks
}

/** Creates the functions that request and undo deletions. */
export function createDeletions (kit: FeatureKit, { delayMs }: AccountSettings): Deletions {
  const { store, rows, clock, users, attempts } = kit
  const own = createOwnWrites(kit)
  const find = async (where: Partial<Pick<DeletionRow, 'id' | 'token'>>): Promise<DeletionRow | null> => {
    const [row = null] = await store.findMany(model, where as Record<string, string>, { limit: 1 })
    return row as DeletionRow | null // a row of the model
  }

  async function deleteNow (row: UserRow, call: CallContext): Promise<void> {
    const user = rows.toUser(row)
    await users.delete(user, { ...call, ...(call.request == null ? {} : { by: 'self' as const }) })
    await kit.fire('onAfterDeleteAccount', { user }, contextOf(call))
  }

  /**
   * Stores the request, then deactivates the user, which ends all sessions. If the process ends in between, the user
   * stays active, and the request has no effect.
   */
  async function deleteLater (id: UserId, context: EventContext): Promise<Date> {
    const token = generateOpaqueToken()
    const deletesAt = new Date(clock() + delayMs)
    const wasRequested = await storeRequest(kit, {
      id: String(id),
      token: undoDigestOf(token),
      due_at: deletesAt,
      claimed_until: new Date(0)
    })
    const user = await deactivate(kit, own, { id, wasRequested }, context).catch(async (error: unknown) => {
      if (!wasRequested) await removeRequest(kit, { id })
      throw error
    })
    kit.audit.emit({ event: 'user.delete_request', user }, context)
    await kit.fire('onAfterRequestDeletion', { user, token, deletesAt }, context)
    return deletesAt
  }

  return {
    async delete (given, call = {}) {
      const row = await rows.getRow(userIdOf(given))
      if (row === null) throw FST_USERS_NOT_FOUND()
      if (delayMs > 0) return await deleteLater(row.id as UserId, contextOf(call))
      await deleteNow(row, call)
      return null
    },

    async undoDeletion (token, call = {}) {
      const context = contextOf(call)
      await attempts.begin('account-undo-deletion', { context })
      const request = isOpaqueToken(token) ? await find({ token: undoDigestOf(token) }) : null
      if (request === null || request.due_at.getTime() <= clock()) throw FST_USERS_UNDO_DELETION_BAD_TOKEN()
      const user = await restore(kit, own, request, context)
      if (user === null) throw FST_USERS_UNDO_DELETION_BAD_TOKEN()
      return user
    },

    async cancel (given, context) {
      const request = await find({ id: String(userIdOf(given)) })
      return request !== null && (await restore(kit, own, request, context)) !== null
    },

    hooks: hooksOf(kit, own)
  }
}

function hooksOf (kit: FeatureKit, own: OwnWrites): UsersHooks {
  return {
    async onBeforeUpdate ({ user, changes }) {
      if (changes.is_active != null && !own.consumeEvent('onBeforeUpdate', user)) await removeRequest(kit, user)
    },
    async onAfterUpdate ({ user, changes }) {
      if (changes.is_active != null && !own.consumeEvent('onAfterUpdate', user)) await removeRequest(kit, user)
    },
    // after the deletion: a request must survive a process that is killed before it
    onAfterDelete: ({ user }) => removeRequest(kit, user)
  }
}

async function removeRequest ({ store }: FeatureKit, { id }: Pick<User, 'id'>): Promise<void> {
  await store.delete(model, { id: String(id) })
}

/** Stores a request. Returns true if it replaces another one. */
async function storeRequest ({ store }: FeatureKit, row: DeletionRow): Promise<boolean> {
  const { id, token, due_at, claimed_until } = row
  const values = { token, due_at, claimed_until }
  if ((await store.update(model, { id }, values)) === 1) return true
  try {
    await store.create(model, row)
    return false
  } catch (error) {
    // of parallel requests, the last one counts
    if (hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) return (await store.update(model, { id }, values)) === 1
    throw error
  }
}

/**
 * Deactivates a user whose request is stored. The user is read after that, because a later deactivation by others
 * deletes the request. A user who is inactive for another reason is refused, because an undo would activate the user.
 */
async function deactivate (
  { rows }: FeatureKit,
  own: OwnWrites,
  { id, wasRequested }: { id: UserId; wasRequested: boolean },
  context: EventContext
): Promise<User> {
  const row = await rows.getRow(id)
  if (row?.is_active === true) return await own.setActive(id, false, context)
  if (row !== null && wasRequested) return rows.toUser(row)
  throw context.request === null ? FST_USERS_NOT_FOUND() : FST_USERS_UNAUTHENTICATED()
}

/**
 * Activates a user again, then deletes the request. Returns null without effect if the request no longer exists, or if
 * another call or process works on it. If the process ends in between, the request has no effect, because active users
 * are not deleted.
 */
async function restore (
  kit: FeatureKit,
  own: OwnWrites,
  request: DeletionRow,
  context: EventContext
): Promise<User | null> {
  const { store, rows } = kit
  const userId = rows.parseId(request.id)
  const claimed = userId === null || isDeletionBegun(request) ? null : await claimDeletion(kit, request)
  if (userId === null || claimed === null) return null
  let user: User
  try {
    user = await own.setActive(userId, true, context)
  } catch (error) {
    if (hasErrorCode(error, 'FST_USERS_NOT_FOUND')) return null
    await releaseClaim(kit, claimed).catch(() => {}) // the first error is the one to report
    throw error
  }
  const { id, token, due_at: dueAt } = claimed
  if ((await store.delete(model, { id, token, due_at: dueAt })) !== 1) {
    // others have blocked or deleted the user meanwhile: their write of is_active may have come before this one
    await own.setActive(userId, false, context)
    return null
  }
  kit.audit.emit({ event: 'user.delete_cancel', user }, context)
  await kit.fire('onAfterUndoDeletion', { user }, context)
  return user
}
