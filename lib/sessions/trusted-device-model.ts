import type { Model } from '../contracts/models.js'

/** Characters of the header `User-Agent` that are stored. */
export const MAX_USER_AGENT = 256

/** The model of the devices that skip the second factor. The table exists if `secondFactors.trustedDevices` is on. */
export const trustedDeviceModel: Model = {
  name: 'trusted_device',
  table: 'trusted_device',
  fields: {
    id: { type: 'text', maxLength: 43 },
    user_id: { type: 'text', maxLength: 64 },
    hash: { type: 'text', maxLength: 43 }, // SHA-256 of the cookie
    stamp: { type: 'text', maxLength: 64 },
    session_id: { type: 'text', maxLength: 64 }, // of the last login
    user_agent: { type: 'text', maxLength: MAX_USER_AGENT, nullable: true },
    created_at: { type: 'time' },
    used_at: { type: 'time' },
    expires_at: { type: 'time' }
  },
  unique: [['hash']],
  index: [['user_id'], ['expires_at']],
  expires: 'expires_at'
}
