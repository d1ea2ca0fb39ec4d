import type { LoginAttempt, LoginStep } from '../contracts/login-step.js'
import type { LoginResult } from '../contracts/users-api.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { completeLogin } from './complete-login.js'
import { attemptOf, type OngoingLogin } from './ongoing-login.js'
import { openTicket } from './pending-login.js'
import { requireSecondFactor } from './second-factors.js'
import type { RegisteredStep, SessionRules } from './session-rules.js'

/**
 * Returns the next steps of a login with a ticket or, if none is left, creates the session. `done` lists the groups of
 * which the user has answered a step.
 */
export async function continueLogin (
  rules: SessionRules,
  login: OngoingLogin,
  done: readonly string[]
): Promise<LoginResult> {
  const attempt = attemptOf(login)
  const steps = await nextSteps(rules.loginSteps, attempt, done)
  if (steps.length > 0) {
    const pending = await openTicket(rules, login, done, steps)
    reportPending(rules, login, pending.code, steps)
    return { pending }
  }
  await requireSecondFactor(rules, attempt, done)
  const issued = await completeLogin(rules, login, attempt)
  return { issued, user: rules.rows.toUser(login.row) }
}

/** Emits the audit event of a login that needs a further step. */
export function reportPending (
  { audit, rows }: SessionRules,
  { row, backend, method, context, renews }: OngoingLogin,
  code: string,
  steps: readonly LoginStep[] = []
): void {
  if (!audit.isActive()) return
  const user = rows.toUser(row)
  const details = { steps: steps.map(({ name }) => name).join() }
  audit.emit(
    { event: renews === undefined ? 'login' : 'login.reauthenticate', outcome: 'pending', reason: code, user, actor: user, backend: backend.name, method, details },
    context
  )
}

/** Returns the name of the group of a step. */
export function groupOf ({ name, group = name }: LoginStep): string {
  return group
}

/** Returns the needed steps of the first group that is not done and has any. */
async function nextSteps (
  registered: readonly RegisteredStep[],
  attempt: LoginAttempt,
  done: readonly string[]
): Promise<readonly LoginStep[]> {
  const groups = new Set(registered.map(({ step }) => groupOf(step)))
  for (const group of groups) {
    if (done.includes(group)) continue
    const needed = await neededSteps(registered, group, attempt)
    if (needed.length > 0) return needed
  }
  return []
}

/** Returns the needed steps of one group. */
export async function neededSteps (
  registered: readonly RegisteredStep[],
  group: string,
  attempt: LoginAttempt
): Promise<readonly LoginStep[]> {
  const needed: LoginStep[] = []
  for (const { step } of registered) {
    if (groupOf(step) === group && (await isNeeded(step, attempt))) needed.push(step)
  }
  return needed
}

/**
 * Returns true if the user must do the step. Throws `FST_USERS_INVALID_OPTION` for any value except true and false: a
 * mistake in a step must not let users skip it.
 */
async function isNeeded (step: LoginStep, attempt: LoginAttempt): Promise<boolean> {
  const needed: unknown = await step.needed(attempt)
  if (typeof needed === 'boolean') return needed
  throw FST_USERS_INVALID_OPTION([`features: login step "${step.name}"`, 'needed must return true or false'])
}
