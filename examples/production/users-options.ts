import { Redis } from 'ioredis'
import nodemailer, { type Transporter } from 'nodemailer'
import pg from 'pg'
import { bearerTransport, cookieTransport, jwtStrategy, type UsersOptions } from 'fastify-users'
import { apiKeys } from 'fastify-users/api-keys'
import { audit } from 'fastify-users/audit'
import { sendWithNodemailer } from 'fastify-users/nodemailer'
import { postgres } from 'fastify-users/postgres'
import { redisCounters, redisStrategy } from 'fastify-users/redis'
import type { FastifyServerOptions } from 'fastify'
import type { Settings } from './settings.js'

/** Connections that the application opens and closes. */
export interface Clients {
  pool: pg.Pool
  redis: Redis
  /** Null if no mails are sent. */
  mailer: Transporter | null
}

const WEEK = 7 * 24 * 60 * 60

/** Creates the clients. They connect when they are first used. */
export function createClients ({ databaseUrl, redisUrl, smtpUrl }: Settings): Clients {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 10, connectionTimeoutMillis: 3000 })
  const redis = new Redis(redisUrl, { lazyConnect: true, maxRetriesPerRequest: 1 })
  pool.on('error', () => {}) // an idle connection was lost; the pool opens another one
  redis.on('error', () => {}) // ioredis connects again by itself
  const mailer = smtpUrl === null ? null : nodemailer.createTransport({ url: smtpUrl, pool: true })
  return { pool, redis, mailer }
}

/** Options of `Fastify()` for the application and for the command \`doctor\`. */
export function serverOptions ({ proxies }: Settings): FastifyServerOptions {
  return {
    trustProxy: proxies,
    requestTimeout: 30_000,
    // longer than nginx keeps an unused connection, so that nginx never writes to a connection that is being closed
    keepAliveTimeout: 75_000
  }
}

/**
 * Options of the plugin for the application and the command line: sessions of browsers in Redis, JWTs for clients, and
 * mails if there is a mail server.
 */
export function usersOptions (
  { secrets, publicUrl, mailFrom, hasLimits }: Settings,
  { pool, redis, mailer }: Clients
): UsersOptions {
  return {
    adapter: postgres(pool),
    secret: secrets,
    publicUrl,
    // keys for scripts and other programs
    features: [audit({ keepDays: 90 }), apiKeys({ scopes: ['reports'], prefix: 'acme' })],
    ...(mailer === null ? {} : { mail: { send: sendWithNodemailer(mailer), from: mailFrom } }),
    // all processes count together; the stop after too many failures is also in the database
    limits: hasLimits && { store: redisCounters({ client: redis }) },
    backends: [
      {
        name: 'browser',
        transport: cookieTransport({ maxAge: WEEK }),
        strategy: redisStrategy({ client: redis, lifetimeSeconds: WEEK })
      },
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }
    ]
  }
}
