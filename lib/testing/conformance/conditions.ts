import assert from 'node:assert/strict'
import type { DatabaseAdapter, FindManyOptions, Row, Where } from '../../contracts/database-adapter.js'
import type { Declare } from './context.js'
import { createUserRow, User } from './models.js'

/** Declares the tests of conditions and of pages. */
export function declareConditionTests (declare: Declare): void {
  declare('times are stored and compared with a precision of one millisecond', async ({ adapter }) => {
    const times = [
      '1970-01-01T00:00:00.000Z',
      '2026-02-28T23:59:59.999Z',
      '2026-03-01T00:00:00.000Z',
      '2026-03-01T00:00:00.001Z',
      '2100-12-31T12:00:00.500Z'
    ]
    for (const time of times.toReversed()) await createUserRow(adapter, { seen_at: new Date(time) })
    const seen = async (where: Where): Promise<unknown[]> =>
      (await adapter.findMany(User, where, { limit: 9, order: 'seen_at' })).map((row) =>
        (row['seen_at'] as Date).toISOString()
      )
    for (const [position, text] of times.entries()) {
      const time = new Date(text)
      assert.deepEqual(await seen({ seen_at: time }), [text])
      assert.deepEqual(await seen({ seen_at: { lt: time } }), times.slice(0, position))
      assert.deepEqual(await seen({ seen_at: { lte: time } }), times.slice(0, position + 1))
      assert.deepEqual(await seen({ seen_at: { gt: time } }), times.slice(position + 1))
      assert.deepEqual(await seen({ seen_at: { gte: time } }), times.slice(position))
      assert.deepEqual(await seen({ seen_at: { gte: time, lt: new Date(time.getTime() + 1) } }), [text])
    }
  })

  declare('numbers are compared by value, and text by code point', async ({ adapter }) => {
    for (const [credits, order] of [
      [-5, 'B'],
      [0, 'a'],
      [10, '\u{1F9D9}'],
      [9, '\uFFFD']
    ] as const) {
      await createUserRow(adapter, { credits, order })
    }
    const credits = async (where: Where): Promise<unknown[]> =>
      (await adapter.findMany(User, where, { limit: 9, order: 'credits' })).map((row) => row['credits'])
    assert.deepEqual(await credits({ credits: { gt: -5, lte: 9 } }), [0, 9])
    assert.deepEqual(await credits({ credits: { gte: 9 } }), [9, 10])
    assert.deepEqual(await credits({ order: { lt: 'a' } }), [-5])
    assert.deepEqual(await credits({ order: { gt: '\uFFFD' } }), [10])
  })

  declare('the condition null matches null, and no other condition does', async ({ adapter }) => {
    const empty = await createUserRow(adapter)
    const full = await createUserRow(adapter, { nickname: 'null', credits: 0, seen_at: new Date(0), settings: {} })
    for (const field of ['nickname', 'credits', 'seen_at', 'settings']) {
      assert.deepEqual(await adapter.findMany(User, { [field]: null }, { limit: 9 }), [empty])
    }
    assert.deepEqual(await adapter.findMany(User, { nickname: 'null' }, { limit: 9 }), [full])
    assert.deepEqual(await adapter.findMany(User, { credits: { lt: 1 } }, { limit: 9 }), [full])
    assert.deepEqual(await adapter.findMany(User, { seen_at: { gte: new Date(0) } }, { limit: 9 }), [full])
    assert.equal(await adapter.update(User, { id: full['id'] as string, credits: 0 }, { credits: null }), 1)
    assert.equal(await adapter.update(User, { id: full['id'] as string, credits: 0 }, { credits: 1 }), 0)
    assert.equal(await adapter.update(User, { id: full['id'] as string, credits: null }, { credits: 1 }), 1)
  })
  declareListTests(declare)
}

function declareListTests (declare: Declare): void {
  declare('`in` matches the values of its list, and an empty list matches no row', async ({ adapter }) => {
    const users = [
      await createUserRow(adapter, { credits: 1 }),
      await createUserRow(adapter, { credits: 2 }),
      await createUserRow(adapter, { credits: 3 })
    ]
    const find = async (where: Where): Promise<unknown[]> =>
      (await adapter.findMany(User, where, { limit: 99, order: 'credits' })).map((row) => row['credits'])
    assert.deepEqual(await find({ credits: { in: [3, 1, 4] } }), [1, 3])
    assert.deepEqual(await find({ credits: { in: [2] } }), [2])
    assert.deepEqual(await find({ credits: { in: [] } }), [])
    assert.deepEqual(await find({ id: { in: users.map(({ id }) => id as string) }, credits: { gt: 1 } }), [2, 3])
    assert.deepEqual(await find({ credits: { in: Array.from({ length: 500 }, (_, n) => n + 2) } }), [2, 3])
    assert.equal(await adapter.delete(User, { credits: { in: [] } }), 0)
    assert.equal(await adapter.delete(User, { credits: { in: [1, 2] } }), 2)
  })

  declare('a row must match all conditions, and their order does not matter', async ({ adapter }) => {
    const user = await createUserRow(adapter, { email: 'a@x.org', credits: 1 })
    await createUserRow(adapter, { credits: 1 })
    assert.deepEqual(await adapter.findOne(User, { credits: 1, email: 'a@x.org' }), user)
    assert.deepEqual(await adapter.findOne(User, { email: 'a@x.org', credits: 1 }), user)
    assert.equal(await adapter.findOne(User, { email: 'a@x.org', credits: 2 }), null)
  })

  declare('invalid conditions are refused', async ({ adapter }) => {
    await createUserRow(adapter)
    const wrong: Record<string, unknown>[] = [
      { id: undefined },
      { email: {} },
      { email: { $gt: '' } },
      { email: { gt: undefined } },
      { email: { gt: null } },
      { email: ['a'] },
      { email: { in: 'a' } },
      { email: { gt: ['a'] } },
      { email: { in: [null] } },
      { settings: {} },
      { settings: 'a' },
      { settings: { gt: 1 } }
    ]
    for (const where of wrong) {
      await assert.rejects(
        async () => await adapter.findOne(User, where as Where),
        { code: 'FST_USERS_INVALID_OPTION' },
        JSON.stringify(where)
      )
      await assert.rejects(
        async () => await adapter.delete(User, where as Where),
        { code: 'FST_USERS_INVALID_OPTION' },
        JSON.stringify(where)
      )
    }
    assert.equal((await adapter.findMany(User, {}, { limit: 9 })).length, 1)
  })
  declarePageTests(declare)
}

function declarePageTests (declare: Declare): void {
  declare('pages contain each row once, in a stable order with nulls first', async ({ adapter }) => {
    for (const credits of [2, null, 1, 2, null, 2, 3]) await createUserRow(adapter, { credits, order: 'same' })
    for (const options of [{}, { order: 'credits' }, { order: 'order' }, { order: 'id' }, { order: 'email' }]) {
      const whole = await adapter.findMany(User, {}, { ...options, limit: 99 })
      assert.equal(whole.length, 7)
      assert.deepEqual(await readPages(adapter, options, 1), whole)
      assert.deepEqual(await readPages(adapter, options, 3), whole)
    }
    const sorted = await adapter.findMany(User, {}, { limit: 99, order: 'credits' })
    assert.deepEqual(
      sorted.map((row) => row['credits']),
      [null, null, 1, 2, 2, 2, 3]
    )
    const ids = (await adapter.findMany(User, {}, { limit: 99 })).map((row) => row['id'] as string)
    assert.deepEqual(ids, ids.toSorted())
    assert.deepEqual(await adapter.findMany(User, {}, { limit: 0 }), [])
    assert.equal((await adapter.findMany(User, { credits: 2 }, { limit: 2 })).length, 2)
  })

  declare('invalid page options are refused', async ({ adapter }) => {
    const refused = { code: 'FST_USERS_INVALID_OPTION' }
    await assert.rejects(adapter.findMany(User, {}, { limit: 1.5 }), refused)
    await assert.rejects(adapter.findMany(User, {}, { limit: -1 }), refused)
    await assert.rejects(adapter.findMany(User, {}, { limit: 1, order: 'settings' }), refused)
    await assert.rejects(adapter.findMany(User, {}, { limit: 1, order: 'credits', after: { credits: 1 } }), refused)
    await assert.rejects(adapter.findMany(User, {}, { limit: 1, order: 'credits', after: { id: 'x' } }), refused)
  })
}

async function readPages (adapter: DatabaseAdapter, options: Partial<FindManyOptions>, limit: number): Promise<Row[]> {
  const rows: Row[] = []
  for (;;) {
    const after = rows.at(-1)
    const page = await adapter.findMany(User, {}, { ...options, limit, ...(after === undefined ? {} : { after }) })
    if (page.length === 0) return rows
    rows.push(...page)
  }
}
