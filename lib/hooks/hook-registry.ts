import type { EventContext, EventName, PendingLogin, UsersEvents, UsersHook } from '../contracts/events.js'
import { FST_USERS_HOOKS_CLOSED, FST_USERS_INVALID_HOOK, FST_USERS_UNKNOWN_HOOK } from '../errors.js'

/** Names of all events, from registration to deletion. */
export const eventNames: readonly EventName[] = [
  'onBeforeRegister',
  'onAfterRegister',
  'onRegisterExisting',
  'onBeforeUpdate',
  'onAfterUpdate',
  'onAfterRequestVerify',
  'onAfterVerify',
  'onAfterForgotPassword',
  'onAfterResetPassword',
  'onBeforeLogin',
  'onIssueToken',
  'onAfterLogin',
  'onLoginFailed',
  'onAfterLogout',
  'onAfterLink',
  'onAfterUnlink',
  'onBeforeDelete',
  'onAfterDelete'
]

/** The listeners of one registration. */
export interface HookRegistry {
  /** Adds a listener. Throws if the event is unknown, the hook is invalid or the registry is closed. */
  add<N extends EventName>(name: N, hook: UsersHook<N>): void
  /**
   * Calls the listeners in order and stops at the first error. Returns the pending login if a listener of
   * `onBeforeLogin` asks for one.
   */
  run<N extends EventName>(name: N, payload: UsersEvents[N], context: EventContext): Promise<PendingLogin | null>
  /** Closes the registry: `add` throws from now on. */
  close(): void
}

/** Creates an empty registry. */
export function createHookRegistry (): HookRegistry {
  const hooks = new Map<string, UsersHook<EventName>[]>(eventNames.map((name) => [name, []]))
  let closed = false

  return {
    add (name, hook) {
      const list = hooks.get(name)
      if (list === undefined) throw FST_USERS_UNKNOWN_HOOK([String(name), eventNames.join(', ')])
      if (typeof hook !== 'function' || hook.length > 2) throw FST_USERS_INVALID_HOOK([name])
      if (closed) throw FST_USERS_HOOKS_CLOSED([name])
      list.push(hook as unknown as UsersHook<EventName>) // the key of the map determines the type
    },

    async run (name, payload, context) {
      // the map has a list for every event
      for (const hook of hooks.get(name) as readonly UsersHook<EventName>[]) {
        const result: unknown = await hook(payload, context) // hooks in plain JavaScript may return any value
        if (name === 'onBeforeLogin' && isPending(result)) return result.pending
      }
      return null
    },

    close () {
      closed = true
    }
  }
}

function isPending (result: unknown): result is { pending: PendingLogin } {
  return (
    typeof result === 'object' &&
    result !== null &&
    'pending' in result &&
    typeof result.pending === 'object' &&
    result.pending !== null
  )
}
