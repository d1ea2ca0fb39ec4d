import type { FastifyInstance } from 'fastify'
import type { Served } from './serve.js'

/** Credentials of the user to whom all requests belong, unless a case spreads its tokens over several users. */
export const CREDENTIALS = { email: 'king.arthur@camelot.bt', password: 'guinevere-1' }

/** The secret of all contenders. It is public and protects nothing. */
export const SECRET = 'k3JqVgXw5-8ZbN_r2TfYhUeLmCpSdAoQ7iB4W1xK9vE'

export const PATH = '/me'

/** The fields of a user in the reply of every contender. */
export interface PublicUser {
  id: string
  email: string
  is_active: boolean
  is_superuser: boolean
  is_verified: boolean
}

/** The reply schema of every contender that is a Fastify application. */
export const schema = {
  response: {
    200: {
      type: 'object',
      required: ['id', 'email', 'is_active', 'is_superuser', 'is_verified'],
      properties: {
        id: { type: 'string' },
        email: { type: 'string' },
        is_active: { type: 'boolean' },
        is_superuser: { type: 'boolean' },
        is_verified: { type: 'boolean' }
      }
    }
  }
}

/** Returns the server of a Fastify application. */
export function fastifyServer (app: FastifyInstance): Pick<Served, 'listen' | 'close'> {
  return {
    async listen () {
      await app.listen({ port: 0, host: '127.0.0.1' })
      return (app.server.address() as { port: number }).port
    },
    close: () => app.close()
  }
}

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

/** The body schema of hand-written logins and registrations. */
export const credentialsSchema = {
  type: 'object',
  required: ['email', 'password'],
  properties: { email: { type: 'string', maxLength: 320 }, password: { type: 'string', maxLength: 128 } }
}
