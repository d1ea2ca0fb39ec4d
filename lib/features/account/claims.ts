import type { FeatureKit } from '../../feature/index.js'
import { deletionModel as model, type DeletionRow } from './model.js'

/** Time for which one process works on a request. If it is killed, another one continues after that. */
const CLAIM_MS = 5 * 60_000

/**
 * Reserves a request, for its undo or for the deletion. Returns it with its claim. Of several processes, one succeeds;
 * the others get null.
 */
export async function claimDeletion (kit: FeatureKit, { id, token, ...row }: DeletionRow): Promise<DeletionRow | null> {
  const now = kit.clock()
  const until = new Date(now + CLAIM_MS)
  const open = { id, token, claimed_until: { lt: new Date(now) } }
  const count = await kit.store.update(model, open, { claimed_until: until })
  return count === 1 ? { ...row, id, token, claimed_until: until } : null
}

/** Returns true if the request still exists with this claim. */
export async function hasClaim ({ store }: FeatureKit, claimed: DeletionRow): Promise<boolean> {
  const { id, token, claimed_until: until } = claimed
  return (await store.findOne(model, { id, token, claimed_until: until })) !== null
}

/** Ends a claim, and moves the deletion to a later time if one is given. */
export async function releaseClaim (
  { store }: FeatureKit,
  claimed: DeletionRow,
  dueAt = claimed.due_at
): Promise<void> {
  const { id, token, claimed_until: until } = claimed
  await store.update(model, { id, token, claimed_until: until }, { claimed_until: new Date(0), due_at: dueAt })
}
