import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import users, {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type InsecureSetting,
  type StrategyDefinition,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { sqlite } from '../lib/entries/sqlite.js'
import oauth, { github } from '../lib/features/oauth/index.js'
import { migrationOf } from '../lib/adapters/sql/migration/adapter-migration.js'
import { backends, fastPasswords, SECRET } from './helpers/build-app.js'

const DAY = 86_400
const INVALID = 'FST_USERS_INVALID_OPTION'
const isWindows = process.platform === 'win32' && 'Windows has no such permissions'

const redisClient = Object.fromEntries(
  ['get', 'set', 'setex', 'del', 'ttl', 'expire', 'zadd', 'zrem', 'zrange', 'zrangebyscore'].map((name) => [
    name,
    async () => null
  ])
) as never

const ofStrategy = (strategy: StrategyDefinition): Partial<UsersOptions> => ({
  backends: [{ name: 'one', transport: bearerTransport(), strategy }]
})
const plainCookie = (): Partial<UsersOptions> => ({
  backends: [
    { name: 'one', transport: cookieTransport({ secure: false }), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }
  ]
})

/** Starts and closes an application, and returns its warnings. */
async function start (t: Test, options: Partial<UsersOptions>): Promise<string[]> {
  const lines: string[] = []
  const app = Fastify({
    pluginTimeout: 60_000,
    logger: {
      level: 'warn',
      stream: {
        write: (line: string) => {
          lines.push((JSON.parse(line) as { msg: string }).msg)
        }
      }
    }
  })
  t.teardown(() => app.close())
  await app.register(users, {
    adapter: memory(),
    secret: SECRET,
    passwords: fastPasswords,
    limits: false,
    backends: backends(),
    ...options
  })
  await app.ready()
  await app.close()
  return lines
}

function setProduction (t: Test, value: string | undefined): void {
  const before = process.env['NODE_ENV']
  const set = (to: string | undefined): void => {
    if (to === undefined) delete process.env['NODE_ENV']
    else process.env['NODE_ENV'] = to
  }
  t.teardown(() => {
    set(before)
  })
  set(value)
}

t.test(
  'CFG-05: a lifetime above its limit refuses to start, unless allowInsecure names the setting',
  async (t) => {
    const limits: Record<string, [(seconds: number) => Partial<UsersOptions>, number, InsecureSetting]> = {
      'jwtStrategy.lifetimeSeconds': [
        (lifetimeSeconds) => ofStrategy(jwtStrategy({ lifetimeSeconds })),
        30 * DAY,
        'longSessions'
      ],
      'databaseStrategy.lifetimeSeconds': [
        (lifetimeSeconds) => ofStrategy(databaseStrategy({ lifetimeSeconds })),
        30 * DAY,
        'longSessions'
      ],
      'redisStrategy.lifetimeSeconds': [
        (lifetimeSeconds) => ofStrategy(redisStrategy({ client: redisClient, lifetimeSeconds })),
        30 * DAY,
        'longSessions'
      ],
      'tokens.reset.lifetimeSeconds': [
        (lifetimeSeconds) => ({ tokens: { reset: { lifetimeSeconds } } }),
        DAY,
        'longTokens'
      ],
      'tokens.verify.lifetimeSeconds': [
        (lifetimeSeconds) => ({ tokens: { verify: { lifetimeSeconds } } }),
        7 * DAY,
        'longTokens'
      ]
    }
    for (const [option, [make, most, setting]] of Object.entries(limits)) {
      t.same(await start(t, make(most)), [], `${option}: the limit itself`)
      for (const seconds of [most + 1, 365 * DAY, 50 * 365 * DAY]) {
        await t.rejects(
          start(t, make(seconds)),
          { code: INVALID, message: new RegExp(`${option}.*allowInsecure: \\['${setting}'\\]`) },
          `${option}: ${seconds}`
        )
        const other = setting === 'longTokens' ? 'longSessions' : 'longTokens'
        await t.rejects(
          start(t, { ...make(seconds), allowInsecure: [other] }),
          { code: INVALID },
          `${option}: allowInsecure names another setting`
        )
        t.match(await start(t, { ...make(seconds), allowInsecure: [setting] }), [
          `fastify-users: allowInsecure accepts ${setting}`
        ])
      }
    }
    t.match(
      await start(t, {
        ...ofStrategy(jwtStrategy({ lifetimeSeconds: 50 * 365 * DAY })),
        compatibility: { endlessTokens: true }
      }),
      [/endlessTokens is on/],
      'endlessTokens allows long sessions too'
    )
  }
)

t.test('CFG-08: a cookie without Secure is refused in production, unless allowInsecure names it', async (t) => {
  const provider = github({ clientId: 'x', clientSecret: 'y' })
  const withOauth = (secure: boolean): Partial<UsersOptions> => ({
    features: [
      oauth({ providers: [provider], backend: 'jwt', publicUrl: 'https://app.camelot.bt', cookie: { secure } })
    ]
  })
  const cases: [string, Partial<UsersOptions>][] = [
    ['cookieTransport.secure', plainCookie()],
    ['oauth.cookie.secure', withOauth(false)]
  ]
  for (const [option, options] of cases) {
    for (const environment of [undefined, 'development', 'test']) {
      setProduction(t, environment)
      await t.resolves(start(t, options), `${option} in ${environment}`)
    }
    setProduction(t, 'production')
    const insecure = { passwords: undefined as never } // fast hashing is refused in production
    await t.rejects(
      start(t, { ...options, ...insecure }),
      { code: INVALID, message: new RegExp(`${option}.*allowInsecure: \\['plainCookies'\\]`) },
      option
    )
    t.match(await start(t, { ...options, ...insecure, allowInsecure: ['plainCookies'] }), [
      'fastify-users: allowInsecure accepts plainCookies'
    ])
  }
  await t.resolves(start(t, { ...withOauth(true), passwords: undefined as never }), 'the defaults start in production')
})

t.test(
  'CFG-05: a database file that other accounts can access causes a warning; new files are private',
  { skip: isWindows },
  async (t) => {
    const file = join(t.testdir(), 'users.sqlite')
    const modeOf = (path: string): number => statSync(path).mode & 0o777
    const app = Fastify()
    await app.register(users, { adapter: sqlite(file), secret: SECRET, passwords: fastPasswords, backends: backends() })
    await app.ready()
    await app.users.create({ email: 'arthur@camelot.bt', password: 'guinevere-1' })
    for (const path of [file, `${file}-wal`, `${file}-shm`]) t.equal(modeOf(path), 0o600, path.slice(file.length))
    await app.close()
    t.same(await start(t, { adapter: sqlite(file) }), [])

    for (const mode of [0o644, 0o666, 0o602, 0o604, 0o601]) {
      chmodSync(file, mode)
      const warning = `fastify-users: the database file ${file} can be read or written by every account of this machine; run \`chmod o= ${file}\`, or accept the risk with allowInsecure: ['readableDatabase']`
      t.same(await start(t, { adapter: sqlite(file) }), [warning], mode.toString(8))
      t.same(await start(t, { adapter: sqlite(file), allowInsecure: ['readableDatabase'] }), [
        'fastify-users: allowInsecure accepts readableDatabase'
      ])
    }
    for (const mode of [0o640, 0o660, 0o600]) {
      chmodSync(file, mode)
      t.same(await start(t, { adapter: sqlite(file) }), [], mode.toString(8))
      t.equal(modeOf(file), mode, 'the permissions of an existing file are unchanged')
    }
    t.same(await start(t, { adapter: sqlite(':memory:') }), [])
    t.notOk(existsSync(':memory:'))
    const made = join(t.testdir(), 'made.sqlite')
    const source = await migrationOf(sqlite(made))?.connect('create' as never)
    await source?.close()
    t.equal(modeOf(made), 0o600, 'the command line creates private files too')
  }
)

t.test('a database path that cannot be opened refuses to start', async (t) => {
  const folder = t.testdir()
  writeFileSync(join(folder, 'file'), '')
  for (const path of [join(folder, 'missing', 'users.sqlite'), join(folder, 'file', 'users.sqlite'), folder]) {
    await t.rejects(start(t, { adapter: sqlite(path) }), { code: INVALID, message: /cannot open/ })
  }
})

t.test('allowInsecure must be a list of known names', async (t) => {
  for (const allowInsecure of [true, 'longSessions', {}, null, ['all'], ['longSessions', 'x'], [1]]) {
    await t.rejects(
      start(t, { allowInsecure: allowInsecure as never }),
      { code: INVALID, message: /allowInsecure.*longSessions/ },
      JSON.stringify(allowInsecure)
    )
  }
  t.same(await start(t, { allowInsecure: [] }), [])
})
