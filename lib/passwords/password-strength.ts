import type { PasswordReason } from '../contracts/password-policy.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { checkKnownKeys, checkOption } from '../shared/option-checks.js'
import { isObject } from '../shared/values.js'

/** Options of `passwordPolicy({ strength })`. */
export interface PasswordStrengthOptions {
  /**
   * Lowest accepted score of zxcvbn, from 1 to 4. Default 3: the password resists an attack on a stolen hash for a
   * moderate time.
   */
  minimumScore?: 1 | 2 | 3 | 4
  /** More words that attackers try, for example `dictionary` of `@zxcvbn-ts/language-en`. Default: common passwords. */
  dictionary?: Readonly<Record<string, readonly (string | number)[]>>
}

/** Returns the reason if attackers would guess the password too soon. `words` are words that they know of the user. */
export interface StrengthCheck {
  check(password: string, words: readonly string[]): Promise<PasswordReason | null>
  /** Throws `FST_USERS_INVALID_OPTION` if the package is not installed. */
  start(): Promise<void>
}

/** The part of `@zxcvbn-ts/core` that is used. */
interface Zxcvbn {
  ZxcvbnFactory: new (options: object) => {
    check(password: string, words: string[]): {
      score: number
      feedback: { warning: string | null; suggestions: string[] }
    }
  }
}

/**
 * zxcvbn reads this many characters, because its time grows with the square of the length. The rest can only make a
 * password stronger.
 */
const MAX_EXAMINED = 64
const DEFAULT_SCORE = 3

/** Creates the check of the option `strength`. Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`. */
export function createStrengthCheck (
  options: PasswordStrengthOptions | true,
  load: () => Promise<Partial<Zxcvbn>> = loadZxcvbn
): StrengthCheck {
  const given = options === true ? {} : options
  checkKnownKeys('passwordPolicy.strength.', given, ['minimumScore', 'dictionary'])
  const minimumScore = checkOption<number>(
    'passwordPolicy.strength.minimumScore', given.minimumScore ?? DEFAULT_SCORE, isScore, 'must be 1, 2, 3 or 4'
  )
  const dictionary = checkOption(
    'passwordPolicy.strength.dictionary', given.dictionary ?? {}, isDictionary, 'must be an object of lists of words'
  )
  const loadFactory = once(() => loadChecked(load))
  const create = once(async () => {
    const { ZxcvbnFactory } = await loadFactory()
    const common = await import('@zxcvbn-ts/language-common')
    return new ZxcvbnFactory({
      dictionary: { ...common.dictionary, ...dictionary },
      graphs: common.adjacencyGraphs,
      maxLength: MAX_EXAMINED
    })
  })

  return {
    async start () {
      await loadFactory()
    },
    async check (password, words) {
      const { score, feedback } = (await create()).check(password, [...words])
      if (score >= minimumScore) return null
      return { code: 'TOO_WEAK', message: 'Use a password that is harder to guess.', score, minimumScore, ...feedback }
    }
  }
}

const loadZxcvbn = (): Promise<Partial<Zxcvbn>> =>
  // a bundler accepts that the package is missing, because the rejection is handled here
  import('@zxcvbn-ts/core').catch((cause: unknown) => {
    throw missingPackage(cause)
  })

async function loadChecked (load: () => Promise<Partial<Zxcvbn>>): Promise<Zxcvbn> {
  const { ZxcvbnFactory } = await load()
  if (ZxcvbnFactory === undefined) throw missingPackage(undefined) // releases before 4 do not have it
  return { ZxcvbnFactory }
}

function missingPackage (cause: unknown): Error {
  return FST_USERS_INVALID_OPTION(
    ['passwordPolicy.strength', 'needs the package @zxcvbn-ts/core 4; run `npm install @zxcvbn-ts/core@4`'],
    { cause }
  )
}

/** Returns a function that does the work at its first call only. */
function once<T> (work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined
  return () => (result ??= work())
}

function isScore (value: number): boolean {
  return [1, 2, 3, 4].includes(value)
}

function isDictionary (value: unknown): boolean {
  return isObject(value) && Object.values(value).every(Array.isArray)
}
