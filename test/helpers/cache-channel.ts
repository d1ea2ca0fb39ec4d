import { EventEmitter, once } from 'node:events'
import type { CacheChannel, CacheChannelListener } from '../../lib/index.js'

/** A channel in the memory of this process. Several applications on one bus behave like several processes. */
export interface CacheBus {
  readonly channel: CacheChannel
  /** All published texts, with their topics in front. */
  readonly published: string[]
  /** Delivers a text to all subscribers, as anyone who reaches the server of a channel can. */
  deliver(text: string): void
  /** Ends or starts the delivery, with the events of a lost and of a new connection. */
  lose(): void
  subscribe(): void
  /** Drops texts without an event, like a connection that accepts a subscription and delivers nothing. */
  isSilent: boolean
  /** True if publishing fails. */
  isBroken: boolean
}

/** Creates a bus. */
export function createBus (): CacheBus {
  const listeners = new Set<CacheChannelListener>()
  const bus: CacheBus = {
    published: [],
    isSilent: false,
    isBroken: false,
    deliver (text) {
      if (!bus.isSilent) for (const listener of listeners) listener.onText(text)
    },
    lose () {
      for (const listener of listeners) listener.onLost(new Error('lost'))
    },
    subscribe () {
      for (const listener of listeners) listener.onSubscribed()
    },
    channel: {
      async publish (topic, text) {
        if (bus.isBroken) throw new Error('the channel is broken')
        bus.published.push(`${topic} ${text}`)
        bus.deliver(text)
      },
      subscribe (_topic, listener) {
        listeners.add(listener)
        listener.onSubscribed()
        return {
          async close () {
            listeners.delete(listener)
          }
        }
      }
    }
  }
  return bus
}

/** A channel with the history of its events. */
export interface ObservedChannel {
  readonly channel: CacheChannel
  readonly published: string[]
  readonly delivered: string[]
  /** Resolves when the condition holds, which is checked after each event. */
  until(condition: () => boolean): Promise<void>
  /** Number of losses of the subscription. */
  readonly losses: number
  /** True while the cache of the application is on: from the delivery of its own greeting to the next loss. */
  readonly isOn: boolean
}

/** Passes all calls and events of a channel on, and records them. */
export function observeChannel (channel: CacheChannel): ObservedChannel {
  const events = new EventEmitter()
  const state = { published: [] as string[], delivered: [] as string[], losses: 0, isOn: false }
  const record = (change: () => void): void => {
    change()
    events.emit('event')
  }
  return {
    get losses () {
      return state.losses
    },
    get isOn () {
      return state.isOn
    },
    published: state.published,
    delivered: state.delivered,
    async until (condition) {
      while (!condition()) await once(events, 'event')
    },
    channel: {
      async publish (topic, text) {
        await channel.publish(topic, text)
        state.published.push(text)
      },
      subscribe: (topic, listener) =>
        channel.subscribe(topic, {
          onText (text) {
            listener.onText(text)
            record(() => {
              state.delivered.push(text)
              if (isGreeting(text)) state.isOn = true
            })
          },
          onSubscribed () {
            listener.onSubscribed()
            record(() => {})
          },
          onLost (reason) {
            listener.onLost(reason)
            record(() => {
              state.losses++
              state.isOn = false
            })
          }
        })
    }
  }
}

/** Returns true for the text with which a process checks its own subscription. */
export function isGreeting (text: string): boolean {
  return text.startsWith('{"greeting"')
}
