import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { CurrentPasswordBody, oauthAccountRead } from '../../../schemas/index.js'
import { authenticate, currentUser } from '../../authentication/index.js'
import type { FeatureHost } from '../../contracts/feature-host.js'
import type { UserId } from '../../contracts/user.js'
import { FST_USERS_OAUTH_ACCOUNT_NOT_FOUND } from '../../errors.js'
import {
  CONFIRM_ERRORS,
  describeRoute,
  errorReplies,
  replyOf,
  rereadSession,
  UNREAD_BODY_ERRORS
} from '../../routes/index.js'
import type { OauthAccount, OauthAccounts } from './contracts.js'

/** What these routes work with. */
export interface AccountRoutesOptions {
  host: FeatureHost
  accounts: OauthAccounts
}

/**
 * The accounts of the user whom the request comes from: the list, and the way out of one. The scope around them is one
 * of ours.
 */
export const accountRoutes: FastifyPluginAsync<AccountRoutesOptions> = async (scope, { host, accounts }) => {
  const { settings } = host
  const {
    schemas: { id: kind },
    routes: {
      users: { requireVerification: verified }
    },
    sensitiveChanges
  } = settings
  const confirms = sensitiveChanges === 'confirm'
  const own = authenticate({ verified })

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
          200: replyOf(Type.Array(oauthAccountRead(kind)), 'The accounts that log in as you.'),
          ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN')
        }
      },
      onRequest: own,
      exposeHeadRoute: false
    },
    async (request) => accounts.list(idOf(request))
  )

  scope.delete<{ Params: { id: string }; Body: CurrentPasswordBody | undefined }>(
    '/me/oauth-accounts/:id',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['users'],
          operation: 'unlinkOauthAccount',
          upstream: 'users:unlink_oauth_account',
          summary: 'Unlink an account',
          description: 'The last way to log in stays: set a password first.'
        }),
        params: Type.Object({ id: Type.String() }),
        ...(confirms ? { body: CurrentPasswordBody } : {}),
        response: {
          204: Type.Null({ description: 'The account does not log in as you any more.' }),
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'FORBIDDEN',
            'CROSS_SITE_REQUEST',
            'OAUTH_ACCOUNT_NOT_FOUND',
            'OAUTH_LAST_LOGIN_METHOD',
            ...(confirms ? CONFIRM_ERRORS : UNREAD_BODY_ERRORS)
          )
        }
      },
      onRequest: own,
      preHandler: rereadSession(own)
    },
    async (request, reply) => {
      await host.requireCurrentPassword(request, request.body)
      const id = kind.parse(request.params.id) as OauthAccount['id'] | null // of the users' kind
      if (id === null) throw FST_USERS_OAUTH_ACCOUNT_NOT_FOUND()
      await accounts.unlink(await host.readActingUser(request), id, { request, reply })
      return reply.code(204).send()
    }
  )
}

function idOf (request: Parameters<typeof currentUser>[0]): UserId {
  return currentUser(request).id as UserId // of the registered users
}
