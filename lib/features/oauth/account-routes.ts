import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import {
  acceptMissingBody,
  currentUser,
  describeRoute,
  errorReplies,
  ownAccountGuard,
  replyOf,
  rereadSession,
  stepUpBody,
  type FeatureKit,
  type UserId,
  type CurrentPasswordBody
} from '../../feature/index.js'
import { FST_USERS_OAUTH_ACCOUNT_NOT_FOUND } from './errors.js'
import type { OauthAccount, OauthAccounts } from './contracts.js'
import { oauthAccountRead } from './schemas.js'

export interface AccountRoutesOptions {
  kit: FeatureKit
  accounts: OauthAccounts
}

/** Registers the routes that list and unlink the accounts of the user of the request. */
export const oauthAccountRoutes: FastifyPluginAsync<AccountRoutesOptions> = async (scope, { kit, accounts }) => {
  addListAccountsRoute(scope, { kit, accounts })
  addUnlinkRoute(scope, { kit, accounts })
}

function addListAccountsRoute (scope: FastifyInstance, { kit: { settings }, accounts }: AccountRoutesOptions): void {
  scope.get(
    '/me/oauth-accounts',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['users'],
          operation: 'oauthAccounts',
          upstream: 'users:oauth_accounts',
          summary: 'List your linked accounts'
        }),
        response: {
          200: replyOf(Type.Array(oauthAccountRead(settings.schemas.id)), 'The linked accounts.'),
          ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN')
        }
      },
      onRequest: ownAccountGuard(settings),
      exposeHeadRoute: false
    },
    async (request) => accounts.list(currentUser(request).id as UserId) // the id kind of the registered schemas
  )
}

function addUnlinkRoute (scope: FastifyInstance, { kit, accounts }: AccountRoutesOptions): void {
  const { settings } = kit
  const idKind = settings.schemas.id
  const { body, errors } = stepUpBody(settings)
  const own = ownAccountGuard(settings)

  scope.delete<{ Params: { id: string }; Body: CurrentPasswordBody | undefined }>(
    '/me/oauth-accounts/:id',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['users'],
          operation: 'unlinkOauthAccount',
          upstream: 'users:unlink_oauth_account',
          summary: 'Unlink an account',
          description: 'The only way to log in cannot be removed: set a password first.'
        }),
        params: Type.Object({ id: Type.String() }),
        ...body,
        response: {
          204: Type.Null({ description: 'The account is unlinked.' }),
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'FORBIDDEN',
            'CROSS_SITE_REQUEST',
            'OAUTH_ACCOUNT_NOT_FOUND',
            'OAUTH_LAST_LOGIN_METHOD',
            ...errors
          )
        }
      },
      onRequest: own,
      preValidation: acceptMissingBody,
      preHandler: rereadSession(own)
    },
    async (request, reply) => {
      await kit.requireStepUp(request, request.body)
      const id = idKind.parse(request.params.id) as OauthAccount['id'] | null // accounts have ids of the users' kind
      if (id === null) throw FST_USERS_OAUTH_ACCOUNT_NOT_FOUND()
      await accounts.unlink(await kit.readActingUser(request), id, { request, reply })
      return reply.code(204).send()
    }
  )
}
