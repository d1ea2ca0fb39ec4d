import { createTextCipher, deriveKeys, isSealed, type Settings, type TextCipher } from '../../feature/index.js'
import type { AccountRow } from './account-model.js'
import type { AccountSettings, ProviderTokens } from './contracts.js'

const MAX_EXPIRES_AT = 2 ** 31 - 1 // the column of FastAPI Users has 32 bits

/** The columns of an account that contain tokens. */
export type StoredTokens = Pick<AccountRow, 'access_token' | 'expires_at' | 'refresh_token'>
/** The key of an account. */
export type AccountKey = Pick<AccountRow, 'oauth_name' | 'account_id'>

/** The columns of an account without tokens. */
export const NO_TOKENS: StoredTokens = { access_token: '', expires_at: null, refresh_token: null }

/**
 * Converts provider tokens to columns and back. With an encryption key, tokens are encrypted. Without one, they are
 * stored only with `tokenStorage: 'plain'`, unencrypted.
 */
export interface TokenVault {
  /** Returns the columns for the tokens of an account. */
  store(account: AccountKey, tokens: ProviderTokens): StoredTokens
  /** Returns the tokens of a row; null if there are none or they cannot be decrypted. */
  read(row: AccountRow): ProviderTokens | null
}

/** Creates a vault. Tokens stored unencrypted stay readable with a key, and are encrypted when next written. */
export function createTokenVault (
  { encryptionKeys: [first, ...rest] }: AccountSettings,
  { name, wire }: Settings
): TokenVault {
  const cipher = first === undefined ? null : createTextCipher(deriveKeys([first, ...rest], `${name}:oauth-tokens`))
  const keeps = cipher !== null || !wire.storedTokens.areDigests
  const encode = (text: string, account: AccountKey, field: string): string =>
    cipher === null ? text : cipher.seal(text, tokenPlaceOf(account, field))

  return {
    store (account, { accessToken, refreshToken, expiresAt }) {
      if (!keeps || !isStorableText(accessToken) || !isStorableText(refreshToken ?? '')) return NO_TOKENS
      return {
        access_token: encode(accessToken, account, 'access_token'),
        expires_at: toExpiryColumn(expiresAt),
        refresh_token: refreshToken === null ? null : encode(refreshToken, account, 'refresh_token')
      }
    },

    read (row) {
      if (!keeps || row.access_token === '') return null
      const accessToken = decode(cipher, row, 'access_token')
      const refreshToken = decode(cipher, row, 'refresh_token')
      return accessToken === null ? null : { accessToken, refreshToken, expiresAt: row.expires_at }
    }
  }
}

function decode (cipher: TextCipher | null, row: AccountRow, field: 'access_token' | 'refresh_token'): string | null {
  const text = row[field]
  if (text === null || !isSealed(text)) return text
  return cipher === null ? null : cipher.open(text, tokenPlaceOf(row, field))
}

function toExpiryColumn (expiresAt: number | null): number | null {
  return expiresAt === null || !Number.isFinite(expiresAt) ? null : Math.min(Math.floor(expiresAt), MAX_EXPIRES_AT)
}

/** Checks that every database stores the text unchanged. */
function isStorableText (text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

/** Returns the place of a ciphertext, so that it is invalid in another row or column. */
function tokenPlaceOf ({ oauth_name: provider, account_id: id }: AccountKey, field: string): readonly string[] {
  return [provider, id, field]
}
