import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { DefinitionOptions } from '../contracts/definition.js'
import type { Strategy, StrategyDefinition, StrategySpec } from '../contracts/strategy.js'

/** Makes a strategy: an encapsulated sub-plugin that hands what `setup` returns to its backend. */
export function defineStrategy ({ name, setup }: StrategySpec): StrategyDefinition {
  const plugin: FastifyPluginAsync<DefinitionOptions<Strategy>> = async (scope, { defaults, receive }) => {
    receive(await setup(scope, defaults))
  }
  return {
    kind: 'strategy',
    name,
    // fp returns what it got
    plugin: fp(plugin, { name: `fastify-users:strategy:${name}`, fastify: '5.x', encapsulate: true }) as typeof plugin
  }
}
