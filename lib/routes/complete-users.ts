import type { FastifyInstance } from 'fastify'
import { COMPONENT } from '../../schemas/index.js'
import type { Settings } from '../contracts/settings.js'
import type { User } from '../contracts/user.js'

/**
 * Adds properties from features, such as provider accounts, to the users in replies. They are read when such a reply is
 * sent, so the guard does not wait for them.
 */
export function completeUsers (
  scope: FastifyInstance,
  { schemas: { UserRead } }: Settings,
  additions: ReadonlyMap<string, (user: User) => Promise<unknown>>
): void {
  scope.addHook('preSerialization', async ({ routeOptions: { schema } }, { statusCode }, payload) => {
    // the routes of the plugin have one response schema per status
    const replies = schema?.response as Record<number, { [COMPONENT]?: string }> | undefined
    if (replies?.[statusCode]?.[COMPONENT] !== UserRead[COMPONENT]) return payload
    // a reply with this schema is a user
    const added = [...additions].map(async ([property, read]) => [property, await read(payload as User)])
    return { ...(payload as User), ...Object.fromEntries(await Promise.all(added)) }
  })
}
