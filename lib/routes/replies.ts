import { Type, type TSchema } from '@sinclair/typebox'
import type { AttemptKind } from '../contracts/attempts.js'
import type { ErrorRegistry, UsersErrorCode, WordOf } from '../contracts/errors.js'
import type { Settings } from '../contracts/settings.js'
import type { DescribedError } from '../contracts/wire-format.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { codesOf } from '../wire/index.js'
import { pendingDetailOf, withPendingReply } from './pending-reply.js'

/** An error code without its prefix: a code of the plugin or a feature, or one of Fastify's errors about a body. */
export type ErrorWord = WordOf<UsersErrorCode> | 'BODY_TOO_LARGE' | 'INVALID_MEDIA_TYPE' | 'VALIDATION'

/** Errors that a body can cause on a route that does not read it. */
export const UNREAD_BODY_ERRORS = [
  'BAD_REQUEST',
  'BODY_TOO_LARGE',
  'INVALID_MEDIA_TYPE'
] as const satisfies readonly ErrorWord[]
/** Errors that a body can cause before the route handler runs. */
export const BODY_ERRORS = [...UNREAD_BODY_ERRORS, 'VALIDATION'] as const satisfies readonly ErrorWord[]
/** Errors of a sensitive change, whose body may have the current password. */
export const CONFIRM_ERRORS = [
  ...BODY_ERRORS,
  'UPDATE_USER_BAD_CURRENT_PASSWORD',
  'INSUFFICIENT_USER_AUTHENTICATION',
  'PASSWORD_QUEUE_FULL',
  'TOO_MANY_ATTEMPTS'
] as const satisfies readonly ErrorWord[]

/**
 * Returns the response schemas of the errors of a route, by status. Each refers to the component `Error` and has the
 * codes of the status with an example for each. 500 and 503 are added to every route; `TOO_MANY_ATTEMPTS` is left out
 * if the limits are off. Throws `FST_USERS_INVALID_OPTION` for a word that neither the plugin nor a feature defines.
 */
export function errorReplies (
  { wire, errorHandler, errors, loginSteps, limits, secondFactors }: Settings,
  ...words: readonly ErrorWord[]
): Record<number, object> {
  const named = new Set<string>([...words, 'INTERNAL_ERROR', 'STORE_UNAVAILABLE'])
  if (limits === null) named.delete('TOO_MANY_ATTEMPTS')
  if (named.has('LOGIN_PENDING') && secondFactors.required !== null) named.add('SECOND_FACTOR_REQUIRED')
  const offersSteps = loginSteps.length > 0 && named.has('LOGIN_PENDING')
  const described = describeErrors(errors, named)
    .map((error) => wire.errors.describe(error, named))
    .map((error) => (error.word === 'LOGIN_PENDING' ? { ...error, ...pendingDetailOf(loginSteps) } : error))
  const statuses = new Set(described.map(({ statusCode }) => statusCode))
  return Object.fromEntries(
    [...statuses].map((status) => {
      const ofStatus = described.filter(({ statusCode }) => statusCode === status)
      if (errorHandler === 'application') return [status, Type.Unknown({ 'x-response-description': codesOf(ofStatus) })]
      const reply = wire.errors.schemaOf(status, ofStatus)
      return [status, offersSteps && status === 403 ? withPendingReply(reply, wire.errors, loginSteps) : reply]
    })
  )
}

/** Returns the errors of a captcha for a route that begins this kind of attempt. */
export function captchaErrors ({ captcha }: Settings, kind: AttemptKind): readonly ErrorWord[] {
  if (captcha?.kinds.has(kind) !== true) return []
  const down = captcha.ifUnavailable === 'refuse' ? ['CAPTCHA_UNAVAILABLE' as const] : []
  return ['CAPTCHA_REQUIRED', 'CAPTCHA_FAILED', ...down]
}

/** Returns a response schema with a description for the API document. */
export function replyOf<S extends TSchema> (schema: S, description: string): S {
  return { ...schema, 'x-response-description': description }
}

const REASON = 'Use at least 8 characters.'
const REASONS = [{ code: 'TOO_SHORT', message: REASON, minimumLength: 8 }]

/** Errors of Fastify. */
const FASTIFY_ERRORS: readonly DescribedError[] = [
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

/** Returns the errors with these words, in the order of their definition. */
function describeErrors (errors: ErrorRegistry, named: ReadonlySet<string>): readonly DescribedError[] {
  const unknown = [...named].find((word) => !errors.has(word) && FASTIFY_ERRORS.every((own) => own.word !== word))
  if (unknown !== undefined) throw FST_USERS_INVALID_OPTION(['errorReplies', `there is no error code ${unknown}`])
  const defined = [...errors].filter(([word]) => named.has(word))
  return [
    ...defined.map(([word, { statusCode, message, detail = word, example }]) => {
      const usual = message.includes('%s') ? { code: detail, reason: REASON, reasons: REASONS } : detail
      return {
        word,
        code: `FST_USERS_${word}`,
        statusCode,
        message: message.replace('%s', REASON),
        detail: example ?? usual
      }
    }),
    ...FASTIFY_ERRORS.filter(({ word }) => named.has(word))
  ]
}
