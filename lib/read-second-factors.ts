import type { SecondFactorSettings } from './contracts/second-factors.js'
import { SECOND_FACTOR_GROUP } from './contracts/second-factors.js'
import type { LoginStep } from './contracts/login-step.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'
import type { UsersOptions } from './options.js'
import { checkKnownKeys, checkObject, checkOption } from './shared/option-checks.js'
import { isFunction } from './shared/values.js'

/** Returns the settings of second factors. Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`. */
export function readSecondFactorOptions ({ secondFactors = {} }: Pick<UsersOptions, 'secondFactors'>): SecondFactorSettings {
  checkObject('secondFactors', secondFactors)
  checkKnownKeys('secondFactors.', secondFactors, ['required'])
  const { required = null } = secondFactors
  if (required !== null) checkOption('secondFactors.required', required, isFunction, 'must be a function')
  return { required }
}

/**
 * Throws `FST_USERS_INVALID_OPTION` if a policy requires second factors and no feature has a login step with which a
 * user can present or add one.
 */
export function checkFactorSteps ({ required }: SecondFactorSettings, steps: readonly LoginStep[]): void {
  if (required === null || steps.some(({ group }) => group === SECOND_FACTOR_GROUP)) return
  throw FST_USERS_INVALID_OPTION(['secondFactors.required', 'needs a feature with second factors, such as totp()'])
}
