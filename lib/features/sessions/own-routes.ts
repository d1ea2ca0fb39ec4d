import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import {
  acceptMissingBody,
  currentUser,
  describeRoute,
  errorReplies,
  FST_USERS_UNAUTHENTICATED,
  ownAccountGuard,
  replyOf,
  rereadSession,
  stepUpBody,
  Type,
  type FeatureKit,
  type CurrentPasswordBody
} from '../../feature/index.js'
import type { SessionQuery, SessionsApi } from './contracts.js'
import { SessionListQuery, UserSessionPage } from './schemas.js'

/** Options of the routes of the feature. */
export interface SessionRoutesOptions {
  kit: FeatureKit
  sessions: SessionsApi
}

export const SESSION_ERRORS = ['UNAUTHENTICATED', 'FORBIDDEN'] as const
export const QUERY_ERRORS = ['BAD_REQUEST', 'VALIDATION'] as const
export const CHANGE_ERRORS = [...SESSION_ERRORS, 'CROSS_SITE_REQUEST'] as const

/** Registers the routes with which users list and end their sessions. */
export const ownSessionRoutes: FastifyPluginAsync<SessionRoutesOptions> = async (scope, options) => {
  addListSessionsRoute(scope, options)
  addEndSessionRoute(scope, options)
  addEndOthersRoute(scope, options)
}

/** Returns which sessions a query asks for. */
export function readQuery ({ limit, after }: SessionListQuery): SessionQuery {
  return { ...(limit === undefined ? {} : { limit: Number(limit) }), ...(after === undefined ? {} : { after }) }
}

function addListSessionsRoute (scope: FastifyInstance, { kit, sessions }: SessionRoutesOptions): void {
  const { settings } = kit
  scope.get<{ Querystring: SessionListQuery }>('/me/sessions', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'sessions',
        summary: 'List your sessions',
        description: 'The newest sessions come first.'
      }),
      querystring: SessionListQuery,
      response: {
        200: replyOf(UserSessionPage, 'A page of sessions.'),
        ...errorReplies(settings, ...SESSION_ERRORS, ...QUERY_ERRORS)
      }
    },
    onRequest: ownAccountGuard(kit.settings),
    exposeHeadRoute: false
  }, async (request) => {
    const { id } = request.authentication?.session ?? {}
    return await sessions.list(currentUser(request), {
      ...readQuery(request.query),
      ...(id === undefined ? {} : { current: id })
    })
  })
}

function addEndSessionRoute (scope: FastifyInstance, { kit, sessions }: SessionRoutesOptions): void {
  const { settings } = kit
  const own = ownAccountGuard(kit.settings)
  const { body, errors } = stepUpBody(settings)
  scope.delete<{ Params: { id: string }; Body: CurrentPasswordBody | undefined }>('/me/sessions/:id', {
    schema: {
      ...describeRoute(settings, { tags: ['users'], operation: 'endSession', summary: 'End one of your sessions' }),
      params: Type.Object({ id: Type.String() }),
      ...body,
      response: {
        204: Type.Null({ description: 'The session has ended.' }),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...errors, 'SESSION_NOT_FOUND', 'SESSION_NOT_ENDABLE')
      }
    },
    onRequest: own,
    preValidation: acceptMissingBody,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    await kit.requireStepUp(request, request.body)
    await sessions.end(kit.rows.toUser(await kit.readActingUser(request)), request.params.id)
    return reply.code(204).send()
  })
}

function addEndOthersRoute (scope: FastifyInstance, { kit, sessions }: SessionRoutesOptions): void {
  const { settings } = kit
  const own = ownAccountGuard(kit.settings)
  const { body, errors } = stepUpBody(settings)
  scope.delete<{ Body: CurrentPasswordBody | undefined }>('/me/sessions', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'endOtherSessions',
        summary: 'End all your other sessions',
        description: 'A session in a cookie continues. A signed token in a header that cannot be revoked ends too.'
      }),
      ...body,
      response: {
        204: Type.Null({ description: 'The other sessions have ended.' }),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...errors)
      }
    },
    onRequest: own,
    preValidation: acceptMissingBody,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    await kit.requireStepUp(request, request.body)
    const user = kit.rows.toUser(await kit.readActingUser(request))
    const { authentication } = request
    if (authentication === null) throw FST_USERS_UNAUTHENTICATED()
    await sessions.endOthers(user, authentication.session.id, { request, reply })
    return reply.code(204).send()
  })
}
