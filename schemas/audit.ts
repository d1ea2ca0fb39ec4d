import { Type, type Static } from '@sinclair/typebox'
import { component } from './common.js'

/** Names of the audit events of the plugin and its features. Features outside of this package may add others. */
export const AUDIT_EVENTS = [
  'user.register_request',
  'user.register',
  'user.update',
  'user.delete_request',
  'user.delete_cancel',
  'user.delete',
  'user.export',
  'login',
  'login.email_request',
  'login.new_device',
  'login.reauthenticate',
  'logout',
  'session.end',
  'token.reuse',
  'passkey.clone',
  'email.verify_request',
  'email.verify',
  'email.change_request',
  'email.change',
  'email.change_cancel',
  'password.change',
  'password.lock',
  'password.reset_request',
  'password.reset',
  'provider.link',
  'provider.unlink',
  'factor.add',
  'factor.remove',
  'api_key.create',
  'api_key.revoke',
  'api_key.first_use',
  'api_key.refuse',
  'device.trust',
  'device.untrust',
  'recovery_codes.create',
  'recovery_codes.use',
  'access.denied',
  'request.cross_site',
  'limit.hit',
  'dependency.failure'
] as const

/**
 * Outcomes of audit events. `failure`: the plugin refused it, for example for a wrong password. `blocked`: a hook, a
 * limit or the guard refused it. `pending`: a further step is needed.
 */
export const AUDIT_OUTCOMES = ['success', 'failure', 'blocked', 'pending'] as const

/**
 * Kinds of actors. `user`: the user of the session. `superuser`: a superuser who acts on another user. `anonymous`: a
 * request without a session. `code`: a call of `app.users` without a request. `system`: a consequence of another event.
 */
export const AUDIT_ACTORS = ['user', 'superuser', 'anonymous', 'code', 'system'] as const

/** Kinds of targets: a user, or a route of the application. */
export const AUDIT_TARGETS = ['user', 'route'] as const

/** Maximum length of each text of an audit event in characters. Longer values are cut. */
export const AUDIT_TEXT_MAX_LENGTH = 256

const enumOf = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: [...values], description })
const nullableText = (description: string, maxLength = AUDIT_TEXT_MAX_LENGTH) =>
  Type.Union([Type.String({ maxLength }), Type.Null()], { description })

/** A security event. It contains no password, token, code, cookie or secret. Control characters are escaped. */
export const AuditEvent = Type.Object(
  {
    time: Type.String({ format: 'date-time', description: 'Time of the event in UTC (RFC 3339).' }),
    tenant: Type.String({ maxLength: 32, description: 'The option `name` of the plugin.' }),
    event: Type.String({
      pattern: '^[a-z][a-z0-9_]*(?:\\.[a-z][a-z0-9_]*)*$',
      maxLength: 64,
      description: 'Name of the event, such as `login`.',
      examples: [...AUDIT_EVENTS]
    }),
    outcome: enumOf(AUDIT_OUTCOMES, 'Outcome of the event.'),
    reason: nullableText('Code of the reason if the outcome is not `success`, such as `WRONG_PASSWORD`.', 64),
    actor_type: enumOf(AUDIT_ACTORS, 'Kind of the actor.'),
    actor_id: nullableText('Id of the acting user.', 64),
    target_type: Type.Union([enumOf(AUDIT_TARGETS, 'Kind of the target.'), Type.Null()]),
    target_id: nullableText('Id of the user, or method and path of the route, such as `GET /admin/:id`.'),
    target_email: nullableText('E-mail of the target, masked by default, with its domain in ASCII.', 320),
    ip: nullableText('IP address of the client, as Fastify determines it with `trustProxy`.', 64),
    user_agent: nullableText('Header `User-Agent` of the request.'),
    session_id: nullableText('Id of the session. It is not the token.', 64),
    request_id: nullableText('Id of the request in the log.', 128),
    backend: nullableText('Name of the backend.', 64),
    method: nullableText('Login method, such as `password`, or the name of a login step.', 64),
    details: Type.Record(
      Type.String({ maxLength: 64 }),
      Type.Union([Type.String({ maxLength: AUDIT_TEXT_MAX_LENGTH }), Type.Number(), Type.Boolean(), Type.Null()]),
      { description: 'Further values of the event, such as `fields` of a change.', maxProperties: 16 }
    )
  },
  { ...component('AuditEvent'), additionalProperties: false }
)
export type AuditEvent = Static<typeof AuditEvent>

/** Name of a documented audit event. */
export type AuditEventName = (typeof AUDIT_EVENTS)[number]
