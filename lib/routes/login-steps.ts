import { Type, type TObject } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { checkbox, component, isChecked, Token, type Checkbox } from '../../schemas/index.js'
import { isCrossSite } from '../authentication/index.js'
import type { Backend } from '../contracts/backend.js'
import type { LoginStep } from '../contracts/login-step.js'
import { SECOND_FACTOR_GROUP } from '../contracts/second-factors.js'
import type { RouteGroup } from '../contracts/route-group.js'
import { FST_USERS_CROSS_SITE_REQUEST } from '../errors.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { addFormParsers } from './parsers.js'
import { BODY_ERRORS, captchaErrors, errorReplies, type ErrorWord } from './replies.js'

interface LoginStepRoutesOptions {
  backend: Backend
  steps: readonly LoginStep[]
}

/** Registers a route for the answers to each login step at one backend. */
export const loginStepRoutes: RouteGroup<UsersService, LoginStepRoutesOptions> = async (scope, options) => {
  addFormParsers(scope)
  for (const step of options.steps) addStepRoute(scope, options, step)
}

function addStepRoute (
  scope: FastifyInstance,
  { users, settings, backend }: Parameters<typeof loginStepRoutes>[1],
  { name: step, group, summary = `Answer the login step ${step}`, body, errors = [] }: LoginStep
): void {
  const { transport, description, name } = backend
  const canTrust = group === SECOND_FACTOR_GROUP && transport.ambient && settings.secondFactors.trustedDevices !== null
  scope.post<{ Body: { ticket: string; trust_device?: Checkbox } }>(
    `/login/${step}`,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `login:${name}.${step}`,
          attempt: 'loginStep',
          upstream: `auth:${name}.login.${step}`,
          summary,
          consumes: ['application/x-www-form-urlencoded', 'multipart/form-data', 'application/json']
        }),
        body: answerBody(canTrust ? `${step}-trusted` : step, body, canTrust),
        response: {
          ...description.login,
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            'LOGIN_TICKET_INVALID',
            'LOGIN_PENDING',
            ...captchaErrors(settings, 'loginStep'),
            'TOO_MANY_ATTEMPTS',
            ...(transport.ambient ? ['CROSS_SITE_REQUEST' as const] : []),
            ...(errors as readonly ErrorWord[]) // the start has checked that they are codes
          )
        }
      },
      onRequest: async (request) => {
        if (transport.ambient && isCrossSite(request, settings, transport)) throw FST_USERS_CROSS_SITE_REQUEST()
      }
    },
    async (request, reply) => {
      const { ticket, ...given } = request.body
      const { trust_device: trust, ...answer } = canTrust ? given : { ...given, trust_device: undefined }
      const trustDevice = isChecked(trust)
      const issued = await users.resumeSession(backend, { ticket, step, answer, trustDevice }, { request, reply })
      return transport.sendLogin(reply, issued)
    }
  )
}

const TRUST = {
  trust_device: Type.Optional(checkbox('Skip the second factor in this browser from now on. Default: false.'))
}

/** Returns the schema of an answer with the ticket. */
function answerBody (
  step: string,
  { type: _type, properties, required: _required, ...rest }: TObject,
  canTrust: boolean
): TObject {
  const name = step.replace(/(?:^|[_-])([a-z0-9]?)/g, (_match, letter: string) => letter.toUpperCase())
  return Type.Object({ ticket: Token, ...properties, ...(canTrust ? TRUST : {}) }, { ...rest, ...component(`Login${name}`) })
}
