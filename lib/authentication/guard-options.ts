import type { AuthenticateOptions } from '../contracts/authentication.js'
import { FST_USERS_GUARD_MISUSED, FST_USERS_UNKNOWN_BACKEND } from '../errors.js'
import type { StepUp } from '../sessions/index.js'

/** Options of a guard with all defaults. */
export interface GuardOptions {
  readonly optional: boolean
  readonly active: boolean
  readonly verified: boolean
  readonly superuser: boolean
  /** The guard may use the user cache. */
  readonly cached: boolean
  /** Null for all backends. */
  readonly backends: NonNullable<AuthenticateOptions['backends']> | null
  /** The flags `fresh` and `methods`. Null if the guard has neither, as most guards. */
  readonly stepUp: StepUp | null
  /** Flags of features with their values. Null if there are none, as for most guards. */
  readonly flags: ReadonlyMap<string, unknown> | null
}

/** Flags of the plugin, in the order of the documentation. */
export const CORE_FLAGS: readonly string[] = [
  'optional',
  'active',
  'verified',
  'superuser',
  'cached',
  'fresh',
  'methods'
]

/** The greatest number of kinds of factors that a guard can require. */
const MAX_KINDS = 2

/**
 * Returns the options of a guard with all defaults. A wrong option could leave a route open, so it throws
 * `FST_USERS_GUARD_MISUSED`. Other names than those of the plugin are kept: the registration knows the flags of its
 * features and refuses all others.
 */
export function readGuardOptions (options: AuthenticateOptions = {}): GuardOptions {
  if (typeof options !== 'object' || options === null) throw guardMisused('the options must be an object')
  if ('raw' in options && 'headers' in options) {
    throw guardMisused('the reply is missing; call it with (request, reply, options)')
  }
  if (!isPlainObject(options)) throw guardMisused('the options must be a plain object')
  const flags = new Map<string, unknown>()
  for (const key of Reflect.ownKeys(options)) {
    if (typeof key === 'symbol') throw guardMisused('the options must not have symbols as names')
    const value: unknown = options[key as keyof typeof options]
    if (key === 'backends' || key === 'fresh' || key === 'methods') continue
    if (!CORE_FLAGS.includes(key)) flags.set(key, value)
    else if (typeof value !== 'boolean') throw guardMisused(`option "${key}" must be true or false`)
  }
  const { optional = false, active = true, verified = false, superuser = false } = options
  const { cached = true, backends = null } = options
  if (backends !== null && typeof backends !== 'function' && !isNameList(backends)) {
    throw guardMisused('option "backends" must be a list of at least one backend name, or a function')
  }
  return Object.freeze({
    optional,
    active,
    verified,
    superuser,
    cached,
    backends,
    stepUp: readStepUp(options),
    flags: flags.size === 0 ? null : flags
  })
}

/** Returns the flags `fresh` and `methods`. Both must be whole numbers, so that a mistake leaves no route open. */
function readStepUp ({ fresh, methods }: AuthenticateOptions): StepUp | null {
  if (fresh !== undefined && !(Number.isSafeInteger(fresh) && fresh > 0)) {
    throw guardMisused('option "fresh" must be a whole number of seconds above 0')
  }
  if (methods !== undefined && !(Number.isInteger(methods) && methods >= 1 && methods <= MAX_KINDS)) {
    throw guardMisused(`option "methods" must be a number of kinds of factors: 1 or ${MAX_KINDS}`)
  }
  return fresh === undefined && methods === undefined ? null : { maxAge: fresh ?? null, methods: methods ?? null }
}

/**
 * Checks the backend names of a guard for one request. Throws `FST_USERS_GUARD_MISUSED` if a `backends` function
 * returned no list, because a missing list must not mean all backends. Throws `FST_USERS_UNKNOWN_BACKEND`.
 */
export function checkBackendNames (names: readonly string[], known: readonly string[]): readonly string[] {
  if (!Array.isArray(names)) throw guardMisused('the function in "backends" must return a list of backend names')
  const unknown = names.find((name: string) => !known.includes(name))
  if (unknown !== undefined) throw FST_USERS_UNKNOWN_BACKEND([String(unknown), known.join(', ')])
  return names
}

/** Returns true for objects without inherited properties, which the checks of the options would not see. */
function isPlainObject (value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function isNameList (value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string')
}

/** Creates the error for a guard that is used in a wrong way. */
export function guardMisused (reason: string): Error {
  return FST_USERS_GUARD_MISUSED([reason])
}
