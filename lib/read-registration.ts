import type { Settings } from './contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'
import type { UsersOptions } from './options.js'
import { hasMail } from './read-tokens.js'
import { checkBoolean, checkOption } from './shared/option-checks.js'

/**
 * Returns the settings of registration, and whether new devices are detected. Throws `FST_USERS_INVALID_OPTION`.
 */
export function readRegistration (
  options: UsersOptions,
  isFastapiUsers: boolean
): Pick<Settings, 'registration' | 'revealExistingAccounts' | 'detectNewDevices'> {
  const { registration = 'password', revealExistingAccounts, detectNewDevices, schemas } = options
  checkOption(
    'registration',
    registration,
    (value) => value === 'password' || value === 'mail',
    "must be 'password' or 'mail'"
  )
  const byMail = registration === 'mail'
  if (byMail && isFastapiUsers) {
    throw FST_USERS_INVALID_OPTION([
      'registration',
      "must not be 'mail' with compatibility: 'fastapi-users', whose clients register with a password"
    ])
  }
  if (byMail && Object.hasOwn(schemas?.fields ?? {}, 'token')) {
    throw FST_USERS_INVALID_OPTION([
      'schemas',
      "has the field token, which is the name of the mailed token with registration: 'mail'; rename the field"
    ])
  }
  return {
    registration,
    revealExistingAccounts: checkBoolean('revealExistingAccounts', revealExistingAccounts, !byMail),
    detectNewDevices: checkBoolean('detectNewDevices', detectNewDevices, hasMail(options))
  }
}
