import { STATUS_CODES } from 'node:http'
import { Type } from '@sinclair/typebox'
import { component, ErrorReply } from '../../schemas/index.js'
import type { DescribedError, ErrorFormat } from '../contracts/wire-format.js'
import { errorExamples, FORM_TYPES } from './descriptions.js'
import { acceptLaxBooleans } from './fastapi-bodies.js'
import { toFastapiReply, withoutReasons } from './fastapi-errors.js'

/** FastAPI's error replies and bodies: `{ detail }`, and the status 422 for invalid input. */
export const fastapiErrors: ErrorFormat = {
  loginTypes: FORM_TYPES,
  prepareScope: acceptLaxBooleans,
  toReply: toFastapiReply,
  guardReply: ({ statusCode, detail }) => (statusCode === 500 ? null : { detail }),
  describe: describeFastapiError,
  schemaOf: fastapiErrorSchema,
  pendingSchema: (detail) => Type.Object({ detail }, component('LoginPending'))
}

/** Returns the response schema: `{ detail }`, or plain text for a 500. */
function fastapiErrorSchema (status: number, errors: readonly DescribedError[]): object {
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
      'x-examples': errorExamples(errors, ({ detail }) => ({ detail }))
    }
  )
}

/** Returns the reply of FastAPI for the same error: 422 for a body that is malformed or invalid. */
function describeFastapiError (error: DescribedError, routeErrors: ReadonlySet<string>): DescribedError {
  const { word, message } = error
  const unprocessable = (problem: object): DescribedError => ({ ...error, statusCode: 422, detail: [problem] })
  switch (word) {
    case 'BAD_REQUEST':
      return !routeErrors.has('BODY_TOO_LARGE')
        ? error
        : unprocessable({ type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error', input: {} })
    case 'INVALID_USER':
      return unprocessable({ type: 'value_error', loc: ['body', 'display_name'], msg: message, input: null })
    case 'INVALID_MEDIA_TYPE':
    case 'VALIDATION':
      return !routeErrors.has('VALIDATION')
        ? error
        : unprocessable({ type: 'missing', loc: ['body'], msg: 'Field required', input: null })
    default:
      return { ...error, detail: withoutReasons(error.detail) }
  }
}
