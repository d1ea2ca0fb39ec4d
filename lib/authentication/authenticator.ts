// declares `request.user`, which the declaration below extends; the declaration file keeps this line
export type {} from '@fastify/jwt'
import type { FastifyRequest } from 'fastify'
import type { Authentication } from '../contracts/authentication.js'
import type { Backend } from '../contracts/backend.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { SessionObserver } from '../contracts/session-service.js'
import type { TokenSubject, UserReader } from '../contracts/strategy.js'
import type { User } from '../contracts/user.js'
import { GuardedAuthentication, presentedTokens, type CachedSubject } from '../sessions/index.js'
import { isPromise } from '../shared/values.js'
import { kOwnRoutes } from '../symbols.js'
import type { UserCache } from '../user-cache/user-cache.js'
import type { UserRows } from '../users/index.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The user, token and backend that `authenticate` found. Null before the guard and for anonymous requests. */
    authentication: Authentication | null
  }
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    /** The user that `authenticate` found. Null before the guard and for anonymous requests. */
    user: User | null
  }
}

/** Identifies the user of a request. */
export interface Authenticator {
  /**
   * Returns the authentication by the first enabled backend, in list order, that identifies a user. Null enables the
   * backends of the option `backends`, and not those of features. Ignores the flags of the user. Synchronous if the
   * transport, the strategy and the store are. With `cached`, the user cache may be used if it is on.
   */
  find(request: FastifyRequest, enabled: readonly string[] | null, cached: boolean): MaybePromise<Authentication | null>
  /** Functions of features that refuse sessions, see `SessionObserver.seen`. Filled while the features start. */
  readonly checks: SessionCheck[]
  /** Returns the sessions that a request presents to one backend: several if its transport reads several tokens. */
  findPresented(request: FastifyRequest, backend: string): Promise<Authentication[]>
}

/** The backends of a registration: those of the option `backends`, and those of features. */
export interface AuthenticatorBackends {
  readonly own: ReadonlyMap<string, Backend>
  readonly ofFeatures: ReadonlyMap<string, Backend>
}

/** A function that returns false for a session that has ended. */
export type SessionCheck = NonNullable<SessionObserver['seen']>

/** The store and the cache from which the users of a registration are read. */
interface Readers {
  readonly rows: UserRows
  /** Null if the application has no user cache. */
  readonly cache: UserCache | null
}

interface Sources extends Readers {
  readonly checks: readonly SessionCheck[]
}

/** Creates the authenticator of a registration. */
export function createAuthenticator ({ own, ofFeatures }: AuthenticatorBackends, readers: Readers): Authenticator {
  const { rows, cache } = readers
  const checks: SessionCheck[] = []
  const sources: Sources = { ...readers, checks }
  let list: readonly Backend[] = []

  function search (
    request: FastifyRequest,
    enabled: readonly string[] | null,
    from: number,
    users: UserReader
  ): MaybePromise<Authentication | null> {
    const end = enabled === null ? own.size : list.length
    for (let i = from; i < end; i++) {
      const backend = list[i]
      if (backend === undefined || (enabled !== null && !enabled.includes(backend.name))) continue
      const token = backend.transport.extractToken(request)
      if (token === null) continue
      const found = identifyByToken(sources, request, backend, token, users)
      if (isPromise(found)) return found.then((read) => read ?? search(request, enabled, i + 1, users))
      if (found !== null) return found
    }
    return null
  }

  return {
    checks,

    find (request, enabled, cached) {
      if (list.length !== own.size + ofFeatures.size) list = [...own.values(), ...ofFeatures.values()]
      return search(request, enabled, 0, cache !== null && cached && !isOwnRoute(request) ? cache : rows)
    },

    async findPresented (request, name) {
      const backend = own.get(name)
      const found: Authentication[] = []
      if (backend === undefined) return found
      for (const token of presentedTokens(backend.transport, request)) {
        const session = await identifyByToken(sources, request, backend, token, rows)
        if (session !== null) found.push(session)
      }
      return found
    }
  }
}

function identifyByToken (
  sources: Sources,
  request: FastifyRequest,
  backend: Backend,
  token: string,
  users: UserReader
): MaybePromise<Authentication | null> {
  const subject = backend.strategy.readToken(token, { request, users })
  return isPromise(subject)
    ? subject.then((read) => acceptOrReread(sources, request, backend, token, read))
    : acceptOrReread(sources, request, backend, token, subject)
}

/** Reads a user again before the stamp of a cached row refuses a token: the row may be older than the token. */
function acceptOrReread (
  sources: Sources,
  request: FastifyRequest,
  backend: Backend,
  token: string,
  subject: TokenSubject | null
): MaybePromise<Authentication | null> {
  const found = acceptSubject(sources, backend, token, subject)
  if (found !== null) return sources.checks.length === 0 ? found : passChecks(sources.checks, found, request)
  if (subject === null || sources.cache?.hasRow(subject.row) !== true) return null
  return identifyByToken(sources, request, backend, token, sources.rows)
}

/** Returns null if a check says that the session has ended. Synchronous if the checks are. */
function passChecks (
  checks: readonly SessionCheck[],
  found: Authentication,
  request: FastifyRequest,
  from = 0
): MaybePromise<Authentication | null> {
  for (let i = from; i < checks.length; i++) {
    const isOpen = checks[i]?.(found, request)
    if (isPromise(isOpen)) {
      return isOpen.then((result) => (result === true ? passChecks(checks, found, request, i + 1) : null))
    }
    if (isOpen !== true) return null
  }
  return found
}

/** Refuses a token if the security stamp of the user has changed since the token was issued. */
function acceptSubject (
  { rows, cache }: Readers,
  { name }: Backend,
  token: string,
  subject: TokenSubject | null
): Authentication | null {
  if (subject === null) return null
  const { row, stamp } = subject
  const cached = cache?.userOf(row, stamp ?? null)
  if (cached === null) return null
  if (cached !== undefined) return new GuardedAuthentication(cached, name, token, cachedSubject(subject))
  if (stamp !== undefined && stamp !== null && !rows.hasStamp(row, stamp)) return null
  return new GuardedAuthentication(rows.toUser(row), name, token, subject)
}

/** Returns true for the routes of the plugin and its features: they change accounts, so they never use the cache. */
function isOwnRoute ({ server }: FastifyRequest): boolean {
  return (server as { [kOwnRoutes]?: true })[kOwnRoutes] === true
}

function cachedSubject ({ session }: TokenSubject): CachedSubject {
  return session === undefined ? { row: null } : { row: null, session }
}
