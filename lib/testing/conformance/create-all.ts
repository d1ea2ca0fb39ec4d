import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { DatabaseAdapter, NewRow, Row } from '../../contracts/database-adapter.js'
import { idOf } from '../../adapters/shared/row-references.js'
import type { Declare } from './context.js'
import { AccessToken, createUserRow, idKinds, Membership, User } from './models.js'

const PARALLEL = 20
const duplicate = (...fields: string[]): object => ({ code: 'FST_USERS_UNIQUE_VIOLATION', fields })
const duplicateMembership = duplicate('team', 'member_number')
const invalid = { code: 'FST_USERS_INVALID_OPTION' }

/** Calls of createAll that fail when the e-mail `taken@x.org` and the membership `taken` exist. */
const refusedCalls: [title: string, error: object, user: Row, ...others: NewRow[]][] = [
  ['the first row is a duplicate', duplicate('email'), { email: 'TAKEN@x.org' }, membershipOf(idOf(0))],
  ['the second row is a duplicate', duplicateMembership, {}, membershipOf(idOf(0), 'taken')],
  ['the third row is a duplicate', duplicateMembership, {}, membershipOf(idOf(0)), membershipOf(idOf(0), 'taken')],
  [
    'the third row is a duplicate of the second',
    duplicateMembership,
    {},
    membershipOf(idOf(0), 'twice'),
    membershipOf(idOf(0), 'twice')
  ],
  ['the rows belong to several models', duplicateMembership, {}, newTokenOf(idOf(0)), membershipOf(idOf(0), 'taken')],
  ['the first row is invalid', invalid, { credits: 'many' }, membershipOf(idOf(0))],
  ['the third row is invalid', invalid, {}, membershipOf(idOf(0)), [AccessToken, { token: 1, user_id: idOf(0) }]],
  ['a row refers to itself', invalid, {}, membershipOf(idOf(1))],
  ['a row refers to a later row', invalid, {}, membershipOf(idOf(2)), [User, newUser()]],
  ['a row refers to no row', invalid, {}, membershipOf(idOf(-1))]
]

/** Declares the tests of createAll: all rows are stored together or not at all. */
export function declareCreateAllTests (declare: Declare): void {
  for (const { kind, owner, token } of idKinds) {
    declare(
      `DEP-03, row 49: createAll stores rows, and rows that refer to the ${kind.name} ids of earlier ones`,
      async ({ adapter }) => {
        if (adapter.createAll === undefined) return
        const tokenOf = (text: string, position: number): NewRow => [token, { token: text, user_id: idOf(position) }]
        const [first, one, second, ...others] = await adapter.createAll([
          [owner, { email: 'a@x.org' }],
          tokenOf('1', 0),
          [owner, { email: 'b@x.org' }],
          tokenOf('2', 0),
          tokenOf('3', 2)
        ])
        const ids = [first?.['id'], second?.['id']]
        for (const id of ids) assert.equal(kind.parse(String(id)), id)
        assert.notEqual(ids[0], ids[1])
        assert.deepEqual(
          [one, ...others],
          [
            { token: '1', user_id: ids[0] },
            { token: '2', user_id: ids[0] },
            { token: '3', user_id: ids[1] }
          ]
        )
        const [third] = await adapter.createAll([[owner, { email: 'c@x.org' }]])
        assert.deepEqual(await adapter.createAll([]), [])
        assert.deepEqual(await adapter.findMany(owner, {}, { limit: 9, order: 'email' }), [first, second, third])
        assert.deepEqual(await adapter.findMany(token, {}, { limit: 9 }), [one, ...others])
      }
    )
  }

  declare('DEP-03: createAll returns copies of all rows with all fields', async ({ adapter }) => {
    if (adapter.createAll === undefined) return
    const settings = { theme: { dark: true } }
    const given = newUser()
    const rows = await adapter.createAll([[User, { ...given, settings }], membershipOf(idOf(0))])
    const expected = structuredClone(rows)
    ;(rows[0]?.['settings'] as typeof settings).theme.dark = false
    settings.theme.dark = false
    const [user, membership] = expected
    assert.deepEqual(Object.keys(user ?? {}).sort(), Object.keys(User.fields).sort())
    assert.deepEqual(await adapter.findOne(User, { id: given['id'] as string }), user)
    assert.deepEqual(await adapter.findMany(Membership, {}, { limit: 9 }), [membership])
  })
  declareRefusalTests(declare)
  declareParallelTests(declare)
}

function declareRefusalTests (declare: Declare): void {
  declare(
    'DEP-03: a failed createAll stores no row, and the error of a duplicate contains the names of the fields',
    async ({ adapter }) => {
      if (adapter.createAll === undefined) return
      const user = await createUserRow(adapter, { email: 'taken@x.org' })
      await adapter.create(Membership, { ...membershipOf(user['id'], 'taken')[1], id: randomUUID() })
      const before = await findAllRows(adapter)
      for (const [title, error, fields, ...others] of refusedCalls) {
        await assert.rejects(
          async () => await adapter.createAll?.([[User, { ...newUser(), ...fields }], ...others]),
          error,
          title
        )
        assert.deepEqual(await findAllRows(adapter), before, title)
      }
      const whole = await adapter.createAll([
        [User, newUser()],
        membershipOf(idOf(0), null),
        newTokenOf(idOf(0)),
        membershipOf(idOf(0), null)
      ])
      assert.equal(whole.length, 4, 'rows with a null are not duplicates')
    }
  )
}

function declareParallelTests (declare: Declare): void {
  declare(
    'DEP-03, RACE-02: only one of many parallel createAll calls with the same values succeeds',
    async ({ adapter }) => {
      if (adapter.createAll === undefined) return
      const cases: [string, (n: number) => { email: string; number: string }, number][] = [
        ['the same e-mail', (n) => ({ email: n % 2 === 0 ? 'one@x.org' : 'ONE@x.org', number: `e-mail ${n}` }), 1],
        ['the same membership', (n) => ({ email: `member${n}@x.org`, number: 'one' }), 1],
        ['the same e-mail and membership', () => ({ email: 'both@x.org', number: 'both' }), 1],
        ['different values', (n) => ({ email: `neither${n}@x.org`, number: `neither ${n}` }), PARALLEL]
      ]
      let wins = 0
      for (const [title, make, expected] of cases) {
        const ends = await Promise.allSettled(
          Array.from({ length: PARALLEL }, async (_, n) => {
            const { email, number } = make(n)
            return await adapter.createAll?.([[User, { ...newUser(), email }], membershipOf(idOf(0), number)])
          })
        )
        for (const end of ends) {
          if (end.status === 'rejected') {
            assert.equal((end.reason as { code?: string }).code, 'FST_USERS_UNIQUE_VIOLATION', title)
          }
        }
        assert.equal(ends.filter(({ status }) => status === 'fulfilled').length, expected, title)
        wins += expected
        const [users, memberships] = await findAllRows(adapter)
        assert.deepEqual(memberships?.map((row) => row['user_id']).sort(), users?.map((row) => row['id']).sort(), title)
        assert.equal(users?.length, wins, title)
      }
    }
  )
}

function newUser (): Row {
  return { id: randomUUID(), email: `${randomUUID()}@camelot.bt`, hashed_password: 'hash', is_active: true }
}

function membershipOf (userId: unknown, number: string | null = randomUUID()): NewRow {
  return [Membership, { user_id: userId, team: 'knights', member_number: number }]
}

function newTokenOf (userId: unknown): NewRow {
  return [AccessToken, { token: randomUUID(), user_id: userId, created_at: new Date() }]
}

async function findAllRows (adapter: DatabaseAdapter): Promise<Row[][]> {
  return await Promise.all([User, Membership, AccessToken].map((model) => adapter.findMany(model, {}, { limit: 99 })))
}
