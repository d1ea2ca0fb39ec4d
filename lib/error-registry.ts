import { isDeepStrictEqual } from 'node:util'
import type {
  DefinedErrors,
  ErrorDefinition,
  ErrorDefinitions,
  ErrorRegistry,
  ErrorTableEntry,
  UsersErrorCode
} from './contracts/errors.js'
import type { Feature } from './contracts/feature.js'
import { errorDefinitions } from './error-definitions.js'
import { createErrorFactory, FST_USERS_INVALID_OPTION } from './errors.js'
import { isObject } from './shared/values.js'

/** The properties of a feature that define its errors. */
type ErrorSource = Partial<Pick<Feature, 'name' | 'errors'>>

const WORD = /^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*$/
const MAX_WORD_LENGTH = 100
/** Words that `errorReplies` uses for errors of Fastify. */
const FASTIFY_WORDS = ['VALIDATION', 'BODY_TOO_LARGE', 'INVALID_MEDIA_TYPE']
const KEYS: Record<keyof ErrorDefinition, true> = { statusCode: true, message: true, detail: true, example: true }

/**
 * Returns the definitions and a factory for each code. Throws `FST_USERS_INVALID_OPTION` for a wrong definition.
 *
 * @example
 * export const totpErrors = defineErrors({
 *   TOTP_INVALID_CODE: { statusCode: 400, message: 'The code is wrong. Try the next one.' }
 * })
 * throw totpErrors.FST_USERS_TOTP_INVALID_CODE()
 */
export function defineErrors<const D extends ErrorDefinitions> (definitions: D): DefinedErrors<D> {
  checkDefinitions('defineErrors', definitions)
  const factories = Object.entries(definitions).map(
    ([word, definition]) => [`FST_USERS_${word}`, createErrorFactory(word, definition)] as const
  )
  // the keys are those that the mapped type derives
  return { ...Object.fromEntries(factories), definitions } as unknown as DefinedErrors<D>
}

/**
 * Returns the errors of the package and of the features. Throws `FST_USERS_INVALID_OPTION` if a definition is wrong, or
 * if two definitions of one code differ.
 */
export function createErrorRegistry (features: readonly ErrorSource[] = []): ErrorRegistry {
  const registry = new Map<string, ErrorDefinition>(Object.entries(errorDefinitions))
  for (const { name = '', errors = {} } of features) {
    const option = `features["${name}"].errors`
    checkDefinitions(option, errors)
    for (const [word, definition] of Object.entries(errors)) {
      const known = registry.get(word)
      if (known !== undefined && !isDeepStrictEqual(withDetail(word, known), withDetail(word, definition))) {
        throw FST_USERS_INVALID_OPTION([option, `defines the code ${word}, which another part defines differently`])
      }
      registry.set(word, definition)
    }
  }
  return registry
}

/**
 * Returns all error codes of the package and of the features with status, message and default `detail`, in the order of
 * their definition.
 */
export function errorTable (features: readonly ErrorSource[] = []): readonly ErrorTableEntry[] {
  return [...createErrorRegistry(features)].map(([word, { statusCode, message, detail = word }]) => ({
    code: `FST_USERS_${word}` as UsersErrorCode, // features declare their codes by interface merging
    statusCode,
    message,
    detail
  }))
}

function withDetail (word: string, definition: ErrorDefinition): ErrorDefinition {
  return { detail: word, example: undefined, ...definition }
}

function checkDefinitions (option: string, definitions: unknown): void {
  if (!isObject(definitions)) throw invalidError(option, 'must be an object with a definition for each code')
  for (const [word, definition] of Object.entries(definitions)) checkDefinition(option, word, definition)
}

function checkDefinition (option: string, word: string, definition: unknown): void {
  if (!WORD.test(word) || word.length > MAX_WORD_LENGTH) {
    throw invalidError(option, `has the code "${word}"; codes have upper-case letters, digits and "_", without FST_USERS_`)
  }
  if (word.startsWith('FST_')) throw invalidError(option, `has the code "${word}"; the prefix is added to it`)
  if (FASTIFY_WORDS.includes(word)) throw invalidError(option, `has the code "${word}", which stands for an error of Fastify`)
  if (!isObject(definition)) throw invalidError(`${option}.${word}`, 'must be an object with statusCode and message')
  const unknown = Object.keys(definition).find((key) => !Object.hasOwn(KEYS, key))
  if (unknown !== undefined) throw invalidError(`${option}.${word}`, `has no property "${unknown}"`)
  const { statusCode, message, detail } = definition
  if (!Number.isInteger(statusCode) || Number(statusCode) < 400 || Number(statusCode) > 599) {
    throw invalidError(`${option}.${word}.statusCode`, 'must be a whole number from 400 to 599')
  }
  if (typeof message !== 'string' || message.trim() === '') {
    throw invalidError(`${option}.${word}.message`, 'must be a text')
  }
  if (detail !== undefined && typeof detail !== 'string') throw invalidError(`${option}.${word}.detail`, 'must be a text')
}

function invalidError (option: string, reason: string): Error {
  return FST_USERS_INVALID_OPTION([option, reason])
}
