import type { FastifyRequest } from 'fastify'
import { toCallError } from '../adapters/shared/store-errors.js'
import type { AuditLog } from '../contracts/audit.js'
import type { Authentication, ScopeSource } from '../contracts/authentication.js'
import type { Backend } from '../contracts/backend.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { UsersError } from '../contracts/errors.js'
import type { Settings } from '../contracts/settings.js'
import { guardRefusals } from '../errors.js'
import { GuardedAuthentication } from '../sessions/index.js'
import { isPromise } from '../shared/values.js'
import { kGuard } from '../symbols.js'
import type { Authenticator } from './authenticator.js'
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
  /** Names of all backends, in order. */
  readonly backendNames: readonly string[]
  /** The functions of features that return the scopes of a request. Filled while the features start. */
  readonly scopeSources: ScopeSource[]
  /** True if refusals have the header `WWW-Authenticate`. */
  readonly hasChallenges: boolean
}

declare module 'fastify' {
  interface FastifyInstance {
    [kGuard]: Guard
  }
}

interface GuardContext {
  authenticator: Authenticator
  backends: ReadonlyMap<string, Backend>
  settings: Settings
  backendNames: readonly string[]
  audit: AuditLog
  /** Returns the flags in the options of a guard that features have defined. Throws `FST_USERS_GUARD_MISUSED`. */
  readFlags(flags: ReadonlyMap<string, unknown>): readonly GivenFlag[]
}

/** Creates the guard of one registration. */
export function createGuard (
  authenticator: Authenticator,
  backends: ReadonlyMap<string, Backend>,
  settings: Settings,
  backendNames: readonly string[],
  flags: GuardFlagRegistry,
  audit: AuditLog
): Guard {
  const readFlags = createFlagReader(flags)
  const context: GuardContext = { authenticator, backends, settings, backendNames, audit, readFlags }
  return {
    backendNames,
    scopeSources: [],
    hasChallenges: settings.wire.wwwAuthenticate,
    report (error, request) {
      audit.emitError(error, { request, reply: null })
    },
    replyTo: (error) => (settings.errorHandler === 'application' ? null : settings.wire.errors.guardReply(error)),
    check: (request, options) => checkRequest(context, request, options),
    checkOptions (options) {
      if (Array.isArray(options.backends)) checkBackendNames(options.backends, backendNames)
      return options.flags === null ? [] : context.readFlags(options.flags)
    },
    async selectForLogout (request, backend) {
      const session = await findLogoutSession(authenticator, request, backend, backendNames).catch((error: unknown) => {
        throw toCallError(error)
      })
      if (session === null) throw unauthenticated(context)
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
    // an earlier guard has authenticated this request
    const earlier = request.authentication
    if (earlier !== null && (options.cached || !GuardedAuthentication.isCached(earlier))) {
      return applyFlags(context, request, earlier, null, options)
    }
    return authenticateRequest(context, request, null, options)
  }
  const names = typeof enabled === 'function' ? enabled(request) : enabled
  const authenticateAmong = (list: readonly string[]): MaybePromise<Error | null> =>
    authenticateRequest(context, request, checkBackendNames(list, context.backendNames), options)
  return isPromise(names) ? names.then(authenticateAmong) : authenticateAmong(names)
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
  const refusal = findRefusal(context, request, found, options)
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
  const refusal = await findFlagRefusal(flags, found, request)
  if (refusal !== null && GuardedAuthentication.isCached(found)) {
    return await authenticateRequest(context, request, enabled, { ...options, cached: false }) // as for other flags
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
  if (found === null) return unauthenticated(context)
  const { user } = found
  const transport = context.backends.get(found.backend)?.transport
  if (transport?.ambient === true && isUnsafe(request) && isCrossSite(request, context.settings, transport)) {
    return guardRefusals.crossSite()
  }
  if (active && !user.is_active) return unauthenticated(context)
  return (verified && !user.is_verified) || (superuser && !user.is_superuser) ? guardRefusals.forbidden() : null
}

function unauthenticated ({ backends, settings }: GuardContext): Error {
  if (!settings.wire.wwwAuthenticate) return guardRefusals.unauthenticated()
  return guardRefusals.unauthenticated([], { headers: { 'www-authenticate': challengeOf(backends) } })
}

/** Returns the challenge of a 401 reply (RFC 9110, section 11.6.1). */
function challengeOf (backends: ReadonlyMap<string, Backend>): string {
  for (const { transport } of backends.values()) if (!transport.ambient) return 'Bearer'
  return 'Cookie'
}
