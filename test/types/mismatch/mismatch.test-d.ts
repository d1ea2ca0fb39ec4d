// A user type without base fields. `types.test.ts` expects errors exactly in the lines that end in `MISMATCH`.
import type { FastifyInstance } from 'fastify'
import users, { currentUser, userSchemas, type User, type UserOf, type UsersOptions } from 'fastify-users'

export const schemas = userSchemas()

declare module 'fastify-users' {
  interface UsersRegister { user: Omit<UserOf<typeof schemas>, 'email'> }     // the e-mail is missing
}

declare const app: FastifyInstance
declare const options: UsersOptions
declare const user: UserOf<typeof schemas>

app.register(users, options)     // MISMATCH
app.register(users, { ...options, name: 'staff' })     // MISMATCH
app.get('/email', async (request) => request.user?.email)     // MISMATCH
app.get('/id', async (request) => currentUser(request).id)     // MISMATCH
export const mismatch: User = user     // MISMATCH
