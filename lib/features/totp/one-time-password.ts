import { FST_USERS_INVALID_OPTION } from '../../feature/index.js'
import type { TotpSecret } from './contracts.js'

/** Bytes of a secret: 160 bits, the length that RFC 4226, section 4, recommends. */
const SECRET_BYTES = 20
/** The values that all authenticator apps support, and the defaults of RFC 6238. */
const ALGORITHM = 'SHA1'
const DIGITS = 6
const PERIOD_SECONDS = 30
/** Steps before and after the present one whose codes are accepted (RFC 6238, section 5.2). */
const DRIFT = 1
/** Width of the margin of a QR code, in modules (ISO/IEC 18004). */
const MARGIN = 4
/** A code, with or without the space that apps show. Only ASCII digits match. */
const CODE = /^[0-9]{3} ?[0-9]{3}$/

/** The form of a code, for schemas. */
export const CODE_PATTERN = CODE.source

/** Returns true for text that has the form of a code. */
export function isCode (text: string): boolean {
  return CODE.test(text)
}

/** Creates secrets and checks codes (RFC 6238). */
export interface OneTimePasswords {
  /** Creates a secret in Base32. */
  generateSecret(): string
  /** Returns what the app of a user needs. `account` is the name that the app shows, such as the e-mail. */
  describe(secret: string, account: string): TotpSecret
  /** Returns the time step to which a code belongs; null for a code of no accepted step and for any other text. */
  stepOf(secret: string, code: string, now: number): number | null
}

/** Loads the packages. Throws `FST_USERS_INVALID_OPTION` if one of them is missing. */
export async function loadOneTimePasswords (issuer: string): Promise<OneTimePasswords> {
  const [{ HOTP, Secret, TOTP }, { renderSVG }] = await Promise.all([
    import('otpauth').catch(refuseMissingOtpauth),
    import('uqr').catch(refuseMissingOtpauth)
  ])
  const settings = { algorithm: ALGORITHM, digits: DIGITS }

  return {
    generateSecret: () => new Secret({ size: SECRET_BYTES }).base32,

    describe (text, account) {
      const secret = Secret.fromBase32(text)
      const label = account.replaceAll(':', '')
      const url = new TOTP({ ...settings, period: PERIOD_SECONDS, issuer, label, secret }).toString()
      return { secret: text, url, svg: renderSVG(url, { pixelSize: 1, border: MARGIN }) }
    },

    stepOf (secret, code, now) {
      if (!isCode(code)) return null
      const counter = TOTP.counter({ period: PERIOD_SECONDS, timestamp: now })
      const token = code.replace(' ', '')
      // the library compares in constant time
      const delta = HOTP.validate({ ...settings, token, secret: Secret.fromBase32(secret), counter, window: DRIFT })
      return delta === null ? null : counter + delta
    }
  }
}

function refuseMissingOtpauth (cause: unknown): never {
  const reason = 'totp() needs the packages otpauth 9 and uqr; run `npm install otpauth@9 uqr`'
  throw FST_USERS_INVALID_OPTION(['features', reason], { cause })
}
