import { checkKnownKeys, checkObject, checkOption, type Settings } from '../../feature/index.js'

/** Options of `totp`. */
export interface TotpOptions {
  /** Name of the service in authenticator apps, without `:`. Default: the host of `publicUrl`. */
  issuer?: string
}

const MAX_LENGTH = 64

/** Checks the options. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function checkTotpOptions (options: TotpOptions): void {
  checkObject('totp', options)
  checkKnownKeys('totp.', options, ['issuer'])
  if (options.issuer !== undefined) checkIssuer(options.issuer)
}

/** Returns the name of the service. Throws `FST_USERS_INVALID_OPTION` if neither option is set. */
export function readIssuer ({ issuer }: TotpOptions, { publicUrl }: Pick<Settings, 'publicUrl'>): string {
  if (issuer !== undefined) return issuer
  const host = publicUrl === null ? undefined : new URL(publicUrl).hostname
  return checkOption('totp.issuer', host, Boolean, 'is missing, and so is `publicUrl`, whose host is the default') as string
}

/** The separator between the issuer and the account is a colon, so neither may contain one. */
function checkIssuer (issuer: unknown): void {
  const isName = (value: unknown): boolean =>
    typeof value === 'string' &&
    value.trim() === value &&
    value.length >= 1 &&
    value.length <= MAX_LENGTH &&
    value.isWellFormed() &&
    !/[:\p{Cc}]/u.test(value)
  checkOption('totp.issuer', issuer, isName, `must be a name of 1 to ${MAX_LENGTH} characters without a colon`)
}
