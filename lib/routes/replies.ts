import { STATUS_CODES } from 'node:http'
import { Type, type TSchema } from '@sinclair/typebox'
import { CODES, component, ErrorReply } from '../../schemas/index.js'
import type { Settings } from '../contracts/settings.js'
import { errorTable, type UsersErrorCode } from '../errors.js'

type UsersWord = UsersErrorCode extends `FST_USERS_${infer W}` ? W : never
/** A word of the error table, or of what Fastify says of a body. */
export type ErrorWord = UsersWord | 'BODY_TOO_LARGE' | 'INVALID_MEDIA_TYPE' | 'VALIDATION'

/** What can be wrong with a body that a route does not ask for. */
export const UNREAD_BODY_ERRORS = [
  'BAD_REQUEST',
  'BODY_TOO_LARGE',
  'INVALID_MEDIA_TYPE'
] as const satisfies readonly ErrorWord[]
/** What can be wrong with a body before the rules see it. */
export const BODY_ERRORS = [...UNREAD_BODY_ERRORS, 'VALIDATION'] as const satisfies readonly ErrorWord[]
/** What can be wrong with a body that holds the current password. */
export const CONFIRM_ERRORS = [
  ...BODY_ERRORS,
  'UPDATE_USER_BAD_CURRENT_PASSWORD',
  'PASSWORD_QUEUE_FULL'
] as const satisfies readonly ErrorWord[]

/**
 * Reply schemas for the errors of a route, by status: one component, narrowed to the codes of the status, with an
 * example
 * per code. 500 and 503 go with every route.
 */
export function errorReplies (
  { errorStyle, errorHandler }: Settings,
  ...words: readonly ErrorWord[]
): Record<number, object> {
  const named = new Set<string>([...words, 'INTERNAL_ERROR', 'STORE_UNAVAILABLE'])
  const refusals = REFUSALS.filter(({ word }) => named.has(word)).map((refusal) =>
    errorStyle === 'fastapi' ? toFastapi(refusal, named) : refusal
  )
  const statuses = new Set(refusals.map(({ statusCode }) => statusCode))
  return Object.fromEntries(
    [...statuses].map((status) => {
      const told = refusals.filter(({ statusCode }) => statusCode === status)
      if (errorHandler === 'application') return [status, Type.Unknown({ 'x-response-description': codesOf(told) })]
      return [status, errorStyle === 'fastapi' ? fastapiReply(status, told) : fastifyReply(told)]
    })
  )
}

/** A schema as the reply that the API document describes so. */
export function replyOf<S extends TSchema> (schema: S, description: string): S {
  return { ...schema, 'x-response-description': description }
}

interface Refusal {
  word: string
  code: string
  statusCode: number
  message: string
  detail: unknown
}

const REASON = 'Use at least 8 characters.'

/** Details that are no plain word. */
const DETAILS: Record<string, unknown> = {
  INVALID_USER: [{ path: '/display_name', keyword: 'text', message: 'must be well-formed Unicode without NUL' }],
  LOGIN_PENDING: { code: 'SECOND_FACTOR' }
}

const REFUSALS: readonly Refusal[] = [
  ...errorTable.map(({ code, statusCode, message, detail }) => {
    const word = code.replace('FST_USERS_', '')
    const given = message.includes('%s') ? { code: detail, reason: REASON } : detail
    return { word, code, statusCode, message: message.replace('%s', REASON), detail: DETAILS[word] ?? given }
  }),
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

function fastifyReply (told: readonly Refusal[]): object {
  return Type.Object(ErrorReply.properties, {
    ...component('Error'),
    [CODES]: told.map(({ code }) => code),
    'x-response-description': codesOf(told),
    'x-examples': examplesOf(told, ({ statusCode, code, message, detail }) => ({
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

/** FastAPI's `{ detail }`, and its plain text for a 500. */
function fastapiReply (status: number, told: readonly Refusal[]): object {
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
      'x-examples': examplesOf(told, ({ detail }) => ({ detail }))
    }
  )
}

function examplesOf (told: readonly Refusal[], valueOf: (refusal: Refusal) => object): object {
  return Object.fromEntries(
    told.map((refusal) => [refusal.code, { summary: refusal.message, value: valueOf(refusal) }])
  )
}

/** What FastAPI says instead: 422 for a body that cannot be read or does not fit. */
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
