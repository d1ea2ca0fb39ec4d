import type { CaptchaProvider } from '../contracts/captcha.js'
import { checkOption } from '../shared/option-checks.js'
import { createSiteVerifyProvider, type SiteVerifyOptions } from './site-verify.js'

/** Options of `hcaptcha`. */
export interface HcaptchaOptions extends SiteVerifyOptions {
  /** Public key of the site. hCaptcha then refuses responses for other sites of your account. Default: not sent. */
  siteKey?: string
}

/**
 * Creates the provider for hCaptcha (https://docs.hcaptcha.com/#verify-the-user-response-server-side). Its widget sends
 * the body field `h-captcha-response`. Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`.
 */
export function hcaptcha (options: HcaptchaOptions): CaptchaProvider {
  const { siteKey } = options ?? {}
  const isKey = (value: unknown): boolean => value === undefined || (typeof value === 'string' && value !== '')
  checkOption('hcaptcha.siteKey', siteKey, isKey, 'must be the public key of the site')
  return createSiteVerifyProvider(options, {
    name: 'hcaptcha',
    field: 'h-captcha-response',
    url: 'https://api.hcaptcha.com/siteverify',
    options: ['siteKey'],
    testKeys: ['0x0000000000000000000000000000000000000000'],
    refusals: new Set([
      'missing-input-response',
      'invalid-input-response',
      'expired-input-response',
      'already-seen-response',
      'invalid-or-already-seen-response',
      'sitekey-secret-mismatch'
    ]),
    ...(siteKey === undefined ? {} : { parameters: { sitekey: siteKey } })
  })
}
