import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { TSchema } from '@sinclair/typebox'
import type { BackendDefaults, Definition } from './definition.js'
import type { MaybePromise } from './database-adapter.js'
import type { IssuedToken } from './strategy.js'

/**
 * Reads tokens from requests and sends them in replies. The guard uses it on all routes of the application, so it must
 * read `request.headers` and not depend on hooks of a scope.
 */
export interface Transport {
  /**
   * True if browsers send the credential automatically, as they do with cookies: requests are then checked for CSRF.
   */
  readonly ambient: boolean
  /**
   * False if browsers send the credential over plain http too; then the CSRF check accepts http origins of this host.
   * Default: true.
   */
  readonly secure?: boolean
  /** `SameSite` of the session cookie. The cookie of a pending login is `none` if this is. Default: `lax`. */
  readonly sameSite?: 'lax' | 'strict' | 'none'
  /** The session cookie is `Partitioned`; the cookie of a pending login is too. Default: false. */
  readonly partitioned?: boolean
  extractToken(request: FastifyRequest): string | null
  /**
   * Returns all tokens of the request, if there can be several: login and logout revoke the session of each. Default:
   * the token of `extractToken`.
   */
  extractTokens?(request: FastifyRequest): readonly string[]
  /** Returns the request headers with which clients and tests send a token. */
  requestHeaders?(token: string): Record<string, string>
  sendLogin(reply: FastifyReply, issued: IssuedToken): FastifyReply
  sendLogout?(reply: FastifyReply): FastifyReply
  /** Adds a new token to a reply that has its own body. Absent if only the login reply can contain a token. */
  renew?(reply: FastifyReply, issued: IssuedToken): void
}

/** Description of a transport in the OpenAPI document. */
export interface TransportDescription {
  /** OpenAPI security scheme object. */
  scheme: Record<string, unknown>
  /** Schemas of the successful replies to login and logout, by status. */
  login: Record<number, TSchema>
  logout: Record<number, TSchema>
}

/** Argument of `describe`. */
export type DescriptionDefaults = Pick<BackendDefaults, 'backend' | 'settings'>

/** Describes a transport that is not set up yet. */
export interface DescribesTransport {
  describe(defaults: DescriptionDefaults): TransportDescription
}

/** The return value of `bearerTransport()`, `defineTransport()` and similar: a transport that is not set up yet. */
export interface TransportDefinition extends Definition<'transport', Transport>, DescribesTransport {}

/** Argument of `defineTransport`. */
export interface TransportSpec extends DescribesTransport {
  name: string
  setup(scope: FastifyInstance, defaults: BackendDefaults): MaybePromise<Transport>
}
