/**
 * The adapter for clients of Prisma.
 *
 * @module fastify-users/prisma
 */

export { prisma, type PrismaInstance, type PrismaOptions, type PrismaQueries } from '../adapters/prisma/index.js'
