import t from 'tap'
import { amrOf, bearerTransport, jwtStrategy, type Session } from '../lib/index.js'
import { ARTHUR, buildApp } from './helpers/build-app.js'

const cases: [methods: string[], amr: string[], stored: string[] | undefined][] = [
  [['password'], ['pwd'], undefined],
  [['password', 'otp'], ['pwd', 'otp', 'mfa'], undefined],
  [['password', 'recovery-code'], ['pwd', 'otp', 'mfa'], ['password', 'recovery-code']],
  [['password', 'passkey-presence'], ['pwd', 'swk', 'user', 'mfa'], ['password', 'passkey-presence']],
  [['passkey'], ['swk', 'user', 'mfa'], ['passkey']],
  [['passkey-presence'], ['swk', 'user'], ['passkey-presence']],
  [['oauth:google'], [], ['oauth:google']],
  [['oauth:google', 'otp'], ['otp', 'mfa'], ['oauth:google', 'otp']],
  [['email'], [], ['email']],
  [['password', 'email'], ['pwd'], ['password', 'email']],
  [['pin'], ['pin'], undefined],
  [['badge'], [], ['badge']],
  [[], [], undefined]
]

t.test('amr has the registered values, and the session keeps the names of its methods', async (t) => {
  const { app, create, send } = await buildApp(t, {
    backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy() }],
    features: [{
      name: 'sessions-of-tests',
      setup: ({ sessions, rows }) => ({
        api: async (methods: string[]) => {
          const row = await rows.getByEmail(ARTHUR)
          return row && (await sessions.create(row, { backend: 'jwt', methods })).token
        }
      })
    }]
  }, (app) => {
    app.get('/session', { preHandler: app.authenticate }, async ({ authentication }) => authentication?.session)
  })
  await create()
  const issue = app.users.feature('sessions-of-tests') as (methods: string[]) => Promise<string>
  for (const [methods, amr, stored] of cases) {
    t.strictSame(amrOf(methods), amr, methods.join())
    const token = await issue(methods)
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>
    t.strictSame([claims['amr'] ?? [], claims['methods']], [amr, stored], methods.join())
    const reply = await send('GET', '/session', undefined, { authorization: `Bearer ${token}` })
    t.strictSame(reply.json<Session>().methods, methods)
  }
})
