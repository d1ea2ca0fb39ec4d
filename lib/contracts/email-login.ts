import type { User } from './user.js'

/** A login by e-mail that was requested. */
export interface RequestedEmailLogin {
  /** Null if the login will create the user. */
  user: User | null
  email: string
  /** The code of the mail; null if the mail has none. */
  code: string | null
  /** The token of the link; null if the mail has no link. */
  token: string | null
  lifetimeSeconds: number
  /** IP address and header `User-Agent` of the request; null if code asked for the login. */
  ip: string | null
  userAgent: string | null
}

declare module './events.js' {
  interface UsersEvents {
    /** After the reply to a request for a login by e-mail: send the code or the token. `emailLogin()` fires it. */
    onAfterRequestEmailLogin: RequestedEmailLogin
  }
}
