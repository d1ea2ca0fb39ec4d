import {
  FST_USERS_OAUTH_PROVIDER_FAILED,
  FST_USERS_OAUTH_PROVIDER_UNAVAILABLE,
  isUsersError,
  type UsersError
} from '../../../errors.js'

const RETRY_AFTER_SECONDS = '10'
const PLAIN = /^[\w .,:;()"/-]{1,200}$/

/** An answer that cannot be used. The reason goes to the log: it never holds what a provider or a browser sent. */
export function providerFailed (reason: string): UsersError {
  return FST_USERS_OAUTH_PROVIDER_FAILED([], { cause: reason })
}

/** No answer, or none in time. */
export function providerUnavailable (reason: string): UsersError {
  return FST_USERS_OAUTH_PROVIDER_UNAVAILABLE([], { cause: reason, headers: { 'retry-after': RETRY_AFTER_SECONDS } })
}

/** Anything that a call to a provider throws, as an error of ours. The original is dropped: it may hold tokens. */
export function toProviderError (error: unknown): UsersError {
  for (let inner = error; inner instanceof Error; inner = inner.cause) if (isUsersError(inner)) return inner
  return providerFailed(reasonOf(error))
}

/** The library's own words, and the error code of a token answer (RFC 6749, section 5.2). */
function reasonOf (error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const { name, message, code, error: told } = error as Error & { code?: unknown; error?: unknown }
  return [code ?? name, message, told].filter((part) => typeof part === 'string' && PLAIN.test(part)).join(': ')
}
