import type { FastifyInstance } from 'fastify'
import type { FeatureHost } from '../../contracts/feature-host.js'
import {
  FST_USERS_ACCESS_TOKEN_ALREADY_EXPIRED,
  FST_USERS_ACCESS_TOKEN_DECODE_ERROR,
  type UsersError
} from '../../errors.js'
import { checkJwtKey, createJwtCodec } from '../../tokens/index.js'

/** What a state says. */
export interface State {
  /** Of the transaction. */
  id: string
  /** SHA-256 of the browser's cookie. */
  browser: string
  /** Who links; null for a login. */
  userId: string | null
}

/** The `state` parameter: a JWT (RFC 7519) that names the transaction, the browser and, when linking, the user. */
export interface States {
  sign(state: State): string
  /** What a state says, empty text for what it does not say; or why it is none, with the id where it can be read. */
  read(token: string | undefined): State | { refusal: UsersError; id: string | null }
}

export interface StateSettings {
  secret: string | null
  lifetimeSeconds: number
}

export async function createStates (
  scope: FastifyInstance,
  { settings, keysFor }: FeatureHost,
  { secret, lifetimeSeconds }: StateSettings
): Promise<States> {
  const keys = secret === null ? keysFor('oauth-state') : [{ secret }]
  const codec = await createJwtCodec(scope, {
    keys: keys.map((key) => checkJwtKey('stateSecret', key)),
    audience: `${settings.audiencePrefix}:oauth-state`,
    lifetimeSeconds,
    clock: settings.clock,
    issuedAt: settings.issuedAt,
    strict: settings.requireStamp,
    required: []
  })

  return {
    sign: ({ id, browser, userId }) =>
      codec.sign({ ...(userId === null ? {} : { sub: userId }), csrftoken: browser, jti: id }),

    read (token) {
      const inspected = token === undefined ? null : codec.inspect(token)
      if (inspected === null) return { refusal: FST_USERS_ACCESS_TOKEN_DECODE_ERROR(), id: null }
      const { jti, csrftoken, sub } = inspected.claims
      const id = textOf(jti)
      if (inspected.expired) return { refusal: FST_USERS_ACCESS_TOKEN_ALREADY_EXPIRED(), id }
      return { id, browser: textOf(csrftoken), userId: typeof sub === 'string' ? sub : null }
    }
  }
}

function textOf (claim: unknown): string {
  return typeof claim === 'string' ? claim : ''
}
