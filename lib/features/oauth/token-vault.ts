import type { Settings } from '../../contracts/settings.js'
import type { AccountRow } from './account-model.js'
import type { AccountSettings, ProviderTokens } from './contracts.js'
import { createTokenCipher, isSealed, type TokenCipher } from './token-cipher.js'

const LATEST = 2 ** 31 - 1 // an adopted column has 32 bits

/** The columns of an account that hold tokens. */
export type StoredTokens = Pick<AccountRow, 'access_token' | 'expires_at' | 'refresh_token'>
/** Which account tokens belong to. */
export type AccountKey = Pick<AccountRow, 'oauth_name' | 'account_id'>

/** What an account without tokens holds. */
export const NO_TOKENS: StoredTokens = { access_token: '', expires_at: null, refresh_token: null }

/**
 * How tokens of providers are stored: encrypted with a key; without one not at all, or as they are where `tokenStorage`
 * says so.
 */
export interface TokenVault {
  /** The columns for these tokens of this account. */
  store(account: AccountKey, tokens: ProviderTokens): StoredTokens
  /** The tokens of a row; null for one without, or with some that cannot be read any more. */
  read(row: AccountRow): ProviderTokens | null
}

/** Texts that were stored as they are stay readable when a key is set, and are encrypted when they are next written. */
export function createTokenVault (
  { encryptionKeys: [first, ...rest] }: AccountSettings,
  { name, tokenStorage }: Settings
): TokenVault {
  const cipher = first === undefined ? null : createTokenCipher([first, ...rest], name)
  const keeps = cipher !== null || tokenStorage === 'plain'
  const encode = (text: string, account: AccountKey, field: string): string =>
    cipher === null ? text : cipher.seal(text, placeOf(account, field))

  return {
    store (account, { accessToken, refreshToken, expiresAt }) {
      if (!keeps || !isStorable(accessToken) || !isStorable(refreshToken ?? '')) return NO_TOKENS
      return {
        access_token: encode(accessToken, account, 'access_token'),
        expires_at: expiresAt === null || !Number.isFinite(expiresAt) ? null : Math.min(Math.floor(expiresAt), LATEST),
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

function decode (cipher: TokenCipher | null, row: AccountRow, field: 'access_token' | 'refresh_token'): string | null {
  const text = row[field]
  if (text === null || !isSealed(text)) return text
  return cipher === null ? null : cipher.open(text, placeOf(row, field))
}

/** Text that every store keeps as it is. */
function isStorable (text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

/** Rows and columns cannot be exchanged. */
function placeOf ({ oauth_name: provider, account_id: id }: AccountKey, field: string): readonly string[] {
  return [provider, id, field]
}
