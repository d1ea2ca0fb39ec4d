import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import {
  acceptMissingBody,
  authenticate,
  currentUser,
  describeRoute,
  errorReplies,
  ownAccountGuard,
  replyOf,
  rereadSession,
  stepUpBody,
  type FeatureKit,
  type CurrentPasswordBody
} from '../../feature/index.js'
import type { StoredCodes } from './codes.js'
import { FST_USERS_RECOVERY_CODES_NOT_NEEDED } from './errors.js'
import { RecoveryCodesCreated, RecoveryCodesRead } from './schemas.js'
import type { RecoveryCodes } from './source.js'

interface RecoveryCodeRoutesOptions {
  kit: FeatureKit
  stored: StoredCodes
  codes: RecoveryCodes
}

/** A stolen session could otherwise create codes, and remove a factor with one of them. */
const STEP_UP = { inEveryMode: true }

/** Registers the routes with which users count and replace their recovery codes. */
export const recoveryCodeRoutes: FastifyPluginAsync<RecoveryCodeRoutesOptions> = async (scope, options) => {
  addCountCodesRoute(scope, options)
  addReplaceRoute(scope, options)
}

function addCountCodesRoute (scope: FastifyInstance, { kit: { settings }, stored }: RecoveryCodeRoutesOptions): void {
  scope.get('/me/recovery-codes', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'recoveryCodes',
        summary: 'Count your recovery codes'
      }),
      response: {
        200: replyOf(RecoveryCodesRead, 'The number of codes that are left.'),
        ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN')
      }
    },
    onRequest: ownAccountGuard(settings),
    exposeHeadRoute: false
  }, async (request) => await stored.state(currentUser(request)))
}

function addReplaceRoute (scope: FastifyInstance, { kit, codes }: RecoveryCodeRoutesOptions): void {
  const { settings } = kit
  const own = authenticate({ verified: true }) // another person may have registered the e-mail
  const { body, errors } = stepUpBody(settings, STEP_UP)
  scope.post<{ Body: CurrentPasswordBody | undefined }>('/me/recovery-codes', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'createRecoveryCodes',
        summary: 'Create new recovery codes',
        description: 'The reply contains the codes. They cannot be read again. Former codes no longer work.'
      }),
      ...body,
      response: {
        201: replyOf(RecoveryCodesCreated, 'The new codes.'),
        ...errorReplies(
          settings,
          'UNAUTHENTICATED',
          'FORBIDDEN',
          'CROSS_SITE_REQUEST',
          'RECOVERY_CODES_NOT_NEEDED',
          ...errors
        )
      }
    },
    onRequest: own,
    preValidation: acceptMissingBody,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    await kit.requireStepUp(request, request.body, STEP_UP)
    const user = kit.rows.toUser(await kit.readActingUser(request))
    if ((await kit.secondFactors.count(user)) === 0) throw FST_USERS_RECOVERY_CODES_NOT_NEEDED()
    return await reply.code(201).send({ codes: await codes.replace(user, { request, reply }) })
  })
}
