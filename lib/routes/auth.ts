import type { FastifyInstance } from 'fastify'
import { LoginBody, type RememberedLoginBody } from '../../schemas/index.js'
import { authenticate, refuseCrossSite } from '../authentication/index.js'
import type { Backend } from '../contracts/backend.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_LOGIN_BAD_CREDENTIALS } from '../errors.js'
import { traceLogin } from '../shared/tracing.js'
import { kGuard } from '../symbols.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { addFormParsers, ignoreJsonBodies } from './parsers.js'
import { rememberableBody, wantsToBeRemembered } from './remember-me.js'
import { BODY_ERRORS, captchaErrors, errorReplies, UNREAD_BODY_ERRORS } from './replies.js'

/** A Boolean of RFC 9651: `?1` if the token is refused from now on, `?0` if it is valid until it expires. */
const SESSION_REVOKED = 'session-revoked'

const RevokedHeader = {
  type: 'string',
  enum: ['?1', '?0'],
  description: '?1: the session has ended. ?0: the strategy cannot revoke a token; it is valid until it expires.'
}

interface BackendRoutesOptions {
  users: UsersService
  settings: Settings
  backend: Backend
}

/** Registers the routes for login and logout at one backend. */
export const authRoutes: RouteGroup<UsersService, { backend: Backend }> = async (scope, options) => {
  addFormParsers(scope)
  if (!readsJson(options.settings)) ignoreJsonBodies(scope)
  addLoginRoute(scope, options)
  addLogoutRoute(scope, options)
}

function addLoginRoute (scope: FastifyInstance, { users, settings, backend }: BackendRoutesOptions): void {
  const { transport, description, name } = backend
  scope.post<{ Body: RememberedLoginBody }>(
    '/login',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `login:${name}`,
          attempt: 'login',
          upstream: `auth:${name}.login`,
          summary: 'Log in',
          consumes: settings.wire.errors.loginTypes
        }),
        body: rememberableBody(settings, name, LoginBody),
        response: {
          ...description.login,
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            'LOGIN_BAD_CREDENTIALS',
            ...(settings.revealExistingAccounts ? ['LOGIN_USER_NOT_VERIFIED' as const] : []),
            'LOGIN_PENDING',
            ...(transport.ambient ? ['CROSS_SITE_REQUEST' as const] : []),
            'PASSWORD_QUEUE_FULL',
            ...captchaErrors(settings, 'login'),
            'TOO_MANY_ATTEMPTS'
          )
        }
      },
      onRequest: refuseCrossSite(settings, transport)
    },
    async (request, reply) => {
      const context = { request, reply, backend: name }
      const traced = { tenant: settings.name, backend: name, method: 'password' }
      const issued = await traceLogin(traced, async (trace) => {
        const row = await users.checkCredentials(request.body, context)
        if (row === null) throw FST_USERS_LOGIN_BAD_CREDENTIALS()
        if (trace !== null) trace.userId = String(row.id)
        return await users.startSession(backend, row, { request, reply, rememberMe: wantsToBeRemembered(request.body) })
      })
      return transport.sendLogin(reply, issued)
    }
  )
}

function addLogoutRoute (scope: FastifyInstance, { users, settings, backend }: BackendRoutesOptions): void {
  const { transport, description, name } = backend
  scope.post(
    '/logout',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `logout:${name}`,
          upstream: `auth:${name}.logout`,
          summary: 'Log out'
        }),
        response: {
          ...logoutReplies(description.logout, settings),
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'FORBIDDEN',
            'CROSS_SITE_REQUEST',
            ...UNREAD_BODY_ERRORS.filter((word) => readsJson(settings) || word !== 'BAD_REQUEST')
          )
        }
      },
      onRequest: [
        async (request) => {
          await scope[kGuard].selectForLogout(request, name)
        },
        authenticate({ verified: backend.requireVerification })
      ]
    },
    async (request, reply) => {
      // the session may belong to another backend
      const { backend: sessionBackendName = '', token } = request.authentication ?? {}
      const sessionBackend = users.backends.get(sessionBackendName)
      await users.logout(request, reply)
      // duplicates of the cookie are revoked too: otherwise the browser would stay logged in with one of them
      if (sessionBackend === backend) await users.endPresentedSessions(backend, request, token)
      const replyTransport = transport.sendLogout === undefined ? sessionBackend?.transport : transport
      if (settings.wire.reportsLogout) reply.header(SESSION_REVOKED, revokesTokens(sessionBackend) ? '?1' : '?0')
      return replyTransport?.sendLogout?.(reply) ?? reply.code(204).send()
    }
  )
}

function revokesTokens (backend: Backend | undefined): boolean {
  return backend?.strategy.destroyToken !== undefined
}

/** Returns the schemas of the logout replies with the header `Session-Revoked`. */
function logoutReplies (replies: Readonly<Record<number, object>>, { wire }: Settings): Record<string, object> {
  if (!wire.reportsLogout) return replies
  const headers = { [SESSION_REVOKED]: RevokedHeader }
  return Object.fromEntries(Object.entries(replies).map(([status, schema]) => [status, { ...schema, headers }]))
}

function readsJson ({ wire }: Settings): boolean {
  return wire.errors.loginTypes.includes('application/json')
}
