import { copyFileSync, chmodSync } from 'node:fs'
import { join } from 'node:path'
import { hash as hashBcrypt } from '@node-rs/bcrypt'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type RouteOptions } from 'fastify'
import t, { type Test } from 'tap'
import * as errors from '../../lib/errors.js'
import users, {
  authenticate,
  bearerTransport,
  cookieTransport,
  currentUser,
  databaseStrategy,
  defineStrategy,
  jwtStrategy,
  userSchemas,
  type CookieTransportOptions,
  type NewUser,
  type User,
  type UserChanges,
  type UserId,
  type UsersOptions
} from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { captureEvents } from '../../lib/testing/index.js'
import { watchedAdapter } from '../fixtures/watched-adapter.js'
import { fastPasswords, storedModel } from '../helpers/build-app.js'
import { cookieMeaning, readable, requestOf, textOf } from './row-requests.js'
import {
  emailOf,
  groups,
  PASSWORD,
  rows,
  SECRETS,
  type Actor,
  type Variant,
  type WireRow,
  type RowContext
} from './rows.js'

const ACTORS: Readonly<Record<Actor, object>> = {
  arthur: { is_superuser: true, is_verified: true },
  galahad: { is_verified: true },
  lancelot: {},
  mordred: { is_active: false }
}

const brokenStrategy = defineStrategy({
  name: 'broken',
  setup: () => ({
    readToken: () => {
      throw Object.assign(new Error('the store is down'), { code: 'ECONNREFUSED' })
    },
    writeToken: () => ({ token: 'x', lifetimeSeconds: 1 })
  })
})

/** The password policy of the variant `policy`. */
function refuseShort (password: string): string | null {
  if (password === 'list') throw errors.FST_USERS_INVALID_PASSWORD({ rules: ['length'] })
  return password.length < 3 ? 'Too short' : null
}

const variants: Readonly<Record<Variant, () => Partial<UsersOptions>>> = {
  plain: () => ({}),
  verified: () => ({ requireVerification: true }),
  policy: () => ({ validatePassword: refuseShort }),
  faulty: () => ({
    hooks: {
      onAfterUpdate: () => {
        throw new Error('postgres://user:password@host')
      }
    }
  }),
  'cookie-age': () => ({ backends: backends({ maxAge: 3600 }) }),
  'cookie-own': () => ({
    backends: backends({
      name: 'sess',
      domain: 'camelot.bt',
      path: '/x',
      secure: false,
      httpOnly: false,
      sameSite: 'strict'
    })
  }),
  'broken-store': () => ({
    backends: [...backends(), { name: 'broken', transport: bearerTransport(), strategy: brokenStrategy }]
  }),
  custom: () => ({ schemas: userSchemas({ nick: Type.String({ maxLength: 5 }) }) }),
  fixture: () => ({})
}

function backends (cookie: CookieTransportOptions = {}): UsersOptions['backends'] {
  const strategy = () => jwtStrategy({ secret: SECRETS.auth, lifetimeSeconds: 3600 })
  return [
    { name: 'jwt', transport: bearerTransport(), strategy: strategy() },
    { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) },
    { name: 'cookie', transport: cookieTransport(cookie), strategy: strategy() }
  ]
}

interface BuiltVariant {
  app: FastifyInstance
  /** Restores the rows of the four actors and returns the helpers of a test. */
  reset(): Promise<RowContext>
}

const builtVariants = new Map<Variant, Promise<BuiltVariant>>()

/** Returns the application of a variant. All rows of the table with this variant use it. */
async function findOrBuild (variant: Variant): Promise<BuiltVariant> {
  const built = builtVariants.get(variant) ?? build(variant)
  builtVariants.set(variant, built)
  return await built
}

/** Creates an application in compatibility mode with the four actors. */
async function build (variant: Variant): Promise<BuiltVariant> {
  const app = Fastify()
  t.teardown(() => app.close())
  const { adapter, snapshot } = watchedAdapter(variant === 'fixture' ? sqlite(copyFixture(t)) : memory())
  await app.register(users, {
    adapter,
    secret: SECRETS.auth,
    compatibility: 'fastapi-users',
    tokens: { reset: { secret: SECRETS.reset }, verify: { secret: SECRETS.verify } },
    passwords: fastPasswords,
    limits: false,
    backends: backends(),
    ...variants[variant]()
  })
  const { events, tokenOf, clear } = captureEvents(app)
  app.get('/guarded', { preHandler: authenticate }, async (request) => currentUser(request))
  app.get('/superusers', { preHandler: authenticate({ superuser: true }) }, async (request) => currentUser(request))
  await app.ready()

  const ids: Partial<Record<Actor, string>> = {}
  for (const who of Object.keys(ACTORS) as Actor[]) {
    const known =
      (await app.users.getByEmail(emailOf(who))) ??
      (await app.users.create({
        email: emailOf(who),
        password: PASSWORD,
        ...ACTORS[who],
        ...(variant === 'custom' ? { nick: who.slice(0, 5) } : {})
      } as NewUser))
    ids[who] = String(known.id)
  }
  const idOf = (who: Actor): UserId => String(ids[who]) as UserId
  const createContext = (): RowContext => ({
    ids: ids as Record<Actor, string>,
    kept: {},
    get now () {
      return Math.floor(Date.now() / 1000)
    },
    async requestToken (purpose, who) {
      await (purpose === 'reset' ? app.users.forgotPassword(emailOf(who)) : app.users.requestVerify(emailOf(who)))
      return await tokenOf(purpose === 'reset' ? 'onAfterForgotPassword' : 'onAfterRequestVerify')
    },
    async change (who, changes) {
      await app.users.update(idOf(who), changes as UserChanges)
    },
    async makeOldHash (who) {
      await adapter.update(storedModel('user'), { id: idOf(who) }, { hashed_password: await hashBcrypt(PASSWORD, 4) })
    },
    remove: (who) => app.users.delete(idOf(who)),
    async login (backend, who) {
      const { issued } = await app.users.login((await app.users.get(idOf(who))) as User, { backend })
      return String(issued?.token)
    },
    settled: () => app.users.settled(),
    eventsNamed: (event) => events.filter(({ name }) => name === event)
  })
  await app.users.settled()
  const restoreRows = await snapshot()
  return {
    app,
    async reset () {
      await app.users.settled()
      await restoreRows()
      clear()
      return createContext()
    }
  }
}

function copyFixture (t: Test): string {
  const file = join(t.testdir(), 'users.sqlite')
  copyFileSync('test/fixtures/fastapi-users.sqlite', file)
  chmodSync(file, 0o644)
  return file
}

async function runRow (t: Test, { variant = 'plain', steps }: WireRow): Promise<void> {
  const { app, reset } = await findOrBuild(variant)
  const context = await reset()
  for (const [i, step] of steps.entries()) {
    await step.before?.(context)
    const replies = await Promise.all(
      Array.from({ length: step.times ?? 1 }, () => app.inject(requestOf(step, context)))
    )
    const answers = replies
      .map(({ statusCode, body }) => ({ status: statusCode, body: readable(body) }))
      .sort((a, b) => Number(b.status === step.status) - Number(a.status === step.status))
    const { status = 0, body } = step.others ?? {}
    const expected = answers.map((_answer, j) =>
      j === 0 ? { status: step.status, body: textOf(step.body) } : { status, body: textOf(body) }
    )
    t.strictSame(answers, expected, `${i + 1}: ${step.send}`)
    for (const { headers } of replies) {
      t.equal(headers['www-authenticate'], undefined, 'WWW-Authenticate is never sent')
      t.strictSame(
        cookieMeaning(readable(String(headers['set-cookie'] ?? ''))),
        cookieMeaning(step.cookie ?? ''),
        'cookie'
      )
      for (const [name, value] of Object.entries(step.has ?? {})) t.equal(headers[name] ?? null, value, name)
    }
    if (step.after !== undefined) t.ok(await step.after(context), 'afterwards')
  }
}

for (const [title, group] of Object.entries(groups)) {
  t.test(`${title}: replies equal those of FastAPI Users, or differ for the stated reason`, async (t) => {
    for (const row of group) {
      await t.test(
        `${row.at} ${row.name}${row.differs === undefined ? '' : ` (differs: ${row.differs.reason})`}`.replaceAll(
          '#',
          ''
        ),
        (t) => runRow(t, row)
      )
    }
  })
}

t.test('row names are unique, and every difference states the reply of FastAPI Users and the reason', async (t) => {
  t.equal(new Set(rows.map(({ at, name }) => `${at} ${name}`)).size, rows.length)
  t.ok(rows.every(({ steps }) => steps.length > 0))
  for (const { name, differs } of rows) {
    if (differs !== undefined) {
      t.ok(differs.upstream !== '' && /\b(?:[DQ]\d+|[A-Z]+-\d\d|1\.13)/.test(differs.reason), name)
    }
  }
})

t.test('row 87: operation ids and summaries equal those of FastAPI Users', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => {
    routes.push(route)
  })
  await app.register(users, {
    adapter: memory(),
    secret: SECRETS.auth,
    compatibility: 'fastapi-users',
    backends: backends()
  })
  await app.ready()
  // hooks have completed the schemas
  const schemas = routes.map(({ schema }) => schema as { operationId: string; summary: string })
  // FastAPI Users has no such route
  const shared = schemas.filter(({ operationId }) => !operationId.includes('reauthenticate'))
  t.equal(schemas.length - shared.length, 3)
  t.strictSame(Object.fromEntries(shared.map(({ operationId, summary }) => [operationId, summary])), {
    auth_jwt_login_auth_jwt_login_post: 'Auth:Jwt.Login',
    auth_jwt_logout_auth_jwt_logout_post: 'Auth:Jwt.Logout',
    auth_db_login_auth_db_login_post: 'Auth:Db.Login',
    auth_db_logout_auth_db_logout_post: 'Auth:Db.Logout',
    auth_cookie_login_auth_cookie_login_post: 'Auth:Cookie.Login',
    auth_cookie_logout_auth_cookie_logout_post: 'Auth:Cookie.Logout',
    register_register_auth_register_post: 'Register:Register',
    reset_forgot_password_auth_forgot_password_post: 'Reset:Forgot Password',
    reset_reset_password_auth_reset_password_post: 'Reset:Reset Password',
    verify_request_token_auth_request_verify_token_post: 'Verify:Request-Token',
    verify_verify_auth_verify_post: 'Verify:Verify',
    users_current_user_users_me_get: 'Users:Current User',
    users_patch_current_user_users_me_patch: 'Users:Patch Current User',
    users_user_users__id__get: 'Users:User',
    users_patch_user_users__id__patch: 'Users:Patch User',
    users_delete_user_users__id__delete: 'Users:Delete User'
  })
})
