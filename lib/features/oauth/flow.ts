import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CallbackQuery } from '../../../schemas/index.js'
import {
  FST_USERS_BAD_REQUEST,
  FST_USERS_OAUTH_BAD_REDIRECT,
  FST_USERS_OAUTH_INVALID_STATE,
  FST_USERS_OAUTH_REFUSED,
  isUsersError,
  type UsersError
} from '../../errors.js'
import { generateOpaqueToken, isSameSecret } from '../../tokens/index.js'
import type { BrowserCookie } from './browser-cookie.js'
import type { Identity } from './contracts.js'
import type { EngineClient } from './engine/index.js'
import { withError, type Redirects } from './redirects.js'
import type { States } from './state.js'
import type { Transaction, Transactions } from './transactions.js'

/** What a flow is made of. */
export interface FlowParts {
  backend: string
  states: States
  transactions: Transactions
  cookie: BrowserCookie
  redirects: Redirects | null
}

/** One provider for one purpose. */
export interface Leg {
  client: EngineClient
  purpose: Transaction['purpose']
  redirectUri: string
}

/** How a flow is started. */
export interface Start {
  /** Who links; null for a login. */
  userId: string | null
  scopes: readonly string[]
  /** S256 of a PKCE verifier that the client keeps; null to let the server keep one. */
  challenge: string | null
  /** Where the browser goes afterwards; null for replies in JSON. */
  redirect: string | null
}

interface Exchange {
  request: FastifyRequest
  reply: FastifyReply
}

/** The OAuth 2 authorization code flow (RFC 6749, section 4.1; RFC 9700), from the start to a checked identity. */
export interface Flow {
  /** The provider's address to send the browser to. Sets the cookie. */
  start(leg: Leg, start: Start, exchange: Exchange): Promise<string>
  /**
   * Finishes the transaction and hands the identity to `use`, whose result is the reply; a transaction in browser mode
   * is
   * answered by a redirect instead, also when anything fails from here on.
   */
  finish<T>(
    leg: Leg,
    query: CallbackQuery,
    userId: string | null,
    exchange: Exchange,
    use: (identity: Identity, browser: boolean) => Promise<T>
  ): Promise<T | FastifyReply>
}

/** `error` of an authorization response (RFC 6749, section 4.1.2.1), as far as it is harmless wherever it is shown. */
const PLAIN_ERROR = /^[\w .,:;!?()/-]{1,100}$/

export function createFlow ({ backend, states, transactions, cookie, redirects }: FlowParts): Flow {
  /**
   * The transaction that a callback belongs to, or why there is none. It is gone afterwards either way, so that the
   * first
   * failed check ends the flow; nothing was sent to the provider yet.
   */
  async function claim (
    { client: { provider }, purpose }: Leg,
    { state: token, code_verifier: given }: CallbackQuery,
    userId: string | null,
    { request, reply }: Exchange
  ): Promise<Transaction | UsersError> {
    const state = states.read(token)
    const transaction = state.id === null || state.id === '' ? null : await transactions.take(state.id)
    const browser = cookie.digestOf(request)
    if (
      transaction !== null &&
      browser !== null &&
      isSameSecret(transaction.browser, browser) &&
      !(await transactions.hasOpen(browser))
    ) {
      cookie.clear(reply)
    }
    if ('refusal' in state) return state.refusal
    if (
      transaction === null ||
      browser === null ||
      !isSameSecret(state.browser, browser) ||
      !isSameSecret(transaction.browser, browser)
    ) {
      return FST_USERS_OAUTH_INVALID_STATE()
    }
    if (transaction.purpose !== purpose || transaction.provider !== provider.name || transaction.backend !== backend) {
      return FST_USERS_OAUTH_INVALID_STATE()
    }
    if (transaction.userId !== state.userId) return FST_USERS_OAUTH_INVALID_STATE()
    if (transaction.userId !== userId) return FST_USERS_BAD_REQUEST() // the state of another user (contract 1.11)
    if (transaction.challenge !== null && !isSameSecret(challengeOf(given ?? ''), transaction.challenge)) {
      return FST_USERS_OAUTH_INVALID_STATE()
    }
    return transaction
  }

  async function identify (
    { client, redirectUri }: Leg,
    { code = '', iss, code_verifier: given = '' }: CallbackQuery,
    { verifier, challenge, nonce }: Transaction
  ): Promise<Identity> {
    return client.identify({ code, iss, redirectUri, verifier: challenge === null ? verifier : given, nonce })
  }

  return {
    async start ({ client, purpose, redirectUri }, { userId, scopes, challenge, redirect }, { request, reply }) {
      const { provider } = client
      const verifier = challenge !== null || provider.pkce === false ? null : generateOpaqueToken()
      const nonce = provider.idToken ? generateOpaqueToken() : null
      const browser = cookie.set(request, reply)
      const id = generateOpaqueToken()
      const state = states.sign({ id, browser, userId })
      const address = await client.authorizationUrl({
        redirectUri,
        state,
        scopes,
        nonce,
        challenge: verifier === null ? challenge : challengeOf(verifier)
      })
      await transactions.open(id, {
        provider: provider.name,
        backend,
        purpose,
        userId,
        browser,
        verifier,
        challenge,
        nonce,
        redirect
      })
      return address
    },

    // The contract looks at `error` and `code` first, then spends the code, then checks the state. Here the state is
    // checked,
    // and the transaction spent, before all else; only the order of the answers is the contract's.
    async finish (leg, query, userId, exchange, use) {
      const claimed = await claim(leg, query, userId, exchange)
      const refusal = refusalOf(query)
      if (isUsersError(claimed)) throw refusal ?? claimed
      const target = claimed.redirect === null ? null : (redirects?.resolve(claimed.redirect) ?? null)
      if (target === null && claimed.redirect !== null) throw FST_USERS_OAUTH_BAD_REDIRECT()
      try {
        if (refusal !== null) throw refusal
        const result = await use(await identify(leg, query, claimed), target !== null)
        return target === null ? result : sendBrowser(exchange.reply, target, 302)
      } catch (error) {
        if (target === null) throw error
        exchange.request.log[isRefusal(error) ? 'debug' : 'error'](
          { err: error },
          'fastify-users: a login in the browser failed'
        )
        if (isUsersError(error) && error.code === 'FST_USERS_LOGIN_PENDING') {
          cookie.setPending(exchange.request, exchange.reply, error.detail)
        }
        return sendBrowser(exchange.reply, withError(target, wordOf(error)), 302)
      }
    }
  }
}

/** Sends the browser on; the address that it came from, with its code, is not passed on. */
export function sendBrowser (reply: FastifyReply, address: string, statusCode: 302 | 303): FastifyReply {
  return reply.header('referrer-policy', 'no-referrer').redirect(address, statusCode)
}

/** What the provider, or the user there, said instead of giving a code. */
function refusalOf ({ error, code }: CallbackQuery): UsersError | null {
  if (error !== undefined) return FST_USERS_OAUTH_REFUSED([], PLAIN_ERROR.test(error) ? { detail: error } : {})
  return code === undefined || code === '' ? FST_USERS_BAD_REQUEST() : null
}

/** S256 (RFC 7636, section 4.2). */
function challengeOf (verifier: string): string {
  return hash('sha256', verifier, 'base64url')
}

function isRefusal (error: unknown): boolean {
  const { statusCode } = error as { statusCode?: unknown }
  return typeof statusCode === 'number' && statusCode < 500
}

/** The word for a page: a hook's own where it is one. Nothing else of an error leaves in a redirect. */
function wordOf (error: unknown): string {
  if (isUsersError(error) && error.statusCode !== 500) {
    const { code, detail } = error
    return code === 'FST_USERS_REFUSED' && typeof detail === 'string' && /^[A-Z][A-Z0-9_]{0,63}$/.test(detail)
      ? detail
      : code.replace('FST_USERS_', '')
  }
  return isRefusal(error) ? 'REFUSED' : 'INTERNAL_ERROR'
}
