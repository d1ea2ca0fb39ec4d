import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type JsonWebKey,
  type KeyObject
} from 'node:crypto'

/** COSE identifiers of algorithms (RFC 9053, RFC 8812). ES384 is one that the feature does not offer. */
export type AlgorithmName = 'ES256' | 'RS256' | 'EdDSA' | 'ES384'

/** The values of a ceremony that a test may change. Each has the value of an honest browser by default. */
export interface Mutations {
  origin?: string
  type?: string
  challenge?: string
  crossOrigin?: boolean
  topOrigin?: string
  /** RP ID whose digest is signed. */
  rpId?: string
  userPresent?: boolean
  userVerified?: boolean
  backupEligible?: boolean
  backedUp?: boolean
  signCount?: number
  /** Changes the signed bytes after the signature. */
  signature?: (signature: Buffer) => Buffer
  userHandle?: string | null
  credentialId?: Buffer
  format?: string
  /** CBOR of the attestation statement. Default: an empty map. */
  statement?: Buffer
  /** Attests with the key of the credential (WebAuthn Level 3, section 8.2, self attestation). */
  selfAttestation?: boolean
}

export interface CreationRequest {
  rp: { id: string }
  user: { id: string }
  challenge: string
}
export interface AssertionRequest {
  rpId: string
  challenge: string
}

/** A response in the form of `PublicKeyCredential.toJSON()`. */
export interface CredentialJson {
  id: string
  rawId: string
  type: string
  clientExtensionResults: object
  response: Record<string, unknown>
}

/** A credential in the memory of the authenticator. */
export interface SoftwareCredential {
  id: Buffer
  rpId: string
  userHandle: string
  algorithm: AlgorithmName
  privateKey: KeyObject
  cosePublicKey: Buffer
  signCount: number
}

/** An authenticator and its browser, at a page with this origin. */
export interface Authenticator {
  credentials: SoftwareCredential[]
  /** Creates a credential, as `navigator.credentials.create()` does. */
  create(options: CreationRequest, mutations?: Mutations): CredentialJson
  /** Answers with a credential, by default the newest, as `navigator.credentials.get()` does. */
  get(options: AssertionRequest, mutations?: Mutations, credential?: SoftwareCredential): CredentialJson
}

const FLAGS = { userPresent: 0x01, userVerified: 0x04, backupEligible: 0x08, backedUp: 0x10, attested: 0x40 }
const base64url = (bytes: Buffer): string => bytes.toString('base64url')
const sha256 = (bytes: Buffer | string): Buffer => createHash('sha256').update(bytes).digest()

/** Creates an authenticator. Without `counts`, its signature counter is always 0, like that of synced passkeys. */
export function createAuthenticator (
  origin: string,
  { algorithm = 'ES256', counts = false }: { algorithm?: AlgorithmName; counts?: boolean } = {}
): Authenticator {
  const credentials: SoftwareCredential[] = []
  return {
    credentials,
    create (options, mutations = {}) {
      const credential: SoftwareCredential = {
        id: mutations.credentialId ?? randomBytes(32),
        rpId: options.rp.id,
        userHandle: options.user.id,
        algorithm,
        ...newKey(algorithm),
        signCount: counts ? 1 : 0
      }
      credentials.push(credential)
      const clientData = clientDataOf('webauthn.create', origin, options.challenge, mutations)
      const authData = authenticatorData(credential, mutations, attestedData(credential))
      const own = cborMap([
        ['alg', cborInt(COSE[algorithm].alg)],
        ['sig', cborBytes(signWith(credential, Buffer.concat([authData, sha256(clientData)])))]
      ])
      const isSelf = mutations.selfAttestation === true
      const attestationObject = cborMap([
        ['fmt', cborText(mutations.format ?? (isSelf ? 'packed' : 'none'))],
        ['attStmt', mutations.statement ?? (isSelf ? own : cborMap([]))],
        ['authData', cborBytes(authData)]
      ])
      return {
        ...identify(credential),
        response: {
          clientDataJSON: base64url(clientData),
          attestationObject: base64url(attestationObject),
          transports: ['internal', 'hybrid']
        }
      }
    },
    get (options, mutations = {}, credential = credentials.at(-1)) {
      if (credential === undefined) throw new Error('the authenticator has no credential')
      if (counts) credential.signCount++
      const clientData = clientDataOf('webauthn.get', origin, options.challenge, mutations)
      const authData = authenticatorData({ ...credential, rpId: options.rpId }, mutations, Buffer.alloc(0))
      const signature = signWith(credential, Buffer.concat([authData, sha256(clientData)]))
      const { userHandle = credential.userHandle } = mutations
      return {
        ...identify(credential),
        response: {
          clientDataJSON: base64url(clientData),
          authenticatorData: base64url(authData),
          signature: base64url(mutations.signature?.(signature) ?? signature),
          ...(userHandle === null ? {} : { userHandle })
        }
      }
    }
  }
}

function identify ({ id }: SoftwareCredential): Omit<CredentialJson, 'response'> {
  return { id: base64url(id), rawId: base64url(id), type: 'public-key', clientExtensionResults: {} }
}

function clientDataOf (type: string, origin: string, challenge: string, mutations: Mutations): Buffer {
  const { crossOrigin = false, topOrigin } = mutations
  return Buffer.from(JSON.stringify({
    type: mutations.type ?? type,
    challenge: mutations.challenge ?? challenge,
    origin: mutations.origin ?? origin,
    crossOrigin,
    ...(topOrigin === undefined ? {} : { topOrigin })
  }))
}

/** Returns authenticator data (WebAuthn Level 3, section 6.1). */
function authenticatorData (credential: SoftwareCredential, mutations: Mutations, attested: Buffer): Buffer {
  const { userPresent = true, userVerified = true, backupEligible = true, backedUp = true } = mutations
  const flags =
    (userPresent ? FLAGS.userPresent : 0) |
    (userVerified ? FLAGS.userVerified : 0) |
    (backupEligible ? FLAGS.backupEligible : 0) |
    (backedUp ? FLAGS.backedUp : 0) |
    (attested.length > 0 ? FLAGS.attested : 0)
  const counter = Buffer.alloc(4)
  counter.writeUInt32BE(mutations.signCount ?? credential.signCount)
  return Buffer.concat([sha256(mutations.rpId ?? credential.rpId), Buffer.from([flags]), counter, attested])
}

function attestedData ({ id, cosePublicKey }: SoftwareCredential): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(id.length)
  return Buffer.concat([Buffer.alloc(16), length, id, cosePublicKey])
}

const COSE = {
  ES256: { alg: -7, curve: 1, hash: 'sha256' },
  ES384: { alg: -35, curve: 2, hash: 'sha384' },
  EdDSA: { alg: -8, curve: 6, hash: null },
  RS256: { alg: -257, curve: 0, hash: 'sha256' }
} as const

function signWith ({ algorithm, privateKey }: Pick<SoftwareCredential, 'algorithm' | 'privateKey'>, data: Buffer): Buffer {
  return sign(COSE[algorithm].hash, data, privateKey)
}

function newKey (algorithm: AlgorithmName): { privateKey: KeyObject; cosePublicKey: Buffer } {
  const { privateKey } =
    algorithm === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : algorithm === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: algorithm === 'ES256' ? 'P-256' : 'P-384' })
  return { privateKey, cosePublicKey: coseKey(algorithm, createPublicKey(privateKey).export({ format: 'jwk' })) }
}

/** Returns a public key in the form of COSE (RFC 9053, section 7; RFC 8230, section 4). */
function coseKey (algorithm: AlgorithmName, { x = '', y = '', n = '', e = '' }: JsonWebKey): Buffer {
  const { alg, curve } = COSE[algorithm]
  const bytes = (text: string): Buffer => cborBytes(Buffer.from(text, 'base64url'))
  if (algorithm === 'RS256') return cborMap([[1, cborInt(3)], [3, cborInt(alg)], [-1, bytes(n)], [-2, bytes(e)]])
  if (algorithm === 'EdDSA') return cborMap([[1, cborInt(1)], [3, cborInt(alg)], [-1, cborInt(curve)], [-2, bytes(x)]])
  return cborMap([[1, cborInt(2)], [3, cborInt(alg)], [-1, cborInt(curve)], [-2, bytes(x)], [-3, bytes(y)]])
}

function cborHead (major: number, value: number): Buffer {
  const type = major << 5
  if (value < 24) return Buffer.from([type | value])
  if (value < 0x100) return Buffer.from([type | 24, value])
  return Buffer.from([type | 25, value >> 8, value & 0xff])
}

function cborInt (value: number): Buffer {
  return value < 0 ? cborHead(1, -value - 1) : cborHead(0, value)
}

/** Returns a byte string of CBOR (RFC 8949). */
export function cborBytes (bytes: Buffer): Buffer {
  return Buffer.concat([cborHead(2, bytes.length), bytes])
}

function cborText (text: string): Buffer {
  return Buffer.concat([cborHead(3, Buffer.byteLength(text)), Buffer.from(text)])
}

/** Returns a list of CBOR. */
export function cborList (items: readonly Buffer[]): Buffer {
  return Buffer.concat([cborHead(4, items.length), ...items])
}

/** Returns a map of CBOR whose values are encoded already. */
export function cborMap (entries: readonly (readonly [key: string | number, value: Buffer])[]): Buffer {
  return Buffer.concat([
    cborHead(5, entries.length),
    ...entries.flatMap(([key, value]) => [typeof key === 'string' ? cborText(key) : cborInt(key), value])
  ])
}
