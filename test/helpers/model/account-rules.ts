// The rules of the model: one function per request. Each returns the predicted reply and changes the model, or throws a
// `Refusal` and changes nothing.
import {
  isSameMailbox,
  Refusal,
  storedEmail,
  type Account,
  type AccountModel,
  type BackendName,
  type Mail,
  type ModelSession
} from './account-model.js'

export const GOOD_PASSWORDS = ['excalibur-1', 'caliburn-22', 'clarent-333'] as const
export const SHORT_PASSWORD = 'short'

/** A predicted success. */
export interface Prediction {
  readonly status: number
  /** The account that the reply contains, or null for a reply about an anonymous client. */
  readonly account?: Account | null
  /** The session whose token the reply contains. */
  readonly session?: ModelSession | null
  /** The mails that are sent after the reply. */
  readonly mails?: readonly Mail[]
}

export interface GuardFlags {
  readonly verified?: boolean
  readonly superuser?: boolean
  readonly backends?: readonly BackendName[]
}

export interface Changes {
  readonly email?: string
  readonly password?: string
  readonly current_password?: string
  readonly is_active?: boolean
  readonly is_verified?: boolean
  readonly is_superuser?: boolean
}

/** Returns the session of a request. */
export function guard (model: AccountModel, presented: readonly ModelSession[], flags: GuardFlags = {}): ModelSession {
  const session = model.identify(presented, flags.backends)
  if (session?.account.isActive !== true) throw new Refusal(401, 'UNAUTHENTICATED')
  return requireFlags(session, flags)
}

function requireFlags (session: ModelSession, { verified = false, superuser = false }: GuardFlags): ModelSession {
  const { isVerified, isSuperuser } = session.account
  if ((verified && !isVerified) || (superuser && !isSuperuser)) throw new Refusal(403, 'FORBIDDEN')
  return session
}

export function register (model: AccountModel, email: string, password: string): Prediction {
  checkPassword(password, 'REGISTER_INVALID_PASSWORD')
  if (model.find(email) !== undefined) throw new Refusal(400, 'REGISTER_USER_ALREADY_EXISTS')
  const account: Account = {
    id: '',
    email: storedEmail(email),
    password,
    isActive: true,
    isVerified: false,
    isSuperuser: false,
    isDeleted: false
  }
  model.accounts.push(account)
  return { status: 201, account }
}

export function logIn (
  model: AccountModel,
  email: string,
  password: string,
  backend: BackendName,
  presented: readonly ModelSession[]
): Prediction {
  const account = model.find(email)
  if (account?.isActive !== true || account.password !== password) throw new Refusal(400, 'LOGIN_BAD_CREDENTIALS')
  if (model.options.forVerified.includes(backend) && !account.isVerified) {
    throw new Refusal(400, 'LOGIN_USER_NOT_VERIFIED')
  }
  // a browser has one session: the login replaces the cookie
  if (backend === 'cookie') endCookie(presented, 'another login of the browser')
  return { status: backend === 'cookie' ? 204 : 200, session: model.startSession(account, backend) }
}

function endCookie (presented: readonly ModelSession[], event: string): void {
  for (const session of presented) if (session.backend === 'cookie') session.endedBy ??= event
}

export function logOut (model: AccountModel, backend: BackendName, presented: readonly ModelSession[]): Prediction {
  const living = presented.filter((session) => model.isAlive(session))
  // without a session at this backend, the only session at another backend ends
  const session = living.find((one) => one.backend === backend) ?? (living.length === 1 ? living[0] : undefined)
  if (session?.account.isActive !== true) throw new Refusal(401, 'UNAUTHENTICATED')
  requireFlags(session, { verified: model.options.forVerified.includes(backend) })
  if (session.backend !== 'jwt') session.endedBy = 'logout' // a JWT is not stored
  return { status: 204 }
}

export function readOwn (model: AccountModel, presented: readonly ModelSession[], flags: GuardFlags = {}): Prediction {
  return { status: 200, account: guard(model, presented, flags).account }
}

export function readOptional (model: AccountModel, presented: readonly ModelSession[]): Prediction {
  const account = model.identify(presented)?.account
  return { status: 200, account: account?.isActive === true ? account : null }
}

export function readById (model: AccountModel, presented: readonly ModelSession[], target: Account): Prediction {
  superuserFor(model, presented, target)
  return { status: 200, account: target }
}

function superuserFor (model: AccountModel, presented: readonly ModelSession[], target: Account): ModelSession {
  const session = guard(model, presented, { superuser: true })
  if (target.isDeleted) throw new Refusal(404, 'NOT_FOUND')
  return session
}

export function changeOwn (model: AccountModel, presented: readonly ModelSession[], changes: Changes): Prediction {
  const session = guard(model, presented)
  const { email, password, current_password: current } = changes // a user cannot write flags
  const writable = {
    ...(email === undefined ? {} : { email }),
    ...(password === undefined ? {} : { password }),
    ...(current === undefined ? {} : { current_password: current })
  }
  return change(model, session, session.account, writable)
}

export function changeById (
  model: AccountModel,
  presented: readonly ModelSession[],
  target: Account,
  changes: Changes
): Prediction {
  return change(model, superuserFor(model, presented, target), target, changes)
}

function change (model: AccountModel, session: ModelSession, target: Account, changes: Changes): Prediction {
  const { email, password, is_active: active, is_superuser: superuser, is_verified: verified } = changes
  const isOwn = session.account === target
  const mustConfirm = isOwn && model.options.confirm
  const isSensitive = password !== undefined || (email !== undefined && storedEmail(email) !== target.email)
  if (mustConfirm && isSensitive) requireProof(model, session, changes)
  const givesAccess = isSensitive || (superuser === true && !target.isSuperuser)
  if (!isOwn && model.options.confirm && givesAccess) {
    const { password: _password, ...proof } = changes // the current password is that of the superuser
    requireProof(model, session, proof)
  }
  if (password !== undefined) checkPassword(password, 'UPDATE_USER_INVALID_PASSWORD')
  const isNewMailbox = email !== undefined && !isSameMailbox(email, target.email)
  const moves = isNewMailbox && !mustConfirm // otherwise, the new mailbox confirms the change first
  if (moves && model.find(email) !== undefined) throw new Refusal(400, 'UPDATE_USER_EMAIL_ALREADY_EXISTS')
  if ((active === false || superuser === false) && model.isLastSuperuser(target)) {
    throw new Refusal(400, 'LAST_SUPERUSER')
  }

  const becomesVerified = verified === true && (!target.isVerified || moves)
  const ends = password !== undefined || active === false || moves || becomesVerified
  const oldEmail = target.email
  target.password = password ?? target.password
  target.isActive = active ?? target.isActive
  target.isSuperuser = superuser ?? target.isSuperuser
  target.isVerified = verified ?? (target.isVerified && !moves)
  if (email !== undefined && (moves || !isNewMailbox)) target.email = storedEmail(email)
  if (ends) model.endAll(target, `a change: ${JSON.stringify(changes)}`)
  else if (target.email !== oldEmail) model.endMails(target, 'another spelling of the e-mail')
  return {
    status: 200,
    account: target,
    session: isOwn && ends ? renewed(model, session) : null,
    mails: isNewMailbox && mustConfirm ? [model.sendMail(target, 'email-change', storedEmail(email))] : []
  }
}

/** Returns the new session of a browser whose own change ended all sessions of the user. */
/** A new password needs the current one. Other sensitive changes need it or a recent login. */
function requireProof (
  model: AccountModel,
  { account, authenticatedAt }: ModelSession,
  { password, current_password: current }: Changes = {}
): void {
  const isFresh = model.now - authenticatedAt <= 300
  if (current === undefined && password === undefined) {
    if (!isFresh) throw new Refusal(401, 'INSUFFICIENT_USER_AUTHENTICATION')
  } else if (current !== account.password) throw new Refusal(400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
}

function renewed (
  model: AccountModel,
  { account, backend, authenticatedAt }: ModelSession
): ModelSession | null {
  return backend === 'cookie' && account.isActive ? model.startSession(account, 'cookie', authenticatedAt) : null
}

export function remove (model: AccountModel, presented: readonly ModelSession[], target: Account): Prediction {
  const session = superuserFor(model, presented, target)
  if (session.account === target && model.options.confirm) requireProof(model, session)
  if (model.isLastSuperuser(target)) throw new Refusal(400, 'LAST_SUPERUSER')
  target.isDeleted = true
  model.endAll(target, 'deletion')
  return { status: 204 }
}

export function forgotPassword (model: AccountModel, email: string): Prediction {
  const account = model.find(email)
  return { status: 202, mails: account?.isActive === true ? [model.sendMail(account, 'reset')] : [] }
}

export function resetPassword (model: AccountModel, mail: Mail, password: string): Prediction {
  const { account, purpose, endedBy } = mail
  if (purpose !== 'reset' || endedBy !== null || model.isExpired(mail)) {
    throw new Refusal(400, 'RESET_PASSWORD_BAD_TOKEN')
  }
  checkPassword(password, 'RESET_PASSWORD_INVALID_PASSWORD')
  account.password = password
  account.isVerified = true // the user received the mail
  model.endAll(account, 'a password reset')
  return { status: 200 }
}

export function requestVerify (model: AccountModel, email: string): Prediction {
  const account = model.find(email)
  const isSent = account?.isActive === true && !account.isVerified
  return { status: 202, mails: isSent ? [model.sendMail(account, 'verify')] : [] }
}

export function verify (model: AccountModel, mail: Mail, presented: readonly ModelSession[]): Prediction {
  const { purpose, account, email, newEmail, endedBy } = mail
  const isBound = account.isActive && !account.isDeleted && isSameMailbox(email, account.email)
  if (purpose === 'reset' || model.isExpired(mail) || !isBound) throw new Refusal(400, 'VERIFY_USER_BAD_TOKEN')
  if (purpose === 'verify' && account.isVerified) throw new Refusal(400, 'VERIFY_USER_ALREADY_VERIFIED')
  const isTaken = newEmail !== null && model.find(newEmail) !== undefined
  if (endedBy !== null || isTaken) throw new Refusal(400, 'VERIFY_USER_BAD_TOKEN')
  const cookie = model.identify(presented, ['cookie'])
  account.isVerified = true
  account.email = newEmail ?? account.email
  model.endAll(account, 'a verification')
  return { status: 200, account, session: cookie?.account === account ? renewed(model, cookie) : null }
}

/** Code of the application ends all sessions of a user. */
export function endSessions (model: AccountModel, account: Account): Prediction {
  if (account.isDeleted) throw new Refusal(404, 'NOT_FOUND')
  model.endAll(account, 'endSessions')
  return { status: 200 }
}

function checkPassword (password: string, code: string): void {
  if (password === SHORT_PASSWORD) throw new Refusal(400, code)
}
