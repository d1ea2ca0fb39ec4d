import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { SECRET } from './helpers/build-app.js'
import { buildPackage, transpile } from './helpers/build-package.js'
import { root } from './helpers/root.js'

// The start of an application must not pay for what it does not use. The package is built as it is published, and a
// small application runs in its own process, which reports every file that it loads.

interface Loaded {
  atStart: string[]
  later: string[]
  statuses: Record<string, number[]>
}

// The hook of `import` writes the URL of each module to a file. The names in MISSING stand for packages that are not
// installed.
const folder = t.testdir({
  'package.json': JSON.stringify({ name: 'app', type: 'module' }),
  'record.mjs': "import { register } from 'node:module'; register('./hook.mjs', import.meta.url)",
  'hook.mjs': `
    import { appendFileSync } from 'node:fs'
    const missing = process.env.MISSING.split(',')
    export async function resolve (name, context, next) {
      if (missing.includes(name)) throw Object.assign(new Error(name), { code: 'ERR_MODULE_NOT_FOUND' })
      const resolved = await next(name, context)
      appendFileSync(process.env.IMPORTED, resolved.url + '\\n')
      return resolved
    }`,
  'missing.cjs': `
    const Module = require('node:module')
    const { _resolveFilename: resolve } = Module
    const missing = process.env.MISSING.split(',')
    Module._resolveFilename = (name, ...rest) => {
      if (missing.includes(name)) throw Object.assign(new Error(name), { code: 'MODULE_NOT_FOUND' })
      return resolve(name, ...rest)
    }`
})
const packageFolder = join(folder, 'node_modules/fastify-users')
const modules = buildPackage(packageFolder)
writeFileSync(join(folder, 'app.js'), transpile(readFileSync(join(root, 'test/fixtures/loading-app.ts'), 'utf8')))

writeFileSync(join(folder, 'totp.js'), `
  import Fastify from 'fastify'
  import users, { bearerTransport, jwtStrategy } from 'fastify-users'
  import { memory } from 'fastify-users/memory'
  import { totp } from 'fastify-users/totp'
  const backends = [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }]
  const secret = process.argv[3]
  await Fastify().register(users, { adapter: memory(), secret, backends, features: [totp({ issuer: 'Camelot' })] })
`)

/** Runs an application. Throws if it fails. */
function run (name: string, missing = '', script = 'app.js'): string {
  const imported = join(folder, `${name}.txt`)
  const hooks = ['--require', './missing.cjs', '--import', './record.mjs']
  return execFileSync(process.execPath, [...hooks, script, `${name}.db`, SECRET, imported], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', IMPORTED: imported, MISSING: missing }
  })
}

/** Returns the names of the packages that files belong to. */
const packagesOf = (files: string[]): Set<string> =>
  new Set(files.flatMap((file) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []))

/** Returns the modules of this package that are parts of files. */
const modulesOf = (files: string[]): string[] =>
  files.flatMap((file) => modules[relative(packageFolder, file)] ?? []).filter((name) => /^(lib|schemas)\//.test(name))

/** Returns the packages with the native modules of argon2 that are installed on this machine. */
function argon2Bindings (): string[] {
  const require = createRequire(join(root, 'package.json'))
  const { optionalDependencies } = require('@node-rs/argon2/package.json') as { optionalDependencies: object }
  return Object.keys(optionalDependencies).filter((name) => existsSync(join(root, 'node_modules', name)))
}

const RARE_PACKAGES = ['@fastify/busboy', '@node-rs/argon2', '@node-rs/bcrypt', '@zxcvbn-ts/language-common']
const UNUSED_PACKAGES = ['@sinclair/typebox', 'ioredis', 'kysely', 'mongodb', 'mysql2', 'openid-client', 'pg', 'redis']
const UNUSED_MODULES = new RegExp(
  [
    '^lib/(cli|testing|features|mail)/',
    '^lib/adapters/(kysely|memory|mongodb)/',
    '^lib/strategies/redis/',
    '^lib/adapters/sql/(mysql|postgres)',
    '^lib/adapters/sql/(dialects|drivers)/(mysql|pg|postgres)',
    '^lib/adapters/sql/migration/(model-upgrades|schema-changes|stored-rows|table-changes|upgrade|\\w+-source)\\.'
  ].join('|')
)

t.test('an application with SQLite and JWT loads only what it uses, and the rest at its first use', async (t) => {
  const { atStart, later, statuses } = JSON.parse(run('app')) as Loaded
  const files = (urls: string[]): string[] => urls.map((url) => (url.startsWith('file:') ? fileURLToPath(url) : url))
  const first = files(atStart).filter((file) => !file.endsWith('.json'))
  const packages = packagesOf(first)
  for (const name of ['fastify-users', 'better-sqlite3', '@fastify/jwt']) {
    t.ok(packages.has(name), `${name} is loaded at the start`)
  }
  for (const name of [...RARE_PACKAGES, ...UNUSED_PACKAGES]) t.notOk(packages.has(name), `${name} is not loaded`)

  const own = first.filter((file) => file.startsWith(packageFolder))
  t.ok(own.length <= 18, `${own.length} files of the package are loaded`)
  t.ok(modulesOf(own).includes('lib/plugin.js') && modulesOf(own).includes('lib/adapters/sql/sqlite.js'))
  t.strictSame(modulesOf(own).filter((name) => UNUSED_MODULES.test(name)), [])

  t.strictSame(statuses, {
    guarded: [401],
    'common passwords': [400, 400, 400, 400],
    registrations: [201, 201, 201, 201],
    'multipart logins': [200, 200, 200, 200],
    'bcrypt logins': [200, 200, 200, 200],
    'guarded with tokens': [200, 200, 200, 200]
  })
  const used = packagesOf(files(later))
  for (const name of RARE_PACKAGES) t.ok(used.has(name), `${name} is loaded at its first use`)
})

t.test('every part that only a command or another database needs is in the package', async (t) => {
  const all = Object.values(modules).flat()
  const unused = all.filter((name) => UNUSED_MODULES.test(name))
  for (const name of ['lib/cli/main.js', 'lib/adapters/sql/migration/upgrade.js', 'lib/adapters/sql/migration/sqlite-source.js']) {
    t.ok(unused.includes(name), name)
  }
})

t.test('a missing package is refused at the start, not at the first login', async (t) => {
  t.throws(() => run('without-driver', 'better-sqlite3'), /FST_USERS_INVALID_OPTION/)
  t.throws(() => run('without-argon2', '@node-rs/argon2/package.json'), /MODULE_NOT_FOUND/)
  t.throws(() => run('without-binding', argon2Bindings().join()), /Cannot find native binding/)
  t.doesNotThrow(() => run('totp', '', 'totp.js'))
  for (const name of ['otpauth', 'uqr']) {
    t.throws(() => run(`totp-without-${name}`, name, 'totp.js'), /FST_USERS_INVALID_OPTION.*npm install otpauth@9 uqr/s)
  }
})
