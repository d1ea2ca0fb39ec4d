import t, { type Test } from 'tap'
import { mergeModels } from '../lib/adapters/shared/merge-models.js'
import {
  Type,
  userSchemas,
  type DatabaseAdapter,
  type Feature,
  type FeatureKit,
  type ModelExtension,
  type UserId
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { userModel } from '../lib/users/index.js'
import { ARTHUR, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { modelsWith, schemaOf } from './helpers/migrate-store.js'

const userColumns: ModelExtension = {
  extends: 'user',
  fields: {
    phone: { type: 'text', maxLength: 40, nullable: true },
    failed_logins: { type: 'integer', default: 0 },
    preferences: { type: 'json', nullable: true },
    locked_until: { type: 'time', nullable: true }
  },
  unique: [['phone']],
  index: [['locked_until']]
}
const tokenColumns: ModelExtension = {
  extends: 'accesstoken',
  fields: { device: { type: 'text', maxLength: 80, nullable: true } }
}

/** A feature that adds columns to users and tokens. `receive` gets its kit. */
function phones (receive: (kit: FeatureKit) => void = () => {}): Feature {
  return {
    name: 'phones',
    models: () => [userColumns, tokenColumns],
    setup (kit) {
      receive(kit)
      return {}
    }
  }
}

/** Starts an application with the feature. Returns it with the kit of the feature. */
async function startWithPhones (t: Test, adapter: DatabaseAdapter): Promise<TestApp & { kit: FeatureKit }> {
  let kit: FeatureKit | undefined
  const app = await buildApp(t, { adapter, features: [phones((given) => (kit = given))] })
  if (kit === undefined) throw new Error('the feature was not started')
  return { ...app, kit }
}

/** Checks that a feature reads and writes its columns, and that nobody else sees them. */
async function checkColumns (
  t: Test,
  { app, kit, send, cookie, register }: TestApp & { kit: FeatureKit }
): Promise<void> {
  const { store, model } = kit
  const [user, token] = [model('user'), model('accesstoken')]
  const existing = await store.findOne(user, { email: ARTHUR })
  const untouched = { phone: null, failed_logins: 0, preferences: null, locked_until: null }
  t.match(existing, untouched, 'a user who is older than the columns')
  const fresh = await register({ email: 'merlin@camelot.bt' })
  t.match(await store.findOne(user, { email: 'merlin@camelot.bt' }), untouched, 'a new user')

  const id = existing?.['id'] as string
  const until = new Date('2030-01-02T03:04:05.678Z')
  const changes = { phone: '+1', failed_logins: { increment: 1 }, preferences: { sms: true }, locked_until: until }
  t.equal(await store.update(user, { id, failed_logins: 0 }, changes), 1)
  t.equal(await store.update(user, { id, failed_logins: 0 }, changes), 0)
  const changed = { phone: '+1', failed_logins: 1, preferences: { sms: true }, locked_until: until }
  t.match(await store.findOne(user, { phone: '+1' }), { id, ...changed })
  t.match(await kit.rows.getRow(id as UserId), changed)
  await t.rejects(async () => await store.update(user, { id: fresh.id }, { phone: '+1' }), {
    code: 'FST_USERS_UNIQUE_VIOLATION',
    fields: ['phone']
  })

  const headers = await cookie(ARTHUR)
  t.equal(await store.update(token, { device: null }, { device: 'laptop' }), 2, 'an older session and a new one')
  const names = Object.keys(userColumns.fields)
  const guarded = await send('GET', '/guarded', undefined, headers)
  const own = await send('GET', '/users/me', undefined, headers)
  const patched = await send('PATCH', '/users/me', { phone: '+2', failed_logins: 9 }, headers)
  t.same([guarded.statusCode, own.statusCode, patched.statusCode], [200, 200, 200])
  for (const reply of [guarded, own, patched]) for (const name of names) t.notMatch(reply.body, name)
  const shown = Object.keys((await app.users.get(fresh.id)) ?? {})
  for (const name of names) t.notOk(shown.includes(name), name)
  t.match(await store.findOne(user, { id }), changed, 'a request body does not change the columns')
}

for (const { name, options, open } of everyStore) {
  t.test(`${name}: a feature adds columns to existing users and tokens`, options, async (t) => {
    const connect = await open(t)
    const before = await buildApp(t, { adapter: connect() })
    await before.register()
    const session = await before.cookie(ARTHUR)
    if (name === 'memory') return // its rows are never older than the process

    const schema = schemaOf(connect())
    const models = modelsWith([phones()])
    const isTable = name.endsWith('SQL') || name === 'SQLite' // a column must exist before it is read
    const refused = { code: 'FST_USERS_TABLE_MISMATCH', message: /migrate/ }
    if (isTable) await t.rejects(startWithPhones(t, connect()), refused)
    const plan = await schema?.plan(models)
    t.equal(plan?.steps.some(({ text }) => text.includes('add the column "failed_logins"')), isTable)
    t.same(plan?.problems, [])
    await schema?.apply(models)
    await schema?.apply(models)
    t.same((await schema?.plan(models))?.steps, [])

    const after = await startWithPhones(t, connect())
    t.equal((await after.send('GET', '/users/me', undefined, session)).statusCode, 200, 'the session stays valid')
    await checkColumns(t, after)
    t.equal((await before.login('cookie', ARTHUR)).statusCode, 204, 'an application without the feature still works')
    await before.register({ email: 'lancelot@camelot.bt' })
    const { store, model } = after.kit
    const lancelot = { email: 'lancelot@camelot.bt', phone: null, failed_logins: 0 }
    const few = { email: 'lancelot@camelot.bt', failed_logins: { gte: 0, lt: 5 } }
    t.match(await store.findMany(model('user'), few, { limit: 9 }), [lancelot], 'a user of the former application')
    t.same(await store.findMany(model('user'), { ...few, failed_logins: { in: [1, 2] } }, { limit: 9 }), [])
    t.equal(await store.update(model('user'), few, { failed_logins: { increment: 2 } }), 1)
    t.match(await store.findMany(model('user'), few, { limit: 9 }), [{ failed_logins: 2 }])
  })

  t.test(`${name}: a feature adds columns to new tables of users and tokens`, options, async (t) => {
    const app = await startWithPhones(t, (await open(t))())
    await app.register()
    await app.cookie(ARTHUR)
    await checkColumns(t, app)
  })
}

t.test('equal extensions of two features are merged, and tenants have their own columns', async (t) => {
  const features = [phones(), { ...phones(), name: 'other' }]
  await buildApp(t, { features })
  t.same(Object.keys(mergeModels([userModel(userSchemas()), userColumns, userColumns])[0]?.fields ?? {}).slice(-4), [
    'phone',
    'failed_logins',
    'preferences',
    'locked_until'
  ])
  const adapter = memory()
  await buildApp(t, { adapter, features: [phones()], name: 'knights' })
  await buildApp(t, { adapter, name: 'merchants' })
})

t.test('a feature that adds columns to tokens works without stored tokens', async (t) => {
  const { cookie, register } = await buildApp(t, { features: [phones()] })
  await register()
  await cookie(ARTHUR)
  t.same(modelsWith([phones()], []).map(({ name }) => name), ['user'])
})

t.test('invalid extensions refuse to start', async (t) => {
  const cases: [string, unknown][] = [
    ['a column of the user', { extends: 'user', fields: { email: { type: 'text', nullable: true } } }],
    ['the password hash', { extends: 'user', fields: { hashed_password: { type: 'text', nullable: true } } }],
    ['a custom field', { extends: 'user', fields: { nickname: { type: 'text', nullable: true } } }],
    ['a column of the token', { extends: 'accesstoken', fields: { user_id: { type: 'text', nullable: true } } }],
    ['a required column', { extends: 'user', fields: { phone: { type: 'text' } } }],
    ['an optional column that cannot be null', { extends: 'user', fields: { phone: { type: 'text', optional: true } } }],
    ['another definition', { extends: 'user', fields: { failed_logins: { type: 'number', default: 0 } } }],
    ['an unknown model', { extends: 'note', fields: { phone: { type: 'text', nullable: true } } }],
    ['a property of every object', { extends: 'toString', fields: {} }],
    ['an index on another column', { extends: 'user', fields: {}, index: [['email']] }],
    ['a unique index on an unknown column', { extends: 'user', fields: {}, unique: [['shoe_size']] }]
  ]
  const schemas = userSchemas({ nickname: Type.Optional(Type.String()) })
  for (const [title, extension] of cases) {
    const feature = { name: 'other', models: () => [extension as ModelExtension], setup: () => ({}) }
    const started = buildApp(t, { features: [phones(), feature], schemas })
    await t.rejects(started, { code: 'FST_USERS_INVALID_OPTION' }, title)
  }
  const { kit } = await startWithPhones(t, memory())
  t.throws(() => kit.model('note'), { code: 'FST_USERS_INVALID_OPTION' })
})

t.test('a reply never contains a column that a feature adds', async (t) => {
  const { kit, send, register, login } = await startWithPhones(t, memory())
  await register({ phone: '+3' })
  await kit.store.update(kit.model('user'), { email: ARTHUR }, { phone: '+4' })
  const reply = await login('jwt', ARTHUR, PASSWORD)
  const { access_token: token } = reply.json<{ access_token: string }>()
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  for (const text of [reply.body, payload, (await send('GET', '/users/me')).body]) t.notMatch(text, /phone|\+4/)
})
