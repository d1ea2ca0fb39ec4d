import type { FastifyInstance } from 'fastify'
import type { ErrorWord, FeatureKit } from '../../../feature/index.js'
import type { OauthAccounts } from '../contracts.js'
import type { EngineClient } from '../engine/index.js'
import type { Flow, ProviderFlow } from '../flow.js'
import type { OauthSettings } from '../options.js'

/** Options of the plugins that register the routes of the flow. */
export interface FlowRoutesOptions {
  kit: FeatureKit
  settings: OauthSettings
  flow: Flow
  accounts: OauthAccounts
  clients: ReadonlyMap<string, EngineClient>
}

/** Errors of routes that need a logged-in user. */
export const GUARD_ERRORS = ['UNAUTHENTICATED', 'FORBIDDEN'] as const satisfies readonly ErrorWord[]
/** Errors of the authorize step. */
export const AUTHORIZE_ERRORS = [
  'BAD_REQUEST',
  'VALIDATION',
  'OAUTH_PROVIDER_FAILED',
  'OAUTH_PROVIDER_UNAVAILABLE',
  'TOO_MANY_ATTEMPTS'
] as const satisfies readonly ErrorWord[]
/** Errors of the callback step. */
export const CALLBACK_ERRORS = [
  ...AUTHORIZE_ERRORS,
  'OAUTH_REFUSED',
  'ACCESS_TOKEN_DECODE_ERROR',
  'ACCESS_TOKEN_ALREADY_EXPIRED',
  'OAUTH_INVALID_STATE',
  'OAUTH_NOT_AVAILABLE_EMAIL'
] as const satisfies readonly ErrorWord[]

/** Returns the flow of a provider for a purpose, and the path of its routes. */
export function createProviderFlow (
  scope: FastifyInstance,
  client: EngineClient,
  purpose: ProviderFlow['purpose'],
  settings: OauthSettings
): { path: string; providerFlow: ProviderFlow } {
  const group = purpose === 'login' ? 'login' : 'associate'
  const { name } = client.provider
  const path = `${settings.routes[group].prefix}/${name}`
  const redirectUri = settings.redirectUri(name, group, `${scope.prefix}${path}/callback`)
  return { path, providerFlow: { client, purpose, redirectUri } }
}
