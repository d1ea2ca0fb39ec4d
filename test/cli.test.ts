import { createHmac } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Database from 'better-sqlite3'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { maskEmail } from '../lib/cli/migrate/row-problems.js'
import users, { type UsersOptions } from '../lib/index.js'
import { addRoutes, cookieOf } from './helpers/build-app.js'
import { buildPackage } from './helpers/build-package.js'
import { root } from './helpers/root.js'
import { entryOf, library, rowsOf, runIn, runNode, type Outcome } from './helpers/command-line.js'

interface Fixture {
  tokens_of_king_arthur: Record<'jwt' | 'db' | 'cookie', string>
  secrets: Record<string, string>
}

const fixture = JSON.parse(readFileSync(join(root, 'test/fixtures/fastapi-users.json'), 'utf8')) as Fixture
const testFolder = t.testdir()
const ARTHUR = '05fff8ce-3a06-48f2-9c44-a16751012464'
const LANCELOT = '71d36bdb-9c4e-40f1-9e4c-a8dc329a29d8'
/** A time at which the tokens of the fixture are valid. */
const FIXTURE_TIME = Date.parse('2026-11-21T04:00:00Z')
const MIGRATE_FROM = ['migrate', '--from', 'fastapi-users']

Object.assign(process.env, fixture.secrets, { USERS_SECRET: 'V2hhdCBpcyB5b3VyIHF1ZXN0PyBUbyBzZWVrIHRoZSBHcmFpbC4' })

/** Creates a folder with a copy of the database and a config file. Returns functions that work in it. */
function createFolder ({ change = '', config = {} }: { change?: string; config?: ConfigParts } = {}) {
  const folder = createEmptyFolder()
  const file = join(folder, 'users.sqlite')
  copyFileSync(join(root, 'test/fixtures/fastapi-users.sqlite'), file)
  const edit = (sql: string): void => {
    const database = new Database(file)
    database.pragma('foreign_keys = OFF')
    database.exec(sql)
    database.close()
  }
  edit(change)
  writeFileSync(join(folder, 'users.config.js'), configText(config))
  const run = (...args: string[]): Promise<Outcome> => runIn(folder, [...MIGRATE_FROM, ...args])
  return { folder, file, run, edit, rows: (sql: string) => rowsOf(file, sql) }
}

interface ConfigParts {
  from?: string
  adapter?: string
  backends?: string
  features?: string
  more?: string
}

const OAUTH =
  "[oauth({ publicUrl: 'https://app.example.com', backend: 'database', providers: [github({ clientId: 'id', clientSecret: 'secret' })] })]"

function oauthModule (from: string): string {
  return from === library ? library.replace('lib/index.js', 'lib/features/oauth/index.js') : `${from}/oauth`
}

function configText ({
  from = library,
  adapter = "sqlite(new URL('users.sqlite', import.meta.url).pathname)",
  backends = "[backend('database')]",
  features = OAUTH,
  more = ''
}: ConfigParts): string {
  return `
    import { github, oauth } from '${oauthModule(from)}'
    import Database from 'better-sqlite3'
    import { bearerTransport, databaseStrategy, integerId, jwtStrategy, userSchemas } from '${from}'
    import { memory } from '${entryOf(from, 'memory')}'
    import { sqlite } from '${entryOf(from, 'sqlite')}'
    const backend = (name) => ({ name, transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86400 }) })
    export default { adapter: ${adapter}, secret: process.env.USERS_SECRET, backends: ${backends}, features: ${features}, ${more} }`
}

/** Creates a new folder, because Node.js caches modules by their path. */
function createEmptyFolder (): string {
  return mkdtempSync(join(testFolder, 'place-'))
}

const SCHEMA = 'SELECT type, name, sql FROM sqlite_master ORDER BY rowid'
const ALL_ROWS = ['user', 'oauth_account', 'accesstoken'].map((table) => `SELECT * FROM ${table} ORDER BY 1`)

const ALL_CHANGES = [
  '  - table "user": add the column "session_stamp" (VARCHAR(64), nullable)',
  '  - table "user": add the unique index "ix_user_email_lower" on lower(email)',
  '  - table "accesstoken": add the column "session_stamp" (VARCHAR(64), nullable)',
  '  - table "accesstoken": add the column "session_id" (VARCHAR(64), nullable)',
  '  - table "accesstoken": add the column "authenticated_at" (TIMESTAMP, nullable)',
  '  - table "accesstoken": add the column "methods" (TEXT, nullable)',
  '  - table "accesstoken": add the column "details" (TEXT, nullable)',
  '  - table "accesstoken": add the index "ix_accesstoken_user_id" on user_id',
  '  - table "oauth_account": widen "access_token" to TEXT, "refresh_token" to TEXT',
  '  - table "oauth_account": add the column "email_verified" (BOOLEAN, nullable)',
  '  - table "oauth_account": add the unique index "ix_oauth_account_oauth_name_account_id" on oauth_name, account_id',
  '  - table "oauth_account": add the index "ix_oauth_account_user_id" on user_id'
].join('\n')

t.test('--help prints the usage, and --version prints the version', async (t) => {
  for (const flag of ['--help', '-h']) {
    t.match(await runIn('/', [flag]), {
      code: 0,
      out: /^Usage: fastify-users <command>[^]* migrate [^]*--version/,
      err: ''
    })
  }
  for (const flag of ['--version', '-v']) {
    t.match(await runIn('/', [flag]), {
      code: 0,
      out: (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
    })
  }
  t.match(await runIn('/', ['migrate', '--help']), { code: 0, out: /^Usage: fastify-users migrate [^]*--hash-tokens/ })
})

t.test('wrong usage exits with 2, prints the reason on stderr, and changes nothing', async (t) => {
  const { folder, file } = createFolder()
  const before = readFileSync(file)
  const calls: [string[], RegExp][] = [
    [[], /^Usage: /],
    [['migrat'], /Unknown command "migrat"/],
    [['migrate', '--from', 'devise'], /supports only fastapi-users, not "devise"$/],
    [[...MIGRATE_FROM, '--force'], /--force.*\nSee fastify-users migrate --help/],
    [[...MIGRATE_FROM, 'now'], /now/],
    [[...MIGRATE_FROM, '--yes', '--check'], /--check and --yes cannot be combined/],
    [[...MIGRATE_FROM, '--backend', 'database'], /--backend requires --hash-tokens/],
    [[...MIGRATE_FROM, '--config', 'nothing.js'], /The config file nothing\.js does not exist.*--config/]
  ]
  for (const [args, err] of calls) {
    t.match(await runIn(folder, args), { code: 2, out: '', err }, args.join(' ') || 'no arguments')
  }
  t.ok(before.equals(readFileSync(file)))
})

t.test('a config file that cannot be used is reported in one line, with exit code 1', async (t) => {
  const texts: [string, RegExp][] = [
    ['export default', /users\.config\.js cannot be used: /],
    ["import 'no-such-package'", /cannot be used: .*no-such-package/],
    ["throw 'not an error object'", /cannot be used: not an error object$/],
    ['export const options = {}', /needs an object as its default export/],
    ['export default null', /needs an object as its default export/],
    ['export default {}', /cannot be used: .*adapter/],
    [configText({ adapter: 'memory()' }), /the adapter of users\.config\.js has no SQL tables/],
    [configText({ adapter: "sqlite('no/such/file.sqlite')" }), /no database file "no\/such\/file\.sqlite"/],
    [configText({ more: 'colour: 1' }), /no option colour/]
  ]
  const brokenConfig = createEmptyFolder()
  writeFileSync(
    join(brokenConfig, 'users.config.js'),
    configText({
      backends:
        "[{ ...backend('a'), strategy: { kind: 'strategy', plugin () {}, get name () { throw TypeError('no name\\nhere') } } }]"
    })
  )
  t.strictSame(
    await runIn(brokenConfig, [...MIGRATE_FROM, '--hash-tokens']),
    { code: 1, out: '', err: 'fastify-users: no name' },
    'an unexpected error is printed as one line'
  )
  for (const [text, err] of texts) {
    const folder = createEmptyFolder()
    writeFileSync(join(folder, 'users.config.js'), text)
    const outcome = await runIn(folder, MIGRATE_FROM)
    t.match(outcome, { code: 1, out: '', err }, String(err))
    t.notMatch(outcome.err, /\n|at .*:\d/)
  }
  t.notOk(existsSync('no'), 'no database file is created')
})

t.test('row 83: migrate --from fastapi-users lists all changes and does not write to the database', async (t) => {
  const { folder, file, run } = createFolder()
  const before = readFileSync(file)
  const report = await run()
  t.strictSame(report, {
    code: 0,
    out: `Pending:\n${ALL_CHANGES}\nPlain tokens stored: 1. With tokenStorage: 'digest' they are not accepted; replace them by digests with --hash-tokens.\nNothing was changed. Changes pending: 12; apply them with --yes.`,
    err: ''
  })
  t.strictSame(await run('--check'), { ...report, code: 1 })
  t.match(await run('--hash-tokens'), {
    code: 0,
    out: /\n {2}- table "accesstoken": replace plain tokens by digests for the backend "database": 1\nNothing was changed. Changes pending: 13;/
  })
  t.ok(before.equals(readFileSync(file)))
  t.notOk(existsSync(`${file}-wal`) || existsSync(join(folder, 'users.sqlite-journal')))
})

t.test('row 83: migrate --from fastapi-users --yes makes the changes once and keeps all rows', async (t) => {
  const { run, rows } = createFolder({ config: { more: "compatibility: { tokenStorage: 'plain' }" } })
  const [people, accounts, tokens] = ALL_ROWS.map((sql) => rows(sql))
  const hint =
    "Plain tokens stored: 1. When you set tokenStorage: 'digest', replace them by digests with --hash-tokens."
  t.strictSame(await run('--yes'), { code: 0, out: `Changed:\n${ALL_CHANGES}\n${hint}`, err: '' })
  t.strictSame(
    ALL_ROWS.map((sql) => rows(sql)),
    [
      [people, [null]],
      [accounts, [null]],
      [tokens, [null, null, null, null, null]]
    ].map(([stored, added = []]) => stored?.map((row) => [row, added].flat()))
  )
  const schema = rows(SCHEMA)
  t.match(
    rows("SELECT sql FROM sqlite_master WHERE name = 'oauth_account'")[0]?.[0],
    /access_token TEXT NOT NULL, [^]*expires_at INTEGER, [^]*refresh_token TEXT, [^]*PRIMARY KEY \(id\), [^]*FOREIGN KEY\(user_id\) REFERENCES user \(id\) ON DELETE cascade/
  )
  t.strictSame(rows('PRAGMA foreign_key_check'), [])
  t.strictSame(rows('PRAGMA integrity_check'), [['ok']])
  for (const args of [[], ['--check'], ['--yes']]) {
    t.strictSame(
      await run(...args),
      { code: 0, out: `Nothing to do: the tables have the current schema.\n${hint}`, err: '' }
    )
  }
  t.strictSame(rows(SCHEMA), schema)
})

t.test(
  'row 83: migrate supports renamed tables and columns, integer ids, and constraints in place of indexes',
  async (t) => {
    const tables =
      "{ user: { table: 'people', columns: { email: 'mail', session_stamp: 'stamp' } }, accesstoken: { columns: { user_id: 'owner' } } }"
    const { run, rows } = createFolder({
      change: `DROP TABLE user; DROP TABLE accesstoken; DROP TABLE oauth_account;
      CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, Mail VARCHAR(320) UNIQUE, hashed_password VARCHAR(1024), is_active BOOLEAN, is_superuser BOOLEAN, is_verified BOOLEAN);
      CREATE TABLE accesstoken (token VARCHAR(43) PRIMARY KEY, owner INTEGER, created_at TIMESTAMP, UNIQUE (owner, token));
      CREATE INDEX by_time ON accesstoken (created_at DESC);
      CREATE INDEX few ON people (lower(mail)) WHERE is_active;
      CREATE INDEX ix_people_mail_lower ON people (mail, lower([mail]) COLLATE NOCASE DESC);
      INSERT INTO people VALUES (7, 'king.arthur@camelot.bt', 'x', 1, 0, 0)`,
      config: {
        adapter: `sqlite(new URL('users.sqlite', import.meta.url).pathname, { tables: ${tables} })`,
        more: 'schemas: userSchemas({}, { id: integerId() })'
      }
    })
    t.match(await run('--yes'), {
      code: 0,
      out: 'Changed:\n  - table "people": add the column "stamp" (VARCHAR(64), nullable)\n  - table "people": add the unique index "ix_people_mail_lower_2" on lower(mail)\n  - table "accesstoken": add the column "session_stamp" (VARCHAR(64), nullable)'
    })
    t.match(await run('--check'), { code: 0, out: /^Nothing to do/ })
    t.strictSame(rows('SELECT * FROM people'), [[7, 'king.arthur@camelot.bt', 'x', 1, 0, 0, null]])
  }
)

t.test('row 83: a table with too narrow columns is rebuilt with wider ones and keeps all the rest', async (t) => {
  const { run, rows, edit } = createFolder({
    change: `DROP TABLE user; DROP TABLE accesstoken; DROP TABLE oauth_account;
      CREATE TABLE "user" ( -- people, (all) of them
        "id" INTEGER PRIMARY KEY AUTOINCREMENT, /* a, b */ email CHARACTER VARYING (120) COLLATE NOCASE NOT NULL CHECK (email <> ','),
        [hashed_password] VARCHAR(72)NOT NULL DEFAULT 'it''s, none', is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL,
        nickname VARCHAR(20) /* short */, shout TEXT GENERATED ALWAYS AS (upper(email)) VIRTUAL, boss INTEGER REFERENCES user (id), CONSTRAINT one UNIQUE (nickname));
      CREATE UNIQUE INDEX ix_user_email ON user (email);
      CREATE TABLE accesstoken (token VARCHAR(43) PRIMARY KEY, user_id INTEGER REFERENCES user (id) ON DELETE CASCADE, created_at TIMESTAMP) WITHOUT ROWID;
      CREATE TABLE log (text);
      CREATE TRIGGER log_change AFTER UPDATE ON user BEGIN INSERT INTO log VALUES ('changed'); END;
      CREATE VIEW active AS SELECT email FROM user WHERE is_active;
      INSERT INTO user (id, email, hashed_password, is_active, is_superuser, is_verified, boss) VALUES (1, 'a@b.bt', 'x', 1, 0, 0, NULL), (2, 'c@d.bt', 'y', 1, 0, 0, 1), (9, 'z@d.bt', 'y', 1, 0, 0, 1);
      DELETE FROM user WHERE id = 9;
      INSERT INTO accesstoken VALUES ('old', 2, '2026-01-01 00:00:00.000000')`,
    config: { more: "schemas: userSchemas({}, { id: integerId() }), compatibility: { tokenStorage: 'plain' }" }
  })
  t.match(await run('--yes'), {
    code: 0,
    out: /table "user": widen "email" to VARCHAR\(320\), "hashed_password" to VARCHAR\(1024\)\n/,
    err: ''
  })
  const [[sql] = []] = rows("SELECT sql FROM sqlite_master WHERE name = 'user'")
  t.match(sql, /email VARCHAR\(320\) COLLATE NOCASE NOT NULL CHECK \(email <> ','\)/)
  t.match(sql, /\[hashed_password\] VARCHAR\(1024\) NOT NULL DEFAULT 'it''s, none'/)
  t.match(sql, /nickname VARCHAR\(20\) \/\* short \*\/, shout TEXT GENERATED[^]*CONSTRAINT one UNIQUE/)
  t.strictSame(rows('SELECT id, email, shout, boss FROM user'), [
    [1, 'a@b.bt', 'A@B.BT', null],
    [2, 'c@d.bt', 'C@D.BT', 1]
  ])
  t.strictSame(rows('SELECT count(*) FROM active'), [[2]])
  t.strictSame(
    rows('SELECT token, user_id FROM accesstoken'),
    [['old', 2]],
    'the foreign key of the tokens deletes no rows'
  )
  t.strictSame(rows("SELECT name FROM sqlite_master WHERE name LIKE '%migration%'"), [])
  edit(
    "INSERT INTO user (email, is_active, is_superuser, is_verified) VALUES ('new@b.bt', 1, 0, 0); UPDATE user SET is_active = 0 WHERE id = 2"
  )
  t.strictSame(
    rows("SELECT id FROM user WHERE email = 'new@b.bt'"),
    [[10]],
    'the id of a deleted user is not used again'
  )
  t.strictSame(rows('SELECT * FROM log'), [['changed']])
  t.strictSame(rows('PRAGMA foreign_key_check'), [])
  t.match(await run('--check'), { code: 0 })
})

t.test(
  'rows that prevent the migration are listed by id, without e-mails and tokens, and nothing is changed',
  async (t) => {
    const duplicateEmail =
      "INSERT INTO user SELECT '00000000-0000-4000-8000-000000000001', 'King.Arthur@camelot.bt', hashed_password, 1, 0, 0 FROM user LIMIT 1"
    const duplicateAccount =
      "INSERT INTO oauth_account SELECT '00000000-0000-4000-8000-000000000002', user_id, oauth_name, access_token, expires_at, refresh_token, account_id, account_email FROM oauth_account"
    const obstacles: Record<string, [string, RegExp]> = {
      'e-mails that differ only in case': [
        duplicateEmail,
        new RegExp(
          `table "user": e-mails that differ only in case: "00000000-0000-4000-8000-000000000001", "${ARTHUR}" \\(k\\*\\*\\*@c\\*\\*\\*\\.bt\\)`
        )
      ],
      'an account linked twice': [
        duplicateAccount,
        /table "oauth_account": rows with the same oauth_name, account_id: "00000000-0000-4000-8000-000000000002", "[0-9a-f-]{36}"; change or delete all but one/
      ],
      'tokens and accounts without their user': [
        'DELETE FROM user',
        /table "accesstoken": rows whose user does not exist: 1; delete them with --prune-orphans[^]*table "oauth_account": rows whose user does not exist: 1;/
      ],
      'an e-mail with a display name': [
        `UPDATE user SET email = 'Arthur <king.arthur@camelot.bt>' WHERE id = '${ARTHUR}'`,
        new RegExp(`e-mails in an unsupported form[^:]*: "${ARTHUR}" \\(A\\*\\*\\*@c\\*\\*\\*\\.\\)`)
      ],
      'e-mails that differ only in their Unicode form': [
        `${duplicateEmail.replace('King.Arthur@camelot.bt', 'jose\u0301@xn--bcher-kva.bt')}; UPDATE user SET email = 'josé@bücher.bt' WHERE id = '${ARTHUR}'`,
        /table "user": e-mails that differ only in their Unicode form: "[0-9a-f-]{36}", "[0-9a-f-]{36}"/
      ],
      'an invalid e-mail': [
        `UPDATE user SET email = char(27) || '[2J' WHERE id = '${ARTHUR}'`,
        new RegExp(`"${ARTHUR}" \\(\\*\\*\\*\\)`)
      ],
      'ids of another type': [
        `UPDATE user SET id = 'ARTHUR' || char(27) WHERE id = '${ARTHUR}'; DELETE FROM accesstoken`,
        /ids that are not of the type "uuid"[^:]*: "ARTHUR\\u001b"/
      ],
      'missing values': [
        'ALTER TABLE user RENAME TO old; CREATE TABLE user (id CHAR(36), email TEXT, hashed_password TEXT, is_active BOOLEAN, is_superuser BOOLEAN, is_verified BOOLEAN); INSERT INTO user SELECT id, NULL, hashed_password, NULL, 0, 0 FROM old',
        /rows without a value in "email": 4\n[^]* "is_active": 4$/
      ],
      'a missing column': ['ALTER TABLE user DROP COLUMN is_verified', /table "user" lacks the columns "is_verified"/],
      'a missing table': ['ALTER TABLE user RENAME TO people', /the database has no table "user"/],
      'a view': [
        'ALTER TABLE user RENAME TO people; CREATE VIEW user AS SELECT * FROM people',
        /the database has no table "user"/
      ],
      'more than can be listed': [
        `${duplicateEmail}; WITH RECURSIVE n (i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 30) INSERT INTO user SELECT 'x' || i, 'x' || i || '@camelot.bt', '', 1, 0, 0 FROM n`,
        /ids that are not of the type "uuid"[^\n]* and 10 more\n/
      ]
    }
    for (const [name, [change, err]] of Object.entries(obstacles)) {
      await t.test(name, async (t) => {
        const { file, run } = createFolder({ change })
        const before = readFileSync(file)
        for (const args of [[], ['--check'], ['--yes'], ['--yes', '--hash-tokens']]) {
          const outcome = await run(...args)
          t.match(outcome, { code: 1, out: '', err }, args.join(' '))
          t.match(outcome.err, /^fastify-users: the tables cannot be moved, and nothing was changed:\n {2}- /)
          for (const secret of ['arthur@', 'camelot', 'doskgLOY', '\u001b']) {
            t.notOk(outcome.err.includes(secret), secret)
          }
        }
        t.ok(before.equals(readFileSync(file)))
      })
    }
    t.same(['a.b@c.d.museum', '@x', 'x', '"@"@[1]', 'é@ü.bt'].map(maskEmail), [
      'a***@c***.museum',
      '***@x***.',
      'x***',
      '***@***.',
      'é***@ü***.bt'
    ])
  }
)

t.test('tables that refer to users and belong to no model of the config are listed and stay as they are', async (t) => {
  const { run, rows } = createFolder({
    change:
      'CREATE TABLE "the posts" (author CHAR(36) REFERENCES USER (id), editor CHAR(36) REFERENCES user (id)); CREATE TABLE likes (token REFERENCES accesstoken (token)); UPDATE oauth_account SET user_id = \'gone\'',
    config: { features: '[]' }
  })
  const definition = "SELECT sql FROM sqlite_master WHERE tbl_name IN ('oauth_account', 'the posts')"
  const before = [rows(definition), rows('SELECT * FROM oauth_account')]
  const warning =
    'Warning: these tables refer to "user", but no model of the config uses them, so they were not checked: "oauth_account", "the posts". If one belongs to a feature, add the feature to the config and run the command again.'
  const ownChanges = ALL_CHANGES.split('\n').filter((line) => !line.includes('oauth_account'))
  const args = ['--hash-tokens', '--prune-orphans']
  const tokenChange = '  - table "accesstoken": replace plain tokens by digests for the backend "database": 1'
  const changes = [...ownChanges, tokenChange].join('\n')
  t.strictSame(await run(...args), {
    code: 0,
    out: `Pending:\n${changes}\n${warning}\nNothing was changed. Changes pending: 9; apply them with --yes.`,
    err: ''
  })
  t.strictSame(await run(...args, '--yes'), { code: 0, out: `Changed:\n${changes}\n${warning}`, err: '' })
  t.strictSame(await run('--check'), {
    code: 0,
    out: `Nothing to do: the tables have the current schema.\n${warning}`,
    err: ''
  })
  t.strictSame([rows(definition), rows('SELECT * FROM oauth_account')], before)
})

t.test('the tables of all features are moved, whatever the names of their columns', async (t) => {
  const features = `[{ name: 'invitations', setup: () => ({}), models: ({ id }) => [
    { extends: 'user', fields: { phone: { type: 'text', maxLength: 40, nullable: true }, visits: { type: 'integer', default: 0 } }, unique: [['phone']] },
    { name: 'invitation', table: 'invitation', unique: [['guest', 'year']], fields: {
      code: { type: 'text', maxLength: 20 }, host: { type: 'id', id, references: 'user' }, guest: { type: 'id', id, references: 'user', nullable: true },
      year: { type: 'integer', nullable: true }, note: { type: 'text' }
    } },
    { name: 'poem', table: 'poem', version: 2, upgrades: { 2: [{ rename: 'text', to: 'verses' }] }, fields: { id: { type: 'text', maxLength: 9 }, verses: { type: 'text' } } }
  ] }]`
  const { run, rows, edit } = createFolder({
    change: `DROP TABLE oauth_account; CREATE TABLE poem (id VARCHAR(9) PRIMARY KEY, text TEXT);
      CREATE TABLE invitation (code VARCHAR(9) PRIMARY KEY, host CHAR(36) REFERENCES user (id), guest CHAR(36) REFERENCES user (id), year INTEGER, note VARCHAR(100));
      INSERT INTO invitation VALUES ('a', '${ARTHUR}', NULL, 500, 'x'), ('b', '${ARTHUR}', '${LANCELOT}', 500, 'x'), ('c', '${ARTHUR}', '${LANCELOT}', 500, 'x'), ('d', '${ARTHUR}', 'gone', 500, 'x'), ('e', 'gone', NULL, 500, 'x')`,
    config: { features }
  })
  t.strictSame(await run('--yes'), {
    code: 1,
    out: '',
    err: `fastify-users: the tables cannot be moved, and nothing was changed:
  - table "invitation": rows with the same guest, year: "b", "c"; change or delete all but one
  - table "invitation": rows whose user does not exist: 2; delete them with --prune-orphans`
  })
  edit("DELETE FROM invitation WHERE code = 'c'")
  const { code, out } = await run('--yes', '--prune-orphans')
  t.strictSame(
    [code, out.split('\n').filter((line) => /invitation|"user"/.test(line))],
    [
      0,
      [
        '  - table "invitation": delete rows whose user does not exist: 2',
        '  - table "user": add the column "session_stamp" (VARCHAR(64), nullable)',
        '  - table "user": add the column "phone" (VARCHAR(40), nullable)',
        '  - table "user": add the column "visits" (INTEGER)',
        '  - table "user": add the unique index "ix_user_email_lower" on lower(email)',
        '  - table "user": add the unique index "ix_user_phone" on phone',
        '  - table "invitation": widen "code" to VARCHAR(20), "note" to TEXT',
        '  - table "invitation": add the unique index "ix_invitation_guest_year" on guest, year'
      ]
    ]
  )
  t.strictSame(rows('SELECT code FROM invitation ORDER BY code'), [['a'], ['b']], 'null refers to no user')
  t.strictSame(rows('SELECT DISTINCT phone, visits FROM user'), [[null, 0]])
  t.match(await run('--check'), { code: 0, out: /^Nothing to do/ })
  t.strictSame(rows("SELECT name FROM pragma_table_info('poem')"), [['id'], ['text']], 'upgrade steps are left to migrate')
  edit('ALTER TABLE invitation DROP COLUMN note')
  t.match(await run('--yes'), { code: 1, err: /table "invitation" lacks the columns "note"; add them/ })
})

t.test('--prune-orphans deletes rows without a user, and stops if other rows reference them', async (t) => {
  const { run, rows } = createFolder({
    change: `DELETE FROM user WHERE id = '${ARTHUR}'; CREATE TABLE counter (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE other (u REFERENCES user (id), v REFERENCES user (is_active)); INSERT INTO other VALUES ('gone', NULL)`
  })
  t.match(await run('--prune-orphans'), {
    code: 0,
    out: /^Pending:\n {2}- table "accesstoken": delete rows whose user does not exist: 1\n/
  })
  t.strictSame(rows('SELECT count(*) FROM accesstoken'), [[1]])
  t.match(await run('--prune-orphans', '--yes'), { code: 0, out: /^Changed:\n {2}- table "accesstoken": delete rows/ })
  t.strictSame(rows('SELECT count(*) FROM accesstoken'), [[0]])
  t.strictSame(rows('SELECT count(*) FROM oauth_account'), [[1]], 'the account of another user is kept')

  const other = createFolder({
    change: `DELETE FROM user WHERE id = '${ARTHUR}'; CREATE TABLE device (token REFERENCES accesstoken (token)); INSERT INTO device SELECT token FROM accesstoken`
  })
  const before = other.rows(SCHEMA)
  t.match(await other.run('--prune-orphans', '--yes'), { code: 1, out: '', err: /nothing was changed: .*"device"/ })
  t.strictSame([other.rows(SCHEMA), other.rows('SELECT count(*) FROM accesstoken')], [before, [[1]]])
})

t.test('a table that cannot be parsed, or a change without effect, stops the migration', async (t) => {
  const adapter =
    "sqlite(new URL('users.sqlite', import.meta.url).pathname, { tables: { user: { columns: { hashed_password: 'hash€' } } } })"
  const unparsable = createFolder({
    change:
      'DROP TABLE user; CREATE TABLE user (id CHAR(36), email TEXT, hash€ VARCHAR(72), is_active, is_superuser, is_verified)',
    config: { adapter }
  })
  t.match(
    await unparsable.run('--yes'),
    { code: 1, err: /its definition cannot be parsed; change its columns by hand/ }
  )

  // The database runs another statement in place of CREATE UNIQUE INDEX.
  const adapterOf = (replacement: string): string =>
    `(() => { const database = new Database(new URL('users.sqlite', import.meta.url).pathname); const { prepare } = database; database.prepare = (sql) => prepare.call(database, sql.startsWith('CREATE UNIQUE INDEX') ? ${replacement} : sql); return sqlite(database) })()`
  const otherIndex = createFolder({ config: { adapter: adapterOf("'CREATE INDEX x ON user (email)'") } })
  const before = otherIndex.rows(SCHEMA)
  t.match(await otherIndex.run('--yes'), { code: 1, out: '', err: /nothing was changed/ })
  const noIndex = createFolder({ config: { adapter: adapterOf("'DELETE FROM user WHERE 0'") } })
  const missingTable = createFolder({
    config: {
      adapter: "sqlite(new URL('users.sqlite', import.meta.url).pathname, { tables: { user: { table: 'people' } } })"
    }
  })
  t.match(await missingTable.run('--yes'), { code: 1, err: /the database has no table "people"/ })
  t.match(
    await noIndex.run('--yes'),
    { code: 1, out: '', err: /the database did not apply this change: add the unique index/ }
  )
  t.strictSame([otherIndex.rows(SCHEMA), noIndex.rows(SCHEMA)], [before, before])
})

t.test('--hash-tokens replaces plain tokens by digests for one backend, and can be repeated', async (t) => {
  const { folder, run, rows, edit } = createFolder()
  const plain = fixture.tokens_of_king_arthur.db
  t.match(await run('--yes', '--hash-tokens'), {
    code: 0,
    out: /replace plain tokens by digests for the backend "database": 1$/
  })
  const [[digest, stamp] = []] = rows('SELECT token, session_stamp FROM accesstoken')
  t.match(digest, /^[\w-]{43}$/)
  t.not(digest, plain)
  t.match(stamp, /^[\w-]{43}$/)
  const { default: options } = (await import(pathToFileURL(join(folder, 'users.config.js')).href)) as {
    default: UsersOptions
  }
  for (const [tokenStorage, token, status] of [
    ['digest', plain, 200],
    ['digest', digest, 401],
    ['plain', plain, 401],
    ['plain', digest, 401]
  ] as const) {
    const app = await startApplication(t, { ...options, compatibility: { tokenStorage }, clock: () => FIXTURE_TIME })
    t.equal(
      (await app.inject({ url: '/guarded', headers: { authorization: `Bearer ${String(token)}` } })).statusCode,
      status,
      `tokenStorage ${tokenStorage}: ${token === plain ? 'plain token' : 'digest'}`
    )
    await app.close()
  }
  for (const args of [['--check', '--hash-tokens'], ['--yes', '--hash-tokens'], ['--yes']]) {
    t.strictSame(await run(...args), { code: 0, out: 'Nothing to do: the tables have the current schema.', err: '' })
  }

  edit(
    `INSERT INTO accesstoken (user_id, token, created_at, session_stamp) VALUES ('${LANCELOT}', 'late', '2026-11-21 00:00:00.000000', NULL), ('${LANCELOT}', 'later', '2026-11-21 00:00:00.000000', 'plain:stamp')`
  )
  t.match(await run('--yes', '--hash-tokens'), { code: 0, out: /replace plain tokens[^\n]*: 2$/ })
  const stored = rows('SELECT token, session_stamp FROM accesstoken')
  t.ok(
    stored.some(([token, own]) => token === digest && own === stamp),
    'an existing digest is not changed'
  )
  t.ok(stored.some(([, own]) => own === 'stamp'))
  t.notOk(stored.some(([token]) => String(token).startsWith('late')))
})

t.test('all rows are checked and changed, even more than one batch', async (t) => {
  const many = (insert: string): string =>
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) INSERT INTO ${insert} FROM n;`
  const { run, rows, edit } = createFolder({
    change:
      many("user SELECT printf('00000000-0000-4000-8000-%012d', i), 'user' || i || '@camelot.bt', 'x', 1, 0, 0") +
      many("accesstoken SELECT printf('00000000-0000-4000-8000-%012d', i), 'plain' || i, '2026-01-01 00:00:00.000000'")
  })
  t.match(await run('--yes', '--hash-tokens'), { code: 0, out: /digests for the backend "database": 10002$/ })
  t.strictSame(
    rows(
      'SELECT count(*), count(DISTINCT token) FROM accesstoken WHERE length(token) = 43 AND length(session_stamp) = 43'
    ),
    [[10_002, 10_002]]
  )
  edit("UPDATE user SET email = 'x' WHERE email = 'user10001@camelot.bt'")
  t.match(await run(), { code: 1, err: /e-mails in an unsupported form.*: "00000000-0000-4000-8000-000000010001"/ })
})

t.test('--hash-tokens requires tokenStorage "digest" and one backend that stores tokens', async (t) => {
  const cases: [ConfigParts, string[], number, RegExp][] = [
    [{ more: "compatibility: 'fastapi-users'" }, [], 1, /requires tokenStorage: 'digest' in users\.config\.js/],
    [
      { backends: "[{ ...backend('jwt'), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }]" },
      [],
      1,
      /no backend of users\.config\.js stores tokens/
    ],
    [{ backends: "[backend('web'), backend('app')]" }, [], 1, /several backends store tokens; choose one of web, app/],
    [
      { backends: "[backend('web'), backend('app')]" },
      ['--backend', 'tv'],
      1,
      /no backend "tv" stores tokens; choose one of web, app/
    ],
    [{ backends: "[backend('web'), backend('app')]" }, ['--backend', 'app'], 0, /^$/],
    [{ more: "compatibility: { preset: 'fastapi-users', tokenStorage: 'digest' }" }, [], 0, /^$/]
  ]
  for (const [config, args, code, err] of cases) {
    const { run } = createFolder({ config })
    t.match(await run('--hash-tokens', ...args), { code, err }, JSON.stringify([config, args]))
  }
})

t.test(
  'a database without token and account tables is migrated, and the application creates them',
  async (t) => {
    const { folder, run } = createFolder({ change: 'DROP TABLE accesstoken; DROP TABLE oauth_account' })
    t.match(await run('--yes', '--hash-tokens'), { code: 0, out: /^Changed:\n.*\n.*lower\(email\)$/ })
    const { default: options } = (await import(pathToFileURL(join(folder, 'users.config.js')).href)) as {
      default: UsersOptions
    }
    const app = await startApplication(t, options)
    t.equal(
      (
        await app.inject({
          method: 'POST',
          url: '/auth/database/login',
          payload: { username: 'galahad@camelot.bt', password: 'grail-grail' }
        })
      ).statusCode,
      200
    )
  }
)

t.test('the command of the built package', async (t) => {
  const built = t.testdir()
  buildPackage(built)
  const manifest = JSON.parse(readFileSync(join(built, 'package.json'), 'utf8')) as object
  writeFileSync(join(built, 'package.json'), JSON.stringify({ ...manifest, version: '1.2.3' }))
  let count = 0
  /** Creates a folder inside the package, so that its config file can import `fastify-users`. */
  const createPackageFolder = (
    config: ConfigParts = {}
  ): { folder: string; file: string; rows: (sql: string) => unknown[][] } => {
    const folder = join(built, `place-${count++}`)
    mkdirSync(folder)
    const file = join(folder, 'users.sqlite')
    copyFileSync(join(root, 'test/fixtures/fastapi-users.sqlite'), file)
    writeFileSync(join(folder, 'users.config.js'), configText({ from: 'fastify-users', ...config }))
    return { folder, file, rows: (sql) => rowsOf(file, sql) }
  }
  const run = (cwd: string, args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> =>
    runNode([join(built, 'lib/cli/main.js'), ...args], cwd, { NODE_OPTIONS: '', ...env })

  await t.test('the command writes all output to a pipe, and exits although a timer is active', async (t) => {
    const { folder } = createPackageFolder({ more: '...(setInterval(() => {}, 1000), {})' })
    t.strictSame(await run(folder, ['--version']), { code: 0, out: '1.2.3\n', err: '' })
    t.match(
      await run(folder, [...MIGRATE_FROM, '--check']),
      { code: 1, out: /pending: 12; apply them with --yes\.\n$/, err: '' }
    )
    t.match(await run(folder, ['migrate', '--yes']), {
      code: 2,
      out: '',
      err: /--yes requires --from fastapi-users\n$/
    })
  })

  await t.test('a migration that is killed changes nothing, and the next run makes all changes', async (t) => {
    const adapter = `(() => {
      const database = new Database(new URL('users.sqlite', import.meta.url).pathname)
      let left = Number(process.env.KILL_AT)
      for (const method of ['prepare', 'exec']) {
        const call = database[method]
        database[method] = (sql) => {
          if (/^(CREATE|INSERT|DROP|ALTER|UPDATE|DELETE|COMMIT)/.test(sql) && left-- === 0) process.kill(process.pid, 'SIGKILL')
          return call.call(database, sql)
        }
      }
      return sqlite(database)
    })()`
    const { folder, rows } = createPackageFolder({ adapter })
    const state = (): unknown => [SCHEMA, ...ALL_ROWS].map((sql) => rows(sql))
    const before = state()
    let kills = 0
    for (; ; kills++) {
      const { code, out } = await run(folder, [...MIGRATE_FROM, '--yes', '--hash-tokens'], { KILL_AT: String(kills) })
      if (code === 0) {
        t.match(out, /^Changed:/)
        break
      }
      t.equal(code, null)
      t.strictSame(state(), before, `killed at statement ${kills}`)
    }
    t.equal(kills, 19)
    t.strictSame(rows('PRAGMA integrity_check'), [['ok']])
    t.match(await run(folder, [...MIGRATE_FROM, '--check', '--hash-tokens']), { code: 0, out: /^Nothing to do/ })
  })

  await t.test('one of several parallel migrations makes all changes, and the others have nothing to do', async (t) => {
    const { folder } = createPackageFolder()
    const outcomes = await Promise.all(
      Array.from({ length: 4 }, () => run(folder, [...MIGRATE_FROM, '--yes', '--hash-tokens']))
    )
    t.strictSame(
      outcomes.map(({ code }) => code),
      [0, 0, 0, 0]
    )
    t.strictSame(outcomes.map(({ out }) => out.split(/[: ]/)[0]).sort(), ['Changed', 'Nothing', 'Nothing', 'Nothing'])
  })
})

t.test('a database that another process has locked is not changed', async (t) => {
  const { file, run } = createFolder({
    config: { adapter: "sqlite(new Database(new URL('users.sqlite', import.meta.url).pathname, { timeout: 10 }))" }
  })
  const holder = new Database(file)
  holder.exec('BEGIN IMMEDIATE')
  t.match(await run('--yes'), {
    code: 1,
    out: '',
    err: /nothing was changed: another process has locked the database; try again$/
  })
  holder.exec('ROLLBACK')
  holder.close()
  t.match(await run('--yes'), { code: 0 })
})

t.test('main.js runs the command', async (t) => {
  const { folder } = createFolder()
  const main = join(root, 'dist/lib/cli/main.js')
  const [checked, misused] = await Promise.all(
    [
      [...MIGRATE_FROM, '--check'],
      ['migrate', '--yes']
    ].map((args) => runNode([...process.execArgv, main, ...args], folder))
  )
  t.match(checked, { code: 1, out: /pending/, err: '' })
  t.match(misused, { code: 2, out: '', err: /--from/ })
})

t.test(
  'row 90: compatibility is switched off with the documented steps, and all sessions stay valid',
  async (t) => {
    const text = readFileSync(join(root, 'docs/moving-from-fastapi-users.md'), 'utf8')
    const { folder, file, run, rows } = createFolder()
    Object.assign(process.env, { USERS_DB: file, GOOGLE_ID: 'id', GOOGLE_SECRET: 'secret' })
    const blocks = [...text.matchAll(/```js\n([^]*?)```/g)].map(([, block = '']) => block)
    t.equal(blocks.length, 3)
    const feature = /```ts\n(import [^\n]*'fastify-users\/oauth'\n[^]*?)```/.exec(text)?.[1] ?? ''
    const write = (name: string, block = ''): string => {
      const config = `${feature.replace('export const', 'const')}${block.replace('export default {', 'export default {\n  features,')}`
      writeFileSync(join(folder, name), toLocalImports(config))
      return name
    }
    const first = write('first.config.js', blocks[0])
    const named = write('named.config.js', blocks[1])
    const digests = write('digests.config.js', blocks[1]?.replace("    tokenStorage: 'plain',\n", ''))
    const last = write('last.config.js', blocks[2])

    let now = FIXTURE_TIME
    const sessions = new Map<string, { headers: Record<string, string>; user: string }>()
    const { jwt, db, cookie } = fixture.tokens_of_king_arthur
    sessions.set('Python: JWT', { headers: { authorization: `Bearer ${jwt}` }, user: ARTHUR })
    sessions.set('Python: database', { headers: { authorization: `Bearer ${db}` }, user: ARTHUR })
    sessions.set('Python: cookie', { headers: { cookie: String(cookie.split(';')[0]) }, user: ARTHUR })

    /** Runs the application of a step. Checks that all sessions are valid before and after new logins. */
    const runStep = async (name: string, config: string): Promise<void> => {
      const { default: options } = (await import(pathToFileURL(join(folder, config)).href)) as { default: UsersOptions }
      const app = await startApplication(t, { ...options, clock: () => now })
      const checkSessions = async (when: string): Promise<void> => {
        for (const [session, { headers, user }] of sessions) {
          const reply = await app.inject({ url: '/guarded', headers })
          t.equal(reply.json<{ user?: { id: string } }>().user?.id, user, `${name}, ${when}: ${session}`)
        }
      }
      await checkSessions('before')
      for (const [username, password, user] of [
        ['king.arthur@camelot.bt', 'guinevere', ARTHUR],
        ['lancelot@camelot.bt', 'excalibur-1', LANCELOT]
      ] as const) {
        for (const backend of ['jwt', 'cookie', 'database']) {
          const reply = await app.inject({
            method: 'POST',
            url: `/auth/${backend}/login`,
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            payload: new URLSearchParams({ username, password }).toString()
          })
          const headers =
            backend === 'cookie'
              ? { cookie: cookieOf(reply) }
              : { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
          sessions.set(`${name}: ${username} by ${backend}`, { headers, user })
        }
      }
      await checkSessions('after')
      await app.close()
    }

    await runStep('step 1', first)
    t.notMatch(rows(SCHEMA).join(), /session_stamp|lower/, 'no table is altered')

    t.match(await run('--config', first), { code: 0, out: ALL_CHANGES })
    t.match(await run('--config', first, '--yes'), { code: 0 })
    await runStep('step 2', first)

    sessions.set('Python: last JWT', {
      headers: { authorization: `Bearer ${createPythonToken(now / 1000 + 3600)}` },
      user: ARTHUR
    })
    await runStep('step 3', named)
    t.match(await run('--config', named, '--check'), { code: 0 })

    t.match(await run('--config', digests, '--yes', '--hash-tokens'), {
      code: 0,
      out: /replace plain tokens[^\n]*: 7$/
    })
    const plain = new Set([...sessions.values()].map(({ headers }) => headers['authorization']?.split(' ')[1]))
    t.notOk(
      rows('SELECT token FROM accesstoken').some(([token]) => plain.has(String(token))),
      'no plain token is stored'
    )
    now += 3_000_000
    await runStep('step 4', digests)

    // One hour after step 3, its sessions have expired. The tokens of the fixture do not expire.
    now += 601_000
    const expired = [...sessions.keys()].filter((name) => /^step [123].* by (jwt|cookie)$|^Python: last/.test(name))
    t.equal(expired.length, 13)
    const { default: options } = (await import(pathToFileURL(join(folder, digests)).href)) as { default: UsersOptions }
    const app = await startApplication(t, { ...options, clock: () => now })
    for (const name of expired) {
      t.equal(
        (await app.inject({ url: '/guarded', headers: sessions.get(name)?.headers ?? {} })).statusCode,
        401,
        `${name} has expired`
      )
    }
    await app.close()
    for (const name of [...expired, 'Python: JWT', 'Python: cookie']) sessions.delete(name)
    await runStep('step 5', last)
    t.equal(sessions.size, 19)
    const { default: final } = (await import(pathToFileURL(join(folder, last)).href)) as { default: UsersOptions }
    t.strictSame(final.compatibility, { normalizePasswords: false }, 'only the permanent setting is left')
  }
)

/** Returns an access token as FastAPI Users issues it, without `iat`, `jti` and security stamp. */
function createPythonToken (exp: number): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: ARTHUR, aud: ['fastapi-users:auth'], exp: Math.floor(exp) })}`
  return `${signed}.${createHmac('sha256', fixture.secrets['AUTH_SECRET'] ?? '')
    .update(signed)
    .digest('base64url')}`
}

async function startApplication (t: Test, options: UsersOptions): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(users, options)
  addRoutes(app)
  await app.ready()
  return app
}

/** Returns a config with imports from the compiled library of this repository. */
function toLocalImports (text: string): string {
  return text
    .replaceAll("'fastify-users/oauth'", `'${oauthModule(library)}'`)
    .replaceAll(/'fastify-users(?:\/(\w+))?'/g, (_match, entry?: string) =>
      JSON.stringify(entry === undefined ? library : entryOf(library, entry))
    )
}
