import type { IdKind, UserSchemas } from '../../../schemas/index.js'
import type { Widths } from '../../adapters/sql/migration/schema-changes.js'
import type { Model } from '../../contracts/models.js'
import { accessTokenModel } from '../../strategies/database/access-token-model.js'
import { userModel } from '../../users/index.js'

/** A table of FastAPI Users: what it becomes, and what its columns must hold at least. */
export interface Adopted { readonly model: Model, readonly widths: Widths }

/** The tables of FastAPI Users' SQLAlchemy adapter: users, and those that need not be there. */
export function adoptedModels (schemas: UserSchemas): { users: Adopted, tokens: Adopted, accounts: Adopted } {
  return {
    users: { model: userModel(schemas), widths: { email: 254, hashed_password: 255, session_stamp: 64 } },
    tokens: { model: accessTokenModel(schemas.id), widths: { token: 43, session_stamp: 64 } },
    accounts: { model: accountModel(schemas.id), widths: { access_token: null, refresh_token: null } }
  }
}

/** Linked accounts of other providers, whose tokens have no length that holds for all. */
function accountModel (id: IdKind): Model {
  return {
    name: 'oauth_account',
    table: 'oauth_account',
    fields: {
      id: { type: 'id', id },
      user_id: { type: 'id', id, references: 'user' },
      oauth_name: { type: 'text', maxLength: 100 },
      access_token: { type: 'text' },
      expires_at: { type: 'integer', nullable: true },
      refresh_token: { type: 'text', nullable: true },
      account_id: { type: 'text', maxLength: 320 },
      account_email: { type: 'text', maxLength: 320 }
    },
    unique: [['oauth_name', 'account_id']],
    index: [['user_id']]
  }
}
