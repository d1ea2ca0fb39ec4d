import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import Provider, { type Configuration } from 'oidc-provider'
import type { Test } from 'tap'

// creating an RSA key takes long: all providers of a test file share one
const signingKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })

/** A user of the provider. */
export interface Account {
  email?: string
  email_verified?: boolean
}

/** A real OpenID provider on a loopback port. */
export interface OidcProvider {
  issuer: string
  clientId: string
  clientSecret: string
  accounts: Record<string, Account>
  /** The user of the next login, and whether the user consents. */
  next: { account: string; consent: boolean }
}

/** Starts the provider. It requires PKCE, sends `iss`, and its pages need no input. */
export async function startOidcProvider (
  t: Test,
  redirectUris: string[],
  overrides: Configuration = {}
): Promise<OidcProvider> {
  const play: OidcProvider = {
    issuer: '',
    clientId: 'fastify-users',
    clientSecret: randomBytes(24).toString('base64url'),
    accounts: {
      arthur: { email: 'king.arthur@camelot.bt', email_verified: true },
      lancelot: { email: 'lancelot@camelot.bt', email_verified: false },
      merlin: {}
    },
    next: { account: 'arthur', consent: true }
  }
  const handle: { request?: (request: IncomingMessage, reply: ServerResponse) => void } = {}
  const http = createServer((request, reply) => {
    handle.request?.(request, reply)
  })
  await new Promise<void>((resolve) => {
    http.listen(0, '127.0.0.1', resolve)
  })
  play.issuer = `http://127.0.0.1:${(http.address() as AddressInfo).port}`

  const provider = new Provider(play.issuer, {
    clients: [
      {
        client_id: play.clientId,
        client_secret: play.clientSecret,
        redirect_uris: redirectUris,
        grant_types: ['authorization_code', 'refresh_token']
      }
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'] },
    scopes: ['openid', 'email', 'offline_access'],
    pkce: { required: () => true },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    jwks: {
      keys: [
        {
          ...signingKey,
          use: 'sig',
          kid: 'rsa'
        }
      ]
    },
    ttl: {
      AccessToken: 600,
      AuthorizationCode: 60,
      Grant: 600,
      IdToken: 600,
      Interaction: 600,
      Session: 600,
      RefreshToken: 600
    },
    features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, ...play.accounts[id] }) }),
    issueRefreshToken: async () => true,
    ...overrides
  })
  const answer = provider.callback()

  async function interact (request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const { prompt, params, session } = await provider.interactionDetails(request, reply)
    if (!play.next.consent) {
      return await provider.interactionFinished(request, reply, {
        error: 'access_denied',
        error_description: 'the user said no'
      })
    }
    if (prompt.name === 'login') {
      return await provider.interactionFinished(request, reply, { login: { accountId: play.next.account } })
    }
    const grant = new provider.Grant({ accountId: String(session?.accountId), clientId: String(params.client_id) })
    grant.addOIDCScope(String(params.scope))
    await provider.interactionFinished(
      request,
      reply,
      { consent: { grantId: await grant.save() } },
      { mergeWithLastSubmission: true }
    )
  }

  handle.request = (request, reply) => {
    if (request.url?.startsWith('/interaction/') !== true) return answer(request, reply)
    interact(request, reply).catch((error: unknown) => {
      reply.writeHead(500).end(String(error))
    })
  }
  t.teardown(
    () =>
      new Promise<void>((resolve) => {
        http.close(() => {
          resolve()
        })
        http.closeAllConnections()
      })
  )
  return play
}
