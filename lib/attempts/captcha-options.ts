import type { CaptchaOptions, CaptchaProvider, CaptchaSettings } from '../contracts/captcha.js'
import { checkKnownKeys, checkOption } from '../shared/option-checks.js'
import { checkTimeLimit } from '../shared/time-limit.js'
import { isFunction, isObject } from '../shared/values.js'

/** Header with the response of the widget, for clients that do not send the provider's body field. */
export const CAPTCHA_HEADER = 'x-captcha-response'

const KEYS = ['provider', 'for', 'when', 'ifUnavailable'] satisfies (keyof CaptchaOptions)[]
const KINDS: readonly string[] = [
  'login', 'loginStep', 'currentPassword', 'register', 'forgotPassword', 'requestVerify', 'resetPassword', 'verify',
  'completeRegistration', 'undoEmailChange'
]
/**
 * Kinds that cost something and need no secret. Logins are not among them: they have limits, and scripts log in too.
 */
const DEFAULT_KINDS = ['register', 'forgotPassword', 'requestVerify']

/**
 * Returns the checked option `captcha`; null if it is absent. Kinds of features begin with the name of the feature.
 * Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`.
 */
export function readCaptcha (
  given: CaptchaOptions | undefined,
  features: readonly { name: string }[] = []
): CaptchaSettings | null {
  if (given === undefined) return null
  checkKnownKeys('captcha.', given, KEYS)
  const { provider, for: kinds = DEFAULT_KINDS, when, ifUnavailable = 'refuse' } = given
  checkOption('captcha.provider', provider, isProvider, 'must be a provider, such as turnstile(), hcaptcha() or altcha()')
  checkTimeLimit('captcha.provider.timeoutMs', provider.timeoutMs ?? 1)
  const isKind = (kind: unknown): boolean =>
    typeof kind === 'string' && (KINDS.includes(kind) || features.some(({ name }) => kind.startsWith(name)))
  const isList = (list: unknown): boolean => Array.isArray(list) && list.length > 0 && list.every(isKind)
  checkOption('captcha.for', kinds, isList, `must list kinds of attempts: ${KINDS.join(', ')}, or a kind of a feature`)
  checkOption('captcha.when', when ?? isKind, isFunction, 'must be a function')
  const isChoice = (value: unknown): boolean => value === 'refuse' || value === 'accept'
  checkOption('captcha.ifUnavailable', ifUnavailable, isChoice, "must be 'refuse' or 'accept'")
  return { provider, kinds: new Set(kinds), when: when ?? null, ifUnavailable }
}

function isProvider (value: CaptchaProvider): boolean {
  return isObject(value) && typeof value.name === 'string' && typeof value.field === 'string' && isFunction(value.open)
}
