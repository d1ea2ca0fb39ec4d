import t, { type Test } from 'tap'
import {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type BackendOptions,
  type DatabaseAdapter
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { ARTHUR, buildApp, type TestApp } from './helpers/build-app.js'

const READS = ['findOne', 'findMany', 'findWithUser']
const MARKED = /^[A-Za-z0-9_-]{6}~[A-Za-z0-9_-]{43}$/
const PLAIN = /^[A-Za-z0-9_-]{43}$/

/** Returns a memory store that records the names of its reads. */
function createRecordedStore (): { adapter: DatabaseAdapter; reads: string[] } {
  const reads: string[] = []
  const adapter = new Proxy(memory(), {
    get (target, key) {
      const method: unknown = Reflect.get(target, key)
      if (typeof method !== 'function') return method
      return (...args: unknown[]): unknown => {
        if (READS.includes(String(key))) reads.push(String(key))
        return (method as (...args: unknown[]) => unknown).apply(target, args)
      }
    }
  })
  return { adapter, reads }
}

/** Returns backends that store tokens and read them from the same header. */
function storedBackends (...names: string[]): BackendOptions[] {
  return names.map((name) => ({
    name,
    transport: bearerTransport(),
    strategy: databaseStrategy({ lifetimeSeconds: 3600 })
  }))
}

async function loginAt (built: TestApp, backend: string): Promise<string> {
  return (await built.login(backend, ARTHUR)).json<{ access_token: string }>().access_token
}

/** Returns the status of a guarded request with a token, and how often it read the store. */
async function present (built: TestApp, reads: string[], token: string): Promise<[number, number]> {
  reads.length = 0
  const { statusCode } = await built.send('GET', '/guarded', undefined, { authorization: `Bearer ${token}` })
  return [statusCode, reads.length]
}

async function buildStored (t: Test, backends: BackendOptions[], adapter: DatabaseAdapter): Promise<TestApp> {
  return await buildApp(t, { adapter, backends })
}

t.test('a token of one of several backends is looked up once, at that backend alone', async (t) => {
  const { adapter, reads } = createRecordedStore()
  const names = ['a', 'b', 'c', 'd']
  const built = await buildStored(t, storedBackends(...names), adapter)
  await built.create()
  const tokens = await Promise.all(names.map((name) => loginAt(built, name)))
  for (const token of tokens) {
    t.match(token, MARKED)
    t.same(await present(built, reads, token), [200, 1])
  }
  t.equal(new Set(tokens.map((token) => token.slice(0, 7))).size, 4, 'each backend has its own marker')
  const [last = ''] = tokens.slice(-1)
  t.equal((await built.send('POST', '/auth/d/logout', undefined, { authorization: `Bearer ${last}` })).statusCode, 204)
  t.same(await present(built, reads, last), [401, 1], 'a revoked token is not looked up elsewhere')
})

t.test('a token without a marker is looked up at each backend in order', async (t) => {
  const { adapter, reads } = createRecordedStore()
  // one registration alone does not mark its tokens, and a second one with more backends finds them
  const alone = await buildStored(t, storedBackends('c'), adapter)
  await alone.create()
  const token = await loginAt(alone, 'c')
  t.match(token, PLAIN)
  const several = await buildStored(t, storedBackends('a', 'b', 'c', 'd'), adapter)
  t.same(await present(several, reads, token), [200, 3])
  const marked = await loginAt(several, 'c')
  t.same(await present(alone, reads, marked), [200, 1], 'a marked token stays valid when the other backends are removed')
  t.same(await present(several, reads, 'A'.repeat(43)), [401, 4])
})

t.test('a token is refused if its marker was replaced, removed, added or damaged', async (t) => {
  const { adapter, reads } = createRecordedStore()
  const built = await buildStored(t, storedBackends('a', 'b'), adapter)
  await built.create()
  const [ofA, ofB] = [await loginAt(built, 'a'), await loginAt(built, 'b')]
  const random = ofA.slice(7)
  const table: Record<string, string> = {
    'the marker of another backend': ofB.slice(0, 7) + random,
    'no marker': random,
    'an unknown marker': `AAAAAA~${random}`,
    'two markers': ofB.slice(0, 7) + ofA,
    'its own marker twice': ofA.slice(0, 7) + ofA,
    'a marker alone': ofA.slice(0, 7),
    'a marker that is too short': ofA.slice(1),
    'an empty marker': `~${random}`,
    'a random part that is too short': ofA.slice(0, -1),
    'a random part that is too long': `${ofA}A`,
    'another case': ofA.slice(0, 7).toUpperCase() + random.toLowerCase()
  }
  for (const [name, token] of Object.entries(table)) t.equal((await present(built, reads, token))[0], 401, name)
  t.same(await present(built, reads, ofA), [200, 1])
  t.same(await present(built, reads, ofB), [200, 1])
})

t.test('tokens are not marked if one backend stores them, or if they are stored as plain text', async (t) => {
  const jwt: BackendOptions = {
    name: 'jwt',
    transport: bearerTransport(),
    strategy: jwtStrategy({ lifetimeSeconds: 60 })
  }
  const one = await buildApp(t, { backends: [jwt, ...storedBackends('a')] })
  await one.create()
  t.match(await loginAt(one, 'a'), PLAIN)
  const plain = await buildApp(t, { backends: storedBackends('a', 'b'), compatibility: { tokenStorage: 'plain' } })
  await plain.create()
  t.match(await loginAt(plain, 'b'), PLAIN)
})

t.test('a JWT is never looked up among stored tokens, and a stored token is never read as a JWT', async (t) => {
  const { adapter, reads } = createRecordedStore()
  const strategy = jwtStrategy({ lifetimeSeconds: 60 })
  const built = await buildStored(
    t,
    [
      ...storedBackends('a'),
      { name: 'jwt', transport: bearerTransport(), strategy },
      ...storedBackends('b'),
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }
    ],
    adapter
  )
  await built.create()
  for (const name of ['a', 'jwt', 'b']) t.same(await present(built, reads, await loginAt(built, name)), [200, 1], name)
  t.match((await built.cookie(ARTHUR))['cookie'], /^[^=]+=[A-Za-z0-9_-]{6}~[A-Za-z0-9_-]{43}$/)
  reads.length = 0
  t.equal((await built.send('GET', '/guarded', undefined, await built.cookie(ARTHUR))).statusCode, 200)
})
