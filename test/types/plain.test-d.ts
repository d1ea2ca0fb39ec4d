// An application without type declarations: the types of every public name, with the five base fields and ids of both
// kinds.
import type { Database } from 'better-sqlite3'
import Fastify, { type FastifyInstance, type FastifyPluginAsync, type FastifyReply, type FastifyRequest } from 'fastify'
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import type { FastifyTypeProvider } from 'fastify'
import plugin, {
  adminOnly,
  argon2Passwords,
  authenticate,
  bearerTransport,
  cookieTransport,
  createOnly,
  currentUser,
  databaseStrategy,
  defineStrategy,
  defineTransport,
  errorTable,
  FST_USERS_INVALID_PASSWORD,
  FST_USERS_UNIQUE_VIOLATION,
  integerId,
  isUsersError,
  jwtStrategy,
  objectIdId,
  passwordPolicy,
  readOnly,
  users,
  userSchemas,
  usersOpenapi,
  uuidId,
  type AnyUserSchemas,
  type Argon2PasswordsOptions,
  type Authenticate,
  type AttemptEvent,
  type AuditEvent,
  type AuthenticateOptions,
  type Authentication,
  type Backend,
  type BackendDefaults,
  type BackendOptions,
  type BaseUser,
  type CallContext,
  type Changes,
  type Clock,
  type Comparison,
  type CookieTransportOptions,
  type DatabaseAdapter,
  type DatabaseStrategyOptions,
  type EventContext,
  type EventName,
  type Field,
  type FindManyOptions,
  type GuardHook,
  type IdKind,
  type IssuedToken,
  type JwtStrategyOptions,
  type LoginContext,
  type LoginFailure,
  type LoginResult,
  type MaybePromise,
  type Model,
  type NewUser,
  type PasswordHelper,
  type PendingLogin,
  type PurposeKey,
  type Row,
  type RequestedEmailLogin,
  type Session,
  type Settings,
  type Strategy,
  type StrategyDefinition,
  type StrategySpec,
  type TokenOptions,
  type TokenSubject,
  type Transport,
  type TransportDefinition,
  type TransportDescription,
  type TransportSpec,
  type User,
  type UserChanges,
  type UserId,
  type UserOf,
  type UserReader,
  type UserRow,
  type UsersApi,
  type UserSchemas,
  type UsersError,
  type UsersErrorCode,
  type UsersEvents,
  type UsersHook,
  type UsersHooks,
  type UsersOptions,
  type UsersRegister,
  type ValidatePassword,
  type Value,
  type Where,
  type WriteContext,
  type WriteTokenContext,
  type Writer
} from 'fastify-users'
import { memory } from 'fastify-users/memory'
import { sqlite } from 'fastify-users/sqlite'
import { same, type Equal } from './equal.js'

declare const secret: string
declare const database: Database
declare const request: FastifyRequest
declare const reply: FastifyReply
declare const row: UserRow
declare const app: FastifyInstance

// users

same<Equal<keyof UsersRegister, never>>()
same<Equal<User, BaseUser>>()
same<Equal<BaseUser['id'], string | number>>()
same<Equal<UserId, string | number>>()
same<Equal<UserRow['hashed_password'], string>>()
same<Equal<UserRow['session_stamp'], string | null | undefined>>()
same<Equal<keyof NewUser, 'email' | 'password' | 'is_active' | 'is_superuser' | 'is_verified'>>()
same<Equal<keyof UserChanges, 'email' | 'password' | 'current_password' | 'is_active' | 'is_superuser' | 'is_verified'>>()
same<Equal<FastifyRequest['user'], User | null>>()
same<Equal<FastifyRequest['authentication'], Authentication | null>>()
same<Equal<Authentication, { readonly user: User, readonly token: string, readonly backend: string, readonly session: Session }>>()
same<Equal<keyof Session, 'id' | 'createdAt' | 'authenticatedAt' | 'methods' | 'details'>>()
same<Equal<ReturnType<typeof currentUser>, BaseUser>>()

// @ts-expect-error a user has no password hash
currentUser(request).hashed_password.length.toFixed()
// @ts-expect-error the user may be null before `authenticate`
request.user.email.toLowerCase()

// options

const backends: BackendOptions[] = [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
  { name: 'cookie', transport: cookieTransport({ sameSite: 'strict', maxAge: 60 } satisfies CookieTransportOptions), strategy: databaseStrategy({ lifetimeSeconds: null } satisfies DatabaseStrategyOptions) }
]
const smallest: UsersOptions = { adapter: memory(), secret, backends }
const options: UsersOptions = {
  adapter: sqlite('app.db', { tables: { user: { table: 'users', columns: { id: 'user_id' } } } }),
  secret: [secret, secret],
  backends,
  name: 'staff',
  schemas: userSchemas(),
  passwords: argon2Passwords({ memoryCost: 65536, concurrency: 2 } satisfies Argon2PasswordsOptions),
  validatePassword: (password, user) => { if (password === user.email) throw FST_USERS_INVALID_PASSWORD('not your address') },
  hooks: {},
  routes: { register: false, users: { prefix: '/people' } },
  requireVerification: true,
  tokens: { reset: { lifetimeSeconds: 60, audience: 'a', secret } satisfies TokenOptions },
  publicUrl: 'https://app.example.com',
  trustedOrigins: ['https://other.example.com'],
  revealExistingAccounts: false,
  sensitiveChanges: 'confirm',
  compatibility: 'fastapi-users',
  openapiSecurity: true,
  clock: Date.now satisfies Clock
}
app.register(plugin, smallest)
app.register(users, options)
same<Equal<typeof plugin, typeof users>>()

// @ts-expect-error the secret is missing
app.register(users, { adapter: memory(), backends })
// @ts-expect-error the backends are missing
app.register(users, { adapter: memory(), secret })
// @ts-expect-error the secret of the environment may be absent
app.register(users, { adapter: memory(), secret: process.env['USERS_SECRET'], backends })
// @ts-expect-error the option does not exist
app.register(users, { ...smallest, requireVerified: true })
// @ts-expect-error the setting belongs to `compatibility`
app.register(users, { ...smallest, errorStyle: 'fastapi' })
app.register(users, { ...smallest, compatibility: { preset: 'fastapi-users', errorStyle: 'fastify' } })
// @ts-expect-error the setting of `compatibility` does not exist
app.register(users, { ...smallest, compatibility: { errorForm: 'fastify' } })
// @ts-expect-error the option of the strategy does not exist
jwtStrategy({ lifetimeSeconds: 3600, expiresIn: 3600 })
jwtStrategy()
jwtStrategy({})
// @ts-expect-error the lifetime is missing
databaseStrategy({})
// @ts-expect-error a strategy is not a transport
app.register(users, { ...smallest, backends: [{ name: 'jwt', transport: jwtStrategy({ lifetimeSeconds: 3600 }), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }] })
// @ts-expect-error a transport is not a strategy
app.register(users, { ...smallest, backends: [{ name: 'jwt', transport: bearerTransport(), strategy: bearerTransport() }] })
// @ts-expect-error the group of routes does not exist
app.register(users, { ...smallest, routes: { login: false } })
// @ts-expect-error schemas must be a result of `userSchemas()`
app.register(users, { ...smallest, schemas: { display_name: Type.String() } })
// @ts-expect-error the event does not exist
app.register(users, { ...smallest, hooks: { onRegister () {} } })

jwtStrategy({ lifetimeSeconds: 60, algorithm: 'ES256', keys: [{ kid: 'a', privateKey: secret }, { kid: 'b', publicKey: secret }], audience: ['api'] } satisfies JwtStrategyOptions)

// `app.users`

same<Equal<FastifyInstance['users'], UsersApi>>()
const { users: api } = app
same<Equal<ReturnType<typeof api.get>, Promise<User | null>>>()
same<Equal<Parameters<typeof api.get>, [id: string | number]>>()
api.create({ email: 'a@example.com', password: 'guinevere-1', is_verified: true })
api.create({ email: 'a@example.com', password: 'guinevere-1' }, { by: 'self', request, reply } satisfies WriteContext)
api.update(1, { is_superuser: true }, { by: 'superuser' satisfies Writer })
api.update(currentUser(request), { password: null, email: 'b@example.com' })
api.login(row, { backend: 'jwt', method: 'oauth', request, reply } satisfies LoginContext).then((result: LoginResult) => {
  if (result.pending === undefined) return result.issued satisfies IssuedToken
  return result.pending satisfies PendingLogin
})
api.logout(request, reply)
api.forgotPassword('a@example.com', { request } satisfies CallContext)
api.backends.get('jwt') satisfies Backend | undefined
same<Equal<Awaited<ReturnType<typeof api.checkCredentials>>, UserRow | null>>()

// @ts-expect-error the password is missing
api.create({ email: 'a@example.com' })
// @ts-expect-error the field does not exist
api.create({ email: 'a@example.com', password: 'guinevere-1', display_name: 'A' })
// @ts-expect-error the database or the id kind creates ids
api.update(1, { id: 2 })
// @ts-expect-error the plugin creates hashes from passwords
api.update(1, { hashed_password: '$argon2id$' })
// @ts-expect-error the backend is missing
api.login(row, {})

// events

interface Change { user: User, kind: 'provider' | 'passkey' | 'second-factor', method: string }
interface Payloads {
  onLoginAttempt: AttemptEvent
  onLoginStepAttempt: AttemptEvent
  onCurrentPasswordAttempt: AttemptEvent
  onRegisterAttempt: AttemptEvent
  onForgotPasswordAttempt: AttemptEvent
  onRequestVerifyAttempt: AttemptEvent
  onResetPasswordAttempt: AttemptEvent
  onVerifyAttempt: AttemptEvent
  onBeforeRegister: { user: Omit<NewUser, 'password'> }
  onAfterRegister: { user: User }
  onAfterRequestRegister: { email: string, token: string }
  onRegisterExisting: { user: User, attempt: 'register' | 'email-change' | 'provider-login' }
  onBeforeUpdate: { user: User, changes: UserChanges }
  onAfterUpdate: { user: User, changes: UserChanges }
  onAfterRequestVerify: { user: User, token: string, email: string }
  onAfterVerify: { user: User }
  onAfterRequestEmailChange: { user: User, newEmail: string }
  onAfterEmailChange: { user: User, previousEmail: string, token: string | null }
  onAfterUndoEmailChange: { user: User, undoneEmail: string }
  onAfterForgotPassword: { user: User, token: string }
  onAfterResetPassword: { user: User }
  onBeforeLogin: { user: User, backend: string, method: string }
  onIssueToken: { user: User, backend: string, issued: IssuedToken }
  onAfterLogin: { user: User, backend: string, method: string, session: Session }
  onNewDevice: { user: User, backend: string, method: string, ip: string | null, userAgent: string | null }
  onAccountLocked: { user: User, failures: number }
  onLoginMethodAdded: Change
  onLoginMethodRemoved: Change
  onAfterCreateRecoveryCodes: { user: User, isReplacement: boolean }
  onAfterRequestEmailLogin: RequestedEmailLogin
  onAfterUseRecoveryCode: { user: User, remaining: number }
  onAfterReauthenticate: { user: User, backend: string, session: Session }
  onLoginFailed: { username: string, user: User | null, backend: string | null, reason: LoginFailure }
  onAfterLogout: { user: User, backend: string, session: Session }
  onBeforeDelete: { user: User }
  onAfterDelete: { user: User }
  onAudit: AuditEvent
  onAfterDeleteAccount: { user: User }
  onAfterRequestDeletion: { user: User, token: string, deletesAt: Date }
  onAfterUndoDeletion: { user: User }
}
same<Equal<EventName, keyof Payloads>>()
same<Equal<{ [N in EventName]: UsersEvents[N] }, { [N in EventName]: Payloads[N] }>>()
same<Equal<keyof UsersHooks, EventName>>()
same<Equal<Parameters<UsersHook<'onAfterLogin'>>, [payload: Payloads['onAfterLogin'], context: EventContext]>>()
same<Equal<EventContext, { request: FastifyRequest | null, reply: FastifyReply | null, transaction?: unknown }>>()

api.addHook('onAfterForgotPassword', async ({ user, token }, { request }) => {
  same<Equal<typeof user, User>>()
  same<Equal<typeof token, string>>()
  same<Equal<typeof request, FastifyRequest | null>>()
})
api.addHook('onBeforeLogin', ({ user }) => { if (user.is_superuser) return { pending: { code: 'TOTP_REQUIRED' } } })
api.addHook('onIssueToken', ({ issued }) => { issued.expires_in = 3600 })
const hooks: UsersHooks = {
  onLoginFailed ({ reason }) { same<Equal<typeof reason, 'UNKNOWN_USER' | 'WRONG_PASSWORD' | 'WRONG_CODE' | 'INACTIVE' | 'NOT_VERIFIED' | 'REFUSED' | 'STEP_FAILED' | 'WRONG_PASSKEY'>>() },
  async onAfterRegister ({ user }) { user.email.toLowerCase() }
}
app.register(users, { ...smallest, hooks })

// @ts-expect-error the event does not exist
api.addHook('onRegister', async () => {})
// @ts-expect-error the event has no token
api.addHook('onAfterRegister', async ({ token }) => { token.at(0) })
// @ts-expect-error only onBeforeLogin may return a pending login
api.addHook('onAfterLogin', () => ({ pending: { code: 'TOTP_REQUIRED' } }))

// all forms of the guard

same<Equal<FastifyInstance['authenticate'], Authenticate>>()
app.get('/a', { preHandler: authenticate }, async (request) => currentUser(request))
app.get('/b', { preHandler: app.authenticate }, async (request) => request.user?.email)
app.get('/c', { onRequest: authenticate() }, async () => {})
app.get('/d', { preHandler: [authenticate({ superuser: true, verified: true, active: false }), async () => {}] }, async () => {})
app.get('/e', { preHandler: authenticate({ backends: ['jwt'] }) }, async () => {})
app.get('/f', { preValidation: authenticate({ backends: async (request) => request.url === '/f' ? ['jwt'] : ['cookie'] }) }, async () => {})
app.get('/g', async (request, reply) => {
  const found = authenticate(request, reply, { optional: true } satisfies AuthenticateOptions)
  same<Equal<typeof found, Promise<User | null>>>()
  return (await found)?.email ?? await app.authenticate(request, reply)
})
app.get<{ Params: { id: string }, Body: { name: string } }>('/h/:id', { preHandler: authenticate }, async (request) => request.params.id + request.body.name)
app.addHook('onRequest', authenticate)
app.addHook('preHandler', authenticate({ verified: true }) satisfies GuardHook)
const scoped: FastifyPluginAsync = async (scope) => {
  scope.addHook('onRequest', scope.authenticate({ superuser: true }))
}
app.register(scoped)

// @ts-expect-error the flag does not exist
authenticate({ superUser: true })
// @ts-expect-error the reply is missing
app.get('/i', async (request) => await authenticate(request, { optional: true }))
// @ts-expect-error the names must be an array
authenticate({ backends: 'jwt' })
// @ts-expect-error `currentUser` takes a request
currentUser(app)

// an application with a type provider

interface TypeBoxProvider extends FastifyTypeProvider {
  validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown
  serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown
}
const typed = Fastify().withTypeProvider<TypeBoxProvider>()
await typed.register(users, smallest)
const Body = Type.Object({ count: Type.Integer() })
typed.post('/typed', { preHandler: authenticate({ verified: true }), schema: { body: Body, response: { 200: Body } } }, async (request, reply) => {
  same<Equal<typeof request.body.count, number>>()
  same<Equal<typeof request.user, User | null>>()
  await authenticate(request, reply)
  return { count: request.body.count + currentUser(request).email.length }
})
typed.get('/typed', { onRequest: typed.authenticate }, async () => typed.users.get(1))

// schemas and id kinds

const schemas = userSchemas({ display_name: Type.String(), credits: adminOnly(Type.Integer({ default: 0 })), plan: readOnly(Type.Optional(Type.String())), born: createOnly(Type.String()) })
same<Equal<UserOf<typeof schemas>['display_name'], string>>()
same<Equal<UserOf<typeof schemas>['plan'], string | undefined>>()
same<Equal<Static<typeof schemas.UserCreate>['born'], string>>()
same<Equal<keyof Static<typeof schemas.UserCreate>, 'email' | 'password' | 'is_active' | 'is_superuser' | 'is_verified' | 'display_name' | 'credits' | 'born'>>()
same<Equal<keyof Static<typeof schemas.UserUpdate>, 'email' | 'password' | 'is_active' | 'is_superuser' | 'is_verified' | 'display_name' | 'credits'>>()
same<Equal<Static<typeof schemas.UserUpdate>['display_name'], string | undefined>>()
same<Equal<Static<typeof schemas.UserCreate>['credits'], number | undefined>>()
schemas satisfies UserSchemas satisfies AnyUserSchemas
same<Equal<UsersOptions['schemas'], AnyUserSchemas | undefined>>()
same<Equal<UserOf<ReturnType<typeof userSchemas<{}>>>['id'], string>>()
uuidId() satisfies IdKind<string>
objectIdId() satisfies IdKind<string>
integerId({ maximum: 10 }) satisfies IdKind<number>
const ulid: IdKind<string> = { name: 'ulid', schema: Type.String(), storage: 'text', maxLength: 26, parse: (text) => text === '' ? null : text }
userSchemas({}, { id: ulid }).id satisfies IdKind<string>

// custom transports and strategies

const header: TransportDefinition = defineTransport({
  name: 'header',
  describe: (): TransportDescription => ({ scheme: { type: 'apiKey', in: 'header', name: 'x-token' }, login: { 200: Type.String() }, logout: { 204: Type.Null() } }),
  setup: (): Transport => ({
    ambient: false,
    extractToken: (request) => request.headers['x-token'] === undefined ? null : String(request.headers['x-token']),
    sendLogin: (reply, { token }) => reply.send(token)
  })
} satisfies TransportSpec)
const keyed: StrategyDefinition = defineStrategy({
  name: 'keyed',
  async setup (scope, { store, keysFor, settings, backend, background }: BackendDefaults): Promise<Strategy> {
    same<Equal<typeof scope, FastifyInstance>>()
    const [key] = keysFor(backend) satisfies readonly PurposeKey[]
    background(async () => await store.findMany(model, {}, { limit: 1 } satisfies FindManyOptions))
    return {
      async readToken (token, { users }): Promise<TokenSubject | null> {
        const id = users.parseId(token)
        const row = id === null ? null : await (users satisfies UserReader).getRow(id)
        return row && { row }
      },
      writeToken: (row, { stamp, session }: WriteTokenContext) => ({ token: `${String(row.id)}${stamp}${key?.secret ?? ''}`, lifetimeSeconds: (settings satisfies Settings).clock(), session })
    }
  }
} satisfies StrategySpec)
app.register(users, { ...smallest, backends: [{ name: 'own', transport: header, strategy: keyed }] })

// @ts-expect-error a transport needs methods that read and send tokens
defineTransport({ name: 'half', describe: () => ({ scheme: {}, login: {}, logout: {} }), setup: () => ({ ambient: false, extractToken: () => null }) })
// @ts-expect-error a strategy returns rows, not users
defineStrategy({ name: 'half', setup: () => ({ readToken: () => ({ row: currentUser(request) }), writeToken: () => ({ token: '', lifetimeSeconds: 1 }) }) })

// adapters

const model: Model = { name: 'note', table: 'note', fields: { id: { type: 'id', id: uuidId() }, text: { type: 'text', nullable: true } satisfies Field } }
sqlite(database) satisfies DatabaseAdapter
// @ts-expect-error better-sqlite3 or a path, not just anything
sqlite(42)
declare const adapter: DatabaseAdapter
same<Equal<ReturnType<typeof adapter.findOne>, MaybePromise<Row | null>>>()
adapter.findOne(model, { id: '1', at: { lt: new Date() } satisfies Comparison } satisfies Where)
adapter.update(model, { id: 1 satisfies Value }, { text: 'a', count: { increment: 1 } } satisfies Changes)
// @ts-expect-error there is no such comparison
adapter.findOne(model, { id: { like: 'a%' } } satisfies Record<string, Comparison>)

// passwords, errors, API document

const helper: PasswordHelper = argon2Passwords()
helper.verifyAndUpdate('a', 'b').then(({ ok, newHash }) => { same<Equal<[typeof ok, typeof newHash], [boolean, string | null]>>() })
const policy: ValidatePassword = passwordPolicy({ minimumLength: 12 })
policy('a', { email: 'a@example.com' })
const late: unknown = FST_USERS_UNIQUE_VIOLATION(['email'], { fields: ['email'] })
if (isUsersError(late)) {
  same<Equal<typeof late, UsersError>>()
  switch (late.code) {
    case 'FST_USERS_LOGIN_BAD_CREDENTIALS': break
    // @ts-expect-error there is no such code
    case 'FST_USERS_LOGIN_BAD_PASSWORD': break
  }
}
same<Equal<ReturnType<typeof errorTable>[number]['code'], UsersErrorCode>>()
usersOpenapi(smallest).openapi.openapi satisfies '3.1.0'
