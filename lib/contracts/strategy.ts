import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { MaybePromise } from './database-adapter.js'
import type { BackendDefaults, Definition } from './definition.js'
import type { User, UserId, UserRow } from './user.js'

/** A token that a strategy made. */
export interface IssuedToken {
  token: string
  /** Seconds until it ends; null for one that does not. */
  lifetimeSeconds: number | null
  /** Filled by `onIssueToken` hooks; part of the bearer reply when present. */
  refresh_token?: string
  expires_in?: number
}

/** How a strategy finds the user of a token. */
export interface UserReader {
  /** The id that a token names; null unless it is written as we write it. */
  parseId(text: string): UserId | null
  getRow(id: UserId): MaybePromise<UserRow | null>
}

/** What a token says: its user and, where the token carries it, the stamp that the user had when it was made. */
export interface TokenSubject {
  row: UserRow
  stamp?: string | null
}

/** How a token is made and checked. */
export interface Strategy {
  /**
   * The token's user; null for a token that is not (or no longer) good. The authenticator compares stamps and flags.
   */
  readToken(
    token: string,
    context: { request: FastifyRequest | null; users: UserReader }
  ): MaybePromise<TokenSubject | null>
  writeToken(row: UserRow, context: { request: FastifyRequest | null; stamp: string }): MaybePromise<IssuedToken>
  /** Ends one token at once. Absent when the strategy keeps no record of tokens. */
  destroyToken?(token: string, user: User): Promise<void>
  /** Ends all tokens of the user. */
  destroyAllTokens?(user: User): Promise<void>
  /** Removes expired records in batches of bounded size and returns how many. */
  purge?(): Promise<number>
}

/** A strategy before its backend exists: what `jwtStrategy()` and `defineStrategy()` return. */
export interface StrategyDefinition extends Definition<'strategy', Strategy> {
  /** Seconds that its tokens are kept in the database; null for ever, absent when none are. */
  readonly keepsSeconds?: number | null
}

/** What `defineStrategy` takes. */
export interface StrategySpec {
  name: string
  setup(scope: FastifyInstance, defaults: BackendDefaults): MaybePromise<Strategy>
}
