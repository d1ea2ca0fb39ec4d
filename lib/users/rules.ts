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

/** What the rules work with. */
export interface Rules {
  readonly settings: Settings
  readonly rows: UserRows
  readonly check: UserCheck
  readonly hooks: HookRegistry
  readonly background: Background
  readonly tokens: PurposeTokens
  readonly backends: ReadonlyMap<string, Backend>
  /** Keys of the fingerprints in reset and verify tokens: the first makes, all check. */
  readonly fingerprintKeys: readonly [string, ...string[]]
  /** How features remove what else logs in as a user. */
  readonly removals: Removal[]
  /** What features add to a user in the replies of routes, by the property of the read schema. */
  readonly additions: Map<string, (user: User) => Promise<unknown>>
}

/** The event context of a call. */
export function contextOf ({ request = null, reply = null }: CallContext = {}): EventContext {
  return { request, reply } as EventContext // a request is one, whatever its server and logger types are
}

/**
 * Removes what features keep to log in as a user: all of it, or what did not vouch for `user.email`. Returns the number
 * removed.
 */
export async function removeAttached ({ removals }: Rules, user: User, which: Parameters<Removal>[1]): Promise<number> {
  let removed = 0
  for (const remove of removals) removed += await remove(user, which)
  return removed
}

/** The row as it is stored now. Throws `FST_USERS_NOT_FOUND`. */
export async function currentRow ({ rows }: Rules, user: User | UserId): Promise<UserRow> {
  const row = await rows.getRow(typeof user === 'object' ? (user.id as UserId) : user)
  if (row === null) throw FST_USERS_NOT_FOUND()
  return row
}
