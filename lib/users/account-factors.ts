import type { User, UserId } from '../contracts/user.js'
import type { CallContext, UsersApi } from '../contracts/users-api.js'
import { contextOf, currentRow, listSecondFactors, removeSecondFactors } from '../sessions/index.js'
import type { Rules } from './rules.js'

/** Creates the methods of `app.users` about second factors and trusted devices. */
export function createFactorMethods (
  rules: Rules
): Pick<UsersApi, 'secondFactors' | 'removeSecondFactors' | 'trustedDevices' | 'endTrustedDevices'> {
  return {
    secondFactors: async (user) => listSecondFactors(rules, await currentRow(rules, user)),

    async removeSecondFactors (user, context = {}) {
      return await removeSecondFactors(rules, await currentRow(rules, user), context)
    },

    async trustedDevices (user, call = {}) {
      const row = await currentRow(rules, user)
      return (await rules.trustedDevices?.list(row, contextOf(call).request)) ?? []
    },

    endTrustedDevices: (user, id, call = {}) => endTrustedDevices(rules, user, id, call)
  }
}

/** Ends the trust in browsers of a user, and reports it. */
async function endTrustedDevices (
  rules: Rules,
  given: User | UserId,
  id: string | undefined,
  call: CallContext
): Promise<number> {
  const row = await currentRow(rules, given)
  const ended = (await rules.trustedDevices?.end(row, id === undefined ? undefined : { id })) ?? 0
  if (ended > 0) {
    const user = rules.rows.toUser(row)
    rules.audit.emit({ event: 'device.untrust', user, details: { devices: ended } }, contextOf(call))
  }
  return ended
}
