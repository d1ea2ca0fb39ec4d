// Requests to the OAuth routes of FastAPI Users 15.0.5 and their replies. This file contains only data and imports only
// types, because `differences.mjs` reads it, too.
import type { Difference } from './rows.js'

/**
 * Users in the database of FastAPI Users. Galahad has an account at Google, Mordred is inactive and has an account at
 * GitHub. Arthur is verified. Arthur and Lancelot have no account.
 */
export type Person = 'arthur' | 'galahad' | 'lancelot' | 'mordred'

/** Variants of the application. `oauth.test.ts` contains the options of each. */
export type OauthVariant = 'plain' | 'cookie' | 'associate-by-email' | 'verified-by-default' | 'verified'

/** A reply of one of the two applications. */
export interface OauthReply {
  statusCode: number
  headers: Record<string, number | string | string[] | undefined>
  body: string
  json<T>(): T
}

/** A row of the table `oauth_account`. */
export interface StoredAccount {
  user_id: string
  oauth_name: string
  access_token: string
  expires_at: number | null
  refresh_token: string | null
  account_id: string
  account_email: string
}

/** Users and helpers of a row: they control the browser and the two providers, and read the tables. */
export interface OauthRowContext {
  ids: Record<Person, string>
  /**
   * Starts a login, or linking for the user `as`, and visits the provider. Returns the URL of the callback. The browser
   * then has the cookie of the flow.
   */
  begin(provider?: 'google' | 'github', as?: Person): Promise<string>
  /** Sets the person who is logged in at the provider. */
  be(person: { id: string; email?: string | null; verified?: boolean }): void
  /** Makes the providers accept a code more than once. */
  acceptUsedCodes(): void
  /** Makes an endpoint of the provider fail from now on. */
  fail(endpoint: 'token' | 'api', fault: 'error400' | 'error500' | 'empty-token'): void
  /** Returns a state as FastAPI Users creates it for the cookie of the browser. `claims` replace its claims. */
  state(claims?: object, secret?: string): string
  /** Replaces the cookie of the browser; null deletes it. */
  cookie(value: string | null): void
  accounts(): StoredAccount[]
  emails(): string[]
  /** Stores an account at Google for a user. */
  link(who: Person, accountId: string): void
  /** Resets the password of a user with a mailed token. */
  reset(who: Person): Promise<void>
  /** Returns the status of a GET request with a bearer token. */
  statusOf(path: string, token: string): Promise<number>
  /** Returns the number of requests to the token endpoints. */
  exchanges(): number
  /** Counts the events with a name. With ` verified` after the name, only those of verified users. */
  countEvents(event: string): number
}

/** A GET request and its reply. */
export interface OauthStep {
  before?: (context: OauthRowContext) => unknown
  /** The URL, or a function that returns it. `again` repeats the URL of the previous step. */
  get: string | ((context: OauthRowContext) => string | Promise<string>)
  as?: Person
  headers?: Record<string, string>
  status: number
  /** Text, or data that is compared as JSON text including the order of keys. Absent: the body is not compared. */
  body?: unknown
  /** Returns true if the reply and the state after the request are right. */
  after?: (context: OauthRowContext, reply: OauthReply) => boolean
}

/** The reply of FastAPI Users. `upstream` begins with the statuses of the steps. */
export interface OauthDifference extends Difference {
  /**
   * Returns true if the last reply of FastAPI Users and the state after it are as `upstream` describes. Required if the
   * statuses are those of this package.
   */
  shows?: (context: OauthRowContext, reply: OauthReply) => boolean | Promise<boolean>
}

/** Requests that are sent in order to one application. `at` is a section of docs/contributing/upstream.md. */
export interface OauthRow {
  at: '1.7' | '1.10' | '1.11' | '1.12' | '1.13' | '2.1'
  name: string
  variant?: OauthVariant
  steps: readonly OauthStep[]
  differs?: OauthDifference
}

const START = '/auth/google/authorize'
const CALLBACK = '/auth/google/callback'
const LINK = '/auth/associate/google'
const BEARER = { access_token: '<jwt>', token_type: 'bearer' }
const GALAHAD = { id: '1001', email: 'galahad@gmail.example' }
const NEWCOMER = { id: '2002', email: 'percival@camelot.bt' }
const HIDDEN = '**********'
const bad = (detail: string): Pick<OauthStep, 'status' | 'body'> => ({ status: 400, body: { detail } })
/** Returns the URL of a callback with a code that the provider accepts. `query` returns the other parameters. */
const callback =
  (query: (context: OauthRowContext) => Record<string, string>): OauthStep['get'] =>
    async (context) =>
    `${CALLBACK}?${new URLSearchParams({ code: await validCode(context), ...query(context) }).toString()}`
const finish = { get: (context: OauthRowContext) => context.begin() }
const logsIn = { ...finish, status: 200, body: BEARER }
const authorizationUrlOf = (reply: OauthReply): URL =>
  new URL(reply.json<{ authorization_url: string }>().authorization_url)
/** Returns the names of the parameters in the URL of the provider. */
const parametersOf = (reply: OauthReply): string => [...authorizationUrlOf(reply).searchParams.keys()].join()
const be = (person: Parameters<OauthRowContext['be']>[0]) => (context: OauthRowContext) => {
  context.be(person)
}
const accountsWith = (context: OauthRowContext, id: string): StoredAccount[] =>
  context.accounts().filter((account) => account.account_id === id)
/** Returns true if an error of FastAPI Users was not handled. */
const crashed = (_context: OauthRowContext, reply: OauthReply): boolean => reply.body === 'Internal Server Error'
const hasNoExchange = (context: OauthRowContext): boolean => context.exchanges() === 0

const starts: readonly OauthRow[] = [
  {
    at: '1.10',
    name: 'authorize: the URL in JSON, with the parameters in this order',
    steps: [
      {
        get: START,
        status: 200,
        after: (_context, reply) =>
          parametersOf(reply) ===
          'response_type,client_id,redirect_uri,state,scope,code_challenge,code_challenge_method,nonce'
      }
    ],
    differs: {
      upstream: '200, without code_challenge, code_challenge_method and nonce',
      shows: (_context, reply) => parametersOf(reply) === 'response_type,client_id,redirect_uri,state,scope',
      reason: 'OAU-02, OAU-04: PKCE, and a nonce if the provider sends an id_token'
    }
  },
  {
    at: '1.10',
    name: 'authorize: the scopes of a provider without id_tokens',
    steps: [
      {
        get: '/auth/github/authorize',
        status: 200,
        after: (_context, reply) =>
          authorizationUrlOf(reply).searchParams.get('scope') === 'user user:email' &&
          /&scope=user\+user%3Aemail/.test(authorizationUrlOf(reply).search)
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
        after: (_context, reply) =>
          /^fastapiusersoauthcsrf=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/.test(
            String(reply.headers['set-cookie'])
          )
      }
    ],
    differs: {
      upstream: '200, Max-Age=3600',
      shows: (_context, reply) => /Max-Age=3600;/.test(String(reply.headers['set-cookie'])),
      reason: 'OAU-01: a login has ten minutes (`stateLifetimeSeconds`)'
    }
  },
  {
    at: '2.1',
    name: 'authorize: the claims of the state, in this order',
    steps: [
      {
        get: START,
        status: 200,
        after: (_context, reply) =>
          /^csrftoken,(?:jti,aud,exp|aud,exp,jti)$/.test(Object.keys(claimsOf(authorizationUrlOf(reply))).join()) &&
          claimsOf(authorizationUrlOf(reply))['aud'] === 'fastapi-users:oauth-state'
      }
    ],
    differs: {
      upstream: '200, without jti; csrftoken is the value of the cookie',
      shows: (_context, reply) => {
        const { csrftoken, ...others } = claimsOf(authorizationUrlOf(reply))
        return (
          Object.keys(others).join() === 'aud,exp' &&
          String(reply.headers['set-cookie']).startsWith(`fastapiusersoauthcsrf=${String(csrftoken)};`)
        )
      },
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
        after: (_context, reply) => authorizationUrlOf(reply).searchParams.get('scope') === 'user'
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
        after: (_context, reply) => authorizationUrlOf(reply).searchParams.get('scope') === 'user:email user'
      }
    ]
  },
  {
    at: '1.10',
    name: 'authorize: a scope that is not configured',
    steps: [{ get: '/auth/github/authorize?scopes=repo', ...bad('Bad Request') }],
    differs: {
      upstream: '200, and asks the provider for it',
      shows: (_context, reply) => authorizationUrlOf(reply).searchParams.get('scope') === 'repo',
      reason: 'OAU-13: a request can name only configured scopes'
    }
  },
  {
    at: '1.10',
    name: 'authorize: an empty scope',
    steps: [
      {
        get: '/auth/github/authorize?scopes=',
        status: 200,
        after: (_context, reply) => authorizationUrlOf(reply).searchParams.get('scope') === 'user user:email'
      }
    ],
    differs: {
      upstream: '200, with an empty scope',
      shows: (_context, reply) => authorizationUrlOf(reply).searchParams.get('scope') === '',
      reason: 'D33: an empty parameter counts as absent'
    }
  },
  {
    at: '1.10',
    name: 'authorize: the redirect URI for a request with another Host',
    steps: [
      {
        get: START,
        headers: { host: 'evil.example' },
        status: 200,
        after: (_context, reply) =>
          authorizationUrlOf(reply).searchParams.get('redirect_uri') === 'https://app.example.com/auth/google/callback'
      }
    ],
    differs: {
      upstream: '200, with the Host of the request',
      shows: (_context, reply) =>
        authorizationUrlOf(reply).searchParams.get('redirect_uri') === 'http://evil.example/auth/google/callback',
      reason: 'D25, OAU-09: only `publicUrl` determines it'
    }
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
    differs: {
      upstream: '400, with the text',
      shows: (_context, reply) => reply.json<{ detail: string }>().detail === '<script>',
      reason: 'OAU-10: the reply contains only plain words of the provider'
    }
  },
  {
    at: '1.12',
    name: 'callback without a state, or with a malformed one',
    steps: [
      { get: callback(() => ({})), ...bad('ACCESS_TOKEN_DECODE_ERROR') },
      { get: callback(() => ({ state: 'garbage' })), ...bad('ACCESS_TOKEN_DECODE_ERROR') }
    ]
  },
  {
    at: '1.12',
    name: 'callback with a state that another secret signed',
    steps: [
      {
        get: callback((context) => ({ state: context.state({}, 'x'.repeat(32)) })),
        ...bad('ACCESS_TOKEN_DECODE_ERROR')
      }
    ]
  },
  {
    at: '1.12',
    name: 'callback with an expired state',
    steps: [
      {
        get: callback((context) => ({ state: context.state({ exp: 1 }) })),
        ...bad('ACCESS_TOKEN_ALREADY_EXPIRED')
      }
    ]
  },
  ...(['fastapi-users:verify', null] as const).map((aud): OauthRow => ({
    at: '1.10',
    name: `callback with a state ${aud === null ? 'without an audience' : 'of another audience'}`,
    steps: [
      {
        get: callback((context) => ({ state: context.state({ aud: aud ?? undefined }) })),
        ...bad('ACCESS_TOKEN_DECODE_ERROR')
      }
    ],
    differs: { upstream: '500', shows: crashed, reason: 'D7: handled like every other invalid state' }
  })),
  {
    at: '1.12',
    name: 'callback without the cookie',
    steps: [{ get: (context) => withCookie(context, null), ...bad('OAUTH_INVALID_STATE') }]
  },
  {
    at: '1.12',
    name: 'callback with another cookie',
    steps: [{ get: (context) => withCookie(context, 'x'.repeat(43)), ...bad('OAUTH_INVALID_STATE') }]
  },
  {
    at: '1.12',
    name: 'callback with a state without csrftoken',
    steps: [{ get: (context) => withState(context, { csrftoken: undefined }), ...bad('OAUTH_INVALID_STATE') }]
  },
  {
    at: '1.12',
    name: 'callback with a cookie that is not ASCII',
    steps: [
      {
        get: (context) => withCookie(context, 'é'.repeat(43)),
        ...bad('OAUTH_INVALID_STATE'),
        after: hasNoExchange
      }
    ],
    differs: { upstream: '500', shows: crashed, reason: 'D9: handled like every other wrong cookie' }
  },
  {
    at: '1.10',
    name: 'callback with an invalid state does not exchange the code',
    steps: [
      {
        get: callback(() => ({ code: 'c', state: 'garbage' })),
        ...bad('ACCESS_TOKEN_DECODE_ERROR'),
        after: hasNoExchange
      }
    ],
    differs: {
      upstream: '500: the code is exchanged first, and the provider refuses it',
      shows: (context) => context.exchanges() === 1,
      reason: 'D15, OAU-03: the state is checked first'
    }
  },
  {
    at: '2.1',
    name: 'callback of a login that Python started',
    steps: [{ get: (context) => withState(context), ...bad('OAUTH_INVALID_STATE') }],
    differs: {
      upstream: '200',
      reason: 'D16, OAU-01: only the application with the stored transaction finishes a login; the user starts again'
    }
  },
  {
    at: '1.13',
    name: 'callback with a parameter twice',
    steps: [
      {
        get: async (context) => `${CALLBACK}?code=a&code=${await validCode(context)}`,
        status: 422,
        body: {
          detail: [
            { type: 'string_type', loc: ['query', 'code'], msg: 'Input should be a valid string', input: HIDDEN }
          ]
        }
      }
    ],
    differs: {
      upstream: '400: the last value is used, and the state is missing',
      shows: (_context, reply) => reply.json<{ detail: string }>().detail === 'ACCESS_TOKEN_DECODE_ERROR',
      reason: 'OAU-11: repeated parameters are refused with the validation error of section 1.13'
    }
  },
  {
    at: '1.10',
    name: 'the same callback again',
    steps: [
      {
        before: (context) => {
          context.be(GALAHAD)
          context.acceptUsedCodes()
        },
        ...logsIn,
        after: (_context, reply) =>
          /^fastapiusersoauthcsrf=; Max-Age=0/.test([reply.headers['set-cookie']].flat().join())
      },
      { get: 'again', ...bad('OAUTH_INVALID_STATE') }
    ],
    differs: {
      upstream: '200, 200 for an hour, if the provider accepts the code again; the cookie is kept',
      shows: (_context, reply) => reply.headers['set-cookie'] === undefined,
      reason: 'D16, OAU-01: a state works once, and the cookie is deleted'
    }
  },
  {
    at: '1.10',
    name: 'the provider refuses the code',
    steps: [
      {
        before: (context) => {
          context.fail('token', 'error400')
        },
        ...finish,
        status: 502,
        body: { detail: 'OAUTH_PROVIDER_FAILED' }
      }
    ],
    differs: {
      upstream: '500 with the error text of the HTTP client',
      shows: (_context, reply) => reply.json<{ detail: string }>().detail.includes('400 Bad Request'),
      reason: 'D10, OAU-10: a code of the plugin, without the text of the provider'
    }
  },
  {
    at: '1.10',
    name: 'the provider replies to the exchange with 200 and without a token',
    steps: [
      {
        before: (context) => {
          context.fail('token', 'empty-token')
        },
        ...finish,
        status: 502,
        body: { detail: 'OAUTH_PROVIDER_FAILED' }
      }
    ],
    differs: {
      upstream: '500 as plain text',
      shows: crashed,
      reason: 'D32: handled like every other failed exchange'
    }
  },
  {
    at: '1.10',
    name: 'the request for the profile fails',
    steps: [
      {
        before: (context) => {
          context.fail('api', 'error500')
        },
        get: (context) => context.begin('github'),
        status: 502,
        body: { detail: 'OAUTH_PROVIDER_FAILED' }
      }
    ],
    differs: {
      upstream: '500 as plain text',
      shows: crashed,
      reason: 'D10: a code of the plugin'
    }
  },
  {
    at: '1.10',
    name: 'the profile has no e-mail',
    steps: [{ before: be({ id: '2002', email: null }), ...finish, ...bad('OAUTH_NOT_AVAILABLE_EMAIL') }],
    differs: {
      upstream: '500 with the clients for Google and GitHub',
      shows: crashed,
      reason: 'D10: all providers reply with the code that FastAPI Users has for it'
    }
  },
  {
    at: '1.10',
    name: 'the e-mail in the profile is empty',
    steps: [{ before: be({ id: '2002', email: '' }), ...finish, ...bad('OAUTH_NOT_AVAILABLE_EMAIL') }],
    differs: {
      upstream: '200, and a user with an empty e-mail',
      shows: (context) => context.emails().includes(''),
      reason: 'EML-05: an empty text is no e-mail'
    }
  }
]

const logins: readonly OauthRow[] = [
  {
    at: '1.12',
    name: 'login with a linked account whose e-mail has changed',
    steps: [
      {
        before: be({ id: '1001', email: 'new@gmail.example' }),
        ...logsIn,
        after (context) {
          const [row, ...others] = accountsWith(context, 'people/1001')
          return (
            others.length === 0 &&
            row?.user_id === context.ids.galahad &&
            row.account_email === 'new@gmail.example' &&
            /^access-/.test(row.access_token) &&
            /^refresh-/.test(String(row.refresh_token)) &&
            Math.abs(Number(row.expires_at) - Date.now() / 1000 - 3600) < 60 &&
            context.emails().includes('galahad@camelot.bt') &&
            !context.emails().includes('new@gmail.example') &&
            context.countEvents('onAfterRegister') === 0
          )
        }
      }
    ]
  },
  {
    at: '1.12',
    name: 'first login with an account whose e-mail belongs to a user',
    steps: [
      {
        before: be({ id: '2002', email: 'KING.ARTHUR@camelot.bt', verified: true }),
        ...finish,
        ...bad('OAUTH_USER_ALREADY_EXISTS'),
        after: (context) => accountsWith(context, 'people/2002').length === 0
      }
    ]
  },
  {
    at: '1.12',
    name: 'associateByEmail: the user and the provider have verified the e-mail',
    variant: 'associate-by-email',
    steps: [
      {
        before: be({ id: '2002', email: 'king.arthur@camelot.bt', verified: true }),
        ...logsIn,
        after: (context) => accountsWith(context, 'people/2002')[0]?.user_id === context.ids.arthur
      }
    ]
  },
  {
    at: '1.12',
    name: 'associateByEmail: the user has not verified the e-mail',
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
      reason: 'D27, LNK-02: another person may have registered the e-mail (`reclaimUnverified`)'
    }
  },
  {
    at: '1.12',
    name: 'associateByEmail: the provider has not verified the e-mail',
    variant: 'associate-by-email',
    steps: [
      {
        before: be({ id: '2002', email: 'king.arthur@camelot.bt', verified: false }),
        ...finish,
        ...bad('OAUTH_USER_ALREADY_EXISTS')
      }
    ],
    differs: { upstream: '200', reason: 'LNK-02: users of the provider can enter any e-mail' }
  },
  {
    at: '1.12',
    name: 'first login with an account whose e-mail is new',
    steps: [
      {
        before: be(NEWCOMER),
        ...logsIn,
        after: (context) =>
          context.emails().includes(NEWCOMER.email) &&
          accountsWith(context, 'people/2002').length === 1 &&
          context.countEvents('onAfterRegister') === 1
      }
    ]
  },
  {
    at: '1.12',
    name: 'first login with an account whose e-mail is new, then a second login',
    steps: [
      { before: be(NEWCOMER), ...logsIn },
      {
        ...logsIn,
        after: (context) =>
          accountsWith(context, 'people/2002').length === 1 && context.countEvents('onAfterRegister') === 1
      }
    ]
  },
  {
    at: '1.7',
    name: 'login of a verified user after a password reset',
    steps: [
      {
        before: async (context) => {
          context.link('arthur', 'people/2002')
          context.be(NEWCOMER)
          await context.reset('arthur')
        },
        ...logsIn,
        after: (context) => accountsWith(context, 'people/2002')[0]?.user_id === context.ids.arthur
      }
    ]
  },
  {
    at: '1.7',
    name: 'login of an unverified user after a password reset',
    steps: [
      {
        before: async (context) => {
          context.be(GALAHAD)
          await context.reset('galahad')
        },
        ...logsIn,
        after: (context) => !accountsWith(context, 'people/1001').some(({ user_id: id }) => id === context.ids.galahad)
      }
    ],
    differs: {
      upstream: '200, as that user',
      shows: (context) => accountsWith(context, 'people/1001')[0]?.user_id === context.ids.galahad,
      reason: 'RST-13: a person who registered the e-mail before its owner may have linked the account'
    }
  },
  {
    at: '1.10',
    name: 'login of an inactive user',
    steps: [
      {
        before: be({ id: '583231', email: 'mordred@camelot.bt' }),
        get: (context) => context.begin('github'),
        ...bad('LOGIN_BAD_CREDENTIALS'),
        after: (context) => /^access-/.test(String(accountsWith(context, '583231')[0]?.access_token))
      }
    ]
  },
  {
    at: '1.10',
    name: 'login with a cookie backend',
    variant: 'cookie',
    steps: [
      {
        before: be(GALAHAD),
        ...finish,
        status: 204,
        body: '',
        after: (_context, reply) => /fastapiusersauth=eyJ/.test([reply.headers['set-cookie']].flat().join())
      }
    ]
  },
  {
    at: '1.10',
    name: 'login of an unverified user, with `requireVerification`',
    variant: 'verified',
    steps: [{ before: be(GALAHAD), ...finish, ...bad('LOGIN_USER_NOT_VERIFIED') }],
    differs: {
      upstream: '200, and 403 on the routes',
      shows: async (context, reply) =>
        (await context.statusOf('/users/me', reply.json<{ access_token: string }>().access_token)) === 403,
      reason: 'D19: the requirement applies to every login'
    }
  },
  {
    at: '1.10',
    name: 'isVerifiedByDefault: first login with an e-mail that the provider has verified',
    variant: 'verified-by-default',
    steps: [
      {
        before: be({ ...NEWCOMER, verified: true }),
        ...logsIn,
        after: (context) => context.countEvents('onAfterRegister verified') === 1
      }
    ]
  },
  {
    at: '1.10',
    name: 'isVerifiedByDefault: first login with an e-mail that the provider has not verified',
    variant: 'verified-by-default',
    steps: [
      {
        before: be({ ...NEWCOMER, verified: false }),
        ...logsIn,
        after: (context) => context.countEvents('onAfterRegister verified') === 0
      }
    ],
    differs: {
      upstream: '200, and the user is verified',
      shows: (context) => context.countEvents('onAfterRegister verified') === 1,
      reason: 'OAU-19: only an e-mail that a trusted provider has verified'
    }
  }
]

const ownLink = { get: (context: OauthRowContext) => context.begin('google', 'lancelot'), as: 'lancelot' } as const
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
    name: 'associate by login of an unverified user, with `requireVerification`',
    variant: 'verified',
    steps: [{ get: `${LINK}/authorize`, as: 'lancelot', status: 403, body: { detail: 'Forbidden' } }]
  },
  {
    at: '1.11',
    name: 'associate: 200 with the user, and the account is stored',
    steps: [
      {
        before: be(SECOND),
        ...ownLink,
        status: 200,
        body: lancelot,
        after: (context) =>
          accountsWith(context, 'people/3003')[0]?.user_id === context.ids.lancelot &&
          context.countEvents('onAfterUpdate') === 1
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
    name: 'associate with a state of another user',
    steps: [
      {
        before: be(SECOND),
        ...ownLink,
        as: 'galahad',
        ...bad('Bad Request'),
        after: (context) => accountsWith(context, 'people/3003').length === 0
      }
    ]
  },
  {
    at: '1.11',
    name: 'associate with a state of a login',
    steps: [
      {
        get: (context) => withStateOfOther(context, `${LINK}/callback`),
        as: 'lancelot',
        ...bad('OAUTH_INVALID_STATE')
      }
    ],
    differs: { upstream: '500', shows: crashed, reason: 'D8: a state of another purpose is invalid' }
  },
  {
    at: '1.11',
    name: 'login with a state of associate',
    steps: [
      {
        before: be(SECOND),
        get: (context) => withStateOfOther(context, CALLBACK),
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
      { ...ownLink, status: 200, body: lancelot, after: (context) => accountsWith(context, 'people/3003').length === 1 }
    ],
    differs: {
      upstream: '200, 200 and two rows',
      shows: (context) => accountsWith(context, 'people/3003').length === 2,
      reason: 'D11: one row, with new tokens'
    }
  },
  {
    at: '1.12',
    name: 'associate the account of another user',
    steps: [
      {
        before: be(GALAHAD),
        ...ownLink,
        ...bad('OAUTH_ACCOUNT_ALREADY_LINKED'),
        after: (context) => accountsWith(context, 'people/1001').length === 1
      }
    ],
    differs: {
      upstream: '200',
      shows: (context) => accountsWith(context, 'people/1001').length === 2,
      reason: 'D11, LNK-05: an account has one user'
    }
  },
  {
    at: '1.12',
    name: 'login with an account that two users have',
    steps: [
      {
        before: (context) => {
          context.link('lancelot', 'people/1001')
          context.be(GALAHAD)
        },
        ...finish,
        ...bad('OAUTH_ACCOUNT_ALREADY_LINKED')
      }
    ],
    differs: { upstream: '500', shows: crashed, reason: 'D11: the user of the account is ambiguous' }
  },
  {
    at: '1.12',
    name: 'login with an account that one user has twice',
    steps: [
      {
        before: (context) => {
          context.link('galahad', 'people/1001')
          context.be(GALAHAD)
        },
        ...logsIn,
        after: (context) =>
          accountsWith(context, 'people/1001').every(
            ({ user_id: id, access_token: token }) => id === context.ids.galahad && token.startsWith('access-')
          )
      }
    ]
  }
]

/** Starts a login and visits the provider. Returns the code of the provider. */
async function validCode (context: OauthRowContext): Promise<string> {
  const url = await context.begin()
  return new URLSearchParams(url.split('?')[1]).get('code') ?? ''
}

/** Returns the URL of a login's callback, after the cookie of the browser was replaced. */
async function withCookie (context: OauthRowContext, value: string | null): Promise<string> {
  const url = await context.begin()
  context.cookie(value)
  return url
}

/**
 * Returns the URL of a callback of logins with the state of an associate flow, or the reverse. The code belongs to the
 * URL, because the provider refuses a code for another redirect URI.
 */
async function withStateOfOther (context: OauthRowContext, path: string): Promise<string> {
  const [own, other] = path === CALLBACK ? ([undefined, 'lancelot'] as const) : (['lancelot', undefined] as const)
  const parametersOfFlow = async (as: Person | undefined): Promise<URLSearchParams> =>
    new URLSearchParams((await context.begin('google', as)).split('?')[1])
  const code = (await parametersOfFlow(own)).get('code') ?? ''
  const state = (await parametersOfFlow(other)).get('state') ?? ''
  return `${path}?${new URLSearchParams({ code, state }).toString()}`
}

/** Returns the URL of a callback with a state as FastAPI Users creates it for this browser. */
async function withState (context: OauthRowContext, claims: object = {}): Promise<string> {
  const code = await validCode(context)
  return `${CALLBACK}?code=${code}&state=${context.state(claims)}`
}

function claimsOf (url: URL): Record<string, unknown> {
  return JSON.parse(Buffer.from(url.searchParams.get('state')?.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >
}

/** All rows, by the title of the test that sends them. */
export const groups: Readonly<Record<string, readonly OauthRow[]>> = {
  'rows 67, 68: a login starts like in FastAPI Users': starts,
  'row 75: invalid callbacks are refused': callbacks,
  'rows 69-72, 74, 77: logins reply like FastAPI Users': logins,
  'rows 78, 79: linking replies like FastAPI Users': links
}

/** Returns the statuses with which the description of the replies of FastAPI Users begins. */
export const statusesIn = (upstream: string): number[] =>
  (/^\d{3}(?:, \d{3})*/.exec(upstream)?.[0] ?? '').split(', ').map(Number)

/** All rows. */
export const rows: readonly OauthRow[] = Object.values(groups).flat()
