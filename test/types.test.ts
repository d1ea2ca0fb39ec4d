import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import { root } from './helpers/root.js'

// `UsersRegister` is one for a whole program, so that each folder below test/types is compiled alone; plain.test-d.ts
// is the
// application that declares nothing.
const folder = join(root, 'test/types')
const MISMATCH = "Omit<UserOf<typeof schemas>, 'email'>"
// below the repository, so that its dependencies are found; git and ESLint ignore it
mkdirSync(join(root, '.tap'), { recursive: true })
const declarations = mkdtempSync(join(root, '.tap/types-'))
t.teardown(() => {
  rmSync(declarations, { recursive: true, force: true })
})

const parsed = new Map<string, ts.SourceFile | undefined>()

/** Errors of the type tests in a file, one line of text each. `edit` changes its text first. */
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
    if (!parsed.has(path)) parsed.set(path, parse(path, version)) // the programs share what they have in common
    return parsed.get(path)
  }
  const program = ts.createProgram([file], { ...options, paths: { 'fastify-users': [entry] } }, host)
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
    // rejects above the budget
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
  ['so they do where the sources are compiled with the application', 'custom-fields/custom-fields.test-d.ts', sources],
  ['an integer id reaches app.users, rows and hooks', 'integer-id/integer-id.test-d.ts', built],
  ['HTTP/2 applications type-check', 'http2/http2.test-d.ts', built]
]
for (const [title, name, entry] of cases) {
  t.test(`row 89: ${title}`, { timeout: 600_000 }, async (t) => {
    t.strictSame(errorsOf(name, entry), [])
  })
}

t.test('what the compiler says of a wrong option names it', { timeout: 600_000 }, async (t) => {
  const name = 'messages/messages.test-d.ts'
  const errors = errorsOf(name, built)
  const lines = readFileSync(join(folder, name), 'utf8').split('\n')
  const said = (mark: string): string => errors.find((error) => lines[lineOf(error) - 1]?.endsWith(`// ${mark}`)) ?? ''
  t.equal(errors.length, 3)
  t.match(said('MISSING'), /Property 'secret' is missing in type .* but required in type 'UsersOptions'/)
  t.match(said('UNKNOWN'), /'requireVerified' does not exist in type 'UsersOptions'/)
  t.match(said('SWAPPED'), /in type '(Strategy)?Definition.* but required in type 'TransportDefinition'/)
})

const mismatches: Record<string, string> = {
  'without the address': `{ user: ${MISMATCH} }`,
  'with a flag of another type': "{ user: Omit<UserOf<typeof schemas>, 'is_active'> & { is_active: string } }",
  'with an id that is no id': "{ user: Omit<UserOf<typeof schemas>, 'id'> & { id: Date } }",
  'that may be absent': '{ user?: UserOf<typeof schemas> }',
  'under another name': '{ User: UserOf<typeof schemas> }'
}
for (const [what, register] of Object.entries(mismatches)) {
  t.test(
    `row 89: a user ${what} in UsersRegister does not compile where the plugin is registered, nor where a user is read`,
    { timeout: 600_000 },
    async (t) => {
      const name = 'mismatch/mismatch.test-d.ts'
      const errors = errorsOf(name, built, (text) => text.replace(`{ user: ${MISMATCH} }`, register))
      const marked = readFileSync(join(folder, name), 'utf8')
        .split('\n')
        .flatMap((line, i) => (line.endsWith('// MISMATCH') ? [i + 1] : []))
      t.strictSame([...new Set(errors.map(lineOf))], marked, 'an error in each marked line and in no other')
      t.match(
        errors.find((error) => lineOf(error) === marked[0]),
        /UsersRegister\.user must have every field of BaseUser/,
        'it says what is wrong'
      )
    }
  )
}
