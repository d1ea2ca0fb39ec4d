// An application that declares its roles and a user with a custom field.
import type { FastifyInstance } from 'fastify'
import { authenticate, type NewUser, type User, type UserChanges, type UserOf, type UsersErrorCode, userSchemas } from 'fastify-users'
import { roles, type RoleName, type RolesOptions } from 'fastify-users/roles'
import { Type } from '@sinclair/typebox'
import { same, type Equal } from '../equal.js'

export const schemas = userSchemas({ nickname: Type.String({ maxLength: 20 }) })
const appRoles = { admin: { scopes: ['*'] }, editor: { scopes: ['posts:write'] } }

declare module 'fastify-users' {
  interface UsersRegister { user: UserOf<typeof schemas> }
}
declare module 'fastify-users/roles' {
  interface RolesRegister { roles: typeof appRoles }
}

declare const app: FastifyInstance
declare const code: UsersErrorCode

same<Equal<RoleName, 'admin' | 'editor'>>()
same<Equal<User['role'], 'admin' | 'editor' | null | undefined>>()
same<Equal<User['nickname'], string>>()
// the role is not a value of new users and of changes
same<Equal<'role' extends keyof NewUser ? true : false, false>>()
same<Equal<'role' extends keyof UserChanges ? true : false, false>>()

roles({ roles: appRoles, defaultRole: 'editor' })
roles({ roles: { king: { scopes: [] } }, defaultRole: 'king', route: { prefix: '/staff' } })
// @ts-expect-error: no such role
roles({ roles: appRoles, defaultRole: 'king' })
// @ts-expect-error: a role needs scopes
roles({ roles: { king: {} } })
// @ts-expect-error: no such option
export const wrong: RolesOptions = { roles: appRoles, defaultrole: 'editor' }

app.get('/a', { preHandler: authenticate({ roles: ['admin', 'editor'], scopes: ['posts:write'] }) }, async ({ user }) => user?.role)
// @ts-expect-error: no such role
authenticate({ roles: ['king'] })
// @ts-expect-error: not a list
authenticate({ scopes: 'posts:write' })

const api = app.users.feature('roles')
app.get('/b', async ({ user }) => user === null ? [] : api.scopesOf(await api.set(user, 'admin')))
// @ts-expect-error: no such role
export const unknown = async (user: User) => await api.set(user, 'king')
app.users.addHook('onAfterSetRole', ({ user, previous }) => {
  same<Equal<typeof previous, RoleName | null>>()
  same<Equal<typeof user, User>>()
})
switch (code) {
  case 'FST_USERS_OWN_ROLE': break
  case 'FST_USERS_UNKNOWN_ROLE': break
  case 'FST_USERS_INSUFFICIENT_SCOPE': break
  // @ts-expect-error: no such code
  case 'FST_USERS_ROLE_UNKNOWN': break
}
