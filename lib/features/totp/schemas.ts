import { component, CurrentPasswordBody, Type, type Static } from '../../feature/index.js'
import { CODE_PATTERN } from './one-time-password.js'

/** The longest code of a removal: a recovery code with separators. */
const CODE_MAX_LENGTH = 64

const Time = Type.String({ format: 'date-time' })
const Code = Type.String({
  pattern: CODE_PATTERN,
  description: 'The code of the authenticator app: six digits, with or without a space in the middle.',
  examples: ['123456']
})

/** The state of a user's authenticator app. */
export const TotpRead = Type.Object(
  { active: Type.Boolean(), since: Type.Union([Time, Type.Null()]) },
  component('TotpRead')
)

/** A begun enrolment, with the secret for the app. */
export const TotpEnrolment = Type.Object(
  {
    enrolment: Type.String({ description: 'Token of the enrolment, for its confirmation.' }),
    expires_at: Time,
    secret: Type.String({ description: 'The secret in Base32, for typing.' }),
    url: Type.String({ description: 'The URL for authenticator apps.' }),
    svg: Type.String({ description: 'A QR code with the URL, as an SVG image.' })
  },
  component('TotpEnrolment')
)

/** Body of a confirmation. */
export const TotpConfirmation = Type.Object(
  { enrolment: Type.String({ minLength: 1, maxLength: 64 }), code: Code },
  component('TotpConfirmation')
)
export type TotpConfirmation = Static<typeof TotpConfirmation>

/** A confirmed enrolment. */
export const TotpConfirmed = Type.Object(
  {
    active: Type.Boolean(),
    since: Time,
    recovery_codes: Type.Union([Type.Array(Type.String()), Type.Null()], {
      description: 'New recovery codes, which are shown only in this reply. Null if the user has some already.'
    })
  },
  component('TotpConfirmed')
)

/** Body of a removal. */
export const TotpRemoval = Type.Object(
  {
    code: Type.String({
      minLength: 1,
      maxLength: CODE_MAX_LENGTH,
      description: 'A code of the authenticator app, or a recovery code.',
      examples: ['123456']
    }),
    ...CurrentPasswordBody.properties
  },
  component('TotpRemoval')
)
export type TotpRemoval = Static<typeof TotpRemoval>

/** The answer to the login steps. */
export const TotpAnswer = Type.Object({ code: Code })
export type TotpAnswer = Static<typeof TotpAnswer>
