import type { Model, Row, IdKind } from '../../feature/index.js'
import type { OauthAccount } from './contracts.js'

/** A stored account. Its tokens are encrypted, unencrypted or empty. */
export interface AccountRow extends OauthAccount, Row {
  user_id: string | number
  access_token: string
  expires_at: number | null
  refresh_token: string | null
  /** A trusted provider stated that `account_email` is verified. Null or absent in rows of other programs. */
  email_verified?: boolean | null
}

/** Maximum length of `account_id` and `account_email`, in characters. */
export const ACCOUNT_TEXT_MAX_LENGTH = 320

/**
 * Returns the model of linked accounts: the columns of FastAPI Users, and the unique index that prevents two users with
 * the same account.
 */
export function accountModel (id: IdKind): Model {
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
      account_id: { type: 'text', maxLength: ACCOUNT_TEXT_MAX_LENGTH },
      account_email: { type: 'text', maxLength: ACCOUNT_TEXT_MAX_LENGTH },
      email_verified: { type: 'boolean', nullable: true, optional: true }
    },
    unique: [['oauth_name', 'account_id']],
    index: [['user_id']],
    embed: 'oauth_accounts'
  }
}

/** Returns the properties of an account that may be sent to clients: no tokens. */
export function toAccount ({ id, oauth_name, account_id, account_email }: AccountRow): OauthAccount {
  return { id, oauth_name, account_id, account_email }
}
