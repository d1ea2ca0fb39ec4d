import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance } from 'fastify'
import { schemeName } from '../authentication/index.js'
import type { BackendOptions } from '../contracts/backend.js'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_OPENAPI_REQUIRED } from '../errors.js'

interface OpenapiObject {
  components?: { securitySchemes?: Record<string, object> }
}
interface Documented {
  schema: object
  url: string
  openapiObject?: OpenapiObject
}

/**
 * Returns the security schemes of the backends by name (OpenAPI 3.1, Security Scheme Object). `prefix` is the prefix of
 * the scope. With `openapiPasswordFlow`, bearer backends are documented as the OAuth 2 password flow (RFC 6749, section
 * 4.3).
 */
export function securitySchemes (
  backends: readonly BackendOptions[],
  settings: Settings,
  prefix = ''
): Record<string, object> {
  const {
    routes: { auth },
    openapiPasswordFlow
  } = settings
  return Object.fromEntries(
    backends.map(({ name, transport }) => {
      const { scheme } = transport.describe({ backend: name, settings })
      const hasFlow = openapiPasswordFlow && auth.enabled && scheme.type === 'http' && scheme.scheme === 'bearer'
      const tokenUrl = `${prefix}${auth.prefix}/${name}/login`
      return [
        schemeName(settings, name),
        hasFlow ? { type: 'oauth2', flows: { password: { tokenUrl, scopes: {} } } } : scheme
      ]
    })
  )
}

/**
 * Makes @fastify/swagger document the scope's routes without the application's `transform`, which may expect other
 * schemas than JSON Schemas. Adds missing security schemes to the document. For Swagger 2 documents, the generation
 * throws `FST_USERS_OPENAPI_REQUIRED`.
 */
export function documentRoutes (
  scope: FastifyInstance,
  application: FastifyInstance,
  backends: readonly BackendOptions[],
  settings: Settings
): void {
  const schemes = Object.entries(securitySchemes(backends, settings, application.prefix))
  const withoutPrefix = securitySchemes(backends, settings) // as `usersOpenapi` returns them

  function swaggerTransform ({ schema, url, openapiObject }: Documented): { schema: object; url: string } {
    if (openapiObject === undefined) throw FST_USERS_OPENAPI_REQUIRED()
    const components = (openapiObject.components ??= {})
    const given = components.securitySchemes ?? {}
    const isOurs = (name: string): boolean =>
      given[name] === undefined || isDeepStrictEqual(given[name], withoutPrefix[name])
    components.securitySchemes = { ...given, ...Object.fromEntries(schemes.filter(([name]) => isOurs(name))) }
    return { schema, url }
  }
  scope.addHook('onRoute', (route) => {
    route.config = { ...route.config, ...{ swaggerTransform } }
  })
}
