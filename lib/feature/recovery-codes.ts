import type { EventContext } from '../contracts/events.js'
import type { FeatureKit } from '../contracts/feature.js'
import type { RecoveryCodeSource } from '../contracts/recovery-codes.js'
import type { User, UserRow } from '../contracts/user.js'

interface Shared {
  source: RecoveryCodeSource | null
}

const sharedBy = ({ shared }: Pick<FeatureKit, 'shared'>): Shared =>
  shared('fastify-users:recovery-codes', () => ({ source: null }))

/** Makes recovery codes available to the other features of a registration. The feature `recoveryCodes()` calls it. */
export function provideRecoveryCodes (kit: Pick<FeatureKit, 'shared'>, source: RecoveryCodeSource): void {
  sharedBy(kit).source = source
}

/** Returns the recovery codes of a registration; null without the feature `recoveryCodes()`. Call it per request. */
export function recoveryCodesOf (kit: Pick<FeatureKit, 'shared'>): RecoveryCodeSource | null {
  return sharedBy(kit).source
}

/**
 * Creates recovery codes for a user who has added a second factor. Returns null if the user has codes and other factors
 * already, and without the feature `recoveryCodes()`.
 */
export async function createFirstRecoveryCodes (
  kit: Pick<FeatureKit, 'shared'>,
  user: User | UserRow,
  context: EventContext
): Promise<readonly string[] | null> {
  const source = recoveryCodesOf(kit)
  const prepared = (await source?.prepare(user)) ?? null
  return prepared !== null && (await source?.store(user, prepared.digests, context)) === true ? prepared.codes : null
}
