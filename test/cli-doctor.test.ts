import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import pg from 'pg'
import t from 'tap'
import { checkPackages, isAtLeast, RISKY_PACKAGES } from '../lib/cli/doctor/package-checks.js'
import { checkStore } from '../lib/cli/doctor/store-checks.js'
import type { StoreSchema } from '../lib/contracts/store-schema.js'
import { SECRET } from './helpers/build-app.js'
import { buildProgram, createCommandFolder, runIn, type ConfigParts, type Outcome, type CommandFolder } from './helpers/command-line.js'
import { configOf, makeSchema, needsPostgres, postgresUrl } from './helpers/postgres.js'

const service = await needsPostgres()
const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
const createFolder = (): CommandFolder => createCommandFolder(testFolder, program)
const redisUrl = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'
process.env['USERS_SECRET'] = SECRET

const URL_OPTION = "publicUrl: 'https://app.camelot.bt'"

function cookieBackends (options: string): string {
  return `[{ name: 'cookie', transport: cookieTransport(${options}), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }]`
}

/** Returns the lines of a report that do not begin with `ok`. */
function problemLines ({ out }: Outcome): string[] {
  return out.split('\n').filter((line) => !line.startsWith('ok '))
}

t.test('doctor reports ok for each check of a valid configuration and changes nothing', async (t) => {
  const { run, file } = createFolder()
  await run(['migrate'])
  const parts = {
    backends: cookieBackends('').replace(
      ']',
      ", { name: 'database', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }]"
    ),
    more: URL_OPTION
  }
  const good = {
    code: 0,
    out: `ok    secret: is long enough and not a placeholder
ok    database: answers
ok    schema: has all tables, columns, widths and indexes
ok    limits: attempts and mails are counted in memory
ok    mail: is not set: hooks of the application send mails
ok    trustProxy: names the trusted proxies
ok    publicUrl: is https, or a URL of this machine
ok    packages: no package with a known weakness of logins
ok    backend cookie: can check tokens
ok    backend cookie: browsers keep the cookie "__Host-users-cookie" at https://app.camelot.bt
ok    backend database: can check tokens`,
    err: ''
  }
  t.strictSame(await run(['doctor'], parts), good)
  const { code, out } = await run(['doctor', '--json'], parts)
  t.equal(code, 0)
  t.strictSame(
    (JSON.parse(out) as { level: string; about: string; text: string }[])
      .map(({ level, about, text }) => `${level.padEnd(5)} ${about}: ${text}`)
      .join('\n'),
    good.out
  )
  t.notMatch(good.out, SECRET)
  const fresh = createFolder()
  t.match(await fresh.run(['doctor']), {
    code: 1,
    out: /^fail {2}schema: pending: create the table "user"; run `npx fastify-users migrate`$/m
  })
  t.notOk(existsSync(fresh.file), 'doctor creates no database file')
  t.ok(existsSync(file))
  chmodSync(file, 0o644)
  t.match(await run(['doctor'], parts), {
    code: 0,
    out: /^warn {2}database: the database file .* can be read or written by every account of this machine; run `chmod o= /m
  })
})

t.test('doctor reports missing columns and indexes, and columns that are too narrow', async (t) => {
  const { run, file } = createFolder()
  await run(['migrate'])
  const database = new Database(file)
  database.exec(`DROP INDEX ix_user_email_lower; DROP INDEX ix_accesstoken_user_id; ALTER TABLE accesstoken DROP COLUMN session_stamp;
    DROP TABLE user; CREATE TABLE user (id CHAR(36) PRIMARY KEY, email VARCHAR(320), hashed_password VARCHAR(72), is_active BOOLEAN, is_superuser BOOLEAN, is_verified BOOLEAN, session_stamp VARCHAR(64));
    CREATE UNIQUE INDEX ix_user_email ON user (email); INSERT INTO user (id, email) VALUES ('1', 'a@b.example')`)
  database.close()
  const report = await run(['doctor'], { fields: '{ nick: Type.Optional(Type.String()) }' })
  t.equal(report.code, 1)
  t.strictSame(problemLines(report), [
    'fail  schema: pending: table "user": widen "hashed_password" to VARCHAR(1024); run `npx fastify-users migrate`',
    'fail  schema: pending: table "user": add the column "nick" (TEXT, nullable); run `npx fastify-users migrate`',
    'warn  schema: pending: table "user": add the unique index "ix_user_email_lower" on lower(email); run `npx fastify-users migrate`',
    'fail  schema: pending: table "accesstoken": add the column "session_stamp" (VARCHAR(64), nullable); run `npx fastify-users migrate`',
    'warn  schema: pending: table "accesstoken": add the index "ix_accesstoken_user_id" on user_id; run `npx fastify-users migrate`'
  ])
  t.match(await run(['doctor'], { fields: '{ must: Type.String() }' }), {
    code: 1,
    out: /^fail {2}schema: table "user" lacks "must" and has rows: give the field a default/m
  })
})

t.test('doctor reports cookies that browsers drop or send without TLS, and doubtful trusted origins', async (t) => {
  const { run } = createFolder()
  await run(['migrate'])
  const cases: [ConfigParts, RegExp[]][] = [
    [
      { backends: cookieBackends(''), more: 'publicUrl: undefined' },
      [/^warn {2}publicUrl: is not set/, /^warn {2}backend cookie: publicUrl is not set/]
    ],
    [
      { backends: cookieBackends(''), more: "publicUrl: 'http://app.camelot.bt'" },
      [
        /^fail {2}publicUrl: is http:\/\/app\.camelot\.bt, so passwords and tokens travel in plain text/,
        /^fail {2}backend cookie: the cookie "__Host-users-cookie" is Secure but publicUrl is http:\/\/app\.camelot\.bt/
      ]
    ],
    ...['localhost:3000', '127.0.0.1', '[::1]:80', 'app.localhost'].map((host): [ConfigParts, RegExp[]] => [
      { backends: cookieBackends(''), more: `publicUrl: 'http://${host}'` },
      []
    ]),
    [
      { backends: cookieBackends('{ secure: false }'), more: URL_OPTION },
      [/^warn {2}backend cookie: the cookie "users-cookie" is not Secure/]
    ],
    [{ backends: cookieBackends("{ domain: 'camelot.bt' }"), more: URL_OPTION }, []],
    [{ backends: cookieBackends("{ domain: '.app.camelot.bt' }"), more: URL_OPTION }, []],
    [
      { backends: cookieBackends("{ domain: 'amelot.bt' }"), more: URL_OPTION },
      [/^fail {2}backend cookie: the cookie "users-cookie" is for the domain amelot\.bt/]
    ],
    [{ backends: cookieBackends("{ name: '__Host-x' }"), more: URL_OPTION }, []],
    [{ backends: cookieBackends(''), more: `${URL_OPTION}, trustedOrigins: ['https://www.camelot.bt']` }, []],
    [
      {
        backends: cookieBackends(''),
        more: `${URL_OPTION}, trustedOrigins: ['https://app.camelot.bt', 'http://www.camelot.bt', 'http://localhost:5173', 'https://other.example']`
      },
      [
        /^warn {2}trustedOrigins: https:\/\/app\.camelot\.bt is the origin of publicUrl/,
        /^warn {2}trustedOrigins: http:\/\/www\.camelot\.bt is not https/,
        /^warn {2}trustedOrigins: http:\/\/localhost:5173 can be any program on a visitor's machine/,
        /^warn {2}trustedOrigins: http:\/\/localhost:5173 looks like another site/,
        /^warn {2}trustedOrigins: https:\/\/other\.example looks like another site than https:\/\/app\.camelot\.bt, so browsers do not send "__Host-users-cookie" from there/
      ]
    ],
    [
      {
        backends: cookieBackends("{ sameSite: 'none' }"),
        more: `${URL_OPTION}, trustedOrigins: ['https://other.example']`
      },
      []
    ],
    [
      {
        backends: cookieBackends("{ sameSite: 'none' }"),
        more: `${URL_OPTION}, trustedOrigins: ['capacitor://localhost', 'com.example.app://main']`
      },
      []
    ],
    [
      {
        backends: cookieBackends("{ sameSite: 'none' }"),
        more: `${URL_OPTION}, trustedOrigins: ['http://127.0.0.1:*']`
      },
      [/^warn {2}trustedOrigins: http:\/\/127\.0\.0\.1:\* can be any program on a visitor's machine/]
    ],
    [
      { more: `${URL_OPTION}, trustedOrigins: ['https://other.example']` },
      [/^warn {2}trustedOrigins: no backend uses cookies/]
    ],
    [
      {
        more: 'secret: [process.env.USERS_SECRET, process.env.USERS_SECRET], tokens: { reset: { secret: process.env.USERS_SECRET } }'
      },
      [
        /^warn {2}secret: the list contains a secret twice/,
        /^warn {2}secret: tokens\.reset\.secret equals the plugin's secret/,
        /^warn {2}secret: 1 of 2 secrets only verify; remove them when their time has passed/
      ]
    ],
    [
      {
        more: "secret: [process.env.USERS_SECRET, 'another-V2hhdCBpcyB5b3VyIHF1ZXN0PyBUbyBzZWVr'], tokens: { verify: { secret: 'third-V2hhdCBpcyB5b3VyIHF1ZXN0PyBUbyBzZWVrIHRo' } }"
      },
      [/^warn {2}secret: 1 of 2 secrets only verify/]
    ]
  ]
  for (const [parts, patterns] of cases) {
    const report = await run(['doctor'], parts)
    const lines = problemLines(report)
    t.equal(report.code, lines.some((line) => line.startsWith('fail')) ? 1 : 0)
    t.equal(lines.length, patterns.length, `${JSON.stringify(parts)}: ${lines.join('\n')}`)
    for (const [position, pattern] of patterns.entries()) t.match(lines[position], pattern)
  }
})

t.test('doctor reports proxy settings with which clients choose their IP address, or share one', async (t) => {
  const { run } = createFolder()
  await run(['migrate'])
  const cases: [server: string, problem: RegExp | null][] = [
    ['', /^warn {2}trustProxy: is not known; export the options of Fastify\(\)/],
    ['null', /^warn {2}trustProxy: is not known/],
    ['{ trustProxy: true }', /^fail {2}trustProxy: is true, so every client chooses the IP address/],
    ['{}', /^warn {2}trustProxy: is off, but publicUrl is https and Fastify serves http/],
    ['{ https: {} }', null],
    ["{ trustProxy: '10.0.0.1' }", null],
    ['{ trustProxy: 1 }', null]
  ]
  for (const [server, problem] of cases) {
    const report = await run(['doctor'], { more: URL_OPTION, server })
    t.match(problemLines(report), problem === null ? [] : [problem], server)
    t.equal(problemLines(report).length, problem === null ? 0 : 1)
  }
  const plain = await run(['doctor'], { more: "publicUrl: 'http://localhost:3000'", server: '{}' })
  t.strictSame(problemLines(plain), [])
})

t.test('doctor reports mails that are only printed', async (t) => {
  const { run } = createFolder()
  await run(['migrate'])
  const cases: [mail: string, line: RegExp][] = [
    ["'console'", /^warn {2}mail: prints mails and sends none/m],
    ["{ send: 'console' }", /^warn {2}mail: prints mails and sends none/m],
    ["{ send: async () => {}, from: 'a@camelot.bt' }", /^ok {4}mail: is sent by a function of the config$/m]
  ]
  for (const [mail, line] of cases) t.match((await run(['doctor'], { more: `mail: ${mail}` })).out, line, mail)
})

t.test('doctor reports keys that a finished rotation has left behind', async (t) => {
  const { run } = createFolder()
  await run(['migrate'])
  const [k1, k2] = [createPair(), createPair()]
  const other = JSON.stringify(randomBytes(32).toString('base64url'))
  const keyOf = (kid: string, parts: object): string => JSON.stringify({ kid, algorithm: 'EdDSA', ...parts })
  const cases: [keys: string, lines: string[]][] = [
    [keyOf('k1', { privateKey: k1.privateKey }), []],
    [
      `${keyOf('k1', { privateKey: k1.privateKey })}, ${keyOf('k2', { publicKey: k2.publicKey })}`,
      ['ok    backend jwt: the key "k2" only verifies; remove it when the last token that it signed has expired']
    ],
    [
      `${keyOf('k1', { privateKey: k1.privateKey })}, ${keyOf('k2', { privateKey: k2.privateKey })}`,
      ['warn  backend jwt: the key "k2" does not sign, but its private part is configured; keep only publicKey']
    ],
    [`${keyOf('k1', { privateKey: k1.privateKey })}, { kid: 'k2', secret: ${other} }`, []]
  ]
  for (const [keys, lines] of cases) {
    const strategy = `jwtStrategy({ lifetimeSeconds: 60, keys: [${keys}] })`
    const backends = `[{ name: 'jwt', transport: bearerTransport(), strategy: ${strategy} }]`
    const { out } = await run(['doctor'], { backends })
    t.strictSame(out.split('\n').filter((line) => line.includes('the key "')), lines)
    t.notMatch(out, /PRIVATE/)
  }
})

t.test('CFG-10: doctor reports packages with known weaknesses', async (t) => {
  const folder = t.testdir()
  const install = (name: string, version: string): void => {
    mkdirSync(join(folder, 'node_modules', name), { recursive: true })
    writeFileSync(join(folder, 'node_modules', name, 'package.json'), JSON.stringify({ name, version }))
  }
  const textsFor = (below: string): string[] => checkPackages(join(folder, below)).map(({ level, text }) => `${level} ${text}`)
  for (const { name, minimum } of RISKY_PACKAGES) install(name, minimum)
  t.match(textsFor('deep/inside'), [/^ok no package/])
  for (const { name, minimum, affected = [], advisory } of RISKY_PACKAGES) {
    for (const version of ['0.0.1', `${minimum}-rc.1`, ...affected]) {
      install(name, version)
      const text = `fail ${name} ${version} has a known weakness (${advisory}); update it to ${minimum} or a later version`
      t.strictSame(textsFor('.'), [text])
    }
    install(name, `${minimum}0`)
    t.match(textsFor('.'), [/^ok/], `${name} ${minimum}0`)
  }
  t.strictSame(
    ['5.8.2', '5.8.3', '5.10.0', '6.0.0', '4.99.99', '5.8.3-beta', '5.8', '5'].map((text) => isAtLeast(text, '5.8.3')),
    [false, true, true, true, false, false, false, false]
  )
})

function createPair (): { privateKey: string, publicKey: string } {
  return generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' }
  })
}

t.test('doctor reports invalid options and config files in one line each', async (t) => {
  const { run, folder } = createFolder()
  const cases: [ConfigParts, RegExp][] = [
    [
      { more: "secret: 'hunter2'" },
      /^fail {2}config: config-\d+\.js cannot be used: Option secret: has less than 32 bytes; create one with `openssl rand -base64 48`$/
    ],
    [
      { more: "secret: 'change-me-change-me-change-me-change-me'" },
      /^fail {2}config: .*Option secret: is a (?:placeholder|repeated pattern)/
    ],
    [
      { backends: cookieBackends("{ name: '__Host-x', domain: 'camelot.bt' }") },
      /^fail {2}config: .*__Host-, which needs `secure: true`, the path \/ and no domain$/
    ],
    [
      { more: "compatibility: { cookieName: '__Host-x' }", backends: cookieBackends("{ domain: 'camelot.bt' }") },
      /^fail {2}config: .*__Host-, which needs `secure: true`, the path \/ and no domain$/
    ],
    [{ rest: "throw new Error('no\\nstack')" }, /^fail {2}config: .*cannot be used: no$/]
  ]
  for (const [parts, out] of cases) {
    const report = await run(['doctor'], parts)
    t.match(report, { code: 1, out, err: '' })
    t.notMatch(report.out, /hunter2|\n/)
  }
  t.match(await runIn(folder, ['doctor', '--config', 'nothing.js', '--json']), { code: 2, out: /"level": "fail"/ })
  mkdirSync(join(folder, 'commonjs'))
  writeFileSync(join(folder, 'commonjs/package.json'), '{ "type": "commonjs" }')
  for (const [index, text] of ["import 'pg'\nexport default {}", 'export default {}'].entries()) {
    writeFileSync(join(folder, `commonjs/${index}.js`), text)
    t.match(await runIn(folder, ['doctor', '--config', `commonjs/${index}.js`]), {
      code: 1,
      out: /Node\.js reads it as CommonJS; set "type": "module" in its package\.json/
    })
  }
  writeFileSync(join(folder, 'empty.js'), '')
  t.match(await runIn(folder, ['doctor', '--config', 'empty.js']), {
    code: 1,
    out: /^fail {2}config: empty\.js needs an object as its default export/
  })
})

t.test('doctor reports a store that does not answer before a time limit, and prints no passwords', async (t) => {
  const { run } = createFolder()
  const silent = createServer() // accepts connections and never sends data
  const sockets = new Set<Socket>()
  silent.on('connection', (socket) => {
    sockets.add(socket.on('error', () => {}))
  })
  await new Promise<void>((resolve) => {
    silent.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    silent.close()
  })
  const { port } = silent.address() as AddressInfo
  const redis = (url: string): string =>
    `[{ name: 'redis', transport: bearerTransport(), strategy: redisStrategy({ lifetimeSeconds: 60, timeoutMs: 300, client: new Redis('${url}', { retryStrategy: () => null, connectTimeout: 300 }).on('error', () => {}) }) }]`
  const reports = await Promise.all([
    run(['doctor'], {
      adapter: "postgres(new pg.Pool({ connectionString: 'postgres://postgres:hunter2@127.0.0.1:1/test' }))"
    }),
    run(['doctor'], {
      adapter: `postgres(new pg.Pool({ connectionString: 'postgres://postgres:hunter2@127.0.0.1:${port}/test' }))`,
      backends: redis(`redis://:hunter2@127.0.0.1:${port}`)
    }),
    run(['doctor'], { adapter: 'memory()', backends: redis('redis://127.0.0.1:1') })
  ])
  const [refused, unanswered, redisRefused] = reports.map(problemLines)
  t.match(refused, [
    /^fail {2}database: the store does not answer: .*ECONNREFUSED.*; start the database, or correct the adapter$/,
    /^warn {2}limits: are counted in the memory of each process/
  ])
  t.match(unanswered, [
    /^fail {2}database: the store does not answer; start the database/,
    /^warn {2}limits: are counted in the memory of each process/,
    /^fail {2}backend redis: the store does not answer/
  ])
  t.match(
    redisRefused,
    [/^warn {2}database: this adapter has no schema/, /^fail {2}backend redis: the store does not answer/]
  )
  t.strictSame(
    reports.map(({ code }) => code),
    [1, 1, 1]
  )
  t.notMatch(JSON.stringify(reports), /hunter2|\n +at /)
})

t.test('doctor reports a difference between the clocks of the database and of this machine', async (t) => {
  const schemaWith = (offset: number): StoreSchema => ({
    creation: async () => ({ steps: [], problems: [] }),
    plan: async () => ({ steps: [], problems: [] }),
    apply: async () => ({ steps: [], problems: [] }),
    now: async () => Date.now() + offset
  })
  for (const [offset, expected] of [
    [0, /^ok: the database has the same time/],
    [-20_000, /^warn: the clocks of this machine and the database differ by 20 seconds/],
    [3_600_000, /^fail: .* differ by 3600 seconds; synchronize both with NTP/]
  ] as const) {
    const findings = await checkStore(schemaWith(offset), [])
    t.match(
      findings.filter(({ about }) => about === 'clock').map(({ level, text }) => `${level}: ${text}`),
      [expected]
    )
  }
})

t.test('doctor checks PostgreSQL and Redis', service, async (t) => {
  const { schema, drop } = await makeSchema()
  const pool = new pg.Pool(configOf(schema))
  t.teardown(async () => {
    await pool.end()
    await drop()
  })
  const { run, start } = createFolder()
  const adapter = `postgres(new pg.Pool({ connectionString: ${JSON.stringify(postgresUrl)}, options: '-c search_path=${schema}' }))`
  t.match(problemLines(await run(['doctor'], { adapter })), [
    /^fail {2}schema: pending: create the table "user"/,
    /"accesstoken"/
  ])
  t.strictSame((await pool.query('SELECT 1 FROM pg_tables WHERE schemaname = $1', [schema])).rowCount, 0)
  await run(['migrate'], { adapter })
  const backends = `[{ name: 'redis', transport: bearerTransport(), strategy: redisStrategy({ lifetimeSeconds: 60, client: new Redis('${redisUrl}') }) }]`
  const report = await start(['doctor'], { adapter, backends }).outcome
  t.match(report, { code: 0, err: '' })
  t.match(report.out, /^ok {4}clock: the database has the same time as this machine$/m)
  t.match(report.out, /^ok {4}backend redis: can check tokens$/m)
})

t.test('an uncaught error of a client in the config file is printed as one line, and the exit code is 1', async (t) => {
  const { start } = createFolder()
  const rest =
    "setTimeout(() => { throw new Error('connection lost\\nsecond line') }, 0); await new Promise((resolve) => { setTimeout(resolve, 5000) })"
  t.strictSame(await start(['doctor'], { rest }).outcome, { code: 1, out: '', err: 'fastify-users: connection lost\n' })
})

t.test('doctor warns if the limits are off, or if several processes would count separately', async (t) => {
  const { run } = createFolder()
  await run(['migrate'])
  const limitsOf = async (parts: Parameters<typeof run>[1]): Promise<string[]> =>
    (await run(['doctor'], parts)).out.split('\n').filter((line) => line.includes(' limits: '))
  t.match(await limitsOf({ more: 'limits: false' }), [/^warn {2}limits: are off/])
  t.match(await limitsOf({ more: "limits: { store: 'database' }" }), [/^ok {4}limits: .* in the database$/])
  const adapter = "postgres(new pg.Pool({ connectionString: 'postgres://postgres@127.0.0.1:1/test' }))"
  t.match(await limitsOf({ adapter }), [/^warn {2}limits: are counted in the memory of each process/])
})
