import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import {
  acceptMissingBody,
  authenticate,
  BODY_ERRORS,
  captchaErrors,
  currentUser,
  describeRoute,
  errorReplies,
  ownAccountGuard,
  replyOf,
  rereadSession,
  stepUpBody,
  Type,
  type FeatureKit,
  type UserId,
  type CurrentPasswordBody
} from '../../feature/index.js'
import type { AccountApi } from './contracts.js'
import type { AccountSettings } from './options.js'
import { accountExport, DeletionReply, UndoDeletionBody } from './schemas.js'

interface RoutesOptions {
  readonly kit: FeatureKit
  readonly settings: AccountSettings
  readonly api: AccountApi
}

/** A deletion cannot be undone, so it needs a step-up in every mode. */
const STEP_UP = { inEveryMode: true }

/** Registers the routes with which users delete and export their account. */
export const accountRoutes: FastifyPluginAsync<RoutesOptions> = async (scope, options) => {
  const { settings } = options
  if (settings.hasDeleteRoute) addDeleteAccountRoute(scope, options)
  if (settings.hasDeleteRoute && settings.delayMs > 0) addUndoRoute(scope, options)
  if (settings.hasExportRoute) addExportRoute(scope, options)
}

function addDeleteAccountRoute (scope: FastifyInstance, { kit, settings: { delayMs }, api }: RoutesOptions): void {
  const { settings } = kit
  const own = ownAccountGuard(settings)
  const { body, errors } = stepUpBody(settings, STEP_UP)
  scope.delete<{ Body: CurrentPasswordBody | undefined }>(
    `${settings.routes.users.prefix}/me`,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['users'],
          operation: 'deleteAccount',
          summary: 'Delete your account',
          description:
            delayMs === 0
              ? 'Deletes the account and ends all sessions.'
              : 'Deactivates the account and ends all sessions. It is deleted later; the link of a mail undoes that.'
        }),
        ...body,
        response: {
          ...(delayMs === 0
            ? { 204: Type.Null({ description: 'The account is deleted.' }) }
            : { 202: replyOf(DeletionReply, 'The account is deactivated, and will be deleted.') }),
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'FORBIDDEN',
            'CROSS_SITE_REQUEST',
            'LAST_SUPERUSER',
            ...errors
          )
        }
      },
      onRequest: own,
      preValidation: acceptMissingBody,
      preHandler: rereadSession(own)
    },
    async (request, reply) => {
      await kit.requireStepUp(request, request.body, STEP_UP)
      const row = await kit.readActingUser(request)
      const deletesAt = await api.delete(row.id as UserId, { request, reply })
      if (deletesAt === null) return reply.code(204).send()
      return reply.code(202).send({ deletes_at: deletesAt.toISOString() })
    }
  )
}

function addUndoRoute (scope: FastifyInstance, { kit: { settings }, api }: RoutesOptions): void {
  scope.post<{ Body: UndoDeletionBody }>(
    `${settings.routes.auth.prefix}/undo-deletion`,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'undoDeletion',
          attempt: 'account-undo-deletion',
          summary: 'Undo the deletion of an account',
          description: 'Activates the account again. Its sessions have ended.'
        }),
        body: UndoDeletionBody,
        response: {
          204: Type.Null({ description: 'The account is active again.' }),
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            ...captchaErrors(settings, 'account-undo-deletion'),
            'UNDO_DELETION_BAD_TOKEN',
            'TOO_MANY_ATTEMPTS'
          )
        }
      }
    },
    async (request, reply) => {
      await api.undoDeletion(request.body.token, { request, reply })
      return reply.code(204).send()
    }
  )
}

function addExportRoute (scope: FastifyInstance, { kit }: RoutesOptions): void {
  const { settings } = kit
  scope.get(
    `${settings.routes.users.prefix}/me/export`,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['users'],
          operation: 'exportAccount',
          summary: 'Export your account',
          description: 'Your profile, sessions and all data of features, without secrets. It needs a fresh login.'
        }),
        response: {
          200: replyOf(accountExport(settings), 'The data of the account.'),
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'INSUFFICIENT_USER_AUTHENTICATION',
            'FORBIDDEN',
            'TOO_MANY_ATTEMPTS'
          )
        }
      },
      onRequest: authenticate({
        verified: settings.routes.users.requireVerification,
        fresh: settings.reauthentication.maxAgeSeconds // one request must not give a stolen session all data
      }),
      exposeHeadRoute: false
    },
    async (request, reply) => {
      const user = currentUser(request)
      await kit.attempts.begin('account-export', { context: { request, reply } })
      await kit.requireStepUp(request)
      kit.audit.emit({ event: 'user.export', user }, { request, reply })
      reply.header('content-disposition', 'attachment; filename="account.json"')
      return await kit.users.exportData(user)
    }
  )
}
