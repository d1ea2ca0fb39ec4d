import type { AuditEntry } from '../contracts/audit.js'
import type { EventName, UsersEvents } from '../contracts/events.js'
import type { Session } from '../contracts/session.js'
import type { User, UserChanges } from '../contracts/user.js'

/** The properties that several events have. */
interface Payload {
  user?: User | null
  email?: string | null
  backend?: string | null
  method?: string | null
  session?: Pick<Session, 'id'> | null
}

/** The events whose hooks may refuse the action, with the audit event of the action. */
const REFUSED: Readonly<Record<string, string>> = {
  onBeforeRegister: 'user.register',
  onBeforeUpdate: 'user.update',
  onBeforeDelete: 'user.delete',
  onIssueToken: 'login',
  onAfterLogin: 'login',
  onAfterReauthenticate: 'login.reauthenticate'
}

/** The events after which one thing has happened to `user`. */
const DONE: Readonly<Record<string, string>> = {
  onAfterRegister: 'user.register',
  onAfterVerify: 'email.verify',
  onAfterForgotPassword: 'password.reset_request',
  onAfterResetPassword: 'password.reset',
  onAfterLogin: 'login',
  onAfterReauthenticate: 'login.reauthenticate',
  onNewDevice: 'login.new_device',
  onAfterLogout: 'logout',
  onAfterUndoEmailChange: 'email.change_cancel',
  onAfterDelete: 'user.delete'
}
/** Those of them that anyone can cause: `user` is not the actor. */
const ANONYMOUS: ReadonlySet<string> = new Set(['password.reset_request', 'email.change_cancel', 'user.delete'])

/** Returns the entry of an action that a listener of this event refused with an error; null for other events. */
export function refusedEntry (name: EventName, payload: UsersEvents[EventName]): AuditEntry | null {
  const event = REFUSED[name] ?? attemptedEvent(name)
  if (event === undefined) return null
  const { user, email, backend = null, method = null } = payload as Payload
  const target = user ?? (typeof email === 'string' ? { email } : null)
  return { event, outcome: 'blocked', reason: 'REFUSED', user: target, backend, method }
}

/** Returns the entries of what has happened when all listeners of an event have run. */
export function doneEntries (name: EventName, payload: UsersEvents[EventName], former: User | undefined): AuditEntry[] {
  const { user = null, backend = null, method = null, session = null } = payload as Payload
  const event = DONE[name]
  if (event !== undefined && user !== null) {
    return [{ event, user, actor: ANONYMOUS.has(event) ? null : user, backend, method, session }]
  }
  switch (name) {
    case 'onRegisterExisting':
      return [existingEntry(payload as UsersEvents['onRegisterExisting'])]
    case 'onAfterRequestRegister':
      return [{ event: 'user.register_request', user: payload as UsersEvents['onAfterRequestRegister'] }]
    case 'onAccountLocked':
      return [lockedEntry(payload as UsersEvents['onAccountLocked'])]
    case 'onAfterUpdate':
      return updateEntries(payload as UsersEvents['onAfterUpdate'], former)
    case 'onAfterRequestVerify':
      return [requestEntry(payload as UsersEvents['onAfterRequestVerify'])]
    case 'onLoginFailed':
      return [failedLoginEntry(payload as UsersEvents['onLoginFailed'])]
    default:
      return []
  }
}

function lockedEntry ({ user, failures }: UsersEvents['onAccountLocked']): AuditEntry {
  return { event: 'password.lock', user, isConsequence: true, details: { failures } }
}

function existingEntry ({ user, attempt }: UsersEvents['onRegisterExisting']): AuditEntry {
  const event = attempt === 'register' ? 'user.register' : attempt === 'email-change' ? 'email.change_request' : 'login'
  return { event, outcome: 'failure', reason: 'USER_ALREADY_EXISTS', user, details: { attempt } }
}

/** The verify token of a new e-mail is sent to that e-mail; every other one to the user's own. */
function requestEntry ({ user, email }: UsersEvents['onAfterRequestVerify']): AuditEntry {
  return { event: email === user.email ? 'email.verify_request' : 'email.change_request', user }
}

function failedLoginEntry ({ username, user, backend, reason }: UsersEvents['onLoginFailed']): AuditEntry {
  const outcome = reason === 'REFUSED' ? 'blocked' : 'failure'
  return { event: 'login', outcome, reason, user: user ?? { email: username }, backend }
}

/** Returns one entry for a new password, one for a new e-mail, and one with the names of the other changed fields. */
function updateEntries ({ user, changes }: UsersEvents['onAfterUpdate'], former: User | undefined): AuditEntry[] {
  const entries: AuditEntry[] = []
  const { password, email, current_password: _, ...others } = changes as UserChanges
  if (typeof password === 'string') entries.push({ event: 'password.change', user })
  if (email !== undefined && email === user.email && email !== former?.email) entries.push({ event: 'email.change', user })
  const fields = Object.keys(others)
  if (fields.length === 0) return entries
  const flags = Object.entries(others).filter((entry): entry is [string, boolean] => typeof entry[1] === 'boolean')
  const ofCore = flags.filter(([name]) => name.startsWith('is_'))
  entries.push({ event: 'user.update', user, details: { fields: fields.join(), ...Object.fromEntries(ofCore) } })
  return entries
}

/** Returns the audit event of a hook that runs before an attempt, such as `onLoginAttempt`. */
function attemptedEvent (name: string): string | undefined {
  const [, what = ''] = /^on(\w+)Attempt$/.exec(name) ?? []
  const events: Readonly<Record<string, string>> = {
    Login: 'login',
    LoginStep: 'login',
    CurrentPassword: 'user.update',
    Register: 'user.register',
    ForgotPassword: 'password.reset_request',
    ResetPassword: 'password.reset',
    RequestVerify: 'email.verify_request',
    Verify: 'email.verify'
  }
  return events[what]
}
