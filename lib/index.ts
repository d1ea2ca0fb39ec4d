/**
 * The plugin, its options, backends, guards, hooks and error codes. Databases and Redis are separate entries.
 *
 * @module fastify-users
 */

export { Type, type Static } from '@sinclair/typebox'
// Declaration files of applications need the names of its types. With pnpm, applications cannot import that package.
export type * from '@sinclair/typebox'
export { default, default as users } from './plugin.js'
export { usersOpenapi, type UsersOpenapi } from './openapi.js'
export type { JwksOptions, MailedTokenOptions, ReauthenticationOptions, StoredTokenOptions, TokenOptions, UsersOptions } from './options.js'
export {
  authenticate,
  currentUser,
  watchSession,
  type Authenticate,
  type GuardHook
} from './authentication/index.js'
export {
  bearerTransport,
  cookieTransport,
  defineTransport,
  type CookiePlace,
  type CookieTransportOptions
} from './transports/index.js'
export {
  databaseStrategy,
  defineStrategy,
  jwtStrategy,
  type DatabaseStrategyOptions,
  type JwtStrategyOptions
} from './strategies/index.js'
export {
  argon2Passwords,
  passwordPolicy,
  pwnedPasswords,
  type Argon2PasswordsOptions,
  type StoredArgon2Format,
  type StoredBcryptFormat,
  type StoredFormat
} from './passwords/index.js'
export {
  adminOnly,
  AUDIT_EVENTS,
  AuditEvent,
  createOnly,
  integerId,
  objectIdId,
  readOnly,
  userSchemas,
  uuidId,
  type AnyUserSchemas,
  type IdKind,
  type UserOf,
  type UserSchemas
} from '../schemas/index.js'
export { AUDIT_CHANNEL } from './audit/index.js'
export { amrOf } from './sessions/index.js'
export { errorTable } from './error-registry.js'
export {
  FST_USERS_INVALID_PASSWORD,
  FST_USERS_STORE_UNAVAILABLE,
  FST_USERS_UNIQUE_VIOLATION,
  isUsersError,
  refuse
} from './errors.js'
export type * from './contracts/account-deletion.js'
export type * from './contracts/account-export.js'
export type * from './contracts/attempts.js'
export type * from './contracts/audit.js'
export type * from './contracts/authentication.js'
export type * from './contracts/backend.js'
export type * from './contracts/captcha.js'
export type * from './contracts/cookies.js'
export type * from './contracts/database-adapter.js'
export { idOf, resolveRow, type RowReference } from './adapters/shared/row-references.js'
export type * from './contracts/definition.js'
export type * from './contracts/email-login.js'
export type * from './contracts/errors.js'
export type * from './contracts/events.js'
export type * from './contracts/external-user.js'
export type * from './contracts/feature.js'
export type * from './contracts/keys.js'
export type * from './contracts/limits.js'
export type * from './contracts/revocations.js'
export type * from './contracts/login-methods.js'
export type * from './contracts/login-step.js'
export type * from './contracts/mail.js'
export type * from './contracts/models.js'
export type * from './contracts/recovery-codes.js'
export type * from './contracts/password-helper.js'
export type * from './contracts/password-policy.js'
export type { Clock, InsecureSetting, Settings } from './contracts/settings.js'
export type * from './contracts/security-profile.js'
export type * from './contracts/session.js'
export type * from './contracts/session-service.js'
export type * from './contracts/session-watch.js'
export type * from './contracts/single-use.js'
export type * from './contracts/strategy.js'
export type * from './contracts/transport.js'
export type * from './contracts/user.js'
export type * from './contracts/user-cache.js'
export type * from './contracts/users-api.js'
export type * from './contracts/wire-format.js'

// The parts of the types above. Without them, declaration files of applications could not name the types of constants.
export type { SecurityScheme } from './openapi.js'
export type { CompatibilityOptions } from './wire/index.js'
export type * from './contracts/instances.js'
export type {
  Argon2Options,
  HashQueueOptions,
  PasswordPolicy,
  PasswordPolicyOptions,
  PasswordStrengthOptions,
  PwnedPasswordsOptions
} from './passwords/index.js'
export type { JwtKeyOptions } from './tokens/index.js'
export type {
  AdminOnly,
  CreateOnly,
  FieldAccess,
  IdValue,
  Marked,
  ReadOnly,
  RefusedPassword,
  UserFields
} from '../schemas/index.js'
export type { RouteGroupOptions } from './shared/option-checks.js'
export type { JwksSettings, RouteGroupName, RouteSettings, TokenSettings } from './contracts/settings.js'
