import { defineProvider, type ProviderOptions } from './define-provider.js'
import { matches, optional } from './option-checks.js'
import { fetchObject, memberOf, profileOf } from './profiles.js'

/** Options of `shopify`. */
export interface ShopifyOptions extends ProviderOptions {
  /** The shop: `<shop>.myshopify.com`. */
  shop: string
  /** Version of the Admin API (`2025-10`). */
  apiVersion?: string
}

/** Shopify. Who logs in is the shop: its id, and the address of its owner. */
export const shopify = defineProvider<ShopifyOptions>({
  name: 'shopify',
  title: 'Shopify',
  scopes: ['read_orders'],
  server: ({ shop }) => ({
    issuer: `https://${shop}.myshopify.com`,
    authorization_endpoint: `https://${shop}.myshopify.com/admin/oauth/authorize`,
    token_endpoint: `https://${shop}.myshopify.com/admin/oauth/access_token`
  }),
  options: {
    shop: matches(/^[a-z0-9][a-z0-9-]*$/, 'must be the part before .myshopify.com'),
    apiVersion: optional(matches(/^(\d{4}-\d{2}|unstable)$/, 'must be a version of the Admin API, such as 2025-10'))
  },
  trustEmail: false, // the address is the shop's contact, whoever of its staff logs in
  async profile (api, { shop, apiVersion = '2025-10' }) {
    const answer = await fetchObject(api, `https://${shop}.myshopify.com/admin/api/${apiVersion}/shop.json`, {
      headers: { 'x-shopify-access-token': api.accessToken }
    })
    const user = memberOf(answer, 'shop')
    return profileOf(user['id'], user['email'], false, user)
  }
})
