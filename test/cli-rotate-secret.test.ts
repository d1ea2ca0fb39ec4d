import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import t from 'tap'
import { jwtStrategy, bearerTransport, type JwtKeyOptions } from '../lib/index.js'
import { checkJwtKey } from '../lib/tokens/index.js'
import { planSecret } from '../lib/cli/rotate-secret/secret-plan.js'
import type { SecurityProfile } from '../lib/index.js'
import { ARTHUR, buildApp } from './helpers/build-app.js'
import { createCommandFolder, type ConfigParts } from './helpers/command-line.js'

const SECRET = randomBytes(32).toString('base64url')
process.env['USERS_SECRET'] = SECRET
const program = { main: '', library: '' } // commands run in this process
const { run } = createCommandFolder(t.testdir(), program)

const NOW = 'clock: () => Date.UTC(2026, 10, 29, 10, 0, 30)'
const DAY = 86_400
const backend = (name: string, strategy: string): string => `{ name: '${name}', transport: bearerTransport(), strategy: ${strategy} }`
const stored = backend('stored', `databaseStrategy({ lifetimeSeconds: ${7 * DAY} })`)
const derived = backend('jwt', 'jwtStrategy({ lifetimeSeconds: 5400 })')
const OAUTH = `
  import { github, oauth } from '${new URL('../lib/features/oauth/index.js', import.meta.url).href}'
  function listFeatures () {
    return [oauth({ backend: 'jwt', stateLifetimeSeconds: 600, providers: [github({ clientId: 'a', clientSecret: 'b' })] })]
  }`

/** The output of `--json`. */
interface PrintedPlan {
  created: { name: string, value: string }[]
  steps: { text: string, option: string, notBefore: string | null }[]
  lifetimes: { about: string, seconds: number | null | 'unknown' }[]
  notes: string[]
}

async function planOf (args: readonly string[], parts: ConfigParts): Promise<PrintedPlan> {
  const { code, out, err } = await run(['rotate-secret', '--json', ...args], parts)
  t.strictSame([code, err], [0, ''], args.join(' '))
  return JSON.parse(out) as PrintedPlan
}

t.test('rotate-secret prints a new secret, the steps, and the time after which the present one can be removed', async (t) => {
  const parts = { backends: `[${derived}, ${stored}]`, more: `${NOW}, tokens: { verify: { lifetimeSeconds: ${3 * DAY} } }`, rest: OAUTH }
  const { code, out, err } = await run(['rotate-secret'], parts)
  t.strictSame([code, err], [0, ''])
  t.equal(
    out.replace(/^[\w-]{64}$/m, '<64 characters>'),
    `A new secret, NEW below:

<64 characters>

Complete each step in all processes before the next one.

1. Accept tokens of the new secret:
     secret: [PRESENT, NEW]
2. Sign with the new secret:
     secret: [NEW, PRESENT]
3. Remove the present secret, not before 2026-12-06 10:01 UTC:
     secret: [NEW]

Depending on the present one, and for how long:

  sessions of users without a stored security stamp                     7 days
  reset tokens                                                          1 hour
  verify tokens                                                         3 days
  the part of reset and verify tokens that names the state of the user  3 days
  tokens of the backend "jwt"                                           90 minutes
  tokens for the purpose "oauth-state"                                  10 minutes

The last step counts from the end of step 2, which is 2026-11-29 10:00 UTC here. --at TIME sets another time.`
  )
  t.notOk(out.includes(SECRET), 'the present secret is not printed')
  const [first, second] = [await planOf([], parts), await planOf([], parts)]
  t.not(first.created[0]?.value, second.created[0]?.value, 'every run creates another secret')
  t.ok(await buildApp(t, { secret: [String(first.created[0]?.value), SECRET] }), 'the plugin accepts it')
})

t.test('the time of the last step follows the longest lifetime of the config, and --at', async (t) => {
  const cases: [string, ConfigParts, string[], string][] = [
    ['a JWT', { backends: `[${derived}]`, more: NOW }, [], '2026-11-29T11:31:00.000Z'],
    ['the reset token', { backends: `[${backend('jwt', 'jwtStrategy({ lifetimeSeconds: 60 })')}]`, more: NOW }, [], '2026-11-29T11:01:00.000Z'],
    ['a stored session', { backends: `[${stored}]`, more: NOW }, [], '2026-12-06T10:01:00.000Z'],
    ['another start', { backends: `[${stored}]`, more: NOW }, ['--at', '2026-12-01T00:00Z'], '2026-12-08T00:00:00.000Z'],
    [
      'the OAuth state',
      {
        backends: `[${backend('jwt', 'jwtStrategy({ lifetimeSeconds: 60 })')}]`,
        more: `${NOW}, tokens: { reset: { lifetimeSeconds: 60 }, verify: { lifetimeSeconds: 60 } }`,
        rest: OAUTH
      },
      [],
      '2026-11-29T10:11:00.000Z'
    ]
  ]
  for (const [name, parts, args, expected] of cases) {
    const { steps } = await planOf(args, parts)
    t.equal(steps.at(-1)?.notBefore, expected, name)
    t.strictSame(steps.slice(0, -1).map(({ notBefore }) => notBefore), [null, null])
  }
})

t.test('rotate-secret names what never expires, what is not known, and secrets of an unfinished rotation', async (t) => {
  const endless = await planOf([], {
    backends: `[${backend('jwt', 'jwtStrategy({ lifetimeSeconds: null })')}]`,
    more: `${NOW}, compatibility: { endlessTokens: true }`
  })
  t.match(endless.lifetimes, [{ about: /security stamp/, seconds: null }, {}, {}, {}, { about: 'tokens of the backend "jwt"', seconds: null }])
  const feature = await planOf([], {
    more: NOW,
    rest: "function listFeatures () { return [{ name: 'invites', setup: ({ keysFor }) => { keysFor('invite'); return {} } }] }"
  })
  t.match(feature.lifetimes.at(-1), { about: 'tokens for the purpose "invite"', seconds: 'unknown' })
  const several = await planOf([], { more: `${NOW}, secret: [process.env.USERS_SECRET, '${randomBytes(32).toString('base64url')}']` })
  t.strictSame(several.steps.map(({ option }) => option), [
    'secret: [PRESENT_1, PRESENT_2, NEW]',
    'secret: [NEW, PRESENT_1, PRESENT_2]',
    'secret: [NEW]'
  ])
  t.match(several.notes.at(-1), /lists 2 secrets\. Remove the older ones first/)
  t.strictSame(
    planSecret({ secrets: { count: 1, uses: [] } } as unknown as SecurityProfile, new Date(0)).steps.at(-1)?.notBefore,
    new Date(0)
  )
})

t.test('rotate-secret --keys prints a key pair that the plugin accepts, and its steps', async (t) => {
  const { privateKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' }
  })
  const present = `jwtStrategy({ lifetimeSeconds: 600, keys: [{ kid: 'k1', algorithm: 'EdDSA', privateKey: ${JSON.stringify(privateKey)} }] })`
  for (const algorithm of ['ES256', 'EdDSA', 'RS256'] as const) {
    const plan = await planOf(['--keys', algorithm], { backends: `[${backend('api', present)}, ${stored}]`, more: NOW })
    const [pair = '', publicPem = ''] = plan.created.map(({ value }) => value)
    const kid = /kid (\S+)$/.exec(plan.created[0]?.name ?? '')?.[1]
    t.equal(createPublicKey(createPrivateKey(pair)).export({ type: 'spki', format: 'pem' }), publicPem, algorithm)
    const key: JwtKeyOptions = { algorithm, privateKey: pair }
    t.equal(checkJwtKey('key', key).kid, kid, 'the kid is the thumbprint')
    const strategy = jwtStrategy({ lifetimeSeconds: 600, keys: [{ ...key, kid: String(kid) }] })
    const built = await buildApp(t, { backends: [{ name: 'jwt', transport: bearerTransport(), strategy }] })
    await built.register()
    t.equal((await built.send('GET', '/guarded', undefined, await built.bearer(ARTHUR))).statusCode, 200)
    const named = `{ kid: '${kid}', algorithm: '${algorithm}', `
    t.strictSame(plan.steps.map(({ option, notBefore }) => [option, notBefore]), [
      [`keys: [PRESENT, ${named}publicKey }]`, null],
      [`keys: [${named}privateKey }, PRESENT]`, '2026-11-29T10:06:00.000Z'],
      [`keys: [${named}privateKey }]`, '2026-11-29T10:16:00.000Z']
    ])
    t.strictSame(plan.lifetimes, [{ about: 'tokens of the backend "api"', seconds: 600 }])
    t.match(plan.notes[0], /^PRESENT stands for the keys of the backend "api" \(kid k1\)\.$/)
    t.notOk(JSON.stringify(plan).includes(privateKey.slice(40, 80)), 'the present key is not printed')
  }
  const late = await planOf(['--keys', 'ES256', '--at', '2026-12-01T00:00Z'], { backends: `[${backend('api', present)}]`, more: NOW })
  t.equal(late.steps.at(-1)?.notBefore, '2026-12-01T00:10:00.000Z')
  const unpublished = await planOf(['--keys', 'ES256'], { backends: `[${backend('api', present)}]`, more: `${NOW}, routes: { jwks: false }` })
  t.equal(unpublished.steps[1]?.notBefore, null)
  const first = await planOf(['--keys', 'ES256'], { backends: `[${derived}]`, more: NOW })
  t.match(first, { steps: [{ option: /^keys: \[\{ kid: '.*', algorithm: 'ES256', privateKey \}\]$/ }], lifetimes: [] })
  t.match(first.notes, [/No backend has a key pair yet/])
})

t.test('rotate-secret refuses wrong arguments and configs', async (t) => {
  const cases: [string[], ConfigParts, number, RegExp][] = [
    [['--keys', 'HS256'], {}, 2, /--keys must be one of ES256, EdDSA, RS256/],
    [['--keys', 'es256'], {}, 2, /--keys must be one of/],
    [['--keys', ''], {}, 2, /--keys must be one of/],
    [['--at', 'tomorrow'], {}, 2, /--at must be a time/],
    [['--secret', 'x'], {}, 2, /Unknown option '--secret'/],
    [[], { more: "secret: 'short'" }, 1, /Option secret: has less than 32 bytes/],
    [[], { backends: `[${backend('jwt', "jwtStrategy({ lifetimeSeconds: 60, algorithm: 'ES256' })")}]` }, 1, /ES256 needs privateKey/]
  ]
  for (const [args, parts, code, err] of cases) {
    t.match(await run(['rotate-secret', ...args], parts), { code, out: '', err }, args.join(' '))
  }
  t.match(await run(['rotate-secret', '--help']), { code: 0, out: /^Usage: fastify-users rotate-secret \[options\]$/m })
})
