import createError from '@fastify/error'
import { invalidField } from '../schemas/invalid-field.js'

interface Definition {
  statusCode: number
  message: string
  detail?: string
}

/**
 * Every error of the package by its word; its code is `FST_USERS_` and the word. The table in docs/errors.md equals
 * this one.
 */
const definitions = {
  // replies of the routes: the contract's codes
  REGISTER_USER_ALREADY_EXISTS: { statusCode: 400, message: 'A user with this e-mail address exists.' },
  REGISTER_INVALID_PASSWORD: { statusCode: 400, message: 'The password is refused: %s' },
  LOGIN_BAD_CREDENTIALS: {
    statusCode: 400,
    message: 'The e-mail address or the password is wrong, or the user is not active.'
  },
  LOGIN_USER_NOT_VERIFIED: { statusCode: 400, message: 'The e-mail address is not verified.' },
  RESET_PASSWORD_BAD_TOKEN: { statusCode: 400, message: 'The reset token is wrong, used or too old.' },
  RESET_PASSWORD_INVALID_PASSWORD: { statusCode: 400, message: 'The password is refused: %s' },
  VERIFY_USER_BAD_TOKEN: { statusCode: 400, message: 'The verify token is wrong or too old.' },
  VERIFY_USER_ALREADY_VERIFIED: { statusCode: 400, message: 'The e-mail address is verified already.' },
  UPDATE_USER_EMAIL_ALREADY_EXISTS: { statusCode: 400, message: 'Another user has this e-mail address.' },
  UPDATE_USER_INVALID_PASSWORD: { statusCode: 400, message: 'The password is refused: %s' },
  // replies of the routes: ours
  UPDATE_USER_BAD_CURRENT_PASSWORD: { statusCode: 400, message: 'current_password is missing or wrong.' },
  LAST_SUPERUSER: { statusCode: 400, message: 'The user is the last active superuser; make another one first.' },
  LOGIN_PENDING: { statusCode: 403, message: 'The login needs a further step.' },
  INVALID_PASSWORD: { statusCode: 400, message: 'The password is refused: %s' },
  INVALID_USER: { statusCode: 400, message: 'The user does not fit its schema: %s' },
  REFUSED: { statusCode: 403, message: 'A hook refused the request.' },
  UNAUTHENTICATED: { statusCode: 401, message: 'Log in first.', detail: 'Unauthorized' },
  FORBIDDEN: { statusCode: 403, message: 'The user may not do this.', detail: 'Forbidden' },
  CROSS_SITE_REQUEST: {
    statusCode: 403,
    message: 'The request comes from another site. Name its origin in `trustedOrigins` to allow it.',
    detail: 'Forbidden'
  },
  NOT_FOUND: { statusCode: 404, message: 'There is no such user.', detail: 'Not Found' },
  BAD_REQUEST: { statusCode: 400, message: 'The request cannot be read.', detail: 'Bad Request' },
  STORE_UNAVAILABLE: {
    statusCode: 503,
    message: 'The user store does not answer. Try again later.',
    detail: 'Service Unavailable'
  },
  PASSWORD_QUEUE_FULL: {
    statusCode: 503,
    message: 'Too many passwords are being checked. Try again later.',
    detail: 'Service Unavailable'
  },
  INTERNAL_ERROR: { statusCode: 500, message: 'Something went wrong.', detail: 'Internal Server Error' },
  // replies of the OAuth routes: the contract's codes, then ours
  OAUTH_NOT_AVAILABLE_EMAIL: { statusCode: 400, message: 'The provider gives no e-mail address.' },
  OAUTH_USER_ALREADY_EXISTS: {
    statusCode: 400,
    message: 'A user with this e-mail address exists. Log in and link the account there.'
  },
  OAUTH_INVALID_STATE: {
    statusCode: 400,
    message: 'The login was started elsewhere, finished already, or took too long. Start again.'
  },
  ACCESS_TOKEN_DECODE_ERROR: { statusCode: 400, message: 'The state of the login cannot be read.' },
  ACCESS_TOKEN_ALREADY_EXPIRED: { statusCode: 400, message: 'The login took too long. Start again.' },
  OAUTH_REFUSED: { statusCode: 400, message: 'The provider refused, or the user did.', detail: 'Bad Request' },
  OAUTH_BAD_REDIRECT: { statusCode: 400, message: 'The login may not lead to this address.' },
  OAUTH_ACCOUNT_ALREADY_LINKED: { statusCode: 400, message: 'Another user has this account of the provider.' },
  OAUTH_ACCOUNT_NOT_FOUND: { statusCode: 404, message: 'The user has no such account.', detail: 'Not Found' },
  OAUTH_LAST_LOGIN_METHOD: { statusCode: 400, message: 'The account is the only way to log in. Set a password first.' },
  OAUTH_PROFILE_INCOMPLETE: { statusCode: 400, message: "The provider's profile does not fill the user: %s" },
  OAUTH_PROVIDER_FAILED: { statusCode: 502, message: 'The provider gave an answer that cannot be used.' },
  OAUTH_PROVIDER_UNAVAILABLE: { statusCode: 503, message: 'The provider does not answer. Try again later.' },
  OAUTH_ISSUER_CHANGED: {
    statusCode: 500,
    message:
      'The accounts of the provider "%s" belong to the issuer %s, not to %s. Give the new issuer another `name`, or list the old one in `formerIssuers` if both give every person the same subject.'
  },
  // to code: refused options and calls
  INVALID_OPTION: { statusCode: 500, message: 'Option %s: %s' },
  INVALID_FIELD: { statusCode: 500, message: 'userSchemas: %s' },
  UNKNOWN_OPTION: { statusCode: 500, message: 'There is no option %s. Options are: %s' },
  INVALID_SECRET: { statusCode: 500, message: 'Option %s: %s' },
  DUPLICATE_BACKEND: { statusCode: 500, message: 'Two backends are named "%s"; give each its own name.' },
  UNKNOWN_BACKEND: { statusCode: 500, message: 'There is no backend "%s". Backends are: %s' },
  ALREADY_REGISTERED: {
    statusCode: 500,
    message:
      'Users named "%s" are registered already; register another tenant in a sibling scope with another `name`.'
  },
  TWO_COPIES: {
    statusCode: 500,
    message:
      'There are two copies of fastify-users: %s is registered, %s is used here. Install one version for all packages (see `npm ls fastify-users` or `pnpm why fastify-users`).'
  },
  NAME_TAKEN: {
    statusCode: 500,
    message:
      'The application has a decorator "%s" already, and fastify-users adds one of this name. Rename yours, or register fastify-users in a scope that does not have it.'
  },
  NOT_REGISTERED: {
    statusCode: 500,
    message: 'The users plugin is not registered where this route is; register it in the same scope or above.'
  },
  NOT_READY: { statusCode: 500, message: 'The users plugin is not ready; `await app.ready()` first.' },
  UNDEFINED_HOOK: {
    statusCode: 500,
    message:
      'Route %s has %s: undefined. Fastify ignores an undefined hook, so a guard that was meant there would leave the route open. `app.authenticate` is undefined until the plugin has loaded: import `authenticate` from fastify-users. If no hook is meant, write [] or leave the key out.'
  },
  GUARD_MISUSED: { statusCode: 500, message: 'authenticate: %s' },
  UNKNOWN_HOOK: { statusCode: 500, message: 'There is no event "%s". Events are: %s' },
  INVALID_HOOK: { statusCode: 500, message: 'The hook of "%s" must be a function with two parameters at most.' },
  OPENAPI_REQUIRED: {
    statusCode: 500,
    message:
      'A Swagger 2 document cannot describe the routes of fastify-users. Register @fastify/swagger with what usersOpenapi(options) returns.'
  },
  HOOKS_CLOSED: {
    statusCode: 500,
    message: 'A hook of "%s" came too late: add hooks before the application is ready.'
  },
  SESSIONS_NOT_REVOCABLE: {
    statusCode: 500,
    message:
      'The sessions of backend %s cannot be ended: the user table has no session_stamp column. Run the migrate command, or use a strategy that stores its tokens.'
  },
  UNIQUE_VIOLATION: { statusCode: 409, message: 'Another row has the same %s.' },
  TABLE_MISMATCH: { statusCode: 500, message: 'Table "%s" does not fit: %s' }
} as const satisfies Record<string, Definition>

type Word = keyof typeof definitions

/** The code of every error of the package, for `switch`. */
export type UsersErrorCode = `FST_USERS_${Word}`

/** An error of the package. */
export interface UsersError extends Error {
  readonly code: UsersErrorCode
  readonly statusCode: number
  /** The value of the reply's `detail`: the word, or more data. */
  readonly detail: unknown
  /** Headers of the reply, such as `www-authenticate` or `retry-after`. */
  readonly headers?: Record<string, string>
  /** For `FST_USERS_UNIQUE_VIOLATION`: the fields that clash. */
  readonly fields?: readonly string[]
}

/** What an error has besides its code, status and message. */
export interface UsersErrorExtras {
  detail?: unknown
  headers?: Record<string, string>
  fields?: readonly string[]
  cause?: unknown
}

/** Creates an error of one code. `args` fill the `%s` of its message. */
export type UsersErrorFactory = (args?: readonly string[], extras?: UsersErrorExtras) => UsersError

function define (word: Word): UsersErrorFactory {
  const { statusCode, message, detail = word }: Definition = definitions[word]
  const Base = createError(`FST_USERS_${word}`, message, statusCode)
  return function create (args = [], { cause, ...extras } = {}) {
    const error = new Base(...args, ...(cause === undefined ? [] : [{ cause }]))
    Error.captureStackTrace(error, create)
    return Object.assign(error, { detail, ...extras }) as unknown as UsersError
  }
}

function withReason (word: Word): (reason: unknown) => UsersError {
  const create = define(word)
  return (reason) =>
    create([typeof reason === 'string' ? reason : 'see detail.reason'], { detail: { code: word, reason } })
}

/** One error of the table. */
export interface ErrorTableEntry {
  code: UsersErrorCode
  statusCode: number
  message: string
  detail: string
}

/** Every error code with its status, message and plain `detail`, in the order of the table in docs/errors.md. */
export const errorTable: readonly ErrorTableEntry[] = Object.entries(definitions).map(([word, definition]) => {
  const { statusCode, message, detail = word }: Definition = definition
  return { code: `FST_USERS_${word as Word}`, statusCode, message, detail }
})

/** True for an error of this package. */
export function isUsersError (error: unknown): error is UsersError {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('FST_USERS_')
  )
}

export const FST_USERS_REGISTER_USER_ALREADY_EXISTS = define('REGISTER_USER_ALREADY_EXISTS')
export const FST_USERS_REGISTER_INVALID_PASSWORD = withReason('REGISTER_INVALID_PASSWORD')
export const FST_USERS_LOGIN_BAD_CREDENTIALS = define('LOGIN_BAD_CREDENTIALS')
export const FST_USERS_LOGIN_USER_NOT_VERIFIED = define('LOGIN_USER_NOT_VERIFIED')
export const FST_USERS_RESET_PASSWORD_BAD_TOKEN = define('RESET_PASSWORD_BAD_TOKEN')
export const FST_USERS_RESET_PASSWORD_INVALID_PASSWORD = withReason('RESET_PASSWORD_INVALID_PASSWORD')
export const FST_USERS_VERIFY_USER_BAD_TOKEN = define('VERIFY_USER_BAD_TOKEN')
export const FST_USERS_VERIFY_USER_ALREADY_VERIFIED = define('VERIFY_USER_ALREADY_VERIFIED')
export const FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS = define('UPDATE_USER_EMAIL_ALREADY_EXISTS')
export const FST_USERS_UPDATE_USER_INVALID_PASSWORD = withReason('UPDATE_USER_INVALID_PASSWORD')
export const FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD = define('UPDATE_USER_BAD_CURRENT_PASSWORD')
export const FST_USERS_LAST_SUPERUSER = define('LAST_SUPERUSER')
export const FST_USERS_LOGIN_PENDING = define('LOGIN_PENDING')
/** What `validatePassword` throws, with the reason for the reply; routes answer with their own code. */
export const FST_USERS_INVALID_PASSWORD = withReason('INVALID_PASSWORD')
export const FST_USERS_INVALID_USER = define('INVALID_USER')
const REFUSED = define('REFUSED')
/**
 * What a hook throws to refuse: the reply has this status (400 to 499, else 403), the code `FST_USERS_REFUSED`, the
 * message, and `detail`, a word of the application's that its clients know.
 */
export function refuse (statusCode: number, detail: string, message: string): UsersError {
  const status = Number.isInteger(statusCode) && statusCode >= 400 && statusCode < 500 ? statusCode : 403
  return Object.assign(REFUSED([], { detail }), { statusCode: status, message })
}
export const FST_USERS_UNAUTHENTICATED = define('UNAUTHENTICATED')
export const FST_USERS_FORBIDDEN = define('FORBIDDEN')
export const FST_USERS_CROSS_SITE_REQUEST = define('CROSS_SITE_REQUEST')
export const FST_USERS_NOT_FOUND = define('NOT_FOUND')
export const FST_USERS_BAD_REQUEST = define('BAD_REQUEST')
const VALIDATION = createError('FST_ERR_VALIDATION', '%s', 400)
/** Returns Fastify's error for a part of a request that does not fit its schema. */
export function validationError (message: string): Error {
  return VALIDATION(message)
}
/**
 * Creates the error for a store that fails or is late. Throw it in an adapter or a strategy of your own: the reply is
 * 503.
 */
export const FST_USERS_STORE_UNAVAILABLE = define('STORE_UNAVAILABLE')
/**
 * `FST_USERS_STORE_UNAVAILABLE` for a store that fails or is late: its reply says when to try again, and the cause is
 * for the log alone.
 */
export function storeUnavailable (cause: unknown): UsersError {
  return FST_USERS_STORE_UNAVAILABLE([], { cause, headers: { 'retry-after': '1' } })
}
export const FST_USERS_PASSWORD_QUEUE_FULL = define('PASSWORD_QUEUE_FULL')
export const FST_USERS_INTERNAL_ERROR = define('INTERNAL_ERROR')
export const FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL = define('OAUTH_NOT_AVAILABLE_EMAIL')
export const FST_USERS_OAUTH_USER_ALREADY_EXISTS = define('OAUTH_USER_ALREADY_EXISTS')
export const FST_USERS_OAUTH_INVALID_STATE = define('OAUTH_INVALID_STATE')
export const FST_USERS_ACCESS_TOKEN_DECODE_ERROR = define('ACCESS_TOKEN_DECODE_ERROR')
export const FST_USERS_ACCESS_TOKEN_ALREADY_EXPIRED = define('ACCESS_TOKEN_ALREADY_EXPIRED')
export const FST_USERS_OAUTH_REFUSED = define('OAUTH_REFUSED')
export const FST_USERS_OAUTH_BAD_REDIRECT = define('OAUTH_BAD_REDIRECT')
export const FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED = define('OAUTH_ACCOUNT_ALREADY_LINKED')
export const FST_USERS_OAUTH_ACCOUNT_NOT_FOUND = define('OAUTH_ACCOUNT_NOT_FOUND')
export const FST_USERS_OAUTH_LAST_LOGIN_METHOD = define('OAUTH_LAST_LOGIN_METHOD')
export const FST_USERS_OAUTH_PROFILE_INCOMPLETE = define('OAUTH_PROFILE_INCOMPLETE')
export const FST_USERS_OAUTH_PROVIDER_FAILED = define('OAUTH_PROVIDER_FAILED')
export const FST_USERS_OAUTH_PROVIDER_UNAVAILABLE = define('OAUTH_PROVIDER_UNAVAILABLE')
/** Thrown when the issuer behind a provider's name is not the one whose accounts are stored under that name. */
export const FST_USERS_OAUTH_ISSUER_CHANGED = define('OAUTH_ISSUER_CHANGED')
export const FST_USERS_INVALID_OPTION = define('INVALID_OPTION')
/** What `userSchemas` throws, a `TypeError`. */
export const FST_USERS_INVALID_FIELD = ([reason = '']: readonly string[] = []): Error => invalidField(reason)
export const FST_USERS_UNKNOWN_OPTION = define('UNKNOWN_OPTION')
export const FST_USERS_INVALID_SECRET = define('INVALID_SECRET')
export const FST_USERS_DUPLICATE_BACKEND = define('DUPLICATE_BACKEND')
export const FST_USERS_UNKNOWN_BACKEND = define('UNKNOWN_BACKEND')
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
/** What an adapter throws when a row clashes; `fields` names what is taken. */
export const FST_USERS_UNIQUE_VIOLATION = define('UNIQUE_VIOLATION')
export const FST_USERS_TABLE_MISMATCH = define('TABLE_MISMATCH')
