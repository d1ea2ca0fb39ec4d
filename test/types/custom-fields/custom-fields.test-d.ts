// An application that declares the type of its user. All types that contain a user use it.
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { Type, type Static } from '@sinclair/typebox'
import users, {
  adminOnly,
  authenticate,
  bearerTransport,
  createOnly,
  currentUser,
  jwtStrategy,
  readOnly,
  userSchemas,
  type Authentication,
  type BaseUser,
  type NewUser,
  type TokenSubject,
  type User,
  type UserChanges,
  type UserId,
  type UserOf,
  type UserReader,
  type UserRow,
  type UsersApi,
  type UsersEvents,
  type UsersOptions,
  type ValidatePassword
} from 'fastify-users'
import { memory } from 'fastify-users/memory'
import { same, type Equal } from '../equal.js'

const schemas = userSchemas({
  display_name: Type.String({ maxLength: 80 }),
  address: Type.Optional(Type.Object({ city: Type.String(), lines: Type.Array(Type.String()) })),
  plan: Type.Union([Type.Literal('free'), Type.Literal('paid')], { default: 'free' }),
  credits: adminOnly(Type.Integer({ default: 0 })),
  invited_by: createOnly(Type.Optional(Type.String())),
  last_seen: readOnly(Type.Optional(Type.String({ format: 'date-time' })))
})

declare module 'fastify-users' {
  interface UsersRegister { user: UserOf<typeof schemas> }
}

interface Expected {
  id: string
  email: string
  is_active: boolean
  is_superuser: boolean
  is_verified: boolean
  display_name: string
  address?: { city: string, lines: string[] }
  plan: 'free' | 'paid'
  credits: number
  invited_by?: string
  last_seen?: string
}

declare const app: FastifyInstance
declare const request: FastifyRequest

// types that contain the user

same<Equal<{ [K in keyof User]: User[K] }, { [K in keyof Expected]: Expected[K] }>>()
same<Equal<User, Static<typeof schemas.UserRead>>>()
same<Equal<UserId, string>>()
same<Equal<FastifyRequest['user'], User | null>>()
same<Equal<Authentication['user'], User>>()
same<Equal<UserRow['credits'], number>>()
same<Equal<ReturnType<typeof currentUser>, User>>()
same<Equal<Parameters<UserReader['getRow']>, [id: string]>>()
same<Equal<TokenSubject['row'], UserRow>>()
same<Equal<UsersEvents['onAfterLogin']['user'], User>>()
same<Equal<UsersEvents['onBeforeRegister']['user'], Omit<NewUser, 'password'>>>()
same<Equal<Parameters<ValidatePassword>[1], User | { email: string }>>()
same<Equal<User extends BaseUser ? true : false, true>>()

// registration

const options: UsersOptions = {
  adapter: memory(),
  secret: '',
  schemas,
  backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }],
  hooks: {
    async onAfterRegister ({ user }) { same<Equal<typeof user.display_name, string>>() },
    async onBeforeUpdate ({ user, changes }) { same<Equal<[typeof user.plan, typeof changes.plan], ['free' | 'paid', 'free' | 'paid' | undefined]>>() }
  }
}
app.register(users, options)
Fastify({ http2: true }).register(users, options)

// `app.users`

const { users: api }: { users: UsersApi } = app
api.create({ email: 'a@example.com', password: 'guinevere-1', display_name: 'Arthur', credits: 3, last_seen: '', invited_by: 'b' })
api.update('05fff8ce-3a06-48f2-9c44-a16751012464', { plan: 'paid', address: { city: 'Camelot', lines: [] } }, { by: 'superuser' })
api.get('05fff8ce-3a06-48f2-9c44-a16751012464').then((user) => { same<Equal<typeof user, User | null>>() })
api.addHook('onAfterUpdate', async ({ user, changes }) => { same<Equal<[typeof user, typeof changes], [User, UserChanges]>>() })

// @ts-expect-error the field has another type
api.create({ email: 'a@example.com', password: 'guinevere-1', display_name: 5 })
// @ts-expect-error the field does not exist
api.create({ email: 'a@example.com', password: 'guinevere-1', nickname: 'A' })
// @ts-expect-error the plan is unknown
api.update('a', { plan: 'gold' })
// @ts-expect-error the id is a string
api.get(1)

// the guard

app.get('/hello', { preHandler: authenticate }, async (request) => {
  same<Equal<typeof request.user, User | null>>()
  return currentUser(request).display_name.toUpperCase()
})
app.get('/optional', async (request, reply) => (await authenticate(request, reply, { optional: true }))?.address?.city)

// @ts-expect-error the field does not exist
currentUser(request).nickname.toLowerCase()
// @ts-expect-error a user has no password hash
request.user?.hashed_password.toLowerCase()
