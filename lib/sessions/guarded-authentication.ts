import type { Authentication } from '../contracts/authentication.js'
import type { Session } from '../contracts/session.js'
import type { TokenSubject } from '../contracts/strategy.js'
import type { User } from '../contracts/user.js'
import { sessionOfToken } from './session-rules.js'

/** The subject of a token whose user comes from the user cache. Rules must read its row again. */
export interface CachedSubject extends Pick<TokenSubject, 'session'> {
  row: null
}

/**
 * The authentication that the guard sets on a request. Printing, serializing or copying it reveals neither the token
 * nor the row of the user.
 */
export class GuardedAuthentication implements Authentication {
  readonly #token: string
  readonly #subject: TokenSubject | CachedSubject
  #session: Session | undefined

  constructor (
    readonly user: User,
    readonly backend: string,
    token: string,
    subject: TokenSubject | CachedSubject
  ) {
    this.#token = token
    this.#subject = subject
  }

  /**
   * Returns what the guard read for this authentication. Undefined if the guard did not create it, or if the user comes
   * from the user cache.
   */
  static subjectOf (authentication: Authentication | null): TokenSubject | undefined {
    if (authentication === null || !(#subject in authentication)) return undefined
    const subject = authentication.#subject
    return subject.row === null ? undefined : subject
  }

  /** Returns true if the user of the authentication comes from the user cache. */
  static isCached (authentication: Authentication): boolean {
    return #subject in authentication && authentication.#subject.row === null
  }

  get token (): string {
    return this.#token
  }

  get session (): Session {
    return (this.#session ??= this.#subject.session?.() ?? sessionOfToken(this.#token))
  }
}
