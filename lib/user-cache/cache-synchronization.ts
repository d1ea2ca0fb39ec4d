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
/** Upper limit for the length of a greeting. Longer texts are not parsed as one. */
const MAX_GREETING_LENGTH = 100
/** Number of greetings after which a warning is logged. */
const GREETINGS_BEFORE_WARNING = 5

/** The channel of a cache, its topic, and the function that is called for each change that arrives. */
export interface CacheReports {
  readonly channel: CacheChannel | null
  readonly topic: string
  onChange(change: CacheChange): void
}

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
  { channel, topic, onChange }: CacheReports,
  log: FastifyBaseLogger
): CacheSynchronization {
  const greeting = createGreeting(publish, () => {
    log.warn(`fastify-users: the cache stays off, because the channel "${topic}" does not deliver texts`)
  })
  let subscription: CacheSubscription | undefined
  let isLossLogged = false

  async function publish (text: string): Promise<void> {
    const late = (): Error => storeUnavailable(`no answer within ${REPORT_MS} ms`)
    if (channel !== null) await limitTime(() => channel.publish(topic, text), REPORT_MS, late)
  }

  function apply (change: CacheChange): void {
    applyChange(cache, change)
    onChange(change)
  }

  const listener = {
    onSubscribed () {
      greeting.send()
    },
    onText (text: string) {
      const received = readGreeting(text)
      if (received === undefined) apply(readChange(text))
      else if (greeting.isOwn(received)) {
        greeting.stop()
        isLossLogged = false
        cache.switch(true)
        log.info(`fastify-users: the cache is on; changes arrive through the channel "${topic}"`)
      }
    },
    onLost (reason: unknown) {
      greeting.stop()
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
      greeting.stop()
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

/** A text that a process sends to itself until it comes back. */
interface Greeting {
  /** Sends a new greeting, and again each second until `stop` is called. */
  send(): void
  stop(): void
  /** Returns true for the greeting that is being sent. */
  isOwn(received: unknown): boolean
}

/** Creates the greeting of a process. `warn` is called if it does not come back. */
function createGreeting (publish: (text: string) => Promise<void>, warn: () => void): Greeting {
  let current: string | null = null
  let timer: NodeJS.Timeout | undefined

  function sendAgain (text: string, attempt: number): void {
    publish(text).catch(() => {}) // it is sent again
    if (attempt === GREETINGS_BEFORE_WARNING) warn()
    timer = setTimeout(() => {
      sendAgain(text, attempt + 1)
    }, GREETING_MS)
    timer.unref()
  }

  function stop (): void {
    clearTimeout(timer)
    current = null
  }

  return {
    stop,
    send () {
      stop()
      current = randomUUID()
      sendAgain(JSON.stringify({ greeting: current }), 1)
    },
    isOwn: (received) => current !== null && received === current
  }
}

/** Returns the value of a greeting; undefined for every other text. */
function readGreeting (text: string): unknown {
  const value = text.length < MAX_GREETING_LENGTH ? parseJson(text) : null
  return isObject(value) ? value['greeting'] : undefined
}
