import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import {
  BODY_ERRORS,
  CONFIRM_ERRORS,
  currentUser,
  describeRoute,
  errorReplies,
  ownAccountGuard,
  replyOf,
  rereadSession,
  Type,
  UNREAD_BODY_ERRORS,
  type FeatureKit
} from '../../feature/index.js'
import type { ApiKeysApi, NewApiKey } from './contracts.js'
import { ApiKeyCreate, ApiKeyCreated, ApiKeyRead, ApiKeyRename } from './schemas.js'

/** Options of the routes of the feature. */
export interface ApiKeyRoutesOptions {
  kit: FeatureKit
  keys: ApiKeysApi
}

export const KeyParams = Type.Object({ id: Type.String({ maxLength: 64 }) })
const SESSION_ERRORS = ['UNAUTHENTICATED', 'FORBIDDEN'] as const
const CHANGE_ERRORS = [...SESSION_ERRORS, 'CROSS_SITE_REQUEST'] as const

/** Registers the routes with which users create, list, rename and revoke their keys. They need a session. */
export const ownKeyRoutes: FastifyPluginAsync<ApiKeyRoutesOptions> = async (scope, options) => {
  addListKeysRoute(scope, options)
  addCreateKeyRoute(scope, options)
  addRenameKeyRoute(scope, options)
  addRevokeKeyRoute(scope, options)
}

/** Returns the values of a new key from the body of a request, field by field. */
export function newKeyOf ({ name, scopes, expires_at: expiresAt, ip_ranges: ranges = [] }: ApiKeyCreate): NewApiKey {
  const isGiven = expiresAt !== undefined && expiresAt !== null
  return { name, scopes, ip_ranges: ranges, expires_at: isGiven ? new Date(expiresAt) : null }
}

function addListKeysRoute (scope: FastifyInstance, { kit, keys }: ApiKeyRoutesOptions): void {
  const { settings } = kit
  scope.get('/me/api-keys', {
    schema: {
      ...describeRoute(settings, { tags: ['users'], operation: 'apiKeys', summary: 'List your API keys' }),
      response: {
        200: replyOf(Type.Array(ApiKeyRead), 'The keys, without their secrets.'),
        ...errorReplies(settings, ...SESSION_ERRORS)
      }
    },
    onRequest: ownAccountGuard(kit.settings),
    exposeHeadRoute: false
  }, async (request) => await keys.list(currentUser(request)))
}

function addCreateKeyRoute (scope: FastifyInstance, { kit, keys }: ApiKeyRoutesOptions): void {
  const { settings } = kit
  const own = ownAccountGuard(kit.settings)
  scope.post<{ Body: ApiKeyCreate }>('/me/api-keys', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'createApiKey',
        summary: 'Create an API key',
        description: 'The reply contains the key. It cannot be read again.'
      }),
      body: ApiKeyCreate,
      response: {
        201: replyOf(ApiKeyCreated, 'The new key.'),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...CONFIRM_ERRORS, 'API_KEY_INVALID', 'API_KEY_LIMIT_REACHED')
      }
    },
    onRequest: own,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    await kit.requireStepUp(request, request.body)
    const user = kit.rows.toUser(await kit.readActingUser(request))
    const { key, ...apiKey } = await keys.create(user, newKeyOf(request.body), { request, reply })
    await kit.fire('onAfterCreateApiKey', { user, apiKey }, { request, reply })
    return reply.code(201).send({ ...apiKey, key })
  })
}

function addRenameKeyRoute (scope: FastifyInstance, { kit, keys }: ApiKeyRoutesOptions): void {
  const { settings } = kit
  const own = ownAccountGuard(kit.settings)
  scope.patch<{ Params: { id: string }; Body: ApiKeyRename }>('/me/api-keys/:id', {
    schema: {
      ...describeRoute(settings, { tags: ['users'], operation: 'renameApiKey', summary: 'Rename an API key' }),
      params: KeyParams,
      body: ApiKeyRename,
      response: {
        200: replyOf(ApiKeyRead, 'The key with its new name.'),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...BODY_ERRORS, 'API_KEY_NOT_FOUND', 'API_KEY_INVALID')
      }
    },
    onRequest: own,
    preHandler: rereadSession(own)
  }, async (request) => {
    const user = kit.rows.toUser(await kit.readActingUser(request))
    return await keys.rename(user, request.params.id, request.body.name)
  })
}

function addRevokeKeyRoute (scope: FastifyInstance, { kit, keys }: ApiKeyRoutesOptions): void {
  const { settings } = kit
  const own = ownAccountGuard(kit.settings)
  scope.delete<{ Params: { id: string } }>('/me/api-keys/:id', {
    schema: {
      ...describeRoute(settings, { tags: ['users'], operation: 'revokeApiKey', summary: 'Revoke an API key' }),
      params: KeyParams,
      response: {
        204: Type.Null({ description: 'The key is revoked.' }),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...UNREAD_BODY_ERRORS, 'API_KEY_NOT_FOUND')
      }
    },
    onRequest: own,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    const user = kit.rows.toUser(await kit.readActingUser(request))
    const { id } = request.params
    await keys.revoke(user, id, { request, reply })
    await kit.fire('onAfterRevokeApiKey', { user, id }, { request, reply })
    return reply.code(204).send()
  })
}
