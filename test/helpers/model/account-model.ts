// The state of the model: accounts, sessions and mailed tokens, and the end of each. `account-rules.ts` has the rules.

export type BackendName = 'jwt' | 'cookie' | 'stored'
export type Purpose = 'reset' | 'verify' | 'email-change'

/** The backends in the order in which they are registered, with the lifetime of a session in seconds. */
export const LIFETIMES: Readonly<Record<BackendName, number>> = { jwt: 3600, cookie: 86_400, stored: 7200 }
export const BACKENDS = ['jwt', 'cookie', 'stored'] as const
/** Lifetime of mailed tokens in seconds. */
export const MAIL_LIFETIME = 3600

/** Options of the application that the rules depend on. */
export interface ModelOptions {
  /** `sensitiveChanges: 'confirm'`. */
  readonly confirm: boolean
  /** Backends with `requireVerification`. */
  readonly forVerified: readonly BackendName[]
}

export interface Account {
  /** Empty until the reply to the registration has arrived. */
  id: string
  email: string
  password: string
  isActive: boolean
  isVerified: boolean
  isSuperuser: boolean
  isDeleted: boolean
}

export interface ModelSession {
  readonly account: Account
  readonly backend: BackendName
  readonly createdAt: number
  /** Time of the login. A renewed cookie keeps it. */
  readonly authenticatedAt: number
  /** Empty until the reply has arrived. */
  token: string
  /** The event that ended the session; null while it is valid. */
  endedBy: string | null
}

export interface Mail {
  readonly purpose: Purpose
  readonly account: Account
  /** The e-mail that the account had. */
  readonly email: string
  /** The requested e-mail; null unless the purpose is `email-change`. */
  readonly newEmail: string | null
  readonly createdAt: number
  /** Empty until the mail has been sent. */
  token: string
  /** The event that made the token invalid; null before. */
  endedBy: string | null
}

/** A reply that the rules refuse with an error. */
export class Refusal extends Error {
  constructor (
    readonly status: number,
    readonly code: string
  ) {
    super(status === 400 ? `${status} ${code}` : String(status))
  }
}

export class AccountModel {
  readonly accounts: Account[] = []
  readonly sessions: ModelSession[] = []
  readonly mails: Mail[] = []
  /** The commands of the run with their predicted results, such as `log out: 401`. */
  readonly results = new Set<string>()
  /** Seconds since the beginning of the run. */
  now = 0

  constructor (readonly options: ModelOptions) {}

  get present (): Account[] {
    return this.accounts.filter(({ isDeleted }) => !isDeleted)
  }

  /** Returns the account with an e-mail in any letter case. */
  find (email: string): Account | undefined {
    return this.present.find((account) => isSameMailbox(account.email, email))
  }

  isAlive ({ backend, createdAt, endedBy }: ModelSession): boolean {
    return endedBy === null && this.now - createdAt < LIFETIMES[backend]
  }

  /** Returns the first living session of a request, in the order of the backends. */
  identify (presented: readonly ModelSession[], backends: readonly BackendName[] = BACKENDS): ModelSession | undefined {
    return backends
      .map((backend) => presented.find((session) => session.backend === backend && this.isAlive(session)))
      .find((session) => session !== undefined)
  }

  isExpired ({ createdAt }: Mail): boolean {
    return this.now - createdAt >= MAIL_LIFETIME
  }

  /** Returns true if an account is the only active superuser. */
  isLastSuperuser (account: Account): boolean {
    const isRuling = ({ isActive, isSuperuser }: Account): boolean => isActive && isSuperuser
    return isRuling(account) && this.present.filter(isRuling).length === 1
  }

  startSession (account: Account, backend: BackendName, authenticatedAt = this.now): ModelSession {
    const session: ModelSession = { account, backend, createdAt: this.now, authenticatedAt, token: '', endedBy: null }
    this.sessions.push(session)
    return session
  }

  sendMail (account: Account, purpose: Purpose, newEmail: string | null = null): Mail {
    const { email } = account
    const mail: Mail = { purpose, account, email, newEmail, createdAt: this.now, token: '', endedBy: null }
    this.mails.push(mail)
    return mail
  }

  /** Ends all sessions and mailed tokens of an account. */
  endAll (account: Account, event: string): void {
    for (const session of this.sessions) if (session.account === account) session.endedBy ??= event
    this.endMails(account, event)
  }

  endMails (account: Account, event: string): void {
    for (const mail of this.mails) if (mail.account === account) mail.endedBy ??= event
  }
}

/** Returns true for e-mails that differ only in letter case. */
export function isSameMailbox (one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}

/** Returns an e-mail in the form in which it is stored: only the domain is in lower case. */
export function storedEmail (email: string): string {
  return email.replace(/@.*/, (domain) => domain.toLowerCase())
}
