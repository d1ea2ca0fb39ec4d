import type { Widths } from '../../adapters/sql/migration/schema-changes.js'
import { tenantModel } from '../../adapters/shared/tenant.js'
import type { Model } from '../../contracts/models.js'
import type { Settings } from '../../contracts/settings.js'
import { accountModel } from '../../features/oauth/account-model.js'
import { accessTokenModel } from '../../strategies/database/access-token-model.js'
import { userModel } from '../../users/index.js'

/** A table of FastAPI Users: what it becomes, and what its columns must hold at least. */
export interface Adopted {
  readonly model: Model
  readonly widths: Widths
}

/**
 * The tables of FastAPI Users' SQLAlchemy adapter: users, and those that need not be there. Tokens of providers have no
 * length that holds for all.
 */
export function adoptedModels (settings: Pick<Settings, 'name' | 'schemas'>): {
  users: Adopted
  tokens: Adopted
  accounts: Adopted
} {
  const { name, schemas } = settings
  return {
    users: {
      model: tenantModel(name, userModel(schemas)),
      widths: { email: 254, hashed_password: 255, session_stamp: 64 }
    },
    tokens: { model: tenantModel(name, accessTokenModel(schemas.id)), widths: { token: 43, session_stamp: 64 } },
    accounts: { model: tenantModel(name, accountModel(settings)), widths: { access_token: null, refresh_token: null } }
  }
}
