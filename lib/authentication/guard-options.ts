import type { FastifyRequest } from 'fastify'
import type { MaybePromise } from '../contracts/database-adapter.js'
import { FST_USERS_GUARD_MISUSED, FST_USERS_UNKNOWN_BACKEND } from '../errors.js'

/** Options of `authenticate`. */
export interface AuthenticateOptions {
  /** Requests that the guard would refuse pass with `request.user` null. Default: false. */
  optional?: boolean
  /** The user must be active; otherwise the reply is 401. Default: true. */
  active?: boolean
  /** The user must be verified; otherwise the reply is 403. Default: false. */
  verified?: boolean
  /** The user must be a superuser; otherwise the reply is 403. Default: false. */
  superuser?: boolean
  /** Names of the accepted backends, or a function that returns them for a request. Default: all backends. */
  backends?: readonly string[] | ((request: FastifyRequest) => MaybePromise<readonly string[]>)
}

/** Options of a guard with all defaults. `backends` is null for all backends. */
export interface GuardOptions extends Required<Omit<AuthenticateOptions, 'backends'>> {
  readonly backends: NonNullable<AuthenticateOptions['backends']> | null
}

const FLAGS: readonly string[] = ['optional', 'active', 'verified', 'superuser']

/**
 * Returns the options of a guard with all defaults. A mistyped option could leave a route open, so it throws
 * `FST_USERS_GUARD_MISUSED`.
 */
export function readGuardOptions (options: AuthenticateOptions = {}): GuardOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw misused('the options must be an object')
  }
  if ('raw' in options && 'headers' in options) {
    throw misused('the reply is missing; call it with (request, reply, options)')
  }
  for (const [key, value] of Object.entries(options)) {
    if (key !== 'backends' && !FLAGS.includes(key)) {
      throw misused(`there is no option "${key}"; options are ${FLAGS.join(', ')} and backends`)
    }
    if (key !== 'backends' && typeof value !== 'boolean') throw misused(`option "${key}" must be true or false`)
  }
  const { optional = false, active = true, verified = false, superuser = false, backends = null } = options
  if (backends !== null && typeof backends !== 'function' && !isNameList(backends)) {
    throw misused('option "backends" must be a list of at least one backend name, or a function')
  }
  return Object.freeze({ optional, active, verified, superuser, backends })
}

/**
 * Checks the backend names of a guard for one request. Throws `FST_USERS_GUARD_MISUSED` if a `backends` function
 * returned no list, because a missing list must not mean all backends. Throws `FST_USERS_UNKNOWN_BACKEND`.
 */
export function checkBackendNames (names: readonly string[], known: readonly string[]): readonly string[] {
  if (!Array.isArray(names)) throw misused('the function in "backends" must return a list of backend names')
  const unknown = names.find((name: string) => !known.includes(name))
  if (unknown !== undefined) throw FST_USERS_UNKNOWN_BACKEND([String(unknown), known.join(', ')])
  return names
}

function isNameList (value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string')
}

function misused (reason: string): Error {
  return FST_USERS_GUARD_MISUSED([reason])
}
