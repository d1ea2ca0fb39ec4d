import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { CacheChannel, CacheSubscription } from '../contracts/user-cache.js'
import { storeUnavailable } from '../errors.js'
import { parseJson } from '../shared/json.js'
import { limitTime } from '../shared/time-limit.js'
import { isObject } from '../shared/values.js'
import { applyChange, readChange, textOfChange, type CacheChange } from './cache-change.js'
import type { UserCache } from './user-cache.js'

/** Longest time in milliseconds that a write waits until its change is reported. */
const REPORT_MS = 1000
/** Time in milliseconds after which a greeting that has not come back is sent again. */
const GREETING_MS = 1000
/** Number of greetings after which a warning is logged. */
const GREETINGS_BEFORE_WARNING = 5

/** Keeps the caches of several processes consistent. */
export interface CacheSynchronization {
  /** Switches the cache on, as soon as the channel delivers texts. */
  start(): void
  /** Switches the cache off and ends the subscription. Changes are still reported. */
  stop(): Promise<void>
  /** Reports a change to other processes. Waits a second at most, and never throws. */
  report(change: CacheChange): Promise<void>
}

/**
 * Creates the synchronization of a cache. The cache is on only while the channel is subscribed: a process that missed a
 * text would otherwise accept a revoked session. After each subscription the process sends a greeting to itself. The
 * cache is switched on when it comes back, because some connections accept a subscription and never deliver anything.
 */
export function synchronizeCache (
  cache: UserCache,
  channel: CacheChannel | null,
  topic: string,
  log: FastifyBaseLogger
): CacheSynchronization {
  let subscription: CacheSubscription | undefined
  let greeting: string | null = null
  let timer: NodeJS.Timeout | undefined
  let isLossLogged = false

  async function publish (text: string): Promise<void> {
    const late = (): Error => storeUnavailable(`no answer within ${REPORT_MS} ms`)
    if (channel !== null) await limitTime(() => channel.publish(topic, text), REPORT_MS, late)
  }

  function sendGreeting (text: string, attempt: number): void {
    publish(text).catch(() => {}) // the greeting is sent again
    if (attempt === GREETINGS_BEFORE_WARNING) {
      log.warn(`fastify-users: the cache stays off, because the channel "${topic}" does not deliver texts; see docs/user-cache.md`)
    }
    timer = setTimeout(() => {
      sendGreeting(text, attempt + 1)
    }, GREETING_MS)
    timer.unref()
  }

  function forgetGreeting (): void {
    clearTimeout(timer)
    greeting = null
  }

  const listener = {
    onSubscribed () {
      forgetGreeting()
      greeting = randomUUID()
      sendGreeting(JSON.stringify({ greeting }), 1)
    },
    onText (text: string) {
      const value = text.length < 100 ? parseJson(text) : null
      if (!isObject(value) || !('greeting' in value)) {
        applyChange(cache, readChange(text))
      } else if (greeting !== null && value['greeting'] === greeting) {
        forgetGreeting()
        isLossLogged = false
        cache.switch(true)
      }
    },
    onLost (reason: unknown) {
      forgetGreeting()
      if (cache.isOn) cache.switch(false)
      if (isLossLogged) return
      isLossLogged = true
      log.warn({ err: reason }, `fastify-users: the cache is off until the channel "${topic}" is subscribed again`)
    }
  }

  return {
    start () {
      if (channel === null) cache.switch(true)
      else subscription = channel.subscribe(topic, listener)
    },
    async stop () {
      forgetGreeting()
      cache.switch(false)
      await subscription?.close()
    },
    async report (change) {
      try {
        await publish(textOfChange(change))
      } catch (error) {
        log.error({ err: error }, 'fastify-users: a change was not reported; other processes apply it after maxAgeMs')
      }
    }
  }
}
