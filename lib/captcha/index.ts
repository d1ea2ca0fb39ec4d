/**
 * Captcha providers for the option `captcha`: Cloudflare Turnstile, hCaptcha and ALTCHA.
 *
 * @module fastify-users/captcha
 */

export { altcha, type AltchaOptions } from './altcha.js'
export { hcaptcha, type HcaptchaOptions } from './hcaptcha.js'
export { turnstile, type TurnstileOptions } from './turnstile.js'
export type { SiteVerifyOptions } from './site-verify.js'
export type * from '../contracts/captcha.js'
