import { createHash, randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import users, { cookieTransport, databaseStrategy, type DatabaseAdapter, type Model } from 'fastify-users'

/** A filled store that can explain the statements of its adapter. */
export interface Site {
  readonly rows: number
  readonly adapter: DatabaseAdapter
  readonly user: Model
  readonly token: Model
  /** Returns the plan of the only statement that a read sends. */
  explain(read: () => unknown): Promise<readonly string[]>
  close(): Promise<void>
}

/** A string with the length of an Argon2id hash with the default parameters. */
export const HASH = `$argon2id$v=19$m=19456,t=2,p=1$${'c'.repeat(22)}$${'h'.repeat(43)}`

export const emailOf = (n: number): string => `User.${n}@camelot.bt`

/** Returns a string with the length of a stored token digest. */
export const tokenOf = (n: number): string => createHash('sha256').update(String(n)).digest('base64url')

/** Creates the tables by starting an application. Returns the models of users and of tokens. */
export async function makeTables (adapter: DatabaseAdapter): Promise<{ user: Model; token: Model }> {
  const models = new Map<string, Model>()
  const define = adapter.define.bind(adapter)
  adapter.define = (model) => {
    models.set(model.name, model)
    define(model)
  }
  const app = Fastify()
  await app.register(users, {
    adapter,
    secret: randomBytes(32).toString('base64url'),
    backends: [
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
    ]
  })
  await app.ready()
  const [user, token] = [models.get('user'), models.get('accesstoken')]
  if (user === undefined || token === undefined) throw new Error('a model is missing')
  return { user, token }
}
