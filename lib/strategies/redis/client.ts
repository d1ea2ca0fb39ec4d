import { EventEmitter } from 'node:events'
import { ignore } from '../../shared/values.js'

/** The methods of an `ioredis` client that the strategy calls. `new Redis()` and `new Cluster()` have them. */
export interface IoredisClient {
  get(key: string): Promise<string | null>
  mget?(keys: string[]): Promise<(string | null)[]>
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
 * The methods of a client of the package `redis` that the strategy calls. `createClient()` and `createCluster()` return
 * such clients; the application connects them.
 */
export interface NodeRedisClient {
  get(key: string): Promise<unknown>
  mGet?(keys: string[]): Promise<unknown>
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

/** A client of `ioredis` or `redis`. The application owns it; the strategy never closes it. */
export type RedisClient = IoredisClient | NodeRedisClient

/** The commands that the strategy sends. Each but `getAll` names one key, so that it works on a cluster. */
export interface RedisCommands {
  get(key: string): Promise<string | null>
  /** Null if the client does not have the command. */
  readonly getAll: ((keys: string[]) => Promise<readonly (string | null)[]>) | null
  /** Null seconds: the key never expires. */
  set(key: string, value: string, seconds: number | null): Promise<unknown>
  remove(key: string): Promise<unknown>
  /** Resolves to -1 for a key that never expires, and to -2 for a key that does not exist. */
  secondsLeft(key: string): Promise<number>
  expire(key: string, seconds: number): Promise<unknown>
  addMember(key: string, member: string, score: number): Promise<unknown>
  removeMembers(key: string, members: readonly string[]): Promise<unknown>
  /** Returns members in the order of their scores, from a position on. */
  membersFrom(key: string, start: number, count: number): Promise<string[]>
  membersUpTo(key: string, score: number, count: number): Promise<string[]>
}

const IOREDIS = ['get', 'set', 'setex', 'del', 'ttl', 'expire', 'zadd', 'zrem', 'zrange', 'zrangebyscore']
const NODE_REDIS = ['get', 'set', 'setEx', 'del', 'ttl', 'expire', 'zAdd', 'zRem', 'zRange', 'zRangeByScore']

/** Returns the commands of a client, or null if it is a client of neither package. */
export function commandsOf (client: unknown): RedisCommands | null {
  if (hasMethods<NodeRedisClient>(client, NODE_REDIS)) return ofNodeRedis(client)
  return hasMethods<IoredisClient>(client, IOREDIS) ? ofIoredis(client) : null
}

/**
 * Adds a listener for `error` events to a client of the package `redis` and returns a function that removes it. Without
 * a listener, such an event ends the process. The affected commands reject anyway. `ioredis` logs unhandled errors.
 */
export function attachErrorListener (client: object): () => void {
  if (!('setEx' in client && client instanceof EventEmitter)) return ignore
  client.on('error', ignore)
  return () => {
    client.removeListener('error', ignore)
  }
}

function hasMethods<Client extends RedisClient> (client: unknown, names: readonly string[]): client is Client {
  if (typeof client !== 'object' || client === null) return false
  return names.every((name) => typeof (client as Record<string, unknown>)[name] === 'function')
}

function ofIoredis (client: IoredisClient): RedisCommands {
  return {
    get: (key) => client.get(key),
    getAll: client.mget?.bind(client) ?? null,
    set: (key, value, seconds) => (seconds === null ? client.set(key, value) : client.setex(key, seconds, value)),
    remove: (key) => client.del(key),
    secondsLeft: async (key) => Number(await client.ttl(key)), // ioredis returns text with the option stringNumbers
    expire: (key, seconds) => client.expire(key, seconds),
    addMember: (key, member, score) => client.zadd(key, score, member),
    removeMembers: (key, members) => client.zrem(key, ...members),
    membersFrom: (key, start, count) => client.zrange(key, start, String(start + count - 1)),
    membersUpTo: (key, score, count) => client.zrangebyscore(key, '-inf', score, 'LIMIT', 0, count)
  }
}

/** Converts replies: the application may have mapped types of the client to buffers or strings. */
function ofNodeRedis (client: NodeRedisClient): RedisCommands {
  const getAll = client.mGet?.bind(client)
  return {
    get: async (key) => replyTextOf(await client.get(key)),
    getAll: getAll === undefined ? null : async (keys) => ((await getAll(keys)) as unknown[]).map(replyTextOf),
    set: (key, value, seconds) => (seconds === null ? client.set(key, value) : client.setEx(key, seconds, value)),
    remove: (key) => client.del(key),
    secondsLeft: async (key) => Number(await client.ttl(key)),
    expire: (key, seconds) => client.expire(key, seconds),
    addMember: (key, member, score) => client.zAdd(key, { score, value: member }),
    removeMembers: (key, members) => client.zRem(key, [...members]),
    membersFrom: async (key, start, count) => replyListOf(await client.zRange(key, start, start + count - 1)),
    membersUpTo: async (key, score, count) =>
      replyListOf(await client.zRangeByScore(key, '-inf', score, { LIMIT: { offset: 0, count } }))
  }
}

function replyTextOf (reply: unknown): string | null {
  return reply === null ? null : String(reply)
}

function replyListOf (reply: unknown): string[] {
  return (reply as unknown[]).map(String) // ZRANGE and ZRANGEBYSCORE always reply with an array
}
