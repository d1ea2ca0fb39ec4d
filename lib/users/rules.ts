import type { EventContext } from '../contracts/events.js'
import type { Removal } from '../contracts/feature-host.js'
import type { Backend } from '../contracts/backend.js'
import type { Settings } from '../contracts/settings.js'
import type { CallContext } from '../contracts/users-api.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import type { Background, HookRegistry } from '../hooks/index.js'
import type { PurposeTokens } from '../tokens/index.js'
import { FST_USERS_NOT_FOUND } from '../errors.js'
import type { UserRows } from './user-rows.js'
import type { UserCheck } from './validation.js'

/** The shared objects of one registration of the plugin. */
export interface Rules {
  readonly settings: Settings
  readonly rows: UserRows
  readonly check: UserCheck
  readonly hooks: HookRegistry
  readonly background: Background
  readonly tokens: PurposeTokens
  readonly backends: ReadonlyMap<string, Backend>
  /** Keys of the fingerprints in mailed tokens: the first creates, all check. */
  readonly fingerprintKeys: readonly [string, ...string[]]
  /** Functions of features that delete login methods of a user, such as provider accounts. */
  readonly removals: Removal[]
  /** Properties that features add to users in replies, by name in the read schema. */
  readonly additions: Map<string, (user: User) => Promise<unknown>>
}

/** Returns the event context of a call. */
export function contextOf ({ request = null, reply = null }: CallContext = {}): EventContext {
  return { request, reply } as EventContext // a request is one, whatever its server and logger types are
}

/**
 * Deletes the login methods that features store for a user: all, or those that did not prove `user.email`. Returns the
 * number of deleted ones.
 */
export async function removeAttached ({ removals }: Rules, user: User, which: Parameters<Removal>[1]): Promise<number> {
  let removed = 0
  for (const remove of removals) removed += await remove(user, which)
  return removed
}

/** Reads a user again. Throws `FST_USERS_NOT_FOUND` if it is deleted. */
export async function currentRow ({ rows }: Rules, user: User | UserId): Promise<UserRow> {
  const row = await rows.getRow(typeof user === 'object' ? (user.id as UserId) : user)
  if (row === null) throw FST_USERS_NOT_FOUND()
  return row
}
