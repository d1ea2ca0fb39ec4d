import type { IdValue } from '../../schemas/index.js'
import type { Authentication } from '../contracts/authentication.js'
import type { Backend } from '../contracts/backend.js'
import type { SessionSelection } from '../contracts/session-service.js'
import type { SessionEnd } from '../contracts/session-watch.js'
import type { Clock } from '../contracts/settings.js'
import type { User } from '../contracts/user.js'

/** An open connection of a session. */
export interface SessionWatcher {
  readonly user: string
  readonly session: string
  /** Reads the session again after this number of milliseconds. */
  recheck(delayMs: number): void
  /** Ends the connection. Never throws. */
  end(reason: SessionEnd): void
}

/** Time in milliseconds over which the checks of all connections are spread. */
const SPREAD_MS = 1000

/** The open connections of a registration in this process. */
export class SessionWatchers {
  readonly #byUser = new Map<string, Set<SessionWatcher>>()
  readonly #clock: Clock
  readonly #backends: ReadonlyMap<string, Backend>

  constructor (clock: Clock, backends: ReadonlyMap<string, Backend>) {
    this.#clock = clock
    this.#backends = backends
  }

  /** True if no connection is watched. */
  get isEmpty (): boolean {
    return this.#byUser.size === 0
  }

  /** Adds a connection and returns the function that removes it. */
  add (watcher: SessionWatcher): () => void {
    const { user } = watcher
    const own = this.#byUser.get(user) ?? new Set()
    this.#byUser.set(user, own.add(watcher))
    return () => {
      own.delete(watcher)
      if (own.size === 0 && this.#byUser.get(user) === own) this.#byUser.delete(user)
    }
  }

  /** Ends the connections of sessions that were revoked by this process. */
  end ({ id }: User, which: SessionSelection): void {
    for (const watcher of [...(this.#byUser.get(String(id)) ?? [])]) {
      if (selectsSession(which, watcher.session)) watcher.end('ended')
    }
  }

  /** Checks the connections of users that have changed, perhaps in another process. */
  recheck (users: readonly IdValue[] | 'all'): void {
    if (users !== 'all') {
      for (const id of users) for (const watcher of this.#byUser.get(String(id)) ?? []) watcher.recheck(0)
      return
    }
    let position = 0
    for (const own of this.#byUser.values()) for (const watcher of own) watcher.recheck(position++ % SPREAD_MS)
  }

  /** Ends all connections, because the application closes. */
  close (): void {
    for (const own of [...this.#byUser.values()]) for (const watcher of [...own]) watcher.end('closing')
  }

  /**
   * Returns the milliseconds until the token expires; null if it has expired, or if the strategy does not describe its
   * lifetime.
   */
  timeLeft ({ backend, session: { createdAt } }: Authentication): number | null {
    const seconds = this.#backends.get(backend)?.strategy.description?.lifetimeSeconds ?? null
    if (seconds === null || createdAt === null) return null
    const left = createdAt.getTime() + seconds * 1000 + 1 - this.#clock() // a stored token is valid at its last moment
    return left > 0 ? left : null
  }
}

function selectsSession (which: SessionSelection, session: string): boolean {
  if (which === 'all') return true
  return 'id' in which ? which.id === session : which.except !== session
}
