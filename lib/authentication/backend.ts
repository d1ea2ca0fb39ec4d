import type { FastifyInstance } from 'fastify'
import type { Backend, BackendOptions } from '../contracts/backend.js'
import type { BackendDefaults } from '../contracts/definition.js'
import type { Strategy } from '../contracts/strategy.js'
import type { Transport } from '../contracts/transport.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'

/** Creates a backend: registers its transport and its strategy as sub-plugins of the scope. */
export async function createBackend (
  scope: FastifyInstance,
  { name, transport, strategy, requireVerification }: BackendOptions,
  defaults: BackendDefaults
): Promise<Backend> {
  const received: { transport?: Transport; strategy?: Strategy } = {}
  await scope.register(transport.plugin, {
    defaults,
    receive: (object) => {
      received.transport = object
    }
  })
  await scope.register(strategy.plugin, {
    defaults,
    receive: (object) => {
      received.strategy = object
    }
  })
  const { transport: createdTransport, strategy: createdStrategy } = received
  if (typeof createdTransport?.extractToken !== 'function' || typeof createdTransport.sendLogin !== 'function') {
    throw incompletePart(name, 'transport', 'extractToken and sendLogin')
  }
  if (typeof createdStrategy?.readToken !== 'function' || typeof createdStrategy.writeToken !== 'function') {
    throw incompletePart(name, 'strategy', 'readToken and writeToken')
  }
  return {
    name,
    transport: createdTransport,
    strategy: createdStrategy,
    description: transport.describe(defaults),
    requireVerification: requireVerification ?? defaults.settings.routes.auth.requireVerification
  }
}

function incompletePart (name: string, part: string, methods: string): Error {
  return FST_USERS_INVALID_OPTION([`backends["${name}"].${part}`, `setup() must return an object with the methods ${methods}`])
}
