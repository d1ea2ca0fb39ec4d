import type { TSchema } from '@sinclair/typebox'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { UsersError } from './errors.js'

/**
 * The form of replies, API documents, tokens and stored values. There are two, the plugin's own and that of FastAPI
 * Users; the option `compatibility` selects one and can replace single parts.
 */
export interface WireFormat {
  readonly errors: ErrorFormat
  readonly emptyReplies: EmptyReplyFormat
  readonly operations: OperationFormat
  readonly cookies: CookieFormat
  readonly storedTokens: StoredTokenFormat
  readonly signedTokens: SignedTokenFormat
  /** 401 replies carry `WWW-Authenticate` (RFC 9110, section 11.6.1). */
  readonly wwwAuthenticate: boolean
  /** Replies of logout routes carry `Session-Revoked`. */
  readonly reportsLogout: boolean
  /** Passwords are normalized to Unicode NFC before hashing. */
  readonly normalizePasswords: boolean
  /** `lifetimeSeconds: null` is allowed. */
  readonly endlessTokens: boolean
}

/** The error replies of the plugin's routes and of the guard, and the bodies that the routes accept. */
export interface ErrorFormat {
  /** Media types that the login route reads. */
  readonly loginTypes: readonly string[]
  /** Adds the hooks that a scope of the plugin's routes needs for bodies in this format. */
  prepareScope(scope: FastifyInstance): void
  toReply(error: FastifyError, request: FastifyRequest): { statusCode: number; body: unknown }
  /** Returns the body with which the guard replies itself; null if the application's error handler replies. */
  guardReply(error: UsersError): object | null
  /** Returns the error with the status and the detail that a route with these errors replies. */
  describe(error: DescribedError, routeErrors: ReadonlySet<string>): DescribedError
  /** Returns the response schema of the errors of one status. */
  schemaOf(statusCode: number, errors: readonly DescribedError[]): object
  /** Returns the response schema of a login that waits for a step. `detail` is the schema of its `detail`. */
  pendingSchema(detail: TSchema): object
}

/** An error reply in the API document. */
export interface DescribedError {
  /** The code without its prefix. */
  readonly word: string
  readonly code: string
  readonly statusCode: number
  readonly message: string
  readonly detail: unknown
}

/** Form of replies without content whose status is not 204. */
export interface EmptyReplyFormat {
  send(reply: FastifyReply, statusCode: number): FastifyReply
  /** Returns the response schema of such a reply. */
  schema(description: string): object
}

/** Form of operation ids and summaries in the API document. */
export interface OperationFormat {
  describe(operation: DescribedOperation): { operationId: string; summary: string }
  /** Adds the hooks that complete the operation ids of a scope. */
  complete(scope: FastifyInstance): void
}

/** An operation of the API document, from which the format creates operation id and summary. */
export interface DescribedOperation {
  /** Name of the registration. */
  readonly name: string
  readonly operation: string
  /** Name of the route in FastAPI Users. */
  readonly upstream: string
  readonly summary: string
}

/** Form of session cookies. */
export interface CookieFormat {
  /** Name of the cookie if the transport has none; null for `__Host-<name>-<backend>`. */
  readonly name: string | null
  /** If a request has two cookies of one name, refuse both or use the last one. */
  readonly duplicates: 'refuse' | 'last'
}

/** Form of opaque tokens in the store. */
export interface StoredTokenFormat {
  /** Tokens are stored as digests, and not as plain text. */
  readonly areDigests: boolean
  /** Returns the stored form of a token. `label` is the place of the token: each place has different digests. */
  toStored(token: string, label: string): string
}

/** Form of signed tokens. */
export interface SignedTokenFormat {
  /** Returns the audience of the tokens for a purpose: `<prefix>:<purpose>`. */
  audienceOf(purpose: string): string
  /** Tokens have the claim `iat`. */
  readonly issuedAt: boolean
  /** Tokens must have the claims `iat`, `jti` and the security stamp; tokens of FastAPI Users have none of them. */
  readonly requireStamp: boolean
  /** Form of the fingerprint in reset tokens. */
  readonly fingerprint: 'keyed' | 'argon2'
}
