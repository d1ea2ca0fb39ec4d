import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { pathToFileURL } from 'node:url'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import ts from 'typescript'
import * as captchaEntry from '../lib/captcha/index.js'
import { apiKeyErrors, apiKeys } from '../lib/features/api-keys/index.js'
import { sessionsErrors } from '../lib/features/sessions/index.js'
import { account, accountErrors } from '../lib/features/account/index.js'
import { emailLogin, emailLoginErrors } from '../lib/features/email-login/index.js'
import { passkeyErrors, passkeys } from '../lib/features/passkeys/index.js'
import { recoveryCodeErrors, recoveryCodes } from '../lib/features/recovery-codes/index.js'
import { refreshTokenErrors } from '../lib/features/refresh-tokens/index.js'
import { totpErrors } from '../lib/features/totp/index.js'
import * as oauthLibrary from '../lib/features/oauth/index.js'
import * as rolesLibrary from '../lib/features/roles/index.js'
import * as drizzleEntry from '../lib/entries/drizzle.js'
import * as kyselyEntry from '../lib/entries/kysely.js'
import * as mailEntry from '../lib/entries/mail.js'
import * as memoryEntry from '../lib/entries/memory.js'
import * as mongodbEntry from '../lib/entries/mongodb.js'
import * as mysqlEntry from '../lib/entries/mysql.js'
import * as nodemailerEntry from '../lib/entries/nodemailer.js'
import * as postgresEntry from '../lib/entries/postgres.js'
import * as prismaEntry from '../lib/entries/prisma.js'
import * as redisEntry from '../lib/entries/redis.js'
import * as sqliteEntry from '../lib/entries/sqlite.js'
import * as library from '../lib/index.js'
import { eventNames } from '../lib/hooks/index.js'
import { buildPackage, transpile } from './helpers/build-package.js'
import { root } from './helpers/root.js'
import { backends, fastPasswords, SECRET } from './helpers/build-app.js'

const { memory } = memoryEntry
/** The entries of the databases, of Redis and of mails, by their subpath. */
const entries = {
  drizzle: drizzleEntry,
  kysely: kyselyEntry,
  mail: mailEntry,
  memory: memoryEntry,
  mongodb: mongodbEntry,
  mysql: mysqlEntry,
  nodemailer: nodemailerEntry,
  postgres: postgresEntry,
  prisma: prismaEntry,
  redis: redisEntry,
  sqlite: sqliteEntry
}

// A snippet marked ```ts is a complete module. One marked ```ts partial gets imports and an application in front. All
// snippets are type-checked against the sources and run.
interface Snippet {
  name: string
  text: string
  partial: boolean
}

/** Codes that the table of routes omits, because all or most routes have them. */
const COMMON_CODES = new Set(['INTERNAL_ERROR', 'STORE_UNAVAILABLE', 'BAD_REQUEST'])

/** Source files shared by the type checks, by path. */
const parsed = new Map<string, ts.SourceFile>()

/** README.md, CONTRIBUTING.md and docs/, without the generated API reference and the built site. */
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md') && !/^(api|\.vitepress)\//.test(path))
    .sort()
    .map((path) => join('docs', path))
]
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const snippets = pages.flatMap((page) => snippetsOf(page, read(page)))

t.test('every snippet passes the type check', async (t) => {
  t.ok(snippets.length > 10)
  const modules = snippets.map(({ name, text, partial }) => ({
    name,
    text: partial ? partialPreamble(text) + text : text
  }))
  // checked one by one, because each declaration would apply to all modules of a program
  const declaring = modules.filter(({ text }) => text.includes('declare module'))
  t.strictSame(
    [modules.filter((module) => !declaring.includes(module)), ...declaring.map((module) => [module])].flatMap(
      typeCheck
    ),
    []
  )
})

t.test('links of the pages and of SECURITY.md lead to existing files and headings', async (t) => {
  const anchorsOf = (text: string): Set<string> =>
    new Set(
      [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\p{L}\p{N} _-]/gu, '')
          .replaceAll(' ', '-')
      )
    )
  const broken = [...pages, 'SECURITY.md'].flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
      if (/^https?:/.test(link)) return []
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? page : join(dirname(page), file)
      const leads = existsSync(join(root, target)) && (anchor === undefined || anchorsOf(read(target)).has(anchor))
      return leads ? [] : [`${page}: ${link}`]
    })
  )
  t.strictSame(broken, [])
})

t.test('the type check reports a type error with its snippet and line', async (t) => {
  t.match(typeCheck([{ name: 'wrong', text: "import { sqlite } from 'fastify-users/sqlite'\nsqlite(1)" }]), [/^wrong:2: /])
})

t.test('the examples are type-checked with the tests', async (t) => {
  const project = join(root, 'test/tsconfig.json')
  const { config } = ts.readConfigFile(project, ts.sys.readFile) as { config: object }
  const checked = ts.parseJsonConfigFileContent(config, ts.sys, dirname(project)).fileNames
  const files = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => join(root, 'examples', path))
  t.strictSame(files.filter((file) => !checked.includes(file)), [])
})

t.test('every snippet runs', async (t) => {
  const folder = t.testdir()
  buildPackage(folder)
  const cwd = join(folder, 'cwd')
  mkdirSync(cwd)
  const files = snippets.map((snippet) => {
    const file = join(folder, `${snippet.name.replaceAll(/\W/g, '-')}.js`)
    writeFileSync(file, transpile(toProgram(snippet)))
    return file
  })
  const program = files.map((file) => `await import(${JSON.stringify(pathToFileURL(file).href)})`).join('\n')
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    cwd,
    encoding: 'utf8',
    timeout: 300_000,
    env: { ...process.env, USERS_SECRET: SECRET }
  })
  t.equal(status, 0, status === 0 ? 'none fails' : `${stdout}${stderr}`)
})

t.test('the tables of errors equal errorTable()', async (t) => {
  const errorsOf = (heading: string, page: string): object[] =>
    rowsOf(heading, read(page)).map(([code, status, message]) => ({
      code: withoutBackticks(code),
      statusCode: Number(status),
      message
    }))
  const defined = library
    .errorTable([
      { errors: oauthLibrary.oauthErrors.definitions },
      { errors: rolesLibrary.rolesErrors.definitions },
      { errors: apiKeyErrors.definitions },
      { errors: emailLoginErrors.definitions },
      { errors: passkeyErrors.definitions },
      { errors: sessionsErrors.definitions },
      { errors: accountErrors.definitions },
      { errors: totpErrors.definitions },
      { errors: recoveryCodeErrors.definitions },
      { errors: refreshTokenErrors.definitions }
    ])
    .map(({ code, statusCode, message }) => ({ code, statusCode, message }))
  const documented = [
    errorsOf('All codes', 'docs/errors.md'),
    errorsOf('Errors', 'docs/oauth.md'),
    errorsOf('Errors', 'docs/roles.md'),
    errorsOf('Errors', 'docs/api-keys.md'),
    errorsOf('Errors', 'docs/email-login.md'),
    errorsOf('Errors', 'docs/passkeys.md'),
    errorsOf('Errors', 'docs/sessions.md'),
    errorsOf('Errors', 'docs/account.md'),
    errorsOf('Errors', 'docs/authenticator-apps.md'),
    errorsOf('Errors', 'docs/refresh-tokens.md')
  ]
  t.strictSame(documented.flat(), defined)
})

t.test('the tables of options, guard flags, events and methods equal the types', async (t) => {
  t.strictSame(
    rowsOf('All options', read('docs/options.md')).map(([option]) => withoutBackticks(option)),
    membersOf('lib/options.ts', 'UsersOptions')
  )
  t.strictSame(
    rowsOf('Parts of the option', read('docs/compatibility.md')).map(([option]) => withoutBackticks(option)),
    membersOf('lib/wire/compatibility.ts', 'CompatibilityOptions')
  )
  t.strictSame(
    rowsOf('Flags', read('docs/guard.md')).map(([flag]) => withoutBackticks(flag)),
    membersOf('lib/contracts/authentication.ts', 'AuthenticateOptions')
  )
  t.strictSame(
    rowsOf('All events', read('docs/hooks.md')).map(([event]) => withoutBackticks(event)),
    eventNames
  )
  t.strictSame(
    rowsOf('All events', read('docs/hooks.md')).map(([event]) => withoutBackticks(event)),
    membersOf('lib/contracts/events.ts', 'UsersEvents')
  )
  t.strictSame(
    rowsOf('Events', read('docs/linked-accounts.md')).map(([event]) => withoutBackticks(event)),
    oauthLibrary.oauth({ providers: [] }).events
  )
  for (const [name, events, options] of [
    ['api-keys', apiKeys({ scopes: [] }).events, 'ApiKeysOptions'],
    ['email-login', emailLogin().events, 'EmailLoginOptions'],
    ['passkeys', passkeys().events, 'PasskeysOptions']
  ] as const) {
    const featurePage = read(`docs/${name}.md`)
    const firstNames = (heading: string): (string | undefined)[] =>
      rowsOf(heading, featurePage).map(([cell = '']) => withoutBackticks(cell))
    t.strictSame(firstNames('Events'), events)
    t.strictSame(firstNames('Options'), membersOf(`lib/features/${name}/options.ts`, options))
  }
  t.strictSame(
    rowsOf('Lifetimes', read('docs/sessions.md')).map(([option]) => withoutBackticks(option)),
    ['SessionLimits', 'SessionLifetimes', 'SessionsOptions'].flatMap((name) => membersOf('lib/features/sessions/options.ts', name))
  )
  const accountPage = read('docs/account.md')
  t.strictSame(rowsOf('Events', accountPage).map(([event]) => withoutBackticks(event)), account().events)
  t.strictSame(
    rowsOf('Options', accountPage).map(([option]) => withoutBackticks(option)),
    membersOf('lib/features/account/options.ts', 'AccountOptions')
  )
  const appPage = read('docs/authenticator-apps.md')
  t.strictSame(rowsOf('Events', appPage).map(([event]) => withoutBackticks(event)), recoveryCodes().events)
  t.strictSame(
    rowsOf('Options', appPage).map(([option]) => withoutBackticks(option)),
    membersOf('lib/features/totp/options.ts', 'TotpOptions')
  )
  const features = read('docs/features.md')
  const firstCells = (heading: string): string[] => rowsOf(heading, features).map(([cell = '']) => cell)
  const namesOf = (cells: readonly string[]): (string | undefined)[] =>
    cells.flatMap((cell) => [...cell.matchAll(/`(\w+)/g)].map(([, name]) => name)).sort()
  for (const [heading, name] of [
    ['Properties of a feature', 'Feature'],
    ['Parts that setup returns', 'FeatureParts'],
    ['The kit', 'FeatureKit']
  ] as const) {
    t.strictSame(namesOf(firstCells(heading)), membersOf('lib/contracts/feature.ts', name).sort(), heading)
  }
  const methods = rowsOf('Methods of app.users', read('docs/concepts.md')).flatMap(([cell = '']) =>
    [...cell.matchAll(/`(\w+)/g)].map(([, name]) => name)
  )
  t.strictSame(methods.sort(), membersOf('lib/contracts/users-api.ts', 'UsersApi').sort())
})

t.test('the page about hooks has a heading and a snippet for every event', async (t) => {
  const sections = read('docs/hooks.md')
    .split('\n## ')
    .map((text) => [text.slice(0, text.indexOf('\n')), text.includes('```ts')] as const)
  t.strictSame(
    sections.filter(([heading, hasSnippet]) => heading.startsWith('on') && hasSnippet).map(([heading]) => heading),
    eventNames
  )
})

t.test('every link of the README and the docs leads to an existing file and heading', async (t) => {
  const broken = pages.flatMap((page) =>
    linksOf(read(page))
      .filter((link) => !linkTargetExists(page, link))
      .map((link) => `${page}: ${link}`)
  )
  t.strictSame(broken, [])
  t.ok(pages.flatMap((page) => linksOf(read(page))).length > 50)
  t.notOk(linkTargetExists('README.md', 'docs/none.md'), 'a link to a missing file is broken')
  t.notOk(linkTargetExists('README.md', 'docs/errors.md#none'), 'a link to a missing heading is broken')
})

t.test(
  'the README has at most 250 lines; every page of the docs is linked from it or from the start page',
  async (t) => {
    t.ok(read('README.md').split('\n').length <= 250)
    const linked = new Set(
      ['README.md', 'docs/index.md'].flatMap((page) =>
        linksOf(read(page)).map((link) => posix.join(posix.dirname(page), link.replace(/#.*/, '')))
      )
    )
    const guides = pages.filter(
      (page) => page.startsWith('docs/') && page !== 'docs/index.md' && !page.startsWith('docs/contributing/')
    )
    t.strictSame(
      guides.filter((page) => !linked.has(page)),
      []
    )
  }
)

t.test('the sidebar of the site lists every page once', async (t) => {
  const links = [...read('docs/.vitepress/config.mts').matchAll(/text: '[^']+', link: '\/([^']*)' }/g)].map(
    ([, link = '']) => (link === '' ? 'index' : link)
  )
  const sidebar = links.slice(links.lastIndexOf('index')).filter((link) => link !== 'api/')
  t.strictSame(
    sidebar.sort(),
    pages
      .filter((page) => page.startsWith('docs/'))
      .map((page) => page.slice('docs/'.length, -'.md'.length))
      .sort()
  )
})

t.test('the page about roles names every option', async (t) => {
  t.strictSame(
    rowsOf('Options of roles', read('docs/roles.md')).map(([option]) => withoutBackticks(option)),
    membersOf('lib/features/roles/options.ts', 'RolesOptions')
  )
})

t.test('the page about OAuth names every option, route and provider', async (t) => {
  const page = read('docs/oauth.md')
  const namesIn = (cells: (string | undefined)[]): (string | undefined)[] =>
    cells.flatMap((cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name))
  t.strictSame(
    namesIn(rowsOf('Options of oauth', page).map(([option]) => option)),
    membersOf('lib/features/oauth/options.ts', 'OauthOptions')
  )
  t.strictSame(
    namesIn(rowsOf('Options of every provider', page).map(([option]) => option)).sort(),
    [
      ...new Set(
        ['PublicClientOptions', 'ProviderOptions'].flatMap((name) =>
          membersOf('lib/features/oauth/providers/define-provider.ts', name)
        )
      )
    ].sort()
  )
  const {
    defineProvider: _,
    oauth,
    oauthErrors: _errors,
    default: _default,
    ...providers
  } = oauthLibrary
  t.strictSame(
    rowsOf('Providers', page)
      .map(([name = '']) => /^`(\w+)`/.exec(name)?.[1])
      .sort(),
    Object.keys(providers).sort()
  )

  const routes: string[] = []
  const app = Fastify()
  t.teardown(() => app.close())
  app.addHook('onRoute', ({ method, url }) => {
    routes.push(`${String(method)} ${url.replace('/github/', '/<provider>/')}`)
  })
  await app.register(library.users, {
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    passwords: fastPasswords,
    limits: false,
    publicUrl: 'https://app.example.com',
    routes: { auth: false, register: false, reset: false, verify: false, users: false },
    features: [oauth({
      backend: 'cookie',
      redirects: ['/app'],
      providers: [providers.github({ clientId: 'id', clientSecret: 'secret' })]
    })]
  })
  await app.ready()
  const told = namesIn(rowsOf('Routes', page).map(([route]) => route)).map((name = '', i, all) =>
    name.startsWith('…')
      ? String(all.slice(0, i).findLast((one) => one?.includes('<provider>'))).replace(/\/\w+$/, name.slice(1))
      : name.replace(/\?.*/, '')
  )
  t.strictSame(told.sort(), routes.sort())
})

/** Returns the routes of an application with the error codes of their schemas. */
async function routesOf (t: Test, options: Partial<library.UsersOptions> = {}): Promise<Record<string, string[]>> {
  const routes = new Map<string, Set<string>>()
  const app = Fastify()
  t.teardown(() => app.close())
  app.addHook('onRoute', ({ method, url, schema }) => {
    const route = `${String(method)} ${url.replace(/\/(jwt|cookie)\//, '/<backend>/')}`
    routes.set(route, new Set([...(routes.get(route) ?? []), ...errorCodes(schema?.response)]))
  })
  await app.register(library.users, {
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    passwords: fastPasswords,
    ...options
  })
  await app.ready()
  return Object.fromEntries([...routes].map(([route, words]) => [route, [...words].sort()]))
}

t.test('the tables of routes list the routes of an application and the error codes of their schemas', async (t) => {
  const told = (heading: string): Record<string, string[]> =>
    Object.fromEntries(
      rowsOf(heading, read('docs/routes.md')).map(([route, , , words = '']) => [
        withoutBackticks(route),
        [...words.matchAll(/`(\w+)`/g)].map(([, word = '']) => word).sort()
      ])
    )
  const usual = await routesOf(t)
  t.strictSame(told('All routes'), usual)
  const withOptions = await routesOf(t, { registration: 'mail', tokens: { undo: {} }, revealExistingAccounts: true })
  t.strictSame(
    told('Routes of options'),
    Object.fromEntries(
      Object.entries(withOptions).filter(([route, words]) => JSON.stringify(usual[route]) !== JSON.stringify(words))
    )
  )
})

t.test('the commands of the example, the README and the flow page call existing routes', async (t) => {
  const folder = t.testdir()
  buildPackage(folder)
  const load = async (name: string): Promise<Record<string, (...args: unknown[]) => unknown>> =>
    await import(pathToFileURL(join(folder, 'examples/basic', `${name}.js`)).href)
  const { buildApp } = await load('app')
  const { describeWalk, mailText } = await load('walk')
  const origin = 'http://127.0.0.1:3000'
  const app = (await buildApp?.({ file: join(folder, 'users.db'), secret: SECRET, sendMail () {} })) as ReturnType<
    typeof Fastify
  >
  t.teardown(() => app.close())
  const mails = ['reset', 'verify'].map((purpose) => mailText?.(origin, { to: 'a@b.example', purpose, token: 'token' }))
  const text = [
    describeWalk?.(origin, 'users.db'),
    ...mails,
    `${read('README.md')}\n${read('docs/flow.md')}`.replaceAll('localhost:3000', origin)
  ].join('\n')
  const calls = [...text.matchAll(/curl [^|\n]*?http:\/\/127\.0\.0\.1:3000(\/[^\s)]*)([^|\n]*)/g)].map(
    ([command, path = '']) => {
      const method = /-X (\w+)/.exec(command)?.[1] ?? (command.includes(' -d ') ? 'POST' : 'GET')
      return { method, url: path.replace('$ID', ':id') }
    }
  )
  t.ok(calls.length > 20)
  await app.ready()
  t.strictSame(
    calls.filter(({ method, url }) => !app.hasRoute({ method: method as 'GET', url })),
    []
  )
})

/** Returns the targets of a page's links and pictures within the repository. */
function linksOf (text: string): string[] {
  const prose = text.replace(/^```.*?^```$/gms, '').replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
}

function linkTargetExists (page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? page : posix.join(posix.dirname(page), path)
  if (!existsSync(join(root, target))) return false
  return (
    anchor === undefined ||
    [...read(target).matchAll(/^#+ (.*)$/gm)].some(([, heading = '']) => anchorOf(heading) === anchor)
  )
}

/** Returns the anchor that GitHub generates for a heading. */
function anchorOf (heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}

function snippetsOf (page: string, text: string): Snippet[] {
  return [...text.matchAll(/^```ts( partial)?\n(.*?)^```$/gms)].map((match) => ({
    name: `${page}:${text.slice(0, match.index).split('\n').length}`,
    text: match[2] ?? '',
    partial: match[1] !== undefined
  }))
}

/**
 * Returns what is put in front of a partial snippet: imports of all names, an application, and the users plugin unless
 * the snippet registers it.
 */
function partialPreamble (text: string): string {
  return [
    `import { ${exportNames(library)} } from 'fastify-users'`,
    ...Object.entries(entries).map(([name, entry]) => `import { ${exportNames(entry)} } from 'fastify-users/${name}'`),
    `import { ${exportNames(oauthLibrary)} } from 'fastify-users/oauth'`,
    `import { ${exportNames(captchaEntry)} } from 'fastify-users/captcha'`,
    "import Fastify from 'fastify'",
    'const app = Fastify()',
    `const secret = '${SECRET}'`,
    "const backends = [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }, { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }]",
    'const sendMail = async (to: string, text: string): Promise<void> => {}',
    'const digitsAreRight = async (user: object, digits: string): Promise<boolean> => true',
    text.includes('register(users') ? '' : 'await app.register(users, { adapter: memory(), secret, backends })',
    ''
  ].join('; ') // one line, so that the line numbers of the snippet stay correct
}

function exportNames (module: object): string {
  return Object.keys(module)
    .filter((name) => name !== 'default')
    .join(', ')
}

/** Returns the snippet as a program that ends: the application listens on a free port and is closed. */
function toProgram ({ text, partial }: Snippet): string {
  const whole = (partial ? partialPreamble(text) : '') + text
  return whole.includes('const app = ')
    ? `${whole.replace('port: 3000', 'port: 0')}\nawait app.ready()\nawait app.close()\n`
    : whole
}

function compilerOptions (): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile) as { config: object }
  const paths = {
    'fastify-users': [join(root, 'lib/index.ts')],
    'fastify-users/feature': [join(root, 'lib/feature/index.ts')],
    'fastify-users/captcha': [join(root, 'lib/captcha/index.ts')],
    'fastify-users/oauth': [join(root, 'lib/features/oauth/index.ts')],
    'fastify-users/roles': [join(root, 'lib/features/roles/index.ts')],
    ...Object.fromEntries(
      Object.keys(entries).map((name) => [`fastify-users/${name}`, [join(root, `lib/entries/${name}.ts`)]])
    ),
    'fastify-users/testing': [join(root, 'lib/testing/index.ts')]
  }
  return {
    ...ts.parseJsonConfigFileContent(config, ts.sys, root).options,
    noEmit: true,
    declaration: false,
    noUnusedLocals: false,
    paths
  }
}

/** Type-checks modules as if they were files in the root folder of the repository. */
function typeCheck (modules: { name: string; text: string }[]): string[] {
  const texts = new Map(
    modules.map(({ name, text }) => [join(root, `${name.replaceAll(/\W/g, '-')}.ts`), { name, text }])
  )
  const host = ts.createCompilerHost(compilerOptions())
  const { fileExists, readFile, getSourceFile } = host
  host.fileExists = (path) => texts.has(path) || fileExists(path)
  host.readFile = (path) => texts.get(path)?.text ?? readFile(path)
  host.getSourceFile = (path, ...rest) => {
    const tree = parsed.get(path) ?? getSourceFile(path, ...rest)
    if (tree !== undefined && !texts.has(path)) parsed.set(path, tree)
    return tree
  }
  const program = ts.createProgram([...texts.keys()], compilerOptions(), host)
  // the compilation of the tests has checked all other files
  const own = [...texts.keys()].map((path) => program.getSourceFile(path))
  const diagnostics = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...own.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
  ]
  return diagnostics.map(({ file, start = 0, messageText }) => {
    const path = file?.fileName ?? ''
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1
    return `${texts.get(path)?.name ?? path}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}

/** Returns the cells of the first table below a heading, without the header. */
function rowsOf (heading: string, page: string): string[][] {
  const [, section = ''] = page.split(`# ${heading}\n`)
  const [table = ''] = /^\|.*(?:\n\|.*)*/m.exec(section) ?? []
  return table
    .split('\n')
    .slice(2)
    .map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim())
    )
}

function withoutBackticks (cell: string | undefined): string | undefined {
  return cell?.replaceAll('`', '')
}

function membersOf (path: string, name: string): string[] {
  const tree = ts.createSourceFile(path, read(path), ts.ScriptTarget.ES2023, true)
  const found = tree.statements.find(
    (statement): statement is ts.InterfaceDeclaration =>
      ts.isInterfaceDeclaration(statement) && statement.name.text === name
  )
  return found?.members.map((member) => member.name?.getText() ?? '') ?? []
}

/** Returns the error codes of a route's schema without their prefix, except for the common ones. */
function errorCodes (response: unknown): string[] {
  const replies = Object.values(response ?? {}) as { 'x-examples'?: object }[]
  return replies
    .flatMap((reply) => Object.keys(reply['x-examples'] ?? {}))
    .filter((code) => code.startsWith('FST_USERS_'))
    .map((code) => code.replace('FST_USERS_', ''))
    .filter((word) => !COMMON_CODES.has(word))
}
