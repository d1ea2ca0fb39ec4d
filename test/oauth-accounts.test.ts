import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import swagger from '@fastify/swagger'
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import { Kysely, MysqlDialect, PostgresDialect } from 'kysely'
import Libsql from 'libsql'
import t, { type Test } from 'tap'
import { oauthAccountRoutes } from '../lib/features/oauth/account-routes.js'
import type {
  AccountSettings,
  Identity,
  OauthAccounts,
  Provider,
  ProviderClient,
  ProviderTokens
} from '../lib/features/oauth/contracts.js'
import users, {
  argon2Passwords,
  FST_USERS_UNIQUE_VIOLATION,
  integerId,
  isUsersError,
  objectIdId,
  readOnly,
  refuse,
  Type,
  userSchemas,
  usersOpenapi,
  uuidId,
  type DatabaseAdapter,
  type IdKind,
  type PasswordHelper,
  type Row,
  type User,
  type UserId,
  type UserRow,
  type UsersOptions
} from '../lib/index.js'
import { kysely } from '../lib/entries/kysely.js'
import { memory } from '../lib/entries/memory.js'
import { mongodb } from '../lib/entries/mongodb.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { FST_USERS_PASSWORD_QUEUE_FULL } from '../lib/errors.js'
import { withSlowReads } from '../lib/testing/index.js'
import { watchedAdapter, type WatchedAdapter } from './fixtures/watched-adapter.js'
import { accountsFeature } from './helpers/accounts-feature.js'
import { validateDocument, type ApiDocument } from './helpers/api-document.js'
import {
  addRoutes,
  ARTHUR,
  backends,
  buildApp,
  countedPasswords,
  fastPasswords,
  PASSWORD,
  assertErrorReply,
  SECRET,
  comparableReply,
  type TestApp
} from './helpers/build-app.js'
import { ferretdb, freshDbOn, mongoeco } from './helpers/mongo-stores.js'
import { makeMysqlPool, needsMysql } from './helpers/mysql.js'
import { makePool, needsPostgres } from './helpers/postgres.js'

const N = 8
const MERLIN = 'merlin@camelot.bt'
const KEY = randomBytes(32).toString('base64')
const NEW_KEY = randomBytes(32).toString('base64')
const ACCESS = 'canary-access-token'
const REFRESH = 'canary-refresh-token'
const numbers = Array.from({ length: N }, (_, i) => i)
const service = await needsPostgres()
const mysqlService = await needsMysql()

/** A store, and the kind of its ids if it is not UUID. */
interface Made {
  adapter: DatabaseAdapter
  id?: IdKind
}
type Make = (t: Test) => Promise<Made>
const createTables = true
const stores: Record<string, [make: Make, needs?: { skip: string | false }]> = {
  memory: [async () => ({ adapter: memory() })],
  sqlite: [async () => ({ adapter: sqlite(':memory:') })],
  postgres: [async (t) => ({ adapter: postgres((await makePool(t, { max: 8 })).pool, { createTables }) }), service],
  mysql: [
    async (t) => ({ adapter: mysql((await makeMysqlPool(t, { connectionLimit: 8 })).pool, { createTables }) }),
    mysqlService
  ],
  ...Object.fromEntries(
    [ferretdb, mongoeco].map((store): [string, [Make, { skip: string | false }]] => [
      `mongodb on ${store.name}`,
      [
        async (t) => ({
          adapter: mongodb(freshDbOn(t, store), { createTables, timeoutMs: 30_000 }),
          id: objectIdId()
        }),
        store.options
      ]
    ])
  ),
  libsql: [async () => ({ adapter: sqlite(new Libsql(':memory:')) })]
}
/** Stores that share the SQL of other stores: they run only the tests of races and of conditional writes. */
const sharing: typeof stores = {
  'an adapter that stores one row at a time': [async () => ({ adapter: oneByOne(memory()) })],
  'kysely on postgres': [
    async (t) => ({
      adapter: kysely(new Kysely({ dialect: new PostgresDialect({ pool: (await makePool(t, { max: 8 })).pool }) }), {
        createTables
      })
    }),
    service
  ],
  'kysely on mysql': [
    async (t) => ({
      adapter: kysely(
        new Kysely({ dialect: new MysqlDialect({ pool: (await makeMysqlPool(t, { connectionLimit: 8 })).pool.pool }) }),
        { createTables }
      )
    }),
    mysqlService
  ]
}

/** Returns an adapter without transactions. */
function oneByOne (adapter: DatabaseAdapter): DatabaseAdapter {
  const { createAll: _, ...rest } = withSlowReads(adapter, 0)
  return rest
}

/** Registers a test for each of the stores. */
function onStores (title: string, run: (t: Test, make: Make) => Promise<void>, some = stores): void {
  for (const [name, [make, needs = {}]] of Object.entries(some)) {
    t.test(`${title} (${name})`, needs, (t) => run(t, make))
  }
}

function onEveryStore (title: string, run: (t: Test, make: Make) => Promise<void>): void {
  onStores(title, run, { ...stores, ...sharing })
}

const provider = (name: string, trustEmail = true): Provider => ({
  kind: 'provider',
  name,
  title: name,
  clientId: 'id',
  clientSecret: () => 'secret',
  clientAuthentication: 'client_secret_post',
  scopes: [],
  server: { discover: 'https://provider.example' },
  idToken: false,
  trustEmail,
  profile: async () => ({ id: '1', email: null, emailVerified: false, raw: {} })
})

const GRAIL = provider('grail')
const tokensOf = (values: Partial<ProviderTokens> = {}): ProviderTokens => ({
  accessToken: ACCESS,
  refreshToken: REFRESH,
  expiresAt: null,
  ...values
})
const identity = (values: Partial<Identity> = {}): Identity => ({
  provider: GRAIL,
  accountId: 'arthur-1',
  email: ARTHUR,
  emailVerified: true,
  profile: {},
  tokens: tokensOf(),
  ...values
})
const none: AccountSettings = {
  associateByEmail: false,
  reclaimUnverified: false,
  isVerifiedByDefault: false,
  mapProfile: null,
  encryptionKeys: []
}

interface AccountApp extends TestApp {
  store: WatchedAdapter
  accounts: OauthAccounts
  rows(): Promise<Row[]>
  users(): Promise<Row[]>
  /** Logs in with an identity and returns the id of the user, or the code of the refusal. */
  enter(identity: Identity): Promise<UserId | string>
  names(): string[]
}

interface Start extends Partial<Made> {
  settings?: Partial<AccountSettings>
  options?: Partial<UsersOptions>
  clients?: readonly ProviderClient[]
  slow?: number
  accountsInReplies?: boolean
}

async function start (
  t: Test,
  { settings = {}, options = {}, clients = [], adapter = memory(), id, slow = 0, accountsInReplies = false }: Start = {}
): Promise<AccountApp> {
  const store = watchedAdapter(adapter)
  let accounts: OauthAccounts | undefined
  const built = await buildApp(
    t,
    {
      adapter: slow > 0 ? withSlowReads(store.adapter, slow) : store.adapter,
      ...(id === undefined ? {} : { schemas: userSchemas({}, { id }) as never }),
      ...options,
      features: [
        accountsFeature(
          { ...none, ...settings },
          (rules, kit) => {
            accounts = rules
            return {
              routes: async (scope) => {
                await scope.register(oauthAccountRoutes, { prefix: '/users', kit, accounts: rules })
              }
            }
          },
          new Map(clients.map((client) => [client.provider.name, client])),
          accountsInReplies
        )
      ]
    },
    addRoutes
  )
  if (accounts === undefined) throw new Error('not built')
  const rules = accounts
  return {
    ...built,
    store,
    accounts: rules,
    rows: () => store.rows('oauth_account'),
    users: () => store.rows('user'),
    names: () => built.events.map(({ name }) => name),
    async enter (somebody) {
      try {
        const row = await rules.resolve(somebody, {})
        await built.app.users.login(row, { backend: 'jwt', method: 'oauth:grail' })
        return row.id
      } catch (error) {
        return codeOf(error)
      }
    }
  }
}

function codeOf (error: unknown): string {
  if (!isUsersError(error)) throw error
  return error.code.replace('FST_USERS_', '')
}

const code = (work: Promise<unknown>): Promise<unknown> => work.then(() => 'done', codeOf)
const idOf = ({ id }: User | UserRow): UserId => id

onStores('a first login creates a user with an account and without a password', async (t, make) => {
  const { accounts, rows, users, names, login, app, tokenOf, events } = await start(t, { ...(await make(t)) })
  const row = await accounts.resolve(identity({ email: 'King.Arthur@CAMELOT.bt' }), {})
  t.match(row, { email: 'King.Arthur@camelot.bt', is_active: true, is_superuser: false, is_verified: false })
  t.match(await rows(), [
    {
      user_id: row.id,
      oauth_name: 'grail',
      account_id: 'arthur-1',
      account_email: 'King.Arthur@CAMELOT.bt',
      access_token: '',
      refresh_token: null,
      expires_at: null
    }
  ])
  t.same(names(), ['onBeforeRegister', 'onAfterRegister'])
  t.notMatch(JSON.stringify(events), /hashed_password|argon2/)

  const [stored] = await users()
  const hash = String(stored?.['hashed_password'])
  t.match(
    hash,
    /^\$argon2id\$v=19\$m=8,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/,
    'the hash has the cost of all other hashes'
  )
  t.notSame(hash, String((await users())[1]?.['hashed_password']))
  for (const password of ['', hash, 'no password here', PASSWORD]) {
    const reply = await login('jwt', ARTHUR, password)
    t.equal(reply.statusCode, 400, password)
  }

  await app.users.forgotPassword(ARTHUR)
  await app.users.resetPassword(await tokenOf('onAfterForgotPassword'), PASSWORD)
  t.equal((await login('jwt', ARTHUR)).statusCode, 200, 'after a reset the user has a password')
})

t.test(
  'PW-12: a login attempt for a user without a password takes the same work with every hasher',
  async (t) => {
    const hashes: string[] = []
    const plain = argon2Passwords({ memoryCost: 16, timeCost: 2, insecureFastHashing: true })
    for (const hash of [plain.hash, async () => '$2b$12$' + 'a'.repeat(53)]) {
      const { enter, users, login } = await start(t, { options: { passwords: { ...plain, hash } } })
      await enter(identity())
      hashes.push(
        String((await users())[0]?.['hashed_password'])
          .split('$')
          .slice(0, 4)
          .join('$')
      )
      t.equal((await login('jwt', ARTHUR)).statusCode, 400)
    }
    t.same(hashes, ['$argon2id$v=19$m=16,t=2,p=1', '$argon2id$v=19$m=19456,t=2,p=1'])
  }
)

onEveryStore('LNK-07: a known account renews tokens and account e-mail, and nothing of the user', async (t, make) => {
  const { accounts, rows, users, names, events, app, enter } = await start(t, {
    ...(await make(t)),
    settings: { encryptionKeys: [KEY], isVerifiedByDefault: true, associateByEmail: true, reclaimUnverified: true }
  })
  const first = await accounts.resolve(identity({ emailVerified: false }), {})
  const before = await users()
  events.length = 0
  const again = await accounts.resolve(
    identity({
      email: 'other@camelot.bt',
      profile: { is_superuser: true },
      tokens: tokensOf({ accessToken: 'new', refreshToken: null, expiresAt: 4e9 })
    }),
    {}
  )
  t.same(again, first)
  t.same(await users(), before)
  t.same(names(), [])
  t.match(await rows(), [{ account_email: 'other@camelot.bt', expires_at: 2 ** 31 - 1 }])
  t.same(
    await accounts.tokens(idOf(first), 'grail'),
    { accessToken: 'new', refreshToken: REFRESH, expiresAt: 2 ** 31 - 1 },
    'the refresh token is kept if the provider sends no new one'
  )
  t.equal(await enter(identity({ email: `${'a'.repeat(400)}@x` })), first.id)
  t.match(await rows(), [{ account_email: 'other@camelot.bt' }], 'an e-mail that does not fit its column is not stored')
  const bare = identity({ accountId: '2', email: MERLIN, tokens: tokensOf({ refreshToken: null }) })
  const merlin = await enter(bare)
  t.equal(await enter(bare), merlin)
  t.same(await accounts.tokens(merlin as UserId, 'grail'), bare.tokens)
  for (const id of [first.id, merlin]) await app.users.delete(id as UserId)
  t.same(await rows(), [])
})

t.test(
  'a user without a password is created without hashing, so a full queue or a broken helper refuses no login',
  async (t) => {
    for (const end of ['works', 'fails'] as const) {
      let hashes = 0
      const hash: PasswordHelper['hash'] = async (password) => {
        hashes++
        if (end === 'fails') throw FST_USERS_PASSWORD_QUEUE_FULL()
        return fastPasswords.hash(password)
      }
      const { enter, users } = await start(t, { options: { passwords: { ...fastPasswords, hash } } })
      for (const i of numbers) {
        t.type(await enter(identity({ accountId: `new-${i}`, email: `new-${i}@camelot.bt` })), 'string')
      }
      t.equal((await users()).length, N, end)
      t.equal(hashes, end === 'works' ? 1 : N, 'one hash determines the cost of all')
    }
  }
)

t.test('PW-12: a password login for a user without a password fails like any other, with the same work', async (t) => {
  const { passwords, calls } = countedPasswords()
  const { accounts, create, users, app, events } = await start(t, { options: { passwords } })
  await accounts.resolve(identity(), {})
  await create({ email: MERLIN })
  const before = await users()
  const hashOf = (email: string): string => String(before.find((row) => row['email'] === email)?.['hashed_password'])
  t.equal(
    hashOf(ARTHUR).split('$').slice(0, 4).join('$'),
    hashOf(MERLIN).split('$').slice(0, 4).join('$'),
    'the hash has the cost of all other hashes'
  )
  for (const password of [
    hashOf(ARTHUR),
    hashOf(ARTHUR).split('$').at(-1),
    'no password here',
    'null',
    'undefined',
    'x'.repeat(500)
  ]) {
    for (const backend of ['jwt', 'cookie']) {
      const attempts = []
      for (const username of [ARTHUR, MERLIN, 'unknown@camelot.bt']) {
        calls.length = 0
        events.length = 0
        const reply = await app.inject({
          method: 'POST',
          url: `/auth/${backend}/login`,
          payload: { username, password }
        })
        attempts.push({
          reply: comparableReply(reply),
          calls: calls.length,
          events: events.map((event) => [
            event.name,
            username === 'unknown@camelot.bt' ? 'WRONG_PASSWORD' : (event as { reason?: string }).reason
          ])
        })
        assertErrorReply(t, reply, 400, 'LOGIN_BAD_CREDENTIALS')
      }
      t.same(attempts[0], attempts[1], 'the same work as for a wrong password')
      t.same(attempts[0], attempts[2], 'the same work as for an unknown e-mail')
      t.match(attempts[0], { calls: 1, events: [['onLoginFailed', 'WRONG_PASSWORD']] })
    }
  }
  t.same(await users(), before, 'no attempt replaces the hash')
})

t.test(
  'OAU-19: only a trusted provider verifies a new user, and an inactive user gets no session',
  async (t) => {
    for (const isVerifiedByDefault of [true, false]) {
      const { accounts } = await start(t, { settings: { isVerifiedByDefault } })
      for (const trust of [true, false]) {
        for (const [i, said] of ([true, false, 'true', 1, undefined] as never[]).entries()) {
          const row = await accounts.resolve(
            identity({
              provider: provider(trust ? 'grail' : 'other', trust),
              accountId: `${i}`,
              email: `${trust}${i}@camelot.bt`,
              emailVerified: said
            }),
            {}
          )
          t.equal(
            row.is_verified,
            isVerifiedByDefault && trust && said === true,
            `${trust} ${String(said)} ${isVerifiedByDefault}`
          )
        }
      }
    }
    const { accounts, app, enter, names } = await start(t)
    const row = await accounts.resolve(identity(), {})
    await app.users.update(row.id, { is_active: false })
    t.equal(await enter(identity()), 'LOGIN_BAD_CREDENTIALS')
    t.equal(names().at(-1), 'onLoginFailed')
  }
)

onStores('LNK-01: an equal e-mail never links by itself', async (t, make) => {
  const { create, enter, rows, users, names } = await start(t, { ...(await make(t)) })
  await create({ is_verified: true })
  const before = [await users(), names()]
  t.equal(await enter(identity()), 'OAUTH_USER_ALREADY_EXISTS')
  t.equal(await enter(identity({ email: ARTHUR.toUpperCase() })), 'OAUTH_USER_ALREADY_EXISTS')
  t.same([await users(), names()], before)
  t.same(await rows(), [])
})

t.test(
  'LNK-02: linking by e-mail needs a trusted provider and a user who both verified the e-mail',
  async (t) => {
    for (const cell of [0, 1, 2, 3, 4, 5, 6, 7]) {
      const [trust, said, local] = [(cell & 1) > 0, (cell & 2) > 0, (cell & 4) > 0]
      for (const reclaimUnverified of [false, true]) {
        const title = JSON.stringify({ trust, said, local, reclaimUnverified })
        const { create, enter, rows, users, names, login } = await start(t, {
          settings: { associateByEmail: true, reclaimUnverified }
        })
        const user = await create({ is_verified: local })
        const before = await users()
        const entered = await enter(identity({ provider: provider('grail', trust), emailVerified: said }))
        const links = trust && said && (local || reclaimUnverified)
        t.equal(entered, links ? user.id : 'OAUTH_USER_ALREADY_EXISTS', title)
        t.equal((await rows()).length, links ? 1 : 0, title)
        t.equal(names().includes('onAfterLink'), links, title)
        t.equal((await login('jwt', ARTHUR)).statusCode, links && !local ? 400 : 200, `${title}: the password`)
        if (!links || local) {
          t.same(
            (await users()).map(({ session_stamp: _, ...row }) => row),
            before.map(({ session_stamp: _, ...row }) => row),
            title
          )
        }
      }
    }
  }
)

onStores(
  'LNK-03: reclaiming an unverified e-mail removes everything of the person who registered it',
  async (t, make) => {
    const { register, bearer, cookie, enter, accounts, send, login, rows, app, events } = await start(t, {
      ...(await make(t)),
      settings: { associateByEmail: true, reclaimUnverified: true }
    })
    const user = await register()
    const sessions = [await bearer(ARTHUR), await cookie(ARTHUR)]
    await app.users.forgotPassword(ARTHUR)
    await app.users.settled()
    const attackers = identity({ accountId: 'mordred', email: 'mordred@camelot.bt' })
    await accounts.link(user.id, attackers, {})
    t.equal(await enter(attackers), user.id, 'the attacker has a password, sessions and an account')

    events.length = 0
    t.equal(await enter(identity()), user.id)
    t.match(
      events.filter(({ name }) => name !== 'onBeforeLogin' && name !== 'onIssueToken'),
      [
        { name: 'onAfterVerify', user: { id: user.id, is_verified: true } },
        {
          name: 'onAfterLink',
          user: { id: user.id, is_verified: true },
          account: { oauth_name: 'grail', account_id: 'arthur-1' }
        },
        { name: 'onLoginMethodAdded', user: { id: user.id }, kind: 'provider' },
        { name: 'onAfterLogin' }
      ]
    )
    for (const headers of sessions) t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
    t.equal((await login('jwt', ARTHUR)).statusCode, 400)
    t.match(await rows(), [{ account_id: 'arthur-1' }])
    t.equal((await rows()).length, 1)
    t.not(await enter(attackers), user.id)
    t.equal((await app.users.get(user.id))?.is_verified, true)
    t.equal(
      await enter(identity({ provider: provider('other') })),
      user.id,
      'a second provider of the owner adds an account'
    )
    t.equal((await accounts.list(user.id)).length, 2)
  }
)

t.test('a login that a parallel change overtakes is decided again', async (t) => {
  const unverified = { associateByEmail: true, reclaimUnverified: true }
  /** Runs `work` once, after the first call of that method. */
  const after = (
    { store }: AccountApp,
    is: (method: string, model: string) => boolean,
    work: () => Promise<unknown>
  ): void => {
    store.watch(async ({ method, model, proceed }) => {
      const result = await proceed()
      if (!is(method, model.name)) return result
      store.watch()
      await work()
      return result
    })
  }
  const readsUser = (method: string, model: string): boolean => method === 'findOne' && model === 'user'

  const deleted = await start(t, { settings: unverified })
  const old = await deleted.create()
  after(deleted, readsUser, () => deleted.app.users.delete(old.id))
  t.not(await deleted.enter(identity()), old.id, 'the user is deleted in the meantime')
  t.match(await deleted.users(), [{ email: ARTHUR }])

  const verified = await start(t, { settings: unverified })
  const user = await verified.create()
  after(verified, readsUser, () => verified.app.users.update(user.id, { is_verified: true }))
  t.equal(await verified.enter(identity()), user.id, 'the user verifies the e-mail in the meantime')
  t.equal((await verified.login('jwt', ARTHUR)).statusCode, 200, 'the password is kept')

  const unlinked = await start(t)
  const { id } = await unlinked.accounts.resolve(identity(), {})
  const [account] = await unlinked.accounts.list(id)
  after(unlinked, readsUser, () =>
    unlinked.store.adapter.delete({ name: 'oauth_account' } as never, { id: account?.id ?? '' })
  )
  t.equal(await unlinked.enter(identity()), 'OAUTH_USER_ALREADY_EXISTS', 'the account is deleted in the meantime')

  await unlinked.accounts.link(id, identity(), {})
  const [again] = await unlinked.accounts.list(id)
  await unlinked.accounts.link(id, identity({ accountId: '2' }), {})
  after(
    unlinked,
    (method) => method === 'findMany',
    () => unlinked.store.adapter.delete({ name: 'oauth_account' } as never, { id: again?.id ?? '' })
  )
  t.equal(
    await code(unlinked.accounts.unlink(id, again?.id ?? '', {})),
    'OAUTH_ACCOUNT_NOT_FOUND',
    'another request unlinks the account in the meantime'
  )

  for (const [associateByEmail, local] of [
    [false, false],
    [true, false],
    [true, true]
  ] as const) {
    const stuck = await start(t, { settings: { ...unverified, associateByEmail } })
    if (associateByEmail) await stuck.create({ is_verified: local })
    const before = await stuck.users()
    stuck.store.watch(({ method, model, proceed }) => {
      if ((method === 'create' && model.name === 'oauth_account') || method === 'createAll') {
        throw FST_USERS_UNIQUE_VIOLATION(['oauth_name, account_id'], { fields: ['oauth_name', 'account_id'] })
      }
      return proceed()
    })
    t.equal(
      await stuck.enter(identity()),
      'STORE_UNAVAILABLE',
      'the index reports a duplicate, but no account is found'
    )
    t.equal((await stuck.users()).length, before.length)
    const { id } = await stuck.create({ email: MERLIN })
    t.equal(await code(stuck.accounts.link(id, identity(), {})), 'OAUTH_ACCOUNT_ALREADY_LINKED')
  }
})

t.test('parallel takeovers and a change of e-mail leave one account', async (t) => {
  const { register, accounts, app, rows } = await start(t, {
    slow: 5,
    settings: { associateByEmail: true, reclaimUnverified: true }
  })
  const user = await register()
  const found = await Promise.all(numbers.map(() => accounts.resolve(identity(), {})))
  t.same(new Set(found.map(({ id }) => id)), new Set([user.id]))
  t.equal((await rows()).length, 1)
  t.match(await app.users.get(user.id), { is_verified: true })
})

t.test('OAU-07: an account is identified by the provider and its id, and by no other value', async (t) => {
  const { enter, users, rows } = await start(t)
  for (const id of ['', ' ', 0, null, undefined, {}, [], 'a\0b', '\ud800', 'x'.repeat(321)]) {
    t.equal(await enter(identity({ accountId: id as never })), 'OAUTH_PROVIDER_FAILED', String(id).slice(0, 10))
  }
  for (const email of [null, '', 'no e-mail', 'a@localhost']) {
    t.equal(await enter(identity({ email })), 'OAUTH_NOT_AVAILABLE_EMAIL', String(email))
  }
  t.same([await users(), await rows()], [[], []])
  const first = await enter(identity())
  t.equal(await enter(identity({ email: 'other@camelot.bt' })), first, 'another e-mail, the same id')
  t.equal(await enter(identity({ accountId: 'ARTHUR-1' })), 'OAUTH_USER_ALREADY_EXISTS', 'the same e-mail, another id')
  t.equal(await enter(identity({ provider: provider('other') })), 'OAUTH_USER_ALREADY_EXISTS')
  t.equal(await enter(identity({ email: null })), 'OAUTH_NOT_AVAILABLE_EMAIL', 'a known account without an e-mail')
})

t.test('mapProfile fills custom fields only', async (t) => {
  const schemas = userSchemas({
    display_name: Type.String({ maxLength: 10 }),
    credits: readOnly(Type.Integer({ default: 5 }))
  })
  const given = (fields: unknown): Partial<AccountSettings> => ({
    mapProfile: ((profile: object) => (typeof fields === 'function' ? fields(profile) : fields)) as never
  })
  const { enter, users } = await start(t, {
    options: { schemas },
    settings: given(async ({ name }: { name: string }) => ({
      display_name: name,
      credits: 7,
      is_superuser: true,
      is_verified: true,
      is_active: false,
      email: MERLIN,
      id: 'x',
      hashed_password: 'x',
      session_stamp: 'x',
      nothing: 1
    }))
  })
  await enter(identity({ profile: { name: 'Arthur' } }))
  const [row] = await users()
  t.match(row, {
    display_name: 'Arthur',
    credits: 7,
    is_superuser: false,
    is_verified: false,
    is_active: true,
    email: ARTHUR,
    hashed_password: /argon2/
  })
  t.not(row?.['session_stamp'], 'x')

  for (const [fields, path] of [
    [undefined, '/display_name'],
    [null, '/display_name'],
    [{}, '/display_name'],
    [{ display_name: undefined }, '/display_name'],
    [{ display_name: 'too long by far' }, '/display_name'],
    [{ display_name: 5 }, '/display_name'],
    [{ display_name: 'a', credits: '1' }, '/credits']
  ] as const) {
    const round = await start(t, { options: { schemas }, settings: given(fields) })
    await t.rejects(
      round.accounts.resolve(identity(), {}),
      {
        code: 'FST_USERS_OAUTH_PROFILE_INCOMPLETE',
        statusCode: 400,
        detail: { code: 'OAUTH_PROFILE_INCOMPLETE', reason: [{ path }] }
      },
      JSON.stringify(fields)
    )
    t.same([await round.users(), round.names()], [[], []])
  }
  const { accounts } = await start(t, {
    options: { schemas },
    settings: given(() => {
      throw refuse(403, 'KNIGHTS_ONLY', 'no')
    })
  })
  t.equal(await code(accounts.resolve(identity(), {})), 'REFUSED')
  t.equal(
    await (await start(t, { options: { schemas } })).enter(identity()),
    'OAUTH_PROFILE_INCOMPLETE',
    'without mapProfile'
  )
})

onEveryStore('of parallel first logins of one identity all enter, as one user with one account', async (t, make) => {
  for (const associateByEmail of [false, true]) {
    const { enter, users, rows, names } = await start(t, {
      ...(await make(t)),
      slow: 6,
      settings: { associateByEmail, isVerifiedByDefault: true }
    })
    const entered = await Promise.all(numbers.map(() => enter(identity())))
    const [user] = await users()
    t.same(
      entered,
      numbers.map(() => user?.['id'])
    )
    t.equal((await users()).length, 1)
    t.match(await rows(), [{ user_id: user?.['id'] }])
    t.equal((await rows()).length, 1)
    t.equal(names().filter((name) => name === 'onAfterRegister').length, 1)
    t.notOk(names().includes('onAfterLink'))
  }
})

t.test(
  'DEP-03: if any database call fails, no user without an account remains, and the next login succeeds',
  async (t) => {
    for (const [makeAdapter, associateByEmail] of [
      [memory, false],
      [memory, true],
      [() => oneByOne(memory()), false]
    ] as const) {
      for (let k = 1, done = false; !done; k++) {
        const { enter, users, rows, store, create, accounts } = await start(t, {
          adapter: makeAdapter(),
          settings: { associateByEmail, reclaimUnverified: true, encryptionKeys: [KEY] }
        })
        if (associateByEmail) await create()
        store.watch(({ n, proceed }) => {
          if (n === k) throw Object.assign(new Error('down'), { code: 'ECONNRESET' })
          return proceed()
        })
        const failed = await code(accounts.resolve(identity(), {}))
        done = store.calls < k
        store.watch()
        t.equal(failed, done ? 'done' : 'STORE_UNAVAILABLE', `call ${k}`)
        if (!associateByEmail && !done) t.equal((await users()).length, (await rows()).length, `call ${k}`)
        const [user] = await users()
        const entered = await enter(identity())
        if (user !== undefined) t.equal(entered, user['id'], `call ${k}`)
        t.equal((await rows()).length, 1)
        t.match(await users(), [{ id: entered }])
      }
    }
  }
)

t.test('a user who cannot be deleted after a failed link does not block other logins', async (t) => {
  const { enter, store, users } = await start(t, { adapter: oneByOne(memory()) })
  store.watch(({ method, model, proceed }) => {
    if ((method === 'create' && model.name === 'oauth_account') || method === 'delete') {
      throw Object.assign(new Error('down'), { code: 'ECONNRESET' })
    }
    return proceed()
  })
  t.equal(await enter(identity()), 'STORE_UNAVAILABLE')
  store.watch()
  t.equal((await users()).length, 1)
  t.equal(
    await enter(identity()),
    'OAUTH_USER_ALREADY_EXISTS',
    'the e-mail is taken; its owner can reset the password'
  )
  t.not(await enter(identity({ accountId: '2', email: MERLIN })), 'OAUTH_USER_ALREADY_EXISTS')

  const whole = await start(t)
  let isStored = false
  whole.store.watch(({ method, proceed }) => {
    if (isStored) throw Object.assign(new Error('down'), { code: 'ECONNRESET' })
    isStored = method === 'createAll'
    return proceed()
  })
  t.equal(await whole.enter(identity()), 'STORE_UNAVAILABLE')
  whole.store.watch()
  const [user] = await whole.users()
  t.equal(await whole.enter(identity()), user?.['id'], 'a user who was stored with the account can log in')
})

t.test('a duplicate value of another field is reported and not taken for a parallel login', async (t) => {
  const { enter, store, names } = await start(t)
  store.watch(({ method, proceed }) => {
    if (method === 'createAll') throw FST_USERS_UNIQUE_VIOLATION(['nickname'], { fields: ['nickname'] })
    return proceed()
  })
  t.equal(await enter(identity()), 'UNIQUE_VIOLATION')
  t.same(names(), ['onBeforeRegister'])
})

onStores('an account is linked to one user, once', async (t, make) => {
  const { create, accounts, rows, events, names } = await start(t, {
    ...(await make(t)),
    settings: { encryptionKeys: [KEY] }
  })
  const [arthur, merlin] = [await create(), await create({ email: MERLIN })]
  events.length = 0
  const user = await accounts.link(arthur.id, identity({ email: 'elsewhere@x.bt' }), {})
  t.same(user, arthur)
  t.same(names(), ['onAfterUpdate', 'onAfterLink', 'onLoginMethodAdded'])
  const [row] = await rows()
  t.match(events, [
    { user: arthur, changes: {} },
    {
      user: arthur,
      account: { id: row?.['id'], oauth_name: 'grail', account_id: 'arthur-1', account_email: 'elsewhere@x.bt' }
    }
  ])
  t.notMatch(JSON.stringify(events), /canary|token/)

  await accounts.link(arthur.id, identity({ email: 'new@x.bt', tokens: tokensOf({ accessToken: 'newer' }) }), {})
  t.match(await rows(), [{ account_email: 'new@x.bt', id: row?.['id'] }])
  t.equal((await rows()).length, 1, 'linking twice stores one account, with the new tokens')
  t.match(await accounts.tokens(arthur.id, 'grail'), { accessToken: 'newer' })
  const before = await rows()
  t.equal(await code(accounts.link(merlin.id, identity(), {})), 'OAUTH_ACCOUNT_ALREADY_LINKED')
  t.same(await rows(), before)
  t.equal(
    await code(accounts.link(merlin.id, identity({ accountId: '2', email: null }), {})),
    'OAUTH_NOT_AVAILABLE_EMAIL'
  )
  t.equal(await code(accounts.link(merlin.id, identity({ accountId: '' }), {})), 'OAUTH_PROVIDER_FAILED')
  t.same(
    (await accounts.list(arthur.id)).map((account) => Object.keys(account).sort()),
    [['account_email', 'account_id', 'id', 'oauth_name']]
  )
  t.same(await accounts.list(merlin.id), [])
})

onEveryStore('LNK-05: of parallel links of one account one user wins', async (t, make) => {
  const { create, accounts, rows } = await start(t, { ...(await make(t)), slow: 6 })
  const knights = await Promise.all(numbers.map((i) => create({ email: `knight${i}@camelot.bt` })))
  const ends = await Promise.all(knights.map(({ id }) => code(accounts.link(id, identity(), {}))))
  t.same(ends.toSorted(), ['done', ...numbers.slice(1).map(() => 'OAUTH_ACCOUNT_ALREADY_LINKED')].toSorted())
  t.match(await rows(), [{ user_id: knights[ends.indexOf('done')]?.id }])
  t.equal((await rows()).length, 1)

  const other = identity({ accountId: '2' })
  const own = await Promise.all(numbers.map(() => code(accounts.link(knights[0]?.id as UserId, other, {}))))
  t.same(
    own,
    numbers.map(() => 'done'),
    'parallel links by the same user'
  )
  t.equal((await rows()).length, 2)
})

t.test("an account is not linked if the user's sessions are revoked in the meantime", async (t) => {
  for (const end of ['change', 'delete', 'gone before'] as const) {
    const { create, accounts, rows, app, store } = await start(t)
    const { id } = await create()
    if (end === 'gone before') await app.users.delete(id)
    store.watch(async ({ method, model, proceed }) => {
      const result = await proceed()
      if (method !== 'create' || model.name !== 'oauth_account') return result
      store.watch()
      await (end === 'change' ? app.users.update(id, { password: 'excalibur-2' }) : app.users.delete(id))
      return result
    })
    t.equal(await code(accounts.link(id, identity(), {})), 'UNAUTHENTICATED', end)
    t.same(await rows(), [], end)
  }
})

/** A user whom an attacker registered with an e-mail before its owner: an account, sessions and a password. */
async function hijack ({
  register,
  accounts,
  bearer,
  cookie
}: AccountApp): Promise<{ id: UserId; sessions: Record<string, string>[] }> {
  const { id } = await register()
  await accounts.link(id, MORDRED, {})
  return { id, sessions: [await bearer(ARTHUR), await cookie(ARTHUR)] }
}

const MORDRED = identity({ accountId: 'mordred', email: 'mordred@camelot.bt' })

async function askReset ({ app, tokenOf }: AccountApp): Promise<string> {
  await app.users.forgotPassword(ARTHUR)
  return tokenOf('onAfterForgotPassword')
}

onEveryStore(
  'RST-13: a reset of an unverified user removes the accounts that do not vouch for the e-mail',
  async (t, make) => {
    const revoked: ProviderTokens[] = []
    const client: ProviderClient = {
      provider: GRAIL,
      refresh: async () => tokensOf(),
      revoke: async (tokens) => {
        revoked.push(tokens)
      }
    }
    const round = await start(t, { ...(await make(t)), clients: [client], settings: { encryptionKeys: [KEY] } })
    const { accounts, app, send, enter, login, rows, create, names } = round
    const { id, sessions } = await hijack(round)
    await accounts.link(id, identity({ provider: provider('other'), accountId: 'mordred', emailVerified: false }), {})
    await accounts.link(id, identity({ provider: provider('third', false), accountId: 'mordred' }), {})
    await accounts.link(id, identity({ provider: provider('fourth'), accountId: 'owner' }), {})
    const merlin = await create({ email: MERLIN })
    await accounts.link(merlin.id, identity({ accountId: 'merlin' }), {})
    t.equal(await enter(MORDRED), id, 'the attacker has a password, sessions and accounts')

    await app.users.resetPassword(await askReset(round), 'excalibur-2')
    for (const headers of sessions) t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
    t.equal((await login('jwt', ARTHUR)).statusCode, 400)
    t.strictSame(
      (await rows()).map(({ account_id: account }) => account).toSorted(),
      ['merlin', 'owner'],
      'the account of another user and the account that proved the mailbox are kept'
    )
    t.not(await enter(MORDRED), id)
    t.equal((await login('jwt', ARTHUR, 'excalibur-2')).statusCode, 200)
    t.match(await app.users.get(id), { is_verified: true }, 'the reset proves the mailbox')
    t.equal(names().filter((name) => name === 'onAfterResetPassword').length, 1)
    await app.users.settled()
    t.match(revoked, [tokensOf()], 'the grant is revoked at the provider')
  }
)

t.test('RST-13: a reset of a verified user keeps the accounts', async (t) => {
  const round = await start(t)
  const { app, accounts, enter, tokenOf } = round
  const { id } = await accounts.resolve(identity(), {})
  await app.users.requestVerify(ARTHUR)
  await app.users.verify(await tokenOf('onAfterRequestVerify'))
  await app.users.resetPassword(await askReset(round), PASSWORD)
  t.equal(await enter(identity()), id)
})

t.test('RST-13: a refused reset removes nothing', async (t) => {
  const round = await start(t)
  const { app, rows, tick } = round
  await hijack(round)
  const token = await askReset(round)
  t.equal(await code(app.users.resetPassword(token, 'short')), 'RESET_PASSWORD_INVALID_PASSWORD')
  t.equal(await code(app.users.resetPassword(`${token}x`, PASSWORD)), 'RESET_PASSWORD_BAD_TOKEN')
  tick(4000)
  t.equal(await code(app.users.resetPassword(token, PASSWORD)), 'RESET_PASSWORD_BAD_TOKEN')
  t.equal((await rows()).length, 1)
})

t.test(
  'RST-13: if any database call fails, no new password exists beside an old account, and the token stays valid until it is set',
  async (t) => {
    for (let k = 1, done = false; !done; k++) {
      const round = await start(t)
      const { app, store, enter, login } = round
      const { id } = await hijack(round)
      const token = await askReset(round)
      store.watch(({ n, proceed }) => {
        if (n === k) throw Object.assign(new Error('down'), { code: 'ECONNRESET' })
        return proceed()
      })
      const failed = await code(app.users.resetPassword(token, 'excalibur-2'))
      done = store.calls < k
      store.watch()
      t.equal(failed, done ? 'done' : 'STORE_UNAVAILABLE', `call ${k}`)
      const isSet = (await login('jwt', ARTHUR, 'excalibur-2')).statusCode === 200
      if (!isSet) await app.users.resetPassword(token, 'excalibur-2')
      t.not(await enter(MORDRED), id, `call ${k}: ${isSet ? 'the password was set' : 'the second attempt'}`)
      t.equal((await login('jwt', ARTHUR, 'excalibur-2')).statusCode, 200)
    }
  }
)

/**
 * Logs in with the attacker's account and returns the sessions that were started for the user.
 */
function intruder (
  { accounts, app, send }: AccountApp,
  id: UserId
): { logIn(): Promise<void>; alive(): Promise<number> } {
  const tokens: string[] = []
  return {
    async logIn () {
      const row = await accounts.resolve(MORDRED, {}).catch(() => null)
      const given =
        row === null || row.id !== id ? null : await app.users.login(row, { backend: 'jwt' }).catch(() => null)
      if (given?.issued !== undefined) tokens.push(given.issued.token)
    },
    async alive () {
      const replies = await Promise.all(
        tokens.map((token) => send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` }))
      )
      return replies.filter(({ statusCode }) => statusCode === 200).length
    }
  }
}

/** Runs each piece of work before the database call with its number. Calls of the work itself are not counted. */
function interrupt ({ store }: AccountApp, work: ReadonlyMap<number, () => Promise<unknown>>): { calls: () => number } {
  let calls = 0
  let inside = false
  store.watch(async ({ proceed }) => {
    const now = inside ? undefined : work.get(++calls)
    if (now === undefined) return await proceed()
    inside = true
    await now()
    inside = false
    return await proceed()
  })
  return { calls: () => calls }
}

/** Yields every pair of call numbers, the first not after the second, until there are no more calls. */
async function eachPair (run: (first: number, second: number) => Promise<number>): Promise<number> {
  let pairs = 0
  for (let last = 1, calls = Infinity; last <= calls; last++) {
    for (let first = 1; first <= last; first++) {
      calls = await run(first, last)
      pairs++
    }
  }
  return pairs
}

t.test('RST-13, LNK-04: linking and a login with the linked account during a reset leave no access', async (t) => {
  let entered = 0
  const pairs = await eachPair(async (first, second) => {
    const round = await start(t)
    const { app, accounts, store, create, enter } = round
    const { id } = await create()
    // as the callback read it while its session was valid
    const before = (await store.rows('user'))[0] as unknown as UserRow
    const token = await askReset(round)
    const { logIn, alive } = intruder(round, id)
    const link = (): Promise<unknown> => code(accounts.link(before, MORDRED, {}))
    const both = async (): Promise<void> => {
      await link()
      await logIn()
    }
    const { calls } = interrupt(
      round,
      new Map(
        first === second
          ? [[first, both]]
          : [
              [first, link],
              [
                second,
                async () => {
                  await logIn()
                  entered += await alive()
                }
              ]
            ]
      )
    )
    await app.users.resetPassword(token, 'excalibur-2')
    store.watch()
    const title = `link at call ${first}, login at ${second}`
    t.equal(await alive(), 0, `${title}: the session`)
    t.not(await enter(MORDRED), id, `${title}: the account`)
    return calls()
  })
  t.ok(pairs >= 10, `${pairs} pairs`)
  t.ok(entered > 0, 'the login succeeds in the meantime')
})

t.test('RST-13, LNK-04: a reset and a login with the account during linking leave no access', async (t) => {
  for (const verified of [false, true]) {
    let [entered, resets] = [0, 0]
    await eachPair(async (first, second) => {
      const round = await start(t)
      const { app, accounts, store, create } = round
      const { id } = await create({ is_verified: verified })
      const before = (await store.rows('user'))[0] as unknown as UserRow
      const token = await askReset(round)
      const { logIn, alive } = intruder(round, id)
      let isReset = false
      const reset = async (): Promise<void> => {
        await app.users.resetPassword(token, 'excalibur-2')
        isReset = true
      }
      const both = async (): Promise<void> => {
        await reset()
        await logIn()
      }
      const { calls } = interrupt(
        round,
        new Map(
          first === second
            ? [[first, both]]
            : [
                [first, reset],
                [
                  second,
                  async () => {
                    await logIn()
                    entered += await alive()
                  }
                ]
              ]
        )
      )
      const end = await code(accounts.link(before, MORDRED, {}))
      store.watch()
      if (!isReset) return calls() // the account was linked before the reset
      resets++
      const title = `reset at call ${first}, login at ${second}, ${verified ? 'verified' : 'unverified'}`
      t.not(end, 'done', `${title}: the link`)
      t.equal(await alive(), 0, `${title}: the session`)
      t.same(await accounts.list(id), [], `${title}: the account`)
      return calls()
    })
    t.ok(entered > 0 && resets >= 3, `${resets} resets; the login succeeds in the meantime`)
  }
})

t.test('LNK-03: a login with an old account during a takeover leaves no session', async (t) => {
  let entered = 0
  for (let k = 1, most = Infinity; k <= most; k++) {
    const round = await start(t, { settings: { associateByEmail: true, reclaimUnverified: true } })
    const { accounts, store } = round
    const { id } = await hijack(round)
    const { logIn, alive } = intruder(round, id)
    const { calls } = interrupt(
      round,
      new Map([
        [
          k,
          async () => {
            await logIn()
            entered += await alive()
          }
        ]
      ])
    )
    t.equal((await accounts.resolve(identity(), {})).id, id)
    most = calls()
    store.watch()
    t.equal(await alive(), 0, `login at call ${k}`)
    t.match(await accounts.list(id), [{ account_id: 'arthur-1' }])
  }
  t.ok(entered > 0, 'the login succeeds in the meantime')
})

onStores(
  'LNK-06: routes list and unlink the accounts, except the last way to log in, and events fire',
  async (t, make) => {
    const revoked: ProviderTokens[] = []
    const client: ProviderClient = {
      provider: GRAIL,
      refresh: async (refreshToken) => tokensOf({ refreshToken }),
      revoke: async (tokens) => {
        revoked.push(tokens)
      }
    }
    const { accounts, app, send, events, names, rows, create, bearer, cookie, tokenOf } = await start(t, {
      ...(await make(t)),
      clients: [client],
      settings: { encryptionKeys: [KEY] }
    })
    const { id, ...row } = await accounts.resolve(identity(), {})
    const login = await app.users.login({ id, ...row } as UserRow, { backend: 'jwt', method: 'oauth:grail' })
    const headers = { authorization: `Bearer ${login.issued?.token ?? ''}` }
    await accounts.link(id, identity({ provider: provider('other'), accountId: '7' }), {})
    await create({ email: MERLIN })
    const merlin = await bearer(MERLIN)

    const list = (await send('GET', '/users/me/oauth-accounts', undefined, headers)).json<Row[]>()
    t.same(
      list
        .map(({ id: _, ...account }) => account)
        .toSorted((a, b) => (String(a['oauth_name']) < String(b['oauth_name']) ? -1 : 1)),
      [
        { oauth_name: 'grail', account_id: 'arthur-1', account_email: ARTHUR },
        { oauth_name: 'other', account_id: '7', account_email: ARTHUR }
      ]
    )
    const url = (name: string): string =>
      `/users/me/oauth-accounts/${String(list.find((account) => account['oauth_name'] === name)?.['id'])}`
    t.same((await send('GET', '/users/me/oauth-accounts', undefined, merlin)).json(), [])
    t.equal((await send('GET', '/users/me/oauth-accounts')).statusCode, 401)
    t.equal((await send('DELETE', url('grail'))).statusCode, 401)
    assertErrorReply(
      t,
      await send('DELETE', url('grail'), undefined, merlin),
      404,
      'OAUTH_ACCOUNT_NOT_FOUND',
      'Not Found',
      "another user's"
    )
    for (const odd of ['me', '0', '%00', String(id)]) {
      assertErrorReply(
        t,
        await send('DELETE', `/users/me/oauth-accounts/${odd}`, undefined, headers),
        404,
        'OAUTH_ACCOUNT_NOT_FOUND',
        'Not Found',
        odd
      )
    }
    const crossSite = { ...(await cookie(MERLIN)), origin: 'https://evil.example' }
    t.equal(
      (await send('DELETE', url('grail'), undefined, crossSite)).json<{ code: string }>().code,
      'FST_USERS_CROSS_SITE_REQUEST'
    )

    events.length = 0
    const gone = await send('DELETE', url('grail'), undefined, { ...headers, 'content-type': 'application/json' })
    t.same([gone.statusCode, gone.body], [204, ''])
    t.same(names(), ['onAfterUnlink', 'onLoginMethodRemoved'])
    t.match(events, [
      { user: { id }, account: { oauth_name: 'grail', account_id: 'arthur-1' } },
      { user: { id }, kind: 'provider', method: 'grail' }
    ])
    await app.users.settled()
    t.match(revoked, [tokensOf()], 'the grant is revoked at the provider')
    assertErrorReply(
      t,
      await send('DELETE', url('grail'), undefined, headers),
      404,
      'OAUTH_ACCOUNT_NOT_FOUND',
      'Not Found',
      'twice'
    )
    assertErrorReply(t, await send('DELETE', url('other'), undefined, headers), 400, 'OAUTH_LAST_LOGIN_METHOD')
    t.match(await rows(), [{ oauth_name: 'other' }])

    await app.users.update(id, { is_verified: true })
    await app.users.forgotPassword(ARTHUR)
    await app.users.resetPassword(await tokenOf('onAfterForgotPassword'), PASSWORD)
    t.equal(
      (await send('DELETE', url('other'), undefined, await bearer(ARTHUR))).statusCode,
      204,
      'a user with a password can unlink the last account'
    )
    t.same(await rows(), [])
  }
)

onEveryStore(
  'of parallel calls to unlink all accounts of a user without a password, one account stays',
  async (t, make) => {
    const { accounts, rows } = await start(t, { ...(await make(t)), slow: 6 })
    const { id } = await accounts.resolve(identity(), {})
    for (const i of numbers) await accounts.link(id, identity({ accountId: `more-${i}` }), {})
    const all = await accounts.list(id)
    const before = await rows()
    const ends = await Promise.all(all.map((account) => code(accounts.unlink(id, account.id, {}))))
    const left = await rows()
    t.ok(left.length > 0)
    t.equal(left.length, ends.filter((end) => end === 'OAUTH_LAST_LOGIN_METHOD').length)
    for (const row of left) {
      t.same(
        row,
        before.find((was) => was['id'] === row['id']),
        'the account is unchanged'
      )
    }
  }
)

onStores(
  'OAU-15: tokens are not stored without a key, and never unencrypted with one',
  async (t, make) => {
    for (const encryptionKeys of [[], [KEY]]) {
      const lines: string[] = []
      const { accounts, store, app, events, send } = await start(t, {
        ...(await make(t)),
        settings: { encryptionKeys }
      })
      const { id } = await accounts.resolve(identity(), {})
      await accounts.resolve(identity(), {})
      await accounts.link(id, identity({ accountId: '2' }), {})
      const row = await accounts.resolve(identity(), {})
      const { issued } = await app.users.login(row, { backend: 'jwt' })
      for (const url of ['/users/me', '/users/me/oauth-accounts']) {
        lines.push((await send('GET', url, undefined, { authorization: `Bearer ${issued?.token ?? ''}` })).body)
      }
      t.notMatch([await store.dump(), JSON.stringify(events), ...lines].join('\n'), /canary/)
      t.same(await accounts.tokens(id, 'grail'), encryptionKeys.length > 0 ? tokensOf() : null)
      t.equal(await accounts.tokens(id, 'unknown'), null)
      await app.users.delete(id)
      t.same(await store.rows('oauth_account'), [], 'the accounts are deleted with the user')
    }
  }
)

t.test('encrypted tokens can be decrypted only in their own row, with any key of the list', async (t) => {
  const file = join(t.testdir(), 'users.sqlite')
  const open = async (encryptionKeys: readonly string[], options: Partial<UsersOptions> = {}): Promise<AccountApp> =>
    await start(t, { adapter: sqlite(file), settings: { encryptionKeys }, options })
  const first = await open([KEY])
  const { id } = await first.accounts.resolve(identity(), {})
  const merlin = await first.accounts.resolve(
    identity({ accountId: '2', email: MERLIN, tokens: tokensOf({ accessToken: 'merlin' }) }),
    {}
  )
  const sealed = (await first.rows()).map(({ access_token: text }) => String(text))
  t.match(sealed, [/^fastify-users:1:[\w-]{8}:[\w-]+$/, /^fastify-users:1:/])
  await first.accounts.resolve(identity(), {})
  t.not(
    (await first.rows())
      .map(({ access_token: text }) => text)
      .toSorted()
      .join(),
    sealed.toSorted().join(),
    'each encryption has a new nonce'
  )

  const rotated = await open([NEW_KEY, KEY])
  t.same(await rotated.accounts.tokens(id, 'grail'), tokensOf(), 'an old key decrypts')
  await rotated.accounts.resolve(identity(), {})
  const last = await open([NEW_KEY])
  t.same(await last.accounts.tokens(id, 'grail'), tokensOf(), 'the new key encrypts')
  t.equal(
    await last.accounts.tokens(merlin.id, 'grail'),
    null,
    'tokens that only a removed key could decrypt count as absent'
  )
  t.equal(await last.enter(identity()), id)

  const database = new Database(file)
  t.teardown(() => database.close())
  const set = (sql: string, ...values: unknown[]): unknown => database.prepare(sql).run(...values)
  const [own] = database
    .prepare('SELECT access_token a, refresh_token r FROM oauth_account WHERE user_id = ?')
    .all(id) as { a: string; r: string }[]
  // the last character may contain unused bits
  const flipped = String(own?.a).replace(/.(?=.{9}$)/, (letter) => (letter === 'A' ? 'B' : 'A'))
  for (const text of [
    own?.r,
    flipped,
    own?.a.slice(0, -9),
    'fastify-users:1:',
    'fastify-users:1:x:',
    'fastify-users:2:x:y:z',
    `fastify-users:1:${'x'.repeat(99)}`
  ]) {
    if (text?.startsWith('fastify-users:2') === true) continue
    set('UPDATE oauth_account SET access_token = ? WHERE user_id = ?', text, id)
    t.equal(await last.accounts.tokens(id, 'grail'), null, String(text).slice(0, 30))
  }
  set('UPDATE oauth_account SET access_token = ? WHERE user_id = ?', own?.a, merlin.id)
  t.equal(await last.accounts.tokens(merlin.id, 'grail'), null, 'the tokens of another row')
  set('UPDATE oauth_account SET access_token = ? WHERE user_id = ?', own?.a, id)
  t.match(await last.accounts.tokens(id, 'grail'), { accessToken: ACCESS })
  t.equal(await (await open([])).accounts.tokens(id, 'grail'), null, 'no keys are configured')
  t.equal(
    await (await open([], { compatibility: 'fastapi-users' })).accounts.tokens(id, 'grail'),
    null,
    'no keys are configured in compatibility mode'
  )
})

t.test('in compatibility mode, tokens are stored unencrypted until a key is set', async (t) => {
  const file = join(t.testdir(), 'users.sqlite')
  const compatibility = { compatibility: 'fastapi-users' } as const
  const plain = await start(t, { adapter: sqlite(file), options: compatibility })
  const { id } = await plain.accounts.resolve(identity({ tokens: tokensOf({ expiresAt: 2e9 }) }), {})
  t.match(await plain.rows(), [{ access_token: ACCESS, refresh_token: REFRESH, expires_at: 2e9 }])
  const keyed = await start(t, { adapter: sqlite(file), options: compatibility, settings: { encryptionKeys: [KEY] } })
  t.same(await keyed.accounts.tokens(id, 'grail'), tokensOf({ expiresAt: 2e9 }), 'unencrypted rows stay readable')
  await keyed.accounts.resolve(identity({ tokens: tokensOf({ refreshToken: null }) }), {})
  t.notMatch(JSON.stringify(await keyed.rows()), /canary/, 'unencrypted rows are encrypted at the next write')
  t.same(await keyed.accounts.tokens(id, 'grail'), tokensOf())
  for (const text of ['a\0b', '\ud800']) {
    const { accountId } = identity()
    t.equal(
      await plain.enter(identity({ accountId, tokens: tokensOf({ accessToken: text }) })),
      id,
      'a value that no store can keep is not stored'
    )
    t.match(await plain.rows(), [{ access_token: '', refresh_token: null }])
  }
})

t.test(
  'an account unlinked during a refresh returns no tokens, and a refresh token that stays valid is kept',
  async (t) => {
    for (const fails of [false, true]) {
      const client: ProviderClient = {
        provider: GRAIL,
        async refresh () {
          await accounts.unlink(id, (await accounts.list(id))[0]?.id ?? '', {})
          if (fails) throw new TypeError('fetch failed')
          return tokensOf({ expiresAt: 4e9 })
        },
        async revoke () {}
      }
      const { accounts, create } = await start(t, { clients: [client], settings: { encryptionKeys: [KEY] } })
      const { id } = await create()
      await accounts.link(id, identity({ tokens: tokensOf({ expiresAt: 1 }) }), {})
      t.equal(
        await code(
          accounts.tokens(id, 'grail').then((tokens) => {
            t.equal(tokens, null)
          })
        ),
        fails ? 'OAUTH_PROVIDER_FAILED' : 'done'
      )
    }
    const keeps: ProviderClient = {
      provider: GRAIL,
      refresh: async () => tokensOf({ accessToken: 'fresh', refreshToken: null, expiresAt: 4e9 }),
      revoke: async () => {}
    }
    const { accounts, store } = await start(t, { clients: [keeps], settings: { encryptionKeys: [KEY] } })
    const { id } = await accounts.resolve(identity({ tokens: tokensOf({ expiresAt: 1 }) }), {})
    t.same(await accounts.tokens(id, 'grail'), { accessToken: 'fresh', refreshToken: REFRESH, expiresAt: 4e9 })

    await accounts.resolve(identity({ tokens: tokensOf({ expiresAt: 1 }) }), {})
    store.watch(async ({ method, proceed }) => {
      const result = await proceed()
      if (method !== 'findMany') return result
      store.watch()
      await accounts.resolve(identity({ tokens: tokensOf({ accessToken: 'by a login', expiresAt: 4e9 }) }), {})
      return result
    })
    t.match(
      await accounts.tokens(id, 'grail'),
      { accessToken: 'by a login' },
      'the tokens that a login stored before the refresh began'
    )
  }
)

/** A provider with one-time refresh tokens. */
function rotating (): ProviderClient & {
  calls: string[]
  good: string
  lifetime: number
  fail: unknown
  delay: number
} {
  let count = 0
  return {
    provider: GRAIL,
    lifetime: 3600,
    calls: [],
    good: REFRESH,
    fail: undefined,
    delay: 5,
    async refresh (refreshToken) {
      this.calls.push(refreshToken)
      await sleep(this.delay)
      if (this.fail !== undefined) throw this.fail
      if (refreshToken !== this.good) throw refuse(400, 'invalid_grant', 'used')
      this.good = `${REFRESH}-${++count}`
      return {
        accessToken: `${ACCESS}-${count}`,
        refreshToken: this.good,
        expiresAt: Math.floor(Date.now() / 1000) + this.lifetime
      }
    },
    async revoke () {}
  }
}

onEveryStore('ended tokens are refreshed once for all who ask, in one process or in several', async (t, make) => {
  const client = rotating()
  const made = await make(t)
  const first = await start(t, { ...made, clients: [client], settings: { encryptionKeys: [KEY] } })
  const second = await start(t, {
    ...made,
    adapter: { ...watchedAdapter(made.adapter).adapter, close: async () => {} },
    clients: [client],
    settings: { encryptionKeys: [KEY] }
  })
  const soon = Math.floor(Date.now() / 1000) + 10
  const { id } = await first.accounts.resolve(identity({ tokens: tokensOf({ expiresAt: soon }) }), {})
  const asked = await Promise.all(numbers.map(() => first.accounts.tokens(id, 'grail')))
  t.same(client.calls, [REFRESH])
  t.match(
    asked,
    numbers.map(() => ({ accessToken: `${ACCESS}-1`, refreshToken: `${REFRESH}-1` }))
  )
  t.match(await first.accounts.tokens(id, 'grail'), { accessToken: `${ACCESS}-1` }, 'stored')
  t.notMatch(JSON.stringify(await first.rows()), /canary/)

  first.tick(4000)
  second.tick(4000)
  client.delay = 40
  client.lifetime = 9000
  const both = await Promise.all([first, second, first, second].map(({ accounts }) => accounts.tokens(id, 'grail')))
  const live = both.map((tokens) => tokens?.accessToken)
  t.ok(client.calls.length <= 3, 'at most two further refreshes run')
  t.same(
    live.filter((token) => token !== `${ACCESS}-2`),
    [],
    'the second caller gets the tokens that the first one stored'
  )
})

t.test('a failed refresh throws an error and keeps the stored tokens', async (t) => {
  const client = rotating()
  const { accounts, rows, store, tick } = await start(t, { clients: [client], settings: { encryptionKeys: [KEY] } })
  const { id } = await accounts.resolve(identity({ tokens: tokensOf({ expiresAt: 1 }) }), {})
  const before = await rows()
  client.fail = refuse(400, 'x', 'x')
  t.equal(await code(accounts.tokens(id, 'grail')), 'REFUSED', 'a coded error is thrown unchanged')
  client.fail = new TypeError('fetch failed')
  t.equal(await code(accounts.tokens(id, 'grail')), 'OAUTH_PROVIDER_FAILED')
  t.same(await rows(), before)

  client.fail = undefined
  let down = 2
  store.watch(({ method, proceed }) => {
    if (method === 'update' && down-- > 0) throw Object.assign(new Error('down'), { code: 'ECONNRESET' })
    return proceed()
  })
  t.match(await accounts.tokens(id, 'grail'), { accessToken: `${ACCESS}-1` })
  t.match(
    await accounts.tokens(id, 'grail'),
    { refreshToken: `${REFRESH}-1` },
    'a new refresh token is stored although the store fails once'
  )

  tick(4000)
  down = Infinity
  t.equal(
    await code(accounts.tokens(id, 'grail')),
    'STORE_UNAVAILABLE',
    'a store that keeps failing makes the call fail'
  )
  store.watch()

  const { id: other } = await accounts.resolve(
    identity({ accountId: '2', email: MERLIN, tokens: tokensOf({ expiresAt: 1, refreshToken: null }) }),
    {}
  )
  t.equal(await accounts.tokens(other, 'grail'), null, 'the account has no refresh token')
  const foreign = await start(t, { settings: { encryptionKeys: [KEY] } })
  const { id: third } = await foreign.accounts.resolve(identity({ tokens: tokensOf({ expiresAt: 1 }) }), {})
  t.equal(await foreign.accounts.tokens(third, 'grail'), null, 'the provider is not configured')
})

t.test('tokens that a login stores during a refresh are kept', async (t) => {
  const client = rotating()
  const { accounts } = await start(t, { clients: [client], settings: { encryptionKeys: [KEY] } })
  const { id } = await accounts.resolve(identity({ tokens: tokensOf({ expiresAt: 1 }) }), {})
  const refresh = client.refresh.bind(client)
  client.refresh = async (token) => {
    await accounts.resolve(identity({ tokens: tokensOf({ accessToken: 'newest', expiresAt: 4e9 }) }), {})
    return await refresh(token)
  }
  t.match(await accounts.tokens(id, 'grail'), { accessToken: 'newest' })
  t.match(await accounts.tokens(id, 'grail'), { accessToken: 'newest' })
})

onStores(
  'row 82: with the option, replies with a user list its accounts, and nothing else loads them',
  async (t, make) => {
    const { adapter, id: kind = uuidId() } = await make(t)
    const schemas = userSchemas({ display_name: Type.Optional(Type.String()) }, { id: kind })
    const { accounts, app, send, create, bearer, tokenOf, store } = await start(t, {
      adapter,
      options: { schemas: schemas as never },
      settings: { encryptionKeys: [KEY] },
      accountsInReplies: true
    })
    const { id } = await accounts.resolve(identity(), {})
    const [account] = await accounts.list(id)
    await create({ email: MERLIN, is_superuser: true })
    const own = {
      authorization: `Bearer ${(await app.users.login(await accounts.resolve(identity(), {}), { backend: 'jwt' })).issued?.token ?? ''}`
    }
    const admin = await bearer(MERLIN)
    await app.users.requestVerify(ARTHUR)
    const token = await tokenOf('onAfterRequestVerify')
    const replies = {
      me: await send('GET', '/users/me', undefined, own),
      'patch me': await send('PATCH', '/users/me', { display_name: 'Arthur', oauth_accounts: [] }, own),
      'by id': await send('GET', `/users/${id}`, undefined, admin),
      'patch by id': await send('PATCH', `/users/${id}`, { is_active: true, oauth_accounts: null }, admin),
      verify: await send('POST', '/auth/verify', { token })
    }
    const again = {
      authorization: `Bearer ${(await app.users.login(await accounts.resolve(identity(), {}), { backend: 'jwt' })).issued?.token ?? ''}`
    }
    for (const [what, reply] of Object.entries(replies)) {
      t.same([reply.statusCode, reply.json<{ oauth_accounts: unknown }>().oauth_accounts], [200, [account]], what)
      t.notMatch(reply.body, /canary|access_token|refresh_token|argon2/, what)
    }
    const fresh = await send('POST', '/auth/register', { email: 'new@camelot.bt', password: PASSWORD })
    t.same([fresh.statusCode, fresh.json<{ oauth_accounts: unknown }>().oauth_accounts], [201, []])
    assertErrorReply(t, await send('GET', `/users/${id}`, undefined, again), 403, 'FORBIDDEN', 'Forbidden')
    t.equal((await send('POST', '/auth/forgot-password', { email: ARTHUR })).statusCode, 202)

    const models: string[] = []
    store.watch(({ model, proceed }) => {
      models.push(model.name)
      return proceed()
    })
    const guarded = await send('GET', '/guarded', undefined, again)
    t.equal(guarded.statusCode, 200)
    t.notMatch(guarded.body, /oauth/)
    t.same(models, ['user'], 'the guard reads the same as before')
  }
)

t.test('without the option or the feature, replies contain no list of accounts', async (t) => {
  const { accounts, app, send } = await start(t)
  const own = {
    authorization: `Bearer ${(await app.users.login(await accounts.resolve(identity(), {}), { backend: 'jwt' })).issued?.token ?? ''}`
  }
  t.notMatch((await send('GET', '/users/me', undefined, own)).body, /oauth/)
  const { register } = await buildApp(t)
  t.notOk('oauth_accounts' in (await register()))
})

t.test('a custom field named oauth_accounts refuses to start together with this feature', async (t) => {
  const schemas = userSchemas({ oauth_accounts: Type.Optional(Type.String()) }) as never
  await t.resolves(buildApp(t, { schemas }))
  for (const accountsInReplies of [false, true]) {
    const features = [accountsFeature(none, () => {}, new Map(), accountsInReplies)]
    await t.rejects(buildApp(t, { schemas, features }), {
      code: 'FST_USERS_INVALID_OPTION',
      message: /oauth_accounts/
    })
  }
})

t.test('the API document describes the routes, their security and replies', async (t) => {
  for (const errorStyle of ['fastify', 'fastapi'] as const) {
    const options: UsersOptions = {
      adapter: memory(),
      secret: SECRET,
      backends: backends(),
      schemas: userSchemas({}, { id: integerId() }),
      compatibility: { errorStyle },
      features: [
        accountsFeature(
          none,
          (accounts, kit) => ({
            routes: async (scope) => {
              await scope.register(oauthAccountRoutes, { prefix: '/users', kit, accounts })
            }
          }),
          new Map(),
          true
        )
      ]
    }
    const app = Fastify()
    t.teardown(() => app.close())
    const { openapi, transformObject } = usersOpenapi(options)
    await app.register(swagger, {
      openapi: { ...openapi, info: { title: 'Camelot', version: '1' } },
      transformObject
    } as object)
    await app.register(users, options)
    await app.ready()
    const document = JSON.parse(JSON.stringify(app.swagger())) as ApiDocument
    t.strictSame(await validateDocument(document), { seriousme: null, readme: null }, errorStyle)
    const list = document.paths['/users/me/oauth-accounts']?.['get']
    const unlink = document.paths['/users/me/oauth-accounts/{id}']?.['delete']
    t.match(
      [list, unlink],
      [
        { operationId: 'oauthAccounts', tags: ['users'], security: [{ jwt: [] }, { cookie: [] }] },
        { operationId: 'unlinkOauthAccount', tags: ['users'], security: [{ jwt: [] }, { cookie: [] }] }
      ]
    )
    t.same(
      [list, unlink].map((operation) => Object.keys(operation?.responses ?? {})),
      [
        ['200', '401', '403', '500', '503'],
        ['204', '400', '401', '403', '404', '413', errorStyle === 'fastapi' ? '422' : '415', '429', '500', '503']
      ],
      errorStyle
    )
    t.match(document.components.schemas, {
      OauthAccountRead: { properties: { id: { type: 'integer' }, oauth_name: {}, account_id: {}, account_email: {} } },
      UserRead: { properties: { oauth_accounts: { items: { $ref: '#/components/schemas/OauthAccountRead' } } } }
    })
  }
})

/** Tables of an older installation: no unique index, no foreign key, narrow columns. */
const ADOPTED = `
CREATE TABLE "user" (id CHAR(36) PRIMARY KEY, email VARCHAR(320) NOT NULL UNIQUE, hashed_password VARCHAR(1024) NOT NULL, is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL);
CREATE TABLE oauth_account (id CHAR(36) PRIMARY KEY, user_id CHAR(36) NOT NULL, oauth_name VARCHAR(100) NOT NULL, access_token VARCHAR(1024) NOT NULL, expires_at INTEGER, refresh_token VARCHAR(1024), account_id VARCHAR(320) NOT NULL, account_email VARCHAR(320) NOT NULL);`

t.test('without the indexes of an existing table, an account has one user and is deleted with it', async (t) => {
  const file = join(t.testdir(), 'users.sqlite')
  const database = new Database(file)
  t.teardown(() => database.close())
  database.exec(ADOPTED)
  const { accounts, create, rows, app, enter, users } = await start(t, {
    adapter: sqlite(file),
    slow: 5,
    options: { compatibility: 'fastapi-users', backends: backends().slice(0, 1) }
  })
  const knights = await Promise.all(numbers.map((i) => create({ email: `knight${i}@camelot.bt` })))
  await Promise.all(knights.map(({ id }) => code(accounts.link(id, identity(), {}))))
  t.ok((await rows()).length <= 1, 'of parallel links at most one is kept')
  await Promise.all(numbers.map(() => enter(identity({ accountId: 'new', email: 'new@camelot.bt' }))))
  t.equal((await rows()).filter(({ account_id: id }) => id === 'new').length, 1)
  await Promise.all(numbers.map((i) => enter(identity({ accountId: 'moving', email: `moving${i}@camelot.bt` }))))
  const moving = (await rows()).filter(({ account_id: id }) => id === 'moving')
  t.ok(moving.length <= 1, 'of parallel first logins with other e-mails at most one account is kept')
  t.same(
    (await users()).filter(({ email }) => String(email).startsWith('moving')).map(({ id }) => id),
    moving.map(({ user_id: id }) => id),
    'only the user of the kept account is kept'
  )

  const lancelot = await accounts.resolve(
    identity({ accountId: '9', email: 'lancelot@camelot.bt', tokens: tokensOf({ accessToken: 'x'.repeat(1025) }) }),
    {}
  )
  t.match(
    (await rows()).find(({ account_id: id }) => id === '9'),
    { access_token: '', refresh_token: null },
    'tokens that do not fit are not stored'
  )
  t.equal(
    await enter(
      identity({ accountId: '9', email: 'lancelot@camelot.bt', tokens: tokensOf({ refreshToken: 'x'.repeat(1025) }) })
    ),
    lancelot.id
  )
  t.equal(await enter(identity({ accountId: '9', email: 'lancelot@camelot.bt' })), lancelot.id)
  t.match(await accounts.tokens(lancelot.id, 'grail'), { accessToken: ACCESS })

  const [first, second] = knights as [User, User]
  for (const { id } of [first, second]) {
    database
      .prepare("INSERT INTO oauth_account VALUES (?, ?, 'grail', '', NULL, NULL, 'twice', 'x@x.bt')")
      .run(crypto.randomUUID(), id)
  }
  t.equal(
    await enter(identity({ accountId: 'twice' })),
    'OAUTH_ACCOUNT_ALREADY_LINKED',
    'an account of two users identifies no user'
  )
  await app.users.delete(first.id)
  t.equal(await enter(identity({ accountId: 'twice' })), second.id, 'the accounts of a user are deleted with the user')
  database.prepare('DELETE FROM "user" WHERE id = ?').run(second.id)
  const count = (await users()).length
  const fresh = await enter(identity({ accountId: 'twice', email: 'fresh@camelot.bt' }))
  t.equal((await users()).length, count + 1)
  t.match(
    (await rows()).filter(({ account_id: id }) => id === 'twice'),
    [{ user_id: fresh }],
    'a login with an account without a user creates a user'
  )
  database.prepare('DELETE FROM "user" WHERE id = ?').run(fresh)
  await accounts.link(lancelot.id, identity({ accountId: 'twice' }), {})
  t.match(
    (await rows()).filter(({ account_id: id }) => id === 'twice'),
    [{ user_id: lancelot.id }],
    'an account without a user can be linked'
  )
})

t.test('accounts have the same kind of id as users', async (t) => {
  for (const [kind, form] of [
    [integerId(), /^\d+$/],
    [objectIdId(), /^[0-9a-f]{24}$/]
  ] as const) {
    for (const [name, [make, { skip } = { skip: false }]] of Object.entries(stores)) {
      if (skip !== false) continue
      const { accounts, rows } = await start(t, { ...(await make(t)), id: kind })
      const { id } = await accounts.resolve(identity(), {})
      await accounts.link(id, identity({ accountId: '2' }), {})
      const [one, two] = await accounts.list(id)
      t.match(String(one?.id), form)
      const before = await rows()
      t.same(
        (await Promise.all([one, two].map((account) => code(accounts.unlink(id, account?.id ?? '', {}))))).filter(
          (end) => end === 'done'
        ).length < 2,
        true
      )
      t.ok((await rows()).length > 0, name)
      for (const row of await rows()) {
        t.same(
          row,
          before.find((was) => was['id'] === row['id']),
          name
        )
      }
    }
  }
})

t.test('the secret of the users plugin does not decrypt tokens', async (t) => {
  const { accounts } = await start(t, {
    settings: { encryptionKeys: [KEY] },
    options: { secret: SECRET, name: 'staff' }
  })
  const { id } = await accounts.resolve(identity(), {})
  t.same(await accounts.tokens(id, 'grail'), tokensOf())
})
