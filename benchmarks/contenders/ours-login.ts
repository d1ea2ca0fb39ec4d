import { databaseStrategy, jwtStrategy } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'
import { ours } from './support/ours.js'
import { CREDENTIALS } from './support/reply.js'
import { serve } from './support/serve.js'
import { newFile } from './support/sqlite-file.js'

const HEADERS = { 'content-type': 'application/json' }

// bearer tokens are signed and cookies are stored
serve(async (settings) => {
  const file = newFile(settings)
  const stored = settings.transport === 'cookie'
  const served = await ours(settings, {
    adapter: () => sqlite(file),
    strategy: () => (stored ? databaseStrategy : jwtStrategy)({ lifetimeSeconds: 3600 })
  })
  const body = JSON.stringify({ username: CREDENTIALS.email, password: CREDENTIALS.password })
  const requests = [{ method: 'POST' as const, path: '/auth/b1/login', headers: HEADERS, body }]
  return { ...served, requests, expect: stored ? 204 : 200 }
})
