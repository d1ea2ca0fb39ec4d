import type { TrustedDevice } from '../contracts/second-factors.js'
import type { User, UserId } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { contextOf, currentRow } from '../sessions/index.js'
import type { Rules } from './rules.js'

/** Returns the trusted browsers of a user. Throws `FST_USERS_NOT_FOUND`. */
export async function listTrustedDevices (
  rules: Rules,
  user: User | UserId,
  call: CallContext = {}
): Promise<readonly TrustedDevice[]> {
  const row = await currentRow(rules, user)
  return (await rules.trustedDevices?.list(row, contextOf(call).request)) ?? []
}

/** Ends the trust in browsers of a user, and reports it. Throws `FST_USERS_NOT_FOUND`. */
export async function endTrustedDevices (
  rules: Rules,
  given: User | UserId,
  id?: string,
  call: CallContext = {}
): Promise<number> {
  const row = await currentRow(rules, given)
  const ended = (await rules.trustedDevices?.end(row, id === undefined ? undefined : { id })) ?? 0
  if (ended > 0) {
    const user = rules.rows.toUser(row)
    rules.audit.emit({ event: 'device.untrust', user, details: { devices: ended } }, contextOf(call))
  }
  return ended
}
