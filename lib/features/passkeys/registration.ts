import type { FastifyReply, FastifyRequest } from 'fastify'
import { recoveryCodesOf, type UserId, type UserRow } from '../../feature/index.js'
import { acceptRegistration, checkLimit, creationOptions, type Ceremonies } from './ceremonies.js'
import { createChallenges, type Challenges } from './challenges.js'
import { FST_USERS_PASSKEY_ALREADY_REGISTERED, FST_USERS_PASSKEY_CHALLENGE_INVALID } from './errors.js'
import type { PasskeyRow } from './model.js'
import { newUserHandle } from './rows.js'
import type { CreationOptions, PasskeyCreate } from './schemas.js'

/** The stored values of a registration of a passkey for an existing user. */
export interface PendingPasskey {
  readonly user: UserId
  readonly userHandle: string
}

/** Begins and finishes registrations of passkeys for signed-in users. */
export interface Registration {
  begin(row: UserRow, request: FastifyRequest): Promise<{ ticket: string; options: CreationOptions }>
  /**
   * Stores the passkey, and ends the other sessions of the user. Throws `FST_USERS_PASSKEY_CHALLENGE_INVALID`,
   * `FST_USERS_PASSKEY_INVALID`, `FST_USERS_PASSKEY_ALREADY_REGISTERED`, `FST_USERS_PASSKEY_LIMIT_REACHED`, and
   * `FST_USERS_UNAUTHENTICATED` if the sessions of the user were revoked meanwhile.
   */
  finish(
    row: UserRow,
    body: PasskeyCreate,
    exchange: { request: FastifyRequest; reply: FastifyReply }
  ): Promise<PasskeyRow>
}

export function createRegistration (ceremonies: Ceremonies): Registration {
  const { kit, settings } = ceremonies
  const challenges = createChallenges<PendingPasskey>(kit, 'register', settings)
  return {
    begin: (row, { authentication }) => beginFor(ceremonies, challenges, row, authentication?.session.id ?? null),
    async finish (row, body, { request, reply }) {
      const pending = await challenges.use(body.ticket)
      const session = request.authentication?.session.id ?? null
      // only the session that began can finish
      if (session === null || pending.session !== session) throw FST_USERS_PASSKEY_CHALLENGE_INVALID()
      const added = await addPasskey(ceremonies, row, pending, body)
      const undo = (): Promise<unknown> => ceremonies.rows.remove(added)
      const changed = { kind: 'passkey', method: 'passkey', undo, request, reply } as const
      await kit.secondFactors.changed(row, { change: 'added', ...changed })
      return added
    }
  }
}

/** Creates the challenge and the options for a user. All passkeys of a user have the same handle. */
export async function beginFor (
  ceremonies: Ceremonies,
  challenges: Challenges<PendingPasskey>,
  row: UserRow,
  session: string | null
): Promise<{ ticket: string; options: CreationOptions }> {
  const user = row.id as UserId
  const existing = await ceremonies.rows.ofUser(row)
  checkLimit(ceremonies, existing)
  const userHandle = existing[0]?.user_handle ?? newUserHandle()
  const { ticket, challenge } = await challenges.create({ user, userHandle }, { userId: user, session })
  return { ticket, options: creationOptions(ceremonies, { challenge, userHandle, email: row.email, existing }) }
}

/** Checks the response and stores the passkey of the user of the challenge. */
export async function addPasskey (
  ceremonies: Ceremonies,
  row: UserRow,
  { user, userHandle, challenge }: PendingPasskey & { challenge: string },
  { credential, name }: Pick<PasskeyCreate, 'credential' | 'name'>
): Promise<PasskeyRow> {
  const { rows } = ceremonies
  if (String(user) !== String(row.id)) throw FST_USERS_PASSKEY_CHALLENGE_INVALID()
  const accepted = await acceptRegistration(ceremonies, credential, challenge)
  checkLimit(ceremonies, await rows.ofUser(row))
  await removeLeftCodes(ceremonies, row)
  const added: PasskeyRow = { ...rows.newRow(accepted, { userHandle, name }), user_id: row.id }
  if (!(await rows.add(added))) throw FST_USERS_PASSKEY_ALREADY_REGISTERED()
  return added
}

/** Deletes recovery codes that are left over from an earlier factor, whose removal failed. */
async function removeLeftCodes ({ kit }: Ceremonies, row: UserRow): Promise<void> {
  const codes = recoveryCodesOf(kit)
  if (codes !== null && (await kit.secondFactors.count(kit.rows.toUser(row))) === 0) await codes.remove(row)
}
