import t, { type Test } from 'tap'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type Session,
  type User,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { watchedAdapter, type WatchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, buildApp, cookieOf, type TestApp } from './helpers/build-app.js'

// A session may end while one of its requests is handled. Each test ends the session before one of the calls to the
// store.

const MERLIN = 'merlin@camelot.bt'
const GALAHAD = 'galahad@camelot.bt'

const backends = (): UsersOptions['backends'] => [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
  { name: 'stored', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
]

interface Setup extends TestApp {
  /** Restores the rows that were stored when the setup was complete. */
  restore(): Promise<void>
  store: WatchedAdapter
  ids: Record<string, string>
  headers: Record<string, string>
}

async function createSetup (t: Test, backend: string, options: Partial<UsersOptions>): Promise<Setup> {
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
  await built.app.users.settled()
  return { ...built, store, ids, headers, restore: await store.snapshot() }
}

/** Requests that Arthur's session authenticates. */
const requests: Record<string, { send(setup: Setup): ReturnType<TestApp['send']>; options?: Partial<UsersOptions> }> = {
  'own e-mail': { send: ({ send, headers }) => send('PATCH', '/users/me', { email: 'new@camelot.bt' }, headers) },
  'own password': { send: ({ send, headers }) => send('PATCH', '/users/me', { password: 'excalibur-2' }, headers) },
  'own e-mail with confirmation': {
    send: ({ send, headers }) =>
      send('PATCH', '/users/me', { email: 'new@camelot.bt', current_password: 'guinevere-1' }, headers),
    options: { sensitiveChanges: 'confirm' }
  },
  'own flags by id': {
    send: ({ send, headers, ids }) => send('PATCH', `/users/${ids[ARTHUR] ?? ''}`, { is_verified: false }, headers)
  },
  "another user's e-mail": {
    send: ({ send, headers, ids }) =>
      send('PATCH', `/users/${ids[GALAHAD] ?? ''}`, { email: 'new@camelot.bt' }, headers)
  },
  'deletion of another user': {
    send: ({ send, headers, ids }) => send('DELETE', `/users/${ids[GALAHAD] ?? ''}`, undefined, headers)
  }
}

/** Calls that end the session. */
const endings: Record<string, (setup: Setup) => Promise<unknown>> = {
  endSessions: ({ app, ids }) => app.users.endSessions(ids[ARTHUR] as never),
  'a password change': ({ app, ids }) => app.users.update(ids[ARTHUR] as never, { password: 'lancelot-99' }),
  'deactivation and reactivation': async ({ app, ids }) => {
    await app.users.update(ids[ARTHUR] as never, { is_active: false })
    await app.users.update(ids[ARTHUR] as never, { is_active: true })
  }
}

/** Returns the stored users, the number of verify mails, and whether the new password is valid. */
async function readEffects ({ store, events, app }: Setup): Promise<unknown> {
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
    t.test(`SES-06, RACE-04: ${what} is refused if the session ends before the write (${backend})`, async (t) => {
      const setup = await createSetup(t, backend, options)
      const { store } = setup
      for (const [end, act] of Object.entries(endings).filter(([end]) => backend === 'jwt' || end === 'endSessions')) {
        let refusals = 0
        for (let callNumber = 1, isComplete = false; !isComplete; callNumber++) {
          await setup.restore()
          setup.events.length = 0
          const before = await readEffects(setup)
          let [count, isEnding, written] = [0, false, false]
          store.watch(async ({ method, model, proceed }) => {
            if (isEnding) return await proceed()
            if (++count === callNumber && !written) {
              isEnding = true
              await act(setup)
              isEnding = false
            }
            if (['update', 'delete'].includes(method) && model.name === 'user') written = true
            return await proceed()
          })
          const reply = await send(setup)
          await setup.app.users.settled()
          store.watch()
          isComplete = count < callNumber // the request makes fewer calls
          if (reply.statusCode < 300) continue // the write came before the end of the session
          refusals++
          t.equal(reply.statusCode, 401, `${end} before call ${callNumber}`)
          t.strictSame(await readEffects(setup), before, `${end} before call ${callNumber}: nothing is written`)
        }
        t.ok(refusals >= 2, `${end}: refused before ${refusals} calls`)
      }
    })
  }
}

t.test('RACE-04: PATCH /users/me reads a signed session twice: before the body and after it', async (t) => {
  const setup = await createSetup(t, 'jwt', {})
  const reads: string[] = []
  setup.store.watch(({ method, model, proceed }) => {
    reads.push(`${method} ${model.name}`)
    return proceed()
  })
  const reply = await setup.send('PATCH', '/users/me', { password: 'excalibur-2' }, setup.headers)
  setup.store.watch()
  t.equal(reply.statusCode, 200)
  t.strictSame(reads.slice(0, reads.indexOf('update user')), ['findOne user', 'findOne user'])
})

t.test('RACE-04: a session that the application set on the request is read again before the write', async (t) => {
  const store = watchedAdapter(memory())
  const { create, bearer, send } = await buildApp(t, { adapter: store.adapter }, (app) => {
    app.patch('/copied', { preHandler: authenticate }, async (request, reply) => {
      const { user, token = '', backend = '', session } = request.authentication ?? {}
      request.authentication = { user: user as User, token, backend, session: session as Session }
      await app.users.endSessions(request.authentication.user)
      return await app.users.update(request.authentication.user, { is_verified: true }, { request, reply, by: 'self' })
    })
  })
  await create({ email: ARTHUR })
  const reply = await send('PATCH', '/copied', {}, await bearer(ARTHUR))
  t.equal(reply.statusCode, 401)
})

t.test('LOG-07: a request is refused if its session logs out before the write', async (t) => {
  for (const [what, { send, options = {} }] of Object.entries(requests)) {
    const setup = await createSetup(t, 'stored', options)
    const { store, headers } = setup
    let refusals = 0
    for (let callNumber = 1, isComplete = false; !isComplete; callNumber++) {
      await setup.restore()
      setup.events.length = 0
      const before = await readEffects(setup)
      let [count, isEnding] = [0, false]
      store.watch(async ({ method, proceed }) => {
        if (isEnding) return await proceed()
        if (++count === callNumber && method === 'findWithUser') {
          // before each read of the session
          isEnding = true
          await setup.send('POST', '/auth/stored/logout', undefined, headers)
          isEnding = false
        }
        return await proceed()
      })
      const reply = await send(setup)
      await setup.app.users.settled()
      store.watch()
      isComplete = count < callNumber // the request makes fewer calls
      if (reply.statusCode < 300) continue
      refusals++
      t.equal(reply.statusCode, 401, `${what}, call ${callNumber}`)
      t.strictSame(await readEffects(setup), before, `${what}, call ${callNumber}`)
    }
    t.ok(refusals >= 3, `${what}: refused before ${refusals} calls`)
  }
})

t.test(
  'USR-10: a superuser who is demoted before the write changes no other user and cannot promote itself',
  async (t) => {
    const attempts: Record<string, (setup: Setup) => ReturnType<TestApp['send']>> = {
      "another user's flags": ({ send, headers, ids }) =>
        send('PATCH', `/users/${ids[GALAHAD] ?? ''}`, { is_superuser: true }, headers),
      'own flags': ({ send, headers, ids }) =>
        send('PATCH', `/users/${ids[ARTHUR] ?? ''}`, { is_superuser: true }, headers),
      'deletion of another user': ({ send, headers, ids }) =>
        send('DELETE', `/users/${ids[GALAHAD] ?? ''}`, undefined, headers)
    }
    for (const [what, send] of Object.entries(attempts)) {
      const setup = await createSetup(t, 'jwt', {
        hooks: Object.fromEntries(
          ['onBeforeUpdate', 'onBeforeDelete'].map((name) => [
            name,
            async (_payload: unknown, { request }: { request: unknown }) => {
              if (request !== null) await demote()
            }
          ])
        )
      })
      const demote = (): Promise<unknown> => setup.app.users.update(setup.ids[ARTHUR] as never, { is_superuser: false })
      t.equal((await send(setup)).statusCode, 403, what)
      const users = await setup.store.rows('user')
      t.strictSame(
        users.filter(({ is_superuser: is }) => is === true).map(({ email }) => email),
        [MERLIN],
        what
      )
      t.equal(users.length, 3, what)
    }
  }
)
