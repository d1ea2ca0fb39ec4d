/**
 * The strategy that stores sessions in Redis.
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
