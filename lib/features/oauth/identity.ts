import { FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL, FST_USERS_OAUTH_PROVIDER_FAILED } from './errors.js'
import { ACCOUNT_TEXT_MAX_LENGTH } from './account-model.js'
import type { Identity } from './contracts.js'

/**
 * Returns the e-mail of an identity. Throws `FST_USERS_OAUTH_PROVIDER_FAILED` for an id that is empty or cannot be
 * stored unchanged, `FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL` without an e-mail.
 */
export function checkIdentity ({ accountId, email }: Identity): string {
  if (!isStorableId(accountId)) throw FST_USERS_OAUTH_PROVIDER_FAILED()
  if (email === null || email === '') throw FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL()
  return email
}

/** Checks whether the provider is trusted with e-mails and states that this one is verified. */
export function isProven ({ emailVerified, provider }: Identity): boolean {
  return emailVerified === true && provider.trustEmail === true // JavaScript callers may pass other types
}

function isStorableId (id: unknown): boolean {
  return (
    typeof id === 'string' &&
    id.trim() !== '' &&
    id.length <= ACCOUNT_TEXT_MAX_LENGTH &&
    id.isWellFormed() &&
    !id.includes('\0')
  )
}
