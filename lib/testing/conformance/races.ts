import assert from 'node:assert/strict'
import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { withSlowReads } from '../slow-reads.js'
import type { Declare } from './context.js'
import { AccessToken, createToken, createUserRow, User } from './models.js'

const PARALLEL = 20

type Wrap = (adapter: DatabaseAdapter) => DatabaseAdapter

const variants: [suffix: string, wrap: Wrap][] = [
  ['', (adapter) => adapter],
  [', with slow reads', (adapter) => withSlowReads(adapter, 10)]
]

/** Declares the tests of concurrent writes. */
export function declareRaceTests (declare: Declare): void {
  for (const [suffix, wrap] of variants) {
    declareSingleWinnerTests(declare, suffix, wrap)
    declareParallelUpdateTest(declare, suffix, wrap)
  }
  declareOrphanTest(declare)
}

function declareSingleWinnerTests (declare: Declare, suffix: string, wrap: Wrap): void {
  declare(`RACE-01: only one of many parallel deletes of a row succeeds${suffix}`, async ({ adapter: plain }) => {
    const adapter = wrap(plain)
    const user = await createUserRow(adapter)
    await createToken(adapter, user, 'once')
    const wins = await inParallel(async () => {
      const row = await adapter.findOne(AccessToken, { token: 'once' })
      return row !== null && (await adapter.delete(AccessToken, { token: 'once' })) === 1
    })
    assert.equal(wins, 1)
  })

  declare(`RACE-01: only one of many parallel compare-and-set updates succeeds${suffix}`, async ({ adapter: plain }) => {
    const adapter = wrap(plain)
    const { id } = await createUserRow(adapter, { session_stamp: 'old' })
    const wins = await inParallel(async (n) => {
      const row = await adapter.findOne(User, { id: id as string })
      return (
        row?.['session_stamp'] === 'old' &&
        (await adapter.update(User, { id: id as string, session_stamp: 'old' }, { session_stamp: `new ${n}` })) === 1
      )
    })
    assert.equal(wins, 1)
  })

  declare(`RACE-02: only one of many parallel creates with the same e-mail succeeds${suffix}`, async ({ adapter: plain }) => {
    const adapter = wrap(plain)
    const wins = await inParallel(async (n) => {
      if ((await adapter.findOne(User, { email: 'one@x.org' })) !== null) return false
      try {
        await createUserRow(adapter, { email: n % 2 === 0 ? 'one@x.org' : 'ONE@x.org' })
        return true
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'FST_USERS_UNIQUE_VIOLATION')
        return false
      }
    })
    assert.equal(wins, 1)
    assert.equal((await adapter.findMany(User, {}, { limit: 99 })).length, 1)
  })
}

function declareParallelUpdateTest (declare: Declare, suffix: string, wrap: Wrap): void {
  declare(`RACE-03: parallel increments and updates of other fields are all kept${suffix}`, async ({ adapter: plain }) => {
    const adapter = wrap(plain)
    const { id } = await createUserRow(adapter, { credits: 0 })
    await inParallel(async (n) => {
      await adapter.findOne(User, { id: id as string })
      const changes = n % 2 === 0 ? { credits: { increment: 3 } } : { is_active: false }
      return (await adapter.update(User, { id: id as string }, changes)) === 1
    })
    const { credits, is_active: active } = (await adapter.findOne(User, { id: id as string })) ?? {}
    assert.deepEqual([credits, active], [(PARALLEL / 2) * 3, false])
  })
}

function declareOrphanTest (declare: Declare): void {
  declare('a token that is created while its user is deleted does not find the user', async ({ adapter }) => {
    const user = await createUserRow(adapter)
    await Promise.allSettled([
      createToken(adapter, user),
      adapter.delete(User, { id: user['id'] as string }),
      createToken(adapter, user)
    ])
    for (const { token } of await adapter.findMany(AccessToken, {}, { limit: 9 })) {
      assert.equal((await adapter.findWithUser?.(AccessToken, { token: token as string })) ?? null, null)
    }
  })
}

async function inParallel (work: (n: number) => Promise<boolean>): Promise<number> {
  const results = await Promise.all(Array.from({ length: PARALLEL }, (_, n) => work(n)))
  return results.filter(Boolean).length
}
