import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import type { DatabaseAdapter, Row } from '../lib/contracts/database-adapter.js'
import { useSqlite } from '../lib/adapters/sql/drivers/sqlite.js'
import { bearerTransport, databaseStrategy } from '../lib/index.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { createUserRow, models, User } from '../lib/testing/conformance/models.js'
import { ARTHUR, buildApp } from './helpers/build-app.js'

// The first read of a turn of the event loop runs at once. The others wait for its end and share one transaction.

interface Opened {
  database: Database.Database
  adapter: DatabaseAdapter
  /** The statements that were run with `exec`. */
  executed: string[]
}

async function openDatabase (t: Test, path: string = join(t.testdir({}), 'users.db')): Promise<Opened> {
  const database = new Database(path)
  t.teardown(() => database.close())
  const executed: string[] = []
  const exec = database.exec.bind(database)
  database.exec = (sql) => {
    executed.push(sql)
    return exec(sql)
  }
  const adapter = sqlite(database)
  for (const model of models) adapter.define(model)
  await adapter.open()
  await nextTurn()
  return { database, adapter, executed }
}

/** Returns the names of users that are read in one turn. */
async function readTogether (adapter: DatabaseAdapter, ids: readonly unknown[]): Promise<unknown[]> {
  await nextTurn()
  const rows = await Promise.all(ids.map((id) => adapter.findOne(User, { id: String(id) })))
  return rows.map((row) => row?.['nickname'])
}

t.test('simultaneous reads share one transaction, and each returns its own row', async (t) => {
  const { adapter, executed, database } = await openDatabase(t)
  const ids: unknown[] = []
  for (let i = 0; i < 5; i++) ids.push((await createUserRow(adapter, { nickname: `n${i}` }))['id'])
  executed.length = 0
  t.same(await readTogether(adapter, [ids[3], 'unknown', ids[0], ids[4]]), ['n3', undefined, 'n0', 'n4'])
  t.same(executed, ['BEGIN', 'COMMIT'])
  t.equal(database.inTransaction, false)
  executed.length = 0
  t.same(await readTogether(adapter, ids.slice(0, 1)), ['n0'])
  t.same(await readTogether(adapter, ids.slice(0, 2)), ['n0', 'n1'])
  t.same(executed, [], 'the first read, and one other, need no transaction')
})

t.test('a read that waits sees what another connection commits before and after the call', async (t) => {
  const path = join(t.testdir({}), 'users.db')
  const { adapter, database } = await openDatabase(t, path)
  database.pragma('journal_mode = WAL')
  const { id } = await createUserRow(adapter, { nickname: 'before' })
  const other = new Database(path)
  t.teardown(() => other.close())
  const rename = other.prepare('UPDATE "user" SET nickname = ?')
  const read = async (): Promise<unknown> => (await adapter.findOne(User, { id: String(id) }))?.['nickname']
  await nextTurn()
  const first = read()
  const calledBefore = read()
  rename.run('revoked')
  const calledAfter = read()
  t.same(await Promise.all([first, calledBefore, calledAfter]), ['before', 'revoked', 'revoked'])
  rename.run('again')
  t.equal(await read(), 'again', 'the transaction has ended')
})

t.test('a session that was revoked while requests wait for their turn is refused', async (t) => {
  const path = join(t.testdir({}), 'users.db')
  const built = await buildApp(t, {
    adapter: sqlite(path),
    backends: [{ name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }]
  })
  await built.create()
  const { access_token: token } = (await built.login('db', ARTHUR)).json<{ access_token: string }>()
  const headers = { authorization: `Bearer ${token}` }
  const statuses = async (count: number, meanwhile: () => void = () => {}): Promise<number[]> => {
    const replies = Array.from({ length: count }, () => built.send('GET', '/guarded', undefined, headers))
    meanwhile()
    return (await Promise.all(replies)).map(({ statusCode }) => statusCode)
  }
  t.same(await statuses(20), Array.from({ length: 20 }, () => 200))
  const other = new Database(path)
  t.teardown(() => other.close())
  const revoked = await statuses(20, () => {
    other.exec('DELETE FROM accesstoken')
  })
  t.same(revoked, Array.from({ length: 20 }, () => 401))
})

t.test('a read that fails does not affect the reads that share its transaction', async (t) => {
  const { adapter, database } = await openDatabase(t)
  const good = await createUserRow(adapter, { nickname: 'good' })
  const bad = await createUserRow(adapter, { nickname: 'bad' })
  // an integer that a JavaScript number cannot hold, in a column that the adapter must read
  database.prepare('UPDATE "user" SET credits = ? WHERE id = ?').run(2n ** 62n, bad['id'])
  await nextTurn()
  const read = async ({ id }: Row): Promise<unknown> => (await adapter.findOne(User, { id: String(id) }))?.['nickname']
  const results = await Promise.allSettled([read(good), read(bad), read(good), read(good)])
  t.same(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
  t.equal(database.inTransaction, false)
  t.equal(await adapter.update(User, { id: String(good['id']) }, { nickname: 'better' }), 1)
})

t.test('reads join a transaction of the application, and do not end it', async (t) => {
  const { adapter, database, executed } = await openDatabase(t)
  const { id } = await createUserRow(adapter, { nickname: 'one' })
  database.exec('BEGIN')
  database.prepare('UPDATE "user" SET nickname = ?').run('uncommitted')
  executed.length = 0
  t.same(await readTogether(adapter, [id, id, id]), ['uncommitted', 'uncommitted', 'uncommitted'])
  t.same(executed, [])
  t.equal(database.inTransaction, true)
  database.exec('ROLLBACK')
  t.same(await readTogether(adapter, [id, id, id]), ['one', 'one', 'one'])
})

t.test('reads succeed while the application iterates over rows, when no transaction can begin', async (t) => {
  const { adapter, database } = await openDatabase(t)
  const { id } = await createUserRow(adapter, { nickname: 'one' })
  await createUserRow(adapter)
  const rows = database.prepare('SELECT id FROM "user"').iterate()
  rows.next()
  t.same(await readTogether(adapter, [id, id, id]), ['one', 'one', 'one'])
  rows.return?.()
})

t.test('a transaction that cannot be committed is rolled back', async (t) => {
  const { adapter, database } = await openDatabase(t)
  const { id } = await createUserRow(adapter, { nickname: 'one' })
  const exec = database.exec.bind(database)
  database.exec = (sql) => {
    if (sql === 'COMMIT') throw new Error('disk I/O error')
    return exec(sql)
  }
  t.same(await readTogether(adapter, [id, id, id]), ['one', 'one', 'one'])
  t.equal(database.inTransaction, false)
})

t.test('close runs the reads that wait', async (t) => {
  const database = new Database(':memory:')
  const driver = useSqlite(database, () => {
    database.close()
  })
  const statement = driver.prepare('SELECT ?')
  await nextTurn()
  const rows = [statement.get([1]), statement.get([2]), statement.get([3])]
  await driver.close()
  t.same(await Promise.all(rows), [[1], [2], [3]])
  const late = await Promise.allSettled([4, 5, 6].map(async (value) => await statement.get([value])))
  t.same(late.map(({ status }) => status), ['rejected', 'rejected', 'rejected'])
})
