import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import type { Settings } from '../../../contracts/settings.js'
import { addFormParsers, BODY_ERRORS, describeRoute, errorReplies } from '../../../routes/index.js'
import { sendBrowser, type Leg } from '../flow.js'

const PASSED_ON = ['code', 'state', 'error', 'iss'] as const
const parameter = Type.Optional(Type.String({ maxLength: 4096 }))
const FormPostBody = Type.Object({
  code: parameter,
  state: Type.Optional(Type.String()),
  error: parameter,
  iss: parameter
})

/**
 * For a provider that posts its answer from its own page (OAuth 2.0 Form Post Response Mode): the browser leaves our
 * `SameSite=Lax` cookie out of such a request, so it is sent on to the same address by GET. Nothing is looked at here.
 */
export const formPostRoute: FastifyPluginAsync<{
  settings: Settings
  leg: Leg
  path: string
  operation: string
  upstream: string
}> = async (scope, { settings, leg, path, operation, upstream }) => {
  addFormParsers(scope)

  scope.post<{ Body: Partial<Record<(typeof PASSED_ON)[number], string>> }>(
    `${path}/callback`,
  {
    schema: {
      ...describeRoute(settings, {
        tags: ['auth'],
        operation,
        upstream,
        summary: 'Send the answer of a provider on',
        consumes: ['application/x-www-form-urlencoded']
      }),
      body: FormPostBody,
      response: { 303: Type.Null({ description: 'The callback.' }), ...errorReplies(settings, ...BODY_ERRORS) }
    }
  },
  async ({ body }, reply) => {
    const target = new URL(leg.redirectUri)
    for (const name of PASSED_ON) if (body[name] !== undefined) target.searchParams.set(name, body[name])
    return sendBrowser(reply, target.href, 303)
  }
  )
}
