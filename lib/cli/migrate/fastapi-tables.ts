import type { Widths } from '../../adapters/sql/migration/schema-changes.js'
import { tenantModel } from '../../shared/tenant.js'
import type { Model } from '../../contracts/models.js'
import type { Settings } from '../../contracts/settings.js'
import { accountModel } from '../../features/oauth/account-model.js'
import { accessTokenModel } from '../../strategies/database/access-token-model.js'
import { userModel } from '../../users/index.js'

/** Model of a FastAPI Users table, and the minimum widths of its columns in characters. */
export interface FastapiTable {
  readonly model: Model
  readonly widths: Widths
}

/**
 * Returns the tables of FastAPI Users' SQLAlchemy adapter. Only `users` must exist. Provider tokens have no maximum
 * length, so their width is unlimited (null).
 */
export function fastapiTables (settings: Pick<Settings, 'name' | 'schemas'>): {
  users: FastapiTable
  tokens: FastapiTable
  accounts: FastapiTable
} {
  const { name, schemas } = settings
  return {
    users: {
      model: tenantModel(name, userModel(schemas)),
      widths: { email: 254, hashed_password: 255, session_stamp: 64 }
    },
    tokens: { model: tenantModel(name, accessTokenModel(schemas.id)), widths: { token: 43, session_stamp: 64 } },
    accounts: {
      model: tenantModel(name, accountModel(schemas.id)),
      widths: { access_token: null, refresh_token: null }
    }
  }
}
