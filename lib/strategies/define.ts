import type { FastifyPluginAsync } from 'fastify'
import type { DefinitionOptions } from '../contracts/definition.js'
import type { Strategy, StrategyDefinition, StrategySpec } from '../contracts/strategy.js'
import packages from '../packages.cjs'

/** Creates a strategy definition: an encapsulated sub-plugin that passes the strategy from `setup` to its backend. */
export function defineStrategy ({ name, models, setup }: StrategySpec): StrategyDefinition {
  const plugin: FastifyPluginAsync<DefinitionOptions<Strategy>> = async (scope, { defaults, receive }) => {
    receive(await setup(scope, defaults))
  }
  return {
    kind: 'strategy',
    name,
    ...(models === undefined ? {} : { models }),
    // fp returns the function that it was given
    plugin: packages.fp(plugin, { name: `fastify-users:strategy:${name}`, fastify: '5.x', encapsulate: true }) as typeof plugin
  }
}
