import { hash, randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import type { DatabaseAdapter, Feature, Model, SingleUse, SingleUseOptions, UserId } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { manualClock } from '../lib/testing/index.js'
import { withSlowReads } from '../lib/testing/slow-reads.js'
import { buildApp, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'

interface Challenge {
  code: string
  list: (string | number | null)[]
}

const LIFETIME = 600
const SINGLE_USE: Model = { name: 'single_use', table: 'single_use', fields: {} } // sufficient for the memory store
const VALUE: Challenge = { code: 'a "b" \u{1f3f0} $set', list: [1, null, 'c'] }
const BROWSER = hash('sha256', 'a cookie', 'base64url')
const OTHER = hash('sha256', 'another cookie', 'base64url')

type Make = (purpose: string, options?: Partial<SingleUseOptions>) => SingleUse<Challenge>

/** An application with a feature that uses single-use values. */
async function serve (
  t: Test,
  adapter: DatabaseAdapter,
  clock: () => number = Date.now
): Promise<{ built: TestApp; make: Make }> {
  const feature: Feature<Make> = {
    name: 'challenges',
    singleUse: true,
    setup: (kit) => ({
      api: (purpose, options = {}) => kit.singleUse(purpose, { lifetimeSeconds: LIFETIME, ...options })
    })
  }
  const built = await buildApp(t, { adapter, clock, features: [feature] })
  return { built, make: built.app.users.feature('challenges') as Make }
}

for (const { name, options, open } of everyStore) {
  t.test(`RACE-01: ${name}: of parallel uses of one value, exactly one gets it, also in two processes`, options, async (t) => {
    const adapterOf = await open(t)
    const made = [(await serve(t, adapterOf())).make('a'), (await serve(t, adapterOf())).make('a')]
    for (let round = 0; round < 5; round++) {
      const token = await (made[0] as SingleUse<Challenge>).create(VALUE)
      const all = await Promise.all([...made, ...made, ...made].map((values) => values.consume(token)))
      t.strictSame(all.filter((value) => value !== null), [VALUE])
      t.equal(await made[1]?.consume(token), null, 'it works once')
    }
  })

  t.test(`${name}: parallel attempts are counted, and no more than the maximum are allowed`, options, async (t) => {
    const adapterOf = await open(t)
    const most = { maxAttempts: 3 }
    const made = [(await serve(t, adapterOf())).make('a', most), (await serve(t, adapterOf())).make('a', most)]
    const [first, second] = made as [SingleUse<Challenge>, SingleUse<Challenge>]
    const token = await first.create(VALUE)
    const all = await Promise.all([...made, ...made, ...made, ...made].map((values) => values.attempt(token)))
    t.strictSame(all.filter((value) => value !== null), [VALUE, VALUE, VALUE])
    t.equal(await second.attempt(token), null)
    const other = await first.create(VALUE)
    t.strictSame(await second.attempt(other), VALUE, 'other values have their own attempts')
    t.strictSame(await second.consume(other), VALUE)
    t.equal(await second.attempt(other), null, 'a used value allows no attempt')
  })

  t.test(`SES-01: ${name}: a value is bound to its purpose and its browser, and expires`, options, async (t) => {
    const clock = manualClock()
    const { make } = await serve(t, (await open(t))(), clock)
    const values = make('a')
    const bound = (): Promise<string> => values.create(VALUE, { browser: BROWSER })
    for (const proof of [{}, { browser: null }, { browser: OTHER }, { browser: '' }]) {
      const token = await bound()
      t.equal(await values.attempt(token, proof), null, JSON.stringify(proof))
      t.equal(await values.consume(token, proof), null, JSON.stringify(proof))
    }
    t.strictSame(await values.consume(await bound(), { browser: BROWSER }), VALUE)
    t.equal(await values.consume(await values.create(VALUE), { browser: BROWSER }), null, 'an unbound value')

    const token = await values.create(VALUE)
    t.equal(await make('b').consume(token), null, 'another purpose')
    t.equal(await make('b').attempt(token), null, 'another purpose')
    clock.tick(LIFETIME - 1)
    t.strictSame(await values.attempt(token), VALUE)
    clock.tick(1)
    t.equal(await values.attempt(token), null, 'expired')
    t.equal(await values.consume(token), null, 'expired')
    const short = await values.create(VALUE, { lifetimeSeconds: 1 })
    clock.tick(1)
    t.equal(await values.consume(short), null, 'a lifetime of its own')
  })

  t.test(`${name}: open values of a browser and of a user are found and deleted`, options, async (t) => {
    const clock = manualClock()
    const { built, make } = await serve(t, (await open(t))(), clock)
    const user = await built.create()
    const values = make('a')
    t.equal(await values.hasOpen(BROWSER), false)
    const token = await values.create(VALUE, { browser: BROWSER })
    t.equal(await values.hasOpen(BROWSER), true)
    t.equal(await values.hasOpen(OTHER), false)
    t.equal(await make('b').hasOpen(BROWSER), false, 'another purpose')
    await values.consume(token, { browser: BROWSER })
    t.equal(await values.hasOpen(BROWSER), false)
    await values.create(VALUE, { browser: BROWSER })
    clock.tick(LIFETIME)
    t.equal(await values.hasOpen(BROWSER), false, 'expired')

    const id = user.id as UserId
    const own = [await values.create(VALUE, { userId: id }), await values.create(VALUE, { userId: id })]
    const other = await values.create(VALUE)
    t.equal(await make('b').deleteOf({ userId: id }), 0)
    t.equal(await values.deleteOf({ userId: id }), 2)
    t.strictSame([await values.consume(own[0] ?? ''), await values.consume(other)], [null, VALUE])
  })
}

t.test('RACE-01: one parallel use wins on a store whose reads are slow', async (t) => {
  const { make } = await serve(t, withSlowReads(memory(), 5))
  const values = make('a')
  const token = await values.create(VALUE)
  const all = await Promise.all(Array.from({ length: 8 }, () => values.consume(token)))
  t.strictSame(all.filter((value) => value !== null), [VALUE])
})

t.test('INP-02: tokens of any form are unknown, and do not reach the store unless they have the form of a token', async (t) => {
  const calls: string[] = []
  const store = memory()
  const adapter = new Proxy(store, {
    get (target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver)
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        calls.push(String(name))
        return (value as (...args: unknown[]) => unknown).apply(target, args)
      }
    }
  })
  const { make } = await serve(t, adapter)
  const values = make('a')
  const token = await values.create(VALUE)
  calls.length = 0
  for (const text of ['', ' ', token.slice(1), `${token}a`, `${token} `, token.replace(/.$/, '%'), '\0'.repeat(43), 1, null, {}, [token]]) {
    t.equal(await values.consume(text as string), null, JSON.stringify(text))
    t.equal(await values.attempt(text as string), null, JSON.stringify(text))
  }
  t.strictSame(calls, [])
  t.equal(await values.consume(randomBytes(32).toString('base64url')), null)
  t.strictSame(await values.consume(token), VALUE)
})

t.test('SES-02: the store contains no token', async (t) => {
  const adapter = memory()
  const { make } = await serve(t, adapter)
  const tokens = [await make('a').create(VALUE, { browser: BROWSER }), await make('a').create(VALUE)]
  const rows = await adapter.findMany(SINGLE_USE, {}, { limit: 10 })
  t.equal(rows.length, 2)
  for (const token of tokens) t.notOk(JSON.stringify(rows).includes(token))
})

t.test('expired values are deleted when another one is stored', async (t) => {
  const clock = manualClock()
  const adapter = memory()
  const { built, make } = await serve(t, adapter, clock)
  for (let i = 0; i < 300; i++) await make('a').create(VALUE)
  clock.tick(LIFETIME + 1)
  await make('b').create(VALUE)
  await built.app.users.settled()
  t.equal((await adapter.findMany(SINGLE_USE, {}, { limit: 1000 })).length, 1)
})

t.test('a feature that does not declare single-use values cannot use them, and has no table', async (t) => {
  const undeclared: Feature = { name: 'a', setup: ({ singleUse }) => ({ api: singleUse('b', { lifetimeSeconds: 1 }) }) }
  await t.rejects(buildApp(t, { features: [undeclared] }), { code: 'FST_USERS_INVALID_OPTION' })
  const names: string[] = []
  const adapter = memory()
  const define = adapter.define.bind(adapter)
  adapter.define = (model) => {
    names.push(model.name)
    define(model)
  }
  await buildApp(t, { adapter, features: [{ name: 'a', setup: () => ({}) }] })
  t.notOk(names.includes('single_use'))
})
