import type { EventContext, FeatureKit, RecoveryCodeSource, User, UserRow } from '../../feature/index.js'
import type { StoredCodes } from './codes.js'

/** The recovery codes of a registration, with the events of each change. */
export interface RecoveryCodes extends RecoveryCodeSource {
  /** Creates codes in place of those that the user has. Only the result contains them. */
  replace(user: User, context: EventContext): Promise<readonly string[]>
}

/** Creates the functions that change codes and report it. */
export function createRecoveryCodes (kit: FeatureKit, stored: StoredCodes): RecoveryCodes {
  async function reportCreated (user: User, isReplacement: boolean, context: EventContext): Promise<void> {
    await kit.fire('onAfterCreateRecoveryCodes', { user, isReplacement }, context)
    kit.audit.emit({ event: 'recovery_codes.create', user, details: { replaced: isReplacement } }, context)
  }
  const toUser = (given: User | UserRow): User =>
    'hashed_password' in given ? kit.rows.toUser(given as UserRow) : given
  // the factor that is being added may be stored already; codes that are older than the first one must not replace it
  const isFirstFactor = async (user: User | UserRow): Promise<boolean> =>
    (await kit.secondFactors.count(toUser(user))) <= 1

  return {
    async prepare (user) {
      const keeps = (await stored.state(user)).remaining > 0 && !(await isFirstFactor(user))
      return keeps ? null : stored.generate(user)
    },

    async store (user, digests, context) {
      try {
        const isAdded = await stored.add(user, digests)
        if (!isAdded && !(await isFirstFactor(user))) return false
        await reportCreated(toUser(user), isAdded ? false : await stored.replace(user, digests), context)
        return true
      } catch (error) {
        await stored.withdraw(user, digests).catch(() => {}) // the first error is the one to report
        throw error
      }
    },

    async replace (user, context) {
      const { codes, digests } = stored.generate(user)
      await reportCreated(user, await stored.replace(user, digests), context)
      return codes
    },

    remove: (user) => stored.remove(user as User), // only the id is read

    async use (given, code, context) {
      const remaining = await stored.use(given, code)
      if (remaining === null) return false
      const user = toUser(given)
      await kit.fire('onAfterUseRecoveryCode', { user, remaining }, context)
      kit.audit.emit({ event: 'recovery_codes.use', user, actor: user, details: { remaining } }, context)
      return true
    }
  }
}
