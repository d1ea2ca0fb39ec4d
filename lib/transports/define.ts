import type { FastifyPluginAsync } from 'fastify'
import type { DefinitionOptions } from '../contracts/definition.js'
import type { Transport, TransportDefinition, TransportSpec } from '../contracts/transport.js'
import packages from '../packages.cjs'

/** Creates a transport definition: an encapsulated sub-plugin that passes the transport from `setup` to its backend. */
export function defineTransport ({ name, describe, setup }: TransportSpec): TransportDefinition {
  const plugin: FastifyPluginAsync<DefinitionOptions<Transport>> = async (scope, { defaults, receive }) => {
    receive(await setup(scope, defaults))
  }
  return {
    kind: 'transport',
    name,
    describe,
    // fp returns the function that it was given
    plugin: packages.fp(plugin, { name: `fastify-users:transport:${name}`, fastify: '5.x', encapsulate: true }) as typeof plugin
  }
}
