// An application with integer ids and without custom fields.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  authenticate,
  currentUser,
  integerId,
  userSchemas,
  type User,
  type UserId,
  type UserOf,
  type UserReader,
  type UserRow,
  type UsersOptions
} from 'fastify-users'
import { memory } from 'fastify-users/memory'
import { same, type Equal } from '../equal.js'

const schemas = userSchemas({}, { id: integerId({ maximum: Number.MAX_SAFE_INTEGER }) })

declare module 'fastify-users' {
  interface UsersRegister { user: UserOf<typeof schemas> }
}

declare const app: FastifyInstance
declare const request: FastifyRequest

same<Equal<User['id'], number>>()
same<Equal<UserId, number>>()
same<Equal<UserRow['id'], number>>()
same<Equal<ReturnType<UserReader['parseId']>, number | null>>()
same<Equal<keyof User, 'id' | 'email' | 'is_active' | 'is_superuser' | 'is_verified'>>()
same<Equal<ReturnType<typeof currentUser>['id'], number>>()

app.users.get(42)
app.users.update(42, { is_active: false })
app.users.delete(42)
app.users.endSessions(currentUser(request))
app.users.addHook('onAfterDelete', async ({ user }) => { same<Equal<typeof user.id, number>>() })
app.get('/next', { preHandler: authenticate }, async (request) => currentUser(request).id + 1)
export const options: Pick<UsersOptions, 'adapter' | 'schemas'> = { adapter: memory(), schemas }

// @ts-expect-error the id is a number
app.users.get('42')
// @ts-expect-error the id is a number
app.users.update('42', { is_active: false })
