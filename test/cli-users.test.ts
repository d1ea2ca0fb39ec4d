import { writeFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Database from 'better-sqlite3'
import Fastify, { type FastifyInstance } from 'fastify'
import pg from 'pg'
import t, { type Test } from 'tap'
import { secretInput } from '../lib/cli/secret-input.js'
import users, { argon2Passwords, bearerTransport, databaseStrategy } from '../lib/index.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { SECRET } from './helpers/build-app.js'
import {
  buildProgram,
  createCommandFolder,
  entryOf,
  library,
  rowsOf,
  runIn,
  type CommandFolder,
  type Outcome
} from './helpers/command-line.js'
import { root } from './helpers/root.js'
import { configOf, makeSchema, needsPostgres, postgresUrl } from './helpers/postgres.js'

const service = await needsPostgres()
const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
const createFolder = (): CommandFolder => createCommandFolder(testFolder, program)
process.env['USERS_SECRET'] = SECRET

const EMAIL = 'merlin@camelot.bt'
const PASSWORD = 'broceliande-9'
const CREATE = ['create-superuser', '--email', EMAIL]
const USERS = 'SELECT email, is_active, is_superuser, is_verified FROM user ORDER BY email'

t.test('row 86: create-superuser reads a piped password and creates a user who can log in', async (t) => {
  const { file, start } = createFolder()
  const outcome = await start(CREATE, {}, { input: `${PASSWORD}\r\nsecond line\n` }).outcome
  t.match(
    outcome,
    { code: 0, out: /^Created the superuser merlin@camelot\.bt with the id [0-9a-f-]{36}\.\n$/, err: '' }
  )
  t.strictSame(rowsOf(file, USERS), [[EMAIL, 1, 1, 1]])
  t.notMatch(JSON.stringify(outcome), PASSWORD)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(users, {
    adapter: sqlite(file),
    secret: SECRET,
    passwords: argon2Passwords({ memoryCost: 8, timeCost: 1, insecureFastHashing: true }),
    limits: false,
    backends: [{ name: 'database', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }]
  })
  const login = await app.inject({
    method: 'POST',
    url: '/auth/database/login',
    payload: { username: EMAIL, password: PASSWORD }
  })
  t.equal(login.statusCode, 200)
})

t.test('create-superuser requires a password on standard input, and refuses one in its arguments', async (t) => {
  const { start, run, file } = createFolder()
  await run(['migrate'])
  t.match(await start(CREATE).outcome, { code: 1, out: '', err: /no password was piped in/ })
  t.match(await start(CREATE, {}, { input: '\n' }).outcome, { code: 1, out: '', err: /no password was piped in/ })
  t.match(await start(CREATE, {}, { input: Buffer.from([0xff, 0xfe, 0x0a]) }).outcome, {
    code: 1,
    out: '',
    err: /not valid for encoding utf-8/
  })
  t.match(await start(CREATE, {}, { input: 'a'.repeat(20_000) }).outcome, {
    code: 1,
    out: '',
    err: /FST_USERS_INVALID_USER|FST_USERS_REGISTER_INVALID_PASSWORD/
  })
  const given = await run([...CREATE, `--password=${PASSWORD}`])
  t.match(given, { code: 2, out: '', err: /--password/ })
  t.notMatch(given.err, PASSWORD)
  t.strictSame(rowsOf(file, USERS), [])
})

t.test('create-superuser asks twice for the password on a terminal', async (t) => {
  const { run, file } = createFolder()
  t.match(await run(CREATE, {}, { interactive: true }), { code: 1, err: 'fastify-users: no password was entered' })
  t.match(await run(CREATE, {}, { interactive: true, lines: [PASSWORD, 'other'] }), {
    code: 1,
    err: 'fastify-users: the two passwords differ'
  })
  t.match(await run(CREATE, {}, { interactive: true, lines: [PASSWORD, PASSWORD] }), { code: 0 })
  t.strictSame(rowsOf(file, USERS), [[EMAIL, 1, 1, 1]])
})

t.test('create-superuser checks the password policy, the fields, and that the e-mail is free', async (t) => {
  const { run, file } = createFolder()
  const fields =
    '{ display_name: Type.String({ maxLength: 10 }), credits: Type.Integer({ default: 3 }), note: Type.Optional(Type.String()) }'
  const lines = [PASSWORD]
  const set = ['--set', 'display_name=Merlin = 1']
  t.match(await run([...CREATE, ...set], { fields }, { lines: ['short'] }), {
    code: 1,
    err: /refused\. .*\(FST_USERS_REGISTER_INVALID_PASSWORD\)$/
  })
  t.match(await run([...CREATE, ...set], { fields }, { lines: [EMAIL] }), {
    code: 1,
    err: /FST_USERS_REGISTER_INVALID_PASSWORD/
  })
  t.match(await run(CREATE, { fields }, { lines }), {
    code: 1,
    err: /\/display_name is missing \(FST_USERS_INVALID_USER\)$/
  })
  t.match(await run([...CREATE, '--set', 'display_name=much too long a name'], { fields }, { lines }), {
    code: 1,
    err: /display_name.*\(FST_USERS_INVALID_USER\)$/
  })
  t.match(await run(['create-superuser', '--email', 'nobody'], {}, { lines }), {
    code: 1,
    err: /\(FST_USERS_[A-Z_]+\)$/
  })
  for (const wrong of ['colour=red', 'display_name', '=x', 'is_superuser=true']) {
    t.match(await run([...CREATE, '--set', wrong], { fields }), {
      code: 2,
      out: '',
      err: /FIELD=VALUE with one of the fields display_name, credits, note$/
    })
  }
  t.match(await run([...CREATE, '--set', 'x=1']), { code: 2, err: /there are no custom fields$/ })
  t.match(await run([...CREATE, '--set', 'credits=many'], { fields }), {
    code: 2,
    err: /--set credits: the value is not valid JSON$/
  })
  t.match(await run(['create-superuser']), { code: 2, err: /needs --email/ })
  t.match(await run([...CREATE, '--promote', ...set], { fields }), { code: 2, err: /remove --set/ })

  t.match(await run([...CREATE, ...set, '--set', 'credits=7'], { fields }, { lines }), { code: 0 })
  t.strictSame(rowsOf(file, 'SELECT display_name, credits, note FROM user'), [['Merlin = 1', 7, null]])
  t.match(await run(['create-superuser', '--email', 'MERLIN@camelot.bt', ...set], { fields }, { lines }), {
    code: 1,
    err: /already exists; use --promote to make it a superuser$/
  })
  t.equal(rowsOf(file, USERS).length, 1)
})

t.test('create-superuser runs the hooks of the application, and an error in a hook stops it', async (t) => {
  const { run, file } = createFolder()
  const refusingHooks = "hooks: { onBeforeRegister () { throw new Error('knights only') } }"
  t.match(
    await run(CREATE, { more: refusingHooks }, { lines: [PASSWORD] }),
    { code: 1, err: 'fastify-users: knights only' }
  )
  t.strictSame(rowsOf(file, USERS), [])
  const recordingHooks = 'hooks: { onAfterRegister ({ user }, { request }) { globalThis.registered = [user.email, request] } }'
  t.match(await run(CREATE, { more: recordingHooks }, { lines: [PASSWORD] }), { code: 0 })
  t.strictSame((globalThis as { registered?: unknown }).registered, [EMAIL, null])
})

/** Starts an application on the database file. It is closed after the test. */
async function startApplication (t: Test, file: string): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(users, {
    adapter: sqlite(file),
    secret: SECRET,
    passwords: argon2Passwords({ memoryCost: 8, timeCost: 1, insecureFastHashing: true }),
    limits: false,
    backends: [{ name: 'database', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }]
  })
  await app.ready()
  return app
}

t.test('--promote makes a verified user a superuser and reads no password', async (t) => {
  const { run, file } = createFolder()
  t.match(await run([...CREATE, '--promote']), {
    code: 1,
    out: '',
    err: 'fastify-users: there is no user merlin@camelot.bt'
  })
  const app = await startApplication(t, file)
  await app.users.create({ email: EMAIL, password: PASSWORD, is_active: false, is_verified: true })
  const [hash] = rowsOf(file, 'SELECT hashed_password FROM user')
  t.match(await run([...CREATE, '--promote']), {
    code: 0,
    out: 'merlin@camelot.bt is a superuser now.\nThe user is not active and cannot log in until is_active is true.'
  })
  t.match(await run([...CREATE, '--promote']), { code: 0, out: /^merlin@camelot\.bt is already a superuser\.\n/ })
  t.strictSame(rowsOf(file, USERS), [[EMAIL, 0, 1, 1]])
  t.strictSame(rowsOf(file, 'SELECT hashed_password FROM user'), [hash])
})

t.test(
  'REG-04: --promote of an unverified user requires a new password and ends all earlier sessions',
  async (t) => {
    const { run, start, file } = createFolder()
    await run(['migrate'])
    const app = await startApplication(t, file)
    const login = async (password: string): Promise<number> =>
      (await app.inject({ method: 'POST', url: '/auth/database/login', payload: { username: EMAIL, password } }))
        .statusCode
    for (const isSuperuser of [false, true]) {
      const user = await app.users.create({ email: EMAIL, password: PASSWORD, is_superuser: isSuperuser })
      const { issued } = await app.users.login(user, { backend: 'database' })
      const me = async (): Promise<number> =>
        (await app.inject({ url: '/users/me', headers: { authorization: `Bearer ${issued?.token ?? ''}` } })).statusCode
      const before = rowsOf(file, 'SELECT * FROM user')
      t.match(await start([...CREATE, '--promote']).outcome, {
        code: 1,
        out: '',
        err: /merlin@camelot\.bt is not verified.* needs a new password: no password was piped in/
      })
      t.match(await run([...CREATE, '--promote'], {}, { interactive: true, lines: ['excalibur-1', 'excalibur-2'] }), {
        code: 1,
        err: /needs a new password: the two passwords differ$/
      })
      t.match(await run([...CREATE, '--promote'], {}, { lines: ['short'] }), {
        code: 1,
        err: /FST_USERS_UPDATE_USER_INVALID_PASSWORD/
      })
      t.strictSame(rowsOf(file, 'SELECT * FROM user'), before)
      t.equal(await me(), 200)

      t.match(await run([...CREATE, '--promote'], {}, { lines: ['excalibur-1'] }), {
        code: 0,
        out: 'merlin@camelot.bt is a superuser now.'
      })
      t.strictSame(
        rowsOf(file, USERS).filter(([email]) => email === EMAIL),
        [[EMAIL, 1, 1, 1]]
      )
      t.strictSame([await me(), await login(PASSWORD), await login('excalibur-1')], [401, 400, 200])
      await app.users.create({
        email: `next-${String(isSuperuser)}@camelot.bt`,
        password: PASSWORD,
        is_superuser: true
      })
      await app.users.delete(user)
    }
  }
)

t.test(
  '--promote of an unverified user deletes all linked accounts, even those with a verified e-mail',
  async (t) => {
    const { run, file } = createFolder()
    const rest = `import { oauth, google } from '${library.replace('index', 'features/oauth/index')}'
    function listFeatures () { return [oauth({ providers: [google({ clientId: 'id', clientSecret: 'secret' })], publicUrl: 'https://camelot.example' })] }`
    await run(['migrate'], { rest })
    const app = await startApplication(t, file)
    const { id } = await app.users.create({ email: EMAIL, password: PASSWORD })
    const database = new Database(file)
    for (const [key, emailVerified] of [
      ['a', 0],
      ['b', 1]
    ]) {
      database.exec(
        `INSERT INTO oauth_account (id, user_id, oauth_name, access_token, account_id, account_email, email_verified) VALUES ('05fff8ce-3a06-48f2-9c44-a1675101246${String(key)}', '${id}', 'google', '', '${String(key)}', '${EMAIL}', ${String(emailVerified)})`
      )
    }
    database.close()
    t.match(await run([...CREATE, '--promote'], { rest }, { lines: ['excalibur-1'] }), { code: 0 })
    t.strictSame(rowsOf(file, 'SELECT id FROM oauth_account'), [])
  }
)

t.test(
  'PostgreSQL: of two parallel commands for the same e-mail, one creates the superuser and one is refused',
  service,
  async (t) => {
    const { schema, drop } = await makeSchema()
    const pool = new pg.Pool(configOf(schema))
    t.teardown(async () => {
      await pool.end()
      await drop()
    })
    const { run, start } = createFolder()
    const adapter = `postgres(new pg.Pool({ connectionString: ${JSON.stringify(postgresUrl)}, options: '-c search_path=${schema}' }))`
    await run(['migrate'], { adapter })
    const outcomes = await Promise.all([0, 1].map(() => start(CREATE, { adapter }, { input: `${PASSWORD}\n` }).outcome))
    t.strictSame(outcomes.map(({ code }) => code).sort(), [0, 1])
    t.match(outcomes.find(({ code }) => code === 1)?.err, /already exists|FST_USERS_REGISTER_USER_ALREADY_EXISTS/)
    t.equal((await pool.query('SELECT 1 FROM "user" WHERE is_superuser')).rowCount, 1)
  }
)

t.test('a secret is read without echo from a terminal, and as the first line from a pipe', async (t) => {
  const terminal = (keys: string): { read: Promise<string | null>; shown: () => string } => {
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => input })
    const output = new PassThrough()
    const { interactive, readSecret } = secretInput(input as unknown as NodeJS.ReadStream, output)
    t.equal(interactive, true)
    const read = readSecret('Password: ')
    input.write(keys)
    return { read, shown: () => String(output.read()) }
  }
  const typed = terminal('ab\u007fc\r')
  t.equal(await typed.read, 'ac')
  t.equal(typed.shown(), 'Password: \n')
  t.equal(await terminal('secret\u0003').read, null, 'Ctrl-C')
  t.equal(await terminal('\u0004').read, null, 'Ctrl-D')
  const pipe = (...chunks: Uint8Array[]): Promise<string | null> => {
    const input = new PassThrough()
    for (const chunk of chunks) input.write(chunk)
    input.end()
    const { interactive, readSecret } = secretInput(input as unknown as NodeJS.ReadStream, new PassThrough())
    t.equal(interactive, false)
    return readSecret('Password: ')
  }
  const euro = Buffer.from('€')
  t.equal(await pipe(euro.subarray(0, 1), euro.subarray(1), Buffer.from('\nmore')), '€')
  t.equal(await pipe(Buffer.from('no newline')), 'no newline')
  t.equal(await pipe(), null)
  await t.rejects(pipe(Buffer.from([0xff])), TypeError)
})

const TOKENS = 'SELECT token FROM accesstoken ORDER BY token'

t.test('prune deletes all expired tokens, even more than one batch, and keeps the others', async (t) => {
  const { run, file } = createFolder()
  await run(CREATE, {}, { lines: [PASSWORD] })
  const database = new Database(file)
  const add = (count: number, name: string, when: string): void => {
    database.exec(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) INSERT INTO accesstoken SELECT '${name}' || i, (SELECT id FROM user), strftime('%Y-%m-%d %H:%M:%f000', 'now', '${when}'), NULL, NULL, NULL, NULL, NULL FROM n`
    )
  }
  add(2500, 'old', '-2 hours')
  add(3, 'new', '-1 minute')
  t.strictSame(await run(['prune']), { code: 0, out: 'backend database: expired tokens removed: 2500', err: '' })
  t.strictSame(rowsOf(file, TOKENS), [['new1'], ['new2'], ['new3']])
  t.strictSame(await run(['prune']), { code: 0, out: 'backend database: expired tokens removed: 0', err: '' })
  database.close()
  const jwt = "[{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }]"
  t.strictSame(await run(['prune'], { backends: jwt }), {
    code: 0,
    out: 'Nothing to prune: this application stores nothing that expires.',
    err: ''
  })
})

t.test('prune reports in one line why a store does not answer', async (t) => {
  const { run } = createFolder()
  t.match(
    await run(['prune'], {
      adapter: "postgres(new pg.Pool({ connectionString: 'postgres://postgres@127.0.0.1:1/test' }))"
    }),
    { code: 1, out: '', err: /^fastify-users: the store does not answer: connect ECONNREFUSED 127\.0\.0\.1:1$/ }
  )
})

t.test('prune deletes the expired rows of each model that has `expires`', async (t) => {
  const { run, file } = createFolder()
  const model =
    "{ name: 'ticket', table: 'ticket', fields: { id: { type: 'text', maxLength: 20 }, ends_at: { type: 'time' } }, expires: 'ends_at' }"
  const strategy = `defineStrategy({ name: 'tickets', models: () => [${model}], setup () { return { readToken: () => null, writeToken: () => ({ token: 'x', lifetimeSeconds: 1 }) } } })`
  const parts = { backends: `[{ name: 'ticket', transport: bearerTransport(), strategy: ${strategy} }]` }
  t.match(await run(['migrate'], parts), { code: 0, out: /create the table "ticket"/ })
  const database = new Database(file)
  database.exec(
    "INSERT INTO ticket VALUES ('a', '2026-01-01 00:00:00.000000'), ('b', '2026-01-02 00:00:00.000000'), ('c', '9000-01-01 00:00:00.000000')"
  )
  database.close()
  t.strictSame(await run(['prune'], parts), { code: 0, out: 'ticket: expired rows removed: 2', err: '' })
  t.strictSame(rowsOf(file, 'SELECT id FROM ticket'), [['c']])
})

t.test('prune keeps a token until the longest lifetime of the backends of its table has passed', async (t) => {
  const { run, file } = createFolder()
  const parts = {
    backends:
      "[['short', 60], ['long', 86400]].map(([name, lifetimeSeconds]) => ({ name, transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds }) }))"
  }
  await run(CREATE, parts, { lines: [PASSWORD] })
  const database = new Database(file)
  for (const [name, when] of [
    ['long', '-1 hour'],
    ['old', '-2 days']
  ]) {
    database.exec(
      `INSERT INTO accesstoken SELECT '${name}', id, strftime('%Y-%m-%d %H:%M:%f000', 'now', '${when}'), NULL, NULL, NULL, NULL, NULL FROM user`
    )
  }
  database.close()
  t.strictSame(await run(['prune'], parts), {
    code: 0,
    out: 'backend short: expired tokens removed: 1\nbackend long: expired tokens removed: 0',
    err: ''
  })
  t.strictSame(rowsOf(file, TOKENS), [['long']])
})

t.test('remove-second-factors removes the factors of a user, for example of the only superuser', async (t) => {
  const folder = t.testdir()
  const helper = pathToFileURL(join(root, 'dist/test/helpers/badge-feature.js')).href
  writeFileSync(join(folder, 'users.config.mjs'), `
    import { bearerTransport, jwtStrategy } from ${JSON.stringify(library)}
    import { sqlite } from ${JSON.stringify(entryOf(library, 'sqlite'))}
    import { badges } from ${JSON.stringify(helper)}
    export default {
      adapter: sqlite(${JSON.stringify(join(folder, 'users.db'))}),
      secret: ${JSON.stringify(SECRET)},
      backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy() }],
      features: [badges()]
    }`)
  const config = ['--config', 'users.config.mjs']
  const remove = (...args: string[]): Promise<Outcome> => runIn(folder, ['remove-second-factors', ...args, ...config])
  t.match(await runIn(folder, [...CREATE, ...config], { lines: [PASSWORD] }), { code: 0 })
  t.match(await remove(), { code: 2, err: /--email/ })
  t.match(await remove('--email', 'nobody@camelot.bt'), { code: 1, err: /no user nobody/ })
  t.match(await remove('--email', EMAIL), { code: 1, err: /has no second factor/ })
  const file = join(folder, 'users.db')
  const [[id] = []] = rowsOf(file, 'SELECT id FROM user')
  const database = new Database(file)
  database.prepare('INSERT INTO badge (user_id, number) VALUES (?, ?)').run(id, 'x')
  database.close()
  t.match(await remove('--email', EMAIL, '--name', 'totp'), { code: 1, err: /has no second factor totp/ })
  t.match(await remove('--email', EMAIL), { code: 0, out: `Removed 1 second factor of ${EMAIL}.` })
  t.strictSame(rowsOf(file, 'SELECT number FROM badge'), [])
})
