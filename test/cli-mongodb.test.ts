import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { type Db, type Document, Long, ObjectId } from 'mongodb'
import t from 'tap'
import { SECRET } from './helpers/build-app.js'
import { buildProgram, endPools, library, createCommandFolder, type ConfigParts, type Outcome } from './helpers/command-line.js'
import { type MongoProxy, startMongoProxy } from './helpers/mongo-proxy.js'
import { completeStores, freshDbOn, mongoeco, stores } from './helpers/mongo-stores.js'

const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
t.teardown(endPools)
process.env['USERS_SECRET'] = SECRET

const CASE_INSENSITIVE = { locale: 'en', strength: 2 }
const ID_INDEX = { v: 2, key: { _id: 1 }, name: '_id_' }
const OAUTH = `
  import { github, oauth } from '${library.replace('lib/index.js', 'lib/features/oauth/index.js')}'
  function listFeatures () { return [oauth({ publicUrl: 'https://app.example.com', providers: [github({ clientId: 'id', clientSecret: 'secret' })] })] }`

/** Returns a config for a database of the server at the URL. Its client is closed after the tests. */
function createConfig (url: string, name: string, rest = '', serverSelectionTimeoutMS = 30_000): ConfigParts {
  const client = `(() => { const client = new MongoClient('${url}', { serverSelectionTimeoutMS: ${serverSelectionTimeoutMS} }); keep({ end: () => client.close() }); return client })()`
  return {
    adapter: `mongodb(${client}.db('${name}'))`,
    more: 'schemas: userSchemas({}, { id: objectIdId() })',
    rest: `import { MongoClient } from 'mongodb'\n${rest}`
  }
}

/** Returns the lines of a report that do not begin with `ok`. */
function problemLines ({ out }: Outcome): string[] {
  // the lines about limits have a test of their own
  return out.split('\n').filter((line) => !line.startsWith('ok ') && !line.includes(' limits: '))
}

/** Returns the indexes of both collections, without the parts that only some servers add. */
async function indexesOf (db: Db): Promise<unknown> {
  return await Promise.all(
    ['User', 'AccessToken'].map(async (name) =>
      (await db.collection(name).indexes()).map(({ key, name, unique, sparse }) => ({ key, name, unique, sparse }))
    )
  )
}

/** Replaces the replies of a proxy to listIndexes for one collection. */
function pretendIndexes (proxy: MongoProxy, collection: string, indexes: readonly Document[]): void {
  proxy.onCommand(({ name, body }) =>
    name === 'listIndexes' && body['listIndexes'] === collection
      ? { cursor: { id: Long.ZERO, ns: `app.${collection}`, firstBatch: [ID_INDEX, ...indexes] }, ok: 1 }
      : undefined
  )
}

for (const store of stores) {
  const title = `mongodb() on ${store.name}: parallel migrate commands create collections and indexes once, and doctor reports ok`
  t.test(title, store.options, async (t) => {
    const db = freshDbOn(t, store)
    const proxy = await startMongoProxy(t, store)
    const { run, start } = createCommandFolder(testFolder, program)
    const parts = createConfig(proxy.url, db.databaseName)
    t.match(await run(['prune'], parts), { code: 1, out: '', err: /"User"[^\n]*run `npx fastify-users migrate`/ })
    t.match(problemLines(await run(['doctor'], parts)), [
      /^fail {2}schema: pending: create the collection "User" with its indexes: "email_folded_1"; run `npx fastify-users migrate`$/,
      /"AccessToken"/
    ])
    t.strictSame(await run(['migrate', '--check'], parts), {
      code: 1,
      out: 'Pending:\n  - create the collection "User" with its indexes: "email_folded_1"\n  - create the collection "AccessToken" with its indexes: "token_1", "user_id_1", "created_at_1"\n  - record version 1 of the schema in "fastify_users_schema"',
      err: ''
    })
    const script = await run(['schema'], parts)
    if (store.isComplete) t.strictSame(await run(['migrate', '--dry-run'], parts), script)
    t.notOk(
      proxy.commands.some(({ name }) => ['createIndexes', 'insert', 'update', 'findAndModify'].includes(name)),
      'the commands before migrate change nothing'
    )
    const outcomes = await Promise.all([0, 1, 2].map(() => start(['migrate'], parts).outcome))
    t.strictSame(
      outcomes.map(({ code, err }) => [code, err]),
      [
        [0, ''],
        [0, ''],
        [0, '']
      ]
    )
    t.strictSame(await run(['migrate', '--check'], parts), {
      code: 0,
      out: 'Nothing to do: the database has the current schema.',
      err: ''
    })
    t.strictSame(await run(['migrate'], parts), {
      code: 0,
      out: 'Nothing to do: the database has the current schema.',
      err: ''
    })
    t.match(await run(['doctor'], parts), {
      code: 0,
      out: /^ok {4}database: answers\nok {4}schema: [^\n]*\nok {4}clock: /m
    })
    t.match(await run(['prune'], parts), { code: 0, out: 'backend database: expired tokens removed: 0' })
    t.match(await run(['create-superuser', '--email', 'a@b.example'], parts, { lines: ['a long enough password'] }), {
      code: 0
    })
    if (!store.isComplete) return

    const mongosh = freshDbOn(t, store)
    const context = { db: { getCollection: (name: string): unknown => mongosh.collection(name) } }
    const commands = script.out.split('\n')
    // The driver has the methods of mongosh that the script calls.
    for (const line of commands) await (runInNewContext(line, context) as Promise<unknown>)
    t.strictSame(await indexesOf(mongosh), await indexesOf(db), 'the printed script creates the same indexes')
    t.strictSame(await mongosh.collection('fastify_users_schema').find({}).toArray(), [
      { _id: 'User', version: 1 },
      { _id: 'AccessToken', version: 1 }
    ])
  })
}

for (const store of stores) {
  const title = `mongodb() on ${store.name}: with the oauth feature, migrate also creates its collections and indexes`
  t.test(title, store.options, async (t) => {
    const db = freshDbOn(t, store)
    const { run } = createCommandFolder(testFolder, program)
    const parts = createConfig(store.url, db.databaseName, OAUTH)
    t.match(await run(['migrate'], createConfig(store.url, db.databaseName)), { code: 0 })
    t.match(await run(['doctor'], parts), {
      code: 1,
      out: store.isComplete
        ? /^fail {2}schema: pending: the collection "User": add the unique index "[^"]*" on oauth_accounts\.oauth_name, oauth_accounts\.account_id; run/m
        : /^fail {2}schema: pending: create the collection "oauth_account" with its indexes: "oauth_name_1_account_id_1"/m
    })
    t.match(await run(['migrate'], parts), {
      code: 0,
      out: /create the collection "oauth_issuer"[^]*create the collection "single_use"[^]*record version 1/
    })
    t.match(await run(['migrate', '--check'], parts), { code: 0 })
    t.match(await run(['prune'], parts), { code: 0, out: /single_use: expired rows removed: 0/ })
    t.match(
      (await db.collection('fastify_users_schema').find({}).toArray()).map(({ _id }) => String(_id)).sort(),
      ['AccessToken', 'User', store.isComplete ? 'User.oauth_accounts' : 'oauth_account', 'oauth_issuer', 'single_use']
    )
  })
}

t.test(
  'mongodb(): an application with createTables records the schema version, and migrate has nothing to do',
  mongoeco.options,
  async (t) => {
    const { databaseName } = freshDbOn(t, mongoeco)
    const { run } = createCommandFolder(testFolder, program)
    const parts = createConfig(mongoeco.url, databaseName)
    t.match(
      await run(['prune'], {
        ...parts,
        adapter: parts.adapter?.replace(/\)$/, ', { createTables: true })') ?? ''
      }),
      { code: 0 }
    )
    t.strictSame(await run(['migrate', '--check'], parts), {
      code: 0,
      out: 'Nothing to do: the database has the current schema.',
      err: ''
    })
  }
)

const migrated = [{ key: { email_folded: 1 }, name: 'email_folded_1', unique: true, sparse: true }]
const reports: {
  name: string
  indexes?: Document[]
  documents?: readonly [collection: string, ...documents: Document[]]
  lines: RegExp[]
  err: RegExp
  /** Exit code of migrate after these indexes were pretended; undefined if migrate is not run. */
  code?: number
}[] = [
  {
    name: 'an index on the copies that is not unique',
    indexes: [{ key: { email_folded: 1 }, name: 'email_folded_1' }],
    lines: [
      /^fail {2}schema: the collection "User" has the index "email_folded_1" instead of the unique index "email_folded_1" on email_folded; drop it with db\.getCollection\("User"\)\.dropIndex\("email_folded_1"\) in mongosh, and run migrate$/
    ],
    code: 1,
    err: /^fastify-users: nothing was changed:\n {2}- the collection "User" has the index/
  },
  {
    name: 'an index on the copies that is unique, with a collation',
    indexes: [
      { key: { email_folded: 1 }, name: 'email_folded_1', unique: true, collation: { locale: 'en', strength: 2 } }
    ],
    lines: [/^warn {2}schema: the collection "User" has the index "email_folded_1" instead of the unique/],
    code: 0,
    err: /^$/
  },
  {
    name: 'the indexes of older Python adapters',
    indexes: [
      { key: { email: 1 }, name: 'email_1', unique: true },
      { key: { email: 1 }, name: 'case_insensitive_email_index', collation: CASE_INSENSITIVE }
    ],
    lines: [
      /^warn {2}schema: pending: the collection "User": add the unique index "email_folded_1" on email_folded; run/
    ],
    err: /^$/
  },
  {
    name: 'a unique index that is case-sensitive',
    indexes: [{ key: { email: 1 }, name: 'email_1', unique: true }],
    lines: [
      /^fail {2}schema: pending: the collection "User": add the unique index "email_folded_1" on email_folded; run/
    ],
    err: /^$/
  },
  {
    name: 'ids of another type',
    indexes: migrated,
    documents: ['AccessToken', { token: 'x', user_id: 'text', created_at: new Date() }],
    lines: [/^fail {2}schema: Table "AccessToken" cannot be used. Change it or its mapping: "user_id" of a stored document is not of type objectId/],
    code: 1,
    err: /"user_id" of a stored document is not of type objectId/
  },
  {
    name: 'a newer schema version',
    indexes: migrated,
    documents: ['fastify_users_schema', { _id: 'User', version: 99 } as unknown as Document],
    lines: [/^fail {2}schema: the collection "User" was created by a newer version of this package \(its schema version is 99/],
    code: 1,
    err: /update the package$/
  }
]

for (const { name, indexes, documents: [collection, ...documents] = [], lines, code, err } of reports) {
  t.test(
    `mongodb(): doctor reports unsuitable parts, and migrate drops no index: ${name}`,
    mongoeco.options,
    async (t) => {
      const db = freshDbOn(t, mongoeco)
      const proxy = await startMongoProxy(t, mongoeco)
      const { run } = createCommandFolder(testFolder, program)
      const parts = createConfig(proxy.url, db.databaseName)
      await run(['migrate'], parts)
      if (collection !== undefined) {
        await db.collection(collection).deleteMany({})
        await db.collection(collection).insertMany(documents)
      }
      pretendIndexes(proxy, 'User', indexes ?? [])
      const report = await run(['doctor'], parts)
      t.match(problemLines(report), lines, name)
      t.equal(problemLines(report).length, lines.length, problemLines(report).join('\n'))
      if (code !== undefined) t.match(await run(['migrate'], parts), { code, err }, name)
      t.notOk(proxy.commands.some(({ name }) => name === 'dropIndexes'))
    }
  )
}

for (const store of stores) {
  const title = `mongodb() on ${store.name}: a missing index for lookups is a warning, and migrate creates it`
  t.test(title, store.options, async (t) => {
    const db = freshDbOn(t, store)
    const { run } = createCommandFolder(testFolder, program)
    const parts = createConfig(store.url, db.databaseName)
    await run(['migrate'], parts)
    await db.collection('AccessToken').dropIndex('created_at_1')
    t.match(problemLines(await run(['doctor'], parts)), [
      /^warn {2}schema: pending: the collection "AccessToken": add the index "created_at_1" on created_at; run/
    ])
    t.match(await run(['migrate'], parts), { code: 0, err: '' })
    t.match(await run(['migrate', '--check'], parts), { code: 0 })
  })
}

/** Returns a user document without a folded copy. */
function oldUser (email: string): Document {
  return { _id: new ObjectId(), email, hashed_password: 'x', is_active: true, is_superuser: false, is_verified: true }
}

for (const store of stores) {
  t.test(
    `mongodb() on ${store.name}: migrate stores the folded copies of e-mails, or reports duplicates and changes nothing`,
    store.options,
    async (t) => {
      const db = freshDbOn(t, store)
      const users = db.collection('User')
      const [arthur, other] = [oldUser('Arthur@b.example'), oldUser('aRTHUR@b.example')]
      const crowd = Array.from({ length: 105 }, (_, n) => oldUser(`Knight-${n}@b.example`))
      await users.insertMany([arthur, other, ...crowd])
      const { run } = createCommandFolder(testFolder, program)
      const parts = createConfig(store.url, db.databaseName)
      if (!store.isComplete) {
        t.match(await run(['prune'], parts), { code: 1, err: /documents lack the field "email_folded"; run `npx fastify-users migrate`/ })
      }
      const pair = new RegExp(`the same "email" apart from case: ${String(arthur['_id'])} and ${String(other['_id'])}; change or delete`)
      const [report, refused] = [await run(['doctor'], parts), await run(['migrate'], parts)]
      t.match(problemLines(report).join('\n'), pair)
      t.match(refused, { code: 1, err: pair })
      t.notMatch(JSON.stringify([report, refused]), /b\.example/, 'no e-mail is printed')
      t.strictSame(await users.find({ email_folded: { $exists: true } }).toArray(), [], 'nothing was changed')

      await users.deleteOne({ _id: other['_id'] as ObjectId })
      t.match(await run(['migrate', '--check'], parts), {
        code: 1,
        out: /the collection "User": store "email" in lower case as "email_folded"\n[^]*add the unique index "email_folded_1"/
      })
      const outcomes = await Promise.all([0, 1].map(async () => await run(['migrate'], parts)))
      t.match(outcomes, [{ code: 0, err: '' }, { code: 0, err: '' }])
      t.match(await run(['migrate', '--check'], parts), { code: 0 })
      const stored = await users.find({}).toArray()
      t.equal(stored.length, 106)
      t.strictSame(stored.filter((user) => user['email_folded'] !== String(user['email']).toLowerCase()), [])
      t.match(await run(['prune'], parts), { code: 0 }, 'an application starts')
      await t.rejects(users.insertOne({ ...oldUser('x'), email_folded: 'arthur@b.example' }), { code: 11000 })
    }
  )
}

for (const store of completeStores) {
  t.test(
    `mongodb() on ${store.name}: a collection with Beanie's index works before and after migrate, beside a Python application`,
    store.options,
    async (t) => {
      const db = freshDbOn(t, store)
      const users = db.collection('User')
      const index = { key: { email: 1 }, name: 'case_insensitive_email_index', unique: true, collation: CASE_INSENSITIVE }
      await users.createIndexes([index as never])
      await users.insertMany([oldUser('Arthur@b.example'), oldUser('galahad@b.example')])
      const { run } = createCommandFolder(testFolder, program)
      const parts = createConfig(store.url, db.databaseName)
      await db.collection('AccessToken').createIndex({ token: 1 }, { name: 'token_1', unique: true })
      t.match(await run(['prune'], parts), { code: 0 }, 'an application starts')
      t.match(problemLines(await run(['doctor'], parts)), [
        /^warn {2}schema: pending: the collection "User": store "email" in lower case/,
        /^warn {2}schema: pending: the collection "User": add the unique index "email_folded_1"/,
        /^warn/,
        /^warn/
      ])
      t.match(await run(['migrate'], parts), { code: 0, err: '' })
      t.match(
        (await users.find({}).toArray()).map((user) => user['email_folded'] as string).sort(),
        ['arthur@b.example', 'galahad@b.example']
      )
      // a Python application stores no copies, and changes an e-mail without its copy
      await users.insertMany([oldUser('gawain@b.example'), oldUser('mordred@b.example')])
      await users.updateOne({ email: 'galahad@b.example' }, { $set: { email: 'Percival@b.example' } })
      const create = async (email: string): Promise<Outcome> =>
        await run(['create-superuser', '--email', email], parts, { lines: ['a long enough password'] })
      for (const taken of ['ARTHUR@b.example', 'GAWAIN@b.example', 'percival@b.example']) {
        t.not((await create(taken)).code, 0, taken)
      }
      t.match(await create('Bors@b.example'), { code: 0 })
      t.match(await users.findOne({ email: 'Bors@b.example' }), { email_folded: 'bors@b.example' })
      t.match(await run(['migrate'], parts), { code: 0, err: '' })
      await users.dropIndex('case_insensitive_email_index')
      t.strictSame(
        (await users.find({}).toArray()).filter((user) => user['email_folded'] !== String(user['email']).toLowerCase()),
        []
      )
      t.match(await run(['migrate', '--check'], parts), { code: 0 })
      t.not((await create('PERCIVAL@b.example')).code, 0, 'found by the copy')
      t.match(await create('galahad@b.example'), { code: 0 })
    }
  )
}

t.test(
  'mongodb(): an unreachable server and a refused login are reported with different advice and without the password',
  mongoeco.options,
  async (t) => {
    const { databaseName } = freshDbOn(t, mongoeco)
    const proxy = await startMongoProxy(t, mongoeco)
    const { run } = createCommandFolder(testFolder, program)
    t.match(problemLines(await run(['doctor'], createConfig('mongodb://arthur:hunter2@127.0.0.1:1/', 'app', '', 300))), [
      /^fail {2}database: [^\n]*ECONNREFUSED[^\n]*; start the database, or correct the adapter$/
    ])
    const parts = createConfig(
      proxy.url.replace('mongodb://', 'mongodb://arthur:hunter2@').replace('/?', '/admin?'),
      databaseName
    )
    proxy.onCommand(({ name }) =>
      name.startsWith('sasl')
        ? { ok: 0, code: 18, codeName: 'AuthenticationFailed', errmsg: 'Authentication failed.' }
        : undefined
    )
    for (const args of [['migrate'], ['prune'], ['doctor']]) {
      const outcome = await run(args, parts)
      t.match(outcome, { code: 1 }, args.join())
      t.match(
        outcome.out + outcome.err,
        /the database server refuses the connection: Authentication failed\.; check user and password in the adapter's connection/
      )
      t.notMatch(JSON.stringify(outcome), /hunter2/)
    }
    proxy.onCommand(({ name }) =>
      name === 'listIndexes'
        ? { ok: 0, code: 13, codeName: 'Unauthorized', errmsg: 'not authorized on app' }
        : undefined
    )
    t.match(await run(['prune'], createConfig(proxy.url, databaseName)), {
      code: 1,
      err: /the database server refuses the connection: not authorized on app; grant the missing rights to the user/
    })
    proxy.onCommand(({ name }) =>
      name === 'createIndexes' ? { ok: 0, code: 11_600, errmsg: 'interrupted' } : undefined
    )
    t.match(await run(['migrate'], createConfig(proxy.url, databaseName)), { code: 1, err: /interrupted/ })
    proxy.onCommand(({ name }) => (name === 'createIndexes' ? { ok: 1 } : undefined))
    t.match(await run(['migrate'], createConfig(proxy.url, databaseName)), {
      code: 1,
      err: /the database did not apply this step: create the collection "User"/
    })
  }
)
