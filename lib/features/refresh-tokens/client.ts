/**
 * A `fetch` for clients of refresh tokens. It runs in browsers and in Node.js, and imports nothing.
 *
 * @module fastify-users/refresh-tokens/client
 */

/** The tokens of a login or a refresh. */
export interface ClientTokens {
  access_token: string
  /** Absent if the refresh token is in a cookie. */
  refresh_token?: string
}

/** Options of `createRefreshingFetch`. */
export interface RefreshingFetchOptions {
  /** URL of `POST /auth/<backend>/refresh`. */
  refreshUrl: string
  /** The refresh token is in a cookie. Default false: it is part of the tokens. */
  cookie?: boolean
  /** Tokens of an earlier login. Default: none. */
  tokens?: ClientTokens | null
  /** Called with the new tokens after each refresh, and with null when the session has ended. */
  onChange?(tokens: ClientTokens | null): void
  /** Sends the requests. Default: the global `fetch`. */
  fetch?: (request: Request) => Promise<Response>
}

/** Sends requests with the access token, and keeps the tokens. */
export interface RefreshingFetch {
  /**
   * Sends a request with the access token. If the reply is 401, gets a new access token and sends the request once
   * more. Requests that fail at the same time share one refresh. If the refresh fails, returns the 401.
   */
  fetch(...request: Parameters<typeof fetch>): Promise<Response>
  /** Gets a new access token. Returns false if the session has ended or the server cannot be reached. */
  refresh(): Promise<boolean>
  /** Replaces the tokens after a login, or deletes them after a logout. */
  setTokens(tokens: ClientTokens | null): void
}

/**
 * Creates a `fetch` that refreshes the access token when it has expired. Generated clients accept it as their `fetch`.
 *
 * @example
 * const session = createRefreshingFetch({ refreshUrl: '/auth/jwt/refresh', tokens: await login() })
 * const client = createClient<paths>({ baseUrl: '/', fetch: session.fetch })
 */
export function createRefreshingFetch (options: RefreshingFetchOptions): RefreshingFetch {
  const { refreshUrl, cookie = false, onChange = () => {}, fetch: send = (request) => fetch(request) } = options
  let tokens: ClientTokens | null = options.tokens ?? null
  let changes = 0
  let refreshing: Promise<boolean> | null = null

  function setTokens (next: ClientTokens | null): void {
    tokens = next
    changes++
  }

  function change (next: ClientTokens | null): void {
    setTokens(next)
    onChange(next)
  }

  async function requestTokens (): Promise<boolean> {
    if (!cookie && tokens?.refresh_token === undefined) return false
    const init: RequestInit = { method: 'POST', credentials: 'same-origin' }
    if (!cookie) {
      init.headers = { 'content-type': 'application/json' }
      init.body = JSON.stringify({ grant_type: 'refresh_token', refresh_token: tokens?.refresh_token })
    }
    const reply = await send(new Request(refreshUrl, init))
    if (reply.status === 200) change((await reply.json()) as ClientTokens)
    else if (reply.status === 400) change(null)
    return reply.status === 200
  }

  async function refresh (): Promise<boolean> {
    refreshing ??= requestTokens()
      .catch(() => false) // no connection: the tokens may still be valid
      .finally(() => {
        refreshing = null
      })
    return await refreshing
  }

  function withToken (request: Request, token: string | undefined): Request {
    const sent = request.clone() // the body can be read once
    if (token !== undefined) sent.headers.set('authorization', `Bearer ${token}`)
    return sent
  }

  return {
    refresh,
    setTokens,
    async fetch (input, init) {
      const request = new Request(input, init)
      if (refreshing !== null) await refreshing
      const changesBefore = changes
      const reply = await send(withToken(request, tokens?.access_token))
      if (reply.status !== 401) return reply
      // another request may have refreshed the token meanwhile
      const isRenewed = changes === changesBefore ? await refresh() : tokens !== null
      return isRenewed ? await send(withToken(request, tokens?.access_token)) : reply
    }
  }
}
