import type { FastifyRequest } from 'fastify'
import { toCallError } from '../adapters/shared/store-errors.js'
import type { AuditLog } from '../contracts/audit.js'
import type { Authentication, ScopeSource } from '../contracts/authentication.js'
import type { Backend } from '../contracts/backend.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { UsersError } from '../contracts/errors.js'
import type { Settings } from '../contracts/settings.js'
import { guardRefusals } from '../errors.js'
import {
  challengeScheme,
  GuardedAuthentication,
  insufficientAuthentication,
  meetsStepUp,
  type SessionWatchers
} from '../sessions/index.js'
import { isPromise } from '../shared/values.js'
import { kGuard } from '../symbols.js'
import type { Authenticator, SessionCheck } from './authenticator.js'
import { isCrossSite, isUnsafe } from './csrf.js'
import { createFlagReader, findFlagRefusal, type GivenFlag, type GuardFlagRegistry } from './guard-flags.js'
import { checkBackendNames, type GuardOptions } from './guard-options.js'
import { findLogoutSession } from './logout-session.js'

/** The guard of one registration. `authenticate` finds it through `request.server`. */
export interface Guard {
  /**
   * Sets `request.user` and `request.authentication`. Returns the error that refuses the request, or null. It is not
   * thrown, because requests without a session are common. Throws the errors of stores, strategies and other code.
   */
  check(request: FastifyRequest, options: GuardOptions): MaybePromise<Error | null>
  /**
   * Returns the flags in the guard's options that features have defined. Throws `FST_USERS_GUARD_MISUSED` for an
   * unknown flag or a wrong value, `FST_USERS_UNKNOWN_BACKEND` for an unknown backend.
   */
  checkOptions(options: GuardOptions): readonly GivenFlag[]
  /**
   * Sets `request.authentication` to the session that a logout at this backend ends. Throws `FST_USERS_UNAUTHENTICATED`
   * unless there is exactly one.
   */
  selectForLogout(request: FastifyRequest, backend: string): Promise<void>
  /** Emits the audit event of an error with which the guard ends a request. */
  report(error: Error, request: FastifyRequest): void
  /** Returns the body with which the guard itself refuses a request; null if the error handler replies. */
  replyTo(error: UsersError): object | null
  /** Returns the names of the backends that a guard accepts, if they do not depend on the request. */
  acceptedBackends(options: GuardOptions): readonly string[]
  /** The open connections whose sessions are watched. */
  readonly watchers: SessionWatchers
  /** The functions of features that return the scopes of a request. Filled while the features start. */
  readonly scopeSources: ScopeSource[]
  /** The functions of features that refuse sessions. Filled while the features start. */
  readonly sessionChecks: SessionCheck[]
  /** True if refusals have the header `WWW-Authenticate`. */
  readonly hasChallenges: boolean
}

declare module 'fastify' {
  interface FastifyInstance {
    [kGuard]: Guard
  }
}

/** Names of backends, in order. */
export interface BackendNames {
  /** Names of the option `backends`. */
  readonly own: readonly string[]
  /** Names of all backends, those of features included. */
  readonly all: readonly string[]
  /** Names of backends of features by the flag with which a guard accepts them. */
  readonly byFlag: ReadonlyMap<string, readonly string[]>
}

interface GuardContext {
  authenticator: Authenticator
  backends: ReadonlyMap<string, Backend>
  settings: Settings
  names: BackendNames
  audit: AuditLog
  /** Returns the number of kinds of factors that the methods of a session prove. */
  countKinds(methods: readonly string[]): number
  /** Returns the flags in the options of a guard that features have defined. Throws `FST_USERS_GUARD_MISUSED`. */
  readFlags(flags: ReadonlyMap<string, unknown>): readonly GivenFlag[]
}

/** Creates the guard of one registration. */
export function createGuard (
  authenticator: Authenticator,
  backends: ReadonlyMap<string, Backend>,
  settings: Settings,
  names: BackendNames,
  flags: GuardFlagRegistry,
  { watchers, ...services }: Pick<GuardContext, 'audit' | 'countKinds'> & { watchers: SessionWatchers }
): Guard {
  const { audit } = services
  const readFlags = createFlagReader(flags)
  const context: GuardContext = { authenticator, backends, settings, names, ...services, readFlags }
  return {
    acceptedBackends (options) {
      return Array.isArray(options.backends) ? options.backends : (namesOfFlags(context, options) ?? names.own)
    },
    watchers,
    scopeSources: [],
    sessionChecks: authenticator.checks,
    hasChallenges: settings.wire.wwwAuthenticate,
    report (error, request) {
      audit.emitError(error, { request, reply: null })
    },
    replyTo: (error) => (settings.errorHandler === 'application' ? null : settings.wire.errors.guardReply(error)),
    check: (request, options) => checkRequest(context, request, options),
    checkOptions (options) {
      if (Array.isArray(options.backends)) checkBackendNames(options.backends, names.all)
      return options.flags === null ? [] : context.readFlags(options.flags)
    },
    async selectForLogout (request, backend) {
      const session = await findLogoutSession(authenticator, request, backend, names.own).catch((error: unknown) => {
        throw toCallError(error)
      })
      if (session === null) throw unauthenticatedError(context)
      request.authentication = session
    }
  }
}

function checkRequest (
  context: GuardContext,
  request: FastifyRequest,
  options: GuardOptions
): MaybePromise<Error | null> {
  const { backends: enabled, flags } = options
  if (flags !== null) context.readFlags(flags) // an unknown flag refuses every request
  if (enabled === null) {
    const accepted = namesOfFlags(context, options)
    // an earlier guard has authenticated this request, perhaps by a backend that this guard does not accept
    const earlier = request.authentication
    const isAccepted = earlier !== null && (accepted ?? context.names.own).includes(earlier.backend)
    if (isAccepted && (options.cached || !GuardedAuthentication.isCached(earlier))) {
      return applyFlags(context, request, earlier, accepted, options)
    }
    return authenticateRequest(context, request, accepted, options)
  }
  const names = typeof enabled === 'function' ? enabled(request) : enabled
  const authenticateAmong = (list: readonly string[]): MaybePromise<Error | null> =>
    authenticateRequest(context, request, checkBackendNames(list, context.names.all), options)
  return isPromise(names) ? names.then(authenticateAmong) : authenticateAmong(names)
}

/**
 * Returns the names of the backends that a guard without the option `backends` accepts. Null stands for those of the
 * plugin's option: no flag of the guard adds another one.
 */
function namesOfFlags ({ names }: GuardContext, { flags }: GuardOptions): readonly string[] | null {
  if (flags === null) return null
  const added = [...flags.keys()].flatMap((flag) => names.byFlag.get(flag) ?? [])
  return added.length === 0 ? null : [...names.own, ...added]
}

/** Stays synchronous where the authenticator is: a promise would delay every guarded request. */
function authenticateRequest (
  context: GuardContext,
  request: FastifyRequest,
  enabled: readonly string[] | null,
  options: GuardOptions
): MaybePromise<Error | null> {
  const found = context.authenticator.find(request, enabled, options.cached)
  return isPromise(found)
    ? found.then((result) => applyFlags(context, request, result, enabled, options))
    : applyFlags(context, request, found, enabled, options)
}

/**
 * Sets the user of the request if the flags of the guard accept it. Returns the refusal unless `optional` is set. Stays
 * synchronous without flags of features.
 */
function applyFlags (
  context: GuardContext,
  request: FastifyRequest,
  found: Authentication | null,
  enabled: readonly string[] | null,
  options: GuardOptions
): MaybePromise<Error | null> {
  const refused = findRefusal(context, request, found, options)
  const refusal = refused ?? (options.flags === null ? findWeakness(context, found, options) : null)
  if (refusal !== null && found !== null && GuardedAuthentication.isCached(found)) {
    return authenticateRequest(context, request, enabled, { ...options, cached: false }) // the flags may be outdated
  }
  if (options.flags !== null && refusal === null && found !== null) {
    return applyFeatureFlags(context, request, found, enabled, options)
  }
  return admit(context, request, found, refusal, options)
}

async function applyFeatureFlags (
  context: GuardContext,
  request: FastifyRequest,
  found: Authentication,
  enabled: readonly string[] | null,
  options: GuardOptions
): Promise<Error | null> {
  request.authentication = null // admit() sets it again if the flags accept the user
  request.user = null
  const flags = options.flags === null ? [] : context.readFlags(options.flags)
  const refusal = (await findFlagRefusal(flags, found, request)) ?? findWeakness(context, found, options)
  if (refusal !== null && GuardedAuthentication.isCached(found)) {
    // the cached user may be outdated
    return await authenticateRequest(context, request, enabled, { ...options, cached: false })
  }
  return admit(context, request, found, refusal, options)
}

/** Sets the user of the request if there is no refusal. Returns the refusal unless `optional` is set. */
function admit (
  { audit }: GuardContext,
  request: FastifyRequest,
  found: Authentication | null,
  refusal: Error | null,
  { optional }: GuardOptions
): Error | null {
  const accepted = refusal === null ? found : null
  request.authentication = accepted
  request.user = accepted === null ? null : accepted.user
  if (refusal === null || optional) return null
  if (found !== null && audit.isActive()) reportRefusal(audit, request, found, refusal)
  return refusal
}

/** Emits the audit event of a refused request with a valid session. Its reply says nothing about the session. */
function reportRefusal (
  audit: AuditLog,
  request: FastifyRequest,
  { user, session, backend }: Authentication,
  refusal: Error
): void {
  const entry = { event: 'access.denied', outcome: 'blocked', actor: user, session, backend } as const
  audit.emitError(refusal, { request, reply: null }, entry)
}

function findRefusal (
  context: GuardContext,
  request: FastifyRequest,
  found: Authentication | null,
  { active, verified, superuser }: GuardOptions
): Error | null {
  if (found === null) return unauthenticatedError(context)
  const { user } = found
  const transport = context.backends.get(found.backend)?.transport
  if (transport?.ambient === true && isUnsafe(request) && isCrossSite(request, context.settings, transport)) {
    return guardRefusals.crossSite()
  }
  if (active && !user.is_active) return unauthenticatedError(context)
  return (verified && !user.is_verified) || (superuser && !user.is_superuser) ? guardRefusals.forbidden() : null
}

/**
 * Returns the refusal of a session that does not meet the flags `fresh` and `methods`, or null. It is the last check:
 * a user without the rights must not be asked to authenticate again.
 */
function findWeakness (
  { backends, settings, countKinds }: GuardContext,
  found: Authentication | null,
  { stepUp }: GuardOptions
): Error | null {
  if (stepUp === null || found === null) return null
  if (meetsStepUp(found.session, stepUp, settings.clock(), countKinds)) return null
  return insufficientAuthentication(stepUp, { backends, settings })
}

function unauthenticatedError ({ backends, settings }: GuardContext): Error {
  if (!settings.wire.wwwAuthenticate) return guardRefusals.unauthenticated()
  return guardRefusals.unauthenticated([], { headers: { 'www-authenticate': challengeScheme(backends) } })
}
