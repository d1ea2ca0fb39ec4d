import { fetchUserInfo, skipSubjectCheck, type Configuration } from 'openid-client'
import type { ProviderApi } from '../contracts.js'
import { providerFailed } from './provider-errors.js'
import type { SafeFetch } from './safe-fetch.js'

/** Creates the functions that call a provider with an access token. */
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
          ...withLowerCaseNames(headers)
        },
        body
      })
      if (!response.ok) throw providerFailed(`a response has the status ${response.status}`)
      try {
        return (await response.json()) as unknown
      } catch {
        throw providerFailed('a response is not JSON')
      }
    },

    async userInfo () {
      const subject = typeof claims?.sub === 'string' ? claims.sub : skipSubjectCheck
      return await fetchUserInfo(configuration, accessToken, subject)
    }
  }
}

function withLowerCaseNames (headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
