import type { Static, TObject } from '@sinclair/typebox'
import type { Attempt } from '../contracts/attempts.js'
import type { Authentication } from '../contracts/authentication.js'
import type { Backend } from '../contracts/backend.js'
import type { EventContext } from '../contracts/events.js'
import type { LoginAnswer, LoginAttempt, LoginProof } from '../contracts/login-step.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { JsonValue } from '../contracts/single-use.js'
import type { LoginContext, LoginResult } from '../contracts/users-api.js'
import type { UserRow } from '../contracts/user.js'
import { SECOND_FACTOR_GROUP } from '../contracts/second-factors.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_LOGIN_TICKET_INVALID } from '../errors.js'
import { changeFactors, withdrawFactor } from './factor-changes.js'
import { attemptOf, hasState, stateFailure, type OngoingLogin } from './ongoing-login.js'
import { reportLoginFailure } from './login-failure.js'
import { continueLogin, groupOf } from './login-steps.js'
import { prepareRelease, presentedBrowser } from './pending-login.js'
import type { PendingRecord } from './pending-record.js'
import { continueReauthentication } from './reauthenticate.js'
import { backendNamed, contextOf, type RegisteredStep, type SessionRules } from './session-rules.js'

/** Context of a continued login. */
export type ResumeContext = Omit<LoginContext, 'method' | 'rememberMe'>

/** A pending login that a client presented, and the value that its step kept. */
interface ClaimedLogin {
  record: PendingRecord
  row: UserRow
  keep: JsonValue
}

/** Checks the answer to a step of a pending login and continues the login. */
export async function resumeLogin (
  rules: SessionRules,
  answer: LoginAnswer,
  context: ResumeContext
): Promise<LoginResult> {
  return await resumeWithAnswer(rules, answer, context, null)
}

/**
 * Checks the answer to a step of a pending reauthentication and continues it. Throws `FST_USERS_LOGIN_TICKET_INVALID`
 * for the ticket of a login and of another session.
 */
export async function resumeReauthentication (
  rules: SessionRules,
  answer: LoginAnswer,
  authentication: Authentication,
  context: EventContext
): Promise<LoginResult> {
  return await resumeWithAnswer(rules, answer, { ...context, backend: authentication.backend }, authentication)
}

/**
 * Checks the answer to a step of a pending login or, with `acting`, of a pending reauthentication of this session, and
 * continues it.
 */
async function resumeWithAnswer (
  rules: SessionRules,
  { ticket, step: name, answer, trustDevice = false }: LoginAnswer,
  context: ResumeContext,
  acting: Authentication | null
): Promise<LoginResult> {
  const entry = stepNamed(rules, name)
  entry.checkAnswer(answer)
  return await resumePending(rules, entry, ticket, context, {
    isCounted: true,
    acting,
    asksForTrust: trustDevice,
    // the answer matches the schema of the step
    verify: (attempt, kept) => entry.step.verify(attempt, answer as Static<TObject>, kept)
  })
}

/** Continues a pending login after a feature has checked its own step `name`, for example with a callback route. */
export async function resumeVerified (
  rules: SessionRules,
  { ticket, step: name, feature }: { ticket: string; step: string; feature: string },
  context: ResumeContext,
  proof: LoginProof = {}
): Promise<LoginResult> {
  const entry = stepNamed(rules, name)
  if (entry.feature !== feature) {
    throw FST_USERS_INVALID_OPTION([`features["${feature}"]`, `resumes a login at "${name}", a step of another feature`])
  }
  return await resumePending(rules, entry, ticket, context, { isCounted: false, acting: null, verify: () => proof })
}

/** The check of an answer. */
interface AnswerCheck {
  /** The answer comes from a client, so that its failures are counted. */
  isCounted: boolean
  /** The user asked to trust the device. */
  asksForTrust?: boolean
  /** The session that authenticates again; null for a login. */
  acting: Authentication | null
  verify(attempt: LoginAttempt, kept: JsonValue): MaybePromise<LoginProof | void>
}

/**
 * Counts the answer, checks it, and uses the ticket up. Of parallel right answers, only one continues the login. If an
 * error occurs after that, the user must log in again.
 */
async function resumePending (
  rules: SessionRules,
  { step }: RegisteredStep,
  ticket: string,
  { backend: backendName, ...call }: ResumeContext,
  { isCounted, acting, asksForTrust = false, verify }: AnswerCheck
): Promise<LoginResult> {
  const backend = backendNamed(rules, backendName)
  const context = contextOf(call)
  const claim = (): Promise<ClaimedLogin> => claimLogin(rules, step.name, ticket, backend, context, acting)
  const { claimed, attempt } = await beginAnswer(rules, isCounted, claim, { backend, context })
  const { record, row, keep } = claimed
  const { method, methods, remembered: isRemembered = false, trusts: trustsDevice = false, done } = record
  const changed = FST_USERS_LOGIN_TICKET_INVALID
  const state = { method, methods, isRemembered, trustsDevice }
  const login: OngoingLogin = { row, backend, ...state, context, changed, ...renewedBy(record, acting) }

  const proof: unknown = await verifyStep(rules, login, attempt, () => verify(attemptOf(login), keep))
  const { methods: proved, added } = readProof(step.name, proof)
  attempt?.succeeded()
  const browser = acting === null ? presentedBrowser(rules, backend, context.request) : null
  try {
    if ((await rules.pendingLogins.consume(ticket, { browser })) === null) throw changed()
  } catch (error) {
    if (added !== undefined) await withdrawFactor(rules, row, added.undo)
    throw error
  }
  const now =
    added === undefined ? row : await changeFactors(rules, row, { change: 'added', ...added, ...call }, changed)

  const group = groupOf(step)
  const further = {
    ...login,
    row: now,
    methods: [...new Set([...methods, ...proved])],
    trustsDevice: trustsDevice || (asksForTrust && group === SECOND_FACTOR_GROUP)
  }
  const release = acting === null ? await prepareRelease(rules, login) : () => {}
  const result = await continueWith(rules, further, [...done, group])
  if (result.pending === undefined) {
    rules.attempts.forget(row.email, context)
    release()
  }
  return result
}

/** Continues a login or a reauthentication after a right answer. */
async function continueWith (rules: SessionRules, login: OngoingLogin, done: readonly string[]): Promise<LoginResult> {
  const { renews } = login
  if (renews === undefined) return await continueLogin(rules, login, done)
  return await continueReauthentication(rules, { ...login, renews }, { done, hasProof: true })
}

function renewedBy ({ renews }: PendingRecord, acting: Authentication | null): Pick<OngoingLogin, 'renews'> {
  if (renews === undefined || acting === null) return {}
  return { renews: { authentication: acting, since: renews.since === null ? null : new Date(renews.since) } }
}

/** Counts the answer for the client, claims the pending login, and counts the answer for its user. */
async function beginAnswer (
  { attempts }: SessionRules,
  isCounted: boolean,
  claim: () => Promise<ClaimedLogin>,
  { backend, context }: Pick<OngoingLogin, 'backend' | 'context'>
): Promise<{ claimed: ClaimedLogin; attempt: Attempt | null }> {
  if (!isCounted) return { claimed: await claim(), attempt: null }
  let claimed: ClaimedLogin | undefined
  const email = async (): Promise<string> => {
    claimed = await claim()
    return claimed.row.email
  }
  const attempt = await attempts.begin('loginStep', { email, backend: backend.name, context })
  return { claimed: claimed ?? (await claim()), attempt }
}

/**
 * Returns the pending login of a ticket. Throws `FST_USERS_LOGIN_TICKET_INVALID` for every ticket that does not match
 * the backend, the browser or the session, the step and the present state of its user.
 */
async function claimLogin (
  rules: SessionRules,
  name: string,
  ticket: string,
  backend: Backend,
  { request }: EventContext,
  acting: Authentication | null
): Promise<ClaimedLogin> {
  const browser = acting === null ? presentedBrowser(rules, backend, request) : null
  const record = await rules.pendingLogins.attempt(ticket, { browser })
  const offered = record?.steps.find((step) => step.name === name)
  if (record === null || offered === undefined || record.backend !== backend.name || !isPendingFor(record, acting)) {
    throw FST_USERS_LOGIN_TICKET_INVALID()
  }
  const row = await rules.rows.getRow(record.user)
  const isOpen =
    row !== null &&
    hasState(rules, row, record.state) &&
    stateFailure(rules, { row, backend, method: record.method }) === null
  if (isOpen) return { record, row, keep: offered.keep }
  await rules.pendingLogins.consume(ticket, { browser })
  throw FST_USERS_LOGIN_TICKET_INVALID()
}

/** Returns true for a reauthentication of this session or, if `acting` is null, for a login. */
function isPendingFor ({ user, renews }: PendingRecord, acting: Authentication | null): boolean {
  if (renews === undefined || acting === null) return renews === undefined && acting === null
  return renews.session === acting.session.id && String(user) === String(acting.user.id)
}

/** Runs the check of an answer. Reports a wrong answer to the counters, and fires `onLoginFailed`. */
async function verifyStep (
  rules: SessionRules,
  { row, backend, context }: OngoingLogin,
  attempt: Attempt | null,
  verify: () => MaybePromise<LoginProof | void>
): Promise<unknown> {
  try {
    return await verify()
  } catch (error) {
    const { statusCode } = error as { statusCode?: unknown }
    const isRefused = typeof statusCode === 'number' && statusCode < 500
    if (isRefused) await attempt?.failed(row)
    else attempt?.undo()
    if (isRefused) await reportLoginFailure(rules, 'STEP_FAILED', row.email, row, backend.name, context)
    throw error
  }
}

/** Returns what an answer proves. `false` and other values are a mistake in the step, not a proof. */
function readProof (name: string, proof: unknown): LoginProof & { methods: readonly string[] } {
  if (proof === undefined || proof === null) return { methods: [name] }
  const given = typeof proof === 'object' ? (proof as LoginProof) : { methods: null }
  const { methods = [name] } = given
  if (Array.isArray(methods)) return { ...given, methods: methods as readonly string[] }
  const reason = 'verify must throw for a wrong answer, and return nothing or { methods } for a right one'
  throw FST_USERS_INVALID_OPTION([`features: login step "${name}"`, reason])
}

/**
 * Returns the step with this name. The name comes from a client, so an unknown one is refused like an unknown ticket.
 */
function stepNamed ({ loginSteps }: SessionRules, name: string): RegisteredStep {
  const entry = loginSteps.find(({ step }) => step.name === name)
  if (entry === undefined) throw FST_USERS_LOGIN_TICKET_INVALID()
  return entry
}
