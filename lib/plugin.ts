import type { FastifyInstance } from 'fastify'
import {
  authenticate,
  checkGuardedRoutes,
  createAuthenticator,
  createGuard,
  createGuardFlags,
  documentGuards
} from './authentication/index.js'
import type { DatabaseAdapter } from './contracts/database-adapter.js'
import type { UsersApi } from './contracts/users-api.js'
import { otherCopy } from './copies.js'
import { createCore, type Core } from './core.js'
import { FST_USERS_ALREADY_REGISTERED, FST_USERS_NAME_TAKEN } from './errors.js'
import { backendNames } from './feature-backends.js'
import {
  mountBackend,
  mountCaptcha,
  mountFeature,
  mountFeatureBackends,
  mountJwks,
  mountLoginSteps,
  mountMailPages,
  mountRoutes,
  mountSecondFactors,
  mountTrustedDevices
} from './mount.js'
import type { CheckedOptions } from './options.js'
import packages from './packages.cjs'
import { resolveOptions } from './resolve-options.js'
import { countKindsOf } from './sessions/index.js'
import { kGuard, kNames, kVersion } from './symbols.js'
import { warnIfFileIsReadable } from './shared/file-permissions.js'
import { VERSION } from './version.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Functions that create, find, change and log in users. */
    users: UsersApi
  }
}

async function users (app: FastifyInstance, options: CheckedOptions): Promise<void> {
  const { settings, secrets } = resolveOptions(options, app.log)
  claimName(app, settings.name)
  await settings.validatePassword.start?.()
  const core = await createCore(app, options, settings, secrets)
  decorate(app, core)
  addLifecycleHooks(app, core, options.adapter)
  for (const backend of options.backends) await mountBackend(app, core, backend)
  await mountFeatureBackends(app, core)
  await mountCaptcha(app, core)
  await mountRoutes(app, core)
  await mountJwks(app, core)
  for (const feature of core.features) await mountFeature(app, core, feature)
  await mountLoginSteps(app, core)
  await mountSecondFactors(app, core)
  await mountTrustedDevices(app, core)
  await mountMailPages(app, core)
  // Fastify runs onClose hooks in reverse order: background work ends before the features close
  app.addHook('onClose', () => core.rules.background.close())
}

function decorate (app: FastifyInstance, core: Core): void {
  const {
    service,
    backends,
    rules,
    settings,
    caching,
    backendOptions,
    featureBackends,
    features
  } = core
  const { rows, audit, watchers } = rules
  app.decorate(kVersion, VERSION)
  app.decorate('users', service)
  app.decorate('authenticate', authenticate)
  const flags = createGuardFlags(features)
  const all = { own: backends, ofFeatures: featureBackends }
  const authenticator = createAuthenticator(all, { rows, cache: caching?.cache ?? null })
  const names = backendNames(backendOptions, features)
  const countKinds = (methods: readonly string[]): number => countKindsOf(rules, methods)
  const services = { audit, watchers, countKinds }
  app.decorate(kGuard, createGuard(authenticator, backends, settings, names, flags, services))
  if (!app.hasRequestDecorator('user')) app.decorateRequest('user', null)
  app.decorateRequest('authentication', null)
  checkGuardedRoutes(app, app[kGuard])
  if (settings.openapiSecurity) documentGuards(app, settings, app[kGuard], false)
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
  { store, caching, settings, rules: { hooks, watchers } }: Core,
  adapter: DatabaseAdapter
): void {
  app.addHook('onReady', async () => {
    await store.open()
    await warnIfFileIsReadable(adapter, settings, app.log)
    hooks.close()
    caching?.start()
  })
  app.addHook('preClose', async () => {
    watchers.close() // the server waits for open connections
  })
  // before onClose hooks of the application, which may wait for the connection of the channel
  if (caching !== null) app.addHook('preClose', () => caching.stop())
  app.addHook('onClose', async () => {
    await store.close?.()
  })
}

/**
 * Fastify plugin for user management. Adds routes, `app.users`, `app.authenticate` and `request.user`. An invalid
 * option stops the start with an error that has a code and says what to do.
 */
export default packages.fp(users, { name: 'fastify-users', fastify: '5.x' })
