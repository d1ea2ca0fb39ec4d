import type { Client } from './client.js'

/** A user, and a superuser who gives roles. Both have bearer tokens. */
export interface Court {
  client: Client
  /** Id of the user. */
  id: string
  user: string
  superuser: string
}

/** Runs the part of the flow about roles, scopes and API keys. */
export async function useRoles (court: Court): Promise<void> {
  const { client, id, user, superuser } = court
  const withoutRole = await client.send('Without a role, a route that needs a scope is refused', 'GET /quests', 403, { token: user })
  client.check('the error names the missing scope', withoutRole.body.code === 'FST_USERS_INSUFFICIENT_SCOPE')
  await client.send('Users cannot give roles', `PUT /users/${id}/role`, 403, { json: { role: 'king' }, token: user })
  await giveRole(court, 'knight')
  await client.send('The role has the scope quests:read', 'GET /quests', 200, { token: user })
  await client.send('It does not have the scope quests:write', 'POST /quests', 403, { json: QUEST, token: user })
  await client.send('A route for another role is refused', 'GET /throne', 403, { token: user })
  await giveRole(court, 'king')
  await client.send('The next role has the scope quests:write', 'POST /quests', 200, { json: QUEST, token: user })
  await client.send('It opens the route of the role', 'GET /throne', 200, { token: user })
  const key = await createKey(court)
  await client.send('A superuser without a role has no scopes', 'GET /quests', 403, { token: superuser })
  await giveRole(court, null)
  await client.send('A key has no more rights than the role of its user', 'GET /quests', 403, { token: key })
}

const QUEST = { quest: 'Find the grail' }

async function giveRole ({ client, id, superuser }: Court, role: 'king' | 'knight' | null): Promise<void> {
  const title = role === null ? 'The superuser takes the role away' : `The superuser gives the role ${role}`
  const { body } = await client.send(title, `PUT /users/${id}/role`, 200, { json: { role }, token: superuser })
  client.check('the reply has the role', body.role === role)
}

/** Creates an API key with one scope, and returns it. */
async function createKey ({ client, user }: Court): Promise<string> {
  const { body } = await client.send('Create an API key that may only read', 'POST /users/me/api-keys', 201, {
    json: { name: 'Report', scopes: ['quests:read'] },
    token: user
  })
  const key = String(body.key)
  const quests = await client.send('The key opens a route with its scope', 'GET /quests', 200, { token: key })
  client.check('the reply has the quest', quests.body.quests === QUEST.quest)
  await client.send('It does not open a route with another scope', 'POST /quests', 403, { json: QUEST, token: key })
  await client.send('Routes without scopes accept no keys', 'GET /hello', 401, { token: key })
  return key
}
