import type { CacheChannel, CacheChannelListener, CacheSubscription } from '../../contracts/user-cache.js'
import { FST_USERS_INVALID_OPTION, storeUnavailable } from '../../errors.js'
import { checkKnownKeys, checkOption } from '../../shared/option-checks.js'
import { isFunction, isObject } from '../../shared/values.js'

/** A message of `LISTEN`. */
export interface PgNotification {
  channel: string
  payload?: string | undefined
}

/** Used methods of a connection. */
export interface PgChannelClient {
  query(text: string, values?: string[]): Promise<unknown>
  on(event: 'notification', listener: (message: PgNotification) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  release(destroy?: boolean): void
}

/** The properties used of a `Pool` of `pg`. */
export interface PgChannelPool {
  readonly options: { readonly max?: number | undefined }
  connect(): Promise<PgChannelClient>
}

/** Options of `postgresChannel`. */
export interface PostgresChannelOptions {
  /** Name of the channel, at most 63 bytes. Default: `fastify-users:<name of the tenant>`. */
  topic?: string
}

const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 5000
/** PostgreSQL cuts longer names. */
const MAX_NAME_BYTES = 63

/**
 * Creates a channel for the option `cache` that uses `LISTEN` and `NOTIFY` of PostgreSQL. It keeps one connection of
 * the pool, which must come from the server or from a pooler in session mode. All processes use the same database.
 * Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 *
 * @example
 * cache: { channel: postgresChannel(pool) }
 */
export function postgresChannel (pool: PgChannelPool, options: PostgresChannelOptions = {}): CacheChannel {
  checkOption('postgresChannel', pool, isPool, 'pass a Pool of the package pg to postgresChannel()')
  const { max } = pool.options
  if (max === 1) {
    throw FST_USERS_INVALID_OPTION(['postgresChannel', 'keeps a connection, so the pool needs a `max` of at least 2'])
  }
  checkKnownKeys('postgresChannel.', options, ['topic'])
  if (options.topic !== undefined) {
    checkOption('postgresChannel.topic', options.topic, isChannelName, `must be text of 1 to ${MAX_NAME_BYTES} bytes`)
  }
  const nameOf = (topic: string): string => options.topic ?? topic
  return {
    async publish (topic, text) {
      const client = await pool.connect()
      let isBroken = true
      try {
        await client.query('SELECT pg_notify($1, $2)', [nameOf(topic), text])
        isBroken = false
      } finally {
        client.release(isBroken)
      }
    },
    subscribe: (topic, listener) => listenOn(pool, nameOf(topic), listener)
  }
}

/** Keeps a connection that listens. After its loss another one is opened, with growing delays. */
function listenOn (pool: PgChannelPool, name: string, listener: CacheChannelListener): CacheSubscription {
  let isClosed = false
  let delay = FIRST_DELAY_MS
  let timer: NodeJS.Timeout | undefined
  let current: PgChannelClient | undefined

  function connect (): void {
    pool.connect().then((client) => {
      if (isClosed) client.release()
      else {
        listen(client).catch((error: unknown) => {
          drop(client, error)
        })
      }
    }, reconnectLater)
  }

  async function listen (client: PgChannelClient): Promise<void> {
    current = client
    client.on('error', (error) => {
      drop(client, error)
    })
    client.on('end', () => {
      drop(client, storeUnavailable('the connection of the channel ended'))
    })
    client.on('notification', ({ channel, payload = '' }) => {
      if (client === current && channel === name) listener.onText(payload)
    })
    await client.query(`LISTEN "${name.replaceAll('"', '""')}"`)
    if (client !== current) return
    delay = FIRST_DELAY_MS
    listener.onSubscribed()
  }

  /** Closes a connection, so that the pool never lends one that listens. */
  function drop (client: PgChannelClient, reason: unknown): void {
    if (client !== current) return
    current = undefined
    client.release(true)
    reconnectLater(reason)
  }

  function reconnectLater (reason: unknown): void {
    if (isClosed) return
    listener.onLost(reason)
    timer = setTimeout(connect, delay)
    timer.unref()
    delay = Math.min(delay * 2, LONGEST_DELAY_MS)
  }

  connect()
  return {
    async close () {
      isClosed = true
      clearTimeout(timer)
      const client = current
      current = undefined
      client?.release(true)
    }
  }
}

function isPool (value: unknown): boolean {
  return isObject(value) && isFunction(value['connect']) && 'totalCount' in value && isObject(value['options'])
}

function isChannelName (value: string): boolean {
  return typeof value === 'string' && value !== '' && !value.includes('\0') && Buffer.byteLength(value) <= MAX_NAME_BYTES
}
