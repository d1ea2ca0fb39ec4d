import { Type, type Static } from '@sinclair/typebox'
import { component } from './common.js'

const Time = Type.Union([Type.String({ format: 'date-time' }), Type.Null()])

/** A second factor of a user, without its secret. */
export const SecondFactorRead = Type.Object(
  {
    name: Type.String({ description: 'The kind of factor.', examples: ['totp'] }),
    label: Type.Union([Type.String(), Type.Null()], { description: 'The name that the user chose.' }),
    created_at: Time,
    last_used_at: Time
  },
  component('SecondFactor')
)
export type SecondFactorRead = Static<typeof SecondFactorRead>
