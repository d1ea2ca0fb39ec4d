// Constants that an application may export, without type annotations. With `declaration: true`, TypeScript must be able
// to name every type here from the package alone. Compiled only.
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import users, * as library from 'fastify-users'
import {
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
  integerId,
  jwtStrategy,
  objectIdId,
  passwordPolicy,
  pwnedPasswords,
  readOnly,
  Type,
  userSchemas,
  usersOpenapi,
  type TProperties,
  type TSchema,
  type UserOf,
  type UsersOptions
} from 'fastify-users'
import { memory } from 'fastify-users/memory'
import { sqlite } from 'fastify-users/sqlite'
import { altcha, hcaptcha, turnstile } from 'fastify-users/captcha'
import * as oauthLibrary from 'fastify-users/oauth'
import { defineProvider, github, oauth } from 'fastify-users/oauth'
import * as testing from 'fastify-users/testing'

declare const app: FastifyInstance
declare const request: FastifyRequest

// schemas

export const Address = Type.Object({ street: Type.String(), zip: Type.Optional(Type.String()) })
export const PartialAddress = Type.Partial(Address)
export const Zip = Type.Pick(Address, ['zip'])
export const Keys = Type.KeyOf(Address)
export const Merged = Type.Composite([Address, Type.Object({ country: Type.Optional(Type.String()) })])
export const Both = Type.Intersect([Address, Merged])
export const Role = Type.Union([Type.Literal('knight'), Type.Literal('king'), Type.Null()])
export const Template = Type.TemplateLiteral('knight-${string}')
export const Tree = Type.Recursive((This) => Type.Object({ children: Type.Array(This) }))
export const Color = Type.Enum({ red: 'red', blue: 'blue' })
export const Nullable = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()])
export const Maybe = <S extends TSchema>(schema: S) => Type.Optional(schema)
export const Page = <S extends TSchema>(schema: S) => Type.Object({ items: Type.Array(schema), next: Maybe(Type.String()) })
export const Changes = <P extends TProperties>(properties: P) => Type.Partial(Type.Object(properties))

export const schemas = userSchemas({
  display_name: Type.String({ maxLength: 80 }),
  nick: Type.Optional(Type.String()),
  invited_by: createOnly(Type.Optional(Type.String())),
  credits: adminOnly(Type.Integer({ default: 0 })),
  plan: readOnly(Type.String({ default: 'free' })),
  role: createOnly(Role),
  addresses: Type.Optional(Type.Array(Address)),
  home: adminOnly(Type.Optional(Type.Intersect([Address, Both]))),
  note: readOnly(Type.Optional(Nullable(Type.String()))),
  code: Type.Readonly(Type.String()),
  size: Type.ReadonlyOptional(Type.Number()),
  settings: Type.Record(Type.String(), Type.Unknown()),
  pair: Type.Tuple([Type.Boolean(), Type.Any()]),
  extra: Type.Unsafe<{ x: number }>({ type: 'object' }),
  color: Type.Optional(Color)
}, { id: integerId() })
export const plainSchemas = userSchemas()
export const objectIds = userSchemas({}, { id: objectIdId() })
export const { UserRead, UserCreate, UserUpdate, id, fields } = schemas
export const Registration = Type.Composite([schemas.UserCreate, Type.Object({ captcha: Type.String() })])
export const PublicUser = Type.Pick(schemas.UserRead, ['id', 'display_name'])
export const marked = [createOnly(Type.String()), adminOnly(Type.Optional(Type.String())), readOnly(Type.Null())] as const
export type AppUser = UserOf<typeof schemas>

// options

export const passwords = argon2Passwords({ memoryCost: 19_456 })
export const breached = pwnedPasswords({ timeoutMs: 500 })
export const validatePassword = passwordPolicy({ minimumLength: 12, breached })
export const captcha = { provider: altcha({ cost: 1000 }), for: ['register'] }
export const captchas = [turnstile({ secretKey: 'a' }), hcaptcha({ secretKey: 'b' })]
export const backends = [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
  { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
]
export const adapters = { memory: memory(), sqlite: sqlite('app.db') }
export const options = { adapter: memory(), secret: '', schemas, passwords, validatePassword, captcha, backends } satisfies UsersOptions
export const { openapi, transformObject } = usersOpenapi(options)
export const hooks = { onBeforeRegister: async ({ user }: library.UsersEvents['onBeforeRegister']) => user } as const
export const transport = defineTransport({
  name: 'header',
  describe: () => ({ scheme: {}, login: { 204: Type.Null() }, logout: { 204: Type.Null() } }),
  setup: () => ({ ambient: false, extractToken: () => null, sendLogin: (reply) => reply.code(204).send() })
})
export const strategy = defineStrategy({
  name: 'none',
  setup: (scope, defaults) => ({ readToken: async (token, { users }) => null, writeToken: () => ({ token: '', lifetimeSeconds: 1 }) })
})

// what functions of applications return

export const guards = [authenticate, authenticate({ superuser: true }), app.authenticate] as const
export const me = () => currentUser(request)
export const authentication = () => request.authentication
export const api = () => app.users
export const { login, create, update } = app.users
export const errors = [library.errorTable(), library.FST_USERS_INVALID_PASSWORD, library.FST_USERS_UNIQUE_VIOLATION, library.refuse(400, 'NO', 'No.')] as const
export const asError = (error: unknown) => library.isUsersError(error) ? error : null
export async function buildApp () {
  const app = Fastify()
  await app.register(users, { ...options, features: [oauth({ providers })] })
  return app
}

// login with providers

export const providers = [github({ clientId: 'id', clientSecret: 'secret' })]
export const gitea = defineProvider({
  name: 'gitea',
  title: 'Gitea',
  scopes: [],
  trustEmail: false,
  server: { discover: 'https://git.camelot.example' },
  profile: async (provider) => ({ id: 1, email: null, emailVerified: false, raw: provider.claims ?? {} })
})
export const accounts = () => app.users.feature('oauth')
export const loginWithProviders = oauth({ providers })

// everything else that the package exports: functions, what they return, and other values

type Functions<M> = { [K in keyof M]: M[K] extends (...args: never[]) => infer R ? Awaited<R> : M[K] }
const resultsOf = <M extends object>(module: M): Functions<M> => module as unknown as Functions<M>
export const modules = { library: { ...library }, oauthLibrary: { ...oauthLibrary }, testing: { ...testing } }
export const results = { library: { ...resultsOf(library) }, oauth: { ...resultsOf(oauthLibrary) }, testing: { ...resultsOf(testing) } }
