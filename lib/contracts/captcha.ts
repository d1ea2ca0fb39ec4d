import type { TSchema } from '@sinclair/typebox'
import type { AttemptEvent, AttemptKind } from './attempts.js'
import type { MaybePromise } from './database-adapter.js'
import type { PurposeKey } from './definition.js'
import type { Clock } from './settings.js'

/**
 * A service or an algorithm that distinguishes people from programs: `turnstile()`, `hcaptcha()`, `altcha()` or your
 * own.
 */
export interface CaptchaProvider {
  /** Name for log lines, such as `turnstile`. */
  readonly name: string
  /** Field of the body in which the provider's widget sends its response. The header works with every provider. */
  readonly field: string
  /** Time limit of a check in milliseconds. Default 5000. */
  readonly timeoutMs?: number
  /** True if the provider calls `claim` of the kit. The table of single-use values then exists. */
  readonly usesStore?: boolean
  /** Schema of the challenges, if `open` returns `createChallenge`. */
  readonly challengeSchema?: TSchema
  /** Starts the provider. An error stops the start of the application. */
  open(kit: CaptchaKit): MaybePromise<CaptchaVerifier>
}

/** The services that a started provider can use. */
export interface CaptchaKit {
  readonly clock: Clock
  /** Keys that are derived from the plugin's secrets. The first signs; all verify. */
  readonly keys: readonly PurposeKey[]
  /** Returns true for the first call with this id, and false for every other one. The id is kept until `expiresAt`. */
  claim(id: string, expiresAt: Date): Promise<boolean>
}

/** A response of a widget, and the attempt that it belongs to. */
export interface CaptchaResponse {
  /** The text that the widget sent, of 1 to 8192 characters. */
  readonly token: string
  /** IP address of the client. */
  readonly ip: string | null
  readonly kind: AttemptKind
  /** Is aborted after the time limit. */
  readonly signal: AbortSignal
}

/** A started provider. */
export interface CaptchaVerifier {
  /**
   * Returns true if a person, or enough work, is behind the response. Each response must be accepted once only. Rejects
   * if the response cannot be checked, for example because the service does not answer.
   */
  verify(response: CaptchaResponse): Promise<boolean>
  /** Creates a challenge for the widget: the reply of `GET /auth/captcha`. */
  createChallenge?(): Promise<object>
}

/** The option `captcha`. */
export interface CaptchaOptions {
  /** Checks the responses: `turnstile()`, `hcaptcha()`, `altcha()` or your own provider. */
  provider: CaptchaProvider
  /**
   * Kinds of attempts that need a captcha. Default `register`, `forgotPassword` and `requestVerify`, which create
   * users or send mails.
   */
  for?: readonly AttemptKind[]
  /**
   * Returns false for attempts of these kinds that need no captcha, for example logins with few failures. Default: all
   * of them need one.
   */
  when?: (kind: AttemptKind, event: Readonly<AttemptEvent>) => MaybePromise<boolean>
  /**
   * What happens if the provider cannot be reached: `refuse` replies 503, `accept` continues without a captcha and logs
   * a warning. Default `refuse`.
   */
  ifUnavailable?: 'refuse' | 'accept'
}

/** The checked option `captcha`. */
export interface CaptchaSettings {
  readonly provider: CaptchaProvider
  readonly kinds: ReadonlySet<string>
  readonly when: NonNullable<CaptchaOptions['when']> | null
  readonly ifUnavailable: 'refuse' | 'accept'
}
