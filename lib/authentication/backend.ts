import type { FastifyInstance } from 'fastify'
import type { Backend, BackendOptions } from '../contracts/backend.js'
import type { BackendDefaults } from '../contracts/definition.js'
import type { Strategy } from '../contracts/strategy.js'
import type { Transport } from '../contracts/transport.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'

/** Builds a backend in a scope of its own: transport and strategy as sub-plugins of it. */
export async function createBackend (
  scope: FastifyInstance,
  { name, transport, strategy, requireVerification }: BackendOptions,
  defaults: BackendDefaults
): Promise<Backend> {
  const made: { transport?: Transport; strategy?: Strategy } = {}
  await scope.register(transport.plugin, {
    defaults,
    receive: (object) => {
      made.transport = object
    }
  })
  await scope.register(strategy.plugin, {
    defaults,
    receive: (object) => {
      made.strategy = object
    }
  })
  if (typeof made.transport?.extractToken !== 'function' || typeof made.transport.sendLogin !== 'function') {
    throw incomplete(name, 'transport', 'extractToken and sendLogin')
  }
  if (typeof made.strategy?.readToken !== 'function' || typeof made.strategy.writeToken !== 'function') {
    throw incomplete(name, 'strategy', 'readToken and writeToken')
  }
  return {
    name,
    transport: made.transport,
    strategy: made.strategy,
    description: transport.describe(defaults),
    requireVerification: requireVerification ?? defaults.settings.routes.auth.requireVerification
  }
}

function incomplete (name: string, part: string, methods: string): Error {
  return FST_USERS_INVALID_OPTION([`backends["${name}"].${part}`, `must give an object with ${methods}`])
}
