import type { FastifyRequest } from 'fastify'
import type { MaybePromise } from '../contracts/database-adapter.js'
import { FST_USERS_GUARD_MISUSED, FST_USERS_UNKNOWN_BACKEND } from '../errors.js'

/** What a guard asks for. */
export interface AuthenticateOptions {
  /** Anonymous requests pass, with `request.user` null; so do those that the flags would refuse (false). */
  optional?: boolean
  /** The user must be active (true). */
  active?: boolean
  /** The user must be verified, else 403 (false). */
  verified?: boolean
  /** The user must be a superuser, else 403 (false). */
  superuser?: boolean
  /** Names of the backends that count, or a function that gives them for a request (all). */
  backends?: readonly string[] | ((request: FastifyRequest) => MaybePromise<readonly string[]>)
}

/** Options of a guard, complete. */
export interface GuardOptions extends Required<Omit<AuthenticateOptions, 'backends'>> {
  readonly backends: NonNullable<AuthenticateOptions['backends']> | null
}

const FLAGS: readonly string[] = ['optional', 'active', 'verified', 'superuser']

/**
 * Checks the options of a guard, so that a mistyped one cannot leave a route open. Throws `FST_USERS_GUARD_MISUSED`.
 */
export function readGuardOptions (options: AuthenticateOptions = {}): GuardOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw misused('takes an object of options')
  }
  if ('raw' in options && 'headers' in options) {
    throw misused('got a request without a reply; call it with (request, reply, options)')
  }
  for (const [key, value] of Object.entries(options)) {
    if (key !== 'backends' && !FLAGS.includes(key)) {
      throw misused(`has no option "${key}"; there are ${FLAGS.join(', ')} and backends`)
    }
    if (key !== 'backends' && typeof value !== 'boolean') throw misused(`option "${key}" must be true or false`)
  }
  const { optional = false, active = true, verified = false, superuser = false, backends = null } = options
  if (backends !== null && typeof backends !== 'function' && !isNameList(backends)) {
    throw misused('option "backends" must be a list of names or a function')
  }
  return Object.freeze({ optional, active, verified, superuser, backends })
}

/**
 * Checks what a request's guard asks for: no list would else mean all. Throws `FST_USERS_GUARD_MISUSED`,
 * `FST_USERS_UNKNOWN_BACKEND`.
 */
export function checkBackendNames (names: readonly string[], known: readonly string[]): readonly string[] {
  if (!Array.isArray(names)) throw misused('the function in "backends" must give a list of names')
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
