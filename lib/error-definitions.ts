import type { ErrorDefinition } from './contracts/errors.js'

/**
 * The errors of the core. The key is the code without the prefix `FST_USERS_`; it is also the reply's `detail`
 * unless `detail` is set here. A test keeps the table in docs/errors.md equal to this one. Features have
 * their own definitions.
 */
export const errorDefinitions = {
  // Replies of the user routes, with the codes of FastAPI Users.
  REGISTER_USER_ALREADY_EXISTS: {
    statusCode: 400,
    message: 'A user with this e-mail exists already. Log in, or use another e-mail.'
  },
  REGISTER_INVALID_PASSWORD: { statusCode: 400, message: 'The password is refused. Choose another one: %s' },
  LOGIN_BAD_CREDENTIALS: {
    statusCode: 400,
    message: 'The e-mail or the password is wrong, or the user is not active. Check both and try again.'
  },
  LOGIN_USER_NOT_VERIFIED: {
    statusCode: 400,
    message: 'The e-mail is not verified. Verify it with the mailed token, or request another one.'
  },
  RESET_PASSWORD_BAD_TOKEN: {
    statusCode: 400,
    message: 'The reset token is invalid, used or expired. Request another one.'
  },
  RESET_PASSWORD_INVALID_PASSWORD: { statusCode: 400, message: 'The password is refused. Choose another one: %s' },
  VERIFY_USER_BAD_TOKEN: {
    statusCode: 400,
    message: 'The verify token is invalid or expired. Request another one.'
  },
  VERIFY_USER_ALREADY_VERIFIED: {
    statusCode: 400,
    message: 'The e-mail is verified already. No further step is needed.'
  },
  UPDATE_USER_EMAIL_ALREADY_EXISTS: { statusCode: 400, message: 'Another user has this e-mail. Use a different one.' },
  UPDATE_USER_INVALID_PASSWORD: { statusCode: 400, message: 'The password is refused. Choose another one: %s' },
  // Replies of the user routes that FastAPI Users does not have.
  UPDATE_USER_BAD_CURRENT_PASSWORD: {
    statusCode: 400,
    message: "The field current_password is missing or wrong. Send the user's current password."
  },
  LAST_SUPERUSER: {
    statusCode: 400,
    message: 'The user is the last active superuser. Make another user a superuser first.'
  },
  REGISTER_BAD_TOKEN: {
    statusCode: 400,
    message: 'The link is invalid, used or expired, or the e-mail has an account already. Register or log in again.'
  },
  UNDO_EMAIL_CHANGE_BAD_TOKEN: {
    statusCode: 400,
    message: 'The link is invalid, used or expired, or the user is not active. Ask the operator for help.'
  },
  UNDO_EMAIL_CHANGE_EMAIL_TAKEN: {
    statusCode: 400,
    message:
      'Another account has the previous e-mail now. Reset its password, give it another e-mail, and use the link again.'
  },
  LOGIN_PENDING: {
    statusCode: 403,
    message: 'The login needs a further step, which `detail` describes.',
    example: { code: 'SECOND_FACTOR' }
  },
  SECOND_FACTOR_REQUIRED: {
    statusCode: 403,
    message: 'The login requires a second factor, and the account has none that can be used. Ask the operator for help.'
  },
  OWN_SECOND_FACTORS: {
    statusCode: 400,
    message: 'Superusers cannot remove their own second factors here. Use the routes of the factor, or ask another superuser.'
  },
  LOGIN_TICKET_INVALID: {
    statusCode: 400,
    message: 'The ticket is unknown, used or expired, or belongs to another browser or session. Log in again.'
  },
  INVALID_PASSWORD: { statusCode: 400, message: 'The password is refused. Choose another one: %s' },
  INVALID_USER: {
    statusCode: 400,
    message: 'The user is not valid. Correct these values: %s',
    example: [{ path: '/display_name', keyword: 'text', message: 'must be well-formed Unicode without NUL' }]
  },
  REFUSED: { statusCode: 403, message: 'A hook of the application refused the request.' },
  UNAUTHENTICATED: {
    statusCode: 401,
    message: 'The request has no valid session. Log in first.',
    detail: 'Unauthorized'
  },
  FORBIDDEN: {
    statusCode: 403,
    message: 'The user does not have the rights for this request. Verify the e-mail if it is not verified, or log in as another user.',
    detail: 'Forbidden'
  },
  INSUFFICIENT_SCOPE: {
    statusCode: 403,
    message: 'The request lacks a scope. The header `WWW-Authenticate` lists the scopes that it needs.'
  },
  INSUFFICIENT_USER_AUTHENTICATION: {
    statusCode: 401,
    message: 'The login was too long ago, or lacks a second factor. Authenticate again as `detail` describes, then retry.',
    example: { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300 }
  },
  REAUTHENTICATE_BAD_PASSWORD: {
    statusCode: 400,
    message: 'The password is missing or wrong. Send the password of the user. Users without a password log in again.'
  },
  CROSS_SITE_REQUEST: {
    statusCode: 403,
    message: 'The request comes from another site. To allow it, add its origin to the option `trustedOrigins`.',
    detail: 'Forbidden'
  },
  NOT_FOUND: { statusCode: 404, message: 'There is no user with this id. Check the id.', detail: 'Not Found' },
  BAD_REQUEST: {
    statusCode: 400,
    message: 'The request is malformed. Check its URL, headers and body.',
    detail: 'Bad Request'
  },
  TOO_MANY_ATTEMPTS: {
    statusCode: 429,
    message: 'There were too many attempts. Try again after the seconds in `Retry-After`, or reset the password by mail.'
  },
  CAPTCHA_REQUIRED: {
    statusCode: 400,
    message: 'A captcha is needed. Send its response in the header `x-captcha-response` or in the field of its widget.'
  },
  CAPTCHA_FAILED: {
    statusCode: 400,
    message: 'The captcha is wrong, expired or used. Solve another one.'
  },
  CAPTCHA_UNAVAILABLE: {
    statusCode: 503,
    message: 'The captcha cannot be checked. Try again later.',
    detail: 'Service Unavailable'
  },
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
  INTERNAL_ERROR: {
    statusCode: 500,
    message: 'An internal error occurred. The server log has the cause.',
    detail: 'Internal Server Error'
  },
  // Errors for the developer: wrong options and wrong calls.
  INVALID_OPTION: { statusCode: 500, message: 'Option %s: %s' },
  INVALID_FIELD: { statusCode: 500, message: 'userSchemas: %s' },
  UNKNOWN_OPTION: { statusCode: 500, message: 'There is no option %s. Use one of: %s' },
  INVALID_SECRET: { statusCode: 500, message: 'Option %s: %s' },
  DUPLICATE_BACKEND: { statusCode: 500, message: 'Two backends are named "%s". Give each backend its own name.' },
  UNKNOWN_BACKEND: { statusCode: 500, message: 'There is no backend "%s". Use one of: %s' },
  UNKNOWN_FEATURE: { statusCode: 500, message: 'There is no feature "%s". Use one of: %s' },
  ALREADY_REGISTERED: {
    statusCode: 500,
    message:
      'The plugin is registered already with the name "%s". Register another tenant in a sibling scope with another `name`.'
  },
  TWO_COPIES: {
    statusCode: 500,
    message:
      'Two versions of fastify-users are installed: %s is registered, and %s is used here. Install one version for all packages (see `npm ls fastify-users` or `pnpm why fastify-users`).'
  },
  NAME_TAKEN: {
    statusCode: 500,
    message:
      'The application already has a decorator "%s", and fastify-users adds one with this name. Rename yours, or register fastify-users in a scope that does not have it.'
  },
  NOT_REGISTERED: {
    statusCode: 500,
    message: 'The users plugin is not registered in the scope of this route. Register it in this scope or a parent scope.'
  },
  NOT_READY: { statusCode: 500, message: 'The users plugin is not ready. Call `await app.ready()` first.' },
  UNDEFINED_HOOK: {
    statusCode: 500,
    message:
      'Route %s has %s: undefined. Fastify ignores an undefined hook, so a guard that was meant there would leave the route open. `app.authenticate` is undefined until the plugin has loaded: import `authenticate` from fastify-users. If no hook is meant, write [] or leave the key out.'
  },
  GUARD_MISUSED: { statusCode: 500, message: 'authenticate: %s' },
  UNKNOWN_HOOK: { statusCode: 500, message: 'There is no event "%s". Use one of: %s' },
  INVALID_HOOK: {
    statusCode: 500,
    message: 'The hook for "%s" must be a function with at most two parameters, (payload, context).'
  },
  OPENAPI_REQUIRED: {
    statusCode: 500,
    message:
      'A Swagger 2 document cannot describe the routes of fastify-users. Register @fastify/swagger with the options that usersOpenapi(options) returns.'
  },
  HOOKS_CLOSED: {
    statusCode: 500,
    message: 'A hook for "%s" was added after the application was ready. Add hooks before `app.ready()`.'
  },
  SESSIONS_NOT_REVOCABLE: {
    statusCode: 500,
    message:
      'The sessions of the backend %s cannot be revoked, because the user table has no column session_stamp. Run `fastify-users migrate`, or use a strategy that stores its tokens.'
  },
  UNIQUE_VIOLATION: { statusCode: 409, message: 'Another row has the same %s. Use another value.' },
  TABLE_MISMATCH: { statusCode: 500, message: 'Table "%s" cannot be used. Change it or its mapping: %s' }
} as const satisfies Record<string, ErrorDefinition>
