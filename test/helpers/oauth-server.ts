import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Provider, ProviderApi, ProviderEndpoints } from '../../lib/features/oauth/contracts.js'
import { faults, send, sendJson, type Fault } from './oauth-faults.js'
import { makeSigner, type SigningOptions, type TokenSigner } from './oauth-tokens.js'

/** The purpose of an endpoint. `api` stands for every other URL of the provider. */
export type Role = 'discovery' | 'authorize' | 'token' | 'userinfo' | 'jwks' | 'revoke' | 'api'

/** A received request. */
export interface ReceivedRequest {
  role: Role
  method: string
  /** The URL at the simulated provider, such as `https://api.github.com/user`. */
  url: URL
  headers: IncomingMessage['headers']
  /** Fields of a form body. */
  form: Record<string, string>
  body: string
}

/** Settings of the server. Tests may change them at any time. */
export interface ServerBehavior {
  clientId: string
  /** Null for a public client. */
  clientSecret: string | null | ((secret: string) => boolean)
  /** Required client authentication. Others are refused. */
  clientAuthentication: 'client_secret_post' | 'client_secret_basic' | 'none'
  /** The only accepted redirect URI. Null accepts all. */
  redirectUri: string | null
  /** Refuses an exchange without PKCE. */
  requirePkce: boolean
  /** Accepts a code more than once. */
  reusableCodes: boolean
  /** `iss` in id_tokens and, when `sendIssuer`, in the authorization response. */
  issuer: string
  /** Sends `iss` with the code (RFC 9207). A string replaces its value. */
  sendIssuer: boolean | string
  /** Claims of the user for id_token and userinfo. */
  claims: Record<string, unknown>
  /** Changes to the claims of the id_token. `undefined` deletes a claim. */
  idTokenClaims: Record<string, unknown>
  /** Changes to the claims of userinfo. */
  userinfoClaims: Record<string, unknown>
  /** Signing of id_tokens. False sends no id_token, a string is sent as the id_token. */
  idToken: SigningOptions | false | string
  /** Changes to the reply of the token endpoint. `undefined` deletes a member. */
  tokenAnswer: Record<string, unknown>
  /** Sends an id_token even without the scope `openid`, as Apple does. */
  alwaysIdToken: boolean
  /** Sends userinfo as a signed JWT (OpenID Connect Core 1.0, section 5.3.2), as FranceConnect does. */
  signedUserinfo: boolean
  /** Lifetime of access tokens in seconds. Null omits it. */
  expiresIn: number | null
  /** Issues refresh tokens, and a new one at each refresh. */
  refreshTokens: boolean
  /** If set, the authorization is refused: the callback gets these parameters, such as an `error`, and no code. */
  refuse: Record<string, string> | null
}

export interface OauthServer {
  /** The origin of the server, `http://127.0.0.1:<port>`. It is also the OpenID issuer. */
  url: string
  behavior: ServerBehavior
  /** All requests, in order. */
  seen: ReceivedRequest[]
  hits(role: Role): number
  /** Returns the last request to an endpoint. */
  last(role: Role): ReceivedRequest
  /** Makes an endpoint or a URL fail until the next call with null. */
  fail(where: Role | `https://${string}`, fault: Fault | null): void
  /** Sets the JSON reply of a URL, or a function that returns it. Without a query, it applies to all queries. */
  answer(url: `https://${string}`, body: unknown | ((seen: ReceivedRequest) => unknown)): void
  /**
   * Returns a provider whose URLs lead to this server: `https://api.github.com/user` becomes
   * `<url>/api.github.com/user`.
   */
  stage(provider: Provider): Provider
  /** Returns the API that profiles use, without the checks of the engine. */
  api(provider: Provider, accessToken?: string, claims?: Record<string, unknown> | null): ProviderApi
  /** Acts as the browser at the provider. Returns the request to the callback. */
  visit(authorizationUrl: string): Promise<{ method: 'GET' | 'POST'; url: URL; params: URLSearchParams }>
  /** Signs id_tokens with the keys of the JWKS. */
  signer: TokenSigner
  /** The valid tokens. */
  tokens: { access: Set<string>; refresh: Set<string> }
  close(): Promise<void>
}

interface Grant {
  redirectUri: string
  challenge: string | null
  nonce: string | null
  scope: string | null
  used: boolean
}

/** Starts a provider of OAuth 2 and OpenID Connect on a loopback port. Tests control its replies. */
export async function startOauthServer (changes: Partial<ServerBehavior> = {}): Promise<OauthServer> {
  const roles = new Map<string, Role>()
  const answers = new Map<string, unknown>()
  const failing = new Map<string, Fault>()
  const grants = new Map<string, Grant>()
  const signer = makeSigner()
  const seen: ReceivedRequest[] = []
  const tokens = { access: new Set<string>(), refresh: new Set<string>() }

  const http = createServer((request, reply) => {
    readRequest(request)
      .then((came) => {
        seen.push(came)
        const fault = failing.get(keyOf(came.url)) ?? failing.get(came.role)
        if (fault !== undefined) return faults[fault](reply, request.url ?? '/')
        return endpoints[came.role](came, reply)
      })
      .catch((error: unknown) => {
        sendJson(reply, 500, { error: 'test_server_failed', error_description: String(error) })
      })
  })
  await new Promise<void>((resolve) => {
    http.listen(0, '127.0.0.1', resolve)
  })
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`

  const settings: ServerBehavior = {
    clientId: 'client-id',
    clientSecret: 'client-secret',
    clientAuthentication: 'client_secret_post',
    redirectUri: null,
    requirePkce: true,
    reusableCodes: false,
    issuer: url,
    sendIssuer: false,
    claims: { sub: 'subject-1', email: 'king.arthur@camelot.bt', email_verified: true },
    idTokenClaims: {},
    userinfoClaims: {},
    idToken: {},
    tokenAnswer: {},
    alwaysIdToken: false,
    signedUserinfo: false,
    expiresIn: 3600,
    refreshTokens: true,
    refuse: null,
    ...changes
  }
  const ROOT: Record<string, Role> = {
    '/.well-known/openid-configuration': 'discovery',
    '/authorize': 'authorize',
    '/token': 'token',
    '/userinfo': 'userinfo',
    '/jwks': 'jwks',
    '/revoke': 'revoke'
  }

  async function readRequest (request: IncomingMessage): Promise<ReceivedRequest> {
    const { pathname, search } = new URL(request.url ?? '/', url)
    const isRoot = ROOT[pathname] !== undefined
    const own = new URL(isRoot ? `${url}${pathname}${search}` : `https:/${pathname}${search}`)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString()
    const isForm = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true
    const role =
      ROOT[pathname] ??
      roles.get(keyOf(own)) ??
      (pathname.endsWith('/.well-known/openid-configuration') ? 'discovery' : 'api')
    return {
      role,
      method: request.method ?? '',
      url: own,
      headers: request.headers,
      form: isForm ? Object.fromEntries(new URLSearchParams(body)) : {},
      body
    }
  }

  const endpoints: Record<Role, (came: ReceivedRequest, reply: ServerResponse) => void> = {
    discovery (_, reply) {
      sendJson(reply, 200, {
        issuer: settings.issuer,
        authorization_endpoint: `${url}/authorize`,
        token_endpoint: `${url}/token`,
        userinfo_endpoint: `${url}/userinfo`,
        jwks_uri: `${url}/jwks`,
        revocation_endpoint: `${url}/revoke`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256', 'ES256'],
        token_endpoint_auth_methods_supported: [settings.clientAuthentication],
        code_challenge_methods_supported: ['S256'],
        ...(settings.signedUserinfo ? { userinfo_signing_alg_values_supported: ['RS256', 'ES256'] } : {}),
        authorization_response_iss_parameter_supported: settings.sendIssuer !== false
      })
    },
    authorize ({ url: { searchParams: query } }, reply) {
      const redirectUri = query.get('redirect_uri') ?? ''
      if (query.get('client_id') !== settings.clientId || !URL.canParse(redirectUri)) {
        return sendJson(reply, 400, { error: 'invalid_client' })
      }
      if (settings.redirectUri !== null && redirectUri !== settings.redirectUri) {
        return sendJson(reply, 400, { error: 'redirect_uri_mismatch' })
      }
      const params = new URLSearchParams(settings.refuse ?? { code: newCode(query, redirectUri) })
      const state = query.get('state')
      if (state !== null) params.set('state', state)
      if (settings.sendIssuer !== false) {
        params.set('iss', settings.sendIssuer === true ? settings.issuer : settings.sendIssuer)
      }
      if (query.get('response_mode') === 'form_post') {
        return send(reply, 200, 'text/html', formPage(redirectUri, params))
      }
      reply
        .writeHead(302, { location: `${redirectUri}${redirectUri.includes('?') ? '&' : '?'}${params.toString()}` })
        .end()
    },
    token (came, reply) {
      const refusal = refuseClient(came)
      if (refusal !== null) return sendJson(reply, 401, { error: 'invalid_client', error_description: refusal })
      const { form } = came
      if (form['grant_type'] === 'refresh_token') {
        if (!tokens.refresh.delete(form['refresh_token'] ?? '')) {
          return sendJson(reply, 400, { error: 'invalid_grant', error_description: 'unknown refresh token' })
        }
        return sendJson(reply, 200, tokenAnswer(null))
      }
      if (form['grant_type'] === 'delete') {
        // revocation at Naver
        const isKnown = tokens.access.delete(form['access_token'] ?? '')
        return sendJson(
          reply,
          200,
          isKnown ? { access_token: form['access_token'], result: 'success' } : { error: 'invalid_request' }
        )
      }
      if (form['grant_type'] !== 'authorization_code') return sendJson(reply, 400, { error: 'unsupported_grant_type' })
      const grant = grants.get(form['code'] ?? '')
      const problem = refuseGrant(grant, form)
      if (grant === undefined || problem !== null) {
        return sendJson(reply, 400, { error: 'invalid_grant', error_description: problem })
      }
      grant.used = !settings.reusableCodes
      sendJson(reply, 200, tokenAnswer(grant))
    },
    userinfo (came, reply) {
      if (!isAuthorized(came)) {
        return sendJson(reply.setHeader('www-authenticate', 'Bearer error="invalid_token"'), 401, {
          error: 'invalid_token'
        })
      }
      const claims = { ...settings.claims, ...settings.userinfoClaims }
      if (!settings.signedUserinfo) return sendJson(reply, 200, claims)
      send(
        reply,
        200,
        'application/jwt',
        signer.sign(
          { iss: settings.issuer, aud: settings.clientId, ...claims },
          typeof settings.idToken === 'object' ? settings.idToken : {}
        )
      )
    },
    jwks: (_, reply) => {
      sendJson(reply, 200, signer.jwks)
    },
    revoke (came, reply) {
      const refusal = refuseClient(came)
      if (refusal !== null) return sendJson(reply, 401, { error: 'invalid_client', error_description: refusal })
      tokens.access.delete(came.form['token'] ?? '')
      tokens.refresh.delete(came.form['token'] ?? '')
      reply.writeHead(200, { 'content-length': 0 }).end()
    },
    api (came, reply) {
      const answer = answers.get(came.url.href) ?? answers.get(keyOf(came.url))
      if (answer === undefined) return sendJson(reply, 404, { message: 'Not Found' })
      if (!isAuthorized(came)) return sendJson(reply, 401, { message: 'Bad credentials' })
      sendJson(reply, 200, typeof answer === 'function' ? (answer as (came: ReceivedRequest) => unknown)(came) : answer)
    }
  }

  function newCode (query: URLSearchParams, redirectUri: string): string {
    const code = randomUUID()
    grants.set(code, {
      redirectUri,
      challenge: query.get('code_challenge_method') === 'S256' ? query.get('code_challenge') : null,
      nonce: query.get('nonce'),
      scope: query.get('scope'),
      used: false
    })
    return code
  }

  /** Returns the error of the client authentication, or null. */
  function refuseClient ({ headers, form }: ReceivedRequest): string | null {
    const basic =
      headers.authorization?.startsWith('Basic ') === true
        ? Buffer.from(headers.authorization.slice(6), 'base64').toString().split(':').map(formDecode)
        : null
    const used =
      basic !== null ? 'client_secret_basic' : form['client_secret'] !== undefined ? 'client_secret_post' : 'none'
    if (used !== settings.clientAuthentication) {
      return `client authentication is ${used}, not ${settings.clientAuthentication}`
    }
    const [id, secret] = basic ?? [form['client_id'], form['client_secret']]
    if (id !== settings.clientId) return 'another client'
    if (settings.clientSecret === null) return null
    const fits =
      typeof settings.clientSecret === 'function'
        ? settings.clientSecret(secret ?? '')
        : secret === settings.clientSecret
    return fits ? null : 'wrong secret'
  }

  function refuseGrant (grant: Grant | undefined, form: Record<string, string>): string | null {
    if (grant === undefined) return 'unknown code'
    if (grant.used) return 'the code is used'
    if (form['redirect_uri'] !== grant.redirectUri) return 'another redirect_uri'
    if (grant.challenge === null) return settings.requirePkce ? 'no code_challenge was sent' : null
    const verifier = form['code_verifier'] ?? ''
    return createHash('sha256').update(verifier).digest('base64url') === grant.challenge ? null : 'wrong code_verifier'
  }

  function tokenAnswer (grant: Grant | null): Record<string, unknown> {
    const access = `access-${randomBytes(12).toString('hex')}`
    tokens.access.add(access)
    const answer: Record<string, unknown> = { access_token: access, token_type: 'Bearer' }
    if (settings.expiresIn !== null) answer['expires_in'] = settings.expiresIn
    if (settings.refreshTokens) {
      answer['refresh_token'] = `refresh-${randomBytes(12).toString('hex')}`
      tokens.refresh.add(String(answer['refresh_token']))
    }
    const asked = settings.alwaysIdToken || grant?.scope?.split(' ').includes('openid') === true
    if (grant !== null && asked && settings.idToken !== false) {
      answer['id_token'] = typeof settings.idToken === 'string' ? settings.idToken : idToken(grant, settings.idToken)
    }
    return { ...answer, ...settings.tokenAnswer }
  }

  function idToken (grant: Grant, how: SigningOptions): string {
    const now = Math.floor(Date.now() / 1000)
    const nonce = grant.nonce === null ? {} : { nonce: grant.nonce }
    const claims = {
      iss: settings.issuer,
      aud: settings.clientId,
      iat: now,
      exp: now + 300,
      ...nonce,
      ...settings.claims,
      ...settings.idTokenClaims
    }
    return signer.sign(
      claims,
      typeof settings.clientSecret === 'string' ? { hmacSecret: settings.clientSecret, ...how } : how
    )
  }

  function isAuthorized ({ headers }: ReceivedRequest): boolean {
    const [scheme, token] = headers.authorization?.split(' ') ?? []
    return scheme !== undefined && /^(bearer|token)$/i.test(scheme) && tokens.access.has(token ?? '')
  }

  const here = (address: string): string =>
    address.startsWith('https://') ? address.replace('https://', `${url}/`) : address

  return {
    url,
    behavior: settings,
    seen,
    signer,
    tokens,
    hits: (role) => seen.filter((came) => came.role === role).length,
    last (role) {
      const came = seen.findLast((each) => each.role === role)
      if (came === undefined) throw new Error(`nothing came to ${role}`)
      return came
    },
    fail (where, fault) {
      if (fault === null) failing.delete(where)
      else failing.set(where, fault)
    },
    answer: (address, body) => {
      answers.set(address, body)
    },
    stage (provider) {
      const { server } = provider
      settings.clientId = provider.clientId
      settings.clientAuthentication = provider.clientAuthentication
      const secret = typeof provider.clientSecret === 'function' ? provider.clientSecret() : provider.clientSecret
      // every token is different
      settings.clientSecret = typeof secret === 'string' && secret.split('.').length < 3 ? secret : () => true
      settings.requirePkce = provider.pkce !== false
      const moved = (api: ProviderApi): ProviderApi => ({
        accessToken: api.accessToken,
        claims: api.claims,
        fetchJson: (address, init) => api.fetchJson(here(address), init),
        userInfo: () => api.userInfo()
      })
      const revoke = provider.revoke
      settings.issuer = 'discover' in server ? here(server.discover) : server.issuer
      settings.alwaysIdToken = provider.idToken
      return {
        ...provider,
        server: 'discover' in server ? { discover: here(server.discover) } : movedEndpoints(server),
        profile: (api) => provider.profile(moved(api)),
        ...(revoke === undefined ? {} : { revoke: (api: ProviderApi) => revoke(moved(api)) })
      }
    },
    api (provider, accessToken = newAccessToken(), claims = null) {
      const call = async (address: string, init: RequestInit = {}): Promise<unknown> => {
        const answer = await fetch(address, {
          ...init,
          headers: { authorization: `Bearer ${accessToken}`, ...init.headers }
        })
        if (!answer.ok) {
          throw Object.assign(new Error(`${answer.status} ${await answer.text()}`), {
            code: 'FST_USERS_OAUTH_PROVIDER_FAILED'
          })
        }
        return answer.json()
      }
      const userinfo = 'discover' in provider.server ? `${url}/userinfo` : (provider.server.userinfo_endpoint ?? '')
      return {
        accessToken,
        claims,
        fetchJson: (address, init) => call(address, init),
        userInfo: () => call(userinfo) as Promise<Record<string, unknown>>
      }
    },
    async visit (authorizationUrl) {
      const reply = await fetch(authorizationUrl, { redirect: 'manual' })
      const page = await reply.text()
      const location = reply.headers.get('location')
      if (location !== null) return { method: 'GET', url: new URL(location), params: new URL(location).searchParams }
      const [, action, fields] = /<form action="([^"]+)" data-fields="([^"]+)"/.exec(page) ?? []
      if (action === undefined) throw new Error(`the provider answers ${reply.status} ${page}`)
      return { method: 'POST', url: new URL(action), params: new URLSearchParams(fields) }
    },
    close: () =>
      new Promise<void>((resolve) => {
        http.close(() => resolve())
        http.closeAllConnections()
      })
  }

  function newAccessToken (): string {
    const token = `access-${randomBytes(12).toString('hex')}`
    tokens.access.add(token)
    return token
  }

  function movedEndpoints (server: ProviderEndpoints): ProviderEndpoints {
    const parts = {
      authorization_endpoint: 'authorize',
      token_endpoint: 'token',
      userinfo_endpoint: 'userinfo',
      jwks_uri: 'jwks',
      revocation_endpoint: 'revoke'
    } as const
    const moved = { ...server }
    for (const [part, role] of Object.entries(parts) as [keyof typeof parts, Role][]) {
      const address = server[part]
      if (address === undefined) continue
      roles.set(keyOf(new URL(address)), role)
      moved[part] = here(address)
    }
    return moved
  }
}

function keyOf ({ origin, pathname }: URL): string {
  return origin + pathname
}

/** Returns a page that submits itself (OAuth 2.0 Form Post Response Mode) in a format that `visit` reads. */
function formPage (action: string, params: URLSearchParams): string {
  const fields = [...params].map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`).join('')
  return `<!doctype html><form action="${action}" data-fields="${params.toString()}" method="post">${fields}</form><script>document.forms[0].submit()</script>`
}

function formDecode (text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '))
}
