import assert from 'node:assert/strict'
import type { ConformanceOptions, Declare } from './context.js'
import { createUserRow, User } from './models.js'

const texts = [
  '',
  ' ',
  'x\u{1F9D9}\u{10FFFF}y',
  '\uFFFD',
  'é',
  'e\u0301',
  "'",
  '"',
  '`',
  '\\',
  "' OR 1=1 --",
  '"; DROP TABLE "user"; --',
  '%',
  '_',
  '?',
  '$1',
  ':x',
  '{"$gt":""}',
  '[object Object]',
  'null',
  'NULL',
  'undefined',
  '__proto__',
  'constructor',
  '0',
  '1e3',
  'true',
  'a\r\nb\tc',
  '\u0001\u007f\u2028'
]

/** Declares the tests of each field type: a value is read as it was written. */
export function declareValueTests (declare: Declare, { storesNul = true }: ConformanceOptions): void {
  declareTextTests(declare, storesNul)
  declareNumberTests(declare)
  declareJsonTest(declare)
  declareWrongTypeTest(declare)
}

function declareTextTests (declare: Declare, storesNul: boolean): void {
  declare('INP-07: text with any characters is stored, found and compared unchanged', async ({ adapter }) => {
    const all = storesNul ? [...texts, 'a\0b', 'a\0', '\0'] : texts
    for (const order of all) await createUserRow(adapter, { order })
    for (const order of all) {
      assert.deepEqual(
        (await adapter.findMany(User, { order }, { limit: 99 })).map((row) => row['order']),
        [order]
      )
      assert.equal((await adapter.findOne(User, { order }))?.['order'], order)
    }
    assert.equal((await adapter.findMany(User, { order: { in: all } }, { limit: 99 })).length, all.length)
  })

  declare('long text is stored without truncation', async ({ adapter }) => {
    const order = '\u{1F9D9}'.repeat(50_000)
    const { id } = await createUserRow(adapter, { order })
    assert.equal((await adapter.findOne(User, { id: id as string }))?.['order'], order)
  })

  declare('text that is not well-formed Unicode is refused in writes and matches no row', async ({ adapter }) => {
    const user = await createUserRow(adapter, { order: '\uFFFD' })
    await assert.rejects(createUserRow(adapter, { order: 'a\uD800' }), { code: 'FST_USERS_INVALID_OPTION' })
    await assert.rejects(async () => await adapter.update(User, { id: user['id'] as string }, { order: '\uDC00' }), {
      code: 'FST_USERS_INVALID_OPTION'
    })
    assert.equal(await adapter.findOne(User, { order: '\uD800' }), null)
    assert.equal(await adapter.findOne(User, { order: { gt: '\uD800' } }), null)
    assert.deepEqual(await adapter.findMany(User, { order: { in: ['\uDFFF'] } }, { limit: 9 }), [])
  })
}

function declareNumberTests (declare: Declare): void {
  declare('booleans, integers and numbers keep their type', async ({ adapter }) => {
    for (const [is_active, credits, ratio] of [
      [true, 0, 0.1],
      [false, 2_147_483_647, -1.5e10],
      [true, -2_147_483_648, 3]
    ] as const) {
      const { id } = await createUserRow(adapter, { is_active, credits, ratio })
      const {
        is_active: active,
        credits: whole,
        ratio: real
      } = (await adapter.findOne(User, { id: id as string })) ?? {}
      assert.deepEqual([active, whole, real], [is_active, credits, ratio])
      assert.equal((await adapter.findOne(User, { is_active, credits, ratio }))?.['id'], id)
    }
  })

  declare('an increment adds to a number and leaves null as it is', async ({ adapter }) => {
    const { id } = await createUserRow(adapter, { credits: 2_147_483_646, ratio: 0.5 })
    const where = { id: id as string }
    assert.equal(await adapter.update(User, where, { credits: { increment: 1 }, ratio: { increment: -0.25 } }), 1)
    assert.deepEqual(
      await adapter.findOne(User, { ...where, credits: 2_147_483_647, ratio: 0.25 }),
      await adapter.findOne(User, where)
    )
    await adapter.update(User, where, { credits: null })
    await adapter.update(User, where, { credits: { increment: 1 } })
    assert.equal((await adapter.findOne(User, where))?.['credits'], null)
    await assert.rejects(async () => await adapter.update(User, where, { email: { increment: 1 } }), {
      code: 'FST_USERS_INVALID_OPTION'
    })
  })
}

function declareJsonTest (declare: Declare): void {
  declare('json values are read as they were written', async ({ adapter }) => {
    const values = [
      { a: [1, null, { b: 'é\u{1F9D9}"\\' }], increment: 1 },
      [],
      {},
      'text',
      'null',
      '5',
      5,
      1.5,
      true,
      false,
      [{ $gt: '' }]
    ]
    for (const settings of values) {
      const { id } = await createUserRow(adapter, { settings })
      assert.deepEqual((await adapter.findOne(User, { id: id as string }))?.['settings'], settings)
      await adapter.update(User, { id: id as string }, { settings: { changed: settings } })
      assert.deepEqual((await adapter.findOne(User, { id: id as string }))?.['settings'], { changed: settings })
    }
  })
}

function declareWrongTypeTest (declare: Declare): void {
  declare('values of another type are refused in rows, changes and conditions', async ({ adapter }) => {
    const user = await createUserRow(adapter)
    const wrong = {
      email: 1,
      is_active: 1,
      credits: 1.5,
      ratio: NaN,
      seen_at: '2026-01-01',
      order: {},
      nickname: ['a']
    }
    for (const [field, value] of Object.entries(wrong)) {
      await assert.rejects(createUserRow(adapter, { [field]: value }), { code: 'FST_USERS_INVALID_OPTION' }, field)
      await assert.rejects(
        async () => await adapter.update(User, { id: user['id'] as string }, { [field]: value }),
        { code: 'FST_USERS_INVALID_OPTION' },
        field
      )
      await assert.rejects(
        async () => await adapter.findOne(User, { [field]: value }),
        { code: 'FST_USERS_INVALID_OPTION' },
        field
      )
    }
    await assert.rejects(createUserRow(adapter, { seen_at: new Date(NaN) }), { code: 'FST_USERS_INVALID_OPTION' })
    await assert.rejects(createUserRow(adapter, { hashed_password: null }), { code: 'FST_USERS_INVALID_OPTION' })
    await assert.rejects(async () => await adapter.update(User, {}, { hashed_password: null }), {
      code: 'FST_USERS_INVALID_OPTION'
    })
    assert.deepEqual(await adapter.findMany(User, {}, { limit: 9 }), [user])
  })
}
