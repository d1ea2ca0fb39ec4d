import { type FeatureKit, isUsersError, type Model } from '../../feature/index.js'
import { FST_USERS_OAUTH_ISSUER_CHANGED } from './errors.js'
import type { Provider } from './contracts.js'

const ISSUER_MAX_LENGTH = 2048
/** The model of the recorded issuers. */
export const issuerModel: Model = {
  name: 'oauth_issuer',
  table: 'oauth_issuer',
  fields: {
    oauth_name: { type: 'text', maxLength: 100 },
    issuer: { type: 'text', maxLength: ISSUER_MAX_LENGTH }
  }
}

/**
 * Records which issuer the accounts of each provider name belong to. An account is stored under the provider's name and
 * the subject, and a subject is unique only within its issuer (OpenID Connect Core 1.0, section 2). Without this
 * record, a user of a new issuer could log in as the user of the old issuer with the same subject.
 */
export interface Issuers {
  /**
   * Records the provider's issuer at the first use. Throws `FST_USERS_OAUTH_ISSUER_CHANGED` if another one is recorded.
   */
  claim(provider: Provider): Promise<void>
  /** Throws `FST_USERS_OAUTH_ISSUER_CHANGED` if another issuer is recorded. Records nothing. */
  check(provider: Provider): Promise<void>
}

/** Creates the record in a separate table, because existing tables of accounts have no column for it. */
export function createIssuers ({ store }: FeatureKit): Issuers {
  /** Checks whether an issuer is recorded for the provider's name. Throws if it is another one. */
  async function isRecorded (provider: Provider): Promise<boolean> {
    const row = await store.findOne(issuerModel, { oauth_name: provider.name })
    if (row === null) return false
    const recorded = String(row['issuer'])
    const accepted = [providerIssuerOf(provider), ...(provider.formerIssuers ?? [])].map(withoutSlash)
    if (!accepted.includes(recorded)) {
      throw FST_USERS_OAUTH_ISSUER_CHANGED([provider.name, recorded, providerIssuerOf(provider)])
    }
    return true
  }

  return {
    async check (provider) {
      await isRecorded(provider)
    },

    async claim (provider) {
      if (await isRecorded(provider)) return
      try {
        await store.create(issuerModel, { oauth_name: provider.name, issuer: withoutSlash(providerIssuerOf(provider)) })
      } catch (error) {
        if (!isUsersError(error) || error.code !== 'FST_USERS_UNIQUE_VIOLATION') throw error
        await isRecorded(provider) // a parallel login recorded an issuer
      }
    }
  }
}

/** Returns the issuer that a provider is configured with. */
export function providerIssuerOf ({ server }: Provider): string {
  return 'discover' in server ? server.discover.replace(/\/\.well-known\/.*$/, '') : server.issuer
}

/** Normalizes an issuer: `https://login.example.com` and `https://login.example.com/` are the same server. */
function withoutSlash (issuer: string): string {
  return issuer.replace(/\/$/, '')
}
