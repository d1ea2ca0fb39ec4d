import { Type, type Static } from '@sinclair/typebox'
import {
  checkbox,
  component,
  Email,
  KnownEmail,
  Password,
  TOKEN_MAX_LENGTH,
  PASSWORD_MAX_BYTES,
  EMAIL_MAX_LENGTH,
  Token
} from './common.js'

/**
 * Body of the login route: the OAuth 2 password form (RFC 6749, section 4.3.2). `username` contains the e-mail.
 */
export const LoginBody = Type.Object(
  {
    grant_type: Type.Optional(Type.String({ pattern: '^(password)?$', examples: ['password'] })),
    username: Type.String({ minLength: 1, maxLength: EMAIL_MAX_LENGTH, examples: ['king.arthur@camelot.bt'] }),
    password: Type.String({
      format: 'password',
      minLength: 1,
      maxLength: PASSWORD_MAX_BYTES,
      examples: ['guinevere-1']
    }),
    scope: Type.Optional(Type.String({ maxLength: 1024, examples: [''] })),
    client_id: Type.Optional(Type.String({ maxLength: 1024, examples: [''] })),
    client_secret: Type.Optional(Type.String({ maxLength: 1024, examples: [''] }))
  },
  component('LoginForm')
)
export type LoginBody = Static<typeof LoginBody>

/** Body of the login route if users can ask for a longer session. */
export const RememberedLoginBody = Type.Object(
  {
    ...LoginBody.properties,
    remember_me: Type.Optional(
      checkbox('The session lasts longer, and the browser keeps its cookie when it closes. Default: false.')
    )
  },
  component('RememberedLoginForm')
)
export type RememberedLoginBody = Static<typeof RememberedLoginBody>

/** Reply of a bearer login (RFC 6749, section 5.1). */
export const BearerReply = Type.Object(
  {
    access_token: Type.String({ maxLength: TOKEN_MAX_LENGTH }),
    token_type: Type.Literal('bearer'),
    expires_in: Type.Optional(Type.Integer({ description: 'Seconds until the access token expires.' })),
    refresh_token: Type.Optional(Type.String())
  },
  component('BearerResponse')
)
export type BearerReply = Static<typeof BearerReply>

export const ForgotPasswordBody = Type.Object({ email: KnownEmail }, component('ForgotPassword'))
export type ForgotPasswordBody = Static<typeof ForgotPasswordBody>

export const ResetPasswordBody = Type.Object({ token: Token, password: Password }, component('ResetPassword'))
export type ResetPasswordBody = Static<typeof ResetPasswordBody>

/** Body of a registration by mail. */
export const MailedRegistrationBody = Type.Object({ email: Email }, component('MailedRegistration'))
export type MailedRegistrationBody = Static<typeof MailedRegistrationBody>

/** Body that undoes an e-mail change. */
export const UndoEmailChangeBody = Type.Object({ token: Token }, component('UndoEmailChange'))
export type UndoEmailChangeBody = Static<typeof UndoEmailChangeBody>

/** Body that confirms a change with the current password, for `sensitiveChanges: 'confirm'`. */
export const CurrentPasswordBody = Type.Object(
  { current_password: Type.Optional(Type.String()) },
  component('CurrentPassword')
)
export type CurrentPasswordBody = Static<typeof CurrentPasswordBody>

export const RequestVerifyBody = Type.Object({ email: KnownEmail }, component('RequestVerify'))
export type RequestVerifyBody = Static<typeof RequestVerifyBody>

export const VerifyBody = Type.Object({ token: Token }, component('Verify'))
export type VerifyBody = Static<typeof VerifyBody>
