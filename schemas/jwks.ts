import { Type, type Static } from '@sinclair/typebox'
import { component } from './common.js'

const text = Type.String()
const member = Type.Optional(text)

/** A public key (RFC 7517, section 4). Replies have only these members, so that no private part is ever sent. */
const Jwk = Type.Object({
  kty: text,
  use: text,
  alg: text,
  kid: text,
  n: member,
  e: member,
  crv: member,
  x: member,
  y: member
})

/** Reply of the JWKS route (RFC 7517, section 5). */
export const JwkSet = Type.Object({ keys: Type.Array(Jwk) }, component('JwkSet'))
export type JwkSet = Static<typeof JwkSet>
