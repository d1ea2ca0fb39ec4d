import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { toCallError } from '../adapters/shared/store-errors.js'
import type { AuthenticateOptions } from '../contracts/authentication.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { AnyReply, AnyRequest } from '../contracts/instances.js'
import type { User } from '../contracts/user.js'
import { notRegistered } from '../copies.js'
import { FST_USERS_GUARD_MISUSED } from '../errors.js'
import { isPromise } from '../shared/values.js'
import { kGuard } from '../symbols.js'
import type { Guard } from './guard.js'
import { readGuardOptions, type GuardOptions } from './guard-options.js'

/** A route hook that refuses requests which do not meet the options of the guard. */
export type GuardHook = (request: AnyRequest, reply: AnyReply, done: HookHandlerDoneFunction) => void

/** The ways to call `authenticate`. */
export interface Authenticate {
  /** As a hook: `preHandler: authenticate`. */
  (request: AnyRequest, reply: AnyReply, done: HookHandlerDoneFunction): void
  /** In a handler: returns the user, or null with `optional`. Rejects with the errors of the guard. */
  (request: AnyRequest, reply: AnyReply, options?: AuthenticateOptions): Promise<User | null>
  /** Returns a hook: `preHandler: authenticate({ superuser: true })`. */
  (options?: AuthenticateOptions): GuardHook
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The same function as the exported `authenticate`: it is a hook, creates hooks, or is called in a handler. */
    authenticate: Authenticate
  }
}

const DEFAULTS = readGuardOptions()

/**
 * Refuses every request without an active user. Refuses with `FST_USERS_UNAUTHENTICATED` (401), `FST_USERS_FORBIDDEN`
 * and `FST_USERS_CROSS_SITE_REQUEST` (403), or `FST_USERS_STORE_UNAVAILABLE` (503). Throws `FST_USERS_GUARD_MISUSED`
 * if it is called with wrong arguments.
 *
 * @example
 * app.get('/admin', { preHandler: authenticate({ superuser: true }) }, handler)
 */
// the cast declares the overloads of the one function
export const authenticate: Authenticate = Object.assign(authenticateAnyForm as Authenticate, { [kGuard]: DEFAULTS })

/** Returns the options that a guard hook was created with, or undefined for any other function. */
export function guardOptionsOf (hook: unknown): GuardOptions | undefined {
  return typeof hook === 'function' ? (hook as { [kGuard]?: GuardOptions })[kGuard] : undefined
}

function authenticateAnyForm (
  first?: AnyRequest | AuthenticateOptions,
  reply?: AnyReply,
  last?: HookHandlerDoneFunction | AuthenticateOptions
): unknown {
  if (typeof last === 'function') return runHook(first as AnyRequest, reply as AnyReply, DEFAULTS, last)
  if (reply === undefined) return createHook(readGuardOptions(first as AuthenticateOptions))
  if (!('send' in reply)) throw FST_USERS_GUARD_MISUSED(['call it with (request, reply, options) in a handler'])
  return authenticateInHandler(first as AnyRequest, readGuardOptions(last))
}

function createHook (options: GuardOptions): GuardHook {
  return Object.assign(
    (request: AnyRequest, reply: AnyReply, done: HookHandlerDoneFunction) => {
      runHook(request, reply, options, done)
    },
    { [kGuard]: options }
  )
}

/** Calls `done` synchronously if the check is synchronous. */
function runHook (request: AnyRequest, reply: AnyReply, options: GuardOptions, done: HookHandlerDoneFunction): void {
  let checked: MaybePromise<Error | null>
  try {
    checked = checkWithGuard(request, options)
  } catch (error) {
    refuseRequest(request, reply, error, done)
    return
  }
  if (isPromise(checked)) {
    checked.then(
      (refusal) => {
        if (refusal === null) done()
        else refuseRequest(request, reply, refusal, done)
      },
      (error: unknown) => {
        refuseRequest(request, reply, error, done)
      }
    )
  } else if (checked === null) done()
  else refuseRequest(request, reply, checked, done)
}

/** Passes the error to the application's error handler, or replies directly if the wire format has a reply for it. */
function refuseRequest (request: AnyRequest, reply: AnyReply, thrown: unknown, done: HookHandlerDoneFunction): void {
  const error = toCallError(thrown)
  const guard = guardOf(request)
  guard?.report(error, request as FastifyRequest)
  const body = guard?.replyTo(error) ?? null
  if (body === null) return done(error)
  const fastifyReply = reply as FastifyReply // AnyReply has only what the reply types of all applications share
  fastifyReply
    .code(error.statusCode)
    .headers(error.headers ?? {})
    .send(body)
}

async function authenticateInHandler (request: AnyRequest, options: GuardOptions): Promise<User | null> {
  try {
    const refusal = await checkWithGuard(request, options)
    if (refusal !== null) throw refusal
  } catch (thrown) {
    const error = toCallError(thrown)
    guardOf(request)?.report(error, request as FastifyRequest)
    throw error
  }
  return (request as FastifyRequest).user
}

function checkWithGuard (request: AnyRequest, options: GuardOptions): MaybePromise<Error | null> {
  const guard = guardOf(request)
  if (guard === undefined) throw notRegistered(request.server)
  return guard.check(request as FastifyRequest, options)
}

function guardOf ({ server }: AnyRequest): Guard | undefined {
  return (server as { [kGuard]?: Guard })[kGuard]
}
