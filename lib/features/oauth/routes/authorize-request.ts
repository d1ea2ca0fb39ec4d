import type { FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { FST_USERS_BAD_REQUEST } from '../../../feature/index.js'
import { FST_USERS_OAUTH_BAD_REDIRECT } from '../errors.js'
import type { Provider } from '../contracts.js'
import type { FlowStart } from '../flow.js'
import type { OauthSettings } from '../options.js'
import type { AuthorizeQuery } from '../schemas.js'

/** Hook that turns a single `scopes` parameter into a list, as a repeated one is. */
export function wrapScopes (request: FastifyRequest, _reply: unknown, done: HookHandlerDoneFunction): void {
  const query = request.query as { scopes?: unknown } // not validated yet
  if (typeof query.scopes === 'string') query.scopes = [query.scopes]
  done()
}

/**
 * Returns the parameters of an authorize step that a client requested. The scopes must be among the provider's; a blank
 * one is ignored, and `openid` is kept if an id_token is required. Throws `FST_USERS_BAD_REQUEST`.
 */
export function readAuthorizeQuery (
  { scopes: configured, pkce, idToken }: Provider,
  { scopes = [], code_challenge: challenge, code_challenge_method: method }: AuthorizeQuery
): Pick<FlowStart, 'scopes' | 'challenge' | 'redirect'> {
  const requested = scopes.flatMap((scope) => scope.split(' ')).filter((scope) => scope !== '')
  if (!requested.every((scope) => configured.includes(scope))) throw FST_USERS_BAD_REQUEST()
  if ((challenge === undefined) !== (method === undefined) || (challenge !== undefined && pkce === false)) {
    throw FST_USERS_BAD_REQUEST()
  }
  const required = configured.filter((scope) => idToken && scope === 'openid')
  return {
    scopes: requested.length === 0 ? configured : [...new Set([...requested, ...required])],
    challenge: challenge ?? null,
    redirect: null
  }
}

/** Returns the parameters of an authorize step in browser mode. Throws `FST_USERS_OAUTH_BAD_REDIRECT`. */
export function readBrowserQuery (
  { scopes }: Provider,
  { redirects }: OauthSettings,
  redirect: string | undefined
): Pick<FlowStart, 'scopes' | 'challenge'> & { redirect: string } {
  const target = redirects?.resolve(redirect) ?? null
  if (target === null) throw FST_USERS_OAUTH_BAD_REDIRECT()
  return { scopes, challenge: null, redirect: target }
}
