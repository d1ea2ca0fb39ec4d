import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { TSchema } from '@sinclair/typebox'
import type { BackendDefaults, Definition } from './definition.js'
import type { MaybePromise } from './database-adapter.js'
import type { IssuedToken } from './strategy.js'

/**
 * How a token travels. The guard runs on the application's routes too: read `request.headers`, not what hooks of a
 * scope left.
 */
export interface Transport {
  /** True when a browser sends the credential on its own (a cookie): such sessions get the cross-site check. */
  readonly ambient: boolean
  /**
   * False when an ambient credential also travels over plain http; then http origins of our host pass the check
   * (default true).
   */
  readonly secure?: boolean
  extractToken(request: FastifyRequest): string | null
  /**
   * All tokens of the request, for transports that can meet several: login and logout end the session of each. Absent:
   * the one of `extractToken`.
   */
  extractTokens?(request: FastifyRequest): readonly string[]
  /** The request headers that carry a token: what clients and tests send. */
  requestHeaders?(token: string): Record<string, string>
  sendLogin(reply: FastifyReply, issued: IssuedToken): FastifyReply
  sendLogout?(reply: FastifyReply): FastifyReply
  /** Puts a new token into a reply that has a body of its own. Absent when only the login reply can carry one. */
  renew?(reply: FastifyReply, issued: IssuedToken): void
}

/** What the API document says of a transport. */
export interface TransportDescription {
  /** OpenAPI security scheme object. */
  scheme: Record<string, unknown>
  /** Success replies of login and logout by status, as schemas. */
  login: Record<number, TSchema>
  logout: Record<number, TSchema>
}

/** What a description may depend on. */
export type DescriptionDefaults = Pick<BackendDefaults, 'backend' | 'settings'>

/** The part of a transport that describes it before its backend exists. */
export interface DescribesTransport {
  describe(defaults: DescriptionDefaults): TransportDescription
}

/** A transport before its backend exists: what `bearerTransport()` and `defineTransport()` return. */
export interface TransportDefinition extends Definition<'transport', Transport>, DescribesTransport {}

/** What `defineTransport` takes. */
export interface TransportSpec extends DescribesTransport {
  name: string
  setup(scope: FastifyInstance, defaults: BackendDefaults): MaybePromise<Transport>
}
