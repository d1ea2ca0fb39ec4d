import type { FastifyRequest } from 'fastify'
import type { FeatureKit, UserId, UserRow } from '../../feature/index.js'

/** Seconds in which an enrolment must be confirmed. */
const LIFETIME_SECONDS = 600
/** Number of codes that one enrolment allows. */
const MAX_ATTEMPTS = 5

/** An enrolment that waits for its first code. */
interface Enrolment {
  /** The encrypted secret. */
  readonly sealed: string
  readonly user: string
  /** Session that began the enrolment. */
  readonly session: string
  /** The security stamp of the user at that time: a change of it ends the enrolment. */
  readonly stamp: string
}

/** A new enrolment. */
export interface BegunEnrolment {
  readonly token: string
  readonly expiresAt: Date
}

/** The enrolments that wait for their first code. */
export interface Enrolments {
  /** Begins an enrolment, which replaces an earlier one of the user. */
  begin(row: UserRow, sealed: string, request: FastifyRequest): Promise<BegunEnrolment>
  /** Counts an attempt and returns the encrypted secret; null if the enrolment is not one of this session. */
  attempt(row: UserRow, token: string, request: FastifyRequest): Promise<string | null>
  /** Ends an enrolment. Of parallel calls, one returns true. */
  end(token: string): Promise<boolean>
  /** Ends the enrolments of a user. */
  endOf(user: { id: unknown }): Promise<number>
}

/** Creates the functions for enrolments. */
export function createEnrolments (kit: FeatureKit): Enrolments {
  const open = kit.singleUse<Enrolment>('enrolment', { lifetimeSeconds: LIFETIME_SECONDS, maxAttempts: MAX_ATTEMPTS })
  const sessionOf = ({ authentication }: FastifyRequest): string => authentication?.session.id ?? ''
  const endOf = async ({ id }: { id: unknown }): Promise<number> => await open.deleteOf({ userId: id as UserId })

  return {
    async begin (row, sealed, request) {
      await endOf(row)
      const user = String(row.id)
      const value = { sealed, user, session: sessionOf(request), stamp: kit.rows.stampOf(row) }
      const token = await open.create(value, { userId: row.id as UserId })
      return { token, expiresAt: new Date(kit.clock() + LIFETIME_SECONDS * 1000) }
    },

    async attempt (row, token, request) {
      const value = await open.attempt(token)
      const isOwn =
        value !== null &&
        value.user === String(row.id) &&
        value.session === sessionOf(request) &&
        kit.rows.hasStamp(row, value.stamp)
      return isOwn ? value.sealed : null
    },

    end: async (token) => (await open.consume(token)) !== null,
    endOf
  }
}
