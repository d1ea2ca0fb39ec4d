import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import t from 'tap'
import type { ErrorDefinitions } from '../lib/contracts/errors.js'
import { createErrorRegistry, defineErrors, errorTable } from '../lib/error-registry.js'
import { isUsersError } from '../lib/errors.js'
import users, { usersOpenapi, type Feature, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { errorReplies, type ErrorWord } from '../lib/routes/index.js'
import { validateDocument, type ApiDocument } from './helpers/api-document.js'
import { backends, buildApp, fastPasswords, SECRET } from './helpers/build-app.js'

const GRAIL = {
  GRAIL_LOST: { statusCode: 404, message: 'The grail %s is lost. Look elsewhere.' },
  GRAIL_GUARDED: { statusCode: 403, message: 'The grail is guarded. Ask the bridgekeeper.', detail: 'Forbidden' }
} as const

/** Definitions of errors, of any type, because JavaScript callers can pass anything. */
const WRONG: readonly (readonly [what: string, definitions: unknown])[] = [
  ['no object', null],
  ['a text', 'GRAIL_LOST'],
  ['a list', [GRAIL.GRAIL_LOST]],
  ['a lower-case code', { grail: GRAIL.GRAIL_LOST }],
  ['an empty code', { '': GRAIL.GRAIL_LOST }],
  ['a code that begins with a digit', { '3_GRAILS': GRAIL.GRAIL_LOST }],
  ['a code that ends with _', { GRAIL_: GRAIL.GRAIL_LOST }],
  ['a code with a space', { 'GRAIL LOST': GRAIL.GRAIL_LOST }],
  ['a code with a line break', { 'GRAIL\n': GRAIL.GRAIL_LOST }],
  ['a code with its prefix', { FST_USERS_GRAIL: GRAIL.GRAIL_LOST }],
  ['an overlong code', { ['G'.repeat(101)]: GRAIL.GRAIL_LOST }],
  ['__proto__ as a code', JSON.parse('{ "__proto__": { "statusCode": 404, "message": "Lost." } }')],
  ['a code that stands for an error of Fastify', { VALIDATION: GRAIL.GRAIL_LOST }],
  ['no definition', { GRAIL_LOST: undefined }],
  ['a definition that is a text', { GRAIL_LOST: 'lost' }],
  ['no status', { GRAIL_LOST: { message: 'Lost.' } }],
  ['a status of success', { GRAIL_LOST: { statusCode: 200, message: 'Lost.' } }],
  ['a status of redirection', { GRAIL_LOST: { statusCode: 399, message: 'Lost.' } }],
  ['a status above 599', { GRAIL_LOST: { statusCode: 600, message: 'Lost.' } }],
  ['a status that is a text', { GRAIL_LOST: { statusCode: '404', message: 'Lost.' } }],
  ['a status that is no integer', { GRAIL_LOST: { statusCode: 404.5, message: 'Lost.' } }],
  ['a status that is NaN', { GRAIL_LOST: { statusCode: NaN, message: 'Lost.' } }],
  ['no message', { GRAIL_LOST: { statusCode: 404 } }],
  ['an empty message', { GRAIL_LOST: { statusCode: 404, message: ' ' } }],
  ['a message that is no text', { GRAIL_LOST: { statusCode: 404, message: 5 } }],
  ['a detail that is no text', { GRAIL_LOST: { statusCode: 404, message: 'Lost.', detail: {} } }],
  ['a mistyped property', { GRAIL_LOST: { statusCode: 404, message: 'Lost.', details: 'LOST' } }]
]

t.test('defineErrors returns a factory for each code', async (t) => {
  const errors = defineErrors(GRAIL)
  t.equal(errors.definitions, GRAIL)
  const lost = errors.FST_USERS_GRAIL_LOST(['of Aaargh'], { headers: { 'retry-after': '3' } })
  t.ok(isUsersError(lost))
  t.match(lost, {
    code: 'FST_USERS_GRAIL_LOST',
    statusCode: 404,
    message: 'The grail of Aaargh is lost. Look elsewhere.',
    detail: 'GRAIL_LOST',
    headers: { 'retry-after': '3' }
  })
  t.equal(errors.FST_USERS_GRAIL_GUARDED().detail, 'Forbidden')
  t.notMatch(lost.stack, /error-registry|errors\.js/, 'the stack begins at the caller')
})

t.test('wrong definitions are refused, by defineErrors and as the errors of a feature', async (t) => {
  for (const [what, definitions] of WRONG) {
    t.throws(() => defineErrors(definitions as ErrorDefinitions), { code: 'FST_USERS_INVALID_OPTION' }, what)
    const feature = { name: 'grail', errors: definitions as ErrorDefinitions }
    t.throws(() => createErrorRegistry([feature]), { code: 'FST_USERS_INVALID_OPTION' }, what)
  }
})

t.test('the registry has the errors of all features after those of the plugin', async (t) => {
  const features = [{ name: 'none' }, { name: 'grail', errors: GRAIL }]
  const own = errorTable()
  t.strictSame(errorTable(features).slice(0, own.length), own)
  t.strictSame(errorTable(features).slice(own.length), [
    { code: 'FST_USERS_GRAIL_LOST', statusCode: 404, message: GRAIL.GRAIL_LOST.message, detail: 'GRAIL_LOST' },
    { code: 'FST_USERS_GRAIL_GUARDED', statusCode: 403, message: GRAIL.GRAIL_GUARDED.message, detail: 'Forbidden' }
  ])
  t.notOk(createErrorRegistry().has('GRAIL_LOST'), 'other registrations do not have them')
})

t.test('two features may define the same code only if the definitions are equal', async (t) => {
  const first = { name: 'grail', errors: GRAIL }
  const equal = { GRAIL_LOST: { ...GRAIL.GRAIL_LOST, detail: 'GRAIL_LOST', example: undefined } }
  t.equal(createErrorRegistry([first, { name: 'again', errors: equal }]).size, createErrorRegistry([first]).size)
  for (const different of [
    { GRAIL_LOST: { ...GRAIL.GRAIL_LOST, statusCode: 400 } },
    { GRAIL_LOST: { ...GRAIL.GRAIL_LOST, message: 'It is gone.' } },
    { GRAIL_LOST: { ...GRAIL.GRAIL_LOST, detail: 'LOST' } },
    { GRAIL_LOST: { ...GRAIL.GRAIL_LOST, example: { code: 'GRAIL_LOST' } } },
    { FORBIDDEN: { statusCode: 403, message: 'None shall pass.' } }
  ]) {
    t.throws(() => createErrorRegistry([first, { name: 'other', errors: different }]), {
      code: 'FST_USERS_INVALID_OPTION',
      message: /features\["other"\]\.errors/
    })
  }
})

const grailErrors = defineErrors({
  ...GRAIL,
  GRAIL_BROKEN: { statusCode: 500, message: 'The grail is broken: canary.' },
  GRAIL_AWAY: { statusCode: 503, message: 'The grail is away. Try again later.' },
  GRAIL_RIDDLE: { statusCode: 400, message: 'The answer is wrong.', example: { code: 'GRAIL_RIDDLE', left: 2 } }
})
const WORDS = ['GRAIL_LOST', 'GRAIL_GUARDED', 'GRAIL_AWAY', 'GRAIL_RIDDLE', 'FORBIDDEN'] as readonly string[]

/** A feature with a route that throws each of its errors. */
const grail: Feature = {
  name: 'grail',
  errors: grailErrors.definitions,
  setup: ({ settings }) => ({
    async routes (scope) {
      scope.get('/grail/:word', { schema: { response: errorReplies(settings, ...(WORDS as ErrorWord[])) } }, (request) => {
        const { word } = request.params as { word: string }
        const error = grailErrors[`FST_USERS_${word}` as keyof typeof grailErrors] as typeof grailErrors.FST_USERS_GRAIL_LOST
        throw error(['of Aaargh'], { headers: { 'retry-after': '3' } })
      })
    }
  })
}

t.test('errors of a feature are replies with their code, in both formats', async (t) => {
  const own = await buildApp(t, { features: [grail] })
  const fastapi = await buildApp(t, { features: [grail], compatibility: { errorStyle: 'fastapi' } })
  for (const [word, statusCode, message, detail] of [
    ['GRAIL_LOST', 404, 'The grail of Aaargh is lost. Look elsewhere.', 'GRAIL_LOST'],
    ['GRAIL_GUARDED', 403, GRAIL.GRAIL_GUARDED.message, 'Forbidden'],
    ['GRAIL_AWAY', 503, 'The grail is away. Try again later.', 'GRAIL_AWAY'],
    ['GRAIL_RIDDLE', 400, 'The answer is wrong.', 'GRAIL_RIDDLE']
  ] as const) {
    const reply = await own.send('GET', `/grail/${word}`)
    t.match(
      [reply.statusCode, reply.headers['retry-after'], reply.json()],
      [statusCode, '3', { statusCode, code: `FST_USERS_${word}`, message, detail }]
    )
    const bare = await fastapi.send('GET', `/grail/${word}`)
    t.same([bare.statusCode, bare.headers['retry-after'], bare.json()], [statusCode, '3', { detail }])
  }
  for (const { send } of [own, fastapi]) {
    const reply = await send('GET', '/grail/GRAIL_BROKEN')
    t.equal(reply.statusCode, 500)
    t.notMatch(reply.body, 'canary', 'the message of a 500 is for the log')
  }
})

t.test('errors of a feature are in the API document, in both formats', async (t) => {
  for (const errorStyle of ['fastify', 'fastapi'] as const) {
    const app = Fastify()
    t.teardown(() => app.close())
    const options: UsersOptions = {
      adapter: memory(),
      secret: SECRET,
      backends: backends(),
      passwords: fastPasswords,
      limits: false,
      compatibility: { errorStyle },
      features: [grail]
    }
    const { openapi, ...transforms } = usersOpenapi(options)
    const info = { title: 'Camelot', version: '1' }
    await app.register(swagger, { openapi: { ...openapi, info }, ...transforms } as never)
    await app.register(users, options)
    await app.ready()
    const document = JSON.parse(JSON.stringify(app.swagger())) as ApiDocument
    const responses = document.paths['/grail/{word}']?.['get']?.responses ?? {}
    t.same(Object.keys(responses), ['400', '403', '404', '500', '503'], errorStyle)
    const text = JSON.stringify(responses['400'])
    t.match(text, '"FST_USERS_GRAIL_RIDDLE"')
    t.match(text, '{"code":"GRAIL_RIDDLE","left":2}', 'the example of the definition')
    t.match(JSON.stringify(responses['403']), /FST_USERS_FORBIDDEN.*FST_USERS_GRAIL_GUARDED/)
    t.strictSame(await validateDocument(document), { seriousme: null, readme: null }, errorStyle)
  }
})

t.test('a route that documents an error that neither the plugin nor a feature defines refuses to start', async (t) => {
  const unknown: Feature = {
    name: 'unknown',
    setup: ({ settings }) => ({
      async routes (scope) {
        const response = errorReplies(settings, 'GRAIL_LOST' as ErrorWord)
        scope.get('/grail', { schema: { response } }, async () => null)
      }
    })
  }
  await t.rejects(buildApp(t, { features: [unknown] }), { code: 'FST_USERS_INVALID_OPTION', message: /GRAIL_LOST/ })
})

t.test('a feature whose errors are invalid or contradict others refuses to start', async (t) => {
  const setup = (): object => ({})
  for (const [what, errors] of [...WRONG, ['a code of the plugin', { FORBIDDEN: { statusCode: 400, message: 'No.' } }]]) {
    const start = buildApp(t, { features: [{ name: 'wrong', errors, setup } as Feature] })
    await t.rejects(start, { code: 'FST_USERS_INVALID_OPTION' }, String(what))
  }
})
