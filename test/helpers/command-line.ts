import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Database from 'better-sqlite3'
import { runCommandLine } from '../../lib/cli/command-line.js'
import { buildPackage } from './build-package.js'
import { root } from './root.js'

/** Exit code and output of a command. */
export interface Outcome {
  code: number | null
  out: string
  err: string
}

/** The URL from which config files of tests import the library. */
export const library = pathToFileURL(join(root, 'dist/lib/index.js')).href

/** Returns the URL or the name of another entry, such as `sqlite`, of the library at `root`. */
export function entryOf (root: string, entry: string): string {
  return root.endsWith('lib/index.js') ? root.replace('index.js', `entries/${entry}.js`) : `${root}/${entry}`
}

/** Runs a command in this process. `lines` are the piped input or, with `interactive`, the input at a terminal. */
export async function runIn (
  cwd: string,
  args: readonly string[],
  { lines = [], interactive = false }: { lines?: readonly string[]; interactive?: boolean } = {}
): Promise<Outcome> {
  const [out, err]: [string[], string[]] = [[], []]
  const left = [...lines]
  const code = await runCommandLine(args, {
    cwd,
    interactive,
    print: (line) => {
      out.push(line)
    },
    printError: (line) => {
      err.push(line)
    },
    readSecret: async () => left.shift() ?? null
  })
  return { code, out: out.join('\n'), err: err.join('\n') }
}

/**
 * The program as it is installed: built into a folder below the repository, with the library that configs import there.
 */
export interface Program {
  readonly main: string
  readonly library: string
}

/** Builds the program. */
export function buildProgram (folder: string): Program {
  buildPackage(folder)
  return { main: join(folder, 'lib/cli/main.js'), library: pathToFileURL(join(folder, 'lib/index.js')).href }
}

/** Starts the program in a separate process. Returns the process and a promise of its outcome. */
export function startProgram (
  { main }: Program,
  cwd: string,
  args: readonly string[],
  { env = {}, input }: { env?: Record<string, string>; input?: string | Buffer } = {}
): { child: ChildProcess; outcome: Promise<Outcome> } {
  return start([main, ...args], cwd, { NODE_OPTIONS: '', NODE_NO_WARNINGS: '1', ...env }, input)
}

/** Runs Node.js and returns its outcome. */
export function runNode (args: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<Outcome> {
  return start(args, cwd, env).outcome
}

function start (
  args: readonly string[],
  cwd: string,
  env: Record<string, string>,
  input?: string | Buffer
): { child: ChildProcess; outcome: Promise<Outcome> } {
  const child = spawn(process.execPath, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdin.on('error', () => {}) // fails if the program ends without reading its input
  if (input === undefined) child.stdin.end()
  else child.stdin.end(input)
  child.stdout.on('data', (data: Buffer) => {
    out += data.toString()
  })
  child.stderr.on('data', (data: Buffer) => {
    err += data.toString()
  })
  const outcome = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }))
  return { child, outcome }
}

/**
 * JavaScript code for parts of a config file. `rest` follows the default export. It may declare a function
 * `listFeatures`, which returns the option `features`.
 */
export interface ConfigParts {
  adapter?: string
  fields?: string
  backends?: string
  more?: string
  /** The export `server`; empty for none. */
  server?: string
  rest?: string
}

const SQLITE = "sqlite(new URL('users.sqlite', import.meta.url).pathname)"
const BACKENDS =
  "[{ name: 'database', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }]"

function configText (
  from: string,
  { adapter = SQLITE, fields = '{}', backends = BACKENDS, more = '', server = "{ trustProxy: '127.0.0.1' }", rest = '' }: ConfigParts
): string {
  return `
    import Database from 'better-sqlite3'
    import { Redis } from 'ioredis'
    import mysql2 from 'mysql2/promise'
    import pg from 'pg'
    import { argon2Passwords, bearerTransport, cookieTransport, databaseStrategy, defineStrategy, integerId, jwtStrategy, objectIdId, Type, userSchemas } from '${from}'
    import { kysely } from '${entryOf(from, 'kysely')}'
    import { memory } from '${entryOf(from, 'memory')}'
    import { mongodb } from '${entryOf(from, 'mongodb')}'
    import { mysql } from '${entryOf(from, 'mysql')}'
    import { postgres } from '${entryOf(from, 'postgres')}'
    import { redisStrategy } from '${entryOf(from, 'redis')}'
    import { sqlite } from '${entryOf(from, 'sqlite')}'
    const keep = (pool) => { (globalThis.pools ??= []).push(pool); return pool }
    const passwords = argon2Passwords({ memoryCost: 8, timeCost: 1, insecureFastHashing: true })
    export default { adapter: ${adapter}, secret: process.env.USERS_SECRET, schemas: userSchemas(${fields}), publicUrl: 'https://app.camelot.bt', backends: ${backends}, passwords, limits: { store: 'memory' }, features: typeof listFeatures === 'function' ? listFeatures() : [], ${more} }
    ${server === '' ? '' : `export const server = ${server}`}
    ${rest}`
}

/** A folder for the commands of a test. Config files use a SQLite file in it by default. */
export interface CommandFolder {
  readonly folder: string
  readonly file: string
  /** Runs a command in this process. */
  run(args: readonly string[], parts?: ConfigParts, input?: Parameters<typeof runIn>[2]): Promise<Outcome>
  /** Starts a command as a process. */
  start(
    args: readonly string[],
    parts?: ConfigParts,
    input?: Parameters<typeof startProgram>[3]
  ): ReturnType<typeof startProgram>
}

/** Creates a folder. Each config is written to a new file, because Node.js imports a module only once. */
export function createCommandFolder (parent: string, program: Program): CommandFolder {
  const folder = mkdtempSync(join(parent, 'command-'))
  let count = 0
  const write = (from: string, parts: ConfigParts): string => {
    const name = `config-${count++}.js`
    writeFileSync(join(folder, name), configText(from, parts))
    return name
  }
  return {
    folder,
    file: join(folder, 'users.sqlite'),
    run: (args, parts = {}, input = {}) => runIn(folder, [...args, '--config', write(library, parts)], input),
    start: (args, parts = {}, input = {}) =>
      startProgram(program, folder, [...args, '--config', write(program.library, parts)], input)
  }
}

/** Returns the rows of a query on a SQLite file. */
export function rowsOf (file: string, sql: string): unknown[][] {
  const database = new Database(file, { readonly: true })
  try {
    return database.prepare(sql).raw(true).all() as unknown[][]
  } finally {
    database.close()
  }
}

/** Ends the pools that configs created with `keep`. Open pools would keep the test process alive. */
export async function endPools (): Promise<void> {
  // configs share only this global variable with their test
  const { pools = [] } = globalThis as { pools?: { end: () => Promise<void> }[] }
  await Promise.all(pools.splice(0).map((pool) => pool.end()))
}
