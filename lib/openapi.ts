import { isDeepStrictEqual } from 'node:util'
import { CODES, COMPONENT } from '../schemas/index.js'
import { resolveOptions, type UsersOptions } from './options.js'
import { securitySchemes } from './routes/index.js'

type Json = Record<string, unknown>

/** A Security Scheme Object (OpenAPI 3.1, section 4.8.27). */
export type SecurityScheme =
  | { type: 'http'; scheme: string }
  | { type: 'apiKey'; name: string; in: string }
  | { type: 'oauth2'; flows: { password?: { tokenUrl: string; scopes: Record<string, string> } } }
  | { type: 'openIdConnect'; openIdConnectUrl: string }

/** What the application spreads into the options of `@fastify/swagger`. */
export interface UsersOpenapi {
  openapi: { openapi: '3.1.0'; components: { securitySchemes: Record<string, SecurityScheme> } }
  transformObject(documents: object): { components: { schemas: {} } }
}

/**
 * The users' part of an OpenAPI 3.1 document, for one registration or several: a security scheme per backend, and named
 * components for the schemas of our routes. Throws what registering with these options throws.
 */
export function usersOpenapi (...registrations: readonly [UsersOptions, ...UsersOptions[]]): UsersOpenapi {
  return {
    openapi: {
      openapi: '3.1.0',
      components: {
        securitySchemes: Object.assign(
          {},
          ...registrations.map((options) => securitySchemes(options.backends, resolveOptions(options).settings))
        ) as Record<string, SecurityScheme>
      }
    }, // what the transports describe
    // the other kind is Swagger 2
    transformObject: (documents) => hoistComponents((documents as { openapiObject: Json }).openapiObject)
  }
}

/** Moves every schema of ours to `components.schemas`; the application's own schemas stay where they are. */
function hoistComponents (document: Json): Json & { components: { schemas: Json } } {
  const { components = {}, paths = {} } = document as { components?: { schemas?: Json }; paths?: Json }
  const schemas: Json = { ...components.schemas }
  const moved = Object.fromEntries(
    Object.entries(paths).map(([path, operations]) => [path, hoist(operations, schemas, '')])
  )
  return { ...document, paths: moved, components: { ...components, schemas } }
}

function hoist (value: unknown, schemas: Json, population: string): unknown {
  if (Array.isArray(value)) return value.map((item) => hoist(item, schemas, population))
  if (typeof value !== 'object' || value === null) return value
  const owner = 'operationId' in value ? populationOf(String(value.operationId)) : population
  const {
    [COMPONENT]: name,
    [CODES]: codes,
    ...rest
  } = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, hoist(inner, schemas, owner)])) as Json
  if (typeof name !== 'string') return rest
  const component = { $ref: `#/components/schemas/${place(name, rest, schemas, owner)}` }
  return codes === undefined
    ? component
    : { allOf: [component, { type: 'object', properties: { code: { enum: codes } }, required: ['code'] }] }
}

/** The component's name: its own, or with the population in front where another schema has it. */
function place (name: string, schema: Json, schemas: Json, population: string): string {
  for (const candidate of [name, `${population}${name}`, `Users${name}`]) {
    const taken = schemas[candidate]
    if (taken !== undefined && !isDeepStrictEqual(taken, schema)) continue
    schemas[candidate] = schema
    return candidate
  }
  return place(`${name}_`, schema, schemas, population)
}

/** `staff.login:jwt` belongs to the population `Staff`. */
function populationOf (operationId: string): string {
  const dot = operationId.indexOf('.')
  return dot < 1 ? '' : operationId.charAt(0).toUpperCase() + operationId.slice(1, dot)
}
