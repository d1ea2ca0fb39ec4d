// Runs of random requests, compared with a small model of who may do what. `FUZZ_SECONDS=600 node test/run.mjs model`
// runs longer, and with another seed each time. A failure prints the shortest run that fails, its seed and its path.
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { memory } from '../lib/entries/memory.js'
import { postgres } from '../lib/entries/postgres.js'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type DatabaseAdapter,
  type StrategyDefinition
} from '../lib/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { buildApp, type TestApp } from './helpers/build-app.js'
import { AccountModel, LIFETIMES, type Account, type ModelOptions } from './helpers/model/account-model.js'
import { GOOD_PASSWORDS } from './helpers/model/account-rules.js'
import { emailOf, GUARDED } from './helpers/model/arguments.js'
import { COMMANDS } from './helpers/model/commands.js'
import { compareAll, valuesOf } from './helpers/model/model-client.js'
import { makePool, needsPostgres } from './helpers/postgres.js'

const SEED = 20_260_101
const COMMANDS_PER_RUN = 60
const seconds = process.env['FUZZ_SECONDS']
const seed = process.env['FUZZ_SEED']

/** Options of the application, by their description. */
const SETUPS: Record<string, ModelOptions> = {
  'immediate changes': { confirm: false, forVerified: [] },
  'confirmed changes, and a backend for verified users': { confirm: true, forVerified: ['stored'] }
}

/** Results that the runs must reach. Otherwise, the runs would not test much. */
const EXPECTED_RESULTS = [
  ...[200, 401].flatMap((status) => ['/users/me', '/guarded', '/cookie'].map((url) => `GET ${url}: ${status}`)),
  ...[200, 401, 403].flatMap((status) =>
    ['/verified', '/superuser', '/verified-superuser', '/users/:id'].map((url) => `GET ${url}: ${status}`)
  ),
  ...['GET /users/:id: 404', 'GET /optional: 200', 'endSessions: 200', 'endSessions: 404'],
  ...['204', '401', '403', '404', '400 LAST_SUPERUSER'].map((result) => `DELETE /users/:id: ${result}`),
  ...['401', '403', '404', '400 LAST_SUPERUSER'].map((result) => `PATCH /users/:id: ${result}`),
  ...['/users/:id', '/users/me'].flatMap((url) =>
    [
      ...['200', '401', '400 UPDATE_USER_BAD_CURRENT_PASSWORD', '400 UPDATE_USER_EMAIL_ALREADY_EXISTS'],
      '400 UPDATE_USER_INVALID_PASSWORD'
    ].map((result) => `PATCH ${url}: ${result}`)
  ),
  ...['200', '204', '400 LOGIN_BAD_CREDENTIALS', '400 LOGIN_USER_NOT_VERIFIED'].map((result) => `log in: ${result}`),
  ...['204', '401', '403'].map((result) => `log out: ${result}`),
  ...['201', '400 REGISTER_INVALID_PASSWORD', '400 REGISTER_USER_ALREADY_EXISTS'].map((result) => `register: ${result}`),
  ...['200', '400 RESET_PASSWORD_BAD_TOKEN', '400 RESET_PASSWORD_INVALID_PASSWORD'].map(
    (result) => `reset-password: ${result}`
  ),
  ...['verify', 'email-change'].flatMap((purpose) => [`verify, ${purpose}: 200`, `verify, ${purpose}: 400 VERIFY_USER_BAD_TOKEN`]),
  ...['verify, reset: 400 VERIFY_USER_BAD_TOKEN', 'verify, verify: 400 VERIFY_USER_ALREADY_VERIFIED']
]
/** Results that the runs have reached. */
const results = new Set<string>()

interface ModelledApp {
  test: TestApp
  /** Restores the rows that the application had at first, and returns their model. */
  restart(): Promise<AccountModel>
}

async function start (t: Test, adapter: DatabaseAdapter, options: ModelOptions): Promise<ModelledApp> {
  const store = watchedAdapter(adapter)
  let now = Date.now()
  const test = await buildApp(
    t,
    {
      adapter: store.adapter,
      clock: () => now, // only `tick` moves it
      sensitiveChanges: options.confirm ? 'confirm' : 'immediate',
      backends: (['jwt', 'cookie', 'stored'] as const).map((name) => ({
        name,
        transport: name === 'cookie' ? cookieTransport() : bearerTransport(),
        strategy: strategyOf(name),
        requireVerification: options.forVerified.includes(name)
      }))
    },
    (app) => {
      for (const [url, flags] of Object.entries(GUARDED)) {
        if (url === '/users/me') continue
        app.get(url, { preHandler: authenticate(flags) }, (request, reply) => reply.send(JSON.stringify(request.user)))
      }
    }
  )
  const accounts = await createAccounts(test)
  const restore = await store.snapshot()
  return {
    test: {
      ...test,
      tick (passed) {
        now += passed * 1000
      }
    },
    async restart () {
      await test.app.users.settled()
      await restore()
      test.events.length = 0
      const model = new AccountModel(options)
      model.accounts.push(...accounts.map((account) => ({ ...account })))
      return model
    }
  }
}

function strategyOf (name: 'jwt' | 'cookie' | 'stored'): StrategyDefinition {
  const lifetimeSeconds = LIFETIMES[name]
  return name === 'jwt' ? jwtStrategy({ lifetimeSeconds }) : databaseStrategy({ lifetimeSeconds })
}

/** Creates a superuser, a verified user, an unverified user and an inactive user. */
async function createAccounts (test: TestApp): Promise<Account[]> {
  const accounts = ['arthur', 'lancelot', 'mordred', 'gawain'].map((local, i) => ({
    id: '',
    email: emailOf(local),
    password: GOOD_PASSWORDS[i % GOOD_PASSWORDS.length] ?? '',
    isActive: local !== 'gawain',
    isVerified: local !== 'mordred',
    isSuperuser: local === 'arthur',
    isDeleted: false
  }))
  for (const account of accounts) {
    const { id, ...values } = valuesOf(account)
    account.id = String((await test.create({ ...values, password: account.password })).id)
  }
  return accounts
}

/** Runs random commands. `runs` is the number of runs without `FUZZ_SECONDS`. */
async function explore (t: Test, adapter: DatabaseAdapter, options: ModelOptions, runs: number): Promise<void> {
  const { test, restart } = await start(t, adapter, options)
  const property = fc.asyncProperty(
    fc.commands(COMMANDS, { maxCommands: COMMANDS_PER_RUN, size: 'max' }),
    async (commands) => {
      const model = await restart()
      await fc.asyncModelRun(() => ({ model, real: test }), commands)
      for (const result of model.results) results.add(result)
      await compareAll(test, model)
    }
  )
  const amount =
    seconds === undefined
      ? { seed: SEED, numRuns: runs }
      : {
          numRuns: Number.MAX_SAFE_INTEGER,
          interruptAfterTimeLimit: (Number(seconds) * 1000) / (2 * Object.keys(SETUPS).length),
          ...(seed === undefined ? {} : { seed: Number(seed) })
        }
  const details = await fc.check(property, amount)
  t.comment(`${details.numRuns} runs with seed ${details.seed}`)
  if (details.failed) t.comment(fc.defaultReportMessage(details))
  t.error(details.errorInstance, 'the application agrees with the model')
}

const service = await needsPostgres()
for (const [name, options] of Object.entries(SETUPS)) {
  t.test(`memory: random requests have the effects that the model predicts (${name})`, async (t) => {
    await explore(t, memory(), options, 100)
  })

  t.test(`PostgreSQL: random requests have the effects that the model predicts (${name})`, service, async (t) => {
    const { pool } = await makePool(t)
    await explore(t, postgres(pool, { createTables: true }), options, 20)
  })
}

t.test('the runs reach every result of every command', { skip: seconds !== undefined }, async (t) => {
  t.same(
    EXPECTED_RESULTS.filter((result) => !results.has(result)),
    [],
    'missing results'
  )
})
