import { setTimeout as delay } from 'node:timers/promises'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { FST_USERS_STORE_UNAVAILABLE, type AuditEvent, type Feature } from '../lib/index.js'
import { audit, type AuditApi, type AuditFeatureOptions, type AuditPage } from '../lib/features/audit/index.js'
import { memory } from '../lib/entries/memory.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, assertErrorReply, assertValidationError, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'

const MERLIN = 'merlin@camelot.bt'
const DAY = 24 * 60 * 60

const apiOf = ({ app }: TestApp): AuditApi => app.users.feature('audit')

/** Waits until all events so far are stored. */
async function stored (built: TestApp): Promise<void> {
  await built.app.users.settled()
  await apiOf(built).flush()
}

async function superuser (built: TestApp): Promise<{ authorization: string }> {
  await built.create({ email: MERLIN, is_superuser: true, is_verified: true })
  return await built.bearer(MERLIN)
}

/** Reads events as a superuser. */
async function read (
  built: TestApp,
  headers: Record<string, string>,
  query: Record<string, string> = {}
): Promise<AuditPage> {
  const reply = await built.send('GET', `/audit-events?${new URLSearchParams(query).toString()}`, undefined, headers)
  if (reply.statusCode !== 200) throw new Error(`${reply.statusCode} ${reply.body}`)
  return reply.json<AuditPage>()
}

const namesOf = ({ events }: AuditPage): string[] => events.map(({ event, outcome }) => `${event} ${outcome}`)

for (const { name, options, open } of everyStore) {
  t.test(`superusers read the stored events page by page, the newest first (${name})`, options, async (t) => {
    const makeAdapter = await open(t)
    const built = await buildApp(t, { adapter: makeAdapter(), features: [audit()] })
    const { id } = await built.create()
    const admin = await superuser(built)
    await built.login('jwt', ARTHUR, 'wrong')
    built.tick(1)
    await built.login('jwt', ARTHUR)
    built.tick(1)
    await built.send('PATCH', `/users/${id}`, { is_verified: true }, admin)
    await stored(built)

    const all = await read(built, admin)
    t.equal(all.next, null)
    t.same(namesOf(all).slice(0, 2).sort(), ['session.end success', 'user.update success'])
    t.same(namesOf(all).slice(2, 4), ['login success', 'login failure'])
    const [, , login] = all.events
    t.match(login, { actor_id: String(id), target_id: String(id), ip: '127.0.0.1', target_email: 'k***@camelot.bt', method: 'password', backend: 'jwt', tenant: 'users', details: {} })
    t.equal(new Date(String(login?.time)).toISOString(), login?.time)
    t.equal(new Set(all.events.map(({ id: eventId }) => eventId)).size, all.events.length)

    const pages: AuditPage['events'] = []
    let after: string | null = null
    do {
      const page: AuditPage = await read(built, admin, { limit: '2', ...(after === null ? {} : { after }) })
      t.ok(page.events.length <= 2)
      pages.push(...page.events)
      after = page.next
      await built.login('jwt', ARTHUR, 'wrong') // a new event moves no page
      await stored(built)
    } while (after !== null)
    t.same(pages, all.events)

    t.same(namesOf(await read(built, admin, { event: 'login', outcome: 'success', user: String(id) })), ['login success'])
    const byAdmin = await read(built, admin, { actor: String((await built.app.users.getByEmail(MERLIN))?.id), event: 'user.update' })
    t.match(byAdmin.events, [{ actor_type: 'superuser', target_id: String(id), details: { fields: 'is_verified', is_verified: true } }])
    const { time = '' } = login as AuditEvent
    t.same(namesOf(await read(built, admin, { from: time, event: 'login', outcome: 'success' })), ['login success'])
    t.same((await read(built, admin, { to: time, event: 'login', outcome: 'success', user: String(id) })).events, [])

    await built.app.users.delete(id)
    await stored(built)
    t.same(namesOf(await read(built, admin, { user: String(id) })).at(0), 'user.delete success', 'events outlive their users')
  })

  t.test(`old events are deleted after keepDays (${name})`, options, async (t) => {
    const makeAdapter = await open(t)
    const built = await buildApp(t, { adapter: makeAdapter(), features: [audit({ keepDays: 30 })] })
    await built.create()
    await stored(built)
    built.tick(29 * DAY)
    await built.login('jwt', ARTHUR, 'wrong')
    await stored(built)
    await built.app.users.settled()
    t.equal((await apiOf(built).list()).events.length, 2)
    built.tick(2 * DAY)
    await built.login('jwt', ARTHUR, 'wrong') // deletes in the background
    await stored(built)
    await built.app.users.settled()
    t.same(namesOf(await apiOf(built).list()), ['login failure', 'login failure'])
    built.tick(60 * DAY)
    t.equal(await apiOf(built).prune(), 2)
  })
}

t.test('without keepDays, events stay for ever', async (t) => {
  const built = await buildApp(t, { features: [audit({ keepDays: null })] })
  await built.create()
  await stored(built)
  built.tick(10_000 * DAY)
  t.equal(await apiOf(built).prune(), 0)
  t.equal((await apiOf(built).list()).events.length, 1)
})

t.test('USR-11: only superusers read events, and the query is checked', async (t) => {
  const built = await buildApp(t, { features: [audit()] })
  await built.create()
  const admin = await superuser(built)
  assertErrorReply(t, await built.send('GET', '/audit-events'), 401, 'UNAUTHENTICATED', 'Unauthorized')
  assertErrorReply(t, await built.send('GET', '/audit-events', undefined, await built.bearer(ARTHUR)), 403, 'FORBIDDEN', 'Forbidden')
  for (const [name, value] of [
    ['limit', '0'],
    ['limit', '101'],
    ['limit', '1e1'],
    ['limit', '1e9'],
    ['after', 'x'],
    ['from', 'yesterday'],
    ['outcome', 'maybe'],
    ['user', 'x'.repeat(65)]
  ] as const) {
    const reply = await built.send('GET', `/audit-events?${name}=${value}`, undefined, admin)
    assertValidationError(t, reply, [`/${name}`], `${name}=${value}`)
  }
  t.equal((await built.send('GET', '/audit-events?limit=100', undefined, admin)).statusCode, 200)
})

t.test('no route and no function changes or deletes single events', async (t) => {
  const built = await buildApp(t, { features: [audit()] })
  t.same(Object.keys(apiOf(built)).sort(), ['counts', 'flush', 'list', 'prune'])
  const own = built.routes.filter(({ url }) => url.startsWith('/audit-events'))
  t.same(own.map(({ method, url }) => `${String(method)} ${url}`), ['GET /audit-events'])
})

t.test('the route can be moved and switched off', async (t) => {
  const moved = await buildApp(t, { features: [audit({ routes: { prefix: '/admin/audit' } })] })
  t.equal((await moved.send('GET', '/admin/audit')).statusCode, 401)
  const off = await buildApp(t, { features: [audit({ routes: false })] })
  t.equal((await off.send('GET', '/audit-events')).statusCode, 404)
})

t.test('wrong options stop the start', async (t) => {
  for (const options of [
    { keepDays: 0 },
    { keepDays: 1.5 },
    { keepDays: '30' },
    { flushMs: -1 },
    { maxQueued: 0 },
    { keepDay: 30 },
    { routes: {} }
  ]) {
    await t.rejects(buildApp(t, { features: [audit(options as AuditFeatureOptions)] }), { code: /^FST_USERS_(INVALID|UNKNOWN)_OPTION$/ }, JSON.stringify(options))
  }
})

t.test('AUD-02: a store that fails for events changes no reply, is logged, and loses nothing when it works again', async (t) => {
  const lines: string[] = []
  const store = watchedAdapter(memory())
  const logger = { level: 'warn', stream: { write: (line: string) => lines.push(line) } }
  const built = await buildApp(t, { adapter: store.adapter, features: [audit()] }, undefined, { logger })
  await built.create()
  await stored(built)
  const expected = await built.login('jwt', ARTHUR, 'wrong')
  await stored(built)
  store.watch(({ model, proceed }) => {
    if (model.name === 'audit_event') throw FST_USERS_STORE_UNAVAILABLE()
    return proceed()
  })
  const replies: LightMyRequestResponse[] = []
  for (let n = 0; n < 3; n++) {
    replies.push(await built.login('jwt', ARTHUR, 'wrong'))
    await stored(built)
  }
  for (const reply of replies) t.same([reply.statusCode, reply.body], [expected.statusCode, expected.body])
  t.same(apiOf(built).counts(), { waiting: 3, stored: 2, dropped: 0 })
  t.equal(lines.filter((line) => line.includes('audit events wait')).length, 1, 'it is logged once')
  store.watch()
  await apiOf(built).flush()
  t.same(apiOf(built).counts(), { waiting: 0, stored: 5, dropped: 0 })
  t.equal(lines.filter((line) => line.includes('stored again')).length, 1)
  t.equal((await apiOf(built).list()).events.length, 5)
})

t.test('AUD-02: events that too many other events precede are dropped, counted and logged', async (t) => {
  const lines: string[] = []
  const store = watchedAdapter(memory())
  const logger = { level: 'warn', stream: { write: (line: string) => lines.push(line) } }
  const features = [audit({ maxQueued: 2 })]
  const built = await buildApp(t, { adapter: store.adapter, features }, undefined, { logger })
  await built.create()
  await stored(built)
  let release = (): void => {}
  const blocked = new Promise<void>((resolve) => {
    release = resolve
  })
  store.watch(async ({ model, proceed }) => {
    if (model.name === 'audit_event') await blocked // a store that is slow for events only
    return proceed()
  })
  for (let n = 0; n < 5; n++) {
    t.equal((await built.login('jwt', ARTHUR, 'wrong')).statusCode, 400)
    await built.app.users.settled()
  }
  t.same(apiOf(built).counts(), { waiting: 2, stored: 1, dropped: 3 })
  t.equal(lines.filter((line) => line.includes('are dropped')).length, 1)
  release()
  await apiOf(built).flush()
  t.same(apiOf(built).counts(), { waiting: 0, stored: 3, dropped: 3 })
})

t.test('events that a store refuses for good are dropped, and later ones are stored', async (t) => {
  const store = watchedAdapter(memory())
  const built = await buildApp(t, { adapter: store.adapter, features: [audit()] })
  await built.create()
  await stored(built)
  store.watch(({ model, proceed }) => {
    if (model.name === 'audit_event') throw new TypeError('a bug')
    return proceed()
  })
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 200)
  await stored(built)
  store.watch()
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 200)
  await stored(built)
  t.same(apiOf(built).counts(), { waiting: 0, stored: 2, dropped: 1 })
})

t.test('an event that was stored before a lost reply is not stored twice', async (t) => {
  const store = watchedAdapter(memory())
  const built = await buildApp(t, { adapter: store.adapter, features: [audit()] })
  store.watch(async ({ model, proceed }) => {
    await proceed()
    if (model.name === 'audit_event') throw FST_USERS_STORE_UNAVAILABLE()
  })
  await built.app.users.create({ email: ARTHUR, password: PASSWORD }).catch(() => {})
  await stored(built)
  store.watch()
  await apiOf(built).flush()
  const { events } = await apiOf(built).list()
  t.equal(new Set(events.map(({ id }) => id)).size, events.length)
  t.equal(apiOf(built).counts().waiting, 0)
})

t.test('waiting events are stored when the application closes', async (t) => {
  const store = memory()
  const first = await buildApp(t, { adapter: store, features: [audit({ flushMs: 60_000 })] })
  await first.create()
  await first.login('jwt', ARTHUR, 'wrong')
  await first.app.close()
  const second = await buildApp(t, { adapter: store, features: [audit()] })
  t.same(namesOf(await apiOf(second).list()), ['login failure', 'user.register success'])
})

t.test('events of work that still runs in the background are stored when the application closes', async (t) => {
  const store = memory()
  let finish: () => void = () => {}
  const late = new Promise<void>((resolve) => {
    finish = resolve
  })
  const feature: Feature = {
    name: 'late',
    setup: ({ audit, background }) => ({
      hooks: {
        onAfterLogin ({ user }, { reply }) {
          background(async () => {
            await late
            audit.emit({ event: 'user.update', user }, { request: null, reply: null })
          }, reply)
        }
      }
    })
  }
  const first = await buildApp(t, { adapter: store, features: [audit({ flushMs: 60_000 }), feature] })
  await first.create()
  await first.login('jwt', ARTHUR)
  const closed = first.app.close()
  setImmediate(finish)
  await closed
  const second = await buildApp(t, { adapter: store, features: [audit()] })
  t.ok(namesOf(await apiOf(second).list()).includes('user.update success'))
})

t.test('events are stored without a call after flushMs', async (t) => {
  const built = await buildApp(t, { features: [audit({ flushMs: 0 })] })
  await built.create()
  await built.app.users.settled()
  while (apiOf(built).counts().waiting > 0) await delay(1)
  t.equal(apiOf(built).counts().stored, 1)
})
