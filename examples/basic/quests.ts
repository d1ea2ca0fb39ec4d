import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { authenticate, currentUser } from 'fastify-users'
import { describeRoute } from './api-page.js'

/** Roles and their scopes. The route `PUT /users/:id/role` gives them. */
export const exampleRoles = {
  king: { scopes: ['quests:read', 'quests:write'] },
  knight: { scopes: ['quests:read'] }
}

/** Scopes that API keys can have. A key never has more rights than the role of its user. */
export const keyScopes = ['quests:read', 'quests:write']

/** Adds routes that need scopes, which sessions and API keys can have, and a route that needs a role. */
export function addQuestRoutes (app: FastifyInstance): void {
  const quests: string[] = []
  app.get(
    '/quests',
    {
      preHandler: authenticate({ scopes: ['quests:read'] }),
      schema: describeRoute('quests', 'For users and API keys with the scope quests:read')
    },
    async () => ({ quests: quests.join(', ') })
  )
  app.post<{ Body: { quest: string } }>(
    '/quests',
    {
      preHandler: authenticate({ scopes: ['quests:write'] }),
      schema: {
        ...describeRoute('quest', 'For users and API keys with the scope quests:write'),
        body: Type.Object({ quest: Type.String({ maxLength: 80 }) })
      }
    },
    async ({ body: { quest } }) => {
      quests.push(quest)
      return { quest }
    }
  )
  app.get(
    '/throne',
    { preHandler: authenticate({ roles: ['king'] }), schema: describeRoute('throne', 'For users with the role king') },
    async (request) => ({ throne: currentUser(request).display_name })
  )
}
