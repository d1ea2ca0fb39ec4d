import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { ErrorDefinition } from './contracts/errors.js'
import type { FeatureHost } from './contracts/feature-host.js'
import type { DatabaseAdapter } from './contracts/database-adapter.js'
import { isUnusableHash } from './passwords/index.js'
import { readActingUser, revokeSessions } from './sessions/index.js'
import { kHost } from './symbols.js'
import {
  checkCurrentPassword,
  createExternalUser,
  reclaimUnverifiedUser,
  removeAttached,
  deleteRefusedUser,
  type Rules
} from './users/index.js'

declare module 'fastify' {
  interface FastifyInstance {
    [kHost]: FeatureHost
  }
}

/** Parts of the plugin that features may use. */
interface Parts {
  rules: Rules
  store: DatabaseAdapter
  log: FastifyBaseLogger
  keysFor: FeatureHost['keysFor']
  prepareScope(scope: FastifyInstance): void
}

/** Creates the interface between the plugin and its features. */
export function createFeatureHost ({ rules, store, log, keysFor, prepareScope }: Parts): FeatureHost {
  const { settings, rows, hooks, background, removals, additions } = rules
  return {
    settings,
    log,
    store,
    rows,
    keysFor,
    prepareScope,
    fire: (name, payload, context) => hooks.run(name, payload, context),
    createExternal: (values, dependents, context) => createExternalUser(rules, values, dependents, context),
    hasPassword: ({ hashed_password: hash }) => !isUnusableHash(hash),
    reclaimUnverifiedUser: (id, context) => reclaimUnverifiedUser(rules, id, context),
    deleteRefusedUser: (row, context) => deleteRefusedUser(rules, row, context),
    addErrors: (errors) => {
      const registry = settings.errors as Map<string, ErrorDefinition> // created by resolveOptions
      for (const [word, definition] of Object.entries(errors)) registry.set(word, definition)
    },
    addRemoval: (remove) => {
      removals.push(remove)
    },
    async removeAttached (user) {
      await removeAttached(rules, user, 'all')
    },
    readActingUser: (request) => readActingUser(rules, request),
    async requireCurrentPassword (request, body) {
      if (settings.sensitiveChanges === 'confirm') {
        await checkCurrentPassword(rules, await readActingUser(rules, request), body?.current_password)
      }
    },
    async revokeSessions (row) {
      await revokeSessions(rules, row)
    },
    addToReplies: (property, read) => {
      additions.set(property, read)
    },
    background: background.run
  }
}
