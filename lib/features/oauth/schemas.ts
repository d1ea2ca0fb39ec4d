import { Type, type Static, type TObject, type TSchema, type TString } from '@sinclair/typebox'
import { component, type IdKind } from '../../feature/index.js'

/** Returns the schema of a linked account. It excludes the provider's tokens. */
export function oauthAccountRead (
  id: IdKind
): TObject<{ id: TSchema; oauth_name: TString; account_id: TString; account_email: TString }> {
  return Type.Object(
    { id: id.schema, oauth_name: Type.String(), account_id: Type.String(), account_email: Type.String() },
    component('OauthAccountRead')
  )
}

/** Reply with the URL of an authorization request (RFC 6749, section 4.1.1). */
export const AuthorizeReply = Type.Object({ authorization_url: Type.String() }, component('OAuth2AuthorizeResponse'))
export type AuthorizeReply = Static<typeof AuthorizeReply>

const parameter = Type.Optional(Type.String({ maxLength: 4096 }))

/**
 * Query of the authorize routes. `scopes` may be repeated. `code_challenge` belongs to a PKCE verifier that the client
 * keeps (RFC 7636).
 */
export const AuthorizeQuery = Type.Object({
  scopes: Type.Optional(Type.Array(Type.String({ maxLength: 1024 }))),
  code_challenge: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' })),
  code_challenge_method: Type.Optional(Type.Literal('S256'))
})
export type AuthorizeQuery = Static<typeof AuthorizeQuery>

/** Query of the routes that start a login in browser mode. */
export const BrowserLoginQuery = Type.Object({ redirect: Type.Optional(Type.String()) })
export type BrowserLoginQuery = Static<typeof BrowserLoginQuery>

/** Authorization response of a provider (RFC 6749, section 4.1.2; RFC 9207). A repeated parameter is invalid. */
export const CallbackQuery = Type.Object({
  code: parameter,
  state: Type.Optional(Type.String()),
  error: parameter,
  iss: parameter,
  code_verifier: parameter
})
export type CallbackQuery = Static<typeof CallbackQuery>
