import type { SecondFactorSettings, TrustedDeviceOptions } from './contracts/second-factors.js'
import { SECOND_FACTOR_GROUP } from './contracts/second-factors.js'
import type { LoginStep } from './contracts/login-step.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'
import type { UsersOptions } from './options.js'
import { checkKnownKeys, checkObject, checkOption } from './shared/option-checks.js'
import { isFunction } from './shared/values.js'

const DAY_SECONDS = 86_400
const MAX_TRUST_SECONDS = 90 * DAY_SECONDS
const MAX_PER_USER = 100

/** Returns the settings of second factors. Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`. */
export function readSecondFactorOptions ({ secondFactors = {} }: Pick<UsersOptions, 'secondFactors'>): SecondFactorSettings {
  checkObject('secondFactors', secondFactors)
  checkKnownKeys('secondFactors.', secondFactors, ['required', 'trustedDevices'])
  const { required = null, trustedDevices = false } = secondFactors
  if (required !== null) checkOption('secondFactors.required', required, isFunction, 'must be a function')
  return { required, trustedDevices: trustedDevices === false ? null : readTrustedDevices(trustedDevices) }
}

function readTrustedDevices (given: TrustedDeviceOptions): SecondFactorSettings['trustedDevices'] {
  const option = 'secondFactors.trustedDevices'
  checkObject(option, given)
  checkKnownKeys(`${option}.`, given, ['lifetimeSeconds', 'maxPerUser', 'allowed'])
  const { lifetimeSeconds = 30 * DAY_SECONDS, maxPerUser = 10, allowed = null } = given
  for (const [key, value, maximum] of [
    ['lifetimeSeconds', lifetimeSeconds, MAX_TRUST_SECONDS],
    ['maxPerUser', maxPerUser, MAX_PER_USER]
  ] as const) {
    const isInRange = Number.isInteger(value) && value >= 1 && value <= maximum
    checkOption(`${option}.${key}`, value, () => isInRange, `must be a whole number from 1 to ${maximum}`)
  }
  if (allowed !== null) checkOption(`${option}.allowed`, allowed, isFunction, 'must be a function')
  return { lifetimeSeconds, maxPerUser, allowed }
}

/**
 * Throws `FST_USERS_INVALID_OPTION` if a policy requires second factors and no feature has a login step with which a
 * user can present or add one.
 */
export function checkFactorSteps ({ required }: SecondFactorSettings, steps: readonly LoginStep[]): void {
  if (required === null || steps.some(({ group }) => group === SECOND_FACTOR_GROUP)) return
  throw FST_USERS_INVALID_OPTION(['secondFactors.required', 'needs a feature with second factors, such as totp()'])
}
