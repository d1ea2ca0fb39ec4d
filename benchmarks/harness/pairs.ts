import type { CaseResult } from './summary.js'

/** A case of this package, and its hand-written equivalent if there is one. */
export interface Pair {
  label: string
  ours: CaseResult
  hand: CaseResult | undefined
}

const LABELS: Record<string, string> = {
  'jwt-sqlite': 'JWT, SQLite',
  'jwt-sqlite-analyzed': 'JWT, SQLite with statistics',
  'jwt-sqlite-2000': 'JWT, SQLite, 2,000 tokens in turn',
  'jwt-sqlite-2000-analyzed': 'the same with statistics',
  'jwt-sqlite-cached': 'JWT, SQLite, optional user cache',
  'api-key-sqlite': 'API key, SQLite',
  'jwt-sqlite-revocable': 'revocable JWT, SQLite',
  'stored-sqlite': 'stored session, SQLite',
  'stored-sqlite-analyzed': 'stored session, SQLite with statistics',
  'stored-sqlite-cookie': 'stored session in a cookie, SQLite',
  'stored-sqlite-cookie-analyzed': 'the same with statistics',
  'stored-sqlite-listed': 'stored session, SQLite, with sessions() and an idle time',
  'backends-2': 'token of the last of 2 stored backends',
  'backends-4': 'token of the last of 4 stored backends',
  'jwt-postgres': 'JWT, PostgreSQL',
  'jwt-postgres-kysely': 'JWT, PostgreSQL through Kysely',
  'jwt-postgres-revocable': 'revocable JWT, PostgreSQL',
  'stored-postgres': 'stored session, PostgreSQL',
  'jwt-mariadb': 'JWT, MariaDB',
  'redis-sqlite': 'session in Redis, user in SQLite',
  'jwt-memory': 'JWT, users in memory',
  unauthenticated: 'no token: 401',
  refresh: 'exchange of a refresh token, SQLite',
  login: 'login, JWT',
  'login-cookie': 'login, stored session',
  register: 'registration',
  start: 'start of the process to the first guarded reply'
}

/** Returns the pairs in the order of the labels. */
export function findPairs (cases: readonly CaseResult[]): Pair[] {
  const byName = new Map(cases.map((each) => [each.name, each]))
  return Object.entries(LABELS).flatMap(([name, label]) => {
    const ours = byName.get(`ours-${name}`)
    return ours === undefined ? [] : [{ label, ours, hand: byName.get(`hand-${name}`) }]
  })
}

/** Returns the results of other packages. */
export function findLibraries (cases: readonly CaseResult[]): CaseResult[] {
  return cases.filter(({ name }) => !/^(ours|hand|bare)(-|$)/.test(name))
}
