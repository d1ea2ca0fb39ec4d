import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { Cluster, Redis } from 'ioredis'
import pg from 'pg'
import { createClient, createCluster } from 'redis'
import t, { type Test } from 'tap'
import type { CacheChannel } from '../lib/index.js'
import { postgresChannel, type PgChannelPool } from '../lib/entries/postgres.js'
import { redisChannel, type RedisChannelClient } from '../lib/entries/redis.js'
import { startTcpProxy } from './fixtures/tcp-proxy.js'
import { needsPostgres, postgresUrl } from './helpers/postgres.js'
import { connectRedis } from './helpers/redis.js'

const { skip: noRedis } = await connectRedis()
const { skip: noPostgres } = await needsPostgres()
const redisUrl = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'

interface Opened {
  channel: CacheChannel
  /** Closes the client or the pool. */
  end(): Promise<unknown>
}
interface Kind {
  name: string
  skip: string | false
  server: string
  open(url: string, topic?: string): Opened
}

const kinds: Kind[] = [
  {
    name: 'ioredis',
    skip: noRedis,
    server: redisUrl,
    open (url, topic) {
      const client = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null }).on('error', () => {})
      return {
        channel: redisChannel(client, topic === undefined ? {} : { topic }),
        async end () {
          client.disconnect()
        }
      }
    }
  },
  {
    name: 'redis',
    skip: noRedis,
    server: redisUrl,
    open (url, topic) {
      const client = createClient({ url, socket: { reconnectStrategy: 20 } }).on('error', () => {})
      client.connect().catch(() => {})
      return {
        channel: redisChannel(client, topic === undefined ? {} : { topic }),
        async end () {
          client.destroy()
        }
      }
    }
  },
  {
    name: 'pg',
    skip: noPostgres,
    server: postgresUrl,
    open (url, topic) {
      const pool = new pg.Pool({ connectionString: url }).on('error', () => {})
      return {
        channel: postgresChannel(pool, topic === undefined ? {} : { topic }),
        end: () => pool.end()
      }
    }
  }
]

interface Inbox {
  /** Resolves with the next event of the kind that has not been taken yet: the text, or the reason of a loss. */
  take(kind: 'text' | 'subscribed' | 'lost'): Promise<unknown>
  close(): Promise<void>
}

function subscribe ({ channel }: Opened, topic: string): Inbox {
  const events = new EventEmitter()
  const waiting: Record<string, unknown[]> = { text: [], subscribed: [], lost: [] }
  const put = (kind: string, value?: unknown): void => {
    waiting[kind]?.push(value)
    events.emit(kind)
  }
  const subscription = channel.subscribe(topic, {
    onText: (text) => {
      put('text', text)
    },
    onSubscribed: () => {
      put('subscribed')
    },
    onLost: (reason) => {
      put('lost', reason)
    }
  })
  return {
    close: () => subscription.close(),
    async take (kind) {
      while (waiting[kind]?.length === 0) await once(events, kind)
      return waiting[kind]?.shift()
    }
  }
}

const newTopic = (): string => `test-${randomBytes(6).toString('hex')}`

function open (t: Test, kind: Kind, url: string, topic?: string): Opened {
  const opened = kind.open(url, topic)
  t.teardown(() => opened.end())
  return opened
}

for (const kind of kinds) {
  const { name, skip, server } = kind
  t.test(`${name}: a text reaches every subscriber of its topic, and no other`, { skip }, async (t) => {
    const [one, two] = [open(t, kind, server), open(t, kind, server)]
    const [topic, other] = [newTopic(), `${newTopic()}"; quoted`]
    const inboxes = [subscribe(one, topic), subscribe(two, topic)]
    const elsewhere = subscribe(two, other)
    for (const inbox of [...inboxes, elsewhere]) await inbox.take('subscribed')
    const texts = ['first', JSON.stringify({ users: ['ü'], quote: "'" }), 'x'.repeat(7900)]
    for (const text of texts) await one.channel.publish(topic, text)
    await one.channel.publish(other, 'elsewhere')
    for (const inbox of inboxes) for (const text of texts) t.equal(await inbox.take('text'), text)
    t.equal(await elsewhere.take('text'), 'elsewhere')
    for (const inbox of [...inboxes, elsewhere]) await inbox.close()
  })

  t.test(`${name}: the option topic replaces the name of the tenant`, { skip }, async (t) => {
    const topic = newTopic()
    const named = open(t, kind, server, topic)
    const plain = open(t, kind, server)
    const inbox = subscribe(named, 'ignored')
    await inbox.take('subscribed')
    await plain.channel.publish(topic, 'text')
    t.equal(await inbox.take('text'), 'text')
    await inbox.close()
  })

  t.test(`${name}: a lost connection is reported, and replaced by a new one`, { skip }, async (t) => {
    const url = new URL(server)
    const proxy = await startTcpProxy(url.hostname, Number(url.port))
    t.teardown(() => proxy.refuse())
    url.host = `127.0.0.1:${proxy.port}`
    const topic = newTopic()
    const opened = open(t, kind, String(url))
    const direct = open(t, kind, server)
    const inbox = subscribe(opened, topic)
    await inbox.take('subscribed')
    for (let i = 0; i < 2; i++) {
      await proxy.refuse()
      await inbox.take('lost')
      await proxy.pass()
      await inbox.take('subscribed')
      await direct.channel.publish(topic, `text ${i}`)
      t.equal(await inbox.take('text'), `text ${i}`)
    }
    await inbox.close()
  })

  t.test(`${name}: a server that does not answer at first is subscribed later`, { skip }, async (t) => {
    const url = new URL(server)
    const proxy = await startTcpProxy(url.hostname, Number(url.port))
    t.teardown(() => proxy.refuse())
    url.host = `127.0.0.1:${proxy.port}`
    await proxy.refuse()
    const inbox = subscribe(open(t, kind, String(url)), newTopic())
    await inbox.take('lost')
    await proxy.pass()
    await inbox.take('subscribed')
    await inbox.close()
    t.pass('subscribed')
  })

  t.test(`${name}: a closed subscription is silent, and closing it before it is complete works`, { skip }, async (t) => {
    const topic = newTopic()
    const opened = open(t, kind, server)
    const early = subscribe(opened, topic)
    await early.close()
    const closed = subscribe(opened, topic)
    await closed.take('subscribed')
    await closed.close()
    const inbox = subscribe(opened, topic)
    await inbox.take('subscribed')
    await opened.channel.publish(topic, 'text')
    t.equal(await inbox.take('text'), 'text')
    await inbox.close()
    const left = Promise.race([closed.take('text'), early.take('text'), closed.take('lost'), Promise.resolve('nothing')])
    t.equal(await left, 'nothing')
  })
}

t.test('the channel of PostgreSQL rejects if a text is too long', { skip: noPostgres }, async (t) => {
  const pool = new pg.Pool({ connectionString: postgresUrl })
  t.teardown(() => pool.end())
  await t.rejects(postgresChannel(pool).publish(newTopic(), 'x'.repeat(8000)), { code: '22023' })
  await postgresChannel(pool).publish(newTopic(), 'x'.repeat(7999))
})

t.test('CFG-05: wrong clients and options of channels are refused with a code', async (t) => {
  const pool = new pg.Pool()
  const client = new Redis({ lazyConnect: true })
  const cluster = new Cluster([{ port: 1 }], { lazyConnect: true })
  t.teardown(() => {
    client.disconnect()
    cluster.disconnect()
  })
  const wrong: [string, () => unknown, string][] = [
    ...[null, {}, 'redis', pool, cluster, createCluster({ rootNodes: [] })].map((given): [string, () => unknown, string] => [
      'redisChannel',
      () => redisChannel(given as RedisChannelClient),
      'INVALID_OPTION'
    ]),
    ...[null, {}, 'postgres', client, new pg.Client(), new pg.Pool({ max: 1 })].map((given): [string, () => unknown, string] => [
      'postgresChannel',
      () => postgresChannel(given as PgChannelPool),
      'INVALID_OPTION'
    ]),
    ...['', 5, null].map((topic): [string, () => unknown, string] => [
      'topic of redisChannel',
      () => redisChannel(client, { topic: topic as string }),
      'INVALID_OPTION'
    ]),
    ...['', 5, null, 'a\0b', 'ä'.repeat(32)].map((topic): [string, () => unknown, string] => [
      'topic of postgresChannel',
      () => postgresChannel(pool, { topic: topic as string }),
      'INVALID_OPTION'
    ]),
    ['name', () => redisChannel(client, { name: 'a' } as object), 'UNKNOWN_OPTION'],
    ['name', () => postgresChannel(pool, { name: 'a' } as object), 'UNKNOWN_OPTION']
  ]
  for (const [what, make, word] of wrong) t.throws(make, { code: `FST_USERS_${word}` }, what)
})
