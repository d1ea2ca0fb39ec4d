import Fastify, { type FastifyInstance } from 'fastify'
import users, {
  authenticate,
  bearerTransport,
  cookieTransport,
  currentUser,
  type BackendOptions,
  type DatabaseAdapter,
  type StrategyDefinition,
  type User
} from 'fastify-users'
import { sessions } from 'fastify-users/sessions'
import { bearer, CREDENTIALS, fastifyServer, PATH, schema, SECRET } from './reply.js'
import type { LoadRequest, Served, Settings } from './serve.js'

/** The parts from which an application with this package is built. */
export interface Parts {
  adapter(): DatabaseAdapter
  strategy(number: number): StrategyDefinition
  /** Adds users to the tables, and returns the e-mails of those who get a token. */
  fill?(settings: Settings): Promise<readonly string[]>
  /** Ends the connections of the store. */
  end?(): Promise<unknown>
}

/** Builds an application with a guarded route, and creates its users and tokens. */
export async function ours (settings: Settings, parts: Parts): Promise<Served> {
  const { adapter, strategy, end } = parts
  const emails = await prepare(settings, parts)
  const app = Fastify()
  if (end !== undefined) app.addHook('onClose', end)
  await register(app, settings, adapter(), strategy)
  app.get(PATH, { preHandler: authenticate, schema }, async (request) => currentUser(request))
  await app.ready()
  const people: User[] = []
  for (const email of emails) people.push(await findOrCreate(app, email))
  const requests: LoadRequest[] = []
  while (requests.length < settings.tokens) {
    const user = people[requests.length % people.length]
    if (user === undefined) throw new Error('no user')
    const token = await logIn(app, user, `b${settings.backends}`)
    const headers = settings.transport === 'cookie' ? { cookie: `session=${token}` } : bearer(token)
    requests.push({ method: 'GET', path: PATH, headers })
  }
  return { ...fastifyServer(app), requests }
}

/** Creates tables and rows with another application, so that the measured one finds them when it starts. */
async function prepare (settings: Settings, { adapter, strategy, fill }: Parts): Promise<readonly string[]> {
  if (fill === undefined) return [CREDENTIALS.email]
  const app = Fastify()
  await register(app, settings, adapter(), strategy)
  await app.ready()
  await findOrCreate(app, CREDENTIALS.email)
  const emails = await fill(settings)
  await app.close()
  return settings.spread ? emails : [CREDENTIALS.email]
}

async function register (
  app: FastifyInstance,
  { backends, transport, cached, listed }: Settings,
  adapter: DatabaseAdapter,
  strategy: Parts['strategy']
): Promise<void> {
  const cache = cached ? { cache: { maxAgeMs: 1000, max: 10_000 } } : {}
  await app.register(users, {
    adapter,
    limits: false,
    secret: SECRET,
    features: listed ? [sessions({ idleSeconds: 600 })] : [],
    backends: Array.from(
      { length: backends },
      (_, index): BackendOptions => ({
        name: `b${index + 1}`,
        transport: transport === 'cookie' ? cookieTransport({ name: 'session' }) : bearerTransport(),
        strategy: strategy(index + 1)
      })
    ),
    ...cache
  })
}

async function findOrCreate (app: FastifyInstance, email: string): Promise<User> {
  return (await app.users.getByEmail(email)) ?? (await app.users.create({ email, password: CREDENTIALS.password }))
}

async function logIn (app: FastifyInstance, user: User, backend: string): Promise<string> {
  const { issued } = await app.users.login(user, { backend })
  if (issued === undefined) throw new Error('the login needs a further step')
  return issued.token
}
