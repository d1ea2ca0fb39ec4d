// Prints the number of types that the compiler instantiates for a small Fastify application without and with the plugin,
// using the published declarations. Exits with 1 above the budget.
//   node test/types/instantiations.mjs [folder]     the folder keeps the built declarations
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const BUDGET = 0.15
const [, , given] = process.argv
mkdirSync(join(root, '.tap'), { recursive: true })     // a folder of the repository, so that dependencies are found
const folder = given ?? mkdtempSync(join(root, '.tap/types-'))

const BARE = `
import Fastify from 'fastify'

const app = Fastify()
app.get('/hello', async (request) => ({ hello: request.ip }))
await app.listen({ port: 3000 })
`
const REGISTERED = `
await app.register(users, {
  adapter: sqlite('app.db'),
  secret: process.env['USERS_SECRET'] ?? '',
  SCHEMAS
  backends: [
    { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
    { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
  ]
})
`
const IMPORTS = 'authenticate, bearerTransport, cookieTransport, currentUser, databaseStrategy, jwtStrategy'
const WITH_USERS = `
import Fastify from 'fastify'
import users, { ${IMPORTS} } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'

const app = Fastify()
${REGISTERED.replace('SCHEMAS', '')}
app.get('/hello', { preHandler: authenticate }, async (request) => ({ hello: currentUser(request).email }))
await app.listen({ port: 3000 })
`
const WITH_FIELDS = `
import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import users, { ${IMPORTS}, userSchemas, type UserOf } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'

const schemas = userSchemas({ display_name: Type.String({ maxLength: 80 }), born: Type.Optional(Type.String({ format: 'date' })) })
declare module 'fastify-users' { interface UsersRegister { user: UserOf<typeof schemas> } }

const app = Fastify()
${REGISTERED.replace('SCHEMAS', 'schemas,')}
app.get('/hello', { preHandler: authenticate }, async (request) => ({ hello: currentUser(request).display_name }))
await app.listen({ port: 3000 })
`

const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config, ts.sys, root)

try {
  const compiler = join(root, 'node_modules/typescript-7/bin/tsc')
  execFileSync(process.execPath, [compiler, '-p', root, '--emitDeclarationOnly', '--outDir', folder], { stdio: 'inherit' })
  const bare = count('bare', BARE)
  console.log(`instantiations: Fastify alone ${bare}`)
  for (const [what, text] of Object.entries({ 'with the plugin': WITH_USERS, 'with two custom fields': WITH_FIELDS })) {
    const more = count(what.replaceAll(' ', '-'), text)
    const share = more / bare - 1
    console.log(`instantiations: ${what} ${more}, ${(share * 100).toFixed(1)} % more (at most ${BUDGET * 100} %)`)
    if (!(share < BUDGET)) process.exitCode = 1
  }
} finally {
  if (given === undefined) rmSync(folder, { recursive: true, force: true })
}

function count (name, text) {
  const file = join(folder, 'applications', `${name}.ts`)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  const program = ts.createProgram([file], { ...options, noEmit: true, declaration: false, rootDir: root, paths: { 'fastify-users': [join(folder, 'lib/index.d.ts')], 'fastify-users/*': [join(folder, 'lib/entries/*.d.ts')] } })
  const errors = ts.getPreEmitDiagnostics(program)
  if (errors.length > 0) throw new Error(ts.formatDiagnostics(errors, { getCanonicalFileName: (path) => path, getCurrentDirectory: () => root, getNewLine: () => '\n' }))
  return program.getInstantiationCount()
}
