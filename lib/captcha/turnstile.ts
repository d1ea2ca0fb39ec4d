import type { CaptchaProvider } from '../contracts/captcha.js'
import type { AttemptKind } from '../contracts/attempts.js'
import { checkOption } from '../shared/option-checks.js'
import { createSiteVerifyProvider, type SiteVerifyOptions } from './site-verify.js'

/** Options of `turnstile`. */
export interface TurnstileOptions extends SiteVerifyOptions {
  /**
   * The action of the widget, or a function that returns it for the kind of attempt. A response with another action is
   * refused. Default: not checked.
   */
  action?: string | ((kind: AttemptKind) => string)
}

/**
 * Creates the provider for Cloudflare Turnstile
 * (https://developers.cloudflare.com/turnstile/get-started/server-side-validation/). Its widget sends the body field
 * `cf-turnstile-response`. Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`.
 */
export function turnstile (options: TurnstileOptions): CaptchaProvider {
  const { action } = options ?? {}
  const isAction = (value: unknown): boolean => ['undefined', 'string', 'function'].includes(typeof value)
  checkOption('turnstile.action', action, isAction, 'must be a text or a function')
  return createSiteVerifyProvider(options, {
    name: 'turnstile',
    field: 'cf-turnstile-response',
    url: 'https://challenges.cloudflare.com/turnstile/v0/siteverify',
    options: ['action'],
    testKeys: ['1x0000000000000000000000000000000AA'],
    refusals: new Set(['missing-input-response', 'invalid-input-response', 'timeout-or-duplicate']),
    accepts: (reply, { kind }) =>
      action === undefined || reply['action'] === (typeof action === 'string' ? action : action(kind))
  })
}
