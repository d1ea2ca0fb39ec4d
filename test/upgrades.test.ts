import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'
import t, { type Test } from 'tap'
import type { SchemaPlan, StoreSchema } from '../lib/contracts/store-schema.js'
import type { DatabaseAdapter, Model, Row, UpgradeStep } from '../lib/index.js'
import { kysely } from '../lib/entries/kysely.js'
import { memory } from '../lib/entries/memory.js'
import { mongodb } from '../lib/entries/mongodb.js'
import { kStoreSchema } from '../lib/symbols.js'
import { userModel } from '../lib/users/index.js'
import { userSchemas, uuidId } from '../schemas/index.js'
import { SECRET } from './helpers/build-app.js'
import { entryOf, library, runNode, type Outcome } from './helpers/command-line.js'
import { everyStore, type EveryStore } from './helpers/every-store.js'
import { completeStores, freshDbOn, stores as mongoStores } from './helpers/mongo-stores.js'
import { makeMysqlPool, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { makePool, needsPostgres } from './helpers/postgres.js'
import { root } from './helpers/root.js'

/** Rows that one batch of an upgrade changes. */
const BATCH = 500
const MONGODB_BATCH = 100
const createTables = true
const User = userModel(userSchemas())
const id = uuidId()

/** The first version of a feature's model. */
const first: Model = {
  name: 'badge',
  table: 'badge',
  fields: {
    id: { type: 'id', id },
    user_id: { type: 'id', id, references: 'user' },
    label: { type: 'text', maxLength: 40, ignoreCase: true },
    holder: { type: 'text', maxLength: 20 },
    given_at: { type: 'time' }
  },
  unique: [['user_id', 'label']],
  index: [['label']]
}

const upgrades = (withHolder: (row: Row) => Row): Record<number, UpgradeStep[]> => ({
  2: [
    { rename: 'label', to: 'title' },
    { transform: ({ title }) => ({ length: String(title).length }) }
  ],
  3: [
    { dropIndex: ['user_id', 'title'] },
    { transform: (row) => withHolder(row) as { title: string } },
    { drop: 'holder', was: { type: 'text', maxLength: 20 } },
    { rename: 'length', to: 'size' }
  ]
})

const titleWithHolder = ({ title, holder }: Row): Row =>
  String(title).startsWith(`${String(holder)}: `) ? {} : { title: `${String(holder)}: ${String(title)}` }

/** The third version: other names, a new field, and a title that is unique by itself. */
const thirdWith = (withHolder = titleWithHolder): Model => ({
  ...first,
  fields: {
    id: { type: 'id', id },
    user_id: { type: 'id', id, references: 'user' },
    title: { type: 'text', maxLength: 80, ignoreCase: true },
    given_at: { type: 'time' },
    size: { type: 'integer', nullable: true },
    level: { type: 'text', maxLength: 10, default: 'iron' }
  },
  unique: [['title']],
  index: [['user_id']],
  version: 3,
  upgrades: upgrades(withHolder)
})
const third = thirdWith()

/** The same models, stored inside the documents of users. Lookups distinguish upper and lower case there. */
const embedded = (model: Model): Model => ({
  ...model,
  embed: 'badges',
  fields: Object.fromEntries(Object.entries(model.fields).map(([name, { ignoreCase: _, ...field }]) => [name, field]))
})

const kyselyStores: EveryStore[] = [
  {
    name: 'Kysely on SQLite',
    options: { skip: false },
    async open () {
      const db = new Kysely<unknown>({ dialect: new SqliteDialect({ database: new Database(':memory:') }) })
      return () => kysely(db, { createTables })
    }
  },
  {
    name: 'Kysely on PostgreSQL',
    options: await needsPostgres(),
    async open (t) {
      const { pool } = await makePool(t)
      return () => kysely(new Kysely({ dialect: new PostgresDialect({ pool }) }), { createTables })
    }
  },
  {
    name: 'Kysely on MySQL',
    options: await needsMysql(),
    async open (t) {
      const { pool } = await makeMysqlPool(t)
      return () => kysely(new Kysely({ dialect: new MysqlDialect({ pool: pool.pool }) }), { createTables })
    }
  }
]
const stores = [...everyStore.filter(({ name }) => name !== 'memory'), ...kyselyStores]
const hasArrays = ({ name }: EveryStore): boolean => completeStores.some((store) => store.name === name)

function schemaOf (adapter: DatabaseAdapter): StoreSchema {
  const { [kStoreSchema]: schema } = adapter as { [kStoreSchema]?: StoreSchema }
  if (schema === undefined) throw new Error('the adapter has no schema')
  return schema
}

async function opened (t: Test, adapter: DatabaseAdapter, models: readonly Model[]): Promise<DatabaseAdapter> {
  for (const model of models) adapter.define(model)
  await adapter.open()
  t.teardown(() => adapter.close?.())
  return adapter
}

/** Stores `count` rows of the first version. */
async function fill (t: Test, adapter: DatabaseAdapter, model: Model, count: number): Promise<Row> {
  await opened(t, adapter, [User, model])
  const user = await adapter.create(User, {
    email: 'gawain@camelot.bt',
    hashed_password: 'hash',
    is_active: true,
    is_superuser: false,
    is_verified: true
  })
  for (let n = 1; n <= count; n++) await adapter.create(model, rowOf(user, n))
  await adapter.close?.()
  return user
}

function rowOf (user: Row, n: number): Row {
  return { user_id: user['id'], label: `Badge ${n}`, holder: 'Gawain', given_at: new Date(n) }
}

/** Checks that all rows have the form of the third version and that new rows can be stored. */
async function checkThird (t: Test, adapter: DatabaseAdapter, model: Model, user: Row, count: number): Promise<void> {
  await opened(t, adapter, [User, model])
  const rows = await adapter.findMany(model, {}, { limit: 2000, order: 'given_at' })
  t.equal(rows.length, count)
  for (const [position, { id: _, ...row }] of rows.entries()) {
    const n = position + 1
    const title = `Gawain: Badge ${n}`
    t.strictSame(
      row,
      { user_id: user['id'], title, given_at: new Date(n), size: `Badge ${n}`.length, level: 'iron' },
      `row ${n}`
    )
  }
  const fresh = { user_id: user['id'], title: 'Gawain: Badge 1', given_at: new Date(), size: 1, level: 'gold' }
  await t.rejects(adapter.create(model, fresh), { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['title'] })
  await adapter.create(model, { ...fresh, title: 'new' })
  t.match(await adapter.findOne(model, { title: 'new', level: 'gold' }), { size: 1 })
}

const STEPS = [
  /version 2: rename "label" to "title"/,
  /version 2: transform the rows/,
  /version 3: drop the index on "(user_id|_id)", "title"/,
  /version 3: transform the rows/,
  /version 3: drop "holder"/,
  /version 3: rename "length" to "size"/
]

for (const store of stores) {
  const variants: [string, (model: Model) => Model][] = [['', (model) => model]]
  if (hasArrays(store)) variants.push([', in arrays', embedded])
  for (const [variant, form] of variants) {
    const title = `${store.name}${variant}`
    t.test(`${title}: migrate upgrades the rows of a feature from version 1 to 3, once`, store.options, async (t) => {
      const make = await store.open(t)
      const batch = mongoStores.some(({ name }) => name === store.name) ? MONGODB_BATCH : BATCH
      const count = variant === '' ? batch + 2 : 3
      const user = await fill(t, make(), form(first), count)
      const models = [User, form(third)]
      await t.rejects(opened(t, make(), models), {
        code: 'FST_USERS_TABLE_MISMATCH',
        message: /npx fastify-users migrate/
      })
      const planned = await schemaOf(make()).plan(models)
      t.strictSame(planned.problems, [])
      const steps = planned.steps.filter(({ kind }) => kind === 'upgrade')
      for (const [position, pattern] of STEPS.entries()) t.match(steps[position]?.text, pattern)
      t.equal(steps.length, STEPS.length)
      t.strictSame((await schemaOf(make()).plan(models)).steps.length, planned.steps.length, 'a plan changes nothing')

      const apply = (): Promise<SchemaPlan> => schemaOf(make()).apply(models)
      // two connections of one process to a file of SQLite would wait for each other
      const applied =
        store.name === 'SQLite'
          ? [await apply(), await apply(), await apply()]
          : await Promise.all([apply(), apply(), apply()])
      t.strictSame(
        applied.map(({ problems }) => problems),
        [[], [], []]
      )
      t.match(
        applied.map(({ steps }) => steps.filter(({ kind }) => kind === 'upgrade').length).toSorted().at(-1),
        STEPS.length
      )
      t.strictSame(await schemaOf(make()).apply(models), { ...applied[0], steps: [] })
      await checkThird(t, make(), form(third), user, count)

      await t.rejects(opened(t, make(), [User, form(first)]), { code: 'FST_USERS_TABLE_MISMATCH' }, 'an older version')
      t.match((await schemaOf(make()).plan([User, form(first)])).problems, [/newer version/])
    })

    t.test(`${title}: an upgrade that was interrupted at any row is finished by the next run`, store.options, async (t) => {
      const count = 3
      for (let left = 1; left <= count; left++) {
        const make = await store.open(t)
        const user = await fill(t, make(), form(first), count)
        let calls = 0
        const failing = thirdWith((row) => {
          if (++calls === left) throw new TypeError('interrupted')
          return titleWithHolder(row)
        })
        await t.rejects(schemaOf(make()).apply([User, form(failing)]), TypeError)
        await t.rejects(opened(t, make(), [User, form(third)]), { code: 'FST_USERS_TABLE_MISMATCH' })
        t.strictSame((await schemaOf(make()).apply([User, form(third)])).problems, [])
        await checkThird(t, make(), form(third), user, count)
      }
    })

    t.test(`${title}: a new store has the current version, and no steps are pending`, store.options, async (t) => {
      const make = await store.open(t)
      const models = [User, form(third)]
      const adapter = await opened(t, make(), models)
      await adapter.close?.()
      t.strictSame(
        (await schemaOf(make()).plan(models)).steps.filter(({ kind }) => kind !== 'index'),
        []
      )
      await opened(t, make(), models)
    })
  }
}

/** Writes config files for both versions of a feature. Its transformation kills the process in row KILL_AT. */
function writeConfigs (folder: string, adapter: string): void {
  const config = (badge: string): string => `
import { bearerTransport, jwtStrategy } from '${library}'
import { mysql } from '${entryOf(library, 'mysql')}'
import { sqlite } from '${entryOf(library, 'sqlite')}'
import { createPool } from 'mysql2/promise'
const id = { type: 'integer' }
let calls = 0
const transform = ({ title }) => {
  if (String(++calls) === process.env.KILL_AT) process.kill(process.pid, 'SIGKILL')
  return title.endsWith('!') ? null : { title: title + '!' }
}
export default {
  adapter: ${adapter},
  secret: '${SECRET}',
  limits: false,
  backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }],
  features: [{ name: 'badges', models: () => [{ name: 'badge', table: 'badge', ${badge} }], setup: () => ({}) }]
}`
  const steps = "[{ rename: 'label', to: 'title' }, { transform }, { drop: 'holder', was: { type: 'text' } }]"
  writeFileSync(join(folder, 'one.mjs'), config("fields: { id, label: { type: 'text' }, holder: { type: 'text' } }"))
  writeFileSync(
    join(folder, 'two.mjs'),
    config(`fields: { id, title: { type: 'text' } }, version: 2, upgrades: { 2: ${steps} }`)
  )
}

const databases: [string, { skip: string | false }, (t: Test, folder: string) => Promise<CommandLineStore>][] = [
  [
    'SQLite',
    { skip: false },
    async (_t, folder) => {
      const file = join(folder, 'users.db')
      return {
        adapter: `sqlite(${JSON.stringify(file)})`,
        async query (sql) {
          const database = new Database(file)
          try {
            const statement = database.prepare(sql)
            return statement.reader ? statement.raw().all() : [statement.run().changes]
          } finally {
            database.close()
          }
        }
      }
    }
  ],
  [
    'MySQL',
    await needsMysql(),
    async (t) => {
      const { pool, database } = await makeMysqlPool(t)
      return {
        adapter: `mysql(createPool(${JSON.stringify(mysqlConfigOf(database))}))`,
        query: async (sql) => (await pool.query({ sql, rowsAsArray: true }))[0] as unknown[]
      }
    }
  ]
]

interface CommandLineStore {
  adapter: string
  query(sql: string): Promise<unknown[]>
}

for (const [name, options, open] of databases) {
  t.test(`${name}: the command line shows, checks and applies upgrade steps, also after it was killed`, options, async (t) => {
    const folder = t.testdir()
    const { adapter, query } = await open(t, folder)
    writeConfigs(folder, adapter)
    const run = (config: string, args: string[], env: Record<string, string> = {}): Promise<Outcome> =>
      runNode([join(root, 'dist/lib/cli/main.js'), ...args, '--config', config], folder, env)
    t.match(await run('one.mjs', ['migrate']), { code: 0 })
    for (const n of [1, 2, 3]) await query(`INSERT INTO badge (id, label, holder) VALUES (${n}, 'Badge ${n}', 'Gawain')`)

    t.match(await run('two.mjs', ['migrate', '--check']), { code: 1, out: /version 2: transform the rows/ })
    t.match(await run('two.mjs', ['migrate', '--dry-run']), { code: 0, out: /RENAME COLUMN .label. TO .title.;\n--/ })
    t.match(await run('two.mjs', ['doctor']), { code: 1, out: /fail +schema: pending: .*version 2: drop "holder"/ })
    t.match(await run('two.mjs', ['prune']), { code: 1, err: /npx fastify-users migrate/ }, 'the store does not open')
    t.equal((await run('two.mjs', ['migrate'], { KILL_AT: '2' })).code, null, 'killed by a signal')
    const [first, second] = await Promise.all([run('two.mjs', ['migrate']), run('two.mjs', ['migrate'])])
    t.strictSame([first.code, second.code], [0, 0])
    t.strictSame(await query('SELECT * FROM badge ORDER BY id'), [1, 2, 3].map((n) => [n, `Badge ${n}!`]))
    t.match(await run('two.mjs', ['migrate', '--check']), { code: 0 })
    t.match(await run('two.mjs', ['doctor']), { code: 0 })
    t.match(await run('one.mjs', ['migrate']), { code: 1, err: /newer version/ })
  })
}

for (const store of mongoStores) {
  const title = `${store.name}: the upgrade lock of a process that was killed is taken over when it expires`
  t.test(title, store.options, async (t) => {
    const db = freshDbOn(t, store)
    const user = await fill(t, mongodb(db, { createTables }), first, 1)
    await db.collection<{ _id: string }>('fastify_users_schema').insertOne({
      _id: '(upgrade lock)',
      holder: 'a killed process',
      until: Date.now() + 300
    } as { _id: string })
    t.strictSame((await schemaOf(mongodb(db)).apply([User, third])).problems, [])
    await checkThird(t, mongodb(db), third, user, 1)
  })
}

t.test('memory: a model with upgrade steps works, because its rows are always new', async (t) => {
  const adapter = await opened(t, memory(), [User, third])
  t.strictSame(await adapter.findMany(third, {}, { limit: 1 }), [])
})

t.test('invalid versions and upgrade steps are refused', async (t) => {
  const invalid: [string, Partial<Model>][] = [
    ['a version below 1', { version: 0 }],
    ['a version that is no integer', { version: 1.5 }],
    ['steps to version 1', { upgrades: { 1: [] } }],
    ['steps to a version after that of the model', { version: 2, upgrades: { 3: [] } }],
    ['a rename to a name that is no field', { version: 2, upgrades: { 2: [{ rename: 'a', to: 'b' }] } }],
    ['a rename of a field that still exists', { version: 2, upgrades: { 2: [{ rename: 'holder', to: 'label' }] } }],
    ['a rename of the key', { version: 2, upgrades: { 2: [{ rename: 'key', to: 'id' }] } }],
    ['a drop of a field that still exists', { version: 2, upgrades: { 2: [{ drop: 'holder', was: { type: 'text' } }] } }],
    [
      'a drop of a reference',
      { version: 2, upgrades: { 2: [{ drop: 'owner_id', was: { type: 'id', id, references: 'user' } }] } }
    ],
    ['a drop of an index on no field', { version: 2, upgrades: { 2: [{ dropIndex: ['a'] }] } }],
    ['an unknown step', { version: 2, upgrades: { 2: [{ add: 'a' } as unknown as UpgradeStep] } }]
  ]
  for (const [title, change] of invalid) {
    t.throws(
      () => {
        memory().define({ ...first, ...change })
      },
      { code: 'FST_USERS_INVALID_OPTION' },
      title
    )
  }
})
