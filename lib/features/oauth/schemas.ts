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

/** A parameter of a login whose user asks for a longer session. */
export interface RememberMeQuery {
  remember_me?: 'true' | 'on'
}

/** Returns the query of a route that starts a login, with `remember_me` if the backend offers longer sessions. */
export function loginQuery<Q extends TObject> (query: Q, offersRememberMe: boolean): Q | TObject {
  if (!offersRememberMe) return query
  const rememberMe = Type.Unsafe<RememberMeQuery['remember_me']>({
    type: 'string',
    enum: ['true', 'on'],
    description: 'The session lasts longer, and the browser keeps its cookie when it closes.'
  })
  return Type.Object({ ...query.properties, remember_me: Type.Optional(rememberMe) })
}

/** Authorization response of a provider (RFC 6749, section 4.1.2; RFC 9207). A repeated parameter is invalid. */
export const CallbackQuery = Type.Object({
  code: parameter,
  state: Type.Optional(Type.String()),
  error: parameter,
  iss: parameter,
  code_verifier: parameter
})
export type CallbackQuery = Static<typeof CallbackQuery>
