import type { Clock } from '../contracts/settings.js'

/** A clock that changes only through `tick`. */
export interface ManualClock extends Clock {
  /** Moves the clock forward, or backward by a negative number. */
  tick(seconds: number): void
}

/** Creates a clock for the option `clock`. `start` is in milliseconds since 1970. Default: the current time. */
export function manualClock (start: number = Date.now()): ManualClock {
  let now = start
  return Object.assign(() => now, {
    tick (seconds: number) {
      now += seconds * 1000
    }
  })
}
