import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { AttemptCheck } from '../contracts/attempts.js'
import type { CaptchaResponse, CaptchaSettings, CaptchaVerifier } from '../contracts/captcha.js'
import {
  FST_USERS_CAPTCHA_FAILED,
  FST_USERS_CAPTCHA_REQUIRED,
  FST_USERS_CAPTCHA_UNAVAILABLE,
  isUsersError
} from '../errors.js'
import { failureWord } from '../shared/bounded-body.js'
import { CAPTCHA_HEADER } from './captcha-options.js'
import { limitTime } from '../shared/time-limit.js'

const MAX_TOKEN_LENGTH = 8192
const DEFAULT_TIMEOUT_MS = 5000

/**
 * Returns the check of captchas. It throws `FST_USERS_CAPTCHA_REQUIRED`, `FST_USERS_CAPTCHA_FAILED` and
 * `FST_USERS_CAPTCHA_UNAVAILABLE`. Calls of `app.users` without a request need no captcha.
 */
export function createCaptchaCheck (
  settings: CaptchaSettings,
  verifier: CaptchaVerifier,
  log: FastifyBaseLogger
): AttemptCheck {
  const { provider, kinds, when, ifUnavailable } = settings
  const { name, timeoutMs = DEFAULT_TIMEOUT_MS } = provider

  /** Returns whether the provider accepts the response; null if it cannot be checked. */
  async function ask (response: Omit<CaptchaResponse, 'signal'>, request: FastifyRequest): Promise<boolean | null> {
    const controller = new AbortController()
    try {
      return await limitTime(
        () => verifier.verify({ ...response, signal: controller.signal }),
        timeoutMs,
        () => new DOMException(`no answer within ${timeoutMs} ms`, 'TimeoutError')
      )
    } catch (error) {
      if (isUsersError(error)) throw error // for example if the store is unavailable
      ;(request.log ?? log).warn({ provider: name, reason: failureWord(error) }, 'fastify-users: a captcha could not be checked')
      return null
    } finally {
      controller.abort()
    }
  }

  return async (kind, event, { request }) => {
    if (request === null || !kinds.has(kind)) return
    if (when !== null && !(await when(kind, event))) return
    const token = captchaTokenOf(request, provider.field)
    if (token === undefined || token === null || token === '') throw FST_USERS_CAPTCHA_REQUIRED()
    if (typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH) throw FST_USERS_CAPTCHA_FAILED()
    const isAccepted = await ask({ token, ip: event.ip, kind }, request)
    if (isAccepted === false) throw FST_USERS_CAPTCHA_FAILED()
    if (isAccepted === null && ifUnavailable === 'refuse') {
      throw FST_USERS_CAPTCHA_UNAVAILABLE([], { headers: { 'retry-after': '5' } })
    }
  }
}

function captchaTokenOf ({ headers, body }: FastifyRequest, field: string): unknown {
  const given = headers[CAPTCHA_HEADER]
  if (given !== undefined) return given
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[field] : undefined
}
