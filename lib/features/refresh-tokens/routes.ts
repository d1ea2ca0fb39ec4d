import type { FastifyInstance } from 'fastify'
import {
  addFormParsers,
  BODY_ERRORS,
  describeRoute,
  errorReplies,
  isRemembered,
  refuseCrossSite,
  replyOf,
  Type,
  UNREAD_BODY_ERRORS,
  type Backend,
  type FeatureKit,
  type IssuedSession,
  type RouteDescription
} from '../../feature/index.js'
import { FST_USERS_REFRESH_TOKEN_INVALID } from './errors.js'
import type { Families } from './families.js'
import type { RefreshCookie } from './refresh-cookie.js'
import { RefreshBody, RevokeBody } from './schemas.js'

/** A backend with refresh tokens. */
export interface RefreshBackend {
  readonly backend: Backend
  /** The cookie that contains the refresh token; null if it is part of bodies. */
  readonly cookie: RefreshCookie | null
}

interface RoutesOptions extends RefreshBackend {
  readonly kit: FeatureKit
  readonly families: Families
}

/** The media types of RFC 6749 and RFC 7009, and JSON. */
const CONSUMES = ['application/x-www-form-urlencoded', 'application/json', 'multipart/form-data']

/** Registers the routes of a backend that refresh and revoke. */
export async function refreshRoutes (scope: FastifyInstance, options: RoutesOptions): Promise<void> {
  addFormParsers(scope)
  addRefreshRoute(scope, options)
  addRevokeTokenRoute(scope, options)
}

function addRefreshRoute (scope: FastifyInstance, options: RoutesOptions): void {
  const { kit, families, backend, cookie } = options
  const { settings } = kit
  scope.post<{ Body: RefreshBody | undefined }>(
    '/refresh',
    {
      schema: {
        ...describeRoute(settings, describeTokenRoute(options, 'refresh', 'Get a new access token')),
        ...(cookie === null ? { body: RefreshBody } : {}),
        response: {
          ...backend.description.login,
          ...errorReplies(settings, 'REFRESH_TOKEN_INVALID', 'TOO_MANY_ATTEMPTS', ...bodyErrors(options))
        }
      },
      onRequest: refuseCrossSiteCookie(options)
    },
    async (request, reply) => {
      const token = cookie === null ? request.body?.refresh_token : cookie.read(request)
      if (token == null) throw FST_USERS_REFRESH_TOKEN_INVALID()
      const attempt = await kit.attempts.begin('refreshTokens', { context: { request, reply } })
      const { issued, next } = await families.refresh(token, backend, { request, reply })
      attempt.succeeded()
      if (issued.lifetimeSeconds !== null) issued.expires_in = issued.lifetimeSeconds
      if (cookie === null) issued.refresh_token = next.text
      else cookie.set(reply, next.text, closesWithBrowser(kit, backend.name, issued) ? null : next.lifetimeSeconds)
      return backend.transport.sendLogin(reply, issued)
    }
  )
}

/** Returns true if the backend offers longer sessions, and the user did not ask for one. */
export function closesWithBrowser ({ settings }: FeatureKit, backend: string, { session }: IssuedSession): boolean {
  return settings.rememberMe(backend) && !isRemembered(session)
}

function addRevokeTokenRoute (scope: FastifyInstance, options: RoutesOptions): void {
  const { kit, families, cookie } = options
  const { settings } = kit
  scope.post<{ Body: RevokeBody | undefined }>(
    '/revoke',
    {
      schema: {
        ...describeRoute(settings, {
          ...describeTokenRoute(options, 'revoke', 'End a session by its refresh token'),
          description: 'The access token is not needed, because it may have expired. The reply is the same for an unknown token.'
        }),
        ...(cookie === null ? { body: RevokeBody } : {}),
        response: {
          200: replyOf(Type.Object({}), 'The session has ended, or the token was not valid.'),
          ...errorReplies(settings, ...bodyErrors(options))
        }
      },
      onRequest: refuseCrossSiteCookie(options)
    },
    async (request, reply) => {
      const token = cookie === null ? request.body?.token : cookie.read(request)
      if (token != null) await families.revoke(token)
      cookie?.clear(reply)
      return reply.code(200).send({})
    }
  )
}

function describeTokenRoute ({ backend, cookie }: RoutesOptions, operation: string, summary: string): RouteDescription {
  return {
    tags: ['auth'],
    operation: `${operation}:${backend.name}`,
    upstream: `auth:${backend.name}.${operation}`,
    summary,
    ...(cookie === null ? { consumes: CONSUMES } : {})
  }
}

function bodyErrors ({ cookie }: RoutesOptions): readonly Parameters<typeof errorReplies>[1][] {
  return cookie === null ? BODY_ERRORS : [...UNREAD_BODY_ERRORS, 'CROSS_SITE_REQUEST']
}

/** Browsers send the cookie by themselves, so requests of other sites are refused. */
function refuseCrossSiteCookie ({ kit, cookie }: RoutesOptions): ReturnType<typeof refuseCrossSite> {
  return refuseCrossSite(kit.settings, { ambient: cookie !== null, secure: cookie?.secure ?? true })
}
