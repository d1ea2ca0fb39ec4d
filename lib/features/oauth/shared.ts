import { FST_USERS_INVALID_OPTION, type FeatureKit } from '../../feature/index.js'
import type { AccountRow } from './account-model.js'
import type { Provider } from './contracts.js'
import { providerIssuerOf } from './issuers.js'

/** State that all registrations of this feature with one registration of the plugin share, like their tables. */
export interface SharedState {
  /** Issuer of each provider name. */
  readonly issuers: Map<string, string>
  /**
   * One function per registration, which ends the grant of an account in the background. It returns false if the
   * registration does not know the provider.
   */
  readonly revocations: ((row: AccountRow) => boolean)[]
}

/** Returns the state that all registrations of this feature share. */
export function sharedState (kit: FeatureKit): SharedState {
  return kit.shared('fastify-users/oauth', () => ({ issuers: new Map<string, string>(), revocations: [] }))
}

/**
 * Checks that a provider name means the same issuer in all registrations, because the name is part of the key of an
 * account. Throws `FST_USERS_INVALID_OPTION`.
 */
export function claimNames ({ issuers }: SharedState, providers: readonly Provider[]): void {
  for (const provider of providers) {
    const { name } = provider
    const issuer = providerIssuerOf(provider)
    if ((issuers.get(name) ?? issuer) !== issuer) {
      throw FST_USERS_INVALID_OPTION([
        'oauth.providers',
        `has the name "${name}", which an earlier registration uses for another provider. Set a different \`name\``
      ])
    }
    issuers.set(name, issuer)
  }
}
