import t, { type Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { UsersEvents, UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { networkOf } from '../lib/shared/network.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'

const MERLIN = 'merlin@camelot.bt'
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
const NEXT_FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0'
const CURL = 'curl/8.5.0'
const DAY = 86_400
const MODEL = { name: 'known_device', table: 'known_device', fields: {} } // sufficient for the memory store

interface Client {
  backend?: 'jwt' | 'cookie'
  userAgent?: string
  ip?: string
  cookie?: string
  email?: string
}

interface DeviceApp extends TestApp {
  /** Logs in and returns the reply and the events `onNewDevice` of this login. */
  logIn(client?: Client): Promise<{ reply: LightMyRequestResponse; fired: UsersEvents['onNewDevice'][] }>
}

async function build (t: Test, options: Partial<UsersOptions> = {}): Promise<DeviceApp> {
  const built = await buildApp(t, { detectNewDevices: true, ...options })
  return {
    ...built,
    async logIn ({ backend = 'jwt', userAgent = FIREFOX, ip = '192.0.2.1', cookie, email = ARTHUR } = {}) {
      const from = built.events.length
      const reply = await built.app.inject({
        method: 'POST',
        url: `/auth/${backend}/login`,
        remoteAddress: ip,
        headers: { 'user-agent': userAgent, ...(cookie === undefined ? {} : { cookie }) },
        payload: { username: email, password: PASSWORD }
      })
      await built.app.users.settled()
      const fired = built.events.slice(from).flatMap((event) => (event.name === 'onNewDevice' ? [event] : []))
      return { reply, fired }
    }
  }
}

/** Returns the device cookie that a reply sets. */
function deviceCookie ({ headers }: LightMyRequestResponse): string {
  const cookies = [headers['set-cookie'] ?? []].flat()
  return cookies.find((cookie) => cookie.startsWith('__Host-users-device='))?.split(';')[0] ?? ''
}

for (const { name, options, open } of everyStore) {
  t.test(`${name}: a login from a device that the user has not used before fires onNewDevice once`, options, async (t) => {
    const { create, logIn } = await build(t, { adapter: (await open(t))() })
    const arthur = await create()
    t.strictSame((await logIn()).fired, [], 'the first login of a user')
    t.strictSame((await logIn()).fired, [], 'the same device')
    const { reply, fired } = await logIn({ userAgent: CURL, ip: '198.51.100.7' })
    t.equal(reply.statusCode, 200)
    t.strictSame(fired, [
      { name: 'onNewDevice', user: arthur, backend: 'jwt', method: 'password', ip: '198.51.100.7', userAgent: CURL }
    ] as never)
    t.strictSame((await logIn({ userAgent: CURL, ip: '198.51.100.7' })).fired, [], 'the second login from it')
    await create({ email: MERLIN })
    t.strictSame((await logIn({ email: MERLIN, userAgent: CURL })).fired, [], 'devices belong to one user')
  })

  t.test(`RACE-02: ${name}: parallel logins from one new device fire onNewDevice once`, options, async (t) => {
    const adapterOf = await open(t)
    const [one, two] = [await build(t, { adapter: adapterOf() }), await build(t, { adapter: adapterOf() })]
    await one.create()
    await one.logIn()
    const all = await Promise.all([one, two, one, two].map(({ logIn }) => logIn({ userAgent: CURL })))
    t.ok(all.every(({ reply }) => reply.statusCode === 200))
    const fired = [...one.events, ...two.events].filter((event) => event.name === 'onNewDevice')
    t.equal(fired.length, 1)
  })
}

t.test('a client with a token in a header is recognized by its program and its network', async (t) => {
  const cases: [string, Client, boolean][] = [
    ['another IPv4 address of the network', { ip: '192.0.2.200' }, false],
    ['an IPv4 address that is mapped to IPv6', { ip: '::ffff:192.0.2.9' }, false],
    ['another version of the program', { userAgent: NEXT_FIREFOX }, false],
    ['another network', { ip: '192.0.3.1' }, true],
    ['an IPv6 network', { ip: '2001:db8:1::1' }, true],
    ['another address of that network', { ip: '2001:db8:1:ffff::2' }, false],
    ['another IPv6 network', { ip: '2001:db8:2::1' }, true],
    ['another program', { userAgent: CURL }, true],
    ['no program', { userAgent: '' }, true],
    ['a long name of a program', { userAgent: 'x'.repeat(5000) }, true],
    ['the same long beginning', { userAgent: 'x'.repeat(6000) }, false]
  ]
  const { create, logIn } = await build(t)
  await create()
  await logIn()
  for (const [what, client, isNew] of cases) {
    const { reply, fired } = await logIn(client)
    t.equal(fired.length === 1, isNew, what)
    t.equal(reply.headers['set-cookie'], undefined, `${what}: a bearer login sets no cookie`)
  }
})

t.test('networkOf returns the first 24 bits of IPv4 addresses and the first 48 bits of IPv6 addresses', async (t) => {
  const cases: [string | undefined, string][] = [
    ['192.0.2.1', '192.0.2'],
    ['::ffff:192.0.2.1', '192.0.2'],
    ['::FFFF:192.0.2.1', '192.0.2'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1'],
    ['2001:0DB8:0001::', '2001:db8:1'],
    ['2001:db8::1', '2001:db8:0'],
    ['::1', '0:0:0'],
    ['::', '0:0:0'],
    ['1::', '1:0:0'],
    ['fe80::1%eth0', 'fe80:0:0'],
    ['1:2:3:4:5:6:192.0.2.1', '1:2:3'],
    ['', 'unknown'],
    [undefined, 'unknown'],
    ['unix:', 'unknown'],
    ['999.1.1.1', 'unknown'],
    ['a:b', 'unknown']
  ]
  for (const [ip, network] of cases) t.equal(networkOf(ip), network, String(ip))
})

t.test('a browser is recognized by a cookie of its own', async (t) => {
  const built = await build(t)
  const { create, logIn } = built
  await create()
  await create({ email: MERLIN })
  const first = await logIn({ backend: 'cookie' })
  const header = [first.reply.headers['set-cookie'] ?? []].flat().find((one) => one.includes('-device='))
  t.match(header, /^__Host-users-device=[\w-]{43}; Max-Age=34560000; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  t.strictSame(first.fired, [])
  const cookie = deviceCookie(first.reply)
  const again = await logIn({ backend: 'cookie', cookie, ip: '203.0.113.1', userAgent: CURL })
  t.strictSame(again.fired, [], 'in another network, with another version')
  t.equal(deviceCookie(again.reply), cookie, 'the cookie is kept')
  t.equal((await logIn({ backend: 'cookie' })).fired.length, 1, 'a browser without the cookie')
  const forged = await logIn({ backend: 'cookie', cookie: '__Host-users-device=short' })
  t.equal(forged.fired.length, 1, 'a cookie of another form')
  t.not(deviceCookie(forged.reply), '__Host-users-device=short')
  const guessed = await logIn({ backend: 'cookie', cookie: `__Host-users-device=${'A'.repeat(43)}` })
  t.equal(guessed.fired.length, 1, 'an unknown cookie')
  t.equal((await logIn({ backend: 'cookie', cookie: `${cookie}; ${cookie}x` })).fired.length, 1, 'two cookies')
  t.strictSame((await logIn({ backend: 'cookie', cookie, email: MERLIN })).fired, [], 'the first login of another user')
  t.strictSame((await logIn({ backend: 'cookie', cookie })).fired, [], 'two users share a browser')
})

t.test('a failed login sets no device cookie', async (t) => {
  const { create, login, events } = await build(t)
  await create()
  const reply = await login('cookie', ARTHUR, 'wrong')
  t.equal(reply.headers['set-cookie'], undefined)
  t.notOk(events.some(({ name }) => name === 'onNewDevice'))
})

t.test('the table reveals neither the cookie nor the network nor the program, and is bounded', async (t) => {
  const adapter = memory()
  const { create, logIn, app } = await build(t, { adapter })
  const arthur = await create()
  const { reply } = await logIn({ backend: 'cookie' })
  for (let n = 0; n < 25; n++) t.equal((await logIn({ ip: `10.0.${n}.1` })).fired.length, 1)
  const rows = await adapter.findMany(MODEL, {}, { limit: 100 })
  t.equal(rows.length, 20)
  const text = JSON.stringify(rows)
  for (const secret of [deviceCookie(reply).split('=')[1], '10.0.', 'Firefox', ARTHUR]) t.notMatch(text, secret)
  t.strictSame((await logIn({ ip: '10.0.24.1' })).fired, [], 'the newest devices are kept')
  t.equal((await logIn({ ip: '10.0.0.1' })).fired.length, 1, 'the oldest ones are forgotten')
  await app.users.delete(arthur)
  t.strictSame(await adapter.findMany(MODEL, {}, { limit: 100 }), [], 'the devices are deleted with their user')
})

t.test('a device is remembered for 400 days after its last login', async (t) => {
  const { create, logIn, tick } = await build(t)
  await create()
  await logIn()
  t.equal((await logIn({ userAgent: CURL })).fired.length, 1)
  tick(300 * DAY)
  t.strictSame((await logIn()).fired, [])
  tick(300 * DAY)
  t.strictSame((await logIn()).fired, [], 'it was renewed')
  t.equal((await logIn({ userAgent: CURL })).fired.length, 1, 'it was not renewed')
})

t.test('devices stay known while their secret is listed', async (t) => {
  const adapter = memory()
  const [old, fresh] = ['kJ8s+Vq2Zr0yXn5uTb7cWd1eFg3hIi4l', 'Qw9eRt7yUi5oPa3sDf1gHj2kLz4xCv6b']
  const before = await build(t, { adapter, secret: old })
  await before.create()
  await before.logIn()
  const rotated = await build(t, { adapter, secret: [fresh, old] })
  t.strictSame((await rotated.logIn()).fired, [])
  const removed = await build(t, { adapter, secret: fresh })
  t.equal((await removed.logIn()).fired.length, 1)
})

t.test('a login waits for no call to the table of devices, and does not fail with it', async (t) => {
  const store = watchedAdapter(memory())
  const { create, logIn, login, app } = await build(t, { adapter: store.adapter })
  await create()
  const calls: string[] = []
  let isReplied = false
  store.watch(({ method, model, proceed }) => {
    calls.push(`${method} ${model.name}${isReplied ? ' later' : ''}`)
    return proceed()
  })
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
  isReplied = true
  await app.users.settled()
  t.notOk(calls.some((call) => call.endsWith('known_device')), 'before the reply')
  t.strictSame(calls.filter((call) => call.includes('known_device')), ['findMany known_device later', 'create known_device later'])
  store.watch(({ model, proceed }) => {
    if (model.name === 'known_device') throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
    return proceed()
  })
  t.equal((await logIn({ userAgent: CURL })).reply.statusCode, 200)
})

t.test('without the option, a login sets no cookie, makes no call and needs no table', async (t) => {
  const adapter = memory()
  const store = watchedAdapter(adapter)
  const { create, logIn } = await build(t, { adapter: store.adapter, detectNewDevices: false })
  await create()
  const models = new Set<string>()
  store.watch(({ model, proceed }) => {
    models.add(model.name)
    return proceed()
  })
  await logIn()
  const { reply, fired } = await logIn({ backend: 'cookie', userAgent: CURL })
  t.equal(deviceCookie(reply), '')
  t.strictSame(fired, [])
  t.strictSame([...models].sort(), ['accesstoken', 'user'])
  await t.rejects(build(t, { detectNewDevices: 'yes' as never }), { code: 'FST_USERS_INVALID_OPTION' })
})

t.test('a login from code without a request is from no device', async (t) => {
  const { app, create, events } = await build(t)
  const arthur = await create()
  await app.users.login(arthur, { backend: 'jwt', method: 'script' })
  await app.users.login(arthur, { backend: 'cookie', method: 'script' })
  await app.users.settled()
  t.notOk(events.some(({ name }) => name === 'onNewDevice'))
})
