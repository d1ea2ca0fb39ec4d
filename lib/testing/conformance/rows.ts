import assert from 'node:assert/strict'
import type { Declare } from './context.js'
import { AccessToken, Counter, createToken, createUserRow, idKinds, models, User } from './models.js'

/** Declares the tests of rows with each id kind, of changes and of copies. */
export function declareRowTests (declare: Declare): void {
  for (const { kind, absent, owner, token } of idKinds) {
    declare(`row 49: rows with ${kind.name} ids are created, found, changed and deleted`, async ({ adapter }) => {
      const created = await adapter.create(owner, { email: 'a@x.org' })
      const given = await adapter.create(owner, {
        ...(kind.generate === undefined ? {} : { id: kind.generate() }),
        email: 'b@x.org'
      })
      assert.equal(typeof created['id'], kind.storage === 'integer' ? 'number' : 'string')
      assert.equal(kind.parse(String(created['id'])), created['id'])
      assert.deepEqual(await adapter.findOne(owner, { id: created['id'] as string }), { id: created['id'], email: 'a@x.org' })
      assert.notEqual(created['id'], given['id'])
      await adapter.create(token, { token: 't', user_id: created['id'] })
      assert.deepEqual(await adapter.findOne(token, { user_id: created['id'] as string }), {
        token: 't',
        user_id: created['id']
      })
      assert.deepEqual(
        (await adapter.findWithUser?.(token, { token: 't' })) ?? {
          row: { token: 't', user_id: created['id'] },
          user: created
        },
        { row: { token: 't', user_id: created['id'] }, user: created }
      )
      assert.equal(await adapter.update(owner, { id: created['id'] as string }, { email: 'c@x.org' }), 1)
      assert.equal((await adapter.findOne(owner, { id: created['id'] as string }))?.['email'], 'c@x.org')
      assert.equal(await adapter.delete(owner, { id: created['id'] as string }), 1)
      assert.equal(await adapter.findOne(owner, { id: created['id'] as string }), null)
      assert.deepEqual(await adapter.findMany(owner, {}, { limit: 10 }), [given])
    })

    declare(`conditions with an unknown ${kind.name} id match no row`, async ({ adapter }) => {
      await adapter.create(owner, { email: 'a@x.org' })
      assert.equal(await adapter.findOne(owner, { id: absent() }), null)
      assert.equal(await adapter.update(owner, { id: absent() }, { email: 'b@x.org' }), 0)
      assert.equal(await adapter.delete(owner, { id: absent() }), 0)
      assert.equal((await adapter.findMany(owner, {}, { limit: 10 })).length, 1)
    })

    declare(`the ${kind.name} id of a deleted row is not used again`, async ({ adapter }) => {
      const first = await adapter.create(owner, { email: 'a@x.org' })
      await adapter.delete(owner, { id: first['id'] as string })
      assert.notEqual((await adapter.create(owner, { email: 'b@x.org' }))['id'], first['id'])
    })
  }
  declareChangeTests(declare)
}

function declareChangeTests (declare: Declare): void {
  declare('update and delete return the number of matching rows, even if no value changes', async ({ adapter }) => {
    for (const credits of [1, 1, 2]) await createUserRow(adapter, { credits })
    assert.equal(await adapter.update(User, { credits: 1 }, { credits: 1 }), 2)
    assert.equal(await adapter.update(User, { credits: 1 }, {}), 2)
    assert.equal(await adapter.update(User, { credits: 9 }, {}), 0)
    assert.equal(await adapter.delete(User, { credits: 1 }), 2)
    assert.equal(await adapter.delete(User, { credits: 1 }), 0)
    assert.equal(await adapter.update(User, {}, { credits: 3 }), 1)
  })

  declare('RACE-03: an update changes only the given fields', async ({ adapter }) => {
    const user = await createUserRow(adapter, { credits: 1, nickname: 'Art' })
    await adapter.update(User, { id: user['id'] as string }, { credits: 2 })
    assert.deepEqual(await adapter.findOne(User, { id: user['id'] as string }), { ...user, credits: 2 })
  })

  declare('a new row has all fields, with null for values that were not given', async ({ adapter }) => {
    const user = await createUserRow(adapter, { nickname: undefined })
    assert.deepEqual(Object.keys(user).sort(), Object.keys(User.fields).sort())
    for (const field of ['nickname', 'credits', 'settings', 'seen_at', 'session_stamp']) assert.equal(user[field], null)
    assert.deepEqual(await adapter.findOne(User, { id: user['id'] as string }), user)
  })
  declareCopyTests(declare)
}

function declareCopyTests (declare: Declare): void {
  declare('a change of a returned row does not change the stored row', async ({ adapter }) => {
    const given = { settings: { theme: { dark: true } }, seen_at: new Date(1e12) }
    const created = await createUserRow(adapter, given)
    const id = created['id'] as string
    const whole = structuredClone(created)
    const modify = (row: Record<string, unknown> | null | undefined): void => {
      assert.ok(row)
      ;(row['settings'] as typeof given.settings).theme.dark = false
      ;(row['seen_at'] as Date).setTime(0)
      row['email'] = 'modified'
    }
    modify({ ...given, email: '' })
    modify(created)
    modify(await adapter.findOne(User, { id }))
    modify((await adapter.findMany(User, { id }, { limit: 1 }))[0])
    await createToken(adapter, { id }, 'token')
    modify(((await adapter.findWithUser?.(AccessToken, { token: 'token' })) ?? { user: structuredClone(whole) }).user)
    assert.deepEqual(await adapter.findOne(User, { id }), whole)
  })

  declare('a new row has the default of a field that it lacks, and keeps other values', async ({ adapter }) => {
    const defaults = { count: 3, is_open: false, settings: { steps: [1] }, unit: 'knights' }
    const given = { count: 0, is_open: true, settings: {}, unit: null }
    assert.deepEqual(await adapter.create(Counter, { name: 'a' }), { name: 'a', ...defaults })
    assert.deepEqual(await adapter.create(Counter, { name: 'b', ...given }), { name: 'b', ...given })
    assert.deepEqual(await adapter.findOne(Counter, { name: 'a', count: { lt: 4 } }), { name: 'a', ...defaults })
    assert.deepEqual(await adapter.findOne(Counter, { name: 'b' }), { name: 'b', ...given })
    const required = { code: 'FST_USERS_INVALID_OPTION' }
    await assert.rejects(adapter.create(Counter, { name: 'c', count: null }), required)
  })

  declare('unknown fields and models are refused', async ({ adapter }) => {
    const refused = { code: 'FST_USERS_INVALID_OPTION' }
    await assert.rejects(createUserRow(adapter, { is_admin: true }), refused)
    await assert.rejects(async () => await adapter.findOne(User, { constructor: 'x' }), refused)
    await assert.rejects(async () => await adapter.update(User, {}, { is_admin: true }), refused)
    await assert.rejects(async () => await adapter.findMany(User, {}, { limit: 1, order: 'is_admin' }), refused)
    await assert.rejects(async () => await adapter.findOne({ ...User, name: 'nobody' }, {}), refused)
  })

  declare('an adapter can define the same models and open again', async ({ adapter }) => {
    const user = await createUserRow(adapter)
    for (const model of models) adapter.define({ ...model })
    await adapter.open()
    assert.deepEqual(await adapter.findOne(User, { id: user['id'] as string }), user)
  })
}
