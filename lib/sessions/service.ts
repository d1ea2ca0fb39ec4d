import type { Session } from '../contracts/session.js'
import type { IssuedSession, SessionOptions, SessionSelection, SessionService } from '../contracts/session-service.js'
import type { CallContext } from '../contracts/users-api.js'
import type { User, UserRow } from '../contracts/user.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { isUserUnchanged } from './ongoing-login.js'
import { endSession, endSessions } from './end.js'
import { createSession, renewSession } from './issue.js'
import { reportEnded } from './observers.js'
import { endPendingLogins } from './pending-login.js'
import { backendNamed, contextOf, currentRow, type SessionRules } from './session-rules.js'

/** Creates `kit.sessions`. */
export function createSessionService (rules: SessionRules): SessionService {
  return {
    create: (row, options) => createWithoutLogin(rules, row, options),
    end: (user, which, context) => endSelected(rules, user, which, context),
    list: (user) => listSessions(rules, user)
  }
}

async function createWithoutLogin (
  rules: SessionRules,
  row: UserRow,
  { backend: name, id, request = null, authenticatedAt = null, methods = [], details = {} }: SessionOptions
): Promise<IssuedSession> {
  const backend = backendNamed(rules, name)
  const values = { authenticatedAt, methods, details, ...(id === undefined ? {} : { id }) }
  const context = contextOf({ request })
  const issued = await createSession(rules, { row, backend, context, ...values }, FST_USERS_UNAUTHENTICATED)
  // a parallel revocation may have deleted the stored tokens before the new one was stored
  if (await isUserUnchanged(rules, row)) return issued
  await endSession(rules, backend, rules.rows.toUser(row), issued)
  throw FST_USERS_UNAUTHENTICATED()
}

async function endSelected (
  rules: SessionRules,
  user: User,
  which: SessionSelection,
  call: CallContext = {}
): Promise<boolean> {
  if (which === 'all') await endSessions(rules, user)
  else if ('except' in which) await endOthers(rules, user, which.except, call)
  else return await endOneSession(rules, user, which.id)
  return true
}

async function endOneSession (rules: SessionRules, user: User, id: string): Promise<boolean> {
  let isFound = false
  let isRevoked = false // by a strategy that does not know which sessions exist
  // backends may share one table
  for (const { strategy } of rules.backends.values()) {
    const result = await strategy.destroySession?.(user, id)
    if (result === true) isFound = true
    if (result === null) isRevoked = true
  }
  for (const { end } of rules.observers) if ((await end?.(user, id)) === true) isFound = true
  if (isFound || isRevoked) {
    await rules.trustedDevices?.end(user, { session_id: id })
    await reportEnded(rules, user, { id })
  }
  return isFound
}

/**
 * Revokes all sessions of a user except one. If all strategies store their sessions, the other sessions are deleted.
 * Otherwise a new security stamp ends all sessions; if `except` is the cookie session of the request, it is renewed.
 */
async function endOthers (rules: SessionRules, user: User, except: string, call: CallContext): Promise<void> {
  if (await deleteStoredOthers(rules, user, except)) return
  const context = contextOf(call)
  const authentication = context.request?.authentication
  const acting = authentication?.session.id === except ? authentication : null
  await endSessions(rules, user)
  const backend = rules.backends.get(acting?.backend ?? '')
  if (acting == null || backend === undefined) return
  await renewSession(rules, await currentRow(rules, user), { backend, session: acting.session }, context)
}

/**
 * Deletes the stored sessions of a user except one, and the pending logins. Returns false and deletes nothing if a
 * strategy stores no sessions.
 */
export async function deleteStoredOthers (rules: SessionRules, user: User, except: string): Promise<boolean> {
  const strategies = [...rules.backends.values()].map(({ strategy }) => strategy)
  const storeSessions = strategies.every(
    ({ destroySession, destroyAllTokens }) => destroySession !== undefined && destroyAllTokens !== undefined
  )
  if (!storeSessions) return false
  for (const strategy of strategies) await strategy.destroyAllTokens?.(user, { except })
  await endPendingLogins(rules, user)
  await rules.trustedDevices?.end(user)
  await reportEnded(rules, user, { except })
  return true
}

async function listSessions (rules: SessionRules, user: User): Promise<Session[]> {
  const row = await currentRow(rules, user)
  const sessions = new Map<string, Session>()
  for (const { strategy } of rules.backends.values()) {
    for (const { session, stamp } of (await strategy.listSessions?.(user)) ?? []) {
      if (stamp == null || rules.rows.hasStamp(row, stamp)) sessions.set(session.id, session)
    }
  }
  for (const { list } of rules.observers) {
    for (const session of (await list?.(user)) ?? []) if (!sessions.has(session.id)) sessions.set(session.id, session)
  }
  return [...sessions.values()]
}
