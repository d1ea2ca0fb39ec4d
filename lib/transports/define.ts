import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { DefinitionOptions } from '../contracts/definition.js'
import type { Transport, TransportDefinition, TransportSpec } from '../contracts/transport.js'

/** Makes a transport: an encapsulated sub-plugin that hands what `setup` returns to its backend. */
export function defineTransport ({ name, describe, setup }: TransportSpec): TransportDefinition {
  const plugin: FastifyPluginAsync<DefinitionOptions<Transport>> = async (scope, { defaults, receive }) => {
    receive(await setup(scope, defaults))
  }
  return {
    kind: 'transport',
    name,
    describe,
    // fp returns what it got
    plugin: fp(plugin, { name: `fastify-users:transport:${name}`, fastify: '5.x', encapsulate: true }) as typeof plugin
  }
}
