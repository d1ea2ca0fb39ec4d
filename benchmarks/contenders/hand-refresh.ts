// Replaces a refresh token in one transaction. The used token is kept: a token that is used again ends
// the session. There is no successor for a repeated request, and no record of the methods of the login.
import { randomUUID } from 'node:crypto'
import { digestOf, newJwtApp, newToken, type HandRow } from './support/hand.js'
import { handFile, timeText } from './support/hand-sqlite.js'
import { fastifyServer } from './support/reply.js'
import { followRefreshTokens } from './support/refreshes.js'
import { serve } from './support/serve.js'

const LIFETIME_MS = 30 * 24 * 3_600_000

interface Session {
  id: string
  user_id: string
  token: string
  used: string | null
  expires_at: string
}

serve(async (settings) => {
  const { database, user } = await handFile(settings)
  database.exec(`CREATE TABLE session (
    id CHAR(36) NOT NULL PRIMARY KEY, user_id CHAR(36) NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    token VARCHAR(43) NOT NULL, used VARCHAR(43), expires_at TIMESTAMP NOT NULL
  );
  CREATE UNIQUE INDEX ix_session_token ON session (token);
  CREATE INDEX ix_session_used ON session (used);
  CREATE INDEX ix_session_user_id ON session (user_id)`)
  const insert = database.prepare('INSERT INTO session VALUES (?, ?, ?, NULL, ?)')
  const byToken = database.prepare<[string], Session>('SELECT * FROM session WHERE token = ?')
  const byUsed = database.prepare<[string], Session>('SELECT * FROM session WHERE used = ?')
  const byId = database.prepare<[string], HandRow>('SELECT * FROM user WHERE id = ?')
  const replace = database.prepare('UPDATE session SET token = ?, used = ?, expires_at = ? WHERE id = ? AND token = ?')
  const end = database.prepare('DELETE FROM session WHERE id = ?')
  const expiry = (): string => timeText(Date.now() + LIFETIME_MS)

  const refresh = database.transaction((token: string): { user: HandRow; next: string } | null => {
    const digest = digestOf(token)
    const session = byToken.get(digest)
    if (session === undefined) {
      const stolen = byUsed.get(digest)
      if (stolen !== undefined) end.run(stolen.id)
      return null
    }
    const owner = byId.get(session.user_id)
    if (owner?.is_active !== 1 || session.expires_at <= timeText(Date.now())) return null
    const next = newToken()
    replace.run(digestOf(next), digest, expiry(), session.id, digest)
    return { user: owner, next }
  })

  const app = await newJwtApp()
  const body = { type: 'object', required: ['refresh_token'], properties: { refresh_token: { type: 'string' } } }
  app.post<{ Body: { refresh_token: string } }>('/refresh', { schema: { body } }, async (request, reply) => {
    const refreshed = refresh.immediate(request.body.refresh_token)
    if (refreshed === null) return reply.code(400).send({ error: 'invalid_grant' })
    const claims = { sub: refreshed.user.id, ver: refreshed.user.session_stamp, jti: randomUUID() }
    return {
      access_token: app.jwt.sign(claims),
      token_type: 'bearer',
      expires_in: 3600,
      refresh_token: refreshed.next
    }
  })
  await app.ready()
  const logIn = async (): Promise<string> => {
    const token = newToken()
    insert.run(randomUUID(), user.id, digestOf(token), expiry())
    return token
  }
  return { ...fastifyServer(app), ...(await followRefreshTokens('/refresh', logIn)) }
})
