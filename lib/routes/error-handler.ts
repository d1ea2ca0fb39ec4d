import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuditLog } from '../contracts/audit.js'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_INTERNAL_ERROR, isRefusal, isUsersError } from '../errors.js'

type ErrorHandler = (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => unknown

/**
 * Sets the error handler of the plugin's routes. Errors of the plugin become replies in the wire format. Errors
 * of other plugins that have a status are passed to the application's error handler. All other errors become a fixed
 * 500 that reveals nothing. With `errorHandler: 'application'`, all errors are passed to the application's error
 * handler.
 */
export function handleErrors (
  scope: FastifyInstance,
  application: FastifyInstance,
  { wire, errorHandler }: Settings,
  audit: AuditLog
): void {
  const handlerErrors = markHandlerErrors(scope)
  const passOn = passToApplication(scope, application)

  scope.setErrorHandler<FastifyError>((thrown, request, reply) => {
    const error = isErrorLike(thrown) ? thrown : internalError(thrown) // code may throw any value
    audit.emitError(error, { request, reply })
    const isOwn = isUsersError(error) || handlerErrors.has(error)
    if (errorHandler === 'application') {
      return passOn(isOwn && !isRefusal(error) ? internalError(error) : error, request, reply)
    }
    if (!isOwn && !isBodyError(error) && hasStatus(error, reply)) return passOn(error, request, reply)
    const { statusCode, body } = wire.errors.toReply(error, request)
    request.log[statusCode >= 500 ? 'error' : 'debug']({ err: error }, statusCode >= 500 ? 'fastify-users: request failed' : 'fastify-users: request refused')
    if (isUsersError(error) && error.headers !== undefined) reply.headers(error.headers)
    return reply.code(statusCode).send(body)
  })
}

/** Returns the set of errors that the handlers of the scope's routes threw, including those of event hooks. */
function markHandlerErrors (scope: FastifyInstance): WeakSet<object> {
  const errors = new WeakSet<object>()
  scope.addHook('onRoute', (route) => {
    const { handler } = route
    route.handler = async function (request, reply) {
      try {
        return await handler.call(this, request, reply)
      } catch (error) {
        if (typeof error === 'object' && error !== null) errors.add(error)
        throw error
      }
    }
  })
  return errors
}

/**
 * Returns a function that calls the application's error handler, also if it was set after this plugin was registered.
 */
function passToApplication (scope: FastifyInstance, application: FastifyInstance): ErrorHandler {
  const inherited = scope.errorHandler
  return (error, request, reply) => {
    const latest = application.errorHandler as ErrorHandler // Fastify has bound `this`
    if (latest === inherited && error instanceof Error) return reply.send(error) // Fastify calls the inherited handler
    return latest(error, request, reply)
  }
}

function isErrorLike (thrown: unknown): boolean {
  return (
    typeof thrown === 'object' &&
    thrown !== null &&
    Number.isInteger((thrown as Partial<FastifyError>).statusCode ?? 500)
  )
}

/** Returns true for Fastify's errors about a body, which the plugin's routes document. */
function isBodyError ({ code, validation }: FastifyError): boolean {
  return validation !== undefined || (typeof code === 'string' && code.startsWith('FST_ERR_CTP_'))
}

/** Returns true if Fastify would reply to the error with a status of 400 to 599, also after `reply.code(…)`. */
function hasStatus (error: FastifyError, reply: FastifyReply): boolean {
  const { statusCode, status } = error as { statusCode?: unknown; status?: unknown }
  return [statusCode, status, reply.statusCode].some((value) => Number(value) >= 400 && Number(value) <= 599)
}

function internalError (cause: unknown): FastifyError {
  return FST_USERS_INTERNAL_ERROR([], { cause }) as unknown as FastifyError
}
