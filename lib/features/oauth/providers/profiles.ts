import { FST_USERS_OAUTH_PROVIDER_FAILED } from '../errors.js'
import type { ProviderApi, ProviderProfile } from '../contracts.js'
import { isObject } from '../../../feature/index.js'

/** Returns a provider's reply if it is an object. Otherwise throws `FST_USERS_OAUTH_PROVIDER_FAILED`. */
export function objectOf (answer: unknown): Record<string, unknown> {
  if (!isObject(answer)) throw FST_USERS_OAUTH_PROVIDER_FAILED()
  return answer
}

/** Returns the object in the property `key`; an empty object if there is none. */
export function memberOf (answer: Record<string, unknown>, key: string): Record<string, unknown> {
  const member = answer[key]
  return isObject(member) ? member : {}
}

/**
 * Fetches a JSON object from a URL. Throws `FST_USERS_OAUTH_PROVIDER_FAILED` or
 * `FST_USERS_OAUTH_PROVIDER_UNAVAILABLE`.
 */
export async function fetchObject (
  api: ProviderApi,
  url: string,
  init?: Parameters<ProviderApi['fetchJson']>[1]
): Promise<Record<string, unknown>> {
  return objectOf(await api.fetchJson(url, init))
}

/**
 * Returns a profile. An empty e-mail counts as no e-mail. The e-mail is verified only if `verified` is the boolean
 * `true`.
 */
export function profileOf (
  id: unknown,
  email: unknown,
  verified: unknown,
  raw: ProviderProfile['raw']
): ProviderProfile {
  const hasEmail = typeof email === 'string' && email !== ''
  return { id, email: email === '' ? null : (email ?? null), emailVerified: hasEmail && verified === true, raw }
}

/** Returns the profile for standard claims (OpenID Connect Core 1.0, section 5.1). */
export function claimsProfile (claims: Readonly<Record<string, unknown>>): ProviderProfile {
  return profileOf(claims['sub'], claims['email'], claims['email_verified'], claims)
}

/**
 * Returns the profile of an id_token, completed by the userinfo endpoint when the id_token has no e-mail. Then
 * `email_verified` is read from userinfo too: the flag of the id_token does not apply to the e-mail of another reply.
 * Throws `FST_USERS_OAUTH_PROVIDER_FAILED` without an id_token.
 */
export async function openidProfile (api: ProviderApi): Promise<ProviderProfile> {
  const claims = objectOf(api.claims)
  if (claims['email'] !== undefined) return claimsProfile(claims)
  const { email_verified: _, ...rest } = claims
  return claimsProfile({ ...rest, ...(await api.userInfo()) })
}
