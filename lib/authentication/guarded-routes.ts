import type { FastifyInstance, RouteOptions } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_UNDEFINED_HOOK, FST_USERS_UNKNOWN_BACKEND } from '../errors.js'
import { guardOptionsOf } from './guard.js'
import type { GuardOptions } from './guard-options.js'

const REQUEST_HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

/**
 * Checks the routes that are added in the scope from now on: no hook that could be a guard is undefined, and guards
 * name
 * backends that exist. Throws `FST_USERS_UNDEFINED_HOOK`, `FST_USERS_UNKNOWN_BACKEND`.
 */
export function checkGuardedRoutes (scope: FastifyInstance, names: readonly string[]): void {
  scope.addHook('onRoute', (route) => {
    const open = REQUEST_HOOKS.find((hook) => hook in route && [route[hook]].flat().includes(undefined))
    if (open !== undefined) throw FST_USERS_UNDEFINED_HOOK([`${String(route.method)} ${route.url}`, open])
    for (const { backends } of guardsOf(route)) {
      const unknown = Array.isArray(backends) ? backends.find((name: string) => !names.includes(name)) : undefined
      if (unknown !== undefined) throw FST_USERS_UNKNOWN_BACKEND([unknown, names.join(', ')])
    }
  })
}

/**
 * Tells the API document which backends a guarded route accepts (OpenAPI 3.1, Security Requirement Object), and, where
 * all routes are ours, that the others are open.
 */
export function documentGuards (
  scope: FastifyInstance,
  settings: Settings,
  names: readonly string[],
  ours: boolean
): void {
  scope.addHook('onRoute', (route) => {
    const guards = guardsOf(route)
    const guard = guards.find(({ optional }) => !optional) ?? guards[0]
    if (
      (guard === undefined && !ours) ||
      (route.schema as { security?: unknown } | undefined)?.security !== undefined
    ) {
      return
    }
    const security = guard === undefined ? [] : alternatives(guard, settings, names)
    route.schema = { ...route.schema, ...{ security } }
  })
}

function alternatives (
  { backends, optional }: GuardOptions,
  settings: Settings,
  names: readonly string[]
): Record<string, string[]>[] {
  const accepted = Array.isArray(backends) ? (backends as string[]) : names
  return [...(optional ? [{}] : []), ...accepted.map((name) => ({ [schemeName(settings, name)]: [] }))]
}

/** Name of a backend's security scheme: its own, with the registration's in front when that is not the default. */
export function schemeName ({ name }: Settings, backend: string): string {
  return name === 'users' ? backend : `${name}-${backend}`
}

function guardsOf ({ onRequest, preParsing, preValidation, preHandler }: RouteOptions): GuardOptions[] {
  return [onRequest, preParsing, preValidation, preHandler]
    .flat()
    .map(guardOptionsOf)
    .filter((options) => options !== undefined)
}
