/**
 * The strategy that stores sessions in Redis, the store of revoked JWT sessions, the channel of the user cache, and the
 * counters of the limits.
 *
 * @module fastify-users/redis
 */

export {
  redisStrategy,
  type IoredisClient,
  type NodeRedisClient,
  type RedisClient,
  type RedisStrategyOptions
} from '../strategies/redis/index.js'
export { redisRevocations, type RedisRevocationsOptions } from '../strategies/redis/redis-revocations.js'
export {
  redisCounters,
  type IoredisScripts,
  type NodeRedisScripts,
  type RedisCountersOptions
} from '../strategies/redis/redis-counters.js'
export {
  redisChannel,
  type IoredisPublisher,
  type IoredisSubscriber,
  type NodeRedisPublisher,
  type NodeRedisSubscriber,
  type RedisChannelClient,
  type RedisChannelOptions
} from '../strategies/redis/redis-channel.js'
