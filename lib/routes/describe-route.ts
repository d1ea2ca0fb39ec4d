import type { FastifySchema } from 'fastify'
import type { Settings } from '../contracts/settings.js'

interface Description {
  tags: ['auth'] | ['users']
  /** Operation id, without the prefix for a registration whose `name` is not the default. */
  operation: string
  /** Name of the route in FastAPI Users. */
  upstream: string
  summary: string
  description?: string
  consumes?: readonly string[]
}

/** Returns the part of a route's schema that only the API document uses. */
export function describeRoute (
  { name, wire }: Settings,
  { operation, upstream, summary, ...rest }: Description
): FastifySchema {
  const schema: object = { ...rest, ...wire.operations.describe({ name, operation, upstream, summary }) }
  return schema // FastifySchema does not declare the keywords of API documents
}
