import { contextOf, SECOND_FACTOR_GROUP, type FeatureKit, type LoginStep } from '../../feature/index.js'
import type { StoredCodes } from './codes.js'
import { FST_USERS_RECOVERY_CODE_INVALID } from './errors.js'
import { RecoveryCodeAnswer } from './schemas.js'
import type { RecoveryCodes } from './source.js'

/** Name of the login step, and of the method in `session.methods`. */
export const STEP = 'recovery-code'

/** Returns the login step that a recovery code answers, in place of a second factor. */
export function recoveryCodeStep (
  kit: FeatureKit,
  stored: StoredCodes,
  codes: RecoveryCodes
): LoginStep<typeof RecoveryCodeAnswer> {
  return {
    name: STEP,
    group: SECOND_FACTOR_GROUP,
    summary: 'Complete a login with a recovery code',
    needed: async (attempt) =>
      (await kit.secondFactors.isNeeded(attempt)) && (await stored.state(attempt.user)).remaining > 0,
    body: RecoveryCodeAnswer,
    errors: ['RECOVERY_CODE_INVALID'],
    async verify ({ user, request, reply }, { code }) {
      if (!(await codes.use(user, code, contextOf({ request, reply })))) throw FST_USERS_RECOVERY_CODE_INVALID()
      return { methods: [STEP] }
    }
  }
}
