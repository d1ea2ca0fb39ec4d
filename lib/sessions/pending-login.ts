import type { FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { LoginStep, OfferedStep } from '../contracts/login-step.js'
import type { JsonValue } from '../contracts/single-use.js'
import type { LoginPending } from '../contracts/users-api.js'
import type { UserId, UserRow } from '../contracts/user.js'
import { createHostCookie, type BrowserCookie } from './browser-cookie.js'
import { attemptOf, stateOf, type OngoingLogin, type RenewedSession } from './ongoing-login.js'
import type { PendingRecord } from './pending-record.js'
import type { SessionRules } from './session-rules.js'

/** Default time in seconds to answer a login step. */
export const STEP_SECONDS = 300
/** Maximum of `lifetimeSeconds` of a step. */
export const MAX_STEP_SECONDS = 600
/** Number of answers that one ticket allows. */
export const MAX_ANSWERS = 5

/** Begins the steps of one group and stores the pending login. Returns its ticket and the values for the client. */
export async function openTicket (
  rules: SessionRules,
  login: OngoingLogin,
  done: readonly string[],
  steps: readonly LoginStep[]
): Promise<LoginPending & { ticket: string }> {
  const { row, backend, method, methods, isRemembered, trustsDevice, renews } = login
  const offered: OfferedStep[] = []
  const kept: { name: string; keep: JsonValue }[] = []
  for (const step of steps) {
    const { send = {}, keep = null } = (await step.challenge?.(attemptOf(login))) ?? {}
    offered.push(Object.assign({ name: step.name }, send, { name: step.name }))
    kept.push({ name: step.name, keep })
  }
  const record: PendingRecord = {
    user: row.id as UserId,
    state: stateOf(rules, row),
    backend: backend.name,
    method,
    methods,
    ...(isRemembered ? { remembered: true } : {}),
    ...(trustsDevice ? { trusts: true } : {}),
    done,
    steps: kept,
    ...(renews === undefined ? {} : { renews: renewsOf(renews) })
  }
  const ticket = await rules.pendingLogins.create(record, {
    userId: record.user,
    browser: bindBrowser(rules, login),
    lifetimeSeconds: Math.max(...steps.map(({ lifetimeSeconds = STEP_SECONDS }) => lifetimeSeconds))
  })
  return { code: 'LOGIN_STEP_REQUIRED', ticket, steps: offered }
}

/**
 * Returns the digest of the cookie that the client of a request presents with the ticket; an empty text without the
 * cookie, which matches no ticket. Returns null for calls without a request, and for a backend whose credentials
 * browsers do not send automatically.
 */
export function presentedBrowser (
  rules: SessionRules,
  backend: Backend,
  request: FastifyRequest | null
): string | null {
  if (!backend.transport.ambient || request === null) return null
  return loginCookie(rules, backend).digestOf(request) ?? ''
}

/**
 * Returns a function that deletes the cookie of pending logins, unless the browser has another pending login. The store
 * is read before the session exists: no session may remain if that fails.
 */
export async function prepareRelease (
  rules: SessionRules,
  { backend, context: { request, reply } }: Pick<OngoingLogin, 'backend' | 'context'>
): Promise<() => void> {
  if (!backend.transport.ambient || request === null || reply === null) return () => {}
  const cookie = loginCookie(rules, backend)
  const digest = cookie.digestOf(request)
  const isFree = digest !== null && !(await rules.pendingLogins.hasOpen(digest))
  return () => {
    if (isFree) cookie.clear(reply)
  }
}

/** Deletes the pending logins of a user. */
export async function endPendingLogins (
  { loginSteps, pendingLogins }: SessionRules,
  { id }: Pick<UserRow, 'id'>
): Promise<void> {
  if (loginSteps.length > 0) await pendingLogins.deleteOf({ userId: id as UserId })
}

/** Deletes the pending logins of the browser that logs out, and their cookie. */
export async function endBrowserLogins (
  rules: SessionRules,
  { backend, context }: Pick<OngoingLogin, 'backend' | 'context'>
): Promise<void> {
  const browser = rules.loginSteps.length === 0 ? null : presentedBrowser(rules, backend, context.request)
  if (browser === null || browser === '') return
  await rules.pendingLogins.deleteOf({ browser })
  const release = await prepareRelease(rules, { backend, context })
  release()
}

function renewsOf ({ authentication, since }: RenewedSession): NonNullable<PendingRecord['renews']> {
  return { session: authentication.session.id, since: since && since.getTime() }
}

/**
 * Returns the SHA-256 of the cookie that the reply sets, or null if no browser is bound: a reauthentication is bound to
 * its session. A pending login of a cookie backend that is not bound to a browser continues only from code without a
 * request.
 */
function bindBrowser (rules: SessionRules, { backend, context, renews }: OngoingLogin): string | null {
  const { request, reply } = context
  if (!backend.transport.ambient || request === null || reply === null || renews !== undefined) return null
  return loginCookie(rules, backend).set(request, reply)
}

/** Returns the cookie of pending logins, with the attributes that let the session cookie reach its browser. */
function loginCookie (rules: SessionRules, { transport }: Backend): BrowserCookie {
  return createHostCookie(rules, transport, 'login', MAX_STEP_SECONDS)
}
