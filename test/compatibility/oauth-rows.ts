// The OAuth routes of FastAPI Users 15.0.5, row by row (contract 1.10 to 1.12, 2.1 and section 10). Nothing but data
// and
// type imports here: `differences.mjs` reads the table too.
import type { LightMyRequestResponse } from 'fastify'
import type { Difference } from './rows.js'

/**
 * Who has accounts in the database of the original: galahad one at Google; arthur is verified and has none; mordred is
 * inactive, with one at GitHub.
 */
export type Person = 'arthur' | 'galahad' | 'lancelot' | 'mordred'

/** How the application differs from the plain one. */
export type OauthVariant = 'plain' | 'cookie' | 'associate-by-email' | 'verified-by-default' | 'verified'

/** An account as it is stored. */
export interface StoredAccount {
  user_id: string
  oauth_name: string
  access_token: string
  expires_at: number | null
  refresh_token: string | null
  account_id: string
  account_email: string
}

/** Where a row is played: one browser, two providers, and the tables. */
export interface OauthWorld {
  ids: Record<Person, string>
  /**
   * Starts a login, or as somebody a linking, goes to the provider, and gives the address of the callback. The browser
   * has its cookie then.
   */
  begin(provider?: 'google' | 'github', as?: Person): Promise<string>
  /** Who is at the provider now. */
  be(person: { id: string; email?: string | null; verified?: boolean }): void
  /** What the provider's endpoint does from now on. */
  fail(endpoint: 'token' | 'api', fault: 'error400' | 'error500' | 'empty-token'): void
  /** A state with these claims, which the original would have made for the browser's cookie. */
  state(claims?: object, secret?: string): string
  /** Another cookie in the browser; null for none. */
  cookie(value: string | null): void
  accounts(): StoredAccount[]
  emails(): string[]
  link(who: Person, accountId: string): void
  /** Resets the password by mail. */
  reset(who: Person): Promise<void>
  /** Requests to the provider's token endpoint. */
  exchanges(): number
  countEvents(event: string): number
}

/** A GET request and its reply. */
export interface OauthStep {
  before?: (world: OauthWorld) => unknown
  /** The address; text, or made by the world. */
  get: string | ((world: OauthWorld) => string | Promise<string>)
  as?: Person
  headers?: Record<string, string>
  status: number
  /** Data, compared as JSON; absent where `after` looks. */
  body?: unknown
  after?: (world: OauthWorld, reply: LightMyRequestResponse) => boolean
}

/** One row of the table. */
export interface OauthRow {
  at: '1.7' | '1.10' | '1.11' | '1.12' | '1.13' | '2.1'
  name: string
  variant?: OauthVariant
  steps: readonly OauthStep[]
  differs?: Difference
}

const START = '/auth/google/authorize'
const CALLBACK = '/auth/google/callback'
const LINK = '/auth/associate/google'
const BEARER = { access_token: '<jwt>', token_type: 'bearer' }
const GALAHAD = { id: '1001', email: 'galahad@gmail.example' }
const NEWCOMER = { id: '2002', email: 'percival@camelot.bt' }
const HIDDEN = '**********'
const bad = (detail: string): Pick<OauthStep, 'status' | 'body'> => ({ status: 400, body: { detail } })
const callback =
  (query: (world: OauthWorld) => Record<string, string>): OauthStep['get'] =>
    (world) =>
    `${CALLBACK}?${new URLSearchParams(query(world)).toString()}`
const finish = { get: (world: OauthWorld) => world.begin() }
const enters = { ...finish, status: 200, body: BEARER }
const addressOf = (reply: LightMyRequestResponse): URL =>
  new URL(reply.json<{ authorization_url: string }>().authorization_url)
const be = (person: Parameters<OauthWorld['be']>[0]) => (world: OauthWorld) => {
  world.be(person)
}
const of = (world: OauthWorld, id: string): StoredAccount[] =>
  world.accounts().filter((account) => account.account_id === id)
const unspent = (world: OauthWorld): boolean => world.exchanges() === 0

const starts: readonly OauthRow[] = [
  {
    at: '1.10',
    name: 'authorize: an address in JSON, its parameters in this order',
    steps: [
      {
        get: START,
        status: 200,
        after: (_world, reply) =>
          [...addressOf(reply).searchParams.keys()].join() ===
          'response_type,client_id,redirect_uri,state,scope,code_challenge,code_challenge_method,nonce'
      }
    ],
    differs: {
      upstream: '200, without code_challenge, code_challenge_method and nonce',
      reason: 'OAU-02, OAU-04: PKCE and, where an id_token comes, a nonce'
    }
  },
  {
    at: '1.10',
    name: 'authorize: of a provider without id_tokens',
    steps: [
      {
        get: '/auth/github/authorize',
        status: 200,
        after: (_world, reply) =>
          addressOf(reply).searchParams.get('scope') === 'user user:email' &&
          /&scope=user\+user%3Aemail/.test(addressOf(reply).search)
      }
    ]
  },
  {
    at: '1.10',
    name: 'authorize: the cookie',
    steps: [
      {
        get: START,
        status: 200,
        after: (_world, reply) =>
          /^fastapiusersoauthcsrf=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/.test(
            String(reply.headers['set-cookie'])
          )
      }
    ],
    differs: { upstream: '200, Max-Age=3600', reason: 'OAU-01: a login has ten minutes (`stateLifetimeSeconds`)' }
  },
  {
    at: '2.1',
    name: 'authorize: the claims of the state, in this order',
    steps: [
      {
        get: START,
        status: 200,
        after: (_world, reply) =>
          /^csrftoken,(?:jti,)?aud,exp(?:,jti)?$/.test(Object.keys(claimsOf(addressOf(reply))).join()) &&
          claimsOf(addressOf(reply))['aud'] === 'fastapi-users:oauth-state'
      }
    ],
    differs: {
      upstream: '200, without jti; csrftoken is the cookie itself',
      reason: 'D16, OAU-01: jti names the transaction, and the provider does not learn the cookie'
    }
  },
  {
    at: '1.10',
    name: 'authorize: one of the scopes',
    steps: [
      {
        get: '/auth/github/authorize?scopes=user',
        status: 200,
        after: (_world, reply) => addressOf(reply).searchParams.get('scope') === 'user'
      }
    ]
  },
  {
    at: '1.10',
    name: 'authorize: several scopes',
    steps: [
      {
        get: '/auth/github/authorize?scopes=user:email&scopes=user',
        status: 200,
        after: (_world, reply) => addressOf(reply).searchParams.get('scope') === 'user:email user'
      }
    ]
  },
  {
    at: '1.10',
    name: 'authorize: a scope that is not configured',
    steps: [{ get: '/auth/github/authorize?scopes=repo', ...bad('Bad Request') }],
    differs: {
      upstream: '200, and asks the provider for it',
      reason: 'OAU-13: a request names configured scopes alone'
    }
  },
  {
    at: '1.10',
    name: 'authorize: an empty scope',
    steps: [
      {
        get: '/auth/github/authorize?scopes=',
        status: 200,
        after: (_world, reply) => addressOf(reply).searchParams.get('scope') === 'user user:email'
      }
    ],
    differs: { upstream: '200, with an empty scope', reason: 'D33: blank counts as absent' }
  },
  {
    at: '1.10',
    name: 'authorize: the address to come back to, for a request with another Host',
    steps: [
      {
        get: START,
        headers: { host: 'evil.example' },
        status: 200,
        after: (_world, reply) =>
          addressOf(reply).searchParams.get('redirect_uri') === 'https://app.example.com/auth/google/callback'
      }
    ],
    differs: { upstream: '200, of the Host of the request', reason: 'D25, OAU-09: of `publicUrl` alone' }
  }
]

const callbacks: readonly OauthRow[] = [
  { at: '1.12', name: 'callback without parameters', steps: [{ get: CALLBACK, ...bad('Bad Request') }] },
  {
    at: '1.12',
    name: 'callback with an error',
    steps: [
      { get: `${CALLBACK}?error=access_denied`, ...bad('access_denied') },
      { get: `${CALLBACK}?code=c&error=x`, ...bad('x') }
    ]
  },
  {
    at: '1.12',
    name: 'callback with an error that is markup',
    steps: [{ get: `${CALLBACK}?error=%3Cscript%3E`, ...bad('Bad Request') }],
    differs: { upstream: '400, with the text', reason: 'OAU-10: nothing but plain words is repeated' }
  },
  {
    at: '1.12',
    name: 'callback without a state, or with garbage',
    steps: [
      { get: `${CALLBACK}?code=c`, ...bad('ACCESS_TOKEN_DECODE_ERROR') },
      { get: `${CALLBACK}?code=c&state=garbage`, ...bad('ACCESS_TOKEN_DECODE_ERROR') }
    ]
  },
  {
    at: '1.12',
    name: 'callback with a state of another signature',
    steps: [
      {
        get: callback((world) => ({ code: 'c', state: world.state({}, 'x'.repeat(32)) })),
        ...bad('ACCESS_TOKEN_DECODE_ERROR')
      }
    ]
  },
  {
    at: '1.12',
    name: 'callback with a state that has ended',
    steps: [
      {
        get: callback((world) => ({ code: 'c', state: world.state({ exp: 1 }) })),
        ...bad('ACCESS_TOKEN_ALREADY_EXPIRED')
      }
    ]
  },
  ...(['fastapi-users:verify', null] as const).map((aud): OauthRow => ({
    at: '1.10',
    name: `callback with a state ${aud === null ? 'without an audience' : 'of another audience'}`,
    steps: [
      {
        get: callback((world) => ({ code: 'c', state: world.state({ aud: aud ?? undefined }) })),
        ...bad('ACCESS_TOKEN_DECODE_ERROR')
      }
    ],
    differs: { upstream: '500', reason: 'D7: a bad state like any other' }
  })),
  {
    at: '1.12',
    name: 'callback without the cookie',
    steps: [{ get: (world) => withCookie(world, null), ...bad('OAUTH_INVALID_STATE') }]
  },
  {
    at: '1.12',
    name: 'callback with another cookie',
    steps: [{ get: (world) => withCookie(world, 'x'.repeat(43)), ...bad('OAUTH_INVALID_STATE') }]
  },
  {
    at: '1.12',
    name: 'callback with a state without csrftoken',
    steps: [{ get: (world) => withState(world, { csrftoken: undefined }), ...bad('OAUTH_INVALID_STATE') }]
  },
  {
    at: '1.12',
    name: 'callback with a cookie that is not ASCII',
    steps: [{ get: (world) => withCookie(world, 'é'.repeat(43)), ...bad('OAUTH_INVALID_STATE'), after: unspent }],
    differs: { upstream: '500', reason: 'D9: a wrong cookie like any other' }
  },
  {
    at: '1.10',
    name: 'callback with a state that is wrong spends no code',
    steps: [
      { get: callback(() => ({ code: 'c', state: 'garbage' })), ...bad('ACCESS_TOKEN_DECODE_ERROR'), after: unspent }
    ],
    differs: {
      upstream: '500: the code is exchanged first, and the provider refuses it',
      reason: 'D15, OAU-03: the state is checked first'
    }
  },
  {
    at: '2.1',
    name: 'callback of a login that Python started',
    steps: [{ get: (world) => withState(world), ...bad('OAUTH_INVALID_STATE') }],
    differs: {
      upstream: '200',
      reason: 'D16, OAU-01: a login is finished where its transaction is; the user starts again'
    }
  },
  {
    at: '1.13',
    name: 'callback with a parameter twice',
    steps: [
      {
        get: `${CALLBACK}?code=a&code=b`,
        status: 422,
        body: {
          detail: [
            { type: 'string_type', loc: ['query', 'code'], msg: 'Input should be a valid string', input: HIDDEN }
          ]
        }
      }
    ],
    differs: {
      upstream: '400: the last one counts, and it has no state',
      reason: 'OAU-11: repeated parameters are refused, in the form of 1.13'
    }
  },
  {
    at: '1.10',
    name: 'the same callback again',
    steps: [
      {
        before: be(GALAHAD),
        ...enters,
        after: (_world, reply) => /^fastapiusersoauthcsrf=; Max-Age=0/.test([reply.headers['set-cookie']].flat().join())
      },
      { get: 'again', ...bad('OAUTH_INVALID_STATE') }
    ],
    differs: {
      upstream: '200, 200 for an hour, as long as the provider takes the code; the cookie stays',
      reason: 'D16, OAU-01: once, and the cookie goes'
    }
  },
  {
    at: '1.10',
    name: 'the provider refuses the code',
    steps: [
      {
        before: (world) => {
          world.fail('token', 'error400')
        },
        ...finish,
        status: 502,
        body: { detail: 'OAUTH_PROVIDER_FAILED' }
      }
    ],
    differs: {
      upstream: '500 with the text of the provider',
      reason: 'D10, OAU-10: a code of ours, and nothing that the provider wrote'
    }
  },
  {
    at: '1.10',
    name: 'the provider answers the exchange with 200 and without a token',
    steps: [
      {
        before: (world) => {
          world.fail('token', 'empty-token')
        },
        ...finish,
        status: 502,
        body: { detail: 'OAUTH_PROVIDER_FAILED' }
      }
    ],
    differs: { upstream: '500 as text', reason: 'D32: like any failed exchange' }
  },
  {
    at: '1.10',
    name: 'the provider does not tell the profile',
    steps: [
      {
        before: (world) => {
          world.fail('api', 'error500')
        },
        get: (world) => world.begin('github'),
        status: 502,
        body: { detail: 'OAUTH_PROVIDER_FAILED' }
      }
    ],
    differs: { upstream: '500 as text', reason: 'D10: a code of ours' }
  },
  {
    at: '1.10',
    name: 'no address at the provider',
    steps: [{ before: be({ id: '2002', email: null }), ...finish, ...bad('OAUTH_NOT_AVAILABLE_EMAIL') }]
  },
  {
    at: '1.10',
    name: 'an address that is empty text at the provider',
    steps: [{ before: be({ id: '2002', email: '' }), ...finish, ...bad('OAUTH_NOT_AVAILABLE_EMAIL') }]
  }
]

const logins: readonly OauthRow[] = [
  {
    at: '1.12',
    name: 'a known account, whose address has changed',
    steps: [
      {
        before: be({ id: '1001', email: 'new@gmail.example' }),
        ...enters,
        after (world) {
          const [row, ...others] = of(world, 'people/1001')
          return (
            others.length === 0 &&
            row?.user_id === world.ids.galahad &&
            row.account_email === 'new@gmail.example' &&
            /^access-/.test(row.access_token) &&
            /^refresh-/.test(String(row.refresh_token)) &&
            Math.abs(Number(row.expires_at) - Date.now() / 1000 - 3600) < 60 &&
            world.emails().includes('galahad@camelot.bt') &&
            !world.emails().includes('new@gmail.example') &&
            world.countEvents('onAfterRegister') === 0
          )
        }
      }
    ]
  },
  {
    at: '1.12',
    name: 'a new account, whose address a user has',
    steps: [
      {
        before: be({ id: '2002', email: 'KING.ARTHUR@camelot.bt', verified: true }),
        ...finish,
        ...bad('OAUTH_USER_ALREADY_EXISTS'),
        after: (world) => of(world, 'people/2002').length === 0
      }
    ]
  },
  {
    at: '1.12',
    name: 'the same with associateByEmail, both sides verified',
    variant: 'associate-by-email',
    steps: [
      {
        before: be({ id: '2002', email: 'king.arthur@camelot.bt', verified: true }),
        ...enters,
        after: (world) => of(world, 'people/2002')[0]?.user_id === world.ids.arthur
      }
    ]
  },
  {
    at: '1.12',
    name: 'the same, a user who never proved the address',
    variant: 'associate-by-email',
    steps: [
      {
        before: be({ id: '2002', email: 'lancelot@camelot.bt', verified: true }),
        ...finish,
        ...bad('OAUTH_USER_ALREADY_EXISTS')
      }
    ],
    differs: {
      upstream: '200',
      reason: 'D27, LNK-02: somebody else may have registered the address (`reclaimUnverified`)'
    }
  },
  {
    at: '1.12',
    name: 'the same, an address that the provider did not prove',
    variant: 'associate-by-email',
    steps: [
      {
        before: be({ id: '2002', email: 'king.arthur@camelot.bt', verified: false }),
        ...finish,
        ...bad('OAUTH_USER_ALREADY_EXISTS')
      }
    ],
    differs: { upstream: '200', reason: 'LNK-02: anybody may write any address there' }
  },
  {
    at: '1.12',
    name: 'a new account with a new address',
    steps: [
      {
        before: be(NEWCOMER),
        ...enters,
        after: (world) =>
          world.emails().includes(NEWCOMER.email) &&
          of(world, 'people/2002').length === 1 &&
          world.countEvents('onAfterRegister') === 1
      }
    ]
  },
  {
    at: '1.12',
    name: 'the same, and the user can log in again',
    steps: [
      { before: be(NEWCOMER), ...enters },
      { ...enters, after: (world) => of(world, 'people/2002').length === 1 && world.countEvents('onAfterRegister') === 1 }
    ]
  },
  {
    at: '1.7',
    name: 'a user who proved the address and has reset the password',
    steps: [
      {
        before: async (world) => {
          world.link('arthur', 'people/2002')
          world.be(NEWCOMER)
          await world.reset('arthur')
        },
        ...enters,
        after: (world) => of(world, 'people/2002')[0]?.user_id === world.ids.arthur
      }
    ]
  },
  {
    at: '1.7',
    name: 'a user who never proved the address and has reset the password',
    steps: [
      {
        before: async (world) => {
          world.be(GALAHAD)
          await world.reset('galahad')
        },
        ...enters,
        after: (world) => !of(world, 'people/1001').some(({ user_id: id }) => id === world.ids.galahad)
      }
    ],
    differs: {
      upstream: '200, as that user',
      reason: 'RST-13: whoever registered the address before its owner may have linked the account'
    }
  },
  {
    at: '1.10',
    name: 'an inactive user',
    steps: [
      {
        before: be({ id: '583231', email: 'mordred@camelot.bt' }),
        get: (world) => world.begin('github'),
        ...bad('LOGIN_BAD_CREDENTIALS'),
        after: (world) => /^access-/.test(String(of(world, '583231')[0]?.access_token))
      }
    ]
  },
  {
    at: '1.10',
    name: 'a login with a cookie',
    variant: 'cookie',
    steps: [
      {
        before: be(GALAHAD),
        ...finish,
        status: 204,
        body: '',
        after: (_world, reply) => /fastapiusersauth=eyJ/.test([reply.headers['set-cookie']].flat().join())
      }
    ]
  },
  {
    at: '1.10',
    name: 'an unverified user where users must be verified',
    variant: 'verified',
    steps: [{ before: be(GALAHAD), ...finish, ...bad('LOGIN_USER_NOT_VERIFIED') }],
    differs: { upstream: '200, and 403 on the routes', reason: 'D19: the requirement counts for every login' }
  },
  {
    at: '1.10',
    name: 'isVerifiedByDefault',
    variant: 'verified-by-default',
    steps: [
      {
        before: be({ ...NEWCOMER, verified: true }),
        ...enters,
        after: (world) => world.countEvents('onAfterRegister verified') === 1
      }
    ]
  },
  {
    at: '1.10',
    name: 'isVerifiedByDefault with an address that the provider did not prove',
    variant: 'verified-by-default',
    steps: [
      {
        before: be({ ...NEWCOMER, verified: false }),
        ...enters,
        after: (world) => world.countEvents('onAfterRegister verified') === 0
      }
    ],
    differs: { upstream: '200, and the user is verified', reason: 'OAU-19: only what a trusted provider proved' }
  }
]

const ownLink = { get: (world: OauthWorld) => world.begin('google', 'lancelot'), as: 'lancelot' } as const
const lancelot = { id: '<id>', email: 'lancelot@camelot.bt', is_active: true, is_superuser: false, is_verified: false }
const SECOND = { id: '3003', email: 'lance@gmail.example' }

const links: readonly OauthRow[] = [
  {
    at: '1.12',
    name: 'associate without a session',
    steps: [
      { get: `${LINK}/authorize`, status: 401, body: { detail: 'Unauthorized' } },
      { get: `${LINK}/callback`, status: 401, body: { detail: 'Unauthorized' } }
    ]
  },
  {
    at: '1.11',
    name: 'associate by an inactive user',
    steps: [{ get: `${LINK}/authorize`, as: 'mordred', status: 401, body: { detail: 'Unauthorized' } }]
  },
  {
    at: '1.11',
    name: 'associate by an unverified user where users must be verified',
    variant: 'verified',
    steps: [{ get: `${LINK}/authorize`, as: 'lancelot', status: 403, body: { detail: 'Forbidden' } }]
  },
  {
    at: '1.11',
    name: 'associate: 200 with the user, and a row',
    steps: [
      {
        before: be(SECOND),
        ...ownLink,
        status: 200,
        body: lancelot,
        after: (world) =>
          of(world, 'people/3003')[0]?.user_id === world.ids.lancelot && world.countEvents('onAfterUpdate') === 1
      }
    ]
  },
  {
    at: '1.11',
    name: 'associate without parameters, or with an error',
    steps: [
      { get: `${LINK}/callback`, as: 'lancelot', ...bad('Bad Request') },
      { get: `${LINK}/callback?error=x`, as: 'lancelot', ...bad('x') }
    ]
  },
  {
    at: '1.12',
    name: 'associate with the state of another user',
    steps: [
      {
        before: be(SECOND),
        ...ownLink,
        as: 'galahad',
        ...bad('Bad Request'),
        after: (world) => of(world, 'people/3003').length === 0
      }
    ]
  },
  {
    at: '1.11',
    name: 'associate with the state of a login',
    steps: [
      {
        get: async (world) => (await world.begin()).replace(CALLBACK, `${LINK}/callback`),
        as: 'lancelot',
        ...bad('OAUTH_INVALID_STATE')
      }
    ],
    differs: { upstream: '500', reason: 'D8: a state of another purpose is none' }
  },
  {
    at: '1.11',
    name: 'a login with the state of associating',
    steps: [
      {
        before: be(SECOND),
        get: async (world) => (await world.begin('google', 'lancelot')).replace(`${LINK}/callback`, CALLBACK),
        ...bad('OAUTH_INVALID_STATE')
      }
    ],
    differs: { upstream: '200', reason: 'LNK-04, OAU-01: a transaction has one purpose' }
  },
  {
    at: '1.12',
    name: 'associate the same account twice',
    steps: [
      { before: be(SECOND), ...ownLink, status: 200, body: lancelot },
      { ...ownLink, status: 200, body: lancelot, after: (world) => of(world, 'people/3003').length === 1 }
    ],
    differs: { upstream: '200, 200 and two rows', reason: 'D11: one row, with new tokens' }
  },
  {
    at: '1.12',
    name: 'associate the account of another user',
    steps: [
      {
        before: be(GALAHAD),
        ...ownLink,
        ...bad('OAUTH_ACCOUNT_ALREADY_LINKED'),
        after: (world) => of(world, 'people/1001').length === 1
      }
    ],
    differs: { upstream: '200', reason: 'D11, LNK-05: an account has one user' }
  },
  {
    at: '1.12',
    name: 'a login with an account that two users have',
    steps: [
      {
        before: (world) => {
          world.link('lancelot', 'people/1001')
          world.be(GALAHAD)
        },
        ...finish,
        ...bad('OAUTH_ACCOUNT_ALREADY_LINKED')
      }
    ],
    differs: { upstream: '500', reason: 'D11: nobody can say whose it is' }
  },
  {
    at: '1.12',
    name: 'a login with an account that one user has twice',
    steps: [
      {
        before: (world) => {
          world.link('galahad', 'people/1001')
          world.be(GALAHAD)
        },
        ...enters,
        after: (world) =>
          of(world, 'people/1001').every(
            ({ user_id: id, access_token: token }) => id === world.ids.galahad && token.startsWith('access-')
          )
      }
    ]
  }
]

/** The callback of a login, in a browser with another cookie. */
async function withCookie (world: OauthWorld, value: string | null): Promise<string> {
  const url = await world.begin()
  world.cookie(value)
  return url
}

/** A callback with a state of the original's for this browser. */
async function withState (world: OauthWorld, claims: object = {}): Promise<string> {
  await world.begin()
  return `${CALLBACK}?code=c&state=${world.state(claims)}`
}

function claimsOf (url: URL): Record<string, unknown> {
  return JSON.parse(Buffer.from(url.searchParams.get('state')?.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >
}

/** The table by the rows of the scoreboard that its parts show in this mode. */
export const groups: Readonly<Record<string, readonly OauthRow[]>> = {
  'rows 67, 68: the start of a login': starts,
  'row 75: what comes back and fits nothing': callbacks,
  'rows 69-72, 74, 77: logins': logins,
  'rows 78, 79: linking': links
}

/** The whole table. */
export const rows: readonly OauthRow[] = Object.values(groups).flat()
