import type { UsersEvents } from '../contracts/events.js'
import type { AnyInstance } from '../contracts/instances.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { eventNames } from '../hooks/index.js'

/** An event as a listener got it, with its name. */
export type CapturedEvent = { [N in keyof UsersEvents]: { name: N } & UsersEvents[N] }[keyof UsersEvents]

/** The events of an application, newest last. */
export interface CapturedEvents {
  readonly events: readonly CapturedEvent[]
  /** Names of the events so far. */
  names(): string[]
  /**
   * Waits for work after replies, then gives the token of the newest such event. Throws `FST_USERS_INVALID_OPTION`
   * without one.
   */
  tokenOf(name: 'onAfterForgotPassword' | 'onAfterRequestVerify'): Promise<string>
  clear(): void
}

/** Listens to every event. Call it after `register` and before `ready`. */
export function captureEvents (app: AnyInstance): CapturedEvents {
  const events: CapturedEvent[] = []
  for (const name of eventNames) {
    app.users.addHook(name, (payload) => {
      events.push({ name, ...payload } as CapturedEvent)
    })
  }
  return {
    events,
    names: () => events.map(({ name }) => name),
    async tokenOf (name) {
      await app.users.settled()
      const event = events.findLast((captured) => captured.name === name)
      if (event === undefined || !('token' in event)) throw FST_USERS_INVALID_OPTION([name, 'has not happened'])
      return event.token
    },
    clear () {
      events.length = 0
    }
  }
}
