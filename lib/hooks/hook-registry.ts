import type { EventContext, EventName, PendingLogin, UsersEvents, UsersHook } from '../contracts/events.js'
import {
  FST_USERS_HOOKS_CLOSED,
  FST_USERS_INVALID_HOOK,
  FST_USERS_INVALID_OPTION,
  FST_USERS_UNKNOWN_HOOK
} from '../errors.js'

/** The properties of a feature that define its events. */
interface EventSource {
  readonly name: string
  readonly events?: readonly string[]
}

const EVENT_NAME = /^on[A-Z][A-Za-z0-9]{0,60}$/

/** Names of the events of the plugin, from registration to deletion. */
export const eventNames: readonly EventName[] = [
  'onLoginAttempt',
  'onLoginStepAttempt',
  'onCurrentPasswordAttempt',
  'onRegisterAttempt',
  'onForgotPasswordAttempt',
  'onRequestVerifyAttempt',
  'onResetPasswordAttempt',
  'onVerifyAttempt',
  'onBeforeRegister',
  'onAfterRegister',
  'onAfterRequestRegister',
  'onRegisterExisting',
  'onBeforeUpdate',
  'onAfterUpdate',
  'onAfterRequestVerify',
  'onAfterVerify',
  'onAfterRequestEmailChange',
  'onAfterEmailChange',
  'onAfterUndoEmailChange',
  'onAfterForgotPassword',
  'onAfterResetPassword',
  'onBeforeLogin',
  'onIssueToken',
  'onAfterLogin',
  'onAfterReauthenticate',
  'onNewDevice',
  'onAccountLocked',
  'onLoginFailed',
  'onAfterLogout',
  'onBeforeDelete',
  'onAfterDelete'
]

/** Name of the event that reports the other events. It is not among `names`, because listening to it costs time. */
const AUDIT_EVENT = 'onAudit'

/** Receives every call of `run` after it has ended. `error` is what a listener threw; otherwise null. Never throws. */
export type HookObserver = (
  name: EventName,
  payload: UsersEvents[EventName],
  context: EventContext,
  error: unknown
) => void

/** The listeners of one registration. */
export interface HookRegistry {
  /** Names of all events: first those of the plugin, then those of its features. */
  readonly names: readonly EventName[]
  /** Adds a listener. Throws if the event is unknown, the hook is invalid or the registry is closed. */
  add<N extends EventName>(name: N, hook: UsersHook<N>): void
  /**
   * Calls the listeners in order and stops at the first error. Returns the pending login if a listener of
   * `onBeforeLogin` asks for one. Throws `FST_USERS_UNKNOWN_HOOK` for an event that no feature declares.
   */
  run<N extends EventName>(name: N, payload: UsersEvents[N], context: EventContext): Promise<PendingLogin | null>
  /** The listeners of `onAudit`. */
  readonly auditListeners: readonly UsersHook<'onAudit'>[]
  /** Sets the function that receives every call of `run`. */
  observe(observer: HookObserver): void
  /** Closes the registry: `add` throws from now on. */
  close(): void
}

/**
 * Creates an empty registry for the events of the plugin and of the features. Throws `FST_USERS_INVALID_OPTION` for a
 * malformed name and for the name of an event of the plugin.
 */
export function createHookRegistry (features: readonly EventSource[] = []): HookRegistry {
  const names = [...new Set([...eventNames, ...features.flatMap(eventsOf)])]
  const hooks = new Map<string, UsersHook<EventName>[]>([...names, AUDIT_EVENT].map((name) => [name, []]))
  let observer: HookObserver | undefined
  let closed = false

  function listenersOf (name: EventName): UsersHook<EventName>[] {
    const list = hooks.get(name)
    if (list === undefined) throw FST_USERS_UNKNOWN_HOOK([String(name), names.join(', ')])
    return list
  }

  return {
    names,

    add (name, hook) {
      const list = listenersOf(name)
      if (typeof hook !== 'function' || hook.length > 2) throw FST_USERS_INVALID_HOOK([name])
      if (closed) throw FST_USERS_HOOKS_CLOSED([name])
      list.push(hook as unknown as UsersHook<EventName>) // the key of the map determines the type
    },

    async run (name, payload, context) {
      try {
        for (const hook of listenersOf(name)) {
          const result: unknown = await hook(payload, context) // hooks in plain JavaScript may return any value
          if (name === 'onBeforeLogin' && isPending(result)) return result.pending
        }
      } catch (error) {
        observer?.(name, payload, context, error)
        throw error
      }
      observer?.(name, payload, context, null)
      return null
    },

    auditListeners: (hooks.get(AUDIT_EVENT) ?? []) as unknown as UsersHook<'onAudit'>[], // the key determines the type

    observe (given) {
      observer = given
    },

    close () {
      closed = true
    }
  }
}

function eventsOf ({ name: feature, events = [] }: EventSource): readonly EventName[] {
  const option = `features["${feature}"].events`
  if (!Array.isArray(events)) throw FST_USERS_INVALID_OPTION([option, 'must be a list of names'])
  for (const name of events as readonly unknown[]) {
    if (typeof name !== 'string' || !EVENT_NAME.test(name)) {
      throw FST_USERS_INVALID_OPTION([option, 'must contain names that begin with "on" and an upper-case letter'])
    }
    if (name === AUDIT_EVENT || eventNames.includes(name as EventName)) {
      throw FST_USERS_INVALID_OPTION([option, `must not contain ${name}, which is an event of the plugin`])
    }
  }
  return events as readonly EventName[] // features declare their events by interface merging
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
