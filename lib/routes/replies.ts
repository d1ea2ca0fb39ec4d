import { STATUS_CODES } from 'node:http'
import { Type, type TSchema } from '@sinclair/typebox'
import { CODES, component, ErrorReply } from '../../schemas/index.js'
import type { ErrorRegistry, UsersErrorCode, WordOf } from '../contracts/errors.js'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'

/** An error code without its prefix: a code of the plugin or a feature, or one of Fastify's errors about a body. */
export type ErrorWord = WordOf<UsersErrorCode> | 'BODY_TOO_LARGE' | 'INVALID_MEDIA_TYPE' | 'VALIDATION'

/** Errors of a body that the route does not read. */
export const UNREAD_BODY_ERRORS = [
  'BAD_REQUEST',
  'BODY_TOO_LARGE',
  'INVALID_MEDIA_TYPE'
] as const satisfies readonly ErrorWord[]
/** Errors of a body before the route handler runs. */
export const BODY_ERRORS = [...UNREAD_BODY_ERRORS, 'VALIDATION'] as const satisfies readonly ErrorWord[]
/** Errors of a body with the current password. */
export const CONFIRM_ERRORS = [
  ...BODY_ERRORS,
  'UPDATE_USER_BAD_CURRENT_PASSWORD',
  'PASSWORD_QUEUE_FULL'
] as const satisfies readonly ErrorWord[]

/**
 * Returns the response schemas of the errors of a route, by status. Each refers to the component `Error` and has the
 * codes of the status with an example for each. 500 and 503 are added to every route. Throws
 * `FST_USERS_INVALID_OPTION` for a word that neither the plugin nor a feature defines.
 */
export function errorReplies (
  { errorStyle, errorHandler, errors }: Settings,
  ...words: readonly ErrorWord[]
): Record<number, object> {
  const named = new Set<string>([...words, 'INTERNAL_ERROR', 'STORE_UNAVAILABLE'])
  const refusals = refusalsOf(errors, named).map((refusal) =>
    errorStyle === 'fastapi' ? toFastapi(refusal, named) : refusal
  )
  const statuses = new Set(refusals.map(({ statusCode }) => statusCode))
  return Object.fromEntries(
    [...statuses].map((status) => {
      const ofStatus = refusals.filter(({ statusCode }) => statusCode === status)
      if (errorHandler === 'application') return [status, Type.Unknown({ 'x-response-description': codesOf(ofStatus) })]
      return [status, errorStyle === 'fastapi' ? fastapiReply(status, ofStatus) : fastifyReply(ofStatus)]
    })
  )
}

/** Returns a response schema with a description for the API document. */
export function replyOf<S extends TSchema> (schema: S, description: string): S {
  return { ...schema, 'x-response-description': description }
}

/** An error reply. */
interface Refusal {
  word: string
  code: string
  statusCode: number
  message: string
  detail: unknown
}

const REASON = 'Use at least 8 characters.'

/** Errors of Fastify. */
const FASTIFY_REFUSALS: readonly Refusal[] = [
  {
    word: 'VALIDATION',
    code: 'FST_ERR_VALIDATION',
    statusCode: 400,
    message: 'body must be object',
    detail: [{ path: '', keyword: 'type', message: 'must be object' }]
  },
  {
    word: 'BODY_TOO_LARGE',
    code: 'FST_ERR_CTP_BODY_TOO_LARGE',
    statusCode: 413,
    message: 'Request body is too large',
    detail: 'Payload Too Large'
  },
  {
    word: 'INVALID_MEDIA_TYPE',
    code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE',
    statusCode: 415,
    message: 'Unsupported Media Type',
    detail: 'Unsupported Media Type'
  }
]

/** Returns the named errors, in the order of their definition. */
function refusalsOf (errors: ErrorRegistry, named: ReadonlySet<string>): readonly Refusal[] {
  const unknown = [...named].find((word) => !errors.has(word) && FASTIFY_REFUSALS.every((own) => own.word !== word))
  if (unknown !== undefined) throw FST_USERS_INVALID_OPTION(['errorReplies', `there is no error code ${unknown}`])
  const defined = [...errors].map(([word, { statusCode, message, detail = word, example }]) => {
    const usual = message.includes('%s') ? { code: detail, reason: REASON } : detail
    return {
      word,
      code: `FST_USERS_${word}`,
      statusCode,
      message: message.replace('%s', REASON),
      detail: example ?? usual
    }
  })
  return [...defined, ...FASTIFY_REFUSALS].filter(({ word }) => named.has(word))
}

function fastifyReply (refusals: readonly Refusal[]): object {
  return Type.Object(ErrorReply.properties, {
    ...component('Error'),
    [CODES]: refusals.map(({ code }) => code),
    'x-response-description': codesOf(refusals),
    'x-examples': examplesOf(refusals, ({ statusCode, code, message, detail }) => ({
      statusCode,
      code,
      error: String(STATUS_CODES[statusCode]),
      message,
      detail
    }))
  })
}

function codesOf (refusals: readonly Refusal[]): string {
  return refusals.map(({ code }) => code).join(', ')
}

/** Returns the response schema in FastAPI's format: `{ detail }`, or plain text for a 500. */
function fastapiReply (status: number, refusals: readonly Refusal[]): object {
  const description = String(STATUS_CODES[status])
  if (status === 500) {
    return {
      'x-response-description': description,
      content: { 'text/plain': { schema: { type: 'string', enum: [description] } } }
    }
  }
  return Type.Object(
    { detail: ErrorReply.properties.detail },
    {
      ...component('ErrorModel'),
      'x-response-description': description,
      'x-examples': examplesOf(refusals, ({ detail }) => ({ detail }))
    }
  )
}

function examplesOf (refusals: readonly Refusal[], valueOf: (refusal: Refusal) => object): object {
  return Object.fromEntries(
    refusals.map((refusal) => [refusal.code, { summary: refusal.message, value: valueOf(refusal) }])
  )
}

/** Returns the reply of FastAPI for the same error: 422 for a body that is malformed or invalid. */
function toFastapi (refusal: Refusal, named: ReadonlySet<string>): Refusal {
  const { word, message } = refusal
  switch (word) {
    case 'BAD_REQUEST':
      return !named.has('BODY_TOO_LARGE')
        ? refusal
        : {
            ...refusal,
            statusCode: 422,
            detail: [{ type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error', input: {} }]
          }
    case 'INVALID_USER':
      return {
        ...refusal,
        statusCode: 422,
        detail: [{ type: 'value_error', loc: ['body', 'display_name'], msg: message, input: null }]
      }
    case 'INVALID_MEDIA_TYPE':
    case 'VALIDATION':
      return !named.has('VALIDATION')
        ? refusal
        : {
            ...refusal,
            statusCode: 422,
            detail: [{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }]
          }
    default:
      return refusal
  }
}
