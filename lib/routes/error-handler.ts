import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { ErrorObject } from 'ajv'
import type { ErrorReply } from '../../schemas/index.js'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_INTERNAL_ERROR, isUsersError } from '../errors.js'
import { problemsOf } from '../users/index.js'
import { toFastapiReply } from './fastapi-errors.js'

/** Replies with errors as Fastify does, plus `detail`, or as FastAPI does. What is no refusal becomes a fixed 500: nothing internal leaves. */
export function createErrorHandler ({ errorStyle }: Settings): (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => FastifyReply {
  return (thrown, request, reply) => {
    const error = isError(thrown) ? thrown : FST_USERS_INTERNAL_ERROR([], { cause: thrown }) as unknown as FastifyError     // anything can be thrown
    const { statusCode, body } = errorStyle === 'fastapi' ? toFastapiReply(error, request) : toReply(error, request)
    request.log[statusCode >= 500 ? 'error' : 'debug']({ err: error }, 'fastify-users: request refused')
    if (isUsersError(error) && error.headers !== undefined) reply.headers(error.headers)
    return reply.code(statusCode).send(body)
  }
}

function toReply (error: FastifyError, { id }: FastifyRequest): { statusCode: number, body: ErrorReply } {
  const { statusCode = 500, code, message, validation } = error
  if (validation !== undefined) return refusal(400, 'FST_ERR_VALIDATION', message, problemsOf(validation as ErrorObject[]))
  if (isUsersError(error) && statusCode !== 500) return refusal(statusCode, code, message, error.detail)
  if (statusCode >= 400 && statusCode < 500) return refusal(statusCode, code ?? 'FST_USERS_REFUSED', message, (error as { detail?: unknown }).detail ?? STATUS_CODES[statusCode])
  const { code: fixed, message: text, detail } = FST_USERS_INTERNAL_ERROR()
  return refusal(500, fixed, `${text} Request ${String(id)}.`, detail)
}

function isError (thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && Number.isInteger((thrown as Partial<FastifyError>).statusCode ?? 500)
}

function refusal (statusCode: number, code: string, message: string, detail: unknown): { statusCode: number, body: ErrorReply } {
  return { statusCode, body: { statusCode, code, error: STATUS_CODES[statusCode] ?? 'Error', message, detail } }
}
