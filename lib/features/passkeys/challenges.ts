import { randomBytes } from 'node:crypto'
import type { FeatureKit, SingleUse, SingleUseProof, UserId } from '../../feature/index.js'
import { FST_USERS_PASSKEY_CHALLENGE_INVALID } from './errors.js'
import type { PasskeysSettings } from './options.js'

const CHALLENGE_BYTES = 32

/** The stored values of a ceremony. Each kind of ceremony adds values of its own. */
type Stored<T> = T & { readonly challenge: string; readonly session: string | null }

/** The user, the browser and the session of a challenge. */
interface ChallengeOwner {
  readonly userId?: UserId
  readonly browser?: string | null
  /** Id of the session that begins; null during a login. */
  readonly session?: string | null
}

/** The challenges of one kind of ceremony. A ticket works once, also if the response is refused. */
export interface Challenges<T> {
  /**
   * Creates a challenge in base64url. Returns it with its ticket. With `session`, it replaces the former challenge of
   * this session, so that one session cannot fill the table.
   */
  create(value: T, owner?: ChallengeOwner): Promise<{ ticket: string; challenge: string }>
  /**
   * Uses a ticket up and returns its challenge with the value. Throws `FST_USERS_PASSKEY_CHALLENGE_INVALID` for every
   * other ticket.
   */
  use(ticket: string, proof?: SingleUseProof): Promise<Stored<T>>
}

/** Creates the challenges for one purpose: tickets of other purposes are unknown to it. */
export function createChallenges<T extends object> (
  kit: Pick<FeatureKit, 'singleUse'>,
  purpose: string,
  { lifetimeSeconds }: PasskeysSettings
): Challenges<T> {
  const stored: SingleUse<Stored<T>> = kit.singleUse(purpose, { lifetimeSeconds })
  return {
    async create (value, { session = null, ...owner } = {}) {
      const { userId } = owner
      if (session !== null && userId !== undefined) {
        await stored.deleteOf({ userId }, (former) => former.session === session)
      }
      const challenge = randomBytes(CHALLENGE_BYTES).toString('base64url')
      return { ticket: await stored.create({ ...value, challenge, session }, owner), challenge }
    },
    async use (ticket, proof = {}) {
      const value = await stored.consume(ticket, proof)
      if (value === null) throw FST_USERS_PASSKEY_CHALLENGE_INVALID()
      return value
    }
  }
}
