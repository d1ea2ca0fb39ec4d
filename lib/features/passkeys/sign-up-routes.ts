import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import {
  BODY_ERRORS,
  captchaErrors,
  component,
  describeRoute,
  errorReplies,
  replyOf,
  Type,
  type FeatureKit,
  type Settings,
  type TObject,
  type TProperties
} from '../../feature/index.js'
import { CreationStart, PasskeyCreate } from './schemas.js'
import type { SignUps, SignUpStart } from './sign-up.js'

/** Options of the routes for new users. */
export interface SignUpRoutesOptions {
  kit: FeatureKit
  signUps: SignUps
}

/** Registers the routes with which new users register with a passkey and no password. */
export const signUpRoutes: FastifyPluginAsync<SignUpRoutesOptions> = async (scope, options) => {
  addSignUpOptionsRoute(scope, options)
  addRegisterRoute(scope, options)
}

function addSignUpOptionsRoute (scope: FastifyInstance, { kit: { settings }, signUps }: SignUpRoutesOptions): void {
  const isMailed = settings.registration === 'mail'
  const attempt = isMailed ? 'beginRegistration' : 'register'
  const { email } = settings.schemas.UserCreate.properties
  const body = Type.Object(isMailed ? { token: tokenSchema() } : { email: email as TProperties[string] }, component('PasskeySignUpStart'))
  scope.post<{ Body: SignUpStart }>('/register/passkey/options', {
    schema: {
      ...describeRoute(settings, {
        tags: ['auth'],
        operation: 'passkeySignUpOptions',
        attempt,
        summary: 'Begin a registration with a passkey',
        description: 'The reply has the options of navigator.credentials.create() and a ticket, which works once.'
      }),
      body,
      response: {
        200: replyOf(CreationStart, 'The options, and a ticket for the registration.'),
        ...errorReplies(
          settings, ...BODY_ERRORS, ...captchaErrors(settings, attempt), 'INVALID_USER',
          ...(isMailed ? ['REGISTER_BAD_TOKEN' as const] : []), 'TOO_MANY_ATTEMPTS'
        )
      }
    }
  }, async (request, reply) => await signUps.begin(request.body, { request, reply }))
}

function addRegisterRoute (scope: FastifyInstance, { kit: { settings }, signUps }: SignUpRoutesOptions): void {
  const isMailed = settings.registration === 'mail'
  const isNeutral = !isMailed && !settings.revealExistingAccounts
  scope.post<{ Body: PasskeyCreate & { token?: string } }>('/register/passkey', {
    schema: {
      ...describeRoute(settings, {
        tags: ['auth'],
        operation: 'passkeySignUp',
        attempt: isMailed ? 'completeRegistration' : 'passkeysSignUp',
        summary: 'Register with a passkey',
        description: 'Creates a user with the passkey and without a password. The user is not logged in.'
      }),
      body: registerBody(settings, isMailed),
      response: {
        ...(isNeutral
          ? { 202: settings.wire.emptyReplies.schema('Accepted. The reply is the same for a new and a known e-mail.') }
          : { 201: replyOf(settings.schemas.UserRead, 'The new user.') }),
        ...errorReplies(
          settings, ...BODY_ERRORS, ...captchaErrors(settings, isMailed ? 'completeRegistration' : 'passkeysSignUp'),
          'PASSKEY_CHALLENGE_INVALID', 'PASSKEY_INVALID', 'PASSKEY_ALREADY_REGISTERED', 'PASSKEY_NAME_INVALID',
          'INVALID_USER', ...(isMailed ? ['REGISTER_BAD_TOKEN' as const] : []),
          ...(isMailed || isNeutral ? [] : ['REGISTER_USER_ALREADY_EXISTS' as const]), 'TOO_MANY_ATTEMPTS'
        )
      }
    }
  }, async (request, reply) => {
    const { ticket, credential, name, token, ...fields } = request.body
    const user = await signUps.finish({ ticket, credential, name, token }, fields, { request, reply })
    return user === null ? settings.wire.emptyReplies.send(reply, 202) : reply.code(201).send(user)
  })
}

/** Returns the schema of the body: the passkey, and a new user without the e-mail, the password and the flags. */
function registerBody ({ schemas: { UserCreate } }: Settings, isMailed: boolean): TObject {
  const {
    email: _email, password: _password, is_active: _active, is_superuser: _superuser, is_verified: _verified, ...fields
  } = UserCreate.properties
  return Type.Object(
    { ...fields, ...PasskeyCreate.properties, ...(isMailed ? { token: tokenSchema() } : {}) },
    component('PasskeySignUp')
  )
}

function tokenSchema (): TProperties[string] {
  return Type.String({ minLength: 1, maxLength: 8192, description: 'The mailed token.' })
}
