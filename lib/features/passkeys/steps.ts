import {
  SECOND_FACTOR_GROUP,
  Type,
  type JsonValue,
  type LoginStep,
  type UserId
} from '../../feature/index.js'
import { acceptAssertion, logRefusal, requestOptions, type Ceremonies } from './ceremonies.js'
import { createChallenges } from './challenges.js'
import { FST_USERS_PASSKEY_CHALLENGE_INVALID } from './errors.js'
import { addPasskey, beginFor, type PendingPasskey } from './registration.js'
import { AuthenticationCredential, Name, RegistrationCredential } from './schemas.js'

/** Names of the login steps. */
export const PASSKEY_STEPS = ['passkey', 'passkey-enrol']

const Answer = Type.Object({ credential: AuthenticationCredential })
const Enrolment = Type.Object({ credential: RegistrationCredential, name: Type.Optional(Name) })

/** Returns the method of a session for a passkey. Only a verified user has proved two kinds of factors. */
export function passkeyMethodOf ({ isUserVerified }: { isUserVerified: boolean }): string {
  return isUserVerified ? 'passkey' : 'passkey-presence'
}

/** Returns the login steps: one that asks for a passkey, and one that adds a passkey if the policy requires it. */
export function createSteps (ceremonies: Ceremonies): readonly LoginStep[] {
  // the routes of the steps pass answers that match these schemas
  return [createPasskeyStep(ceremonies), createEnrolStep(ceremonies)] as unknown as readonly LoginStep[]
}

/**
 * Returns the step that asks for a passkey. Its challenge is stored outside of the pending login, so that it can be
 * answered once, also with a wrong answer.
 */
function createPasskeyStep (ceremonies: Ceremonies): LoginStep<typeof Answer> {
  const { kit, settings, rows } = ceremonies
  const challenges = createChallenges<{ user: UserId }>(kit, 'step', settings)
  // a passkey that is the only proof must verify the user, and then proves two kinds of factors
  const mustVerify = (methods: readonly string[]): boolean =>
    methods.length === 0 || settings.userVerification === 'required'
  return {
    name: 'passkey',
    group: SECOND_FACTOR_GROUP,
    reauthenticates: true,
    summary: 'Answer with a passkey',
    lifetimeSeconds: settings.lifetimeSeconds,
    needed: async (attempt) =>
      (await kit.secondFactors.isNeeded(attempt)) && (await rows.ofUser(attempt.user)).length > 0,
    async challenge ({ purpose, user, methods, request }) {
      const id = user.id as UserId
      const session = purpose === 'reauthentication' ? (request?.authentication?.session.id ?? null) : null
      const allowed = await rows.ofUser(user)
      const { ticket, challenge } = await challenges.create({ user: id }, { userId: id, session })
      const options = requestOptions(ceremonies, { challenge, allowed, requiresVerification: mustVerify(methods) })
      return { send: { options: { ...options } }, keep: ticket }
    },
    body: Answer,
    errors: ['PASSKEY_CHALLENGE_INVALID', 'PASSKEY_INVALID'],
    async verify ({ user, methods, request, reply }, { credential }, kept) {
      const { challenge, user: owner } = await challenges.use(ticketOf(kept))
      if (String(owner) !== String(user.id)) throw FST_USERS_PASSKEY_CHALLENGE_INVALID()
      const row = await rows.ofCredential(credential.id)
      if (row === null || String(row.user_id) !== String(user.id)) throw logRefusal(kit, 'The passkey belongs to another user')
      const expected = { challenge, requiresVerification: mustVerify(methods), requiresHandle: false }
      const assertion = await acceptAssertion(ceremonies, { row, user }, credential, expected, { request, reply })
      return { methods: [passkeyMethodOf(assertion)] }
    }
  }
}

function createEnrolStep (ceremonies: Ceremonies): LoginStep<typeof Enrolment> {
  const { kit, settings, rows } = ceremonies
  const challenges = createChallenges<PendingPasskey>(kit, 'enrol', settings)
  return {
    name: 'passkey-enrol',
    group: SECOND_FACTOR_GROUP,
    loginOnly: true,
    summary: 'Add a passkey during a login',
    lifetimeSeconds: settings.lifetimeSeconds,
    needed: (attempt) => kit.secondFactors.mustEnrol(attempt),
    async challenge ({ user }) {
      const { ticket, options } = await beginFor(ceremonies, challenges, user, null)
      return { send: { options: { ...options } }, keep: ticket }
    },
    body: Enrolment,
    errors: [
      'PASSKEY_CHALLENGE_INVALID', 'PASSKEY_INVALID', 'PASSKEY_ALREADY_REGISTERED', 'PASSKEY_LIMIT_REACHED',
      'PASSKEY_NAME_INVALID'
    ],
    async verify ({ user }, answer, kept) {
      const added = await addPasskey(ceremonies, user, await challenges.use(ticketOf(kept)), answer)
      const method = passkeyMethodOf({ isUserVerified: added.verifies_user })
      return { methods: [method], added: { kind: 'passkey', method: 'passkey', undo: () => rows.remove(added) } }
    }
  }
}

function ticketOf (kept: JsonValue): string {
  return typeof kept === 'string' ? kept : ''
}
