import { randomBytes } from 'node:crypto'
import { Type, type TSchema } from '@sinclair/typebox'
import Fastify from 'fastify'
import t from 'tap'
import { bearerTransport, jwtStrategy, users, userSchemas } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { createJwtCodec, deriveKeys, checkJwtKey } from '../lib/tokens/index.js'
import { ARTHUR, buildApp, SECRET } from './helpers/build-app.js'

// Caches and late compilation must not skip a check.

t.test('SES-10: a token that was valid before is checked again, except for its signature', async (t) => {
  const { app, create, bearer, send, tick } = await buildApp(t)
  const user = await create()
  const statusOf = async (headers: { authorization: string }): Promise<number> =>
    (await send('GET', '/users/me', undefined, headers)).statusCode
  const session = async (): Promise<{ authorization: string }> => {
    const headers = await bearer(ARTHUR)
    for (let i = 0; i < 3; i++) t.equal(await statusOf(headers), 200)
    return headers
  }

  const altered = await session()
  const { authorization } = altered
  for (const at of [20, authorization.indexOf('.') + 5, authorization.length - 5]) {
    const other = authorization[at] === 'A' ? 'B' : 'A'
    t.equal(
      await statusOf({ authorization: authorization.slice(0, at) + other + authorization.slice(at + 1) }),
      401,
      `changed character ${at}`
    )
  }
  const ended = await session()
  await app.users.endSessions(user)
  t.equal(await statusOf(ended), 401, 'sessions ended')
  const old = await session()
  tick(3600)
  t.equal(await statusOf(old), 401, 'expired')
  const inactive = await session()
  await app.users.update(user, { is_active: false })
  t.equal(await statusOf(inactive), 401, 'deactivated')
})

t.test('tokens beyond the cache size stay valid, and no token is taken for another', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const keys = deriveKeys([SECRET], 'test').map((key) => checkJwtKey('secret', key))
  const codec = await createJwtCodec(app, {
    keys,
    audience: 'test',
    lifetimeSeconds: 60,
    clock: Date.now,
    issuedAt: true,
    strict: true,
    required: [],
    cachedSignatures: 2
  })
  const tokens = ['a', 'b', 'c', 'd', 'e'].map((sub) => ({ sub, token: codec.sign({ sub }) }))
  for (let i = 0; i < 3; i++) {
    for (const { sub, token } of tokens) {
      t.equal(codec.read(token)?.sub, sub)
      t.equal(codec.read(token)?.sub, sub)
    }
    t.equal(codec.read(`${tokens[0]?.token ?? ''}A`), null)
  }
  const claims = codec.read(tokens[0]?.token ?? '')
  t.throws(
    () => {
      if (claims !== null) claims.sub = 'b'
    },
    TypeError,
    'cached claims cannot be changed'
  )
})

t.test(
  'a custom field with an invalid schema refuses to start, although route serializers are compiled later',
  async (t) => {
    const wrong: Record<string, TSchema> = {
      'an invalid pattern': Type.String({ pattern: '(' }),
      'an unknown type': { ...Type.String(), type: 'text' },
      'a limit that is not a number': Type.String({ maxLength: '5' as unknown as number }),
      'a limit below zero': Type.String({ maxLength: -1 }),
      'a field that repeats a required name': Type.Unsafe({ type: 'object', required: ['a', 'a'] })
    }
    for (const [what, schema] of Object.entries(wrong)) {
      const app = Fastify()
      t.teardown(() => app.close())
      await t.rejects(async () => {
        await app.register(users, {
          adapter: memory(),
          secret: randomBytes(32).toString('base64url'),
          schemas: userSchemas({ field: schema }),
          backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }]
        })
        await app.ready()
      }, what)
    }
  }
)
