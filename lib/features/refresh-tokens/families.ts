import {
  contextOf,
  FST_USERS_INVALID_OPTION,
  generateOpaqueToken,
  isSameSecret,
  type Backend,
  type CallContext,
  type CreatedSession,
  type FeatureKit,
  type IssuedSession,
  type Model,
  type Row,
  type Session,
  type SessionSelection,
  type User,
  type UserId,
  type UserRow
} from '../../feature/index.js'
import { FST_USERS_REFRESH_TOKEN_INVALID } from './errors.js'
import { refreshTokenModel } from './model.js'
import type { RefreshTokensSettings } from './options.js'
import {
  createRefreshTokenCodec,
  isSessionId,
  parseRefreshToken,
  type PresentedToken,
  type RefreshTokenCodec,
  type TokenSource
} from './token.js'

/** A refresh token for a client. */
export interface RefreshToken {
  readonly text: string
  /** Seconds until it expires. */
  readonly lifetimeSeconds: number
}

/** A session with its new tokens. */
export interface RefreshedSession {
  readonly issued: IssuedSession
  readonly next: RefreshToken
}

/** The stored row of a session: its tokens form a family (RFC 9700, section 4.14.2). */
interface Family extends TokenSource {
  readonly user_id: UserId
  readonly backend: string
  /** Number of the current token. */
  readonly generation: number
  /** Digest of the current token. */
  readonly token: string
  readonly stamp: string
  readonly data: { authenticated_at: number | null; methods: readonly string[]; details: Session['details'] }
  readonly created_at: Date
  readonly rotated_at: Date
  readonly expires_at: Date
  readonly ends_at: Date
}

const MAX_LISTED = 1000
/** Largest difference between the clocks of two processes, in milliseconds. */
const CLOCK_SKEW_MS = 60_000

/** Stores and continues the sessions that have refresh tokens. */
export class Families {
  readonly #kit: FeatureKit
  readonly #settings: RefreshTokensSettings
  readonly #model: Model
  readonly #codec: RefreshTokenCodec

  constructor (kit: FeatureKit, settings: RefreshTokensSettings) {
    this.#kit = kit
    this.#settings = settings
    this.#model = refreshTokenModel(kit.settings.schemas.id)
    // if a secret is removed, second uses of its tokens are no longer recognized
    this.#codec = createRefreshTokenCodec(kit.keysFor('refresh-token', settings.absoluteMs / 1000))
  }

  /** Stores a new session and returns its first refresh token. */
  async start ({ user, backend, stamp, issued: { session } }: CreatedSession): Promise<RefreshToken> {
    if (!isSessionId(session.id)) {
      throw FST_USERS_INVALID_OPTION(['refreshTokens.backends', `names "${backend}", whose session ids have another form`])
    }
    const now = this.#kit.clock()
    const source = { id: session.id, seed: generateOpaqueToken() }
    const text = this.#codec.create(source, 0)
    const expiresAt = new Date(now + this.#settings.idleMs)
    await this.#kit.store.create(this.#model, {
      ...source,
      user_id: user.id,
      backend,
      generation: 0,
      token: this.#codec.digest(text),
      stamp,
      data: {
        authenticated_at: session.authenticatedAt?.getTime() ?? null,
        methods: session.methods,
        details: session.details
      },
      created_at: new Date(now),
      rotated_at: new Date(now),
      expires_at: expiresAt,
      ends_at: new Date(now + this.#settings.absoluteMs)
    } satisfies Row)
    return this.#withLifetime(text, expiresAt)
  }

  /**
   * Returns a new access token and the next refresh token. Throws `FST_USERS_REFRESH_TOKEN_INVALID`. A token that was
   * used before ends the session, unless its successor was created less than `graceSeconds` ago: then that successor is
   * returned again.
   */
  async refresh (text: string, backend: Backend, call: CallContext): Promise<RefreshedSession> {
    const given = parseRefreshToken(text)
    const family = given && (await this.#find(given.id))
    const row = family && (await this.#userOf(family, backend))
    if (given === null || family === null || row === null) throw FST_USERS_REFRESH_TOKEN_INVALID()
    const successor = this.#successorOf(family, given)
    if (successor === null && !this.#isCurrent(family, given)) {
      if (this.#isGenuine(family, given)) await this.#endReused(family, row, call)
      throw FST_USERS_REFRESH_TOKEN_INVALID()
    }
    // the access token is created before the rotation: if that fails, the same refresh token works again
    const issued = await this.#createSession(family, row, backend, call)
    return { issued, next: successor ?? (await this.#rotate(family, row, given)) }
  }

  /** Ends the session of a token, also of a used one. Does nothing for other text. */
  async revoke (text: string): Promise<void> {
    const given = parseRefreshToken(text)
    const family = given && (await this.#find(given.id))
    if (given === null || family === null) return
    if (!this.#isCurrent(family, given) && !this.#isGenuine(family, given)) return
    const row = await this.#kit.rows.getRow(family.user_id)
    if (row !== null) await this.#kit.sessions.end(this.#kit.rows.toUser(row), { id: family.id })
  }

  /** Deletes sessions of a user and returns their number. */
  async remove (user: User, which: SessionSelection): Promise<number> {
    const { store } = this.#kit
    const owned = { user_id: user.id as UserId }
    if (which === 'all') return await store.delete(this.#model, owned)
    if ('id' in which) return await store.delete(this.#model, { ...owned, id: which.id })
    const before = await store.delete(this.#model, { ...owned, id: { lt: which.except } })
    return before + (await store.delete(this.#model, { ...owned, id: { gt: which.except } }))
  }

  /** Returns at most 1000 sessions of a user. */
  async list (user: User): Promise<Session[]> {
    const families = await this.#open(user)
    return families.map((family) => ({ id: family.id, createdAt: family.created_at, ...sessionValuesOf(family) }))
  }

  /** Returns what the account export contains of the sessions of a user. */
  async export (user: User): Promise<Record<string, unknown>[]> {
    return (await this.#open(user)).map((family) => ({
      backend: family.backend,
      created_at: family.created_at.toISOString(),
      refreshed_at: family.rotated_at.toISOString(),
      expires_at: family.expires_at.toISOString()
    }))
  }

  /** Returns at most 1000 sessions of a user that can be continued. */
  async #open (user: User): Promise<Family[]> {
    const { store, rows, clock } = this.#kit
    const id = user.id as UserId
    const row = await rows.getRow(id)
    const open = { user_id: id, expires_at: { gt: new Date(clock()) } }
    const found = row === null ? [] : await store.findMany(this.#model, open, { limit: MAX_LISTED })
    // rows of the model
    return (found as unknown as Family[]).filter(({ stamp }) => row !== null && rows.hasStamp(row, stamp))
  }

  async #find (id: string): Promise<Family | null> {
    return (await this.#kit.store.findOne(this.#model, { id })) as unknown as Family | null // a row of the model
  }

  /** Returns the user whose session a family continues; null if the session was revoked or has expired. */
  async #userOf (family: Family, backend: Backend): Promise<UserRow | null> {
    const { rows, clock } = this.#kit
    if (family.backend !== backend.name || family.expires_at.getTime() <= clock()) return null
    const row = await rows.getRow(family.user_id)
    if (row === null || !row.is_active || !rows.hasStamp(row, family.stamp)) return null
    return backend.requireVerification && !row.is_verified ? null : row
  }

  #isCurrent (family: Family, { text, generation }: PresentedToken): boolean {
    return generation === family.generation && isSameSecret(this.#codec.digest(text), family.token)
  }

  /** Returns true for a token of the family that was used before. No other text may end the session. */
  #isGenuine (family: Family, given: PresentedToken): boolean {
    return given.generation < family.generation && this.#codec.isGenuine(family, given)
  }

  /** Returns the current token of a family if the given one is its predecessor and was used just now. */
  #successorOf (family: Family, given: PresentedToken): RefreshToken | null {
    const age = this.#kit.clock() - family.rotated_at.getTime() // the clock of another process may be ahead
    const isInGrace = age <= this.#settings.graceMs && age >= -CLOCK_SKEW_MS
    if (!isInGrace || given.generation !== family.generation - 1 || !this.#codec.isGenuine(family, given)) return null
    const text = this.#codec.find(family, family.generation, family.token)
    return text === null ? null : this.#withLifetime(text, family.expires_at)
  }

  async #createSession (
    family: Family,
    row: UserRow,
    { name }: Backend,
    { request = null }: CallContext
  ): Promise<IssuedSession> {
    const values = { backend: name, id: family.id, ...sessionValuesOf(family) }
    return await this.#kit.sessions.create(row, { ...values, request: contextOf({ request }).request })
  }

  /** Replaces the current token. If a parallel request has replaced it, returns the token of that request. */
  async #rotate (family: Family, row: UserRow, given: PresentedToken): Promise<RefreshToken> {
    const { id, generation, token, ends_at: endsAt } = family
    const now = this.#kit.clock()
    const next = this.#codec.create(family, generation + 1)
    const expiresAt = new Date(Math.min(now + this.#settings.idleMs, endsAt.getTime()))
    const changes = {
      generation: generation + 1,
      token: this.#codec.digest(next),
      rotated_at: new Date(now),
      expires_at: expiresAt
    }
    // of parallel requests, one changes the row
    if ((await this.#kit.store.update(this.#model, { id, generation, token }, changes)) === 1) {
      return this.#withLifetime(next, expiresAt)
    }
    const rotated = await this.#find(id)
    const successor = rotated && this.#successorOf(rotated, given)
    if (successor !== null) return successor
    // the session has ended meanwhile, and so must its new access token
    if (rotated === null) await this.#kit.sessions.end(this.#kit.rows.toUser(row), { id })
    throw FST_USERS_REFRESH_TOKEN_INVALID()
  }

  /** Ends the session of a token that was used before. Of parallel calls, one fires the event. */
  async #endReused (family: Family, row: UserRow, call: CallContext): Promise<void> {
    const user = this.#kit.rows.toUser(row)
    if (!(await this.#kit.sessions.end(user, { id: family.id }))) return
    const payload = { user, backend: family.backend, session: family.id }
    const context = contextOf(call)
    await this.#kit.fire('onRefreshTokenReused', payload, context)
    const entry = { event: 'token.reuse', outcome: 'blocked', reason: 'REFRESH_TOKEN_REUSED' } as const
    this.#kit.audit.emit({ ...entry, user, backend: family.backend, session: { id: family.id } }, context)
  }

  #withLifetime (text: string, expiresAt: Date): RefreshToken {
    return { text, lifetimeSeconds: Math.max(0, Math.floor((expiresAt.getTime() - this.#kit.clock()) / 1000)) }
  }
}

function sessionValuesOf ({ data }: Family): Pick<Session, 'authenticatedAt' | 'methods' | 'details'> {
  const { authenticated_at: time, methods, details } = data
  return { authenticatedAt: time === null ? null : new Date(time), methods, details }
}
