import { setTimeout as sleep } from 'node:timers/promises'
import type { UserId } from '../../contracts/user.js'
import { FST_USERS_OAUTH_PROVIDER_FAILED, isUsersError } from '../../errors.js'
import type { AccountRow } from './account-model.js'
import type { OauthAccounts, ProviderClient, ProviderTokens } from './contracts.js'
import type { AccountRules } from './resolve.js'
import type { TokenVault } from './token-vault.js'

const EARLY_SECONDS = 30 // a token is to live until it has arrived
const LOOKS = 5
const PAUSE_MS = 50

/** Reads the tokens of accounts, refreshed when they have ended. Parallel calls for one account share one refresh. */
export function createTokenReader (
  { host, accounts }: AccountRules,
  vault: TokenVault,
  clients: ReadonlyMap<string, ProviderClient>
): OauthAccounts['tokens'] {
  const running = new Map<string, Promise<ProviderTokens | null>>()
  const hasEnded = ({ expiresAt }: ProviderTokens): boolean =>
    expiresAt !== null && expiresAt - EARLY_SECONDS <= host.settings.clock() / 1000

  /** The row as it is stored now; null without one. */
  async function look (row: AccountRow): Promise<{ now: AccountRow; tokens: ProviderTokens } | null> {
    const now = await accounts.get(row.id)
    const tokens = now === null ? null : vault.read(now)
    return now === null || tokens === null ? null : { now, tokens }
  }

  /** What another process stored, if it did: it may have used up the refresh token before us. */
  async function ofOther (row: AccountRow): Promise<ProviderTokens | null> {
    for (let left = LOOKS; left > 0; left--) {
      const stored = await look(row)
      if (stored === null) return null
      if (!hasEnded(stored.tokens)) return stored.tokens
      await sleep(PAUSE_MS)
    }
    return null
  }

  async function refresh (row: AccountRow): Promise<ProviderTokens | null> {
    const stored = await look(row)
    const client = clients.get(row.oauth_name)
    if (stored === null || client === undefined) return null
    const { now, tokens } = stored
    const { refreshToken } = tokens
    if (!hasEnded(tokens)) return tokens
    if (refreshToken === null) return null
    let fresh: ProviderTokens
    try {
      fresh = await client.refresh(refreshToken)
    } catch (error) {
      const other = await ofOther(row)
      if (other !== null) return other
      throw isUsersError(error) ? error : FST_USERS_OAUTH_PROVIDER_FAILED([], { cause: error })
    }
    const kept = { ...fresh, refreshToken: fresh.refreshToken ?? refreshToken }
    return (await keep(now, kept)) ? kept : ((await look(row))?.tokens ?? null)
  }

  /**
   * Stores them unless the stored ones changed. A refresh token may be good once: a write that fails is tried again.
   */
  async function keep (row: AccountRow, tokens: ProviderTokens, left = LOOKS): Promise<boolean> {
    try {
      return await accounts.replaceTokens(row, tokens)
    } catch (error) {
      if (left === 1) throw error
    }
    await sleep(PAUSE_MS)
    return await keep(row, tokens, left - 1)
  }

  return async (userId: UserId, provider) => {
    const row = (await accounts.ofUser(userId)).find(({ oauth_name: name }) => name === provider)
    const tokens = row === undefined ? null : vault.read(row)
    if (row === undefined || tokens === null || !hasEnded(tokens)) return tokens
    const key = String(row.id)
    const task =
      running.get(key) ??
      refresh(row).finally(() => {
        running.delete(key)
      })
    running.set(key, task)
    return await task
  }
}
