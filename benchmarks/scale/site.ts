import { createHash, randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import users, { cookieTransport, databaseStrategy, type DatabaseAdapter, type Model } from 'fastify-users'

/** A store of some size, and what its database says of the statements that the adapter sends. */
export interface Site {
  readonly rows: number
  readonly adapter: DatabaseAdapter
  readonly user: Model
  readonly token: Model
  /** The plan of the one statement that a read sends. */
  explain(read: () => unknown): Promise<readonly string[]>
  close(): Promise<void>
}

/** An Argon2id hash with the default parameters has as many characters. */
export const HASH = `$argon2id$v=19$m=19456,t=2,p=1$${'c'.repeat(22)}$${'h'.repeat(43)}`

export const emailOf = (n: number): string => `User.${n}@camelot.bt`

/** As long as the stored digest of a token. */
export const tokenOf = (n: number): string => createHash('sha256').update(String(n)).digest('base64url')

/** Lets an application make its tables with an adapter. Gives the models of users and of their tokens. */
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
