import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { SECRET } from './helpers/build-app.js'
import { root } from './helpers/root.js'

// A feature outside of this repository: one folder, compiled and run in an empty folder in which only the packed
// package and its dependencies are installed.

const TSC = join(root, 'node_modules/typescript-7/bin/tsc')
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'fastify-users-sample-')))
t.teardown(() => {
  rmSync(folder, { recursive: true, force: true })
})
const run = (command: string, args: readonly string[], cwd = folder): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', env: { ...process.env, USERS_SECRET: SECRET } })

/** Installs the tarball of the package, and links all other packages. */
function install (): void {
  const modules = join(folder, 'node_modules')
  const installed = join(modules, 'fastify-users')
  mkdirSync(installed, { recursive: true })
  const built = join(folder, 'package')
  mkdirSync(built)
  for (const file of ['package.json', 'README.md']) cpSync(join(root, file), join(built, file))
  run(process.execPath, [TSC, '-p', join(root, 'tsconfig.json'), '--incremental', 'false', '--outDir', join(built, 'dist')])
  const packed = run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], built)
  const [{ filename = '' } = {}] = JSON.parse(packed) as { filename?: string }[]
  run('tar', ['-xzf', join(folder, filename), '-C', installed, '--strip-components=1'])
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  cpSync(join(root, 'test/package/sample-feature'), folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'sample', type: 'module' }))
}

t.test('a feature that is one folder has everything that a feature of this package can have', async (t) => {
  install()
  t.doesNotThrow(() => run(process.execPath, [TSC, '-p', '.']), 'its types fit')
  const results = JSON.parse(run(process.execPath, ['main.js'])) as Record<string, unknown>
  t.match(results['migrate'], /^Changed:\n[^]*wrong_pins[^]*/, 'a column of the user')
  t.strictSame(results['upgraded'], [{ hash: 1, digits: 6 }], 'an upgrade step')
  t.strictSame(results['login step'], [403, [{ name: 'pin' }]], 'a login step')
  t.strictSame(results['error code'], [400, 'FST_USERS_PIN_WRONG'], 'an error code')
  t.strictSame(results['guard flag'], [401, 200], 'a guard flag')
  t.equal(results['reply field'], true, 'a property of users in replies')
  t.strictSame(results['event'], [204, ['arthur@camelot.bt']], 'an event')
  t.strictSame(results['login method'], [[400, 'FST_USERS_LOGIN_BAD_CREDENTIALS'], 200], 'a login method')
  t.strictSame(results['removed'], [200, 403], 'functions for the application')
  t.strictSame(
    results['openapi'],
    {
      put: ['204', '400', '401', '403', '413', '415', '500', '503'],
      step: ['200', '400', '403', '413', '415', '500', '503'],
      vault: { pin: true }
    },
    'routes and guard flags in the API document'
  )
  t.strictSame(
    results['error table'],
    ['FST_USERS_PIN_WRONG', 'FST_USERS_PIN_TOO_SIMPLE', 'FST_USERS_PIN_LAST_LOGIN_METHOD'],
    'codes in the table of errors'
  )
})
