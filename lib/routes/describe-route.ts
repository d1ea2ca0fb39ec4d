import type { FastifySchema } from 'fastify'
import type { Settings } from '../contracts/settings.js'

/** Description of a route for the API document. */
export interface RouteDescription {
  /** Tags that group routes, such as `auth` and `users`. */
  readonly tags: readonly string[]
  /** Operation id, without the prefix for a registration whose `name` is not the default. */
  readonly operation: string
  /** Name of the route in FastAPI Users. Default: `operation`. */
  readonly upstream?: string
  readonly summary: string
  readonly description?: string
  readonly consumes?: readonly string[]
}

/** Returns the part of a route's schema that only the API document uses. */
export function describeRoute (
  { name, wire }: Settings,
  { operation, upstream = operation, summary, ...rest }: RouteDescription
): FastifySchema {
  const schema: object = { ...rest, ...wire.operations.describe({ name, operation, upstream, summary }) }
  return schema // FastifySchema does not declare the keywords of API documents
}
