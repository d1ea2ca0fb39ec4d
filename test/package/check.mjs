// Packs the package, installs the tarball into an empty folder and uses it there as its users do: from ESM, CommonJS
// and TypeScript of both kinds, with several versions of TypeScript and Node.js. Prints the results, and exits with 1
// if a check fails.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const folder = mkdtempSync(join(tmpdir(), 'fastify-users-package-'))
const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const TYPESCRIPTS = ['5.9', '6.0', '7.0']
const DRIVERS = ['@types/better-sqlite3', '@types/pg', 'better-sqlite3', 'kysely', 'mongodb', 'mysql2', 'pg']
const NODES = ['20', '22', '24']
const ownTypescript = devDependencies.typescript
let failures = 0

function run (command, args, cwd = folder) {
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } })
}

function check (what, work) {
  try {
    console.log(`ok      ${what}${work() ?? ''}`)
  } catch (error) {
    failures++
    console.log(`FAILED  ${what}\n${error.stdout ?? ''}${error.stderr ?? error.stack}`)
  }
}

/** Returns the path of a version of Node.js, which is installed unless it runs this program. */
function installNode (version) {
  if (process.version.startsWith(`v${version}.`)) return process.execPath
  run('npm', ['install', '--no-audit', '--no-fund', '--no-save', '--prefix', join(folder, `node-${version}`), `node@${version}`])
  return join(folder, `node-${version}`, 'node_modules/node/bin/node')
}

const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], root))
const tarball = join(folder, filename)
console.log(`packed  ${Math.ceil(statSync(tarball).size / 1024)} KiB`)

cpSync(join(here, 'consumer'), folder, { recursive: true })
writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true }))
const typescripts = TYPESCRIPTS.map((version) => `typescript-${version}@npm:typescript@~${version}.0`)
run('npm', ['install', '--no-audit', '--no-fund', tarball, `fastify@${devDependencies.fastify}`, `@types/node@${devDependencies['@types/node']}`, ...typescripts])

check('ES module', () => ` -> ${run('node', ['main.mjs']).trim()}`)
check('CommonJS', () => ` -> ${run('node', ['main.cjs']).trim()}`)
// installed after the checks above, which must pass without them
run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...DRIVERS.map((name) => `${name}@${devDependencies[name]}`)])
for (const version of TYPESCRIPTS) {
  check(`TypeScript ${version}`, () => {     // checks the declaration files of the package, too (skipLibCheck is off)
    run('node', [`node_modules/typescript-${version}/bin/tsc`, '-p', '.', '--skipLibCheck', 'false', '--outDir', `out-${version}`])
    return ` -> ${run('node', [`out-${version}/typed.mjs`]).trim()}; ${run('node', [`out-${version}/typed.cjs`]).trim()}`
  })
}
check('pnpm', () => {     // does not hoist: the application cannot import the dependencies of this package
  const place = join(folder, 'pnpm')
  // test/declarations.test.ts compiles the same file in this layout with the version of TypeScript that it has
  const others = TYPESCRIPTS.filter((version) => !ownTypescript.includes(version))
  mkdirSync(place)
  for (const name of ['constants.mts', 'main.mjs']) cpSync(join(here, 'consumer', name), join(place, name))
  const dependencies = { 'fastify-users': `file:${tarball}`, fastify: devDependencies.fastify, '@types/node': devDependencies['@types/node'] }
  const aliases = Object.fromEntries(others.map((version) => [`typescript-${version}`, `npm:typescript@~${version}.0`]))
  writeFileSync(join(place, 'package.json'), JSON.stringify({ name: 'consumer', private: true, dependencies: { ...dependencies, ...aliases } }))
  writeFileSync(join(place, 'tsconfig.json'), readFileSync(join(here, 'consumer/tsconfig.json'), 'utf8').replace(/"files": .*/, '"files": ["constants.mts"]'))
  run('npm', ['install', '--no-audit', '--no-fund', '--no-save', '--prefix', join(folder, 'pnpm-tool'), 'pnpm@10'])
  run('node', [join(folder, 'pnpm-tool/node_modules/pnpm/bin/pnpm.cjs'), 'install', '--ignore-workspace'], place)
  for (const version of others) run('node', [`node_modules/typescript-${version}/bin/tsc`, '-p', '.', '--outDir', `out-${version}`], place)
  return ` -> TypeScript ${others.join(', ')}; ${run('node', ['main.mjs'], place).trim()}`
})
for (const version of NODES) {
  check(`Node.js ${version}`, () => {
    const node = installNode(version)
    return ` (${run(node, ['--version']).trim()}) -> ${run(node, ['main.mjs']).trim()}; ${run(node, ['main.cjs']).trim()}`
  })
}
check('publint', () => ` -> ${run(join(root, 'node_modules/.bin/publint'), ['--strict', tarball], root).trim().split('\n').at(-1)}`)
check('are the types wrong', () => {
  // exits with 1 if it finds a problem
  run(join(root, 'node_modules/.bin/attw'), [tarball, '--profile', 'esm-only', '--format', 'ascii', '--no-emoji'], root)
  return ' -> no problems (profile esm-only)'
})

rmSync(folder, { recursive: true, force: true })
console.log(failures === 0 ? 'package: all fine' : `package: ${failures} failed`)
process.exitCode = failures === 0 ? 0 : 1
