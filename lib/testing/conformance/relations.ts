import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { ConformanceOptions, Declare } from './context.js'
import { AccessToken, createToken, createUserRow, Membership, models, User } from './models.js'

/** Declares the tests of references between rows. */
export function declareRelationTests (declare: Declare, { makeSibling }: ConformanceOptions): void {
  declareCascadeTests(declare)
  declareFindWithUserTest(declare)
  if (makeSibling !== undefined) declareTwoAdaptersTest(declare, makeSibling)
}

function declareCascadeTests (declare: Declare): void {
  declare('SES-15: deleting a user deletes the tokens and memberships of this user only', async ({ adapter }) => {
    const one = await createUserRow(adapter)
    const two = await createUserRow(adapter)
    for (const user of [one, two]) {
      await createToken(adapter, user)
      await createToken(adapter, user)
      await adapter.create(Membership, {
        id: randomUUID(),
        user_id: user['id'],
        team: 'knights',
        member_number: String(user['id'])
      })
    }
    assert.equal(await adapter.delete(User, { id: one['id'] as string }), 1)
    const tokens = await adapter.findMany(AccessToken, {}, { limit: 9 })
    assert.deepEqual(
      tokens.map((row) => row['user_id']),
      [two['id'], two['id']]
    )
    assert.deepEqual(
      (await adapter.findMany(Membership, {}, { limit: 9 })).map((row) => row['user_id']),
      [two['id']]
    )
  })

  declare('SES-15: the token of a deleted user finds no user', async ({ adapter }) => {
    const user = await createUserRow(adapter)
    await createToken(adapter, user, 'token')
    await adapter.delete(User, { id: user['id'] as string })
    assert.equal((await adapter.findWithUser?.(AccessToken, { token: 'token' })) ?? null, null)
    // a store with foreign keys refuses the token, but not as a duplicate; other stores must not find its user
    const orphan = await createToken(adapter, user, 'orphan').catch((error: { code?: string }) => {
      assert.notEqual(error.code, 'FST_USERS_UNIQUE_VIOLATION')
      assert.notEqual(error.code, 'FST_USERS_INVALID_OPTION')
      return null
    })
    assert.equal((await adapter.findWithUser?.(AccessToken, { token: 'orphan' })) ?? null, null)
    assert.deepEqual(await adapter.findOne(AccessToken, { token: 'orphan' }), orphan)
  })
}

function declareFindWithUserTest (declare: Declare): void {
  declare('row 22: findWithUser returns a token together with its user', async ({ adapter }) => {
    if (adapter.findWithUser === undefined) return
    const user = await createUserRow(adapter, { settings: { a: 1 }, seen_at: new Date(5) })
    await createUserRow(adapter)
    const row = await createToken(adapter, user, 'token', new Date(1_000_000))
    assert.deepEqual(await adapter.findWithUser(AccessToken, { token: 'token' }), { row, user })
    assert.deepEqual(
      await adapter.findWithUser(AccessToken, { token: 'token', created_at: { gte: new Date(1_000_000) } }),
      { row, user }
    )
    assert.equal(
      await adapter.findWithUser(AccessToken, { token: 'token', created_at: { gte: new Date(1_000_001) } }),
      null
    )
    assert.equal(await adapter.findWithUser(AccessToken, { token: 'TOKEN' }), null)
    await assert.rejects(async () => await adapter.findWithUser?.(User, {}), { code: 'FST_USERS_INVALID_OPTION' })
  })
}

function declareTwoAdaptersTest (
  declare: Declare,
  makeSibling: NonNullable<ConformanceOptions['makeSibling']>
): void {
  declare('two adapters on one store read the writes of each other', async ({ adapter }) => {
    const other = await makeSibling(adapter)
    try {
      for (const model of models) other.define(model)
      await other.open()
      const user = await createUserRow(adapter, { email: 'a@x.org' })
      assert.deepEqual(await other.findOne(User, { email: 'A@x.org' }), user)
      await assert.rejects(createUserRow(other, { email: 'A@X.org' }), { code: 'FST_USERS_UNIQUE_VIOLATION' })
      assert.equal(await other.update(User, { id: user['id'] as string }, { credits: 5 }), 1)
      assert.equal((await adapter.findOne(User, { id: user['id'] as string }))?.['credits'], 5)
      await createToken(other, user, 'token')
      const counts = await Promise.all(
        [adapter, other, adapter, other].map(async (one) => await one.delete(AccessToken, { token: 'token' }))
      )
      assert.deepEqual(counts.sort(), [0, 0, 0, 1])
    } finally {
      await other.close?.()
    }
  })
}
