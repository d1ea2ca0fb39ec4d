import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import type { FeatureKit } from '../contracts/feature.js'
import type { Model } from '../contracts/models.js'
import type { SingleUse, SingleUseOptions } from '../contracts/single-use.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import {
  acceptLogin,
  backendNamed,
  createSecondFactors,
  createSessionService,
  createSingleUse,
  readActingUser,
  resumeVerified,
  revokeSessions
} from '../sessions/index.js'
import {
  beginPasswordless,
  completePasswordless,
  createExternalUser,
  createLoginMethods,
  createServiceUser,
  deleteRefusedUser,
  reclaimUnverifiedUser,
  requireStepUp,
  type Rules,
  type UsersService
} from '../users/index.js'
import { checkOption } from '../shared/option-checks.js'

/** Objects of one registration that its features may use. */
export interface KitParts {
  readonly rules: Rules
  readonly store: DatabaseAdapter
  /** The models of the registration, by name. */
  readonly models: ReadonlyMap<string, Model>
  readonly service: UsersService
  readonly log: FastifyBaseLogger
  /** Values that features share, by key. */
  readonly sharedValues: Map<string, unknown>
  keysFor: FeatureKit['keysFor']
}

/** Creates the services that one feature receives. `scope` is the feature's own scope. */
export function createFeatureKit (
  { rules, store, models, service, log, sharedValues, keysFor }: KitParts,
  { name, hasSingleUse }: { name: string; hasSingleUse: boolean },
  scope: FastifyInstance
): FeatureKit {
  const { settings, rows, hooks, background } = rules
  return {
    name,
    scope,
    settings,
    log,
    clock: settings.clock,
    store,
    model (modelName) {
      const model = models.get(modelName)
      if (model === undefined) throw FST_USERS_INVALID_OPTION([modelName, 'is not the name of a model'])
      return model
    },
    rows,
    sessions: createSessionService(rules),
    users: service,
    serializeCookie: rules.serializeCookie,
    keysFor,
    background: background.run,
    attempts: rules.attempts,
    singleUse<T> (purpose: string, options: SingleUseOptions): SingleUse<T> {
      const reason = 'must be true, because the feature calls kit.singleUse()'
      checkOption(`features["${name}"].singleUse`, hasSingleUse, Boolean, reason)
      const parts = { store, clock: settings.clock, background: background.run }
      return createSingleUse<T>(parts, `${name}:${purpose}`, options)
    },
    login: createFeatureLogin(rules, name),
    audit: rules.audit,
    fire: (event, payload, context) => hooks.run(event, payload, context),
    loginMethods: createLoginMethods(rules),
    secondFactors: createSecondFactors(rules),
    externalUsers: createExternalUsers(rules),
    registrations: {
      begin: (start, context) => beginPasswordless(rules, start, context),
      complete: (values, registration, context) => completePasswordless(rules, values, registration, context)
    },
    readActingUser: (request) => readActingUser(rules, request),
    requireStepUp: (request, body, options) => requireStepUp(rules, request, body, options),
    async revokeSessions (row) {
      await revokeSessions(rules, row)
    },
    startSession: (backend, row, context) => service.startSession(backend, row, context),
    shared<T> (key: string, create: () => T): T {
      if (!sharedValues.has(key)) sharedValues.set(key, create())
      return sharedValues.get(key) as T // the callers of one key agree on its type
    }
  }
}

function createExternalUsers (rules: Rules): FeatureKit['externalUsers'] {
  return {
    create: (values, dependents, context) => createExternalUser(rules, values, dependents, context),
    createService: (fields, dependents) => createServiceUser(rules, fields, dependents),
    reclaimUnverified: (id, context) => reclaimUnverifiedUser(rules, id, context),
    deleteRefused: (row, context) => deleteRefusedUser(rules, row, context)
  }
}

function createFeatureLogin (rules: Rules, feature: string): FeatureKit['login'] {
  return {
    resume: (ticket, step, context, proof) => resumeVerified(rules, { ticket, step, feature }, context, proof),
    async send (result, { backend: name, request, reply }) {
      const backend = backendNamed(rules, name)
      return await backend.transport.sendLogin(reply, await acceptLogin(rules, backend, { request }, result))
    }
  }
}
