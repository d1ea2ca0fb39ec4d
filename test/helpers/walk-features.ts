import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { apiKeys } from '../../lib/features/api-keys/index.js'
import { refreshTokens } from '../../lib/features/refresh-tokens/index.js'
import { roles } from '../../lib/features/roles/index.js'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type UserSchemas,
  type DatabaseAdapter,
  type Model,
  type UsersOptions
} from '../../lib/index.js'
import { modelsOf } from '../../lib/models.js'
import { ARTHUR, buildApp } from './build-app.js'

const options = (): Pick<UsersOptions, 'backends'> & Required<Pick<UsersOptions, 'features'>> => ({
  backends: [
    { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ revocable: true }) },
    { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
  ],
  features: [refreshTokens(), apiKeys({ scopes: ['read'] }), roles({ roles: { king: { scopes: ['read'] } } })]
})

/** Returns the models of an application with refresh tokens, API keys, roles and revocable JWTs. */
export const walkedModels = (schemas: UserSchemas): readonly Model[] => modelsOf(options(), { schemas, name: 'users' })

/** Uses each model of `walkedModels` through the routes: rows are created, found, changed and deleted. */
export async function walkFeatures (t: Test, adapter: DatabaseAdapter, schemas: UserSchemas): Promise<void> {
  const { app, create, login, send } = await buildApp(t, { ...options(), adapter, schemas }, (app) => {
    app.get('/read', { preHandler: authenticate({ scopes: ['read'] }) }, async ({ user }) => user?.email)
  })
  const user = await create()
  const first = (await login('jwt', ARTHUR)).json<{ access_token: string; refresh_token: string }>()
  const refresh = (token: string): Promise<LightMyRequestResponse> => send('POST', '/auth/jwt/refresh', { refresh_token: token })
  const second = (await refresh(first.refresh_token)).json<typeof first>()
  const headers = { authorization: `Bearer ${second.access_token}` }
  const read = async (as: Record<string, string>): Promise<number> => (await send('GET', '/read', undefined, as)).statusCode

  t.equal(await read(headers), 403, 'no role')
  const changed = await app.users.feature('roles').set(user.id, 'king' as never)
  t.equal((changed as { role?: unknown }).role, 'king')
  t.equal(await read(headers), 200, 'the role has the scope')

  const made = await send('POST', '/users/me/api-keys', { name: 'job', scopes: ['read'] }, headers)
  const { id, key } = made.json<{ id: string; key: string }>()
  t.equal(await read({ 'x-api-key': key }), 200, 'an API key')
  await app.users.settled()
  const [listed] = (await send('GET', '/users/me/api-keys', undefined, headers)).json<Record<string, unknown>[]>()
  t.match(listed, { id, name: 'job', scopes: ['read'], last_used_at: String })
  t.equal((await send('DELETE', `/users/me/api-keys/${id}`, undefined, headers)).statusCode, 204)
  t.equal(await read({ 'x-api-key': key }), 401, 'a revoked key')

  t.equal((await send('POST', '/auth/jwt/logout', undefined, headers)).statusCode, 204)
  t.equal(await read(headers), 401, 'the access token has ended')
  t.equal((await refresh(second.refresh_token)).statusCode, 400, 'and the refresh token')
  t.ok((await login('jwt', ARTHUR)).json<typeof first>().refresh_token)
  await app.users.delete(user)
}
