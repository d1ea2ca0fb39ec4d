import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import type { PrismaDatabase, PrismaInstance } from '../../lib/adapters/prisma/client.js'
import { root } from './root.js'

/** The folder in which .ci/services installs Prisma. */
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'fastify-users/prisma')
const providers: Record<PrismaDatabase, string> = { postgres: 'postgresql', mysql: 'mysql', sqlite: 'sqlite' }
const adapters: Record<PrismaDatabase, readonly [module: string, name: string]> = {
  postgres: ['@prisma/adapter-pg', 'PrismaPg'],
  mysql: ['@prisma/adapter-mariadb', 'PrismaMariaDb'],
  sqlite: ['@prisma/adapter-better-sqlite3', 'PrismaBetterSqlite3']
}

/** A generated client, as far as the tests use it. */
export type TestClient = Omit<PrismaInstance, '$transaction'> & {
  $disconnect(): Promise<void>
  $transaction<T>(work: (transaction: TestClient) => Promise<T>): Promise<T>
  user: {
    findMany(): Promise<Record<string, unknown>[]>
    create(options: { data: object }): Promise<Record<string, unknown>>
  }
}

/** Creates a client with the options of the driver adapter. */
export type MakeClient = (options: object, more?: object) => TestClient

/** Returns options that skip a test with a reason if Prisma is not installed, unless REQUIRE_SERVICES=1. */
export function needsPrisma (): { skip: string | false } {
  if (existsSync(join(cache, 'installed.json'))) {
    linkSqlite()
    return { skip: false }
  }
  const reason = 'Prisma is not installed; run `. .ci/services && install_prisma`'
  if (process.env['REQUIRE_SERVICES'] === '1') throw new Error(reason)
  return { skip: reason }
}

/**
 * Links better-sqlite3 of this repository, which is compiled for this version of Node.js. The link may lead to another
 * copy of the repository, because all copies share the folder.
 */
function linkSqlite (): void {
  const link = join(cache, 'node_modules/better-sqlite3')
  const target = join(root, 'node_modules/better-sqlite3')
  if (readlinkSync(link) === target) return
  const prepared = join(cache, `better-sqlite3-${process.pid}`)
  symlinkSync(target, prepared)
  renameSync(prepared, link)
}

/**
 * Generates a client from the source text of models. The command line of Prisma looks for its schema engine, which
 * generation does not use, and downloads it if the variable does not name a program.
 */
export async function generateClient (
  t: { teardown: (undo: () => void) => void },
  database: PrismaDatabase,
  models: string
): Promise<MakeClient> {
  const folder = mkdtempSync(join(cache, 'client-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  const schema = join(folder, 'schema.prisma')
  writeFileSync(
    schema,
    `generator client {\n  provider = "prisma-client"\n  output = "./client"\n}\ndatasource db {\n  provider = "${providers[database]}"\n}\n${models}\n`
  )
  await promisify(execFile)(
    process.execPath,
    [join(cache, 'node_modules/prisma/build/index.js'), 'generate', '--schema', schema],
    {
      cwd: folder,
      env: { ...process.env, NODE_OPTIONS: '', CHECKPOINT_DISABLE: '1', PRISMA_SCHEMA_ENGINE_BINARY: process.execPath }
    }
  )
  const outfile = join(folder, 'client.mjs')
  await build({
    entryPoints: [join(folder, 'client/client.ts')],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    outfile
  })
  const { PrismaClient } = (await import(pathToFileURL(outfile).href)) as {
    PrismaClient: new (options: { adapter: object }) => TestClient
  }
  const [module, name] = adapters[database]
  const { [name]: Adapter } = createRequire(join(cache, 'package.json'))(module) as Record<string, new (options: object, more?: object) => object>
  if (Adapter === undefined) throw new Error(`${module} has no ${name}`)
  return (options, more) => new PrismaClient({ adapter: new Adapter(options, more) })
}
