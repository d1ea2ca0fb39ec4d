import { readFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import type { Test } from 'tap'
import {
  argon2Passwords,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type DatabaseAdapter
} from '../../lib/index.js'
import { buildApp } from './build-app.js'

interface Fixture {
  users: { id: string; email: string; password: string }[]
  tokens_of_king_arthur: { db: string }
}

/**
 * Returns the tables of FastAPI Users as SQLAlchemy creates them. The arguments are the column types and the quote
 * character of the database.
 */
export function pythonTables (id: string, boolean: string, time: string, quote: string): string[] {
  const user = `${quote}user${quote}`
  return [
    `CREATE TABLE ${user} (id ${id} NOT NULL, email VARCHAR(320) NOT NULL, hashed_password VARCHAR(1024) NOT NULL, is_active ${boolean} NOT NULL, is_superuser ${boolean} NOT NULL, is_verified ${boolean} NOT NULL, PRIMARY KEY (id))`,
    `CREATE UNIQUE INDEX ix_user_email ON ${user} (email)`,
    `CREATE TABLE oauth_account (id ${id} NOT NULL, user_id ${id} NOT NULL, oauth_name VARCHAR(100) NOT NULL, access_token VARCHAR(1024) NOT NULL, expires_at INTEGER, refresh_token VARCHAR(1024),
      account_id VARCHAR(320) NOT NULL, account_email VARCHAR(320) NOT NULL, PRIMARY KEY (id), FOREIGN KEY(user_id) REFERENCES ${user} (id) ON DELETE cascade)`,
    'CREATE INDEX ix_oauth_account_oauth_name ON oauth_account (oauth_name)',
    'CREATE INDEX ix_oauth_account_account_id ON oauth_account (account_id)',
    `CREATE TABLE accesstoken (user_id ${id} NOT NULL, token VARCHAR(43) NOT NULL, created_at ${time} NOT NULL, PRIMARY KEY (token), FOREIGN KEY(user_id) REFERENCES ${user} (id) ON DELETE cascade)`,
    'CREATE INDEX ix_accesstoken_created_at ON accesstoken (created_at)'
  ]
}

/** Returns the rows that FastAPI Users wrote into the fixture, with values in the order of the columns above. */
export function pythonRows (): Record<'user' | 'oauth_account' | 'accesstoken', unknown[][]> {
  const file = new Database('test/fixtures/fastapi-users.sqlite', { readonly: true })
  const read = (table: string): unknown[][] => file.prepare(`SELECT * FROM "${table}"`).raw().all() as unknown[][]
  const rows = { user: read('user'), oauth_account: read('oauth_account'), accesstoken: read('accesstoken') }
  file.close()
  return rows
}

/**
 * Checks that the plugin reads the rows of FastAPI Users, and that another client reads the rows of the plugin. `read`
 * returns the rows of a query of that client.
 */
export async function servePythonRows (
  t: Test,
  adapter: DatabaseAdapter,
  read: (sql: string) => Promise<Record<string, unknown>[]>
): Promise<void> {
  const { users, tokens_of_king_arthur: tokens } = JSON.parse(
    readFileSync('test/fixtures/fastapi-users.json', 'utf8')
  ) as Fixture
  const [arthur, lancelot, merlin] = users
  const built = await buildApp(t, {
    adapter,
    compatibility: 'fastapi-users',
    passwords: argon2Passwords({ memoryCost: 65_536, timeCost: 3, parallelism: 4 }),
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: null }) }
    ]
  })
  const me = async (headers: Record<string, string>): Promise<unknown> =>
    (await built.send('GET', '/users/me', undefined, headers)).json<{ id: unknown }>().id
  t.equal(await me({ cookie: `fastapiusersauth=${tokens.db}` }), arthur?.id, 'a token of FastAPI Users')
  for (const user of [arthur, lancelot, merlin]) {
    t.equal(await me(await built.cookie(user?.email.toUpperCase() ?? '', user?.password)), user?.id, user?.email ?? '')
  }
  const [rehashed] = await read("SELECT hashed_password FROM USERS WHERE email = 'lancelot@camelot.bt'")
  t.match(
    rehashed?.['hashed_password'],
    /^\$argon2id\$v=19\$m=65536,t=3,p=4\$[\w+/]{22}\$[\w+/]{43}$/,
    'a bcrypt hash is replaced'
  )

  const made = await built.register({ email: 'Percival@camelot.bt' })
  const { cookie } = await built.cookie('percival@camelot.bt')
  const [row] = await read("SELECT * FROM USERS WHERE email = 'Percival@camelot.bt'")
  t.match(row, { id: made.id, hashed_password: /^\$argon2id\$v=19\$m=65536,t=3,p=4\$/ })
  t.match(made.id, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  t.strictSame([row?.['is_active'], row?.['is_superuser'], row?.['is_verified']].map(Number), [1, 0, 0])
  const [token] = await read(`SELECT user_id, token FROM accesstoken WHERE token = '${cookie.split('=')[1]}'`)
  t.strictSame(
    { ...token },
    { user_id: made.id, token: cookie.split('=')[1] },
    'a token in the format of FastAPI Users'
  )
  await built.app.users.update(made, { is_superuser: true }) // the last active superuser cannot be deleted
  await built.app.users.delete({ id: arthur?.id ?? '' } as typeof made)
  t.strictSame(await read(`SELECT token FROM accesstoken WHERE user_id = '${arthur?.id}'`), [])
}
