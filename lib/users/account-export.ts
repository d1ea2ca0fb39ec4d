import type { AccountExport, ExportedSession } from '../contracts/account-export.js'
import type { Session } from '../contracts/session.js'
import type { User, UserId } from '../contracts/user.js'
import { createSessionService, currentRow } from '../sessions/index.js'
import type { Rules } from './rules.js'

/**
 * Returns the data of an account: the profile, its stored sessions, and the data of each feature. Throws
 * `FST_USERS_NOT_FOUND`.
 */
export async function exportAccount (rules: Rules, given: User | UserId): Promise<AccountExport> {
  const row = await currentRow(rules, given)
  const user = rules.rows.toUser(row)
  const sessions = await createSessionService(rules).list(user)
  const features: Record<string, Record<string, unknown>> = {}
  for (const [feature, source] of rules.exports) {
    const data = await source(user)
    if (Object.keys(data).length > 0) features[feature] = data
  }
  const devices = await rules.trustedDevices?.list(row, null)
  if (devices !== undefined && devices.length > 0) {
    features['trusted-devices'] = {
      devices: devices.map(({ userAgent, createdAt, lastUsedAt, expiresAt }) => ({
        user_agent: userAgent,
        created_at: createdAt.toISOString(),
        last_used_at: lastUsedAt.toISOString(),
        expires_at: expiresAt.toISOString()
      }))
    }
  }
  const exportedAt = new Date(rules.settings.clock()).toISOString()
  return { exported_at: exportedAt, user, sessions: sessions.map(exportedSession), features }
}

/** Returns the session without its id, which is derived from the token, and without details, which may be secret. */
function exportedSession ({ createdAt, authenticatedAt, methods }: Session): ExportedSession {
  return {
    created_at: createdAt?.toISOString() ?? null,
    authenticated_at: authenticatedAt?.toISOString() ?? null,
    methods
  }
}
