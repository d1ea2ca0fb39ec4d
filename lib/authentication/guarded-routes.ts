import type { FastifyInstance, RouteOptions } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_UNDEFINED_HOOK, FST_USERS_UNKNOWN_BACKEND } from '../errors.js'
import { guardOptionsOf } from './authenticate.js'
import type { GuardOptions } from './guard-options.js'

const REQUEST_HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

/**
 * Checks every route that is added to the scope from now on. Throws `FST_USERS_UNDEFINED_HOOK` for an undefined hook,
 * which may be a missing guard, and `FST_USERS_UNKNOWN_BACKEND` for a guard that names an unknown backend.
 */
export function checkGuardedRoutes (scope: FastifyInstance, names: readonly string[]): void {
  scope.addHook('onRoute', (route) => {
    const undefinedHook = REQUEST_HOOKS.find((hook) => hook in route && [route[hook]].flat().includes(undefined))
    if (undefinedHook !== undefined) {
      throw FST_USERS_UNDEFINED_HOOK([`${String(route.method)} ${route.url}`, undefinedHook])
    }
    for (const { backends } of guardsOf(route)) {
      const unknown = Array.isArray(backends) ? backends.find((name: string) => !names.includes(name)) : undefined
      if (unknown !== undefined) throw FST_USERS_UNKNOWN_BACKEND([unknown, names.join(', ')])
    }
  })
}

/**
 * Adds the backends that a guarded route accepts to its API documentation (OpenAPI 3.1, Security Requirement Object).
 * With `isPluginScope`, routes without a guard are documented as open to everyone.
 */
export function documentGuards (
  scope: FastifyInstance,
  settings: Settings,
  names: readonly string[],
  isPluginScope: boolean
): void {
  scope.addHook('onRoute', (route) => {
    const guards = guardsOf(route)
    const guard = guards.find(({ optional }) => !optional) ?? guards[0]
    if (guard === undefined && !isPluginScope) return
    if ((route.schema as { security?: unknown } | undefined)?.security !== undefined) return
    const security = guard === undefined ? [] : securityRequirements(guard, settings, names)
    route.schema = { ...route.schema, ...{ security } }
  })
}

function securityRequirements (
  { backends, optional }: GuardOptions,
  settings: Settings,
  names: readonly string[]
): Record<string, string[]>[] {
  const accepted = Array.isArray(backends) ? (backends as string[]) : names
  return [...(optional ? [{}] : []), ...accepted.map((name) => ({ [schemeName(settings, name)]: [] }))]
}

/** Returns the name of a backend's security scheme: `<backend>`, or `<name>-<backend>` if `name` is not the default. */
export function schemeName ({ name }: Settings, backend: string): string {
  return name === 'users' ? backend : `${name}-${backend}`
}

function guardsOf ({ onRequest, preParsing, preValidation, preHandler }: RouteOptions): GuardOptions[] {
  return [onRequest, preParsing, preValidation, preHandler]
    .flat()
    .map(guardOptionsOf)
    .filter((options) => options !== undefined)
}
