import { Type, type TSchema } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import { describeRoute } from './describe-route.js'
import { errorReplies, replyOf } from './replies.js'

interface CaptchaRouteOptions {
  settings: Settings
  challenge: TSchema | undefined
  createChallenge: () => Promise<object>
}

/** Registers the route that creates challenges for the captcha widget. */
export const captchaRoute: FastifyPluginAsync<CaptchaRouteOptions> =
  async (scope, { settings, challenge = Type.Object({}, { additionalProperties: true }), createChallenge }) => {
    scope.get('/captcha', {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'captcha',
          summary: 'Get a captcha challenge',
          description: 'The widget solves the challenge and sends the solution with a form.'
        }),
        response: { 200: replyOf(challenge, 'A new challenge.'), ...errorReplies(settings) }
      },
      exposeHeadRoute: false
    }, () => createChallenge())
  }
