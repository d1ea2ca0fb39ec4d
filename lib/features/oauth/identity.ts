import { FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL, FST_USERS_OAUTH_PROVIDER_FAILED } from '../../errors.js'
import { ACCOUNT_TEXT_MAX_LENGTH } from './account-model.js'
import type { Identity } from './contracts.js'

/**
 * The address of an identity. Refuses one that names nobody, or that no store keeps as it is. Throws
 * `FST_USERS_OAUTH_PROVIDER_FAILED`, `FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL`.
 */
export function checkIdentity ({ accountId, email }: Identity): string {
  if (!isKey(accountId)) throw FST_USERS_OAUTH_PROVIDER_FAILED()
  if (email === null || email === '') throw FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL()
  return email
}

/** Checks whether the provider says that the e-mail is verified, and is trusted with that. */
export function isProven ({ emailVerified, provider }: Identity): boolean {
  return emailVerified === true && provider.trustEmail === true // plain JavaScript may say anything
}

function isKey (id: unknown): boolean {
  return (
    typeof id === 'string' &&
    id.trim() !== '' &&
    id.length <= ACCOUNT_TEXT_MAX_LENGTH &&
    id.isWellFormed() &&
    !id.includes('\0')
  )
}
