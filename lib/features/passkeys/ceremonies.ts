import { contextOf, type CallContext, type FeatureKit, type UserId, type UserRow } from '../../feature/index.js'
import { FST_USERS_PASSKEY_INVALID, FST_USERS_PASSKEY_LIMIT_REACHED } from './errors.js'
import type { Library } from './library.js'
import { splitTransports, toPasskey, type PasskeyRow } from './model.js'
import type { PasskeysSettings, RelyingParty } from './options.js'
import type { PasskeyRows } from './rows.js'
import type { AuthenticationCredential, CreationOptions, RegistrationCredential, RequestOptions } from './schemas.js'
import {
  ALGORITHMS,
  verifyAssertion,
  verifyRegistration,
  type Assertion,
  type NewCredential,
  type Verified
} from './verification.js'

/** The objects that all ceremonies of the feature share. */
export interface Ceremonies {
  readonly kit: FeatureKit
  readonly settings: PasskeysSettings
  readonly party: RelyingParty
  readonly rows: PasskeyRows
  readonly library: Library
}

/** Returns the options of `navigator.credentials.create()`. */
export function creationOptions (
  { party, settings }: Pick<Ceremonies, 'party' | 'settings'>,
  { challenge, userHandle, email, existing }: {
    challenge: string
    userHandle: string
    email: string
    /** Passkeys of the user. Their authenticators create no second one. */
    existing: readonly PasskeyRow[]
  }
): CreationOptions {
  return {
    rp: { id: party.id, name: party.name },
    user: { id: userHandle, name: email, displayName: '' },
    challenge,
    pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: 'public-key', alg })),
    timeout: settings.lifetimeSeconds * 1000,
    excludeCredentials: existing.map(describeCredential),
    authenticatorSelection: {
      residentKey: 'required',
      requireResidentKey: true,
      userVerification: settings.userVerification
    },
    attestation: 'none'
  }
}

/** Returns the options of `navigator.credentials.get()`. Without `allowed`, any passkey of the service can answer. */
export function requestOptions (
  { party, settings }: Pick<Ceremonies, 'party' | 'settings'>,
  { challenge, allowed = [], requiresVerification }: {
    challenge: string
    allowed?: readonly PasskeyRow[]
    requiresVerification: boolean
  }
): RequestOptions {
  return {
    challenge,
    timeout: settings.lifetimeSeconds * 1000,
    rpId: party.id,
    allowCredentials: allowed.map(describeCredential),
    userVerification: requiresVerification ? 'required' : 'preferred'
  }
}

/** Checks the response of a registration. Throws `FST_USERS_PASSKEY_INVALID`. */
export async function acceptRegistration (
  { kit, settings, party, library }: Ceremonies,
  response: RegistrationCredential,
  challenge: string
): Promise<NewCredential> {
  const requiresVerification = settings.userVerification === 'required'
  const verified = await verifyRegistration(library, response, { party, challenge, requiresVerification })
  return acceptedValue(kit, verified)
}

/** The requirements of an answer, besides the signature. */
export interface ExpectedAssertion {
  readonly challenge: string
  readonly requiresVerification: boolean
  /** The authenticator must name the user, as it does if the options list no passkeys. */
  readonly requiresHandle: boolean
}

/**
 * Checks the answer of a stored passkey and records its use. Throws `FST_USERS_PASSKEY_INVALID`. `user` is the owner of
 * the passkey and was read after it.
 */
export async function acceptAssertion (
  ceremonies: Ceremonies,
  { row, user }: { row: PasskeyRow; user: UserRow },
  response: AuthenticationCredential,
  { challenge, requiresVerification, requiresHandle }: ExpectedAssertion,
  call: CallContext
): Promise<Assertion> {
  const { kit, party, library } = ceremonies
  const handle = response.response.userHandle ?? null
  const isOwned = handle === null || handle === '' ? !requiresHandle : handle === row.user_handle
  if (!isOwned) throw logRefusal(kit, 'The user handle is missing or belongs to another user')
  const expected = { party, challenge, requiresVerification }
  const assertion = acceptedValue(kit, await verifyAssertion(library, response, row, expected))
  if (!(await ceremonies.rows.recordUse(row, assertion))) await reportClone(ceremonies, row, user, call)
  return assertion
}

/** Throws `FST_USERS_PASSKEY_LIMIT_REACHED` if the user may not add a passkey. */
export function checkLimit ({ settings }: Pick<Ceremonies, 'settings'>, existing: readonly PasskeyRow[]): void {
  if (existing.length >= settings.maxPasskeys) throw FST_USERS_PASSKEY_LIMIT_REACHED()
}

/** Fires `onPasskeyCloned`. Throws `FST_USERS_PASSKEY_INVALID` if the passkey is refused or was deleted meanwhile. */
async function reportClone (
  { kit, settings, rows }: Ceremonies,
  row: PasskeyRow,
  userRow: UserRow,
  call: CallContext
): Promise<void> {
  const refuses = settings.whenCloned === 'refuse'
  const owner = { id: row.user_id as UserId }
  const now = await rows.get(owner, row.id)
  if (now === null) throw logRefusal(kit, 'The passkey was deleted')
  const user = kit.rows.toUser(userRow)
  const context = contextOf(call)
  kit.audit.emit({ event: 'passkey.clone', outcome: refuses ? 'blocked' : 'success', user, method: 'passkey' }, context)
  await kit.fire('onPasskeyCloned', { user, passkey: toPasskey(now), refused: refuses }, context)
  if (refuses) throw logRefusal(kit, 'The signature counter did not grow')
  if (!(await rows.recordTime(row))) throw logRefusal(kit, 'The passkey was deleted')
}

function acceptedValue<T> (kit: FeatureKit, verified: Verified<T>): T {
  if (verified.reason === undefined) return verified.value
  throw logRefusal(kit, verified.reason)
}

/** Logs the reason and returns the error, which is the same for every reason. */
export function logRefusal ({ log }: Pick<FeatureKit, 'log'>, reason: string): Error {
  log.info({ reason }, 'fastify-users: a passkey was refused')
  return FST_USERS_PASSKEY_INVALID()
}

function describeCredential (
  { credential_id: id, transports }: PasskeyRow
): RequestOptions['allowCredentials'][number] {
  return { type: 'public-key', id, transports: splitTransports(transports) }
}
