import { hash } from 'node:crypto'
import { primaryKeyOf } from '../adapters/shared/model-registry.js'
import type { DatabaseAdapter, MaybePromise, Row } from '../contracts/database-adapter.js'
import type { Model } from '../contracts/models.js'
import type { Clock } from '../contracts/settings.js'
import type { CachedReader, SessionRows } from '../contracts/user-cache.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import { isPromise } from '../shared/values.js'
import type { UserRows } from '../users/index.js'
import { copyDeeply, hasObjects } from './copy-values.js'
import { ReadsInFlight } from './reads-in-flight.js'

/** The parts of a registration that the cache uses. */
export interface UserCacheParts {
  readonly rows: UserRows
  /** The store from which sessions are read. */
  readonly store: DatabaseAdapter
  readonly clock: Clock
  readonly maxAgeMs: number
  readonly max: number
  /** True if changes in all processes are reported to this one. */
  readonly hearsAllChanges: boolean
  /** True if session tokens are stored as digests. Otherwise the stored form of a token is secret. */
  readonly areDigests: boolean
}

/** Largest number of sessions of one user that the cache remembers. */
const MAX_ADMITTED = 100

interface UserEntry {
  readonly row: UserRow
  readonly user: User
  /** The session stamps that are valid for the row: at most one for each secret of the plugin. */
  readonly accepted: Set<string>
  /** The sessions of the user that were read and are not revoked. */
  readonly admitted: Set<string>
  /** True if the user has nested values. */
  readonly isNested: boolean
  readonly readAt: number
  /**
   * Becomes false when the user changes. Cached sessions that refer to the entry are then read again with their user.
   */
  isCurrent: boolean
}

interface SessionEntry {
  readonly rows: SessionRows
  readonly user: UserEntry
  readonly readAt: number
}

/**
 * Keeps the rows of users and sessions that guarded requests read. It does not remember missing rows. The age of an
 * entry counts from the start of its read.
 */
export class UserCache implements CachedReader {
  readonly #parts: UserCacheParts
  readonly #users = new Map<UserId, UserEntry>()
  readonly #sessions = new Map<string, SessionEntry>()
  readonly #entries = new WeakMap<UserRow, UserEntry>()
  readonly #reads = new ReadsInFlight()
  #isOn = false

  constructor (parts: UserCacheParts) {
    this.#parts = parts
  }

  /** True if the cache keeps rows. If false, every request reads them. */
  get isOn (): boolean {
    return this.#isOn
  }

  /** Switches the cache on, or empties it and switches it off. */
  switch (isOn: boolean): void {
    this.#isOn = isOn
    this.forgetAll()
  }

  /** Returns the id in canonical form; null for other text. The id of a cached user is not parsed again. */
  parseId (text: string): UserId | null {
    return this.#users.get(text as UserId)?.row.id === text ? (text as UserId) : this.#parts.rows.parseId(text)
  }

  /** Returns the row of a user from the cache, or reads it. A row of the cache is frozen. */
  getRow (id: UserId): MaybePromise<UserRow | null> {
    const entry = this.#users.get(id)
    if (entry !== undefined && this.#isFresh(entry)) return entry.row
    return this.#read(
      () => this.#parts.rows.getRow(id),
      (row, ticket, readAt) => {
        if (row.id === id) this.#keepUser(row, ticket, readAt)
      }
    )
  }

  findSession (model: Model, stored: string): MaybePromise<SessionRows | null> {
    const key = this.sessionKeyOf(stored)
    const entry = this.#sessions.get(key)
    if (entry !== undefined && entry.user.isCurrent && this.#isFresh(entry) && this.#isFresh(entry.user)) {
      return entry.rows
    }
    return this.#read(
      () => this.#readSession(model, stored),
      (found, ticket, readAt) => {
        this.#keepSession(key, found, ticket, readAt)
      }
    )
  }

  /** Returns true if the cache returned this row object. */
  hasRow (row: UserRow): boolean {
    return this.#entries.has(row)
  }

  /**
   * Returns a copy of the user of a row; null if a session with this stamp is not valid for the row; undefined if the
   * cache did not return the row. A stamp that was accepted once for the row is accepted again, because a cached
   * row never changes.
   */
  userOf (row: UserRow, stamp: string | null): User | null | undefined {
    const entry = this.#entries.get(row)
    if (entry === undefined) return undefined
    if (stamp !== null && !entry.accepted.has(stamp)) {
      if (!this.#parts.rows.hasStamp(row, stamp)) return null
      entry.accepted.add(stamp)
    }
    return entry.isNested ? copyDeeply(entry.user) : { ...entry.user }
  }

  isAdmitted (row: UserRow, session: string): boolean {
    const entry = this.#entries.get(row)
    return entry !== undefined && entry.isCurrent && entry.admitted.has(session)
  }

  admit (row: UserRow, session: string): void {
    const entry = this.#entries.get(row)
    if (entry === undefined || !this.#parts.hearsAllChanges) return
    if (entry.admitted.size >= MAX_ADMITTED) entry.admitted.clear()
    entry.admitted.add(session)
  }

  /** Returns the key of a session: the digest of its token. */
  sessionKeyOf (stored: string): string {
    return this.#parts.areDigests ? stored : hash('sha256', stored, 'base64url')
  }

  forgetUser (id: UserId): void {
    this.#reads.change(id)
    const entry = this.#users.get(id)
    if (entry === undefined) return
    entry.isCurrent = false
    this.#users.delete(id)
  }

  forgetSession (key: string): void {
    this.#reads.change(key)
    this.#sessions.delete(key)
  }

  forgetAll (): void {
    this.#reads.changeAll()
    this.#users.clear()
    this.#sessions.clear()
  }

  /**
   * Returns true for an entry younger than `maxAgeMs`. If the clock was set back, the age is negative and the entry is
   * not fresh.
   */
  #isFresh ({ readAt }: { readonly readAt: number }): boolean {
    const age = this.#parts.clock() - readAt
    return age >= 0 && age < this.#parts.maxAgeMs
  }

  /** Runs a read and passes a found value to `keep`. Synchronous if the read is. */
  #read<T> (
    read: () => MaybePromise<T | null>,
    keep: (value: T, ticket: number, readAt: number) => void
  ): MaybePromise<T | null> {
    if (!this.#isOn) return read()
    const readAt = this.#parts.clock()
    const ticket = this.#reads.begin()
    const finish = (value: T | null): T | null => {
      if (value !== null && this.#isOn) keep(value, ticket, readAt)
      this.#reads.end()
      return value
    }
    const fail = (error: unknown): never => {
      this.#reads.end()
      throw error
    }
    let found
    try {
      found = read()
    } catch (error) {
      return fail(error)
    }
    return isPromise(found) ? found.then(finish, fail) : finish(found)
  }

  /** Reads a session and its user in one round trip if the adapter can. */
  #readSession (model: Model, stored: string): MaybePromise<SessionRows | null> {
    const { store } = this.#parts
    const where = { [primaryKeyOf(model).name]: stored }
    if (store.findWithUser === undefined) return this.#readSessionInTwoSteps(model, where)
    return store.findWithUser(model, where) as MaybePromise<SessionRows | null> // the user is a row of the user model
  }

  async #readSessionInTwoSteps (model: Model, where: Record<string, string>): Promise<SessionRows | null> {
    const { store, rows } = this.#parts
    const row = await store.findOne(model, where)
    const user = row && (await rows.getRow(row['user_id'] as UserId)) // a field of every model of sessions
    return row && user && { row, user }
  }

  #keepSession (key: string, { row, user }: SessionRows, ticket: number, readAt: number): void {
    if (!this.#reads.isUnchanged(ticket, key)) return
    const entry = this.#keepUser(user, ticket, readAt)
    if (entry === null) return
    this.#sessions.delete(key)
    if (this.#sessions.size >= this.#parts.max) {
      const [oldest] = this.#sessions.keys()
      if (oldest !== undefined) this.#sessions.delete(oldest)
    }
    const rows = Object.freeze({ row: freezeCopy(row), user: entry.row })
    this.#sessions.set(key, { rows, user: entry, readAt })
  }

  /**
   * Keeps a user and returns its entry. Returns a fresh entry if there is one, because sessions refer to it. Returns
   * null if the user has changed since the read began.
   */
  #keepUser (row: UserRow, ticket: number, readAt: number): UserEntry | null {
    const { rows, max } = this.#parts
    const { id } = row as { id: UserId } // the type of `User` depends on the application
    if (!this.#reads.isUnchanged(ticket, id)) return null
    const known = this.#users.get(id)
    if (known !== undefined && this.#isFresh(known)) return known
    if (known !== undefined) this.#removeUser(known)
    const [oldest] = this.#users.values()
    if (oldest !== undefined && this.#users.size >= max) this.#removeUser(oldest)
    const kept = freezeCopy(row)
    const user = rows.toUser(kept)
    const isNested = hasObjects(user)
    const entry: UserEntry = {
      row: kept,
      user,
      accepted: new Set(),
      admitted: new Set(),
      isNested,
      readAt,
      isCurrent: true
    }
    this.#users.set(id, entry)
    this.#entries.set(kept, entry)
    return entry
  }

  #removeUser (entry: UserEntry): void {
    entry.isCurrent = false
    this.#users.delete(entry.row.id as UserId)
  }
}

/** Returns a frozen copy, so that a strategy cannot change what later requests see. */
function freezeCopy<T extends Row | UserRow> (row: T): T {
  return Object.freeze(copyDeeply(row))
}
