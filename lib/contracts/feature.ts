import type { TSchema } from '@sinclair/typebox'
import type { FastifyBaseLogger, FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { CurrentPasswordBody } from '../../schemas/index.js'
import type { ExportSource } from './account-export.js'
import type { Attempts } from './attempts.js'
import type { AuditLog } from './audit.js'
import type { GuardFlag, ScopeSource } from './authentication.js'
import type { Backend, BackendOptions } from './backend.js'
import type { DatabaseAdapter, MaybePromise } from './database-adapter.js'
import type { SerializeCookie } from './cookies.js'
import type { PurposeKey } from './definition.js'
import type { ErrorDefinitions } from './errors.js'
import type { EventContext, EventName, PendingLogin, UsersEvents, UsersHooks } from './events.js'
import type { ExternalUser, StoredUserRows, UserDependents } from './external-user.js'
import type { LoginMethods, LoginMethodsService } from './login-methods.js'
import type { LoginProof, LoginStep } from './login-step.js'
import type { Model, ModelBase, ModelExtension } from './models.js'
import type { SecondFactor, SecondFactorService } from './second-factors.js'
import type { PasswordlessRegistrations } from './passwordless-registration.js'
import type { SessionObserver, SessionService } from './session-service.js'
import type { Clock, Settings } from './settings.js'
import type { SingleUse, SingleUseOptions } from './single-use.js'
import type { IssuedToken, UserReader } from './strategy.js'
import type { User, UserId, UserRow } from './user.js'
import type { CallContext, LoginContext, LoginResult, UsersApi } from './users-api.js'

/**
 * A feature of the plugin. Pass it in the option `features`. It is a value: models, errors and
 * events can be read from it without starting an application.
 */
export interface Feature<Api = unknown> {
  /** Unique name. Lower-case letters, digits, `-` and `_`. */
  readonly name: string
  /**
   * Returns the models of the feature, and columns that it adds to models of the core. Calls with equal arguments
   * return equal models.
   */
  models?(base: ModelBase): readonly (Model | ModelExtension)[]
  /**
   * Returns schemas of properties that the users in replies have in addition, by name. `replyFields` of the started
   * feature reads their values. `request.user` does not have them.
   */
  replyFields?(base: ModelBase): Readonly<Record<string, TSchema>>
  /**
   * Returns the columns of `models` that users have as properties, by name: in `request.user`, in hooks and in replies.
   * Request bodies cannot set them. Add their types to the interface `UserAdditions`.
   */
  userFields?(base: ModelBase): Readonly<Record<string, UserField>>
  /** Errors of the feature, by code without the prefix `FST_USERS_`. */
  readonly errors?: ErrorDefinitions
  /** Names of the events of the feature. Their payload types are added to the interface `UsersEvents`. */
  readonly events?: readonly string[]
  /** Flags of `authenticate`, by name. The types of their values are added to the interface `GuardFlags`. */
  readonly guardFlags?: Readonly<Record<string, GuardFlag>>
  /**
   * Backends of the feature that identify the user of a request, such as API keys. They have no login and logout
   * routes, and routes that need a session refuse them. A guard accepts them only if its option `backends` or one of
   * its flags names them.
   */
  readonly backends?: readonly FeatureBackend[]
  /** Names of the login steps that `setup` returns. Lower-case letters, digits, `-` and `_`. */
  readonly loginSteps?: readonly string[]
  /**
   * Returns true if users can ask for a longer session when they log in at this backend: the body of its login route
   * then has the property `remember_me`, and the sessions have `details.remember_me`.
   */
  rememberMe?(backend: string): boolean
  /** True if the feature uses `kit.singleUse`. The table of single-use values exists if a feature needs it. */
  readonly singleUse?: boolean
  /** Starts the feature. Features start in the order of the option, after the backends. */
  setup(kit: FeatureKit): MaybePromise<FeatureParts<Api>>
}

/** A column of a feature that users have as a property. */
export interface UserField {
  /** Schema of the property in replies. */
  readonly schema: TSchema
  /** Returns the property for a stored value, which is null or undefined if the column is empty. */
  read(stored: unknown): unknown
}

/** A backend of a feature. Its strategy only reads tokens. */
export interface FeatureBackend extends Pick<BackendOptions, 'name' | 'transport' | 'strategy'> {
  /** Names of guard flags. A guard with one of them accepts the backend, unless it has the option `backends`. */
  readonly acceptedWith?: readonly string[]
}

/** The parts of a started feature. */
export interface FeatureParts<Api = unknown> {
  /** Registers routes in the scope of the feature. The scope has the plugin's parsers, validation and error replies. */
  readonly routes?: FastifyPluginAsync
  /** Functions that are called when sessions begin and end. */
  readonly sessions?: SessionObserver
  /** One listener per event. They run after those of the option `hooks`. */
  readonly hooks?: UsersHooks
  /** The steps that `loginSteps` of the feature names. Users do the steps in the order of the features. */
  readonly loginSteps?: readonly LoginStep[]
  /** Login methods that the feature stores for users, such as provider accounts. */
  readonly loginMethods?: LoginMethods
  /** Second factors that the feature stores for users. The feature lists `factorEvents` in `events`. */
  readonly secondFactors?: readonly SecondFactor[]
  /** Functions that return the values of the properties that `replyFields` of the feature declares. */
  readonly replyFields?: Readonly<Record<string, (user: User) => Promise<unknown>>>
  /**
   * Returns the scopes that an authenticated request has according to this feature, or null if the feature does not
   * limit the request. The guard flag `scopes` ({@link scopesFlag}) asks every feature that has this function.
   */
  readonly scopes?: ScopeSource
  /** Returns what the feature stores about a user, for `app.users.exportData`. It is called with existing users. */
  readonly exportData?: ExportSource
  /**
   * Activates a user whom the feature has deactivated. It is called when the owner of a previous e-mail undoes the
   * change of the e-mail and the user is inactive, because an attacker may have caused this. Returns false if the user
   * is inactive for another reason.
   */
  readonly reactivate?: Reactivation
  /**
   * Is called when the deletion of a user begins, after the listeners of `onBeforeDelete` and before the user is
   * deactivated. From then on, the feature must not activate the user, because a deletion that fails later may have
   * removed the second factors.
   */
  beginDeletion?(user: User): MaybePromise<void>
  /** Functions for application code: the result of `app.users.feature(name)`. */
  readonly api?: Api
}

/** Does what `reactivate` of {@link FeatureParts} does. */
export type Reactivation = (user: User, context: EventContext) => MaybePromise<boolean>

/** Types of `app.users.feature(name)`, by name. Features and applications add to it by interface merging. */
export interface UsersFeatures {}

/** The type of `app.users.feature(name)`: unknown unless `UsersFeatures` has the name. */
export type FeatureApi<N extends string> = N extends keyof UsersFeatures ? UsersFeatures[N] : unknown

/** Continues pending logins. */
export interface FeatureLogin {
  /**
   * Continues a pending login whose step the feature has checked itself, without `verify`: for example in a callback
   * route of its own. The ticket is used up. Only steps of the feature itself can be continued. Throws like
   * `app.users.resumeLogin`.
   */
  resume(
    ticket: string,
    step: string,
    context: Omit<LoginContext, 'method'>,
    proof?: LoginProof
  ): Promise<LoginResult>
  /**
   * Sends the result of a login as the login route does, and revokes the sessions whose cookies the request presents.
   * Throws `FST_USERS_LOGIN_PENDING` with the ticket if the login needs another step.
   */
  send(
    result: LoginResult,
    context: { backend: string; request: FastifyRequest; reply: FastifyReply }
  ): Promise<FastifyReply>
}

/** The services that the plugin offers to a feature. */
export interface FeatureKit {
  /** Name of the feature. */
  readonly name: string
  /** Encapsulated scope of the feature, in which its routes are registered. */
  readonly scope: FastifyInstance
  readonly settings: Settings
  readonly log: FastifyBaseLogger
  readonly clock: Clock
  /** Store of the tenant. The models of the feature are defined. It is open from `onReady` on. */
  readonly store: DatabaseAdapter
  /**
   * Returns a model of the registration for the methods of `store`, such as `user`, with the columns of all features.
   * Throws `FST_USERS_INVALID_OPTION` for an unknown name.
   */
  model(name: string): Model
  /** Reads users with their password hash. */
  readonly rows: UserReader & {
    getByEmail(email: string): Promise<UserRow | null>
    /** Returns the user without the hash and the stamp. */
    toUser(row: UserRow): User
    /** Returns the security stamp. A change of the password, the e-mail or a flag, and `endSessions`, renew it. */
    stampOf(row: UserRow): string
    /** Returns true if something that was issued with this stamp is still valid for the user. */
    hasStamp(row: UserRow, stamp: string): boolean
  }
  /** Creates, lists and revokes sessions. */
  readonly sessions: SessionService
  /** `app.users`. */
  readonly users: UsersApi
  /** Returns the value of a header `Set-Cookie` (RFC 6265, section 4.1): the serializer of `@fastify/cookie`. */
  readonly serializeCookie: SerializeCookie
  /**
   * Returns keys for one purpose, derived from the plugin's secrets (HKDF, RFC 5869). The first signs; all verify.
   * `lifetimeSeconds` is the longest lifetime of what the keys protect: an old secret is needed for that time after its
   * replacement. It is null for no end, and 0 if nothing stops working without the keys. `rotate-secret` and
   * `app.users.securityProfile()` report it.
   */
  keysFor(purpose: string, lifetimeSeconds?: number | null): readonly PurposeKey[]
  /**
   * Runs work in the background: after `reply` has been sent or, without a reply, in the next turn of the event loop.
   */
  background(work: () => Promise<unknown>, reply?: FastifyReply | null): void
  /**
   * Counts and refuses attempts. Begin every public piece of work that a client could repeat with `attempts.begin`,
   * before any hash or read, and ask `attempts.allowMail` before an event that sends a mail.
   */
  readonly attempts: Attempts
  /** Runs the hooks of an event. */
  fire<N extends EventName>(name: N, payload: UsersEvents[N], context: EventContext): Promise<PendingLogin | null>
  /** Receives the audit events of the feature. */
  readonly audit: AuditLog
  /** Counts and removes the login methods of users. */
  readonly loginMethods: LoginMethodsService
  /** Counts second factors, decides whether a login needs one, and ends what a change of them makes invalid. */
  readonly secondFactors: SecondFactorService
  /** Creates users who log in without a password. */
  readonly externalUsers: ExternalUsers
  /** Registers persons who have another login method than a password. */
  readonly registrations: PasswordlessRegistrations
  /** Reads the session of a request again and returns its user. Throws `FST_USERS_UNAUTHENTICATED` if it has ended. */
  readActingUser(request: FastifyRequest): Promise<UserRow>
  /**
   * Throws unless the session of the request may make a sensitive change. Does nothing unless `sensitiveChanges` is
   * `confirm` or `inEveryMode` is set. The session must be fresh (`reauthentication.maxAgeSeconds`) and, if the user
   * has a second factor, show two kinds of factors. For a user without a second factor, the current password in the
   * body replaces the fresh session. `provesFactor`: the caller checks a second factor itself, so the session need not
   * show one. Throws `FST_USERS_INSUFFICIENT_USER_AUTHENTICATION`, `FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD` and
   * `FST_USERS_UNAUTHENTICATED`. If the body of the route has no other fields than the current password, `stepUpBody`
   * returns its schema and its errors; otherwise add `CONFIRM_ERRORS`.
   */
  requireStepUp(
    request: FastifyRequest,
    body?: CurrentPasswordBody | null,
    options?: { provesFactor?: boolean; inEveryMode?: boolean }
  ): Promise<void>
  /** Revokes the sessions of a user where the user table and the strategies support it. */
  revokeSessions(row: UserRow): Promise<void>
  /**
   * Logs a user in and revokes the sessions whose cookies the request presents. Returns the token, which the caller
   * sends. Throws the errors of `app.users.login`, and `FST_USERS_LOGIN_PENDING` if the login needs another step.
   */
  startSession(
    backend: Backend,
    row: UserRow,
    context: { request: FastifyRequest; reply: FastifyReply; method: string; rememberMe?: boolean }
  ): Promise<IssuedToken>
  /**
   * Returns a kind of single-use values, such as challenges. `purpose` is unique within the feature. Throws
   * `FST_USERS_INVALID_OPTION` unless the feature has `singleUse: true` or login steps.
   */
  singleUse<T>(purpose: string, options: SingleUseOptions): SingleUse<T>
  /** Continues pending logins. */
  readonly login: FeatureLogin
  /**
   * Returns the value that the features of one registration share under this key. The first call creates it. Begin the
   * key with the name of your package.
   */
  shared<T>(key: string, create: () => T): T
}

/** Creates and hands over users who log in without a password. */
export interface ExternalUsers {
  /**
   * Creates a user without a password and stores the dependent rows with it, for example a provider account. Returns
   * null, and stores nothing, if one of these rows exists already. Order: validation, `onBeforeRegister`, check for a
   * duplicate e-mail, insert, `onAfterRegister`. Throws `FST_USERS_INVALID_USER` and
   * `FST_USERS_REGISTER_USER_ALREADY_EXISTS`.
   */
  create(values: ExternalUser, dependents: UserDependents, context: CallContext): Promise<StoredUserRows | null>
  /**
   * Creates an account that belongs to no person: active and verified, without a password, with an e-mail under
   * `.invalid` (RFC 2606) that no mail reaches. Stores the dependent rows with it, like `create`. No hooks run. Throws
   * `FST_USERS_INVALID_USER` if a required custom field is missing.
   */
  createService(
    fields: Readonly<Record<string, unknown>>,
    dependents: UserDependents
  ): Promise<StoredUserRows | null>
  /**
   * Hands an unverified user over to the person who proved the mailbox. The e-mail becomes verified. The password, all
   * sessions and all login methods that did not prove the e-mail are deleted. Returns null if the user is verified
   * already or has changed meanwhile.
   */
  reclaimUnverified(id: UserId, context: CallContext): Promise<UserRow | null>
  /**
   * Deletes a user of `create` whose first login was refused, with its login methods. Fires `onAfterDelete`. If the
   * user has changed meanwhile, only the login methods are deleted.
   */
  deleteRefused(row: UserRow, context: CallContext): Promise<void>
}
