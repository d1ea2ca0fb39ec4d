import { createPublicKey, generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto'
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import { calculateJwkThumbprint, createLocalJWKSet, decodeJwt, jwtVerify, SignJWT, type JSONWebKeySet } from 'jose'
import t, { type Test } from 'tap'
import {
  bearerTransport,
  defineStrategy,
  jwtStrategy,
  users,
  usersOpenapi,
  type JwtAlgorithm,
  type JwtKeyOptions,
  type JwtStrategyOptions,
  type PublicJwk,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { publicJwkOf } from '../lib/tokens/index.js'
import { operationsOf, validateDocument, type ApiDocument } from './helpers/api-document.js'
import { ARTHUR, backends, buildApp, SECRET, type TestApp } from './helpers/build-app.js'

const JWKS = '/.well-known/jwks.json'
const pem = (key: KeyObject): string =>
  key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }).toString()
const pairs = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519')
}
type Asymmetric = keyof typeof pairs
const algorithms = Object.keys(pairs) as Asymmetric[]
const keyOf = (algorithm: Asymmetric, kid?: string): JwtKeyOptions => ({
  algorithm,
  privateKey: pem(pairs[algorithm].privateKey),
  ...(kid === undefined ? {} : { kid })
})
const jwtBackend = (options: Partial<JwtStrategyOptions>, name = 'jwt'): UsersOptions['backends'][number] => ({
  name,
  transport: bearerTransport(),
  strategy: jwtStrategy({ lifetimeSeconds: 3600, ...options })
})
const buildWithKeys = (
  t: Test,
  keys: readonly JwtKeyOptions[],
  options: Partial<UsersOptions> = {}
): Promise<TestApp> => buildApp(t, { backends: [jwtBackend({ keys })], ...options })

async function keySetOf ({ send }: TestApp, url = JWKS): Promise<JSONWebKeySet> {
  const reply = await send('GET', url)
  if (reply.statusCode !== 200) throw new Error(`${url}: ${reply.statusCode}`)
  return reply.json<JSONWebKeySet>()
}

t.test('a public key has the thumbprints of the examples in RFC 7638 and RFC 8037', async (t) => {
  const n =
    '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj' +
    'hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ' +
    'vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK' +
    'nqDKgw'
  const cases: [JwtAlgorithm, JsonWebKey, string][] = [
    ['RS256', { kty: 'RSA', n, e: 'AQAB' }, 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'],
    [
      'EdDSA',
      { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
      'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k'
    ]
  ]
  for (const [algorithm, jwk, kid] of cases) {
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    t.strictSame(publicJwkOf(key, algorithm, undefined), { ...jwk, use: 'sig', alg: algorithm, kid })
    t.equal(publicJwkOf(key, algorithm, 'given').kid, 'given')
  }
  for (const algorithm of algorithms) {
    const { kid, ...jwk } = publicJwkOf(pairs[algorithm].publicKey, algorithm, undefined)
    t.equal(kid, await calculateJwkThumbprint(jwk), `${algorithm}: jose computes the same thumbprint`)
  }
})

t.test('the JWKS route publishes every public key once, and another program verifies tokens with it', async (t) => {
  for (const algorithm of algorithms) {
    for (const kid of [undefined, 'k1']) {
      const built = await buildApp(t, {
        backends: [
          jwtBackend({ keys: [keyOf(algorithm, kid)] }),
          jwtBackend({ keys: [keyOf(algorithm, kid)] }, 'second'),
          ...backends().slice(1)
        ]
      })
      const { id } = await built.register()
      const set = await keySetOf(built)
      const { publicKey } = pairs[algorithm]
      t.strictSame(set, { keys: [publicJwkOf(publicKey, algorithm, kid)] } as unknown as JSONWebKeySet)
      const token = (await built.bearer(ARTHUR)).authorization.slice(7)
      const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(set), { audience: 'users:auth' })
      t.equal(payload.sub, id)
      t.equal(protectedHeader.kid, set.keys[0]?.kid, 'tokens name the key')
    }
  }
})

t.test('the JWKS route sends no secret and no private part', async (t) => {
  const leaky = { ...publicJwkOf(pairs.RS256.publicKey, 'RS256', 'leaky'), d: 'private', p: 'private', k: 'private' }
  const custom = defineStrategy({
    name: 'custom',
    setup: () => ({
      description: {
        lifetimeSeconds: 60,
        keys: [{ kid: 'leaky', algorithm: 'RS256', canSign: true, publicJwk: leaky as PublicJwk }]
      },
      readToken: () => null,
      writeToken: () => ({ token: 'token', lifetimeSeconds: 60 })
    })
  })
  const built = await buildApp(t, {
    backends: [
      jwtBackend({ keys: algorithms.map((algorithm) => keyOf(algorithm)) }),
      jwtBackend({ secret: SECRET.split('').reverse().join('') }, 'shared'),
      jwtBackend({}, 'derived'),
      { name: 'custom', transport: bearerTransport(), strategy: custom }
    ]
  })
  const { body } = await built.send('GET', JWKS)
  const { keys } = JSON.parse(body) as JSONWebKeySet
  t.strictSame(keys.map(({ kty }) => kty), ['RSA', 'EC', 'OKP', 'RSA'])
  const allowed = ['kty', 'use', 'alg', 'kid', 'n', 'e', 'crv', 'x', 'y']
  for (const key of keys) t.strictSame(Object.keys(key).filter((name) => !allowed.includes(name)), [], String(key.kty))
  for (const algorithm of algorithms) {
    const jwk = pairs[algorithm].privateKey.export({ format: 'jwk' }) as Record<string, string>
    for (const part of ['d', 'p', 'q', 'dp', 'dq', 'qi']) {
      if (jwk[part] !== undefined) t.notOk(body.includes(jwk[part]), `${algorithm} ${part}`)
    }
  }
})

t.test('the JWKS route exists only with public keys, and its path and lifetime can be changed', async (t) => {
  const keys = [keyOf('ES256')]
  const cases: [Partial<UsersOptions>, string, number, string?][] = [
    [{}, JWKS, 200, 'public, max-age=300'],
    [{ routes: { jwks: false } }, JWKS, 404],
    [{ backends: backends() }, JWKS, 404],
    [{ routes: { jwks: { path: '/auth/keys', maxAgeSeconds: 60 } } }, '/auth/keys', 200, 'public, max-age=60'],
    [{ routes: { jwks: { path: '/auth/keys' } } }, JWKS, 404],
    [{ routes: { jwks: { maxAgeSeconds: 86_400 } } }, JWKS, 200, 'public, max-age=86400'],
    [{ compatibility: 'fastapi-users' }, JWKS, 200, 'public, max-age=300'],
    [{ name: 'staff' }, JWKS, 200, 'public, max-age=300']
  ]
  for (const [options, url, status, cacheControl] of cases) {
    const { send } = await buildWithKeys(t, keys, options)
    const reply = await send('GET', url)
    t.equal(reply.statusCode, status, JSON.stringify(Object.keys(options)))
    if (cacheControl === undefined) continue
    t.equal(reply.headers['cache-control'], cacheControl)
    t.equal(reply.headers['content-type'], 'application/json; charset=utf-8')
    t.equal(reply.headers['x-content-type-options'], 'nosniff')
    t.notOk('set-cookie' in reply.headers)
  }
  for (const jwks of [
    true,
    null,
    { path: 'keys' },
    { path: '/' },
    { path: '/keys/:tenant' },
    { path: '/keys/*' },
    { path: '/keys?x' },
    { path: 1 },
    { maxAgeSeconds: 0 },
    { maxAgeSeconds: 1.5 },
    { maxAgeSeconds: '60' },
    { maxAgeSeconds: 86_401 },
    { prefix: '/auth' }
  ]) {
    const code = /^FST_USERS_(INVALID|UNKNOWN)_OPTION$/
    const options = { routes: { jwks } } as unknown as Partial<UsersOptions>
    await t.rejects(buildWithKeys(t, keys, options), { code }, JSON.stringify(jwks))
  }
})

t.test('the JWKS route answers conditional requests and HEAD', async (t) => {
  const { send } = await buildWithKeys(t, [keyOf('ES256', 'k1')])
  const first = await send('GET', JWKS)
  const tag = String(first.headers.etag)
  t.match(tag, /^"[\w-]{43}"$/)
  const cases: [string, number][] = [
    [tag, 304],
    [`W/${tag}`, 304],
    [`"other", ${tag}`, 304],
    ['*', 304],
    ['"other"', 200],
    [tag.replaceAll('"', ''), 200],
    ['', 200]
  ]
  for (const [header, status] of cases) {
    const reply = await send('GET', JWKS, undefined, { 'if-none-match': header })
    t.equal(reply.statusCode, status, header)
    t.equal(reply.headers.etag, tag)
    t.equal(reply.headers['cache-control'], 'public, max-age=300')
    t.equal(reply.body, status === 304 ? '' : first.body)
  }
  const head = await send('HEAD', JWKS)
  t.strictSame([head.statusCode, head.body, head.headers.etag], [200, '', tag])
  const other = await buildWithKeys(t, [keyOf('ES256', 'k2')])
  t.not((await other.send('GET', JWKS)).headers.etag, tag, 'other keys have another tag')
})

t.test('different keys with one kid refuse to start while the JWKS route is on', async (t) => {
  const options = {
    backends: [jwtBackend({ keys: [keyOf('ES256', 'k')] }), jwtBackend({ keys: [keyOf('EdDSA', 'k')] }, 'second')]
  }
  await t.rejects(buildApp(t, options), { code: 'FST_USERS_INVALID_OPTION', message: /kid "k"/ })
  t.ok(await buildApp(t, { ...options, routes: { jwks: false } }))
  const twice = { backends: [jwtBackend({ keys: [keyOf('ES256'), keyOf('ES256')] })] }
  await t.rejects(buildApp(t, twice), { code: 'FST_USERS_INVALID_OPTION' }, 'one key twice')
})

t.test('CFG-04: tokens without kid belong to the only key that has none, and to no key if several have none', async (t) => {
  const secretKey = { secret: SECRET.split('').reverse().join('') }
  const [ed, ec] = [keyOf('EdDSA'), keyOf('ES256')]
  const cases: [string, JwtKeyOptions, JwtKeyOptions[], boolean][] = [
    ['one secret', secretKey, [secretKey], true],
    ['a secret beside a named key', secretKey, [keyOf('ES256', 'k1'), secretKey], true],
    ['a secret beside a public key without kid', secretKey, [ec, secretKey], true],
    ['a named secret', secretKey, [{ ...secretKey, kid: 'k1' }], false],
    ['one public key', ed, [ed], true],
    ['a public key beside a named one', ed, [keyOf('ES256', 'k1'), ed], true],
    ['two public keys without kid', ed, [ec, ed], false],
    ['a named public key', ed, [keyOf('EdDSA', 'k1')], false]
  ]
  for (const [name, key, keys, isValid] of cases) {
    const adapter = memory()
    const first = await buildWithKeys(t, [key], { adapter })
    await first.register()
    const claims = decodeJwt((await first.bearer(ARTHUR)).authorization.slice(7))
    const signKey = key === ed ? pairs.EdDSA.privateKey : Buffer.from(secretKey.secret)
    const token = await new SignJWT(claims).setProtectedHeader({ alg: key.algorithm ?? 'HS256' }).sign(signKey)
    const { send } = await buildWithKeys(t, keys, { adapter })
    const reply = await send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })
    t.equal(reply.statusCode, isValid ? 200 : 401, name)
  }
})

t.test('the API document describes the JWKS route', async (t) => {
  const options: UsersOptions = {
    adapter: memory(),
    secret: SECRET,
    backends: [jwtBackend({ keys: [keyOf('ES256')] })]
  }
  const documented = await documentOf(t, options)
  const operation = operationsOf(documented).find(({ path }) => path === JWKS)?.operation
  t.match(operation, { operationId: 'jwks', tags: ['auth'], responses: { 200: {}, 304: {}, 500: {}, 503: {} } })
  t.strictSame(operation?.security, [], 'it is open to everyone')
  t.ok('JwkSet' in documented.components.schemas)
  t.strictSame(await validateDocument(documented), { seriousme: null, readme: null })
})

async function documentOf (t: Test, options: UsersOptions): Promise<ApiDocument> {
  const { openapi, transformObject } = usersOpenapi(options)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi: { ...openapi, info: { title: 'Test', version: '1.0.0' } }, transformObject })
  await app.register(users, options)
  await app.ready()
  return JSON.parse(JSON.stringify(app.swagger())) as ApiDocument
}
