import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import Provider, { type Configuration } from 'oidc-provider'
import { answerInteraction, people } from './interaction.js'

export interface ProviderOptions {
  port: number
  clientId: string
  clientSecret: string
  /** Redirect URIs that the provider accepts. */
  redirectUris: string[]
}

/** Starts Camelot ID, an OpenID provider on this machine, so that the example needs no account at another provider. */
export async function startProvider ({
  port,
  clientId,
  clientSecret,
  redirectUris
}: ProviderOptions): Promise<{ issuer: string; server: Server }> {
  const server = createServer()
  await once(server.listen(port, '127.0.0.1'), 'listening')
  const address = server.address()
  const issuer = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : port}`
  const provider = new Provider(
    issuer,
    configuration({ client_id: clientId, client_secret: clientSecret, redirect_uris: redirectUris })
  )
  const answer = provider.callback()
  server.on('request', (request, response) => {
    if (request.url?.startsWith('/interaction/') === true) {
      answerInteraction(provider, request, response).catch(() => response.writeHead(400).end('Start again.'))
    } else answer(request, response)
  })
  return { issuer, server }
}

function configuration (client: { client_id: string; client_secret: string; redirect_uris: string[] }): Configuration {
  return {
    clients: [client],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    findAccount: (_context, id) => {
      const person = people.find(({ sub }) => sub === id)
      return person && { accountId: id, claims: () => ({ ...person }) }
    },
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    features: { devInteractions: { enabled: false } },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    // seconds
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
    // choosing an account is also the consent, so the provider shows no second page
    async loadExistingGrant ({
      oidc: {
        client,
        session,
        provider: { Grant }
      }
    }) {
      if (client === undefined || session?.accountId === undefined) return undefined
      const grant = new Grant({ clientId: client.clientId, accountId: session.accountId })
      grant.addOIDCScope('openid email profile')
      await grant.save()
      return grant
    }
  }
}
