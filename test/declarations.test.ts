import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { root } from './helpers/root.js'
import { installLikePnpm } from './helpers/pnpm-layout.js'

// Applications that are compiled with `declaration: true` get declaration files, in which TypeScript has to write the
// type of every exported constant. It can only write names that the application can import.

const ENTRIES = [
  'lib/index.d.ts',
  'lib/feature/index.d.ts',
  'lib/captcha/index.d.ts',
  'lib/features/oauth/index.d.ts',
  'lib/testing/index.d.ts',
  ...readdirSync(join(root, 'lib/entries')).map((name) => join('lib/entries', name.replace('.ts', '.d.ts')))
]
const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  strict: true,
  skipLibCheck: true,
  types: ['node']
}

const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('docs', path))
]
const snippets = pages.flatMap(exportingSnippets)

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'fastify-users-declarations-')))
t.teardown(() => {
  rmSync(folder, { recursive: true, force: true })
})
const dist = join(folder, 'dist')
emitDeclarations(dist)
installLikePnpm(folder, dist, ['fastify', '@types/node', ...snippets.flatMap(([, text]) => packagesOf(text))])

t.test('TypeScript can declare the exported constants of an application in the pnpm layout', async (t) => {
  const constants = readFileSync(join(root, 'test/package/consumer/constants.mts'), 'utf8')
  t.strictSame(declarationProblems({ constants }), [])
})

t.test('TypeScript can declare the constants that the documentation exports', async (t) => {
  t.ok(snippets.length > 5, `${snippets.length} snippets`)
  // Each of these augments the User type, so each is compiled alone.
  const declaring = snippets.filter(([, text]) => text.includes('declare module'))
  const programs = [
    snippets.filter((snippet) => !declaring.includes(snippet)),
    ...declaring.map((snippet) => [snippet])
  ]
  t.strictSame(
    programs.flatMap((modules) => declarationProblems(Object.fromEntries(modules))),
    []
  )
})

t.test('the check finds a constant whose type cannot be named', async (t) => {
  const text =
    "import { userSchemas } from 'fastify-users'\nimport { hidden } from './hidden.mjs'\nexport const schemas = userSchemas(), own = hidden()"
  const hidden = 'interface Hidden { a: 1 }\nexport declare const hidden: () => Hidden'
  t.match(declarationProblems({ text, hidden }), [/TS4023/])
})

t.test('every interface that a public type refers to is exported', async (t) => {
  t.strictSame(unexportedTypes(ENTRIES.map((entry) => join(dist, entry))), [])
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const entry = write('entry.d.ts', "export { f } from './parts.js'\nexport type { Shown } from './parts.js'")
  write(
    'parts.d.ts',
    'export interface Shown { a: Deep }\nexport interface Deep { b: Alias }\ntype Alias = Deeper | null\nexport interface Deeper { c: 1 }\nexport declare function f (shown: Shown): void'
  )
  t.strictSame(unexportedTypes([entry]), ['Deep', 'Deeper'])
})

/** Returns the snippets of a page that export something, each with a name for its file. */
function exportingSnippets (page: string): [name: string, text: string][] {
  const texts = [...readFileSync(join(root, page), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].map(
    ([, text = '']) => text
  )
  return texts.flatMap((text, i) => (text.includes('export ') ? [[`${page}-${i}`.replaceAll(/\W/g, '-'), text]] : []))
}

/** Returns the packages that a module imports, without fastify-users, and the packages of their types. */
function packagesOf (text: string): string[] {
  const names = [...text.matchAll(/ from '((?:@[\w-]+\/)?[\w-]+)/g)].map(([, name = '']) => name)
  return names
    .filter((name) => !['node', 'fastify-users'].includes(name))
    .flatMap((name) => [name, `@types/${name}`])
    .filter((name) => existsSync(join(root, 'node_modules', name)))
}

/** Writes the declaration files of the package. */
function emitDeclarations (outDir: string): void {
  const compiler = join(root, 'node_modules/typescript-7/bin/tsc')
  execFileSync(process.execPath, [compiler, '-p', root, '--emitDeclarationOnly', '--outDir', outDir], { stdio: 'inherit' })
}

/** Compiles modules of the application with `declaration: true`. Returns the errors of TypeScript. */
function declarationProblems (modules: Record<string, string>): string[] {
  const files = Object.entries(modules).map(([name, text]) => {
    const file = join(folder, `${name}.mts`)
    writeFileSync(file, text)
    return file
  })
  const program = ts.createProgram(files, { ...OPTIONS, declaration: true, noEmit: true })
  return ts
    .getPreEmitDiagnostics(program)
    .map(
      ({ code, file, messageText }) =>
        `${file?.fileName ?? ''}: TS${code} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
    )
}

/**
 * Returns the interfaces and classes that exports of the declaration files reference and that are not exported.
 */
function unexportedTypes (entries: readonly string[]): string[] {
  const program = ts.createProgram(entries, OPTIONS)
  const checker = program.getTypeChecker()
  const target = (symbol: ts.Symbol): ts.Symbol =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  const exported = new Set(
    entries.flatMap((entry) => {
      const file = program.getSourceFile(entry)
      const module = file && checker.getSymbolAtLocation(file)
      return module === undefined ? [] : checker.getExportsOfModule(module).map(target)
    })
  )
  const seen = new Set<ts.Symbol>()
  const missing = new Set<string>()

  const visitSymbol = (symbol: ts.Symbol): void => {
    const declarations = symbol.declarations ?? []
    const own = declarations.filter((node) => isOwn(node.getSourceFile().fileName))
    if (seen.has(symbol) || own.length === 0) return
    seen.add(symbol)
    const isNamed = declarations.some((node) => ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node))
    const isAugmented = own.length < declarations.length // an interface of Fastify to which the package adds members
    if (isNamed && !isAugmented && !exported.has(symbol)) missing.add(symbol.name)
    own.forEach(visitNode)
  }
  const visitNode = (node: ts.Node): void => {
    // Members with symbol keys are internal.
    if (ts.isPropertySignature(node) && ts.isComputedPropertyName(node.name)) return
    const name = referenceOf(node)
    const symbol = name && checker.getSymbolAtLocation(name)
    if (symbol !== undefined) visitSymbol(target(symbol))
    ts.forEachChild(node, visitNode)
  }
  exported.forEach(visitSymbol)
  return [...missing].sort()
}

function isOwn (path: string): boolean {
  return path.startsWith(folder) && !path.includes('node_modules')
}

/** Returns the name in a node that refers to a type or to the type of a value. */
function referenceOf (node: ts.Node): ts.Node | undefined {
  if (ts.isTypeReferenceNode(node)) return node.typeName
  if (ts.isTypeQueryNode(node)) return node.exprName
  if (ts.isImportTypeNode(node)) return node.qualifier
  return ts.isExpressionWithTypeArguments(node) ? node.expression : undefined
}
