import type { FastifyInstance, FastifySchema } from 'fastify'
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
  { name, operationIds }: Settings,
  { operation, upstream, ...rest }: Description
): FastifySchema {
  const schema: object =
    operationIds === 'fastapi'
      ? { ...rest, operationId: upstream, summary: titleOf(upstream) }
      : { ...rest, operationId: name === 'users' ? operation : `${name}.${operation}` }
  return schema // FastifySchema does not declare the keywords of API documents
}

/** Completes operation ids as FastAPI does, from name, path and method, so that generated clients keep their names. */
export function completeOperationIds (scope: FastifyInstance, { operationIds }: Settings): void {
  if (operationIds !== 'fastapi') return
  scope.addHook('onRoute', (route) => {
    const { operationId } = route.schema as { operationId?: string }
    const path = route.url.replace(/:(\w+)/g, '{$1}')
    route.schema = {
      ...route.schema,
      ...{ operationId: `${operationId}${path}`.replace(/\W/g, '_') + `_${String(route.method).toLowerCase()}` }
    }
  })
}

/** Returns the summary as FastAPI does: `users:patch_current_user` becomes `Users:Patch Current User`. */
function titleOf (upstream: string): string {
  return upstream
    .replaceAll('_', ' ')
    .toLowerCase()
    .replace(/(^|[^a-z])([a-z])/g, (_match, before: string, letter: string) => before + letter.toUpperCase())
}
