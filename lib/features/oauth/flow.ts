import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  type Attempts,
  type AuditLog,
  FST_USERS_BAD_REQUEST,
  generateOpaqueToken,
  isSameSecret,
  isUsersError,
  type UsersError
} from '../../feature/index.js'
import { FST_USERS_OAUTH_BAD_REDIRECT, FST_USERS_OAUTH_INVALID_STATE, FST_USERS_OAUTH_REFUSED } from './errors.js'
import { errorCodeOf, isClientError, sendBrowser, splitPending, withError, withFragment } from './browser-reply.js'
import type { Identity } from './contracts.js'
import type { EngineClient } from './engine/index.js'
import type { OauthCookie } from './oauth-cookie.js'
import type { Redirects } from './redirects.js'
import type { CallbackQuery } from './schemas.js'
import type { States } from './state.js'
import type { Transaction, Transactions } from './transactions.js'

export interface FlowParts {
  audit: AuditLog
  attempts: Attempts
  /** Name of the backend that logs users in. */
  backend: string
  states: States
  transactions: Transactions
  cookie: OauthCookie
  redirects: Redirects | null
}

/** The flow of one provider for one purpose: login or linking. */
export interface ProviderFlow {
  client: EngineClient
  purpose: Transaction['purpose']
  redirectUri: string
}

/** Parameters of the authorize step. */
export interface FlowStart {
  /** Id of the user who links an account; null for a login. */
  userId: string | null
  scopes: readonly string[]
  /** S256 of a PKCE verifier that the client keeps; null to let the server keep one. */
  challenge: string | null
  /** URL that the browser is redirected to after the callback; null for replies in JSON. */
  redirect: string | null
  /** The user asked for a longer session. Default: false. */
  rememberMe?: boolean
}

/** The way in which a login began. */
export interface LoginStart {
  /** The callback redirects the browser. */
  readonly inBrowser: boolean
  /** The user asked for a longer session. */
  readonly rememberMe: boolean
}

interface Exchange {
  request: FastifyRequest
  reply: FastifyReply
}

/** The OAuth 2 authorization code flow (RFC 6749, section 4.1; RFC 9700). */
export interface Flow {
  /** The authorize step: stores the transaction, sets the cookie and returns the authorization URL of the provider. */
  start(providerFlow: ProviderFlow, start: FlowStart, exchange: Exchange): Promise<string>
  /**
   * The callback step: deletes the transaction, passes the checked identity to `use` and returns its result. In browser
   * mode the reply is a redirect instead; an error after the transaction was claimed becomes its `error` parameter.
   */
  finish<T>(
    providerFlow: ProviderFlow,
    query: CallbackQuery,
    userId: string | null,
    exchange: Exchange,
    use: (identity: Identity, start: LoginStart) => Promise<T>
  ): Promise<T | FastifyReply>
}

/** `error` of an authorization response (RFC 6749, section 4.1.2.1) that is harmless wherever it is shown. */
const PLAIN_ERROR = /^[\w .,:;!?()/-]{1,100}$/

export function createFlow (parts: FlowParts): Flow {
  return {
    async start (providerFlow, start, exchange) {
      await parts.attempts.begin('providerLogin', { context: exchange })
      return await startFlow(parts, providerFlow, start, exchange)
    },
    async finish (providerFlow, query, userId, exchange, use) {
      try {
        await parts.attempts.begin('providerLogin', { context: exchange })
        return await finishFlow(parts, providerFlow, query, userId, exchange, use)
      } catch (error) {
        reportFailedFlow(parts, providerFlow, error, exchange)
        throw error
      }
    }
  }
}

/** Emits the audit event of a login or a link that failed. */
function reportFailedFlow (
  { audit, backend }: FlowParts,
  { client, purpose }: ProviderFlow,
  error: unknown,
  exchange: Exchange
): void {
  const event = purpose === 'login' ? 'login' : 'provider.link'
  const user = exchange.request.user
  audit.emitError(error, exchange, { event, user, backend, method: `oauth:${client.provider.name}` })
}

async function startFlow (
  { backend, states, transactions, cookie }: FlowParts,
  { client, purpose, redirectUri }: ProviderFlow,
  { userId, scopes, challenge, redirect, rememberMe = false }: FlowStart,
  { request, reply }: Exchange
): Promise<string> {
  const { provider } = client
  const verifier = challenge !== null || provider.pkce === false ? null : generateOpaqueToken()
  const nonce = provider.idToken ? generateOpaqueToken() : null
  const browser = cookie.set(request, reply)
  const id = await transactions.open(
    {
      provider: provider.name,
      backend,
      purpose,
      userId,
      verifier,
      challenge,
      nonce,
      redirect,
      ...(rememberMe ? { rememberMe } : {})
    },
    browser
  )
  return await client.authorizationUrl({
    redirectUri,
    state: states.sign({ id, browser, userId }),
    scopes,
    nonce,
    challenge: verifier === null ? challenge : challengeOf(verifier)
  })
}

/**
 * Checks the state and deletes the transaction before any other work. If the state is wrong and the `code` is missing
 * too, or the provider sent an `error`, the error about the `code` or of the provider is thrown, as FastAPI Users does.
 */
async function finishFlow<T> (
  parts: FlowParts,
  providerFlow: ProviderFlow,
  query: CallbackQuery,
  userId: string | null,
  exchange: Exchange,
  use: (identity: Identity, start: LoginStart) => Promise<T>
): Promise<T | FastifyReply> {
  const { cookie, redirects } = parts
  const { request, reply } = exchange
  const claimed = await claimTransaction(parts, providerFlow, query, userId, exchange)
  const providerRefusal = providerRefusalOf(query)
  if (isUsersError(claimed)) throw providerRefusal ?? claimed
  const target = claimed.redirect === null ? null : (redirects?.resolve(claimed.redirect) ?? null)
  if (target === null && claimed.redirect !== null) throw FST_USERS_OAUTH_BAD_REDIRECT()
  try {
    if (providerRefusal !== null) throw providerRefusal
    const identity = await identifyCallback(providerFlow, query, claimed)
    const result = await use(identity, { inBrowser: target !== null, rememberMe: claimed.rememberMe ?? false })
    return target === null ? result : sendBrowser(reply, target, 302)
  } catch (error) {
    if (target === null) throw error
    reportFailedFlow(parts, providerFlow, error, exchange)
    request.log[isClientError(error) ? 'debug' : 'error'](
      { err: error },
      'fastify-users: a login with a provider failed; the browser is redirected with the error code'
    )
    const url = withError(target, errorCodeOf(error))
    if (!isUsersError(error) || error.code !== 'FST_USERS_LOGIN_PENDING') return sendBrowser(reply, url, 302)
    const pending = splitPending(error.detail)
    cookie.setPending(request, reply, pending)
    return sendBrowser(reply, withFragment(url, pending.fragment), 302)
  }
}

/**
 * Returns the transaction of a callback, or the error that refuses it. The transaction is deleted in both cases, so the
 * first failed check ends the flow. Nothing has been sent to the provider yet.
 */
async function claimTransaction (
  { backend, states, transactions, cookie }: FlowParts,
  { client: { provider }, purpose }: ProviderFlow,
  { state: token, code_verifier: verifier }: CallbackQuery,
  userId: string | null,
  { request, reply }: Exchange
): Promise<Transaction | UsersError> {
  const state = states.read(token)
  const browser = cookie.digestOf(request)
  const transaction = state.id === null ? null : await transactions.take(state.id, browser)
  if (transaction !== null && browser !== null && !(await transactions.hasOpen(browser))) cookie.clear(reply)
  if ('refusal' in state) return state.refusal
  if (transaction === null || browser === null || !isSameSecret(state.browser, browser)) {
    return FST_USERS_OAUTH_INVALID_STATE()
  }
  if (transaction.purpose !== purpose || transaction.provider !== provider.name || transaction.backend !== backend) {
    return FST_USERS_OAUTH_INVALID_STATE()
  }
  if (transaction.userId !== state.userId) return FST_USERS_OAUTH_INVALID_STATE()
  // the state of another user: FastAPI Users replies with this code
  if (transaction.userId !== userId) return FST_USERS_BAD_REQUEST()
  if (transaction.challenge !== null && !isSameSecret(challengeOf(verifier ?? ''), transaction.challenge)) {
    return FST_USERS_OAUTH_INVALID_STATE()
  }
  return transaction
}

async function identifyCallback (
  { client, redirectUri }: ProviderFlow,
  { code = '', iss, code_verifier: ofClient = '' }: CallbackQuery,
  { verifier, challenge, nonce }: Transaction
): Promise<Identity> {
  return client.identify({ code, iss, redirectUri, verifier: challenge === null ? verifier : ofClient, nonce })
}

/** Returns the error for an authorization response without a code, or null if there is a code. */
function providerRefusalOf ({ error, code }: CallbackQuery): UsersError | null {
  if (error !== undefined) return FST_USERS_OAUTH_REFUSED([], PLAIN_ERROR.test(error) ? { detail: error } : {})
  return code === undefined || code === '' ? FST_USERS_BAD_REQUEST() : null
}

/** Returns the S256 challenge of a PKCE verifier (RFC 7636, section 4.2). */
function challengeOf (verifier: string): string {
  return hash('sha256', verifier, 'base64url')
}
