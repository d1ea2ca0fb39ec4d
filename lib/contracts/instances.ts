import type { UsersApi } from './users-api.js'

/** An application with users, whatever its server, logger and type provider are. */
export interface AnyInstance {
  readonly users: UsersApi
}
/** A request of any application, whatever its server, schema and logger types are; HTTP/2 included. */
export interface AnyRequest {
  readonly raw: object
  readonly headers: object
  readonly server: object
}
/** The reply to such a request. */
export interface AnyReply {
  readonly raw: object
  readonly request: object
  readonly server: object
}
