import type { FastifyInstance } from 'fastify'
import { checkJwtKey, createJwtCodec, type FeatureKit, type UsersError } from '../../feature/index.js'
import { FST_USERS_ACCESS_TOKEN_ALREADY_EXPIRED, FST_USERS_ACCESS_TOKEN_DECODE_ERROR } from './errors.js'

/** The claims of a state. */
export interface State {
  /** Id of the transaction. */
  id: string
  /** SHA-256 of the browser's cookie. */
  browser: string
  /** Id of the user who links an account; null for a login. */
  userId: string | null
}

/**
 * Signs and reads the `state` parameter: a JWT (RFC 7519) with the id of the transaction, the digest of the browser
 * cookie and, for linking, the id of the user.
 */
export interface States {
  sign(state: State): string
  /**
   * Returns the claims, with an empty text for a missing one. For an invalid state, returns the error and, if it can be
   * read, the id.
   */
  read(token: string | undefined): State | { refusal: UsersError; id: string | null }
}

export interface StateSettings {
  secret: string | null
  lifetimeSeconds: number
}

export async function createStates (
  scope: FastifyInstance,
  { settings, keysFor }: FeatureKit,
  { secret, lifetimeSeconds }: StateSettings
): Promise<States> {
  const { signedTokens } = settings.wire
  const keys = secret === null ? keysFor('oauth-state', lifetimeSeconds) : [{ secret }]
  const codec = await createJwtCodec(scope, {
    keys: keys.map((key) => checkJwtKey('stateSecret', key)),
    audience: signedTokens.audienceOf('oauth-state'),
    lifetimeSeconds,
    clock: settings.clock,
    issuedAt: signedTokens.issuedAt,
    strict: signedTokens.requireStamp,
    required: []
  })

  return {
    sign: ({ id, browser, userId }) =>
      codec.sign({ ...(userId === null ? {} : { sub: userId }), csrftoken: browser, jti: id }),

    read (token) {
      const inspected = token === undefined ? null : codec.inspect(token)
      if (inspected === null) return { refusal: FST_USERS_ACCESS_TOKEN_DECODE_ERROR(), id: null }
      const { jti, csrftoken, sub } = inspected.claims
      const id = claimText(jti)
      if (inspected.expired) return { refusal: FST_USERS_ACCESS_TOKEN_ALREADY_EXPIRED(), id }
      return { id, browser: claimText(csrftoken), userId: typeof sub === 'string' ? sub : null }
    }
  }
}

function claimText (claim: unknown): string {
  return typeof claim === 'string' ? claim : ''
}
