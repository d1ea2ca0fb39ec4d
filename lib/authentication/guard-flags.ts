import { types } from 'node:util'
import type { FastifyRequest } from 'fastify'
import type { Authentication, GuardFlag } from '../contracts/authentication.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import { FST_USERS_FORBIDDEN, FST_USERS_INVALID_OPTION } from '../errors.js'
import { isObject } from '../shared/values.js'
import { CORE_FLAGS, guardMisused } from './guard-options.js'

/** The flags of the features of one registration, by name. */
export type GuardFlagRegistry = ReadonlyMap<string, GuardFlag>

/** A flag with the value that a guard has for it. */
export interface GivenFlag {
  readonly name: string
  readonly flag: GuardFlag
  readonly value: unknown
}

/** The properties of a feature that define its guard flags. */
interface FlagSource {
  readonly name: string
  readonly guardFlags?: Readonly<Record<string, GuardFlag>>
}

const NAME = /^[a-z][A-Za-z0-9]{0,63}$/
const RESERVED = new Set([...CORE_FLAGS, 'backends'])

/**
 * Returns the flags of all features. Throws `FST_USERS_INVALID_OPTION` for a wrong definition, for the name of a flag
 * of the plugin, and for a name that two features define differently.
 */
export function createGuardFlags (features: readonly FlagSource[] = []): GuardFlagRegistry {
  const registry = new Map<string, GuardFlag>()
  for (const { name: feature, guardFlags = {} } of features) {
    const option = `features["${feature}"].guardFlags`
    if (!isObject(guardFlags)) throw FST_USERS_INVALID_OPTION([option, 'must be an object with a flag for each name'])
    for (const [name, flag] of Object.entries(guardFlags)) {
      checkFlag(`${option}.${name}`, name, flag)
      if ((registry.get(name) ?? flag) !== flag) {
        throw FST_USERS_INVALID_OPTION([option, `defines the flag ${name}, which another feature defines differently`])
      }
      registry.set(name, flag)
    }
  }
  return registry
}

/**
 * Returns a function that returns the flags of a guard with their definitions. It throws `FST_USERS_GUARD_MISUSED` for
 * an unknown flag and for a wrong value. Results are kept per guard.
 */
export function createFlagReader (
  registry: GuardFlagRegistry
): (given: ReadonlyMap<string, unknown>) => readonly GivenFlag[] {
  const known = new WeakMap<ReadonlyMap<string, unknown>, readonly GivenFlag[]>()
  return (given) => {
    let flags = known.get(given)
    if (flags === undefined) {
      flags = [...given].map(([name, value]) => readFlag(registry, name, value))
      known.set(given, flags)
    }
    return flags
  }
}

/** Returns the error of the first flag that refuses the request, or null. */
export async function findFlagRefusal (
  flags: readonly GivenFlag[],
  authentication: Authentication,
  request: FastifyRequest
): Promise<Error | null> {
  for (const { name, flag, value } of flags) {
    const accepted: unknown = await (flag.accepts(authentication, value, request) as MaybePromise<unknown>)
    if (accepted === true) continue
    if (accepted === false) return FST_USERS_FORBIDDEN()
    if (isError(accepted)) return accepted
    throw guardMisused(`the check of the flag "${name}" must return true, false or an error`)
  }
  return null
}

function readFlag (registry: GuardFlagRegistry, name: string, value: unknown): GivenFlag {
  const flag = registry.get(name)
  if (flag === undefined) {
    const names = [...CORE_FLAGS, ...registry.keys()].join(', ')
    throw guardMisused(`there is no option "${name}"; options are ${names} and backends`)
  }
  const reason: unknown = flag.check(value)
  if (reason !== null) throw guardMisused(`option "${name}" ${typeof reason === 'string' ? reason : 'is not valid'}`)
  return { name, flag, value }
}

function checkFlag (option: string, name: string, flag: unknown): void {
  if (!NAME.test(name) || RESERVED.has(name)) {
    throw FST_USERS_INVALID_OPTION([option, 'must have a name of its own: letters and digits, the first in lower case'])
  }
  const { check, accepts, scopes } = isObject(flag) ? flag : {}
  if (typeof check !== 'function' || typeof accepts !== 'function') {
    throw FST_USERS_INVALID_OPTION([option, 'must be an object with the functions check and accepts'])
  }
  if (scopes !== undefined && typeof scopes !== 'function') {
    throw FST_USERS_INVALID_OPTION([`${option}.scopes`, 'must be a function'])
  }
}

/** Returns true also for errors of another realm. */
function isError (value: unknown): value is Error {
  return value instanceof Error || types.isNativeError(value)
}
