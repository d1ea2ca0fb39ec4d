import type { FastifyReply } from 'fastify'
import { isUsersError } from '../../feature/index.js'

/** Codes that a hook may put into a redirect. */
const HOOK_CODE = /^[A-Z][A-Z0-9_]{0,63}$/
/** Longest text of a login step in the cookie of pending logins, and longest list in its short form, in characters. */
const MAX_COOKIE_TEXT = 1024

/** The detail of an error that asks for a login step. */
interface PendingDetail {
  readonly code: string
  readonly ticket?: string
  readonly steps?: readonly { readonly name: string }[]
}

/** Returns the URL with the query parameter `error`. */
export function withError (target: string, code: string): string {
  const url = new URL(target)
  url.searchParams.set('error', code)
  return url.href
}

/** Returns the URL with a fragment in place of its own; unchanged for an empty fragment. */
export function withFragment (target: string, fragment: string): string {
  if (fragment === '') return target
  const url = new URL(target)
  url.hash = fragment
  return url.href
}

/** The parts of the detail of a pending login. */
export interface SplitDetail {
  /** For the fragment of the URL; empty if the detail has no ticket. */
  readonly fragment: string
  /** For the cookie. */
  readonly detail: unknown
  /** For the cookie, if `detail` is too long for it. */
  readonly short: unknown
}

/**
 * Splits the detail of a pending login. The ticket and the names of the steps go into the fragment of the URL, because
 * browsers send no fragments to servers. The rest is for the cookie, except long texts such as images: browsers accept
 * cookies of 4096 bytes (RFC 6265, section 6.1). The short form also omits long lists, such as that of the user's
 * passkeys, which a browser finds without the list.
 */
export function splitPending (detail: unknown): SplitDetail {
  const { ticket, steps = [], ...rest } = detail as PendingDetail
  if (rest.code !== 'LOGIN_STEP_REQUIRED' || ticket === undefined) return { fragment: '', detail, short: detail }
  const names = steps.map(({ name }) => name)
  const sent = steps.map(withoutLongTexts)
  return {
    fragment: `ticket=${ticket}&steps=${names.join()}`,
    detail: { ...rest, steps: sent },
    short: { ...rest, steps: sent.map(withoutLongLists) }
  }
}

function withoutLongTexts (step: object): object {
  const short = Object.entries(step).filter(([, value]) => typeof value !== 'string' || value.length <= MAX_COOKIE_TEXT)
  return Object.fromEntries(short)
}

/** Returns a copy of the values of a step without its long lists, at any depth. */
function withoutLongLists (step: object): unknown {
  const isLong = (value: unknown): boolean => Array.isArray(value) && JSON.stringify(value).length > MAX_COOKIE_TEXT
  return JSON.parse(JSON.stringify(step, (_key, value: unknown) => (isLong(value) ? undefined : value)))
}

/** Redirects the browser. `Referrer-Policy` keeps the callback URL, which contains the code, from the next page. */
export function sendBrowser (reply: FastifyReply, url: string, statusCode: 302 | 303): FastifyReply {
  return reply.header('referrer-policy', 'no-referrer').redirect(url, statusCode)
}

/** Checks whether an error is a refusal (4xx) and not a failure of the server. */
export function isClientError (error: unknown): boolean {
  const { statusCode } = error as { statusCode?: unknown }
  return typeof statusCode === 'number' && statusCode < 500
}

/** Returns the code of an error, or a hook's own code. Nothing else of an error may appear in a redirect. */
export function errorCodeOf (error: unknown): string {
  if (isUsersError(error) && error.statusCode !== 500) {
    const { code, detail } = error
    return code === 'FST_USERS_REFUSED' && typeof detail === 'string' && HOOK_CODE.test(detail)
      ? detail
      : code.replace('FST_USERS_', '')
  }
  return isClientError(error) ? 'REFUSED' : 'INTERNAL_ERROR'
}
