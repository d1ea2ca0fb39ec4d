import type { FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'

/**
 * Makes the guard after it look again: a session may have ended, or its user changed, while the body was on its way.
 */
export function forget (request: FastifyRequest, _reply: unknown, done: HookHandlerDoneFunction): void {
  if (request.authentication === null) return done(FST_USERS_UNAUTHENTICATED()) // a hook of the application logged out
  request.authentication = null
  done()
}
