import { STATUS_CODES } from 'node:http'
import type { ErrorObject } from 'ajv'
import type { FastifyError, FastifyRequest } from 'fastify'
import { isUsersError } from '../errors.js'
import { isObject } from '../shared/values.js'

/** A reply in FastAPI's format: `{ detail }`, or plain text for a 500. */
export interface FastapiReply {
  statusCode: number
  body: { detail: unknown } | string
}

type Json = Record<string, unknown>
interface Problem {
  type: string
  loc: (string | number)[]
  msg: string
  input: unknown
  ctx?: Json
}

const SECRET_FIELDS = new Set(['password', 'current_password', 'token', 'client_secret', 'access_token', 'refresh_token'])
const REDACTED = '**********'
const PASSWORD_REASON = 'It must be well-formed text of at most 1024 bytes.'
const MAX_DEPTH = 64 // a body of 16 kB of brackets would overflow the stack

/** Returns FastAPI's reply to an error: 422 with a list of problems for an invalid body, without secrets. */
export function toFastapiReply (error: FastifyError, request: FastifyRequest): FastapiReply {
  const { statusCode = 500, code, validation } = error
  if (validation !== undefined && error.validationContext === 'querystring') {
    return unprocessable(describeQuery(validation as ErrorObject[]))
  }
  if (validation !== undefined) return unprocessable(describeProblems(validation as ErrorObject[], request))
  if (code === 'FST_USERS_INVALID_USER') return unprocessable(describeInvalidUser(error))
  if (code === 'FST_USERS_BAD_REQUEST' && request.method === 'GET') {
    return { statusCode: 400, body: { detail: STATUS_CODES[400] } } // a validation error of a GET is about the query
  }
  if (code === 'FST_USERS_BAD_REQUEST' && isForm(request)) {
    return { statusCode: 400, body: { detail: 'There was an error parsing the body' } }
  }
  if (code === 'FST_USERS_BAD_REQUEST') {
    return unprocessable([
      {
        type: 'json_invalid',
        loc: ['body', 0],
        msg: 'JSON decode error',
        input: {},
        ctx: { error: 'the body cannot be read' }
      }
    ])
  }
  if (statusCode === 415 && request.routeOptions.schema?.body !== undefined) {
    return unprocessable(describeWrongBody(request, REDACTED))
  }
  if (isUsersError(error) && statusCode !== 500) return { statusCode, body: { detail: withoutReasons(error.detail) } }
  if (statusCode >= 400 && statusCode < 500) {
    return { statusCode, body: { detail: STATUS_CODES[statusCode] ?? 'Error' } }
  }
  return { statusCode: 500, body: 'Internal Server Error' }
}

/** Returns `detail` without the list of reasons for a refused password, which FastAPI Users does not have. */
export function withoutReasons (detail: unknown): unknown {
  if (!isObject(detail) || !('reason' in detail)) return detail
  const { reasons: _reasons, ...rest } = detail
  return rest
}

function unprocessable (detail: Problem[]): FastapiReply {
  return { statusCode: 422, body: { detail } }
}

/**
 * Returns all problems of a body, in the order of the schema's fields. In FastAPI, the fields of forms and of bodies
 * with one or two fields are separate parameters; a missing one has the input null.
 */
function describeProblems (errors: readonly ErrorObject[], request: FastifyRequest): Problem[] {
  const { body } = request
  // only the login form has `grant_type`; there, an empty string counts as missing
  const { properties = {} } = bodySchemaOf(request)
  const order = Object.keys(properties)
  if (errors.some(({ instancePath, keyword }) => instancePath === '' && keyword === 'type')) {
    return describeWrongBody(request, redact(body))
  }
  const bodyInput = hasSeparateParameters(properties) ? null : redact(body)
  const problems = withoutLengthOfMalformed(errors)
    .map((error) => describeProblem(error, body, bodyInput, 'grant_type' in properties))
    .filter((problem) => problem !== null)
  const unique = new Map(problems.map((problem) => [`${problem.type} ${problem.loc.join('/')}`, problem]))
  const position = ({ loc: [, field] }: Problem): number => order.indexOf(String(field))
  return [...unique.values()].sort((a, b) => position(a) - position(b))
}

/** Removes other errors of a value with a format error, because Pydantic reports one problem per value. */
function withoutLengthOfMalformed (errors: readonly ErrorObject[]): readonly ErrorObject[] {
  const malformed = new Set(
    errors.filter(({ keyword }) => keyword === 'format').map(({ instancePath }) => instancePath)
  )
  return errors.filter(({ keyword, instancePath }) => keyword === 'format' || !malformed.has(instancePath))
}

/** Returns the problems of a query. Its values are never echoed, because they may be codes. */
function describeQuery (errors: readonly ErrorObject[]): Problem[] {
  return errors.map(({ instancePath, keyword, params, message = '' }) => {
    const { type } = params as { type?: string }
    const loc = ['query', ...instancePath.split('/').slice(1)]
    return keyword === 'type'
      ? describeType(String(type), loc, REDACTED, REDACTED)
      : { type: keyword, loc, msg: message, input: REDACTED }
  })
}

/** Returns the problems of a body that is missing or is not an object. */
function describeWrongBody (request: FastifyRequest, input: unknown): Problem[] {
  const { properties = {}, required = [] } = bodySchemaOf(request)
  if (hasSeparateParameters(properties)) return required.map((field) => missingField(['body', field], null))
  return [input === null ? missingField(['body'], null) : notAnObject(input)]
}

function bodySchemaOf ({ routeOptions }: FastifyRequest): { properties?: Json; required?: string[] } {
  return routeOptions.schema?.body ?? {}
}

function isForm ({ headers }: FastifyRequest): boolean {
  return headers['content-type']?.toLowerCase().startsWith('application/json') !== true
}

function hasSeparateParameters (properties: Json): boolean {
  return Object.keys(properties).length <= 2 || 'grant_type' in properties
}

function describeProblem (
  { instancePath, keyword, params, message = '' }: ErrorObject,
  body: unknown,
  bodyInput: unknown,
  isLogin: boolean
): Problem | null {
  const path = instancePath.split('/').slice(1)
  const loc = ['body', ...path]
  const value = path.reduce<unknown>((inner, key) => (inner as Json | undefined)?.[key], body)
  const input = SECRET_FIELDS.has(path[0] ?? '') ? REDACTED : redact(value)
  // FastAPI treats a null parameter as missing; its newest releases report `string_type`
  const isAbsent = value === null && bodyInput === null
  const {
    missingProperty = '',
    type,
    format,
    pattern,
    limit
  } = params as { missingProperty?: string; type?: string; format?: string; pattern?: string; limit?: number }
  switch (keyword) {
    case 'required':
      return missingField([...loc, missingProperty], bodyInput)
    case 'minLength':
      return isLogin
        ? missingField(loc, null)
        : {
            type: 'string_too_short',
            loc,
            msg: `String should have at least ${limit} character${limit === 1 ? '' : 's'}`,
            input,
            ctx: { min_length: limit }
          }
    case 'maxLength':
      return {
        type: 'string_too_long',
        loc,
        msg: `String should have at most ${limit} characters`,
        input,
        ctx: { max_length: limit }
      }
    case 'pattern':
      return {
        type: 'string_pattern_mismatch',
        loc,
        msg: `String should match pattern '${upstreamPattern(pattern)}'`,
        input,
        ctx: { pattern: upstreamPattern(pattern) }
      }
    case 'format':
      return describeFormat(String(format), message, loc, input)
    case 'anyOf':
      return describeType(isFlag(path) ? 'boolean' : 'string', loc, input, value)
    case 'type':
      return type === 'null' ? null : isAbsent ? missingField(loc, null) : describeType(String(type), loc, input, value)
    default:
      return { type: keyword, loc, msg: message, input }
  }
}

function describeType (type: string, loc: Problem['loc'], input: unknown, value: unknown): Problem {
  if (type === 'boolean' && (typeof value === 'string' || Number.isSafeInteger(value))) {
    return { type: 'bool_parsing', loc, msg: 'Input should be a valid boolean, unable to interpret input', input }
  }
  return { type: type === 'boolean' ? 'bool_type' : `${type}_type`, loc, msg: `Input should be a valid ${type}`, input }
}

function describeFormat (format: string, message: string, loc: Problem['loc'], input: unknown): Problem {
  const isEmail = format === 'email' || format === 'idn-email'
  const reason = isEmail
    ? `It ${message}.`
    : format === 'password'
      ? PASSWORD_REASON
      : `It must be well-formed ${format}.`
  return {
    type: 'value_error',
    loc,
    msg: isEmail ? `value is not a valid email address: ${reason}` : `Value error, ${reason}`,
    input,
    ctx: { reason }
  }
}

/** Returns the problems that the user rules found in a body. */
function describeInvalidUser (error: FastifyError): Problem[] {
  // `invalidUser` creates this error with this detail
  const { detail } = error as FastifyError & { detail: { path: string; message: string; keyword: string }[] }
  return detail.map(({ path, message, keyword }) => ({
    type: keyword === 'required' ? 'missing' : 'value_error',
    loc: ['body', ...path.split('/').slice(1)],
    msg: message,
    input: null
  }))
}

function missingField (loc: Problem['loc'], input: unknown): Problem {
  return { type: 'missing', loc, msg: 'Field required', input }
}

function notAnObject (input: unknown): Problem {
  return {
    type: 'model_attributes_type',
    loc: ['body'],
    msg: 'Input should be a valid dictionary or object to extract fields from',
    input
  }
}

/** Returns the pattern of FastAPI. The plugin's own pattern also accepts an empty `grant_type`. */
function upstreamPattern (pattern = ''): string {
  return pattern.replace('(password)?', 'password')
}

function isFlag ([field = '']: readonly string[]): boolean {
  return field.startsWith('is_')
}

/** Returns the value with secret fields and long strings masked. */
function redact (value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return value.length > 1024 ? REDACTED : value
  if (typeof value !== 'object' || value === null) return value ?? null
  if (depth === MAX_DEPTH) return REDACTED
  if (Array.isArray(value)) return value.map((inner) => redact(inner, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, SECRET_FIELDS.has(key) ? REDACTED : redact(inner, depth + 1)])
  )
}
