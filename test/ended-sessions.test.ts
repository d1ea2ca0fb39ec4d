import t, { type Test } from 'tap'
import {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  memory,
  type UsersOptions
} from '../lib/index.js'
import { watchedAdapter, type WatchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, buildApp, cookieOf, type TestApp } from './helpers/build-app.js'

// A session may end at any moment of a request that it is behind. Each test ends it before one of the calls to the
// store.

const MERLIN = 'merlin@camelot.bt'
const GALAHAD = 'galahad@camelot.bt'

const backends = (): UsersOptions['backends'] => [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
  { name: 'stored', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
]

interface Scene extends TestApp {
  store: WatchedAdapter
  ids: Record<string, string>
  headers: Record<string, string>
}

async function makeScene (t: Test, backend: string, options: Partial<UsersOptions>): Promise<Scene> {
  const store = watchedAdapter(memory())
  const built = await buildApp(t, { adapter: store.adapter, backends: backends(), ...options })
  const ids: Record<string, string> = {}
  for (const email of [ARTHUR, MERLIN, GALAHAD]) {
    ids[email] = String((await built.create({ email, is_superuser: email !== GALAHAD, is_verified: true })).id)
  }
  const reply = await built.login(backend, ARTHUR)
  const headers: Record<string, string> =
    reply.statusCode === 204
      ? { cookie: cookieOf(reply) }
      : { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
  return { ...built, store, ids, headers }
}

/** Requests on behalf of Arthur's session. */
const requests: Record<string, { send(scene: Scene): ReturnType<TestApp['send']>; options?: Partial<UsersOptions> }> = {
  'the own e-mail': { send: ({ send, headers }) => send('PATCH', '/users/me', { email: 'new@camelot.bt' }, headers) },
  'the own password': { send: ({ send, headers }) => send('PATCH', '/users/me', { password: 'excalibur-2' }, headers) },
  'a proof of a new e-mail': {
    send: ({ send, headers }) =>
      send('PATCH', '/users/me', { email: 'new@camelot.bt', current_password: 'guinevere-1' }, headers),
    options: { sensitiveChanges: 'confirm' }
  },
  'the own flags by id': {
    send: ({ send, headers, ids }) => send('PATCH', `/users/${ids[ARTHUR] ?? ''}`, { is_verified: false }, headers)
  },
  "another user's e-mail": {
    send: ({ send, headers, ids }) =>
      send('PATCH', `/users/${ids[GALAHAD] ?? ''}`, { email: 'new@camelot.bt' }, headers)
  },
  'the removal of another user': {
    send: ({ send, headers, ids }) => send('DELETE', `/users/${ids[GALAHAD] ?? ''}`, undefined, headers)
  }
}

/** What ends the session, or takes the rights of its user. */
const ends: Record<string, (scene: Scene) => Promise<unknown>> = {
  endSessions: ({ app, ids }) => app.users.endSessions(ids[ARTHUR] as never),
  'a password change': ({ app, ids }) => app.users.update(ids[ARTHUR] as never, { password: 'lancelot-99' }),
  'deactivation and reactivation': async ({ app, ids }) => {
    await app.users.update(ids[ARTHUR] as never, { is_active: false })
    await app.users.update(ids[ARTHUR] as never, { is_active: true })
  }
}

/** What a request of an ended session must not have done. */
async function traces ({ store, events, app }: Scene): Promise<unknown> {
  await app.users.settled()
  const users = (await store.rows('user')).map(({ email, is_verified: isVerified }) => [email, isVerified])
  return [
    users,
    events.filter(({ name }) => name === 'onAfterRequestVerify').length,
    (await app.users.checkCredentials({ username: ARTHUR, password: 'excalibur-2' })) !== null
  ]
}

for (const backend of ['jwt', 'stored']) {
  for (const [what, { send, options = {} }] of Object.entries(requests)) {
    t.test(`SES-06, RACE-04: a session that ends before the write does not change ${what} (${backend})`, async (t) => {
      for (const [end, act] of Object.entries(ends).filter(([end]) => backend === 'jwt' || end === 'endSessions')) {
        let refusals = 0
        for (let k = 1, done = false; !done; k++) {
          const scene = await makeScene(t, backend, options)
          const { store } = scene
          const before = await traces(scene)
          let [count, inside, written] = [0, false, false]
          store.watch(async ({ method, model, proceed }) => {
            if (inside) return await proceed()
            if (++count === k && !written) {
              inside = true
              await act(scene)
              inside = false
            }
            if (['update', 'delete'].includes(method) && model.name === 'user') written = true
            return await proceed()
          })
          const reply = await send(scene)
          store.watch()
          done = count < k // it makes no more calls
          if (reply.statusCode < 300) continue // it was done before the session ended
          refusals++
          t.equal(reply.statusCode, 401, `${end} before call ${k}`)
          t.strictSame(await traces(scene), before, `${end} before call ${k}: nothing is written`)
        }
        t.ok(refusals >= 2, `${end}: ${refusals} moments`)
      }
    })
  }
}

t.test('LOG-07: a session that logs out before the write changes nothing', async (t) => {
  for (const [what, { send, options = {} }] of Object.entries(requests)) {
    let refusals = 0
    for (let k = 1, done = false; !done; k++) {
      const scene = await makeScene(t, 'stored', options)
      const { store, headers } = scene
      const before = await traces(scene)
      let [count, inside] = [0, false]
      store.watch(async ({ method, proceed }) => {
        if (inside) return await proceed()
        if (++count === k && method === 'findWithUser') {
          // each of the reads of the session
          inside = true
          await scene.send('POST', '/auth/stored/logout', undefined, headers)
          inside = false
        }
        return await proceed()
      })
      const reply = await send(scene)
      store.watch()
      done = count < k // it makes no more calls
      if (reply.statusCode < 300) continue
      refusals++
      t.equal(reply.statusCode, 401, `${what}, call ${k}`)
      t.strictSame(await traces(scene), before, `${what}, call ${k}`)
    }
    t.ok(refusals >= 3, `${what}: ${refusals} moments`)
  }
})

t.test(
  'USR-10: a superuser that is demoted before the write changes no other user, and does not promote itself again',
  async (t) => {
    const acts: Record<string, (scene: Scene) => ReturnType<TestApp['send']>> = {
      "another user's flags": ({ send, headers, ids }) =>
        send('PATCH', `/users/${ids[GALAHAD] ?? ''}`, { is_superuser: true }, headers),
      'the own flags': ({ send, headers, ids }) =>
        send('PATCH', `/users/${ids[ARTHUR] ?? ''}`, { is_superuser: true }, headers),
      'a removal': ({ send, headers, ids }) => send('DELETE', `/users/${ids[GALAHAD] ?? ''}`, undefined, headers)
    }
    for (const [what, send] of Object.entries(acts)) {
      const scene = await makeScene(t, 'jwt', {
        hooks: Object.fromEntries(
          ['onBeforeUpdate', 'onBeforeDelete'].map((name) => [
            name,
            async (_payload: unknown, { request }: { request: unknown }) => {
              if (request !== null) await demote()
            }
          ])
        )
      })
      const demote = (): Promise<unknown> => scene.app.users.update(scene.ids[ARTHUR] as never, { is_superuser: false })
      t.equal((await send(scene)).statusCode, 403, what)
      const users = await scene.store.rows('user')
      t.strictSame(
        users.filter(({ is_superuser: is }) => is === true).map(({ email }) => email),
        [MERLIN],
        what
      )
      t.equal(users.length, 3, what)
    }
  }
)
