import type { FastifyInstance } from 'fastify'
import { availableStore, type Store } from './adapters/available-store.js'
import { tenantStore } from './adapters/tenant-store.js'
import { createUncountedAttempts } from './attempts/index.js'
import { startAudit } from './audit/index.js'
import type { Attempts } from './contracts/attempts.js'
import type { Backend, BackendOptions } from './contracts/backend.js'
import type { EventName, UsersHook } from './contracts/events.js'
import type { Feature } from './contracts/feature.js'
import type { Model } from './contracts/models.js'
import type { SecurityProfile } from './contracts/security-profile.js'
import type { Settings } from './contracts/settings.js'
import type { StartedMail } from './mail/index.js'
import type { Caching } from './user-cache/index.js'
import { FST_USERS_NOT_READY } from './errors.js'
import { createBackground, createHookRegistry } from './hooks/index.js'
import { declaredModels } from './models.js'
import type { CheckedOptions } from './options.js'
import { userFieldsOf } from './reply-fields.js'
import { securityProfileOf } from './security-profile.js'
import {
  createDevices,
  createSingleUse,
  MAX_ANSWERS,
  SessionWatchers,
  STEP_SECONDS,
  type DeviceParts,
  type TrustedDeviceParts,
  type TrustedDevices
} from './sessions/index.js'
import type { SerializeCookie } from './contracts/cookies.js'
import { loadCookieSerializer } from './shared/cookie-serializer.js'
import { createKeyring, purposeTokens, type Keyring, type PurposeTokens } from './tokens/index.js'
import {
  canonicalEmail,
  auditedService,
  createAjvLazily,
  createUserCheck,
  createUserRows,
  createUsersService,
  userModel,
  type LazyAjv,
  type Rules,
  type UserRows,
  type UsersService
} from './users/index.js'

const DEFAULT_PLUGIN_TIMEOUT = 10_000 // milliseconds, Fastify's default

/** Objects that are created once per registration and shared by its scopes. */
export interface Core {
  readonly settings: Settings
  readonly store: Store
  /** The user cache; null if it is off. */
  readonly caching: Caching | null
  /** The models of the registration, by name. */
  readonly models: ReadonlyMap<string, Model>
  readonly ajv: LazyAjv
  readonly rules: Rules
  readonly service: UsersService
  /** The sending of mails; null if the option `mail` is absent. */
  readonly mail: StartedMail | null
  /** Backends by name. Filled in list order while the scopes of the backends load. */
  readonly backends: Map<string, Backend>
  /** Backends of features by name. Filled while their scopes load. */
  readonly featureBackends: Map<string, Backend>
  readonly backendOptions: readonly BackendOptions[]
  readonly features: readonly Feature[]
  /** The functions of features for application code, by name. Filled in list order while the features start. */
  readonly featureApis: Map<string, unknown>
  /** Values that features share, by key. */
  readonly sharedValues: Map<string, unknown>
  keysFor: Keyring['keysFor']
  readonly keyring: Keyring
}

/** Creates the shared objects of one registration, and defines the models of its parts. */
export async function createCore (
  app: FastifyInstance,
  options: CheckedOptions,
  settings: Settings,
  secrets: readonly string[]
): Promise<Core> {
  const { adapter, backends: list, features = [] } = options
  const keyring = createKeyring(secrets, settings.name)
  const { keysFor, secretsFor } = keyring
  const available = availableStore(tenantStore(adapter, settings.name), app.log, storeTimeoutOf(app))
  const userFields = userFieldsOf(features, settings)
  const rowsOf = (from: Store): UserRows =>
    createUserRows(from, userModel(settings.schemas), settings.schemas, secretsFor('stamp'), userFields)
  const backends = new Map<string, Backend>()
  const watchers = new SessionWatchers(settings.clock, backends)
  const caching = await startCaching(app, settings, { store: available, rows: rowsOf(available), watchers })
  const store = caching?.store ?? available
  const models = declaredModels(options, settings)
  for (const model of models) store.define(model)

  const ajv = createAjvLazily(settings)
  const hooks = createHookRegistry(features)
  const featureApis = new Map<string, unknown>()
  const shared = { settings, rows: rowsOf(store), check: createUserCheck(ajv, settings), hooks, backends, watchers }
  const rules = await createRules(app, { ...shared, features: featureApis }, { store, keyring, features })
  const described = { settings, backends, backendOptions: list, features, keyring }
  const sender = senderOf(options)
  return {
    ...described,
    store,
    caching,
    models: new Map(models.map((model) => [model.name, model])),
    ajv,
    rules,
    service: auditedService(rules, createUsersService(rules, () => securityProfileOf({ ...described, mail: sender }))),
    mail: await addListeners(app, rules, options),
    featureBackends: new Map(),
    featureApis,
    sharedValues: new Map(),
    keysFor
  }
}

/** Returns who sends mails. */
function senderOf ({ mail }: Pick<CheckedOptions, 'mail'>): SecurityProfile['mail'] {
  if (mail === 'console' || mail?.send === 'console') return 'console'
  return mail == null ? null : 'function' // startMail refuses null
}

/** Adds the listeners of the options `mail` and `hooks`. Loads the code that sends mails only if it is needed. */
async function addListeners (
  app: FastifyInstance,
  rules: Rules,
  { mail: options, hooks = {} }: Pick<CheckedOptions, 'mail' | 'hooks'>
): Promise<StartedMail | null> {
  const mail = options === undefined ? null : (await import('./mail/index.js')).startMail(app, rules, options)
  // hooks.add throws for an unknown name
  for (const [name, hook] of Object.entries(hooks)) rules.hooks.add(name as EventName, hook as UsersHook<EventName>)
  return mail
}

/** Creates what the store keeps for later requests: pending logins, mailed tokens and known devices. */
function createStoredParts (
  parts: DeviceParts
): Pick<Rules, 'pendingLogins' | 'registrations' | 'undoTokens' | 'devices'> {
  const { store, settings, background } = parts
  const { clock, registration, tokens: { register, undo }, detectNewDevices } = settings
  const singleUse = { store, clock, background: background.run }
  return {
    pendingLogins: createSingleUse(singleUse, 'login', { lifetimeSeconds: STEP_SECONDS, maxAttempts: MAX_ANSWERS }),
    registrations: registration === 'mail' ? createSingleUse(singleUse, 'register', register) : null,
    undoTokens: undo === null ? null : createSingleUse(singleUse, 'undo-email-change', undo),
    devices: detectNewDevices ? createDevices(parts) : null
  }
}

/** Loads the code of trusted devices only if the option is on. */
async function startTrustedDevices (parts: TrustedDeviceParts): Promise<TrustedDevices | null> {
  const { trustedDevices } = parts.settings.secondFactors
  if (trustedDevices === null) return null
  const { createTrustedDevices } = await import('./sessions/trusted-devices.js')
  return createTrustedDevices(parts, trustedDevices)
}

/** Creates the objects that the functions for users and sessions share. */
async function createRules (
  app: FastifyInstance,
  shared: Pick<Rules, 'settings' | 'rows' | 'check' | 'hooks' | 'backends' | 'features' | 'watchers'>,
  { store, keyring, features }: { store: Store; keyring: Keyring; features: readonly Feature[] }
): Promise<Rules> {
  const { settings } = shared
  const { reset, verify } = settings.tokens
  const background = createBackground(app.log)
  const serializeCookie = await startCookies(app, features.length > 0 || settings.detectNewDevices)
  // 0: nothing ends with these keys. A known device is reported once more, and audit events have other digests.
  const deviceParts = { ...shared, store, background, serializeCookie, keys: keyring.secretsFor('device', 0) }
  const audit = startAudit(app.log, settings, shared.hooks, background, keyring.secretsFor('audit', 0))
  return {
    ...shared,
    attempts: await createAttempts(app, keyring, { ...shared, store, background }),
    audit,
    background,
    log: app.log,
    serializeCookie,
    tokens: await startTokens(app, settings, keyring.keysFor),
    loginSteps: [],
    secondFactors: [],
    factorCounts: new WeakMap(),
    ...createStoredParts(deviceParts),
    trustedDevices: await startTrustedDevices({ ...shared, store, audit, serializeCookie }),
    fingerprintKeys: keyring.secretsFor('fingerprint', Math.max(reset.lifetimeSeconds, verify.lifetimeSeconds)),
    loginMethods: [],
    reactivations: [],
    beginDeletion: [],
    additions: new Map(),
    exports: new Map(),
    observers: []
  }
}

/**
 * Returns how long the start waits for the store, in milliseconds. It is half of `pluginTimeout`, after which Fastify
 * aborts the start.
 */
function storeTimeoutOf ({ initialConfig: { pluginTimeout = 0 } }: FastifyInstance): number {
  return (pluginTimeout === 0 ? DEFAULT_PLUGIN_TIMEOUT : pluginTimeout) / 2
}

/** Loads the counters only if the limits are on. */
async function createAttempts (
  app: FastifyInstance,
  keyring: Keyring,
  { rows, settings, ...parts }: Pick<Rules, 'rows' | 'settings' | 'hooks' | 'background'> & { store: Store }
): Promise<Attempts> {
  const { limits } = settings
  if (limits === null) return createUncountedAttempts({ ...parts, canonicalEmail })
  const { startAttempts } = await import('./attempts/start-attempts.js')
  const [secret] = keyring.secretsFor('attempts', 0) // a new secret only restarts the counters
  return startAttempts({ ...parts, app, settings, limits, secret, canonicalEmail, toUser: rows.toUser })
}

/** Loads the user cache only if it is on. */
async function startCaching (
  app: FastifyInstance,
  settings: Settings,
  { store, rows, watchers }: { store: Store; rows: UserRows; watchers: SessionWatchers }
): Promise<Caching | null> {
  if (settings.cache === null) return null
  const { createCaching } = await import('./user-cache/index.js')
  return createCaching(store, rows, settings.cache, settings, app.log, (change) => {
    watchers.recheck(change === 'all' ? 'all' : change.users)
  })
}

/** Loads the serializer of cookies if a feature may need it. Transports load their own. */
async function startCookies (app: FastifyInstance, isNeeded: boolean): Promise<SerializeCookie> {
  if (isNeeded) return await loadCookieSerializer(app)
  return () => {
    throw FST_USERS_NOT_READY()
  }
}

async function startTokens (app: FastifyInstance, settings: Settings, keysFor: Keyring['keysFor']): Promise<PurposeTokens> {
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
