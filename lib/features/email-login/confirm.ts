import {
  contextOf,
  hasErrorCode,
  type Backend,
  type CallContext,
  type EventContext,
  type LoginContext,
  type LoginResult,
  type UserId,
  type UserRow
} from '../../feature/index.js'
import type { EmailLoginApi, EmailLoginProof } from './contracts.js'
import { FST_USERS_EMAIL_LOGIN_INVALID, FST_USERS_EMAIL_LOGIN_OTHER_BROWSER } from './errors.js'
import type { RequestRow } from './model.js'
import type { EmailLoginParts } from './parts.js'
import { digestTicket } from './requests.js'

const ATTEMPT = 'email-login-confirm'

/** The context of a login, and the wish for a longer session. */
type LoginCall = CallContext & Pick<LoginContext, 'rememberMe'>

/** The backend and the context of a call that presents a proof. */
interface Presented {
  readonly backend: Backend
  readonly context: EventContext
}

/** Creates the function that finishes logins. */
export function createConfirm (parts: EmailLoginParts): EmailLoginApi['confirm'] {
  const { requests, browsers } = parts
  return async (proof, { backend: name, ...call }) => {
    const presented = { backend: parts.backendNamed(name), context: contextOf(call) }
    const found = await (proof.token === undefined ? checkCode : checkLink)(parts, proof, presented)
    if (!(await requests.take(found))) throw FST_USERS_EMAIL_LOGIN_INVALID()
    browsers.release(presented.backend, presented.context)
    return found.signs_up ? await signUp(parts, found, name, call) : await logInKnownUser(parts, found, name, call)
  }
}

/**
 * Returns the request of a ticket whose code is right. A wrong code counts as a failure of the account, whether it
 * exists or not.
 */
async function checkCode (
  { kit, requests, codes, browsers }: EmailLoginParts,
  { ticket = '', code = '' }: EmailLoginProof,
  { backend, context }: Presented
): Promise<RequestRow> {
  const claimed: { row: RequestRow | null } = { row: null }
  const browser = browsers.presented(backend, context)
  const email = async (): Promise<string | null> => {
    const row = await requests.countCode(ticket)
    // only the client that asked may answer
    claimed.row = row !== null && row.backend === backend.name && row.browser === browser ? row : null
    return claimed.row?.email ?? null
  }
  const attempt = await kit.attempts.begin(ATTEMPT, { email, isCode: true, backend: backend.name, context })
  const { row } = claimed
  if (row === null) throw FST_USERS_EMAIL_LOGIN_INVALID()
  if (row.code !== null && codes.isRight(code, row.id, row.code) && isMailed(row)) {
    attempt.succeeded()
    return row
  }
  const owner = await kit.rows.getByEmail(row.email)
  await attempt.failed(owner)
  const user = owner && kit.rows.toUser(owner)
  await kit.fire('onLoginFailed', { username: row.email, user, backend: backend.name, reason: 'WRONG_CODE' }, context)
  throw FST_USERS_EMAIL_LOGIN_INVALID()
}

/**
 * Returns the request of a link. If another browser sent the request, the person must have confirmed the login: an
 * attacker may have requested the link, for the account of the person or for the attacker's own.
 */
async function checkLink (
  { kit, requests, browsers }: EmailLoginParts,
  { token = '', ticket, other_browser: isConfirmed = false }: EmailLoginProof,
  { backend, context }: Presented
): Promise<RequestRow> {
  const attempt = await kit.attempts.begin(ATTEMPT, { backend: backend.name, context })
  const row = await requests.ofLink(token)
  if (row === null || row.backend !== backend.name || !isMailed(row)) throw FST_USERS_EMAIL_LOGIN_INVALID()
  attempt.succeeded()
  const browser = browsers.presented(backend, context)
  const isSame = row.browser === null ? isTicketOf(ticket, row) : row.browser === browser
  if (isSame || isConfirmed) return row
  const { email, data, created_at: created } = row
  const detail = { code: 'EMAIL_LOGIN_OTHER_BROWSER', email, ...data, requested_at: created.toISOString() }
  throw FST_USERS_EMAIL_LOGIN_OTHER_BROWSER([], { detail })
}

/** Returns true if the mail was sent. Otherwise its code and link are unknown to everyone. */
function isMailed ({ user_id: user, signs_up: signsUp }: RequestRow): boolean {
  return user !== null || signsUp
}

function isTicketOf (ticket: string | undefined, { id }: RequestRow): boolean {
  return ticket !== undefined && digestTicket(ticket) === id
}

/**
 * Logs the user of a request in. The use of the mail proved the mailbox, so an unverified user is verified, and loses
 * the password and the login methods of the person who registered the e-mail.
 */
async function logInKnownUser (
  { kit, requests }: EmailLoginParts,
  { user_id: user, stamp, email }: RequestRow,
  backend: string,
  call: LoginCall
): Promise<LoginResult> {
  const { rows } = kit
  const id = user === null ? null : rows.parseId(user)
  const row = id === null ? null : await rows.getRow(id)
  if (row === null || !row.is_active || row.email !== email || stamp === null || !rows.hasStamp(row, stamp)) {
    throw FST_USERS_EMAIL_LOGIN_INVALID()
  }
  const proved = row.is_verified ? row : await kit.externalUsers.reclaimUnverified(row.id as UserId, call)
  if (proved === null) throw FST_USERS_EMAIL_LOGIN_INVALID() // the user has changed meanwhile
  const result = await kit.users.login(proved, { ...call, backend, method: 'email' })
  kit.background(() => requests.removeOf(row), contextOf(call).reply) // the other mails are no longer needed
  return result
}

/** Creates the user of a request and logs the user in. If the login is refused, the user is deleted again. */
async function signUp (
  parts: EmailLoginParts,
  { email }: RequestRow,
  backend: string,
  call: LoginCall
): Promise<LoginResult> {
  const { kit } = parts
  const row = await createEmailUser(parts, email, call)
  try {
    return await kit.users.login(row, { ...call, backend, method: 'email' })
  } catch (error) {
    await kit.externalUsers.deleteRefused(row, call).catch((failure: unknown) => {
      kit.background(() => Promise.reject(failure)) // logs the failure
    })
    throw error
  }
}

async function createEmailUser (
  { kit, settings }: EmailLoginParts,
  email: string,
  call: CallContext
): Promise<UserRow> {
  try {
    const fields = await settings.signUp?.(email)
    const stored = await kit.externalUsers.create({ ...fields, email, is_verified: true }, { rows: [] }, call)
    const [row] = stored ?? []
    if (row !== undefined) return row
  } catch (error) {
    // another user has registered the e-mail since the mail was sent
    if (!hasErrorCode(error, 'FST_USERS_REGISTER_USER_ALREADY_EXISTS')) throw error
  }
  throw FST_USERS_EMAIL_LOGIN_INVALID()
}
