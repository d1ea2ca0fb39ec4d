import { defineProvider, type ProviderOptions } from './define-provider.js'
import { optional, textMatching } from './option-checks.js'
import { fetchObject, memberOf, profileOf } from './profiles.js'

/** Options of `shopify`. */
export interface ShopifyOptions extends ProviderOptions {
  /** Name of the shop, the first part of `<shop>.myshopify.com`. */
  shop: string
  /** Version of the Admin API. Default: `2025-10`. */
  apiVersion?: string
}

/** Shopify. The account is the shop, not a person: its id and the e-mail of its owner. */
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
    shop: textMatching(/^[a-z0-9][a-z0-9-]*$/, 'must be the part before .myshopify.com'),
    apiVersion: optional(textMatching(/^(\d{4}-\d{2}|unstable)$/, 'must be a version of the Admin API, such as 2025-10'))
  },
  trustEmail: false, // the e-mail is the contact of the shop, and any of its staff may log in
  async profile (api, { shop, apiVersion = '2025-10' }) {
    const reply = await fetchObject(api, `https://${shop}.myshopify.com/admin/api/${apiVersion}/shop.json`, {
      headers: { 'x-shopify-access-token': api.accessToken }
    })
    const user = memberOf(reply, 'shop')
    return profileOf(user['id'], user['email'], false, user)
  }
})
