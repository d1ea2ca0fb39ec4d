import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { availableStore, type Store } from './adapters/available-store.js'
import { createAuthenticator, createBackend, createGuard, authenticate, checkGuardedRoutes, documentGuards } from './authentication/index.js'
import type { Backend } from './contracts/backend.js'
import type { EventName, UsersHook } from './contracts/events.js'
import type { Settings } from './contracts/settings.js'
import type { UsersApi } from './contracts/users-api.js'
import { FST_USERS_ALREADY_REGISTERED, FST_USERS_NOT_READY } from './errors.js'
import { createBackground, createHookRegistry, type Background } from './hooks/index.js'
import { resolveOptions, type CheckedOptions } from './options.js'
import { authRoutes, prepareScope, registerRoutes, resetPasswordRoutes, usersRoutes, verifyRoutes } from './routes/index.js'
import { kGuard, kNames } from './symbols.js'
import { deriveKeys, purposeTokens, type PurposeTokens } from './tokens/index.js'
import { createAjv, createUserCheck, createUserRows, createUsersService, userModel, type Rules } from './users/index.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The rules of the registered users. */
    users: UsersApi
  }
}

async function users (app: FastifyInstance, options: CheckedOptions): Promise<void> {
  const { settings, secrets } = resolveOptions(options, app.log)
  claimName(app, settings.name)

  const store = availableStore(options.adapter)
  const model = userModel(settings.schemas)
  store.define(model)
  const keysFor = (purpose: string): ReturnType<typeof deriveKeys> => deriveKeys(secrets, `${settings.name}:${purpose}`)
  const secretsFor = (purpose: string): string[] => keysFor(purpose).map(({ secret }) => secret)

  const ajv = createAjv()
  const rows = createUserRows(store, model, settings.schemas, secretsFor('stamp'))
  const hooks = createHookRegistry()
  for (const [name, hook] of Object.entries(options.hooks ?? {})) hooks.add(name as EventName, hook as UsersHook<EventName>)     // add checks the name
  const background = createBackground(app.log)
  const backends = new Map<string, Backend>()
  const tokens = await startTokens(app, settings, keysFor)
  const rules: Rules = { settings, rows, check: createUserCheck(ajv, settings.schemas), hooks, background, tokens, backends, fingerprintKeys: secretsFor('fingerprint') as [string, ...string[]] }     // as many as there are secrets, one at least
  const service = createUsersService(rules)

  const names = options.backends.map(({ name }) => name)
  app.decorate('users', service)
  app.decorate('authenticate', authenticate)
  app.decorate(kGuard, createGuard(createAuthenticator(backends, rows), backends, settings, names))
  if (!app.hasRequestDecorator('user')) app.decorateRequest('user', null)
  if (!app.hasRequestDecorator('authentication')) app.decorateRequest('authentication', null)
  checkGuardedRoutes(app, names)
  if (settings.openapiSecurity) documentGuards(app, settings, names, false)
  followLife(app, store, hooks, background)

  for (const backend of options.backends) {
    await app.register(async (scope) => {
      prepareScope(scope, ajv, settings)
      documentGuards(scope, settings, names, true)
      const built = await createBackend(scope, backend, { backend: backend.name, settings, store, keysFor, background: background.run })
      backends.set(backend.name, built)
      const { enabled, prefix } = settings.routes.auth
      if (enabled) await scope.register(authRoutes, { prefix: `${prefix}/${backend.name}`, users: service, settings, backend: built })
    })
  }
  await app.register(async (scope) => {
    prepareScope(scope, ajv, settings)
    documentGuards(scope, settings, names, true)
    const groups = { register: registerRoutes, reset: resetPasswordRoutes, verify: verifyRoutes, users: usersRoutes }
    for (const [group, routes] of Object.entries(groups)) {
      const { enabled, prefix } = settings.routes[group as keyof typeof groups]
      if (enabled) await scope.register(routes, { prefix, users: service, settings })
    }
  })
}

async function startTokens (app: FastifyInstance, settings: Settings, keysFor: (purpose: string) => ReturnType<typeof deriveKeys>): Promise<PurposeTokens> {
  let tokens: PurposeTokens | undefined
  await app.register(purposeTokens, { settings, keysFor, receive: (made) => { tokens = made } })
  if (tokens === undefined) throw FST_USERS_NOT_READY()
  return tokens
}

/** Two populations need two names and two scopes. The names are kept on the server, which all scopes share. */
function claimName (app: FastifyInstance, name: string): void {
  const server = app.server as typeof app.server & { [kNames]?: Set<string> }
  const names = server[kNames] ??= new Set()
  if (names.has(name) || app.hasDecorator('users')) throw FST_USERS_ALREADY_REGISTERED([name])
  names.add(name)
}

function followLife (app: FastifyInstance, store: Store, hooks: ReturnType<typeof createHookRegistry>, background: Background): void {
  app.addHook('onReady', async () => {
    await store.open()
    hooks.close()
  })
  app.addHook('onClose', async () => {
    await background.close()
    await store.close?.()
  })
}

/**
 * User management: routes, `app.users`, `app.authenticate`, `request.user`. Refuses to start with a coded error that says
 * what to do when an option is wrong.
 */
export default fp(users, { name: 'fastify-users', fastify: '5.x' })
