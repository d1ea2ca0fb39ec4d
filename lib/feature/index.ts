/**
 * The kit for writing features: the interfaces, and functions for routes, schemas, options and tokens.
 *
 * @module fastify-users/feature
 */

export type * from '../contracts/account-deletion.js'
export type * from '../contracts/account-export.js'
export type * from '../contracts/attempts.js'
export type * from '../contracts/audit.js'
export type * from '../contracts/authentication.js'
export type * from '../contracts/backend.js'
export type { BackendDefaults } from '../contracts/definition.js'
export type * from '../contracts/cookies.js'
export type * from '../contracts/database-adapter.js'
export type * from '../contracts/email-login.js'
export type * from '../contracts/errors.js'
export type * from '../contracts/events.js'
export type * from '../contracts/external-user.js'
export type * from '../contracts/feature.js'
export type * from '../contracts/instances.js'
export type * from '../contracts/keys.js'
export type * from '../contracts/limits.js'
export type * from '../contracts/login-methods.js'
export type * from '../contracts/login-step.js'
export type * from '../contracts/models.js'
export type * from '../contracts/revocations.js'
export type * from '../contracts/recovery-codes.js'
export type * from '../contracts/passwordless-registration.js'
export type * from '../contracts/security-profile.js'
export type * from '../contracts/second-factors.js'
export type * from '../contracts/session.js'
export type * from '../contracts/session-service.js'
export type * from '../contracts/settings.js'
export type * from '../contracts/single-use.js'
export type * from '../contracts/strategy.js'
export type * from '../contracts/transport.js'
export type * from '../contracts/user.js'
export type * from '../contracts/users-api.js'

export { factorEvents } from '../contracts/login-methods.js'
export { SECOND_FACTOR_GROUP } from '../contracts/second-factors.js'
export { defineFeature } from './define-feature.js'
export { createFirstRecoveryCodes, provideRecoveryCodes, recoveryCodesOf } from './recovery-codes.js'

// schemas and routes
export { Type, type Static, type TObject, type TProperties, type TSchema, type TString } from '@sinclair/typebox'
export {
  AUDIT_OUTCOMES,
  AuditEvent,
  component,
  CurrentPasswordBody,
  EMAIL_MAX_LENGTH,
  KnownEmail,
  type IdKind
} from '../../schemas/index.js'
export {
  acceptMissingBody,
  addFormParsers,
  BODY_ERRORS,
  captchaErrors,
  CONFIRM_ERRORS,
  describeRoute,
  errorReplies,
  optionalBody,
  ownAccountGuard,
  replyOf,
  rememberableBody,
  rereadSession,
  stepUpBody,
  superuserGuard,
  UNREAD_BODY_ERRORS,
  wantsToBeRemembered,
  type ErrorWord,
  type RouteDescription
} from '../routes/index.js'
export {
  authenticate,
  currentUser,
  includesScopes,
  isCrossSite,
  isScope,
  refuseCrossSite,
  scopesFlag,
  type GuardHook
} from '../authentication/index.js'
export {
  amrOf,
  contextOf,
  createBrowserCookie,
  createHostCookie,
  isRemembered,
  type BrowserCookie,
  type BrowserCookieSettings,
  type HostCookieParts
} from '../sessions/index.js'
export { defineStrategy } from '../strategies/define.js'
export { defineTransport } from '../transports/define.js'
export { readBearerToken } from '../transports/bearer/index.js'
export { readCookie } from '../shared/cookie-header.js'

// errors
export { defineErrors } from '../error-registry.js'
export {
  FST_USERS_BAD_REQUEST,
  FST_USERS_CROSS_SITE_REQUEST,
  FST_USERS_FORBIDDEN,
  FST_USERS_INVALID_OPTION,
  FST_USERS_LOGIN_BAD_CREDENTIALS,
  FST_USERS_LOGIN_USER_NOT_VERIFIED,
  FST_USERS_NOT_FOUND,
  FST_USERS_STORE_UNAVAILABLE,
  FST_USERS_UNAUTHENTICATED,
  FST_USERS_UNKNOWN_BACKEND,
  hasErrorCode,
  isUsersError,
  refuse
} from '../errors.js'

// options
export {
  cookieDomainProblem,
  cookieNameProblem,
  cookiePathProblem,
  hostPrefixOf,
  type CookieScope
} from '../shared/cookie-attributes.js'
export { checkSeconds, checkSecureCookie, MAX_SESSION_SECONDS } from '../shared/limits.js'
export {
  checkBoolean,
  checkKnownKeys,
  checkObject,
  checkOption,
  isName,
  parseBaseUrl,
  parseHttpUrl,
  parseOrigin,
  readRoute,
  type RouteGroupOptions
} from '../shared/option-checks.js'
export { isFunction, isObject } from '../shared/values.js'

// clients
export { describeDevice, knownIp } from '../shared/device.js'

// traces
export { AUDIT_CHANNEL } from '../audit/index.js'
export { hashTracing, loginTracing, type HashTrace, type LoginTrace } from '../shared/tracing.js'

// e-mails, tokens and rows
export { explainEmail, isSameEmail, isUnchanged, parseEmail, parseNewEmail } from '../users/index.js'
export {
  checkJwtKey,
  checkSecret,
  createJwtCodec,
  createTextCipher,
  deriveKeys,
  digestToken,
  fingerprint,
  generateOpaqueToken,
  isOpaqueToken,
  isSameSecret,
  isSealed,
  type Claims,
  type InspectedToken,
  type JwtCodec,
  type JwtCodecOptions,
  type JwtKey,
  type TextCipher
} from '../tokens/index.js'
export { deleteExpired } from '../adapters/shared/delete-expired.js'
export { idOf } from '../adapters/shared/row-references.js'
