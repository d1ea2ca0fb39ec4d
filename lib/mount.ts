import type { FastifyInstance } from 'fastify'
import { collectPublicKeys, createBackend, documentGuards } from './authentication/index.js'
import { checkLoginSteps } from './check-login-steps.js'
import { checkFeatureParts } from './check-options.js'
import type { BackendOptions } from './contracts/backend.js'
import type { BackendDefaults } from './contracts/definition.js'
import type { EventName, UsersHook } from './contracts/events.js'
import type { Feature } from './contracts/feature.js'
import type { LoginStep } from './contracts/login-step.js'
import type { Core } from './core.js'
import { validationError } from './errors.js'
import { featureBackendsOf } from './feature-backends.js'
import { createFeatureKit } from './feature/kit.js'
import { usesSingleUse } from './models.js'
import packages from './packages.cjs'
import {
  authRoutes,
  checkUserReply,
  completeUsers,
  documentRoutes,
  loginStepRoutes,
  prepareScope,
  reauthenticateRoute,
  registerByMailRoutes,
  registerRoutes,
  resetPasswordRoutes,
  undoEmailChangeRoutes,
  usersRoutes,
  verifyRoutes
} from './routes/index.js'
import { kGuard, kOwnRoutes } from './symbols.js'
import { checkFactorSteps } from './read-second-factors.js'
import { createClaims } from './sessions/index.js'
import { createOpaqueTokens } from './tokens/index.js'
import { compileLazily } from './users/index.js'

const MAIL_PATH = '/dev/mail'

/** Registers a backend and its login and logout routes in a separate scope. */
export async function mountBackend (app: FastifyInstance, core: Core, backend: BackendOptions): Promise<void> {
  const { settings, service: users } = core
  await app.register(async (scope) => {
    prepareRouteScope(scope, app, core)
    const built = await createBackend(scope, backend, defaultsOf(core, backend.name))
    core.backends.set(backend.name, built)
    const { enabled, prefix } = settings.routes.auth
    if (enabled) {
      const routes = { prefix: `${prefix}/${backend.name}`, users, settings, backend: built }
      await scope.register(authRoutes, routes)
      await scope.register(reauthenticateRoute, routes)
    }
  })
}

/** Sets up the backends of features, which have no routes. */
export async function mountFeatureBackends (app: FastifyInstance, core: Core): Promise<void> {
  for (const backend of featureBackendsOf(core.features)) {
    await app.register(async (scope) => {
      core.featureBackends.set(backend.name, await createBackend(scope, backend, defaultsOf(core, backend.name)))
    })
  }
}

function defaultsOf (core: Core, backend: string): BackendDefaults {
  const { settings, store, keysFor, caching } = core
  return {
    backend,
    settings,
    store,
    opaqueTokens: createOpaqueTokens(`${settings.name}:${backend}`, marksTokens(core)),
    keysFor,
    reportUser: async (id) => {
      await caching?.reportUser(id)
    },
    background: core.rules.background.run,
    audit: core.rules.audit
  }
}

/**
 * Returns true if several backends store tokens, so that a token must show which of them it belongs to. Plain tokens
 * are not marked: all backends find them, and FastAPI Users stores them in a column of 43 characters.
 */
function marksTokens ({ backendOptions, settings }: Core): boolean {
  const stored = backendOptions.filter(({ strategy }) => strategy.name !== 'jwt')
  return settings.wire.storedTokens.areDigests && stored.length > 1
}

/** Seconds after which no captcha challenge is valid. */
const MAX_CHALLENGE_SECONDS = 3600

/** Starts the captcha: its check in front of attempts, and the route of its challenges if it has any. */
export async function mountCaptcha (app: FastifyInstance, core: Core): Promise<void> {
  const { settings, store, rules, keysFor } = core
  const { captcha, clock, routes } = settings
  if (captcha === null) return
  const { createCaptchaCheck } = await import('./attempts/captcha-check.js')
  const claim = createClaims({ store, clock, background: rules.background.run }, 'captcha')
  const verifier = await captcha.provider.open({ clock, keys: keysFor('captcha', MAX_CHALLENGE_SECONDS), claim })
  rules.attempts.checks.push(createCaptchaCheck(captcha, verifier, app.log))
  if (verifier.createChallenge === undefined) return
  const { captchaRoute } = await import('./routes/captcha.js')
  const createChallenge = verifier.createChallenge.bind(verifier)
  await app.register(async (scope) => {
    prepareRouteScope(scope, app, core)
    const options = { settings, challenge: captcha.provider.challengeSchema, createChallenge }
    await scope.register(captchaRoute, { prefix: routes.auth.prefix, ...options })
  })
}

/** Registers the route groups of the core. */
export async function mountRoutes (app: FastifyInstance, core: Core): Promise<void> {
  const { settings, service: users } = core
  checkUserReply(settings)
  await app.register(async (scope) => {
    prepareRouteScope(scope, app, core)
    const groups = [
      ['register', settings.registration === 'mail' ? registerByMailRoutes : registerRoutes],
      ['reset', resetPasswordRoutes],
      ['verify', verifyRoutes],
      ...(settings.tokens.undo === null ? [] : [['verify', undoEmailChangeRoutes] as const]),
      ['users', usersRoutes]
    ] as const
    for (const [group, routes] of groups) {
      const { enabled, prefix } = settings.routes[group]
      if (enabled) await scope.register(routes, { prefix, users, settings })
    }
  })
}

/** Registers the route with the public keys of the backends, if there are any. */
export async function mountJwks (app: FastifyInstance, core: Core): Promise<void> {
  const { settings, backends } = core
  const { jwks } = settings
  const keys = jwks === null ? [] : collectPublicKeys(backends.values())
  if (jwks === null || keys.length === 0) return
  const { jwksRoute } = await import('./routes/jwks.js')
  await app.register(async (scope) => {
    prepareRouteScope(scope, app, core)
    await scope.register(jwksRoute, { settings, jwks, keys })
  })
}

/** Starts a feature as an encapsulated sub-plugin with a prepared scope. */
export async function mountFeature (app: FastifyInstance, core: Core, feature: Feature): Promise<void> {
  const { name } = feature
  async function featurePlugin (scope: FastifyInstance): Promise<void> {
    prepareRouteScope(scope, app, core)
    const identity = { name, hasSingleUse: usesSingleUse(feature) }
    const parts = await feature.setup(createFeatureKit({ ...core, log: app.log }, identity, scope))
    checkFeatureParts(feature, parts, core.settings)
    addLoginSteps(core, feature, checkLoginSteps(feature, parts, core.settings))
    const { routes, hooks = {}, loginMethods, secondFactors = [], sessions } = parts
    const { replyFields = {}, scopes, exportData, reactivate, beginDeletion, api } = parts
    // hooks.add throws for an unknown name
    for (const [event, hook] of Object.entries(hooks)) {
      core.rules.hooks.add(event as EventName, hook as UsersHook<EventName>)
    }
    if (sessions !== undefined) core.rules.observers.push(sessions)
    if (sessions?.seen !== undefined) app[kGuard].sessionChecks.push(sessions.seen.bind(sessions))
    if (scopes !== undefined) app[kGuard].scopeSources.push(scopes)
    core.rules.secondFactors.push(...secondFactors)
    if (loginMethods !== undefined) core.rules.loginMethods.push(loginMethods)
    for (const [field, read] of Object.entries(replyFields)) core.rules.additions.set(field, read)
    if (exportData !== undefined) core.rules.exports.set(name, exportData)
    if (reactivate !== undefined) core.rules.reactivations.push(reactivate)
    if (beginDeletion !== undefined) core.rules.beginDeletion.push(beginDeletion)
    core.featureApis.set(name, api)
    if (routes !== undefined) await scope.register(routes)
  }
  await app.register(packages.fp(featurePlugin, { name: `fastify-users:${name}`, fastify: '5.x', encapsulate: true }))
}

/** Adds the login steps of a feature. Logins that begin later pass them. */
function addLoginSteps ({ rules, ajv, settings }: Core, { name }: Feature, steps: readonly LoginStep[]): void {
  for (const step of steps) {
    const validate = compileLazily(ajv, step.body, settings)
    rules.loginSteps.push({
      step,
      feature: name,
      checkAnswer (answer) {
        if (!validate(answer)) throw validationError('the answer does not match the schema of the login step')
      }
    })
  }
}

/** Registers the routes for answers to login steps, at every backend. */
export async function mountLoginSteps (app: FastifyInstance, core: Core): Promise<void> {
  const { settings, backends, rules, service: users } = core
  const { enabled, prefix } = settings.routes.auth
  const steps = rules.loginSteps.map(({ step }) => step)
  checkFactorSteps(settings.secondFactors, steps)
  if (!enabled || steps.length === 0) return
  await app.register(async (scope) => {
    prepareRouteScope(scope, app, core)
    for (const backend of backends.values()) {
      await scope.register(loginStepRoutes, { prefix: `${prefix}/${backend.name}`, users, settings, backend, steps })
    }
  })
}

/** Registers the routes with which superusers remove second factors, if a feature stores some. */
export async function mountSecondFactors (app: FastifyInstance, core: Core): Promise<void> {
  const { settings, service: users, rules: { secondFactors } } = core
  const { enabled, prefix } = settings.routes.users
  if (secondFactors.length === 0 || !enabled) return
  const names = new Set(secondFactors.map(({ name }) => name))
  const { secondFactorRoutes } = await import('./routes/second-factors.js')
  await app.register(async (scope) => {
    prepareRouteScope(scope, app, core)
    await scope.register(secondFactorRoutes, { prefix, users, settings, names })
  })
}

/** Registers the routes of trusted devices if there are any. */
export async function mountTrustedDevices (app: FastifyInstance, core: Core): Promise<void> {
  const { settings, service: users } = core
  const { enabled, prefix } = settings.routes.users
  if (settings.secondFactors.trustedDevices === null || !enabled) return
  const { trustedDeviceRoutes } = await import('./routes/trusted-devices.js')
  await app.register(async (scope) => {
    prepareRouteScope(scope, app, core)
    await scope.register(trustedDeviceRoutes, { prefix, users, settings })
  })
}

/** Registers the pages at `/dev/mail` that show the mails of the option `mail: 'console'`. */
export async function mountMailPages (app: FastifyInstance, { mail, settings: { name } }: Core): Promise<void> {
  if (mail === null || mail.mailbox === null) return
  const { mailbox } = mail
  const { addMailPages } = await import('./mail/console/routes.js')
  // another tenant of the same scope may have the path
  const isTaken = app.hasRoute({ method: 'GET', url: `${app.prefix}${MAIL_PATH}` })
  const prefix = isTaken ? `${MAIL_PATH}-${name}` : MAIL_PATH
  await app.register(async (scope) => {
    addMailPages(scope, mailbox, scope.prefix)
  }, { prefix })
}

/** Prepares a scope for routes of the plugin. */
function prepareRouteScope (
  scope: FastifyInstance,
  app: FastifyInstance,
  { ajv, settings, backendOptions, features, rules: { additions, audit } }: Core
): void {
  scope.decorate(kOwnRoutes, true)
  prepareScope(scope, app, ajv, settings, audit)
  documentGuards(scope, settings, app[kGuard], true)
  documentRoutes(scope, app, [...backendOptions, ...featureBackendsOf(features)], settings)
  if (features.some(({ replyFields }) => replyFields !== undefined)) completeUsers(scope, settings, additions)
}
