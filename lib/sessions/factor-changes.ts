import type { EventContext } from '../contracts/events.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { SecondFactorChange } from '../contracts/second-factors.js'
import type { UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { generateStamp } from '../tokens/index.js'
import { sessionsOfCookies } from './acting-user.js'
import { revokeSessions, revokeUnlessRevoked } from './end.js'
import { prepareRenewal, type PresentedSession } from './issue.js'
import { isUserUnchanged } from './ongoing-login.js'
import { deleteStoredOthers } from './service.js'
import { contextOf, type SessionRules } from './session-rules.js'

type AddedFactor = Extract<SecondFactorChange, { change: 'added' }>
type RemovedFactor = Extract<SecondFactorChange, { change: 'removed' }>

/** Deletes all second factors of a user who is deleted. */
export async function deleteSecondFactors ({ secondFactors, rows }: SessionRules, row: UserRow): Promise<void> {
  for (const { removeAll } of secondFactors) await removeAll(rows.toUser(row))
}

/**
 * Removes the second factors of a user who has lost them: all, or those with one name. The sessions end before, so that
 * the call can be repeated if it fails, and after it, like those of {@link changeFactors}. Returns the number of
 * removed factors.
 */
export async function removeSecondFactors (
  rules: SessionRules,
  row: UserRow,
  { name: only, ...call }: CallContext & { name?: string }
): Promise<number> {
  const { audit, hooks, rows, secondFactors } = rules
  const context = contextOf(call)
  const chosen = secondFactors.filter(({ name }) => only === undefined || name === only)
  const counts = await Promise.all(chosen.map(({ count }) => count(rows.toUser(row))))
  const hasFactors = counts.some((count) => count !== 0)
  const current = hasFactors ? await revokeSessions(rules, row) : row
  const user = rows.toUser(current)
  let total = 0
  try {
    for (const { name, removeAll } of chosen) {
      const removed = await removeAll(user)
      if (removed === 0) continue
      total += removed
      const kind = name === 'passkey' ? 'passkey' : 'second-factor'
      await hooks.run('onLoginMethodRemoved', { user, kind, method: name }, context)
      audit.emit({ event: 'factor.remove', user, method: name, details: { factors: removed } }, context)
    }
    if (hasFactors || total > 0) await revokeSessions(rules, current)
  } catch (error) {
    await revokeSessions(rules, current).catch(() => {}) // the first error is the one to report
    throw error
  }
  return total
}

/**
 * Ends the sessions that are older than a change of the factors, and reports the change. Returns the present row. If
 * the sessions were revoked since the row was read, `revoked()` is thrown.
 *
 * A removal revokes the sessions, removes the factor, reports it, revokes again, and renews the cookie of the request.
 * The first revocation makes sure that no older session remains if the store fails after the removal. The second one
 * ends what the factor has opened in between, also in other processes: a login checks the security stamp after its
 * session is stored. An addition revokes, creates the session of the new cookie, reports, and sends the cookie. If it
 * fails, the factor is removed again. After every failure, the sessions are revoked again and the cookie is renewed, as
 * far as the store works, so that the request can be repeated.
 */
export async function changeFactors (
  rules: SessionRules,
  row: UserRow,
  change: SecondFactorChange,
  revoked: () => Error = FST_USERS_UNAUTHENTICATED
): Promise<UserRow> {
  const isAddition = change.change === 'added'
  const changed = await (isAddition ? addFactor(rules, row, change) : removeFactor(rules, row, change))
  if (changed !== null) return changed
  if (change.undo !== undefined) await withdrawFactor(rules, row, change.undo)
  throw revoked()
}

/**
 * Removes a factor that was added after the sessions of the user were revoked, and ends sessions that it may have
 * begun.
 */
export async function withdrawFactor (
  rules: SessionRules,
  row: UserRow,
  undo: () => MaybePromise<unknown>
): Promise<void> {
  await undo()
  const now = await rules.rows.getRow(row.id as UserId)
  if (now !== null) await revokeSessions(rules, now)
}

/** A user whose factors change, and the cookie sessions of the request, which continue. */
interface ChangingUser {
  readonly row: UserRow
  readonly cookies: readonly PresentedSession[]
}

async function addFactor (
  rules: SessionRules,
  row: UserRow,
  { method, kind = 'second-factor', undo, ...call }: AddedFactor
): Promise<UserRow | null> {
  const context = contextOf(call)
  const event = { user: rules.rows.toUser(row), kind, method }
  const stamps = [generateStamp()]
  let cookies: readonly PresentedSession[] = []
  let isReported = false
  try {
    cookies = await cookiesOf(rules, row, context)
    const ended = await endOlderSessions(rules, { row, cookies }, stamps, context)
    if (ended === null) return null
    const renew = await prepareRenewals(rules, ended, context)
    isReported = true
    await rules.hooks.run('onLoginMethodAdded', event, context)
    rules.audit.emit({ event: 'factor.add', user: event.user, method }, context)
    renew()
    return ended.row
  } catch (error) {
    const isUndone = await succeeds(undo)
    if (isUndone && isReported) await succeeds(() => rules.hooks.run('onLoginMethodRemoved', event, context))
    await succeeds(() => continueSessions(rules, { row, cookies }, stamps, context))
    throw error
  }
}

/** Removes a factor. Returns null, and removes nothing, if the session of the request may have ended. */
async function removeFactor (
  rules: SessionRules,
  row: UserRow,
  { method, kind = 'second-factor', remove, ...call }: RemovedFactor
): Promise<UserRow | null> {
  const context = contextOf(call)
  const event = { user: rules.rows.toUser(row), kind, method }
  const stamps = [generateStamp(), generateStamp()] as const
  const mustBeUnchanged = remove !== undefined && context.request !== null
  let changing: ChangingUser = { row, cookies: await cookiesOf(rules, row, context) }
  try {
    const revoked = await (mustBeUnchanged ? revokeUnchanged : revokeAll)(rules, changing, stamps[0])
    if (revoked === null) return null
    changing = revoked
    await remove?.(changing.row)
    rules.audit.emit({ event: 'factor.remove', user: event.user, method }, context)
    await rules.hooks.run('onLoginMethodRemoved', event, context)
    if (remove !== undefined) changing = await revokeAll(rules, changing, stamps[1])
    const renew = await prepareRenewals(rules, changing, context)
    renew()
    return changing.row
  } catch (error) {
    await succeeds(() => continueSessions(rules, changing, stamps, context))
    throw error
  }
}

/** Returns true if a function succeeds. It is called after another error, which is the one to report. */
async function succeeds (run: () => MaybePromise<unknown>): Promise<boolean> {
  try {
    await run()
    return true
  } catch {
    return false
  }
}

/** Returns the cookie sessions of a request of this user. */
async function cookiesOf (
  rules: SessionRules,
  row: UserRow,
  { request }: EventContext
): Promise<readonly PresentedSession[]> {
  return isOwnRequest(row, request) ? await sessionsOfCookies(rules, row, request) : []
}

function isOwnRequest ({ id }: UserRow, request: EventContext['request']): boolean {
  return request?.authentication != null && String(request.authentication.user.id) === String(id)
}

/**
 * Ends all sessions but that of the request. A cookie session gets a new secret (SES-07). A bearer token continues only
 * if the other sessions can be deleted one by one; the security stamp stays then, and is added to `stamps`. Returns
 * null, and ends nothing, if the sessions of the user were revoked since the row was read: a parallel password reset
 * stays in effect.
 */
async function endOlderSessions (
  rules: SessionRules,
  changing: ChangingUser,
  stamps: string[],
  { request }: EventContext
): Promise<ChangingUser | null> {
  const { row } = changing
  const acting = isOwnRequest(row, request) ? (request?.authentication ?? null) : null
  if (acting !== null && rules.backends.get(acting.backend)?.transport.renew === undefined) {
    if (!(await isUserUnchanged(rules, row))) return null
    stamps.push(rules.rows.stampOf(row))
    if (await deleteStoredOthers(rules, rules.rows.toUser(row), acting.session.id)) return { row, cookies: [] }
    stamps.pop()
  }
  return await revokeUnchanged(rules, changing, stamps[0])
}

/** Revokes the sessions. Returns null, and revokes nothing, if the sessions were revoked since the row was read. */
async function revokeUnchanged (
  rules: SessionRules,
  { row, cookies }: ChangingUser,
  stamp?: string
): Promise<ChangingUser | null> {
  const now = (await isUserUnchanged(rules, row)) ? await revokeUnlessRevoked(rules, row, stamp) : null
  return now === null ? null : { row: now, cookies }
}

/** Revokes the sessions. After a parallel revocation, the sessions of the request do not continue. */
async function revokeAll (rules: SessionRules, changing: ChangingUser, stamp: string): Promise<ChangingUser> {
  const revoked = await revokeUnchanged(rules, changing, stamp)
  return revoked ?? { row: await revokeSessions(rules, changing.row), cookies: [] }
}

/** Creates the sessions that continue those of the request. Returns a function that sends their cookies. */
async function prepareRenewals (
  rules: SessionRules,
  { row, cookies }: ChangingUser,
  context: EventContext
): Promise<() => void> {
  const prepared: (() => void)[] = []
  for (const cookie of cookies) prepared.push(await prepareRenewal(rules, row, cookie, context))
  return () => {
    for (const send of prepared) send()
  }
}

/**
 * Revokes the sessions again after a failed change, and renews the cookies of the request. Does nothing if the change
 * has not revoked them, or if a parallel change has: `stamps` are the security stamps of this change.
 */
async function continueSessions (
  rules: SessionRules,
  { row, cookies }: ChangingUser,
  stamps: readonly string[],
  context: EventContext
): Promise<void> {
  const { rows } = rules
  const now = await rows.getRow(row.id as UserId)
  const own = row.session_stamp === undefined ? [rows.stampOf(row)] : stamps
  if (now === null || !own.some((stamp) => rows.hasStamp(now, stamp))) return
  const revoked = await revokeUnchanged(rules, { row: now, cookies })
  if (revoked === null) return
  const renew = await prepareRenewals(rules, revoked, context)
  renew()
}
