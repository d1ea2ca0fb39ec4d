import { Type, type TObject } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import { checkbox, component, isChecked, Token, type Checkbox } from '../../schemas/index.js'
import { authenticate, refuseCrossSite } from '../authentication/index.js'
import type { Backend } from '../contracts/backend.js'
import type { LoginAnswer, LoginStep } from '../contracts/login-step.js'
import type { RouteGroup } from '../contracts/route-group.js'
import { SECOND_FACTOR_GROUP } from '../contracts/second-factors.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { addFormParsers } from './parsers.js'
import { BODY_ERRORS, captchaErrors, errorReplies, type ErrorWord } from './replies.js'
import { rereadSession } from './reread-session.js'

type StepRoutesOptions = Parameters<typeof loginStepRoutes>[1]

interface LoginStepRoutesOptions {
  backend: Backend
  steps: readonly LoginStep[]
}

/** Registers a route for the answers to each login step at one backend. */
export const loginStepRoutes: RouteGroup<UsersService, LoginStepRoutesOptions> = async (scope, options) => {
  addFormParsers(scope)
  for (const step of options.steps) {
    addStepRoute(scope, options, step, loginKind(options, step))
    const isFactor = step.group === SECOND_FACTOR_GROUP && step.loginOnly !== true
    if (isFactor) addStepRoute(scope, options, step, reauthenticationKind(options))
  }
}

/** The operation that a group of routes continues: a login or a reauthentication. */
interface StepKind {
  readonly path: 'login' | 'reauthenticate'
  /** The user can ask to trust the device. */
  readonly canTrust: boolean
  readonly summary: string
  readonly errors: readonly ErrorWord[]
  readonly hooks: Pick<RouteShorthandOptions, 'onRequest' | 'preHandler'>
  resume(answer: LoginAnswer, context: { request: FastifyRequest; reply: FastifyReply }): Promise<IssuedToken>
}

function loginKind ({ users, settings, backend }: StepRoutesOptions, { group }: LoginStep): StepKind {
  const { transport } = backend
  const isFactor = group === SECOND_FACTOR_GROUP
  return {
    path: 'login',
    canTrust: isFactor && transport.ambient && settings.secondFactors.trustedDevices !== null,
    summary: 'Answer the login step',
    errors: transport.ambient ? ['CROSS_SITE_REQUEST'] : [],
    hooks: {
      onRequest: refuseCrossSite(settings, transport)
    },
    resume: (answer, context) => users.resumeSession(backend, answer, context)
  }
}

function reauthenticationKind ({ users, backend }: StepRoutesOptions): StepKind {
  const own = authenticate({ backends: [backend.name], verified: backend.requireVerification })
  return {
    path: 'reauthenticate',
    canTrust: false,
    summary: 'Authenticate again with the step',
    errors: [
      'UNAUTHENTICATED',
      'INSUFFICIENT_USER_AUTHENTICATION',
      ...(backend.requireVerification ? ['FORBIDDEN' as const] : []),
      ...(backend.transport.ambient ? ['CROSS_SITE_REQUEST' as const] : [])
    ],
    hooks: { onRequest: own, preHandler: rereadSession(own) },
    resume: (answer, context) => users.renewSession(answer, context)
  }
}

function addStepRoute (
  scope: FastifyInstance,
  { settings, backend }: StepRoutesOptions,
  { name: step, summary, body, errors = [] }: LoginStep,
  kind: StepKind
): void {
  const { transport, description, name } = backend
  const operation = `${kind.path}:${name}.${step}`
  const { canTrust } = kind
  scope.post<{ Body: { ticket: string; trust_device?: Checkbox } }>(
    `/${kind.path}/${step}`,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation,
          attempt: 'loginStep',
          upstream: `auth:${name}.${kind.path}.${step}`,
          summary: (kind.path === 'login' ? summary : undefined) ?? `${kind.summary} ${step}`,
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
            ...kind.errors,
            ...(errors as readonly ErrorWord[]) // the start has checked that they are codes
          )
        }
      },
      ...kind.hooks
    },
    async (request, reply) => {
      const { ticket, ...given } = request.body
      const { trust_device: trust, ...answer } = canTrust ? given : { ...given, trust_device: undefined }
      const issued = await kind.resume({ ticket, step, answer, trustDevice: isChecked(trust) }, { request, reply })
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
