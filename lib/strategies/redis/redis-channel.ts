import type { CacheChannel, CacheChannelListener, CacheSubscription } from '../../contracts/user-cache.js'
import { storeUnavailable } from '../../errors.js'
import { checkKnownKeys, checkOption } from '../../shared/option-checks.js'
import { isFunction } from '../../shared/values.js'

/** Used methods of a connection of `ioredis` that subscribes. */
export interface IoredisSubscriber {
  connect(): Promise<void>
  disconnect(): void
  subscribe(topic: string): Promise<unknown>
  on(event: 'message', listener: (topic: string, text: string) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'ready' | 'close', listener: () => void): unknown
}

/** Used methods of a client of `ioredis`. */
export interface IoredisPublisher {
  publish(topic: string, text: string): Promise<unknown>
  duplicate(options: {
    lazyConnect: boolean
    autoResubscribe: boolean
    retryStrategy: (attempts: number) => number
  }): IoredisSubscriber
}

/** Used methods of a connection of the package `redis` that subscribes. */
export interface NodeRedisSubscriber {
  connect(): Promise<unknown>
  /** True while the client connects or is connected. */
  readonly isOpen: boolean
  /** True while the client is connected. */
  readonly isReady: boolean
  destroy(): void
  subscribe(topic: string, listener: (text: string) => void): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'ready' | 'reconnecting' | 'end', listener: () => void): unknown
}

/** Used methods of a client of the package `redis`. */
export interface NodeRedisPublisher {
  publish(topic: string, text: string): Promise<unknown>
  duplicate(): NodeRedisSubscriber
}

/** A client of `ioredis` or `redis` for one server. The application owns it. */
export type RedisChannelClient = IoredisPublisher | NodeRedisPublisher

/** Options of `redisChannel`. */
export interface RedisChannelOptions {
  /** Name of the channel. Default: `fastify-users:<name of the tenant>`. */
  topic?: string
}

const LONGEST_DELAY_MS = 5000

/**
 * Creates a channel for the option `cache` that uses publish and subscribe of Redis. It opens one further connection
 * with the settings of the client, which may be that of `redisStrategy`. With a cluster, pass a client of one of its
 * nodes. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 *
 * @example
 * cache: { channel: redisChannel(new Redis()) }
 */
export function redisChannel (client: RedisChannelClient, options: RedisChannelOptions = {}): CacheChannel {
  checkOption('redisChannel', client, isClient, 'pass a client of ioredis or redis for a single server')
  checkKnownKeys('redisChannel.', options, ['topic'])
  const isName = (value: string): boolean => typeof value === 'string' && value !== ''
  if (options.topic !== undefined) checkOption('redisChannel.topic', options.topic, isName, 'must be text')
  const nameOf = (topic: string): string => options.topic ?? topic
  return {
    async publish (topic, text) {
      await client.publish(nameOf(topic), text)
    },
    subscribe: (topic, listener) =>
      isIoredis(client)
        ? subscribeIoredis(client, nameOf(topic), listener)
        : subscribeNodeRedis(client, nameOf(topic), listener)
  }
}

/** The connection subscribes after each reconnection, because `ioredis` does not report its own resubscription. */
function subscribeIoredis (
  client: IoredisPublisher,
  name: string,
  listener: CacheChannelListener
): CacheSubscription {
  const subscriber = client.duplicate({
    lazyConnect: true,
    autoResubscribe: false,
    retryStrategy: (attempts) => Math.min(attempts * 100, LONGEST_DELAY_MS)
  })
  let isClosed = false
  let lastError: unknown
  subscriber.on('error', (error) => {
    lastError = error
  })
  subscriber.on('message', (_topic, text) => {
    if (!isClosed) listener.onText(text)
  })
  subscriber.on('close', () => {
    if (!isClosed) listener.onLost(lastError)
  })
  subscriber.on('ready', () => {
    subscriber.subscribe(name).then(
      () => {
        if (!isClosed) listener.onSubscribed()
      },
      (error: unknown) => {
        if (!isClosed) listener.onLost(error)
      }
    )
  })
  subscriber.connect().catch(() => {}) // it connects again after a delay
  return {
    async close () {
      isClosed = true
      subscriber.disconnect()
    }
  }
}

/**
 * The client subscribes again after each reconnection, before its event `ready`. `subscribe` is called again after each
 * `ready` to learn when the subscription is complete. With the same function it adds no second listener.
 */
function subscribeNodeRedis (
  client: NodeRedisPublisher,
  name: string,
  listener: CacheChannelListener
): CacheSubscription {
  const subscriber = client.duplicate()
  let isClosed = false
  const lose = (reason: unknown): void => {
    if (!isClosed) listener.onLost(reason)
  }
  const receive = (text: string): void => {
    if (!isClosed) listener.onText(text)
  }
  subscriber.on('error', lose)
  // `destroy` does not stop a connection attempt, so a subscription that is closed meanwhile ends after the attempt
  const endIfClosed = (): void => {
    if (isClosed && subscriber.isOpen) subscriber.destroy()
  }
  subscriber.on('reconnecting', () => {
    endIfClosed()
    lose(storeUnavailable('the connection of the channel is lost'))
  })
  subscriber.on('end', () => {
    lose(storeUnavailable('the connection of the channel ended'))
  })
  subscriber.on('ready', () => {
    endIfClosed()
    if (isClosed) return
    subscriber.subscribe(name, receive).then(() => {
      if (!isClosed) listener.onSubscribed()
    }, lose)
  })
  subscriber.connect().catch(lose)
  return {
    async close () {
      isClosed = true
      if (subscriber.isReady) subscriber.destroy()
    }
  }
}

function isIoredis (client: RedisChannelClient): client is IoredisPublisher {
  return 'setex' in client
}

/** Returns true for a client of one server. The connections of a cluster do not report the loss of a subscription. */
function isClient (client: unknown): boolean {
  if (typeof client !== 'object' || client === null) return false
  const { publish, duplicate, isCluster, masters } = client as Record<string, unknown>
  return isFunction(publish) && isFunction(duplicate) && isCluster !== true && masters === undefined
}
