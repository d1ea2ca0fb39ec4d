/** Largest number of tokens that are remembered. */
const MAX_TOKENS = 50_000

/** The tokens that were checked a short time ago, so that a guarded request costs one look-up. */
export interface RecentTokens {
  /** Returns true if the token was checked less than the interval ago and the session has not reached its end. */
  has(token: string, now: number): boolean
  /** Remembers a token that was checked now. Its session ends at `end` at the latest. */
  add(token: string, now: number, end: number): void
}

/**
 * Creates the list. Tokens are kept in two maps: the older one is dropped when an interval has passed, so no entry
 * needs a timer.
 */
export function createRecentTokens (intervalMs: number): RecentTokens {
  let newer = new Map<string, number>()
  let older = new Map<string, number>()
  let startedAt = 0

  return {
    has (token, now) {
      const until = newer.get(token) ?? older.get(token)
      // a time that is further away than an interval was written before the clock was set back
      return until !== undefined && now < until && until - now <= intervalMs
    },
    add (token, now, end) {
      if (Math.abs(now - startedAt) >= intervalMs || newer.size >= MAX_TOKENS) {
        older = newer
        newer = new Map()
        startedAt = now
      }
      newer.set(token, Math.min(now + intervalMs, end))
    }
  }
}
