import type { UsersApi } from './users-api.js'

/** A Fastify instance with the plugin, with any server, logger and type provider. */
export interface AnyInstance {
  readonly users: UsersApi
}
/** A Fastify request with any server, schema and logger types, also with HTTP/2. */
export interface AnyRequest {
  readonly raw: object
  readonly headers: object
  readonly server: object
}
/** A Fastify reply with any types. */
export interface AnyReply {
  readonly raw: object
  readonly request: object
  readonly server: object
}
