import { randomUUID } from 'node:crypto'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import type { DatabaseAdapter, Row } from '../lib/contracts/database-adapter.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { AccessToken, createToken, createUserRow, models, User } from '../lib/testing/conformance/models.js'

interface Prepared {
  database: Database.Database
  adapter: DatabaseAdapter
  user: Row
  token: Row
  /** Returns how often SQLite has called the function in the view: once per run, and more often per compilation. */
  calls(): number
}

/**
 * Opens a database with statistics whose table of users is a view. The condition of the view calls a function, which
 * SQLite runs for each execution of a statement, and also while it compiles one: it looks up the result in the
 * statistics.
 */
async function openWithStatistics (t: Test): Promise<Prepared> {
  const database = new Database(':memory:')
  t.teardown(() => database.close())
  let calls = 0
  database.function('realm_of_view', { deterministic: true }, () => {
    calls++
    return 'camelot'
  })
  const open = async (): Promise<DatabaseAdapter> => {
    const adapter = sqlite(database)
    for (const model of models) adapter.define(model)
    await adapter.open()
    return adapter
  }
  const first = await open()
  const users = []
  for (let i = 0; i < 30; i++) users.push(await createUserRow(first, { credits: i % 3 }))
  const tokens = []
  for (const user of users) tokens.push(await createToken(first, user))
  await first.close?.()
  // these settings let the foreign key of the tokens name the view
  database.exec(`PRAGMA foreign_keys = OFF;
    PRAGMA legacy_alter_table = ON;
    ALTER TABLE "user" RENAME TO people;
    ALTER TABLE people ADD COLUMN realm TEXT DEFAULT 'camelot';
    UPDATE people SET realm = 'avalon' WHERE credits = 2;
    CREATE INDEX ix_realm ON people (realm);
    CREATE VIEW "user" AS SELECT * FROM people WHERE realm = realm_of_view();
    ANALYZE`)
  const [user, token] = [users[0], tokens[0]]
  if (user === undefined || token === undefined) throw new Error('there are 30 of them')
  return { database, adapter: await open(), user, token, calls: () => calls }
}

t.test('statistics of an SQLite database do not make it compile statements again', async (t) => {
  const { database, adapter, user, token, calls } = await openWithStatistics(t)
  const since = new Date(0)
  /** Returns the calls per run, after a first run that compiles the statement. */
  const callsPerRun = async (run: () => unknown): Promise<number> => {
    t.ok(await run(), 'finds a row')
    const before = calls()
    for (let i = 0; i < 10; i++) await run()
    return (calls() - before) / 10
  }

  const reads: Record<string, () => unknown> = {
    'a token with its user': () =>
      adapter.findWithUser?.(AccessToken, { token: String(token['token']), created_at: { gte: since } }),
    'a user by id': () => adapter.findOne(User, { id: String(user['id']) }),
    'a user by e-mail': () => adapter.findOne(User, { email: String(user['email']) }),
    'a user by other fields': () => adapter.findOne(User, { credits: 0, is_active: true }),
    'a user by one of several ids': () => adapter.findOne(User, { id: { in: [randomUUID(), String(user['id'])] } }),
    'a list of users': async () => (await adapter.findMany(User, { credits: { lte: 1 } }, { limit: 5 })).length
  }
  for (const [name, read] of Object.entries(reads)) t.equal(await callsPerRun(read), 1, name)

  const plain = database.prepare('SELECT t.token FROM accesstoken t JOIN "user" u ON u.id = t.user_id WHERE t.token = ?')
  const compiledAgain = await callsPerRun(() => plain.get(token['token']))
  t.ok(compiledAgain > 1, 'the count shows that a statement with a plain parameter is compiled again')
})
