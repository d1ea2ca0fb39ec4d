import {
  contextOf,
  FST_USERS_LOGIN_USER_NOT_VERIFIED,
  recoveryCodesOf,
  SECOND_FACTOR_GROUP,
  type FeatureKit,
  type JsonValue,
  type LoginAttempt,
  type LoginProof,
  type LoginStep
} from '../../feature/index.js'
import type { Authenticators } from './authenticator.js'
import { FST_USERS_TOTP_CODE_INVALID } from './errors.js'
import type { OneTimePasswords } from './one-time-password.js'
import { TotpAnswer } from './schemas.js'

/** Names of the login steps. */
export const STEPS = ['totp', 'totp-enrol'] as const
/** Name of the factor for the user and in audit events. */
export const FACTOR = 'totp'
/** Name in `session.methods`. */
const METHOD = 'otp'

/** The values that the server keeps during an enrolment. */
interface KeptEnrolment {
  readonly sealed: string
  /**
   * Digests of the recovery codes to store with the secret; null if the user keeps earlier ones, and without
   * `recoveryCodes()`.
   */
  readonly digests: readonly string[] | null
}

/** Returns the login step that a code answers. */
export function codeStep (kit: FeatureKit, authenticators: Authenticators): LoginStep<typeof TotpAnswer> {
  return {
    name: STEPS[0],
    group: SECOND_FACTOR_GROUP,
    summary: 'Complete a login with a code of an authenticator app',
    needed: async (attempt) =>
      (await kit.secondFactors.isNeeded(attempt)) && (await authenticators.find(attempt.user)) !== null,
    body: TotpAnswer,
    errors: ['TOTP_CODE_INVALID'],
    async verify ({ user }, { code }) {
      const row = await authenticators.find(user)
      if (row === null || !(await authenticators.accept(row, code))) throw FST_USERS_TOTP_CODE_INVALID()
      return { methods: [METHOD] }
    }
  }
}

/** Returns the login step in which a user adds an authenticator app, because the login requires a second factor. */
export function enrolmentStep (
  kit: FeatureKit,
  authenticators: Authenticators,
  passwords: OneTimePasswords
): LoginStep<typeof TotpAnswer> {
  return {
    name: STEPS[1],
    group: SECOND_FACTOR_GROUP,
    loginOnly: true,
    summary: 'Add an authenticator app during a login',
    lifetimeSeconds: 600,
    async needed (attempt) {
      if (!(await kit.secondFactors.mustEnrol(attempt))) return false
      // another person may have registered this e-mail
      if (!attempt.user.is_verified) throw FST_USERS_LOGIN_USER_NOT_VERIFIED()
      return true
    },
    async challenge ({ user }) {
      const { secret, sealed } = authenticators.createSecret(user)
      const prepared = (await recoveryCodesOf(kit)?.prepare(user)) ?? null
      const keep = { sealed, digests: prepared?.digests ?? null }
      const codes = prepared === null ? {} : { recovery_codes: prepared.codes }
      return { send: { ...passwords.describe(secret, user.email), ...codes }, keep }
    },
    body: TotpAnswer,
    errors: ['TOTP_CODE_INVALID', 'TOTP_ALREADY_ACTIVE'],
    verify: (attempt, { code }, kept) => enrol(kit, authenticators, attempt, code, kept)
  }
}

async function enrol (
  kit: FeatureKit,
  authenticators: Authenticators,
  { user, request, reply }: LoginAttempt,
  code: string,
  kept: JsonValue
): Promise<LoginProof> {
  const { sealed, digests } = kept as unknown as KeptEnrolment // the value of the challenge
  const created = await authenticators.activate(user, sealed, code)
  if (created === null) throw FST_USERS_TOTP_CODE_INVALID()
  const codes = recoveryCodesOf(kit)
  let storesCodes = false
  const undo = async (): Promise<void> => {
    await authenticators.remove(created)
    if (storesCodes) await codes?.remove(user)
  }
  try {
    storesCodes = digests !== null && (await codes?.store(user, digests, contextOf({ request, reply }))) === true
  } catch (error) {
    await undo().catch(() => {}) // the first error is the one to report
    throw error
  }
  return { methods: [METHOD], added: { method: FACTOR, undo } }
}
