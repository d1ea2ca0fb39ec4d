import type { Settings } from '../../contracts/settings.js'
import { type Finding, findingsOr } from './finding.js'
import type { SentCookie } from './backend-checks.js'

const LOCAL = /^http:\/\/(?:localhost|127(?:\.\d+){3}|\[::1\])(?::(?:\d+|\*))?$/

/** Secrets are long and random when the config loads: what is left is whose they are. */
export function checkSecrets (secrets: readonly string[], { tokens }: Settings): readonly Finding[] {
  const findings: Finding[] = []
  const own = Object.entries(tokens).flatMap(([purpose, { secret }]) =>
    secret === null ? [] : [{ purpose, secret: secret() }]
  )
  if (new Set(secrets).size < secrets.length) {
    findings.push({ level: 'warn', about: 'secret', text: 'the list holds a secret twice: remove one' })
  }
  for (const { purpose, secret } of own) {
    if (secrets.includes(secret)) {
      findings.push({
        level: 'warn',
        about: 'secret',
        text: `tokens.${purpose}.secret is the plugin's secret too: leave it out, and a key of its own is made`
      })
    }
  }
  return findingsOr(
    'secret',
    findings,
    secrets.length === 1
      ? 'is long enough and no placeholder'
      : `${secrets.length} secrets, of which the first signs; each is long enough and no placeholder`
  )
}

/** Origins that do nothing, or trust more than was meant. */
export function checkOrigins (
  { trustedOrigins, publicOrigin }: Settings,
  cookies: readonly SentCookie[]
): readonly Finding[] {
  if (trustedOrigins.size === 0) return []
  const about = 'trustedOrigins'
  const findings: Finding[] = []
  const warn = (text: string): void => {
    findings.push({ level: 'warn', about, text })
  }
  if (cookies.length === 0) {
    warn('no backend has a cookie, and only cookie sessions are checked by origin: leave the option out')
  }
  for (const origin of trustedOrigins) {
    if (origin === publicOrigin) warn(`${origin} is publicUrl's own origin, which is trusted anyway: remove it`)
    if (origin.startsWith('http:') && !LOCAL.test(origin)) {
      warn(`${origin} is not https: whoever is on the way to it can act for your users; serve it over https`)
    }
    if (LOCAL.test(origin) && publicOrigin?.startsWith('https:') === true) {
      warn(`${origin} is any program on a visitor's machine: remove it in production`)
    }
    const bound = cookies
      .filter(({ attributes }) => attributes.get('samesite')?.toLowerCase() !== 'none')
      .map(({ name }) => `"${name}"`)
    if (bound.length > 0 && publicOrigin !== null && siteOf(origin) !== siteOf(publicOrigin)) {
      warn(
        `${origin} looks like another site than ${publicOrigin}, and browsers do not send ${bound.join(', ')} from there: that needs cookieTransport({ sameSite: 'none' })`
      )
    }
  }
  return findingsOr(about, findings, 'are https origins other than publicUrl')
}

/** The last two labels: near enough to warn by. */
function siteOf (origin: string): string {
  return new URL(origin.replace(/:\*$/, '')).hostname.split('.').slice(-2).join('.')
}
