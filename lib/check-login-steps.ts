import type { Feature, FeatureParts } from './contracts/feature.js'
import type { LoginStep } from './contracts/login-step.js'
import type { Settings } from './contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'
import { MAX_STEP_SECONDS } from './sessions/index.js'
import { checkBoolean, checkKnownKeys, checkObject, checkOption, isName } from './shared/option-checks.js'
import { isFunction } from './shared/values.js'

const STEP_KEYS: Record<keyof LoginStep, true> = {
  name: true,
  group: true,
  reauthenticates: true,
  loginOnly: true,
  summary: true,
  lifetimeSeconds: true,
  needed: true,
  challenge: true,
  body: true,
  errors: true,
  verify: true
}

/**
 * Returns the names of the login steps of all features. Throws `FST_USERS_INVALID_OPTION` if a name is not valid or
 * occurs twice.
 */
export function readStepNames (features: readonly Feature[] = []): readonly string[] {
  const names = new Set<string>()
  for (const { name: feature, loginSteps = [] } of features) {
    const option = `features["${feature}"].loginSteps`
    checkOption(option, loginSteps, Array.isArray, 'must be a list of names')
    for (const name of loginSteps) {
      checkOption(option, name, isName, 'must contain names: a lower-case letter, then up to 31 letters, digits, - or _')
      checkOption(option, name, (value) => !names.has(value), `has the name "${name}" of another login step`)
      names.add(name)
    }
  }
  return [...names]
}

/**
 * Checks the login steps that a feature returned from `setup`. They must be those that `loginSteps` of the feature
 * names: a missing one would let users skip it.
 */
export function checkLoginSteps (
  { name, loginSteps: declared = [] }: Feature,
  { loginSteps: steps = [] }: FeatureParts,
  settings: Settings
): readonly LoginStep[] {
  const option = `features["${name}"].setup().loginSteps`
  checkOption(option, steps, Array.isArray, 'must be a list of login steps')
  for (const step of steps) checkLoginStep(option, step, settings)
  const returned = steps.map((step) => step.name)
  if ([...returned].sort().join() !== [...declared].sort().join()) {
    const names = declared.length === 0 ? 'none' : declared.join(', ')
    throw FST_USERS_INVALID_OPTION([option, `must contain the steps that the feature lists in loginSteps: ${names}`])
  }
  return steps
}

function checkLoginStep (option: string, step: LoginStep, { errors }: Settings): void {
  checkObject(option, step)
  const path = `${option}["${String(step.name)}"]`
  checkKnownKeys(`${path}.`, step, Object.keys(STEP_KEYS))
  const { group = step.name, lifetimeSeconds = 1, challenge = () => ({}), errors: words = [] } = step
  checkOption(`${path}.group`, group, (value) => typeof value === 'string' && value !== '', 'must be a name')
  for (const [key, value] of Object.entries({ needed: step.needed, challenge, verify: step.verify })) {
    checkOption(`${path}.${key}`, value, isFunction, 'must be a function')
  }
  checkOption(
    `${path}.lifetimeSeconds`,
    lifetimeSeconds,
    (value) => Number.isInteger(value) && value > 0 && value <= MAX_STEP_SECONDS,
    `must be a whole number of seconds from 1 to ${MAX_STEP_SECONDS}`
  )
  checkBoolean(`${path}.reauthenticates`, step.reauthenticates, false)
  checkBoolean(`${path}.loginOnly`, step.loginOnly, false)
  checkOption(`${path}.body`, step.body, isAnswerSchema, 'must be the schema of an object without a property ticket')
  checkOption(`${path}.errors`, words, Array.isArray, 'must be a list of codes')
  const unknown = words.find((word) => !errors.has(word))
  if (unknown !== undefined) throw FST_USERS_INVALID_OPTION([`${path}.errors`, `there is no error code ${unknown}`])
}

function isAnswerSchema (body: unknown): boolean {
  const { type, properties } = (body ?? {}) as Partial<LoginStep['body']>
  return type === 'object' && typeof properties === 'object' && !('ticket' in properties)
}
