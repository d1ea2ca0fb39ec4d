import { component, Type, type Static, type TString } from '../../feature/index.js'
import { CREDENTIAL_ID_MAX_LENGTH, NAME_MAX_LENGTH } from './model.js'

const Time = Type.String({ format: 'date-time' })

/** Returns the schema of bytes in base64url without padding (RFC 4648, section 5). */
function bytes (maxLength: number, minLength = 1): TString {
  return Type.String({ pattern: '^[A-Za-z0-9_-]*$', minLength, maxLength })
}

/** A passkey in replies. */
export const PasskeyRead = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    credential_id: Type.String(),
    device_type: Type.Union([Type.Literal('single_device'), Type.Literal('multi_device')]),
    backed_up: Type.Boolean(),
    transports: Type.Array(Type.String()),
    verifies_user: Type.Boolean(),
    created_at: Time,
    last_used_at: Type.Union([Time, Type.Null()])
  },
  component('PasskeyRead')
)

/** `RegistrationResponseJSON` of WebAuthn Level 3, section 5.1: what `credential.toJSON()` returns after `create()`. */
export const RegistrationCredential = Type.Object(
  {
    id: bytes(CREDENTIAL_ID_MAX_LENGTH),
    rawId: bytes(CREDENTIAL_ID_MAX_LENGTH),
    type: Type.Literal('public-key'),
    response: Type.Object(
      {
        clientDataJSON: bytes(4096),
        attestationObject: bytes(8192),
        transports: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 20 }))
      },
      { additionalProperties: true }
    )
  },
  { ...component('RegistrationCredential'), additionalProperties: true }
)
export type RegistrationCredential = Static<typeof RegistrationCredential>

/** `AuthenticationResponseJSON` of WebAuthn Level 3, section 5.1: what `toJSON()` returns after `get()`. */
export const AuthenticationCredential = Type.Object(
  {
    id: bytes(CREDENTIAL_ID_MAX_LENGTH),
    rawId: bytes(CREDENTIAL_ID_MAX_LENGTH),
    type: Type.Literal('public-key'),
    response: Type.Object(
      {
        clientDataJSON: bytes(4096),
        authenticatorData: bytes(4096),
        signature: bytes(4096),
        userHandle: Type.Optional(Type.Union([bytes(128, 0), Type.Null()]))
      },
      { additionalProperties: true }
    )
  },
  { ...component('AuthenticationCredential'), additionalProperties: true }
)
export type AuthenticationCredential = Static<typeof AuthenticationCredential>

/** Name of a passkey. */
export const Name = Type.String({ minLength: 1, maxLength: NAME_MAX_LENGTH, examples: ['My phone'] })
/** Ticket of a ceremony. */
export const Ticket = Type.String({ minLength: 1, maxLength: 64, description: 'The ticket of the options.' })

const Descriptor = Type.Object({
  type: Type.Literal('public-key'),
  id: Type.String(),
  transports: Type.Optional(Type.Array(Type.String()))
})

/** `PublicKeyCredentialCreationOptionsJSON` of WebAuthn Level 3, section 5.1.8. */
export const CreationOptions = Type.Object(
  {
    rp: Type.Object({ id: Type.String(), name: Type.String() }),
    user: Type.Object({ id: Type.String(), name: Type.String(), displayName: Type.String() }),
    challenge: Type.String(),
    pubKeyCredParams: Type.Array(Type.Object({ type: Type.Literal('public-key'), alg: Type.Integer() })),
    timeout: Type.Integer({ description: 'Milliseconds.' }),
    excludeCredentials: Type.Array(Descriptor),
    authenticatorSelection: Type.Object({
      residentKey: Type.Literal('required'),
      requireResidentKey: Type.Literal(true),
      userVerification: Type.String({ enum: ['required', 'preferred'] })
    }),
    attestation: Type.Literal('none')
  },
  { ...component('PasskeyCreationOptions'), description: 'For PublicKeyCredential.parseCreationOptionsFromJSON.' }
)
export type CreationOptions = Static<typeof CreationOptions>

/** `PublicKeyCredentialRequestOptionsJSON` of WebAuthn Level 3, section 5.1.9. */
export const RequestOptions = Type.Object(
  {
    challenge: Type.String(),
    timeout: Type.Integer({ description: 'Milliseconds.' }),
    rpId: Type.String(),
    allowCredentials: Type.Array(Descriptor, { description: 'An empty list allows any passkey of the service.' }),
    userVerification: Type.String({ enum: ['required', 'preferred'] })
  },
  { ...component('PasskeyRequestOptions'), description: 'For PublicKeyCredential.parseRequestOptionsFromJSON.' }
)
export type RequestOptions = Static<typeof RequestOptions>

/** Reply with which a registration begins. */
export const CreationStart = Type.Object({ ticket: Ticket, options: CreationOptions }, component('PasskeyCreationStart'))
/** Reply with which a login begins. */
export const RequestStart = Type.Object({ ticket: Ticket, options: RequestOptions }, component('PasskeyRequestStart'))

/** Body of a new passkey. */
export const PasskeyCreate = Type.Object(
  { ticket: Ticket, credential: RegistrationCredential, name: Type.Optional(Name) },
  component('PasskeyCreate')
)
export type PasskeyCreate = Static<typeof PasskeyCreate>

/** Body that renames a passkey. */
export const PasskeyRename = Type.Object({ name: Name }, component('PasskeyRename'))
export type PasskeyRename = Static<typeof PasskeyRename>

/** Body of a login. */
export const PasskeyLogin = Type.Object(
  { ticket: Ticket, credential: AuthenticationCredential },
  component('PasskeyLogin')
)
export type PasskeyLogin = Static<typeof PasskeyLogin>
