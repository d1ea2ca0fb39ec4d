import { digestToken, fingerprint, isSameSecret } from '../../feature/index.js'

const TOKEN = /^([A-Za-z0-9_-]{1,64})\.(0|[1-9][0-9]{0,8})\.([A-Za-z0-9_-]{43})$/

const SESSION_ID = /^[A-Za-z0-9_-]{1,64}$/

/** The longest refresh token, in characters. */
export const TOKEN_MAX_LENGTH = 64 + 1 + 9 + 1 + 43

/** The values of a session from which its tokens are computed. */
export interface TokenSource {
  readonly id: string
  /** Random text that is only stored in the database. */
  readonly seed: string
}

/** The parts of a presented token. */
export interface PresentedToken {
  readonly text: string
  /** Id of the session. */
  readonly id: string
  readonly generation: number
}

/** Creates and compares the refresh tokens of sessions. */
export interface RefreshTokenCodec {
  /**
   * Returns the token of a generation. It is an HMAC with a key of the plugin over the seed of the session, so that a
   * repeated request can get the same token again although only its digest is stored. Neither the database nor the key
   * alone is sufficient to compute it.
   */
  create(source: TokenSource, generation: number): string
  /** Returns the digest that is stored instead of a token. */
  digest(token: string): string
  /** Returns true if the plugin created the token, with any of its keys. */
  isGenuine(source: TokenSource, token: PresentedToken): boolean
  /** Returns the token of a generation that has this digest; null if its key was removed. */
  find(source: TokenSource, generation: number, digest: string): string | null
}

/** Returns true for the id of a session that can have refresh tokens. The plugin creates only such ids. */
export function isSessionId (id: string): boolean {
  return SESSION_ID.test(id)
}

/** Returns the parts of a token, or null for text of another form. */
export function parseRefreshToken (text: string): PresentedToken | null {
  const [, id, generation] = TOKEN.exec(text) ?? []
  return id === undefined || generation === undefined ? null : { text, id, generation: Number(generation) }
}

/** Creates the codec. The first key creates tokens, and all keys recognize them. */
export function createRefreshTokenCodec (keys: readonly { readonly secret: string }[]): RefreshTokenCodec {
  const candidates = ({ id, seed }: TokenSource, generation: number): string[] =>
    keys.map(({ secret }) => `${id}.${generation}.${fingerprint(secret, id, String(generation), seed)}`)
  const digest = (token: string): string => digestToken(token, 'refresh-token')

  return {
    create: (source, generation) => candidates(source, generation)[0] as string, // there is at least one secret
    digest,
    isGenuine: (source, { text, generation }) =>
      candidates(source, generation).some((candidate) => isSameSecret(candidate, text)),
    find: (source, generation, stored) =>
      candidates(source, generation).find((candidate) => isSameSecret(digest(candidate), stored)) ?? null
  }
}
