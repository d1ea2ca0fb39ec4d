import type { AuditEntry } from '../contracts/audit.js'
import type { User, UserId } from '../contracts/user.js'
import type { CallContext, LoginContext } from '../contracts/users-api.js'
import { contextOf } from '../sessions/index.js'
import type { Rules } from './rules.js'
import type { UsersService } from './users-service.js'

/** The methods whose refusals are security events. */
type Audited = Pick<
  UsersService,
  | 'create'
  | 'registerWithoutReveal'
  | 'update'
  | 'updateOwn'
  | 'delete'
  | 'checkCredentials'
  | 'requestVerify'
  | 'verify'
  | 'confirmEmail'
  | 'forgotPassword'
  | 'resetPassword'
  | 'login'
  | 'resumeLogin'
  | 'startSession'
  | 'resumeSession'
  | 'reauthenticate'
  | 'renewSession'
  | 'requestRegistration'
  | 'completeRegistration'
  | 'undoEmailChange'
>

/**
 * Returns the service, whose methods emit the audit event of each refusal. Successes are reported by the hooks, and
 * refused logins by `onLoginFailed`.
 */
export function auditedService<S extends Audited> ({ audit }: Rules, service: S): S {
  async function run<T> (entry: AuditEntry, call: CallContext, operation: () => Promise<T>): Promise<T> {
    try {
      return await operation()
    } catch (error) {
      audit.emitError(error, contextOf(call), entry, { isReported: entry.event === 'login' })
      throw error
    }
  }

  return {
    ...service,
    ...auditedWrites(run, service),
    ...auditedMails(run, service),
    ...auditedLinks(run, service),
    ...auditedLogins(run, service)
  }
}

type Run = <T>(entry: AuditEntry, call: CallContext, operation: () => Promise<T>) => Promise<T>

function auditedWrites (
  run: Run,
  inner: Audited
): Pick<Audited, 'create' | 'registerWithoutReveal' | 'update' | 'updateOwn' | 'delete'> {
  return {
    create: (user, context = {}) =>
      run({ event: 'user.register', user }, context, () => inner.create(user, context)),
    registerWithoutReveal: (user, context) =>
      run({ event: 'user.register', user }, context, () => inner.registerWithoutReveal(user, context)),
    update: (user, changes, context = {}) =>
      run({ event: 'user.update', user: auditedUser(user) }, context, () => inner.update(user, changes, context)),
    updateOwn: (changes, request, reply) =>
      run({ event: 'user.update', user: request.user }, { request, reply }, () =>
        inner.updateOwn(changes, request, reply)
      ),
    delete: (user, context = {}) =>
      run({ event: 'user.delete', user: auditedUser(user) }, context, () => inner.delete(user, context))
  }
}

function auditedMails (
  run: Run,
  inner: Audited
): Pick<Audited, 'requestVerify' | 'verify' | 'confirmEmail' | 'forgotPassword' | 'resetPassword'> {
  return {
    requestVerify: (email, context = {}) =>
      run({ event: 'email.verify_request', user: { email } }, context, () => inner.requestVerify(email, context)),
    verify: (token, context = {}) => run({ event: 'email.verify' }, context, () => inner.verify(token, context)),
    confirmEmail: (user, context = {}) =>
      run({ event: 'email.verify', user }, context, () => inner.confirmEmail(user, context)),
    forgotPassword: (email, context = {}) =>
      run({ event: 'password.reset_request', user: { email } }, context, () => inner.forgotPassword(email, context)),
    resetPassword: (token, password, context = {}) =>
      run({ event: 'password.reset' }, context, () => inner.resetPassword(token, password, context))
  }
}

function auditedLinks (
  run: Run,
  inner: Audited
): Pick<Audited, 'requestRegistration' | 'completeRegistration' | 'undoEmailChange'> {
  return {
    requestRegistration: (email, context = {}) =>
      run({ event: 'user.register_request', user: { email } }, context, () => inner.requestRegistration(email, context)),
    completeRegistration: (token, values, context = {}) =>
      run({ event: 'user.register' }, context, () => inner.completeRegistration(token, values, context)),
    undoEmailChange: (token, context = {}) =>
      run({ event: 'email.change_cancel' }, context, () => inner.undoEmailChange(token, context))
  }
}

function auditedLogins (
  run: Run,
  inner: Audited
): Pick<
  Audited,
  'checkCredentials' | 'login' | 'resumeLogin' | 'startSession' | 'resumeSession' | 'reauthenticate' | 'renewSession'
> {
  return {
    checkCredentials (credentials, context = {}) {
      const entry = { ...loginEntry(context), user: { email: credentials.username } }
      return run(entry, context, () => inner.checkCredentials(credentials, context))
    },
    login: (user, context) =>
      run({ ...loginEntry(context), user }, context, () => inner.login(user, context)),
    resumeLogin: (answer, context) =>
      run({ ...loginEntry(context), method: answer.step }, context, () => inner.resumeLogin(answer, context)),
    startSession: (backend, row, context) =>
      run({ ...loginEntry({ ...context, backend: backend.name }), user: row }, context, () =>
        inner.startSession(backend, row, context)
      ),
    resumeSession: (backend, answer, context) =>
      run({ event: 'login', backend: backend.name, method: answer.step }, context, () =>
        inner.resumeSession(backend, answer, context)
      ),
    reauthenticate: (proof, context) =>
      run(reauthenticationEntry(proof, context), context, () => inner.reauthenticate(proof, context)),
    renewSession: (proof, context) =>
      run(reauthenticationEntry(proof, context), context, () => inner.renewSession(proof, context))
  }
}

function reauthenticationEntry (
  proof: Parameters<Audited['reauthenticate']>[0],
  { request }: Parameters<Audited['reauthenticate']>[1]
): AuditEntry {
  const { user, backend = null } = contextOf({ request }).request?.authentication ?? { user: null }
  return { event: 'login.reauthenticate', user, backend, method: proofMethodOf(proof) }
}

/** Returns what a reauthentication presents. Null: nothing, because the client asks for the steps. */
function proofMethodOf (proof: Parameters<Audited['reauthenticate']>[0]): string | null {
  if ('ticket' in proof) return proof.step
  return proof.password === undefined ? null : 'password'
}

function loginEntry ({ backend, method = 'password' }: Partial<LoginContext>): AuditEntry {
  return { event: 'login', backend: backend ?? null, method }
}

function auditedUser (user: User | UserId): NonNullable<AuditEntry['user']> {
  return typeof user === 'object' ? user : { id: user, email: '' }
}
