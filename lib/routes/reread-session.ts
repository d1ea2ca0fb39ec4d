import type { FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import type { GuardHook } from '../authentication/index.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'

/**
 * Returns hooks that run after the body has arrived, and make the guard read the session and its user again: either may
 * have changed since the guard ran in `onRequest`.
 */
export function rereadSession (guard: GuardHook): [typeof clearAuthentication, GuardHook] {
  return [clearAuthentication, guard]
}

function clearAuthentication (request: FastifyRequest, _reply: unknown, done: HookHandlerDoneFunction): void {
  // a hook of the application has logged the user out
  if (request.authentication === null) return done(FST_USERS_UNAUTHENTICATED())
  request.authentication = null
  done()
}
