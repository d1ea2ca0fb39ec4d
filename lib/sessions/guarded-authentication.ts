import type { Authentication } from '../contracts/authentication.js'
import type { Session } from '../contracts/session.js'
import type { TokenSubject } from '../contracts/strategy.js'
import type { User } from '../contracts/user.js'
import { sessionOfToken } from './session-rules.js'

/**
 * The authentication that the guard sets on a request. Printing, serializing or copying it reveals neither the token
 * nor the row of the user.
 */
export class GuardedAuthentication implements Authentication {
  readonly #token: string
  readonly #subject: TokenSubject
  #session: Session | undefined

  constructor (
    readonly user: User,
    readonly backend: string,
    token: string,
    subject: TokenSubject
  ) {
    this.#token = token
    this.#subject = subject
  }

  /** Returns what the guard read for this authentication. Undefined if the guard did not create it. */
  static subjectOf (authentication: Authentication | null): TokenSubject | undefined {
    return authentication !== null && #subject in authentication ? authentication.#subject : undefined
  }

  get token (): string {
    return this.#token
  }

  get session (): Session {
    return (this.#session ??= this.#subject.session?.() ?? sessionOfToken(this.#token))
  }
}
