import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { WireFormat } from '../contracts/wire-format.js'
import type { Argon2PasswordsOptions } from '../passwords/index.js'
import { fastapiErrors } from './fastapi-error-schemas.js'

const ARGON2 = { memoryCost: 65_536, timeCost: 3, parallelism: 4 } // defaults of pwdlib

/** The format of FastAPI Users 15. */
export const fastapiFormat: WireFormat = {
  errors: fastapiErrors,
  emptyReplies: {
    send: (reply, statusCode) => reply.code(statusCode).type('application/json').send('null'),
    schema: (description) => ({
      'x-response-description': description,
      content: { 'application/json': { schema: Type.Null() } }
    })
  },
  operations: {
    describe: ({ upstream }) => ({ operationId: upstream, summary: titleOf(upstream) }),
    complete: completeOperationIds
  },
  cookies: { name: 'fastapiusersauth', duplicates: 'last' },
  storedTokens: { areDigests: false, toStored: (token) => token },
  signedTokens: {
    audienceOf: (purpose) => `fastapi-users:${purpose}`,
    issuedAt: false,
    requireStamp: false,
    fingerprint: 'argon2'
  },
  wwwAuthenticate: false,
  reportsLogout: false,
  normalizePasswords: false,
  endlessTokens: true
}

/**
 * Password hashing of FastAPI Users: argon2id with the defaults of pwdlib, and for hashes from before version 13 bcrypt
 * with the defaults of passlib.
 */
export const FASTAPI_USERS_PASSWORDS: Argon2PasswordsOptions = {
  ...ARGON2,
  storedFormats: [
    { algorithm: 'argon2id', ...ARGON2 },
    { algorithm: 'bcrypt', cost: 12 }
  ]
}

/** Completes operation ids as FastAPI does, from name, path and method, so that generated clients keep their names. */
function completeOperationIds (scope: FastifyInstance): void {
  scope.addHook('onRoute', (route) => {
    const { operationId } = route.schema as { operationId?: string }
    const path = route.url.replace(/:(\w+)/g, '{$1}')
    route.schema = {
      ...route.schema,
      ...{ operationId: `${operationId}${path}`.replace(/\W/g, '_') + `_${String(route.method).toLowerCase()}` }
    }
  })
}

/** Returns the summary as FastAPI does: `users:patch_current_user` becomes `Users:Patch Current User`. */
function titleOf (upstream: string): string {
  return upstream
    .replaceAll('_', ' ')
    .toLowerCase()
    .replace(/(^|[^a-z])([a-z])/g, (_match, before: string, letter: string) => before + letter.toUpperCase())
}
