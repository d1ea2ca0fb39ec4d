import type { FastifyRequest } from 'fastify'
import type { Authentication } from '../contracts/authentication.js'
import type { AnyRequest } from '../contracts/instances.js'
import type { SessionEnd, WatchSessionOptions } from '../contracts/session-watch.js'
import { notRegistered } from '../copies.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { checkKnownKeys, checkOption } from '../shared/option-checks.js'
import { kGuard } from '../symbols.js'
import type { Guard } from './guard.js'
import { readGuardOptions, type GuardOptions } from './guard-options.js'

const DEFAULT_SECONDS = 30
const MAX_SECONDS = 3600
/** Number of failed checks in a row that ends a connection. One failure may be a short interruption. */
const MAX_FAILURES = 2

/**
 * Watches the session of a request whose connection stays open, such as a WebSocket or server-sent events. Calls
 * `onEnded` once: at once if this process revokes the session, when the token expires, when another process reports the
 * end through the channel of the user cache, and otherwise when a check finds that the session has ended. Returns a
 * function that stops watching; call it when the connection closes. Throws `FST_USERS_UNAUTHENTICATED` if no guard has
 * identified a user, `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`, `FST_USERS_GUARD_MISUSED`.
 *
 * @example
 * const stop = watchSession(request, () => socket.close(1008))
 * socket.on('close', stop)
 */
export function watchSession (
  request: AnyRequest,
  onEnded: (reason: SessionEnd) => void,
  options: WatchSessionOptions = {}
): () => void {
  checkKnownKeys('watchSession.', options, ['recheckSeconds', 'guard'])
  const { recheckSeconds = DEFAULT_SECONDS, guard: given = {} } = options
  const isInRange = (seconds: unknown): boolean => typeof seconds === 'number' && seconds >= 1 && seconds <= MAX_SECONDS
  checkOption('watchSession.recheckSeconds', recheckSeconds, isInRange, `must be a number from 1 to ${MAX_SECONDS}`)
  const { [kGuard]: guard } = request.server as { [kGuard]?: Guard }
  if (guard === undefined) throw notRegistered(request.server)
  const watched = request as FastifyRequest // AnyRequest has only what the request types of all applications share
  const { authentication } = watched
  if (authentication === null) throw FST_USERS_UNAUTHENTICATED()
  const { backends = [authentication.backend] } = given
  const guardOptions = { ...readGuardOptions({ ...given, backends }), optional: false, cached: false }
  guard.checkOptions(guardOptions)
  const check = createCheck(guard, guardOptions, watched, authentication)
  return startWatch({ guard, request: watched, authentication, check }, onEnded, recheckSeconds * 1000)
}

interface Watched {
  readonly guard: Guard
  readonly request: FastifyRequest
  readonly authentication: Authentication
  /** Returns false if the session has ended or the guard refuses it. */
  readonly check: () => Promise<boolean>
}

function startWatch (
  { guard: { watchers }, request, authentication, check }: Watched,
  onEnded: (reason: SessionEnd) => void,
  intervalMs: number
): () => void {
  let state: 'waiting' | 'checking' | 'outdated' | 'over' = 'waiting'
  let failures = 0
  let timer: NodeJS.Timeout | undefined

  function schedule (delayMs: number): void {
    clearTimeout(timer)
    timer = setTimeout(() => {
      runCheck().catch((error: unknown) => {
        request.log.error({ err: error }, 'fastify-users: the callback of watchSession failed')
      })
    }, delayMs)
    timer.unref()
  }

  async function runCheck (): Promise<void> {
    state = 'checking'
    const delay = nextDelay() // the token may expire during the check
    const isOpen = await check().catch(() => null)
    failures = isOpen === null ? failures + 1 : 0
    if (isOver()) return
    if (isOpen === false) return end('ended')
    if (failures >= MAX_FAILURES) return end('unavailable')
    // the session may have changed after it was read
    schedule(isOutdated() ? 0 : delay)
    state = 'waiting'
  }

  const isOver = (): boolean => state === 'over'
  const isOutdated = (): boolean => state === 'outdated'
  const nextDelay = (): number => Math.min(intervalMs, Math.max(1, watchers.timeLeft(authentication) ?? intervalMs))

  function stop (): void {
    state = 'over'
    clearTimeout(timer)
    remove()
  }

  function end (reason: SessionEnd): void {
    if (isOver()) return
    stop()
    try {
      onEnded(reason)
    } catch (error) {
      request.log.error({ err: error }, 'fastify-users: the callback of watchSession failed')
    }
  }

  const remove = watchers.add({
    user: String(authentication.user.id),
    session: authentication.session.id,
    end,
    recheck (delayMs) {
      if (state === 'waiting') schedule(delayMs)
      else if (state === 'checking') state = 'outdated'
    }
  })
  schedule(nextDelay())
  return stop
}

/**
 * Returns a function that runs the guard again. It uses a request that inherits from the original one, so that handlers
 * always find the user on theirs.
 */
function createCheck (
  guard: Guard,
  options: GuardOptions,
  request: FastifyRequest,
  { backend, session: { id } }: Authentication
): () => Promise<boolean> {
  return async () => {
    const again = Object.create(request) as FastifyRequest
    again.authentication = null
    again.user = null
    const refusal = await guard.check(again, options)
    const found = again.authentication as Authentication | null // the guard has set it
    return refusal === null && found?.backend === backend && found.session.id === id
  }
}
