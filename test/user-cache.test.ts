import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  defineStrategy,
  jwtStrategy,
  userSchemas,
  type DatabaseAdapter,
  type Feature,
  type FeatureKit,
  type Where,
  type UserCacheOptions,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { addRoutes, ARTHUR, backends, buildApp, PASSWORD, storedModel, type TestApp } from './helpers/build-app.js'
import { createBus, isGreeting, type CacheBus } from './helpers/cache-channel.js'
import { everyStore } from './helpers/every-store.js'
import { watchStore, type WatchedStore } from './helpers/watched-store.js'

const MERLIN = 'merlin@camelot.bt'
const NEW_PASSWORD = 'excalibur-2'
const MAX_AGE_SECONDS = 5

type Headers = Record<string, string>
interface CachedApp extends TestApp, WatchedStore {
  status(headers: Headers, url?: string): Promise<number>
  /** Sends a request and returns its status and the number of reads that it caused. */
  probe(headers: Headers, url?: string): Promise<[status: number, reads: number]>
}

async function buildCached (
  t: Test,
  cache: UserCacheOptions | null = {},
  { adapter = memory(), ...options }: Partial<UsersOptions> = {}
): Promise<CachedApp> {
  const store = watchStore(adapter)
  const built = await buildApp(
    t,
    { adapter: store.adapter, ...(cache === null ? {} : { cache }), ...options },
    (app) => {
      addRoutes(app)
      app.get('/fresh', { preHandler: authenticate({ cached: false }) }, async () => 'in')
      app.get('/verified', { preHandler: authenticate({ verified: true }) }, async () => 'in')
      app.get('/superuser', { preHandler: authenticate({ superuser: true }) }, async () => 'in')
      app.get('/session', { preHandler: authenticate }, async ({ authentication }) => authentication?.session.id)
      app.get('/both', { preHandler: [authenticate, authenticate({ cached: false })] }, async () => 'in')
    }
  )
  const status = async (headers: Headers, url = '/guarded'): Promise<number> =>
    (await built.send('GET', url, undefined, headers)).statusCode
  return {
    ...built,
    ...store,
    status,
    async probe (headers, url) {
      store.takeReads()
      return [await status(headers, url), store.takeReads()]
    }
  }
}

/** Returns a feature, and the kit that it receives. */
function kitFeature (): { feature: Feature; kit: () => FeatureKit } {
  let received: FeatureKit | undefined
  return {
    feature: {
      name: 'kit',
      setup (kit) {
        received = kit
        return {}
      }
    },
    kit () {
      if (received === undefined) throw new Error('the feature did not start')
      return received
    }
  }
}

/** Logs in at both backends. */
async function logIn (app: TestApp, email = ARTHUR): Promise<Record<'jwt' | 'cookie', Headers>> {
  return { jwt: { ...(await app.bearer(email)) }, cookie: { ...(await app.cookie(email)) } }
}

/** Sends requests until the cache has the user and the session. */
async function fill (app: CachedApp, headers: Headers): Promise<void> {
  await app.status(headers)
  await app.status(headers)
}

t.test('without the option cache, every guarded request reads its user', async (t) => {
  const app = await buildCached(t, null)
  await app.create()
  for (const headers of Object.values(await logIn(app))) {
    for (let i = 0; i < 3; i++) t.same(await app.probe(headers), [200, 1])
  }
})

for (const { name, options, open } of everyStore) {
  t.test(`with the cache, guarded requests read a row once per maxAgeMs, with ${name}`, options, async (t) => {
    const app = await buildCached(t, {}, { adapter: (await open(t))() })
    await app.create()
    const sessions = await logIn(app)
    for (const [backend, headers] of Object.entries(sessions)) {
      const first = await app.send('GET', '/guarded', undefined, headers)
      const second = await app.send('GET', '/guarded', undefined, headers)
      t.same(second.json(), first.json(), `${backend}: the same reply`)
      t.same(await app.probe(headers), [200, 0], `${backend}: from the cache`)
    }
    app.tick(MAX_AGE_SECONDS)
    for (const headers of Object.values(sessions)) {
      t.same(await app.probe(headers), [200, 1], 'too old')
      t.same(await app.probe(headers), [200, 0])
    }
  })

  t.test(
    `SES-09: a revocation through the plugin holds on the next request although the row is cached, with ${name}`,
    options,
    async (t) => {
      const { feature, kit } = kitFeature()
      const app = await buildCached(t, { maxAgeMs: 60_000 }, { adapter: (await open(t))(), features: [feature] })
      const { users } = app.app
      const deactivate = async (where: Where): Promise<number> =>
        await kit().store.update(kit().model('user'), where, { is_active: false })
      await app.create({ email: MERLIN, is_superuser: true })
      const merlin = await app.bearer(MERLIN)
      const acts: Record<string, (id: string, sessions: Record<'jwt' | 'cookie', Headers>) => Promise<unknown>> = {
        endSessions: (id) => users.endSessions(id as never),
        'a deactivation': (id) => users.update(id as never, { is_active: false }),
        'a deletion': (id) => users.delete(id as never),
        'a new password by code': (id) => users.update(id as never, { password: NEW_PASSWORD }),
        'a new password by the user': (_id, { cookie }) =>
          app.send('PATCH', '/users/me', { password: NEW_PASSWORD }, cookie),
        'a new password by a superuser': (id) => app.send('PATCH', `/users/${id}`, { password: NEW_PASSWORD }, merlin),
        'a reset password': async () => {
          await users.forgotPassword(ARTHUR)
          const token = await app.tokenOf('onAfterForgotPassword')
          await users.resetPassword(token, NEW_PASSWORD)
        },
        'a new e-mail': (id) => users.update(id as never, { email: 'uther@camelot.bt' }),
        'a verification': (id) => users.update(id as never, { is_verified: true }),
        'a write of a feature by e-mail': () => deactivate({ email: ARTHUR }),
        'a write of a feature by a list of ids': (id) => deactivate({ id: { in: [id] } }),
        'a write of a feature by a range of ids': (id) => deactivate({ id: { gte: id, lte: id } })
      }
      for (const [act, run] of Object.entries(acts)) {
        const { id } = await app.create()
        const sessions = await logIn(app)
        for (const headers of Object.values(sessions)) {
          await fill(app, headers)
          t.same(await app.probe(headers), [200, 0], `${act}: cached before`)
        }
        await run(String(id), sessions)
        for (const [backend, headers] of Object.entries(sessions)) t.equal(await app.status(headers), 401, `${act}: ${backend}`)
        for (const email of [ARTHUR, 'uther@camelot.bt']) {
          const left = await users.getByEmail(email)
          if (left !== null) await users.delete(left)
        }
      }
    }
  )

  t.test(
    `LOG-07, SES-13: a logout, the end of one session and the deletion of old sessions end cached sessions, and no others, with ${name}`,
    options,
    async (t) => {
      const { feature, kit } = kitFeature()
      const app = await buildCached(t, { maxAgeMs: 60_000 }, {
        adapter: (await open(t))(),
        features: [feature],
        backends: backends().filter(({ name: backend }) => backend === 'cookie')
      })
      const user = await app.create()
      const kept: Headers = { ...(await app.cookie(ARTHUR)) }
      const sessionId = async (headers: Headers): Promise<string> => (await app.send('GET', '/session', undefined, headers)).body
      const keptId = await sessionId(kept)
      const ends: Record<string, (headers: Headers, id: string) => Promise<unknown>> = {
        logout: (headers) => app.send('POST', '/auth/cookie/logout', undefined, headers),
        'the end of one session': (_headers, id) => kit().sessions.end(user, { id }),
        'the end of all other sessions': () => kit().sessions.end(user, { except: keptId }),
        'a deletion by another condition': (_headers, id) =>
          kit().store.delete(kit().model('accesstoken'), { session_id: id }),
        'a deletion of many rows': async (_headers, id) => {
          const [row] = await kit().store.findMany(kit().model('accesstoken'), { session_id: id }, { limit: 1 })
          const others = Array.from({ length: 200 }, (_, n) => String(n).padStart(43, '0'))
          await kit().store.delete(kit().model('accesstoken'), { token: { in: [...others, String(row?.['token'])] } })
        }
      }
      for (const [end, run] of Object.entries(ends)) {
        const ended: Headers = { ...(await app.cookie(ARTHUR)) }
        for (const headers of [kept, ended]) {
          await fill(app, headers)
          t.same(await app.probe(headers), [200, 0], `${end}: cached before`)
        }
        await run(ended, await sessionId(ended))
        t.equal(await app.status(kept), 200, `${end}: the other session`)
        t.equal(await app.status(ended), 401, end)
      }
    }
  )
}

t.test('a write that names the user by another form of its id empties the cache', async (t) => {
  const { feature, kit } = kitFeature()
  const store = memory()
  // stores of your own may accept other forms of an id
  const update: DatabaseAdapter['update'] = (model, { id, ...where }, changes) =>
    store.update(model, { ...where, id: String(id).toLowerCase() }, changes)
  const { adapter } = watchStore(store)
  const app = await buildCached(t, { maxAgeMs: 60_000 }, { adapter: { ...adapter, update }, features: [feature] })
  const { id } = await app.create()
  for (const form of [String(id).toUpperCase(), String(id)]) {
    const { jwt } = await logIn(app)
    await fill(app, jwt)
    t.equal(await kit().store.update(kit().model('user'), { id: form }, { session_stamp: `stamp of ${form}` }), 1)
    t.equal(await app.status(jwt), 401, form)
  }
})

t.test('a superuser who is demoted is refused on the next request', async (t) => {
  const app = await buildCached(t)
  await app.create({ email: MERLIN, is_superuser: true })
  const user = await app.create({ is_superuser: true })
  for (const headers of Object.values(await logIn(app))) {
    await app.app.users.update(user, { is_superuser: true })
    for (let i = 0; i < 3; i++) t.equal(await app.status(headers, '/superuser'), 200)
    await app.app.users.update(user, { is_superuser: false })
    t.equal(await app.status(headers, '/superuser'), 403)
    t.equal(await app.status(headers), 200)
  }
})

t.test('SES-09: a read that began before a change does not fill the cache after it', async (t) => {
  const { feature, kit } = kitFeature()
  const changes: Record<string, (app: CachedApp, id: unknown, headers: Headers) => Promise<unknown>> = {
    'the end of all sessions': ({ app }, id) => app.users.endSessions(id as never),
    'a deactivation': ({ app }, id) => app.users.update(id as never, { is_active: false }),
    'a logout': (app, _id, headers) => app.send('POST', '/auth/cookie/logout', undefined, headers),
    'a write that names no user': () =>
      kit().store.update(kit().model('user'), { email: ARTHUR }, { session_stamp: 'another-stamp' })
  }
  for (const [change, run] of Object.entries(changes)) {
    for (const backend of ['jwt', 'cookie'] as const) {
      if (change === 'a logout' && backend === 'jwt') continue
      const app = await buildCached(t, { maxAgeMs: 60_000 }, { features: [feature] })
      const { id } = await app.create()
      const headers = (await logIn(app))[backend]
      const { begun, release } = app.holdNext()
      const early = app.status(headers)
      await begun
      await run(app, id, headers)
      release()
      t.equal(await early, 200, `${change}, ${backend}: the read took place before the change`)
      t.equal(await app.status(headers), 401, `${change}, ${backend}: the next request reads again`)
      t.equal(await app.status(headers), 401)
    }
  }
})

t.test('SES-09: a row that is read while a change is being written leaves the cache after it', async (t) => {
  const writes: Record<string, (app: CachedApp, id: unknown, headers: Headers) => Promise<unknown>> = {
    'the end of all sessions': ({ app }, id) => app.users.endSessions(id as never),
    'a logout': (app, _id, headers) => app.send('POST', '/auth/cookie/logout', undefined, headers)
  }
  for (const [what, write] of Object.entries(writes)) {
    const app = await buildCached(t, { maxAgeMs: 60_000 })
    const { id } = await app.create()
    const headers = { ...(await app.cookie(ARTHUR)) }
    const { begun, release } = app.holdNextWrite()
    const written = write(app, id, headers)
    await begun
    await fill(app, headers)
    t.same(await app.probe(headers), [200, 0], `${what}: the old row is cached`)
    release()
    await written
    t.equal(await app.status(headers), 401, what)
  }
})

t.test('one request cannot change what later requests see', async (t) => {
  const adapter = memory()
  const schemas = userSchemas({ tags: Type.Array(Type.String(), { default: [] }) })
  const seen: unknown[] = []
  const store = watchStore(adapter)
  const built = await buildApp(t, { adapter: store.adapter, schemas, cache: {} }, (app) => {
    app.get('/guarded', { preHandler: authenticate }, async (request) => {
      const { user, authentication } = request
      const session = authentication?.session
      seen.push(structuredClone({ user, session, created: session?.createdAt?.getTime() }))
      const changeable = user as unknown as { email: string; is_superuser: boolean; tags: string[]; added: string }
      changeable.email = MERLIN
      changeable.is_superuser = true
      changeable.tags.push('changed')
      changeable.added = 'added'
      session?.createdAt?.setTime(0)
      return 'in'
    })
    app.get('/superuser', { preHandler: authenticate({ superuser: true }) }, async () => 'in')
  })
  await built.create({ tags: ['round', 'table'] })
  for (const [backend, headers] of Object.entries(await logIn(built))) {
    seen.length = 0
    for (let i = 0; i < 4; i++) t.equal((await built.send('GET', '/guarded', undefined, headers)).statusCode, 200)
    for (const one of seen) t.strictSame(one, seen[0], `${backend}: every request sees the stored user`)
    t.match(seen[0], { user: { email: ARTHUR, tags: ['round', 'table'] } })
    t.equal((await built.send('GET', '/superuser', undefined, headers)).statusCode, 403)
  }
  t.ok(store.takeReads() < 8, 'requests used the cache')
})

t.test('SES-09: the plugin’s own routes and guards with cached: false read the row', async (t) => {
  const app = await buildCached(t)
  await app.create()
  for (const headers of Object.values(await logIn(app))) {
    await fill(app, headers)
    t.same(await app.probe(headers), [200, 0])
    for (const url of ['/users/me', '/fresh', '/both']) t.same(await app.probe(headers, url), [200, 1], url)
  }
})

t.test('changes that bypass the plugin apply after maxAgeMs at the latest', async (t) => {
  const app = await buildCached(t, { maxAgeMs: 2000 })
  const { id } = await app.create()
  const sessions = Object.values(await logIn(app))
  for (const headers of sessions) await fill(app, headers)
  await app.adapter.update(storedModel('user'), { id: String(id) }, { is_active: false })
  for (const headers of sessions) t.equal(await app.status(headers), 200)
  app.tick(2)
  for (const headers of sessions) t.equal(await app.status(headers), 401)
})

t.test('a cached row never refuses a request: flags and stamps are read again first', async (t) => {
  const app = await buildCached(t, { maxAgeMs: 60_000 })
  const user = await app.create()
  const sessions = Object.values(await logIn(app))
  for (const headers of sessions) {
    await fill(app, headers)
    t.equal(await app.status(headers, '/verified'), 403)
  }
  // as another process does that has no channel
  await app.adapter.update(storedModel('user'), { id: String(user.id) }, { is_verified: true })
  for (const headers of sessions) t.equal(await app.status(headers, '/verified'), 200)

  const other = await buildApp(t, { adapter: app.adapter })
  await other.app.users.endSessions(user)
  for (const headers of Object.values(await logIn(other))) t.equal(await app.status(headers), 200, 'a newer session')
})

t.test('JWT-13, SES-04: the expiry of a cached session is checked on every request', async (t) => {
  const app = await buildCached(t, { maxAgeMs: 60_000 }, {
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3 }) },
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3 }) }
    ]
  })
  await app.create()
  const sessions = Object.values(await logIn(app))
  for (const headers of sessions) {
    await fill(app, headers)
    t.same(await app.probe(headers), [200, 0])
  }
  app.tick(4)
  for (const headers of sessions) t.same(await app.probe(headers), [401, 0])
})

t.test('the cache keeps at most max users and sessions, and the oldest one leaves it', async (t) => {
  const app = await buildCached(t, { max: 2, maxAgeMs: 60_000 })
  const emails = [ARTHUR, MERLIN, 'lancelot@camelot.bt']
  for (const email of emails) await app.create({ email })
  for (const backend of ['jwt', 'cookie'] as const) {
    const sessions: Headers[] = []
    for (const email of emails) sessions.push((await logIn(app, email))[backend])
    const [first = {}, second = {}, third = {}] = sessions
    for (const headers of sessions) await app.status(headers)
    t.same(await app.probe(second), [200, 0])
    t.same(await app.probe(third), [200, 0])
    t.same(await app.probe(first), [200, 1], 'removed by the third one')
    t.same(await app.probe(second), [200, 1], 'removed by the first one')
  }
})

t.test('several sessions of one user are cached side by side', async (t) => {
  const app = await buildCached(t)
  await app.create()
  const sessions = [await logIn(app), await logIn(app)].flatMap((both) => Object.values(both))
  for (const headers of sessions) await app.status(headers)
  for (let i = 0; i < 2; i++) {
    for (const headers of sessions) t.same(await app.probe(headers), [200, 0])
  }
})

t.test('a clock that is set back does not lengthen the age of cached rows', async (t) => {
  const app = await buildCached(t)
  await app.create()
  const headers = await app.cookie(ARTHUR)
  await fill(app, { ...headers })
  app.tick(-60)
  t.same(await app.probe({ ...headers }), [200, 1])
})

t.test('the users of a strategy of your own are cached, and their rows cannot be changed', async (t) => {
  const errors: unknown[] = []
  const strategy = defineStrategy({
    name: 'own',
    setup: () => ({
      async readToken (token, { users }) {
        const id = users.parseId(token)
        const row = id === null ? null : await users.getRow(id)
        try {
          if (row !== null) row.email = MERLIN
        } catch (error) {
          errors.push(error)
        }
        return row && { row }
      },
      writeToken: ({ id }) => ({ token: String(id), lifetimeSeconds: null })
    })
  })
  const app = await buildCached(t, {}, {
    backends: [...backends(), { name: 'own', transport: bearerTransport(), strategy }]
  })
  const user = await app.create()
  const headers = { authorization: `Bearer ${String(user.id)}` }
  await fill(app, headers)
  t.same(await app.probe(headers), [200, 0])
  t.ok(errors.length > 0)
  for (const error of errors) t.type(error, TypeError)
  await app.app.users.update(user, { is_active: false })
  t.equal(await app.status(headers), 401)
})

/** Starts two applications on one store and one bus, as two processes would. */
async function startTwo (t: Test, bus: CacheBus, options: Partial<UsersOptions> = {}): Promise<[CachedApp, CachedApp]> {
  const adapter = memory()
  const cache = { maxAgeMs: 60_000, channel: bus.channel }
  const one = await buildCached(t, cache, { adapter, ...options })
  return [one, await buildCached(t, cache, { adapter, ...options })]
}

t.test('SES-08: a change through one process empties the cache of the others, and other users stay cached', async (t) => {
  for (const compatibility of [{}, { tokenStorage: 'plain' }] as const) {
    const bus = createBus()
    const [one, two] = await startTwo(t, bus, { compatibility })
    await one.create({ email: MERLIN })
    const merlin = Object.values(await logIn(one, MERLIN))
    const acts: Record<string, (id: unknown, cookie: Headers) => Promise<unknown>> = {
      endSessions: (id) => one.app.users.endSessions(id as never),
      deactivate: (id) => one.app.users.update(id as never, { is_active: false }),
      delete: (id) => one.app.users.delete(id as never),
      logout: (_id, cookie) => one.send('POST', '/auth/cookie/logout', undefined, cookie)
    }
    for (const [act, run] of Object.entries(acts)) {
      const { id } = await one.create()
      const { jwt, cookie } = await logIn(one)
      for (const headers of [jwt, cookie, ...merlin]) {
        await fill(two, headers)
        t.same(await two.probe(headers), [200, 0], `${act}: cached before`)
      }
      await run(id, cookie)
      t.equal(await two.status(cookie), 401, `${act}: cookie`)
      t.equal(await two.status(jwt), act === 'logout' ? 200 : 401, `${act}: jwt`)
      for (const headers of merlin) t.same(await two.probe(headers), [200, 0], `${act}: another user`)
      const user = await one.app.users.getByEmail(ARTHUR)
      if (user !== null) await one.app.users.delete(user)
    }
  }
})

t.test('SES-02: texts on the channel contain ids of users and digests, and no token, stamp, hash or e-mail', async (t) => {
  for (const compatibility of [{}, { tokenStorage: 'plain' }] as const) {
    const bus = createBus()
    const adapter = memory()
    const app = await buildCached(t, { channel: bus.channel }, { adapter, compatibility })
    const { id } = await app.create()
    const secrets: string[] = [ARTHUR, PASSWORD]
    const note = async (): Promise<void> => {
      for (const name of ['user', 'accesstoken'] as const) {
        for (const row of await adapter.findMany(storedModel(name), {}, { limit: 100 })) {
          for (const key of ['hashed_password', 'session_stamp', 'session_id']) secrets.push(String(row[key] ?? ARTHUR))
        }
      }
    }
    const { cookie } = await logIn(app)
    secrets.push(String(cookie['cookie']).split('=')[1] ?? '')
    await note()
    await app.send('POST', '/auth/cookie/logout', undefined, cookie)
    await app.app.users.update(id as never, { password: NEW_PASSWORD })
    await note()
    const texts = bus.published.join('\n')
    t.match(texts, String(id))
    for (const secret of secrets) t.notMatch(texts, secret)
    t.ok(bus.published.every((text) => text.startsWith('fastify-users:users {')))
  }
})

t.test('hostile texts on the channel can only make processes read rows again', async (t) => {
  const bus = createBus()
  const app = await buildCached(t, { maxAgeMs: 60_000, channel: bus.channel })
  const user = await app.create()
  const { jwt, cookie } = await logIn(app)
  const ended = await logIn(app)
  await app.send('POST', '/auth/cookie/logout', undefined, ended.cookie)
  await app.create({ email: MERLIN, is_active: false })
  const texts = [
    '',
    'all',
    '"all"',
    'null',
    '[]',
    '0',
    '{',
    '{}',
    '{"users":[],"sessions":[]}',
    `{"users":["${String(user.id)}"],"sessions":[]}`,
    `{"users":[["${String(user.id)}"]],"sessions":[]}`,
    '{"users":{"length":1},"sessions":[]}',
    '{"users":[null],"sessions":[{}]}',
    '{"users":["__proto__","constructor"],"sessions":["__proto__","toString"]}',
    '{"__proto__":{"users":[]},"constructor":{}}',
    `{"users":[${'0,'.repeat(200)}0],"sessions":[]}`,
    `{"users":[],"sessions":["${'x'.repeat(100_000)}"]}`,
    '{"greeting":null}',
    '{"greeting":"00000000-0000-0000-0000-000000000000"}',
    '{"greeting":{}}',
    '\0'.repeat(50),
    '['.repeat(90)
  ]
  for (const text of texts) {
    bus.deliver(text)
    const about = text.slice(0, 60)
    t.equal(await app.status(jwt), 200, about)
    t.equal(await app.status(cookie), 200, about)
    t.equal(await app.status(ended.cookie), 401, about)
    t.same(await app.probe(jwt), [200, 0], `${about}: the cache is on`)
  }
})

t.test('SES-09: a lost channel empties the cache and switches it off until texts arrive again', async (t) => {
  const bus = createBus()
  const app = await buildCached(t, { maxAgeMs: 60_000, channel: bus.channel })
  const { id } = await app.create()
  const sessions = Object.values(await logIn(app))
  for (const headers of sessions) await fill(app, headers)
  bus.lose()
  await app.adapter.update(storedModel('user'), { id: String(id) }, { is_active: false }) // a text that was missed
  for (const headers of sessions) t.same(await app.probe(headers), [401, 1])
  await app.adapter.update(storedModel('user'), { id: String(id) }, { is_active: true })
  for (const headers of sessions) {
    for (let i = 0; i < 2; i++) t.same(await app.probe(headers), [200, 1], 'off')
  }
  bus.isSilent = true
  bus.subscribe()
  for (const headers of sessions) {
    for (let i = 0; i < 2; i++) t.same(await app.probe(headers), [200, 1], 'subscribed, but no text arrives')
  }
  bus.lose()
  bus.isSilent = false
  bus.subscribe()
  for (const headers of sessions) {
    await fill(app, headers)
    t.same(await app.probe(headers), [200, 0], 'on')
  }

  await app.app.users.endSessions(id as never)
  const { jwt: headers } = await logIn(app)
  const { begun, release } = app.holdNext()
  const early = app.status(headers)
  await begun
  bus.lose()
  bus.subscribe()
  release()
  t.equal(await early, 200)
  t.same(await app.probe(headers), [200, 1], 'a read that began before the loss does not fill the cache')
})

t.test('a change whose report fails is made all the same', async (t) => {
  const bus = createBus()
  const app = await buildCached(t, { channel: bus.channel })
  const user = await app.create()
  const { cookie } = await logIn(app)
  await fill(app, cookie)
  bus.isBroken = true
  await app.app.users.endSessions(user)
  t.equal(await app.status(cookie), 401)
  t.notOk(bus.published.some((text) => !isGreeting(text.split(' ')[1] ?? '')))
})

t.test('CFG-05: wrong options of the cache stop the start with a code', async (t) => {
  const channel = createBus().channel
  const wrong: [unknown, string][] = [
    [true, 'INVALID_OPTION'],
    [null, 'INVALID_OPTION'],
    [[], 'INVALID_OPTION'],
    [{ maxAge: 5 }, 'UNKNOWN_OPTION'],
    ...[0, -1, 0.5, 60_001, Infinity, NaN, '5000', null].map((maxAgeMs): [unknown, string] => [
      { maxAgeMs },
      'INVALID_OPTION'
    ]),
    ...[0, -1, 0.5, 1_000_001, Infinity, NaN, '10', null].map((max): [unknown, string] => [{ max }, 'INVALID_OPTION']),
    ...[null, 'redis', {}, () => {}, { publish: channel.publish }, { subscribe: channel.subscribe }].map(
      (one): [unknown, string] => [{ channel: one }, 'INVALID_OPTION']
    )
  ]
  for (const [cache, word] of wrong) {
    await t.rejects(buildApp(t, { cache: cache as UserCacheOptions }), { code: `FST_USERS_${word}` }, JSON.stringify(cache))
  }
  await buildApp(t, { cache: {} })
  await buildApp(t, { cache: { maxAgeMs: 60_000, max: 1_000_000, channel } })
})
