import type { FastifyReply, FastifyRequest } from 'fastify'
import { idOf, type NewRow, type User } from '../../feature/index.js'
import { acceptRegistration, creationOptions, type Ceremonies } from './ceremonies.js'
import { createChallenges } from './challenges.js'
import { FST_USERS_PASSKEY_ALREADY_REGISTERED } from './errors.js'
import { newUserHandle } from './rows.js'
import type { CreationOptions, PasskeyCreate } from './schemas.js'

interface Exchange {
  request: FastifyRequest
  reply: FastifyReply
}

/** The e-mail of a new user or, with registration by mail, the mailed token. */
export type SignUpStart = { email: string } | { token: string }

/** Begins and finishes registrations of users who have a passkey and no password. */
export interface SignUps {
  begin(start: SignUpStart, exchange: Exchange): Promise<{ ticket: string; options: CreationOptions }>
  /**
   * Stores the user with the passkey. Returns null if the reply must not reveal whether the e-mail was taken. `fields`
   * are custom fields.
   */
  finish(
    body: Pick<PasskeyCreate, 'ticket' | 'credential'> & { name: string | undefined; token: string | undefined },
    fields: Readonly<Record<string, unknown>>,
    exchange: Exchange
  ): Promise<User | null>
}

export function createSignUps (ceremonies: Ceremonies): SignUps {
  const { kit, settings, rows } = ceremonies
  const challenges = createChallenges<{ email: string; userHandle: string }>(kit, 'sign-up', settings)
  return {
    async begin (start, exchange) {
      const email = await kit.registrations.begin(start, exchange)
      const userHandle = newUserHandle()
      const { ticket, challenge } = await challenges.create({ email, userHandle })
      return { ticket, options: creationOptions(ceremonies, { challenge, userHandle, email, existing: [] }) }
    },
    async finish ({ ticket, credential, name, token = null }, fields, exchange) {
      await kit.attempts.begin('passkeysSignUp', { context: exchange })
      const { email, userHandle, challenge } = await challenges.use(ticket)
      const accepted = await acceptRegistration(ceremonies, credential, challenge)
      // before the look-up of the e-mail: the reply must not depend on it
      if ((await rows.ofCredential(accepted.credential_id)) !== null) throw FST_USERS_PASSKEY_ALREADY_REGISTERED()
      const passkey: NewRow = [
        rows.model,
        { ...rows.newRow(accepted, { userHandle, name, isFirst: true }), user_id: idOf(0) }
      ]
      return await kit.registrations.complete(
        { ...fields, email },
        { token, dependents: { rows: [passkey] }, duplicate: FST_USERS_PASSKEY_ALREADY_REGISTERED },
        exchange
      )
    }
  }
}
