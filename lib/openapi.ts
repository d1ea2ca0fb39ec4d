import { isDeepStrictEqual } from 'node:util'
import { CODES, COMPONENT, OPTIONAL_BODY } from '../schemas/index.js'
import { featureBackendsOf } from './feature-backends.js'
import type { UsersOptions } from './options.js'
import { resolveOptions } from './resolve-options.js'
import { securitySchemes } from './routes/index.js'

type Json = Record<string, unknown>

/** A Security Scheme Object (OpenAPI 3.1, section 4.8.27). */
export type SecurityScheme =
  | { type: 'http'; scheme: string }
  | { type: 'apiKey'; name: string; in: string }
  | { type: 'oauth2'; flows: { password?: { tokenUrl: string; scopes: Record<string, string> } } }
  | { type: 'openIdConnect'; openIdConnectUrl: string }

/** Options for `@fastify/swagger`. Spread `openapi` into its option of that name. */
export interface UsersOpenapi {
  openapi: { openapi: '3.1.0'; components: { securitySchemes: Record<string, SecurityScheme> } }
  transformObject(documents: object): { components: { schemas: {} } }
}

/**
 * Returns the options of `@fastify/swagger` that describe the plugin in an OpenAPI 3.1 document, for one tenant or
 * several: a security scheme per backend, and named components for the schemas of the plugin's routes. Throws the same
 * option errors as the registration of the plugin.
 */
export function usersOpenapi (...registrations: readonly [UsersOptions, ...UsersOptions[]]): UsersOpenapi {
  return {
    openapi: {
      openapi: '3.1.0',
      components: {
        securitySchemes: Object.assign(
          {},
          ...registrations.map((options) =>
            securitySchemes(
              [...options.backends, ...featureBackendsOf(options.features)],
              resolveOptions(options).settings
            )
          )
        ) as Record<string, SecurityScheme> // transports return security schemes
      }
    },
    // Swagger 2 documents have `swaggerObject` instead; `FST_USERS_OPENAPI_REQUIRED` refuses them
    transformObject: (documents) => moveComponents((documents as { openapiObject: Json }).openapiObject)
  }
}

/** Moves the plugin's schemas to `components.schemas`. The application's own schemas stay where they are. */
function moveComponents (document: Json): Json & { components: { schemas: Json } } {
  const { components = {}, paths = {} } = document as { components?: { schemas?: Json }; paths?: Json }
  const schemas: Json = { ...components.schemas }
  const moved = Object.fromEntries(
    Object.entries(paths).map(([path, operations]) => [path, moveSchemas(operations, schemas, '')])
  )
  return { ...document, paths: moved, components: { ...components, schemas } }
}

function moveSchemas (value: unknown, schemas: Json, tenant: string): unknown {
  if (Array.isArray(value)) return value.map((item) => moveSchemas(item, schemas, tenant))
  if (typeof value !== 'object' || value === null) return value
  const owner = 'operationId' in value ? operationTenant(String(value.operationId)) : tenant
  const {
    [COMPONENT]: name,
    [CODES]: codes,
    [OPTIONAL_BODY]: hasOptionalBody,
    ...rest
  } = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, moveSchemas(inner, schemas, owner)])) as Json
  // @fastify/swagger documents every body as required
  if (hasOptionalBody === true) Object.assign(rest, { requestBody: { ...(rest['requestBody'] as Json), required: false } })
  if (typeof name !== 'string') return rest
  const component = { $ref: `#/components/schemas/${addComponent(name, rest, schemas, owner)}` }
  return codes === undefined
    ? component
    : { allOf: [component, { type: 'object', properties: { code: { enum: codes } }, required: ['code'] }] }
}

/** Adds a component and returns its name. The tenant's name is put in front if another schema has the name already. */
function addComponent (name: string, schema: Json, schemas: Json, tenant: string): string {
  for (const candidate of [name, `${tenant}${name}`, `Users${name}`]) {
    const taken = schemas[candidate]
    if (taken !== undefined && !isDeepStrictEqual(taken, schema)) continue
    schemas[candidate] = schema
    return candidate
  }
  return addComponent(`${name}_`, schema, schemas, tenant)
}

/** Returns the capitalized tenant of an operation id: `Staff` for `staff.login:jwt`, empty without a tenant. */
function operationTenant (operationId: string): string {
  const dot = operationId.indexOf('.')
  return dot < 1 ? '' : operationId.charAt(0).toUpperCase() + operationId.slice(1, dot)
}
