import type { FastifyInstance, FastifySchema } from 'fastify'
import type { Settings } from '../contracts/settings.js'

interface Description {
  tags: ['auth'] | ['users']
  /** Name of the operation; the registration's name comes in front when it is not the default. */
  operation: string
  /** The route's name in FastAPI Users. */
  upstream: string
  summary: string
  description?: string
  consumes?: readonly string[]
}

/** What the API document says of a route, as a part of its schema. */
export function describeRoute (
  { name, operationIds }: Settings,
  { operation, upstream, ...rest }: Description
): FastifySchema {
  const schema: object =
    operationIds === 'fastapi'
      ? { ...rest, operationId: upstream, summary: titleOf(upstream) }
      : { ...rest, operationId: name === 'users' ? operation : `${name}.${operation}` }
  return schema // keywords of the API document, which Fastify's own type does not know
}

/** Completes operation ids as FastAPI makes them: name, path and method, so that generated clients keep their names. */
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

/** `users:patch_current_user` reads `Users:Patch Current User`. */
function titleOf (upstream: string): string {
  return upstream
    .replaceAll('_', ' ')
    .toLowerCase()
    .replace(/(^|[^a-z])([a-z])/g, (_match, before: string, letter: string) => before + letter.toUpperCase())
}
