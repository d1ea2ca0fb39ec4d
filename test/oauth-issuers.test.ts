import { join } from 'node:path'
import { Kysely, PostgresDialect } from 'kysely'
import t, { type Test } from 'tap'
import { oauth, openidConnect, type OauthOptions } from '../lib/features/oauth/index.js'
import { objectIdId, userSchemas, type DatabaseAdapter, type UserId, type UsersOptions } from '../lib/index.js'
import { kysely } from '../lib/entries/kysely.js'
import { memory } from '../lib/entries/memory.js'
import { mongodb } from '../lib/entries/mongodb.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { openBrowser, ORIGIN, type Page } from './helpers/browser.js'
import { ARTHUR, buildApp, SECRET, type TestApp } from './helpers/build-app.js'
import { ferretdb, freshDbOn } from './helpers/mongo-stores.js'
import { makeMysqlPool, needsMysql } from './helpers/mysql.js'
import { startOauthServer, type OauthServer } from './helpers/oauth-server.js'
import { makePool, needsPostgres } from './helpers/postgres.js'

const createTables = true
const onPostgres = await needsPostgres()

/** Creates a function that returns a new adapter for the same database at each call. */
type Make = (t: Test) => Promise<() => DatabaseAdapter>
const stores: Record<string, [make: Make, needs?: { skip: string | false }, schemas?: UsersOptions['schemas']]> = {
  memory: [
    async () => {
      const adapter = memory()
      return () => adapter
    }
  ],
  sqlite: [
    async (t) => {
      const file = join(t.testdir(), 'users.db')
      return () => sqlite(file)
    }
  ],
  postgres: [
    async (t) => {
      const { pool } = await makePool(t)
      return () => postgres(pool, { createTables })
    },
    onPostgres
  ],
  mysql: [
    async (t) => {
      const { pool } = await makeMysqlPool(t)
      return () => mysql(pool, { createTables })
    },
    await needsMysql()
  ],
  kysely: [
    async (t) => {
      const { pool } = await makePool(t)
      return () => kysely(new Kysely({ dialect: new PostgresDialect({ pool }) }), { createTables })
    },
    onPostgres
  ],
  mongodb: [
    async (t) => {
      const db = freshDbOn(t, ferretdb)
      return () => mongodb(db, { createTables })
    },
    ferretdb.options,
    userSchemas({}, { id: objectIdId() }) as never
  ]
}

/** A provider with a given e-mail and always the same subject. */
async function startIssuer (t: Test, email: string): Promise<OauthServer> {
  const server = await startOauthServer({
    clientAuthentication: 'client_secret_basic',
    expiresIn: 60,
    claims: { sub: '1', email, email_verified: true }
  })
  t.teardown(() => server.close())
  return server
}

interface Setup extends Omit<TestApp, 'login'> {
  login(): Promise<Page>
  link(session: Record<string, string>): Promise<Page>
  log: string[]
}

async function setUp (
  t: Test,
  adapter: DatabaseAdapter,
  { url }: OauthServer,
  {
    name = 'keycloak',
    schemas,
    ...more
  }: { name?: string; formerIssuers?: string[]; schemas?: UsersOptions['schemas'] | undefined } = {}
): Promise<Setup> {
  const log: string[] = []
  const provider = openidConnect({
    name,
    issuer: url,
    clientId: 'client-id',
    clientSecret: 'client-secret',
    trustEmail: true,
    ...more
  })
  const options: OauthOptions = { providers: [provider], insecureOrigins: [new URL(url).origin], encryptionKey: SECRET }
  const built = await buildApp(
    t,
    { adapter, publicUrl: ORIGIN, ...(schemas === undefined ? {} : { schemas }), features: [oauth(options)] },
    () => {},
    {
      logger: {
        level: 'error',
        stream: {
          write: (line: string) => {
            log.push(line)
          }
        }
      }
    }
  )
  const browser = openBrowser(built.app)
  async function walk (start: string, headers: Record<string, string>): Promise<Page> {
    const { authorization_url: there } = (await browser.ask(start, { headers })).json<{ authorization_url: string }>()
    const back = await browser.go(there, ({ pathname }) => pathname.endsWith('/callback'))
    return browser.ask(back.url.href, { headers })
  }
  return {
    ...built,
    log,
    login: () => walk(`/auth/${name}/authorize`, {}),
    link: (session) => walk(`/auth/associate/${name}/authorize`, session)
  }
}

async function emailOf ({ app }: Setup, page: Page): Promise<string> {
  const { access_token: token } = page.json<{ access_token: string }>()
  return (await app.inject({ url: '/users/me', headers: { authorization: `Bearer ${token}` } })).json<{
    email: string
  }>().email
}

for (const [store, [make, needs = { skip: false as const }, schemas]] of Object.entries(stores)) {
  t.test(
    `OAU-07: another issuer with the name of a provider cannot log in with its stored accounts (${store})`,
    needs,
    async (t) => {
      const adapter = await make(t)
      const arthurs = await startIssuer(t, ARTHUR)
      const mordreds = await startIssuer(t, 'mordred@camelot.bt')

      const first = await setUp(t, adapter(), arthurs, { schemas })
      t.equal(await emailOf(first, await first.login()), ARTHUR)
      t.equal(await emailOf(first, await first.login()), ARTHUR, 'the same issuer again')

      const changed = await setUp(t, adapter(), mordreds, { schemas })
      const refused = await changed.login()
      t.match(
        [refused.status, refused.json()],
        [500, { code: 'FST_USERS_INTERNAL_ERROR' }],
        'the reply does not name issuers'
      )
      t.match(changed.log.join(''), /"FST_USERS_OAUTH_ISSUER_CHANGED"/, 'the log contains the reason')
      t.match(changed.log.join(''), new RegExp(`keycloak[^]*${arthurs.url}[^]*${mordreds.url}`))
      t.equal(await changed.app.users.getByEmail('mordred@camelot.bt'), null, 'no user is stored')

      const renamed = await setUp(t, adapter(), mordreds, { name: 'modron', schemas })
      t.equal(
        await emailOf(renamed, await renamed.login()),
        'mordred@camelot.bt',
        'a provider with another name has separate accounts'
      )

      const moved = await setUp(t, adapter(), mordreds, { formerIssuers: [`${arthurs.url}/`], schemas })
      t.equal(
        await emailOf(moved, await moved.login()),
        ARTHUR,
        'a provider with a new issuer keeps its accounts if its former issuer is configured'
      )
      t.equal(await emailOf(first, await first.login()), ARTHUR, 'a process with the old configuration still works')
    }
  )
}

t.test('OAU-07: another issuer cannot link an account and receives no stored token', async (t) => {
  const adapter = memory()
  const arthurs = await startIssuer(t, ARTHUR)
  const mordreds = await startIssuer(t, 'mordred@camelot.bt')
  const first = await setUp(t, adapter, arthurs)
  await first.login()
  const user = await first.app.users.getByEmail(ARTHUR)
  const id = user?.id as UserId
  t.match(await first.app.users.feature('oauth').tokens(id, 'keycloak'), { refreshToken: /^refresh-/ })

  const changed = await setUp(t, adapter, mordreds)
  await changed.create({ email: 'lady@lake.bt' })
  t.equal((await changed.link(await changed.bearer('lady@lake.bt'))).status, 500)
  const lady = await changed.app.users.getByEmail('lady@lake.bt')
  t.strictSame(await changed.app.users.feature('oauth').list(lady?.id as UserId), [])

  const exchanges = mordreds.hits('token')
  changed.tick(120)
  await t.rejects(changed.app.users.feature('oauth').tokens(id, 'keycloak'), { code: 'FST_USERS_OAUTH_ISSUER_CHANGED' })
  await changed.app.users.delete(id)
  await changed.app.users.settled()
  t.same(
    [mordreds.hits('token') - exchanges, mordreds.hits('revoke')],
    [0, 0],
    'no token of the old issuer was sent to the new one'
  )
})

t.test(
  'OAU-07: a trailing slash and the discovery path do not change the issuer, and one of parallel logins records it',
  async (t) => {
    const adapter = memory()
    const arthurs = await startIssuer(t, ARTHUR)
    const first = await setUp(t, adapter, arthurs)
    const pages = await Promise.all(
      [openBrowser(first.app), openBrowser(first.app), openBrowser(first.app)].map(async (browser) => {
        const { authorization_url: there } = (await browser.ask('/auth/keycloak/authorize')).json<{
          authorization_url: string
        }>()
        return browser.go(there)
      })
    )
    t.strictSame(
      pages.map(({ status }) => status),
      [200, 200, 200]
    )
    for (const url of [`${arthurs.url}/`, `${arthurs.url}/.well-known/openid-configuration`]) {
      const again = await setUp(t, adapter, { ...arthurs, url })
      t.equal(await emailOf(again, await again.login()), ARTHUR, url)
    }
  }
)
