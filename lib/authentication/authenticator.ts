import '@fastify/jwt' // declares `request.user`; kept in the .d.ts, so that our declaration below has what it extends
import type { FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { TokenSubject } from '../contracts/strategy.js'
import type { Transport } from '../contracts/transport.js'
import type { User } from '../contracts/user.js'
import type { UserRows } from '../users/index.js'

/** Who a request comes from, and how that is known. */
export interface Authentication {
  readonly user: User
  /** The token that was presented. Read it by name: what prints, serializes or copies the object leaves it out. */
  readonly token: string
  /** Name of the backend that accepted it. */
  readonly backend: string
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The user, token and backend that `authenticate` found; null before and for anonymous requests. */
    authentication: Authentication | null
  }
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    /** The user that `authenticate` found; null before and for anonymous requests. */
    user: User | null
  }
}

/** Finds who a request comes from. */
export interface Authenticator {
  /**
   * The first enabled backend, in list order, that yields a user; its flags are not looked at here. Answers at once
   * where transport, strategy and store do.
   */
  find(request: FastifyRequest, enabled: readonly string[] | null): MaybePromise<Authentication | null>
  /** Returns the sessions that a request presents to one backend: several if its transport meets several tokens. */
  findPresented(request: FastifyRequest, backend: string): Promise<Authentication[]>
}

export function createAuthenticator (backends: ReadonlyMap<string, Backend>, rows: UserRows): Authenticator {
  let list: readonly Backend[] = []

  function search (
    request: FastifyRequest,
    enabled: readonly string[] | null,
    from: number
  ): MaybePromise<Authentication | null> {
    for (let i = from; i < list.length; i++) {
      const backend = list[i]
      if (backend === undefined || (enabled !== null && !enabled.includes(backend.name))) continue
      const token = backend.transport.extractToken(request)
      if (token === null) continue
      const subject = backend.strategy.readToken(token, { request, users: rows })
      if (isPromise(subject)) {
        return subject.then((read) => accept(read, token, backend) ?? search(request, enabled, i + 1))
      }
      const found = accept(subject, token, backend)
      if (found !== null) return found
    }
    return null
  }

  /** A token made under another stamp than the user has now is none. */
  function accept (subject: TokenSubject | null, token: string, { name }: Backend): Authentication | null {
    if (subject === null) return null
    const { row, stamp } = subject
    if (stamp !== undefined && stamp !== null && !rows.hasStamp(row, stamp)) return null
    return new Found(rows.toUser(row), name, token)
  }

  return {
    find (request, enabled) {
      if (list.length !== backends.size) list = [...backends.values()]
      return search(request, enabled, 0)
    },

    async findPresented (request, name) {
      const backend = backends.get(name)
      const found: Authentication[] = []
      if (backend === undefined) return found
      for (const token of presentedTokens(backend.transport, request)) {
        const session = accept(await backend.strategy.readToken(token, { request, users: rows }), token, backend)
        if (session !== null) found.push(session)
      }
      return found
    }
  }
}

/** Returns all tokens that a request presents to a transport. */
export function presentedTokens (transport: Transport, request: FastifyRequest): readonly string[] {
  if (transport.extractTokens !== undefined) return transport.extractTokens(request)
  const token = transport.extractToken(request)
  return token === null ? [] : [token]
}

/** True for a promise of any make. */
export function isPromise<T> (value: MaybePromise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

/** Keeps the token out of sight. */
class Found implements Authentication {
  readonly #token: string

  constructor (
    readonly user: User,
    readonly backend: string,
    token: string
  ) {
    this.#token = token
  }

  get token (): string {
    return this.#token
  }
}
