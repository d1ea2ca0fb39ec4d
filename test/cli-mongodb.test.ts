import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { MongoClient, ObjectId, type Db } from 'mongodb'
import t from 'tap'
import { SECRET } from './helpers/build-app.js'
import { buildProgram, endPools, library, createCommandFolder, type ConfigParts, type Outcome } from './helpers/command-line.js'
import { startMongoWirePeer } from './helpers/mongo-wire-peer.js'

// The commands run against a peer that speaks the wire protocol, because no npm package contains a MongoDB server.

const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
t.teardown(endPools)
process.env['USERS_SECRET'] = SECRET

const CASE_INSENSITIVE = { locale: 'en', strength: 2 }
const OAUTH = `
  import { github, oauth } from '${library.replace('lib/index.js', 'lib/features/oauth/index.js')}'
  function listFeatures () { return [oauth({ publicUrl: 'https://app.example.com', providers: [github({ clientId: 'id', clientSecret: 'secret' })] })] }`

/** Returns a config for the server at the URL. Its client is closed after the tests. */
function createConfig (url: string, rest = '', serverSelectionTimeoutMS = 30_000): ConfigParts {
  const client = `(() => { const client = new MongoClient('${url}', { serverSelectionTimeoutMS: ${serverSelectionTimeoutMS} }); keep({ end: () => client.close() }); return client })()`
  return {
    adapter: `mongodb(${client}.db('app'))`,
    more: 'schemas: userSchemas({}, { id: objectIdId() })',
    rest: `import { MongoClient } from 'mongodb'\n${rest}`
  }
}

/** Returns the lines of a report that do not begin with `ok`. */
function problemLines ({ out }: Outcome): string[] {
  return out.split('\n').filter((line) => !line.startsWith('ok '))
}

t.test('mongodb(): parallel migrate commands create collections and indexes once, and doctor reports ok', async (t) => {
  const peer = await startMongoWirePeer(t)
  const { run, start } = createCommandFolder(testFolder, program)
  const parts = createConfig(peer.url)
  const indexesOf = (database: string): unknown =>
    ['User', 'AccessToken'].map((name) => peer.collection(database, name).indexes)
  t.match(await run(['prune'], parts), { code: 1, out: '', err: /"User"[^\n]*run `npx fastify-users migrate`/ })
  t.match(problemLines(await run(['doctor'], parts)), [
    /^fail {2}schema: pending: create the collection "User" with its indexes: "case_insensitive_email_index"; run `npx fastify-users migrate`$/,
    /"AccessToken"/
  ])
  t.strictSame(await run(['migrate', '--check'], parts), {
    code: 1,
    out: 'Pending:\n  - create the collection "User" with its indexes: "case_insensitive_email_index"\n  - create the collection "AccessToken" with its indexes: "token_1", "user_id_1", "created_at_1"\n  - record version 1 of the schema in "fastify_users_schema"',
    err: ''
  })
  const script = await run(['schema'], parts)
  t.strictSame(await run(['migrate', '--dry-run'], parts), script)
  t.notOk(
    peer.commands.some(({ name }) => ['createIndexes', 'insert', 'update', 'findAndModify'].includes(name)),
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
  t.strictSame(await run(['migrate'], parts), { code: 0, out: 'Nothing to do: the database has the current schema.', err: '' })
  t.match(await run(['doctor'], parts), {
    code: 0,
    out: /^ok {4}database: answers\nok {4}schema: [^\n]*\nok {4}clock: /m
  })
  t.match(await run(['prune'], parts), { code: 0, out: 'backend database: expired tokens removed: 0' })
  t.match(await run(['create-superuser', '--email', 'a@b.example'], parts, { lines: ['a long enough password'] }), {
    code: 0
  })

  const client = new MongoClient(peer.url)
  t.teardown(() => client.close())
  const mongosh = client.db('script')
  const db = { getCollection: (name: string): unknown => mongosh.collection(name) }
  const commands = script.out.split('\n')
  // The driver has the methods of mongosh that the script calls.
  for (const line of commands) await (runInNewContext(line, { db }) as Promise<unknown>)
  t.strictSame(indexesOf('script'), indexesOf('app'), 'the printed script creates the same indexes')
  t.strictSame(peer.collection('script', 'fastify_users_schema').documents, [
    { _id: 'User', version: 1 },
    { _id: 'AccessToken', version: 1 }
  ])
  t.strictSame(peer.refusals, [])
})

t.test('mongodb(): with the oauth feature, migrate also creates its collections and indexes', async (t) => {
  const peer = await startMongoWirePeer(t)
  const { run } = createCommandFolder(testFolder, program)
  const parts = createConfig(peer.url, OAUTH)
  t.match(await run(['migrate'], createConfig(peer.url)), { code: 0 })
  t.match(await run(['doctor'], parts), {
    code: 1,
    out: /^fail {2}schema: pending: the collection "User": add the unique index "[^"]*" on oauth_accounts\.oauth_name, oauth_accounts\.account_id; run/m
  })
  t.match(await run(['migrate'], parts), {
    code: 0,
    out: /create the collection "oauth_issuer"[^]*create the collection "single_use"[^]*record version 1/
  })
  t.match(await run(['migrate', '--check'], parts), { code: 0 })
  t.match(await run(['prune'], parts), { code: 0, out: /single_use: expired rows removed: 0/ })
  t.match(
    peer
      .collection('app', 'fastify_users_schema')
      .documents.map(({ _id }) => String(_id))
      .sort(),
    ['AccessToken', 'User', 'User.oauth_accounts', 'oauth_issuer', 'single_use']
  )
})

t.test(
  'mongodb(): an application with createTables records the schema version, and migrate has nothing to do',
  async (t) => {
    const peer = await startMongoWirePeer(t)
    const { run } = createCommandFolder(testFolder, program)
    const parts = createConfig(peer.url)
    t.match(
      await run(['prune'], {
        ...parts,
        adapter: parts.adapter?.replace("db('app')", "db('app'), { createTables: true }") ?? ''
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

t.test(
  'mongodb(): doctor reports missing and unsuitable indexes, and migrate never drops an index',
  async (t) => {
    const email = { key: { email: 1 }, name: 'case_insensitive_email_index' } as const
    const plain = { key: { email: 1 }, name: 'email_1', unique: true } as const
    const cases: [string, (db: Db) => Promise<unknown>, RegExp[], number, RegExp][] = [
      [
        'not unique',
        (db) => db.collection('User').createIndexes([{ ...email, collation: CASE_INSENSITIVE }]),
        [
          /^fail {2}schema: the collection "User" has the index "case_insensitive_email_index" instead of the unique case-insensitive index "case_insensitive_email_index" on email; drop it with db\.getCollection\("User"\)\.dropIndex\("case_insensitive_email_index"\) in mongosh, and run migrate$/
        ],
        1,
        /^fastify-users: nothing was changed:\n {2}- the collection "User" has the index/
      ],
      [
        'another collation',
        (db) => db.collection('User').createIndexes([{ ...email, collation: { locale: 'en', strength: 3 } }]),
        [/^fail {2}schema: the collection "User" has the index/],
        1,
        /drop it with/
      ],
      [
        'as older Python adapters create it',
        (db) => db.collection('User').createIndexes([plain, { ...email, collation: CASE_INSENSITIVE }]),
        [
          /^warn {2}schema: the collection "User" has the index "case_insensitive_email_index" instead of the unique/
        ],
        0,
        /^$/
      ],
      [
        'unique but case-sensitive',
        (db) => db.collection('User').createIndexes([plain]),
        [
          /^warn {2}schema: pending: the collection "User": add the unique case-insensitive index "case_insensitive_email_index" on email; run/
        ],
        0,
        /^$/
      ],
      [
        'a lookup index is missing',
        async () => {},
        [/^warn {2}schema: pending: the collection "AccessToken": add the index "created_at_1" on created_at; run/],
        0,
        /^$/
      ],
      [
        'duplicate e-mails',
        (db) =>
          db
            .collection('User')
            .insertMany(['a@b.example', 'A@b.example'].map((value) => ({ _id: new ObjectId(), email: value }))),
        [/^fail {2}schema: pending: the collection "User": add the unique case-insensitive index/],
        1,
        /^fastify-users: Table "User" cannot be used. Change it or its mapping: a unique index cannot be created, because several documents have the same values: the unique case-insensitive index "case_insensitive_email_index" on email; change or delete the duplicates$/
      ],
      [
        'ids of another type',
        (db) => db.collection('AccessToken').insertOne({ token: 'x', user_id: 'text', created_at: new Date() }),
        [/^fail {2}schema: Table "AccessToken" cannot be used. Change it or its mapping: "user_id" of a stored document is not of type objectId/],
        1,
        /"user_id" of a stored document is not of type objectId/
      ],
      [
        'a newer schema version',
        (db) =>
          db
            .collection<{ _id: string }>('fastify_users_schema')
            .insertOne({ _id: 'User', version: 99 } as { _id: string }),
        [/^fail {2}schema: the collection "User" was created by a newer version of this package \(its schema version is 99/],
        1,
        /update the package$/
      ]
    ]
    for (const [name, change, lines, code, err] of cases) {
      const peer = await startMongoWirePeer(t)
      const client = new MongoClient(peer.url)
      t.teardown(() => client.close())
      const { run } = createCommandFolder(testFolder, program)
      const parts = createConfig(peer.url)
      await run(['migrate'], parts)
      const users = peer.collection('app', 'User')
      if (/unique|collation|Python|duplicate/.test(name)) users.indexes = users.indexes.slice(0, 1)
      if (name === 'a lookup index is missing') peer.collection('app', 'AccessToken').indexes.pop()
      if (name === 'a newer schema version') peer.collection('app', 'fastify_users_schema').documents = []
      await change(client.db('app'))
      const report = await run(['doctor'], parts)
      t.match(problemLines(report), lines, name)
      t.equal(problemLines(report).length, lines.length, problemLines(report).join('\n'))
      const outcome = await run(['migrate'], parts)
      t.match(outcome, { code, err }, name)
      t.notMatch(JSON.stringify([report, outcome]), /b\.example/, 'no e-mail is printed')
      if (code === 0) t.match(await run(['migrate', '--check'], parts), { code: 0 }, `${name}: migrated`)
    }
  }
)

t.test(
  'mongodb(): an unreachable server and a refused login are reported with different advice and without the password',
  async (t) => {
    const peer = await startMongoWirePeer(t)
    const { run } = createCommandFolder(testFolder, program)
    t.match(problemLines(await run(['doctor'], createConfig('mongodb://arthur:hunter2@127.0.0.1:1/', '', 300))), [
      /^fail {2}database: [^\n]*ECONNREFUSED[^\n]*; start the database, or correct the adapter$/
    ])
    const parts = createConfig(peer.url.replace('mongodb://', 'mongodb://arthur:hunter2@').replace('/?', '/admin?'))
    peer.onCommand(({ name }) =>
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
    peer.onCommand(({ name }) =>
      name === 'listIndexes'
        ? { ok: 0, code: 13, codeName: 'Unauthorized', errmsg: 'not authorized on app' }
        : undefined
    )
    t.match(await run(['prune'], createConfig(peer.url)), {
      code: 1,
      err: /the database server refuses the connection: not authorized on app; grant the missing rights to the user/
    })
    peer.onCommand(({ name }) =>
      name === 'createIndexes' ? { ok: 0, code: 11_600, errmsg: 'interrupted' } : undefined
    )
    t.match(await run(['migrate'], createConfig(peer.url)), { code: 1, err: /interrupted/ })
    peer.onCommand(({ name }) => (name === 'createIndexes' ? { ok: 1 } : undefined))
    t.match(await run(['migrate'], createConfig(peer.url)), {
      code: 1,
      err: /the database did not apply this step: create the collection "User"/
    })
  }
)
