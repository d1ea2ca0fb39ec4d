import type { Clock } from '../contracts/settings.js'

/** A clock that stands still until it is moved. */
export interface ManualClock extends Clock {
  /** Moves the time on, or back with a negative number. */
  tick(seconds: number): void
}

/** A clock for the option `clock`, set to `start` (now) in milliseconds since 1970. */
export function manualClock (start: number = Date.now()): ManualClock {
  let now = start
  return Object.assign(() => now, {
    tick (seconds: number) {
      now += seconds * 1000
    }
  })
}
