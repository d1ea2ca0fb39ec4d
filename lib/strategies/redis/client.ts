import { EventEmitter } from 'node:events'

/** What is called of an ioredis client: `new Redis()`, `new Cluster()`. */
export interface IoredisClient {
  get(key: string): Promise<string | null>
  set(key: string, value: string): Promise<unknown>
  setex(key: string, seconds: number, value: string): Promise<unknown>
  del(key: string): Promise<unknown>
  ttl(key: string): Promise<number>
  expire(key: string, seconds: number): Promise<unknown>
  zadd(key: string, score: number, member: string): Promise<unknown>
  zrem(key: string, ...members: string[]): Promise<unknown>
  zrange(key: string, start: number, stop: string): Promise<string[]>
  zrangebyscore(key: string, min: string, max: number, limit: 'LIMIT', offset: number, count: number): Promise<string[]>
}

/**
 * What is called of a client of the package `redis`: `createClient()`, `createCluster()`; connected by the application.
 */
export interface NodeRedisClient {
  get(key: string): Promise<unknown>
  set(key: string, value: string): Promise<unknown>
  setEx(key: string, seconds: number, value: string): Promise<unknown>
  del(key: string): Promise<unknown>
  ttl(key: string): Promise<unknown>
  expire(key: string, seconds: number): Promise<unknown>
  zAdd(key: string, member: { score: number; value: string }): Promise<unknown>
  zRem(key: string, members: string[]): Promise<unknown>
  zRange(key: string, start: number, stop: number): Promise<unknown>
  zRangeByScore(
    key: string,
    min: string,
    max: number,
    options: { LIMIT: { offset: number; count: number } }
  ): Promise<unknown>
}

/** A client of either package. It stays the application's: the strategy never closes it. */
export type RedisClient = IoredisClient | NodeRedisClient

/** The commands of the strategy. Each names one key, so that they work on a cluster. */
export interface RedisCommands {
  get(key: string): Promise<string | null>
  /** Seconds null: for ever. */
  set(key: string, value: string, seconds: number | null): Promise<unknown>
  remove(key: string): Promise<unknown>
  /** -1 for a key without an end, -2 for none. */
  secondsLeft(key: string): Promise<number>
  expire(key: string, seconds: number): Promise<unknown>
  addMember(key: string, member: string, score: number): Promise<unknown>
  removeMembers(key: string, members: readonly string[]): Promise<unknown>
  firstMembers(key: string, count: number): Promise<string[]>
  membersUpTo(key: string, score: number, count: number): Promise<string[]>
}

const IOREDIS = ['get', 'set', 'setex', 'del', 'ttl', 'expire', 'zadd', 'zrem', 'zrange', 'zrangebyscore']
const NODE_REDIS = ['get', 'set', 'setEx', 'del', 'ttl', 'expire', 'zAdd', 'zRem', 'zRange', 'zRangeByScore']

/** The commands of a client of either package; null for anything else. */
export function commandsOf (client: unknown): RedisCommands | null {
  if (hasMethods<NodeRedisClient>(client, NODE_REDIS)) return ofNodeRedis(client)
  return hasMethods<IoredisClient>(client, IOREDIS) ? ofIoredis(client) : null
}

/**
 * Hears of errors of a client of the package redis, until the returned function is called: unheard, they end the
 * process.
 * The commands that they break reject all the same. ioredis reports unheard errors itself.
 */
export function hearErrors (client: RedisClient): () => void {
  if (!('setEx' in client && client instanceof EventEmitter)) return ignore
  client.on('error', ignore)
  return () => {
    client.removeListener('error', ignore)
  }
}

function ignore (): void {}

function hasMethods<Client extends RedisClient> (client: unknown, names: readonly string[]): client is Client {
  return (
    typeof client === 'object' &&
    client !== null &&
    names.every((name) => typeof (client as Record<string, unknown>)[name] === 'function')
  ) // looked up by name
}

function ofIoredis (client: IoredisClient): RedisCommands {
  return {
    get: (key) => client.get(key),
    set: (key, value, seconds) => (seconds === null ? client.set(key, value) : client.setex(key, seconds, value)),
    remove: (key) => client.del(key),
    secondsLeft: async (key) => Number(await client.ttl(key)), // text with the option stringNumbers
    expire: (key, seconds) => client.expire(key, seconds),
    addMember: (key, member, score) => client.zadd(key, score, member),
    removeMembers: (key, members) => client.zrem(key, ...members),
    firstMembers: (key, count) => client.zrange(key, 0, String(count - 1)),
    membersUpTo: (key, score, count) => client.zrangebyscore(key, '-inf', score, 'LIMIT', 0, count)
  }
}

/** Replies may be buffers, or numbers as text, where the application mapped types that way. */
function ofNodeRedis (client: NodeRedisClient): RedisCommands {
  return {
    get: async (key) => textOf(await client.get(key)),
    set: (key, value, seconds) => (seconds === null ? client.set(key, value) : client.setEx(key, seconds, value)),
    remove: (key) => client.del(key),
    secondsLeft: async (key) => Number(await client.ttl(key)),
    expire: (key, seconds) => client.expire(key, seconds),
    addMember: (key, member, score) => client.zAdd(key, { score, value: member }),
    removeMembers: (key, members) => client.zRem(key, [...members]),
    firstMembers: async (key, count) => listOf(await client.zRange(key, 0, count - 1)),
    membersUpTo: async (key, score, count) =>
      listOf(await client.zRangeByScore(key, '-inf', score, { LIMIT: { offset: 0, count } }))
  }
}

function textOf (reply: unknown): string | null {
  return reply === null ? null : String(reply)
}

function listOf (reply: unknown): string[] {
  return (reply as unknown[]).map(String) // ZRANGE and ZRANGEBYSCORE reply with a list
}
