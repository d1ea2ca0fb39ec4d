import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { Declare } from './context.js'
import { createUserRow, Membership, User } from './models.js'

/** Declares the tests of unique groups and of fields that ignore case. */
export function declareUniquenessTests (declare: Declare): void {
  declare(
    'RACE-02: create and update refuse a duplicate value, and the error contains the names of the fields',
    async ({ adapter }) => {
      const one = await createUserRow(adapter, { email: 'one@x.org' })
      const two = await createUserRow(adapter, { email: 'two@x.org' })
      await assert.rejects(createUserRow(adapter, { email: 'one@x.org' }), violates('email'))
      await assert.rejects(createUserRow(adapter, { id: one['id'] }), violates('id'))
      await assert.rejects(
        async () => await adapter.update(User, { id: two['id'] as string }, { email: 'one@x.org', credits: 9 }),
        violates('email')
      )
      await assert.rejects(async () => await adapter.update(User, {}, { email: 'three@x.org' }), violates('email'))
      assert.deepEqual(await adapter.findMany(User, {}, { limit: 9, order: 'email' }), [one, two])
      assert.equal(await adapter.update(User, { id: one['id'] as string }, { email: 'one@x.org' }), 1)
      await adapter.delete(User, { id: one['id'] as string })
      assert.equal(await adapter.update(User, { id: two['id'] as string }, { email: 'one@x.org' }), 1)
    }
  )

  declare('a group of fields is unique as a whole, and rows with a null are never duplicates', async ({ adapter }) => {
    const { id: user_id } = await createUserRow(adapter)
    const create = async (team: string, member_number: string | null): Promise<unknown> =>
      await adapter.create(Membership, { id: randomUUID(), user_id, team, member_number })
    await create('knights', '1')
    await create('knights', '2')
    await create('wizards', '1')
    await create('wizards', null)
    await create('wizards', null)
    await assert.rejects(create('knights', '1'), violates('team', 'member_number'))
    await assert.rejects(
      async () => await adapter.update(Membership, { member_number: '2' }, { member_number: '1' }),
      violates('team', 'member_number')
    )
    assert.equal((await adapter.findMany(Membership, {}, { limit: 9 })).length, 5)
  })
  declareCaseTests(declare)
  declareUnicodeTest(declare)
  declareExactFirstTest(declare)
}

function declareCaseTests (declare: Declare): void {
  declare('row 3: e-mails that differ only in the case of ASCII letters are duplicates', async ({ adapter }) => {
    const user = await createUserRow(adapter, { email: 'King.Arthur@camelot.bt' })
    for (const email of ['king.arthur@camelot.bt', 'KING.ARTHUR@CAMELOT.BT', 'King.Arthur@camelot.bt']) {
      await assert.rejects(createUserRow(adapter, { email }), violates('email'))
      assert.deepEqual(await adapter.findOne(User, { email }), user)
      assert.deepEqual(await adapter.findMany(User, { email }, { limit: 9 }), [user])
      assert.deepEqual(await adapter.findMany(User, { email: { in: [email, 'x'] } }, { limit: 9 }), [user])
    }
    const other = await createUserRow(adapter)
    await assert.rejects(
      async () => await adapter.update(User, { id: other['id'] as string }, { email: 'KING.arthur@camelot.bt' }),
      violates('email')
    )
    assert.equal(
      await adapter.update(User, { email: 'KING.ARTHUR@camelot.bt' }, { email: 'king.arthur@camelot.bt' }),
      1
    )
    assert.equal(await adapter.findOne(User, { email: 'king_arthur@camelot.bt' }), null)
    assert.equal(await adapter.delete(User, { email: 'KING.ARTHUR@CAMELOT.BT' }), 1)
  })
}

function declareUnicodeTest (declare: Declare): void {
  declare('EML-03: e-mails that differ in more than ASCII case never find the same user', async ({ adapter }) => {
    const emails = [
      'jose@x.org',
      'josé@x.org',
      'JOSÉ@x.org',
      'jose\u0301@x.org',
      'k@x.org',
      '\u212A@x.org',
      'i@x.org',
      'ı@x.org',
      'İ@x.org',
      's@x.org',
      'ſ@x.org',
      'ss@x.org',
      'ß@x.org',
      'k@x.org ',
      ' k@x.org'
    ]
    const owners = new Map<string, unknown>()
    for (const email of emails) {
      try {
        owners.set(email, (await createUserRow(adapter, { email }))['id'])
      } catch (error) {
        violates('email')(error)
      }
    }
    for (const email of emails) {
      const found = await adapter.findOne(User, { email })
      assert.equal(found?.['id'], owners.get(email), email)
      if (found !== null) assert.equal(found['email'], email)
    }
  })
}

function declareExactFirstTest (declare: Declare): void {
  declare('row 12: findOne prefers the row whose text has the same case', async ({ adapter }) => {
    for (const nickname of ['LANCE', 'Lance', 'lance', 'lancelot']) await createUserRow(adapter, { nickname })
    for (const nickname of ['LANCE', 'Lance', 'lance']) {
      assert.equal((await adapter.findOne(User, { nickname }))?.['nickname'], nickname)
      assert.equal((await adapter.findMany(User, { nickname }, { limit: 9 })).length, 3)
    }
    assert.ok(await adapter.findOne(User, { nickname: 'lAnCe' }))
    assert.equal(await adapter.findOne(User, { nickname: 'lance', email: 'nobody@x.org' }), null)
    assert.equal(await adapter.update(User, { nickname: 'lAnCe' }, { nickname: null }), 3)
  })
}

/** Returns a check that an error is a unique violation of these fields. */
function violates (...fields: string[]): (error: unknown) => boolean {
  return (error) => {
    assert.equal((error as { code?: string }).code, 'FST_USERS_UNIQUE_VIOLATION')
    assert.deepEqual((error as { fields?: string[] }).fields, fields)
    return true
  }
}
