import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifySchema } from 'fastify'
import { usersOpenapi, type UsersOptions } from 'fastify-users'

/** Content security policy: the page loads resources from this server only, and nothing inline. */
const POLICY = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'"
}

/** Serves the API page at `/docs` and the OpenAPI document at `/docs/json`. Call it before registering the routes. */
export async function addApiPage (app: FastifyInstance, options: UsersOptions): Promise<void> {
  const { openapi, transformObject } = usersOpenapi(options)
  await app.register(swagger, {
    openapi: { ...openapi, info: { title: 'Example of fastify-users', version: '1.0.0' } },
    transformObject
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: POLICY,
    theme: { title: 'Example of fastify-users' },
    uiConfig: { layout: 'BaseLayout' } // without the top bar, because its logo needs inline styles
  })
}

/** Returns the schema of a route that replies with one string, in a property with the name of the route. */
export function describeRoute (name: string, summary: string): FastifySchema {
  return { operationId: name, summary, tags: ['example'], response: { 200: Type.Object({ [name]: Type.String() }) } }
}
