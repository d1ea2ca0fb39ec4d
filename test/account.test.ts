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

t.test('a user deletes the own account, with all its sessions and keys', async (t) => {
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

t.test('USR-09: with sensitiveChanges confirm, a deletion needs a confirmation', async (t) => {
  for (const own of [{}, LATER]) {
    const built = await startApp(t, own, { sensitiveChanges: 'confirm' })
    await built.create()
    const headers = await built.bearer(ARTHUR)
    const wrong = await built.send('DELETE', '/users/me', { current_password: 'wrong' }, headers)
    assertErrorReply(t, wrong, 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
    t.match(await built.app.users.getByEmail(ARTHUR), { is_active: true })
    const right = await built.send('DELETE', '/users/me', { current_password: PASSWORD }, headers)
    t.equal(right.statusCode, own === LATER ? 202 : 204)
  }
})

t.test('USR-07: the last superuser cannot delete the own account', async (t) => {
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
  t.same((await built.store.rows('account_deletion')).map(({ id }) => id), [arthur.id])
  built.tick(31 * DAY)
  t.equal(await built.api.deleteDue(), 0)
  t.match(await built.app.users.get(arthur.id as UserId), { is_active: true })
  t.same(await built.store.rows('account_deletion'), [])
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
  t.equal(await built.api.deleteDue(), 0, 'the deletion is claimed for five minutes')
  built.tick(301)
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

t.test('a user exports the own account as a file', async (t) => {
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
