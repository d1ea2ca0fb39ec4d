import type { Model } from '../../lib/contracts/models.js'
import { uuidId } from '../../schemas/index.js'

export const id = uuidId()

/** The user table of FastAPI Users with the optional column of the plugin. */
export const Person: Model = {
  name: 'user',
  table: 'user',
  fields: {
    id: { type: 'id', id },
    email: { type: 'text', maxLength: 320, ignoreCase: true },
    hashed_password: { type: 'text', maxLength: 1024 },
    is_active: { type: 'boolean' },
    is_superuser: { type: 'boolean' },
    is_verified: { type: 'boolean' },
    session_stamp: { type: 'text', maxLength: 43, nullable: true, optional: true }
  },
  unique: [['email']]
}
