import { createOauthAccounts } from '../../lib/features/oauth/accounts.js'
import type { AccountSettings, OauthAccounts, ProviderClient } from '../../lib/features/oauth/contracts.js'
import { oauth } from '../../lib/features/oauth/index.js'
import type { Feature, FeatureKit, FeatureParts } from '../../lib/index.js'

/**
 * Returns a feature with the models and the rules of provider accounts, but without the routes of providers. `use`
 * receives the rules, and may return routes.
 */
export function accountsFeature (
  settings: AccountSettings,
  use: (accounts: OauthAccounts, kit: FeatureKit) => Pick<FeatureParts, 'routes'> | void,
  clients: ReadonlyMap<string, ProviderClient> = new Map(),
  accountsInReplies = false
): Feature {
  return {
    ...oauth({ providers: [], accountsInReplies }),
    setup (kit) {
      const { accounts, loginMethods } = createOauthAccounts(kit, settings, clients)
      return {
        ...use(accounts, kit),
        loginMethods,
        ...(accountsInReplies ? { replyFields: { oauth_accounts: ({ id }) => accounts.list(id as never) } } : {})
      }
    }
  }
}
