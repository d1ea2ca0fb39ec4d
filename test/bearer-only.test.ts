import t from 'tap'
import { bearerTransport, jwtStrategy } from '../lib/index.js'
import { github, oauth } from '../lib/features/oauth/index.js'
import { refreshTokens } from '../lib/features/refresh-tokens/index.js'
import { ARTHUR, buildApp } from './helpers/build-app.js'

// A file of its own, because nothing in this process may have loaded @fastify/cookie: it serializes cookies only after
// it was registered once.

t.test('features set cookies in an application that has no cookie transport and no @fastify/cookie', async (t) => {
  const { app, register, login } = await buildApp(t, {
    backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy() }],
    publicUrl: 'https://app.camelot.example',
    features: [
      oauth({ providers: [github({ clientId: 'client', clientSecret: 'not a real one' })] }),
      refreshTokens({ backends: [{ name: 'jwt', cookie: true }] })
    ]
  })
  const started = await app.inject('/auth/github/authorize')
  t.equal(started.statusCode, 200)
  t.match(started.headers['set-cookie'], /^__Host-users-oauth=/)
  await register()
  const reply = await login('jwt', ARTHUR)
  t.equal(reply.statusCode, 200)
  t.match(reply.headers['set-cookie'], /^__Secure-users-jwt-refresh=/)
  t.notOk(app.hasDecorator('serializeCookie'), 'the application itself has no decorators of the package')
})
