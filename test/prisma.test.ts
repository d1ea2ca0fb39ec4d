import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { PrismaDatabase } from '../lib/adapters/prisma/client.js'
import { prismaModels } from '../lib/adapters/prisma/schema-text.js'
import { mysqlDialect } from '../lib/adapters/sql/dialects/mysql.js'
import { postgresDialect } from '../lib/adapters/sql/dialects/postgres.js'
import { sqliteDialect } from '../lib/adapters/sql/dialects/sqlite.js'
import { planCreation } from '../lib/adapters/sql/migration/upgrade.js'
import type { DatabaseAdapter } from '../lib/contracts/database-adapter.js'
import type { Model } from '../lib/contracts/models.js'
import { prisma, type PrismaInstance } from '../lib/entries/prisma.js'
import { Type, userSchemas } from '../lib/index.js'
import { modelsOf } from '../lib/models.js'
import { AccessToken, Counter, createToken, createUserRow, models as tested, User } from '../lib/testing/conformance/models.js'
import { adapterConformance } from '../lib/testing/index.js'
import { ARTHUR, backends, buildApp, PASSWORD, SECRET } from './helpers/build-app.js'
import { createCommandFolder, library } from './helpers/command-line.js'
import { makeMysqlDatabase, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { configOf, makeSchema, needsPostgres } from './helpers/postgres.js'
import { generateClient, needsPrisma, type MakeClient, type TestClient } from './helpers/prisma.js'
import { walkedModels, walkFeatures } from './helpers/walk-features.js'

const folder = t.testdir({})
const models: readonly Model[] = [...tested, Counter]
const installed = needsPrisma()
process.env['USERS_SECRET'] = SECRET

interface Engine {
  name: string
  database: PrismaDatabase
  options: { skip?: string | false }
  dialect: Parameters<typeof planCreation>[0]
  /** Creates a database. `config` has the options of the driver adapter. */
  make(): Promise<{ config: object; more?: object; drop: () => Promise<void> }>
}

const engines: Engine[] = [
  {
    name: 'SQLite',
    database: 'sqlite',
    options: installed,
    dialect: sqliteDialect,
    make: async () => ({ config: { url: join(folder, randomUUID()) }, drop: async () => {} })
  },
  {
    name: 'PostgreSQL',
    database: 'postgres',
    options: installed.skip === false ? await needsPostgres() : installed,
    dialect: postgresDialect,
    async make () {
      const { schema, drop } = await makeSchema()
      return { config: configOf(schema), more: { schema }, drop }
    }
  },
  {
    name: 'MySQL',
    database: 'mysql',
    options: installed.skip === false ? await needsMysql() : installed,
    dialect: mysqlDialect,
    async make () {
      const { database, drop } = await makeMysqlDatabase()
      const { host, port, user, password, connectionLimit } = mysqlConfigOf(database)
      return { config: { host, port, user, password, database, connectionLimit }, drop }
    }
  }
]

/** Creates a client on a new database with the tables of models, which is removed when the test ends. */
async function makeClient (t: Test, engine: Engine, create: MakeClient, defined = models): Promise<TestClient> {
  const { config, more, drop } = await engine.make()
  const client = create(config, more)
  t.teardown(async () => {
    await client.$disconnect()
    await drop()
  })
  const { steps } = await planCreation(engine.dialect, defined, {})
  for (const statement of steps.flatMap(({ statements }) => statements)) await client.$executeRawUnsafe(statement)
  return client
}

async function opened (client: PrismaInstance, defined = models, options: object = {}): Promise<DatabaseAdapter> {
  const adapter = prisma(client, options)
  for (const model of defined) adapter.define(model)
  await adapter.open()
  return adapter
}

const schemas = userSchemas({ nickname: Type.Optional(Type.String({ maxLength: 40 })) })
const appModels = modelsOf({ backends: backends() }, { schemas, name: 'users' })

for (const engine of engines) {
  const { name, database, options } = engine
  const title = `row 85: prisma() on ${name} passes the conformance suite with the models that \`schema\` prints`
  t.test(title, options, async (t) => {
    const create = await generateClient(t, database, prismaModels(database, models))
    const client = await makeClient(t, engine, create)
    const quote = database === 'mysql' ? '`' : '"'
    await t.test('conformance', async (t) => {
      adapterConformance({
        test (title, run) {
          t.test(title, async (t) => {
            await run()
            t.pass(title)
          })
        },
        storesNul: database === 'mysql',
        async makeAdapter () {
          // rows of other tables that refer to these are deleted with them
          for (const { table } of models.toReversed()) await client.$executeRawUnsafe(`DELETE FROM ${quote}${table}${quote}`)
          return prisma(client)
        },
        makeSibling: () => prisma(client)
      })
    })

    await t.test('reads and writes the values that Prisma itself does', async (t) => {
      const adapter = await opened(client)
      await adapter.delete(User, {})
      const seenAt = new Date('2026-11-21T03:52:56.005Z')
      const values = { nickname: 'Art', ratio: -0.5, settings: { a: [1, null] } }
      const user = await createUserRow(adapter, { ...values, credits: 2 ** 40, seen_at: seenAt })
      const [row] = await client.user.findMany()
      t.match(row, { ...values, id: user['id'], isActive: true, seenAt, credits: 2n ** 40n, hashedPassword: 'hash', sessionStamp: null })
      const id = randomUUID()
      await client.user.create({ data: { ...row, id, email: 'other@x.org', isActive: false } })
      t.strictSame(await adapter.findOne(User, { id, seen_at: seenAt, is_active: false }), {
        ...user,
        id,
        email: 'other@x.org',
        is_active: false
      })
      const later = new Date(seenAt.getTime() + 1)
      t.equal((await adapter.findMany(User, { seen_at: { lt: later } }, { limit: 9 })).length, 2)
    })

    await t.test('an interactive transaction has all methods of the adapter, and errors show no values', async (t) => {
      const adapter = await opened(client)
      await adapter.delete(User, {})
      await client.$transaction(async (tx) => {
        const within = adapter.within?.(tx) as DatabaseAdapter
        const user = await createUserRow(within, { email: 'a@x.org', credits: 1, settings: { a: 1 }, seen_at: new Date(5), is_active: false })
        const row = await createToken(within, user, 'token')
        t.strictSame(await within.findOne(User, { email: 'A@x.org' }), user)
        t.strictSame(await within.findWithUser?.(AccessToken, { token: 'token' }), { row, user })
        t.equal(await within.update(User, { id: user['id'] as string }, { credits: { increment: 1 } }), 1)
        const [second] = (await within.createAll?.([[User, { id: randomUUID(), email: 'b@x.org', hashed_password: 'x', is_active: true }]])) ?? []
        t.equal(await within.delete(User, { id: second?.['id'] as string }), 1)
      })
      t.equal((await adapter.findMany(User, { credits: 2 }, { limit: 2 })).length, 1)
      const failure = await createUserRow(adapter, { email: 'A@x.org', hashed_password: 'secret-hash' }).catch((error: unknown) => error as Error)
      t.match(failure, { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['email'] })
      t.notMatch(String((failure as Error).cause), /secret-hash/)
    })
  })

  t.test(`prisma() on ${name} serves an application with what \`schema\` prints`, options, async (t) => {
    const { run } = createCommandFolder(folder, { main: '', library })
    const printed = await run(['schema', '--dialect', `prisma-${database}`], {
      adapter: 'memory()',
      fields: '{ nickname: Type.Optional(Type.String({ maxLength: 40 })) }',
      rest: `
        import { github, oauth } from '${library.replace('lib/index.js', 'lib/features/oauth/index.js')}'
        function listFeatures () { return [oauth({ publicUrl: 'https://app.example.com', providers: [github({ clientId: 'id', clientSecret: 'secret' })] })] }`
    })
    t.match(printed, { code: 0, err: '', out: /^model SingleUse \{$/m })
    const create = await generateClient(t, database, printed.out)
    const client = await makeClient(t, engine, create, appModels)
    let statements = 0
    const counted = new Proxy(client, {
      get (target, key, receiver) {
        if (key === '$queryRawUnsafe') statements++
        return Reflect.get(target, key, receiver)
      }
    })
    const built = await buildApp(t, { adapter: prisma(counted), schemas })
    await built.register({ nickname: 'Art' })
    const sessions = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)]
    await built.app.users.settled() // the first login deletes expired tokens in the background
    for (const headers of sessions) {
      statements = 0
      t.equal((await built.send('GET', '/guarded', undefined, headers)).statusCode, 200)
      t.equal(statements, 1, 'a guarded request is one statement')
    }

    const { users } = built.app
    const add = (email: string, transaction: unknown): Promise<unknown> =>
      users.create({ email, password: PASSWORD, nickname: 'Lance' } as never, { transaction })
    for (const value of [null, {}, client, 'tx']) await t.rejects(add('x@x.org', value), { code: 'FST_USERS_INVALID_OPTION' })
    const failed = client.$transaction(async (tx) => {
      await add('lost@x.org', tx)
      throw new Error('rolled back')
    })
    await t.rejects(failed, { message: 'rolled back' })
    t.equal(await users.getByEmail('lost@x.org'), null)
    await client.$transaction((tx) => add('kept@x.org', tx))
    t.match(await users.getByEmail('kept@x.org'), { nickname: 'Lance' })
  })
}

t.test('prisma() finds the tables in the schema of the driver adapter or the option', engines[1]?.options ?? {}, async (t) => {
  const walked = walkedModels(schemas)
  const create = await generateClient(t, 'postgres', prismaModels('postgres', walked))
  const { schema, drop } = await makeSchema()
  const client = create(configOf(schema))
  const other = create(configOf('public'), { schema })
  t.teardown(async () => {
    await Promise.all([client.$disconnect(), other.$disconnect()])
    await drop()
  })
  const { steps } = await planCreation(postgresDialect, walked, {})
  for (const statement of steps.flatMap(({ statements }) => statements)) await client.$executeRawUnsafe(statement)
  const [user] = appModels as [Model]
  const row = await (await opened(client, appModels)).create(user, { email: 'a@x.org', hashed_password: 'x', is_active: true, is_superuser: false, is_verified: false })
  t.strictSame(await (await opened(other, appModels, { schema })).findOne(user, { email: 'A@x.org' }), row)
  t.match(await other.user.findMany(), [{ email: 'a@x.org' }])
  await t.test('refresh tokens, API keys, roles and revoked sessions', (t) => walkFeatures(t, prisma(client), schemas))
})

const [sqlite, postgres] = engines as [Engine, Engine]

t.test('prisma() refuses models that do not fit, with the lines to add or change', sqlite.options, async (t) => {
  const create = await generateClient(
    t,
    'sqlite',
    `model Member {
      id String @id
      email Int @map("mail")
      is_active Boolean
      createdAt DateTime @default(now())
      hash String @map("hashed_password")
      @@map("people")
    }`
  )
  const client = create({ url: join(folder, randomUUID()) })
  t.teardown(() => client.$disconnect())
  const Person: Model = {
    name: 'user',
    table: 'user',
    fields: {
      id: User.fields['id'] as never,
      email: { type: 'text', maxLength: 320 },
      hashed_password: { type: 'text' },
      is_active: { type: 'boolean' },
      seen_at: { type: 'time', nullable: true },
      session_stamp: { type: 'text', nullable: true, optional: true }
    }
  }
  await t.rejects(opened(client, [Person]), {
    code: 'FST_USERS_TABLE_MISMATCH',
    message: /"user"[^]*the Prisma schema has no such model:\nmodel User \{\n {2}id String @id\n {2}email String\n/
  })
  const error = await opened(client, [Person], { models: { user: 'Member' } }).catch((error: unknown) => error as Error)
  t.match(error, { code: 'FST_USERS_TABLE_MISMATCH' })
  t.strictSame((error as Error).message.split('\n').slice(1), [
    '  email String @map("mail") // its type cannot store values of type text',
    '  seenAt DateTime? @map("seen_at")'
  ])
  const { email: _email, seen_at: _seen, ...fitting } = Person.fields
  const Fitting = { ...Person, fields: fitting }
  await t.rejects(opened(client, [Fitting], { models: { user: 'Member' } }), {
    code: 'FST_USERS_TABLE_MISMATCH',
    message: /"people"[^]*the database has no such table/
  })
  await client.$executeRawUnsafe('CREATE TABLE people (id TEXT PRIMARY KEY, hashed_password TEXT, is_active BOOLEAN, "createdAt" DATETIME DEFAULT CURRENT_TIMESTAMP)')
  const adapter = await opened(client, [Fitting], { models: { user: 'Member' } })
  const row = await adapter.create(Fitting, { hashed_password: 'hash', is_active: true })
  t.strictSame(await adapter.findOne(Fitting, { hashed_password: 'hash' }), row)
})

t.test('prisma() replies 503 when the database is down, and refuses a slow statement', postgres.options, async (t) => {
  const create = await generateClient(t, 'postgres', prismaModels('postgres', appModels))
  const client = await makeClient(t, postgres, create, appModels)
  const built = await buildApp(t, { adapter: prisma(client, { timeoutMs: 500 }), schemas })
  await built.register()
  const headers = await built.bearer(ARTHUR)
  await client.$transaction(async (tx) => {
    await tx.$executeRawUnsafe('LOCK TABLE "user"')
    const reply = await built.send('GET', '/users/me', undefined, headers)
    t.strictSame([reply.statusCode, reply.json<{ code: string }>().code], [503, 'FST_USERS_STORE_UNAVAILABLE'])
  })
  const down = create({ connectionString: 'postgres://postgres@127.0.0.1:1/none' })
  await t.rejects(opened(down, appModels), { code: 'FST_USERS_STORE_UNAVAILABLE' })
})

t.test('prisma() refuses other values than clients', async (t) => {
  const queries = { $queryRawUnsafe () {}, $executeRawUnsafe () {}, $connect () {} }
  for (const wrong of [null, undefined, '', {}, queries, { ...queries, _runtimeDataModel: { models: {} }, _activeProvider: 'mongodb' }]) {
    t.throws(() => prisma(wrong as unknown as PrismaInstance), { code: 'FST_USERS_INVALID_OPTION' })
  }
  const client = { ...queries, _runtimeDataModel: { models: {} }, _activeProvider: 'sqlite' } as unknown as PrismaInstance
  t.throws(() => prisma(client, { schema: 'auth' }), { code: 'FST_USERS_INVALID_OPTION' })
  t.throws(() => prisma(client, { models: 5 as unknown as Record<string, string> }), { code: 'FST_USERS_INVALID_OPTION' })
  await t.rejects(opened(client, [], { createTables: true }), { code: 'FST_USERS_UNKNOWN_OPTION' })
})
