import {
  contextOf,
  digestToken,
  FST_USERS_NOT_FOUND,
  generateOpaqueToken,
  hasErrorCode,
  isOpaqueToken,
  type CallContext,
  type EventContext,
  type FeatureKit,
  type User,
  type UserId,
  type UserRow
} from '../../feature/index.js'
import type { AccountApi } from './contracts.js'
import { FST_USERS_UNDO_DELETION_BAD_TOKEN } from './errors.js'
import { deletionModel as model, type DeletionRow } from './model.js'
import type { AccountSettings } from './options.js'

const digestOf = (token: string): string => digestToken(token, 'account-deletion')

/** Creates the functions that request and undo deletions. */
export function createDeletions (
  kit: FeatureKit,
  { delayMs }: AccountSettings
): Omit<AccountApi, 'deleteDue'> & { removeRequest(user: Pick<User, 'id'>): Promise<void> } {
  const { store, rows, clock, users, attempts } = kit
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
  async function deleteLater (row: UserRow, context: EventContext): Promise<Date> {
    const token = generateOpaqueToken()
    const id = String(row.id)
    const deletesAt = new Date(clock() + delayMs)
    await store.delete(model, { id })
    await store.create(model, { id, token: digestOf(token), due_at: deletesAt, claimed_until: new Date(0) })
    const user = await deactivate(kit, row, context)
    kit.audit.emit({ event: 'user.delete_request', user }, context)
    await kit.fire('onAfterRequestDeletion', { user, token, deletesAt }, context)
    return deletesAt
  }

  return {
    async delete (given, call = {}) {
      const row = await rows.getRow(typeof given === 'object' ? (given.id as UserId) : given)
      if (row === null) throw FST_USERS_NOT_FOUND()
      if (delayMs > 0) return await deleteLater(row, contextOf(call))
      await deleteNow(row, call)
      return null
    },

    async undoDeletion (token, call = {}) {
      const context = contextOf(call)
      await attempts.begin('account-undo-deletion', { context })
      const request = isOpaqueToken(token) ? await find({ token: digestOf(token) }) : null
      if (request === null || request.due_at.getTime() <= clock()) throw FST_USERS_UNDO_DELETION_BAD_TOKEN()
      return await restore(kit, request, context)
    },

    async cancelDeletion (given) {
      const request = await find({ id: String(typeof given === 'object' ? given.id : given) })
      if (request === null) return false
      await restore(kit, request, contextOf())
      return true
    },

    async removeRequest ({ id }) {
      await store.delete(model, { id: String(id) })
    }
  }
}

/** Deactivates a user. Without success, for example for the last superuser, the request is deleted. */
async function deactivate (kit: FeatureKit, row: UserRow, context: EventContext): Promise<User> {
  try {
    return await kit.users.update(kit.rows.toUser(row), { is_active: false }, { ...context, by: 'code' })
  } catch (error) {
    await kit.store.delete(model, { id: String(row.id) })
    throw error
  }
}

/**
 * Activates a user again, then deletes the request. If the process ends in between, the request has no effect, because
 * active users are not deleted. Of parallel calls, one fires the event.
 */
async function restore (kit: FeatureKit, { id, token }: DeletionRow, context: EventContext): Promise<User> {
  const userId = kit.rows.parseId(id)
  if (userId === null) throw FST_USERS_UNDO_DELETION_BAD_TOKEN()
  const user = await kit.users.update(userId, { is_active: true }, { ...context, by: 'code' }).catch((error: unknown) => {
    throw hasErrorCode(error, 'FST_USERS_NOT_FOUND') ? FST_USERS_UNDO_DELETION_BAD_TOKEN() : error
  })
  if ((await kit.store.delete(model, { id, token })) === 1) {
    kit.audit.emit({ event: 'user.delete_cancel', user }, context)
    await kit.fire('onAfterUndoDeletion', { user }, context)
  }
  return user
}
