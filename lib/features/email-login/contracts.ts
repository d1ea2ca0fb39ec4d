import type { CallContext, LoginContext, LoginResult } from '../../feature/index.js'

/** The reply to a request for a login. It is the same for every e-mail. */
export interface EmailLoginTicket {
  /** Belongs to the client that asked. A login needs the mailed code or link too. */
  ticket: string
  /** Seconds for which the mail can be used. */
  expires_in: number
}

/** The proof that finishes a login: the ticket with the mailed code, or the token of the mailed link. */
export interface EmailLoginProof {
  ticket?: string
  code?: string
  token?: string
  /** The person has confirmed the login with a link that another browser requested. */
  other_browser?: boolean
}

/** The functions of `app.users.feature('email-login')`, for APIs without these routes, such as GraphQL. */
export interface EmailLoginApi {
  /**
   * Stores a request and sends the mail after the reply. The result is the same for every e-mail. Throws
   * `FST_USERS_TOO_MANY_ATTEMPTS` and `FST_USERS_UNKNOWN_BACKEND`.
   */
  request(email: string, context: CallContext & { backend: string }): Promise<EmailLoginTicket>
  /**
   * Finishes a login. Returns the token, which the caller sends, or a further step. Throws
   * `FST_USERS_EMAIL_LOGIN_INVALID`, `FST_USERS_EMAIL_LOGIN_OTHER_BROWSER`, `FST_USERS_TOO_MANY_ATTEMPTS`, and the
   * errors of `app.users.login`.
   */
  confirm(proof: EmailLoginProof, context: Omit<LoginContext, 'method'>): Promise<LoginResult>
}
