import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { toCallError } from '../adapters/shared/store-errors.js'
import type { Backend } from '../contracts/backend.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { AnyReply, AnyRequest } from '../contracts/instances.js'
import type { Settings } from '../contracts/settings.js'
import type { User } from '../contracts/user.js'
import { notRegistered } from '../copies.js'
import {
  FST_USERS_CROSS_SITE_REQUEST,
  FST_USERS_FORBIDDEN,
  FST_USERS_GUARD_MISUSED,
  FST_USERS_UNAUTHENTICATED,
  type UsersError
} from '../errors.js'
import { kGuard } from '../symbols.js'
import { isPromise, type Authentication, type Authenticator } from './authenticator.js'
import { isCrossSite, isUnsafe } from './csrf.js'
import { findSessionToEnd } from './session-to-end.js'
import { checkBackendNames, readGuardOptions, type AuthenticateOptions, type GuardOptions } from './guard-options.js'

/** A route hook that lets a request through or refuses it. */
export type GuardHook = (request: AnyRequest, reply: AnyReply, done: HookHandlerDoneFunction) => void

/** The guard's call forms. */
export interface Authenticate {
  /** As a hook: `preHandler: authenticate`. */
  (request: AnyRequest, reply: AnyReply, done: HookHandlerDoneFunction): void
  /** In a handler: the user, or null with `optional`. Rejects with the guard's errors. */
  (request: AnyRequest, reply: AnyReply, options?: AuthenticateOptions): Promise<User | null>
  /** Makes a hook: `preHandler: authenticate({ superuser: true })`. */
  (options?: AuthenticateOptions): GuardHook
}

/** The guard of one registration, found through `request.server`. */
export interface Guard {
  /** Sets `request.user` and `request.authentication`. Throws what refuses the request. */
  check(request: FastifyRequest, options: GuardOptions): MaybePromise<void>
  /**
   * Makes the session that a logout at this backend ends the session of the request. Throws `FST_USERS_UNAUTHENTICATED`
   * if there is not exactly one.
   */
  selectForLogout(request: FastifyRequest, backend: string): Promise<void>
  /**
   * Replies to a refused request itself where the application's error handler would not speak the clients' language.
   */
  readonly errorStyle: Settings['errorStyle']
  /** Names of the backends, known from the start. */
  readonly backendNames: readonly string[]
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The guard: as a hook, with options, or in a handler. The exported `authenticate` is the same. */
    authenticate: Authenticate
    [kGuard]: Guard
  }
}

const DEFAULTS = readGuardOptions()

/**
 * Lets only known, active users through. Refuses with `FST_USERS_UNAUTHENTICATED` (401), `FST_USERS_FORBIDDEN` and
 * `FST_USERS_CROSS_SITE_REQUEST` (403), `FST_USERS_STORE_UNAVAILABLE` (503); a wrong call throws
 * `FST_USERS_GUARD_MISUSED`.
 */
// the overloads of one function
export const authenticate: Authenticate = Object.assign(authenticateForms as Authenticate, { [kGuard]: DEFAULTS })

function authenticateForms (
  first?: AnyRequest | AuthenticateOptions,
  reply?: AnyReply,
  last?: HookHandlerDoneFunction | AuthenticateOptions
): unknown {
  if (typeof last === 'function') return runHook(first as AnyRequest, reply as AnyReply, DEFAULTS, last)
  if (reply === undefined) return makeHook(readGuardOptions(first as AuthenticateOptions))
  if (!('send' in reply)) throw FST_USERS_GUARD_MISUSED(['takes (request, reply, options)'])
  return inHandler(first as AnyRequest, readGuardOptions(last))
}

/** Decides about requests for the backends of one registration. */
export function createGuard (
  authenticator: Authenticator,
  backends: ReadonlyMap<string, Backend>,
  settings: Settings,
  backendNames: readonly string[]
): Guard {
  const unauthenticated = (): Error =>
    FST_USERS_UNAUTHENTICATED(
      [],
      settings.wwwAuthenticate ? { headers: { 'www-authenticate': challenge(backends) } } : {}
    )

  function decide (request: FastifyRequest, found: Authentication | null, options: GuardOptions): void {
    const refusal = refuse(request, found, options)
    request.authentication = refusal === null ? found : null
    request.user = request.authentication?.user ?? null
    if (refusal !== null && !options.optional) throw refusal
  }

  function refuse (
    request: FastifyRequest,
    found: Authentication | null,
    { active, verified, superuser }: GuardOptions
  ): Error | null {
    if (found === null) return unauthenticated()
    const { user } = found
    const transport = backends.get(found.backend)?.transport
    if (transport?.ambient === true && isUnsafe(request) && isCrossSite(request, settings, transport)) {
      return FST_USERS_CROSS_SITE_REQUEST()
    }
    if (active && !user.is_active) return unauthenticated()
    return (verified && !user.is_verified) || (superuser && !user.is_superuser) ? FST_USERS_FORBIDDEN() : null
  }

  function findAmong (
    request: FastifyRequest,
    enabled: readonly string[] | null,
    options: GuardOptions
  ): MaybePromise<void> {
    const found = authenticator.find(request, enabled)
    return isPromise(found)
      ? found.then((result) => {
        decide(request, result, options)
      })
      : decide(request, found, options)
  }

  return {
    backendNames,
    errorStyle: settings.errorHandler === 'application' ? 'fastify' : settings.errorStyle,
    check (request, options) {
      const { backends: enabled } = options
      if (enabled === null) {
        // a guard before this one has read it
        if (request.authentication !== null) return decide(request, request.authentication, options)
        return findAmong(request, null, options)
      }
      const names = typeof enabled === 'function' ? enabled(request) : enabled
      const among = (list: readonly string[]): MaybePromise<void> =>
        findAmong(request, checkBackendNames(list, backendNames), options)
      return isPromise(names) ? names.then(among) : among(names)
    },
    async selectForLogout (request, backend) {
      const session = await findSessionToEnd(authenticator, request, backend, backendNames).catch((error: unknown) => {
        throw toCallError(error)
      })
      if (session === null) throw unauthenticated()
      request.authentication = session
    }
  }
}

/** The options that a hook was made with; undefined for a function that is no guard. */
export function guardOptionsOf (hook: unknown): GuardOptions | undefined {
  return typeof hook === 'function' ? (hook as { [kGuard]?: GuardOptions })[kGuard] : undefined
}

function makeHook (options: GuardOptions): GuardHook {
  return Object.assign(
    (request: AnyRequest, reply: AnyReply, done: HookHandlerDoneFunction) => {
      runHook(request, reply, options, done)
    },
    { [kGuard]: options }
  )
}

/** Calls `done` at once where nothing had to be waited for. */
function runHook (request: AnyRequest, reply: AnyReply, options: GuardOptions, done: HookHandlerDoneFunction): void {
  let checked: MaybePromise<void>
  try {
    checked = check(request, options)
  } catch (error) {
    refuseRequest(request, reply, toCallError(error), done)
    return
  }
  if (isPromise(checked)) {
    checked.then(
      () => {
        done()
      },
      (error: unknown) => {
        refuseRequest(request, reply, toCallError(error), done)
      }
    )
  } else done()
}

/** The application's error handler decides what a refused request is told, unless its clients expect FastAPI's form. */
function refuseRequest (request: AnyRequest, reply: AnyReply, error: UsersError, done: HookHandlerDoneFunction): void {
  const { errorStyle } = guardOf(request) ?? {}
  if (errorStyle !== 'fastapi' || error.statusCode === 500) return done(error)
  const told = reply as FastifyReply // AnyReply is the part that all applications share
  told
    .code(error.statusCode)
    .headers(error.headers ?? {})
    .send({ detail: error.detail })
}

async function inHandler (request: AnyRequest, options: GuardOptions): Promise<User | null> {
  try {
    await check(request, options)
  } catch (error) {
    throw toCallError(error)
  }
  return (request as FastifyRequest).user
}

function check (request: AnyRequest, options: GuardOptions): MaybePromise<void> {
  const guard = guardOf(request)
  if (guard === undefined) throw notRegistered(request.server)
  return guard.check(request as FastifyRequest, options)
}

function guardOf ({ server }: AnyRequest): Guard | undefined {
  return (server as { [kGuard]?: Guard })[kGuard]
}

function challenge (backends: ReadonlyMap<string, Backend>): string {
  return [...backends.values()].some(({ transport }) => !transport.ambient) ? 'Bearer' : 'Cookie'
}
