import Fastify from 'fastify'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import users, { type Feature, type FeatureKit, type Model, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { ARTHUR, backends, buildApp, fastPasswords, SECRET } from './helpers/build-app.js'

const noteModel: Model = {
  name: 'note',
  table: 'note',
  fields: { id: { type: 'text', maxLength: 20 }, text: { type: 'text' } }
}

interface Notes {
  add(id: string, text: string): Promise<void>
}

/** A feature with a model, a route, a hook and functions for the application. */
function notes (log: string[] = []): Feature<Notes> {
  return {
    name: 'notes',
    models: () => [noteModel],
    setup ({ store, name, settings }) {
      log.push(`setup ${name} of ${settings.name}`)
      return {
        async routes (scope) {
          scope.get('/notes/:id', async (request) => {
            return await store.findOne(noteModel, { id: (request.params as { id: string }).id })
          })
        },
        hooks: {
          onAfterRegister ({ user }) {
            log.push(`registered ${user.email}`)
          }
        },
        api: {
          async add (id, text) {
            await store.create(noteModel, { id, text })
          }
        }
      }
    }
  }
}

t.test('a feature has its own model, routes, hooks and functions', async (t) => {
  const log: string[] = []
  const { app, register, send } = await buildApp(t, { features: [notes(log)] })
  await (app.users.feature('notes') as Notes).add('1', 'A quest')
  const reply = await send('GET', '/notes/1')
  t.same([reply.statusCode, reply.json()], [200, { id: '1', text: 'A quest' }])
  t.equal(reply.headers['cache-control'], 'no-store', 'the scope is prepared')
  await register()
  t.same(log, ['setup notes of users', `registered ${ARTHUR}`])
  t.throws(() => app.users.feature('grail'), { code: 'FST_USERS_UNKNOWN_FEATURE' })
})

t.test('features of one registration share values, and later features use earlier ones', async (t) => {
  const counts: number[] = []
  const counter = (name: string): Feature => ({
    name,
    setup ({ shared }) {
      const state = shared('test:count', () => ({ count: 0 }))
      counts.push(++state.count)
      return { api: name }
    }
  })
  const seen: unknown[] = []
  const last: Feature = {
    name: 'last',
    setup ({ users }: FeatureKit) {
      seen.push(users.feature('one'))
      t.throws(() => users.feature('last'), { code: 'FST_USERS_UNKNOWN_FEATURE' })
      return {}
    }
  }
  await buildApp(t, { features: [counter('one'), counter('two'), last] })
  await buildApp(t, { features: [counter('one')] })
  t.same([counts, seen], [[1, 2, 1], ['one']])
})

t.test('two tenants keep the rows of one feature apart', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const adapter = memory()
  const apis: Notes[] = []
  for (const name of ['knights', 'merchants']) {
    await app.register(async (scope) => {
      await scope.register(users, {
        adapter,
        secret: SECRET,
        backends: backends(),
        passwords: fastPasswords,
        limits: false,
        name,
        routes: { auth: false, register: false, reset: false, verify: false, users: false },
        features: [{ ...notes(), setup: async (kit) => ({ api: (await notes().setup(kit)).api }) }]
      })
      apis.push(scope.users.feature('notes') as Notes)
    })
  }
  await app.ready()
  for (const api of apis) await api.add('1', 'the same id')
  t.equal(apis.length, 2)
})

t.test('invalid features refuse to start', async (t) => {
  const setup = (): object => ({})
  const cases: [unknown, string][] = [
    [notes(), 'FST_USERS_INVALID_OPTION'],
    [[null], 'FST_USERS_INVALID_OPTION'],
    [[() => {}], 'FST_USERS_INVALID_OPTION'],
    [[{ name: 'a' }], 'FST_USERS_INVALID_OPTION'],
    [[{ setup }], 'FST_USERS_INVALID_OPTION'],
    [[{ name: 'Upper Case', setup }], 'FST_USERS_INVALID_OPTION'],
    [[{ name: 'a', setup, guardFlagz: {} }], 'FST_USERS_UNKNOWN_OPTION'],
    [[{ name: 'a', setup }, { name: 'a', setup }], 'FST_USERS_INVALID_OPTION'],
    [[{ name: 'a', setup: () => ({ hooks: { onGrail: () => {} } }) }], 'FST_USERS_UNKNOWN_HOOK'],
    [[{ name: 'a', setup: () => ({ route: async () => {} }) }], 'FST_USERS_UNKNOWN_OPTION'],
    [[{ name: 'a', setup: () => null }], 'FST_USERS_INVALID_OPTION'],
    [[{ name: 'a', setup: () => ({ replyFields: { rank: async () => 1 } }) }], 'FST_USERS_UNKNOWN_OPTION'],
    [[{ name: 'a', replyFields: () => ({ rank: Type.Integer() }), setup }], 'FST_USERS_INVALID_OPTION'],
    [[{ name: 'a', replyFields: () => ({ email: Type.Integer() }), setup }], 'FST_USERS_INVALID_OPTION'],
    [[{ name: 'a', models: () => [{ ...noteModel, name: 'user' }], setup }], 'FST_USERS_INVALID_OPTION']
  ]
  for (const [features, code] of cases) {
    const app = Fastify()
    t.teardown(() => app.close())
    const options = { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords, features }
    await t.rejects(async () => await app.register(users, options as UsersOptions), { code }, JSON.stringify(features))
  }
})
