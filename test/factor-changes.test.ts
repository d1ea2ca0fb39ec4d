// Changes of second factors that overlap with logins or fail: what remains of sessions, cookies and events.
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { memory } from '../lib/entries/memory.js'
import { passkeys } from '../lib/features/passkeys/index.js'
import { bearerTransport, cookieTransport, databaseStrategy, type UserId, type UsersOptions } from '../lib/index.js'
import { createAuthenticator } from './helpers/authenticator.js'
import { collectAuditEvents } from './helpers/audited-events.js'
import { ARTHUR, buildApp, type TestApp } from './helpers/build-app.js'
import { everyStore, type EveryStore } from './helpers/every-store.js'
import { bearerOf, buildWithPasskeys, PASSKEYS, PUBLIC_URL, type Assertion, type Creation } from './helpers/passkey-app.js'
import { browserOf, buildTotpApp, TOTP, totpFeatures, type TotpApp } from './helpers/totp-app.js'
import { watchedAdapter, type WatchedAdapter } from './fixtures/watched-adapter.js'

const MERLIN = 'merlin@camelot.bt'
const connectionLost = (): Error => Object.assign(new Error('lost'), { code: 'ECONNRESET' })
const secondFactors = { trustedDevices: {} }
/** Backends that all store their sessions. */
const storing: UsersOptions['backends'] = [
  { name: 'jwt', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) },
  { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
]

/** Two processes with one store. A user of the first one has an app whose secret a thief knows. */
interface Processes {
  first: TotpApp
  second: TestApp
  /** The stores of the processes. */
  stores: readonly [WatchedAdapter, WatchedAdapter]
  id: UserId
  secret: string
  codes: string[]
  headers: Record<string, string>
}

async function startProcesses (t: Test, store: EveryStore, options: Partial<UsersOptions> = {}): Promise<Processes> {
  const open = await store.open(t)
  const stores = [watchedAdapter(open()), watchedAdapter(open())] as const
  const first = await buildTotpApp(t, { adapter: stores[0].adapter, secondFactors, ...options })
  const { clock } = first
  const other = { adapter: stores[1].adapter, secondFactors, features: totpFeatures(), clock }
  const second = await buildApp(t, { ...other, ...options })
  const { user, ...enrolled } = await first.enrol()
  await first.create({ email: MERLIN, is_superuser: true, is_verified: true })
  return { first, second, stores, id: user.id as UserId, ...enrolled }
}

/** Logs in at the second process with the password and a code of the app, and trusts the browser. */
async function enter ({ first, second, secret }: Processes, backend: 'jwt' | 'cookie'): Promise<LightMyRequestResponse> {
  const pending = await second.login(backend, ARTHUR)
  const { ticket } = pending.json<{ detail: { ticket: string } }>().detail
  const body = { ticket, code: first.codeOf(secret), ...(backend === 'cookie' ? { trust_device: true } : {}) }
  return await second.send('POST', `/auth/${backend}/login/totp`, body, browserOf(pending))
}

const statusOf = async ({ send }: Pick<TestApp, 'send'>, headers: Record<string, string>): Promise<number> =>
  (await send('GET', '/users/me', undefined, headers)).statusCode

/** The ways in which factors are removed. */
const removals: readonly [name: string, backends: UsersOptions['backends'] | null, remove: (app: Processes) => Promise<void>][] = [
  ['by its user', null, async ({ first, codes, headers }) => {
    const reply = await first.send('DELETE', TOTP, { code: codes[0] }, headers)
    if (reply.statusCode !== 204 || (await statusOf(first, browserOf(reply))) !== 200) throw new Error(reply.body)
  }],
  ['by its user with a stored bearer token', storing, async ({ first, codes, id }) => {
    const { users } = first.app
    const user = await users.get(id)
    const { issued } = user === null ? {} : await users.login(user, { backend: 'jwt', method: 'passkey' })
    const reply = await first.send('DELETE', TOTP, { code: codes[0] }, { authorization: `Bearer ${issued?.token}` })
    if (reply.statusCode !== 204) throw new Error(reply.body)
  }],
  ['by code', null, async ({ first, id }) => {
    await first.app.users.removeSecondFactors(id)
  }],
  ['by a superuser', null, async ({ first, id }) => {
    const url = `/users/${String(id)}/second-factors`
    const reply = await first.send('DELETE', url, undefined, await first.bearer(MERLIN))
    if (reply.statusCode !== 204) throw new Error(reply.body)
  }]
]

for (const store of everyStore.filter(({ name }) => ['memory', 'PostgreSQL'].includes(name))) {
  for (const [name, backends, remove] of removals) {
    const options = backends === null ? {} : { backends }
    t.test(`SES-06: ${store.name}: no login with an app survives its removal ${name} in another process`, store.options, async (t) => {
      for (const backend of ['jwt', 'cookie'] as const) {
        const app = await startProcesses(t, store, options)
        let reply: LightMyRequestResponse | null = null
        app.stores[0].watch(async ({ method, model, proceed }) => {
          if (method === 'delete' && model.name === 'totp') reply ??= await enter(app, backend)
          return await proceed()
        })
        await remove(app)
        app.stores[0].watch()
        const entered = reply as LightMyRequestResponse | null
        t.equal(entered?.statusCode, backend === 'jwt' ? 200 : 204, 'the thief logs in immediately before the removal')
        if (entered === null) continue
        t.equal(await statusOf(app.second, backend === 'jwt' ? bearerOf(entered) : browserOf(entered)), 401)
        t.strictSame(await app.first.app.users.trustedDevices(app.id), [])
        t.strictSame(await app.first.app.users.secondFactors(app.id), [])
      }
    })

    t.test(`SES-06: ${store.name}: a login whose code is right before a removal ${name} creates no session after it`, store.options, async (t) => {
      const app = await startProcesses(t, store, options)
      const [own, others] = app.stores
      let login: Promise<LightMyRequestResponse> | null = null
      let finish = (): void => {}
      const isRemoved = new Promise<void>((resolve) => {
        finish = resolve
      })
      own.watch(async ({ method, model, proceed }) => {
        if (method === 'delete' && model.name === 'totp' && login === null) {
          await new Promise<void>((resolve) => {
            others.watch(async (call) => {
              if (call.method === 'create' && call.model.name === 'accesstoken') {
                resolve()
                await isRemoved
              }
              return await call.proceed()
            })
            login = enter(app, 'cookie')
          })
        }
        return await proceed()
      })
      await remove(app)
      finish()
      const reply = await (login as Promise<LightMyRequestResponse> | null)
      t.equal(reply?.statusCode, 400)
      t.match(reply?.json(), { code: 'FST_USERS_LOGIN_TICKET_INVALID' })
      t.strictSame(await app.first.app.users.trustedDevices(app.id), [])
    })
  }

  t.test(`SES-06: ${store.name}: no login with a stolen passkey survives its deletion in another process`, store.options, async (t) => {
    const open = await store.open(t)
    const { adapter, ...own } = watchedAdapter(open())
    const app = await buildWithPasskeys(t, { adapter })
    const second = await buildApp(t, { adapter: open(), publicUrl: PUBLIC_URL, features: [passkeys()] })
    const stolen = createAuthenticator(PUBLIC_URL)
    await app.own(app.device())
    const { id } = await app.own(stolen)
    const headers = await app.sessionOf()
    let reply: LightMyRequestResponse | null = null
    own.watch(async ({ method, model, proceed }) => {
      if (method === 'delete' && model.name === 'passkey' && reply === null) {
        const { ticket, options } = (await second.send('POST', '/auth/jwt/passkey/options')).json<Assertion>()
        reply = await second.send('POST', '/auth/jwt/passkey', { ticket, credential: stolen.get(options) })
      }
      return await proceed()
    })
    t.equal((await app.send('DELETE', `${PASSKEYS}/${id}`, undefined, headers)).statusCode, 204)
    const entered = reply as LightMyRequestResponse | null
    t.equal(entered?.statusCode, 200)
    t.equal(entered && await statusOf(second, bearerOf(entered)), 401)
  })
}

t.test('SES-06, SES-07: if the store fails during a removal, the thief has no session, and the user keeps the own one', async (t) => {
  const store = watchedAdapter(memory())
  const app = await buildTotpApp(t, { adapter: store.adapter })
  const { user, secret, codes, headers } = await app.enrol()
  const restore = await store.snapshot()
  const names: string[] = []
  const wasRemoved = new Set<boolean>()
  let reply = await app.send('GET', '/users/me')
  for (let at = 1; at === 1 || reply.statusCode !== 204; at++) {
    for (const isAfterCall of [false, true]) {
      await restore()
      let entered: LightMyRequestResponse | null = null
      let isAttacked = false
      let calls = 0
      store.watch(async ({ method, model, proceed }) => {
        if (isAttacked && entered === null) return await proceed()
        const isFault = ++calls === at
        if (method === 'delete' && model.name === 'totp' && !isAttacked) {
          isAttacked = true
          entered = await app.loginWith('totp', app.codeOf(secret))
        }
        if (isFault) names[at] = `${method} ${model.name}`
        if (isFault && !isAfterCall) throw connectionLost()
        const result = await proceed()
        if (isFault) throw connectionLost()
        return result
      })
      reply = await app.send('DELETE', TOTP, { code: codes[0] }, headers)
      store.watch()
      const label = `${isAfterCall ? 'after' : 'before'} call ${at}, ${names[at]}: ${reply.statusCode}`
      const isRemoved = (await store.rows('totp')).length === 0
      wasRemoved.add(isRemoved)
      const attack = entered as LightMyRequestResponse | null
      if (attack !== null) t.equal(await statusOf(app, bearerOf(attack)), 401, `${label}: no session of the thief`)
      const renewed = browserOf(reply)
      const own = renewed.cookie === '' ? headers : renewed
      t.equal(await statusOf(app, own), 200, `${label}: the session of the request`)
      if (renewed.cookie !== '') t.equal(await statusOf(app, headers), 401, `${label}: not with the old cookie`)
      const again = await app.send('DELETE', TOTP, { code: codes[1] }, own)
      t.equal(again.statusCode, isRemoved ? 404 : 204, `${label}: the request can be repeated`)
    }
  }
  t.strictSame([...wasRemoved].sort(), [false, true])
  t.ok(names.includes('delete totp') && names.includes('create accesstoken'))
  t.equal((await app.app.users.secondFactors(user.id as UserId)).length, 0)
})

t.test('a factor that is withdrawn because of an error is reported neither by a hook nor in the audit log, or its removal is reported', async (t) => {
  const audited = collectAuditEvents(t)
  const store = watchedAdapter(memory())
  let refuses = false
  // the listener comes after the one that records the events
  const app = await buildTotpApp(t, { adapter: store.adapter }, ({ users }) => {
    users.addHook('onLoginMethodAdded', () => {
      if (refuses) throw new Error('no mail')
    })
  })
  await app.create({ is_verified: true })
  const reported = (): string[] => {
    const hooks = app.events.map(({ name }) => name).filter((name) => name.startsWith('onLoginMethod'))
    const events = audited.map(({ event }) => event).filter((event) => event.startsWith('factor.'))
    app.events.length = 0
    audited.length = 0
    return [...hooks, ...events]
  }
  const headers = await app.session()
  for (const [model, expected] of [['accesstoken', []], [null, ['onLoginMethodAdded', 'onLoginMethodRemoved']]] as const) {
    const session = await app.session()
    const begun = await app.begin(session)
    refuses = model === null
    let isLost = false
    store.watch(({ method, model: { name }, proceed }) => {
      const fails = method === 'create' && name === model && !isLost
      isLost ||= fails
      return fails ? Promise.reject(connectionLost()) : proceed()
    })
    reported()
    const reply = await app.confirm(session, begun)
    store.watch()
    t.equal(reply.statusCode, model === null ? 500 : 503)
    t.strictSame(await store.rows('totp'), [])
    t.strictSame(reported(), expected)
    t.equal(await statusOf(app, browserOf(reply)), 200, 'the session continues, so that the request can be repeated')
    t.equal(reply.cookies.filter(({ value }) => value !== '').length, 1)
    t.equal(await statusOf(app, session), 401)
  }
  t.equal(await statusOf(app, headers), 401, 'the other sessions have ended')
})

t.test('PK-06: a passkey that is restored stays, also if the answer of the store is lost', async (t) => {
  const { adapter, ...store } = watchedAdapter(memory())
  const app = await buildWithPasskeys(t, { adapter }, { signUp: true })
  const email = 'lancelot@camelot.bt'
  const device = app.device()
  const { ticket, options } = (await app.send('POST', '/auth/register/passkey/options', { email })).json<Creation>()
  const created = await app.send('POST', '/auth/register/passkey', { ticket, credential: device.create(options) })
  await app.app.users.update(created.json<{ id: UserId }>().id, { is_verified: true })
  const other = await app.own(app.device(), email)
  const [first] = (await store.rows('passkey')).filter(({ id }) => id !== other.id)
  const headers = await app.sessionOf(email)
  let isRemoved = false
  let isLost = false
  store.watch(async ({ method, model, proceed }) => {
    const result = await proceed()
    if (method === 'delete' && model.name === 'passkey' && !isRemoved) {
      isRemoved = true
      await adapter.delete(model, { id: other.id }) // a parallel request deletes the other passkey
    }
    if (method === 'create' && model.name === 'passkey') {
      isLost = true
      throw connectionLost()
    }
    return result
  })
  const reply = await app.send('DELETE', `${PASSKEYS}/${String(first?.['id'])}`, undefined, headers)
  store.watch()
  t.strictSame([isLost, reply.statusCode], [true, 503])
  t.strictSame((await store.rows('passkey')).map(({ id }) => id), [first?.['id']])
  t.equal((await app.enter(device)).statusCode, 200)
})
