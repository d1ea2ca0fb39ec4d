import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { DatabaseAdapter } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { mongodb } from '../../lib/entries/mongodb.js'
import { mysql } from '../../lib/entries/mysql.js'
import { postgres } from '../../lib/entries/postgres.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { freshDbOn, stores as mongoStores } from './mongo-stores.js'
import { makeMysqlPool, needsMysql } from './mysql.js'
import { makePool, needsPostgres } from './postgres.js'

/** A kind of store on which the same tests run. */
export interface EveryStore {
  name: string
  options: { skip: string | false }
  /** Opens an empty store that is removed when the test ends. Returns a function that creates an adapter for it. */
  open(t: Test): Promise<() => DatabaseAdapter>
}

/** Every store of the package. The adapters of one store see the same rows, as the processes of a service do. */
export const everyStore: readonly EveryStore[] = [
  {
    name: 'memory',
    options: { skip: false },
    async open () {
      const adapter = memory()
      return () => adapter
    }
  },
  {
    name: 'SQLite',
    options: { skip: false },
    async open (t) {
      const folder = mkdtempSync(join(tmpdir(), 'fastify-users-'))
      t.teardown(() => {
        rmSync(folder, { recursive: true })
      })
      return () => sqlite(join(folder, 'users.db'))
    }
  },
  {
    name: 'PostgreSQL',
    options: await needsPostgres(),
    async open (t) {
      const { pool } = await makePool(t)
      return () => postgres(pool, { createTables: true })
    }
  },
  {
    name: 'MySQL',
    options: await needsMysql(),
    async open (t) {
      const { pool } = await makeMysqlPool(t)
      return () => mysql(pool, { createTables: true })
    }
  },
  ...mongoStores.map(
    (store): EveryStore => ({
      name: store.name,
      options: store.options,
      async open (t) {
        const db = freshDbOn(t, store)
        return () => mongodb(db, { createTables: true, timeoutMs: 30_000 }) // the machine may be busy
      }
    })
  )
]
