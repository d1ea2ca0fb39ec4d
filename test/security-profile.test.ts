import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import {
  argon2Passwords,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  defineStrategy,
  defineTransport,
  jwtStrategy,
  passwordPolicy,
  type CaptchaProvider,
  type SecurityProfile,
  type UsersOptions
} from '../lib/index.js'
import { backends, buildApp, countedPasswords, SECRET } from './helpers/build-app.js'

const { privateKey, publicKey } = generateKeyPairSync('ec', {
  namedCurve: 'P-256',
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' }
})
const OWN_SECRET = 'x'.concat(SECRET)
const OWN_CAPTCHA: CaptchaProvider = { name: 'own', field: 'own', open: () => ({ verify: async () => true }) }

t.test('CFG-09: app.users.securityProfile() returns the effective settings of the defaults', async (t) => {
  const { app } = await buildApp(t, { passwords: argon2Passwords(), sensitiveChanges: undefined } as never)
  const profile = app.users.securityProfile()
  const kid = profile.backends[0]?.keys[0]?.kid
  t.match(kid, /^[\w-]{8}$/)
  t.strictSame(profile, {
    tenant: 'users',
    secrets: {
      count: 1,
      uses: [
        { purpose: 'stamp', lifetimeSeconds: 86_400 },
        { purpose: 'device', lifetimeSeconds: 0 },
        { purpose: 'audit', lifetimeSeconds: 0 },
        { purpose: 'reset', lifetimeSeconds: 3600 },
        { purpose: 'verify', lifetimeSeconds: 3600 },
        { purpose: 'fingerprint', lifetimeSeconds: 3600 },
        { purpose: 'backend:jwt', lifetimeSeconds: 3600 }
      ]
    },
    backends: [
      {
        name: 'jwt',
        transport: 'bearer',
        strategy: 'jwt',
        lifetimeSeconds: 3600,
        revocable: false,
        keys: [{ kid: kid ?? null, algorithm: 'HS256', canSign: true, isPublic: false }],
        cookie: null,
        requireVerification: false
      },
      {
        name: 'cookie',
        transport: 'cookie',
        strategy: 'database',
        lifetimeSeconds: 86_400,
        revocable: true,
        keys: [],
        cookie: { name: '__Host-users-cookie', secure: true, sameSite: 'lax', partitioned: false },
        requireVerification: false
      }
    ],
    jwks: null,
    tokens: {
      reset: { lifetimeSeconds: 3600, hasOwnSecret: false },
      verify: { lifetimeSeconds: 3600, hasOwnSecret: false }
    },
    passwords: { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2, parallelism: 1 },
    passwordPolicy: { minimumLength: 8, contextWords: 0, breached: false, strength: false, ownRule: false },
    limits: null,
    mail: null,
    captcha: null,
    routes: { auth: true, register: true, reset: true, verify: true, users: true },
    publicUrl: null,
    trustedOrigins: [],
    requireVerification: false,
    revealExistingAccounts: true,
    sensitiveChanges: 'confirm',
    reauthenticationSeconds: 300,
    allowIntranetEmails: false,
    errorHandler: 'plugin',
    cacheSeconds: null,
    storedTokens: 'digest',
    endlessTokens: false,
    allowInsecure: [],
    features: [],
    loginSteps: []
  } satisfies SecurityProfile)
})

t.test('CFG-09: the profile follows the options', async (t) => {
  const cases: [Partial<UsersOptions>, Partial<SecurityProfile>][] = [
    [{ secret: [SECRET, OWN_SECRET] }, { secrets: { count: 2, uses: [{ purpose: 'stamp' }] as never } }],
    [{ name: 'staff' }, { tenant: 'staff' }],
    [{ publicUrl: 'https://camelot.bt/app/' }, { publicUrl: 'https://camelot.bt/app' }],
    [{ trustedOrigins: ['https://a.bt'] }, { trustedOrigins: ['https://a.bt'] }],
    [{ requireVerification: true }, { requireVerification: true }],
    [{ revealExistingAccounts: false }, { revealExistingAccounts: false }],
    [{ sensitiveChanges: 'immediate' }, { sensitiveChanges: 'immediate' }],
    [{ reauthentication: { maxAgeSeconds: 60 } }, { reauthenticationSeconds: 60 }],
    [{ allowIntranetEmails: true }, { allowIntranetEmails: true }],
    [{ errorHandler: 'application' }, { errorHandler: 'application' }],
    [{ cache: { maxAgeMs: 5000 } }, { cacheSeconds: 5 }],
    [
      { compatibility: 'fastapi-users', sensitiveChanges: undefined } as never,
      { storedTokens: 'plain', endlessTokens: true, sensitiveChanges: 'immediate' }
    ],
    [{ allowInsecure: ['longSessions'] }, { allowInsecure: ['longSessions'] }],
    [
      { routes: { register: false, auth: { prefix: '/login' } } },
      { routes: { auth: true, register: false, reset: true, verify: true, users: true } }
    ],
    [
      { tokens: { reset: { lifetimeSeconds: 60, secret: OWN_SECRET } } },
      { tokens: { reset: { lifetimeSeconds: 60, hasOwnSecret: true }, verify: { lifetimeSeconds: 3600 } as never } }
    ],
    [{ features: [{ name: 'empty', setup: () => ({}) }] }, { features: ['empty'] }],
    [{ passwords: { ...countedPasswords().passwords } }, { passwords: null }],
    [{ validatePassword: () => null }, { passwordPolicy: null }],
    [
      { validatePassword: passwordPolicy({ preset: 'single-factor', contextWords: ['camelot'], check: () => null }) },
      { passwordPolicy: { minimumLength: 15, contextWords: 1, breached: false, strength: false, ownRule: true } }
    ],
    [
      { limits: { client: { login: { max: 3, seconds: 60 }, register: false }, account: { stopAfter: 50 } } },
      {
        limits: {
          store: 'memory',
          whenUnavailable: 'refuse',
          client: { login: [{ max: 3, seconds: 60 }], register: [] },
          account: { limits: [{ max: 5, seconds: 300 }, { max: 10, seconds: 900 }], stopAfter: 50 } as never,
          mail: { all: [{ max: 1000, seconds: 3600 }] } as never
        }
      }
    ],
    [{ mail: 'console' }, { mail: 'console' }],
    [
      { mail: { send: async () => {}, from: 'a@camelot.bt' }, publicUrl: 'https://camelot.bt' },
      { mail: 'function' }
    ],
    [
      { captcha: { provider: OWN_CAPTCHA, for: ['login'], when: () => true } },
      { captcha: { provider: 'own', kinds: ['login'], isConditional: true, ifUnavailable: 'refuse' } }
    ]
  ]
  for (const [options, expected] of cases) {
    const { app } = await buildApp(t, options)
    t.match(app.users.securityProfile(), expected, Object.keys(options).join())
  }
})

t.test('CFG-09: the profile describes keys, cookies and strategies of the application', async (t) => {
  const custom = {
    transport: defineTransport({
      name: 'header',
      describe: () => ({ scheme: { type: 'apiKey', in: 'header', name: 'x-token' }, login: {}, logout: {} }),
      setup: () => ({ ambient: false, extractToken: () => null, sendLogin: (reply) => reply })
    }),
    strategy: defineStrategy({
      name: 'custom',
      setup: () => ({ readToken: () => null, writeToken: () => ({ token: '', lifetimeSeconds: null }) })
    })
  }
  const { app } = await buildApp(t, {
    backends: [
      {
        name: 'pair',
        transport: bearerTransport(),
        strategy: jwtStrategy({
          lifetimeSeconds: 60,
          keys: [
            { kid: 'new', algorithm: 'ES256', privateKey },
            { kid: 'old', secret: OWN_SECRET }
          ]
        })
      },
      {
        name: 'cookie',
        transport: cookieTransport({ name: 'sid', secure: true, sameSite: 'none', partitioned: true }),
        strategy: databaseStrategy({ lifetimeSeconds: 60 }),
        requireVerification: true
      },
      { name: 'custom', ...custom }
    ]
  })
  const profile = app.users.securityProfile()
  t.strictSame(profile.backends, [
    {
      name: 'pair',
      transport: 'bearer',
      strategy: 'jwt',
      lifetimeSeconds: 60,
      revocable: false,
      keys: [
        { kid: 'new', algorithm: 'ES256', canSign: true, isPublic: true },
        { kid: 'old', algorithm: 'HS256', canSign: true, isPublic: false }
      ],
      cookie: null,
      requireVerification: false
    },
    {
      name: 'cookie',
      transport: 'cookie',
      strategy: 'database',
      lifetimeSeconds: 60,
      revocable: true,
      keys: [],
      cookie: { name: 'sid', secure: true, sameSite: 'none', partitioned: true },
      requireVerification: true
    },
    {
      name: 'custom', transport: 'header', strategy: 'custom', revocable: false, keys: [], cookie: null, requireVerification: false
    }
  ])
  t.strictSame(profile.jwks, { path: '/.well-known/jwks.json', maxAgeSeconds: 300 })
  t.strictSame(profile.secrets.uses[0], { purpose: 'stamp' }, 'the lifetime of one strategy is not known')
})

t.test('CFG-09: the profile contains no secret, and changes of it have no effect', async (t) => {
  const { app } = await buildApp(t, {
    secret: [SECRET, OWN_SECRET],
    tokens: { verify: { secret: OWN_SECRET } },
    validatePassword: passwordPolicy(),
    backends: [
      ...backends(),
      { name: 'pair', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60, algorithm: 'ES256', privateKey, publicKey }) }
    ]
  })
  const text = JSON.stringify(app.users.securityProfile())
  t.notOk(text.includes(SECRET))
  t.notMatch(text, /BEGIN|"d":|"privateKey"/)
  ;(app.users.securityProfile().trustedOrigins as string[]).push('https://evil.bt')
  t.equal(JSON.stringify(app.users.securityProfile()), text)
})
