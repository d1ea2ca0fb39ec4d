import type { Backend } from '../contracts/backend.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { CallContext, UsersApi } from '../contracts/users-api.js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FeatureApi } from '../contracts/feature.js'
import type { LoginAnswer } from '../contracts/login-step.js'
import type { NewUser, User, UserChanges, UserRow } from '../contracts/user.js'
import { FST_USERS_UNKNOWN_FEATURE } from '../errors.js'
import {
  contextOf,
  createSessionService,
  currentRow,
  endPresentedSessions,
  endSessions,
  finishedLogin,
  login,
  logout,
  reportLoginFailure,
  resumeLogin,
  resumeSession,
  startSession,
  type StartContext
} from '../sessions/index.js'
import { exportAccount } from './account-export.js'
import { createFactorMethods } from './account-factors.js'
import { registerUser, registerWithoutReveal } from './registration.js'
import { completeRegistration, requestRegistration } from './registration-by-mail.js'
import { updateOwnUser, updateUser } from './accounts.js'
import { attemptLogin } from './credentials.js'
import { deleteUser } from './deletion.js'
import { undoEmailChange } from './email-change-undo.js'
import { confirmEmail } from './email-proof.js'
import { forgotPassword, resetPassword } from './password-reset.js'
import { parseEmail } from './email.js'
import { removeLoginMethods } from './login-methods.js'
import type { Rules } from './rules.js'
import { reauthenticate, requireStepUp } from './step-up.js'
import { requestVerify, verifyEmail } from './verification.js'

/** Methods for the routes, in addition to those of `app.users`. */
export interface UsersService extends UsersApi {
  /**
   * Creates a session for a user and revokes the sessions whose cookies the request presents. Throws the errors of
   * `login`, and `FST_USERS_LOGIN_PENDING` if the login needs another step.
   */
  startSession(backend: Backend, row: UserRow, context: StartContext): Promise<IssuedToken>
  /** Continues a pending login like `resumeLogin`, and does what `startSession` does. */
  resumeSession(backend: Backend, answer: LoginAnswer, context: StartContext): Promise<IssuedToken>
  /** Does what `reauthenticate` does. Throws `FST_USERS_LOGIN_PENDING` if it needs another step. */
  renewSession(proof: { password?: string } | LoginAnswer, context: StartContext): Promise<IssuedToken>
  /** Does what `kit.requireStepUp` does. */
  requireStepUp(request: FastifyRequest, body?: { current_password?: string } | null): Promise<void>
  /** Revokes the sessions of all cookies that a browser presents to a backend, except that of the token `ended`. */
  endPresentedSessions(backend: Backend, request: FastifyRequest, ended?: string): Promise<void>
  /** Registers a user. The reply does not reveal whether the e-mail was taken. */
  registerWithoutReveal(user: NewUser, context: CallContext): Promise<void>
  /**
   * Changes the user of the request. If the change ends the acting cookie session, the reply has a new cookie.
   */
  updateOwn(changes: UserChanges, request: FastifyRequest, reply: FastifyReply): Promise<User>
  /** Creates a session without a login, for tests: no login step and no hook runs. */
  createSession(user: User, options: { backend: string; methods: readonly string[] }): Promise<IssuedToken>
  /** Deletes all login methods that features store for a user. */
  removeLoginMethods(user: User): Promise<void>
}

/** Creates `app.users` from the functions of this folder. */
export function createUsersService (rules: Rules, securityProfile: UsersApi['securityProfile']): UsersService {
  const { rows, hooks, background, backends } = rules
  const present = (row: UserRow | null): User | null => row && rows.toUser(row)

  return {
    get: async (id) => present(await rows.getRow(id)),
    getByEmail: async (email) => present(await rows.getByEmail(email)),
    create: (user, context = {}) => registerUser(rules, user, context),
    registerWithoutReveal: (user, context) => registerWithoutReveal(rules, user, context),
    update: (user, changes, context = {}) => updateUser(rules, user, changes, context),
    async removeLoginMethods (user) {
      await removeLoginMethods(rules, user, 'all')
    },
    createSession: (user, options) => createTestSession(rules, user, options),
    updateOwn: (changes, request, reply) => updateOwnUser(rules, changes, request, reply),
    delete: (user, context = {}) => deleteUser(rules, user, context),
    exportData: (user) => exportAccount(rules, user),

    checkCredentials: (credentials, context) => checkCredentials(rules, credentials, context),
    requestRegistration: (email, context = {}) => requestRegistration(rules, email, context),
    completeRegistration: (token, values, context = {}) => completeRegistration(rules, token, values, context),
    undoEmailChange: (token, context = {}) => undoEmailChange(rules, token, context),
    requestVerify: (email, context = {}) => requestVerify(rules, email, context),
    verify: (token, context = {}) => verifyEmail(rules, token, context),
    confirmEmail: (user, context = {}) => confirmEmail(rules, user, context),
    forgotPassword: (email, context = {}) => forgotPassword(rules, email, context),
    resetPassword: (token, password, context = {}) => resetPassword(rules, token, password, context),
    login: (user, context) => login(rules, user, context),
    resumeLogin: (answer, context) => resumeLogin(rules, answer, context),
    logout (given, givenReply) {
      const { request, reply } = contextOf({ request: given, reply: givenReply ?? null })
      return logout(rules, request as FastifyRequest, reply) // a request was given
    },
    ...createStepUp(rules),
    endSessions: (user) => endSessions(rules, user),
    ...createFactorMethods(rules),
    startSession: (backend, row, context) => startSession(rules, backend, row, context),
    resumeSession: (backend, answer, context) => resumeSession(rules, backend, answer, context),
    endPresentedSessions: (backend, request, ended) => endPresentedSessions(rules, backend, request, ended),

    addHook: (name, hook) => {
      hooks.add(name, hook)
    },
    eventNames: hooks.names,
    settled: () => background.settled(),
    feature: <N extends string>(name: N) => featureNamed(rules, name) as FeatureApi<N>, // the feature declares the type
    securityProfile,
    backends
  }
}

async function createTestSession (
  rules: Rules,
  user: User,
  options: Parameters<UsersService['createSession']>[1]
): Promise<IssuedToken> {
  const authenticatedAt = new Date(rules.settings.clock())
  return await createSessionService(rules).create(await currentRow(rules, user), { authenticatedAt, ...options })
}

async function checkCredentials (
  rules: Rules,
  credentials: { username: string; password: string },
  { backend = null, ...call }: CallContext & { backend?: string | null } = {}
): Promise<UserRow | null> {
  const context = contextOf(call)
  const checked = await attemptLogin(rules, credentials, backend, context)
  if (checked?.right === true) return checked.row
  const row = checked?.row ?? null
  await reportLoginFailure(
    rules,
    row === null ? 'UNKNOWN_USER' : 'WRONG_PASSWORD',
    parseEmail(credentials.username) ?? credentials.username,
    row,
    backend,
    context
  )
  return null
}

function createStepUp (rules: Rules): Pick<UsersService, 'reauthenticate' | 'renewSession' | 'requireStepUp'> {
  return {
    reauthenticate: (proof, context) => reauthenticate(rules, proof, contextOf(context)),
    async renewSession (proof, context) {
      return finishedLogin(await reauthenticate(rules, proof, contextOf(context))).issued
    },
    requireStepUp: (request, body) => requireStepUp(rules, request, body)
  }
}

function featureNamed ({ features }: Rules, name: string): unknown {
  if (!features.has(name)) throw FST_USERS_UNKNOWN_FEATURE([name, [...features.keys()].join(', ')])
  return features.get(name)
}
