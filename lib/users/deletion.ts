import type { User, UserId, UserRow } from '../contracts/user.js'
import type { WriteContext } from '../contracts/users-api.js'
import { FST_USERS_NOT_FOUND } from '../errors.js'
import { contextOf, currentRow, deleteSecondFactors, deleteStoredTokens } from '../sessions/index.js'
import { generateStamp } from '../tokens/index.js'
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
  for (const begin of rules.beginDeletion) await begin(deleted)
  if (isSuperuser) await demoteUnlessLast(rules, row, () => closeAccount(rules, row), () => reopenAccount(rules, row))
  else await closeAccount(rules, row)
  await removeUser(rules, row)
  await hooks.run('onAfterDelete', { user: deleted }, context)
}

/**
 * Closes the account in one write: the user is inactive, no superuser, and without sessions. If the store fails later,
 * the account may have lost its second factors, but no login opens it, and the deletion can be repeated.
 */
async function closeAccount ({ rows }: Rules, { id, session_stamp: stamp }: UserRow): Promise<void> {
  const changes = { is_active: false, is_superuser: false }
  await rows.update({ id }, stamp === undefined ? changes : { ...changes, session_stamp: generateStamp() })
}

/** Opens the account of the last superuser again, of which nothing has been deleted. */
async function reopenAccount ({ rows }: Rules, { id }: UserRow): Promise<void> {
  await rows.update({ id }, { is_active: true, is_superuser: true })
}

/** Deletes what belongs to a closed account, and then its row: the id of a deleted row may be given to another user. */
async function removeUser (rules: Rules, row: UserRow): Promise<void> {
  const id = row.id as UserId
  await deleteStoredTokens(rules, row)
  await rules.undoTokens?.deleteOf({ userId: id })
  await rules.devices?.forget(row)
  await removeLoginMethods(rules, row, 'all')
  await deleteSecondFactors(rules, row)
  if ((await rules.rows.remove(id)) !== 1) throw FST_USERS_NOT_FOUND()
}
