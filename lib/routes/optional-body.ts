import type { TSchema } from '@sinclair/typebox'
import type { FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { OPTIONAL_BODY } from '../../schemas/index.js'

/**
 * Returns the part of a route's schema for a body that may be missing. The route needs the hook
 * {@link acceptMissingBody}.
 */
export function optionalBody<S extends TSchema> (body: S): { body: S } {
  return { body, ...{ [OPTIONAL_BODY]: true } }
}

/** Treats a missing body as an empty object. */
export function acceptMissingBody (request: FastifyRequest, _reply: unknown, done: HookHandlerDoneFunction): void {
  request.body ??= {}
  done()
}
