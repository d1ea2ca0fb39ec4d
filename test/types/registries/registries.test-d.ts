// A feature outside the package: its error codes and guard flags are typed by interface merging.
import type { FastifyInstance } from 'fastify'
import { authenticate, errorTable, type AuthenticateOptions, type ErrorCodesOf, type EventName, type Feature, type GuardFlag, type User, type UsersErrorCode, type UsersHooks } from 'fastify-users'
import { same, type Equal } from '../equal.js'

const definitions = { GRAIL_LOST: { statusCode: 404, message: 'The grail is lost. Look elsewhere.' } } as const

declare module 'fastify-users' {
  interface UsersErrorCodes extends ErrorCodesOf<{ definitions: typeof definitions }> {}
  interface UsersEvents {
    onAfterGrail: { user: User, grail: string }
  }
  interface GuardFlags {
    scopes?: readonly ('grail' | 'quest')[]
    fresh?: number
  }
}

declare const app: FastifyInstance
declare const code: UsersErrorCode

switch (code) {
  case 'FST_USERS_GRAIL_LOST': break
  case 'FST_USERS_FORBIDDEN': break
  // @ts-expect-error: no such code
  case 'FST_USERS_GRAIL_FOUND': break
}
same<Equal<ReturnType<typeof errorTable>[number]['code'], UsersErrorCode>>()

app.get('/grail', { preHandler: authenticate({ scopes: ['grail'], fresh: 60, verified: true }) }, async () => 1)
app.get('/handler', async (request, reply) => await authenticate(request, reply, { scopes: ['quest'] }))
same<Equal<AuthenticateOptions['scopes'], readonly ('grail' | 'quest')[] | undefined>>()
// @ts-expect-error: no such scope
authenticate({ scopes: ['bridge'] })
// @ts-expect-error: not a list
authenticate({ scopes: 'grail' })
// @ts-expect-error: not a number
authenticate({ fresh: '60' })
// @ts-expect-error: no such flag
authenticate({ frehs: 60 })

app.users.addHook('onAfterGrail', async ({ user, grail }, { request }) => {
  same<Equal<typeof user, User>>()
  same<Equal<typeof grail, string>>()
  request?.log.info(grail)
})
export const hooks: UsersHooks = { onAfterGrail: ({ grail }) => { grail.toUpperCase() } }
same<Equal<Extract<EventName, `${string}Grail`>, 'onAfterGrail'>>()
// @ts-expect-error: no such event
app.users.addHook('onAfterGrial', () => {})

const scopes: GuardFlag<readonly string[]> = {
  check: (value) => Array.isArray(value) ? null : 'must be a list',
  accepts ({ user, token, backend }, value, request) {
    same<Equal<typeof value, readonly string[]>>()
    return value.includes(backend) && user.is_active && token !== request.url
  },
  scopes: (value) => value
}
const feature: Feature = { name: 'grail', errors: definitions, events: ['onAfterGrail'], guardFlags: { scopes }, setup: () => ({}) }
errorTable([feature, { errors: definitions }])
// @ts-expect-error: no function accepts
export const wrong: GuardFlag = { check: () => null }
