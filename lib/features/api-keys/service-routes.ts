import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import {
  CONFIRM_ERRORS,
  describeRoute,
  errorReplies,
  FST_USERS_FORBIDDEN,
  replyOf,
  rereadSession,
  superuserGuard,
  Type,
  UNREAD_BODY_ERRORS,
  type FeatureKit,
  type UserRow
} from '../../feature/index.js'
import { KeyParams, newKeyOf, type ApiKeyRoutesOptions } from './own-routes.js'
import { ApiKeyCreate, serviceKeyCreated, serviceKeyRead } from './schemas.js'

const SESSION_ERRORS = ['UNAUTHENTICATED', 'FORBIDDEN'] as const
const CHANGE_ERRORS = [...SESSION_ERRORS, 'CROSS_SITE_REQUEST'] as const

/** Registers the routes with which superusers create, list and delete service accounts. They need a session. */
export const serviceRoutes: FastifyPluginAsync<ApiKeyRoutesOptions> = async (scope, options) => {
  addListServiceAccountsRoute(scope, options)
  addCreateServiceAccountRoute(scope, options)
  addDeleteServiceAccountRoute(scope, options)
}

/** Reads the session again. Throws `FST_USERS_FORBIDDEN` if the user is no longer a superuser. */
async function readSuperuser (kit: FeatureKit, request: Parameters<FeatureKit['readActingUser']>[0]): Promise<UserRow> {
  const row = await kit.readActingUser(request)
  if (!row.is_superuser || !row.is_active) throw FST_USERS_FORBIDDEN()
  return row
}

function addListServiceAccountsRoute (scope: FastifyInstance, { kit, keys }: ApiKeyRoutesOptions): void {
  const { settings } = kit
  scope.get('/', {
    schema: {
      ...describeRoute(settings, {
        tags: ['service accounts'],
        operation: 'serviceAccounts',
        summary: 'List the keys of service accounts'
      }),
      response: {
        200: replyOf(Type.Array(serviceKeyRead(settings.schemas.id)), 'The keys, without their secrets.'),
        ...errorReplies(settings, ...SESSION_ERRORS)
      }
    },
    onRequest: superuserGuard(kit.settings),
    exposeHeadRoute: false
  }, async () => await keys.listServices())
}

function addCreateServiceAccountRoute (scope: FastifyInstance, { kit, keys }: ApiKeyRoutesOptions): void {
  const { settings } = kit
  const guard = superuserGuard(kit.settings)
  scope.post<{ Body: ApiKeyCreate }>('/', {
    schema: {
      ...describeRoute(settings, {
        tags: ['service accounts'],
        operation: 'createServiceAccount',
        summary: 'Create a service account with a key',
        description: 'The reply contains the key. It cannot be read again.'
      }),
      body: ApiKeyCreate,
      response: {
        201: replyOf(serviceKeyCreated(settings.schemas.id), 'The new key.'),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...CONFIRM_ERRORS, 'API_KEY_INVALID', 'INVALID_USER')
      }
    },
    onRequest: guard,
    preHandler: rereadSession(guard)
  }, async (request, reply) => {
    await kit.requireStepUp(request, request.body)
    const user = kit.rows.toUser(await readSuperuser(kit, request))
    const { key, ...apiKey } = await keys.createService(newKeyOf(request.body), {}, { request, reply })
    await kit.fire('onAfterCreateApiKey', { user, apiKey }, { request, reply })
    return reply.code(201).send({ ...apiKey, key })
  })
}

function addDeleteServiceAccountRoute (scope: FastifyInstance, { kit, keys }: ApiKeyRoutesOptions): void {
  const { settings } = kit
  const guard = superuserGuard(kit.settings)
  scope.delete<{ Params: { id: string } }>('/:id', {
    schema: {
      ...describeRoute(settings, {
        tags: ['service accounts'],
        operation: 'deleteServiceAccount',
        summary: 'Delete a service account and its key',
        description: 'The parameter is the id of the key.'
      }),
      params: KeyParams,
      response: {
        204: Type.Null({ description: 'The account is deleted.' }),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...UNREAD_BODY_ERRORS, 'API_KEY_NOT_FOUND')
      }
    },
    onRequest: guard,
    preHandler: rereadSession(guard)
  }, async (request, reply) => {
    const user = kit.rows.toUser(await readSuperuser(kit, request))
    const { id } = request.params
    await keys.removeService(id, { request, reply })
    await kit.fire('onAfterRevokeApiKey', { user, id }, { request, reply })
    return reply.code(204).send()
  })
}
