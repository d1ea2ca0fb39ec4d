import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { DatabaseAdapter, Dependents, NewRow, Row } from '../../contracts/database-adapter.js'
import type { Declare } from './context.js'
import { AccessToken, Account, createUser, idKinds, User } from './models.js'

const PARALLEL = 20

/** A row and those made of it are stored in one step: all or none. */
export function declareDependentTests (declare: Declare): void {
  for (const { kind, owner, token } of idKinds) {
    declare(
      `DEP-03, row 49: rows are stored together with those made of their ${kind.name} ids`,
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

  declare('DEP-03: rows that are stored together are whole, and copies', async ({ adapter }) => {
    if (adapter.createWith === undefined) return
    const settings = { theme: { dark: true } }
    const given = newUser()
    const rows = await adapter.createWith(User, { ...given, settings }, (one) => {
      assert.deepEqual(Object.keys(one).sort(), Object.keys(User.fields).sort())
      return [accountOf(one)]
    })
    const spoilt = structuredClone(rows)
    ;(rows[0]['settings'] as typeof settings).theme.dark = false
    settings.theme.dark = false
    const [user, account] = spoilt
    assert.deepEqual(await adapter.findOne(User, { id: given['id'] as string }), user)
    assert.deepEqual(await adapter.findMany(Account, {}, { limit: 9 }), [account])
  })
  declareRefusalTests(declare)
  declareParallelTests(declare)
}

function declareRefusalTests (declare: Declare): void {
  declare(
    'DEP-03: of rows that are stored together all or none stay, and a clash names its fields',
    async ({ adapter }) => {
      if (adapter.createWith === undefined) return
      const user = await createUser(adapter, { email: 'taken@x.org' })
      await adapter.create(Account, { ...accountOf(user, 'taken')[1], id: randomUUID() })
      const clash = (...fields: string[]): object => ({ code: 'FST_USERS_UNIQUE_VIOLATION', fields })
      const refused: [string, object, Row, Dependents][] = [
        ['the first clashes', clash('email'), { email: 'TAKEN@x.org' }, (stored) => [accountOf(stored)]],
        ['the second clashes', clash('oauth_name', 'account_id'), {}, (stored) => [accountOf(stored, 'taken')]],
        [
          'the third clashes',
          clash('oauth_name', 'account_id'),
          {},
          (stored) => [accountOf(stored), accountOf(stored, 'taken')]
        ],
        [
          'the third clashes with the second',
          clash('oauth_name', 'account_id'),
          {},
          (stored) => [accountOf(stored, 'twice'), accountOf(stored, 'twice')]
        ],
        [
          'rows of several models',
          clash('oauth_name', 'account_id'),
          {},
          (stored) => [tokenOf(stored), accountOf(stored, 'taken')]
        ],
        [
          'the first is wrong',
          { code: 'FST_USERS_INVALID_OPTION' },
          { credits: 'many' },
          (stored) => [accountOf(stored)]
        ],
        [
          'the third is wrong',
          { code: 'FST_USERS_INVALID_OPTION' },
          {},
          (stored) => [accountOf(stored), [AccessToken, { token: 1, user_id: stored['id'] }]]
        ],
        ['making them fails', { message: 'no' }, {}, () => assert.fail('no')]
      ]
      const before = await allRows(adapter)
      for (const [what, error, fields, dependents] of refused) {
        await assert.rejects(
          async () => await adapter.createWith?.(User, { ...newUser(), ...fields }, dependents),
          error,
          what
        )
        assert.deepEqual(await allRows(adapter), before, what)
      }
      const whole = await adapter.createWith(User, newUser(), (one) => [
        accountOf(one, null),
        tokenOf(one),
        accountOf(one, null)
      ])
      assert.equal(whole.length, 4, 'a null never clashes')
    }
  )
}

function declareParallelTests (declare: Declare): void {
  declare(
    'DEP-03, RACE-02: of many that store the same together exactly one wins, and others are not in their way',
    async ({ adapter }) => {
      if (adapter.createWith === undefined) return
      const cases: [string, (n: number) => { email: string; account: string }, number][] = [
        ['one address', (n) => ({ email: n % 2 === 0 ? 'one@x.org' : 'ONE@x.org', account: `address ${n}` }), 1],
        ['one account', (n) => ({ email: `account${n}@x.org`, account: 'one' }), 1],
        ['both', () => ({ email: 'both@x.org', account: 'both' }), 1],
        ['neither', (n) => ({ email: `neither${n}@x.org`, account: `neither ${n}` }), PARALLEL]
      ]
      let wins = 0
      for (const [what, make, expected] of cases) {
        const ends = await Promise.allSettled(
          Array.from({ length: PARALLEL }, async (_, n) => {
            const { email, account } = make(n)
            return await adapter.createWith?.(User, { ...newUser(), email }, (one) => [accountOf(one, account)])
          })
        )
        for (const end of ends) {
          if (end.status === 'rejected') {
            assert.equal((end.reason as { code?: string }).code, 'FST_USERS_UNIQUE_VIOLATION', what)
          }
        }
        assert.equal(ends.filter(({ status }) => status === 'fulfilled').length, expected, what)
        wins += expected
        const [users, accounts] = await allRows(adapter)
        assert.deepEqual(accounts?.map((row) => row['user_id']).sort(), users?.map((row) => row['id']).sort(), what)
        assert.equal(users?.length, wins, what)
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
