import type { FastifyInstance } from 'fastify'
import { COMPONENT } from '../../schemas/index.js'
import type { Settings } from '../contracts/settings.js'
import type { User } from '../contracts/user.js'

/**
 * Makes routes reply with what features know of a user beside its row. Only these replies wait for it, never the guard.
 */
export function completeUsers (
  scope: FastifyInstance,
  { schemas: { UserRead } }: Settings,
  additions: ReadonlyMap<string, (user: User) => Promise<unknown>>
): void {
  if (!('oauth_accounts' in UserRead.properties)) return
  scope.addHook('preSerialization', async ({ routeOptions: { schema } }, { statusCode }, payload) => {
    // our routes have schemas by status
    const replies = schema?.response as Record<number, { [COMPONENT]?: string }> | undefined
    if (replies?.[statusCode]?.[COMPONENT] !== UserRead[COMPONENT]) return payload
    // the schema says so
    const added = [...additions].map(async ([property, read]) => [property, await read(payload as User)])
    return { ...(payload as User), ...Object.fromEntries(await Promise.all(added)) }
  })
}
