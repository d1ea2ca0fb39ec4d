import type { User, UserId, UserRow } from '../contracts/user.js'
import type { WriteContext } from '../contracts/users-api.js'
import { FST_USERS_NOT_FOUND } from '../errors.js'
import { contextOf, currentRow, deleteSecondFactors, revokeSessions } from '../sessions/index.js'
import { removeLoginMethods } from './login-methods.js'
import type { Rules } from './rules.js'
import { demoteUnlessLast, isDemotion, requireOtherSuperuser } from './superusers.js'
import { authorOf, checkAuthor } from './user-changes.js'

/**
 * Deletes a user, after its sessions and login methods. Throws `FST_USERS_LAST_SUPERUSER` for the only active
 * superuser.
 */
export async function deleteUser (
  rules: Rules,
  user: User | UserId,
  { by = 'code', ...call }: WriteContext
): Promise<void> {
  const { rows, hooks } = rules
  const row = await currentRow(rules, user)
  const context = contextOf(call)
  const author = authorOf(row, by, context.request)
  const deleted = rows.toUser(row)
  const isSuperuser = isDemotion(row, { is_superuser: false })
  if (isSuperuser) await requireOtherSuperuser(rules, row)
  await hooks.run('onBeforeDelete', { user: deleted }, context)
  await checkAuthor(rules, author)
  if (isSuperuser) await removeSuperuser(rules, row)
  else await removeUser(rules, row)
  await hooks.run('onAfterDelete', { user: deleted }, context)
}

/**
 * All sessions end first, also those that the strategies do not store, and the second factors are deleted last: if the
 * store fails in between, the user is as well protected as before, and the deletion can be repeated.
 */
async function removeUser (rules: Rules, row: UserRow): Promise<void> {
  await revokeSessions(rules, row)
  await rules.undoTokens?.deleteOf({ userId: row.id as UserId })
  await rules.devices?.forget(row)
  await removeLoginMethods(rules, row, 'all')
  await deleteSecondFactors(rules, row)
  if ((await rules.rows.remove(row.id as UserId)) !== 1) throw FST_USERS_NOT_FOUND()
}

/**
 * Removes the superuser flag and then the user. If the user turns out to be the last superuser, the flag can be set
 * again; a deletion could not be undone.
 */
async function removeSuperuser (rules: Rules, row: UserRow): Promise<void> {
  const { id } = row
  const undo = (): Promise<number> => rules.rows.update({ id }, { is_superuser: true })
  await demoteUnlessLast(rules, row, () => rules.rows.update({ id }, { is_superuser: false }), undo)
  try {
    await removeUser(rules, row)
  } catch (error) {
    await undo().catch(() => {}) // the first error is the one to report
    throw error
  }
}
