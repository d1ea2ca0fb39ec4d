import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { OauthAccounts } from '../../lib/features/oauth/contracts.js'
import type { DatabaseAdapter } from '../../lib/index.js'
import { mongodb } from '../../lib/entries/mongodb.js'
import { mysql } from '../../lib/entries/mysql.js'
import { postgres } from '../../lib/entries/postgres.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { identity, settings } from '../fixtures/somebody-new.js'
import { watchedAdapter } from '../fixtures/watched-adapter.js'
import { accountsFeature } from '../helpers/accounts-feature.js'
import { buildApp } from '../helpers/build-app.js'
import { freshDbOn, mongoeco } from '../helpers/mongo-stores.js'
import { makeMysqlPool, needsMysql } from '../helpers/mysql.js'
import { makePool, needsPostgres } from '../helpers/postgres.js'

const createTables = true

/**
 * A store that two processes share: its location, and the number of its users after the other process was killed right
 * after its first write.
 */
type Make = (t: Test) => Promise<{ adapter: DatabaseAdapter; place: string; users: number }>

const stores: Record<string, [make: Make, needs?: { skip: string | false }]> = {
  sqlite: [
    async (t) => {
      const place = join(t.testdir(), 'users.sqlite')
      return { adapter: sqlite(place), place, users: 0 }
    }
  ],
  postgres: [
    async (t) => {
      const { pool, schema } = await makePool(t)
      return { adapter: postgres(pool, { createTables }), place: schema, users: 0 }
    },
    await needsPostgres()
  ],
  mysql: [
    async (t) => {
      const { pool, database } = await makeMysqlPool(t)
      return { adapter: mysql(pool, { createTables }), place: database, users: 0 }
    },
    await needsMysql()
  ],
  mongodb: [
    async (t) => {
      const db = freshDbOn(t, mongoeco)
      // one document is one write
      return { adapter: mongodb(db, { createTables }), place: `${mongoeco.url} ${db.databaseName}`, users: 1 }
    },
    mongoeco.options
  ]
}

for (const [name, [make, needs = {}]] of Object.entries(stores)) {
  t.test(
    `DEP-03: a process that is killed during a first login leaves no user without a provider account, and the next login succeeds (${name})`,
    needs,
    async (t) => {
      const { adapter, place, users } = await make(t)
      const store = watchedAdapter(adapter)
      const all: OauthAccounts[] = []
      const feature = accountsFeature(settings, (accounts) => {
        all.push(accounts)
      })
      await buildApp(t, { adapter: store.adapter, features: [feature] })
      const script = join(import.meta.dirname, '..', 'fixtures', 'killed-first-login.js')
      const child = spawn(process.execPath, [...process.execArgv, script, name, place], {
        stdio: ['ignore', 'ignore', 'inherit']
      })
      t.same(await once(child, 'exit'), [null, 'SIGKILL'])
      t.same([(await store.rows('user')).length, (await store.rows('oauth_account')).length], [users, users])
      const row = await all[0]?.resolve(identity, {})
      t.match(await store.rows('user'), [{ id: row?.id }])
      t.match(await store.rows('oauth_account'), [{ user_id: row?.id }])
    }
  )
}
