// Compiles and runs tests.
//
//   node test/run.mjs                  all tests
//   node test/run.mjs login oauth      the test files whose path contains one of these words
//   node test/run.mjs --fast           without tests that need a server, a browser, a compiler, a child process or
//                                      production hashes, run by run-directly.mjs
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compile } from './compile.mjs'
import { runDirectly } from './run-directly.mjs'

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

const tap = join(root, 'node_modules/tap/dist/esm/run.mjs')
const failed = compile()
if (failed !== 0) process.exit(failed)
const files = selectFiles()
if (files.length === 0) {
  console.error(`No test file matches ${words.join(', ')}.`)
  process.exit(1)
}
if (fast) {
  process.exitCode = await runDirectly(files)
} else {
  buildTap()
  const reporting =
    words.length === 0 ? ['--reporter=base', '--output-file=.tap/results.tap'] : ['--reporter=terse']
  const { status } = spawnSync(process.execPath, [tap, '--disable-coverage', ...reporting, ...files], {
    cwd: root,
    stdio: 'inherit'
  })
  process.exitCode = status ?? 1
}
