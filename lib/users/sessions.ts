import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { EventContext } from '../contracts/events.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { LoginContext, LoginResult } from '../contracts/users-api.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import {
  FST_USERS_LOGIN_BAD_CREDENTIALS, FST_USERS_LOGIN_USER_NOT_VERIFIED, FST_USERS_SESSIONS_NOT_REVOCABLE,
  FST_USERS_UNAUTHENTICATED, FST_USERS_UNKNOWN_BACKEND
} from '../errors.js'
import { generateStamp } from '../tokens/index.js'
import { reportFailure } from './credentials.js'
import { contextOf, currentRow, type Rules } from './rules.js'

/** The one way to a session. Order: state of the user, onBeforeLogin, token, onIssueToken, onAfterLogin. */
export async function login (rules: Rules, given: User | UserRow, { backend: name, method = 'password', ...call }: LoginContext): Promise<LoginResult> {
  const { rows, hooks } = rules
  const row = 'hashed_password' in given ? given : await currentRow(rules, given)
  const backend = backendNamed(rules, name)
  const context = contextOf(call)
  await checkState(rules, row, { backend, method }, context)

  const user = rows.toUser(row)
  const pending = await hooks.run('onBeforeLogin', { user, backend: name, method }, context).catch(async (error: unknown) => {
    await reportFailure(rules, 'REFUSED', row.email, row, name, context)
    throw error
  })
  if (pending !== null) return { pending }

  const issued = await issueToken(rules, backend, row, context.request, FST_USERS_LOGIN_BAD_CREDENTIALS)
  try {
    await checkUnchanged(rules, row)
    await hooks.run('onIssueToken', { user, backend: name, issued }, context)
    await hooks.run('onAfterLogin', { user, backend: name, method }, context)
  } catch (error) {
    await backend.strategy.destroyToken?.(issued.token, user)     // a token that nobody gets must not live
    throw error
  }
  return { issued }
}

/** A token of the user, bound to the stamp of this very row. For a user that was deleted meanwhile throws what `gone` makes. */
async function issueToken ({ rows }: Rules, { strategy }: Backend, row: UserRow, request: FastifyRequest | null, gone: () => Error): Promise<IssuedToken> {
  try {
    return await strategy.writeToken(row, { request, stamp: rows.stampOf(row) })
  } catch (error) {
    throw await rows.getRow(row.id as UserId) === null ? gone() : error
  }
}

/** The row of the user that the request comes from; with `again`, only as long as its session lives. */
export async function actingRow (rules: Rules, request: FastifyRequest, again: boolean): Promise<UserRow> {
  const { rows, backends } = rules
  const { authentication } = request
  if (authentication === null) throw FST_USERS_UNAUTHENTICATED()
  const { user, token, backend } = authentication
  if (!again) {
    const row = await rows.getRow(user.id)
    if (row === null) throw FST_USERS_UNAUTHENTICATED()
    return row
  }
  const subject = await backends.get(backend)?.strategy.readToken(token, { request, users: rows })
  if (subject == null || (subject.stamp != null && !rows.hasStamp(subject.row, subject.stamp))) throw FST_USERS_UNAUTHENTICATED()
  return subject.row
}

/** Gives the browser whose cookie session changed its own password a new one in the same reply. */
export async function renewSession (rules: Rules, row: UserRow, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const backend = rules.backends.get(request.authentication?.backend ?? '')
  if (backend?.transport.renew === undefined) return
  backend.transport.renew(reply, await issueToken(rules, backend, row, request, FST_USERS_UNAUTHENTICATED))
}

/** Ends the session that authenticated the request, by the strategy that read it. */
export async function logout (rules: Rules, request: FastifyRequest, reply: FastifyReply | null): Promise<void> {
  const { authentication } = request
  if (authentication === null) throw FST_USERS_UNAUTHENTICATED()
  const { user, token, backend } = authentication
  await backendNamed(rules, backend).strategy.destroyToken?.(token, user)
  request.authentication = null
  request.user = null
  await rules.hooks.run('onAfterLogout', { user, backend }, { request, reply })
}

/** Ends every session of the user: a new stamp for tokens that carry it, and removal where they are stored. */
export async function endSessions (rules: Rules, user: User | UserId): Promise<void> {
  const row = await currentRow(rules, user)
  await cutSessions(rules, row)
  if (row.session_stamp !== undefined) return
  const left = [...rules.backends.values()].filter(({ strategy }) => strategy.destroyAllTokens === undefined)
  if (left.length > 0) throw FST_USERS_SESSIONS_NOT_REVOCABLE([left.map(({ name }) => name).join(', ')])
}

/** Ends the sessions of a row as far as the table and the strategies can. */
export async function cutSessions (rules: Rules, row: UserRow): Promise<void> {
  if (row.session_stamp !== undefined) await rules.rows.update({ id: row.id }, { session_stamp: generateStamp() })
  await destroyStored(rules, row)
}

/** Removes the user's stored tokens from every backend; the stamp has ended them already where the table has one. */
export async function destroyStored ({ backends, rows }: Rules, row: UserRow): Promise<void> {
  const user = rows.toUser(row)
  for (const { strategy } of backends.values()) await strategy.destroyAllTokens?.(user)
}

function backendNamed ({ backends }: Rules, name: string): Backend {
  const backend = backends.get(name)
  if (backend === undefined) throw FST_USERS_UNKNOWN_BACKEND([name, [...backends.keys()].join(', ')])
  return backend
}

/** A password change, deactivation or end of sessions that ran meanwhile wins: it may have removed tokens before ours was stored. */
async function checkUnchanged ({ rows }: Rules, row: UserRow): Promise<void> {
  const now = await rows.getRow(row.id as UserId)
  if (now === null || !now.is_active || rows.stampOf(now) !== rows.stampOf(row)) throw FST_USERS_LOGIN_BAD_CREDENTIALS()
}

/**
 * Throws unless the user may log in. With `revealExistingAccounts: false` a password opens no account before its e-mail is
 * verified, and the reply is that for a wrong password: otherwise a registration and a login would tell a new e-mail from a taken one.
 */
async function checkState (rules: Rules, row: UserRow, { backend, method }: { backend: Backend, method: string }, context: EventContext): Promise<void> {
  const { revealExistingAccounts } = rules.settings
  const { name, requireVerification } = backend
  const isNeutral = !revealExistingAccounts && method === 'password'
  if (row.is_active && (row.is_verified || !(requireVerification || isNeutral))) return
  await reportFailure(rules, row.is_active ? 'NOT_VERIFIED' : 'INACTIVE', row.email, row, name, context)
  throw row.is_active && !isNeutral ? FST_USERS_LOGIN_USER_NOT_VERIFIED() : FST_USERS_LOGIN_BAD_CREDENTIALS()
}
