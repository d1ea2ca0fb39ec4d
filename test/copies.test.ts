import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type * as Oauth from '../lib/features/oauth/index.js'
import type * as Library from '../lib/index.js'
import type * as Memory from '../lib/entries/memory.js'
import type * as Testing from '../lib/testing/index.js'
import { VERSION } from '../lib/version.js'
import type { ApiDocument } from './helpers/api-document.js'
import { backends, fastPasswords, SECRET } from './helpers/build-app.js'
import { buildPackage } from './helpers/build-package.js'
import { root } from './helpers/root.js'

interface Copy {
  library: typeof Library
  memory: typeof Memory.memory
  oauth: typeof Oauth
  testing: typeof Testing
}

/** Builds the package into a new folder, with the given version, and imports it from there. */
async function installCopy (folder: string, version = VERSION): Promise<Copy> {
  mkdirSync(folder, { recursive: true })
  const modules = Object.entries(buildPackage(folder))
  const [file = ''] = modules.find(([, names]) => names.includes('lib/version.js')) ?? []
  const text = readFileSync(join(folder, file), 'utf8')
  writeFileSync(join(folder, file), text.replace(`VERSION = "${VERSION}"`, `VERSION = "${version}"`))
  const load = async (path: string): Promise<unknown> => await import(pathToFileURL(join(folder, path)).href)
  return {
    library: (await load('lib/index.js')) as typeof Library,
    memory: ((await load('lib/entries/memory.js')) as typeof Memory).memory,
    oauth: (await load('lib/features/oauth/index.js')) as typeof Oauth,
    testing: (await load('lib/testing/index.js')) as typeof Testing
  }
}

function createApp (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

const optionsOf = ({ memory }: Copy): Library.UsersOptions => ({
  adapter: memory(),
  secret: SECRET,
  backends: backends(),
  passwords: fastPasswords,
  limits: false
})

t.test('VERSION equals the version in package.json', async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  t.equal(VERSION, version)
})

t.test('two installed copies of the same version work together', async (t) => {
  const folder = t.testdir()
  const [first, second] = [await installCopy(join(folder, 'a')), await installCopy(join(folder, 'b'))]
  t.not(first.library.authenticate, second.library.authenticate, 'the copies are separate modules')
  const { authenticate, adminOnly, currentUser, isUsersError, Type, userSchemas } = second.library

  const app = createApp(t)
  await app.register(swagger, { openapi: {} })
  const schemas = userSchemas({ credits: adminOnly(Type.Integer({ default: 0 })) })
  await app.register(first.library.users, {
    ...optionsOf(first),
    schemas,
    openapiSecurity: true,
    publicUrl: 'https://camelot.example',
    features: [second.oauth.oauth({
      backend: 'cookie',
      redirects: ['/app'],
      providers: [second.oauth.github({ clientId: 'id', clientSecret: 'secret' })]
    })]
  })
  app.get('/guarded', { preHandler: authenticate }, async (request) => ({ email: currentUser(request).email }))
  app.get('/superuser', { preHandler: authenticate({ superuser: true }) }, async () => ({}))
  app.get('/handler', async (request, reply) => ({ user: await authenticate(request, reply, { optional: true }) }))
  app.get('/caught', async (request, reply) => {
    const error: unknown = await authenticate(request, reply).catch((error: unknown) => error)
    return { first: first.library.isUsersError(error), second: isUsersError(error) }
  })
  const events = second.testing.captureEvents(app)
  await app.ready()

  const registered = await app.inject({
    method: 'POST',
    url: '/auth/register',
    payload: { email: 'arthur@camelot.bt', password: 'guinevere-1', credits: 9 }
  })
  t.match([registered.statusCode, registered.json()], [201, { credits: 0 }], 'a marker of the other copy is respected')
  const headers = await second.testing.asUser(app, { email: 'lancelot@camelot.bt' })
  t.same((await app.inject({ url: '/guarded', headers })).json(), { email: 'lancelot@camelot.bt' })
  t.equal((await app.inject('/guarded')).statusCode, 401)
  t.equal((await app.inject({ url: '/superuser', headers })).statusCode, 403)
  t.same((await app.inject('/handler')).json(), { user: null })
  t.same((await app.inject('/caught')).json(), { first: true, second: true })
  t.equal((await app.inject('/auth/github/authorize')).statusCode, 200)
  t.same(await app.users.feature('oauth').list(registered.json<{ id: string }>().id), [])
  t.ok(events.names().includes('onAfterRegister'))
  const document = app.swagger() as unknown as ApiDocument
  t.same(
    document.paths['/guarded']?.get?.security,
    [{ jwt: [] }, { cookie: [] }],
    "the other copy's guard is documented"
  )
  t.throws(() => app.get('/nowhere', { preHandler: authenticate({ backends: ['nowhere'] }) }, async () => ({})))

  const secondApp = createApp(t)
  await secondApp.register(first.library.users, optionsOf(first))
  await t.rejects(
    async () => {
      await secondApp.register(second.library.users, { ...optionsOf(second), name: 'staff' })
    },
    { code: 'FST_USERS_ALREADY_REGISTERED' }
  )
})

t.test('two copies of different versions are refused with an error that names both versions', async (t) => {
  const folder = t.testdir()
  const [first, second] = [await installCopy(join(folder, 'a')), await installCopy(join(folder, 'b'), '99.1.2')]
  const refusal = {
    code: 'FST_USERS_TWO_COPIES',
    message: new RegExp(
      `Two versions of fastify-users are installed: ${VERSION.replaceAll('.', '\\.')} is registered, and 99\\.1\\.2 is used`
    )
  }

  const app = createApp(t)
  await app.register(first.library.users, { ...optionsOf(first), publicUrl: 'https://camelot.example' })
  app.get('/guarded', { preHandler: second.library.authenticate }, async () => ({}))
  app.get('/handler', async (request, reply) => await second.library.authenticate(request, reply, { optional: true }))
  await app.ready()
  for (const url of ['/guarded', '/handler']) {
    t.match((await app.inject(url)).json(), { statusCode: 500, ...refusal }, url)
  }

  const registrations: Record<string, (app: FastifyInstance) => Promise<void>> = {
    users: async (app) => {
      await app.register(first.library.users, optionsOf(first))
      await app.register(second.library.users, { ...optionsOf(second), name: 'staff' })
    },
    oauth: async (app) => {
      const providers = [second.oauth.github({ clientId: 'id', clientSecret: 'secret' })]
      await app.register(first.library.users, { ...optionsOf(first), features: [second.oauth.oauth({ providers })] })
    }
  }
  for (const [name, register] of Object.entries(registrations)) {
    const app = createApp(t)
    await t.rejects(
      async () => {
        await register(app)
      },
      refusal,
      name
    )
  }
})

t.test('without the plugin, the guard replies 500 FST_USERS_NOT_REGISTERED', async (t) => {
  const copy = await installCopy(join(t.testdir(), 'a'))
  const app = createApp(t)
  app.get('/guarded', { preHandler: copy.library.authenticate }, async () => ({}))
  t.match((await app.inject('/guarded')).json(), { statusCode: 500, code: 'FST_USERS_NOT_REGISTERED' })
})
