import type { EventContext, EventName, PendingLogin, UsersEvents, UsersHook } from '../contracts/events.js'
import { FST_USERS_HOOKS_CLOSED, FST_USERS_INVALID_HOOK, FST_USERS_UNKNOWN_HOOK } from '../errors.js'

/** Every event, in the order of a user's life. */
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
  add<N extends EventName>(name: N, hook: UsersHook<N>): void
  /** Calls the listeners one after the other; the first that throws ends it. Returns what `onBeforeLogin` asks for. */
  run<N extends EventName>(name: N, payload: UsersEvents[N], context: EventContext): Promise<PendingLogin | null>
  /** No listener can be added any more. */
  close(): void
}

export function createHookRegistry (): HookRegistry {
  const hooks = new Map<string, UsersHook<EventName>[]>(eventNames.map((name) => [name, []]))
  let closed = false

  return {
    add (name, hook) {
      const list = hooks.get(name)
      if (list === undefined) throw FST_USERS_UNKNOWN_HOOK([String(name), eventNames.join(', ')])
      if (typeof hook !== 'function' || hook.length > 2) throw FST_USERS_INVALID_HOOK([name])
      if (closed) throw FST_USERS_HOOKS_CLOSED([name])
      list.push(hook as unknown as UsersHook<EventName>) // the map's key says which event it is
    },

    async run (name, payload, context) {
      for (const hook of hooks.get(name) as readonly UsersHook<EventName>[]) {
        // every event has its list
        const result: unknown = await hook(payload, context) // plain JavaScript may return anything
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
