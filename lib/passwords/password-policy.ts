import { PASSWORD_MAX_BYTES } from '../../schemas/common.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type {
  BreachSource,
  PasswordContext,
  PasswordPolicyDescription,
  PasswordReason
} from '../contracts/password-policy.js'
import { checkKnownKeys, checkOption } from '../shared/option-checks.js'
import { isFunction, isObject } from '../shared/values.js'
import { askBreachSource } from './breached-passwords.js'
import { isCommonPassword } from './common-passwords.js'
import {
  emailWords,
  foldText,
  isDerivedFromWord,
  MAX_WORD_LENGTH,
  MIN_WORD_LENGTH,
  wordsOfText,
  wordsOfUser
} from './context-words.js'
import { createStrengthCheck, type PasswordStrengthOptions } from './password-strength.js'
import { preparePassword } from './prepare-password.js'

/** Options of `passwordPolicy`. */
export interface PasswordPolicyOptions {
  /**
   * `single-factor`: the password is the only thing that a user needs to log in, so that it must have at least 15
   * characters (NIST SP 800-63B-4, section 3.1.1.2). Default none.
   */
  preset?: 'single-factor'
  /** Minimum length in Unicode code points, from 8 to 256. Default 8, with `single-factor` 15. */
  minimumLength?: number
  /**
   * Words of at least three characters that attackers try first at this application, such as its name and that of its
   * company. A password must not be one of them, also with up to seven digits, spaces or signs added. The parts of a
   * word with spaces count too. Default none.
   */
  contextWords?: readonly string[]
  /**
   * Fields of the user whose values are context words too. Default: all text fields except the id. The e-mail and its
   * local part are always refused.
   */
  userFields?: readonly string[]
  /** Refuses passwords that are known from data breaches, such as `pwnedPasswords()`. Default: off. */
  breached?: BreachSource
  /**
   * Refuses passwords that are easy to guess, measured by the package `@zxcvbn-ts/core`, which you install. `true` is
   * the minimum score 3. Default: off.
   */
  strength?: true | PasswordStrengthOptions
  /** A rule of your own. Returns the reason to refuse the password, or null. Default none. */
  check?: (password: string, user: { email: string }) => MaybePromise<PasswordReason | null | undefined>
}

/** A password policy: returns all reasons for which a password is refused, and an empty list for an accepted one. */
export interface PasswordPolicy {
  (password: string, user: { email: string }, context?: PasswordContext): Promise<readonly PasswordReason[]>
  /**
   * Loads what the policy needs. The plugin calls it at the start. Throws `FST_USERS_INVALID_OPTION` if a package is
   * missing.
   */
  start(): Promise<void>
  readonly description: PasswordPolicyDescription
}

const KEYS: Record<keyof PasswordPolicyOptions, true> = {
  preset: true,
  minimumLength: true,
  contextWords: true,
  userFields: true,
  breached: true,
  strength: true,
  check: true
}

const MIN_LENGTH = 8
const SINGLE_FACTOR_LENGTH = 15
const MAX_MINIMUM_LENGTH = PASSWORD_MAX_BYTES / 4 // a code point has at most 4 bytes in UTF-8
const MAX_WORDS = 1000

/** One rule: returns the reason to refuse a password, or null. */
type Rule = (input: RuleInput, context: PasswordContext) => MaybePromise<PasswordReason | null | undefined>

interface RuleInput {
  /** The password in the form that is hashed. */
  readonly password: string
  /** The password in the form for comparison. */
  readonly folded: string
  readonly user: { email: string }
  /** Words of the application and of the user, in the form for comparison. */
  readonly words: readonly string[]
}

/**
 * Creates a policy for new passwords (NIST SP 800-63B-4, section 3.1.1.2; OWASP ASVS 5.0, section 6.2): a minimum
 * length, not the user's e-mail, no context word, not a common password, and by choice not a breached or weak one.
 * Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`.
 *
 * ```ts
 * const validatePassword = passwordPolicy({
 *   minimumLength: 12,
 *   contextWords: ['camelot', 'round table'],
 *   breached: pwnedPasswords()
 * })
 * ```
 */
export function passwordPolicy (options: PasswordPolicyOptions = {}): PasswordPolicy {
  checkKnownKeys('passwordPolicy.', options, Object.keys(KEYS))
  const contextWords = readWords(options.contextWords).flatMap(wordsOfText)
  const { userFields } = options
  if (userFields !== undefined) readWords(userFields, 'userFields', 1)
  const strength = options.strength === undefined ? null : createStrengthCheck(options.strength)
  const rules = createPasswordRules(options, strength?.check)

  async function policy (
    given: string,
    user: { email: string },
    context: PasswordContext = {}
  ): Promise<readonly PasswordReason[]> {
    const password = preparePassword(given)
    if (password === null) {
      const message = `Use well-formed text of at most ${PASSWORD_MAX_BYTES} bytes.`
      return [{ code: 'INVALID_TEXT', message, maximumBytes: PASSWORD_MAX_BYTES }]
    }
    const words = [...contextWords, ...wordsOfUser(user, userFields)]
    const input = { password, folded: foldText(password), user, words }
    const reasons = await Promise.all(rules.map((rule) => rule(input, context)))
    return reasons.filter((reason) => reason != null)
  }

  const description: PasswordPolicyDescription = {
    minimumLength: readMinimumLength(options),
    contextWords: (options.contextWords ?? []).length,
    breached: options.breached !== undefined,
    strength: strength !== null,
    ownRule: options.check !== undefined
  }
  return Object.assign(policy, { start: async () => strength?.start(), description })
}

/** Returns the rules in the order in which their reasons are listed. */
function createPasswordRules (
  { breached, check, ...lengths }: PasswordPolicyOptions,
  findWeakness?: (password: string, words: readonly string[]) => Promise<PasswordReason | null>
): Rule[] {
  const minimumLength = readMinimumLength(lengths)
  const rules: Rule[] = [
    ({ password }) => [...password].length >= minimumLength
      ? null
      : { code: 'TOO_SHORT', message: `Use at least ${minimumLength} characters.`, minimumLength },
    ({ folded, user }) => emailWords(user.email).includes(folded)
      ? { code: 'EMAIL', message: 'Do not use your e-mail as the password.' }
      : null,
    ({ folded, words }) => isDerivedFromWord(folded, words)
      ? { code: 'CONTEXT_WORD', message: 'Do not use your name or the name of this service as the password.' }
      : null,
    async ({ folded }) => await isCommonPassword(folded, MIN_LENGTH)
      ? { code: 'COMMON', message: 'Use a password that is less common.' }
      : null
  ]
  if (breached !== undefined) rules.push(breachRule(breached))
  if (findWeakness !== undefined) {
    rules.push(({ password, user, words }) => findWeakness(password, [...words, ...emailWords(user.email)]))
  }
  if (check !== undefined) {
    checkOption('passwordPolicy.check', check, isFunction, 'must be a function')
    rules.push(({ password, user }) => check(password, user))
  }
  return rules
}

function breachRule (source: BreachSource): Rule {
  const isSource = (value: unknown): boolean => isObject(value) && isFunction(value['isBreached'])
  checkOption('passwordPolicy.breached', source, isSource, 'must have the method isBreached, such as pwnedPasswords()')
  return async ({ password }, context) => await askBreachSource(source, password, context)
    ? { code: 'BREACHED', message: 'This password is known from a data breach. Use another one, here and elsewhere.' }
    : null
}

function readMinimumLength ({ preset, minimumLength }: PasswordPolicyOptions): number {
  const isPreset = (value: unknown): boolean => value === undefined || value === 'single-factor'
  checkOption('passwordPolicy.preset', preset, isPreset, "must be 'single-factor'")
  const least = preset === undefined ? MIN_LENGTH : SINGLE_FACTOR_LENGTH
  const isLength = (value: number): boolean => Number.isInteger(value) && value >= least && value <= MAX_MINIMUM_LENGTH
  return checkOption(
    'passwordPolicy.minimumLength',
    minimumLength ?? least,
    isLength,
    `must be a whole number from ${least} to ${MAX_MINIMUM_LENGTH}`
  )
}

function readWords (
  words: readonly string[] = [],
  option = 'contextWords',
  minLength = MIN_WORD_LENGTH
): readonly string[] {
  const isWord = (word: unknown): boolean =>
    typeof word === 'string' && word.trim().length >= minLength && word.length <= MAX_WORD_LENGTH
  return checkOption(
    `passwordPolicy.${option}`,
    words,
    (list) => Array.isArray(list) && list.length <= MAX_WORDS && list.every(isWord),
    `must be a list of at most ${MAX_WORDS} words of ${minLength} to ${MAX_WORD_LENGTH} characters`
  )
}
