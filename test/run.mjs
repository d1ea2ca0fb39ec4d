// Compiles and runs tests.
//
//   node test/run.mjs                  all tests
//   node test/run.mjs login oauth      the test files whose path contains one of these words
//   node test/run.mjs --fast           without tests that need a server, a browser, a compiler, a child process or
//                                      production hashes
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compile } from './compile.mjs'
import { runFiles } from './runner.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
/** A test that imports one of these packages, directly or through a helper, is not run by `--fast`. */
const SLOW_PACKAGES = new Set([
  'node:child_process',
  'ioredis',
  'kysely',
  'libsql',
  'mongodb',
  'mysql2',
  'pg',
  'playwright-core',
  'redis',
  'typescript'
])
/** Tests that need seconds because they hash passwords with production parameters. `--fast` does not run them. */
const EXPENSIVE_FILES = ['compatibility/hashes.test.js', 'production-hashes.test.js']
/** Approximate seconds of the longest files, so that they begin first. A missing or wrong number costs only time. */
const LONG_FILES = {
  'cli-servers.test.js': 45,
  'cli.test.js': 45,
  'compatibility/wire-live.test.js': 50,
  'declarations.test.js': 45,
  'fastapi-users-live.test.js': 85,
  'fuzzing/schemathesis.test.js': 170,
  'kysely.test.js': 55,
  'mongodb.test.js': 75,
  'mysql.test.js': 50,
  'oauth-accounts.test.js': 50,
  'postgres.test.js': 70,
  'prisma.test.js': 50,
  'readme.test.js': 65,
  'sample-feature.test.js': 45,
  'security/server-faults.test.js': 95,
  'types.test.js': 50,
  'upgrades.test.js': 60
}
const [fast, words] = process.argv[2] === '--fast' ? [true, process.argv.slice(3)] : [false, process.argv.slice(2)]

/** Returns true if a module or a helper that it imports uses one of the slow packages. */
function isSlow (file, seen = new Set()) {
  if (seen.has(file)) return false
  seen.add(file)
  const specifiers = [...readFileSync(file, 'utf8').matchAll(/^(?:import|export|\}) .*?from '([^']+)'/gm)].map(
    ([, specifier]) => specifier
  )
  return specifiers.some((specifier) => {
    if (!specifier.startsWith('.')) return SLOW_PACKAGES.has(specifier.replace(/^([^/@]+)\/.*/, '$1'))
    const target = join(dirname(file), specifier)
    return target.includes(join('dist', 'test')) && isSlow(target, seen)
  })
}

function selectFiles () {
  const folder = join(root, 'dist/test')
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.test.js') && (words.length === 0 || words.some((word) => name.includes(word))))
    .filter((name) => !fast || words.length > 0 || !(EXPENSIVE_FILES.includes(name) || isSlow(join(folder, name))))
    .map((name) => join(folder, name))
    .map((file) => relative(root, file))
    .sort()
}

/**
 * Builds tap with the plugins of .taprc, once per installation.
 * Tap does so itself during its first run, but then still loads the TypeScript plugin into every test file of that run.
 */
function buildTap () {
  const built = join(root, 'node_modules/@tapjs/test/test-built/dist/esm/index.js')
  if (!existsSync(built) || !readFileSync(built, 'utf8').includes('@tapjs/typescript')) return
  spawnSync(process.execPath, [tap, 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
}

/**
 * Sorts files by their expected duration. The longest ones come first, so that all cores are busy until the end.
 * A wrong order costs time only.
 */
function sortByDuration (files) {
  const seconds = new Map(files.map((file) => [file, estimateSeconds(file)]))
  return [...files].sort((a, b) => seconds.get(b) - seconds.get(a))
}

function estimateSeconds (file) {
  const path = join(root, file)
  const name = relative('dist/test', file)
  return LONG_FILES[name] ?? statSync(path).size / 10_000 + (isSlow(path) ? 8 : 0)
}

const tap = join(root, 'node_modules/tap/dist/esm/run.mjs')
const complete = !fast && words.length === 0
const output = complete ? join(root, '.tap/results.tap') : undefined
if (complete) rmSync(output, { force: true })
const failed = compile()
if (failed !== 0) process.exit(failed)
const files = selectFiles()
if (files.length === 0) {
  console.error(`No test file matches ${words.join(', ')}.`)
  process.exit(1)
}
buildTap()
// while one file waits for a timer or for another process, others use the cores
const processes = availableParallelism() + (fast ? 1 : 2)
process.exitCode = await runFiles(sortByDuration(files), { processes, output })
