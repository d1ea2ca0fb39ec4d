import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import { root } from './helpers/root.js'

// A program has one `UsersRegister`, so each folder of test/types is compiled alone. plain.test-d.ts declares nothing.
const folder = join(root, 'test/types')
const MISMATCH = "Omit<UserOf<typeof schemas>, 'email'>"
// within the repository, so that TypeScript finds the dependencies; git and ESLint ignore the folder
mkdirSync(join(root, '.tap'), { recursive: true })
const declarations = mkdtempSync(join(root, '.tap/types-'))
t.teardown(() => {
  rmSync(declarations, { recursive: true, force: true })
})

const parsed = new Map<string, ts.SourceFile | undefined>()

/** Returns the errors of a type test file, one text per error. `edit` changes the file's text before. */
function errorsOf (name: string, entry: string, edit = (text: string) => text): string[] {
  const file = join(folder, name)
  const project = ts.findConfigFile(dirname(file), ts.sys.fileExists) ?? ''
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(project, ts.sys.readFile).config,
    ts.sys,
    dirname(project)
  )
  const host = ts.createCompilerHost(options)
  const parse = host.getSourceFile.bind(host)
  host.getSourceFile = (path, version) => {
    if (resolve(path) === file) return ts.createSourceFile(path, edit(readFileSync(file, 'utf8')), version, true)
    if (!parsed.has(path)) parsed.set(path, parse(path, version)) // all programs share their parsed files
    return parsed.get(path)
  }
  const entries = entry.replace(/index(?=\.)/, 'entries/*')
  const roles = entry.replace(/index(?=\.)/, 'features/roles/index')
  const paths = { 'fastify-users': [entry], 'fastify-users/roles': [roles], 'fastify-users/*': [entries] }
  const program = ts.createProgram([file], { ...options, paths }, host)
  const source = program.getSourceFile(file)
  const diagnostics = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...program.getSyntacticDiagnostics(source),
    ...program.getSemanticDiagnostics(source)
  ]
  if (source === undefined) return [`${file} is not there`]
  return diagnostics.map(({ file: place, start = 0, messageText }) => {
    const line = place === undefined ? 0 : place.getLineAndCharacterOfPosition(start).line + 1
    return `${place === undefined ? '' : relative(root, place.fileName)}:${line} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}

function lineOf (error: string): number {
  return Number(/:(\d+) /.exec(error)?.[1])
}

t.test(
  'an application needs under 15 % more type instantiations than Fastify alone',
  { timeout: 600_000 },
  async (t) => {
    // exits with an error if the number is above the budget
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'instantiations.mjs'), declarations])
    t.comment(stdout.trim())
    t.match(stdout, /with the plugin \d+, \d+\.\d % more/)
  }
)

const sources = join(root, 'lib/index.ts')
const built = join(declarations, 'lib/index.d.ts')
const cases: [title: string, name: string, entry: string][] = [
  [
    'without UsersRegister a user has the five base fields, and every public name has its type',
    'plain.test-d.ts',
    built
  ],
  ['custom fields reach request.user, hooks, app.users and rows', 'custom-fields/custom-fields.test-d.ts', built],
  ['custom fields also do so in a program that compiles the sources', 'custom-fields/custom-fields.test-d.ts', sources],
  ['an integer id reaches app.users, rows and hooks', 'integer-id/integer-id.test-d.ts', built],
  ['HTTP/2 applications type-check', 'http2/http2.test-d.ts', built],
  ['a feature adds error codes and guard flags by interface merging', 'registries/registries.test-d.ts', built],
  ['a feature also does so in a program that compiles the sources', 'registries/registries.test-d.ts', sources],
  ['the names of roles reach users, guards, hooks and the API', 'roles/roles.test-d.ts', built],
  ['roles also do so in a program that compiles the sources', 'roles/roles.test-d.ts', sources]
]
for (const [title, name, entry] of cases) {
  t.test(`row 89: ${title}`, { timeout: 600_000 }, async (t) => {
    t.strictSame(errorsOf(name, entry), [])
  })
}

t.test("the compiler's error for a wrong option names the option", { timeout: 600_000 }, async (t) => {
  const name = 'messages/messages.test-d.ts'
  const errors = errorsOf(name, built)
  const lines = readFileSync(join(folder, name), 'utf8').split('\n')
  const errorAt = (mark: string): string =>
    errors.find((error) => lines[lineOf(error) - 1]?.endsWith(`// ${mark}`)) ?? ''
  t.equal(errors.length, 3)
  t.match(errorAt('MISSING'), /Property 'secret' is missing in type .* but required in type 'UsersOptions'/)
  t.match(errorAt('UNKNOWN'), /'requireVerified' does not exist in type 'UsersOptions'/)
  t.match(errorAt('SWAPPED'), /in type '(Strategy)?Definition.* but required in type 'TransportDefinition'/)
})

const mismatches: Record<string, string> = {
  'without the e-mail': `{ user: ${MISMATCH} }`,
  'with a flag of another type': "{ user: Omit<UserOf<typeof schemas>, 'is_active'> & { is_active: string } }",
  'with an id of a wrong type': "{ user: Omit<UserOf<typeof schemas>, 'id'> & { id: Date } }",
  'that is optional': '{ user?: UserOf<typeof schemas> }',
  'under another name': '{ User: UserOf<typeof schemas> }'
}
for (const [what, register] of Object.entries(mismatches)) {
  t.test(
    `row 89: a user ${what} in UsersRegister is a compile error where the plugin is registered and where a user is read`,
    { timeout: 600_000 },
    async (t) => {
      const name = 'mismatch/mismatch.test-d.ts'
      const errors = errorsOf(name, built, (text) => text.replace(`{ user: ${MISMATCH} }`, register))
      const marked = readFileSync(join(folder, name), 'utf8')
        .split('\n')
        .flatMap((line, i) => (line.endsWith('// MISMATCH') ? [i + 1] : []))
      t.strictSame([...new Set(errors.map(lineOf))], marked, 'each marked line has an error, and no other line has one')
      t.match(
        errors.find((error) => lineOf(error) === marked[0]),
        /UsersRegister\.user must have every field of BaseUser/,
        'the error states the rule'
      )
    }
  )
}
