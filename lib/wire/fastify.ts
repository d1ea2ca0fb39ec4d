import { Type } from '@sinclair/typebox'
import type { WireFormat } from '../contracts/wire-format.js'
import { digestToken } from '../tokens/index.js'
import { fastifyErrors } from './fastify-errors.js'

/** Returns the plugin's own format for the registration with this name. */
export function fastifyFormat (name: string): WireFormat {
  return {
    errors: fastifyErrors,
    emptyReplies: {
      send: (reply, statusCode) => reply.code(statusCode).send(),
      schema: (description) => Type.Null({ description })
    },
    operations: {
      describe: ({ name, operation, summary }) => ({
        operationId: name === 'users' ? operation : `${name}.${operation}`,
        summary
      }),
      complete: () => undefined
    },
    cookies: { name: null, duplicates: 'refuse' },
    storedTokens: { areDigests: true, toStored: digestToken },
    signedTokens: {
      audienceOf: (purpose) => `${name}:${purpose}`,
      issuedAt: true,
      requireStamp: true,
      fingerprint: 'keyed'
    },
    wwwAuthenticate: true,
    reportsLogout: true,
    normalizePasswords: true,
    endlessTokens: false
  }
}
