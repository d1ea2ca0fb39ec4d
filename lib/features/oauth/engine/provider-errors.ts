import { isUsersError, type UsersError } from '../../../feature/index.js'
import { FST_USERS_OAUTH_PROVIDER_FAILED, FST_USERS_OAUTH_PROVIDER_UNAVAILABLE } from '../errors.js'

const RETRY_AFTER_SECONDS = '10'
/** Text that is harmless in a log. */
const PLAIN = /^[\w .,:;()"/-]{1,200}$/

/** Returns the error for an unusable response. The reason is logged, so it must not contain data of the provider. */
export function providerFailed (reason: string): UsersError {
  return FST_USERS_OAUTH_PROVIDER_FAILED([], { cause: reason })
}

/** Returns the error for a missing or late response. */
export function providerUnavailable (reason: string): UsersError {
  return FST_USERS_OAUTH_PROVIDER_UNAVAILABLE([], { cause: reason, headers: { 'retry-after': RETRY_AFTER_SECONDS } })
}

/** Converts any error of a call to a provider. The original error is dropped, because it may contain tokens. */
export function toProviderError (error: unknown): UsersError {
  for (let inner = error; inner instanceof Error; inner = inner.cause) if (isUsersError(inner)) return inner
  return providerFailed(providerReasonOf(error))
}

/** Returns the message of the library and the error code of a token response (RFC 6749, section 5.2). */
function providerReasonOf (error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const { name, message, code, error: responseError } = error as Error & { code?: unknown; error?: unknown }
  return [code ?? name, message, responseError].filter((part) => typeof part === 'string' && PLAIN.test(part)).join(': ')
}
