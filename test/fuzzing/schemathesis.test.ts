// Schemathesis, a fuzzer from PyPI, sends requests that it derives from the OpenAPI document of an application with all
// features. `FUZZ_SECONDS=600 node test/run.mjs schemathesis` runs longer, and with other requests each time.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { startChild } from '../helpers/child-server.js'
import { pythonProgram } from '../helpers/python.js'
import { root } from '../helpers/root.js'

/** Random requests per operation and phase, besides those that cover each constraint of the document. */
const EXAMPLES = 25
/** Operations of which at least one request must succeed. Otherwise, the fuzzer would only see refusals. */
const REACHED = [
  ...['register', 'login:jwt', 'login:cookie', 'login:jwt.code', 'logout:jwt', 'logout:cookie', 'verify', 'own'],
  ...['requestVerifyToken', 'forgotPassword', 'resetPassword', 'currentUser', 'patchCurrentUser', 'user', 'patchUser'],
  ...['deleteUser', 'oauthAuthorize:camelot.cookie', 'oauthAssociateAuthorize:camelot', 'oauthAccounts']
]
const { path, skip } = pythonProgram('schemathesis', 'schemathesis')
const seconds = process.env['FUZZ_SECONDS']

/** Starts the application. */
async function startServer (): Promise<{ port: number; controlPort: number }> {
  const script = join(import.meta.dirname, '../fixtures/fuzzed-server.js')
  const { greeting } = await startChild(t, process.execPath, [script])
  return JSON.parse(greeting) as { port: number; controlPort: number }
}

t.test('no reply to a fuzzer differs from the OpenAPI document', { skip }, async (t) => {
  const { port, controlPort } = await startServer()
  for (const [role, backend] of [
    ['anonymous', 'none'],
    ['user', 'jwt'],
    ['superuser', 'cookie']
  ] as const) {
    await t.test(`requests of a client that is ${role}`, async (t) => {
      const amount =
        seconds === undefined
          ? ['--seed', '1', '--max-examples', String(EXAMPLES)]
          : ['--max-time', String(Math.ceil(Number(seconds) / 3))]
      const child = spawn(
        path,
        [
          ...['--config-file', 'schemathesis.toml', 'run', `http://127.0.0.1:${port}/openapi.json`],
          ...['--generation-database', 'none', '--no-color', '--continue-on-failure', ...amount]
        ],
        {
          cwd: join(root, 'test/fuzzing'),
          env: {
            ...process.env,
            SCHEMATHESIS_HOOKS: 'sessions',
            PYTHONDONTWRITEBYTECODE: '1',
            CONTROL_URL: `http://127.0.0.1:${controlPort}`,
            ROLE: role,
            BACKEND: backend
          },
          stdio: ['ignore', 'pipe', 'inherit']
        }
      )
      const [report, [status]] = await Promise.all([text(child.stdout), once(child, 'exit')])
      const [, cases] = /\n {2}(\d+) generated/.exec(report) ?? []
      if (status !== 0) t.comment(report)
      t.equal(status, 0, 'no difference')
      t.ok(Number(cases) > 2000, `${cases} requests`)
    })
  }
  const succeeded = (await (await fetch(`http://127.0.0.1:${controlPort}/succeeded`)).json()) as string[]
  t.same(
    REACHED.filter((operation) => !succeeded.includes(operation)),
    [],
    'the fuzzer reached the success of these operations'
  )
})
