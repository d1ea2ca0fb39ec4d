// Code that the hand-written contenders share. Each is an application without a package for users, as a careful
// developer would write it.
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import jwt, { type FastifyJWTOptions } from '@fastify/jwt'
import { hash } from '@node-rs/argon2'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { COST } from './password.js'
import { bearer, CREDENTIALS, fastifyServer, PATH, schema, SECRET, type PublicUser } from './reply.js'
import type { LoadRequest, Served, Settings } from './serve.js'

/** A user with all columns of the table. */
export interface HandUser extends PublicUser {
  hashed_password: string
  session_stamp: string
}

/** A row as the drivers of SQLite and MariaDB return it. */
export type HandRow = Omit<HandUser, 'is_active' | 'is_superuser' | 'is_verified'> &
  Record<'is_active' | 'is_superuser' | 'is_verified', number>

export interface HandClaims {
  sub: string
  ver: string
  jti?: string
}

declare module 'fastify' {
  interface FastifyRequest {
    handUser: HandUser | null
  }
}

export const COLUMNS = 'id, email, hashed_password, is_active, is_superuser, is_verified, session_stamp'
export const JOINED = COLUMNS.split(', ').map((column) => `u.${column}`).join(', ')
export const LIFETIME_MS = 3_600_000

export function readRow (row: HandRow): HandUser {
  return {
    id: row.id,
    email: row.email,
    hashed_password: row.hashed_password,
    is_active: row.is_active === 1,
    is_superuser: row.is_superuser === 1,
    is_verified: row.is_verified === 1,
    session_stamp: row.session_stamp
  }
}

export async function newUser (): Promise<HandUser> {
  return {
    id: randomUUID(),
    email: CREDENTIALS.email,
    hashed_password: await hash(CREDENTIALS.password, COST),
    is_active: true,
    is_superuser: false,
    is_verified: false,
    session_stamp: randomBytes(16).toString('base64url')
  }
}

export const newToken = (): string => randomBytes(32).toString('base64url')
export const digestOf = (token: string): string => createHash('sha256').update(token).digest('base64url')

type Loaded<T> = T | undefined | Promise<T | undefined>

/** Returns an application that signs and verifies JWTs. */
export async function newJwtApp (cache = false): Promise<FastifyInstance> {
  const app = Fastify()
  const options: FastifyJWTOptions = { secret: SECRET, sign: { expiresIn: '1h' }, verify: { cache } }
  await app.register(jwt, options)
  return app
}

/** Returns an application with a route that a JWT protects. */
export async function handJwt (
  { tokens, cached }: Settings,
  user: HandUser,
  load: (id: string) => Loaded<HandUser>
): Promise<Served & { app: FastifyInstance }> {
  const app = await newJwtApp(cached)
  app.decorateRequest('handUser', null)
  const guard = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    let claims: HandClaims
    try {
      claims = await request.jwtVerify<HandClaims>()
    } catch {
      return reply.code(401).send({ error: 'unauthenticated' })
    }
    const found = await load(claims.sub)
    if (found === undefined || !found.is_active || found.session_stamp !== claims.ver) {
      return reply.code(401).send({ error: 'unauthenticated' })
    }
    request.handUser = found
  }
  app.get(PATH, { preHandler: guard, schema }, async (request) => request.handUser)
  await app.ready()
  const requests = Array.from({ length: tokens }, (): LoadRequest => {
    const token = app.jwt.sign({ sub: user.id, ver: user.session_stamp, jti: randomUUID() })
    return { method: 'GET', path: PATH, headers: bearer(token) }
  })
  return { app, ...fastifyServer(app), requests }
}

/** Returns an application with a route that a stored token protects. */
export async function handStored (
  { transport }: Settings,
  token: string,
  load: (digest: string) => Loaded<HandUser>
): Promise<Served> {
  const app = Fastify()
  app.decorateRequest('handUser', null)
  const cookie = transport === 'cookie'
  if (cookie) await app.register(import('@fastify/cookie'))
  const readToken = (request: FastifyRequest): string | undefined => {
    if (cookie) return request.cookies['session']
    const header = request.headers.authorization
    return header?.startsWith('Bearer ') ? header.slice(7) : undefined
  }
  const guard = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const sent = readToken(request)
    const found = sent === undefined ? undefined : await load(digestOf(sent))
    if (found === undefined || !found.is_active) return reply.code(401).send({ error: 'unauthenticated' })
    request.handUser = found
  }
  app.get(PATH, { preHandler: guard, schema }, async (request) => request.handUser)
  const headers = cookie ? { cookie: `session=${token}` } : bearer(token)
  return { ...fastifyServer(app), requests: [{ method: 'GET', path: PATH, headers }] }
}
