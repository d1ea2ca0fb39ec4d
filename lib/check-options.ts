import type { UserSchemas } from '../schemas/index.js'
import type { BackendOptions } from './contracts/backend.js'
import type { Feature, FeatureParts } from './contracts/feature.js'
import { factorEvents, type LoginMethods } from './contracts/login-methods.js'
import type { PasswordHelper } from './contracts/password-helper.js'
import type { SecondFactor } from './contracts/second-factors.js'
import type { Settings } from './contracts/settings.js'
import { FST_USERS_DUPLICATE_BACKEND, FST_USERS_INVALID_OPTION, FST_USERS_TWO_COPIES } from './errors.js'
import { featureBackendsOf } from './feature-backends.js'
import type { UsersOptions } from './options.js'
import { kVersion } from './symbols.js'
import { checkOption, checkObject, checkBoolean, isName, checkKnownKeys } from './shared/option-checks.js'
import { isFunction } from './shared/values.js'
import { VERSION } from './version.js'
import { refuseMisplacedParts } from './wire/index.js'

const KEYS: Record<keyof UsersOptions, true> = {
  adapter: true,
  secret: true,
  backends: true,
  features: true,
  name: true,
  schemas: true,
  passwords: true,
  validatePassword: true,
  hooks: true,
  mail: true,
  routes: true,
  requireVerification: true,
  tokens: true,
  registration: true,
  detectNewDevices: true,
  publicUrl: true,
  trustedOrigins: true,
  revealExistingAccounts: true,
  allowIntranetEmails: true,
  sensitiveChanges: true,
  reauthentication: true,
  compatibility: true,
  errorHandler: true,
  openapiSecurity: true,
  openapiPasswordFlow: true,
  allowInsecure: true,
  cache: true,
  captcha: true,
  limits: true,
  secondFactors: true,
  audit: true,
  clock: true
}

const FEATURE_KEYS: Record<keyof Feature, true> = {
  name: true,
  models: true,
  replyFields: true,
  userFields: true,
  errors: true,
  events: true,
  guardFlags: true,
  backends: true,
  loginSteps: true,
  rememberMe: true,
  singleUse: true,
  setup: true
}

const PART_KEYS: Record<keyof FeatureParts, true> = {
  routes: true,
  hooks: true,
  loginSteps: true,
  loginMethods: true,
  secondFactors: true,
  sessions: true,
  replyFields: true,
  scopes: true,
  exportData: true,
  reactivate: true,
  beginDeletion: true,
  api: true
}

const LOGIN_METHOD_KEYS: Record<keyof LoginMethods, true> = { count: true, removeUnproved: true, removeAll: true }

const BACKEND_KEYS = ['name', 'transport', 'strategy', 'requireVerification']
const FEATURE_BACKEND_KEYS = ['name', 'transport', 'strategy', 'acceptedWith']
const ADAPTER_METHODS = ['define', 'open', 'create', 'findOne', 'findMany', 'update', 'delete']

/**
 * Checks the keys of the options and the values that have no default. Throws `FST_USERS_INVALID_OPTION`,
 * `FST_USERS_UNKNOWN_OPTION`, `FST_USERS_DUPLICATE_BACKEND`.
 */
export function checkRequiredOptions (options: UsersOptions): void {
  refuseRegisterOptions(options)
  refuseMisplacedParts(options)
  checkKnownKeys('', options, Object.keys(KEYS))
  checkAdapter(options.adapter)
  checkObject('hooks', options.hooks ?? {})
  const names = checkBackends(options.backends)
  checkFeatures(options.features ?? [])
  for (const backend of featureBackendsOf(options.features)) claimBackendName(names, backend, FEATURE_BACKEND_KEYS)
}

/** Checks the return value of a feature's `setup`. A mistyped key could switch a check off. */
export function checkFeatureParts (feature: Feature, parts: FeatureParts, settings: Settings): void {
  const { name, replyFields } = feature
  checkObject(`features["${name}"].setup()`, parts)
  checkKnownKeys(`features["${name}"].setup().`, parts, Object.keys(PART_KEYS))
  const declared = Object.keys(replyFields?.({ id: settings.schemas.id, tenant: settings.name }) ?? {})
  const read = parts.replyFields ?? {}
  checkKnownKeys(`features["${name}"].setup().replyFields.`, read, declared)
  for (const field of declared) {
    checkOption(`features["${name}"].setup().replyFields.${field}`, read[field], isFunction, 'must be a function')
  }
  for (const key of ['scopes', 'exportData', 'reactivate', 'beginDeletion'] as const) {
    if (parts[key] === undefined) continue
    checkOption(`features["${name}"].setup().${key}`, parts[key] as unknown, isFunction, 'must be a function')
  }
  checkSecondFactors(feature, parts.secondFactors ?? [])
  if (parts.loginMethods !== undefined) checkLoginMethods(`features["${name}"].setup().loginMethods`, parts.loginMethods)
}

const SECOND_FACTOR_KEYS: Record<keyof SecondFactor, true> = {
  name: true,
  methods: true,
  count: true,
  list: true,
  removeAll: true
}

function checkSecondFactors ({ name: feature, events = [] }: Feature, factors: readonly SecondFactor[]): void {
  const option = `features["${feature}"].setup().secondFactors`
  checkOption(option, factors, Array.isArray, 'must be a list of second factors')
  if (factors.length > 0) {
    const isListed = factorEvents.every((event) => events.includes(event))
    checkOption(`features["${feature}"].events`, events, () => isListed, `must contain ${factorEvents.join(' and ')}`)
  }
  for (const factor of factors) {
    checkObject(option, factor)
    const path = `${option}["${checkName(`${option}[].name`, factor.name)}"]`
    checkKnownKeys(`${path}.`, factor, Object.keys(SECOND_FACTOR_KEYS))
    checkOption(`${path}.methods`, factor.methods ?? [], Array.isArray, 'must be a list of names')
    for (const key of ['count', 'removeAll'] as const) {
      checkOption(`${path}.${key}`, factor[key], isFunction, 'must be a function')
    }
  }
}

function checkLoginMethods (option: string, given: LoginMethods): void {
  checkKnownKeys(`${option}.`, given, Object.keys(LOGIN_METHOD_KEYS))
  for (const [key, value] of [['count', given.count] as const, ...Object.entries(given)]) {
    checkOption(`${option}.${key}`, value, isFunction, 'must be a function')
  }
}

/** Returns the name. Throws `FST_USERS_INVALID_OPTION` if it is not the name of a tenant or a backend. */
export function checkName (option: string, name: string): string {
  return checkOption(option, name, isName, 'must be a lower-case letter, then up to 31 letters, digits, - or _')
}

/** True for an object with the methods of a password helper. */
export function isPasswordHelper ({ hash, verifyAndUpdate }: PasswordHelper): boolean {
  return isFunction(hash) && isFunction(verifyAndUpdate)
}

/** True for the return value of `userSchemas()`. */
export function isUserSchemas (schemas: UserSchemas): boolean {
  return ['UserRead', 'UserCreate', 'UserUpdate', 'id', 'fields'].every((key) => key in schemas)
}

/**
 * Refuses options of `register` that Fastify applies to a new scope. The plugin has no scope: its decorators belong to
 * the scope that registers it.
 */
function refuseRegisterOptions (options: object): void {
  const given = ['prefix', 'logLevel', 'logSerializers'].find((key) => key in options)
  if (given === undefined) return
  const example = `app.register(async (scope) => { await scope.register(users, options) }, { ${given} })`
  const alternative = given === 'prefix' ? ', or use the option routes to change the prefix of one group' : ''
  throw FST_USERS_INVALID_OPTION([
    given,
    `belongs to a scope: ${example}. Add your guarded routes to the same scope${alternative}`
  ])
}

function checkAdapter (adapter: unknown): void {
  if (
    typeof adapter !== 'object' ||
    adapter === null ||
    !ADAPTER_METHODS.every((method) => typeof (adapter as Record<string, unknown>)[method] === 'function')
  ) {
    throw FST_USERS_INVALID_OPTION(['adapter', "must be a database adapter, such as sqlite('app.db')"])
  }
}

/** Checks the backends and returns their names. */
function checkBackends (backends: unknown): Set<string> {
  if (!Array.isArray(backends) || backends.length === 0) {
    throw FST_USERS_INVALID_OPTION(['backends', 'must list at least one backend: { name, transport, strategy }'])
  }
  const names = new Set<string>()
  for (const backend of backends as readonly Partial<BackendOptions>[]) claimBackendName(names, backend, BACKEND_KEYS)
  return names
}

function claimBackendName (names: Set<string>, backend: Partial<BackendOptions>, keys: readonly string[]): void {
  const name = checkBackend(backend, keys)
  if (names.has(name)) throw FST_USERS_DUPLICATE_BACKEND([name])
  names.add(name)
}

/** Checks one backend and returns its name. */
function checkBackend (backend: Partial<BackendOptions>, keys: readonly string[]): string {
  if (typeof backend !== 'object' || backend === null) {
    throw FST_USERS_INVALID_OPTION(['backends', 'must contain objects: { name, transport, strategy }'])
  }
  checkKnownKeys('backends[].', backend, keys)
  const name = checkName('backends[].name', backend.name ?? '')
  if (backend.transport?.kind !== 'transport') {
    throw FST_USERS_INVALID_OPTION([
      `backends["${name}"].transport`,
      'must be created by bearerTransport(), cookieTransport() or defineTransport()'
    ])
  }
  if (backend.strategy?.kind !== 'strategy') {
    throw FST_USERS_INVALID_OPTION([
      `backends["${name}"].strategy`,
      'must be created by jwtStrategy(), databaseStrategy(), redisStrategy() or defineStrategy()'
    ])
  }
  checkBoolean(`backends["${name}"].requireVerification`, backend.requireVerification, false)
  return name
}

/** Checks that the option is a list of features, and that no two features have the same name. */
function checkFeatures (features: unknown): void {
  if (!Array.isArray(features)) {
    throw FST_USERS_INVALID_OPTION(['features', 'must be a list of features'])
  }
  const names = new Set<string>()
  for (const feature of features as readonly Partial<Feature>[]) {
    if (typeof feature !== 'object' || feature === null || !isFunction(feature.setup)) {
      throw FST_USERS_INVALID_OPTION(['features', 'must contain features: objects with a name and a function setup'])
    }
    const { [kVersion]: version = VERSION } = feature as { [kVersion]?: string } // set by defineFeature
    if (version !== VERSION) throw FST_USERS_TWO_COPIES([VERSION, version])
    const name = checkName('features[].name', feature.name ?? '')
    // a mistyped key could switch a check off
    checkKnownKeys(`features["${name}"].`, feature, Object.keys(FEATURE_KEYS))
    if (names.has(name)) {
      throw FST_USERS_INVALID_OPTION(['features', `has two features named "${name}"; give each its own name`])
    }
    names.add(name)
  }
}
