import type { FeatureHost } from '../../contracts/feature-host.js'
import type { UserId, UserRow } from '../../contracts/user.js'
import type { AccountRow } from './account-model.js'
import { createAccountRows, vouchesFor } from './account-rows.js'
import { createTokenReader } from './account-tokens.js'
import type { AccountSettings, OauthAccounts, ProviderClient } from './contracts.js'
import { oauthErrors } from './errors.js'
import { createIssuers, type Issuers } from './issuers.js'
import { linkAccount, listAccounts, unlinkAccount } from './link.js'
import { resolveUser, type AccountRules } from './resolve.js'
import { createTokenVault } from './token-vault.js'

/** Creates the rules about accounts. Call it before the application is ready, because it defines models. */
export function createOauthAccounts (
  host: FeatureHost,
  settings: AccountSettings,
  clients: ReadonlyMap<string, ProviderClient>
): OauthAccounts {
  host.addErrors(oauthErrors.definitions)
  const vault = createTokenVault(settings, host.settings)
  const accounts = createAccountRows(host, vault)
  const issuers = createIssuers(host)
  const checkedClients = new Map([...clients].map(([name, client]) => [name, withIssuerCheck(client, issuers)]))
  const created = new WeakSet<UserRow>()
  const rules: AccountRules = { host, settings, accounts, created }

  /** Ends the grant at the provider in the background, if tokens are stored. */
  function revoke (row: AccountRow): void {
    const tokens = vault.read(row)
    const client = checkedClients.get(row.oauth_name)
    if (tokens !== null && client !== undefined) host.background(() => client.revoke(tokens))
  }

  host.addRemoval(async ({ id, email }, which) => {
    // an existing table may have no cascading foreign key, so rows are deleted explicitly
    const rows = (await accounts.ofUser(id as UserId)).filter((row) => which === 'all' || !vouchesFor(row, email))
    let removed = 0
    if (which === 'all' && rows.length > 0) removed = await accounts.removeAll(id)
    else for (const row of rows) removed += await accounts.remove(row)
    rows.forEach(revoke)
    return removed
  })

  host.addToReplies('oauth_accounts', async ({ id }) => await listAccounts(rules, id as UserId))

  return {
    async resolve (identity, context) {
      await issuers.claim(identity.provider)
      return await resolveUser(rules, identity, context)
    },
    async withdraw (row, context) {
      if (created.delete(row)) await host.deleteRefusedUser(row, context)
    },
    async link (user, identity, context) {
      await issuers.claim(identity.provider)
      return await linkAccount(rules, user, identity, context)
    },
    list: (userId) => listAccounts(rules, userId),
    async unlink (user, accountId, context) {
      revoke(await unlinkAccount(rules, user, accountId, context))
    },
    tokens: createTokenReader(rules, vault, checkedClients)
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
