import { jwtStrategy } from 'fastify-users'
import { memory } from 'fastify-users/memory'
import { ours } from './support/ours.js'
import { serve } from './support/serve.js'

serve(async (settings) =>
  ours(settings, { adapter: () => memory(), strategy: () => jwtStrategy({ lifetimeSeconds: 3600 }) })
)
