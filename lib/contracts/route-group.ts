import type { FastifyPluginAsync } from 'fastify'
import type { Settings } from './settings.js'

/** A group of routes: a plugin that is mounted under its prefix. `Users` is the service that its handlers call. */
export type RouteGroup<Users, More extends object = object> = FastifyPluginAsync<
  { users: Users; settings: Settings } & More
>
