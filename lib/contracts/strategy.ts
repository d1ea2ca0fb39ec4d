import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { MaybePromise } from './database-adapter.js'
import type { BackendDefaults, Definition } from './definition.js'
import type { KeyDescription } from './keys.js'
import type { ModelBase, Model } from './models.js'
import type { Session } from './session.js'
import type { User, UserId, UserRow } from './user.js'

/** A token that a strategy created. */
export interface IssuedToken {
  token: string
  /** Lifetime in seconds; null for a token that does not expire. */
  lifetimeSeconds: number | null
  /**
   * The session of the token, as `readToken` will return it. A strategy that stores sessions sets it. Otherwise the
   * plugin sets a session with an id that is derived from the token.
   */
  session?: Session
  /** Set by `onIssueToken` hooks, like `expires_in`; part of the bearer reply if set. */
  refresh_token?: string
  expires_in?: number
  /**
   * Seconds for which a browser keeps the session cookie; null until it closes. Default: the option `maxAge` of the
   * transport. Observers of sessions may set it.
   */
  cookieSeconds?: number | null
}

/** Finds users for strategies. */
export interface UserReader {
  /** Returns the id in a token's `sub`; null unless the text is the canonical form of an id. */
  parseId(text: string): UserId | null
  getRow(id: UserId): MaybePromise<UserRow | null>
}

/** The user of a token and, if the token has it, the security stamp of the user when the token was created. */
export interface TokenSubject {
  row: UserRow
  stamp?: string | null
  /**
   * Returns the session. It is called only if the session is needed. Without it, the session has an id that is derived
   * from the token.
   */
  session?: () => Session
}

/** A stored session and, if it has one, the security stamp of the user when it was created. */
export interface StoredSession {
  session: Session
  stamp?: string | null
}

/** Argument of `Strategy.writeToken`. */
export interface WriteTokenContext {
  request: FastifyRequest | null
  /** Security stamp of the user. */
  stamp: string
  /** The session that the token identifies. */
  session: Session
}

/** The properties of a strategy on which its sessions depend: their lifetime, and its keys without secret parts. */
export interface StrategyDescription {
  /** Lifetime of a session in seconds; null for sessions that never expire. */
  readonly lifetimeSeconds: number | null
  /**
   * Keys of signed tokens. The first one signs, all of them verify. The JWKS route publishes the public ones. Empty for
   * stored tokens.
   */
  readonly keys: readonly KeyDescription[]
}

/** Creates and checks tokens. */
export interface Strategy {
  /** For the JWKS route, `app.users.securityProfile()` and the command line. Absent: nothing is published. */
  readonly description?: StrategyDescription
  /**
   * Returns the token's user; null for an invalid, expired or revoked token. The caller checks the security stamp and
   * the flags of the user.
   */
  readToken(
    token: string,
    context: { request: FastifyRequest | null; users: UserReader }
  ): MaybePromise<TokenSubject | null>
  writeToken(row: UserRow, context: WriteTokenContext): MaybePromise<IssuedToken>
  /** Revokes one token. Absent if the strategy stores no tokens. */
  destroyToken?(token: string, user: User): Promise<void>
  /**
   * Revokes all tokens of the user, or those of all sessions but `except`. Absent if the strategy stores no tokens.
   */
  destroyAllTokens?(user: User, options?: { except?: string }): Promise<void>
  /**
   * Revokes the tokens of one session and returns true if there were any. Returns null if the strategy does not know
   * which sessions exist. Absent if the strategy cannot end a single session.
   */
  destroySession?(user: User, id: string): Promise<boolean | null>
  /** Returns the newest 1000 sessions of a user that have not expired, the oldest first. */
  listSessions?(user: User): Promise<StoredSession[]>
  /** Deletes expired tokens in batches of limited size and returns their number. */
  purge?(): Promise<number>
}

/** The return value of `jwtStrategy()`, `defineStrategy()` and similar: a strategy that is not set up yet. */
export interface StrategyDefinition extends Definition<'strategy', Strategy> {
  /**
   * Returns the models of the strategy. Calls with equal arguments return equal models. The command line reads the
   * models from here, and the plugin defines them before `setup`.
   */
  models?(base: ModelBase): readonly Model[]
  /** Seconds for which tokens are stored in the database; null for an unlimited time; absent if none are stored. */
  readonly keepsSeconds?: number | null
}

/** Argument of `defineStrategy`. */
export interface StrategySpec {
  name: string
  /** Returns the models of the strategy, if it stores rows with `defaults.store`. */
  models?: StrategyDefinition['models']
  setup(scope: FastifyInstance, defaults: BackendDefaults): MaybePromise<Strategy>
}
