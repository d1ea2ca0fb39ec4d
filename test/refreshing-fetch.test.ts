import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { bearerTransport, jwtStrategy, type BackendOptions } from '../lib/index.js'
import { createRefreshingFetch, type ClientTokens } from '../lib/features/refresh-tokens/client.js'
import { refreshTokens } from '../lib/features/refresh-tokens/index.js'
import { addRoutes, ARTHUR, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { openPage, skipWithoutChromium } from './helpers/chromium.js'

const MODULE = new URL('../lib/features/refresh-tokens/client.js', import.meta.url)

const backends: BackendOptions[] = [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy() },
  { name: 'spa', transport: bearerTransport(), strategy: jwtStrategy() }
]

interface Served extends TestApp {
  origin: string
  /** Returns the number of requests that refreshed since the last call. */
  takeRefreshes(): number
  start(): Promise<ClientTokens>
}

async function serve (t: Test): Promise<Served> {
  let refreshes = 0
  const extend = (app: FastifyInstance): void => {
    addRoutes(app)
    app.post('/echo', { preHandler: app.authenticate }, async ({ body }) => body)
    app.get('/client.js', async (_request, reply) => reply.type('text/javascript').send(readFileSync(MODULE)))
    app.get('/', async (_request, reply) => reply.type('text/html').send('<!doctype html><title>Camelot</title>'))
  }
  const features = [refreshTokens({ backends: ['jwt', { name: 'spa', cookie: true }] })]
  const built = await buildApp(t, { backends, features }, extend, { logger: { level: 'error' } })
  built.app.server.on('request', ({ url }: { url?: string }) => {
    if (url?.endsWith('/refresh') === true) refreshes++
  })
  const origin = await built.app.listen({ host: '127.0.0.1', port: 0 })
  await built.register()
  return {
    ...built,
    origin,
    takeRefreshes () {
      const taken = refreshes
      refreshes = 0
      return taken
    },
    start: async () => (await built.login('jwt', ARTHUR)).json<ClientTokens>()
  }
}

t.test('parallel requests with an expired token share one refresh, and each is sent again once', async (t) => {
  const { origin, start, tick, takeRefreshes } = await serve(t)
  const changes: (ClientTokens | null)[] = []
  const session = createRefreshingFetch({
    refreshUrl: `${origin}/auth/jwt/refresh`,
    tokens: await start(),
    onChange: (tokens) => changes.push(tokens)
  })
  t.equal((await session.fetch(`${origin}/guarded`)).status, 200)
  t.equal(takeRefreshes(), 0)
  tick(700)
  const echo = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"grail":true}' }
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? session.fetch(`${origin}/guarded`) : session.fetch(`${origin}/echo`, echo)))
  )
  t.same(replies.map(({ status }) => status), Array(20).fill(200))
  t.same(await replies[1]?.json(), { grail: true }, 'the body is sent again')
  t.equal(takeRefreshes(), 1)
  t.equal(changes.length, 1)
  t.type(changes[0]?.refresh_token, 'string')
})

t.test('when the session has ended, the 401 is returned and the tokens are deleted', async (t) => {
  const { origin, start, tick, takeRefreshes, app } = await serve(t)
  const changes: (ClientTokens | null)[] = []
  const tokens = await start()
  const session = createRefreshingFetch({
    refreshUrl: `${origin}/auth/jwt/refresh`,
    onChange: (next) => changes.push(next)
  })
  t.equal((await session.fetch(`${origin}/guarded`)).status, 401, 'no tokens')
  session.setTokens(tokens)
  t.equal((await session.fetch(`${origin}/guarded`)).status, 200)
  await app.users.feature('refresh-tokens').revoke(tokens.refresh_token ?? '')
  tick(700)
  const replies = await Promise.all(Array.from({ length: 5 }, () => session.fetch(`${origin}/guarded`)))
  t.same(replies.map(({ status }) => status), Array(5).fill(401))
  t.equal(takeRefreshes(), 1)
  t.same(changes, [null])
  t.equal((await session.fetch(`${origin}/guarded`)).status, 401)
  t.equal(takeRefreshes(), 0, 'nothing is left to refresh with')
})

t.test('if the server cannot be reached, the tokens are kept', async (t) => {
  const { origin, start, tick } = await serve(t)
  let isDown = false
  const session = createRefreshingFetch({
    refreshUrl: `${origin}/auth/jwt/refresh`,
    tokens: await start(),
    onChange: (tokens) => t.ok(tokens, 'no session has ended'),
    fetch: async (request) => {
      if (isDown && request.url.endsWith('/refresh')) throw new TypeError('fetch failed')
      return await fetch(request)
    }
  })
  tick(700)
  isDown = true
  t.equal((await session.fetch(`${origin}/guarded`)).status, 401)
  isDown = false
  t.equal((await session.fetch(`${origin}/guarded`)).status, 200)
})

t.test('RT-02: two tabs of a browser that refresh at the same time stay logged in', { skip: skipWithoutChromium() }, async (t) => {
  const { origin, tick, events, takeRefreshes, app } = await serve(t)
  const { page: one, context, faults } = await openPage(t, { width: 800, height: 600 })
  const two = await context.newPage()
  for (const page of [one, two]) {
    await page.goto(origin)
    await page.evaluate(`(async () => {
      const { createRefreshingFetch } = await import('/client.js')
      globalThis.session = createRefreshingFetch({ refreshUrl: '/auth/spa/refresh', cookie: true })
    })()`)
  }
  const login = { username: ARTHUR, password: PASSWORD }
  t.equal(
    await one.evaluate(`fetch('/auth/spa/login', {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: '${JSON.stringify(login)}'
    }).then(async (reply) => { session.setTokens(await reply.json()); return reply.status })`),
    200
  )
  t.equal(await one.evaluate('document.cookie'), '', 'scripts cannot read the refresh token')
  t.equal(await two.evaluate('session.refresh()'), true, 'a new tab gets an access token from the cookie')
  const ask = "Promise.all(Array.from({ length: 5 }, () => session.fetch('/guarded').then(({ status }) => status)))"
  for (let round = 1; round <= 3; round++) {
    tick(700)
    takeRefreshes()
    const statuses = await Promise.all([one.evaluate(ask), two.evaluate(ask)])
    t.same(statuses, [Array(5).fill(200), Array(5).fill(200)], `round ${round}`)
    t.equal(takeRefreshes(), 2, 'each tab refreshes once')
  }
  t.notOk(events.some(({ name }) => name === 'onRefreshTokenReused'))
  t.same(faults.filter((fault) => fault !== '401' && fault !== '404'), [], 'the browser reports only expired tokens')

  const user = await app.users.getByEmail(ARTHUR)
  await app.users.endSessions(user?.id as string)
  t.same(await Promise.all([one.evaluate(ask), two.evaluate(ask)]), [Array(5).fill(401), Array(5).fill(401)])
})
