import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { buildPackage } from './helpers/build-package.js'

interface Check {
  steps: number
  differences: readonly string[]
}
interface Sender extends Check {
  send(title: string, target: string, status: number): Promise<unknown>
}
type BuildApp = (options: {
  file: string
  secret: string
  publicUrl: string
  sendMail: () => void
}) => Promise<FastifyInstance>
type CreateClient = (origin: string, print: (text: string) => void) => Sender
interface WalkStep {
  title: string
  commands: string[]
}
type WalkSteps = (origin: string, file: string) => WalkStep[]

const PAGES = [
  '/login', '/verify', '/email', '/email-login', '/forgot-password', '/reset-password', '/undo-email-change',
  '/undo-deletion', '/account', '/passkeys', '/authenticator-app'
]
const PAGE_FILES = [
  '/pages.js', '/account.js', '/account.css', '/passkeys.js', '/passkeys.css', '/authenticator-app.js', '/step-up.js'
]
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const folder = t.testdir()
buildPackage(folder)
const example = (name: string): string => join(folder, 'examples/basic', `${name}.js`)
const load = async <T>(name: string): Promise<T> => (await import(pathToFileURL(example(name)).href)) as T

t.test('the demo runs the complete flow, and each reply has the expected status', async (t) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [example('demo')], {
    encoding: 'utf8',
    timeout: 300_000
  })
  t.equal(status, 0, stderr)
  const [, steps] = /\n(\d+) steps, all as expected\n$/.exec(stdout) ?? []
  t.ok(Number(steps) > 60, `${steps} steps`)
  for (const shown of [
    'POST /auth/register',
    '< 201',
    '< set-cookie: __Host-users-cookie=',
    'mail to king.arthur@camelot.bt',
    'INSUFFICIENT_SCOPE',
    'POST /users/me/api-keys'
  ]) {
    t.ok(stdout.includes(shown), shown)
  }
})

t.test('all pages, scripts and styles have the same strict headers, and no form can send a password in a URL', async (t) => {
  const { buildApp } = await load<{ buildApp: BuildApp }>('app')
  const app = await buildApp({
    file: ':memory:',
    secret: randomBytes(32).toString('hex'),
    publicUrl: 'http://localhost:3000',
    sendMail: () => {}
  })
  t.teardown(() => app.close())
  for (const path of [...PAGES, ...PAGE_FILES]) {
    const { statusCode, headers, body } = await app.inject({ url: path })
    t.equal(statusCode, 200, path)
    t.match(headers, { 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff' }, path)
    t.equal(headers['content-security-policy'], POLICY, path)
    t.equal(String(headers['content-type']).startsWith('text/html'), PAGES.includes(path), path)
    for (const [form] of body.matchAll(/<form[^>]*>/g)) t.match(form, / method=\\?"post\\?"/, `${path}: ${form}`)
  }
})

t.test('a reply with an unexpected status is a difference', async (t) => {
  const server = createServer((_request, response) => response.writeHead(418).end())
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { createClient } = await load<{ createClient: CreateClient }>('client')
  const client = createClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, () => {})
  await client.send('First', 'GET /', 418)
  await client.send('Second', 'GET /', 200)
  t.strictSame(
    { steps: client.steps, differences: client.differences },
    { steps: 2, differences: ['step 2: status 200'] }
  )
})

t.test(
  'the commands that the server prints work in a shell',
  { skip: spawnSync('curl', ['--version']).status === 0 ? false : 'curl is not installed' },
  async (t) => {
    const cwd = t.testdir()
    const { server, origin, output, stop } = await startServer(t, cwd)
    const { walkSteps } = await load<{ walkSteps: WalkSteps }>('walk')
    const steps = walkSteps(origin, 'users.db')
    for (const { title, commands } of steps) t.ok(output().includes([`. ${title}`, ...commands].join('\n')), title)

    const shell = spawn('bash', { cwd })
    let shellOutput = ''
    shell.stdout.on('data', (data: Buffer) => {
      shellOutput += data.toString()
    })
    const paste = async (commands: string[]): Promise<string[]> => {
      shellOutput = ''
      shell.stdin.write(
        [
          ...commands.map((command) => command.replace('dist/examples', join(folder, 'examples'))),
          'echo; echo done',
          ''
        ].join('\n')
      )
      while (!shellOutput.endsWith('\ndone\n')) await sleep(20)
      return [...shellOutput.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => String(status))
    }
    const statuses: string[][] = []
    for (const { commands } of steps) {
      const mails = mailsIn(output()).length
      statuses.push(await paste(commands))
      if (!/forgot|request-verify/.test(commands.join())) continue
      while (mailsIn(output()).length === mails) await sleep(20)
      statuses.push(await paste(mailsIn(output()).slice(-1)))
    }
    shell.stdin.end()
    t.strictSame(statuses, [
      ['201'],
      ['204'],
      ['200', '200', '200'],
      ['200', '200', '200', '401'],
      ['202'],
      ['200'],
      ['202'],
      ['200'],
      ['204', '200'],
      ['200', '200', '204'],
      ['200', '200', '403', '200', '403'],
      ['204', '401']
    ])

    const login = await fetch(`${origin}/auth/jwt/login`, {
      method: 'POST',
      body: new URLSearchParams({ username: 'king.arthur@camelot.bt', password: 'excalibur-3' })
    })
    const { access_token: token } = (await login.json()) as { access_token: string }
    await stop()
    t.equal(server.exitCode, 0)
    const restarted = await startServer(t, cwd)
    t.equal(
      (await fetch(`${restarted.origin}/hello`, { headers: { authorization: `Bearer ${token}` } })).status,
      200,
      'the secret is kept, so the session is valid after a restart'
    )
    await restarted.stop()
  }
)

interface RunningServer {
  server: ChildProcess
  origin: string
  output: () => string
  stop: () => Promise<void>
}

async function startServer (t: Test, cwd: string): Promise<RunningServer> {
  const server = spawn(process.execPath, [example('server')], {
    cwd,
    env: { ...process.env, PORT: '0', USERS_DB: 'users.db', USERS_SECRET: undefined }
  })
  t.teardown(() => server.kill('SIGKILL'))
  let text = ''
  for (const stream of [server.stdout, server.stderr]) {
    stream.on('data', (data: Buffer) => {
      text += data.toString()
    })
  }
  const ended = once(server, 'exit')
  while (!text.includes('/users/me\n') && server.exitCode === null) await sleep(20)
  return {
    server,
    origin: /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0] ?? '',
    output: () => text,
    async stop () {
      server.kill('SIGTERM')
      await ended
    }
  }
}

function mailsIn (text: string): string[] {
  return [...text.matchAll(/Mail to .*\n\n(curl .*)\n/g)].map(([, command]) => String(command))
}
