import { generateKeyPairSync, hash, randomBytes, verify } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import type { Identity, Provider, ProviderApi, ProviderProfile } from '../lib/features/oauth/contracts.js'
import { createClient, type EngineClient } from '../lib/features/oauth/engine/index.js'
import { oauth } from '../lib/features/oauth/index.js'
import * as providers from '../lib/features/oauth/providers/index.js'
import { openBrowser, ORIGIN } from './helpers/browser.js'
import { buildApp } from './helpers/build-app.js'
import { startOauthServer, type OauthServer, type ServerBehavior } from './helpers/oauth-server.js'
import { faults, type Fault } from './helpers/oauth-faults.js'
import { root } from './helpers/root.js'

const {
  apple,
  defineProvider,
  discord,
  facebook,
  franceconnect,
  github,
  gitlab,
  google,
  kakao,
  linkedin,
  microsoft,
  naver,
  oauth2,
  okta,
  openidConnect,
  reddit,
  shopify
} = providers

const CLIENT = { clientId: 'client-id', clientSecret: 'client-secret' }
const CALLBACK = 'https://app.example.com/auth/callback'
const EMAIL = 'arthur@camelot.bt'
const appleKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const APPLE = {
  clientId: 'bt.camelot.app',
  teamId: 'TEAM567890',
  keyId: 'KEY4567890',
  privateKey: appleKey.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
} // PEM is text
const MAIL_API = 'https://git.example.com/me'

const own = oauth2({
  ...CLIENT,
  scopes: ['read'],
  authorizationEndpoint: 'https://git.example.com/authorize',
  tokenEndpoint: 'https://git.example.com/token',
  revocationEndpoint: 'https://git.example.com/revoke',
  async profile (api) {
    const raw = (await api.fetchJson(MAIL_API)) as { key: number; mail: string }
    return { id: raw.key, email: raw.mail, emailVerified: false, raw: { ...raw } }
  }
})

type Answers = Record<`https://${string}`, unknown>
interface Said {
  answers?: Answers
  claims?: Record<string, unknown>
  play?: Partial<ServerBehavior>
}
interface Read {
  id: unknown
  email: unknown
  emailVerified: boolean
}
interface Case {
  provider: Provider
  title: string
  scopes: string[]
  /** Authorization endpoint and token endpoint, or the issuer. */
  at: [string, string] | string
  authentication: string
  trusted: boolean
  /** Additional parameters in the authorization request. */
  parameters?: Record<string, string>
  pkce?: false
  said: Said
  read: Read
  /** Other profiles and the expected result; null if the login must fail. */
  others: [name: string, said: Said, read: Partial<Read> | null][]
}

const ME = {
  google: 'https://openidconnect.googleapis.com/v1/userinfo',
  github: 'https://api.github.com/user',
  emails: 'https://api.github.com/user/emails',
  facebook: 'https://graph.facebook.com/v23.0/me?fields=id,email',
  microsoft: 'https://graph.microsoft.com/v1.0/me',
  discord: 'https://discord.com/api/users/@me',
  linkedin: 'https://api.linkedin.com/v2/userinfo',
  reddit: 'https://oauth.reddit.com/api/v1/me',
  kakao: 'https://kapi.kakao.com/v2/user/me',
  naver: 'https://openapi.naver.com/v1/nid/me',
  shopify: 'https://round-table.myshopify.com/admin/api/2025-10/shop.json'
} as const

const githubUser = {
  login: 'arthur',
  id: 583231,
  node_id: 'MDQ6VXNlcjU4MzIzMQ==',
  type: 'User',
  name: 'Arthur',
  email: null,
  two_factor_authentication: true
}
const githubEmail = { email: EMAIL, primary: true, verified: true, visibility: 'private' }
const linkedinUser = {
  sub: '782bbtaQ',
  name: 'Arthur P',
  given_name: 'Arthur',
  family_name: 'P',
  picture: 'https://media.example.com/a.jpg',
  locale: { country: 'GB', language: 'en' },
  email: EMAIL,
  email_verified: true
}
const discordUser = {
  id: '80351110224678912',
  username: 'arthur',
  discriminator: '0',
  global_name: 'Arthur',
  avatar: '8342729096ea3675442027381ff50dfe',
  verified: true,
  email: EMAIL,
  mfa_enabled: true
}
const kakaoUser = {
  id: 123456789,
  connected_at: '2022-04-11T01:45:28Z',
  kakao_account: {
    profile_nickname_needs_agreement: false,
    profile: { nickname: 'Arthur' },
    email_needs_agreement: false,
    is_email_valid: true,
    is_email_verified: true,
    email: EMAIL
  }
}
const naverUser = {
  resultcode: '00',
  message: 'success',
  response: { id: '32742776', nickname: 'Arthur', email: EMAIL, name: 'Arthur', birthday: '10-01' }
}
const graphUser = {
  '@odata.context': 'https://graph.microsoft.com/v1.0/$metadata#users/$entity',
  id: '48d31887-5fad-4d73-a9f5-3c356e68a038',
  displayName: 'Arthur',
  mail: 'king@camelot.bt',
  userPrincipalName: EMAIL,
  businessPhones: []
}
/** Names in a profile of Microsoft Graph, and the expected e-mail. */
const graphNames: [name: string, userPrincipalName: unknown, mail: unknown, email: string | null][] = [
  ['no principal name', null, 'king@camelot.bt', 'king@camelot.bt'],
  ['an empty principal name', '', 'king@camelot.bt', 'king@camelot.bt'],
  ['a principal name of a domain without mail', 'arthur@camelot.local', 'king@camelot.bt', 'king@camelot.bt'],
  ['a principal name that is no e-mail', 'arthur', 'king@camelot.bt', 'king@camelot.bt'],
  ['no name and no mailbox', null, null, null],
  ['a private network without a mailbox', 'arthur@camelot.local', null, 'arthur@camelot.local'],
  ['a tenant of its own', 'arthur@camelot.onmicrosoft.com', null, 'arthur@camelot.onmicrosoft.com'],
  ['a guest', 'lady_lake.bt#EXT#@camelot.onmicrosoft.com', 'lady@lake.bt', 'lady@lake.bt'],
  ['a guest without a mailbox', 'the_lady_lake.bt#EXT#@camelot.onmicrosoft.com', null, 'the_lady@lake.bt'],
  ['a guest in lower case', 'lady_lake.bt#ext#@camelot.onmicrosoft.com', undefined, 'lady@lake.bt'],
  ['a guest whose name says nothing', '#EXT#@camelot.onmicrosoft.com', null, null],
  ['a personal account', 'live.com#arthur@outlook.com', null, 'arthur@outlook.com'],
  ['a personal account with a mailbox', 'live.com#arthur@outlook.com', 'king@camelot.bt', 'king@camelot.bt'],
  [
    'a personal account as a guest',
    'live.com#arthur_outlook.com#EXT#@camelot.onmicrosoft.com',
    '',
    'arthur@outlook.com'
  ]
]
const redditUser = { name: 'king_arthur', id: '4xqz', created_utc: 1389649907, has_verified_email: true, link_karma: 1 }
const shop = {
  shop: {
    id: 548380009,
    name: 'Round Table',
    email: EMAIL,
    domain: 'shop.camelot.bt',
    shop_owner: 'Arthur',
    myshopify_domain: 'round-table.myshopify.com'
  }
}
const oidcClaims = { sub: '00u1a2b3', email: EMAIL, email_verified: true }

const readOidc = { id: '00u1a2b3', email: EMAIL, emailVerified: true }

/** Cases for every provider with standard claims. */
const oidcOthers = (): Case['others'] => [
  [
    'an e-mail that is not verified',
    { claims: { ...oidcClaims, email_verified: false } },
    { email: EMAIL, emailVerified: false }
  ],
  ['no flag', { claims: { sub: '00u1a2b3', email: EMAIL } }, { email: EMAIL, emailVerified: false }],
  [
    'a flag that is text',
    { claims: { ...oidcClaims, email_verified: 'true' } },
    { email: EMAIL, emailVerified: false }
  ],
  ['a flag that is a number', { claims: { ...oidcClaims, email_verified: 1 } }, { emailVerified: false }],
  ['no e-mail', { claims: { sub: '00u1a2b3', email_verified: true } }, { email: null, emailVerified: false }],
  ['null as e-mail', { claims: { ...oidcClaims, email: null } }, { email: null, emailVerified: false }],
  ['an empty e-mail', { claims: { ...oidcClaims, email: '' } }, { email: null, emailVerified: false }],
  ['a list of e-mails', { claims: { ...oidcClaims, email: [EMAIL] } }, null],
  ['an object as e-mail', { claims: { ...oidcClaims, email: { address: EMAIL } } }, null],
  [
    'a flag of the id_token, an e-mail of userinfo',
    {
      claims: { sub: '00u1a2b3' },
      play: { idTokenClaims: { email_verified: true }, userinfoClaims: { email: EMAIL } }
    },
    { id: '00u1a2b3', email: EMAIL, emailVerified: false }
  ],
  [
    'a flag of the id_token that userinfo denies',
    {
      claims: { sub: '00u1a2b3' },
      play: { idTokenClaims: { email_verified: true }, userinfoClaims: { email: EMAIL, email_verified: false } }
    },
    { email: EMAIL, emailVerified: false }
  ],
  [
    'a flag of userinfo, an e-mail of the id_token',
    {
      claims: { sub: '00u1a2b3' },
      play: { idTokenClaims: { email: EMAIL }, userinfoClaims: { email_verified: true } }
    },
    { email: EMAIL, emailVerified: false }
  ],
  [
    'an e-mail at the userinfo endpoint alone',
    { claims: { sub: '00u1a2b3' }, play: { userinfoClaims: { email: EMAIL, email_verified: true } } },
    readOidc
  ]
]

const cases: Record<string, Case> = {
  google: {
    provider: google(CLIENT),
    title: 'Google',
    scopes: [
      'openid',
      'https://www.googleapis.com/auth/userinfo.profile',
      'https://www.googleapis.com/auth/userinfo.email'
    ],
    at: ['https://accounts.google.com/o/oauth2/v2/auth', 'https://oauth2.googleapis.com/token'],
    authentication: 'client_secret_post',
    trusted: true,
    said: {
      claims: { sub: '110248495921238986420', email: EMAIL, email_verified: true, name: 'Arthur', hd: 'camelot.bt' }
    },
    read: { id: 'people/110248495921238986420', email: EMAIL, emailVerified: true },
    others: oidcOthers()
      .slice(0, 9)
      .map(([name, said, read]) => [name, said, read && { ...read, id: 'people/00u1a2b3' }])
  },
  github: {
    provider: github(CLIENT),
    title: 'GitHub',
    scopes: ['user', 'user:email'],
    at: ['https://github.com/login/oauth/authorize', 'https://github.com/login/oauth/access_token'],
    authentication: 'client_secret_post',
    trusted: true,
    said: {
      answers: {
        [ME.github]: { ...githubUser, email: 'shown@camelot.bt' },
        [ME.emails]: [{ ...githubEmail, email: 'second@camelot.bt', primary: false }, githubEmail]
      }
    },
    read: { id: 583231, email: EMAIL, emailVerified: true },
    others: [
      [
        'a primary e-mail that is not verified',
        {
          answers: {
            [ME.emails]: [
              { ...githubEmail, verified: false },
              { ...githubEmail, email: 'second@camelot.bt', primary: false }
            ]
          }
        },
        { email: EMAIL, emailVerified: false }
      ],
      [
        'no primary e-mail',
        { answers: { [ME.emails]: [{ ...githubEmail, primary: false }] } },
        { email: null, emailVerified: false }
      ],
      [
        'a flag that is text',
        { answers: { [ME.emails]: [{ ...githubEmail, verified: 'true' }] } },
        { email: EMAIL, emailVerified: false }
      ],
      [
        'entries that are no objects',
        { answers: { [ME.emails]: [null, 'a', [githubEmail]] } },
        { email: null, emailVerified: false }
      ],
      ['no e-mails', { answers: { [ME.emails]: [] } }, { id: 583231, email: null, emailVerified: false }],
      ['no id', { answers: { [ME.github]: { login: 'arthur' } } }, null]
    ]
  },
  facebook: {
    provider: facebook(CLIENT),
    title: 'Facebook',
    scopes: ['email', 'public_profile'],
    at: ['https://www.facebook.com/v23.0/dialog/oauth', 'https://graph.facebook.com/v23.0/oauth/access_token'],
    authentication: 'client_secret_post',
    trusted: false,
    said: { answers: { [ME.facebook]: { id: '10158000000000001', email: EMAIL } } },
    read: { id: '10158000000000001', email: EMAIL, emailVerified: false },
    others: [
      [
        'no e-mail',
        { answers: { [ME.facebook]: { id: '10158000000000001' } } },
        { email: null, emailVerified: false }
      ],
      [
        'a flag that it does not have',
        { answers: { [ME.facebook]: { id: '1', email: EMAIL, verified: true, email_verified: true } } },
        { emailVerified: false }
      ],
      ['no id', { answers: { [ME.facebook]: { email: EMAIL } } }, null]
    ]
  },
  microsoft: {
    provider: microsoft(CLIENT),
    title: 'Microsoft',
    scopes: ['User.Read'],
    at: [
      'https://login.microsoftonline.com/common/oauth2/v2.0/authorize',
      'https://login.microsoftonline.com/common/oauth2/v2.0/token'
    ],
    authentication: 'client_secret_post',
    trusted: false,
    parameters: { response_mode: 'query' },
    said: { answers: { [ME.microsoft]: graphUser } },
    read: { id: '48d31887-5fad-4d73-a9f5-3c356e68a038', email: EMAIL, emailVerified: false },
    others: [
      ...graphNames.map(([name, userPrincipalName, mail, email]): Case['others'][number] => [
        name,
        { answers: { [ME.microsoft]: { ...graphUser, userPrincipalName, mail } } },
        { email, emailVerified: false }
      ]),
      [
        'a flag that it does not have',
        { answers: { [ME.microsoft]: { ...graphUser, email_verified: true } } },
        { emailVerified: false }
      ]
    ]
  },
  discord: {
    provider: discord(CLIENT),
    title: 'Discord',
    scopes: ['identify', 'email'],
    at: ['https://discord.com/api/oauth2/authorize', 'https://discord.com/api/oauth2/token'],
    authentication: 'client_secret_basic',
    trusted: true,
    said: { answers: { [ME.discord]: discordUser } },
    read: { id: '80351110224678912', email: EMAIL, emailVerified: true },
    others: [
      [
        'an e-mail that is not verified',
        { answers: { [ME.discord]: { ...discordUser, verified: false } } },
        { email: null, emailVerified: false }
      ],
      [
        'a flag that is text',
        { answers: { [ME.discord]: { ...discordUser, verified: 'true' } } },
        { email: null, emailVerified: false }
      ],
      [
        'no flag',
        { answers: { [ME.discord]: { id: '80351110224678912', email: EMAIL } } },
        { email: null, emailVerified: false }
      ],
      [
        'null as e-mail',
        { answers: { [ME.discord]: { ...discordUser, email: null } } },
        { email: null, emailVerified: false }
      ]
    ]
  },
  linkedin: {
    provider: linkedin(CLIENT),
    title: 'LinkedIn',
    scopes: ['openid', 'profile', 'email'],
    at: ['https://www.linkedin.com/oauth/v2/authorization', 'https://www.linkedin.com/oauth/v2/accessToken'],
    authentication: 'client_secret_post',
    trusted: true,
    pkce: false,
    said: { answers: { [ME.linkedin]: linkedinUser }, play: { idToken: false } },
    read: { id: '782bbtaQ', email: EMAIL, emailVerified: true },
    others: [
      [
        'an e-mail that is not verified',
        { answers: { [ME.linkedin]: { ...linkedinUser, email_verified: false } } },
        { email: EMAIL, emailVerified: false }
      ],
      [
        'a flag that is text',
        { answers: { [ME.linkedin]: { ...linkedinUser, email_verified: 'true' } } },
        { emailVerified: false }
      ],
      [
        'no e-mail',
        { answers: { [ME.linkedin]: { sub: '782bbtaQ' } } },
        { id: '782bbtaQ', email: null, emailVerified: false }
      ]
    ]
  },
  reddit: {
    provider: reddit(CLIENT),
    title: 'Reddit',
    scopes: ['identity'],
    at: ['https://www.reddit.com/api/v1/authorize', 'https://www.reddit.com/api/v1/access_token'],
    authentication: 'client_secret_basic',
    trusted: false,
    said: { answers: { [ME.reddit]: redditUser } },
    read: { id: 'king_arthur', email: null, emailVerified: false },
    others: [
      [
        'an e-mail that it never tells',
        { answers: { [ME.reddit]: { ...redditUser, email: EMAIL } } },
        { email: null, emailVerified: false }
      ]
    ]
  },
  franceconnect: {
    provider: franceconnect(CLIENT),
    title: 'FranceConnect',
    scopes: ['openid', 'email'],
    at: 'https://oidc.franceconnect.gouv.fr/api/v2',
    authentication: 'client_secret_post',
    trusted: false,
    parameters: { acr_values: 'eidas1' },
    said: {
      claims: { sub: 'cff67ebe00792a2f2b5115dcc1a65d11v1', acr: 'eidas1' },
      play: { idToken: { alg: 'ES256' }, signedUserinfo: true, userinfoClaims: { email: EMAIL } }
    },
    read: { id: 'cff67ebe00792a2f2b5115dcc1a65d11v1', email: EMAIL, emailVerified: false },
    others: [['no e-mail', { claims: { sub: 'cff67ebev1' } }, { id: 'cff67ebev1', email: null, emailVerified: false }]]
  },
  kakao: {
    provider: kakao(CLIENT),
    title: 'Kakao',
    scopes: ['profile_nickname', 'account_email'],
    at: ['https://kauth.kakao.com/oauth/authorize', 'https://kauth.kakao.com/oauth/token'],
    authentication: 'client_secret_post',
    trusted: true,
    said: { answers: { [ME.kakao]: kakaoUser } },
    read: { id: 123456789, email: EMAIL, emailVerified: true },
    others: [
      [
        'an e-mail that is not verified',
        {
          answers: {
            [ME.kakao]: { ...kakaoUser, kakao_account: { ...kakaoUser.kakao_account, is_email_verified: false } }
          }
        },
        { email: EMAIL, emailVerified: false }
      ],
      [
        'an e-mail that went to another account',
        {
          answers: {
            [ME.kakao]: { ...kakaoUser, kakao_account: { ...kakaoUser.kakao_account, is_email_valid: false } }
          }
        },
        { email: EMAIL, emailVerified: false }
      ],
      [
        'flags that are text',
        {
          answers: {
            [ME.kakao]: {
              ...kakaoUser,
              kakao_account: { email: EMAIL, is_email_valid: true, is_email_verified: 'true' }
            }
          }
        },
        { emailVerified: false }
      ],
      [
        'no consent to the e-mail',
        { answers: { [ME.kakao]: { id: 123456789, kakao_account: { email_needs_agreement: true } } } },
        { email: null, emailVerified: false }
      ],
      [
        'no account',
        { answers: { [ME.kakao]: { id: 123456789 } } },
        { id: 123456789, email: null, emailVerified: false }
      ]
    ]
  },
  naver: {
    provider: naver(CLIENT),
    title: 'Naver',
    scopes: [],
    at: ['https://nid.naver.com/oauth2.0/authorize', 'https://nid.naver.com/oauth2.0/token'],
    authentication: 'client_secret_post',
    trusted: false,
    // Naver sends numbers as text
    said: { answers: { [ME.naver]: naverUser }, play: { tokenAnswer: { expires_in: '3600' } } },
    read: { id: '32742776', email: EMAIL, emailVerified: false },
    others: [
      [
        'no e-mail',
        { answers: { [ME.naver]: { ...naverUser, response: { id: '32742776' } } } },
        { email: null, emailVerified: false }
      ],
      [
        'a failure with status 200',
        { answers: { [ME.naver]: { resultcode: '024', message: 'Authentication failed' } } },
        null
      ]
    ]
  },
  shopify: {
    provider: shopify({ ...CLIENT, shop: 'round-table' }),
    title: 'Shopify',
    scopes: ['read_orders'],
    at: [
      'https://round-table.myshopify.com/admin/oauth/authorize',
      'https://round-table.myshopify.com/admin/oauth/access_token'
    ],
    authentication: 'client_secret_post',
    trusted: false,
    // Shopify's response has no token_type
    said: { answers: { [ME.shopify]: shop }, play: { tokenAnswer: { token_type: undefined } } },
    read: { id: 548380009, email: EMAIL, emailVerified: false },
    others: [['no shop', { answers: { [ME.shopify]: { errors: '[API] Invalid API key' } } }, null]]
  },
  okta: {
    provider: okta({ ...CLIENT, domain: 'camelot.okta.com' }),
    title: 'Okta',
    scopes: ['openid', 'email'],
    at: 'https://camelot.okta.com',
    authentication: 'client_secret_basic',
    trusted: true,
    said: { claims: { ...oidcClaims, ver: 1, amr: ['pwd'], auth_time: 1_700_000_000 } },
    read: readOidc,
    others: oidcOthers()
  },
  openid: {
    provider: openidConnect({ ...CLIENT, issuer: 'https://login.camelot.bt/realms/knights' }),
    title: 'OpenID Connect',
    scopes: ['openid', 'email'],
    at: 'https://login.camelot.bt/realms/knights',
    authentication: 'client_secret_basic',
    trusted: false,
    said: { claims: { ...oidcClaims, preferred_username: 'arthur' } },
    read: readOidc,
    others: oidcOthers()
  },
  gitlab: {
    provider: gitlab(CLIENT),
    title: 'GitLab',
    scopes: ['openid', 'email'],
    at: 'https://gitlab.com',
    authentication: 'client_secret_basic',
    trusted: true,
    said: {
      claims: { sub: '4242', sub_legacy: 'a'.repeat(64) },
      play: { userinfoClaims: { email: EMAIL, email_verified: true, groups: ['knights'] } }
    },
    read: { id: '4242', email: EMAIL, emailVerified: true },
    others: oidcOthers()
  },
  apple: {
    provider: apple(APPLE),
    title: 'Apple',
    scopes: ['name', 'email'],
    at: ['https://appleid.apple.com/auth/authorize', 'https://appleid.apple.com/auth/token'],
    authentication: 'client_secret_post',
    trusted: true,
    parameters: { response_mode: 'form_post' },
    said: {
      claims: {
        sub: '001393.6d621dadasdd04956bds129fa982ba.1517',
        email: 'abcd@privaterelay.appleid.com',
        email_verified: 'true',
        is_private_email: 'true'
      }
    },
    read: {
      id: '001393.6d621dadasdd04956bds129fa982ba.1517',
      email: 'abcd@privaterelay.appleid.com',
      emailVerified: true
    },
    others: [
      [
        'a flag that is a boolean',
        { claims: { sub: '1', email: EMAIL, email_verified: true } },
        { emailVerified: true }
      ],
      [
        'an e-mail that is not verified',
        { claims: { sub: '1', email: EMAIL, email_verified: 'false' } },
        { email: EMAIL, emailVerified: false }
      ],
      ['another text', { claims: { sub: '1', email: EMAIL, email_verified: 'True' } }, { emailVerified: false }],
      ['a number', { claims: { sub: '1', email: EMAIL, email_verified: 1 } }, { emailVerified: false }],
      ['no e-mail', { claims: { sub: '1', email_verified: 'true' } }, { id: '1', email: null, emailVerified: false }]
    ]
  },
  oauth2: {
    provider: own,
    title: 'OAuth 2',
    scopes: ['read'],
    at: ['https://git.example.com/authorize', 'https://git.example.com/token'],
    authentication: 'client_secret_post',
    trusted: false,
    said: { answers: { [MAIL_API]: { key: 7, mail: EMAIL } } },
    read: { id: 7, email: EMAIL, emailVerified: false },
    others: []
  }
}

async function startServer (t: Test): Promise<OauthServer> {
  const server = await startOauthServer()
  t.teardown(() => server.close())
  return server
}

/** Starts a server that imitates a provider with the given responses. */
async function playing (
  t: Test,
  provider: Provider,
  ...said: Said[]
): Promise<{ server: OauthServer; staged: Provider }> {
  const server = await startServer(t)
  const staged = server.stage(provider)
  for (const { answers = {}, claims, play = {} } of said) {
    for (const [url, body] of Object.entries(answers)) server.answer(url as keyof Answers, body) // the keys of Answers
    if (claims !== undefined) server.behavior.claims = claims
    Object.assign(server.behavior, play)
  }
  return { server, staged }
}

interface Login {
  identity: Identity
  profile: ProviderProfile
  api: ProviderApi
  authorization: URL
  client: EngineClient
}

/** Runs a complete login over sockets, with the engine that the routes use. */
async function login (server: OauthServer, staged: Provider): Promise<Login> {
  const seen: { profile: ProviderProfile; api: ProviderApi }[] = []
  const provider: Provider = {
    ...staged,
    async profile (api) {
      const profile = await staged.profile(api)
      seen.push({ profile, api })
      return profile
    }
  }
  const client = createClient(provider, {
    insecureOrigins: new Set([server.url]),
    timeoutMs: 5000,
    clock: Date.now,
    log: Fastify().log
  })
  const verifier = provider.pkce === false ? null : randomBytes(32).toString('base64url')
  const nonce = provider.idToken ? randomBytes(16).toString('base64url') : null
  const challenge = verifier === null ? null : hash('sha256', verifier, 'base64url')
  const authorization = new URL(
    await client.authorizationUrl({
      redirectUri: CALLBACK,
      state: 'state-1',
      scopes: provider.scopes,
      challenge,
      nonce
    })
  )
  const { params } = await server.visit(authorization.href)
  const identity = await client.identify({
    redirectUri: CALLBACK,
    code: params.get('code') ?? '',
    iss: params.get('iss') ?? undefined,
    verifier,
    nonce
  })
  const [first] = seen
  if (first === undefined) throw new Error('no profile was asked for')
  return { identity, ...first, authorization, client }
}

function caseOf (name: string): Case {
  const found = cases[name]
  if (found === undefined) throw new Error(`no case ${name}`)
  return found
}

const readOf = ({ id, email, emailVerified }: ProviderProfile): Read => ({ id, email, emailVerified })

for (const [
  name,
  { provider, title, scopes, at, authentication, trusted, parameters = {}, pkce, said, read, others }
] of Object.entries(cases)) {
  t.test(`row 80: ${name} has its name, endpoints, scopes and client authentication`, async (t) => {
    t.equal(provider.kind, 'provider')
    t.equal(provider.name, name)
    t.equal(provider.title, title)
    t.strictSame(provider.scopes, scopes)
    t.equal(provider.clientAuthentication, authentication)
    t.equal(provider.trustEmail, trusted)
    t.equal(provider.pkce, pkce)
    const { server } = provider
    t.strictSame('discover' in server ? server.discover : [server.authorization_endpoint, server.token_endpoint], at)
    if ('discover' in server) t.ok(provider.idToken, 'a provider with discovery uses OpenID Connect')
    const canCheck = 'discover' in server || server.jwks_uri !== undefined
    t.equal(canCheck, provider.idToken, 'id_tokens are validated or ignored')
  })

  t.test(`row 80: a complete login with ${name} succeeds`, async (t) => {
    const { server, staged } = await playing(t, provider, said)
    const { profile, authorization, identity } = await login(server, staged)
    t.strictSame(readOf(profile), read)
    t.match(
      identity,
      { accountId: String(read.id), email: read.email, emailVerified: trusted && read.emailVerified },
      'ids are text, and only some e-mails are trusted'
    )
    t.type(identity.profile, 'object')
    const contract = ['response_type', 'client_id', 'redirect_uri', 'state', ...(scopes.length === 0 ? [] : ['scope'])]
    t.strictSame([...authorization.searchParams.keys()].slice(0, contract.length), contract)
    const sent = Object.fromEntries(authorization.searchParams)
    t.match(sent, { client_id: provider.clientId, response_type: 'code', redirect_uri: CALLBACK, ...parameters })
    t.equal(sent['scope'], scopes.length === 0 ? undefined : scopes.join(' '))
    t.equal(server.hits('token'), 1)
    t.equal(server.last('token').form['code_verifier'] === undefined, pkce === false)
  })

  if (others.length === 0) continue
  t.test(`row 80: id and e-mail are read from the profile of ${name}`, async (t) => {
    for (const [what, other, expected] of others) {
      const { server, staged } = await playing(t, provider, said, { play: { userinfoClaims: {} } }, other)
      if (expected === null) {
        await t.rejects(login(server, staged), { code: 'FST_USERS_OAUTH_PROVIDER_FAILED' }, what)
        continue
      }
      const { profile } = await login(server, staged)
      t.strictSame(readOf(profile), { ...readOf(profile), ...expected }, what)
      t.notOk(
        profile.emailVerified && typeof profile.email !== 'string',
        `${what}: without an e-mail, nothing is verified`
      )
    }
  })
}

t.test('row 80: a login with every provider starts a session and stores a row like FastAPI Users', async (t) => {
  for (const [name, { provider, said, read, trusted }] of Object.entries(cases)) {
    const { server, staged } = await playing(t, provider, said)
    const { app } = await buildApp(t, {
      publicUrl: ORIGIN,
      features: [oauth({ providers: [staged], insecureOrigins: [server.url], isVerifiedByDefault: true })]
    }, () => {})
    const browser = openBrowser(app)
    const { authorization_url: address } = (await browser.ask(`/auth/${name}/authorize`)).json<{
      authorization_url: string
    }>()
    const { method, url, params } = await server.visit(address)
    const passed =
      method === 'GET'
        ? url.href
        : (await browser.ask(url.pathname, { method, body: params, headers: { origin: 'https://appleid.apple.com' } }))
            .headers['location']
    const page = await browser.ask(String(passed))
    if (read.email === null) {
      t.match(
        { status: page.status, ...page.json() },
        { status: 400, code: 'FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL' },
        name
      )
      continue
    }
    t.equal(page.status, 200, `${name} ${page.body}`)
    const user = await app.users.getByEmail(String(read.email))
    t.equal(user?.is_verified, trusted && read.emailVerified, `${name}: only a trusted flag verifies the e-mail`)
    t.match(
      await app.users.feature('oauth').list(user?.id ?? ''),
      [{ oauth_name: name, account_id: String(read.id), account_email: read.email }],
      name
    )
  }
})

t.test('row 81: tokens are refreshed and revoked at the standard endpoints', async (t) => {
  for (const [name, { provider, said }] of Object.entries(cases)) {
    const { server, staged } = await playing(t, provider, said)
    const {
      client,
      identity: { tokens }
    } = await login(server, staged)
    const refreshed = await client.refresh(String(tokens.refreshToken))
    t.ok(
      refreshed.accessToken !== tokens.accessToken && server.tokens.access.has(refreshed.accessToken),
      `${name} refreshes`
    )
    t.match(server.last('token').form, { grant_type: 'refresh_token', refresh_token: String(tokens.refreshToken) })
    if (staged.revoke !== undefined) continue
    await client.revoke(refreshed)
    const canRevoke = 'discover' in staged.server || staged.server.revocation_endpoint !== undefined
    t.equal(
      server.tokens.refresh.has(String(refreshed.refreshToken)),
      !canRevoke,
      `${name} revokes if it has an endpoint for that`
    )
    t.equal(server.hits('revoke'), Number(canRevoke))
  }
  const revocation = Object.entries(cases).flatMap(
    ([
      name,
      {
        provider: { server }
      }
    ]) => ('revocation_endpoint' in server ? [[name, server.revocation_endpoint]] : [])
  )
  t.strictSame(Object.fromEntries(revocation), {
    google: 'https://oauth2.googleapis.com/revoke',
    discord: 'https://discord.com/api/oauth2/token/revoke',
    reddit: 'https://www.reddit.com/api/v1/revoke_token',
    apple: 'https://appleid.apple.com/auth/revoke',
    oauth2: 'https://git.example.com/revoke'
  })
})

t.test('row 81: Kakao and Naver end a grant with their own requests', async (t) => {
  const { server, staged } = await playing(t, kakao(CLIENT), caseOf('kakao').said)
  server.answer('https://kapi.kakao.com/v1/user/unlink', { id: 123456789 })
  const {
    client,
    identity: { tokens }
  } = await login(server, staged)
  await client.revoke(tokens)
  t.match(server.last('api'), {
    method: 'POST',
    url: { href: 'https://kapi.kakao.com/v1/user/unlink' },
    headers: { authorization: `Bearer ${tokens.accessToken}` }
  })

  const other = await playing(t, naver(CLIENT), caseOf('naver').said)
  const {
    client: naverClient,
    identity: {
      tokens: { accessToken, ...rest }
    }
  } = await login(other.server, other.staged)
  await naverClient.revoke({ accessToken, ...rest })
  t.strictSame(other.server.last('token').form, {
    grant_type: 'delete',
    client_id: 'client-id',
    client_secret: 'client-secret',
    access_token: accessToken,
    service_provider: 'NAVER'
  })
  t.notOk(other.server.tokens.access.has(accessToken))

  t.strictSame(
    Object.values(cases)
      .filter(({ provider: { revoke } }) => revoke !== undefined)
      .map(({ provider: { name } }) => name),
    ['kakao', 'naver']
  )
})

t.test('row 81: profiles are requested in the way of each provider', async (t) => {
  const asked = async (name: string): Promise<OauthServer> => {
    const { provider, said } = caseOf(name)
    const { server, staged } = await playing(t, provider, said)
    await login(server, staged)
    return server
  }
  t.match((await asked('github')).last('api').headers, {
    accept: 'application/vnd.github+json',
    'x-github-api-version': '2022-11-28'
  })
  t.equal((await asked('kakao')).last('api').method, 'POST')
  t.equal((await asked('naver')).last('api').method, 'POST')
  t.equal((await asked('microsoft')).last('api').method, 'GET')
  t.match((await asked('reddit')).last('api').headers, { 'user-agent': /client-id/ })
  const shopServer = await asked('shopify')
  t.ok(shopServer.tokens.access.has(String(shopServer.last('api').headers['x-shopify-access-token'])))
  t.equal((await asked('google')).hits('userinfo'), 0, 'the id_token contains all claims')
  t.equal((await asked('gitlab')).hits('userinfo'), 1, 'the id_token has no e-mail')
})

t.test('OAU-08: a profile with the wrong JSON type makes the login fail', async (t) => {
  const rejected: Fault[] = [
    'null',
    'list',
    'text',
    'html',
    'empty',
    'noContent',
    'invalidJson',
    'error401',
    'error404',
    'error429',
    'error500',
    'error503',
    'cut',
    'cutWithin'
  ]
  for (const { provider, said } of ['github', 'facebook', 'naver', 'linkedin'].map(caseOf)) {
    for (const fault of rejected) {
      const { server, staged } = await playing(t, provider, said)
      server.fail('api', fault)
      await t.rejects(
        login(server, staged),
        {
          code: ['cut', 'cutWithin', 'error429', 'error503'].includes(fault)
            ? 'FST_USERS_OAUTH_PROVIDER_UNAVAILABLE'
            : 'FST_USERS_OAUTH_PROVIDER_FAILED'
        },
        `${provider.name}: ${fault}`
      )
    }
  }
  const { server, staged } = await playing(t, github(CLIENT), caseOf('github').said)
  for (const fault of ['null', 'emptyObject', 'text'] as const) {
    server.fail(ME.emails, fault)
    await t.rejects(login(server, staged), { code: 'FST_USERS_OAUTH_PROVIDER_FAILED' }, `e-mails: ${fault}`)
  }
  server.fail(ME.emails, null)
  for (const fault of ['emptyObject', 'error200'] as const) {
    server.fail(ME.github, fault)
    await t.rejects(login(server, staged), { code: 'FST_USERS_OAUTH_PROVIDER_FAILED' }, `without an id: ${fault}`)
  }
})

t.test('OAU-07: a Google id consists of people/ and the subject', async (t) => {
  const { server, staged } = await playing(t, google(CLIENT))
  for (const sub of [undefined, null, '', 0, 1, {}, ['1']]) {
    t.equal((await staged.profile(server.api(staged, 'token', { sub, email: EMAIL }))).id, null, String(sub))
  }
})

t.test('OAU-18: the hosted domain of Google is requested and checked', async (t) => {
  const { server, staged } = await playing(t, google({ ...CLIENT, hostedDomain: 'camelot.bt' }), {
    claims: { sub: '1', email: EMAIL, hd: 'camelot.bt' }
  })
  const { authorization, profile } = await login(server, staged)
  t.equal(authorization.searchParams.get('hd'), 'camelot.bt')
  t.equal(profile.id, 'people/1')
  for (const hd of ['other.bt', undefined, ['camelot.bt'], 'CAMELOT.BT']) {
    await t.rejects(
      staged.profile(server.api(staged, 'token', { sub: '1', hd })),
      { code: 'FST_USERS_OAUTH_REFUSED' },
      String(hd)
    )
  }
  await t.rejects(staged.profile(server.api(staged, 'token', null)), { code: 'FST_USERS_OAUTH_REFUSED' })
})

t.test('OAU-04: claims of an OpenID provider are used only from a validated id_token', async (t) => {
  for (const name of ['apple', 'google', 'openid', 'okta', 'gitlab', 'franceconnect']) {
    const { provider, said } = caseOf(name)
    const { server, staged } = await playing(t, provider, said)
    await t.rejects(staged.profile(server.api(staged)), { code: 'FST_USERS_OAUTH_PROVIDER_FAILED' }, name)
    t.equal(server.hits('userinfo'), 0)
  }
})

t.test("Apple's client secret is a new JWT for each exchange", async (t) => {
  const { clientSecret } = apple(APPLE)
  const secret = typeof clientSecret === 'function' ? await clientSecret() : ''
  const [header = '', claims = '', signature = ''] = secret.split('.')
  const read = (part: string): unknown => JSON.parse(Buffer.from(part, 'base64url').toString())
  t.strictSame(read(header), { alg: 'ES256', kid: 'KEY4567890', typ: 'JWT' })
  const { iat, exp, ...rest } = read(claims) as { iat: number; exp: number }
  t.strictSame(rest, { iss: 'TEAM567890', sub: 'bt.camelot.app', aud: 'https://appleid.apple.com' })
  t.equal(exp - iat, 300)
  t.ok(Math.abs(iat - Date.now() / 1000) < 60)
  t.ok(
    verify(
      'sha256',
      Buffer.from(`${header}.${claims}`),
      { key: appleKey.publicKey, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url')
    )
  )

  const { server, staged } = await playing(t, apple(APPLE), caseOf('apple').said)
  let sent = ''
  server.behavior.clientSecret = (given) => {
    sent = given
    return given.split('.').length === 3
  }
  await login(server, staged)
  t.equal(sent.split('.').length, 3)
})

t.test('options set the name, title, scopes and own values of a provider', async (t) => {
  const renamed = github({
    ...CLIENT,
    name: 'github-staff',
    title: 'Staff',
    scopes: ['read:user'],
    trustEmail: false,
    pkce: false,
    authorizationParameters: { allow_signup: 'false' }
  })
  t.match(renamed, {
    name: 'github-staff',
    title: 'Staff',
    scopes: ['read:user'],
    trustEmail: false,
    pkce: false,
    authorizationParameters: { allow_signup: 'false' }
  })
  t.match(
    google({ ...CLIENT, hostedDomain: 'camelot.bt', authorizationParameters: { access_type: 'offline' } })
      .authorizationParameters,
    { hd: 'camelot.bt', access_type: 'offline' }
  )
  t.match(microsoft({ ...CLIENT, tenant: 'camelot.bt' }).server, {
    issuer: 'https://login.microsoftonline.com/camelot.bt/v2.0'
  })
  t.strictSame(gitlab({ ...CLIENT, issuer: 'https://git.camelot.bt' }).server, { discover: 'https://git.camelot.bt' })
  t.strictSame(franceconnect({ ...CLIENT, integration: true }).server, {
    discover: 'https://fcp-low.sbx.dev-franceconnect.fr/api/v2'
  })
  t.equal(
    openidConnect({ ...CLIENT, issuer: 'https://a.bt', clientAuthentication: 'client_secret_post', trustEmail: true })
      .trustEmail,
    true
  )
  t.equal(
    openidConnect({ ...CLIENT, issuer: 'https://a.bt', clientAuthentication: 'client_secret_post' })
      .clientAuthentication,
    'client_secret_post'
  )
  t.match(openidConnect({ clientId: 'public', issuer: 'https://a.bt' }), {
    clientSecret: null,
    clientAuthentication: 'none'
  })
  t.match(kakao({ clientId: 'public' }), { clientSecret: null, clientAuthentication: 'none' })
  const mail = {
    ...CLIENT,
    authorizationEndpoint: 'https://a.bt/authorize',
    tokenEndpoint: 'https://b.bt/token',
    profile: own.profile
  }
  t.strictSame(oauth2(mail).server, {
    issuer: 'https://a.bt',
    authorization_endpoint: 'https://a.bt/authorize',
    token_endpoint: 'https://b.bt/token'
  })
  t.match(oauth2({ ...mail, issuer: 'https://c.bt' }).server, { issuer: 'https://c.bt' })
  t.equal(oauth2({ ...mail, clientAuthentication: 'client_secret_basic' }).clientAuthentication, 'client_secret_basic')
})

t.test('wrong and unknown options are refused', async (t) => {
  const invalid: [string, (options: never) => Provider, object, string][] = [
    ['no client id', github, { clientSecret: 'a' }, 'github.clientId'],
    ['an empty client id', github, { ...CLIENT, clientId: '' }, 'github.clientId'],
    ['no secret', github, { clientId: 'a' }, 'github.clientSecret'],
    ['a secret that is a number', kakao, { ...CLIENT, clientSecret: 1 }, 'kakao.clientSecret'],
    ['an empty secret', openidConnect, { ...CLIENT, clientSecret: '', issuer: 'https://a.bt' }, 'openid.clientSecret'],
    ...['', 'GitHub', 'a b', 'a/b', '../a', '-a', 'a'.repeat(101), 1, null].map(
      (name): [string, typeof github, object, string] => [
        `the name ${String(name)}`,
        github,
        { ...CLIENT, name },
        'github.name'
      ]
    ),
    ['an empty title', github, { ...CLIENT, title: '' }, 'github.title'],
    ['scopes that are text', github, { ...CLIENT, scopes: 'user' }, 'github.scopes'],
    ['a scope with a blank', github, { ...CLIENT, scopes: ['user user:email'] }, 'github.scopes'],
    ['scopes of OpenID Connect without openid', google, { ...CLIENT, scopes: ['email'] }, 'google.scopes'],
    ['a scope that is a number', github, { ...CLIENT, scopes: [1] }, 'github.scopes'],
    ['trust that is text', github, { ...CLIENT, trustEmail: 'yes' }, 'github.trustEmail'],
    ['pkce that is true', github, { ...CLIENT, pkce: true }, 'github.pkce'],
    ...[
      'state',
      'redirect_uri',
      'scope',
      'client_id',
      'response_type',
      'response_mode',
      'nonce',
      'code_challenge',
      'code_challenge_method',
      'request',
      'request_uri',
      'client_secret'
    ].map((key): [string, typeof github, object, string] => [
      `the parameter ${key}`,
      github,
      { ...CLIENT, authorizationParameters: { [key]: 'a' } },
      'github.authorizationParameters'
    ]),
    [
      'a parameter that is a number',
      github,
      { ...CLIENT, authorizationParameters: { a: 1 } },
      'github.authorizationParameters'
    ],
    [
      'parameters that are a list',
      github,
      { ...CLIENT, authorizationParameters: ['a'] },
      'github.authorizationParameters'
    ],
    ['a domain that is an address', google, { ...CLIENT, hostedDomain: 'https://a.bt' }, 'google.hostedDomain'],
    ['a tenant with a path', microsoft, { ...CLIENT, tenant: 'a/../b' }, 'microsoft.tenant'],
    ['no shop', shopify, CLIENT, 'shopify.shop'],
    ['a shop that is a host', shopify, { ...CLIENT, shop: 'evil.example/' }, 'shopify.shop'],
    ['a version that is a path', shopify, { ...CLIENT, shop: 'a', apiVersion: '../a' }, 'shopify.apiVersion'],
    ['no domain', okta, CLIENT, 'okta.domain'],
    ['a domain with a path', okta, { ...CLIENT, domain: 'a.okta.com/b' }, 'okta.domain'],
    ['no issuer', openidConnect, CLIENT, 'openid.issuer'],
    ...['a.bt', 'ftp://a.bt', 'https://u:p@a.bt', 'https://a.bt/#b', 1, null].map(
      (issuer): [string, typeof openidConnect, object, string] => [
        `the issuer ${String(issuer)}`,
        openidConnect,
        { ...CLIENT, issuer },
        'openid.issuer'
      ]
    ),
    [
      'another client authentication',
      openidConnect,
      { ...CLIENT, issuer: 'https://a.bt', clientAuthentication: 'none' },
      'openid.clientAuthentication'
    ],
    ['an integration that is text', franceconnect, { ...CLIENT, integration: 'yes' }, 'franceconnect.integration'],
    [
      'no profile',
      oauth2,
      { ...CLIENT, authorizationEndpoint: 'https://a.bt', tokenEndpoint: 'https://a.bt' },
      'oauth2.profile'
    ],
    [
      'no token endpoint',
      oauth2,
      { ...CLIENT, authorizationEndpoint: 'https://a.bt', profile: own.profile },
      'oauth2.tokenEndpoint'
    ],
    ['a team that is a name', apple, { ...APPLE, teamId: 'Camelot' }, 'apple.teamId'],
    ['no key id', apple, { ...APPLE, keyId: undefined }, 'apple.keyId'],
    ['a key that is none', apple, { ...APPLE, privateKey: 'key' }, 'apple.privateKey'],
    ['a key that is no text', apple, { ...APPLE, privateKey: 1 }, 'apple.privateKey'],
    [
      'a key of another kind',
      apple,
      { ...APPLE, privateKey: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) },
      'apple.privateKey'
    ]
  ]
  for (const [what, make, options, option] of invalid) {
    t.throws(
      () => make(options as never),
      { code: 'FST_USERS_INVALID_OPTION', message: new RegExp(`^Option ${option.replace('.', '\\.')}:`) },
      what
    ) // wrong type on purpose, as JavaScript callers can pass it
  }
  for (const options of [undefined, null, 'a', []]) {
    t.throws(() => github(options as never), { code: 'FST_USERS_INVALID_OPTION' }, String(options))
  } // wrong type on purpose, as JavaScript callers can pass it
  const unknown: [(options: never) => Provider, object, string][] = [
    [github, { ...CLIENT, clientID: 'a' }, 'github.clientID'],
    [github, { ...CLIENT, tenant: 'a' }, 'github.tenant'],
    [apple, { ...APPLE, clientSecret: 'a' }, 'apple.clientSecret']
  ]
  for (const [make, options, option] of unknown) {
    t.throws(
      () => make(options as never),
      { code: 'FST_USERS_UNKNOWN_OPTION', message: new RegExp(`^There is no option ${option}`) },
      option
    ) // wrong type on purpose, as JavaScript callers can pass it
  }
})

t.test('an application can define a provider with defineProvider', async (t) => {
  const castle = defineProvider({
    name: 'castle',
    title: 'Castle',
    scopes: ['me'],
    server: {
      issuer: 'https://castle.bt',
      authorization_endpoint: 'https://castle.bt/authorize',
      token_endpoint: 'https://castle.bt/token'
    },
    trustEmail: true,
    async profile (api, { clientId }) {
      return {
        id: clientId,
        email: null,
        emailVerified: false,
        raw: (await api.fetchJson('https://castle.bt/me')) as Record<string, unknown>
      } // the test's own answer
    },
    async revoke (api, { clientId }) {
      await api.fetchJson(`https://castle.bt/revoke/${clientId}`)
    }
  })
  const { server, staged } = await playing(t, castle(CLIENT), {
    answers: { 'https://castle.bt/me': { knights: 12 }, 'https://castle.bt/revoke/client-id': {} }
  })
  const { profile, client, identity } = await login(server, staged)
  t.strictSame(profile, { id: 'client-id', email: null, emailVerified: false, raw: { knights: 12 } })
  await client.revoke(identity.tokens)
  t.equal(server.last('api').url.pathname, '/revoke/client-id')
})

t.test('every provider has its own file, export, title and name', async (t) => {
  const shared = new Set(['define-provider', 'index', 'option-checks', 'profiles'])
  const files = readdirSync(join(root, 'lib/features/oauth/providers'))
    .map((file) => file.replace(/\.ts$/, ''))
    .filter((file) => !shared.has(file))
  const camelCase = (file: string): string => file.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
  t.strictSame(
    Object.keys(providers)
      .filter((name) => name !== 'defineProvider')
      .sort(),
    files.map(camelCase).sort()
  )
  t.equal(Object.keys(cases).length, files.length)
  const all = Object.values(cases).map(({ provider }) => provider)
  t.equal(new Set(all.map(({ name }) => name)).size, files.length)
  t.equal(new Set(all.map(({ title }) => title)).size, files.length)
  t.ok(all.every(({ title }) => title !== ''))
})

t.test('the test provider refuses the same requests as a real one', async (t) => {
  const { server, staged } = await playing(t, own, caseOf('oauth2').said)
  const authorize = `${server.url}/git.example.com/authorize?`
  const exchange = async (change: (form: URLSearchParams) => void, challenge = true): Promise<unknown> => {
    const verifier = randomBytes(32).toString('base64url')
    const pkce = { code_challenge: hash('sha256', verifier, 'base64url'), code_challenge_method: 'S256' }
    const { params } = await server.visit(
      authorize +
        new URLSearchParams({
          client_id: staged.clientId,
          redirect_uri: CALLBACK,
          ...(challenge ? pkce : {})
        }).toString()
    )
    const form = new URLSearchParams({
      grant_type: 'authorization_code',
      code: String(params.get('code')),
      redirect_uri: CALLBACK,
      code_verifier: verifier,
      client_id: 'client-id',
      client_secret: 'client-secret'
    })
    change(form)
    const reply = await fetch(`${server.url}/git.example.com/token`, { method: 'POST', body: form })
    return ((await reply.json()) as { error_description?: string }).error_description
  }
  t.equal(await exchange(() => {}), undefined)
  t.equal(await exchange((form) => form.set('code_verifier', 'a'.repeat(43))), 'wrong code_verifier')
  t.equal(await exchange((form) => form.delete('code_verifier')), 'wrong code_verifier')
  t.equal(await exchange(() => {}, false), 'no code_challenge was sent')
  t.equal(await exchange((form) => form.set('redirect_uri', 'https://evil.example')), 'another redirect_uri')
  t.equal(await exchange((form) => form.set('client_secret', 'a')), 'wrong secret')
  t.equal(await exchange((form) => form.set('client_id', 'a')), 'another client')
  t.equal(
    await exchange((form) => form.delete('client_secret')),
    'client authentication is none, not client_secret_post'
  )
  let used = ''
  await exchange((form) => {
    used = String(form.get('code'))
  })
  t.equal(await exchange((form) => form.set('code', used)), 'the code is used')
  t.equal(await exchange((form) => form.set('code', 'a')), 'unknown code')
})

async function sizeAndType (address: string): Promise<unknown> {
  try {
    const reply = await fetch(address, { redirect: 'manual', signal: AbortSignal.timeout(100) })
    return { size: (await reply.arrayBuffer()).byteLength, type: reply.headers.get('content-type') }
  } catch {
    return 'failed'
  }
}

t.test('the test provider produces every fault, and forged tokens that a client refuses', async (t) => {
  const { server, staged } = await playing(t, caseOf('openid').provider, caseOf('openid').said)
  const forged: [string, Partial<ServerBehavior>][] = [
    ['another issuer', { idTokenClaims: { iss: 'https://evil.example' } }],
    ['another audience', { idTokenClaims: { aud: 'other-client' } }],
    ['another nonce', { idTokenClaims: { nonce: 'a' } }],
    ['no nonce', { idTokenClaims: { nonce: undefined } }],
    ['no subject', { idTokenClaims: { sub: undefined } }],
    ['a token that has ended', { idTokenClaims: { iat: 1, exp: 2 } }],
    ['no signature', { idToken: { alg: 'none' } }],
    ['the secret as key', { idToken: { alg: 'HS256' } }],
    ['a foreign key', { idToken: { foreignKey: true } }],
    ['an unknown key', { idToken: { kid: 'a' } }],
    ['no token', { idToken: false }],
    ['text', { idToken: 'a.b.c' }],
    ['another issuer in the response', { sendIssuer: 'https://evil.example' }]
  ]
  const honest = { ...server.behavior }
  await t.resolves(login(server, staged))
  for (const [what, play] of forged) {
    Object.assign(server.behavior, honest, play)
    await t.rejects(login(server, staged), { code: 'FST_USERS_OAUTH_PROVIDER_FAILED' }, what)
  }
  Object.assign(server.behavior, honest, { sendIssuer: true })
  await t.resolves(login(server, staged), 'the true issuer in the response')
  Object.assign(server.behavior, honest, { refuse: { error: 'access_denied' } })
  await t.rejects(login(server, staged), 'a refusal brings no code')
  Object.assign(server.behavior, honest)

  server.answer('https://api.example.com/me', { id: 1 })
  const address = `${server.url}/api.example.com/me`
  for (const fault of Object.keys(faults) as Fault[]) {
    // the keys of `faults` are of the type Fault
    server.fail('https://api.example.com/me', fault)
    t.notSame(await sizeAndType(address), { size: 8, type: 'application/json; charset=utf-8' }, fault)
  }
  server.fail('https://api.example.com/me', null)
  await t.rejects(server.visit(`${server.url}/authorize`), 'a page that leads nowhere')
  t.throws(() => server.last('revoke'), 'nothing came')
})
