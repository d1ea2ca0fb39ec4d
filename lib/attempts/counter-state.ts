import type { DelayLimit, Limit } from '../contracts/limits.js'

/** The limits of one counter. */
export interface CounterRule {
  readonly limits: readonly Limit[]
  /** Growing waits; null for no waits. */
  readonly delay: DelayLimit | null
  /** Failures in a row after which every attempt is refused; null if the counter does not count failures in a row. */
  readonly stopAfter: number | null
}

/** The state of one counter. */
export interface CounterState {
  /** Failures in a row. */
  readonly failures: number
  /** Time of the last counted attempt in milliseconds. 0 for none. */
  readonly last: number
  /** The running windows by their length in seconds. */
  readonly windows: ReadonlyMap<number, Window>
}

interface Window {
  /** Time of the first attempt in milliseconds. */
  readonly start: number
  readonly count: number
}

/** The limit that refuses an attempt. */
export interface Refusal {
  /** Milliseconds until the next attempt is allowed. */
  readonly waitMs: number
  readonly max: number
  /** Length of the window in seconds; null for the stop after too many failures in a row. */
  readonly seconds: number | null
}

/** The result of an attempt: the state before and after it, or the refusal. */
export interface Taken {
  readonly state: CounterState
  readonly before: CounterState
  readonly refusal: Refusal | null
}

export const NO_ATTEMPTS: CounterState = { failures: 0, last: 0, windows: new Map() }

const DAY_MS = 86_400_000
/** Time after the last failure for which failures in a row are remembered. */
const REMEMBERED_MS = 30 * DAY_MS
/** Time for which a stop is remembered: in effect, until the password is reset. */
const STOPPED_MS = 3650 * DAY_MS

/** Returns the state that was stored as this text. */
export function decodeState (text: string | null): CounterState {
  if (text === null) return NO_ATTEMPTS
  const [failures = 0, last = 0, ...rest] = text.split('.').map((part) => Number.parseInt(part, 36))
  const windows = new Map<number, Window>()
  for (let i = 0; i + 2 < rest.length; i += 3) {
    const [seconds = 0, start = 0, count = 0] = rest.slice(i, i + 3)
    windows.set(seconds, { start, count })
  }
  return { failures, last, windows }
}

/** Returns the text for a state; null if there is nothing to store. */
export function encodeState ({ failures, last, windows }: CounterState): string | null {
  const counted = [...windows].filter(([, { count }]) => count > 0)
  if (failures === 0 && counted.length === 0) return null
  const numbers = [failures, last, ...counted.flatMap(([seconds, { start, count }]) => [seconds, start, count])]
  return numbers.map((number) => number.toString(36)).join('.')
}

/** Returns for how many milliseconds a state must be stored. */
export function lifetimeOf ({ failures, windows }: CounterState, { stopAfter }: CounterRule): number {
  const longest = Math.max(0, ...windows.keys()) * 1000
  if (failures === 0 || stopAfter === null) return longest
  return Math.max(longest, failures >= stopAfter ? STOPPED_MS : REMEMBERED_MS)
}

/** Counts an attempt, unless a limit refuses it. With `force`, no limit refuses it. */
export function takeAttempt (stored: CounterState, rule: CounterRule, now: number, force = false): Taken {
  const before = currentState(stored, rule, now)
  const refusal = force ? null : refusalOf(before, rule, now)
  // times in the future are corrected, because the limit would otherwise hold until the clock reaches them
  if (refusal !== null) return { state: stored.last > now ? before : stored, before, refusal }
  const windows = new Map(
    rule.limits.map(({ seconds }) => {
      const { start, count } = before.windows.get(seconds) ?? { start: now, count: 0 }
      return [seconds, { start, count: count + 1 }]
    })
  )
  const failures = rule.stopAfter === null ? 0 : before.failures + 1
  return { state: { failures, last: now, windows }, before, refusal: null }
}

/** Returns the state without an attempt that was counted at this time, when the state was `before`. */
export function undoAttempt (
  { failures, last, windows }: CounterState,
  at: number,
  before: CounterState
): CounterState {
  const without = [...windows].map(([seconds, { start, count }]): [number, Window] => [
    seconds,
    { start, count: start <= at && at < start + seconds * 1000 ? Math.max(0, count - 1) : count }
  ])
  return { failures: Math.max(0, failures - 1), last: last === at ? before.last : last, windows: new Map(without) }
}

/**
 * Returns the state without windows that have ended, and without failures that are too old. Times in the future, which
 * a clock that was set back leaves, count as now: otherwise a limit would hold too long.
 */
function currentState (
  { failures, last, windows }: CounterState,
  { stopAfter }: CounterRule,
  now: number
): CounterState {
  const isStopped = stopAfter !== null && failures >= stopAfter
  const live = [...windows]
    .map(([seconds, { start, count }]): [number, Window] => [seconds, { start: Math.min(start, now), count }])
    .filter(([seconds, { start }]) => now < start + seconds * 1000)
  return {
    failures: isStopped || now - last < REMEMBERED_MS ? failures : 0,
    last: Math.min(last, now),
    windows: new Map(live)
  }
}

/** Returns the refusal with the longest wait; null if the attempt is allowed. */
function refusalOf ({ failures, last, windows }: CounterState, rule: CounterRule, now: number): Refusal | null {
  const { limits, delay, stopAfter } = rule
  if (stopAfter !== null && failures >= stopAfter) {
    return { waitMs: (delay?.maxSeconds ?? 3600) * 1000, max: stopAfter, seconds: null }
  }
  const refusals = limits.flatMap(({ max, seconds }): Refusal[] => {
    const { start, count } = windows.get(seconds) ?? { start: now, count: 0 }
    return count < max ? [] : [{ waitMs: start + seconds * 1000 - now, max, seconds }]
  })
  if (delay !== null && failures >= delay.after) {
    const seconds = Math.min(delay.maxSeconds, delay.seconds * 2 ** (failures - delay.after))
    if (now < last + seconds * 1000) refusals.push({ waitMs: last + seconds * 1000 - now, max: 1, seconds })
  }
  return refusals.reduce<Refusal | null>(
    (longest, one) => (longest === null || one.waitMs > longest.waitMs ? one : longest),
    null
  )
}
