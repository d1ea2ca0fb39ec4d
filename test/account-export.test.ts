import t from 'tap'
import { accountModel } from '../lib/features/oauth/account-model.js'
import { apiKeys } from '../lib/features/api-keys/index.js'
import { audit } from '../lib/features/audit/index.js'
import { google, oauth } from '../lib/features/oauth/index.js'
import { refreshTokens } from '../lib/features/refresh-tokens/index.js'
import { roles } from '../lib/features/roles/index.js'
import { memory } from '../lib/entries/memory.js'
import type { DatabaseAdapter, Feature, Model, UserId } from '../lib/index.js'
import { ARTHUR, backends, buildApp } from './helpers/build-app.js'

const MERLIN = 'merlin@camelot.bt'
const publicUrl = 'https://camelot.bt'

/** Returns all features that export data, and one that records the models of the registration. */
function exportingFeatures (): Feature[] {
  return [
    oauth({ providers: [google({ clientId: 'a', clientSecret: 'b' })] }),
    refreshTokens({ backends: ['jwt'] }),
    apiKeys({ scopes: ['read'] }),
    roles({ roles: { editor: { scopes: ['posts:write'] } } }),
    audit(),
    { name: 'nothing', setup: () => ({ exportData: () => ({}) }) }
  ]
}

/** Returns the texts in the secret columns of all tables. */
async function storedSecrets (adapter: DatabaseAdapter): Promise<string[]> {
  const columns = ['hashed_password', 'session_stamp', 'token', 'digest', 'seed', 'stamp', 'access_token', 'refresh_token']
  const names = ['user', 'accesstoken', 'refresh_token', 'api_key', 'oauth_account']
  const tables = await Promise.all(names.map(async (name) => {
    const model: Model = { name, table: name, fields: {} }
    return await adapter.findMany(model, {}, { limit: 1000 })
  }))
  return tables.flat().flatMap((row) => columns.map((column) => row[column])).filter((value) => typeof value === 'string')
}

t.test('the export of an account has the profile, sessions and data of all features, and no secrets', async (t) => {
  const adapter = memory()
  const { app, create, cookie, login, send } = await buildApp(t, { adapter, publicUrl, features: exportingFeatures() })
  const user = await create()
  const merlin = await create({ email: MERLIN, is_superuser: true })
  const headers = await cookie(ARTHUR)
  const { access_token: access, refresh_token: refresh } = (await login('jwt', ARTHUR)).json<Record<string, string>>()
  const body = { name: 'backup', scopes: ['read'] }
  const { key } = (await send('POST', '/users/me/api-keys', body, headers)).json<{ key: string }>()
  await app.users.feature('roles').set(user, 'editor')
  await adapter.create(accountModel({ kind: 'uuid' } as never), {
    user_id: user.id,
    oauth_name: 'google',
    access_token: 'provider-token',
    refresh_token: 'provider-refresh-token',
    account_id: '7',
    account_email: ARTHUR
  })
  const chief = { authorization: `Bearer ${(await login('jwt', MERLIN)).json<{ access_token: string }>().access_token}` }
  const admin = { ...chief, 'user-agent': 'crystal ball' }
  t.equal((await send('PUT', `/users/${String(user.id)}/role`, { role: null }, admin)).statusCode, 200)

  const data = await app.users.exportData(user.id as UserId)
  t.match(data, {
    exported_at: /^\d{4}-/,
    user: { email: ARTHUR, role: null },
    sessions: [{ methods: ['password'] }, { methods: ['password'] }],
    features: {
      oauth: { accounts: [{ oauth_name: 'google', account_id: '7', account_email: ARTHUR }] },
      'refresh-tokens': { sessions: [{ backend: 'jwt', expires_at: /^\d{4}-/ }] },
      'api-keys': { keys: [{ name: 'backup', scopes: ['read'] }] },
      roles: { role: null, scopes: [] }
    }
  })
  t.equal(data.features['nothing'], undefined, 'a feature without data is absent')
  const { events } = data.features['audit'] as { events: { event: string, user_agent: string | null }[] }
  t.ok(events.some(({ event }) => event === 'login'))
  const text = JSON.stringify(data)
  t.notMatch(text, /crystal ball/, 'the client of a superuser is not exported')
  t.notMatch(text, new RegExp(String(merlin.id)), 'ids of other users are not exported')
  const secrets = [...(await storedSecrets(adapter)), access, refresh, key, headers.cookie.split('=')[1]].map(String)
  t.ok(secrets.length > 10)
  for (const secret of secrets) t.notOk(text.includes(secret), secret)
})

t.test('an export needs an existing user, and exportData of a feature must be a function', async (t) => {
  const { app, create } = await buildApp(t)
  const user = await create()
  t.same(Object.keys((await app.users.exportData(user)).features), [])
  await app.users.delete(user)
  await t.rejects(app.users.exportData(user), { code: 'FST_USERS_NOT_FOUND' })
  const broken = { name: 'broken', setup: () => ({ exportData: true }) } as unknown as Feature
  await t.rejects(buildApp(t, { backends: backends(), features: [broken] }), { code: 'FST_USERS_INVALID_OPTION' })
})
