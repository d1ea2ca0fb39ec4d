import t from 'tap'
import type { EventName, Feature, FeatureKit, UsersHook } from '../lib/index.js'
import { captureEvents } from '../lib/testing/index.js'
import { ARTHUR, buildApp } from './helpers/build-app.js'

const NO_REQUEST = { request: null, reply: null }
const GRAIL = 'onAfterGrail' as EventName
const payload = { user: { email: ARTHUR }, grail: 'holy' } as never
const ignore: UsersHook<EventName> = () => {}

/** Creates a feature with these events. Its kit is passed to `receive`. */
const feature = (events: readonly string[], receive: (kit: FeatureKit) => void = () => {}, name = 'grail'): Feature => ({
  name,
  events,
  setup (kit) {
    receive(kit)
    return {}
  }
})

t.test('listeners of an event of a feature run in order, that of the options first', async (t) => {
  const heard: unknown[] = []
  let kit: FeatureKit | undefined
  const { app } = await buildApp(
    t,
    {
      features: [feature([GRAIL], (given) => { kit = given })],
      hooks: {
        [GRAIL]: (given: unknown, context: unknown) => {
          heard.push('options', given, context)
        }
      }
    },
    (app) => {
      app.users.addHook(GRAIL, async () => {
        heard.push('added')
      })
    }
  )
  t.equal(app.users.eventNames.at(-1), GRAIL)
  t.equal(await kit?.fire(GRAIL, payload, NO_REQUEST), null)
  t.same(heard, ['options', payload, NO_REQUEST, 'added'])
})

t.test('captureEvents captures the events of features', async (t) => {
  let kit: FeatureKit | undefined
  let captured: ReturnType<typeof captureEvents> | undefined
  await buildApp(t, { features: [feature([GRAIL], (given) => { kit = given })] }, (app) => {
    captured = captureEvents(app)
  })
  await kit?.fire(GRAIL, payload, NO_REQUEST)
  t.match(captured?.events, [{ name: GRAIL, grail: 'holy' }])
})

t.test('two features may declare one event, and each has its events in one registration only', async (t) => {
  const { app } = await buildApp(t, { features: [feature([GRAIL]), feature([GRAIL, 'onBeforeGrail'], undefined, 'b')] })
  t.same(app.users.eventNames.slice(-2), [GRAIL, 'onBeforeGrail'])
  const start = buildApp(t, { hooks: { [GRAIL]: ignore } })
  await t.rejects(start, { code: 'FST_USERS_UNKNOWN_HOOK' })
})

t.test('an event that no feature declares is refused, as a hook and when it is fired', async (t) => {
  let kit: FeatureKit | undefined
  const { app } = await buildApp(t, { features: [feature([GRAIL], (given) => { kit = given })] }, (app) => {
    t.throws(() => { app.users.addHook('onAfterGrial' as EventName, ignore) }, {
      code: 'FST_USERS_UNKNOWN_HOOK',
      message: /onAfterGrail/
    })
  })
  await t.rejects(async () => await kit?.fire('onAfterGrial' as EventName, payload, NO_REQUEST), {
    code: 'FST_USERS_UNKNOWN_HOOK'
  })
  t.throws(() => { app.users.addHook(GRAIL, ignore) }, { code: 'FST_USERS_HOOKS_CLOSED' })
})

t.test('invalid names of events refuse to start', async (t) => {
  const wrong: [what: string, events: unknown][] = [
    ['a text', 'onAfterGrail'],
    ['an object', { onAfterGrail: true }],
    ['null', null],
    ['a number in the list', [5]],
    ['an empty name', ['']],
    ['a name without on', ['afterGrail']],
    ['a name in lower case', ['onaftergrail']],
    ['a name with a space', ['onAfter Grail']],
    ['a name with a line break', ['onAfterGrail\n']],
    ['an overlong name', [`on${'A'.repeat(62)}`]],
    ['the name of an event of the plugin', ['onAfterLogin']],
    ['__proto__', ['__proto__']]
  ]
  for (const [what, events] of wrong) {
    const start = buildApp(t, { features: [feature(events as string[])] })
    await t.rejects(start, { code: 'FST_USERS_INVALID_OPTION' }, what)
  }
})
