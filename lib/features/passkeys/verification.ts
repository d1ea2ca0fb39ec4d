import { isFrameAllowed, readClientData } from './client-data.js'
import type { Library } from './library.js'
import { joinTransports, type PasskeyRow } from './model.js'
import type { RelyingParty } from './options.js'
import type { AuthenticationCredential, RegistrationCredential } from './schemas.js'

/**
 * EdDSA, ES256 (RFC 9053) and RS256 (RFC 8812), in the order of preference. Every authenticator has at least one of
 * them.
 */
export const ALGORITHMS = [-8, -7, -257]

/** The expected values of a response. */
export interface ExpectedResponse {
  readonly party: RelyingParty
  /** The challenge of the server, in base64url. */
  readonly challenge: string
  readonly requiresVerification: boolean
}

/** The values of a new credential. */
export type NewCredential = Pick<
  PasskeyRow,
  'credential_id' | 'public_key' | 'sign_count' | 'transports' | 'backup_eligible' | 'backed_up' | 'verifies_user'
>

/** The values of an answer of a known credential. */
export interface Assertion {
  readonly signCount: number
  readonly isBackedUp: boolean
  readonly isUserVerified: boolean
}

/** A verified response, or the reason why it is refused, for the log. */
export type Verified<T> = { readonly value: T; readonly reason?: undefined } | { readonly reason: string }

/**
 * Checks the response of a registration (WebAuthn Level 3, section 7.1). The only accepted attestations are `none` and
 * that of the credential itself: without trust anchors, a certificate proves nothing, and it is not even read.
 */
export async function verifyRegistration (
  library: Library,
  response: RegistrationCredential,
  expected: ExpectedResponse
): Promise<Verified<NewCredential>> {
  if (!isPageAllowed(response, expected)) return { reason: 'The page is embedded in another site' }
  return await withoutErrors(async () => {
    if (!isAttestationAllowed(library, response)) return { reason: 'The attestation has certificates' }
    const { verified, registrationInfo: info } = await library.verifyRegistrationResponse({
      response: response as Parameters<Library['verifyRegistrationResponse']>[0]['response'], // the schema checked it
      expectedChallenge: expected.challenge,
      expectedOrigin: [...expected.party.origins],
      expectedRPID: expected.party.id,
      requireUserVerification: expected.requiresVerification,
      supportedAlgorithmIDs: ALGORITHMS
    })
    if (!verified) return { reason: 'The attestation is not valid' }
    // the schema limits the length of `id` only
    if (info.credential.id !== response.id) return { reason: 'The ids of the credential differ' }
    const value = {
      credential_id: info.credential.id,
      public_key: Buffer.from(info.credential.publicKey).toString('base64url'),
      sign_count: info.credential.counter,
      transports: joinTransports(response.response.transports),
      backup_eligible: info.credentialDeviceType === 'multiDevice',
      backed_up: info.credentialBackedUp,
      verifies_user: info.userVerified
    }
    return { value }
  })
}

/**
 * Checks the response of an authentication (WebAuthn Level 3, section 7.2), except for the signature counter, which
 * needs a conditional write.
 */
export async function verifyAssertion (
  library: Library,
  response: AuthenticationCredential,
  row: PasskeyRow,
  expected: ExpectedResponse
): Promise<Verified<Assertion>> {
  if (!isPageAllowed(response, expected)) return { reason: 'The page is embedded in another site' }
  return await withoutErrors(async () => {
    const { verified, authenticationInfo: info } = await library.verifyAuthenticationResponse({
      response: response as Parameters<Library['verifyAuthenticationResponse']>[0]['response'], // the schema checked it
      expectedChallenge: expected.challenge,
      expectedOrigin: [...expected.party.origins],
      expectedRPID: expected.party.id,
      expectedTopOrigin: [...expected.party.topOrigins],
      requireUserVerification: expected.requiresVerification,
      credential: {
        id: row.credential_id,
        publicKey: new Uint8Array(Buffer.from(row.public_key, 'base64url')),
        counter: 0 // the library then accepts every counter; `recordUse` checks it
      }
    })
    if (!verified) return { reason: 'The signature is not valid' }
    const isEligible = info.credentialDeviceType === 'multiDevice'
    if (isEligible !== row.backup_eligible) return { reason: 'The backup eligibility has changed' }
    const { newCounter: signCount, credentialBackedUp: isBackedUp, userVerified: isUserVerified } = info
    return { value: { signCount, isBackedUp, isUserVerified } }
  })
}

/** Returns the result of `verify`, or the message of its error: the library throws for most invalid responses. */
async function withoutErrors<T> (verify: () => Promise<Verified<T>>): Promise<Verified<T>> {
  try {
    return await verify()
  } catch (error) {
    return { reason: String((error as { message?: unknown }).message).slice(0, 300) }
  }
}

/** Returns false if the page may not use passkeys in its frame, and for malformed client data. */
function isPageAllowed ({ response }: { response: { clientDataJSON: string } }, { party }: ExpectedResponse): boolean {
  const clientData = readClientData(response.clientDataJSON)
  return clientData !== null && isFrameAllowed(clientData, party.topOrigins)
}

/**
 * Returns false for attestations with certificates. The library would ask the servers that such a certificate names
 * whether it is revoked, and anyone can write one.
 */
function isAttestationAllowed ({ decodeAttestationObject }: Library, { response }: RegistrationCredential): boolean {
  const decoded = decodeAttestationObject(new Uint8Array(Buffer.from(response.attestationObject, 'base64url')))
  const format: unknown = decoded.get('fmt')
  const statement: unknown = decoded.get('attStmt')
  return format === 'none' || (format === 'packed' && statement instanceof Map && !statement.has('x5c'))
}
