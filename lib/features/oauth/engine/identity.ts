import { parseEmail } from '../../../feature/index.js'
import type { Identity, Provider, ProviderProfile, ProviderTokens } from '../contracts.js'
import { providerFailed } from './provider-errors.js'

const ID_MAX_LENGTH = 320 // width of the column `account_id`

/**
 * Converts a profile to an identity. Throws `FST_USERS_OAUTH_PROVIDER_FAILED` for a profile without an id, or with an
 * e-mail that is not a text.
 */
export function toIdentity (
  provider: Provider,
  { id, email: given, emailVerified, raw }: ProviderProfile,
  tokens: ProviderTokens
): Identity {
  const email = readEmail(given)
  return {
    provider,
    accountId: readId(id),
    email,
    emailVerified: email !== null && provider.trustEmail && emailVerified === true,
    profile: raw,
    tokens
  }
}

/** Returns the id as text. It is the key of an account, so it must not be empty or a number that lost digits. */
function readId (id: unknown): string {
  if (typeof id === 'number' && Number.isSafeInteger(id) && id > 0) return String(id)
  if (typeof id !== 'string' || id.trim() === '' || id.length > ID_MAX_LENGTH) {
    throw providerFailed('the profile has no usable id')
  }
  if (!id.isWellFormed() || id.includes('\0')) throw providerFailed('the id of the profile contains characters that cannot be stored')
  return id
}

function readEmail (email: unknown): string | null {
  if (email === null || email === undefined) return null
  if (typeof email !== 'string') throw providerFailed('the e-mail of the profile is not a text')
  return parseEmail(email)
}
