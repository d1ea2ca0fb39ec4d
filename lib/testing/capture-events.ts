import type { UsersEvents } from '../contracts/events.js'
import type { AnyInstance } from '../contracts/instances.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'

/** The name of an event and the properties that its listeners received. */
export type CapturedEvent = { [N in keyof UsersEvents]: { name: N } & UsersEvents[N] }[keyof UsersEvents]

/** The captured events of an application. */
export interface CapturedEvents {
  /** All events, newest last. */
  readonly events: readonly CapturedEvent[]
  /** Returns the names of all events, newest last. */
  names(): string[]
  /**
   * Waits for background work, then returns the token of the newest event with this name. Throws
   * `FST_USERS_INVALID_OPTION` if there is no such event, or if it has no token.
   */
  tokenOf(
    name: 'onAfterRequestRegister' | 'onAfterRequestVerify' | 'onAfterEmailChange' | 'onAfterForgotPassword'
  ): Promise<string>
  /** Deletes all captured events. */
  clear(): void
}

/** Captures all events of an application, those of features included. Call it after `register` and before `ready`. */
export function captureEvents (app: AnyInstance): CapturedEvents {
  const events: CapturedEvent[] = []
  for (const name of app.users.eventNames) {
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
      if (event === undefined || !('token' in event) || event.token === null) {
        throw FST_USERS_INVALID_OPTION([name, 'no such event was captured'])
      }
      return event.token
    },
    clear () {
      events.length = 0
    }
  }
}
