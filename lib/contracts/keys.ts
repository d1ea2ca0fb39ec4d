/** Signature algorithms of tokens (RFC 7518, section 3.1; RFC 8037). */
export type JwtAlgorithm = 'HS256' | 'HS384' | 'HS512' | 'RS256' | 'ES256' | 'EdDSA'

/** Public key of an asymmetric algorithm (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2). */
export interface PublicJwk {
  readonly kty: 'RSA' | 'EC' | 'OKP'
  readonly use: 'sig'
  readonly alg: JwtAlgorithm
  readonly kid: string
  /** Modulus and exponent of an RSA key. */
  readonly n?: string
  readonly e?: string
  /** Curve and coordinates of an elliptic curve key. */
  readonly crv?: string
  readonly x?: string
  readonly y?: string
}

/** A key of signed tokens, without secret parts. */
export interface KeyDescription {
  /** Key id in the header of tokens; null for tokens without one. */
  readonly kid: string | null
  readonly algorithm: JwtAlgorithm
  /** True for a key with a private part or a shared secret. Only the first key of a list signs new tokens. */
  readonly canSign: boolean
  /** The public key; null for a shared secret. */
  readonly publicJwk: PublicJwk | null
}
