import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  createHostCookie,
  type Backend,
  type BrowserCookie,
  type FeatureKit,
  type IssuedToken,
  type LoginFailure,
  type UserId,
  type UserRow
} from '../../feature/index.js'
import { acceptAssertion, logRefusal, requestOptions, type Ceremonies } from './ceremonies.js'
import { createChallenges } from './challenges.js'
import type { PasskeyLogin, RequestOptions } from './schemas.js'

interface Exchange {
  request: FastifyRequest
  reply: FastifyReply
}

/** Begins and finishes logins with a passkey and nothing else. */
export interface PasskeyLogins {
  /** The reply is the same for everyone: browsers offer the passkeys that they have. */
  begin(backend: Backend, exchange: Exchange): Promise<{ ticket: string; options: RequestOptions }>
  /**
   * Logs the owner of the passkey in. Throws `FST_USERS_PASSKEY_CHALLENGE_INVALID`, `FST_USERS_PASSKEY_INVALID`, and
   * the errors of a login.
   */
  finish(backend: Backend, body: PasskeyLogin, exchange: Exchange & { rememberMe: boolean }): Promise<IssuedToken>
}

export function createLogins (ceremonies: Ceremonies): PasskeyLogins {
  const { kit, settings } = ceremonies
  const challenges = createChallenges<{ backend: string }>(kit, 'login', settings)
  const cookieOf = ({ transport }: Backend): BrowserCookie | null =>
    transport.ambient ? createHostCookie(kit, transport, 'passkey', settings.lifetimeSeconds) : null
  return {
    async begin (backend, exchange) {
      await kit.attempts.begin('passkeysOptions', { backend: backend.name, context: exchange })
      const browser = cookieOf(backend)?.set(exchange.request, exchange.reply) ?? null
      const { ticket, challenge } = await challenges.create({ backend: backend.name }, { browser })
      return { ticket, options: requestOptions(ceremonies, { challenge, requiresVerification: true }) }
    },
    async finish (backend, { ticket, credential }, exchange) {
      const attempt = await kit.attempts.begin('passkeysLogin', { backend: backend.name, context: exchange })
      const cookie = cookieOf(backend)
      // a backend with cookies binds every ticket to a browser, so an empty text matches none
      const browser = cookie === null ? null : (cookie.digestOf(exchange.request) ?? '')
      const { challenge, backend: began } = await challenges.use(ticket, { browser })
      cookie?.clear(exchange.reply)
      if (began !== backend.name) throw logRefusal(kit, 'The login began at another backend')
      const owner = await findOwner(ceremonies, credential.id)
      if (owner === null) throw await unknownPasskey(kit, backend, exchange)
      const expected = { challenge, requiresVerification: true, requiresHandle: true }
      try {
        await acceptAssertion(ceremonies, owner, credential, expected, exchange)
        checkNeutral(kit, owner.user)
      } catch (error) {
        await reportPasskeyFailure(kit, backend, owner.user, exchange)
        throw error
      }
      attempt.succeeded()
      return await kit.startSession(backend, owner.user, { ...exchange, method: 'passkey' })
    }
  }
}

/** Returns a passkey with its user. The user is read after it: a deletion in between changes the security stamp. */
async function findOwner (
  { kit, rows }: Ceremonies,
  credentialId: string
): Promise<{ row: NonNullable<Awaited<ReturnType<Ceremonies['rows']['ofCredential']>>>; user: UserRow } | null> {
  const row = await rows.ofCredential(credentialId)
  const user = row && (await kit.rows.getRow(row.user_id as UserId))
  return row && user && { row, user }
}

/**
 * Refuses unverified users like unknown passkeys with `revealExistingAccounts: false`: a sign-up followed by a login
 * would reveal whether the e-mail was taken.
 */
function checkNeutral (kit: FeatureKit, user: UserRow): void {
  if (!kit.settings.revealExistingAccounts && !user.is_verified) throw logRefusal(kit, 'The e-mail is not verified')
}

async function unknownPasskey (kit: FeatureKit, { name: backend }: Backend, context: Exchange): Promise<Error> {
  const entry = { event: 'login', outcome: 'failure', reason: 'PASSKEY_UNKNOWN', backend, method: 'passkey' } as const
  kit.audit.emit(entry, context)
  return logRefusal(kit, 'No user has this passkey')
}

async function reportPasskeyFailure (
  kit: FeatureKit,
  { name }: Backend,
  row: UserRow,
  context: Exchange
): Promise<void> {
  const reason: LoginFailure = 'WRONG_PASSKEY'
  await kit.fire('onLoginFailed', { username: row.email, user: kit.rows.toUser(row), backend: name, reason }, context)
}
