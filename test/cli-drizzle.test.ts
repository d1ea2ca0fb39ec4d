import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { getTableColumns, type Table } from 'drizzle-orm'
import t from 'tap'
import ts from 'typescript'
import type { DrizzleDatabase } from '../lib/adapters/drizzle/column-text.js'
import { SECRET } from './helpers/build-app.js'
import { createCommandFolder, entryOf, library, runIn, type ConfigParts } from './helpers/command-line.js'
import { createStatements, importDefinitions } from './helpers/drizzle-tables.js'

// The definitions are written below the repository, so that they find drizzle-orm.
const testFolder = t.testdir()
const databases: readonly DrizzleDatabase[] = ['postgres', 'mysql', 'sqlite']
process.env['USERS_SECRET'] = SECRET

const { folder, file, run } = createCommandFolder(testFolder, { main: '', library })

/** A config with a custom field of each type and the tables of OAuth. */
const parts: ConfigParts = {
  fields: `{
    display_name: Type.String({ maxLength: 80 }),
    birth_place: Type.Optional(Type.String()),
    credits: Type.Integer({ default: 5 }),
    motto: Type.String({ default: "It's only a \\\\ model" }),
    ratio: Type.Optional(Type.Number()),
    tags: Type.Array(Type.String(), { default: ['a'] })
  }`,
  rest: `
    import { github, oauth } from '${library.replace('lib/index.js', 'lib/features/oauth/index.js')}'
    function listFeatures () { return [oauth({ publicUrl: 'https://app.example.com', providers: [github({ clientId: 'id', clientSecret: 'secret' })] })] }`
}

t.test('schema prints Drizzle definitions of all tables, which TypeScript accepts', async (t) => {
  const files: string[] = []
  for (const database of databases) {
    const { code, out, err } = await run(['schema', '--dialect', `drizzle-${database}`], parts)
    t.strictSame([code, err], [0, ''])
    const tables = await importDefinitions(folder, out)
    t.strictSame(Object.keys(tables).toSorted(), ['accesstoken', 'oauthAccount', 'oauthIssuer', 'singleUse', 'user'])
    t.match(Object.keys(getTableColumns(tables['user'] as Table)), ['id', 'email', 'hashedPassword'])
    const path = join(folder, `${database}.mts`)
    files.push(path)
    writeFileSync(path, out)
  }
  const program = ts.createProgram(files, {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    noUnusedLocals: true,
    types: []
  })
  t.strictSame(
    ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' ')),
    []
  )
  t.match(await runIn('/', ['schema', '--dialect', 'drizzle']), { code: 2, err: /drizzle-postgres, drizzle-mysql, drizzle-sqlite/ })
})

t.test('with drizzle(), schema prints definitions, and doctor and migrate use those of the application', async (t) => {
  const adapter = 'drizzle(createInstance(keep(new Database(new URL("users.sqlite", import.meta.url).pathname))), tables)'
  const configOf = (tables: string): ConfigParts => ({
    ...parts,
    adapter,
    rest: `${parts.rest ?? ''}
      import { drizzle as createInstance } from 'drizzle-orm/better-sqlite3'
      import { drizzle } from '${entryOf(library, 'drizzle')}'
      ${tables}`
  })
  t.teardown(() => {
    const { pools = [] } = globalThis as { pools?: Database.Database[] } // configs share only this global variable
    for (const one of pools.splice(0)) one.close()
  })
  writeFileSync(join(folder, 'none.mjs'), '')
  const printed = await run(['schema'], configOf("import * as tables from './none.mjs'"))
  t.strictSame(printed, await run(['schema', '--dialect', 'drizzle-sqlite'], parts))
  writeFileSync(join(folder, 'tables.mjs'), ts.transpileModule(printed.out, { compilerOptions: { module: ts.ModuleKind.ESNext } }).outputText)
  const config = configOf("import * as tables from './tables.mjs'")
  t.match(await run(['migrate'], config), {
    code: 1,
    err: /nothing was changed:\n {2}- create the table "user": drizzle-kit does that\n/
  })
  const database = new Database(file)
  t.teardown(() => {
    database.close()
  })
  for (const statement of createStatements('sqlite', await importDefinitions(folder, printed.out))) database.exec(statement)
  t.match(await run(['migrate'], config), { code: 0 })
  t.match(await run(['migrate', '--check'], config), { code: 0, out: /^Nothing to do/ })
  database.exec('DROP INDEX ix_user_email_lower')
  t.match(await run(['doctor'], config), { out: /pending: table "user": add the [a-z ]*index "ix_user_email_lower"/ })
  t.match(await run(['migrate'], config), { code: 0, out: /ix_user_email_lower/ })
  t.match(await run(['doctor'], config), { out: /^ok {4}schema/m })
  t.match(await run(['create-superuser', '--email', 'a@b.example', '--set', 'display_name=A'], config, { lines: ['a long enough password'] }), {
    code: 0
  })
  t.match(database.prepare('SELECT email, credits, tags FROM user').get(), { email: 'a@b.example', credits: 5, tags: '["a"]' })
  t.match(await run(['prune'], config), { code: 0 })
})
