import { invalidField } from '../schemas/invalid-field.js'
import type { ErrorDefinition, UsersError, UsersErrorFactory } from './contracts/errors.js'
import type { PasswordReason } from './contracts/password-policy.js'
import { errorDefinitions } from './error-definitions.js'
import packages from './packages.cjs'

export type { UsersError } from './contracts/errors.js'

type Word = keyof typeof errorDefinitions

declare module './contracts/errors.js' {
  interface UsersErrorCodes extends Readonly<Record<`FST_USERS_${Word}`, true>> {}
}

/**
 * Returns a function that creates errors with the code `FST_USERS_<word>`. With `hasTrace: false`, their `stack` is the
 * message alone.
 */
export function createErrorFactory (
  word: string,
  { statusCode, message, detail = word }: ErrorDefinition,
  { hasTrace = true }: { hasTrace?: boolean } = {}
): UsersErrorFactory {
  const Base = packages.createError(`FST_USERS_${word}`, message, statusCode, Error, false)
  return function create (args = [], { cause, ...extras } = {}) {
    const error = cause === undefined ? new Base(...args) : new Base(...args, { cause })
    if (hasTrace) Error.captureStackTrace(error, create)
    else Object.defineProperty(error, 'stack', { value: `${error.name}: ${error.message}`, ...HIDDEN })
    return Object.assign(error, { detail }, extras) as unknown as UsersError
  }
}

/** Attributes of `stack`, as the engine sets them. */
const HIDDEN = { enumerable: false, writable: true, configurable: true }

function define (word: Word): UsersErrorFactory {
  return createErrorFactory(word, errorDefinitions[word])
}

/** Returns a factory for errors without a stack trace, which would cost more than all checks of a guarded request. */
function defineRefusal (word: Word): UsersErrorFactory {
  return createErrorFactory(word, errorDefinitions[word], { hasTrace: false })
}

/**
 * Returns a factory for errors that refuse a password. Their `detail` has the reason, and by default one entry of
 * `reasons` for it.
 */
function withReason (word: Word): (reason: unknown, reasons?: readonly PasswordReason[]) => UsersError {
  const create = define(word)
  return (reason, reasons) => {
    const text = typeof reason === 'string' ? reason : 'see detail.reason'
    const single = { code: 'REFUSED', message: typeof reason === 'string' ? reason : 'The password is refused.' }
    return create([text], { detail: { code: word, reason, reasons: reasons ?? [single] } })
  }
}

/** Returns true for an error of this package or of a feature. */
export function isUsersError (error: unknown): error is UsersError {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('FST_USERS_')
  )
}

/** Returns true for the error of this package or of a feature that has this code. */
export function hasErrorCode (error: unknown, code: string): boolean {
  return isUsersError(error) && error.code === code
}

/** Returns true for an error that a handler or an event hook may reply with. Every other error becomes a 500. */
export function isRefusal (error: Error & { statusCode?: number }): boolean {
  const { statusCode = 500 } = error
  return isUsersError(error) ? statusCode !== 500 : statusCode >= 400 && statusCode < 500
}

export const FST_USERS_REGISTER_USER_ALREADY_EXISTS = define('REGISTER_USER_ALREADY_EXISTS')
export const FST_USERS_REGISTER_INVALID_PASSWORD = withReason('REGISTER_INVALID_PASSWORD')
/** Creates the error for a login with wrong credentials: 400. */
export const FST_USERS_LOGIN_BAD_CREDENTIALS = define('LOGIN_BAD_CREDENTIALS')
/** Creates the error for a login that needs a verified e-mail: 400. */
export const FST_USERS_LOGIN_USER_NOT_VERIFIED = define('LOGIN_USER_NOT_VERIFIED')
export const FST_USERS_RESET_PASSWORD_BAD_TOKEN = define('RESET_PASSWORD_BAD_TOKEN')
export const FST_USERS_RESET_PASSWORD_INVALID_PASSWORD = withReason('RESET_PASSWORD_INVALID_PASSWORD')
export const FST_USERS_VERIFY_USER_BAD_TOKEN = define('VERIFY_USER_BAD_TOKEN')
export const FST_USERS_VERIFY_USER_ALREADY_VERIFIED = define('VERIFY_USER_ALREADY_VERIFIED')
export const FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS = define('UPDATE_USER_EMAIL_ALREADY_EXISTS')
export const FST_USERS_UPDATE_USER_INVALID_PASSWORD = withReason('UPDATE_USER_INVALID_PASSWORD')
export const FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD = define('UPDATE_USER_BAD_CURRENT_PASSWORD')
export const FST_USERS_REGISTER_BAD_TOKEN = define('REGISTER_BAD_TOKEN')
export const FST_USERS_UNDO_EMAIL_CHANGE_BAD_TOKEN = define('UNDO_EMAIL_CHANGE_BAD_TOKEN')
export const FST_USERS_UNDO_EMAIL_CHANGE_EMAIL_TAKEN = define('UNDO_EMAIL_CHANGE_EMAIL_TAKEN')
export const FST_USERS_LAST_SUPERUSER = define('LAST_SUPERUSER')
export const FST_USERS_LOGIN_PENDING = define('LOGIN_PENDING')
export const FST_USERS_SECOND_FACTOR_REQUIRED = define('SECOND_FACTOR_REQUIRED')
export const FST_USERS_OWN_SECOND_FACTORS = define('OWN_SECOND_FACTORS')
export const FST_USERS_LOGIN_TICKET_INVALID = define('LOGIN_TICKET_INVALID')
/**
 * Creates the error that `validatePassword` throws to refuse a password. `reason` is part of the reply; the reply has
 * the code of its route, such as `REGISTER_INVALID_PASSWORD`.
 */
export const FST_USERS_INVALID_PASSWORD: (reason: unknown) => UsersError = withReason('INVALID_PASSWORD')
export const FST_USERS_INVALID_USER = define('INVALID_USER')
const REFUSED = define('REFUSED')
/**
 * Creates the error that a hook throws to refuse a request. The reply has this status (400 to 499; any other number
 * becomes 403), the code `FST_USERS_REFUSED`, the message and `detail`, a word that the application's clients know.
 */
export function refuse (statusCode: number, detail: string, message: string): UsersError {
  const status = Number.isInteger(statusCode) && statusCode >= 400 && statusCode < 500 ? statusCode : 403
  return Object.assign(REFUSED([], { detail }), { statusCode: status, message })
}
/**
 * Factories of the errors with which the guard refuses requests. The reason is in the request, so no stack trace is
 * needed.
 */
export const guardRefusals = {
  unauthenticated: defineRefusal('UNAUTHENTICATED'),
  forbidden: defineRefusal('FORBIDDEN'),
  crossSite: defineRefusal('CROSS_SITE_REQUEST')
}
/** Creates the error for a request without a valid session: 401. */
export const FST_USERS_UNAUTHENTICATED = define('UNAUTHENTICATED')
/** Creates the error for a user without the permission: 403. */
export const FST_USERS_FORBIDDEN = define('FORBIDDEN')
/** Creates the error for a request without a scope that its route requires: 403. It has no stack trace. */
export const FST_USERS_INSUFFICIENT_SCOPE = defineRefusal('INSUFFICIENT_SCOPE')
/**
 * Creates the error for a session whose authentication is too old or too weak for the request: 401 (RFC 9470). It has
 * no stack trace.
 */
export const FST_USERS_INSUFFICIENT_USER_AUTHENTICATION = defineRefusal('INSUFFICIENT_USER_AUTHENTICATION')
/** Creates the error for a reauthentication without the right password: 400. */
export const FST_USERS_REAUTHENTICATE_BAD_PASSWORD = define('REAUTHENTICATE_BAD_PASSWORD')
/** Creates the error for a request of another site that a cookie authenticated: 403. */
export const FST_USERS_CROSS_SITE_REQUEST = define('CROSS_SITE_REQUEST')
/** Creates the error for a record that does not exist: 404. */
export const FST_USERS_NOT_FOUND = define('NOT_FOUND')
/** Creates the error for a malformed request: 400. */
export const FST_USERS_BAD_REQUEST = define('BAD_REQUEST')
const VALIDATION = packages.createError('FST_ERR_VALIDATION', '%s', 400)
/** Returns Fastify's validation error, for a part of a request that does not match its schema. */
export function validationError (message: string): Error {
  return VALIDATION(message)
}
/** Creates the error for a client or an account with too many attempts: 429. It has no stack trace. */
export const FST_USERS_TOO_MANY_ATTEMPTS = defineRefusal('TOO_MANY_ATTEMPTS')
/** Creates the error for an attempt without the response of a captcha: 400. */
export const FST_USERS_CAPTCHA_REQUIRED = define('CAPTCHA_REQUIRED')
/** Creates the error for a response of a captcha that is wrong, expired or used: 400. */
export const FST_USERS_CAPTCHA_FAILED = define('CAPTCHA_FAILED')
/** Creates the error for a captcha whose provider does not answer: 503. */
export const FST_USERS_CAPTCHA_UNAVAILABLE = define('CAPTCHA_UNAVAILABLE')
/** Creates the error for a store that fails or is too slow. Adapters and strategies can throw it: the reply is 503. */
export const FST_USERS_STORE_UNAVAILABLE = define('STORE_UNAVAILABLE')
/** Creates `FST_USERS_STORE_UNAVAILABLE` with a `Retry-After` header. `cause` is logged and not part of the reply. */
export function storeUnavailable (cause: unknown): UsersError {
  return FST_USERS_STORE_UNAVAILABLE([], { cause, headers: { 'retry-after': '1' } })
}
export const FST_USERS_PASSWORD_QUEUE_FULL = define('PASSWORD_QUEUE_FULL')
export const FST_USERS_INTERNAL_ERROR = define('INTERNAL_ERROR')
/** Creates the error for a wrong option, which stops the start. `args`: the option, and what is wrong with it. */
export const FST_USERS_INVALID_OPTION = define('INVALID_OPTION')
/** Creates the `TypeError` that `userSchemas` throws for a wrong custom field. */
export const FST_USERS_INVALID_FIELD = ([reason = '']: readonly string[] = []): Error => invalidField(reason)
export const FST_USERS_UNKNOWN_OPTION = define('UNKNOWN_OPTION')
export const FST_USERS_INVALID_SECRET = define('INVALID_SECRET')
export const FST_USERS_DUPLICATE_BACKEND = define('DUPLICATE_BACKEND')
/** Creates the error for a name that no backend has. `args`: the name, and the known names. */
export const FST_USERS_UNKNOWN_BACKEND = define('UNKNOWN_BACKEND')
export const FST_USERS_UNKNOWN_FEATURE = define('UNKNOWN_FEATURE')
export const FST_USERS_ALREADY_REGISTERED = define('ALREADY_REGISTERED')
export const FST_USERS_TWO_COPIES = define('TWO_COPIES')
export const FST_USERS_NAME_TAKEN = define('NAME_TAKEN')
export const FST_USERS_NOT_REGISTERED = define('NOT_REGISTERED')
export const FST_USERS_NOT_READY = define('NOT_READY')
export const FST_USERS_UNDEFINED_HOOK = define('UNDEFINED_HOOK')
export const FST_USERS_GUARD_MISUSED = define('GUARD_MISUSED')
export const FST_USERS_UNKNOWN_HOOK = define('UNKNOWN_HOOK')
export const FST_USERS_INVALID_HOOK = define('INVALID_HOOK')
export const FST_USERS_OPENAPI_REQUIRED = define('OPENAPI_REQUIRED')
export const FST_USERS_HOOKS_CLOSED = define('HOOKS_CLOSED')
export const FST_USERS_SESSIONS_NOT_REVOCABLE = define('SESSIONS_NOT_REVOCABLE')
/** Creates the error that an adapter throws for a duplicate; `fields` lists the fields whose values are taken. */
export const FST_USERS_UNIQUE_VIOLATION = define('UNIQUE_VIOLATION')
export const FST_USERS_TABLE_MISMATCH = define('TABLE_MISMATCH')
