import type { Settings } from './contenders/support/serve.js'

/** One row of the results. */
export interface Case {
  name: string
  /** The path of the contender in `contenders`, or of another package in `libraries`, without the file extension. */
  contender: string
  settings?: Partial<Settings>
  /** The case that the ratio relates to. */
  reference: string
  /** True if the contender uses a database server, so processor time of other processes is expected. */
  server?: boolean
  connections?: number
}

/** The references of all other cases. `hash` and `verify` are password hashes without HTTP. */
export const REFERENCES: readonly Case[] = [
  { name: 'bare', contender: 'bare', reference: 'bare' },
  { name: 'verify', contender: 'hash', settings: { prepared: true }, reference: 'verify' },
  { name: 'hash', contender: 'hash', reference: 'hash' }
]

const MANY = { tokens: 2000 }
const ANALYZED = { analyzed: true }
const COOKIE = { transport: 'cookie' } as const

/** Guarded routes, and the exchange of refresh tokens. Each is measured with this package and written by hand. */
const GUARDED: readonly Omit<Case, 'reference'>[] = [
  { name: 'jwt-sqlite', contender: 'jwt-sqlite' },
  { name: 'jwt-sqlite-analyzed', contender: 'jwt-sqlite', settings: ANALYZED },
  { name: 'jwt-sqlite-2000', contender: 'jwt-sqlite', settings: MANY },
  { name: 'jwt-sqlite-2000-analyzed', contender: 'jwt-sqlite', settings: { ...MANY, ...ANALYZED } },
  { name: 'stored-sqlite', contender: 'stored-sqlite' },
  { name: 'stored-sqlite-analyzed', contender: 'stored-sqlite', settings: ANALYZED },
  { name: 'stored-sqlite-cookie', contender: 'stored-sqlite', settings: COOKIE },
  { name: 'stored-sqlite-cookie-analyzed', contender: 'stored-sqlite', settings: { ...COOKIE, ...ANALYZED } },
  { name: 'jwt-postgres', contender: 'jwt-postgres', server: true },
  { name: 'stored-postgres', contender: 'stored-postgres', server: true },
  { name: 'jwt-mariadb', contender: 'jwt-mariadb', server: true },
  { name: 'redis-sqlite', contender: 'redis-sqlite', server: true },
  { name: 'jwt-memory', contender: 'jwt-memory' },
  { name: 'unauthenticated', contender: 'unauthenticated' },
  { name: 'refresh', contender: 'refresh' }
]

/** Cases that exist only for this package, or only for a guard written by hand. */
const SINGLE: readonly Omit<Case, 'reference'>[] = [
  { name: 'ours-jwt-postgres-kysely', contender: 'ours-jwt-postgres-kysely', server: true },
  { name: 'ours-jwt-sqlite-cached', contender: 'ours-jwt-sqlite', settings: { cached: true } },
  { name: 'ours-jwt-postgres-cached', contender: 'ours-jwt-postgres', settings: { cached: true }, server: true },
  { name: 'ours-api-key-sqlite', contender: 'ours-api-key-sqlite' },
  { name: 'ours-jwt-sqlite-revocable', contender: 'ours-jwt-sqlite', settings: { revocable: true } },
  { name: 'ours-jwt-postgres-revocable', contender: 'ours-jwt-postgres', settings: { revocable: true }, server: true },
  { name: 'ours-stored-sqlite-cached', contender: 'ours-stored-sqlite', settings: { cached: true } },
  { name: 'ours-stored-sqlite-listed', contender: 'ours-stored-sqlite', settings: { listed: true } },
  { name: 'ours-backends-2', contender: 'ours-stored-sqlite', settings: { backends: 2, ...ANALYZED } },
  { name: 'ours-backends-4', contender: 'ours-stored-sqlite', settings: { backends: 4, ...ANALYZED } },
  { name: 'hand-jwt-sqlite-token-cache', contender: 'hand-jwt-sqlite', settings: { cached: true } }
]

const HASHED: readonly Omit<Case, 'contender'>[] = [
  { name: 'login', reference: 'verify' },
  { name: 'login-cookie', reference: 'verify', settings: COOKIE },
  { name: 'register', reference: 'hash' }
]

/** Other packages, which `libraries/package.json` lists. */
const LIBRARIES: readonly Omit<Case, 'reference'>[] = [
  { name: 'secure-session', contender: 'libraries/secure-session' },
  { name: 'passport-jwt', contender: 'libraries/passport-jwt' },
  { name: 'fastify-session', contender: 'libraries/fastify-session' },
  { name: 'express-passport-jwt', contender: 'libraries/express-passport-jwt' },
  { name: 'better-auth', contender: 'libraries/better-auth' },
  { name: 'better-auth-cookie-cache', contender: 'libraries/better-auth', settings: { cached: true } }
]

/** The cases of a complete run, in the order of the table. The names of starts are in `STARTS`. */
export const CASES: readonly Case[] = [
  { name: 'bare', contender: 'bare', reference: 'bare' },
  ...GUARDED.flatMap((each) => sides(each.name, each.contender).map((side) => ({ ...each, ...side, reference: 'bare' }))),
  ...[...SINGLE, ...LIBRARIES].map((each) => ({ ...each, reference: 'bare' })),
  ...HASHED.flatMap((each) =>
    sides(each.name, each.name.replace('-cookie', '')).map((side) => ({ ...each, ...side, connections: 1 }))
  )
]

/** Starts of a process. The first one is the reference. */
export const STARTS = ['bare-start', 'ours-start', 'hand-start'] as const

function sides (name: string, contender: string): Pick<Case, 'name' | 'contender'>[] {
  return ['ours', 'hand'].map((side) => ({ name: `${side}-${name}`, contender: `${side}-${contender}` }))
}
