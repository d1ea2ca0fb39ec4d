import type { Model } from '../contracts/models.js'

/** The model of the devices from which users have logged in. The table exists if new devices are detected. */
export const deviceModel: Model = {
  name: 'known_device',
  table: 'known_device',
  fields: {
    id: { type: 'text', maxLength: 43 }, // HMAC-SHA256 of the user and the device
    user_id: { type: 'text', maxLength: 64 },
    expires_at: { type: 'time' }
  },
  index: [['user_id'], ['expires_at']],
  expires: 'expires_at'
}
