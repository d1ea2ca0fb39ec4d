import {
  checkKnownKeys,
  checkOption,
  FST_USERS_INVALID_OPTION,
  parseHttpUrl,
  type RouteSettings
} from '../../feature/index.js'
import type { Provider } from './contracts.js'
import { createRedirects, type Redirects } from './redirects.js'

const PURPOSES = ['login', 'associate'] as const
type Purpose = (typeof PURPOSES)[number]

/** Redirect URIs per provider name that replace the ones built from `publicUrl`. */
export type RedirectUrls = Readonly<Record<string, { login?: string; associate?: string }>>

/** Returns the redirect URI of a provider. `path` is the path of the callback route. */
export type RedirectUriOf = (provider: string, purpose: Purpose, path: string) => string

/** Returns the allowed targets of browser mode, or null if it is off. Throws `FST_USERS_INVALID_OPTION`. */
export function readRedirects (targets: readonly string[], publicUrl: string | null): Redirects | null {
  checkOption('oauth.redirects', targets, (value) => Array.isArray(value), 'must be a list')
  if (targets.length === 0) return null
  if (publicUrl === null) {
    throw FST_USERS_INVALID_OPTION(['oauth.redirects', 'needs `publicUrl`, such as https://app.example.com'])
  }
  return createRedirects(targets, publicUrl)
}

/**
 * Returns the function that builds redirect URIs. They come from options only: a `Host` header may be forged. Throws
 * `FST_USERS_INVALID_OPTION` if `publicUrl` is missing and a provider has no redirect URI.
 */
export function readRedirectUrls (
  given: RedirectUrls,
  providers: readonly Provider[],
  publicUrl: string | null,
  routes: Readonly<Record<Purpose, RouteSettings>>
): RedirectUriOf {
  const fixed = readFixedUrls(given, providers)
  for (const purpose of PURPOSES) {
    const incomplete = providers.find(({ name }) => publicUrl === null && !fixed.has(`${purpose} ${name}`))
    if (routes[purpose].enabled && incomplete !== undefined) {
      throw FST_USERS_INVALID_OPTION([
        'oauth.publicUrl',
        `is missing, so "${incomplete.name}" has no redirect URI. Set \`publicUrl\` of the users plugin, such as https://app.example.com`
      ])
    }
  }
  // the loop above made sure that one of the two exists
  return (provider, purpose, path) => fixed.get(`${purpose} ${provider}`) ?? `${String(publicUrl)}${path}`
}

function readFixedUrls (given: RedirectUrls, providers: readonly Provider[]): ReadonlyMap<string, string> {
  const names = providers.map(({ name }) => name)
  checkKnownKeys('oauth.redirectUrls.', given, names)
  const fixed = new Map<string, string>()
  for (const [name, urls] of Object.entries(given)) {
    checkKnownKeys(`oauth.redirectUrls.${name}.`, urls, PURPOSES)
    for (const [purpose, text] of Object.entries(urls)) {
      fixed.set(`${purpose} ${name}`, readRedirectUrl(`oauth.redirectUrls.${name}.${purpose}`, text))
    }
  }
  return fixed
}

function readRedirectUrl (option: string, text: string): string {
  const url = parseHttpUrl(option, text)
  if (url.username + url.password + url.search + url.hash !== '') {
    throw FST_USERS_INVALID_OPTION([option, 'must be a URL without user name, query and fragment'])
  }
  return url.href
}
