import { FST_USERS_OAUTH_PROVIDER_FAILED } from '../../../errors.js'
import type { ProviderApi, ProviderProfile } from '../contracts.js'
import { isObject } from './option-checks.js'

/** A provider's answer that must be an object. Throws `FST_USERS_OAUTH_PROVIDER_FAILED`. */
export function objectOf (answer: unknown): Record<string, unknown> {
  if (!isObject(answer)) throw FST_USERS_OAUTH_PROVIDER_FAILED()
  return answer
}

/** What a provider gives as its member `key`: an empty object when there is none. */
export function memberOf (answer: Record<string, unknown>, key: string): Record<string, unknown> {
  const member = answer[key]
  return isObject(member) ? member : {}
}

/** The JSON object at an address. Throws `FST_USERS_OAUTH_PROVIDER_FAILED`, `FST_USERS_OAUTH_PROVIDER_UNAVAILABLE`. */
export async function fetchObject (
  api: ProviderApi,
  url: string,
  init?: Parameters<ProviderApi['fetchJson']>[1]
): Promise<Record<string, unknown>> {
  return objectOf(await api.fetchJson(url, init))
}

/**
 * A profile of what a provider says: an empty address is none, and `verified` counts as the boolean `true` alone, of an
 * address that there is.
 */
export function profileOf (
  id: unknown,
  email: unknown,
  verified: unknown,
  raw: ProviderProfile['raw']
): ProviderProfile {
  const isAddress = typeof email === 'string' && email !== ''
  return { id, email: email === '' ? null : (email ?? null), emailVerified: isAddress && verified === true, raw }
}

/** The profile of standard claims (OpenID Connect Core 1.0, section 5.1). */
export function claimsProfile (claims: Readonly<Record<string, unknown>>): ProviderProfile {
  return profileOf(claims['sub'], claims['email'], claims['email_verified'], claims)
}

/**
 * Returns the profile of an id_token, completed by the userinfo endpoint when the id_token has no e-mail. Then
 * `email_verified` is read from userinfo too: the flag of the id_token says nothing about the e-mail of another answer.
 * Throws `FST_USERS_OAUTH_PROVIDER_FAILED` without an id_token.
 */
export async function openidProfile (api: ProviderApi): Promise<ProviderProfile> {
  const claims = objectOf(api.claims)
  if (claims['email'] !== undefined) return claimsProfile(claims)
  const { email_verified: _, ...rest } = claims
  return claimsProfile({ ...rest, ...(await api.userInfo()) })
}
