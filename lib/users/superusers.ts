import type { Changes } from '../contracts/database-adapter.js'
import type { UserRow } from '../contracts/user.js'
import { FST_USERS_LAST_SUPERUSER } from '../errors.js'
import type { Rules } from './rules.js'

/** Checks whether changes take the rights of an active superuser away. */
export function isDemotion (row: UserRow, { is_active: isActive, is_superuser: isSuperuser }: Changes): boolean {
  return row.is_active && row.is_superuser && (isActive === false || isSuperuser === false)
}

/** Throws `FST_USERS_LAST_SUPERUSER` if the user is the only active superuser. */
export async function requireOtherSuperuser ({ rows }: Rules, { id }: UserRow): Promise<void> {
  const found = await rows.activeSuperusers(2)
  if (!found.some((other) => String(other.id) !== String(id))) throw FST_USERS_LAST_SUPERUSER()
}

/**
 * Runs a change that removes an active superuser, unless it is the last one. Stores offer no transaction over several
 * rows, so the other superusers are counted before and after the change, and a change that left none is undone. Of two
 * parallel demotions of the last two superusers, at least one is refused. Only a process that ends between the change
 * and the second count can leave no superuser.
 */
export async function demoteUnlessLast<T> (
  rules: Rules,
  row: UserRow,
  change: () => Promise<T>,
  undo: () => Promise<unknown>
): Promise<T> {
  await requireOtherSuperuser(rules, row)
  const result = await change()
  try {
    await requireOtherSuperuser(rules, row)
  } catch (error) {
    await undo()
    throw error
  }
  return result
}
