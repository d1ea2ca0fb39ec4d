import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { transform } from 'esbuild'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import type { AccountSettings, Identity, OauthAccounts, Provider } from '../lib/features/oauth/contracts.js'
import { enterWith } from '../lib/features/oauth/enter.js'
import { refuse, type User, type UserId, type UserRow, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { watchedAdapter, type WatchedAdapter } from './fixtures/watched-adapter.js'
import { accountsFeature } from './helpers/accounts-feature.js'
import { root } from './helpers/root.js'
import { addRoutes, ARTHUR, buildApp, cookieOf, PASSWORD, type TestApp } from './helpers/build-app.js'

const NEW_EMAIL = 'arthur@camelot.bt'
const NEW_PASSWORD = 'excalibur-2'

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

const identity = (accountId: string, values: Partial<Identity> = {}): Identity => ({
  provider: provider('grail'),
  accountId,
  email: ARTHUR,
  emailVerified: true,
  profile: {},
  tokens: { accessToken: 'a', refreshToken: null, expiresAt: null },
  ...values
})

/** Accounts whose provider did not verify Arthur's e-mail, each for another reason. */
const unverifiedAccounts: Record<string, Identity> = {
  'another e-mail': identity('1', { email: 'mordred@camelot.bt' }),
  'an unverified e-mail': identity('2', { emailVerified: false }),
  'a provider that is not trusted': identity('3', { provider: provider('wild', false) }),
  'an e-mail with the same beginning': identity('4', { email: `${ARTHUR}x` })
}
const OWNER_IDENTITY = identity('owner')

interface AccountApp extends TestApp {
  store: WatchedAdapter
  accounts: OauthAccounts
  /** Logs in with an identity, and returns the user's id or the error code. */
  enter(identity: Identity): Promise<unknown>
}

async function start (
  t: Test,
  {
    settings = {},
    options = {},
    hooks = () => {}
  }: {
    settings?: Partial<AccountSettings>
    options?: Partial<UsersOptions>
    hooks?: (app: TestApp['app']) => void
  } = {}
): Promise<AccountApp> {
  const store = watchedAdapter(memory())
  const made: { accounts?: OauthAccounts } = {}
  let current = OWNER_IDENTITY
  const requireVerification = settings.requireVerification ?? options.requireVerification ?? false
  const all: AccountSettings = {
    associateByEmail: false,
    reclaimUnverified: false,
    isVerifiedByDefault: false,
    mapProfile: null,
    encryptionKeys: [],
    ...settings,
    requireVerification
  }
  const feature = accountsFeature(all, (accounts, kit) => {
    made.accounts = accounts
    return {
      async routes (scope) {
        scope.post('/enter', async (request: FastifyRequest, reply: FastifyReply) => {
          const backend = kit.users.backends.get('jwt')
          if (backend === undefined) throw new Error('no backend')
          return await enterWith({ kit, accounts, backend, requireVerification }, current, { request, reply })
        })
      }
    }
  })
  const built = await buildApp(t, { adapter: store.adapter, ...options, features: [feature] }, (app) => {
    addRoutes(app)
    hooks(app)
  })
  if (made.accounts === undefined) throw new Error('not built')
  return {
    ...built,
    store,
    accounts: made.accounts,
    async enter (nextIdentity) {
      current = nextIdentity
      const reply = await built.send('POST', '/enter')
      if (reply.statusCode !== 200) return reply.json<{ code: string }>().code.replace('FST_USERS_', '')
      const { token } = reply.json<{ token: string }>()
      return (await built.send('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })).json<{
        id?: unknown
      }>().id
    }
  }
}

async function verifyToken ({ app, tokenOf }: AccountApp): Promise<string> {
  await app.users.requestVerify(ARTHUR)
  return await tokenOf('onAfterRequestVerify')
}

/** All events that verify an e-mail, and whether the earlier password works afterwards. */
const verifications: Record<
  string,
  { run(round: AccountApp, id: UserId): Promise<unknown>; keepsPassword: boolean; email?: string }
> = {
  'a verify token': { run: async (round) => round.app.users.verify(await verifyToken(round)), keepsPassword: true },
  'a password reset': {
    async run (round) {
      await round.app.users.forgotPassword(ARTHUR)
      await round.app.users.resetPassword(await round.tokenOf('onAfterForgotPassword'), NEW_PASSWORD)
    },
    keepsPassword: false
  },
  'the verification of a new e-mail': {
    async run (round) {
      await round.send(
        'PATCH',
        '/users/me',
        { email: NEW_EMAIL, current_password: PASSWORD },
        await round.bearer(ARTHUR)
      )
      await round.app.users.verify(await round.tokenOf('onAfterRequestVerify'))
    },
    keepsPassword: true,
    email: NEW_EMAIL
  },
  'a login with a provider that verified the e-mail': {
    run: async ({ enter }) => enter(identity('first-login')),
    keepsPassword: false
  },
  'a login method of the application': {
    run: async ({ app }, id) => app.users.confirmEmail((await app.users.get(id)) as User),
    keepsPassword: false
  },
  'a superuser': {
    run: async ({ app }, id) => app.users.update(id, { is_verified: true }, { by: 'superuser' }),
    keepsPassword: true
  }
}

for (const [name, { run, keepsPassword, email = ARTHUR }] of Object.entries(verifications)) {
  t.test(
    `RST-13, LNK-03, SES-06: ${name} ends all sessions and unlinks the accounts that had not verified the e-mail`,
    async (t) => {
      const round = await start(t, {
        settings: { associateByEmail: true, reclaimUnverified: true },
        options: { sensitiveChanges: 'confirm' }
      })
      const { register, accounts, enter, bearer, cookie, send, login, app, events } = round
      const { id } = (await register()) as { id: UserId }
      for (const unverifiedAccount of Object.values(unverifiedAccounts)) await accounts.link(id, unverifiedAccount, {})
      await accounts.link(id, { ...OWNER_IDENTITY, email }, {})
      for (const [why, unverifiedAccount] of Object.entries(unverifiedAccounts)) {
        t.equal(await enter(unverifiedAccount), id, `${why}: logs in before`)
      }
      const sessions = [await bearer(ARTHUR), await cookie(ARTHUR)]
      events.length = 0

      await run(round, id)
      t.match(await app.users.get(id), { email, is_verified: true })
      for (const headers of sessions) {
        t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401, 'the sessions have ended')
      }
      for (const [why, unverifiedAccount] of Object.entries(unverifiedAccounts)) {
        t.not(
          await enter(unverifiedAccount),
          id,
          why
        )
      }
      t.equal(await enter({ ...OWNER_IDENTITY, email }), id, 'the account that verified the e-mail stays linked')
      t.equal(
        (await login('jwt', email)).statusCode,
        keepsPassword ? 200 : 400,
        'the result of a login with the earlier password'
      )
      t.equal(events.filter(({ name }) => name === 'onAfterVerify').length, name === 'a superuser' ? 0 : 1)
    }
  )
}

t.test('an account counts as verified by the claim of the provider at its last login', async (t) => {
  for (const [first, last, stays] of [
    [true, false, false],
    [false, true, true]
  ] as const) {
    const round = await start(t)
    const { register, accounts, enter } = round
    const { id } = (await register()) as { id: UserId }
    await accounts.link(id, { ...OWNER_IDENTITY, emailVerified: first }, {})
    await enter({ ...OWNER_IDENTITY, emailVerified: last })
    await round.app.users.verify(await verifyToken(round))
    t.equal((await accounts.list(id)).length, stays ? 1 : 0)
  }
})

t.test('an account without a stored claim, such as one of FastAPI Users, does not count as verified', async (t) => {
  const round = await start(t)
  const { register, accounts, store, app } = round
  const { id } = (await register()) as { id: UserId }
  await accounts.link(id, OWNER_IDENTITY, {})
  await store.adapter.update({ name: 'oauth_account' } as never, {}, { email_verified: null })
  await app.users.verify(await verifyToken(round))
  t.same(await accounts.list(id), [])
})

t.test('a verified user keeps the linked accounts at a reset, and confirmEmail changes nothing', async (t) => {
  const round = await start(t)
  const { create, accounts, app, bearer, send, login, tokenOf } = round
  const user = await create({ is_verified: true })
  const { id } = user as { id: UserId }
  for (const unverifiedAccount of Object.values(unverifiedAccounts)) await accounts.link(id, unverifiedAccount, {})
  const headers = await bearer(ARTHUR)
  t.match(await app.users.confirmEmail(user), { id, is_verified: true })
  t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 200)
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
  await app.users.forgotPassword(ARTHUR)
  await app.users.resetPassword(await tokenOf('onAfterForgotPassword'), NEW_PASSWORD)
  t.equal((await accounts.list(id)).length, Object.keys(unverifiedAccounts).length)
})

t.test('confirmEmail verifies only the e-mail of the given user object', async (t) => {
  const { create, app } = await start(t)
  const user = await create()
  await app.users.update(user.id, { email: NEW_EMAIL })
  await t.rejects(app.users.confirmEmail(user), { code: 'FST_USERS_VERIFY_USER_BAD_TOKEN' }, 'the e-mail changed')
  await app.users.update(user.id, { email: ARTHUR, is_active: false })
  await t.rejects(app.users.confirmEmail(user), { code: 'FST_USERS_VERIFY_USER_BAD_TOKEN' }, 'the user is inactive')
  t.match(await app.users.get(user.id), { is_verified: false })
  await app.users.delete(user)
  await t.rejects(app.users.confirmEmail(user), { code: 'FST_USERS_NOT_FOUND' })
})

t.test(
  'RACE-01: of parallel calls of confirmEmail one verifies the user, and all return the verified user',
  async (t) => {
    const { create, app, events } = await start(t)
    const user = await create()
    for (const done of await Promise.all(Array.from({ length: 10 }, () => app.users.confirmEmail(user)))) {
      t.match(done, { is_verified: true })
    }
    t.equal(events.filter(({ name }) => name === 'onAfterVerify').length, 1)
  }
)

t.test(
  'RST-13: after a store failure at any point of a verification, no unverified account stays linked',
  async (t) => {
    for (let k = 1, done = false; !done; k++) {
      const round = await start(t)
      const { register, accounts, app, store, enter } = round
      const { id } = (await register()) as { id: UserId }
      const unverifiedAccount = identity('1', { email: 'mordred@camelot.bt' })
      await accounts.link(id, unverifiedAccount, {})
      const token = await verifyToken(round)
      store.watch(({ n, proceed }) => {
        if (n === k) throw Object.assign(new Error('down'), { code: 'ECONNRESET' })
        return proceed()
      })
      const failed = await app.users.verify(token).then(
        () => null,
        (error: { code: string }) => error.code
      )
      done = store.calls < k
      store.watch()
      t.equal(failed, done ? null : 'FST_USERS_STORE_UNAVAILABLE', `call ${k}`)
      if ((await app.users.get(id))?.is_verified !== true) await app.users.verify(token)
      t.not(await enter(unverifiedAccount), id, `call ${k}`)
    }
  }
)

t.test(
  'LNK-04: an account linked, or logged in, at any point of a verification cannot log in afterwards',
  async (t) => {
    const unverifiedAccount = identity('1', { email: 'mordred@camelot.bt' })
    for (let k = 1, calls = Infinity; k <= calls; k++) {
      const round = await start(t)
      const { create, accounts, app, store, enter, send } = round
      const { id } = (await create()) as { id: UserId }
      // the user as the linking callback read it, before the verification
      const before = (await store.rows('user'))[0] as unknown as UserRow
      const token = await verifyToken(round)
      const sessions: string[] = []
      let count = 0
      let inside = false
      store.watch(async ({ proceed }) => {
        if (inside || ++count !== k) return await proceed()
        inside = true
        await accounts.link(before, unverifiedAccount, {}).catch(() => {})
        const row = await accounts.resolve(unverifiedAccount, {}).catch(() => null)
        const login = row?.id === id ? await app.users.login(row, { backend: 'jwt' }).catch(() => null) : null
        if (login?.issued !== undefined) sessions.push(login.issued.token)
        inside = false
        return await proceed()
      })
      await app.users.verify(token)
      store.watch()
      calls = count
      for (const session of sessions) {
        t.equal(
          (await send('GET', '/users/me', undefined, { authorization: `Bearer ${session}` })).statusCode,
          401,
          `call ${k}: the session`
        )
      }
      t.not(await enter(unverifiedAccount), id, `call ${k}: the account`)
    }
  }
)

t.test(
  'LOG-05, LOG-06: a first login that is refused for any reason leaves neither a user nor an account',
  async (t) => {
    const refusals: Record<string, [Parameters<typeof start>[1], string, string[]]> = {
      'verification is required': [
        { options: { requireVerification: true } },
        'LOGIN_USER_NOT_VERIFIED',
        ['onLoginFailed']
      ],
      'the feature requires verification': [
        { settings: { requireVerification: true } },
        'LOGIN_USER_NOT_VERIFIED',
        ['onLoginFailed']
      ],
      'a hook refuses the login': [
        {
          hooks: (app) => {
            app.users.addHook('onBeforeLogin', () => {
              throw refuse(403, 'CLOSED', 'Closed.')
            })
          }
        },
        'REFUSED',
        ['onBeforeRegister', 'onAfterRegister', 'onBeforeLogin', 'onLoginFailed', 'onAfterDelete']
      ],
      'a late hook refuses the login': [
        {
          hooks: (app) => {
            app.users.addHook('onAfterLogin', () => {
              throw refuse(403, 'CLOSED', 'Closed.')
            })
          }
        },
        'REFUSED',
        ['onBeforeRegister', 'onAfterRegister', 'onBeforeLogin', 'onIssueToken', 'onAfterLogin', 'onAfterDelete']
      ]
    }
    for (const [why, [setting, code, names]] of Object.entries(refusals)) {
      const { enter, store, events } = await start(t, setting)
      for (const nextIdentity of [identity('1', { emailVerified: false }), identity('1')]) {
        events.length = 0
        t.equal(await enter(nextIdentity), code, why)
        t.strictSame(
          [await store.rows('user'), await store.rows('oauth_account'), await store.rows('accesstoken')],
          [[], [], []],
          why
        )
        t.strictSame(
          events.map(({ name }) => name),
          names,
          why
        )
      }
    }
  }
)

t.test('LOG-04: the first login of a user whom a hook deactivates is refused, and stores nothing', async (t) => {
  const { enter, store } = await start(t, {
    hooks: (app) => {
      app.users.addHook('onAfterRegister', async ({ user }) => {
        await app.users.update(user, { is_active: false })
      })
    }
  })
  t.equal(await enter(OWNER_IDENTITY), 'LOGIN_BAD_CREDENTIALS')
  t.strictSame([await store.rows('user'), await store.rows('oauth_account')], [[], []])
})

t.test(
  'a hook may verify a new user at the first login, and a pending login keeps user and account',
  async (t) => {
    const verifyingApp = await start(t, {
      hooks: (app) => {
        app.users.addHook('onAfterRegister', async ({ user }) => {
          await app.users.update(user, { is_verified: true })
        })
      }
    })
    t.type(await verifyingApp.enter(OWNER_IDENTITY), 'string')
    t.match(await verifyingApp.store.rows('user'), [{ is_verified: true }])
    const pending = await start(t, {
      hooks: (app) => {
        app.users.addHook('onBeforeLogin', () => ({ pending: { code: 'SECOND_FACTOR' } }))
      }
    })
    t.equal(await pending.enter(OWNER_IDENTITY), 'LOGIN_PENDING')
    t.strictSame(
      [(await pending.store.rows('user')).length, (await pending.store.rows('oauth_account')).length],
      [1, 1]
    )
  }
)

t.test('a later login that is refused deletes nothing', async (t) => {
  let closed = false
  const { enter, store } = await start(t, {
    hooks: (app) => {
      app.users.addHook('onBeforeLogin', () => {
        if (closed) throw refuse(403, 'CLOSED', 'Closed.')
      })
    }
  })
  const id = await enter(OWNER_IDENTITY)
  closed = true
  t.equal(await enter(OWNER_IDENTITY), 'REFUSED')
  closed = false
  t.equal(await enter(OWNER_IDENTITY), id)
  t.equal((await store.rows('oauth_account')).length, 1)
})

t.test(
  'RST-13: the magic link of the recipes deletes all access of a person who registered the e-mail first',
  async (t) => {
    const page = readFileSync(join(root, 'docs/recipes.md'), 'utf8')
    const recipe = /^app\.post<[^(]*\('\/auth\/magic'.*?^}\)$/ms.exec(page)?.[0] ?? ''
    const { code } = await transform(`export default (app, emailOfLink, refuse) => { ${recipe} }`, { loader: 'ts' })
    type Recipe = (
      app: TestApp['app'],
      emailOfLink: (link: string) => Promise<string | null>,
      refusal: typeof refuse
    ) => void
    const { default: addRecipe } = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as {
      default: Recipe
    }
    const { register, accounts, bearer, send, login, enter } = await start(t, {
      hooks: (app) => {
        addRecipe(app, async (link) => (link === 'good' ? ARTHUR : null), refuse)
      }
    })
    const { id } = (await register()) as { id: UserId }
    const unverifiedAccount = identity('1', { email: 'mordred@camelot.bt' })
    await accounts.link(id, unverifiedAccount, {})
    const attackerHeaders = await bearer(ARTHUR)
    for (let i = 0; i < 2; i++) {
      const reply = await send('POST', '/auth/magic', { link: 'good' })
      t.equal(reply.statusCode, 204)
      t.match((await send('GET', '/users/me', undefined, { cookie: cookieOf(reply) })).json<object>(), {
        id,
        is_verified: true
      })
    }
    t.equal((await send('GET', '/users/me', undefined, attackerHeaders)).statusCode, 401)
    t.equal((await login('jwt', ARTHUR)).statusCode, 400, 'the result of a login with the earlier password')
    t.not(await enter(unverifiedAccount), id)
    t.equal((await send('POST', '/auth/magic', { link: 'bad' })).statusCode, 400)
  }
)
