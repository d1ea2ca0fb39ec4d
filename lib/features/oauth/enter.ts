import type { Backend } from '../../contracts/backend.js'
import type { EventContext } from '../../contracts/events.js'
import type { FeatureHost } from '../../contracts/feature-host.js'
import type { IssuedToken } from '../../contracts/strategy.js'
import type { UserRow } from '../../contracts/user.js'
import type { UsersApi } from '../../contracts/users-api.js'
import { FST_USERS_LOGIN_USER_NOT_VERIFIED, isUsersError } from '../../errors.js'
import { startSession } from '../../routes/index.js'
import type { Identity, OauthAccounts } from './contracts.js'

/** What a login with a provider needs. */
export interface EnterParts {
  host: FeatureHost
  users: UsersApi
  accounts: OauthAccounts
  backend: Backend
  requireVerification: boolean
}

/** The request of a login and its reply. */
type Exchange = { [K in keyof EventContext]: NonNullable<EventContext[K]> }

/** Logs in the user whom a provider vouches for. A first login that is refused leaves neither a user nor an account. */
export async function enterWith (parts: EnterParts, identity: Identity, exchange: Exchange): Promise<IssuedToken> {
  const { host, users, accounts, backend } = parts
  const row = await accounts.resolve(identity, exchange).catch(async (error: unknown) => {
    if (isCode(error, 'FST_USERS_LOGIN_USER_NOT_VERIFIED')) {
      await reportUnverified(parts, identity.email ?? '', null, exchange)
    }
    throw error
  })
  try {
    await checkVerified(parts, row, exchange)
    return await startSession(users, backend, row, { ...exchange, method: `oauth:${identity.provider.name}` })
  } catch (error) {
    if (isCode(error, 'FST_USERS_LOGIN_PENDING')) throw error // not refused: a further step finishes it
    await accounts.withdraw(row, exchange).catch((failure: unknown) => {
      host.background(() => Promise.reject(failure))
    }) // logged
    throw error
  }
}

/** Refuses an unverified user where this feature asks for more than its backend does. */
async function checkVerified (parts: EnterParts, row: UserRow, exchange: Exchange): Promise<void> {
  const { backend, requireVerification } = parts
  if (!requireVerification || backend.requireVerification || row.is_verified || !row.is_active) return
  await reportUnverified(parts, row.email, row, exchange)
  throw FST_USERS_LOGIN_USER_NOT_VERIFIED()
}

async function reportUnverified (
  { host, backend }: EnterParts,
  email: string,
  row: UserRow | null,
  exchange: Exchange
): Promise<void> {
  const user = row && host.rows.toUser(row)
  await host.fire('onLoginFailed', { username: email, user, backend: backend.name, reason: 'NOT_VERIFIED' }, exchange)
}

function isCode (error: unknown, code: string): boolean {
  return isUsersError(error) && error.code === code
}
