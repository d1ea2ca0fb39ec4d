import { readFileSync } from 'node:fs'
import Fastify, { type FastifyInstance } from 'fastify'
import users, { cookieTransport, databaseStrategy } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'
import oauth, { openidConnect } from 'fastify-users/oauth'
import { page, PAGE_POLICY, style } from './page.js'

export interface AppOptions {
  /** Path of the SQLite file. */
  file: string
  secret: string
  /** Origin at which browsers reach the application. */
  publicUrl: string
  provider: { issuer: string; clientId: string; clientSecret: string }
}

/** Builds an application whose users log in with a password or with an account at an OpenID provider. */
export async function buildApp ({
  file,
  secret,
  publicUrl,
  provider: { issuer, ...client }
}: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: 'warn' } })
  await app.register(users, {
    adapter: sqlite(file),
    secret,
    publicUrl,
    backends: [
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
    ],
    features: [oauth({
      providers: [
        openidConnect({
          name: 'camelot',
          title: 'Camelot ID',
          issuer,
          ...client,
          authorizationParameters: { prompt: 'login' }
        })
      ],
      redirects: [`${publicUrl}/`],
      insecureOrigins: [issuer] // the provider of this example runs on the same machine, without TLS
    })]
  })
  addPage(app)
  return app
}

function addPage (app: FastifyInstance): void {
  const script = readFileSync(new URL('./page-script.js', import.meta.url), 'utf8')
  app.addHook('onSend', async (_request, reply) => {
    reply.header('content-security-policy', PAGE_POLICY)
  })
  app.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
  app.get('/page.css', async (_request, reply) => reply.type('text/css; charset=utf-8').send(style))
  app.get('/page.js', async (_request, reply) => reply.type('text/javascript; charset=utf-8').send(script))
}
