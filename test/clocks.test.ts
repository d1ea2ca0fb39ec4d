import t from 'tap'
import { oauth, openidConnect } from '../lib/features/oauth/index.js'
import { memory } from '../lib/entries/memory.js'
import { openBrowser, ORIGIN } from './helpers/browser.js'
import { ARTHUR, PASSWORD, addRoutes, buildApp } from './helpers/build-app.js'
import { startOidcProvider } from './helpers/oidc-provider.js'

const START = Date.UTC(2030, 0, 1)
/** The milliseconds that the clock of the verifying process is behind, and whether it accepts a new token. */
const CLOCK_DIFFERENCES: [number, boolean][] = [
  [0, true],
  [1, true],
  [59_999, true],
  [60_000, true],
  [60_001, false],
  [3_600_000, false]
]

t.test('JWT-07: sessions, reset and verify tokens are valid up to one minute before their issue time', async (t) => {
  for (const [behind, accepted] of CLOCK_DIFFERENCES) {
    let now = START
    const options = { adapter: memory(), clock: () => now }
    const issuer = await buildApp(t, options)
    const verifier = await buildApp(t, options)
    await issuer.create()
    const session = await issuer.bearer(ARTHUR)
    await issuer.send('POST', '/auth/request-verify-token', { email: ARTHUR })
    await issuer.send('POST', '/auth/forgot-password', { email: ARTHUR })
    const [reset, verify] = [
      await issuer.tokenOf('onAfterForgotPassword'),
      await issuer.tokenOf('onAfterRequestVerify')
    ]
    now = START - behind
    t.equal(
      (await verifier.send('GET', '/users/me', undefined, session)).statusCode,
      accepted ? 200 : 401,
      `session, ${behind} ms`
    )
    t.equal(
      (await verifier.send('POST', '/auth/verify', { token: verify })).statusCode,
      accepted ? 200 : 400,
      `verify, ${behind} ms`
    )
    now = START
    await issuer.send('POST', '/auth/forgot-password', { email: ARTHUR })
    const fresh = accepted ? await issuer.tokenOf('onAfterForgotPassword') : reset
    now = START - behind
    t.equal(
      (await verifier.send('POST', '/auth/reset-password', { token: fresh, password: `${PASSWORD}-2` })).statusCode,
      accepted ? 200 : 400,
      `reset, ${behind} ms`
    )
  }
})

t.test('JWT-07: the expiry of a token is checked without tolerance', async (t) => {
  let now = START
  const built = await buildApp(t, { clock: () => now })
  await built.create()
  const session = await built.bearer(ARTHUR)
  await built.send('POST', '/auth/request-verify-token', { email: ARTHUR })
  const verify = await built.tokenOf('onAfterRequestVerify')
  now = START + 3_600_000
  t.equal((await built.send('GET', '/users/me', undefined, session)).statusCode, 401)
  t.equal((await built.send('POST', '/auth/verify', { token: verify })).statusCode, 400)
  now -= 1
  t.equal((await built.send('GET', '/users/me', undefined, session)).statusCode, 200)
  t.equal((await built.send('POST', '/auth/verify', { token: verify })).statusCode, 200)
})

t.test('JWT-07: a provider login can be completed by a process whose clock is one minute behind', async (t) => {
  const callback = '/auth/openid/callback'
  const idp = await startOidcProvider(t, [ORIGIN + callback])
  let now = START
  const { app } = await buildApp(t, {
    publicUrl: ORIGIN,
    clock: () => now,
    features: [oauth({
      providers: [
        openidConnect({ issuer: idp.issuer, clientId: idp.clientId, clientSecret: idp.clientSecret, trustEmail: true })
      ],
      insecureOrigins: [idp.issuer]
    })]
  }, async (app) => {
    addRoutes(app)
  })
  for (const [behind, accepted] of CLOCK_DIFFERENCES) {
    now = START
    const browser = openBrowser(app)
    const page = await browser.ask('/auth/openid/authorize')
    now = START - behind
    const callbackReply = await browser.go(page.json<{ authorization_url: string }>().authorization_url)
    t.equal(callbackReply.status, accepted ? 200 : 400, `${behind} ms: ${callbackReply.body}`)
  }
})
