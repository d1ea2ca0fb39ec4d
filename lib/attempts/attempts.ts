import type { Attempt, AttemptCheck, AttemptEvent, AttemptKind, Attempts, AttemptSource } from '../contracts/attempts.js'
import type { EventName } from '../contracts/events.js'
import type { HookRegistry } from '../hooks/index.js'

/** The services that attempts need. */
export interface AttemptParts {
  readonly hooks: HookRegistry
  /** Returns an e-mail in the form in which e-mails are compared. */
  canonicalEmail(email: string): string
}

const UNCOUNTED: Attempt = { succeeded () {}, async failed () {}, undo () {} }

/** Creates attempts that are not counted. The checks and hooks run. */
export function createUncountedAttempts ({ hooks, canonicalEmail }: AttemptParts): Attempts {
  const checks: AttemptCheck[] = []
  return {
    checks,
    async begin (kind, source) {
      const email = await attemptEmailOf(source, canonicalEmail)
      await checkAttempt(hooks, checks, kind, eventOf(source, email, null), source)
      return UNCOUNTED
    },
    forget () {},
    async unlock () {},
    allowMail: async () => true
  }
}

/** Returns the e-mail of an attempt in the form in which e-mails are compared. */
export async function attemptEmailOf (
  { email = null }: AttemptSource,
  canonicalEmail: AttemptParts['canonicalEmail']
): Promise<string | null> {
  const given = typeof email === 'function' ? await email() : email
  return given === null ? null : canonicalEmail(given)
}

/** Returns the payload of the hook of an attempt. */
export function eventOf (
  { backend = null, context: { request } }: AttemptSource,
  email: string | null,
  failures: number | null
): AttemptEvent {
  return {
    email,
    ip: request?.ip ?? null,
    userAgent: request?.headers['user-agent'] ?? null,
    backend,
    failures
  }
}

/** Runs the checks, then the hook of the kind. The kinds of features have a hook if the feature declares its event. */
export async function checkAttempt (
  hooks: HookRegistry,
  checks: readonly AttemptCheck[],
  kind: AttemptKind,
  event: AttemptEvent,
  { context }: AttemptSource
): Promise<void> {
  for (const check of checks) await check(kind, event, context)
  const name = `on${kind.charAt(0).toUpperCase()}${kind.slice(1)}Attempt` as EventName // checked by the next line
  if (hooks.names.includes(name)) await hooks.run(name, event as never, context)
}
