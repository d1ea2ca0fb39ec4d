import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { DatabaseAdapter, Dependents, NewRow, Row } from '../../contracts/database-adapter.js'
import type { Declare } from './context.js'
import { AccessToken, Account, createUser, idKinds, User } from './models.js'

const PARALLEL = 20
const duplicate = (...fields: string[]): object => ({ code: 'FST_USERS_UNIQUE_VIOLATION', fields })
const duplicateAccount = duplicate('oauth_name', 'account_id')
const invalid = { code: 'FST_USERS_INVALID_OPTION' }

/** Calls of createWith that fail when the e-mail `taken@x.org` and the account `taken` exist. */
const refusedCalls: [title: string, error: object, user: Row, dependents: Dependents][] = [
  ['the first row is a duplicate', duplicate('email'), { email: 'TAKEN@x.org' }, (user) => [accountOf(user)]],
  ['the second row is a duplicate', duplicateAccount, {}, (user) => [accountOf(user, 'taken')]],
  ['the third row is a duplicate', duplicateAccount, {}, (user) => [accountOf(user), accountOf(user, 'taken')]],
  [
    'the third row is a duplicate of the second',
    duplicateAccount,
    {},
    (user) => [accountOf(user, 'twice'), accountOf(user, 'twice')]
  ],
  ['the rows belong to several models', duplicateAccount, {}, (user) => [tokenOf(user), accountOf(user, 'taken')]],
  ['the first row is invalid', invalid, { credits: 'many' }, (user) => [accountOf(user)]],
  [
    'the third row is invalid',
    invalid,
    {},
    (user) => [accountOf(user), [AccessToken, { token: 1, user_id: user['id'] }]]
  ],
  ['the callback throws', { message: 'no' }, {}, () => assert.fail('no')]
]

/** Declares the tests of createWith: a row and its dependent rows are stored together or not at all. */
export function declareDependentTests (declare: Declare): void {
  for (const { kind, owner, token } of idKinds) {
    declare(
      `DEP-03, row 49: createWith stores rows and the dependent rows that refer to their ${kind.name} ids`,
      async ({ adapter }) => {
        if (adapter.createWith === undefined) return
        const [first, ...tokens] = await adapter.createWith(owner, { email: 'a@x.org' }, ({ id }) =>
          ['1', '2'].map((text) => [token, { token: text, user_id: id }])
        )
        assert.equal(kind.parse(String(first['id'])), first['id'])
        assert.deepEqual(
          tokens,
          ['1', '2'].map((text) => ({ token: text, user_id: first['id'] }))
        )
        const [second] = await adapter.createWith(owner, { email: 'b@x.org' }, () => [])
        assert.notEqual(second['id'], first['id'])
        assert.deepEqual(await adapter.findMany(owner, {}, { limit: 9, order: 'email' }), [first, second])
        assert.deepEqual(await adapter.findMany(token, {}, { limit: 9 }), tokens)
      }
    )
  }

  declare('DEP-03: createWith returns copies of all rows with all fields', async ({ adapter }) => {
    if (adapter.createWith === undefined) return
    const settings = { theme: { dark: true } }
    const given = newUser()
    const rows = await adapter.createWith(User, { ...given, settings }, (one) => {
      assert.deepEqual(Object.keys(one).sort(), Object.keys(User.fields).sort())
      return [accountOf(one)]
    })
    const expected = structuredClone(rows)
    ;(rows[0]['settings'] as typeof settings).theme.dark = false
    settings.theme.dark = false
    const [user, account] = expected
    assert.deepEqual(await adapter.findOne(User, { id: given['id'] as string }), user)
    assert.deepEqual(await adapter.findMany(Account, {}, { limit: 9 }), [account])
  })
  declareRefusalTests(declare)
  declareParallelTests(declare)
}

function declareRefusalTests (declare: Declare): void {
  declare(
    'DEP-03: a failed createWith stores no row, and the error of a duplicate contains the names of the fields',
    async ({ adapter }) => {
      if (adapter.createWith === undefined) return
      const user = await createUser(adapter, { email: 'taken@x.org' })
      await adapter.create(Account, { ...accountOf(user, 'taken')[1], id: randomUUID() })
      const before = await allRows(adapter)
      for (const [title, error, fields, dependents] of refusedCalls) {
        await assert.rejects(
          async () => await adapter.createWith?.(User, { ...newUser(), ...fields }, dependents),
          error,
          title
        )
        assert.deepEqual(await allRows(adapter), before, title)
      }
      const whole = await adapter.createWith(User, newUser(), (one) => [
        accountOf(one, null),
        tokenOf(one),
        accountOf(one, null)
      ])
      assert.equal(whole.length, 4, 'rows with a null are not duplicates')
    }
  )
}

function declareParallelTests (declare: Declare): void {
  declare(
    'DEP-03, RACE-02: only one of many parallel createWith calls with the same values succeeds',
    async ({ adapter }) => {
      if (adapter.createWith === undefined) return
      const cases: [string, (n: number) => { email: string; account: string }, number][] = [
        ['the same e-mail', (n) => ({ email: n % 2 === 0 ? 'one@x.org' : 'ONE@x.org', account: `e-mail ${n}` }), 1],
        ['the same account', (n) => ({ email: `account${n}@x.org`, account: 'one' }), 1],
        ['the same e-mail and account', () => ({ email: 'both@x.org', account: 'both' }), 1],
        ['different values', (n) => ({ email: `neither${n}@x.org`, account: `neither ${n}` }), PARALLEL]
      ]
      let wins = 0
      for (const [title, make, expected] of cases) {
        const ends = await Promise.allSettled(
          Array.from({ length: PARALLEL }, async (_, n) => {
            const { email, account } = make(n)
            return await adapter.createWith?.(User, { ...newUser(), email }, (one) => [accountOf(one, account)])
          })
        )
        for (const end of ends) {
          if (end.status === 'rejected') {
            assert.equal((end.reason as { code?: string }).code, 'FST_USERS_UNIQUE_VIOLATION', title)
          }
        }
        assert.equal(ends.filter(({ status }) => status === 'fulfilled').length, expected, title)
        wins += expected
        const [users, accounts] = await allRows(adapter)
        assert.deepEqual(accounts?.map((row) => row['user_id']).sort(), users?.map((row) => row['id']).sort(), title)
        assert.equal(users?.length, wins, title)
      }
    }
  )
}

function newUser (): Row {
  return { id: randomUUID(), email: `${randomUUID()}@camelot.bt`, hashed_password: 'hash', is_active: true }
}

function accountOf ({ id }: Row, account: string | null = randomUUID()): NewRow {
  return [Account, { user_id: id, oauth_name: 'grail', account_id: account }]
}

function tokenOf ({ id }: Row): NewRow {
  return [AccessToken, { token: randomUUID(), user_id: id, created_at: new Date() }]
}

async function allRows (adapter: DatabaseAdapter): Promise<Row[][]> {
  return await Promise.all([User, Account, AccessToken].map((model) => adapter.findMany(model, {}, { limit: 99 })))
}
