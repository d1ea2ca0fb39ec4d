import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import {
  acceptMissingBody,
  authenticate,
  BODY_ERRORS,
  currentUser,
  describeRoute,
  errorReplies,
  ownAccountGuard,
  replyOf,
  rereadSession,
  stepUpBody,
  Type,
  type FeatureKit,
  type CurrentPasswordBody
} from '../../feature/index.js'
import type { PasskeysApi } from './contracts.js'
import { toPasskey } from './model.js'
import { removePasskey } from './passkeys.js'
import type { Registration } from './registration.js'
import type { PasskeyRows } from './rows.js'
import { CreationStart, PasskeyCreate, PasskeyRead, PasskeyRename } from './schemas.js'

/** Options of the routes of users. */
export interface OwnRoutesOptions {
  kit: FeatureKit
  api: PasskeysApi
  rows: PasskeyRows
  registration: Registration
}

type Guard = ReturnType<typeof authenticate>

const Params = Type.Object({ id: Type.String({ maxLength: 64 }) })
const SESSION_ERRORS = ['UNAUTHENTICATED', 'FORBIDDEN'] as const
const CHANGE_ERRORS = [...SESSION_ERRORS, 'CROSS_SITE_REQUEST'] as const

/** Registers the routes with which users add, list, rename and delete their passkeys. They need a session. */
export const ownRoutes: FastifyPluginAsync<OwnRoutesOptions> = async (scope, options) => {
  addCreationOptionsRoute(scope, options)
  addCreatePasskeyRoute(scope, options)
  addListPasskeysRoute(scope, options)
  addRenamePasskeyRoute(scope, options)
  addDeletePasskeyRoute(scope, options)
}

/** Users add passkeys only with a verified e-mail, whose owner would otherwise not learn about the passkey. */
function verifiedGuard (): Guard {
  return authenticate({ verified: true })
}

function addCreationOptionsRoute (scope: FastifyInstance, { kit, registration }: OwnRoutesOptions): void {
  const { settings } = kit
  const own = verifiedGuard()
  const { body, errors } = stepUpBody(settings)
  scope.post<{ Body: CurrentPasswordBody | undefined }>('/me/passkeys/options', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'passkeyOptions',
        summary: 'Begin to add a passkey',
        description: 'The reply has the options of navigator.credentials.create() and a ticket, which works once.'
      }),
      ...body,
      response: {
        200: replyOf(CreationStart, 'The options, and a ticket for the passkey.'),
        ...errorReplies(
          settings, ...CHANGE_ERRORS, ...errors, 'PASSKEY_LIMIT_REACHED',
          'TOO_MANY_ATTEMPTS'
        )
      }
    },
    onRequest: own,
    preValidation: acceptMissingBody,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    await kit.attempts.begin('passkeysEnrolment', { context: { request, reply } })
    await kit.requireStepUp(request, request.body)
    return await registration.begin(await kit.readActingUser(request), request)
  })
}

function addCreatePasskeyRoute (scope: FastifyInstance, { kit, registration }: OwnRoutesOptions): void {
  const { settings } = kit
  const own = verifiedGuard()
  scope.post<{ Body: PasskeyCreate }>('/me/passkeys', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'createPasskey',
        summary: 'Add a passkey',
        description: 'Ends the other sessions of the user.'
      }),
      body: PasskeyCreate,
      response: {
        201: replyOf(PasskeyRead, 'The new passkey.'),
        ...errorReplies(
          settings, ...CHANGE_ERRORS, ...BODY_ERRORS, 'PASSKEY_CHALLENGE_INVALID', 'PASSKEY_INVALID',
          'PASSKEY_ALREADY_REGISTERED', 'PASSKEY_LIMIT_REACHED', 'PASSKEY_NAME_INVALID'
        )
      }
    },
    onRequest: own,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    const row = await kit.readActingUser(request)
    const added = await registration.finish(row, request.body, { request, reply })
    return reply.code(201).send(toPasskey(added))
  })
}

function addListPasskeysRoute (scope: FastifyInstance, { kit, api }: OwnRoutesOptions): void {
  const { settings } = kit
  scope.get('/me/passkeys', {
    schema: {
      ...describeRoute(settings, { tags: ['users'], operation: 'passkeys', summary: 'List your passkeys' }),
      response: { 200: replyOf(Type.Array(PasskeyRead), 'The passkeys.'), ...errorReplies(settings, ...SESSION_ERRORS) }
    },
    onRequest: ownAccountGuard(kit.settings),
    exposeHeadRoute: false
  }, async (request) => await api.list(currentUser(request)))
}

function addRenamePasskeyRoute (scope: FastifyInstance, { kit, api }: OwnRoutesOptions): void {
  const { settings } = kit
  const own = ownAccountGuard(kit.settings)
  scope.patch<{ Params: { id: string }; Body: PasskeyRename }>('/me/passkeys/:id', {
    schema: {
      ...describeRoute(settings, { tags: ['users'], operation: 'renamePasskey', summary: 'Rename a passkey' }),
      params: Params,
      body: PasskeyRename,
      response: {
        200: replyOf(PasskeyRead, 'The passkey with its new name.'),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...BODY_ERRORS, 'PASSKEY_NOT_FOUND', 'PASSKEY_NAME_INVALID')
      }
    },
    onRequest: own,
    preHandler: rereadSession(own)
  }, async (request) => {
    const user = kit.rows.toUser(await kit.readActingUser(request))
    return await api.rename(user, request.params.id, request.body.name)
  })
}

function addDeletePasskeyRoute (scope: FastifyInstance, { kit, rows }: OwnRoutesOptions): void {
  const { settings } = kit
  const own = ownAccountGuard(kit.settings)
  const { body, errors } = stepUpBody(settings)
  scope.delete<{ Params: { id: string }; Body: CurrentPasswordBody | undefined }>('/me/passkeys/:id', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'deletePasskey',
        summary: 'Delete a passkey',
        description: 'Ends the other sessions of the user. The only way to log in cannot be deleted.'
      }),
      params: Params,
      ...body,
      response: {
        204: Type.Null({ description: 'The passkey is deleted.' }),
        ...errorReplies(
          settings, ...CHANGE_ERRORS, ...errors, 'PASSKEY_NOT_FOUND',
          'PASSKEY_LAST_LOGIN_METHOD'
        )
      }
    },
    onRequest: own,
    preValidation: acceptMissingBody,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    await kit.requireStepUp(request, request.body)
    await removePasskey(kit, rows, await kit.readActingUser(request), request.params.id, { request, reply })
    return reply.code(204).send()
  })
}
