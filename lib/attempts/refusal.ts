import { FST_USERS_TOO_MANY_ATTEMPTS } from '../errors.js'
import type { Refusal } from './counter-state.js'

/**
 * Returns the error for a refused attempt, with `Retry-After` (RFC 9110, section 10.2.3) and the fields `RateLimit` and
 * `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).
 */
export function tooManyAttempts (policy: 'client' | 'account', { waitMs, max, seconds }: Refusal): Error {
  const wait = Math.max(1, Math.ceil(waitMs / 1000))
  return FST_USERS_TOO_MANY_ATTEMPTS([], {
    headers: {
      'retry-after': String(wait),
      'ratelimit-policy': `"${policy}";q=${max}${seconds === null ? '' : `;w=${seconds}`}`,
      ratelimit: `"${policy}";r=0;t=${wait}`
    }
  })
}
