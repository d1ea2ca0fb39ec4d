import {
  Binary,
  type Db,
  Double,
  Int32,
  Long,
  ObjectId,
  type Document,
  type IndexDescription,
  type MongoClientOptions
} from 'mongodb'
import t, { type Test } from 'tap'
import { loadBsonTypes } from '../lib/adapters/mongodb/driver.js'
import { idOf } from '../lib/adapters/shared/row-references.js'
import type { DatabaseAdapter, Row } from '../lib/contracts/database-adapter.js'
import type { Model } from '../lib/contracts/models.js'
import { authenticate, integerId, objectIdId, Type, userSchemas, uuidId } from '../lib/index.js'
import { mongodb, type MongoDb, type MongodbOptions } from '../lib/entries/mongodb.js'
import type { StoreSchema } from '../lib/contracts/store-schema.js'
import { kStoreSchema } from '../lib/symbols.js'
import { userModel } from '../lib/users/index.js'
import { AccessToken, createToken, createUserRow, Membership, models, User } from '../lib/testing/conformance/models.js'
import { adapterConformance } from '../lib/testing/index.js'
import { addRoutes, ARTHUR, buildApp, PASSWORD } from './helpers/build-app.js'
import { flow } from './helpers/flow.js'
import { type MongoProxy, type ProxyFault, startMongoProxy } from './helpers/mongo-proxy.js'
import { completeStores, connect, ferretdb, freshDb, freshDbOn, mongoeco, type MongoStore, stores } from './helpers/mongo-stores.js'

const createTables = true
/** A time limit that no operation reaches, in milliseconds, because the machine may be busy. */
const LONG_MS = 30_000
const refused = { code: 'FST_USERS_INVALID_OPTION' }
const mismatch = { code: 'FST_USERS_TABLE_MISMATCH' }
const ARGON2 = '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA'

const schemaOf = (adapter: DatabaseAdapter): StoreSchema =>
  (adapter as unknown as { [kStoreSchema]: StoreSchema })[kStoreSchema]

const objectId = objectIdId()
/** The users and accounts of Beanie's collections. */
const Person: Model = {
  name: 'user',
  table: 'user',
  fields: {
    id: { type: 'id', id: objectId },
    email: { type: 'text', maxLength: 320, ignoreCase: true },
    hashed_password: { type: 'text', maxLength: 1024 },
    is_active: { type: 'boolean' },
    session_stamp: { type: 'text', maxLength: 43, nullable: true, optional: true },
    credits: { type: 'integer', nullable: true },
    ratio: { type: 'number', nullable: true },
    settings: { type: 'json', nullable: true }
  },
  unique: [['email']]
}
const Token: Model = {
  ...AccessToken,
  fields: { ...AccessToken.fields, user_id: { type: 'id', id: objectId, references: 'user' } }
}
const Linked: Model = {
  name: 'oauth_account',
  table: 'oauth_account',
  embed: 'oauth_accounts',
  fields: {
    id: { type: 'id', id: objectId },
    user_id: { type: 'id', id: objectId, references: 'user' },
    oauth_name: { type: 'text', maxLength: 100 },
    access_token: { type: 'text' },
    account_id: { type: 'text', maxLength: 320 },
    account_email: { type: 'text', maxLength: 320 },
    expires_at: { type: 'integer', nullable: true },
    refresh_token: { type: 'text', nullable: true }
  },
  unique: [['oauth_name', 'account_id']],
  index: [['user_id']]
}
const beanie = [Person, Token, Linked]

async function opened (
  db: Db,
  defined: readonly Model[] = models,
  options: MongodbOptions = { createTables }
): Promise<DatabaseAdapter> {
  const adapter = mongodb(db, options)
  for (const model of defined) adapter.define(model)
  await adapter.open()
  return adapter
}

/** Stores accounts inside of the user documents. */
function embedding (adapter: DatabaseAdapter): DatabaseAdapter {
  const define = adapter.define.bind(adapter)
  return Object.assign(adapter, {
    define: (model: Model) => {
      define(model.name === Membership.name ? { ...model, embed: 'memberships' } : model)
    }
  })
}

/** Settings of an application whose own reads and writes differ from the adapter's. */
const OTHER_SETTINGS: MongoClientOptions = {
  readPreference: 'secondaryPreferred',
  readConcern: { level: 'available' },
  writeConcern: { w: 1 },
  useBigInt64: true,
  promoteBuffers: true,
  ignoreUndefined: true,
  serializeFunctions: true,
  forceServerObjectId: true
}

const variants: {
  name: string
  client?: MongoClientOptions
  options?: MongodbOptions
  wrap?: (adapter: DatabaseAdapter) => DatabaseAdapter
  needsArrays?: boolean
}[] = [
  { name: 'mongodb(db)' },
  {
    name: 'mongodb() with accounts inside of users, on a client with other settings',
    client: OTHER_SETTINGS,
    wrap: embedding,
    needsArrays: true
  },
  {
    name: 'mongodb() with ids stored as text in a field beside _id',
    options: {
      collections: {
        user: { collection: 'members', fields: { id: 'id' }, ids: 'text' },
        person_integer: { fields: { id: 'id' } }
      }
    }
  }
]

for (const store of stores) {
  const on = `on ${store.name}`
  for (const { name, client: settings, options, wrap, needsArrays = false } of variants) {
    if (needsArrays && !store.isComplete) continue
    t.test(`row 84: ${name} passes the conformance suite ${on}`, store.options, async (t) => {
      const client = connect(t, store.url, settings)
      const databases = new WeakMap<DatabaseAdapter, Db>()
      const make = (db: Db): DatabaseAdapter => {
        const made = mongodb(db, { createTables, timeoutMs: LONG_MS, ...options })
        const adapter = wrap?.(made) ?? made
        databases.set(adapter, db)
        return adapter
      }
      adapterConformance({
        test: (name, run) => {
          t.test(name, async (t) => {
            await run()
            t.pass(name)
          })
        },
        makeAdapter: () => make(freshDb(t, client)),
        makeSibling: (adapter) => make(databases.get(adapter) as Db)
      })
    })
  }

  t.test(`row 84: every flow works ${on}, with both backends and every kind of id`, store.options, async (t) => {
    for (const id of [uuidId(), integerId(), objectIdId()]) {
      const schemas = userSchemas({ credits: Type.Integer() }, { id })
      const built = await buildApp(t, {
        adapter: mongodb(freshDbOn(t, store), { createTables, timeoutMs: LONG_MS }),
        schemas: schemas as never
      })
      await flow(t, built, ARTHUR, { credits: 5 })
      const { id: made } = await built.create({ is_superuser: true, credits: 2 ** 52 })
      const headers = await built.bearer(ARTHUR)
      t.hasStrict((await built.send('GET', `/users/${made}`, undefined, headers)).json(), {
        id: made,
        credits: 2 ** 52
      })
      for (const absent of [
        '2147483648',
        '999',
        'x',
        '-1',
        '05fff8ce-3a06-48f2-9c44-a16751012464',
        'ffffffffffffffffffffffff',
        '%00',
        '$gt',
        '{"$gt":""}'
      ]) {
        t.equal(
          (await built.send('GET', `/users/${encodeURIComponent(absent)}`, undefined, headers)).statusCode,
          404,
          absent
        )
      }
    }
  })
}

for (const store of completeStores) {
  t.test(
    `row 84: collections that Beanie created work unchanged on ${store.name}: all rows are read, unknown fields kept`,
    store.options,
    async (t) => {
      await adopt(t, freshDbOn(t, store))
    }
  )

  t.test(`row 84: mapping serves older collection layouts on ${store.name}`, store.options, async (t) => {
    await adoptOlder(t, store)
  })
}

for (const store of stores) {
  const title = `RACE-02: a provider account belongs to one user and is stored once, on ${store.name}`
  t.test(title, store.options, async (t) => {
    const adapter = await opened(freshDbOn(t, store), beanie)
    const make = (email: string): Promise<Row> =>
      adapter.create(Person, { email, hashed_password: 'hash', is_active: true })
    const users = [await make('a@x.org'), await make('b@x.org')]
    const link = (user: unknown, account_id: string, more: Row = {}): Promise<Row> =>
      adapter.create(Linked, {
        user_id: user,
        oauth_name: 'google',
        access_token: 't',
        account_id,
        account_email: 'a@x.org',
        ...more
      })
    const settled = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => link(users[n % 2]?.['id'], '1')))
    t.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1)
    for (const result of settled) {
      if (result.status === 'rejected') {
        t.hasStrict(result.reason, { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['oauth_name', 'account_id'] })
      }
    }
    const [one] = await adapter.findMany(Linked, {}, { limit: 9 })
    const clash = { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['oauth_name', 'account_id'] }
    for (const user of users) await t.rejects(link(user['id'], '1'), clash)
    await t.rejects(link(one?.['user_id'], '3', { id: one?.['id'] }), { ...clash, fields: ['id'] })
    if (store.isComplete) await t.rejects(link('f'.repeat(24), '2'), mismatch, 'the user does not exist')

    const two = await link(one?.['user_id'], '2')
    const id = two['id'] as string
    await t.rejects(adapter.update(Linked, { id }, { account_id: '1' }), clash, 'a duplicate within one document')
    await t.rejects(
      adapter.update(Linked, { user_id: two['user_id'] as string }, { oauth_name: 'x', account_id: 'x' }),
      clash,
      'one update of two accounts'
    )
    t.equal(
      await adapter.update(Linked, { id }, { account_id: '2', oauth_name: 'google' }),
      1,
      'an update may keep its own value'
    )
    t.equal(await adapter.update(Linked, { user_id: two['user_id'] as string }, {}), 2)
    t.equal(await adapter.update(Linked, { id, account_email: 'other' }, { access_token: 'x' }), 0)
    t.equal(await adapter.update(Linked, { id: 'nothing' }, { access_token: 'x' }), 0)
    t.equal(await adapter.findOne(Linked, { id: 'nothing' }), null)
    for (const nothing of ['nothing', 'f'.repeat(24)]) {
      t.equal(await adapter.findWithUser?.(Linked, { id: nothing }), null)
    }
    t.strictSame(await adapter.findMany(Linked, {}, { limit: 1, order: 'account_id', after: one as Row }), [two])
    const inArrays = [{ user_id: 'f'.repeat(24) }, { expires_at: { increment: 1 } }]
    for (const changes of [{ id: 'x' }, { user_id: 'x' }, ...(store.isComplete ? inArrays : [])]) {
      await t.rejects(adapter.update(Linked, { id }, changes), refused)
    }
    await t.rejects(adapter.update(Person, { id: two['user_id'] as string }, { id: 'f'.repeat(24) }), refused)
    const gone = await Promise.all(Array.from({ length: 10 }, () => adapter.delete(Linked, { id })))
    t.equal(
      gone.reduce((sum, count) => sum + count, 0),
      1
    )
  })
}

/** Returns a user document as Beanie 2 writes it, with numbers of each BSON type. */
const arthur = (): Document => ({
  _id: new ObjectId('6650f1c2a7b3d4e5f6a7b8c9'),
  email: 'King.Arthur@camelot.bt',
  hashed_password: ARGON2,
  is_active: true,
  is_superuser: false,
  is_verified: true,
  credits: Long.fromNumber(2 ** 40),
  ratio: new Int32(3),
  settings: {
    since: new Date(0),
    friend: new ObjectId('6650f1c2a7b3d4e5f6a7b8ca'),
    scores: [new Double(1), Long.fromNumber(2)]
  },
  revision_id: new Binary(Buffer.alloc(16, 7), 4),
  oauth_accounts: [
    {
      id: new ObjectId('6650f1c2a7b3d4e5f6a7b8d0'),
      oauth_name: 'google',
      access_token: 'a',
      account_id: '1',
      account_email: 'a@x.org',
      expires_at: null,
      refresh_token: null,
      theirs: 'kept'
    },
    {
      id: new ObjectId('6650f1c2a7b3d4e5f6a7b8d1'),
      oauth_name: 'github',
      access_token: 'b',
      account_id: '2',
      account_email: 'b@x.org',
      expires_at: new Int32(1_700_000_000),
      refresh_token: 'r'
    }
  ]
})

/** The index that FastAPI Users declares for Beanie. */
const EMAIL_INDEX: IndexDescription = {
  key: { email: 1 },
  name: 'case_insensitive_email_index',
  unique: true,
  collation: { locale: 'en', strength: 2 }
}

async function makeBeanie (db: Db): Promise<void> {
  await db.collection('User').createIndexes([EMAIL_INDEX])
  await db.collection('AccessToken').createIndexes([{ key: { token: 1 }, name: 'token_1', unique: true }])
  await db.collection('User').insertOne(arthur())
  await db.collection('AccessToken').insertOne({
    token: 'theirs',
    user_id: arthur()['_id'] as ObjectId,
    created_at: new Date('2026-11-21T03:52:56.545Z')
  })
}

async function adopt (t: Test, db: Db): Promise<void> {
  await makeBeanie(db)
  const command = await opened(db, beanie, {}).catch((error: Error) => error.message)
  t.match(
    command,
    /db\.getCollection\("User"\)\.createIndex\(\{"oauth_accounts\.oauth_name":1,"oauth_accounts\.account_id":1\}, .*"unique":true.*"partialFilterExpression"/,
    'the message names the one missing index, which is on accounts'
  )
  await opened(db, beanie)
  t.strictSame(
    (await db.collection('AccessToken').indexes()).map(({ name }) => name),
    ['_id_', 'token_1', 'user_id_1', 'created_at_1']
  )
  const adapter = await opened(db, beanie, {})
  const user = await adapter.findOne(Person, { email: 'KING.ARTHUR@camelot.bt' })
  const expected = {
    id: '6650f1c2a7b3d4e5f6a7b8c9',
    email: 'King.Arthur@camelot.bt',
    hashed_password: ARGON2,
    is_active: true,
    credits: 2 ** 40,
    ratio: 3,
    settings: { since: '1970-01-01T00:00:00.000Z', friend: '6650f1c2a7b3d4e5f6a7b8ca', scores: [1, 2] }
  }
  t.strictSame(user, expected)
  t.strictSame(await adapter.findOne(Person, { session_stamp: null }), user)
  t.equal(await adapter.findOne(Person, { session_stamp: 'x' }), null)
  t.equal(
    await adapter.update(Person, { session_stamp: null }, { session_stamp: 'x' }),
    1,
    'a field that the documents lack is not written'
  )
  t.strictSame(await adapter.findWithUser?.(Token, { token: 'theirs' }), {
    row: { token: 'theirs', user_id: expected.id, created_at: new Date('2026-11-21T03:52:56.545Z') },
    user
  })
  await t.rejects(adapter.create(Person, { ...expected, id: undefined, settings: null }), {
    code: 'FST_USERS_UNIQUE_VIOLATION',
    fields: ['email']
  })
  await checkAccounts(t, adapter, expected)

  const {
    _id: id,
    hashed_password: hash,
    revision_id: revision,
    ...rest
  } = (await db.collection('User').find({}).toArray())[0] as Document
  t.strictSame([String(id), hash, (rest['oauth_accounts'] as Document[])[0]?.['theirs']], [expected.id, ARGON2, 'kept'])
  t.equal(await adapter.update(Person, { id: expected.id }, { is_active: false }), 1)
  const [after] = await db.collection('User').find({}).toArray()
  t.strictSame(
    { revision: after?.['revision_id'], settings: after?.['settings'], accounts: after?.['oauth_accounts'] },
    { revision, settings: rest['settings'], accounts: rest['oauth_accounts'] },
    'other fields are unchanged'
  )

  const built = await buildApp(t, {
    adapter: mongodb(db),
    schemas: userSchemas({}, { id: objectIdId() }) as never,
    compatibility: 'fastapi-users'
  })
  await flow(t, built, 'galahad@camelot.bt')
  await built.register({ email: 'percival@camelot.bt' })
  const headers = await built.cookie('percival@camelot.bt')
  t.equal((await built.send('GET', '/users/me', undefined, headers)).statusCode, 200)
  const [percival] = (await db.collection('User').find({}).toArray()).filter(
    ({ email }) => email === 'percival@camelot.bt'
  )
  t.ok(percival?._id instanceof ObjectId)
  const [token] = (await db.collection('AccessToken').find({}).toArray()).filter(({ token }) => token !== 'theirs')
  t.match(token, { token: /^[\w-]{43}$/, user_id: percival?._id, created_at: Date })
}

async function checkAccounts (t: Test, adapter: DatabaseAdapter, user: Row): Promise<void> {
  const [google, github] = await adapter.findMany(Linked, { user_id: user['id'] as string }, { limit: 9 })
  t.strictSame(google, {
    id: '6650f1c2a7b3d4e5f6a7b8d0',
    user_id: user['id'],
    oauth_name: 'google',
    access_token: 'a',
    account_id: '1',
    account_email: 'a@x.org',
    expires_at: null,
    refresh_token: null
  })
  t.equal(
    await adapter.findOne(Linked, { oauth_name: 'google', account_id: '2' }),
    null,
    'both values must be in the same account'
  )
  t.strictSame(await adapter.findWithUser?.(Linked, { oauth_name: 'github', account_id: '2' }), { row: github, user })
  t.equal(
    await adapter.update(
      Linked,
      { oauth_name: 'google', account_id: '1' },
      { access_token: 'c', expires_at: 5, refresh_token: null }
    ),
    1
  )
  t.strictSame(await adapter.findMany(Linked, {}, { limit: 9, order: 'oauth_name' }), [
    github,
    { ...google, access_token: 'c', expires_at: 5 }
  ])
  const added = await adapter.create(Linked, {
    user_id: user['id'],
    oauth_name: 'google',
    access_token: 'd',
    account_id: '9',
    account_email: 'c@x.org'
  })
  t.match(added, { id: /^[0-9a-f]{24}$/, user_id: user['id'], refresh_token: null })
  t.equal(await adapter.delete(Linked, { user_id: user['id'] as string, id: added['id'] as string }), 1)
  t.equal(await adapter.delete(Linked, { id: added['id'] as string }), 0)
}

async function adoptOlder (t: Test, store: MongoStore): Promise<void> {
  const uuid = '05fff8ce-3a06-48f2-9c44-a16751012464'
  const forms: [unknown, 'native' | 'text'][] = [
    [new Binary(Buffer.from(uuid.replaceAll('-', ''), 'hex'), 4), 'native'],
    [uuid, 'text']
  ]
  for (const [id, ids] of forms) {
    const db = freshDbOn(t, store)
    const members = db.collection('members')
    await members.createIndexes([
      { key: { id: 1 }, name: 'id_1', unique: true },
      { key: { email: 1 }, name: 'email_1', unique: true }
    ])
    await members.insertOne({
      _id: new ObjectId(),
      id,
      email: 'Galahad@camelot.bt',
      hashed_password: ARGON2,
      is_active: true,
      oauth_accounts: []
    })
    const collections: MongodbOptions['collections'] = { user: { collection: 'members', fields: { id: 'id' }, ids } }
    const fields = { ...User.fields }
    const Member: Model = {
      name: 'user',
      table: 'user',
      unique: [['email']],
      fields: Object.fromEntries(
        ['id', 'email', 'hashed_password', 'is_active', 'session_stamp'].map((name) => [
          name,
          fields[name] as Model['fields'][string]
        ])
      )
    }
    const adapter = await opened(db, [Member], { collections })
    const user = { id: uuid, email: 'Galahad@camelot.bt', hashed_password: ARGON2, is_active: true }
    t.strictSame(await adapter.findOne(Member, { id: uuid }), user)
    t.strictSame(await adapter.findOne(Member, { email: 'GALAHAD@camelot.bt' }), user)
    await t.rejects(adapter.create(Member, { ...user, email: 'x' }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: ['id']
    })
    await t.rejects(adapter.create(Member, { ...user, id: undefined }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: ['email']
    })
    const made = await adapter.create(Member, { ...user, id: undefined, email: 'b@x.org' })
    const stored = (await members.find({}).toArray()).find(({ email }) => email === 'b@x.org')
    t.ok(stored?._id instanceof ObjectId)
    t.equal(typeof stored?.['id'], ids === 'text' ? 'string' : 'object')
    t.strictSame(await adapter.findOne(Member, { id: made['id'] as string }), made)
    await t.rejects(
      opened(db, [Member], {
        collections: { user: { collection: 'members', fields: { id: 'id' }, ids: ids === 'text' ? 'native' : 'text' } }
      }),
      { ...mismatch, message: /"id" of a stored document is not of type/ },
      'ids of the wrong form'
    )
  }
}

/** Starts a proxy. Returns it, a database behind it, and a function that returns the command bodies of some work. */
async function onProxy (
  t: Test,
  store: MongoStore = mongoeco,
  options?: MongoClientOptions
): Promise<{ proxy: MongoProxy; db: Db; sent: (work: () => unknown) => Promise<Document[]> }> {
  const proxy = await startMongoProxy(t, store)
  const direct = freshDbOn(t, store) // it is dropped also if the proxy is down
  const db = connect(t, proxy.url, options).db(direct.databaseName)
  const sent = async (work: () => unknown): Promise<Document[]> => {
    const before = proxy.commands.length
    await work()
    return proxy.commands.slice(before).map(({ body }) => body)
  }
  return { proxy, db, sent }
}

t.test(
  'DEP-05: mongodb() reads from the primary and writes with majority, each with a time limit, on any client settings',
  async (t) => {
    const { db, sent } = await onProxy(t, mongoeco, {
      readPreference: 'secondaryPreferred',
      writeConcern: { w: 1 },
      readConcern: { level: 'available' }
    })
    const adapter = await opened(db, beanie, { createTables, timeoutMs: 4000 })
    const user = await adapter.create(Person, { email: 'A@x.org', hashed_password: 'hash', is_active: true })
    const id = user['id'] as string
    const commands = await sent(async () => {
      await adapter.findOne(Person, { id })
      await adapter.findMany(Person, {}, { limit: 2 })
      await adapter.update(Person, { id }, { credits: 1 })
      await adapter.update(Person, { id }, { credits: { increment: 1 }, is_active: false })
      await adapter.create(Linked, {
        user_id: id,
        oauth_name: 'google',
        access_token: 't',
        account_id: '1',
        account_email: 'a@x.org'
      })
      await adapter.update(Linked, { oauth_name: 'google', account_id: '1' }, { access_token: 'u' })
      await adapter.findOne(Linked, { oauth_name: 'google', account_id: '1' })
      await adapter.delete(Linked, { oauth_name: 'google', account_id: '1' })
      await createToken(adapter, user, 'token')
      await adapter.delete(Person, { id })
    })
    for (const command of commands) {
      t.equal(command['$readPreference'], undefined, 'the primary is the default')
      t.equal(command['maxTimeMS'], 4000)
      if ('find' in command || 'aggregate' in command) {
        t.match(command, { readConcern: { level: 'local' }, collation: { locale: 'simple' } })
      } else t.match(command, { writeConcern: { w: 'majority', wtimeout: 4000 } })
      for (const { collation } of [
        ...((command['updates'] ?? []) as Document[]),
        ...((command['deletes'] ?? []) as Document[])
      ]) {
        t.strictSame(collation, { locale: 'simple' })
      }
    }
    t.match(commands.map((command) => (command['updates'] as Document[] | undefined)?.[0]).filter(Boolean), [
      { q: { _id: { $eq: new ObjectId(id) } }, u: { $set: { credits: 1 } } },
      { u: [{ $set: { is_active: { $literal: false }, credits: { $add: ['$credits', 1] } } }] },
      {
        q: {
          $and: [
            { _id: {} },
            { oauth_accounts: { $not: { $elemMatch: { id: {} } } } },
            { oauth_accounts: { $not: { $elemMatch: { oauth_name: { $eq: 'google' }, account_id: { $eq: '1' } } } } }
          ]
        },
        u: { $push: { oauth_accounts: { oauth_name: 'google', expires_at: null, refresh_token: null } } }
      },
      {
        u: { $set: { 'oauth_accounts.$[row].access_token': 'u' } },
        arrayFilters: [{ 'row.oauth_name': { $eq: 'google' }, 'row.account_id': { $eq: '1' }, 'row.id': {} }]
      },
      { u: { $pull: { oauth_accounts: { oauth_name: { $eq: 'google' }, account_id: { $eq: '1' }, id: {} } } } }
    ])
    t.match(
      commands.find((command) => 'aggregate' in command),
      {
        pipeline: [
          { $match: { oauth_accounts: { $elemMatch: { oauth_name: { $eq: 'google' }, account_id: { $eq: '1' } } } } },
          { $unwind: '$oauth_accounts' },
          {},
          {}
        ]
      }
    )
  }
)

t.test(
  'mongodb() needs no collation, join, pipeline or array on a server without them, and accounts have a collection',
  ferretdb.options,
  async (t) => {
    const { db, sent, proxy } = await onProxy(t, ferretdb)
    const adapter = await opened(db, beanie)
    const commands = await sent(async () => {
      const user = await adapter.create(Person, { email: 'A@x.org', hashed_password: 'hash', is_active: true, credits: 1 })
      await adapter.update(Person, { email: 'a@X.ORG' }, { credits: { increment: 1 } })
      await adapter.create(Linked, {
        user_id: user['id'],
        oauth_name: 'google',
        access_token: 't',
        account_id: '1',
        account_email: 'a@x.org'
      })
      t.match(await adapter.findWithUser?.(Linked, { oauth_name: 'google', account_id: '1' }), {
        row: { account_email: 'a@x.org' },
        user: { email: 'A@x.org', credits: 2 }
      })
      await createToken(adapter, user, 'token')
      await adapter.delete(Person, { email: 'a@x.org' })
    })
    t.notMatch(JSON.stringify(commands), /collation|aggregate|arrayFilters|\$elemMatch|\$push|\$pull/)
    t.match(
      commands.find((command) => 'update' in command),
      { updates: [{ q: { $and: [{ email_folded: { $eq: 'a@x.org' } }, {}] }, u: { $inc: { credits: 1 } } }] }
    )
    const [first] = proxy.commands
    t.equal(first?.name, 'aggregate', 'the first command asks for the features of the server')
    t.strictSame(
      (await db.collection('oauth_account').indexes()).map(({ key, unique }) => [Object.keys(key).join(), unique]),
      [['_id', undefined], ['oauth_name,account_id', true], ['user_id', undefined]]
    )
  }
)

t.test('accounts in arrays are reported on a server that cannot keep them unique', ferretdb.options, async (t) => {
  const db = freshDbOn(t, ferretdb)
  await opened(db, [Person])
  await db.collection('User').insertOne({ ...arthur(), settings: null, email_folded: 'king.arthur@camelot.bt' })
  const message = /documents of "User" contain "oauth_accounts", [^]* move them to documents of "oauth_account"/
  await t.rejects(opened(db, beanie), { ...mismatch, message })
  t.match((await schemaOf(mongodb(db)).apply(beanie)).problems, [message])
  await db.collection('User').updateMany({}, { $set: { oauth_accounts: [] } })
  await opened(db, beanie)
})

t.test(
  'mongodb() reads a session and its user in one round trip',
  mongoeco.options,
  async (t) => {
    const { db, sent } = await onProxy(t)
    const adapter = await opened(db, [User, AccessToken])
    const user = await createUserRow(adapter, { email: 'King.Arthur@camelot.bt' })
    await createToken(adapter, user, 'token')
    t.match(
      await sent(async () => {
        t.match(await adapter.findWithUser?.(AccessToken, { token: 'token' }), { user })
      }),
      [
        {
          aggregate: 'AccessToken',
          pipeline: [
            { $match: { token: { $eq: 'token' } } },
            {},
            { $lookup: { from: 'User', foreignField: '_id' } },
            {},
            { $limit: 1 },
            {}
          ]
        }
      ]
    )
  }
)

/** Checks that look-ups ignore the case of ASCII letters only. */
async function checkLookUps (t: Test, adapter: DatabaseAdapter, user: Row): Promise<void> {
  t.strictSame(await adapter.findOne(User, { email: 'KING.arthur@camelot.bt', hashed_password: 'hash' }), user)
  t.equal(
    await adapter.findOne(User, { email: 'KING.arthur@camelot.bt', hashed_password: 'HASH' }),
    null,
    'other fields compare byte by byte'
  )
  t.equal(await adapter.findOne(User, { email: 'king.arthur@camelot\u00ad.bt' }), null, 'a soft hyphen is a character')
  t.equal(await adapter.update(User, { email: 'king.arthur@camelot\u00ad.bt' }, { credits: 1 }), 0)
  t.equal(await adapter.findOne(User, { email: '\ud800' }), null)
  t.equal(await adapter.findOne(User, { email: 'nobody@x.org', hashed_password: 'hash' }), null)
  t.strictSame(await adapter.findOne(User, { email: { in: ['nobody@x.org', 'KING.arthur@camelot.bt'] } }), user)
  t.equal(await adapter.update(User, { credits: 77 }, { email: 'x' }), 0)
  t.equal(await adapter.update(User, { email: 'KING.arthur@camelot.bt' }, { email: 'X' }), 1)
  t.match(await adapter.findOne(User, { email: 'x' }), { email: 'X' })
  t.equal(await adapter.findOne(User, { email: 'KING.arthur@camelot.bt' }), null)
}

for (const store of stores) {
  const title = `mongodb() finds an e-mail by its folded copy and a plain unique index on ${store.name}`
  t.test(title, store.options, async (t) => {
    const { db, sent } = await onProxy(t, store)
    const adapter = await opened(db, [User, AccessToken])
    const user = await createUserRow(adapter, { email: 'King.Arthur@camelot.bt' })
    const lookUps = await sent(() => adapter.findOne(User, { email: 'KING.arthur@camelot.bt' }))
    t.match(lookUps, [{ find: 'User', filter: { email_folded: { $eq: 'king.arthur@camelot.bt' } }, limit: 1 }])
    t.equal(lookUps.length, 1)
    await checkLookUps(t, adapter, user)
    t.match(await db.collection('User').findOne({}), { email: 'X', email_folded: 'x' })
    t.notMatch(JSON.stringify(await db.collection('User').indexes()), /strength/)
  })
}

for (const store of completeStores) {
  t.test(`mongodb() finds an e-mail through the collation of Beanie's index on ${store.name}`, store.options, async (t) => {
    const { db, sent } = await onProxy(t, store)
    await db.collection('User').createIndexes([EMAIL_INDEX])
    const adapter = await opened(db, [User])
    const user = await createUserRow(adapter, { email: 'King.Arthur@camelot.bt' })
    const caseless = {
      find: 'User',
      filter: { email: { $eq: 'KING.arthur@camelot.bt' } },
      collation: { locale: 'en', strength: 2 }
    }
    const lookUps = await sent(() => adapter.findOne(User, { email: 'KING.arthur@camelot.bt' }))
    t.match(lookUps, [caseless])
    t.equal(lookUps.length, 1)
    const narrowed = await sent(() => adapter.findOne(User, { email: 'KING.arthur@camelot.bt', hashed_password: 'hash' }))
    t.match(narrowed, [
      caseless,
      {
        filter: { $and: [{ hashed_password: { $eq: 'hash' } }, { email: { $in: ['King.Arthur@camelot.bt'] } }] },
        collation: { locale: 'simple' }
      }
    ])
    await checkLookUps(t, adapter, user)
  })
}

for (const store of stores) {
  const title = `INP-04: no value or field name from a caller becomes a MongoDB operator, on ${store.name}`
  t.test(title, store.options, async (t) => {
    const { db, sent } = await onProxy(t, store)
    const adapter = await opened(db, beanie)
    for (const hostile of [
      { $gt: '' },
      { $ne: null },
      { $in: ['a'] },
      ['a'],
      { _bsontype: 'Code' },
      new ObjectId(),
      Symbol('a'),
      1n
    ]) {
      for (const where of [
        { email: hostile },
        { id: hostile },
        { hashed_password: { lt: hostile } },
        { hashed_password: { in: [hostile] } }
      ]) {
        await t.rejects(async () => await adapter.findOne(Person, where as never), refused)
        await t.rejects(adapter.delete(Person, where as never), refused)
      }
      t.strictSame(
        await sent(() =>
          t.rejects(adapter.create(Person, { email: hostile, hashed_password: 'h', is_active: true }), refused)
        ),
        []
      )
      await t.rejects(adapter.update(Person, {}, { email: hostile as never }), refused)
    }
    for (const name of ['$where', 'a.b', 'a\0', '']) {
      const model: Model = { name: 'm', table: 'm', fields: { id: { type: 'text' }, [name]: { type: 'text' } } }
      t.throws(
        () => {
          mongodb(db).define(model)
        },
        refused,
        name
      )
      await t.rejects(opened(db, [Person], { collections: { user: { fields: { email: name } } } }), refused)
      await t.rejects(opened(db, beanie, { collections: { oauth_account: { collection: name } } }), refused)
    }
    const strange = { $gt: 1, 'a.b': { __proto__: null, $ref: 'x', $id: 1 }, text: 'a\ud800' }
    const deep = JSON.parse(`${'['.repeat(200)}${']'.repeat(200)}`) as object
    const own = JSON.parse('{"__proto__":{"a":1},"_bsontype":"Code","\\u0000":1}') as object
    for (const settings of [strange, deep, own]) {
      const { id } = await adapter.create(Person, {
        email: `${Math.random()}@x.org`,
        hashed_password: 'h',
        is_active: true,
        settings
      })
      t.equal(
        JSON.stringify((await adapter.findOne(Person, { id: id as string }))?.['settings']),
        JSON.stringify(settings)
      )
    }
  })
}

t.test('mongodb() refuses wrong options and models', mongoeco.options, async (t) => {
  const db = freshDbOn(t, mongoeco)
  for (const wrong of [null, undefined, '', mongoeco.url, {}, db.client]) {
    t.throws(() => mongodb(wrong as unknown as MongoDb), refused)
  }
  for (const wrong of [
    { createTables: 1 },
    { timeoutMs: 0 },
    { timeoutMs: 1.5 },
    { timeoutMs: '1' },
    { timeoutMs: 2 ** 31 }
  ]) {
    t.throws(() => mongodb(db, wrong as unknown as MongodbOptions), refused)
  }
  t.throws(() => mongodb(db, { tables: {} } as MongodbOptions), { code: 'FST_USERS_UNKNOWN_OPTION' })
  for (const collections of [{ people: {} }, { user: { table: 'a' } }, { user: { fields: { nobody: 'a' } } }]) {
    await t.rejects(opened(db, [Person], { collections: collections as never }), { code: 'FST_USERS_UNKNOWN_OPTION' })
  }
  await t.rejects(opened(db, [Person], { collections: { user: { ids: 'uuid' as 'text' } } }), refused)
  await t.rejects(
    opened(db, [{ ...Person, fields: { ...Person.fields, id: { type: 'id', id: integerId() } } }], {
      collections: { user: { ids: 'text' } }
    }),
    refused
  )
  await t.rejects(
    opened(db, [Person], { collections: { user: { fields: { email: 'hashed_password' } } } }),
    refused,
    'two fields with one name'
  )
  await t.rejects(opened(db, [Linked]), refused, 'accounts without a user model')
  await t.rejects(opened(db, [Token]), refused, 'a reference to an unknown model')
  await t.rejects(
    opened(db, [
      Person,
      { ...Linked, fields: { ...Linked.fields, account_email: { type: 'text', ignoreCase: true } } }
    ]),
    refused
  )
  const { user_id: reference, ...fields } = Linked.fields
  await t.rejects(opened(db, [Person, { ...Linked, fields }]), refused, `without ${String(reference?.references)}`)
  await t.rejects(
    loadBsonTypes(() => Promise.reject(new Error('not found'))),
    { ...refused, message: /npm install mongodb/ }
  )
  const older = {
    databaseName: 'a',
    client: { connect: async () => {} },
    collection: () => {
      throw Object.assign(new Error('bson'), { name: 'BSONVersionError' })
    }
  }
  await t.rejects(opened(older as unknown as Db), { ...refused, message: /another major version/ })
  const adapter = await opened(db, [Person])
  await adapter.close?.()
  await t.rejects(async () => await adapter.findOne(Person, {}), { code: 'FST_USERS_NOT_READY' })
})

t.test(
  'MongoDB: a missing index is named in the error, and an index that cannot be created is reported',
  mongoeco.options,
  async (t) => {
    const { db, proxy, sent } = await onProxy(t)
    const commands = await sent(() =>
      t.rejects(opened(db, beanie, {}), {
        ...mismatch,
        message:
          /"User".*createTables: true[^]*createIndex\(\{"email_folded":1\}, \{"name":"email_folded_1","unique":true,"sparse":true\}\)/
      })
    )
    t.notOk(commands.some((command) => 'createIndexes' in command))
    for (const email of ['a@x.org', 'A@x.org']) await db.collection('User').insertOne({ email })
    await t.rejects(opened(db, beanie), { ...mismatch, message: /E11000/ })
    await db.collection('AccessToken').createIndexes([{ key: { token: 1 }, name: 'token_1' }])
    await t.rejects(
      opened(db, [
        { ...Person, table: 'x', name: 'x', unique: [] },
        { ...Token, fields: { ...Token.fields, user_id: { type: 'text' } } }
      ]),
      { ...mismatch, message: /the server refused to create an index/ }
    )
    proxy.onCommand(({ name }) => (name === 'createIndexes' ? { ok: 0, code: 13, errmsg: 'not authorized' } : undefined))
    await t.rejects(opened(db, [{ ...Person, name: 'x', table: 'x' }]), {
      code: 'FST_USERS_INVALID_OPTION',
      message: /not authorized/
    })
    proxy.onCommand(({ name }) => (name === 'listIndexes' ? { ok: 0, code: 13, errmsg: 'not authorized' } : undefined))
    await t.rejects(opened(db, [Person]), { code: 'FST_USERS_INVALID_OPTION', message: /not authorized/ })
    proxy.onCommand(() => undefined)
    const cases: [Partial<IndexDescription>, boolean][] = [
      [{ unique: true }, true],
      [{ unique: true, partialFilterExpression: { nickname: { $exists: true } } }, true],
      [{ unique: true, partialFilterExpression: { is_active: { $eq: true } } }, false],
      [{}, false]
    ]
    for (const [position, [index, good]] of cases.entries()) {
      const table = `nick${position}`
      const Nick: Model = {
        name: table,
        table,
        fields: { id: { type: 'text' }, nickname: { type: 'text', nullable: true } },
        unique: [['nickname']]
      }
      await db.collection(table).createIndexes([{ key: { nickname: 1 }, name: 'a', ...index }])
      await (good ? t.resolves(opened(db, [Nick], {})) : t.rejects(opened(db, [Nick], {}), mismatch))
    }
  }
)

t.test(
  'MongoDB: the server is asked for its features, and an error of another kind stops the start',
  mongoeco.options,
  async (t) => {
    const { db, proxy } = await onProxy(t)
    const cases: [number, { code: number | string }][] = [
      [5, { code: 5 }],
      [18, { code: 18 }],
      [11_600, { code: 'FST_USERS_STORE_UNAVAILABLE' }]
    ]
    for (const [code, expected] of cases) {
      proxy.onCommand(({ name }) => (name === 'aggregate' ? { ok: 0, code, errmsg: 'refused' } : undefined))
      await t.rejects(opened(db, [Person]), expected, String(code))
    }
    t.notOk(proxy.commands.some(({ name }) => name === 'createIndexes'))
    proxy.onCommand(({ name }) => (name === 'aggregate' ? { ok: 0, code: 13, errmsg: 'not authorized' } : undefined))
    await opened(db, [Person])
    t.match(await db.collection('User').indexes(), [{}, { sparse: true }], 'a user without that right is on MongoDB')
  }
)

t.test('MongoDB: the error for a document that cannot be read names the field', mongoeco.options, async (t) => {
  const db = freshDbOn(t, mongoeco)
  const users = db.collection('User')
  const replace = async (changed: Document): Promise<void> => {
    await users.deleteMany({})
    await users.insertOne(changed)
  }
  const adapter = await opened(db, [User])
  const { id } = await createUserRow(adapter)
  const [document = {}] = (await users.find({}).toArray()) as Document[]
  const wrong: Document = {
    _id: new Binary(Buffer.alloc(3), 4),
    email: 5,
    is_active: 'yes',
    credits: 1.5,
    ratio: '1',
    seen_at: 'now',
    hashed_password: undefined,
    nickname: ['a']
  }
  for (const [field, value] of Object.entries(wrong)) {
    const { [field]: _, ...rest } = document
    await replace(value === undefined ? rest : { ...document, [field]: value as unknown })
    await t.rejects(
      async () => await adapter.findOne(User, {}),
      { ...mismatch, message: new RegExp(`"${field}" of a stored document`) },
      field
    )
  }
  await replace({ ...document, credits: Long.fromString('9007199254740993') })
  await t.rejects(async () => await adapter.findOne(User, {}), mismatch)
  await replace({ _id: new ObjectId(), email: 'a@x.org' })
  await t.rejects(opened(db, [User], {}), {
    ...mismatch,
    message: /"_id" of a stored document is not of type binData; choose the matching id kind/
  })
  await replace(document)
  await t.rejects(opened(db, [Person], {}), {
    ...mismatch,
    message: /"_id" of a stored document is not of type objectId/
  })
  await t.rejects(
    adapter.create(User, { id: String(id).toUpperCase(), email: 'x', hashed_password: 'h', is_active: true }),
    refused
  )
})

t.test('MongoDB: integer ids continue after the highest existing id', mongoeco.options, async (t) => {
  const { db, proxy } = await onProxy(t)
  const [owner] = models.filter(({ name }) => name === 'person_integer') as [Model]
  const adapter = await opened(db, [owner])
  const make = async (): Promise<unknown> => (await adapter.create(owner, { email: 'a@x.org' }))['id']
  for (const id of [1, 2, 41]) await adapter.create(owner, { id, email: 'a@x.org' })
  t.equal(await make(), 42)
  const counted = {
    ...Linked,
    unique: [],
    fields: { ...Linked.fields, id: { type: 'id', id: integerId() } }
  } as const satisfies Model
  const accounts = await opened(db, [Person, counted])
  const { id: holder } = await accounts.create(Person, { email: 'a@x.org', hashed_password: 'hash', is_active: true })
  for (const id of [1, 2]) {
    t.hasStrict(
      await accounts.create(counted, {
        user_id: holder,
        oauth_name: 'google',
        access_token: 't',
        account_id: '1',
        account_email: 'a@x.org'
      }),
      { id }
    )
  }
  t.equal(await accounts.update(counted, {}, { account_id: '2' }), 2)
  await accounts.delete(counted, {})
  const linkOf = ({ id }: Row, account_id: string): [Model, Row] => [
    counted,
    { user_id: id, oauth_name: 'google', access_token: 't', account_id, account_email: 'a@x.org' }
  ]
  const withLinks = await accounts.createAll?.([
    [Person, { email: 'c@x.org', hashed_password: 'hash', is_active: true }],
    linkOf({ id: idOf(0) }, '3'),
    linkOf({ id: holder }, '4')
  ])
  t.match(
    withLinks,
    [{ email: 'c@x.org' }, { id: 3, user_id: withLinks?.[0]?.['id'] }, { id: 4, user_id: holder }],
    'one account inside of the new user, one inside of another user'
  )
  t.match(
    await accounts.createAll?.([linkOf({ id: holder }, '5'), linkOf({ id: holder }, '6')]),
    [{ id: 5 }, { id: 6 }],
    'two accounts of an existing user'
  )
  t.equal((await accounts.findMany(counted, {}, { limit: 9 })).length, 4)
  await accounts.delete(counted, {})
  for (const account_id of ['1', '1']) await accounts.create(...linkOf({ id: holder }, account_id))
  let clashes = 1
  proxy.onCommand(({ name }) =>
    name === 'findAndModify' && clashes-- > 0 ? { ok: 0, code: 11000, errmsg: 'made by another process' } : undefined
  )
  t.equal(await make(), 43)
  proxy.onCommand(({ name }) => (name === 'findAndModify' ? { ok: 0, code: 13, errmsg: 'not authorized' } : undefined))
  await t.rejects(make(), { code: 13 })
  proxy.onCommand(({ name }) =>
    name === 'insert'
      ? { ok: 1, n: 0, writeErrors: [{ index: 0, code: 11000, keyPattern: { _id: 1 }, errmsg: 'E11000' }] }
      : undefined
  )
  await t.rejects(make(), { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['id'] })
  proxy.onCommand(({ name }) =>
    name === 'insert' ? { ok: 1, n: 0, writeErrors: [{ index: 0, code: 11000, errmsg: 'E11000' }] } : undefined
  )
  const users = await opened(freshDb(t, db.client), [User])
  await t.rejects(
    createUserRow(users),
    { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['email'] },
    'a server that does not name the duplicate key'
  )
  proxy.onCommand(({ name }) =>
    name === 'insert'
      ? { ok: 1, n: 0, writeErrors: [{ index: 0, code: 11000, keyPattern: { badge: 1 }, errmsg: 'E11000' }] }
      : undefined
  )
  await t.rejects(
    createUserRow(users),
    { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['badge'] },
    'a unique index of the application'
  )
})

for (const store of stores) {
  const title = `DEP-01, DEP-02: requests reply 503 in time, never 401 or anonymous, while ${store.name} fails, and then succeed again`
  t.test(title, store.options, async (t) => {
    const { proxy, db } = await onProxy(t, store, { heartbeatFrequencyMS: 500 })
    const built = await buildApp(t, { adapter: mongodb(db, { createTables, timeoutMs: 1500 }) }, (app) => {
      addRoutes(app)
      app.get('/optional', { preHandler: authenticate({ optional: true }) }, async ({ user }) =>
        user === null ? 'anonymous' : 'known'
      )
    })
    await built.register()
    const sessions = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)]
    const replies = async (): Promise<number[]> => {
      const all = await Promise.all([
        ...sessions.flatMap((headers) =>
          ['/users/me', '/optional'].map((url) => built.send('GET', url, undefined, headers))
        ),
        built.login('cookie', ARTHUR),
        built.send('POST', '/auth/register', { email: 'b@x.org', password: PASSWORD })
      ])
      for (const { statusCode, headers } of all) if (statusCode === 503) t.equal(headers['retry-after'], '1')
      return all.map(({ statusCode }) => statusCode)
    }
    const recovered = async (): Promise<void> => {
      let statuses = [503]
      for (let tries = 0; tries < 50 && statuses.includes(503); tries++) {
        statuses = await Promise.all(
          sessions.map(async (headers) => (await built.send('GET', '/users/me', undefined, headers)).statusCode)
        )
      }
      t.strictSame(statuses, [200, 200])
    }
    const faults: [string, ProxyFault][] = [
      ['a response that is cut off', 'cut'],
      ['silence', 'silence'],
      ['no longer primary', { ok: 0, code: 10107, codeName: 'NotWritablePrimary', errmsg: 'not primary' }],
      ['shutdown', { ok: 0, code: 11600, codeName: 'InterruptedAtShutdown', errmsg: 'interrupted at shutdown' }],
      ['an exceeded time limit', { ok: 0, code: 50, codeName: 'MaxTimeMSExpired', errmsg: 'operation exceeded time limit' }]
    ]
    for (const [name, fault] of faults) {
      proxy.onCommand(() => fault)
      t.strictSame(await replies(), [503, 503, 503, 503, 503, 503], name)
      proxy.onCommand(() => undefined)
      await recovered()
    }
    proxy.onCommand(() => ({ ok: 0, code: 13, codeName: 'Unauthorized', errmsg: 'not authorized' }))
    t.strictSame(
      await replies(),
      [500, 500, 500, 500, 500, 500],
      'a permanent refusal of the server is not reported as temporary'
    )
    proxy.onCommand(() => undefined)
    await recovered()
    await proxy.stop()
    t.strictSame(await replies(), [503, 503, 503, 503, 503, 503], 'the server is down')
    await proxy.start()
    await recovered()
    t.equal((await db.collection('User').find({}).toArray()).length, 1, 'no user was created by the failed requests')
    proxy.onCommand(({ name }) =>
      name === 'insert'
        ? { ok: 1, n: 1, writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' } }
        : undefined
    )
    t.equal(
      (await built.send('POST', '/auth/register', { email: 'c@x.org', password: PASSWORD })).statusCode,
      503,
      'no majority confirmed the write'
    )
    await built.app.close()
    proxy.onCommand(() => undefined)
    t.ok(await db.collection('User').find({}).toArray(), 'the client stays open after the application has closed')
  })
}

t.test('DEP-01: an application that starts before its MongoDB works as soon as MongoDB runs', mongoeco.options, async (t) => {
  const { proxy, db } = await onProxy(t, mongoeco, { serverSelectionTimeoutMS: 1500 })
  await proxy.stop()
  const { app, register } = await buildApp(t, { adapter: mongodb(db, { createTables, timeoutMs: 10_000 }) })
  for (const email of ['a@x.org', 'b@x.org']) {
    await t.rejects(app.users.getByEmail(email), {
      code: 'FST_USERS_STORE_UNAVAILABLE',
      cause: { message: /ECONNREFUSED/ }
    })
  }
  await proxy.start()
  t.match(await register(), { email: ARTHUR })
})

t.test('mongodb() retries reads and writes when the primary changes', mongoeco.options, async (t) => {
  const { proxy, db } = await onProxy(t, mongoeco, { heartbeatFrequencyMS: 500 })
  const adapter = await opened(db, [User, AccessToken])
  const user = await createUserRow(adapter)
  await createToken(adapter, user, 'token')
  for (const work of [
    () => createToken(adapter, user, 'other'),
    () => adapter.update(User, { id: user['id'] as string }, { credits: 1 }),
    () => adapter.delete(AccessToken, { token: 'token' }),
    () => adapter.findOne(User, {})
  ]) {
    let left = 1
    proxy.onCommand(() =>
      left-- > 0
        ? {
            ok: 0,
            code: 10107,
            codeName: 'NotWritablePrimary',
            errmsg: 'not primary',
            errorLabels: ['RetryableWriteError']
          }
        : undefined
    )
    await t.resolves(Promise.resolve(work()))
  }
})

t.test(
  'mongodb() refuses to start on a collection whose validator refuses every user, and accepts other validators',
  mongoeco.options,
  async (t) => {
    const client = connect(t, mongoeco.url)
    const required = (...names: string[]): object => ({ $jsonSchema: { required: names } })
    const typed = (name: string, bsonType: unknown): object => ({
      $jsonSchema: { properties: { [name]: { bsonType } } }
    })
    const known = Object.fromEntries(
      ['_id', 'email', 'hashed_password', 'is_active', 'is_superuser', 'is_verified', 'session_stamp'].map((name) => [
        name,
        {}
      ])
    )
    const refusing: [string, object, RegExp][] = [
      ['a required field that the adapter does not write', required(
        'email',
        'tenant_id'
      ), /its validator requires "tenant_id"/],
      ['the same rule as a query', { $and: [{ tenant_id: { $exists: true } }] }, /its validator requires "tenant_id"/],
      [
        'ids of another type',
        typed('_id', 'objectId'),
        /its validator requires "_id" to be objectId, but the adapter writes binData; choose the matching id kind/
      ],
      ['flags of another type', typed('is_active', ['int', 'string']), /requires "is_active" to be int or string/],
      ['a type in a query', { hashed_password: { $type: 'binData' } }, /requires "hashed_password" to be binData/],
      [
        'a field that the validator does not allow',
        { $jsonSchema: { additionalProperties: false, properties: { ...known, session_stamp: undefined, other: {} } } },
        /does not allow the field "session_stamp"/
      ]
    ]
    for (const [what, validator, message] of refusing) {
      const db = freshDb(t, client)
      await db.createCollection('User', { validator: JSON.parse(JSON.stringify(validator)) as Document })
      await t.rejects(buildApp(t, { adapter: mongodb(db, { createTables }) }), { ...mismatch, message }, what)
      const { problems } = await schemaOf(mongodb(db)).plan([userModel(userSchemas())])
      t.ok(
        problems.some((problem) => message.test(problem)),
        `${what}: the doctor command reports it`
      )
    }
    const allowing: [object, object][] = [
      [{ $jsonSchema: { additionalProperties: false, required: ['_id', 'email'], properties: known } }, {}],
      [
        { $jsonSchema: { properties: { email: { bsonType: 'string', maxLength: 90 }, is_active: { bsonType: 'bool' } } } },
        {}
      ],
      [required('tenant_id'), { validationAction: 'warn' }],
      [required('tenant_id'), { validationLevel: 'off' }]
    ]
    for (const [validator, options] of allowing) {
      const db = freshDb(t, client)
      await db.createCollection('User', { validator, ...options })
      const { register } = await buildApp(t, { adapter: mongodb(db, { createTables }) })
      await t.resolves(register(), JSON.stringify([validator, options]))
    }
    const { db, proxy } = await onProxy(t)
    const unknown = {
      $jsonSchema: { properties: { is_active: { type: 'boolean' }, _id: { bsonType: 2 } } },
      $expr: { $gt: ['$a', 1] }
    }
    proxy.onCommand(({ name, body }) =>
      name === 'listCollections'
        ? {
            cursor: {
              id: Long.ZERO,
              ns: `${db.databaseName}.$cmd.listCollections`,
              firstBatch: [{ ...(body['filter'] as Document), type: 'collection', options: { validator: unknown } }]
            },
            ok: 1
          }
        : undefined
    )
    const { register } = await buildApp(t, { adapter: mongodb(db, { createTables }) })
    await t.resolves(register(), 'the server checks rules that the adapter does not know')
  }
)

t.test('mongodb() stores new optional fields in a collection of its own, unless a validator refuses them', mongoeco.options, async (t) => {
  const client = connect(t, mongoeco.url)
  const fields = { ...Person.fields, last_login: { type: 'time', nullable: true, optional: true } } as const
  const later: Model = { ...Person, fields }
  const former = Object.keys(Person.fields).map((name) => [name === 'id' ? '_id' : name, {}])
  const closed = { $jsonSchema: { additionalProperties: false, properties: Object.fromEntries(former) as Document } }
  const time = new Date('2030-01-02T03:04:05.678Z')
  const cases: [string, object, object, unknown][] = [
    ['a document of an earlier version', { session_stamp: null }, {}, time],
    ['a document of another program', {}, {}, undefined],
    ['a validator that knows the former fields only', { session_stamp: null }, { validator: closed }, undefined]
  ]
  for (const [title, given, options, expected] of cases) {
    const db = freshDb(t, client)
    await db.createCollection('User', options)
    const user = { email: 'a@x.org', hashed_password: 'hash', is_active: true, credits: 1, ratio: 1, settings: {} }
    await db.collection('User').insertOne({ ...user, ...given })
    const adapter = await opened(db, [later])
    t.equal(await adapter.update(later, { email: 'a@x.org' }, { last_login: time }), 1, title)
    t.same((await adapter.findOne(later, { email: 'a@x.org' }))?.['last_login'], expected, title)
    t.same((await db.collection('User').findOne({ email: { $eq: 'a@x.org' } }))?.['last_login'], expected, title)
  }
})

t.test('a document that a validator refuses is a 500 with a logged cause, never a 503', mongoeco.options, async (t) => {
  const { proxy, db } = await onProxy(t)
  const lines: string[] = []
  const logger = {
    level: 'error',
    stream: {
      write: (line: string) => {
        lines.push(line)
      }
    }
  }
  const { send } = await buildApp(
    t,
    { adapter: mongodb(db, { createTables }) },
    addRoutes,
    { logger }
  )
  proxy.onCommand(({ name }) =>
    name === 'insert'
      ? { n: 0, ok: 1, writeErrors: [{ index: 0, code: 121, errmsg: 'Document failed validation' }] }
      : undefined
  )
  const reply = await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
  t.strictSame(
    [reply.statusCode, reply.json<{ code: string }>().code, reply.headers['retry-after']],
    [500, 'FST_USERS_INTERNAL_ERROR', undefined]
  )
  for (const text of ['FST_USERS_TABLE_MISMATCH', 'Document failed validation']) t.match(lines.at(-1), text)
  proxy.onCommand(() => undefined)
  t.equal((await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })).statusCode, 201)
})
