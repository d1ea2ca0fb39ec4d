import {
  type Backend,
  type EventContext,
  type FeatureKit,
  FST_USERS_LOGIN_USER_NOT_VERIFIED,
  hasErrorCode,
  type IssuedToken,
  type UserRow,
} from '../../feature/index.js'
import type { Identity, OauthAccounts } from './contracts.js'

export interface EnterParts {
  kit: FeatureKit
  accounts: OauthAccounts
  backend: Backend
  requireVerification: boolean
}

type Exchange = { [K in keyof EventContext]: NonNullable<EventContext[K]> }

/** Logs in the user of an identity. If a first login is refused, the new user and its account are deleted. */
export async function enterWith (
  parts: EnterParts,
  identity: Identity,
  exchange: Exchange,
  rememberMe = false
): Promise<IssuedToken> {
  const { kit, accounts, backend } = parts
  const row = await accounts.resolve(identity, exchange).catch(async (error: unknown) => {
    if (hasErrorCode(error, 'FST_USERS_LOGIN_USER_NOT_VERIFIED')) {
      await reportUnverified(parts, identity.email ?? '', null, exchange)
    }
    throw error
  })
  try {
    await checkVerified(parts, row, exchange)
    const method = `oauth:${identity.provider.name}`
    return await kit.startSession(backend, row, { ...exchange, method, rememberMe })
  } catch (error) {
    if (hasErrorCode(error, 'FST_USERS_LOGIN_PENDING')) throw error // not a refusal: the login continues with a further step
    await accounts.withdraw(row, exchange).catch((failure: unknown) => {
      kit.background(() => Promise.reject(failure)) // logs the failure
    })
    throw error
  }
}

/** Throws `FST_USERS_LOGIN_USER_NOT_VERIFIED` if only the `oauth` option requires verification, not the backend. */
async function checkVerified (parts: EnterParts, row: UserRow, exchange: Exchange): Promise<void> {
  const { backend, requireVerification } = parts
  if (!requireVerification || backend.requireVerification || row.is_verified || !row.is_active) return
  await reportUnverified(parts, row.email, row, exchange)
  throw FST_USERS_LOGIN_USER_NOT_VERIFIED()
}

async function reportUnverified (
  { kit, backend }: EnterParts,
  email: string,
  row: UserRow | null,
  exchange: Exchange
): Promise<void> {
  const user = row && kit.rows.toUser(row)
  await kit.fire('onLoginFailed', { username: email, user, backend: backend.name, reason: 'NOT_VERIFIED' }, exchange)
}
