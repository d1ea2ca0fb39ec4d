import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import {
  bearerTransport,
  databaseStrategy,
  jwtStrategy,
  type JwtKeyOptions,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { ARTHUR, PASSWORD, buildApp, storedModel, type TestApp } from './helpers/build-app.js'
import { startProcessWith, type ServerProcess } from './helpers/server-process.js'

const NEVER = 1e9 // milliseconds

/** Returns a key pair: the key that signs, and the key that only verifies. */
function createPair (kid: string): { signing: JwtKeyOptions, verifying: JwtKeyOptions } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' }
  })
  return { signing: { kid, algorithm: 'ES256', privateKey }, verifying: { kid, algorithm: 'ES256', publicKey } }
}

/** A server on one port. Its application is replaced at each step of a rotation, as by a new deployment. */
async function startServer (
  t: Test
): Promise<{ jwksUrl: URL, deploy(keys: readonly JwtKeyOptions[]): Promise<TestApp> }> {
  const adapter = memory()
  let current: TestApp | undefined
  const server = createServer((request: IncomingMessage, reply: ServerResponse) => {
    current?.app.routing(request, reply)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    jwksUrl: new URL(`http://127.0.0.1:${port}/.well-known/jwks.json`),
    async deploy (keys) {
      const strategy = jwtStrategy({ lifetimeSeconds: 3600, keys })
      current = await buildApp(t, { adapter, backends: [{ name: 'jwt', transport: bearerTransport(), strategy }] })
      return current
    }
  }
}

const login = async ({ bearer }: TestApp): Promise<string> => (await bearer(ARTHUR)).authorization.slice(7)
const kidOf = (token: string): string | undefined => decodeProtectedHeader(token).kid

t.test('CFG-04: during a rotation of key pairs, the server and another program accept the documented tokens', async (t) => {
  const { jwksUrl, deploy } = await startServer(t)
  const [k1, k2] = [createPair('k1'), createPair('k2')]
  // the cache of this program never expires, and is only filled again if the test says so
  const remote = createRemoteJWKSet(jwksUrl, { cooldownDuration: NEVER, cacheMaxAge: NEVER })

  /** Returns who accepts a token: the server, and the program with the keys that it has cached. */
  async function acceptedBy ({ send }: TestApp, token: string): Promise<string[]> {
    const { statusCode } = await send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })
    const isVerified = await jwtVerify(token, remote, { audience: 'users:auth' }).then(() => true, () => false)
    return [...(statusCode === 200 ? ['server'] : []), ...(isVerified ? ['program'] : [])]
  }
  const everyone = ['server', 'program']

  const only1 = await deploy([k1.signing])
  await only1.register()
  const t1 = await login(only1)
  t.strictSame([kidOf(t1), await acceptedBy(only1, t1)], ['k1', everyone], 'k1 alone')

  const published = await deploy([k1.signing, k2.verifying])
  const t1b = await login(published)
  t.strictSame([kidOf(t1b), await acceptedBy(published, t1b)], ['k1', everyone], 'a published key does not sign yet')
  t.strictSame(await acceptedBy(published, t1), everyone)
  await remote.reload() // what a program does after `max-age`

  const switched = await deploy([k2.signing, k1.verifying])
  const t2 = await login(switched)
  t.strictSame([kidOf(t2), await acceptedBy(switched, t2)], ['k2', everyone], 'the new key was published before')
  t.strictSame(await acceptedBy(switched, t1), everyone, 'tokens of the old key are valid')
  t.strictSame(await acceptedBy(switched, t1b), everyone)
  t.strictSame(await acceptedBy(published, t2), everyone, 'a process of the step before accepts tokens of the new key')
  t.strictSame(await acceptedBy(only1, t2), ['program'], 'a process of two steps before does not')

  const only2 = await deploy([k2.signing])
  t.strictSame(await acceptedBy(only2, t2), everyone)
  t.strictSame(await acceptedBy(only2, t1), ['program'], 'a program accepts the old key until it loads the keys again')
  await remote.reload()
  t.strictSame(await acceptedBy(only2, t2), everyone)
  t.strictSame(await acceptedBy(only2, t1), [], 'tokens of the removed key are refused')
  t.strictSame(await acceptedBy(only2, t1b), [])
})

t.test('a program that has cached the keys refuses tokens of a key that was not published before', async (t) => {
  const { jwksUrl, deploy } = await startServer(t)
  const [k1, k2] = [createPair('k1'), createPair('k2')]
  const remote = createRemoteJWKSet(jwksUrl, { cooldownDuration: NEVER, cacheMaxAge: NEVER })
  const before = await deploy([k1.signing])
  await before.register()
  t.ok(await jwtVerify(await login(before), remote))
  const token = await login(await deploy([k2.signing, k1.verifying]))
  await t.rejects(jwtVerify(token, remote), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
})

t.test('CFG-04: tokens of users without a stored security stamp stay valid while both secrets are listed', async (t) => {
  const [older, newer] = [randomBytes(48).toString('base64url'), randomBytes(48).toString('base64url')]
  const adapter = memory()
  const backends: UsersOptions['backends'] = [
    { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
    { name: 'stored', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
  ]
  const deploy = (secret: string[]): Promise<TestApp> => buildApp(t, { adapter, backends, secret })
  const before = await deploy([older])
  const { id } = await before.register()
  await adapter.update(storedModel('user'), { id }, { session_stamp: null })
  const tokens = [await login(before), (await before.login('stored', ARTHUR)).json<{ access_token: string }>().access_token]
  await before.send('POST', '/auth/forgot-password', { email: ARTHUR })
  await before.send('POST', '/auth/request-verify-token', { email: ARTHUR })
  const reset = await before.tokenOf('onAfterForgotPassword')
  const verify = await before.tokenOf('onAfterRequestVerify')
  const statuses = async ({ send }: TestApp): Promise<number[]> =>
    await Promise.all(
      tokens.map(async (token) =>
        (await send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })).statusCode)
    )
  t.strictSame(await statuses(await deploy([older, newer])), [200, 200])
  t.strictSame(await statuses(await deploy([newer])), [401, 401])
  const after = await deploy([newer, older])
  t.strictSame(await statuses(after), [200, 200])
  t.equal((await after.send('POST', '/auth/verify', { token: verify })).statusCode, 200)
  await adapter.update(storedModel('user'), { id }, { session_stamp: null, is_verified: false })
  const reply = await after.send('POST', '/auth/reset-password', { token: reset, password: 'lancelot-22' })
  t.equal(reply.statusCode, 200, reply.body)
})

t.test('CFG-04: two processes change their secret one after the other without ending a session', async (t) => {
  const file = join(t.testdir(), 'users.sqlite')
  const [older, newer] = [randomBytes(48).toString('base64url'), randomBytes(48).toString('base64url')]
  const secrets = { old: [older], 'old, new': [older, newer], 'new, old': [newer, older], new: [newer] }
  const start = (list: keyof typeof secrets): Promise<ServerProcess> => startProcessWith(t, file, secrets[list])
  const processes = [await start('old'), await start('old')] as [ServerProcess, ServerProcess]

  async function tokenFrom ({ post }: ServerProcess): Promise<string> {
    const reply = await post('/auth/jwt/login', { username: ARTHUR, password: PASSWORD })
    return ((await reply.json()) as { access_token: string }).access_token
  }
  const accepts = async ({ post }: ServerProcess, token: string): Promise<boolean> =>
    (await post('/guarded', undefined, { authorization: `Bearer ${token}` }, 'GET')).status === 200
  /** Logs in at both processes, and returns whether both accept all these tokens. */
  const tokens: string[] = []
  async function allAccept (): Promise<boolean> {
    for (const process of processes) tokens.push(await tokenFrom(process))
    const results = await Promise.all(processes.flatMap((process) => tokens.map((token) => accepts(process, token))))
    return results.every(Boolean)
  }
  async function deploy (index: 0 | 1, list: keyof typeof secrets): Promise<void> {
    await processes[index].stop()
    processes[index] = await start(list)
  }

  await processes[0].post('/script', { email: ARTHUR, action: 'create' })
  t.ok(await allAccept(), 'the old secret in both')
  for (const list of ['old, new', 'new, old'] as const) {
    for (const index of [0, 1] as const) {
      await deploy(index, list)
      t.ok(await allAccept(), `[${list}] in ${index === 0 ? 'one process' : 'both processes'}`)
    }
  }
  const newest = await tokenFrom(processes[0])
  const oldest = tokens[0] ?? ''
  await deploy(0, 'new')
  t.strictSame(
    await Promise.all(processes.flatMap((process) => [accepts(process, newest), accepts(process, oldest)])),
    [true, false, true, true],
    'a removed secret ends its tokens in this process'
  )
  await deploy(1, 'old')
  t.notOk(await accepts(processes[1], newest), 'a process that was not given the new secret refuses its tokens')
})
