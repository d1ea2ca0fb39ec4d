import { setTimeout as sleep } from 'node:timers/promises'
import { isUsersError, type UserId } from '../../feature/index.js'
import { FST_USERS_OAUTH_PROVIDER_FAILED } from './errors.js'
import type { AccountRow } from './account-model.js'
import type { OauthAccounts, ProviderClient, ProviderTokens } from './contracts.js'
import type { AccountRules } from './resolve.js'
import type { TokenVault } from './token-vault.js'

const EARLY_SECONDS = 30 // the caller needs time to use the token before it expires
const ATTEMPTS = 5
const PAUSE_MS = 50

interface ReaderParts {
  rules: AccountRules
  vault: TokenVault
  clients: ReadonlyMap<string, ProviderClient>
}

/**
 * Creates the function that returns the tokens of an account. It refreshes expired tokens; parallel calls for one
 * account share one refresh.
 */
export function createTokenReader (
  rules: AccountRules,
  vault: TokenVault,
  clients: ReadonlyMap<string, ProviderClient>
): OauthAccounts['tokens'] {
  const parts: ReaderParts = { rules, vault, clients }
  const running = new Map<string, Promise<ProviderTokens | null>>()

  return async (userId: UserId, provider) => {
    const row = (await rules.accounts.ofUser(userId)).find(({ oauth_name: name }) => name === provider)
    const tokens = row === undefined ? null : vault.read(row)
    if (row === undefined || tokens === null || !hasExpired(parts, tokens)) return tokens
    const key = String(row.id)
    const task =
      running.get(key) ??
      refreshStoredTokens(parts, row).finally(() => {
        running.delete(key)
      })
    running.set(key, task)
    return await task
  }
}

function hasExpired ({ rules }: ReaderParts, { expiresAt }: ProviderTokens): boolean {
  return expiresAt !== null && expiresAt - EARLY_SECONDS <= rules.kit.settings.clock() / 1000
}

/** Returns new tokens, after they are stored. Returns null if there is nothing to refresh. */
async function refreshStoredTokens (parts: ReaderParts, row: AccountRow): Promise<ProviderTokens | null> {
  const stored = await readStoredTokens(parts, row)
  const client = parts.clients.get(row.oauth_name)
  if (stored === null || client === undefined) return null
  const { row: current, tokens } = stored
  const { refreshToken } = tokens
  if (!hasExpired(parts, tokens)) return tokens
  if (refreshToken === null) return null
  let refreshed: ProviderTokens
  try {
    refreshed = await client.refresh(refreshToken)
  } catch (error) {
    const ofOtherProcess = await awaitOtherProcess(parts, row)
    if (ofOtherProcess !== null) return ofOtherProcess
    throw isUsersError(error) ? error : FST_USERS_OAUTH_PROVIDER_FAILED([], { cause: error })
  }
  const next = { ...refreshed, refreshToken: refreshed.refreshToken ?? refreshToken }
  return (await storeRefreshed(parts, current, next)) ? next : ((await readStoredTokens(parts, row))?.tokens ?? null)
}

/** Returns the stored row and its tokens, or null if one of them is missing. */
async function readStoredTokens (
  { rules, vault }: ReaderParts,
  { id }: AccountRow
): Promise<{ row: AccountRow; tokens: ProviderTokens } | null> {
  const row = await rules.accounts.get(id)
  const tokens = row === null ? null : vault.read(row)
  return row === null || tokens === null ? null : { row, tokens }
}

/** Returns the tokens that another process stores: it may have used the one-time refresh token first. */
async function awaitOtherProcess (parts: ReaderParts, row: AccountRow): Promise<ProviderTokens | null> {
  for (let left = ATTEMPTS; left > 0; left--) {
    const stored = await readStoredTokens(parts, row)
    if (stored === null) return null
    if (!hasExpired(parts, stored.tokens)) return stored.tokens
    await sleep(PAUSE_MS)
  }
  return null
}

/**
 * Stores refreshed tokens. Returns false if the stored ones have changed. A failed write is retried, because the old
 * refresh token may no longer be valid.
 */
async function storeRefreshed (
  parts: ReaderParts,
  row: AccountRow,
  tokens: ProviderTokens,
  left = ATTEMPTS
): Promise<boolean> {
  try {
    return await parts.rules.accounts.replaceTokens(row, tokens)
  } catch (error) {
    if (left === 1) throw error
  }
  await sleep(PAUSE_MS)
  return await storeRefreshed(parts, row, tokens, left - 1)
}
