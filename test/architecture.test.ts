import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { isAtLeast, RISKY_PACKAGES } from '../lib/cli/doctor/package-checks.js'
import { slownessOf } from './helpers/linear-regexp.js'
import { root } from './helpers/root.js'

// Every check is a function from a source file to its violations, so that each one is
// first shown to refuse a small sample, and then run over lib and schemas.
interface Source {
  path: string
  text: string
  tree: ts.SourceFile
}
type Check = (source: Source) => string[]

const maxFileLines = 250
const maxFunctionLines = 60

function parse (path: string, text: string): Source {
  return { path, text, tree: ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true) }
}

function readSources (folder: string): Source[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
    .filter((path) => /\.c?ts$/.test(path))
    .map((path) => parse(path, readFileSync(join(root, path), 'utf8')))
}

function * descendants (node: ts.Node): Generator<ts.Node> {
  yield node
  for (const child of node.getChildren()) yield * descendants(child)
}

function at ({ path, tree }: Source, node: ts.Node): string {
  return `${path}:${tree.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
}

// The first pattern that matches a path determines its layer. The matched text is the folder within which files of a
// layer may import each other.
const layers: [RegExp, number][] = [
  [/^schemas\//, 0],
  [/^lib\/contracts\//, 1],
  [/^lib\/(?=((copies|errors|error-definitions|symbols|version)\.ts|packages\.cts)$)/, 1.5],
  [/^lib\/shared\//, 1.7],
  [/^lib\/(?=error-registry\.ts$)/, 1.8],
  [/^lib\/(captcha|passwords|tokens|hooks|adapters)\//, 2],
  [/^lib\/audit\//, 2.2],
  [/^lib\/attempts\//, 2.5],
  [/^lib\/sessions\//, 3],
  [/^lib\/users\//, 3.5], // imports lib/sessions, because changes of users end sessions
  [/^lib\/(transports|strategies)\//, 4],
  [/^lib\/user-cache\//, 4.5],
  [/^lib\/authentication\//, 5],
  [/^lib\/wire\//, 5.5],
  [/^lib\/routes\//, 6],
  [/^lib\/(feature|mail)\//, 6.5], // the kit that features receive; mails, which listen to events
  [
    /^lib\/(?=(plugin|core|mount|models|options|reply-fields|check-options|check-login-steps|resolve-options|read-registration|read-second-factors|read-tokens|security-profile|feature-backends|openapi)\.ts$)/,
    7
  ],
  [/^lib\/features\/[^/]+\//, 7],
  [/^lib\/(cli|testing|entries)\//, 8],
  [/^lib\/(?=index\.ts$)/, 8]
]

function placeOf (path: string): { layer: number; folder: string } | undefined {
  for (const [pattern, layer] of layers) {
    const folder = pattern.exec(path)?.[0]
    if (folder !== undefined) return { layer, folder }
  }
  return undefined
}

function moduleSpecifiers ({ tree }: Source): string[] {
  const found: string[] = []
  for (const node of descendants(tree)) {
    const specifier =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
          ? node.argument.literal
          : ts.isCallExpression(node) &&
              (node.expression.kind === ts.SyntaxKind.ImportKeyword || node.expression.getText() === 'require')
            ? node.arguments[0]
            : undefined
    if (specifier && ts.isStringLiteralLike(specifier)) found.push(specifier.text)
  }
  return found
}

/** Returns the modules that a module loads: those of its imports and exports of values. */
function loadedSpecifiers ({ tree }: Source): string[] {
  return tree.statements.flatMap((node) => {
    const isLoaded =
      (ts.isImportDeclaration(node) && node.importClause?.isTypeOnly !== true) ||
      (ts.isExportDeclaration(node) && !node.isTypeOnly)
    const specifier = isLoaded ? node.moduleSpecifier : undefined
    return specifier !== undefined && ts.isStringLiteral(specifier) ? [specifier.text] : []
  })
}

const importsPointDownwards: Check = (source) => {
  const from = placeOf(source.path)
  if (!from) return [`${source.path} belongs to no layer`]
  const problems: string[] = []
  for (const specifier of moduleSpecifiers(source)) {
    if (!specifier.startsWith('.')) {
      if (specifier.startsWith('fastify-users')) problems.push(`${source.path} imports the package itself`)
      if (from.layer === 0 && !/^(@sinclair\/typebox|node:)/.test(specifier)) {
        problems.push(`${source.path} imports ${specifier}: schemas are TypeBox only`)
      }
      continue
    }
    const target = posix.join(posix.dirname(source.path), specifier).replace(/\.(c?)js$/, '.$1ts')
    const to = placeOf(target)
    if (!to) problems.push(`${source.path} imports ${target}, which belongs to no layer`)
    else if (to.layer > from.layer) {
      problems.push(`${source.path} (L${from.layer}) imports ${target} (L${to.layer}) above it`)
    } else if (to.layer === from.layer && to.folder !== from.folder) {
      problems.push(`${source.path} imports ${target}, another folder of L${to.layer}`)
    }
  }
  return problems
}

/** A feature of this package uses what a feature of another package can use. */
const featuresImportOnlyTheKit: Check = (source) => {
  const folder = /^lib\/features\/[^/]+\//.exec(source.path)?.[0]
  if (folder === undefined) return []
  return moduleSpecifiers(source)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => posix.join(posix.dirname(source.path), specifier).replace(/\.(c?)js$/, '.$1ts'))
    .filter((target) => target !== 'lib/feature/index.ts' && !target.startsWith(folder))
    .map((target) => `${source.path} imports ${target}, which is not part of the kit`)
}

/** Returns the numbers of the lines that contain code, not only blanks and comments. */
function codeLines ({ tree }: Source): Set<number> {
  const lines = new Set<number>()
  for (const node of descendants(tree)) {
    if (
      node.getChildCount() > 0 ||
      node.kind === ts.SyntaxKind.EndOfFileToken ||
      ts.isJSDoc(node.parent) ||
      ts.isJSDoc(node)
    ) {
      continue
    }
    const first = tree.getLineAndCharacterOfPosition(node.getStart()).line
    const last = tree.getLineAndCharacterOfPosition(node.getEnd()).line
    if (node.getWidth() > 0) for (let line = first; line <= last; line++) lines.add(line)
  }
  return lines
}

const staysSmall: Check = (source) => {
  const { path, tree } = source
  const lines = codeLines(source)
  const problems = lines.size > maxFileLines ? [`${path} has ${lines.size} code lines`] : []
  for (const node of descendants(tree)) {
    if (!ts.isFunctionLike(node) || !('body' in node) || !node.body) continue
    const first = tree.getLineAndCharacterOfPosition(node.getStart()).line
    const last = tree.getLineAndCharacterOfPosition(node.getEnd()).line
    const size = [...lines].filter((line) => line >= first && line <= last).length
    if (size > maxFunctionLines) problems.push(`${at(source, node)} is a function of ${size} code lines`)
  }
  return problems
}

const keepsTypes: Check = (source) => {
  const problems: string[] = []
  for (const node of descendants(source.tree)) {
    if (node.kind === ts.SyntaxKind.AnyKeyword) problems.push(`${at(source, node)} says any`)
    if (ts.isNonNullExpression(node)) problems.push(`${at(source, node)} asserts non-null`)
    if ('exclamationToken' in node && node.exclamationToken) {
      problems.push(`${at(source, node)} asserts that it is assigned`)
    }
  }
  return problems
}

// these words are concatenated, so that the check does not find them in this file
const unfinished = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`)
const switchedOff = new RegExp(
  [
    'eslint-(?:dis' + 'able|enable)',
    '(?:c8|v8|istanbul|node:coverage) ign' + 'ore',
    '@ts-(?:ign' + 'ore|expect-error|nocheck)'
  ].join('|')
)

const hidesNothing: Check = ({ path, text }) =>
  text
    .split('\n')
    .flatMap((line, index) =>
      unfinished.test(line) || switchedOff.test(line) ? [`${path}:${index + 1} ${line.trim()}`] : []
    )

const bareErrors = new Set(['Error', 'TypeError', 'RangeError', 'SyntaxError', 'AggregateError'])

const throwsCodedErrors: Check = (source) => {
  if (source.path === 'lib/errors.ts') return []
  const problems: string[] = []
  for (const node of descendants(source.tree)) {
    if (!(ts.isNewExpression(node) || ts.isCallExpression(node)) || !ts.isIdentifier(node.expression)) continue
    const { text } = node.expression
    if (bareErrors.has(text) && !(text === 'TypeError' && source.path === 'schemas/invalid-field.ts')) {
      problems.push(`${at(source, node)} makes a bare ${text}`)
    }
  }
  return problems
}

const staysEncapsulated: Check = (source) => {
  if (source.path === 'lib/plugin.ts') return []
  const problems: string[] = moduleSpecifiers(source).includes('fastify-plugin')
    ? [`${source.path} imports fastify-plugin instead of packages.fp`]
    : []
  for (const node of descendants(source.tree)) {
    if (!ts.isCallExpression(node) || node.expression.getText() !== 'packages.fp') continue
    const options = node.arguments[1]
    const isEncapsulated =
      options &&
      ts.isObjectLiteralExpression(options) &&
      options.properties.some(
        (property) =>
          ts.isPropertyAssignment(property) &&
          property.name.getText() === 'encapsulate' &&
          property.initializer.kind === ts.SyntaxKind.TrueKeyword
      )
    if (!isEncapsulated) problems.push(`${at(source, node)} calls fp() without encapsulate: true`)
  }
  return problems
}

const keepsNoState: Check = (source) =>
  source.tree.statements
    .filter(ts.isVariableStatement)
    .filter(({ declarationList }) => (declarationList.flags & ts.NodeFlags.Const) === 0)
    .map((statement) => `${at(source, statement)} is module-level state`)

const secretName = /(?:token|secret|password|digest|hash|stamp|fingerprint|fgpt|signature|verifier|challenge|nonce)$/i

/** Returns the last name of an expression that is read or called: `session_stamp` of `row.session_stamp`. */
function nameOf (node: ts.Node): string {
  if (
    ts.isCallExpression(node) ||
    ts.isNonNullExpression(node) ||
    ts.isParenthesizedExpression(node) ||
    ts.isAsExpression(node)
  ) {
    return nameOf(node.expression)
  }
  return ts.isPropertyAccessExpression(node) ? node.name.text : ts.isIdentifier(node) ? node.text : ''
}

/** Secrets are compared by `isSameSecret`. Values that no client sent may be compared by operators. */
const comparesSecretsInConstantTime: Check = (source) => {
  const operators = new Set([
    ts.SyntaxKind.EqualsEqualsToken,
    ts.SyntaxKind.EqualsEqualsEqualsToken,
    ts.SyntaxKind.ExclamationEqualsToken,
    ts.SyntaxKind.ExclamationEqualsEqualsToken
  ])
  const problems: string[] = []
  for (const node of descendants(source.tree)) {
    if (!ts.isBinaryExpression(node) || !operators.has(node.operatorToken.kind)) continue
    const [left, right] = [nameOf(node.left), nameOf(node.right)]
    const isPlain = [node.left, node.right].some(
      (side) =>
        ts.isLiteralExpression(side) ||
        ['null', 'undefined', ''].includes(side.kind === ts.SyntaxKind.NullKeyword ? 'null' : nameOf(side))
    )
    if (!isPlain && left !== right && [left, right].some((name) => secretName.test(name))) {
      problems.push(`${at(source, node)} compares ${node.getText()}`)
    }
  }
  return problems
}

/**
 * Bundlers include a package only where an import names it literally, and a bundle in CommonJS has no `import.meta`.
 */
const canBeBundled: Check = (source) => {
  if (source.path.startsWith('lib/cli/')) return [] // the command line is never part of a bundle
  const problems: string[] = []
  for (const node of descendants(source.tree)) {
    if (ts.isMetaProperty(node)) problems.push(`${at(source, node)} reads import.meta`)
    if (ts.isIdentifier(node) && node.text === 'createRequire') problems.push(`${at(source, node)} uses createRequire`)
    if (!ts.isCallExpression(node) || node.expression.kind !== ts.SyntaxKind.ImportKeyword) continue
    if (node.arguments[0] === undefined || !ts.isStringLiteral(node.arguments[0])) {
      problems.push(`${at(source, node)} imports a computed name`)
    }
  }
  return problems
}

/** Returns the names that an entry file exports and that have no doc comment in their source file. */
function undocumentedExports (entry: string, sources: Source[]): string[] {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const host: ts.CompilerHost = {
    ...ts.createCompilerHost({}),
    getCurrentDirectory: () => '',
    fileExists: (path) => byPath.has(path),
    readFile: (path) => byPath.get(path)?.text,
    getSourceFile: (path) => byPath.get(path)?.tree,
    // resolves only files of the repository: exported names do not need the packages
    resolveModuleNameLiterals: (literals, from) =>
      literals.map(({ text }) => {
        const resolvedFileName = posix.join(posix.dirname(from), text).replace(/\.(c?)js$/, '.$1ts')
        return {
          resolvedModule:
            text.startsWith('.') && byPath.has(resolvedFileName)
              ? { resolvedFileName, extension: ts.Extension.Ts }
              : undefined
        }
      })
  }
  const program = ts.createProgram(
    [entry],
    { noLib: true, types: [], target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext },
    host
  )
  const checker = program.getTypeChecker()
  const entryFile = program.getSourceFile(entry)
  const module = entryFile && checker.getSymbolAtLocation(entryFile)
  if (!module) return [`${entry} exports nothing`]
  return checker.getExportsOfModule(module).flatMap((name) => {
    const symbol = name.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name
    const declarations = symbol.declarations ?? []
    const isDocumented =
      declarations.length === 0 ||
      declarations.some((declaration) => ts.getJSDocCommentsAndTags(declaration).some(ts.isJSDoc))
    return isDocumented ? [] : [`${name.name} in ${declarations[0]?.getSourceFile().fileName}`]
  })
}

/** Names of standards in files outside of the feature, with the reason. All of them are about the password form. */
const standards: Record<string, [text: RegExp, reason: string]> = {
  'schemas/auth.ts': [/OAuth 2 password form \(RFC 6749, section 4\.3\.2\)/g, 'the format of the login form'],
  'lib/options.ts': [/password flow of OAuth 2 \(RFC 6749, section 4\.3\)/g, 'the option openapiPasswordFlow'],
  'lib/contracts/settings.ts': [/OAuth 2 password flow/g, 'the option openapiPasswordFlow'],
  'lib/routes/document-routes.ts': [/OAuth 2 password flow|type: 'oauth2'/g, 'a value of OpenAPI for this flow'],
  'lib/openapi.ts': [/type: 'oauth2'/g, 'a value of OpenAPI for this flow']
}

/** A feature is one folder: no other file depends on it, and none has its name. */
const namesNoFeature: Check = ({ path, text }) => {
  if (path.startsWith('lib/features/oauth/')) return []
  const [standard] = standards[path] ?? []
  return text
    .split('\n')
    .flatMap((line, index) =>
      /oauth/i.test(standard === undefined ? line : line.replace(standard, '')) ? [`${path}:${index + 1} names OAuth`] : []
    )
}

const endings = new Set(['destroyToken', 'destroyAllTokens', 'destroySession'])

/** Tokens are revoked in one folder, where their end is reported to the observers of sessions. */
const revokesInOnePlace: Check = (source) => {
  if (/^lib\/(sessions|strategies)\//.test(source.path)) return []
  return [...descendants(source.tree)]
    .filter((node) => ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression))
    .filter((node) => endings.has(((node as ts.CallExpression).expression as ts.PropertyAccessExpression).name.text))
    .map((node) => `${at(source, node)} revokes a token; use a function of lib/sessions`)
}

/** Returns the names of the functions of a module, without those inside functions and classes. */
function functionNames ({ tree }: Source): string[] {
  return tree.statements.flatMap((node) => {
    if (ts.isFunctionDeclaration(node)) return node.name?.text ?? []
    if (!ts.isVariableStatement(node)) return []
    return node.declarationList.declarations.flatMap(({ name, initializer }) =>
      initializer && (ts.isArrowFunction(initializer) || ts.isFunctionExpression(initializer)) ? name.getText() : []
    )
  })
}

/** A function has one name in the whole code base, so that a search for its name finds no other function. */
function sharedFunctionNames (sources: Source[]): string[] {
  const paths = new Map<string, Set<string>>()
  for (const source of sources) {
    for (const name of functionNames(source)) paths.set(name, (paths.get(name) ?? new Set()).add(source.path))
  }
  return [...paths].flatMap(([name, found]) =>
    found.size > 1 ? [`${name} is a function in ${[...found].join(' and ')}`] : []
  )
}

const machinePath = /(?:^|[^\w.])\/(?:work|farm|root|Users|home)\//
const registryHost = /registry\.npmjs|registry\.yarnpkg|npmmirror\.|deb\.debian|archive\.ubuntu/

const namesNoMachine = (path: string, text: string): string[] =>
  text
    .split('\n')
    .flatMap((line, index) =>
      machinePath.test(line) || registryHost.test(line) ? [`${path}:${index + 1} ${line.trim().slice(0, 120)}`] : []
    )

const sources = [...readSources('schemas'), ...readSources('lib')]

const runOn = (check: Check, path: string, text: string): number => check(parse(path, text)).length

t.test('imports point downwards, and within a layer only inside one folder', async (t) => {
  t.strictSame(sources.flatMap(importsPointDownwards), [])
})

t.test('the import check refuses imports that the layers forbid', async (t) => {
  const refused: [string, string][] = [
    ['lib/users/email.ts', "import { a } from '../routes/auth.js'"],
    ['lib/users/email.ts', "import type { A } from '../authentication/guard.js'"],
    ['lib/users/email.ts', "export { a } from '../plugin.js'"],
    ['lib/users/email.ts', "export * from '../index.js'"],
    ['lib/users/email.ts', "const later = () => import('../features/oauth/index.js')"],
    ['lib/users/email.ts', "let a: import('../routes/auth.js').A"],
    ['lib/users/email.ts', "import '../../test/helpers/build-app.js'"],
    ['lib/users/email.ts', "import 'fastify-users'"],
    ['lib/sessions/login.ts', "import type { A } from '../users/rules.js'"],
    ['lib/passwords/argon2-hasher.ts', "import { a } from '../tokens/keys.js'"],
    ['lib/transports/define.ts', "import { a } from '../strategies/define.js'"],
    ['lib/contracts/user.ts', "import type { A } from '../errors.js'"],
    ['lib/plugin.ts', "import { a } from './features/oauth/index.js'"],
    ['lib/features/oauth/index.ts', "import { a } from '../totp/index.js'"],
    ['lib/features/oauth/index.ts', "import { a } from '../../plugin.js'"],
    ['schemas/user.ts', "import type { A } from '../lib/contracts/user.js'"],
    ['schemas/user.ts', "import Fastify from 'fastify'"],
    ['lib/elsewhere/a.ts', ''],
    ['lib/elsewhere.ts', '']
  ]
  for (const [path, text] of refused) t.equal(runOn(importsPointDownwards, path, text), 1, `${path}: ${text}`)
  const accepted: [string, string][] = [
    [
      'lib/users/email.ts',
      "import { a } from './users-service.js'; import { b } from '../passwords/index.js'; import { c } from '../../schemas/index.js'; import 'node:crypto'"
    ],
    ['lib/adapters/sql/encoder.ts', "import { a } from '../shared/values.js'"],
    ['lib/users/deletion.ts', "import { a } from '../sessions/index.js'"],
    ['lib/plugin.ts', "import { a } from './options.js'"],
    [
      'lib/features/oauth/providers/github.ts',
      "import { a } from '../state.js'; import { b } from '../../../feature/index.js'"
    ],
    ['lib/index.ts', "export { users } from './plugin.js'; export { oauth } from './features/oauth/index.js'"]
  ]
  for (const [path, text] of accepted) t.strictSame(importsPointDownwards(parse(path, text)), [], `${path}: ${text}`)
})

t.test('features import only their own folder and the public kit', async (t) => {
  t.strictSame(sources.flatMap(featuresImportOnlyTheKit), [])
  for (const text of [
    "import { a } from '../../routes/index.js'",
    "import type { A } from '../../contracts/user.js'",
    "import { a } from '../../feature/kit.js'",
    "import { a } from '../totp/index.js'",
    "import { a } from '../../../schemas/index.js'",
    "const later = () => import('../../plugin.js')"
  ]) {
    t.equal(runOn(featuresImportOnlyTheKit, 'lib/features/oauth/index.ts', text), 1, text)
  }
  for (const text of ["import { a } from '../../feature/index.js'", "import './flow.js'", "import 'fastify'"]) {
    t.equal(runOn(featuresImportOnlyTheKit, 'lib/features/oauth/index.ts', text), 0, text)
  }
})

t.test('only the folder of the feature OAuth, and the export of the package, name it', async (t) => {
  t.strictSame(sources.flatMap(namesNoFeature), [])
  for (const [path, [text, reason]] of Object.entries(standards)) {
    const found = sources.find((source) => source.path === path)
    t.match(found?.text, text, `${path}: ${reason}`)
  }
  for (const text of ["import '../features/oauth/index.js'", '// as in OAuth', "const table = 'oauth_account'", 'linkOauth()']) {
    t.equal(runOn(namesNoFeature, 'lib/users/a.ts', text), 1, text)
    t.equal(runOn(namesNoFeature, 'lib/openapi.ts', text), 1, text)
    t.equal(runOn(namesNoFeature, 'lib/features/oauth/a.ts', text), 0, text)
  }
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object }
  t.strictSame(
    Object.keys(exports).filter((name) => /oauth/i.test(name)),
    ['./oauth']
  )
})

t.test('a file has at most 250 code lines and a function at most 60', async (t) => {
  t.strictSame(sources.flatMap(staysSmall), [])
})

t.test('the size check counts code, not blanks and comments', async (t) => {
  const lines = (count: number, line: string) => `${line}\n`.repeat(count)
  t.equal(runOn(staysSmall, 'lib/a.ts', lines(maxFileLines + 1, 'a()')), 1)
  t.equal(
    runOn(staysSmall, 'lib/a.ts', lines(maxFileLines, 'a()') + lines(99, '// a') + lines(99, '') + lines(99, '/** a */')),
    0
  )
  t.equal(runOn(staysSmall, 'lib/a.ts', `const a = () => {\n${lines(maxFunctionLines - 1, 'a()')}}`), 1)
  t.equal(
    runOn(staysSmall, 'lib/a.ts', `const a = () => {\n${lines(maxFunctionLines - 2, 'a()')}${lines(99, '// a')}}`),
    0
  )
  t.equal(runOn(staysSmall, 'lib/a.ts', `function a () {\nreturn \`\n${lines(maxFunctionLines, 'text')}\`\n}`), 1)
})

t.test('no type is any, and no value is asserted to be non-null', async (t) => {
  t.strictSame(sources.flatMap(keepsTypes), [])
  for (const text of ['let a: any', 'f<any>()', 'a!.b', 'class A { b!: string }']) {
    t.equal(runOn(keepsTypes, 'lib/a.ts', text), 1, text)
  }
  t.equal(runOn(keepsTypes, 'lib/a.ts', '/** any! */ const any = !a'), 0)
})

t.test('no comment marks unfinished work or switches a check off', async (t) => {
  t.strictSame(sources.flatMap(hidesNothing), [])
  for (const text of [
    '// TO' + 'DO later',
    '// eslint-dis' + 'able-next-line',
    '/* c8 ign' + 'ore next */',
    '// @ts-ign' + 'ore'
  ]) {
    t.equal(runOn(hidesNothing, 'lib/a.ts', text), 1, text)
  }
})

t.test('SES-07: tokens are revoked in lib/sessions only, which reports the end of their sessions', async (t) => {
  t.strictSame(sources.flatMap(revokesInOnePlace), [])
  for (const text of ['strategy.destroyToken(token, user)', 'await backend.strategy.destroyAllTokens?.(user)']) {
    t.equal(runOn(revokesInOnePlace, 'lib/routes/a.ts', text), 1, text)
    t.equal(runOn(revokesInOnePlace, 'lib/sessions/a.ts', text), 0, text)
  }
})

t.test('errors come from the errors file', async (t) => {
  t.strictSame(sources.flatMap(throwsCodedErrors), [])
  for (const text of ["throw new Error('a')", "throw Error('a')", "new TypeError('a')"]) {
    t.equal(runOn(throwsCodedErrors, 'lib/a.ts', text), 1, text)
  }
  t.equal(runOn(throwsCodedErrors, 'lib/a.ts', 'throw FST_USERS_NOT_FOUND()'), 0)
  t.equal(runOn(throwsCodedErrors, 'schemas/invalid-field.ts', "throw new TypeError('a')"), 0)
})

t.test('only the root plugin breaks encapsulation', async (t) => {
  t.strictSame(sources.flatMap(staysEncapsulated), [])
  const text = "export default packages.fp(a, { name: 'a' })"
  t.equal(runOn(staysEncapsulated, 'lib/routes/a.ts', text), 1)
  t.equal(runOn(staysEncapsulated, 'lib/plugin.ts', text), 0)
  t.equal(runOn(staysEncapsulated, 'lib/routes/a.ts', text.replace('}', ', encapsulate: true }')), 0)
  t.equal(runOn(staysEncapsulated, 'lib/routes/a.ts', "import fp from 'fastify-plugin'"), 1)
})

t.test('SES-03: secrets are never compared by an operator, which stops at the first difference', async (t) => {
  t.strictSame(sources.flatMap(comparesSecretsInConstantTime), [])
  for (const text of [
    'row.session_stamp === stamp',
    'fingerprint(key, hash) === given',
    'given !== row.token',
    'a.digest == b',
    'known === (sent as { secret: string }).secret'
  ]) {
    t.equal(runOn(comparesSecretsInConstantTime, 'lib/a.ts', text), 1, text)
  }
  for (const text of [
    'token === null',
    "token === ''",
    'token === undefined',
    'token.length === 43',
    'now.session_stamp === row.session_stamp',
    "typeof token === 'string'"
  ]) {
    t.equal(runOn(comparesSecretsInConstantTime, 'lib/a.ts', text), 0, text)
  }
})

t.test('CFG-10: packages with known weaknesses have a version that fixed them', async (t) => {
  interface Manifest {
    version?: string
    dependencies?: Record<string, string>
    peerDependencies?: Record<string, string>
    devDependencies?: Record<string, string>
    optionalDependencies?: Record<string, string>
  }
  const mended = Object.fromEntries(RISKY_PACKAGES.map(({ name, minimum }) => [name, minimum]))
  const read = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'))
  const { dependencies, peerDependencies, devDependencies } = read('package.json') as Manifest
  for (const [kind, ranges] of Object.entries({ dependencies, peerDependencies, devDependencies })) {
    for (const [name, least] of Object.entries(mended)) {
      const range = ranges?.[name]
      if (range !== undefined) {
        const [, lowest] = /^(?:[\^~]|>=)(\d+\.\d+\.\d+)$/.exec(range) ?? []
        t.ok(lowest !== undefined && isAtLeast(lowest, least), `${kind}: ${name} ${range}`)
      }
    }
  }
  t.match(peerDependencies, { fastify: String })
  const { packages } = read('package-lock.json') as { packages: Record<string, Manifest> }
  for (const [name, least] of Object.entries(mended)) {
    const locked = Object.entries(packages).filter(([path]) => path.endsWith(`node_modules/${name}`))
    t.ok(locked.length > 0 || ['jsonwebtoken', 'jws'].includes(name), `${name} is locked`)
    for (const [path, { version = '' }] of locked) t.ok(isAtLeast(version, least), `${path} ${version}`)
  }
})

// start anew at every place of their text, which is quadratic at worst; none of it comes with a request
const readOnlyOurOwn: Record<string, string> = {
  '/=+$/': 'our own random bytes',
  '/-----\\s*BEGIN|^\\s*\\{|^\\s*(?:ssh-|ecdsa-)/': 'a secret among the options',
  '/\\/+$/': 'a URL among the options',
  '/\\/\\.well-known\\/.*$/': 'a URL among the options',
  '/"(?:[^"]|"")+"|[\\p{L}\\p{N}_$]+/gu': 'names of columns, as PostgreSQL says them',
  '/char[^(]*\\(\\s*(\\d+)/i': 'the type of a column, as SQLite says it'
}

t.test('INP-10, EML-06: every regular expression that text of a request can reach is linear', async (t) => {
  const slow: [RegExp, string][] = [
    [/^(a+)+$/, 'exponential'],
    [/^(?:a|a)*$/, 'exponential'],
    [/^(?:a|b|ab)*$/, 'exponential'],
    [/^(?:\w+\.?)+$/, 'exponential'],
    [/^\d+\d+$/, 'polynomial'],
    [/\s+$/, 'polynomial'],
    [/^\s*a?\s*$/, 'polynomial'],
    [/^[^@]+@[^@]+\.[^@]+$/, 'polynomial']
  ]
  for (const [expression, kind] of slow) t.equal(slownessOf(expression), kind, String(expression))
  for (const expression of [/^a+$/, /a+/, /^(?:ab)*$/, /^(?:a|b)*$/, /^\d+\.\d+$/, /^\s*(?:a\s*)*$/, /\?.*/s]) {
    t.equal(slownessOf(expression), null, String(expression))
  }

  const found: RegExp[] = []
  for (const { tree } of sources) {
    for (const node of descendants(tree)) {
      if (ts.isRegularExpressionLiteral(node)) {
        const end = node.text.lastIndexOf('/')
        found.push(new RegExp(node.text.slice(1, end), node.text.slice(end + 1)))
      }
      if (ts.isPropertyAssignment(node) && node.name.getText() === 'pattern' && ts.isStringLiteral(node.initializer)) {
        found.push(new RegExp(node.initializer.text, 'u'))
      }
      if (ts.isNewExpression(node) && node.expression.getText() === 'RegExp') {
        t.match(node.getText(), /^new RegExp\([A-Z]+, '\w+'\)$/, 'the expression is built from a literal one')
      }
    }
  }
  t.ok(found.length > 50, `${found.length} expressions`)
  const slowest = found.filter((expression) => slownessOf(expression) !== null)
  t.same(new Set(slowest.map(String)), new Set(Object.keys(readOnlyOurOwn)))
  t.ok(slowest.every((expression) => slownessOf(expression) === 'polynomial'))
})

t.test('bundlers can follow every import of the library', async (t) => {
  t.strictSame(sources.flatMap(canBeBundled), [])
  for (const text of [
    "import { createRequire } from 'node:module'",
    'const url = import.meta.url',
    'await import(name)',
    "await import('./' + name)"
  ]) {
    t.equal(runOn(canBeBundled, 'lib/a.ts', text), 1, text)
  }
  t.equal(runOn(canBeBundled, 'lib/a.ts', "await import('mongodb')"), 0)
  t.equal(runOn(canBeBundled, 'lib/cli/a.ts', 'await import(path)'), 0)
})

t.test('the root entry loads no database adapter and no Redis client', async (t) => {
  const entries = /^lib\/(adapters\/(sql|kysely|mongodb|memory)|strategies\/redis)\//
  const loadedBy = (path: string, loaded = new Set<string>()): Set<string> => {
    const source = sources.find((one) => one.path === path)
    if (source === undefined || loaded.has(path)) return loaded
    loaded.add(path)
    for (const specifier of loadedSpecifiers(source)) {
      if (specifier.startsWith('.')) {
        loadedBy(posix.join(posix.dirname(path), specifier).replace(/\.(c?)js$/, '.$1ts'), loaded)
      }
    }
    return loaded
  }
  t.strictSame([...loadedBy('lib/index.ts')].filter((path) => entries.test(path)), [])
  t.ok([...loadedBy('lib/entries/sqlite.ts')].some((path) => entries.test(path)))
})

t.test('modules hold no state', async (t) => {
  t.strictSame(sources.flatMap(keepsNoState), [])
  for (const text of ['let a = 0', 'export let a: number', 'var a']) {
    t.equal(runOn(keepsNoState, 'lib/a.ts', text), 1, text)
  }
  t.equal(runOn(keepsNoState, 'lib/a.ts', 'const a = () => { let b = 0; return b++ }'), 0)
})

t.test('two functions of modules never share a name', async (t) => {
  t.strictSame(sharedFunctionNames(sources), [])
  const run = (...texts: string[]): string[] =>
    sharedFunctionNames(texts.map((text, position) => parse(`lib/${position}.ts`, text)))
  for (const text of [
    'export function a () {}',
    'export default async function a () {}',
    'const b = 1, a = () => {}',
    'export const a: A = async function () {}'
  ]) {
    t.strictSame(run('function a () {}', 'function b () {}', text), ['a is a function in lib/0.ts and lib/2.ts'], text)
  }
  for (const text of [
    'const a = 1',
    'function c () { function a () {} const b = () => {} }',
    'class C { a () {} }',
    "import { a } from './0.js'",
    "export { a } from './0.js'",
    'function c (): void; function c (c?: C): void {}'
  ]) {
    t.strictSame(run('function a () {}', text), [], text)
  }
})

t.test('every name that the package exports has a doc comment', async (t) => {
  t.strictSame(undocumentedExports('lib/index.ts', sources), [])
  t.strictSame(undocumentedExports('lib/feature/index.ts', sources), [])
  t.strictSame(undocumentedExports('lib/features/oauth/index.ts', sources), [])
  t.strictSame(undocumentedExports('lib/features/roles/index.ts', sources), [])
  t.strictSame(undocumentedExports('lib/captcha/index.ts', sources), [])
  if (existsSync(join(root, 'lib/testing/index.ts'))) {
    t.strictSame(undocumentedExports('lib/testing/index.ts', sources), [])
  }
  const files = [
    parse(
      'lib/index.ts',
      "export { a, b as c } from './a.js'\nexport * from './b.js'\nexport type { D } from './b.js'\nexport { default } from './b.js'"
    ),
    parse('lib/a.ts', '/** Gives a. */\nexport const a = 1\nexport const b = 2'),
    parse(
      'lib/b.ts',
      '// D\nexport interface D { d: 1 }\n/** E. */\nexport type E = 1\nexport default function f () {}'
    )
  ]
  t.strictSame(undocumentedExports('lib/index.ts', files).sort(), [
    'D in lib/b.ts',
    'c in lib/a.ts',
    'default in lib/b.ts'
  ])
})

t.test('no file names a path of one machine or a package registry', async (t) => {
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8'
  })
    .split('\0')
    .filter((path) => path !== '' && !path.endsWith('.svg') && existsSync(join(root, path)))
  t.ok(files.length > 0)
  const texts = files
    .map((path) => [path, readFileSync(join(root, path), 'utf8')] as const)
    .filter(([, text]) => !text.includes('\0'))
  t.strictSame(
    texts.flatMap(([path, text]) => namesNoMachine(path, text)),
    []
  )
  for (const text of ['cd /ro' + 'ot/a', 'https://registry.np' + 'mjs.org/a']) {
    t.equal(namesNoMachine('a', text).length, 1, text)
  }
  t.equal(namesNoMachine('a', 'https://example.com/root/ lib/work/ node_modules').length, 0)
})
