import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { DatabaseAdapter, UsersOptions } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { withSlowReads } from '../../lib/testing/index.js'
import { ARTHUR, buildApp, cookieOf, PASSWORD, weakerHash, type TestApp } from '../helpers/build-app.js'
import { startProcess, tally, type ServerProcess } from '../helpers/server-process.js'
import { watchedAdapter, type WatchedAdapter } from '../fixtures/watched-adapter.js'

const N = 12
const stores: Record<string, () => DatabaseAdapter> = { memory, sqlite: () => sqlite(':memory:') }
const numbers = Array.from({ length: N }, (_, i) => i)

interface SlowReadApp extends TestApp {
  store: WatchedAdapter
}

/** Creates an application with delayed reads, so that decisions based on an earlier read cause visible races. */
async function start (
  t: Test,
  makeStore: () => DatabaseAdapter,
  options: Partial<UsersOptions> = {}
): Promise<SlowReadApp> {
  const store = watchedAdapter(makeStore())
  return { ...(await buildApp(t, { adapter: withSlowReads(store.adapter, 8), ...options })), store }
}

for (const [name, makeStore] of Object.entries(stores)) {
  t.test(
    `REG-05, RACE-01, RACE-02: exactly one of parallel registrations of one e-mail succeeds, in any letter case (${name})`,
    async (t) => {
      const { send, store, events, login } = await start(t, makeStore)
      const replies = await Promise.all(
        numbers.map((i) =>
          send('POST', '/auth/register', {
            email: i % 2 === 0 ? ARTHUR : ARTHUR.toUpperCase(),
            password: `${PASSWORD}-${i}`
          })
        )
      )
      t.same(tally(replies), { 201: 1, '400 REGISTER_USER_ALREADY_EXISTS': N - 1 })
      t.equal((await store.rows('user')).length, 1)
      t.equal(events.filter((event) => event.name === 'onAfterRegister').length, 1, 'one event is fired')
      const winner = replies.findIndex(({ statusCode }) => statusCode === 201)
      const logins = await Promise.all(numbers.map((i) => login('jwt', ARTHUR, `${PASSWORD}-${i}`)))
      t.same(
        logins.map(({ statusCode }) => statusCode === 200),
        numbers.map((i) => i === winner),
        'only the password of the successful request works'
      )
    }
  )

  t.test(`REG-02, REG-05: with revealExistingAccounts: false, parallel registrations get equal replies and create one user (${name})`, async (t) => {
    const { send, store, events, app } = await start(t, makeStore, { revealExistingAccounts: false })
    const replies = await Promise.all(
      numbers.map((i) => send('POST', '/auth/register', { email: ARTHUR, password: `${PASSWORD}-${i}` }))
    )
    t.same(tally(replies), { 202: N })
    await app.users.settled()
    t.equal((await store.rows('user')).length, 1)
    t.equal(events.filter((event) => event.name === 'onAfterRegister').length, 1)
    t.equal(events.filter((event) => event.name === 'onRegisterExisting').length, N - 1)
  })

  t.test(
    `RST-04, RACE-01: exactly one of parallel uses of a reset token succeeds, and only its password works (${name})`,
    async (t) => {
      const { create, app, tokenOf, send, store, login, bearer, events } = await start(t, makeStore)
      await create()
      const headers = await bearer(ARTHUR)
      await app.users.forgotPassword(ARTHUR)
      const token = await tokenOf('onAfterForgotPassword')
      const replies = await Promise.all(
        numbers.map((i) => send('POST', '/auth/reset-password', { token, password: `excalibur-${i}` }))
      )
      t.same(tally(replies), { 200: 1, '400 RESET_PASSWORD_BAD_TOKEN': N - 1 })
      const winner = replies.findIndex(({ statusCode }) => statusCode === 200)
      for (const i of numbers) {
        t.equal((await login('jwt', ARTHUR, `excalibur-${i}`)).statusCode, i === winner ? 200 : 400, `password ${i}`)
      }
      t.equal((await login('jwt', ARTHUR)).statusCode, 400, 'the old password is refused')
      t.equal(
        (await send('GET', '/users/me', undefined, headers)).statusCode,
        401,
        'the sessions of the old password have ended'
      )
      t.equal(events.filter((event) => event.name === 'onAfterResetPassword').length, 1)
      t.equal((await store.rows('user')).length, 1)
    }
  )

  t.test(
    `RST-04, RST-05: after parallel uses of several reset tokens and a password change, exactly one of the passwords works (${name})`,
    async (t) => {
      const { create, app, tokenOf, send, login, bearer } = await start(t, makeStore)
      await create()
      const headers = await bearer(ARTHUR)
      const tokens: string[] = []
      for (const i of [1, 2, 3]) {
        await app.users.forgotPassword(ARTHUR)
        tokens[i] = await tokenOf('onAfterForgotPassword')
      }
      const resets = await Promise.all([
        ...[1, 2, 3].map((i) => send('POST', '/auth/reset-password', { token: tokens[i], password: `excalibur-${i}` })),
        send('PATCH', '/users/me', { password: 'excalibur-0' }, headers)
      ])
      t.ok(resets.slice(0, 3).filter(({ statusCode }) => statusCode === 200).length <= 1, 'at most one token succeeds')
      const logins = await Promise.all([0, 1, 2, 3].map((i) => login('jwt', ARTHUR, `excalibur-${i}`)))
      t.equal(logins.filter(({ statusCode }) => statusCode === 200).length, 1)
      t.same(
        tally(
          await Promise.all(
            [1, 2, 3].map((i) => send('POST', '/auth/reset-password', { token: tokens[i], password: 'lancelot-9' }))
          )
        ),
        { '400 RESET_PASSWORD_BAD_TOKEN': 3 }
      )
    }
  )

  t.test(`RACE-01: exactly one of parallel uses of a verify token succeeds (${name})`, async (t) => {
    const { create, app, tokenOf, send, store, events } = await start(t, makeStore)
    await create()
    await app.users.requestVerify(ARTHUR)
    const token = await tokenOf('onAfterRequestVerify')
    const replies = await Promise.all(numbers.map(() => send('POST', '/auth/verify', { token })))
    t.same(tally(replies), { 200: 1, '400 VERIFY_USER_ALREADY_VERIFIED': N - 1 })
    t.equal(events.filter((event) => event.name === 'onAfterVerify').length, 1)
    t.match(await store.rows('user'), [{ is_verified: true }])
  })

  t.test(
    `RACE-01, VER-02: a verification during a change of the e-mail never verifies the new e-mail (${name})`,
    async (t) => {
      const { create, app, tokenOf, send, store, bearer } = await start(t, makeStore)
      await create()
      const headers = await bearer(ARTHUR)
      await app.users.requestVerify(ARTHUR)
      const token = await tokenOf('onAfterRequestVerify')
      await Promise.all([
        send('POST', '/auth/verify', { token }),
        send('PATCH', '/users/me', { email: 'arthur@camelot.bt' }, headers),
        send('POST', '/auth/verify', { token })
      ])
      const [row] = await store.rows('user')
      t.equal(
        row?.['is_verified'],
        row?.['email'] === ARTHUR,
        'the new e-mail is not verified; a verification of the old one ends the session that changes it'
      )
    }
  )

  t.test(`RACE-02: exactly one of parallel changes to the same e-mail succeeds (${name})`, async (t) => {
    const { create, bearer, send, store } = await start(t, makeStore)
    const sessions = []
    for (const i of numbers) {
      await create({ email: `knight${i}@camelot.bt` })
      sessions.push(await bearer(`knight${i}@camelot.bt`))
    }
    const replies = await Promise.all(
      sessions.map((headers, i) =>
        send('PATCH', '/users/me', { email: i % 2 === 0 ? ARTHUR : ARTHUR.toUpperCase() }, headers)
      )
    )
    t.same(tally(replies), { 200: 1, '400 UPDATE_USER_EMAIL_ALREADY_EXISTS': N - 1 })
    t.equal((await store.rows('user')).filter(({ email }) => String(email).toLowerCase() === ARTHUR).length, 1)
  })

  t.test(
    `VER-03, VER-07, RACE-01: exactly one of parallel confirmations of new e-mails succeeds: one token twice, several tokens of a user, several users (${name})`,
    async (t) => {
      const { create, bearer, send, store, tokenOf } = await start(t, makeStore, { sensitiveChanges: 'confirm' })
      const askFor = async (email: string, newEmail: string): Promise<string> => {
        await send('PATCH', '/users/me', { email: newEmail, current_password: PASSWORD }, await bearer(email))
        return await tokenOf('onAfterRequestVerify')
      }
      for (const i of [0, 1, 2]) await create({ email: `knight${i}@camelot.bt` })
      const tokens = [
        await askFor('knight0@camelot.bt', ARTHUR),
        await askFor('knight0@camelot.bt', 'other@camelot.bt'),
        await askFor('knight1@camelot.bt', ARTHUR),
        await askFor('knight2@camelot.bt', ARTHUR)
      ]
      const replies = await Promise.all([...tokens, ...tokens].map((token) => send('POST', '/auth/verify', { token })))
      const addresses = (await store.rows('user')).map(({ email }) => String(email)).sort()
      t.equal(
        replies.filter(({ statusCode }) => statusCode === 200).length,
        3 - addresses.filter((email) => email.startsWith('knight')).length,
        'the number of successes is the number of new e-mails'
      )
      t.equal(addresses.filter((email) => email === ARTHUR).length, 1)
      t.notOk(replies.some(({ statusCode }) => statusCode >= 500))
      t.same(tally(await Promise.all(tokens.map((token) => send('POST', '/auth/verify', { token })))), {
        '400 VERIFY_USER_BAD_TOKEN': 4
      })
    }
  )

  t.test(`PW-09, RACE-01: parallel logins that upgrade a hash all succeed and revoke no session (${name})`, async (t) => {
    const { create, bearer, login, store, send } = await start(t, makeStore)
    const { id } = await create()
    const headers = await bearer(ARTHUR)
    const [{ session_stamp: stamp } = {}] = await store.rows('user')
    const weak = await weakerHash(PASSWORD)
    await store.adapter.update({ name: 'user' } as never, { id }, { hashed_password: weak })
    const replies = await Promise.all(numbers.map((i) => login(i % 2 === 0 ? 'jwt' : 'cookie', ARTHUR)))
    t.same(tally(replies.map(({ statusCode }) => ({ statusCode, body: '' }))), { 200: N / 2, 204: N / 2 })
    const [row] = await store.rows('user')
    t.match(row, { session_stamp: stamp, hashed_password: /^\$argon2id\$v=19\$m=8,t=1,/ })
    t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 200)
    for (const reply of replies) t.equal((await send('GET', '/users/me', undefined, sessionOf(reply))).statusCode, 200)
  })

  t.test(
    `PW-09, RACE-03, RACE-04: an upgrade of the old hash never restores the old password (${name})`,
    async (t) => {
      for (const delay of [0, 4, 8, 12, 16, 20]) {
        const { create, bearer, login, store, send } = await start(t, makeStore)
        const { id } = await create()
        const headers = await bearer(ARTHUR)
        const weak = await weakerHash(PASSWORD)
        await store.adapter.update({ name: 'user' } as never, { id }, { hashed_password: weak })
        const change = sleep(delay).then(() => send('PATCH', '/users/me', { password: 'excalibur-2' }, headers))
        const logins = await Promise.all([
          ...numbers.map((i) => sleep(i * 3).then(() => login(i % 2 === 0 ? 'jwt' : 'cookie', ARTHUR)))
        ])
        t.equal((await change).statusCode, 200)
        t.equal((await login('jwt', ARTHUR)).statusCode, 400, `after ${delay} ms: the old password is refused`)
        t.equal((await login('jwt', ARTHUR, 'excalibur-2')).statusCode, 200)
        for (const reply of logins) {
          if (reply.statusCode < 300) {
            t.equal(
              (await send('GET', '/users/me', undefined, sessionOf(reply))).statusCode,
              401,
              'every session of the old password has ended'
            )
          }
        }
      }
    }
  )

  t.test(
    `PW-09, RACE-03: a password change right before the write of a hash upgrade persists (${name})`,
    async (t) => {
      const store = watchedAdapter(makeStore())
      const { create, login, app } = await buildApp(t, { adapter: store.adapter })
      const { id } = await create()
      const weak = await weakerHash(PASSWORD)
      await store.adapter.update({ name: 'user' } as never, { id }, { hashed_password: weak })
      let changed = false
      store.watch(({ method, proceed }) => {
        if (method !== 'update' || changed) return proceed()
        changed = true
        return app.users.update(id, { password: 'excalibur-2' }).then(() => proceed())
      })
      t.equal((await login('cookie', ARTHUR)).statusCode, 400, 'the login is refused')
      t.ok(changed)
      t.equal((await login('jwt', ARTHUR)).statusCode, 400, 'the old password is refused')
      t.equal((await login('jwt', ARTHUR, 'excalibur-2')).statusCode, 200)
      t.same(await store.rows('accesstoken'), [])
    }
  )

  t.test(
    `RACE-04, SES-06: a session that is stored right before or after the revocation of all sessions is invalid (${name})`,
    async (t) => {
      for (const when of ['before', 'after'] as const) {
        for (const backend of ['jwt', 'cookie']) {
          const store = watchedAdapter(makeStore())
          const { create, login, app, send } = await buildApp(t, { adapter: store.adapter })
          const { id } = await create()
          let ended = false
          const endsAt = backend === 'cookie' ? 'create' : 'findOne'
          store.watch(({ method, n, proceed }) => {
            if (ended || method !== endsAt || (backend === 'jwt' && n !== 2)) return proceed()
            ended = true
            if (when === 'before') return app.users.endSessions(id).then(() => proceed())
            const answer = proceed()
            return app.users.endSessions(id).then(() => answer)
          })
          const reply = await login(backend, ARTHUR)
          t.ok(ended, `${backend}: the sessions were ended ${when}`)
          if (reply.statusCode < 300) {
            t.equal(
              (await send('GET', '/users/me', undefined, sessionOf(reply))).statusCode,
              401,
              `${backend}, ${when}`
            )
          } else t.equal(reply.statusCode, 400)
          for (const { session_stamp: stamp } of await store.rows('accesstoken')) {
            t.not(stamp, (await store.rows('user'))[0]?.['session_stamp'], 'a remaining token has an outdated stamp')
          }
        }
      }
    }
  )

  t.test(
    `RACE-04, LOG-04, SES-06: logins during a deactivation, a reset or a deletion leave no valid session of the old state (${name})`,
    async (t) => {
      const ways: Record<string, (round: SlowReadApp, id: string) => Promise<unknown>> = {
        deactivate: ({ app }, id) => app.users.update(id as never, { is_active: false }),
        'change the password': ({ app }, id) => app.users.update(id as never, { password: 'excalibur-2' }),
        delete: ({ app }, id) => app.users.delete(id as never)
      }
      for (const [way, act] of Object.entries(ways)) {
        for (const delay of [0, 5, 10, 15, 20, 25]) {
          const round = await start(t, makeStore)
          const { create, login, send, store } = round
          const { id } = await create()
          const [, ...replies] = await Promise.all([
            sleep(delay).then(() => act(round, String(id))),
            ...numbers.map((i) => sleep(i * 3).then(() => login(i % 2 === 0 ? 'jwt' : 'cookie', ARTHUR)))
          ])
          for (const reply of replies) {
            t.ok(
              [200, 204, 400].includes(reply.statusCode),
              `${way} after ${delay} ms: ${reply.statusCode} ${reply.body}`
            )
            if (reply.statusCode < 300) {
              t.equal(
                (await send('GET', '/users/me', undefined, sessionOf(reply))).statusCode,
                401,
                `${way} after ${delay} ms`
              )
            }
          }
          if (way === 'delete') t.same(await store.rows('accesstoken'), [], 'no token without a user remains')
        }
      }
    }
  )

  t.test(
    `RACE-01, SES-15: exactly one of parallel deletions succeeds, and parallel requests are refused without a 5xx (${name})`,
    async (t) => {
      const { create, bearer, cookie, send, store, events } = await start(t, makeStore)
      const { id } = await create()
      await create({ email: 'merlin@camelot.bt', is_superuser: true })
      const admin = await bearer('merlin@camelot.bt')
      const sessions = [await bearer(ARTHUR), await cookie(ARTHUR)]
      const [deletions, uses] = await Promise.all([
        Promise.all(numbers.map(() => send('DELETE', `/users/${id}`, undefined, admin))),
        Promise.all(
          numbers.map((i) =>
            sleep(i * 2).then(() =>
              send('PATCH', '/users/me', { is_active: true, email: `knight${i}@camelot.bt` }, sessions[i % 2])
            )
          )
        )
      ])
      t.same(tally(deletions), { 204: 1, '404 Not Found': N - 1 })
      for (const { statusCode } of uses) t.ok([200, 401, 404].includes(statusCode), String(statusCode))
      for (const headers of sessions) t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
      t.equal((await store.rows('user')).length, 1)
      t.equal(events.filter((event) => event.name === 'onAfterDelete').length, 1)
    }
  )

  t.test(
    `USR-08, RACE-03: a change at /users/me never reverts a simultaneous change by a superuser (${name})`,
    async (t) => {
      for (const delay of [0, 5, 10, 15, 20]) {
        const { create, bearer, send, store, app } = await start(t, makeStore)
        const { id } = await create()
        const headers = await bearer(ARTHUR)
        await Promise.all([
          send('PATCH', '/users/me', { email: 'arthur@camelot.bt' }, headers),
          sleep(delay).then(() => app.users.update(id, { is_active: false }))
        ])
        t.match(await store.rows('user'), [{ is_active: false }], `after ${delay} ms`)
        t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
      }
    }
  )
}

function sessionOf (reply: { statusCode: number; json<T>(): T }): Record<string, string> {
  return reply.statusCode === 204
    ? { cookie: cookieOf(reply as never) }
    : { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
}

t.test(
  'REG-05, RACE-02: two processes on one file that register one e-mail 100 times in parallel create one user, without a 5xx',
  async (t) => {
    const file = join(t.testdir(), 'users.db')
    const servers = await Promise.all([startProcess(t, file), startProcess(t, file)])
    const replies = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const reply = await servers[i % 2]?.post('/auth/register', {
          email: i % 3 === 0 ? ARTHUR.toUpperCase() : ARTHUR,
          password: `${PASSWORD}-${i}`
        })
        return { statusCode: reply?.status ?? 0, body: (await reply?.text()) ?? '' }
      })
    )
    t.same(tally(replies), { 201: 1, '400 REGISTER_USER_ALREADY_EXISTS': 99 })
    const { store } = await start(t, () => sqlite(file))
    t.equal((await store.rows('user')).length, 1)
  }
)

t.test('RST-04, RACE-01: two processes that receive one reset token 20 times in parallel accept it once', async (t) => {
  const file = join(t.testdir(), 'users.db')
  const { app, create, tokenOf, login, store } = await start(t, () => sqlite(file))
  await create()
  await app.users.forgotPassword(ARTHUR)
  const token = await tokenOf('onAfterForgotPassword')
  const servers = await Promise.all([startProcess(t, file), startProcess(t, file)])
  const replies = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const reply = await servers[i % 2]?.post('/auth/reset-password', { token, password: `excalibur-${i}` })
      return { statusCode: reply?.status ?? 0, body: (await reply?.text()) ?? '' }
    })
  )
  t.same(tally(replies), { 200: 1, '400 RESET_PASSWORD_BAD_TOKEN': 19 })
  const winner = replies.findIndex(({ statusCode }) => statusCode === 200)
  t.equal((await login('jwt', ARTHUR, `excalibur-${winner}`)).statusCode, 200)
  t.equal((await store.rows('user')).length, 1)
})

t.test(
  'SES-08, USR-10, LOG-04, LOG-07: a session that one process revokes is refused by the other at once, and after a restart',
  async (t) => {
    const file = join(t.testdir(), 'users.db')
    const [one, two] = await Promise.all([startProcess(t, file), startProcess(t, file)])
    const sessions = async (): Promise<Record<string, string>[]> => {
      const jwt = await one.post('/auth/jwt/login', { username: ARTHUR, password: PASSWORD })
      const cookie = await one.post('/auth/cookie/login', { username: ARTHUR, password: PASSWORD })
      const { access_token: token } = (await jwt.json()) as { access_token: string }
      return [
        { authorization: `Bearer ${token}` },
        { cookie: String(cookie.headers.get('set-cookie')).split(';')[0] ?? '' }
      ]
    }
    const statuses = (server: ServerProcess, all: Record<string, string>[], path = '/guarded'): Promise<number[]> =>
      Promise.all(all.map(async (headers) => (await server.post(path, undefined, headers, 'GET')).status))
    const create = (email = ARTHUR): Promise<Response> => one.post('/script', { email, action: 'create' })
    await create('lady.of.the.lake@camelot.bt') // another superuser, because the last one cannot be deleted

    for (const action of ['end sessions', 'deactivate', 'delete']) {
      await one.post('/script', { email: ARTHUR, action: 'delete' })
      t.equal((await create()).status, 200)
      const live = await sessions()
      t.same(await statuses(two, live), [200, 200], `${action}: the sessions are valid in both processes`)
      await one.post('/script', { email: ARTHUR, action })
      t.same(await statuses(two, live), [401, 401], `${action}: the sessions have ended in the other process`)
      t.same(await statuses(one, live), [401, 401])
    }

    await create()
    const changed = await sessions()
    t.equal((await one.post('/users/me', { password: 'excalibur-2' }, changed[0], 'PATCH')).status, 200)
    t.same(await statuses(two, changed), [401, 401], 'a change of the password ends the sessions')
    await one.post('/script', { email: ARTHUR, action: 'delete' })
    await create()

    const ended = await sessions()
    t.equal((await two.post('/auth/cookie/logout', undefined, ended[1])).status, 204)
    t.same(await statuses(one, ended), [200, 401], 'a logout ends its own session')

    const id = ((await (await one.post('/users/me', undefined, ended[0], 'GET')).json()) as { id: string }).id
    t.same(await statuses(two, [ended[0] ?? {}], `/users/${id}`), [200], 'before the demotion the user is a superuser')
    await one.post('/script', { email: ARTHUR, action: 'demote' })
    t.same(await statuses(two, [ended[0] ?? {}], `/users/${id}`), [403], 'the demotion applies at once')

    await one.post('/script', { email: ARTHUR, action: 'end sessions' })
    await two.stop()
    const three = await startProcess(t, file)
    t.same(
      await statuses(three, [...changed, ...ended]),
      [401, 401, 401, 401],
      'revoked sessions stay revoked in a new process'
    )
    t.same(await statuses(three, await sessions()), [200, 200])
  }
)
