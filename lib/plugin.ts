import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { availableStore, type Store } from './adapters/available-store.js'
import { tenantStore } from './adapters/tenant-store.js'
import {
  createAuthenticator,
  createBackend,
  createGuard,
  authenticate,
  checkGuardedRoutes,
  documentGuards
} from './authentication/index.js'
import type { Backend, BackendOptions } from './contracts/backend.js'
import type { DatabaseAdapter } from './contracts/database-adapter.js'
import type { PurposeKey } from './contracts/definition.js'
import type { EventName, UsersHook } from './contracts/events.js'
import type { Settings } from './contracts/settings.js'
import type { UsersApi } from './contracts/users-api.js'
import { otherCopy } from './copies.js'
import { FST_USERS_ALREADY_REGISTERED, FST_USERS_NAME_TAKEN, FST_USERS_NOT_READY } from './errors.js'
import { createFeatureHost } from './feature-host.js'
import { createBackground, createHookRegistry } from './hooks/index.js'
import type { CheckedOptions } from './options.js'
import { resolveOptions } from './resolve-options.js'
import {
  authRoutes,
  checkUserReply,
  completeUsers,
  documentRoutes,
  prepareScope,
  registerRoutes,
  resetPasswordRoutes,
  usersRoutes,
  verifyRoutes
} from './routes/index.js'
import { kGuard, kHost, kNames, kVersion } from './symbols.js'
import { deriveKeys, purposeTokens, type PurposeTokens } from './tokens/index.js'
import {
  createAjv,
  createUserCheck,
  createUserRows,
  createUsersService,
  userModel,
  type Rules,
  type UsersService
} from './users/index.js'
import { warnIfFileIsReadable } from './validation/file-permissions.js'
import { VERSION } from './version.js'

const DEFAULT_PLUGIN_TIMEOUT = 10_000 // milliseconds, Fastify's default

declare module 'fastify' {
  interface FastifyInstance {
    /** Functions that create, find, change and log in users. */
    users: UsersApi
  }
}

/** Objects that are created once per registration and shared by its scopes. */
interface Core {
  readonly settings: Settings
  readonly store: Store
  readonly ajv: ReturnType<typeof createAjv>
  readonly rules: Rules
  readonly service: UsersService
  /** Backends by name. Filled in list order while the scopes of the backends load. */
  readonly backends: Map<string, Backend>
  readonly names: readonly string[]
  readonly backendOptions: readonly BackendOptions[]
  keysFor(purpose: string): readonly PurposeKey[]
}

async function users (app: FastifyInstance, options: CheckedOptions): Promise<void> {
  const { settings, secrets } = resolveOptions(options, app.log)
  claimName(app, settings.name)
  const core = await createCore(app, options, settings, secrets)
  decorate(app, core)
  addLifecycleHooks(app, core, options.adapter)
  for (const backend of options.backends) await mountBackend(app, core, backend)
  await mountRoutes(app, core)
}

async function createCore (
  app: FastifyInstance,
  { adapter, backends: list, hooks: listeners = {} }: CheckedOptions,
  settings: Settings,
  secrets: readonly string[]
): Promise<Core> {
  const keysFor: Core['keysFor'] = (purpose) => deriveKeys(secrets, `${settings.name}:${purpose}`)
  // there is one key per secret, and at least one secret
  const secretsFor = (purpose: string): [string, ...string[]] =>
    keysFor(purpose).map(({ secret }) => secret) as [string, ...string[]]
  const store = availableStore(tenantStore(adapter, settings.name), app.log, storeTimeoutOf(app))
  const model = userModel(settings.schemas)
  store.define(model)

  const ajv = createAjv(settings)
  const hooks = createHookRegistry()
  // hooks.add throws for an unknown name
  for (const [name, hook] of Object.entries(listeners)) hooks.add(name as EventName, hook as UsersHook<EventName>)
  const backends = new Map<string, Backend>()
  const rules: Rules = {
    settings,
    rows: createUserRows(store, model, settings.schemas, secretsFor('stamp')),
    check: createUserCheck(ajv, settings),
    hooks,
    background: createBackground(app.log),
    tokens: await startTokens(app, settings, keysFor),
    backends,
    fingerprintKeys: secretsFor('fingerprint'),
    removals: [],
    additions: new Map()
  }
  return {
    settings,
    store,
    ajv,
    rules,
    service: createUsersService(rules),
    backends,
    names: list.map(({ name }) => name),
    backendOptions: list,
    keysFor
  }
}

/**
 * Returns how long the start waits for the store, in milliseconds. It is half of `pluginTimeout`, after which Fastify
 * aborts the start.
 */
function storeTimeoutOf ({ initialConfig: { pluginTimeout = 0 } }: FastifyInstance): number {
  return (pluginTimeout === 0 ? DEFAULT_PLUGIN_TIMEOUT : pluginTimeout) / 2
}

async function startTokens (app: FastifyInstance, settings: Settings, keysFor: Core['keysFor']): Promise<PurposeTokens> {
  let tokens: PurposeTokens | undefined
  await app.register(purposeTokens, {
    settings,
    keysFor,
    receive: (created) => {
      tokens = created
    }
  })
  if (tokens === undefined) throw FST_USERS_NOT_READY()
  return tokens
}

function decorate (app: FastifyInstance, core: Core): void {
  const {
    service,
    backends,
    rules: { rows },
    settings,
    names
  } = core
  app.decorate(kVersion, VERSION)
  app.decorate('users', service)
  app.decorate(
    kHost,
    createFeatureHost({
      ...core,
      log: app.log,
      prepareScope: (scope) => {
        prepareRouteScope(scope, app, core)
      }
    })
  )
  app.decorate('authenticate', authenticate)
  app.decorate(kGuard, createGuard(createAuthenticator(backends, rows), backends, settings, names))
  if (!app.hasRequestDecorator('user')) app.decorateRequest('user', null)
  app.decorateRequest('authentication', null)
  checkGuardedRoutes(app, names)
  if (settings.openapiSecurity) documentGuards(app, settings, names, false)
}

/** Registers a backend and its login and logout routes in a separate scope. */
async function mountBackend (app: FastifyInstance, core: Core, backend: BackendOptions): Promise<void> {
  const {
    settings,
    store,
    keysFor,
    rules: { background },
    service: users
  } = core
  await app.register(async (scope) => {
    prepareRouteScope(scope, app, core)
    const built = await createBackend(scope, backend, {
      backend: backend.name,
      settings,
      store,
      keysFor,
      background: background.run
    })
    core.backends.set(backend.name, built)
    const { enabled, prefix } = settings.routes.auth
    if (enabled) {
      await scope.register(authRoutes, { prefix: `${prefix}/${backend.name}`, users, settings, backend: built })
    }
  })
}

async function mountRoutes (app: FastifyInstance, core: Core): Promise<void> {
  const { settings, service: users } = core
  checkUserReply(settings)
  await app.register(async (scope) => {
    prepareRouteScope(scope, app, core)
    const groups = { register: registerRoutes, reset: resetPasswordRoutes, verify: verifyRoutes, users: usersRoutes }
    for (const [group, routes] of Object.entries(groups)) {
      const { enabled, prefix } = settings.routes[group as keyof typeof groups]
      if (enabled) await scope.register(routes, { prefix, users, settings })
    }
  })
}

function prepareRouteScope (
  scope: FastifyInstance,
  app: FastifyInstance,
  { ajv, settings, names, backendOptions, rules: { additions } }: Core
): void {
  prepareScope(scope, app, ajv, settings)
  documentGuards(scope, settings, names, true)
  documentRoutes(scope, app, backendOptions, settings)
  completeUsers(scope, settings, additions)
}

/**
 * Reserves the name of the tenant. Throws if the name or the scope has a tenant already, or if the scope has other
 * decorators of the same names. The reserved names are stored on the HTTP server, which all scopes share.
 */
function claimName (app: FastifyInstance, name: string): void {
  const server = app.server as typeof app.server & { [kNames]?: Set<string> }
  const names = (server[kNames] ??= new Set())
  const copies = otherCopy(app)
  if (copies !== undefined) throw copies
  if (names.has(name) || app.hasDecorator(kVersion)) throw FST_USERS_ALREADY_REGISTERED([name])
  for (const decorator of ['users', 'authenticate']) {
    if (app.hasDecorator(decorator)) throw FST_USERS_NAME_TAKEN([decorator])
  }
  if (app.hasRequestDecorator('authentication')) throw FST_USERS_NAME_TAKEN(['authentication'])
  // @fastify/jwt declares request.user too
  if (app.hasRequestDecorator('user') && !app.hasDecorator('jwt')) throw FST_USERS_NAME_TAKEN(['user'])
  names.add(name)
}

function addLifecycleHooks (
  app: FastifyInstance,
  { store, settings, rules: { hooks, background } }: Core,
  adapter: DatabaseAdapter
): void {
  app.addHook('onReady', async () => {
    await store.open()
    await warnIfFileIsReadable(adapter, settings, app.log)
    hooks.close()
  })
  app.addHook('onClose', async () => {
    await background.close()
    await store.close?.()
  })
}

/**
 * Fastify plugin for user management. Adds routes, `app.users`, `app.authenticate` and `request.user`. An invalid
 * option stops the start with an error that has a code and says what to do.
 */
export default fp(users, { name: 'fastify-users', fastify: '5.x' })
