import t, { type Test } from 'tap'
import {
  refuse,
  type DatabaseAdapter,
  type Feature,
  type FeatureKit,
  type IdKind,
  type LoginMethodRemoval,
  type LoginMethods,
  type Model,
  type UserId,
  type UserRow
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import type { OauthAccounts } from '../lib/features/oauth/contracts.js'
import { accountsFeature } from './helpers/accounts-feature.js'
import { ARTHUR, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'

const LAST = { code: 'FST_USERS_REFUSED', detail: 'LAST_METHOD' }

interface Keys {
  kit: FeatureKit
  add(row: UserRow, key: string, proved?: boolean): Promise<void>
  keysOf(row: UserRow): Promise<string[]>
  /**
   * Removes a key unless it is the last login method. `after` runs between the removal and the second count, `before`
   * between the first count and the removal.
   */
  remove(
    row: UserRow,
    key: string,
    after?: () => Promise<unknown>,
    before?: () => Promise<unknown>
  ): Promise<boolean>
}

/** Returns a feature that stores keys, with which users log in. `keys` has its functions after the start. */
function keysFeature (name: string): { feature: Feature; keys: Keys } {
  const keys = {} as Keys
  const modelOf = (kit: Pick<FeatureKit, 'settings'>): Model => keyModel(name, kit.settings.schemas.id)
  const feature: Feature = {
    name,
    models: ({ id }) => [keyModel(name, id)],
    setup (kit) {
      const { store } = kit
      const model = modelOf(kit)
      const loginMethods: LoginMethods = {
        count: async ({ id }) => (await store.findMany(model, { user_id: id }, { limit: 100 })).length,
        removeUnproved: ({ id }) => store.delete(model, { user_id: id, proved: false }),
        removeAll: ({ id }) => store.delete(model, { user_id: id })
      }
      Object.assign(keys, {
        kit,
        async add ({ id }: UserRow, key: string, proved = false) {
          await store.create(model, { id: key, user_id: id, proved })
        },
        keysOf: async ({ id }: UserRow) =>
          (await store.findMany(model, { user_id: id }, { limit: 100 })).map((row) => row['id']),
        async remove (row: UserRow, key: string, after = async () => {}, before = async () => {}) {
          const stored = await store.findOne(model, { id: key })
          return await kit.loginMethods.removeOne(row, {
            async remove () {
              await before()
              const count = await store.delete(model, { id: key })
              await after()
              return count
            },
            restore: async () => await store.create(model, { ...stored }),
            refusal: () => refuse(400, 'LAST_METHOD', 'This is the last one.')
          })
        }
      })
      return { loginMethods }
    }
  }
  return { feature, keys }
}

function keyModel (name: string, id: IdKind): Model {
  return {
    name: `${name}_key`,
    table: `${name}_key`,
    fields: {
      id: { type: 'text', maxLength: 40 },
      user_id: { type: 'id', id, references: 'user' },
      proved: { type: 'boolean' }
    },
    index: [['user_id']]
  }
}

interface TwoFeatures extends TestApp {
  first: Keys
  second: Keys
  /** Creates a user without a password and returns its row. */
  createWithoutPassword(email?: string): Promise<UserRow>
}

/** Returns a function that resolves when it has been called twice. */
function createBarrier (): () => Promise<void> {
  let arrived = 0
  let release = (): void => {}
  const bothArrived = new Promise<void>((resolve) => {
    release = resolve
  })
  return async () => {
    if (++arrived === 2) release()
    await bothArrived
  }
}

/** Starts an application with two features that have login methods. */
async function start (t: Test, adapter: DatabaseAdapter = memory()): Promise<TwoFeatures> {
  const { feature: a, keys: first } = keysFeature('first')
  const { feature: b, keys: second } = keysFeature('second')
  const built = await buildApp(t, { adapter, features: [a, b] })
  return { ...built, first, second, createWithoutPassword: (email) => createWithoutPassword(first.kit, email) }
}

async function createWithoutPassword (kit: FeatureKit, email = ARTHUR): Promise<UserRow> {
  const stored = await kit.externalUsers.create({ email, is_verified: false }, { rows: [] }, {})
  if (stored === null) throw new Error('no user')
  return stored[0]
}

t.test('a password and the methods of all features are counted', async (t) => {
  const { first, second, create, createWithoutPassword } = await start(t)
  const { kit } = first
  await create()
  const arthur = (await kit.rows.getByEmail(ARTHUR)) as UserRow
  const robin = await createWithoutPassword('robin@camelot.bt')
  const { count } = kit.loginMethods
  const counts = async (): Promise<number[]> => [await count(arthur), await count(robin)]
  t.same(await counts(), [1, 0])
  t.same([kit.loginMethods.hasPassword(arthur), kit.loginMethods.hasPassword(robin)], [true, false])
  await first.add(arthur, 'a')
  await first.add(robin, 'b')
  await second.add(robin, 'c')
  await second.add(robin, 'd')
  t.same(await counts(), [2, 3])
})

t.test('no feature can remove the last login method', async (t) => {
  const { first, second, create, createWithoutPassword } = await start(t)
  const robin = await createWithoutPassword()
  await first.add(robin, 'a')
  await t.rejects(first.remove(robin, 'a'), LAST, 'the only method')
  await second.add(robin, 'b')
  t.equal(await first.remove(robin, 'a'), true, 'another feature has one')
  t.same([await first.keysOf(robin), await second.keysOf(robin)], [[], ['b']])
  await t.rejects(second.remove(robin, 'b'), LAST)
  t.same(await second.keysOf(robin), ['b'])
  await create({ email: 'lancelot@camelot.bt' })
  const lancelot = (await first.kit.rows.getByEmail('lancelot@camelot.bt')) as UserRow
  await first.add(lancelot, 'c')
  t.equal(await first.remove(lancelot, 'c'), true, 'the password is left')
  await first.add(lancelot, 'd')
  t.equal(await first.remove(lancelot, 'missing'), false)
})

t.test('a method that another call removed first is reported as missing', async (t) => {
  const { first, createWithoutPassword } = await start(t)
  const robin = await createWithoutPassword()
  for (const key of ['a', 'b', 'c']) await first.add(robin, key)
  const results = await Promise.all([first.remove(robin, 'a'), first.remove(robin, 'a')])
  t.same(results.sort(), [false, true])
  t.same((await first.keysOf(robin)).sort(), ['b', 'c'])
})

t.test('a removal is refused if the sessions of the user were revoked since the row was read', async (t) => {
  const { app, first, createWithoutPassword } = await start(t)
  const robin = await createWithoutPassword()
  await first.add(robin, 'a')
  await first.add(robin, 'b')
  await app.users.endSessions(robin)
  await t.rejects(first.remove(robin, 'a'), { code: 'FST_USERS_UNAUTHENTICATED' })
  await app.users.delete(robin.id as UserId)
  await t.rejects(first.remove(robin, 'a'), { code: 'FST_USERS_REFUSED' }, 'a deleted user has no methods')
})

t.test('a method is restored if the other methods disappear between the counts', async (t) => {
  const { app, first, second, create, createWithoutPassword } = await start(t)
  const robin = await createWithoutPassword()
  await first.add(robin, 'a')
  await second.add(robin, 'b')
  const secondModel = keyModel('second', second.kit.settings.schemas.id)
  const removal = first.remove(robin, 'a', () => second.kit.store.delete(secondModel, { id: 'b' }))
  await t.rejects(removal, LAST)
  t.same(await first.keysOf(robin), ['a'], 'the key of another feature')

  await create({ email: 'lancelot@camelot.bt' })
  const lancelot = (await first.kit.rows.getByEmail('lancelot@camelot.bt')) as UserRow
  await first.add(lancelot, 'c', true)
  const handover = first.remove(lancelot, 'c', async () => await app.users.confirmEmail(first.kit.rows.toUser(lancelot)))
  await t.rejects(handover, LAST)
  t.same(await first.keysOf(lancelot), ['c'], 'the password')

  const galahad = await createWithoutPassword('galahad@camelot.bt')
  await first.add(galahad, 'd')
  await second.add(galahad, 'e')
  t.equal(await first.remove(galahad, 'd', () => app.users.delete(galahad.id as UserId)), true)
  t.same([await first.keysOf(galahad), await second.keysOf(galahad)], [[], []], 'a deleted user keeps none')
})

t.test('a method is restored if the store fails before the second count', async (t) => {
  let fails = false
  const adapter = new Proxy(memory(), {
    get (target, key) {
      const method: unknown = Reflect.get(target, key)
      if (typeof method !== 'function') return method
      return (...args: unknown[]): unknown => {
        if (fails && key === 'findOne') throw Object.assign(new Error('canary'), { code: 'ECONNREFUSED' })
        return (method as (...args: unknown[]) => unknown).apply(target, args)
      }
    }
  })
  const { first, createWithoutPassword } = await start(t, adapter)
  const robin = await createWithoutPassword()
  await first.add(robin, 'a')
  await first.add(robin, 'b')
  const removal = first.remove(robin, 'a', async () => {
    fails = true
  })
  await t.rejects(removal, { code: 'FST_USERS_STORE_UNAVAILABLE' })
  fails = false
  t.same((await first.keysOf(robin)).sort(), ['a', 'b'])
})

t.test('results of features that are not whole numbers do not count as login methods', async (t) => {
  for (const result of [undefined, null, NaN, -1, 0.5, Infinity, '2', true, {}] as unknown[]) {
    let given: FeatureKit | undefined
    const odd: Feature = {
      name: 'odd',
      setup (kit) {
        given = kit
        const wrong = async (): Promise<number> => result as number
        return { loginMethods: { count: wrong, removeUnproved: wrong, removeAll: wrong } }
      }
    }
    const { app } = await buildApp(t, { features: [odd] })
    const kit = given as FeatureKit
    const row = await createWithoutPassword(kit)
    const removal: LoginMethodRemoval = {
      remove: async () => {
        t.fail('nothing is removed')
        return 1
      },
      restore: async () => {},
      refusal: () => refuse(400, 'LAST_METHOD', 'This is the last one.')
    }
    t.equal(await kit.loginMethods.count(row), 0, String(result))
    await t.rejects(kit.loginMethods.removeOne(row, removal), LAST, String(result))
    await app.users.confirmEmail(kit.rows.toUser(row)) // ends, although the result is not a number
  }
})

t.test('login methods of a wrong shape refuse to start', async (t) => {
  const count = (): number => 0
  const wrong: [what: string, loginMethods: unknown][] = [
    ['null', null],
    ['a function', count],
    ['a list', [count]],
    ['no count', { removeAll: count }],
    ['a count that is a number', { count: 1 }],
    ['removeUnproved that is no function', { count, removeUnproved: true }],
    ['removeAll that is no function', { count, removeAll: {} }],
    ['a mistyped name', { count, removeUnprooved: count }]
  ]
  for (const [what, loginMethods] of wrong) {
    const feature = { name: 'wrong', setup: () => ({ loginMethods }) } as unknown as Feature
    await t.rejects(buildApp(t, { features: [feature] }), { code: /FST_USERS_(INVALID|UNKNOWN)_OPTION/ }, what)
  }
})

t.test('a user who is deleted loses the login methods of all features', async (t) => {
  const { app, first, second, createWithoutPassword } = await start(t)
  const robin = await createWithoutPassword()
  await first.add(robin, 'a')
  await second.add(robin, 'b', true)
  await app.users.delete(robin.id as UserId)
  t.same([await first.keysOf(robin), await second.keysOf(robin)], [[], []])
})

for (const { name, options, open } of everyStore) {
  t.test(`two features that remove the last two methods at the same time leave one (${name})`, options, async (t) => {
    const adapter = await open(t)
    const { first, second, createWithoutPassword } = await start(t, adapter())
    for (let round = 0; round < 10; round++) {
      const robin = await createWithoutPassword(`robin${round}@camelot.bt`)
      await first.add(robin, `a${round}`)
      await second.add(robin, `b${round}`)
      const outcomes = await Promise.allSettled([first.remove(robin, `a${round}`), second.remove(robin, `b${round}`)])
      const left = (await first.keysOf(robin)).length + (await second.keysOf(robin)).length
      const removed = outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value).length
      t.ok(left >= 1, 'one remains')
      t.equal(left + removed, 2, 'a refused removal removes nothing')
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') t.match(outcome.reason, LAST)
      }
    }
  })

  t.test(`two features that both removed before they counted again leave one (${name})`, options, async (t) => {
    const adapter = await open(t)
    const { first, second, createWithoutPassword } = await start(t, adapter())
    const robin = await createWithoutPassword()
    await first.add(robin, 'a')
    await second.add(robin, 'b')
    const bothCounted = createBarrier()
    const bothRemoved = createBarrier()
    const outcomes = await Promise.allSettled([
      first.remove(robin, 'a', bothRemoved, bothCounted),
      second.remove(robin, 'b', bothRemoved, bothCounted)
    ])
    const removed = outcomes.filter(({ status }) => status === 'fulfilled').length
    const left = [...(await first.keysOf(robin)), ...(await second.keysOf(robin))]
    t.ok(left.length >= 1, 'one remains')
    t.equal(left.length + removed, 2, 'a refused removal removes nothing')
  })

  t.test(`a verified e-mail removes the unproved methods of all features (${name})`, options, async (t) => {
    const adapter = await open(t)
    const { app, send, tokenOf, first, second, create, bearer } = await start(t, adapter())
    await create()
    const arthur = (await first.kit.rows.getByEmail(ARTHUR)) as UserRow
    await first.add(arthur, 'a')
    await first.add(arthur, 'b', true)
    await second.add(arthur, 'c')
    await second.add(arthur, 'd', true)
    await send('POST', '/auth/request-verify-token', { email: ARTHUR })
    t.equal((await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })).statusCode, 200)
    t.same([await first.keysOf(arthur), await second.keysOf(arthur)], [['b'], ['d']])
    await first.add(arthur, 'e')
    await app.users.update(arthur.id as UserId, { password: 'guinevere-2' })
    t.same((await first.keysOf(arthur)).sort(), ['b', 'e'], 'a verified user keeps them')
    t.ok(await bearer(ARTHUR, 'guinevere-2'))
  })
}

t.test('a provider account can be unlinked if another feature has a login method, and restricts that feature', async (t) => {
  const { feature, keys } = keysFeature('keys')
  let accounts: OauthAccounts | undefined
  const settings = {
    associateByEmail: false,
    reclaimUnverified: false,
    isVerifiedByDefault: false,
    mapProfile: null,
    encryptionKeys: []
  }
  const oauth = accountsFeature(settings, (given) => {
    accounts = given
  })
  const { app } = await buildApp(t, { features: [oauth, feature] })
  const identity = {
    provider: { name: 'grail', server: { discover: 'https://grail.example' } },
    accountId: '1',
    email: ARTHUR,
    emailVerified: false,
    profile: {},
    tokens: { accessToken: 'token' }
  } as never
  const row = (await accounts?.resolve(identity, {})) as UserRow
  const list = async (): Promise<(string | number)[]> =>
    ((await accounts?.list(row.id as UserId)) ?? []).map(({ id }) => id)
  const [account = ''] = await list()
  t.equal(await keys.kit.loginMethods.count(row), 1)
  await t.rejects(async () => await accounts?.unlink(row, account, {}), { code: 'FST_USERS_OAUTH_LAST_LOGIN_METHOD' })
  await keys.add(row, 'a')
  await accounts?.unlink(row, account, {})
  t.same(await list(), [])
  await t.rejects(keys.remove(row, 'a'), LAST)
  await accounts?.link(row, identity, {})
  t.equal(await keys.remove(row, 'a'), true)
  t.equal((await list()).length, 1)
  await keys.add(row, 'b')
  const [relinked = ''] = await list()
  await Promise.allSettled([keys.remove(row, 'b'), accounts?.unlink(row, relinked, {})])
  t.ok((await list()).length + (await keys.keysOf(row)).length >= 1, 'one remains')
  t.notOk(await app.users.checkCredentials({ username: ARTHUR, password: PASSWORD }))
})
