import { STATUS_CODES } from 'node:http'
import { Type, type TProperties } from '@sinclair/typebox'
import type { ErrorObject } from 'ajv'
import type { FastifyError, FastifyRequest } from 'fastify'
import { CODES, component, ErrorReply, RefusedPassword } from '../../schemas/index.js'
import type { DescribedError, ErrorFormat } from '../contracts/wire-format.js'
import { FST_USERS_INTERNAL_ERROR, isRefusal } from '../errors.js'
import { problemsOf } from '../users/index.js'
import { codesOf, errorExamples, FORM_TYPES } from './descriptions.js'

/** Fastify's error replies with an additional `detail`. */
export const fastifyErrors: ErrorFormat = {
  loginTypes: [...FORM_TYPES, 'application/json'],
  prepareScope: () => undefined,
  toReply: toFastifyReply,
  guardReply: () => null,
  describe: (error) => error,
  schemaOf: (_status, errors) => errorSchema(errors),
  pendingSchema: (detail) =>
    Type.Object(
      {
        ...ErrorReply.properties,
        statusCode: Type.Literal(403),
        code: Type.Literal('FST_USERS_LOGIN_PENDING'),
        detail
      },
      component('LoginPending')
    )
}

function toFastifyReply (error: FastifyError, { id }: FastifyRequest): { statusCode: number; body: ErrorReply } {
  const { statusCode = 500, code, message, validation } = error
  if (validation !== undefined) {
    return errorReply(400, 'FST_ERR_VALIDATION', message, problemsOf(validation as ErrorObject[]))
  }
  if (isRefusal(error)) {
    return errorReply(
      statusCode,
      code ?? 'FST_USERS_REFUSED',
      message,
      (error as { detail?: unknown }).detail ?? STATUS_CODES[statusCode]
    )
  }
  const { code: fixed, message: text, detail } = FST_USERS_INTERNAL_ERROR()
  return errorReply(500, fixed, `${text} Request ${String(id)}.`, detail)
}

function errorReply (
  statusCode: number,
  code: string,
  message: string,
  detail: unknown
): { statusCode: number; body: ErrorReply } {
  return { statusCode, body: { statusCode, code, error: STATUS_CODES[statusCode] ?? 'Error', message, detail } }
}

/** Returns the response schema of errors. Refused passwords have a schema of their own, with a type for `detail`. */
function errorSchema (errors: readonly DescribedError[]): object {
  const refused = errors.filter(({ word }) => word.endsWith('_INVALID_PASSWORD'))
  const others = errors.filter((error) => !refused.includes(error))
  const schemas = [
    ...(others.length === 0 ? [] : [replySchema('Error', {}, others)]),
    ...(refused.length === 0 ? [] : [replySchema('PasswordRefused', { detail: RefusedPassword }, refused)])
  ]
  const [schema] = schemas
  return {
    ...(schemas.length === 1 ? schema : { anyOf: schemas }),
    'x-response-description': codesOf(errors),
    'x-examples': errorExamples(errors, ({ statusCode, code, message, detail }) => ({
      statusCode,
      code,
      error: String(STATUS_CODES[statusCode]),
      message,
      detail
    }))
  }
}

function replySchema (name: string, properties: TProperties, errors: readonly DescribedError[]): object {
  return Type.Object(
    { ...ErrorReply.properties, ...properties },
    { ...component(name), [CODES]: errors.map(({ code }) => code) }
  )
}
