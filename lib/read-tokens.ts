import type { MailedTokenSettings, Settings, TokenSettings } from './contracts/settings.js'
import type { WireFormat } from './contracts/wire-format.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'
import type { StoredTokenOptions, UsersOptions } from './options.js'
import { checkSeconds, MAX_RESET_SECONDS, MAX_UNDO_SECONDS, MAX_VERIFY_SECONDS } from './shared/limits.js'
import { checkKnownKeys, checkObject, checkOption } from './shared/option-checks.js'
import { checkSecret } from './tokens/index.js'

const REGISTER_SECONDS = 3600
const UNDO_SECONDS = 7 * 86_400 // the owner of the e-mail may be on holiday

type Allowed = Pick<Settings, 'allowInsecure'>

/** Returns true if the plugin sends mails. */
export function hasMail (options: UsersOptions): boolean {
  return 'mail' in options && options.mail !== undefined
}

/** Returns the settings of all mailed tokens. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function readMailedTokens (
  wire: WireFormat,
  options: UsersOptions,
  allowInsecure: Settings['allowInsecure']
): MailedTokenSettings {
  const { tokens: given = {} } = options
  checkKnownKeys('tokens.', given, ['reset', 'verify', 'register', 'undo'])
  const { register = {}, undo = hasMail(options) ? {} : false } = given
  return {
    reset: readSigned(wire, 'reset', given.reset, MAX_RESET_SECONDS, { allowInsecure }),
    verify: readSigned(wire, 'verify', given.verify, MAX_VERIFY_SECONDS, { allowInsecure }),
    register: readStoredTokenOptions('register', register, REGISTER_SECONDS, MAX_RESET_SECONDS, { allowInsecure }),
    undo: undo === false ? null : readStoredTokenOptions('undo', undo, UNDO_SECONDS, MAX_UNDO_SECONDS, { allowInsecure })
  }
}

function readSigned (
  { signedTokens }: WireFormat,
  purpose: 'reset' | 'verify',
  options: NonNullable<UsersOptions['tokens']>['reset'] = {},
  maxSeconds: number,
  allowed: Allowed
): TokenSettings {
  checkKnownKeys(`tokens.${purpose}.`, options, ['secret', 'lifetimeSeconds', 'audience'])
  const { secret, lifetimeSeconds = 3600, audience = signedTokens.audienceOf(purpose) } = options
  checkOption(
    `tokens.${purpose}.audience`,
    audience,
    (value) => typeof value === 'string' && value !== '',
    'must be a non-empty string'
  )
  checkTokenLifetime(purpose, lifetimeSeconds, maxSeconds, allowed)
  const ownSecret = secret === undefined ? null : checkSecret(`tokens.${purpose}.secret`, secret)
  return { secret: ownSecret === null ? null : () => ownSecret, lifetimeSeconds, audience }
}

function readStoredTokenOptions (
  purpose: 'register' | 'undo',
  options: StoredTokenOptions,
  defaultSeconds: number,
  maxSeconds: number,
  allowed: Allowed
): { lifetimeSeconds: number } {
  checkObject(`tokens.${purpose}`, options)
  checkKnownKeys(`tokens.${purpose}.`, options, ['lifetimeSeconds'])
  const { lifetimeSeconds = defaultSeconds } = options
  checkTokenLifetime(purpose, lifetimeSeconds, maxSeconds, allowed)
  return { lifetimeSeconds }
}

function checkTokenLifetime (purpose: string, lifetimeSeconds: number, maxSeconds: number, allowed: Allowed): void {
  const option = `tokens.${purpose}.lifetimeSeconds`
  if (!(Number.isInteger(lifetimeSeconds) && lifetimeSeconds > 0)) {
    throw FST_USERS_INVALID_OPTION([option, 'must be a whole number of seconds above 0'])
  }
  checkSeconds(option, lifetimeSeconds, maxSeconds, allowed, 'longTokens')
}
