import type { Settings } from '../../contracts/settings.js'
import { type Finding, findingsOrOk } from './finding.js'
import type { SentCookie } from './backend-checks.js'

const LOCAL = /^http:\/\/(?:localhost|127(?:\.\d+){3}|\[::1\])(?::(?:\d+|\*))?$/

/** Checks that secrets are used only once. Their length and randomness are checked when the config is loaded. */
export function checkSecrets (secrets: readonly string[], { tokens }: Settings): readonly Finding[] {
  const findings: Finding[] = []
  if (new Set(secrets).size < secrets.length) {
    findings.push({ level: 'warn', about: 'secret', text: 'the list contains a secret twice; remove one' })
  }
  for (const purpose of ['reset', 'verify'] as const) {
    const { secret } = tokens[purpose]
    if (secret !== null && secrets.includes(secret())) {
      findings.push({
        level: 'warn',
        about: 'secret',
        text: `tokens.${purpose}.secret equals the plugin's secret; remove it, and a separate key is derived`
      })
    }
  }
  return findingsOrOk(
    'secret',
    findings,
    secrets.length === 1
      ? 'is long enough and not a placeholder'
      : `${secrets.length} secrets; the first one signs; all are long enough and none is a placeholder`
  )
}

/** Checks for trusted origins that have no effect, or that trust more than intended. */
export function checkOrigins (
  { trustedOrigins, publicOrigin }: Settings,
  cookies: readonly SentCookie[]
): readonly Finding[] {
  if (trustedOrigins.size === 0) return []
  const about = 'trustedOrigins'
  const warnings: string[] = []
  if (cookies.length === 0) {
    warnings.push('no backend uses cookies, and origins are checked only for cookie sessions; remove the option')
  }
  for (const origin of trustedOrigins) warnings.push(...originWarnings(origin, publicOrigin, cookies))
  const findings = warnings.map((text): Finding => ({ level: 'warn', about, text }))
  return findingsOrOk(about, findings, 'no unsafe or unnecessary origins')
}

function originWarnings (origin: string, publicOrigin: string | null, cookies: readonly SentCookie[]): string[] {
  const warnings: string[] = []
  if (origin === publicOrigin) warnings.push(`${origin} is the origin of publicUrl, which is always trusted; remove it`)
  if (origin.startsWith('http:') && !LOCAL.test(origin)) {
    warnings.push(`${origin} is not https, so an attacker on the network can act for your users; serve it over https`)
  }
  if (LOCAL.test(origin) && publicOrigin?.startsWith('https:') === true) {
    warnings.push(`${origin} can be any program on a visitor's machine; remove it in production`)
  }
  const sameSiteCookies = cookies
    .filter(({ attributes }) => attributes.get('samesite')?.toLowerCase() !== 'none')
    .map(({ name }) => `"${name}"`)
  if (sameSiteCookies.length > 0 && publicOrigin !== null && siteOf(origin) !== siteOf(publicOrigin)) {
    const names = sameSiteCookies.join(', ')
    warnings.push(
      `${origin} looks like another site than ${publicOrigin}, so browsers do not send ${names} from there; ` +
      "set cookieTransport({ sameSite: 'none' })"
    )
  }
  return warnings
}

/** Returns the last two labels of a host. It approximates the registrable domain, which is enough for a warning. */
function siteOf (origin: string): string {
  return new URL(origin.replace(/:\*$/, '')).hostname.split('.').slice(-2).join('.')
}
