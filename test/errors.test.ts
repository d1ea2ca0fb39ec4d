import t from 'tap'
import type { ErrorDefinitions } from '../lib/contracts/errors.js'
import { createErrorRegistry, defineErrors, errorTable } from '../lib/error-registry.js'
import { isUsersError } from '../lib/errors.js'

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

t.test('two features may define a code equally, and not differently', async (t) => {
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
