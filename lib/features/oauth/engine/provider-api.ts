import { fetchUserInfo, skipSubjectCheck, type Configuration } from 'openid-client'
import type { ProviderApi } from '../contracts.js'
import { providerFailed } from './provider-errors.js'
import type { SafeFetch } from './safe-fetch.js'

/** Calls to a provider for the holder of an access token. */
export function createProviderApi (
  configuration: Configuration,
  fetch: SafeFetch,
  accessToken: string,
  claims: ProviderApi['claims']
): ProviderApi {
  return {
    accessToken,
    claims,

    async fetchJson (url, { method = 'GET', headers = {}, body } = {}) {
      const response = await fetch(url, {
        method,
        headers: {
          accept: 'application/json',
          'user-agent': 'fastify-users',
          authorization: `Bearer ${accessToken}`,
          ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
          ...lowerCased(headers)
        },
        body
      })
      if (!response.ok) throw providerFailed(`an answer has the status ${response.status}`)
      try {
        return (await response.json()) as unknown
      } catch {
        throw providerFailed('an answer is not JSON')
      }
    },

    async userInfo () {
      const subject = typeof claims?.sub === 'string' ? claims.sub : skipSubjectCheck
      return await fetchUserInfo(configuration, accessToken, subject)
    }
  }
}

function lowerCased (headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
