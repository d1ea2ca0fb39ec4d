import { contextOf, type FeatureKit, type LoginMethods, type UserId, type UserRow } from '../../feature/index.js'
import type { AccountRow } from './account-model.js'
import { createAccountRows, vouchesFor, type AccountRows } from './account-rows.js'
import { createTokenReader } from './account-tokens.js'
import type { AccountSettings, OauthAccounts, ProviderClient } from './contracts.js'
import { createIssuers, type Issuers } from './issuers.js'
import { linkAccount, listAccounts, unlinkAccount } from './link.js'
import { resolveUser, type AccountRules } from './resolve.js'
import { sharedState, type SharedState } from './shared.js'
import { createTokenVault } from './token-vault.js'

/** The rules about accounts, and the accounts as login methods. */
export interface OauthAccountParts {
  readonly accounts: OauthAccounts
  readonly loginMethods: Required<LoginMethods>
}

/** Creates the rules about accounts. */
export function createOauthAccounts (
  kit: FeatureKit,
  settings: AccountSettings,
  clients: ReadonlyMap<string, ProviderClient>,
  { revocations }: Pick<SharedState, 'revocations'> = sharedState(kit)
): OauthAccountParts {
  const vault = createTokenVault(settings, kit.settings)
  const accounts = createAccountRows(kit, vault)
  const issuers = createIssuers(kit)
  const checkedClients = new Map([...clients].map(([name, client]) => [name, withIssuerCheck(client, issuers)]))
  const created = new WeakSet<UserRow>()
  const rules: AccountRules = { kit, settings, accounts, created }
  const revoke = (row: AccountRow): void => {
    revocations.some((endGrant) => endGrant(row))
  }

  revocations.push((row) => {
    const tokens = vault.read(row)
    const client = checkedClients.get(row.oauth_name)
    if (client === undefined) return false
    if (tokens !== null) kit.background(() => client.revoke(tokens))
    return true
  })

  return {
    accounts: {
      async resolve (identity, context) {
        await issuers.claim(identity.provider)
        return await resolveUser(rules, identity, context)
      },
      async withdraw (row, context) {
        if (created.delete(row)) await kit.externalUsers.deleteRefused(row, context)
      },
      async link (user, identity, context) {
        await issuers.claim(identity.provider)
        return await linkAccount(rules, user, identity, context)
      },
      list: (userId) => listAccounts(rules, userId),
      async unlink (user, accountId, context) {
        try {
          revoke(await unlinkAccount(rules, user, accountId, context))
        } catch (error) {
          const target = typeof user === 'object' ? user : { id: user, email: '' }
          kit.audit.emitError(error, contextOf(context), { event: 'provider.unlink', user: target })
          throw error
        }
      },
      tokens: createTokenReader(rules, vault, checkedClients)
    },
    loginMethods: createAccountLoginMethods(accounts, revoke)
  }
}

/** Rows are deleted explicitly, because an existing table may have no cascading foreign key. */
function createAccountLoginMethods (accounts: AccountRows, revoke: (row: AccountRow) => void): Required<LoginMethods> {
  return {
    count: async ({ id }) => (await accounts.ofUser(id as UserId)).length,
    async removeUnproved ({ id, email }) {
      const rows = (await accounts.ofUser(id as UserId)).filter((row) => !vouchesFor(row, email))
      let removed = 0
      for (const row of rows) removed += await accounts.remove(row)
      rows.forEach(revoke)
      return removed
    },
    async removeAll ({ id }) {
      const rows = await accounts.ofUser(id as UserId)
      const removed = rows.length > 0 ? await accounts.removeAll(id) : 0
      rows.forEach(revoke)
      return removed
    }
  }
}

/** Returns a client that sends stored tokens only to the issuer that issued them. */
function withIssuerCheck (client: ProviderClient, issuers: Issuers): ProviderClient {
  const { provider } = client
  return {
    provider,
    async refresh (refreshToken) {
      await issuers.check(provider)
      return await client.refresh(refreshToken)
    },
    async revoke (tokens) {
      await issuers.check(provider)
      await client.revoke(tokens)
    }
  }
}
