import type { Authentication } from '../contracts/authentication.js'
import type { Backend } from '../contracts/backend.js'
import type { EventContext } from '../contracts/events.js'
import type { LoginStep } from '../contracts/login-step.js'
import { SECOND_FACTOR_GROUP } from '../contracts/second-factors.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { LoginResult } from '../contracts/users-api.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import { FST_USERS_REAUTHENTICATE_BAD_PASSWORD, FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { readActingUser } from './acting-user.js'
import { attemptOf, isUserUnchanged, type OngoingLogin } from './ongoing-login.js'
import { endSession } from './end.js'
import { countSecondFactors } from './factor-counts.js'
import { createSession } from './issue.js'
import { neededSteps, reportPending } from './login-steps.js'
import { reportEnded } from './observers.js'
import { openTicket } from './pending-login.js'
import { endPresentedSessions } from './presented.js'
import { isTwoFactor } from './second-factors.js'
import { isRemembered } from './remembered.js'
import type { SessionRules } from './session-rules.js'
import { insufficientAuthentication, isFresh } from './step-up.js'

/** A user who wants to authenticate again, with the session that is to be renewed. */
export interface Reauthentication {
  readonly row: UserRow
  readonly backend: Backend
  readonly authentication: Authentication
  /** The methods that the request has proved: `password`, or none yet. */
  readonly proved: readonly string[]
  readonly context: EventContext
}

/**
 * Begins a reauthentication. A user with a second factor must present it too. If the request proves nothing and the
 * session is fresh and lacks a factor, only this factor is needed. Throws `FST_USERS_REAUTHENTICATE_BAD_PASSWORD` if
 * the request proves nothing and no step of the user can replace the password.
 */
export async function startReauthentication (
  rules: SessionRules,
  { row, backend, authentication, proved, context }: Reauthentication
): Promise<LoginResult> {
  const { clock, reauthentication: { maxAgeSeconds } } = rules.settings
  const { session } = authentication
  // a fresh session that lacks nothing begins again: a guard may need a newer one
  const lacksFactor = !isTwoFactor(rules, session.methods)
  const continues = proved.length === 0 && lacksFactor && isFresh(session, maxAgeSeconds, clock())
  return await continueReauthentication(rules, {
    row,
    backend,
    method: 'reauthentication',
    methods: continues ? session.methods : proved,
    isRemembered: isRemembered(session),
    trustsDevice: false,
    context,
    changed: FST_USERS_UNAUTHENTICATED,
    renews: { authentication, since: continues ? session.authenticatedAt : null }
  }, { done: [], hasProof: proved.length > 0 })
}

/** Returns the next steps with a ticket or, if none is left, renews the session. */
export async function continueReauthentication (
  rules: SessionRules,
  login: RenewingLogin,
  { done, hasProof }: { done: readonly string[]; hasProof: boolean }
): Promise<LoginResult> {
  const steps = done.includes(SECOND_FACTOR_GROUP) ? [] : await factorSteps(rules, login)
  if (steps.length > 0) {
    await endFormerTickets(rules, login)
    const pending = await openTicket(rules, login, done, steps)
    reportPending(rules, login, pending.code, steps)
    return { pending }
  }
  if (!hasProof) throw FST_USERS_REAUTHENTICATE_BAD_PASSWORD()
  const user = rules.rows.toUser(login.row)
  if (!isTwoFactor(rules, login.methods) && (await countSecondFactors(rules, user)) > 0) {
    throw insufficientAuthentication({ maxAge: null, methods: 2 }, rules)
  }
  return { issued: await renewProvedSession(rules, login, user), user }
}

/** A reauthentication in progress. */
export type RenewingLogin = OngoingLogin & Required<Pick<OngoingLogin, 'renews'>>

/** Returns the steps that present a second factor. Before any proof, only those that need no other proof. */
async function factorSteps (rules: SessionRules, login: OngoingLogin): Promise<readonly LoginStep[]> {
  const usable = rules.loginSteps.filter(({ step }) => step.loginOnly !== true)
  const steps = await neededSteps(usable, SECOND_FACTOR_GROUP, attemptOf(login))
  return login.methods.length > 0 ? steps : steps.filter(({ reauthenticates }) => reauthenticates === true)
}

/** Deletes the open tickets of the session, so that one session cannot fill the table. */
async function endFormerTickets ({ pendingLogins }: SessionRules, { row, renews }: RenewingLogin): Promise<void> {
  const { id } = renews.authentication.session
  await pendingLogins.deleteOf({ userId: row.id as UserId }, (pending) => pending.renews?.session === id)
}

/**
 * Creates the new session and ends the old one. Of parallel reauthentications of one session, one succeeds if the
 * strategy stores sessions. If the session has ended meanwhile or a hook throws, the new one is revoked again.
 */
async function renewProvedSession (
  rules: SessionRules,
  { row, backend, methods, context, changed, renews }: RenewingLogin,
  user: User
): Promise<IssuedToken> {
  const { authentication, since } = renews
  if (context.request !== null) await readActingUser(rules, context.request)
  const { details } = authentication.session
  const values = { authenticatedAt: since ?? new Date(rules.settings.clock()), methods, details }
  const issued = await createSession(rules, { row, backend, context, ...values }, changed)
  try {
    if (!(await isUserUnchanged(rules, row))) throw changed()
    await rules.hooks.run('onIssueToken', { user, backend: backend.name, issued }, context)
    await rules.hooks.run('onAfterReauthenticate', { user, backend: backend.name, session: issued.session }, context)
    // the old session ends last: if anything fails before, it remains
    if (context.request !== null) await endPresentedSessions(rules, backend, context.request, authentication.token)
    await endRenewed(rules, backend, user, authentication)
  } catch (error) {
    await endSession(rules, backend, user, issued) // the client never receives the token
    throw error
  }
  return issued
}

/** Ends the session that was renewed. Throws `FST_USERS_UNAUTHENTICATED` if it has ended already. */
async function endRenewed (
  rules: SessionRules,
  { strategy }: Backend,
  user: User,
  { token, session: { id } }: Authentication
): Promise<void> {
  if (strategy.destroySession === undefined) await strategy.destroyToken?.(token, user)
  // null: the strategy has revoked the session without knowing whether it exists
  else if ((await strategy.destroySession(user, id)) === false) throw FST_USERS_UNAUTHENTICATED()
  await reportEnded(rules, user, { id })
}
