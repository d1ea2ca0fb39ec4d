import { isIP } from 'node:net'
import {
  checkBoolean,
  checkKnownKeys,
  checkObject,
  checkOption,
  FST_USERS_INVALID_OPTION,
  parseOrigin,
  type Settings
} from '../../feature/index.js'

/** Options of `passkeys`. */
export interface PasskeysOptions {
  /**
   * The domain that passkeys are bound to (RP ID; WebAuthn Level 3, section 4): the host of the pages or a parent
   * domain. Passkeys stop working if it changes. Default: the host of `publicUrl`.
   */
  rpId?: string
  /** Name of the service that browsers show. Default: `rpId`. */
  rpName?: string
  /**
   * Origins of the pages, and of Android applications (`android:apk-key-hash:…`), that may use passkeys. Default: the
   * origin of `publicUrl`.
   */
  origins?: readonly string[]
  /**
   * Origins with other domains that may use the same passkeys (WebAuthn Level 3, section 5.11). The route
   * `/.well-known/webauthn` lists them. Browsers ask `https://<rpId>/.well-known/webauthn`. Default: none.
   */
  relatedOrigins?: readonly string[]
  /** Origins of pages that may embed the pages in a frame and use passkeys there. Default: none. */
  topOrigins?: readonly string[]
  /**
   * `required`: new passkeys and answers to the login step need a user whom the authenticator has verified.
   * `preferred`: without verification, a passkey is only a second factor. A login with only a passkey requires
   * verification in any case. Default: `preferred`.
   */
  userVerification?: 'preferred' | 'required'
  /**
   * Other logins of a user with a passkey, such as with the password, need it or another second factor too. Default:
   * true.
   */
  secondFactor?: boolean
  /** Adds routes with which new users register with a passkey and no password. Default: false. */
  signUp?: boolean
  /**
   * The reaction to a signature counter that did not grow, so that a copy of the passkey may exist: `refuse` refuses
   * the passkey and fires `onPasskeyCloned`, `report` only fires the event. Default: `refuse`.
   */
  whenCloned?: 'refuse' | 'report'
  /** Largest number of passkeys of one user, from 1 to 100. Default 20. */
  maxPasskeys?: number
  /** Seconds for one ceremony, from 30 to 300. Default 300. */
  lifetimeSeconds?: number
  /** Switches routes off: those of users below `<users prefix>/me/passkeys`, or the logins with only a passkey. */
  routes?: {
    own?: false
    login?: false
  }
}

/** Checked options that do not depend on other options of the plugin. */
export interface PasskeysSettings {
  readonly userVerification: 'preferred' | 'required'
  readonly secondFactor: boolean
  readonly signUp: boolean
  readonly whenCloned: 'refuse' | 'report'
  readonly maxPasskeys: number
  readonly lifetimeSeconds: number
  readonly ownRoutes: boolean
  readonly loginRoutes: boolean
}

/** The service as authenticators know it (WebAuthn Level 3, section 4, "WebAuthn Relying Party"). */
export interface RelyingParty {
  readonly id: string
  readonly name: string
  /** All accepted origins, the related ones included. */
  readonly origins: readonly string[]
  readonly relatedOrigins: readonly string[]
  readonly topOrigins: readonly string[]
}

const KEYS = [
  'rpId', 'rpName', 'origins', 'relatedOrigins', 'topOrigins', 'userVerification', 'secondFactor', 'signUp',
  'whenCloned', 'maxPasskeys', 'lifetimeSeconds', 'routes'
] satisfies (keyof PasskeysOptions)[]
const DOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/
/** Origin of an Android application: the SHA-256 of its signing certificate. */
const ANDROID_ORIGIN = /^android:apk-key-hash:[A-Za-z0-9_-]{43}$/
const LOOPBACK_HOST = /^(?:[a-z0-9-]+\.)*localhost$/

/** Checks the options. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function resolvePasskeysOptions (options: PasskeysOptions): PasskeysSettings {
  checkObject('passkeys', options)
  checkKnownKeys('passkeys.', options, KEYS)
  const { userVerification = 'preferred', whenCloned = 'refuse', maxPasskeys = 20, lifetimeSeconds = 300 } = options
  const { routes = {} } = options
  checkKnownKeys('passkeys.routes.', routes, ['own', 'login'])
  for (const [name, route] of Object.entries(routes)) {
    checkOption(`passkeys.routes.${name}`, route as unknown, (value) => value === undefined || value === false, 'can only be false')
  }
  checkOption('passkeys.userVerification', userVerification, isOneOf('preferred', 'required'), "must be 'preferred' or 'required'")
  checkOption('passkeys.whenCloned', whenCloned, isOneOf('refuse', 'report'), "must be 'refuse' or 'report'")
  checkOption('passkeys.maxPasskeys', maxPasskeys, isBetween(1, 100), 'must be a whole number from 1 to 100')
  checkOption('passkeys.lifetimeSeconds', lifetimeSeconds, isBetween(30, 300), 'must be a whole number from 30 to 300')
  return {
    userVerification,
    secondFactor: checkBoolean('passkeys.secondFactor', options.secondFactor, true),
    signUp: checkBoolean('passkeys.signUp', options.signUp, false),
    whenCloned,
    maxPasskeys,
    lifetimeSeconds,
    ownRoutes: routes.own !== false,
    loginRoutes: routes.login !== false
  }
}

/**
 * Returns the domain, the name and the origins of the service. Throws `FST_USERS_INVALID_OPTION`, also if they are
 * missing: they never come from a request, whose headers the client writes.
 */
export function resolveRelyingParty (
  options: PasskeysOptions,
  { publicUrl, publicOrigin }: Pick<Settings, 'publicUrl' | 'publicOrigin'>
): RelyingParty {
  if (publicUrl === null && (options.rpId === undefined || options.origins === undefined)) {
    throw FST_USERS_INVALID_OPTION(['passkeys', 'needs the option publicUrl, or both rpId and origins'])
  }
  const id = checkRpId(options.rpId ?? new URL(publicUrl ?? '').hostname)
  const { rpName: name = id } = options
  const isText = (value: unknown): boolean => typeof value === 'string' && value.trim() !== '' && value.length <= 100
  checkOption('passkeys.rpName', name, isText, 'must have 1 to 100 characters')
  const own = readPasskeyOrigins('passkeys.origins', options.origins ?? [publicOrigin ?? ''])
  checkOption('passkeys.origins', own, ({ length }) => length > 0, 'must list at least one origin')
  const foreign = own.find((origin) => !ANDROID_ORIGIN.test(origin) && !isWithin(new URL(origin).hostname, id))
  if (foreign !== undefined) {
    throw FST_USERS_INVALID_OPTION([
      'passkeys.origins',
      `has ${foreign}, which is not in the domain ${id} of the passkeys. Change rpId, or list the origin in relatedOrigins`
    ])
  }
  const relatedOrigins = readPasskeyOrigins('passkeys.relatedOrigins', options.relatedOrigins ?? [])
  const topOrigins = readPasskeyOrigins('passkeys.topOrigins', options.topOrigins ?? [])
  return { id, name, origins: [...new Set([...own, ...relatedOrigins])], relatedOrigins, topOrigins }
}

function checkRpId (id: unknown): string {
  const isDomain = typeof id === 'string' && DOMAIN.test(id) && isIP(id) === 0
  if (isDomain) return id
  throw FST_USERS_INVALID_OPTION([
    'passkeys.rpId',
    'must be a domain, such as app.example.com. Browsers create no passkeys for IP addresses; use localhost for development'
  ])
}

/** Returns the origins of a list. Passkeys need https, except on loopback hosts (W3C Secure Contexts, section 3.1). */
function readPasskeyOrigins (option: string, given: unknown): string[] {
  checkOption(option, given, Array.isArray, 'must be a list of origins')
  return (given as unknown[]).map((text) => {
    if (typeof text === 'string' && ANDROID_ORIGIN.test(text)) return text
    const origin = parseOrigin(option, text as string) // parseOrigin refuses other values
    const { protocol, hostname } = new URL(origin)
    const isSecure = protocol === 'https:' || LOOPBACK_HOST.test(hostname)
    return checkOption(option, origin, () => isSecure, 'must list https origins; http is possible for localhost only')
  })
}

function isWithin (host: string, domain: string): boolean {
  return host === domain || host.endsWith(`.${domain}`)
}

function isOneOf (...values: readonly string[]): (value: unknown) => boolean {
  return (value) => values.includes(value as string)
}

function isBetween (least: number, most: number): (value: unknown) => boolean {
  return (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most
}
