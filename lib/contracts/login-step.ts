import type { Static, TObject } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MaybePromise } from './database-adapter.js'
import type { JsonValue } from './single-use.js'
import type { UserRow } from './user.js'

/** A login before its session exists. */
export interface LoginAttempt {
  /**
   * `reauthentication`: the user has a session, and authenticates again. Only steps of the group `second-factor` are
   * then asked.
   */
  readonly purpose: 'login' | 'reauthentication'
  readonly user: UserRow
  /** Name of the backend that will create the session. */
  readonly backend: string
  /** The method with which the login began, such as `password`. */
  readonly method: string
  /** All methods so far: that of the login, and those of the steps that are done. */
  readonly methods: readonly string[]
  /** Null if code logs the user in without a request. */
  readonly request: FastifyRequest | null
  readonly reply: FastifyReply | null
}

/** The values with which a step begins. */
export interface LoginChallenge {
  /** Values for the client. They become properties of the step in the reply. */
  readonly send?: { readonly [key: string]: JsonValue | undefined }
  /** A value that the server keeps until the answer, and then passes to `verify`. */
  readonly keep?: JsonValue
}

/** The result of `verify` for a right answer. */
export interface LoginProof {
  /** Methods for `session.methods`. Default: the name of the step. */
  readonly methods?: readonly string[]
  /**
   * The second factor that the step has added. The core then ends the sessions of the user and reports the new factor,
   * as `kit.secondFactors.changed` does outside of a login, and continues this login. `undo` deletes the factor. It is
   * called if the login has become invalid meanwhile, and if anything fails before the factor is complete.
   */
  readonly added?: {
    readonly method: string
    readonly kind?: 'second-factor' | 'passkey'
    undo(): MaybePromise<unknown>
  }
}

/**
 * A step between the first proof of identity and the session, such as a second factor. Every login passes the steps of
 * all features. The client answers with `POST /auth/<backend>/login/<name>`.
 */
export interface LoginStep<Body extends TObject = TObject> {
  /** Unique name over all features; part of the path. Lower-case letters, digits, `-` and `_`. */
  readonly name: string
  /** Steps of one group are alternatives: one of them suffices. Default: the name of the step. */
  readonly group?: string
  /**
   * True if a right answer alone can prove who the user is, as a passkey with user verification does. A user who
   * authenticates again can then begin with this step, without the password: `methods` of the attempt is empty, and the
   * methods of the answer must be two kinds of factors. Only for steps of the group `second-factor`. Default: false.
   */
  readonly reauthenticates?: boolean
  /** True if the step belongs to logins only, such as one that adds a second factor. Default: false. */
  readonly loginOnly?: boolean
  /** Summary of the route in the API document. Default: derived from the name. */
  readonly summary?: string
  /** Time to answer in seconds, at most 600. Default: 300. With alternatives, the longest applies to all of them. */
  readonly lifetimeSeconds?: number
  /** Returns true if the user has this step and must do it, or one of its alternatives. */
  needed(attempt: LoginAttempt): MaybePromise<boolean>
  /** Begins the step. It is called for every step that the reply offers. */
  challenge?(attempt: LoginAttempt): MaybePromise<LoginChallenge>
  /** Schema of the answer, without `ticket`. */
  readonly body: Body
  /** Codes of the errors that `verify` throws, without the prefix `FST_USERS_`. */
  readonly errors?: readonly string[]
  /**
   * Checks an answer. Throws an error with a code if it is wrong. `kept` is `keep` of the challenge, or null. The
   * attempt is counted before the call.
   */
  verify(attempt: LoginAttempt, answer: Static<Body>, kept: JsonValue): MaybePromise<LoginProof | void>
}

/** A step that a pending login offers, with the values of its challenge. */
export interface OfferedStep {
  readonly name: string
  readonly [key: string]: JsonValue | undefined
}

/** Argument of `app.users.resumeLogin`. */
export interface LoginAnswer {
  /** The ticket of the pending login. */
  readonly ticket: string
  /** Name of the step. */
  readonly step: string
  /** The answer, which must match the schema of the step. */
  readonly answer: object
  /**
   * True if the user wants to skip the second factor in this browser from now on. It has an effect at the steps of the
   * group `second-factor` if the option `secondFactors.trustedDevices` is on. Default: false.
   */
  readonly trustDevice?: boolean
}
