import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import {
  acceptMissingBody,
  describeRoute,
  errorReplies,
  FST_USERS_FORBIDDEN,
  FST_USERS_NOT_FOUND,
  replyOf,
  rereadSession,
  stepUpBody,
  superuserGuard,
  Type,
  UNREAD_BODY_ERRORS,
  type FeatureKit,
  type User,
  type UserId,
  type CurrentPasswordBody
} from '../../feature/index.js'
import {
  CHANGE_ERRORS,
  QUERY_ERRORS,
  readQuery,
  SESSION_ERRORS,
  type SessionRoutesOptions
} from './own-routes.js'
import { SessionListQuery, UserSessionPage } from './schemas.js'

/** Registers the routes with which superusers list and end the sessions of users. */
export const superuserSessionRoutes: FastifyPluginAsync<SessionRoutesOptions> = async (scope, options) => {
  addListUserSessionsRoute(scope, options)
  addEndUserSessionRoute(scope, options)
  addEndAllRoute(scope, options)
  addEndAllUsersRoute(scope, options)
}

/** Returns the user with the id in the URL. Throws `FST_USERS_NOT_FOUND`. */
async function findUser ({ settings, users }: FeatureKit, text: string): Promise<User> {
  const id = settings.schemas.id.parse(text) as UserId | null
  const user = id === null ? null : await users.get(id)
  if (user === null) throw FST_USERS_NOT_FOUND()
  return user
}

/** Reads the session again. Throws `FST_USERS_FORBIDDEN` if the user is no longer a superuser. */
async function checkSuperuser (kit: FeatureKit, request: FastifyRequest): Promise<void> {
  const row = await kit.readActingUser(request)
  if (!row.is_superuser || !row.is_active) throw FST_USERS_FORBIDDEN()
}

function addListUserSessionsRoute (scope: FastifyInstance, { kit, sessions }: SessionRoutesOptions): void {
  const { settings } = kit
  scope.get<{ Params: { id: string }; Querystring: SessionListQuery }>('/:id/sessions', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'userSessions',
        summary: 'List the sessions of a user',
        description: 'The newest sessions come first.'
      }),
      params: Type.Object({ id: Type.String() }),
      querystring: SessionListQuery,
      response: {
        200: replyOf(UserSessionPage, 'A page of sessions.'),
        ...errorReplies(settings, ...SESSION_ERRORS, ...QUERY_ERRORS, 'NOT_FOUND')
      }
    },
    onRequest: superuserGuard(kit.settings),
    exposeHeadRoute: false
  }, async (request) => {
    const { id } = request.authentication?.session ?? {}
    const user = await findUser(kit, request.params.id)
    return await sessions.list(user, { ...readQuery(request.query), ...(id === undefined ? {} : { current: id }) })
  })
}

function addEndUserSessionRoute (scope: FastifyInstance, { kit, sessions }: SessionRoutesOptions): void {
  const { settings } = kit
  const guard = superuserGuard(kit.settings)
  scope.delete<{ Params: { id: string; session: string } }>('/:id/sessions/:session', {
    schema: {
      ...describeRoute(settings, { tags: ['users'], operation: 'endUserSession', summary: 'End a session of a user' }),
      params: Type.Object({ id: Type.String(), session: Type.String() }),
      response: {
        204: Type.Null({ description: 'The session has ended.' }),
        ...errorReplies(
          settings, ...CHANGE_ERRORS, ...UNREAD_BODY_ERRORS, 'NOT_FOUND', 'SESSION_NOT_FOUND', 'SESSION_NOT_ENDABLE'
        )
      }
    },
    onRequest: guard,
    preHandler: rereadSession(guard)
  }, async (request, reply) => {
    const user = await findUser(kit, request.params.id)
    await checkSuperuser(kit, request)
    await sessions.end(user, request.params.session)
    return reply.code(204).send()
  })
}

function addEndAllRoute (scope: FastifyInstance, { kit, sessions }: SessionRoutesOptions): void {
  const { settings } = kit
  const guard = superuserGuard(kit.settings)
  scope.delete<{ Params: { id: string } }>('/:id/sessions', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'endUserSessions',
        summary: 'End all sessions of a user'
      }),
      params: Type.Object({ id: Type.String() }),
      response: {
        204: Type.Null({ description: 'The sessions have ended.' }),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...UNREAD_BODY_ERRORS, 'NOT_FOUND')
      }
    },
    onRequest: guard,
    preHandler: rereadSession(guard)
  }, async (request, reply) => {
    const user = await findUser(kit, request.params.id)
    await checkSuperuser(kit, request)
    await sessions.endAll(user)
    return reply.code(204).send()
  })
}

function addEndAllUsersRoute (scope: FastifyInstance, { kit, sessions }: SessionRoutesOptions): void {
  const { settings } = kit
  const guard = superuserGuard(kit.settings)
  const { body, errors } = stepUpBody(settings)
  scope.delete<{ Body: CurrentPasswordBody | undefined }>('/sessions', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'endAllSessions',
        summary: 'End all sessions of all users',
        description: 'Your session ends too. The reply comes when the stored sessions of all users are deleted.'
      }),
      ...body,
      response: {
        204: Type.Null({ description: 'The sessions have ended.' }),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...errors)
      }
    },
    onRequest: guard,
    preValidation: acceptMissingBody,
    preHandler: rereadSession(guard)
  }, async (request, reply) => {
    await kit.requireStepUp(request, request.body)
    await checkSuperuser(kit, request)
    await sessions.endAllUsers()
    return reply.code(204).send()
  })
}
