import type { Backend, BackendOptions } from './contracts/backend.js'
import type { Feature } from './contracts/feature.js'
import type {
  BackendProfile,
  CaptchaProfile,
  CookieProfile,
  LimitsProfile,
  SecretsProfile,
  SecurityProfile
} from './contracts/security-profile.js'
import type { RouteGroupName, Settings } from './contracts/settings.js'
import type { Keyring } from './tokens/index.js'

/** Objects of a registration that a profile describes. */
export interface ProfileParts {
  readonly settings: Settings
  readonly backends: ReadonlyMap<string, Backend>
  readonly backendOptions: readonly BackendOptions[]
  readonly features: readonly Feature[]
  readonly keyring: Keyring
  /** The sender of mails. */
  readonly mail: SecurityProfile['mail']
}

/** Returns the effective security settings of a registration. */
export function securityProfileOf (parts: ProfileParts): SecurityProfile {
  const { settings, features, keyring } = parts
  const { tokens, cache, wire } = settings
  const backends = backendProfiles(parts)
  const hasPublicKeys = backends.some(({ keys }) => keys.some(({ isPublic }) => isPublic))
  const tokenProfile = (kind: 'reset' | 'verify'): SecurityProfile['tokens']['reset'] => ({
    lifetimeSeconds: tokens[kind].lifetimeSeconds,
    hasOwnSecret: tokens[kind].secret !== null
  })
  return {
    tenant: settings.name,
    secrets: secretsProfile(keyring, backends),
    backends,
    jwks: settings.jwks !== null && hasPublicKeys ? { ...settings.jwks } : null,
    tokens: { reset: tokenProfile('reset'), verify: tokenProfile('verify') },
    passwords: settings.passwords.description ?? null,
    passwordPolicy: copyOf(settings.validatePassword.description),
    limits: limitsProfile(settings),
    mail: parts.mail,
    captcha: captchaProfile(settings),
    routes: Object.fromEntries(
      Object.entries(settings.routes).map(([group, { enabled }]) => [group, enabled])
    ) as Record<RouteGroupName, boolean>, // one entry per route group
    publicUrl: settings.publicUrl,
    trustedOrigins: [...settings.trustedOrigins],
    requireVerification: settings.requireVerification,
    revealExistingAccounts: settings.revealExistingAccounts,
    sensitiveChanges: settings.sensitiveChanges,
    reauthenticationSeconds: settings.reauthentication.maxAgeSeconds,
    allowIntranetEmails: settings.allowIntranetEmails,
    errorHandler: settings.errorHandler,
    cacheSeconds: cache === null ? null : cache.maxAgeMs / 1000,
    storedTokens: wire.storedTokens.areDigests ? 'digest' : 'plain',
    endlessTokens: wire.endlessTokens,
    allowInsecure: [...settings.allowInsecure],
    features: features.map(({ name }) => name),
    loginSteps: [...settings.loginSteps]
  }
}

function limitsProfile ({ limits }: Settings): LimitsProfile | null {
  if (limits === null) return null
  const { store, whenUnavailable, client, account, mail } = limits
  const named = typeof store === 'string' ? store : 'other'
  return structuredClone({ store: named, whenUnavailable, client, account, mail })
}

function captchaProfile ({ captcha }: Settings): CaptchaProfile | null {
  if (captcha === null) return null
  const { provider, kinds, when, ifUnavailable } = captcha
  return { provider: provider.name, kinds: [...kinds], isConditional: when !== null, ifUnavailable }
}

function copyOf<T extends object> (value: T | undefined): T | null {
  return value === undefined ? null : { ...value }
}

function secretsProfile ({ count, uses }: Keyring, backends: readonly BackendProfile[]): SecretsProfile {
  return {
    count,
    uses: [...uses].map(([purpose, named]) => {
      // sessions of all backends contain the security stamp of their user
      const lifetimeSeconds = purpose === 'stamp' ? longestSession(backends) : named
      return lifetimeSeconds === undefined ? { purpose } : { purpose, lifetimeSeconds }
    })
  }
}

/** Returns the longest lifetime of a session in seconds; null for no end, undefined if a strategy does not name it. */
function longestSession (backends: readonly BackendProfile[]): number | null | undefined {
  const lifetimes = backends.map(({ lifetimeSeconds }) => lifetimeSeconds)
  if (lifetimes.includes(null)) return null
  const known = lifetimes.filter((seconds) => typeof seconds === 'number')
  return known.length < lifetimes.length ? undefined : Math.max(...known)
}

function backendProfiles ({ backends, backendOptions, settings }: ProfileParts): BackendProfile[] {
  return backendOptions.flatMap(({ name, transport, strategy }) => {
    const backend = backends.get(name)
    if (backend === undefined) return [] // the plugin is still loading
    const { description } = backend.strategy
    return {
      name,
      transport: transport.name,
      strategy: strategy.name,
      ...(description === undefined ? {} : { lifetimeSeconds: description.lifetimeSeconds }),
      revocable: backend.strategy.destroyToken !== undefined,
      keys: (description?.keys ?? []).map(({ publicJwk, ...key }) => ({
        ...key,
        isPublic: settings.jwks !== null && publicJwk !== null
      })),
      cookie: cookieProfile(backend),
      requireVerification: backend.requireVerification
    }
  })
}

function cookieProfile ({ transport, description: { scheme } }: Backend): CookieProfile | null {
  if (!transport.ambient) return null
  const { secure = true, sameSite = 'lax', partitioned = false } = transport
  return { name: typeof scheme['name'] === 'string' ? scheme['name'] : null, secure, sameSite, partitioned }
}
