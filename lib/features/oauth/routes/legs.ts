import type { FastifyInstance, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import type { AuthorizeQuery } from '../../../../schemas/index.js'
import type { FeatureHost } from '../../../contracts/feature-host.js'
import { FST_USERS_BAD_REQUEST, FST_USERS_OAUTH_BAD_REDIRECT } from '../../../errors.js'
import type { ErrorWord } from '../../../routes/index.js'
import type { OauthAccounts, Provider } from '../contracts.js'
import type { EngineClient } from '../engine/index.js'
import type { Flow, Leg, Start } from '../flow.js'
import type { OauthSettings } from '../options.js'

/** What the routes of the flow work with. */
export interface FlowRoutesOptions {
  host: FeatureHost
  settings: OauthSettings
  flow: Flow
  accounts: OauthAccounts
  clients: ReadonlyMap<string, EngineClient>
}

/** What can be wrong with who links. */
export const GUARD_ERRORS = ['UNAUTHENTICATED', 'FORBIDDEN'] as const satisfies readonly ErrorWord[]
/** What can be wrong when a login starts. */
export const START_ERRORS = [
  'BAD_REQUEST',
  'VALIDATION',
  'OAUTH_PROVIDER_FAILED',
  'OAUTH_PROVIDER_UNAVAILABLE'
] as const satisfies readonly ErrorWord[]
/** What can be wrong when it comes back. */
export const CALLBACK_ERRORS = [
  ...START_ERRORS,
  'OAUTH_REFUSED',
  'ACCESS_TOKEN_DECODE_ERROR',
  'ACCESS_TOKEN_ALREADY_EXPIRED',
  'OAUTH_INVALID_STATE',
  'OAUTH_NOT_AVAILABLE_EMAIL'
] as const satisfies readonly ErrorWord[]

/** A leg with the path of its routes; the address that the provider sends browsers back to is fixed here, once. */
export function legOf (
  scope: FastifyInstance,
  client: EngineClient,
  purpose: Leg['purpose'],
  settings: OauthSettings
): { path: string; leg: Leg } {
  const group = purpose === 'login' ? 'login' : 'associate'
  const { name } = client.provider
  const path = `${settings.routes[group].prefix}/${name}`
  return {
    path,
    leg: { client, purpose, redirectUri: settings.redirectUri(name, group, `${scope.prefix}${path}/callback`) }
  }
}

/** A parameter that may be repeated is always a list. */
export function wrapScopes (request: FastifyRequest, _reply: unknown, done: HookHandlerDoneFunction): void {
  const query = request.query as { scopes?: unknown } // as the URL says it
  if (typeof query.scopes === 'string') query.scopes = [query.scopes]
  done()
}

/**
 * How a client starts: with scopes of the provider's alone; a blank one counts as none, and `openid` stays where an
 * id_token must come. Throws `FST_USERS_BAD_REQUEST`.
 */
export function startOf (
  { scopes: configured, pkce, idToken }: Provider,
  { scopes = [], code_challenge: challenge, code_challenge_method: method }: AuthorizeQuery
): Pick<Start, 'scopes' | 'challenge' | 'redirect'> {
  const asked = scopes.flatMap((scope) => scope.split(' ')).filter((scope) => scope !== '')
  if (!asked.every((scope) => configured.includes(scope))) throw FST_USERS_BAD_REQUEST()
  if ((challenge === undefined) !== (method === undefined) || (challenge !== undefined && pkce === false)) {
    throw FST_USERS_BAD_REQUEST()
  }
  const needed = configured.filter((scope) => idToken && scope === 'openid')
  return {
    scopes: asked.length === 0 ? configured : [...new Set([...asked, ...needed])],
    challenge: challenge ?? null,
    redirect: null
  }
}

/** How a browser starts. Throws `FST_USERS_OAUTH_BAD_REDIRECT`. */
export function browserStartOf (
  { scopes }: Provider,
  { redirects }: OauthSettings,
  redirect: string | undefined
): Pick<Start, 'scopes' | 'challenge'> & { redirect: string } {
  const target = redirects?.resolve(redirect) ?? null
  if (target === null) throw FST_USERS_OAUTH_BAD_REDIRECT()
  return { scopes, challenge: null, redirect: target }
}
