import {
  authenticate,
  BODY_ERRORS,
  currentUser,
  describeRoute,
  errorReplies,
  FST_USERS_LOGIN_BAD_CREDENTIALS,
  FST_USERS_UNKNOWN_BACKEND,
  rereadSession,
  Type,
  type FeatureKit
} from 'fastify-users/feature'
import type { FastifyInstance } from 'fastify'
import { pinErrors } from './errors.js'
import type { PinRows } from './rows.js'

export const Pin = Type.String({ pattern: '^[0-9]{6,12}$' })

/** Registers the routes that set a PIN and log in with one. */
export async function registerPinRoutes (scope: FastifyInstance, kit: FeatureKit, rows: PinRows): Promise<void> {
  const { settings } = kit
  const own = authenticate()

  scope.put<{ Body: { pin: string } }>('/users/me/pin', {
    schema: {
      ...describeRoute(settings, { tags: ['users'], operation: 'setPin', summary: 'Set your PIN' }),
      body: Type.Object({ pin: Pin }),
      response: {
        204: Type.Null({ description: 'The PIN is set.' }),
        ...errorReplies(settings, 'UNAUTHENTICATED', 'CROSS_SITE_REQUEST', 'PIN_TOO_SIMPLE', ...BODY_ERRORS)
      }
    },
    onRequest: own,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    const { pin } = request.body
    if (new Set(pin).size === 1) throw pinErrors.FST_USERS_PIN_TOO_SIMPLE()
    const user = currentUser(request)
    await rows.set(user, pin)
    await kit.fire('onAfterSetPin', { user }, { request, reply })
    return reply.code(204).send()
  })

  const [backend] = kit.users.backends.values()
  if (backend === undefined) throw FST_USERS_UNKNOWN_BACKEND()
  scope.post<{ Body: { email: string, pin: string } }>('/auth/pin/login', {
    schema: {
      ...describeRoute(settings, { tags: ['auth'], operation: 'loginWithPin', summary: 'Log in with a PIN' }),
      body: Type.Object({ email: Type.String(), pin: Pin }),
      response: { ...backend.description.login, ...errorReplies(settings, 'LOGIN_BAD_CREDENTIALS', ...BODY_ERRORS) }
    }
  }, async (request, reply) => {
    const { email, pin } = request.body
    const row = await kit.rows.getByEmail(email)
    if (row === null || !(await rows.isRight(row, pin))) throw FST_USERS_LOGIN_BAD_CREDENTIALS()
    return backend.transport.sendLogin(reply, await kit.startSession(backend, row, { request, reply, method: 'pin' }))
  })
}
