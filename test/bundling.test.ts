import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { buildPackage, transpile } from './helpers/build-package.js'
import { root } from './helpers/root.js'
import { ARTHUR, PASSWORD, SECRET } from './helpers/build-app.js'

// docs/bundling.md has a build script for each format. Each script is run on a small application, and the bundle is
// started in a folder where only the externals of that script are installed.

const page = readFileSync(join(root, 'docs/bundling.md'), 'utf8')
const scripts = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, text = '']) => text)
const BCRYPT = { password: 'guinevere-2', hash: '$2b$04$NnsksSEW511k3Vd2z9LWNe52yM4TRlgV4hgNqxssAgQFObWmFaYwK' }

const folder = t.testdir()
const packageFolder = join(folder, 'node_modules/fastify-users')
buildPackage(packageFolder)
const { sideEffects } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { sideEffects: boolean }
const manifest = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as object
writeFileSync(join(packageFolder, 'package.json'), JSON.stringify({ ...manifest, sideEffects }))
writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', type: 'module' }))
writeFileSync(join(folder, 'app.js'), transpile(readFileSync(join(root, 'test/fixtures/bundled-app.ts'), 'utf8')))

t.test('the documentation has a build script for each format', async (t) => {
  t.strictSame(
    scripts.map((script) => /format: '(\w+)'/.exec(script)?.[1]),
    ['esm', 'cjs']
  )
  t.equal(sideEffects, false, 'bundlers may leave out unused modules')
})

for (const script of scripts) {
  const outfile = /outfile: 'dist\/([\w.]+)'/.exec(script)?.[1] ?? ''
  for (const minify of [false, true]) {
    t.test(
      `${outfile}${minify ? ', minified,' : ''} registers users and logs them in with only its externals installed`,
      async (t) => {
        const bundle = buildBundle(t, minify ? script.replace('bundle: true', '$&, minify: true') : script, outfile)
        await checkFlow(t, bundle)
      }
    )
  }
}

/** Runs a build script. Returns the path of the bundle, which has the externals of the script next to it. */
function buildBundle (t: Test, script: string, outfile: string): string {
  const bundleFolder = mkdtempSync(join(tmpdir(), 'fastify-users-bundle-'))
  t.teardown(() => {
    rmSync(bundleFolder, { recursive: true, force: true })
  })
  writeFileSync(join(folder, 'build.js'), script)
  const { status, stdout, stderr } = spawnSync(process.execPath, ['build.js'], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 300_000
  })
  t.strictSame(
    { status, stdout, stderr },
    { status: 0, stdout: '', stderr: '' },
    'the build has no errors and no warnings'
  )
  cpSync(join(folder, 'dist', outfile), join(bundleFolder, outfile))
  const external = /external: \[(.*)\]/.exec(script)?.[1] ?? ''
  for (const [, name = ''] of external.matchAll(/'([^']+)'/g)) {
    if (name === 'mongodb') continue // the application has no MongoDB, so it need not be installed
    const link = join(bundleFolder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(realpathSync(join(root, 'node_modules', name)), link)
  }
  return join(bundleFolder, outfile)
}

async function checkFlow (t: Test, bundle: string): Promise<void> {
  const file = join(dirname(bundle), 'app.db')
  const child = spawn(process.execPath, [bundle, file, SECRET], {
    cwd: dirname(bundle),
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const exit = once(child, 'exit')
  t.teardown(async () => {
    child.stdin.end()
    await exit
  })
  const [origin] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    exit.then(() => {
      throw new Error('the bundle ended before it listened')
    })
  ])) as [string]

  const post = async (
    path: string,
    body: string | FormData | URLSearchParams,
    headers: Record<string, string> = {}
  ): Promise<Response> => await fetch(origin + path, { method: 'POST', headers, body })
  const postJson = async (path: string, body: object): Promise<number> =>
    (await post(path, JSON.stringify(body), { 'content-type': 'application/json' })).status
  const multipart = (password: string): FormData => {
    const form = new FormData()
    form.set('username', ARTHUR)
    form.set('password', password)
    return form
  }

  t.equal(
    await postJson('/auth/register', { email: ARTHUR, password: 'password1' }),
    400,
    'a common password is refused'
  )
  t.equal(await postJson('/auth/register', { email: ARTHUR, password: PASSWORD }), 201)
  const login = await post('/auth/jwt/login', new URLSearchParams({ username: ARTHUR, password: PASSWORD }))
  t.equal(login.status, 200)
  const { access_token: token } = (await login.json()) as { access_token: string }
  const hello = await fetch(`${origin}/hello`, { headers: { authorization: `Bearer ${token}` } })
  t.strictSame(await hello.json(), { hello: ARTHUR })
  t.equal((await post('/auth/cookie/login', multipart(PASSWORD))).status, 204, 'a login with a multipart form')
  t.equal(await postJson('/auth/forgot-password', { email: ARTHUR }), 202)
  t.equal((await fetch(`${origin}/auth/github/authorize`)).status, 200, 'a login with a provider starts')

  const database = new Database(file)
  database.prepare('UPDATE user SET hashed_password = ?').run(BCRYPT.hash)
  database.close()
  t.equal((await post('/auth/jwt/login', multipart(BCRYPT.password))).status, 200, 'a bcrypt hash is checked')
}
