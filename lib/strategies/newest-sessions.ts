import type { StoredSession } from '../contracts/strategy.js'

const MAX_LISTED = 1000

/** Adds sessions to a list, and removes the oldest ones if the list is longer than 1000. Returns it sorted by time. */
export function addNewest (list: readonly StoredSession[], more: readonly StoredSession[]): StoredSession[] {
  const timeOf = ({ session: { createdAt } }: StoredSession): number => createdAt?.getTime() ?? 0
  return [...list, ...more].sort((one, other) => timeOf(one) - timeOf(other)).slice(-MAX_LISTED)
}
