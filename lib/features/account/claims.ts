import type { FeatureKit, User } from '../../feature/index.js'
import { deletionModel as model, type DeletionRow } from './model.js'

/** Time for which one process works on a request. If it is killed, another one continues after that. */
const CLAIM_MS = 5 * 60_000

/** Marks, as `due_at`, a request whose deletion has begun. It can no longer be undone. */
const BEGUN = new Date(0)

/**
 * Records that the deletion of a user has begun, after which a failed deletion is only repeated. `claimed` is the
 * request if the regular deletion has claimed it; other deletions claim it here.
 */
export async function recordDeletionBegin (
  kit: FeatureKit,
  { id }: Pick<User, 'id'>,
  claimed?: DeletionRow
): Promise<void> {
  const until = claimed?.claimed_until ?? new Date(kit.clock() + CLAIM_MS)
  await kit.store.update(model, { id: String(id) }, { due_at: BEGUN, claimed_until: until })
}

/** Returns true if the deletion of the user has begun. */
export function isDeletionBegun ({ due_at: dueAt }: DeletionRow): boolean {
  return dueAt.getTime() === BEGUN.getTime()
}

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

/** Ends the claim of an undo. */
export async function releaseClaim (
  { store }: FeatureKit,
  { id, token, claimed_until: until }: DeletionRow
): Promise<void> {
  await store.update(model, { id, token, claimed_until: until }, { claimed_until: new Date(0) })
}

/**
 * Ends the claim of a deletion that failed, and moves it to a later time. Until then, the request can be undone if the
 * deletion was refused, but not if it has begun.
 */
export async function postponeDeletion ({ store }: FeatureKit, claimed: DeletionRow, until: Date): Promise<void> {
  const { id, token, claimed_until: known, due_at: dueAt } = claimed
  const own = { id, token, claimed_until: known }
  const refused = { ...own, due_at: dueAt }
  if ((await store.update(model, refused, { claimed_until: new Date(0), due_at: until })) === 1) return
  await store.update(model, own, { claimed_until: until })
}
