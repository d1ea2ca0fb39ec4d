import { Type, type Static } from '@sinclair/typebox'
import { component } from './common.js'

const Time = Type.String({ format: 'date-time' })

/** A browser in which a user skips the second factor. */
export const TrustedDeviceRead = Type.Object(
  {
    id: Type.String(),
    created_at: Time,
    last_used_at: Time,
    expires_at: Time,
    user_agent: Type.Union([Type.String(), Type.Null()]),
    is_current: Type.Boolean({ description: 'True for the browser of the request.' })
  },
  component('TrustedDevice')
)
export type TrustedDeviceRead = Static<typeof TrustedDeviceRead>
