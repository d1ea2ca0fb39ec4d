import { Type, type Static } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { addFormParsers, BODY_ERRORS, describeRoute, errorReplies, type Settings } from '../../../feature/index.js'
import { sendBrowser } from '../browser-reply.js'
import type { ProviderFlow } from '../flow.js'

const FORWARDED = ['code', 'state', 'error', 'iss'] as const
const parameter = Type.Optional(Type.String({ maxLength: 4096 }))
const FormPostBody = Type.Object({
  code: parameter,
  state: Type.Optional(Type.String()),
  error: parameter,
  iss: parameter
})
type FormPostBody = Static<typeof FormPostBody>

interface FormPostOptions {
  settings: Settings
  providerFlow: ProviderFlow
  path: string
  operation: string
  upstream: string
}

/**
 * Registers the POST callback for a provider that posts its response from its own page (OAuth 2.0 Form Post Response
 * Mode). Browsers do not send our `SameSite=Lax` cookie with such a request, so the browser is redirected to the GET
 * callback. The parameters are not checked here.
 */
export const formPostRoute: FastifyPluginAsync<FormPostOptions> = async (scope, options) => {
  const { settings, providerFlow, path, operation, upstream } = options
  addFormParsers(scope)

  scope.post<{ Body: FormPostBody }>(
    `${path}/callback`,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation,
          upstream,
          summary: "Forward a provider's response to the callback",
          consumes: ['application/x-www-form-urlencoded']
        }),
        body: FormPostBody,
        response: {
          303: Type.Null({ description: 'Redirect to the callback.' }),
          ...errorReplies(settings, ...BODY_ERRORS)
        }
      }
    },
    async ({ body }, reply) => {
      const target = new URL(providerFlow.redirectUri)
      for (const name of FORWARDED) if (body[name] !== undefined) target.searchParams.set(name, body[name])
      return sendBrowser(reply, target.href, 303)
    }
  )
}
