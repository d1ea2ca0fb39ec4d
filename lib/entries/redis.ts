/**
 * The strategy that stores sessions in Redis, and the channel of the user cache.
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
export {
  redisChannel,
  type IoredisPublisher,
  type IoredisSubscriber,
  type NodeRedisPublisher,
  type NodeRedisSubscriber,
  type RedisChannelClient,
  type RedisChannelOptions
} from '../strategies/redis/redis-channel.js'
