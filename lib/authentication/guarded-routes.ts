import type { FastifyInstance, RouteOptions } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_UNDEFINED_HOOK } from '../errors.js'
import { guardOptionsOf } from './authenticate.js'
import type { Guard } from './guard.js'
import type { GuardOptions } from './guard-options.js'

const REQUEST_HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

/**
 * Checks every route that is added to the scope from now on, and the hooks of the scope and its children when the
 * application is ready. Throws `FST_USERS_UNDEFINED_HOOK` for an undefined hook of a route, which may be a missing
 * guard, `FST_USERS_UNKNOWN_BACKEND` for a guard with an unknown backend, and `FST_USERS_GUARD_MISUSED` for a guard
 * with an unknown flag.
 */
export function checkGuardedRoutes (scope: FastifyInstance, guard: Guard): void {
  scope.addHook('onRoute', (route) => {
    const undefinedHook = REQUEST_HOOKS.find((hook) => hook in route && [route[hook]].flat().includes(undefined))
    if (undefinedHook !== undefined) {
      throw FST_USERS_UNDEFINED_HOOK([`${String(route.method)} ${route.url}`, undefinedHook])
    }
    for (const options of guardsOf(route)) guard.checkOptions(options)
  })
  const scopes = [scope]
  scope.addHook('onRegister', (child) => {
    scopes.push(child)
  })
  scope.addHook('onReady', async () => {
    for (const options of scopes.flatMap(guardsOfScope)) guard.checkOptions(options)
  })
}

/**
 * Adds to the API documentation of a guarded route what the route requires: the accepted backends with the scopes
 * (OpenAPI 3.1, Security Requirement Object), and the flags in the extension `x-authorization`. With `isPluginScope`,
 * routes without a guard are documented as open to everyone.
 */
export function documentGuards (
  scope: FastifyInstance,
  settings: Settings,
  guard: Guard,
  isPluginScope: boolean
): void {
  scope.addHook('onRoute', (route) => {
    const guards = guardsOf(route)
    const required = guards.filter(({ optional }) => !optional)
    const [first] = required.length > 0 ? required : guards
    if (first === undefined && !isPluginScope) return
    if ((route.schema as { security?: unknown } | undefined)?.security !== undefined) return
    const scopes = required.flatMap((options) =>
      guard.checkOptions(options).flatMap(({ flag, value }) => flag.scopes?.(value) ?? [])
    )
    const accepted = first === undefined ? [] : guard.acceptedBackends(first)
    const security = first === undefined ? [] : securityRequirements(first, settings, accepted, scopes)
    const flags = Object.assign({}, ...required.map(documentedFlags)) as object
    route.schema = {
      ...(Object.keys(flags).length === 0 ? {} : { 'x-authorization': flags }),
      ...route.schema,
      ...{ security }
    }
  })
}

function securityRequirements (
  { optional }: GuardOptions,
  settings: Settings,
  accepted: readonly string[],
  scopes: readonly string[]
): Record<string, string[]>[] {
  const required = [...new Set(scopes)]
  return [...(optional ? [{}] : []), ...accepted.map((name) => ({ [schemeName(settings, name)]: required }))]
}

/** Returns the flags that differ from their defaults. Values that JSON cannot express are documented as true. */
function documentedFlags ({ active, verified, superuser, stepUp, flags }: GuardOptions): Record<string, unknown> {
  return {
    ...(active ? {} : { active }),
    ...(verified ? { verified } : {}),
    ...(superuser ? { superuser } : {}),
    ...(stepUp === null || stepUp.maxAge === null ? {} : { fresh: stepUp.maxAge }),
    ...(stepUp === null || stepUp.methods === null ? {} : { methods: stepUp.methods }),
    ...Object.fromEntries([...(flags ?? [])].map(([name, value]) => [name, toJson(value)]))
  }
}

function toJson (value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(value)) as unknown
  } catch {
    return true
  }
}

/** Returns the name of a backend's security scheme: `<backend>`, or `<name>-<backend>` if `name` is not the default. */
export function schemeName ({ name }: Settings, backend: string): string {
  return name === 'users' ? backend : `${name}-${backend}`
}

function guardsOf ({ onRequest, preParsing, preValidation, preHandler }: RouteOptions): GuardOptions[] {
  return guardsAmong([onRequest, preParsing, preValidation, preHandler].flat())
}

/**
 * Returns the guards that were added to a scope with `addHook`. Fastify has no public function for them. If its
 * internal property has another name, the guards are still checked when a request arrives.
 */
function guardsOfScope (scope: FastifyInstance): GuardOptions[] {
  const symbol = Object.getOwnPropertySymbols(scope).find(({ description }) => description === 'fastify.hooks')
  const hooks = symbol === undefined ? {} : ((scope as unknown as Record<symbol, object>)[symbol] ?? {})
  return guardsAmong(REQUEST_HOOKS.flatMap((name) => (hooks as Partial<Record<string, unknown[]>>)[name] ?? []))
}

function guardsAmong (hooks: readonly unknown[]): GuardOptions[] {
  return hooks.map(guardOptionsOf).filter((options) => options !== undefined)
}
