import swagger from '@fastify/swagger'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { roles, type RoleDefinitions, type RolesOptions } from '../lib/features/roles/index.js'
import { defineFeature, scopesFlag } from '../lib/feature/index.js'
import users, { authenticate, usersOpenapi, userSchemas, type UserId, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { validateDocument, type ApiDocument } from './helpers/api-document.js'
import { ARTHUR, assertValidationError, backends, buildApp, fastPasswords, SECRET, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'

const LANCELOT = 'lancelot@camelot.bt'
const appRoles = { admin: { scopes: ['*'] }, editor: { scopes: ['posts:read', 'posts:write'] }, reader: { scopes: ['posts:read'] } }

function addRoutes (app: FastifyInstance): void {
  app.get('/me', { preHandler: authenticate }, async ({ user }) => ({ role: user?.role }))
  app.get('/admin', { preHandler: authenticate({ roles: ['admin'] }) }, async () => 'admin')
  app.get('/staff', { preHandler: authenticate({ roles: ['admin', 'editor'] }) }, async () => 'staff')
  app.get('/posts', { preHandler: authenticate({ scopes: ['posts:read'] }) }, async () => 'posts')
  app.post('/posts', { preHandler: authenticate({ scopes: ['posts:read', 'posts:write'] }) }, async () => 'posts')
  app.get('/optional', { preHandler: authenticate({ optional: true, scopes: ['posts:read'] }) }, async ({ user }) => ({
    email: user?.email ?? null
  }))
}

interface RolesApp extends TestApp {
  arthur: { id: UserId; headers: { authorization: string } }
  lancelot: { id: UserId; headers: { authorization: string }; cookie: { cookie: string } }
  setRole(role: unknown, headers?: Record<string, string>, id?: unknown): Promise<LightMyRequestResponse>
  /** Returns the statuses of the guarded routes. */
  access(headers: Record<string, string>): Promise<Record<string, number>>
}

/** Starts an application with Arthur, a superuser, and Lancelot. */
async function startApp (
  t: Test,
  options: Partial<UsersOptions> = {},
  rolesOptions: Partial<RolesOptions> = {}
): Promise<RolesApp> {
  const features = [roles<RoleDefinitions>({ roles: appRoles, ...rolesOptions })]
  const built = await buildApp(t, { features, ...options }, addRoutes)
  const { create, bearer, cookie, send } = built
  const ids = [(await create({ is_superuser: true })).id, (await create({ email: LANCELOT })).id] as const
  const arthur = { id: ids[0], headers: await bearer(ARTHUR) }
  const lancelot = { id: ids[1], headers: await bearer(LANCELOT), cookie: await cookie(LANCELOT) }
  return {
    ...built,
    arthur,
    lancelot,
    setRole: (role, headers = arthur.headers, id = lancelot.id) =>
      send('PUT', `/users/${String(id)}/role`, { role }, headers),
    async access (headers) {
      const statuses: Record<string, number> = {}
      for (const [method, url] of [
        ['GET', '/admin'],
        ['GET', '/staff'],
        ['GET', '/posts'],
        ['POST', '/posts']
      ] as const) {
        const reply = await send(method, url, method === 'POST' ? {} : undefined, headers)
        statuses[`${method} ${url}`] = reply.statusCode
      }
      return statuses
    }
  }
}

/** Checks the status and the code of an error reply, of a route of the plugin or of the application. */
function checkCode (t: Test, reply: LightMyRequestResponse, status: number, word: string): void {
  t.same([reply.statusCode, reply.json<{ code: string }>().code], [status, `FST_USERS_${word}`])
}

const ACCESS: Record<string, readonly [number, number, number, number]> = {
  none: [403, 403, 403, 403],
  reader: [403, 403, 200, 403],
  editor: [403, 200, 200, 200],
  admin: [200, 200, 200, 200]
}

for (const { name, options, open } of everyStore) {
  t.test(`${name}: a superuser gives roles, which hold from the next request on in every process`, options, async (t) => {
    const connect = await open(t)
    const first = await startApp(t, { adapter: connect() })
    const second = await buildApp(t, { adapter: connect(), features: [roles({ roles: appRoles })] }, addRoutes)
    const { lancelot, setRole, access } = first
    for (const role of ['reader', 'editor', 'admin', null] as const) {
      const reply = await setRole(role)
      t.match([reply.statusCode, reply.json()], [200, { id: lancelot.id, email: LANCELOT, role }])
      for (const headers of [lancelot.headers, lancelot.cookie]) {
        t.same(Object.values(await access(headers)), ACCESS[role ?? 'none'], `${String(role)}`)
        for (const { send } of [first, second]) {
          t.same((await send('GET', '/me', undefined, headers)).json(), { role })
          t.match((await send('GET', '/users/me', undefined, headers)).json(), { role })
        }
      }
      t.match(await second.app.users.get(lancelot.id), { role })
    }
  })

  t.test(`${name}: request bodies of other routes do not change the role`, options, async (t) => {
    const { send, register, lancelot, arthur, events, app } = await startApp(t, { adapter: (await open(t))() })
    const fresh = await register({ email: 'merlin@camelot.bt', role: 'admin' })
    t.equal(fresh.role, null)
    for (const [url, headers] of [
      ['/users/me', lancelot.headers],
      [`/users/${String(lancelot.id)}`, arthur.headers]
    ] as const) {
      const reply = await send('PATCH', url, { role: 'admin' }, headers)
      t.match([reply.statusCode, reply.json()], [200, { role: null }], url)
    }
    await app.users.update(lancelot.id, { role: 'admin' } as object).catch(() => {})
    t.match(await app.users.get(lancelot.id), { role: null })
    t.notOk(events.some((event) => event.name === 'onAfterSetRole'))
  })
}

t.test('a guarded request with a role is one read of the store', async (t) => {
  const watched = watchedAdapter(memory())
  const { send, lancelot, setRole } = await startApp(t, { adapter: watched.adapter })
  await setRole('editor')
  for (const headers of [lancelot.headers, lancelot.cookie]) {
    watched.watch()
    t.equal((await send('POST', '/posts', {}, headers)).statusCode, 200)
    t.equal(watched.calls, 1)
  }
})

t.test('only superusers give roles, and never to themselves', async (t) => {
  const { setRole, arthur, lancelot, send, app, events } = await startApp(t)
  checkCode(t, await setRole('admin', arthur.headers, arthur.id), 403, 'OWN_ROLE')
  checkCode(t, await setRole('admin', lancelot.headers), 403, 'FORBIDDEN')
  checkCode(t, await setRole('admin', lancelot.headers, arthur.id), 403, 'FORBIDDEN')
  checkCode(t, await setRole('admin', {}), 401, 'UNAUTHENTICATED')
  const crossSite = await send('PUT', `/users/${String(lancelot.id)}/role`, { role: 'admin' }, {
    ...lancelot.cookie, origin: 'https://mordred.example'
  })
  checkCode(t, crossSite, 403, 'CROSS_SITE_REQUEST')
  // the role "admin" does not make a superuser
  await app.users.feature('roles').set(lancelot.id, 'admin')
  checkCode(t, await setRole('reader', lancelot.headers, arthur.id), 403, 'FORBIDDEN')
  t.match(await app.users.get(arthur.id), { role: null })
  t.equal(events.filter(({ name }) => name === 'onAfterSetRole').length, 1)
})

t.test('hostile ids and roles are refused, and nothing changes', async (t) => {
  const { setRole, send, arthur, lancelot, app } = await startApp(t)
  for (const id of ['me', '../me', '%2e%2e', '1 or 1=1', '00000000-0000-4000-8000-000000000000', 'x'.repeat(90), '%00', '__proto__']) {
    t.equal((await setRole('admin', arthur.headers, id)).statusCode, 404, id)
  }
  for (const role of ['', 'Admin', 'admin ', 'superuser', '__proto__', 'constructor', 'toString', '*', 0, true, {}, ['admin'], { $ne: null }]) {
    assertValidationError(t, await setRole(role), ['/role'], `400 for ${JSON.stringify(role)}`)
  }
  const url = `/users/${String(lancelot.id)}/role`
  assertValidationError(t, await send('PUT', url, {}, arthur.headers), ['/role'])
  for (const body of ['null', '[]', '"admin"', '{"role":"admin"', '{"__proto__":{"role":"admin"}}']) {
    const reply = await app.inject({ method: 'PUT', url, headers: { ...arthur.headers, 'content-type': 'application/json' }, payload: body })
    t.equal(reply.statusCode, 400, body)
  }
  t.match(await app.users.get(lancelot.id), { role: null })
})

t.test('a missing scope replies 403 with the challenge of RFC 6750', async (t) => {
  const { send, lancelot, setRole } = await startApp(t)
  await setRole('reader')
  const reply = await send('POST', '/posts', {}, lancelot.headers)
  checkCode(t, reply, 403, 'INSUFFICIENT_SCOPE')
  t.equal(reply.headers['www-authenticate'], 'Bearer error="insufficient_scope", scope="posts:read posts:write"')
  const role = await send('GET', '/admin', undefined, lancelot.headers)
  checkCode(t, role, 403, 'FORBIDDEN')
  t.same((await send('GET', '/optional', undefined, lancelot.headers)).json(), { email: LANCELOT })
  await setRole(null)
  t.same((await send('GET', '/optional', undefined, lancelot.headers)).json(), { email: null })

  const compatible = await startApp(t, { compatibility: 'fastapi-users' })
  const refused = await compatible.send('POST', '/posts', {}, compatible.lancelot.headers)
  t.equal(refused.statusCode, 403)
  t.equal(refused.headers['www-authenticate'], undefined)
})

t.test('the scopes of several features all limit a request', async (t) => {
  const granted: Record<string, string[] | null> = {}
  const keys = defineFeature({
    name: 'keys',
    guardFlags: { scopes: scopesFlag },
    setup: () => ({ scopes: async (_authentication, { headers }) => granted[String(headers['x-key'])] ?? null })
  })
  const { send, lancelot, setRole } = await startApp(t, { features: [roles({ roles: appRoles }), keys] })
  await setRole('editor')
  granted['narrow'] = ['posts:read']
  granted['all'] = ['*']
  granted['none'] = []
  for (const [key, read, write] of [
    ['unlimited', 200, 200],
    ['all', 200, 200],
    ['narrow', 200, 403],
    ['none', 403, 403]
  ] as const) {
    const headers = { ...lancelot.headers, 'x-key': key }
    t.equal((await send('GET', '/posts', undefined, headers)).statusCode, read, key)
    t.equal((await send('POST', '/posts', {}, headers)).statusCode, write, key)
  }
  await setRole('reader')
  t.equal((await send('POST', '/posts', {}, { ...lancelot.headers, 'x-key': 'all' })).statusCode, 403, 'a role narrows a key')
})

t.test('users without a role have the default role, and a role that no longer exists grants nothing', async (t) => {
  const adapter = memory()
  const before = await startApp(t, { adapter })
  await before.setRole('editor')
  const { admin, reader } = appRoles
  const { app, send } = await buildApp(
    t,
    { adapter, features: [roles({ roles: { admin, reader }, defaultRole: 'reader' })] },
    (app) => {
      app.get('/posts', { preHandler: authenticate({ scopes: ['posts:read'] }) }, async ({ user }) => ({ role: user?.role }))
    }
  )
  const lost = await send('GET', '/posts', undefined, before.lancelot.headers)
  checkCode(t, lost, 403, 'INSUFFICIENT_SCOPE')
  t.match(await app.users.get(before.lancelot.id), { role: null })
  t.match(await app.users.get(before.arthur.id), { role: 'reader' })
  t.same((await send('GET', '/posts', undefined, before.arthur.headers)).json(), { role: 'reader' })
  await app.users.feature('roles').set(before.lancelot.id, null)
  t.same((await send('GET', '/posts', undefined, before.lancelot.headers)).json(), { role: 'reader' })
})

t.test('a change of a role is an audit event', async (t) => {
  const audited: unknown[] = []
  const { app, setRole, lancelot, arthur } = await startApp(t, {
    hooks: {
      onAudit ({ event, actor_id: actor, target_id: user, details }) {
        if (event === 'user.update') audited.push({ actor, user, details })
      }
    }
  })
  await setRole('editor')
  await app.users.settled()
  t.same(audited, [
    { actor: String(arthur.id), user: String(lancelot.id), details: { fields: 'role', role: 'editor' } }
  ])
})

t.test('the API sets roles, returns scopes and fires onAfterSetRole', async (t) => {
  const { app, lancelot, setRole, events } = await startApp(t)
  const api = app.users.feature('roles')
  const changed = await api.set(lancelot.id, 'editor')
  t.same([changed.role, api.scopesOf(changed)], ['editor', ['posts:read', 'posts:write']])
  t.same(api.scopesOf(await api.set(changed, null)), [])
  await setRole('admin')
  const fired = events.flatMap((event) => (event.name === 'onAfterSetRole' ? [[event.previous, event.user.role]] : []))
  t.same(fired, [[null, 'editor'], ['editor', null], [null, 'admin']])
  await t.rejects(api.set(lancelot.id, 'king'), { code: 'FST_USERS_UNKNOWN_ROLE', statusCode: 400 })
  await t.rejects(api.set('00000000-0000-4000-8000-000000000000' as UserId, 'admin'), { code: 'FST_USERS_NOT_FOUND' })
})

t.test('if the store fails, the reply is 503 and no request passes', async (t) => {
  const watched = watchedAdapter(memory())
  const { setRole, send, lancelot } = await startApp(t, { adapter: watched.adapter })
  await setRole('reader')
  const failing = (method: string) => watched.watch((call) => {
    if (call.method === method) throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
    return call.proceed()
  })
  failing('update')
  checkCode(t, await setRole('admin'), 503, 'STORE_UNAVAILABLE')
  failing('findOne')
  checkCode(t, await send('GET', '/posts', undefined, lancelot.headers), 503, 'STORE_UNAVAILABLE')
  watched.watch()
  t.same((await send('GET', '/me', undefined, lancelot.headers)).json(), { role: 'reader' })
})

t.test('with the user cache, a refusal is checked against the store', async (t) => {
  const adapter = memory()
  const { send, lancelot, setRole } = await startApp(t, { adapter, cache: { maxAgeMs: 60_000 } })
  t.equal((await send('GET', '/posts', undefined, lancelot.headers)).statusCode, 403)
  const other = await buildApp(t, { adapter, features: [roles({ roles: appRoles })] }, () => {})
  await other.app.users.feature('roles').set(lancelot.id, 'reader')
  t.equal((await send('GET', '/posts', undefined, lancelot.headers)).statusCode, 200, 'another process gave the role')
  await setRole(null)
  t.equal((await send('GET', '/posts', undefined, lancelot.headers)).statusCode, 403, 'this process took it away')
})

t.test('invalid options, flags and fields refuse to start', async (t) => {
  const wrong: [name: string, options: object][] = [
    ['no roles', {}],
    ['an empty list', { roles: {} }],
    ['a list', { roles: [] }],
    ['null', { roles: null }],
    ['an upper-case name', { roles: { Admin: { scopes: [] } } }],
    ['a long name', { roles: { ['a'.repeat(33)]: { scopes: [] } } }],
    ['a role without scopes', { roles: { admin: {} } }],
    ['scopes that are text', { roles: { admin: { scopes: '*' } } }],
    ['an empty scope', { roles: { admin: { scopes: [''] } } }],
    ['a scope with a space', { roles: { admin: { scopes: ['a b'] } } }],
    ['a scope with a quote', { roles: { admin: { scopes: ['a"'] } } }],
    ['a misspelled key of a role', { roles: { admin: { scopes: [], scope: [] } } }],
    ['an unknown default role', { roles: appRoles, defaultRole: 'king' }],
    ['a default role that every object has', { roles: appRoles, defaultRole: 'toString' }],
    ['a wrong route', { roles: appRoles, route: { prefix: 'users' } }],
    ['a misspelled option', { roles: appRoles, defaultrole: 'reader' }]
  ]
  for (const [name, options] of wrong) {
    await t.rejects(
      async () => await buildApp(t, { features: [roles(options as RolesOptions)] }, () => {}),
      { code: /^FST_USERS_(INVALID|UNKNOWN)_OPTION$/ },
      name
    )
  }
  const schemas = userSchemas({ role: Type.String({ maxLength: 20 }) })
  await t.rejects(buildApp(t, { schemas, features: [roles({ roles: appRoles })] }, () => {}), {
    code: 'FST_USERS_INVALID_OPTION'
  }, 'a custom field with this name')
  for (const flags of [{ roles: [] }, { roles: ['king'] }, { roles: 'admin' }, { scopes: [] }, { scopes: ['*'] }, { scopes: ['a b'] }, { scopes: 'a' }]) {
    await t.rejects(
      async () => await buildApp(t, { features: [roles({ roles: appRoles })] }, (app) => {
        app.get('/x', { preHandler: authenticate(flags as object) }, async () => 1)
      }),
      { code: 'FST_USERS_GUARD_MISUSED' },
      JSON.stringify(flags)
    )
  }
})

t.test('the route has a prefix of its own, or is off', async (t) => {
  const moved = await startApp(t, {}, { route: { prefix: '/staff' } })
  const url = `/staff/${String(moved.lancelot.id)}/role`
  t.equal((await moved.send('PUT', url, { role: 'reader' }, moved.arthur.headers)).statusCode, 200)
  t.equal((await moved.setRole('reader')).statusCode, 404)
  const off = await startApp(t, {}, { route: false })
  t.equal((await off.setRole('reader')).statusCode, 404)
})

t.test('the API document has the role, the route and the scopes', async (t) => {
  const options: UsersOptions = {
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    passwords: fastPasswords,
    openapiSecurity: true,
    features: [roles({ roles: appRoles })]
  }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, usersOpenapi(options))
  await app.register(users, options)
  addRoutes(app)
  await app.ready()
  const document = app.swagger() as unknown as ApiDocument
  t.same(await validateDocument(document), { seriousme: null, readme: null })
  const { paths, components } = document as unknown as {
    paths: Record<string, Record<string, { security: object[]; responses: object; operationId: string }>>
    components: { schemas: { UserRead: { properties: { role: object } } } }
  }
  t.match(components.schemas.UserRead.properties.role, {
    anyOf: [{ type: 'string', enum: ['admin', 'editor', 'reader'] }, { type: 'null' }]
  })
  t.same(Object.keys(paths['/users/{id}/role']?.['put']?.responses ?? {}), ['200', '400', '401', '403', '404', '413', '415', '500', '503'])
  t.match(paths['/posts']?.['post']?.security, [{ jwt: ['posts:read', 'posts:write'] }])
})
