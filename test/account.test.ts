import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { account, type AccountOptions } from '../lib/features/account/index.js'
import { apiKeys } from '../lib/features/api-keys/index.js'
import { memory } from '../lib/entries/memory.js'
import { authenticate, type User, type UserId, type UsersOptions } from '../lib/index.js'
import { watchedAdapter, type WatchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, assertErrorReply, assertValidationError, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'

const MERLIN = 'merlin@camelot.bt'
const MORDRED = 'mordred@camelot.bt'
const DAY = 86_400
const LATER: AccountOptions = { deletionDelaySeconds: 30 * DAY }

interface AccountApp extends TestApp {
  store: WatchedAdapter
  api: ReturnType<typeof apiOf>
  /** Returns the token that undoes the newest deletion. */
  undoToken(): Promise<string>
}

function apiOf ({ app }: Pick<TestApp, 'app'>) {
  return app.users.feature('account')
}

function addReports (app: FastifyInstance): void {
  app.get('/reports', { onRequest: authenticate({ scopes: ['read'] }) }, async () => 'reports')
}

async function startApp (
  t: Test,
  own: AccountOptions = {},
  { adapter = memory(), ...options }: Partial<UsersOptions> = {}
): Promise<AccountApp> {
  const store = watchedAdapter(adapter)
  const features = [account(own), apiKeys({ scopes: ['read'] })]
  const built = await buildApp(t, { adapter: store.adapter, features, ...options }, addReports)
  return {
    ...built,
    store,
    api: apiOf(built),
    async undoToken () {
      await built.app.users.settled()
      const event = built.events.findLast(({ name }) => name === 'onAfterRequestDeletion')
      return (event as unknown as { token: string }).token
    }
  }
}

const deletionsOf = ({ events }: TestApp): string[] => events.map(({ name }) => name).filter((name) => /Delet/.test(name))

t.test('a user deletes their account, with all its sessions and keys', async (t) => {
  const built = await startApp(t)
  const { id } = await built.create()
  const sessions = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)] as const
  const { key } = (await built.send('POST', '/users/me/api-keys', { name: 'a', scopes: ['read'] }, sessions[0])).json<{ key: string }>()
  t.equal((await built.send('DELETE', '/users/me')).statusCode, 401)
  const reply = await built.send('DELETE', '/users/me', undefined, sessions[1])
  t.same([reply.statusCode, reply.body], [204, ''])
  t.equal(await built.app.users.get(id as UserId), null)
  t.same(deletionsOf(built), ['onBeforeDelete', 'onAfterDelete', 'onAfterDeleteAccount'])
  for (const headers of [...sessions, { authorization: `Bearer ${key}` }]) {
    t.equal((await built.send('GET', '/reports', undefined, headers)).statusCode, 401)
  }
  t.equal((await built.send('POST', '/auth/undo-deletion', { token: 'x' })).statusCode, 404, 'there is no delay')
  t.same([await built.api.deleteDue(), await built.api.delete((await built.create()).id as UserId)], [0, null])
  await t.rejects(built.api.delete(id as UserId), { code: 'FST_USERS_NOT_FOUND' })
})

t.test('USR-09: a deletion needs a fresh login or the current password, whatever sensitiveChanges is', async (t) => {
  for (const [own, sensitiveChanges] of [[{}, 'confirm'], [LATER, 'confirm'], [{}, 'immediate'], [LATER, 'immediate']] as const) {
    const built = await startApp(t, own, { sensitiveChanges })
    await built.create()
    const headers = await built.bearer(ARTHUR)
    built.tick(301)
    const stale = await built.send('DELETE', '/users/me', undefined, headers)
    t.match([stale.statusCode, stale.json()], [401, { code: 'FST_USERS_INSUFFICIENT_USER_AUTHENTICATION' }])
    const wrong = await built.send('DELETE', '/users/me', { current_password: 'wrong' }, headers)
    assertErrorReply(t, wrong, 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
    t.match(await built.app.users.getByEmail(ARTHUR), { is_active: true })
    const right = await built.send('DELETE', '/users/me', { current_password: PASSWORD }, headers)
    t.equal(right.statusCode, own === LATER ? 202 : 204)
  }
})

t.test('USR-07: the last superuser cannot delete their account', async (t) => {
  for (const own of [{}, LATER]) {
    const built = await startApp(t, own)
    await built.create({ email: MERLIN, is_superuser: true })
    const headers = await built.bearer(MERLIN)
    assertErrorReply(t, await built.send('DELETE', '/users/me', undefined, headers), 400, 'LAST_SUPERUSER')
    t.match(await built.app.users.getByEmail(MERLIN), { is_active: true })
    t.same(await built.store.rows('account_deletion'), [])
    await built.create({ is_superuser: true })
    t.ok((await built.send('DELETE', '/users/me', undefined, headers)).statusCode < 300)
    t.equal((await built.send('GET', '/users/me', undefined, headers)).statusCode, 401)
  }
})

t.test('CSRF-01: another site cannot delete an account', async (t) => {
  const built = await startApp(t)
  await built.create()
  const headers = { ...(await built.cookie(ARTHUR)), origin: 'https://evil.bt', 'sec-fetch-site': 'cross-site' }
  assertErrorReply(t, await built.send('DELETE', '/users/me', undefined, headers), 403, 'CROSS_SITE_REQUEST', 'Forbidden')
  t.ok(await built.app.users.getByEmail(ARTHUR))
})

t.test('with a delay, the account is deactivated, its sessions end, and it is deleted later', async (t) => {
  const built = await startApp(t, LATER)
  const { id } = await built.create()
  const sessions = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)] as const
  const { key } = (await built.send('POST', '/users/me/api-keys', { name: 'a', scopes: ['read'] }, sessions[0])).json<{ key: string }>()
  const reply = await built.send('DELETE', '/users/me', undefined, sessions[0])
  t.equal(reply.statusCode, 202)
  const { deletes_at: time } = reply.json<{ deletes_at: string }>()
  t.ok(Math.abs(new Date(time).getTime() - Date.now() - 30 * DAY * 1000) < 60_000)
  t.match(await built.app.users.get(id as UserId), { is_active: false })
  for (const headers of [...sessions, { authorization: `Bearer ${key}` }]) {
    t.equal((await built.send('GET', '/reports', undefined, headers)).statusCode, 401)
  }
  assertErrorReply(t, await built.login('jwt', ARTHUR), 400, 'LOGIN_BAD_CREDENTIALS')
  t.notOk((await built.store.dump()).includes(await built.undoToken()), 'the token is stored as a digest')

  built.tick(30 * DAY - 10)
  t.equal(await built.api.deleteDue(), 0, 'not yet')
  built.tick(100)
  t.equal(await built.api.deleteDue(), 1)
  t.equal(await built.app.users.get(id as UserId), null)
  t.same(await built.store.rows('account_deletion'), [])
  t.same(deletionsOf(built), ['onAfterRequestDeletion', 'onBeforeDelete', 'onAfterDelete', 'onAfterDeleteAccount'])
  assertErrorReply(t, await built.send('POST', '/auth/undo-deletion', { token: await built.undoToken() }), 400, 'UNDO_DELETION_BAD_TOKEN')
})

t.test('the mailed token undoes the deletion once, and wrong tokens do not', async (t) => {
  const built = await startApp(t, LATER)
  const { id } = await built.create()
  const undo = (token: unknown) => built.send('POST', '/auth/undo-deletion', { token })
  await built.send('DELETE', '/users/me', undefined, await built.bearer(ARTHUR))
  const first = await built.undoToken()
  await built.api.delete(id as UserId)
  const token = await built.undoToken()
  for (const wrong of [first, '', 'x', token.slice(1), `${token}x`, 'A'.repeat(43)]) {
    assertErrorReply(t, await undo(wrong), 400, 'UNDO_DELETION_BAD_TOKEN')
  }
  assertValidationError(t, await undo({ gt: '' }), ['/token'])
  t.equal((await built.send('GET', `/auth/undo-deletion?token=${token}`)).statusCode, 404)
  const replies = await Promise.all([undo(token), undo(token)])
  t.ok(replies.every(({ statusCode }) => statusCode === 204 || statusCode === 400))
  assertErrorReply(t, await undo(token), 400, 'UNDO_DELETION_BAD_TOKEN')
  t.same(deletionsOf(built).filter((name) => name === 'onAfterUndoDeletion'), ['onAfterUndoDeletion'])
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 200)
  built.tick(31 * DAY)
  t.equal(await built.api.deleteDue(), 0)

  await built.api.delete(id as UserId)
  const late = await built.undoToken()
  t.ok(await built.api.cancelDeletion(id as UserId))
  t.notOk(await built.api.cancelDeletion(id as UserId))
  assertErrorReply(t, await undo(late), 400, 'UNDO_DELETION_BAD_TOKEN')
  t.match(await built.app.users.get(id as UserId), { is_active: true })
})

t.test('a user who is active again, or deleted by a superuser, is not deleted by the job', async (t) => {
  const built = await startApp(t, LATER)
  const [arthur, merlin] = [await built.create(), await built.create({ email: MERLIN })]
  for (const { id } of [arthur, merlin]) await built.api.delete(id as UserId)
  await built.app.users.update(arthur, { is_active: true })
  await built.app.users.delete(merlin)
  t.same(await built.store.rows('account_deletion'), [])
  built.tick(31 * DAY)
  t.equal(await built.api.deleteDue(), 0)
  t.match(await built.app.users.get(arthur.id as UserId), { is_active: true })
  t.same(await built.store.rows('account_deletion'), [])
})

/** Superusers who block or activate users, and users who ask for a deletion. */
async function startCourt (t: Test, options: Partial<UsersOptions> = {}) {
  const built = await startApp(t, LATER, options)
  const { id } = await built.create()
  await built.create({ email: MERLIN, is_superuser: true })
  return {
    ...built,
    id: id as UserId,
    isActive: async () => (await built.app.users.get(id as UserId))?.is_active,
    undo: (token: string) => built.send('POST', '/auth/undo-deletion', { token }),
    async request () {
      const reply = await built.send('DELETE', '/users/me', undefined, await built.bearer(ARTHUR))
      t.equal(reply.statusCode, 202)
      return await built.undoToken()
    },
    async setActive (isActive: boolean) {
      const headers = await built.bearer(MERLIN)
      t.equal((await built.send('PATCH', `/users/${id}`, { is_active: isActive }, headers)).statusCode, 200)
    }
  }
}

t.test('USR-10: a user who is blocked after a request stays blocked and is not deleted', async (t) => {
  const { setActive, request, undo, isActive, api, id, tick, store } = await startCourt(t)
  const blocked = await request()
  await setActive(false)
  assertErrorReply(t, await undo(blocked), 400, 'UNDO_DELETION_BAD_TOKEN')
  t.equal(await api.cancelDeletion(id), false)
  await t.rejects(api.delete(id), { code: 'FST_USERS_NOT_FOUND' }, 'an undo would activate the user')
  t.same([await isActive(), await store.rows('account_deletion')], [false, []])

  await setActive(true)
  const stale = await request()
  await setActive(true)
  t.same(await store.rows('account_deletion'), [], 'a superuser has decided')
  await setActive(false)
  assertErrorReply(t, await undo(stale), 400, 'UNDO_DELETION_BAD_TOKEN')
  tick(31 * DAY)
  t.same([await api.deleteDue(), await isActive()], [0, false])
})

t.test('USR-10: a block at the same time as a request or its undo wins', async (t) => {
  const { app, store, request, undo, isActive, api, id } = await startCourt(t)
  const active = await store.snapshot()
  const token = await request()
  const requested = await store.snapshot()
  const block = (): Promise<unknown> => app.users.update(id, { is_active: false })
  const works: [string, () => Promise<void>, () => Promise<unknown>][] = [
    ['request', active, () => api.delete(id)],
    ['second request', requested, () => api.delete(id)],
    ['undo', requested, () => undo(token)],
    ['cancellation', requested, () => api.cancelDeletion(id)]
  ]
  for (const [name, restore, work] of works) {
    for (const [outer, inner] of [[work, block], [block, work]] as const) {
      let isDone = true
      for (let at = 1; isDone; at++) {
        await restore()
        isDone = false
        store.watch(async ({ n, proceed }) => {
          if (n === at && !isDone) {
            isDone = true
            await inner().catch(() => {})
          }
          return await proceed()
        })
        await outer().catch(() => {})
        store.watch()
        if (!isDone) t.ok(at > 2, `${name}: all calls`)
        else t.same([await isActive(), await store.rows('account_deletion')], [false, []], `${name}: call ${at}`)
      }
    }
  }
})

t.test('a deletion that is cancelled while onBeforeDelete runs does not take place', async (t) => {
  let during: (id: UserId) => Promise<unknown> = async () => {}
  const onBeforeDelete = async ({ user }: { user: User }): Promise<void> => {
    await during(user.id as UserId)
  }
  const built = await startCourt(t, { hooks: { onBeforeDelete } })
  const { api, id, request, tick, isActive } = built
  await request()
  tick(31 * DAY)
  let cancelled: unknown
  during = async () => {
    cancelled = await api.cancelDeletion(id)
  }
  t.same([await api.deleteDue(), cancelled, await isActive()], [1, false, undefined], 'it is too late')

  for (const change of [
    async (arthur: UserId) => await built.app.users.update(arthur, { is_active: true }),
    async (arthur: UserId) => {
      tick(301) // the claim has ended
      t.ok(await api.cancelDeletion(arthur))
    }
  ]) {
    const other = await built.create()
    await api.delete(other)
    tick(31 * DAY)
    during = change
    t.equal(await api.deleteDue(), 0)
    t.match(await built.app.users.get(other.id as UserId), { is_active: true })
    t.same(await built.store.rows('account_deletion'), [])
    during = async () => {}
    await built.app.users.delete(other)
  }
})

t.test('accounts whose deletion is refused do not block those of others, and can be kept', async (t) => {
  const onBeforeDelete = ({ user }: { user: User }): void => {
    if (user.email !== ARTHUR) throw new Error('unpaid')
  }
  const built = await startApp(t, { deletionDelaySeconds: 60 }, { hooks: { onBeforeDelete } })
  let last: UserId | null = null
  for (let n = 0; n < 100; n++) {
    const { id } = await built.create({ email: `n${n}@camelot.bt` })
    await built.api.delete(id as UserId)
    last = id as UserId
  }
  built.tick(5)
  await built.api.delete((await built.create()).id as UserId)
  built.tick(600)
  t.same([await built.api.deleteDue(), await built.api.deleteDue()], [0, 1])
  t.ok(await built.api.cancelDeletion(last as UserId))
})

t.test('VER-06: a deletion that an attacker requests does not prevent the undo of an e-mail change', async (t) => {
  for (const sensitiveChanges of ['immediate', 'confirm'] as const) {
    const built = await startApp(t, LATER, { tokens: { undo: {} }, sensitiveChanges })
    const { id } = await built.create({ is_verified: true })
    await built.send('PATCH', '/users/me', { email: MORDRED }, await built.bearer(ARTHUR))
    if (sensitiveChanges === 'confirm') {
      await built.send('POST', '/auth/verify', { token: await built.tokenOf('onAfterRequestVerify') })
    }
    const token = await built.tokenOf('onAfterEmailChange')
    t.equal((await built.send('DELETE', '/users/me', undefined, await built.bearer(MORDRED))).statusCode, 202)
    const deletion = await built.undoToken()
    t.equal((await built.send('POST', '/auth/undo-email-change', { token })).statusCode, 200)
    t.match(await built.app.users.get(id as UserId), { email: ARTHUR, is_active: true })
    t.same(await built.store.rows('account_deletion'), [])
    assertErrorReply(t, await built.send('POST', '/auth/undo-deletion', { token: deletion }), 400, 'UNDO_DELETION_BAD_TOKEN')
    built.tick(31 * DAY)
    t.equal(await built.api.deleteDue(), 0)
  }
  // the attacker asks again while the undo is under way
  const racing = await startApp(t, LATER, { tokens: { undo: {} } })
  const arthur = await racing.create({ is_verified: true })
  await racing.send('PATCH', '/users/me', { email: MORDRED }, await racing.bearer(ARTHUR))
  const undo = await racing.tokenOf('onAfterEmailChange')
  const restore = await racing.store.snapshot()
  let isAsked = true
  for (let at = 1; isAsked; at++) {
    await restore()
    isAsked = false
    racing.store.watch(async ({ n, proceed }) => {
      if (n === at && !isAsked) {
        isAsked = true
        await racing.api.delete(arthur)
      }
      return await proceed()
    })
    const reply = await racing.send('POST', '/auth/undo-email-change', { token: undo })
    racing.store.watch()
    if (reply.statusCode !== 200) t.equal((await racing.send('POST', '/auth/undo-email-change', { token: undo })).statusCode, 200, `call ${at}`)
    t.match(await racing.app.users.get(arthur.id as UserId), { email: ARTHUR })
  }
  // a superuser has blocked the user
  const built = await startApp(t, LATER, { tokens: { undo: {} } })
  const { id } = await built.create({ is_verified: true })
  await built.send('PATCH', '/users/me', { email: MORDRED }, await built.bearer(ARTHUR))
  const token = await built.tokenOf('onAfterEmailChange')
  await built.send('DELETE', '/users/me', undefined, await built.bearer(MORDRED))
  await built.app.users.update(id as UserId, { is_active: false })
  assertErrorReply(t, await built.send('POST', '/auth/undo-email-change', { token }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
  t.match(await built.app.users.get(id as UserId), { is_active: false })
})

t.test('a process that is killed during a deletion loses nothing, and a refusal by a hook is tried again', async (t) => {
  let refuses = true
  const onBeforeDelete = (): void => {
    if (refuses) throw new Error('not now')
  }
  const built = await startApp(t, LATER, { hooks: { onBeforeDelete } })
  const { id } = await built.create()
  await built.api.delete(id as UserId)
  built.tick(31 * DAY)
  t.equal(await built.api.deleteDue(), 0)
  refuses = false
  t.equal(await built.api.deleteDue(), 0, 'it is tried again after an hour')
  built.tick(3600 + 61)
  // the process ends after each of its calls to the store, one after the other
  const restore = await built.store.snapshot()
  let calls = 0
  built.store.watch(({ n, proceed }) => {
    calls = n
    return proceed()
  })
  t.equal(await built.api.deleteDue(), 1)
  const total = calls
  for (let last = 1; last < total; last++) {
    await restore()
    built.store.watch(({ n, proceed }) => {
      if (n > last) throw new Error('killed')
      return proceed()
    })
    await built.api.deleteDue().catch(() => {})
    built.store.watch()
    built.tick(301)
    await built.api.deleteDue()
    t.equal(await built.app.users.get(id as UserId), null, `after ${last} of ${total} calls`)
    t.same(await built.store.rows('account_deletion'), [])
  }
})

t.test('a process that is killed during a request leaves an active account, or one that is deleted later', async (t) => {
  const built = await startApp(t, LATER)
  const { id } = await built.create()
  const restore = await built.store.snapshot()
  let calls = 0
  built.store.watch(({ n, proceed }) => {
    calls = n
    return proceed()
  })
  await built.api.delete(id as UserId)
  const total = calls
  for (let last = 1; last < total; last++) {
    await restore()
    built.store.watch(({ n, proceed }) => {
      if (n > last) throw new Error('killed')
      return proceed()
    })
    await built.api.delete(id as UserId).catch(() => {})
    built.store.watch()
    const { is_active: isActive } = (await built.app.users.get(id as UserId)) as User
    built.tick(31 * DAY)
    await built.api.deleteDue()
    t.equal((await built.app.users.get(id as UserId)) !== null, isActive, `after ${last} of ${total} calls`)
    t.same(await built.store.rows('account_deletion'), [])
  }
})

for (const { name, options, open } of everyStore) {
  t.test(`${name}: two processes delete each account that is due once`, options, async (t) => {
    const connect = await open(t)
    const first = await startApp(t, LATER, { adapter: connect() })
    const second = await startApp(t, LATER, { adapter: connect() })
    for (const email of [ARTHUR, MERLIN]) await first.api.delete((await first.create({ email })).id as UserId)
    for (const { tick } of [first, second]) tick(31 * DAY)
    const counts = await Promise.all([first.api.deleteDue(), second.api.deleteDue()])
    t.equal(counts[0] + counts[1], 2)
    for (const email of [ARTHUR, MERLIN]) t.equal(await second.app.users.getByEmail(email), null)
    t.equal([first, second].flatMap(deletionsOf).filter((event) => event === 'onAfterDeleteAccount').length, 2)
  })
}

t.test('a user exports their account as a file', async (t) => {
  const built = await startApp(t, {}, { limits: { store: 'memory' } })
  await built.create()
  const headers = await built.cookie(ARTHUR)
  t.equal((await built.send('GET', '/users/me/export')).statusCode, 401)
  const reply = await built.send('GET', '/users/me/export', undefined, headers)
  t.match([reply.statusCode, reply.headers['content-disposition'], reply.headers['cache-control']], [
    200,
    'attachment; filename="account.json"',
    'no-store'
  ])
  const { exported_at: _, ...data } = reply.json<Record<string, unknown>>()
  t.match(data, { user: { email: ARTHUR }, sessions: [{ methods: ['password'] }], features: { 'api-keys': { keys: [] } } })
  t.notMatch(reply.body, /hashed_password|stamp|digest|\$argon2/)
  built.tick(301)
  const old = await built.send('GET', '/users/me/export', undefined, headers)
  t.match([old.statusCode, old.json()], [401, { code: 'FST_USERS_INSUFFICIENT_USER_AUTHENTICATION' }], 'a fresh login is needed')
  Object.assign(headers, await built.cookie(ARTHUR))
  const statuses = []
  for (let n = 0; n < 21; n++) statuses.push((await built.send('GET', '/users/me/export', undefined, headers)).statusCode)
  t.equal(statuses.at(-1), 429, 'exports are limited')
})

t.test('routes can be switched off, and invalid options stop the start', async (t) => {
  const built = await startApp(t, { routes: { delete: false, export: false } })
  await built.create()
  const headers = await built.bearer(ARTHUR)
  t.equal((await built.send('DELETE', '/users/me', undefined, headers)).statusCode, 403, 'the route of superusers')
  t.equal((await built.send('GET', '/users/me/export', undefined, headers)).statusCode, 404)
  for (const own of [{ deletionDelaySeconds: -1 }, { deletionDelaySeconds: 1.5 }, { deletionDelaySeconds: 366 * DAY }, { routes: { export: 'no' } }]) {
    await t.rejects(startApp(t, own as never), { code: 'FST_USERS_INVALID_OPTION' }, JSON.stringify(own))
  }
  for (const own of [{ delay: 1 }, { routes: { undo: false } }]) {
    await t.rejects(startApp(t, own as never), { code: 'FST_USERS_UNKNOWN_OPTION' })
  }
})
