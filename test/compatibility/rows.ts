// Requests and replies of FastAPI Users 15.0.5 (for OAuth see `oauth-rows.ts`). This file contains only data and
// imports only node: modules, because `differences.mjs` reads it, too.
import { createHmac } from 'node:crypto'

/** Section of docs/contributing/upstream.md that describes the behaviour. */
export type Section = '1.2' | '1.4' | '1.5' | '1.6' | '1.7' | '1.8' | '1.9' | '1.12' | '1.13'

/** Users of every application: a verified superuser, a verified user, an unverified user, and an inactive user. */
export type Actor = 'arthur' | 'galahad' | 'lancelot' | 'mordred'

/** Variants of the application. `wire.test.ts` contains the options of each. */
export type Variant =
  'plain' | 'verified' | 'policy' | 'faulty' | 'cookie-age' | 'cookie-own' | 'broken-store' | 'custom' | 'fixture'

/** Users, values and helpers of the application to which a row sends its requests. */
export interface RowContext {
  readonly ids: Record<Actor, string>
  /** Values that a step stores for later steps. */
  readonly kept: Record<string, string>
  /** Seconds since 1970. */
  readonly now: number
  /** Requests a token by e-mail for a user, and returns it. */
  requestToken(purpose: 'reset' | 'verify', who: Actor): Promise<string>
  /** Changes a user with `app.users.update`. */
  change(who: Actor, changes: object): Promise<void>
  /** Replaces the stored hash of a user by a bcrypt hash of `PASSWORD`. */
  makeOldHash(who: Actor): Promise<void>
  /** Deletes a user with `app.users.delete`. */
  remove(who: Actor): Promise<void>
  login(backend: string, who: Actor): Promise<string>
  /** Waits for the work that runs after replies. */
  settled(): Promise<void>
  /** Returns the payloads of an event since the beginning of the row. */
  eventsNamed(event: string): object[]
}

type Later<T> = T | ((context: RowContext) => T)

/** A request and its reply. */
export interface Step {
  /** Runs before the request. */
  before?: (context: RowContext) => Promise<unknown>
  /** Method and path. `{arthur}` stands for the id of the user. */
  send: string
  /** The user of the session. Its JWT is signed as by FastAPI Users and sent in the header or in the cookie. */
  as?: Actor | `${Actor}:cookie`
  headers?: Later<Record<string, string>>
  json?: Later<unknown>
  form?: Later<Record<string, string>>
  multipart?: Record<string, string>
  /** An unprocessed body, with or without a content type. */
  raw?: { body: string; type?: string }
  /** Number of parallel requests. `status` and `body` belong to the first reply, `others` to the rest. */
  times?: number
  status: number
  others?: { status: number; body: unknown }
  /** Text, or data that is compared as JSON text including the order of keys. The default is an empty body. */
  body?: unknown
  /** The Set-Cookie header of FastAPI Users. Order and case of attributes and `""` for an empty value are ignored. */
  cookie?: string
  /** Other headers. Null means that the header must be absent. */
  has?: Record<string, string | null>
  /** Returns true if the state after the request is right. */
  after?: (context: RowContext) => boolean | Promise<boolean>
}

/** The reply of FastAPI Users, and the reason for another reply. */
export interface Difference {
  upstream: string
  reason: string
}

export interface WireRow {
  at: Section
  name: string
  variant?: Variant
  steps: readonly Step[]
  differs?: Difference
}

export const PASSWORD = 'guinevere'
export const SECRETS = {
  auth: 'auth-7f3kQ9xLm2Vb8RtYw4Zc6NpJ1hGs5DdE',
  reset: 'reset-Xk2Lm8Qv4Rt9Yw3Zb7Nc5PjH1gFs6Dd',
  verify: 'verify-Bn6Mk1Jh8Gf3Ds9Aq2We7Rt4Yu5Io0P'
}
export const CENTURY = 4_948_833_177
export const emailOf = (who: Actor): string => `${who}@camelot.bt`

/** Creates a JWT as PyJWT does: compact JSON in the given order, HS256. */
export function signLikePython (claims: unknown, secret: string, header: object = { alg: 'HS256', typ: 'JWT' }): string {
  const hash =
    { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }[String((header as { alg?: unknown }).alg)] ?? 'sha256'
  const text = [header, claims]
    .map((part) => Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`
}

const AUDIENCE = ['fastapi-users:auth']
const access = (claims: object, header?: object): string =>
  signLikePython({ aud: AUDIENCE, exp: CENTURY, ...claims }, SECRETS.auth, header)
const reset = (claims: object, secret = SECRETS.reset): string =>
  signLikePython({ aud: 'fastapi-users:reset', exp: CENTURY, ...claims }, secret)
const verify = (claims: object, secret = SECRETS.verify): string =>
  signLikePython({ aud: 'fastapi-users:verify', exp: CENTURY, ...claims }, secret)
const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
const cookie = (token: string): Record<string, string> => ({ cookie: `fastapiusersauth=${token}` })

const user = (email: string, flags: object = {}): object => ({
  id: '<id>',
  email,
  is_active: true,
  is_superuser: false,
  is_verified: false,
  ...flags
})
const arthur = user('arthur@camelot.bt', { is_superuser: true, is_verified: true })
const galahad = user('galahad@camelot.bt', { is_verified: true })
const lancelot = user('lancelot@camelot.bt')
const detail = (value: unknown): object => ({ detail: value })
const UNAUTHORIZED = detail('Unauthorized')
const FORBIDDEN = detail('Forbidden')
const NOT_FOUND = detail('Not Found')
const BAD_CREDENTIALS = detail('LOGIN_BAD_CREDENTIALS')
const BEARER = { access_token: '<jwt>', token_type: 'bearer' }
const HIDDEN = '**********'
const CLEARED = 'fastapiusersauth=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax; Secure'

const missing = (field: string | null, input: unknown): object => ({
  type: 'missing',
  loc: field === null ? ['body'] : ['body', field],
  msg: 'Field required',
  input
})
const noString = (field: string, input: unknown): object => ({
  type: 'string_type',
  loc: ['body', field],
  msg: 'Input should be a valid string',
  input
})
const noBoolean = (field: string, input: unknown): object => ({
  type: 'bool_parsing',
  loc: ['body', field],
  msg: 'Input should be a valid boolean, unable to interpret input',
  input
})
const noBooleanType = (field: string, input: unknown): object => ({
  type: 'bool_type',
  loc: ['body', field],
  msg: 'Input should be a valid boolean',
  input
})
const noObject = (input: unknown): object => ({
  type: 'model_attributes_type',
  loc: ['body'],
  msg: 'Input should be a valid dictionary or object to extract fields from',
  input
})
const ADDRESS_REASON = 'It must be one plain e-mail without a name or comment.'
const noEmail = (input: unknown, reason = ADDRESS_REASON): object => ({
  type: 'value_error',
  loc: ['body', 'email'],
  msg: `value is not a valid email address: ${reason}`,
  input,
  ctx: { reason }
})
const TOO_LONG = 'It must have at most 254 bytes (RFC 5321).'
const TOO_LONG_LOCAL = 'It must have at most 64 bytes before the @ (RFC 5321).'
const BAD_LOCAL = 'It must have letters, digits and ordinary signs before the @, without % and !.'
const BAD_DOMAIN = 'It must have a valid domain after the @.'
const PRIVATE_DOMAIN = 'It must have a public domain: .local and .home.arpa are domains of private networks.'
const RESERVED_DOMAIN = 'It must have a public domain: this one is reserved and receives no mail (RFC 6761).'
const noGrant = (input: unknown): object => ({
  type: 'string_pattern_mismatch',
  loc: ['body', 'grant_type'],
  msg: "String should match pattern '^password$'",
  input,
  ctx: { pattern: '^password$' }
})
const noJson = {
  type: 'json_invalid',
  loc: ['body', 0],
  msg: 'JSON decode error',
  input: {},
  ctx: { error: 'the body cannot be read' }
}
const tooShort = (field: string): object => ({
  type: 'string_too_short',
  loc: ['body', field],
  msg: 'String should have at least 1 character',
  input: HIDDEN,
  ctx: { min_length: 1 }
})
const NO_EMPTY_TOKEN = {
  upstream: '400, as for every other invalid token',
  reason: 'RST-06: an empty token fails the validation of the body'
}
const RESET = 'POST /auth/reset-password'
const FORGOT = 'POST /auth/forgot-password'
const VERIFY = 'POST /auth/verify'
const ASK_VERIFY = 'POST /auth/request-verify-token'
const ACCEPTED = { status: 202, body: null }
const noForm = detail('There was an error parsing the body')

const login = (fields: Record<string, string>): Pick<Step, 'send' | 'form'> => ({
  send: 'POST /auth/jwt/login',
  form: { username: 'galahad@camelot.bt', password: PASSWORD, ...fields }
})
const register = (json: unknown): Pick<Step, 'send' | 'json'> => ({ send: 'POST /auth/register', json })
const refuse = (...problems: object[]): Pick<Step, 'status' | 'body'> => ({ status: 422, body: detail(problems) })
const bad = (word: string): Pick<Step, 'status' | 'body'> => ({ status: 400, body: detail(word) })
const newcomer = (email: string): object => ({ email, password: PASSWORD })

const SECURITY_BR_01 =
  'Q18, BR-01: exactly one blank after the scheme (RFC 6750), so that a proxy in front reads the same token'
const SECURITY_JWT_05 = 'Q18, JWT-05: claims have exactly the type of RFC 7519'
const SECURITY_JWT_04 =
  'Q18, JWT-04: a token has one spelling (RFC 7515 has no padding), so that no other spelling passes a deny list'
const SECURITY_EML_05 = 'Q20, EML-05: only one plain e-mail is accepted, so that no mail is sent to another one'

/** Rows of the route for registration. */
const registrations: readonly WireRow[] = [
  {
    at: '1.6',
    name: 'register',
    steps: [{ ...register(newcomer('new@camelot.bt')), status: 201, body: user('new@camelot.bt'), cookie: '' }]
  },
  {
    at: '1.12',
    name: 'register {}',
    steps: [{ ...register({}), ...refuse(missing('email', {}), missing('password', {})) }]
  },
  {
    at: '1.12',
    name: 'register without a body',
    steps: [{ send: 'POST /auth/register', ...refuse(missing(null, null)) }]
  },
  {
    at: '1.12',
    name: 'register with malformed JSON',
    steps: [
      {
        send: 'POST /auth/register',
        raw: { body: '{"email": "a@camelot.bt", "password"', type: 'application/json' },
        ...refuse(noJson)
      }
    ],
    differs: {
      upstream: "loc is the offset and ctx.error the text of Python's parser",
      reason: '1.13: messages of the Python parser are not copied: offset 0, and a text without parts of the body'
    }
  },
  ...['application/x-www-form-urlencoded', 'text/plain', undefined].map((type): WireRow => ({
    at: '1.12',
    name: `register with JSON sent as ${type ?? 'nothing'}`,
    steps: [
      {
        send: 'POST /auth/register',
        raw: { body: '{"email":"a@camelot.bt","password":"secret"}', ...(type === undefined ? {} : { type }) },
        ...refuse(noObject(HIDDEN))
      }
    ],
    differs: {
      upstream: 'input is the whole text, including the password',
      reason: 'D14: secrets are redacted, and text of another content type is not parsed'
    }
  })),
  { at: '1.12', name: 'register with an array', steps: [{ ...register([1]), ...refuse(noObject([1])) }] },
  {
    at: '1.12',
    name: 'register with a string',
    steps: [
      { send: 'POST /auth/register', raw: { body: '"text"', type: 'application/json' }, ...refuse(noObject('text')) }
    ]
  },
  {
    at: '1.12',
    name: 'register with an e-mail without @',
    steps: [{ ...register(newcomer('arthur')), ...refuse(noEmail('arthur')) }],
    differs: {
      upstream: 'msg and ctx contain a sentence of the library email-validator',
      reason: '1.13: the sentence is that of the plugin; type, loc and the first words of msg are equal'
    }
  },
  {
    at: '1.12',
    name: 'register with a number as password',
    steps: [{ ...register({ email: 'a@camelot.bt', password: 12345678 }), ...refuse(noString('password', HIDDEN)) }],
    differs: { upstream: 'input is the password that was sent', reason: 'D14: secrets are redacted' }
  },
  {
    at: '1.12',
    name: 'register with null as password',
    steps: [{ ...register({ email: 'a@camelot.bt', password: null }), ...refuse(noString('password', HIDDEN)) }],
    differs: { upstream: 'input is null', reason: 'D14: every value of a secret field is redacted' }
  },
  {
    at: '1.12',
    name: 'register with a password that the policy refuses',
    variant: 'policy',
    steps: [
      {
        ...register({ email: 'a@camelot.bt', password: 'no' }),
        status: 400,
        body: detail({ code: 'REGISTER_INVALID_PASSWORD', reason: 'Too short' })
      }
    ]
  },
  {
    at: '1.6',
    name: 'register a taken e-mail with a refused password: the password is checked first',
    variant: 'policy',
    steps: [
      {
        ...register({ email: 'galahad@camelot.bt', password: 'no' }),
        status: 400,
        body: detail({ code: 'REGISTER_INVALID_PASSWORD', reason: 'Too short' })
      }
    ]
  },
  {
    at: '1.6',
    name: 'the reason of a refused password may be any JSON',
    variant: 'policy',
    steps: [
      {
        ...register({ email: 'a@camelot.bt', password: 'list' }),
        status: 400,
        body: detail({ code: 'REGISTER_INVALID_PASSWORD', reason: { rules: ['length'] } })
      }
    ]
  },
  {
    at: '1.12',
    name: 'register a taken e-mail in another case',
    steps: [{ ...register(newcomer('GALAHAD@camelot.bt')), ...bad('REGISTER_USER_ALREADY_EXISTS') }]
  },
  {
    at: '1.12',
    name: 'register with privileged flags',
    steps: [
      {
        ...register({ ...newcomer('a@camelot.bt'), is_superuser: true, is_active: false, is_verified: true }),
        status: 201,
        body: user('a@camelot.bt')
      }
    ]
  },
  {
    at: '1.4',
    name: 'register with an id, a hash and OAuth accounts',
    steps: [
      {
        ...register({ ...newcomer('a@camelot.bt'), id: 'x', hashed_password: 'y', oauth_accounts: [{}] }),
        status: 201,
        body: user('a@camelot.bt')
      }
    ]
  },
  ...[true, false, 0, 1, 'yes', 'NO', 't', 'f', 'On', 'off', '0', '1', 'y', 'N', null].map((flag): WireRow => ({
    at: '1.12',
    name: `register with is_active ${JSON.stringify(flag)}`,
    steps: [{ ...register({ ...newcomer('a@camelot.bt'), is_active: flag }), status: 201, body: user('a@camelot.bt') }]
  })),
  ...['maybe', 2, '2', ''].map((flag): WireRow => ({
    at: '1.12',
    name: `register with is_active ${JSON.stringify(flag)}`,
    steps: [{ ...register({ ...newcomer('a@camelot.bt'), is_active: flag }), ...refuse(noBoolean('is_active', flag)) }]
  })),
  {
    at: '1.13',
    name: 'register with several problems: all are reported, in the order of the schema',
    steps: [
      {
        ...register({ is_verified: 'maybe', email: 7 }),
        ...refuse(
          noString('email', 7),
          missing('password', { is_verified: 'maybe', email: 7 }),
          noBoolean('is_verified', 'maybe')
        )
      }
    ]
  },
  {
    at: '1.13',
    name: 'register without an e-mail',
    steps: [{ ...register({ password: 'secret' }), ...refuse(missing('email', { password: HIDDEN })) }],
    differs: { upstream: 'input is the whole body, including the password', reason: 'D14: secrets are redacted' }
  },
  {
    at: '1.12',
    name: 'register with a domain in capitals',
    steps: [{ ...register(newcomer('King.Arthur@CAMELOT.bt')), status: 201, body: user('King.Arthur@camelot.bt') }]
  },
  {
    at: '1.12',
    name: 'register with "Bob <bob@camelot.bt>"',
    steps: [{ ...register(newcomer('Bob <bob@camelot.bt>')), ...refuse(noEmail('Bob <bob@camelot.bt>')) }],
    differs: { upstream: '201, stored bob@camelot.bt', reason: SECURITY_EML_05 }
  },
  ...[
    ['a local part of 65 characters', `${'b'.repeat(65)}@camelot.bt`, TOO_LONG_LOCAL],
    ['a routing sign', 'b!c@camelot.bt', BAD_LOCAL],
    ['a routing sign', 'b%c@camelot.bt', BAD_LOCAL],
    ['an emoji', '😀@camelot.bt', BAD_LOCAL],
    ['a top-level domain of one letter', 'a@x.b', BAD_DOMAIN]
  ].map(([what, email = '', reason]): WireRow => ({
    at: '1.12',
    name: `register with ${what}: ${email}`,
    steps: [
      { ...register(newcomer(email)), ...refuse(noEmail(email, reason)) },
      { send: FORGOT, json: { email }, ...ACCEPTED },
      { send: ASK_VERIFY, json: { email }, ...ACCEPTED }
    ],
    differs: {
      upstream: '201, stored unchanged',
      reason: 'Q20, EML-05: only new e-mails are refused; users who have one can log in, reset and verify'
    }
  })),
  {
    at: '1.12',
    name: 'register with white space around the e-mail',
    steps: [{ ...register(newcomer(' bob@camelot.bt\u3000')), status: 201, body: user('bob@camelot.bt') }]
  },
  ...[
    ['a@localhost'],
    ['a@x.test', RESERVED_DOMAIN],
    ['a@x.local', PRIVATE_DOMAIN],
    ['a@x.home.arpa', PRIVATE_DOMAIN],
    ['a@x.invalid', RESERVED_DOMAIN],
    ['a@x.onion', RESERVED_DOMAIN],
    ['"a b"@x.bt'],
    ['a@[127.0.0.1]'],
    ['a@x'],
    ['x@ab--cd.com', BAD_DOMAIN],
    ['a@xn--i-7iq.ws', BAD_DOMAIN],
    ['\u0301a@camelot.bt', BAD_LOCAL],
    ['a@\u0301camelot.bt']
  ].map(([email = '', reason]): WireRow => ({
    at: '1.12',
    name: `register with ${email}`,
    steps: [{ ...register(newcomer(email)), ...refuse(noEmail(email, reason)) }]
  })),
  {
    at: '1.13',
    name: 'register with an e-mail of 10 kB: one problem',
    steps: [{ ...register(newcomer(`${'a'.repeat(10_000)}@camelot.bt`)), ...refuse(noEmail(HIDDEN, TOO_LONG)) }],
    differs: { upstream: 'input is the whole text', reason: 'D14: long text is not echoed' }
  },
  {
    at: '1.13',
    name: 'register with a password of 10 kB: one problem',
    steps: [
      {
        ...register({ email: 'a@camelot.bt', password: 'a'.repeat(10_000) }),
        ...refuse({
          type: 'value_error',
          loc: ['body', 'password'],
          msg: 'Value error, It must be well-formed text of at most 1024 bytes.',
          input: HIDDEN,
          ctx: { reason: 'It must be well-formed text of at most 1024 bytes.' }
        })
      }
    ],
    differs: { upstream: '201', reason: 'PW-05: the length of a password is checked before any other work' }
  },
  ...[{}, [], { a: 1 }, [true], 1.5, 1e30].map((flag): WireRow => ({
    at: '1.12',
    name: `register with is_active ${JSON.stringify(flag)}`,
    steps: [
      { ...register({ ...newcomer('a@camelot.bt'), is_active: flag }), ...refuse(noBooleanType('is_active', flag)) }
    ]
  })),
  ...[['a@x.internal'], ['a@x.example'], ['a@xn--bcher-kva.bt', 'a@bücher.bt'], ['a@BÜCHER.bt', 'a@bücher.bt']].map(
    ([email = '', stored = email]): WireRow => ({
      at: '1.12',
      name: `register with ${email}`,
      steps: [{ ...register(newcomer(email)), status: 201, body: user(stored) }]
    })
  ),
  {
    at: '1.12',
    name: 'register one e-mail three times in parallel',
    steps: [
      {
        ...register(newcomer('new@camelot.bt')),
        times: 3,
        status: 201,
        body: user('new@camelot.bt'),
        others: { status: 400, body: detail('REGISTER_USER_ALREADY_EXISTS') }
      }
    ],
    differs: { upstream: '500 for two of the requests', reason: 'D4: a violation of the unique index is a 400' }
  },
  {
    at: '1.4',
    name: 'register with custom fields',
    variant: 'custom',
    steps: [
      {
        ...register({ ...newcomer('a@camelot.bt'), nick: 'Art' }),
        status: 201,
        body: { ...user('a@camelot.bt'), nick: 'Art' }
      },
      {
        ...register(newcomer('b@camelot.bt')),
        ...refuse(missing('nick', { ...newcomer('b@camelot.bt'), password: HIDDEN }))
      },
      {
        ...register({ ...newcomer('b@camelot.bt'), nick: 'Lancelot' }),
        ...refuse({
          type: 'string_too_long',
          loc: ['body', 'nick'],
          msg: 'String should have at most 5 characters',
          input: 'Lancelot',
          ctx: { max_length: 5 }
        })
      },
      { ...register({ ...newcomer('b@camelot.bt'), nick: 7 }), ...refuse(noString('nick', 7)) }
    ],
    differs: { upstream: 'input is the whole body, including the password', reason: 'D14: secrets are redacted' }
  },
  {
    at: '1.4',
    name: 'register with an empty password',
    steps: [{ ...register({ email: 'a@camelot.bt', password: '' }), status: 201, body: user('a@camelot.bt') }]
  },
  {
    at: '1.13',
    name: 'register with a lone surrogate as password',
    steps: [
      {
        send: 'POST /auth/register',
        raw: { body: '{"email":"a@camelot.bt","password":"pass\\ud800word"}', type: 'application/json' },
        ...refuse({
          type: 'value_error',
          loc: ['body', 'password'],
          msg: 'Value error, It must be well-formed text of at most 1024 bytes.',
          input: HIDDEN,
          ctx: { reason: 'It must be well-formed text of at most 1024 bytes.' }
        })
      }
    ],
    differs: { upstream: '500', reason: 'D24, PW-06: text without a UTF-8 form is refused' }
  },
  {
    at: '1.4',
    name: 'register with a password over 1024 bytes',
    steps: [
      {
        ...register({ email: 'a@camelot.bt', password: 'é'.repeat(600) }),
        ...refuse({
          type: 'value_error',
          loc: ['body', 'password'],
          msg: 'Value error, It must be well-formed text of at most 1024 bytes.',
          input: HIDDEN,
          ctx: { reason: 'It must be well-formed text of at most 1024 bytes.' }
        })
      }
    ],
    differs: { upstream: '201', reason: 'PW-05: the length of a password is checked before any other work' }
  },
  {
    at: '1.13',
    name: 'register with the key __proto__',
    steps: [
      {
        send: 'POST /auth/register',
        raw: {
          body: '{"email":"a@camelot.bt","password":"guinevere","__proto__":{"is_superuser":true}}',
          type: 'application/json'
        },
        ...refuse(noJson)
      }
    ],
    differs: {
      upstream: 'the key is ignored',
      reason: "Q11, INP-05: Fastify's parser refuses it; the reply is the one for a malformed body"
    }
  },
  {
    at: '1.13',
    name: 'register with a body over 16 KiB',
    steps: [
      {
        ...register({ ...newcomer('a@camelot.bt'), extra: 'x'.repeat(17_000) }),
        status: 413,
        body: detail('Payload Too Large')
      }
    ],
    differs: { upstream: 'no limit', reason: 'INP-08: bodies of the routes of the plugin have at most 16 KiB' }
  }
]

const logins: readonly WireRow[] = [
  { at: '1.5', name: 'bearer login', steps: [{ ...login({}), status: 200, body: BEARER }] },
  {
    at: '1.5',
    name: 'cookie login',
    variant: 'cookie-age',
    steps: [
      {
        ...login({}),
        send: 'POST /auth/cookie/login',
        status: 204,
        cookie: 'fastapiusersauth=<jwt>; HttpOnly; Max-Age=3600; Path=/; SameSite=lax; Secure'
      }
    ]
  },
  {
    at: '1.5',
    name: 'cookie login without a max age: a session cookie',
    steps: [
      {
        ...login({}),
        send: 'POST /auth/cookie/login',
        status: 204,
        cookie: 'fastapiusersauth=<jwt>; HttpOnly; Path=/; SameSite=lax; Secure'
      }
    ]
  },
  {
    at: '1.5',
    name: 'cookie login with configured cookie attributes',
    variant: 'cookie-own',
    steps: [
      {
        ...login({}),
        send: 'POST /auth/cookie/login',
        status: 204,
        cookie: 'sess=<jwt>; Domain=camelot.bt; Path=/x; SameSite=strict'
      }
    ]
  },
  {
    at: '1.5',
    name: 'cookie logout',
    steps: [{ send: 'POST /auth/cookie/logout', as: 'galahad:cookie', status: 204, cookie: CLEARED }],
    differs: {
      upstream: 'the cleared value is written as two double quotes',
      reason: '1.13: browsers treat an empty value and two double quotes equally'
    }
  },
  {
    at: '1.5',
    name: 'cookie logout with configured cookie attributes',
    variant: 'cookie-own',
    steps: [
      {
        send: 'POST /auth/cookie/logout',
        as: 'galahad',
        status: 204,
        cookie: 'sess=""; Domain=camelot.bt; Max-Age=0; Path=/x; SameSite=strict'
      }
    ]
  },
  {
    at: '1.5',
    name: 'login with all fields of OAuth 2',
    steps: [
      {
        ...login({ grant_type: 'password', scope: 'a b', client_id: 'x', client_secret: 'y' }),
        status: 200,
        body: BEARER
      }
    ]
  },
  {
    at: '1.5',
    name: 'login with an empty grant_type',
    steps: [{ ...login({ grant_type: '' }), status: 200, body: BEARER }]
  },
  {
    at: '1.12',
    name: 'login without a body',
    steps: [{ send: 'POST /auth/jwt/login', ...refuse(missing('username', null), missing('password', null)) }]
  },
  {
    at: '1.12',
    name: 'login with an empty form',
    steps: [{ send: 'POST /auth/jwt/login', form: {}, ...refuse(missing('username', null), missing('password', null)) }]
  },
  {
    at: '1.12',
    name: 'login without a password',
    steps: [
      { send: 'POST /auth/jwt/login', form: { username: 'galahad@camelot.bt' }, ...refuse(missing('password', null)) }
    ]
  },
  {
    at: '1.12',
    name: 'login without a username',
    steps: [{ send: 'POST /auth/jwt/login', form: { password: PASSWORD }, ...refuse(missing('username', null)) }]
  },
  {
    at: '1.12',
    name: 'login with empty text',
    steps: [
      { ...login({ username: '', password: '' }), ...refuse(missing('username', null), missing('password', null)) }
    ]
  },
  {
    at: '1.12',
    name: 'login with JSON',
    steps: [
      {
        send: 'POST /auth/jwt/login',
        json: { username: 'galahad@camelot.bt', password: PASSWORD },
        ...refuse(missing('username', null), missing('password', null))
      }
    ]
  },
  {
    at: '1.12',
    name: 'login with multipart',
    steps: [
      {
        send: 'POST /auth/jwt/login',
        multipart: { username: 'galahad@camelot.bt', password: PASSWORD },
        status: 200,
        body: BEARER
      }
    ]
  },
  {
    at: '1.13',
    name: 'login with only grant_type foo: its problem is the first',
    steps: [
      {
        send: 'POST /auth/jwt/login',
        form: { grant_type: 'foo' },
        ...refuse(noGrant('foo'), missing('username', null), missing('password', null))
      },
      {
        send: 'POST /auth/jwt/login',
        form: { username: 'galahad@camelot.bt', grant_type: 'foo' },
        ...refuse(noGrant('foo'), missing('password', null))
      }
    ]
  },
  {
    at: '1.12',
    name: 'login with grant_type foo',
    steps: [{ ...login({ grant_type: 'foo' }), ...refuse(noGrant('foo')) }]
  },
  {
    at: '1.12',
    name: 'login of an unknown user',
    steps: [{ ...login({ username: 'nobody@camelot.bt' }), status: 400, body: BAD_CREDENTIALS }]
  },
  {
    at: '1.12',
    name: 'login with a wrong password',
    steps: [{ ...login({ password: 'wrong' }), status: 400, body: BAD_CREDENTIALS }]
  },
  {
    at: '1.12',
    name: 'login of an inactive user',
    steps: [{ ...login({ username: 'mordred@camelot.bt' }), status: 400, body: BAD_CREDENTIALS }]
  },
  {
    at: '1.12',
    name: 'login with the e-mail in another case',
    steps: [{ ...login({ username: 'GALAHAD@CAMELOT.BT' }), status: 200, body: BEARER }]
  },
  {
    at: '1.12',
    name: 'login with blanks around the e-mail',
    steps: [{ ...login({ username: ' galahad@camelot.bt ' }), status: 200, body: BEARER }],
    differs: {
      upstream: '400 LOGIN_BAD_CREDENTIALS',
      reason: 'Q20: white space around an e-mail is removed by every route'
    }
  },
  {
    at: '1.12',
    name: 'login of an unverified user, with `requireVerification`',
    variant: 'verified',
    steps: [
      { ...login({ username: 'lancelot@camelot.bt' }), ...bad('LOGIN_USER_NOT_VERIFIED') },
      { ...login({ username: 'lancelot@camelot.bt', password: 'wrong' }), status: 400, body: BAD_CREDENTIALS }
    ]
  },
  {
    at: '1.12',
    name: 'login of an inactive, unverified user, with `requireVerification`',
    variant: 'verified',
    steps: [{ ...login({ username: 'mordred@camelot.bt' }), status: 400, body: BAD_CREDENTIALS }]
  },
  {
    at: '1.5',
    name: 'login with a username of 321 characters',
    steps: [
      {
        ...login({ username: 'a'.repeat(321) }),
        ...refuse({
          type: 'string_too_long',
          loc: ['body', 'username'],
          msg: 'String should have at most 320 characters',
          input: 'a'.repeat(321),
          ctx: { max_length: 320 }
        })
      }
    ],
    differs: {
      upstream: '400 LOGIN_BAD_CREDENTIALS',
      reason: 'INP-01, EML-06: e-mails longer than their column are refused before any look-up'
    }
  },
  {
    at: '1.5',
    name: 'login with a password over 1024 characters',
    steps: [
      {
        ...login({ password: 'a'.repeat(1025) }),
        ...refuse({
          type: 'value_error',
          loc: ['body', 'password'],
          msg: 'Value error, It must be well-formed text of at most 1024 bytes.',
          input: HIDDEN,
          ctx: { reason: 'It must be well-formed text of at most 1024 bytes.' }
        })
      }
    ],
    differs: {
      upstream: '400 LOGIN_BAD_CREDENTIALS',
      reason: 'PW-05: the length of a password is checked before any other work'
    }
  },
  {
    at: '1.12',
    name: 'two JWT logins in the same second',
    steps: [
      {
        ...login({}),
        before: async (context) => {
          context.kept.first = await context.login('jwt', 'galahad')
        },
        status: 200,
        body: BEARER,
        after: async (context) => (await context.login('jwt', 'galahad')) !== context.kept.first
      }
    ],
    differs: { upstream: 'the same token twice', reason: 'D17: each token has a different jti' }
  },
  {
    at: '1.13',
    name: 'login with a malformed form',
    steps: [
      { send: 'POST /auth/jwt/login', raw: { body: 'x', type: 'multipart/form-data' }, status: 400, body: noForm }
    ]
  },
  {
    at: '1.5',
    name: 'login with a repeated field',
    steps: [
      {
        send: 'POST /auth/jwt/login',
        raw: { body: 'username=a&username=b&password=c', type: 'application/x-www-form-urlencoded' },
        status: 400,
        body: noForm
      }
    ],
    differs: {
      upstream: 'one of the two values is used',
      reason: 'INP-03: a repeated field is refused, because a proxy may have checked the other value'
    }
  },
  {
    at: '1.5',
    name: 'cookie login by a form of another site',
    steps: [
      {
        ...login({}),
        send: 'POST /auth/cookie/login',
        headers: { 'sec-fetch-site': 'cross-site' },
        status: 403,
        body: FORBIDDEN,
        cookie: ''
      }
    ],
    differs: { upstream: '204, logged in', reason: 'Q7: the cross-site check (CSRF) is always on' }
  }
]

const logouts: readonly WireRow[] = [
  { at: '1.5', name: 'bearer logout', steps: [{ send: 'POST /auth/jwt/logout', as: 'galahad', status: 204 }] },
  {
    at: '1.12',
    name: 'logout without a token',
    steps: [
      { send: 'POST /auth/jwt/logout', status: 401, body: UNAUTHORIZED },
      { send: 'POST /auth/cookie/logout', status: 401, body: UNAUTHORIZED, cookie: '' }
    ]
  },
  {
    at: '1.12',
    name: 'logout of an inactive user',
    steps: [{ send: 'POST /auth/jwt/logout', as: 'mordred', status: 401, body: UNAUTHORIZED }]
  },
  {
    at: '1.12',
    name: 'logout of an unverified user, with `requireVerification`',
    variant: 'verified',
    steps: [{ send: 'POST /auth/jwt/logout', as: 'lancelot', status: 403, body: FORBIDDEN }]
  },
  {
    at: '1.5',
    name: 'logout with a JSON content type and no body',
    steps: [
      { send: 'POST /auth/jwt/logout', as: 'galahad', headers: { 'content-type': 'application/json' }, status: 204 }
    ]
  },
  {
    at: '1.5',
    name: 'logout with a body, which is ignored',
    steps: [
      { send: 'POST /auth/jwt/logout', as: 'galahad', raw: { body: '{"x"', type: 'application/json' }, status: 204 }
    ]
  },
  {
    at: '1.5',
    name: 'logout with a body of an unsupported content type',
    steps: [
      {
        send: 'POST /auth/jwt/logout',
        as: 'galahad',
        raw: { body: 'text', type: 'text/plain' },
        status: 415,
        body: detail('Unsupported Media Type')
      }
    ],
    differs: { upstream: '204', reason: 'INP-02: bodies of unsupported content types are refused' }
  },
  {
    at: '1.12',
    name: 'logout with a JWT, then the same JWT',
    steps: [
      { send: 'POST /auth/jwt/logout', as: 'galahad', status: 204 },
      { send: 'GET /users/me', as: 'galahad', status: 200, body: galahad }
    ]
  },
  {
    at: '1.12',
    name: 'logout with a stored token, then the same token, and logout again',
    steps: [
      {
        before: async (context) => {
          context.kept.db = await context.login('db', 'galahad')
        },
        send: 'POST /auth/db/logout',
        headers: ({ kept }) => bearer(String(kept.db)),
        status: 204
      },
      { send: 'GET /users/me', headers: ({ kept }) => bearer(String(kept.db)), status: 401, body: UNAUTHORIZED },
      { send: 'POST /auth/db/logout', headers: ({ kept }) => bearer(String(kept.db)), status: 401, body: UNAUTHORIZED }
    ]
  },
  {
    at: '1.5',
    name: 'logout of another backend with a stored token',
    steps: [
      {
        before: async (context) => {
          context.kept.db = await context.login('db', 'galahad')
        },
        send: 'POST /auth/jwt/logout',
        headers: ({ kept }) => bearer(String(kept.db)),
        status: 204
      },
      { send: 'GET /users/me', headers: ({ kept }) => bearer(String(kept.db)), status: 401, body: UNAUTHORIZED }
    ],
    differs: {
      upstream: '204, and the token stays valid',
      reason: 'D23: the strategy that authenticated the request ends the session'
    }
  },
  {
    at: '1.12',
    name: 'cookie logout with a bearer token',
    steps: [{ send: 'POST /auth/cookie/logout', as: 'galahad', status: 204, cookie: CLEARED }]
  }
]

/** Access tokens that FastAPI Users and the plugin accept. */
const accepted: readonly [string, (context: RowContext) => string][] = [
  ['the claims of FastAPI Users', ({ ids }) => access({ sub: ids.galahad })],
  ['aud as text', ({ ids }) => access({ sub: ids.galahad, aud: 'fastapi-users:auth' })],
  [
    'aud as a list that contains the expected one',
    ({ ids }) => access({ sub: ids.galahad, aud: ['other', 'fastapi-users:auth'] })
  ],
  ['further claims', ({ ids }) => access({ sub: ids.galahad, iss: 'x', roles: ['y'] })],
  ['no typ', ({ ids }) => access({ sub: ids.galahad }, { alg: 'HS256' })],
  ['exp with a fraction', ({ ids }) => access({ sub: ids.galahad, exp: CENTURY + 0.5 })],
  ['no exp', ({ ids }) => access({ sub: ids.galahad, exp: undefined })],
  ['iat and nbf in the past', ({ ids }) => access({ sub: ids.galahad, iat: 1, nbf: 1 })]
]
/** Access tokens that FastAPI Users and the plugin refuse. */
const refused: readonly [string, (context: RowContext) => string][] = [
  ['no aud', ({ ids }) => access({ sub: ids.galahad, aud: undefined })],
  ['empty aud', ({ ids }) => access({ sub: ids.galahad, aud: [] })],
  ['wrong aud', ({ ids }) => access({ sub: ids.galahad, aud: ['other'] })],
  ['expired', ({ ids, now }) => access({ sub: ids.galahad, exp: now - 1 })],
  ['unreadable exp', ({ ids }) => access({ sub: ids.galahad, exp: 'soon' })],
  ['nbf in the future', ({ ids, now }) => access({ sub: ids.galahad, nbf: now + 3600 })],
  ['iat in the future', ({ ids, now }) => access({ sub: ids.galahad, iat: now + 3600 })],
  ['iat that is not an integer', ({ ids }) => access({ sub: ids.galahad, iat: 'then' })],
  ['jti that is not text', ({ ids }) => access({ sub: ids.galahad, jti: 7 })],
  ['sub that is not text', () => access({ sub: 7 })],
  ['another HMAC size', ({ ids }) => access({ sub: ids.galahad }, { alg: 'HS512', typ: 'JWT' })],
  ['alg none', ({ ids }) => access({ sub: ids.galahad }, { alg: 'none', typ: 'JWT' })],
  ['unknown crit', ({ ids }) => access({ sub: ids.galahad }, { alg: 'HS256', typ: 'JWT', crit: ['x'], x: 1 })],
  ['a payload that is not an object', () => signLikePython([1], SECRETS.auth)],
  ['an extra segment', ({ ids }) => `${access({ sub: ids.galahad })}.e30`],
  ['the claim user_id of old versions', ({ ids }) => access({ user_id: ids.galahad })],
  ['another secret', ({ ids }) => signLikePython({ sub: ids.galahad, aud: AUDIENCE, exp: CENTURY }, SECRETS.reset)],
  ['a sub that is not an id', () => access({ sub: 'king' })],
  ['a sub without a user', () => access({ sub: '00000000-0000-4000-8000-000000000000' })],
  [
    'a reset token that is signed with the same secret',
    ({ ids }) => reset({ sub: ids.galahad, password_fgpt: 'x' }, SECRETS.auth)
  ],
  [
    'a verify token that is signed with the same secret',
    ({ ids }) => verify({ sub: ids.galahad, email: 'galahad@camelot.bt' }, SECRETS.auth)
  ]
]
/** Access tokens that FastAPI Users accepts and the plugin refuses, with the reason. */
const stricter: readonly [string, (context: RowContext) => string, string][] = [
  ['exp as text with digits', ({ ids }) => access({ sub: ids.galahad, exp: String(CENTURY) }), SECURITY_JWT_05],
  ['padding', ({ ids }) => `${access({ sub: ids.galahad })}=`, SECURITY_JWT_04],
  [
    'a sub in capitals',
    ({ ids }) => access({ sub: ids.galahad.toUpperCase() }),
    'JWT-05: only the canonical form of an id is accepted, which FastAPI Users and the plugin write'
  ]
]
const me = (headers: Step['headers'], reply: Pick<Step, 'status' | 'body'>): Step => ({
  send: 'GET /users/me',
  ...(headers === undefined ? {} : { headers }),
  ...reply
})
const NOBODY = { status: 401, body: UNAUTHORIZED }

const sessions: readonly WireRow[] = [
  ...accepted.map(([name, make]): WireRow => ({
    at: '1.12',
    name: `JWT: ${name}`,
    steps: [me((context) => bearer(make(context)), { status: 200, body: galahad })]
  })),
  ...refused.map(([name, make]): WireRow => ({
    at: '1.12',
    name: `JWT: ${name}`,
    steps: [me((context) => bearer(make(context)), NOBODY)]
  })),
  ...stricter.map(([name, make, reason]): WireRow => ({
    at: '1.12',
    name: `JWT: ${name}`,
    steps: [me((context) => bearer(make(context)), NOBODY)],
    differs: { upstream: '200', reason }
  })),
  {
    at: '1.12',
    name: 'JWT of a deleted user',
    steps: [
      {
        ...me(({ ids }) => bearer(access({ sub: ids.galahad })), NOBODY),
        before: (context) => context.remove('galahad')
      }
    ]
  },
  { at: '1.12', name: 'me without a token', steps: [me({}, NOBODY)] },
  { at: '1.12', name: 'me with a bad token', steps: [me(bearer('x'), NOBODY), me(bearer('a.b.c'), NOBODY)] },
  { at: '1.12', name: 'me with another scheme', steps: [me({ authorization: 'Basic eDp5' }, NOBODY)] },
  {
    at: '1.12',
    name: 'me with an empty bearer value',
    steps: [me({ authorization: 'Bearer ' }, NOBODY), me({ authorization: 'Bearer' }, NOBODY)]
  },
  {
    at: '1.12',
    name: 'me with the scheme in lower case',
    steps: [
      me(({ ids }) => ({ authorization: `bearer ${access({ sub: ids.galahad })}` }), { status: 200, body: galahad })
    ]
  },
  {
    at: '1.12',
    name: 'me with two blanks after the scheme',
    steps: [me(({ ids }) => ({ authorization: `Bearer  ${access({ sub: ids.galahad })}` }), NOBODY)],
    differs: { upstream: '200', reason: SECURITY_BR_01 }
  },
  {
    at: '1.12',
    name: 'me with an invalid bearer token and a valid cookie',
    steps: [
      me(({ ids }) => ({ ...bearer('a.b.c'), ...cookie(access({ sub: ids.galahad })) }), { status: 200, body: galahad })
    ]
  },
  {
    at: '1.12',
    name: 'me with the bearer token of an inactive user and the cookie of another user',
    steps: [
      me(({ ids }) => ({ ...bearer(access({ sub: ids.mordred })), ...cookie(access({ sub: ids.galahad })) }), NOBODY)
    ]
  },
  {
    at: '1.12',
    name: 'me with the bearer token of one user and the cookie of another user',
    steps: [
      me(({ ids }) => ({ ...bearer(access({ sub: ids.galahad })), ...cookie(access({ sub: ids.arthur })) }), {
        status: 200,
        body: galahad
      })
    ]
  },
  {
    at: '1.12',
    name: 'me with the same cookie twice: the last one is used',
    steps: [
      me(
        ({ ids }) => ({
          cookie: `fastapiusersauth=${access({ sub: ids.arthur })}; fastapiusersauth=${access({ sub: ids.galahad })}`
        }),
        { status: 200, body: galahad }
      ),
      me(({ ids }) => ({ cookie: `fastapiusersauth=${access({ sub: ids.arthur })}; fastapiusersauth=x` }), NOBODY)
    ]
  },
  {
    at: '1.12',
    name: 'me with a token that an earlier backend refuses, while the store of a later one is down',
    variant: 'broken-store',
    steps: [
      me(bearer('a.b.c'), { status: 503, body: detail('Service Unavailable') }),
      me(({ ids }) => bearer(access({ sub: ids.galahad })), { status: 200, body: galahad })
    ],
    differs: { upstream: '500', reason: 'D34: 503, because a retry can help; the request is never anonymous' }
  },
  {
    at: '1.9',
    name: 'me of an unverified user, with `requireVerification`',
    variant: 'verified',
    steps: [
      { send: 'GET /users/me', as: 'lancelot', status: 403, body: FORBIDDEN },
      { send: 'PATCH /users/me', as: 'lancelot', json: {}, status: 403, body: FORBIDDEN }
    ]
  },
  {
    at: '1.9',
    name: 'me',
    steps: [
      { send: 'GET /users/me', as: 'lancelot', status: 200, body: lancelot },
      { send: 'GET /users/me', as: 'arthur:cookie', status: 200, body: arthur },
      { send: 'GET /users/me', as: 'mordred', ...NOBODY }
    ]
  }
]

const mine = (json: Step['json'], reply: Pick<Step, 'status' | 'body'>): Step => ({
  send: 'PATCH /users/me',
  as: 'galahad',
  json,
  ...reply
})
const same = { status: 200, body: galahad }

const profiles: readonly WireRow[] = [
  {
    at: '1.12',
    name: 'PATCH me unauthenticated with a bad body',
    steps: [
      { send: 'PATCH /users/me', json: { email: 7 }, ...NOBODY },
      { send: 'PATCH /users/me', raw: { body: '{"x', type: 'application/json' }, ...NOBODY }
    ]
  },
  {
    at: '1.12',
    name: 'PATCH me without a body',
    steps: [{ send: 'PATCH /users/me', as: 'galahad', ...refuse(missing(null, null)) }]
  },
  { at: '1.12', name: 'PATCH me with an array', steps: [mine([], refuse(noObject([])))] },
  {
    at: '1.9',
    name: 'PATCH me with {}: listeners hear of it',
    steps: [
      {
        ...mine({}, same),
        after: (context) =>
          JSON.stringify(
            context.eventsNamed('onAfterUpdate').map((event) => (event as { changes: object }).changes)
          ) === '[{}]'
      }
    ]
  },
  {
    at: '1.12',
    name: 'PATCH me with flags',
    steps: [mine({ is_superuser: true, is_active: false, is_verified: false }, same)]
  },
  { at: '1.12', name: 'PATCH me with the same e-mail', steps: [mine({ email: 'galahad@camelot.bt' }, same)] },
  {
    at: '1.12',
    name: 'PATCH me with the same e-mail in another case',
    steps: [
      mine({ email: 'Galahad@camelot.bt' }, { status: 200, body: user('Galahad@camelot.bt', { is_verified: true }) })
    ],
    differs: {
      upstream: '400 UPDATE_USER_EMAIL_ALREADY_EXISTS',
      reason: 'D3: another spelling of the same e-mail is not a duplicate'
    }
  },
  {
    at: '1.12',
    name: 'PATCH me with the e-mail of another user',
    steps: [
      mine({ email: 'arthur@camelot.bt' }, bad('UPDATE_USER_EMAIL_ALREADY_EXISTS')),
      mine({ email: 'ARTHUR@camelot.bt' }, bad('UPDATE_USER_EMAIL_ALREADY_EXISTS'))
    ]
  },
  {
    at: '1.12',
    name: 'PATCH me with a new e-mail',
    steps: [mine({ email: 'new@camelot.bt' }, { status: 200, body: user('new@camelot.bt') })]
  },
  {
    at: '1.12',
    name: 'PATCH me with a new e-mail and the switch on: locked out until verified',
    variant: 'verified',
    steps: [
      mine({ email: 'new@camelot.bt' }, { status: 200, body: user('new@camelot.bt') }),
      { send: 'GET /users/me', as: 'galahad', status: 403, body: FORBIDDEN }
    ]
  },
  {
    at: '1.12',
    name: 'PATCH me with null as password: it stays',
    steps: [
      {
        ...mine({ password: null }, same),
        after: (context) =>
          JSON.stringify(
            context.eventsNamed('onAfterUpdate').map((event) => (event as { changes: object }).changes)
          ) === '[{}]'
      },
      { ...login({}), status: 200, body: BEARER }
    ],
    differs: {
      upstream: 'the listener receives { password: null }',
      reason: 'D20: listeners receive only real changes, and there is none; the reply is equal'
    }
  },
  {
    at: '1.12',
    name: 'PATCH me with an empty password',
    variant: 'policy',
    steps: [
      mine(
        { password: '' },
        { status: 400, body: detail({ code: 'UPDATE_USER_INVALID_PASSWORD', reason: 'Too short' }) }
      )
    ]
  },
  { at: '1.12', name: 'PATCH me with an empty password, without a policy', steps: [mine({ password: '' }, same)] },
  {
    at: '1.12',
    name: 'PATCH me with null as e-mail',
    steps: [mine({ email: null }, refuse(noString('email', null)))],
    differs: { upstream: '500', reason: 'D1: 422 as for every other value that is not text' }
  },
  {
    at: '1.12',
    name: 'PATCH me with a good e-mail and a bad password: nothing is written',
    variant: 'policy',
    steps: [
      mine(
        { email: 'new@camelot.bt', password: 'no' },
        { status: 400, body: detail({ code: 'UPDATE_USER_INVALID_PASSWORD', reason: 'Too short' }) }
      ),
      { send: 'GET /users/me', as: 'galahad', ...same }
    ]
  },
  {
    at: '1.12',
    name: 'PATCH me with a hash',
    steps: [mine({ hashed_password: 'x' }, same), { ...login({}), status: 200, body: BEARER }]
  },
  {
    at: '1.13',
    name: 'PATCH me with several problems',
    steps: [
      mine(
        { email: 'x', password: 7, is_active: 'maybe' },
        refuse(noString('password', HIDDEN), noEmail('x'), noBoolean('is_active', 'maybe'))
      )
    ],
    differs: { upstream: 'input is the password that was sent', reason: 'D14: secrets are redacted' }
  },
  {
    at: '1.9',
    name: 'PATCH me with a new password: JWTs of the Python service go on, ours end',
    steps: [
      {
        ...mine({ password: 'excalibur-3' }, same),
        before: async (context) => {
          context.kept.ours = await context.login('jwt', 'galahad')
          context.kept.db = await context.login('db', 'galahad')
        }
      },
      { send: 'GET /users/me', as: 'galahad', ...same },
      me(({ kept }) => bearer(String(kept.ours)), NOBODY),
      me(({ kept }) => bearer(String(kept.db)), NOBODY)
    ],
    differs: {
      upstream: 'all sessions stay valid',
      reason: 'D18: a password change ends every session that carries a stamp, and all stored ones'
    }
  },
  {
    at: '1.9',
    name: 'PATCH me by a cookie from another site',
    steps: [
      {
        ...mine({}, { status: 403, body: FORBIDDEN }),
        as: 'galahad:cookie',
        headers: { origin: 'https://evil.example', host: 'localhost' }
      }
    ],
    differs: { upstream: '200', reason: 'Q7: the cross-site check (CSRF) is always on' }
  },
  {
    at: '1.9',
    name: 'PATCH me by a bearer token from another site',
    steps: [{ ...mine({}, same), headers: { origin: 'https://evil.example', host: 'localhost' } }]
  }
]

const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000'
const VERBS = ['GET', 'PATCH', 'DELETE'] as const

const byId: readonly WireRow[] = [
  ...VERBS.map((verb): WireRow => ({
    at: '1.12',
    name: `${verb} id without a token, or inactive`,
    steps: [
      { send: `${verb} /users/{galahad}`, ...NOBODY },
      { send: `${verb} /users/{galahad}`, as: 'mordred', ...NOBODY }
    ]
  })),
  ...VERBS.map((verb): WireRow => ({
    at: '1.12',
    name: `${verb} id by a normal user, even an unknown id or with a bad body`,
    steps: ['{arthur}', UNKNOWN_ID, 'x'].map((id): Step => ({
      send: `${verb} /users/${id}`,
      as: 'galahad',
      status: 403,
      body: FORBIDDEN,
      ...(verb === 'PATCH' ? { raw: { body: '{"x', type: 'application/json' } } : {})
    }))
  })),
  ...VERBS.map((verb): WireRow => ({
    at: '1.12',
    name: `${verb} id by a superuser: unknown or malformed, even with a bad or absent body`,
    steps: [UNKNOWN_ID, 'x', '42'].flatMap((id): Step[] => [
      { send: `${verb} /users/${id}`, as: 'arthur', status: 404, body: NOT_FOUND },
      ...(verb === 'PATCH'
        ? [
            {
              send: `PATCH /users/${id}`,
              as: 'arthur' as const,
              raw: { body: '{"x', type: 'application/json' },
              status: 404,
              body: NOT_FOUND
            }
          ]
        : [])
    ])
  })),
  {
    at: '1.9',
    name: 'GET id in all forms of a UUID',
    steps: [
      (id: string) => id,
      (id: string) => id.toUpperCase(),
      (id: string) => id.replaceAll('-', ''),
      (id: string) => encodeURIComponent(`{${id}}`),
      (id: string) => `urn:uuid:${id}`
    ].map((form): Step => ({
      send: 'GET /users/{form}',
      before: async (context) => {
        context.kept.form = form(context.ids.galahad)
      },
      as: 'arthur',
      ...same
    }))
  },
  {
    at: '1.9',
    name: 'PATCH id: flags count',
    steps: [
      {
        send: 'PATCH /users/{lancelot}',
        as: 'arthur',
        json: { is_verified: true, is_superuser: true, is_active: false },
        status: 200,
        body: user('lancelot@camelot.bt', { is_active: false, is_superuser: true, is_verified: true })
      }
    ]
  },
  {
    at: '1.9',
    name: 'PATCH id: the id does not',
    steps: [{ send: 'PATCH /users/{galahad}', as: 'arthur', json: { id: UNKNOWN_ID }, ...same }]
  },
  {
    at: '1.9',
    name: 'PATCH id: is_verified in the body wins over a new e-mail, in either order',
    steps: [
      {
        send: 'PATCH /users/{galahad}',
        as: 'arthur',
        json: { is_verified: true, email: 'a@camelot.bt' },
        status: 200,
        body: user('a@camelot.bt', { is_verified: true })
      },
      {
        send: 'PATCH /users/{galahad}',
        as: 'arthur',
        json: { email: 'b@camelot.bt', is_verified: true },
        status: 200,
        body: user('b@camelot.bt', { is_verified: true })
      }
    ]
  },
  {
    at: '1.12',
    name: 'PATCH id: is_active null',
    steps: [{ send: 'PATCH /users/{galahad}', as: 'arthur', json: { is_active: null }, ...same }],
    differs: { upstream: '500', reason: 'D2: null does not change the flag' }
  },
  {
    at: '1.9',
    name: 'PATCH id: body, then rule',
    steps: [
      {
        send: 'PATCH /users/{galahad}',
        as: 'arthur',
        json: { email: 'lancelot@camelot.bt', is_active: 'maybe' },
        ...refuse(noBoolean('is_active', 'maybe'))
      },
      {
        send: 'PATCH /users/{galahad}',
        as: 'arthur',
        json: { email: 'lancelot@camelot.bt' },
        ...bad('UPDATE_USER_EMAIL_ALREADY_EXISTS')
      },
      { send: 'PATCH /users/{galahad}', as: 'arthur', ...refuse(missing(null, null)) }
    ]
  },
  {
    at: '1.9',
    name: 'PATCH id: a refused password',
    variant: 'policy',
    steps: [
      {
        send: 'PATCH /users/{galahad}',
        as: 'arthur',
        json: { password: 'no' },
        status: 400,
        body: detail({ code: 'UPDATE_USER_INVALID_PASSWORD', reason: 'Too short' })
      }
    ]
  },
  {
    at: '1.9',
    name: 'a superuser demotes itself',
    steps: [{ send: 'PATCH /users/{arthur}', as: 'arthur', json: { is_superuser: false }, ...bad('LAST_SUPERUSER') }],
    differs: { upstream: '200', reason: 'Q22: the last active superuser cannot be removed' }
  },
  {
    at: '1.9',
    name: 'a superuser demotes itself while there is another one',
    steps: [
      {
        send: 'PATCH /users/{arthur}',
        before: (context) => context.change('galahad', { is_superuser: true }),
        as: 'arthur',
        json: { is_superuser: false },
        status: 200,
        body: { ...arthur, is_superuser: false }
      },
      { send: 'GET /users/{arthur}', as: 'arthur', status: 403, body: FORBIDDEN }
    ]
  },
  {
    at: '1.12',
    name: 'DELETE id',
    steps: [
      { send: 'DELETE /users/{galahad}', as: 'arthur', headers: { 'content-type': 'application/json' }, status: 204 },
      { send: 'GET /users/{galahad}', as: 'arthur', status: 404, body: NOT_FOUND }
    ]
  },
  {
    at: '1.9',
    name: 'a superuser deletes itself',
    steps: [{ send: 'DELETE /users/{arthur}', as: 'arthur', ...bad('LAST_SUPERUSER') }],
    differs: { upstream: '204', reason: 'Q22: the last active superuser cannot be removed' }
  },
  {
    at: '1.9',
    name: 'a superuser deletes itself while there is another one',
    steps: [
      {
        send: 'DELETE /users/{arthur}',
        before: (context) => context.change('galahad', { is_superuser: true }),
        as: 'arthur',
        status: 204
      },
      { send: 'GET /users/me', as: 'arthur', ...NOBODY }
    ]
  },
  {
    at: '1.9',
    name: 'DELETE me falls into the id',
    steps: [
      { send: 'DELETE /users/me', as: 'arthur', status: 404, body: NOT_FOUND },
      { send: 'DELETE /users/me', as: 'galahad', status: 403, body: FORBIDDEN }
    ]
  },
  {
    at: '1.9',
    name: 'by id, an unverified superuser, with `requireVerification`',
    variant: 'verified',
    steps: [
      {
        send: 'GET /users/{galahad}',
        before: (context) => context.change('lancelot', { is_superuser: true }),
        as: 'lancelot',
        status: 403,
        body: FORBIDDEN
      }
    ]
  },
  {
    at: '1.12',
    name: 'DELETE a user with OAuth accounts',
    variant: 'fixture',
    steps: [{ send: 'DELETE /users/{galahad}', as: 'arthur', status: 204 }],
    differs: { upstream: '500 with the documented model', reason: 'D12: the account rows are deleted with the user' }
  }
]

const BAD_RESET = bad('RESET_PASSWORD_BAD_TOKEN')
const DONE = { status: 200, body: null }
const keep =
  (key: string, who: Actor = 'galahad', purpose: 'reset' | 'verify' = 'reset') =>
    async (context: RowContext): Promise<void> => {
      context.kept[key] = await context.requestToken(purpose, who)
    }
const use = (key: string, password = 'excalibur-3'): Pick<Step, 'send' | 'json'> => ({
  send: RESET,
  json: ({ kept }: RowContext) => ({ token: kept[key], password })
})

const resets: readonly WireRow[] = [
  {
    at: '1.12',
    name: 'forgot: unknown, inactive, known, other case',
    steps: ['nobody@camelot.bt', 'mordred@camelot.bt', 'galahad@camelot.bt', 'GALAHAD@camelot.bt'].map(
      (email): Step => ({ send: FORGOT, json: { email }, ...ACCEPTED })
    )
  },
  {
    at: '1.7',
    name: 'forgot: listeners are called for known and active users only',
    steps: ['nobody@camelot.bt', 'mordred@camelot.bt', 'galahad@camelot.bt'].map((email, i): Step => ({
      send: FORGOT,
      json: { email },
      ...ACCEPTED,
      async after (context) {
        await context.settled()
        return context.eventsNamed('onAfterForgotPassword').length === (i === 2 ? 1 : 0)
      }
    })),
    differs: {
      upstream: 'the listener is awaited before the reply',
      reason: 'D13, RST-01: token and listeners follow the reply, so that its time does not reveal the user'
    }
  },
  {
    at: '1.12',
    name: 'forgot with {}, text, null, nothing',
    steps: [
      { send: FORGOT, json: {}, ...refuse(missing('email', null)) },
      ...['"text"', 'null', ''].map((body): Step => ({
        send: FORGOT,
        raw: { body, type: 'application/json' },
        ...refuse(missing('email', null))
      })),
      { send: FORGOT, ...refuse(missing('email', null)) }
    ]
  },
  {
    at: '1.13',
    name: 'null for a parameter of a body counts as missing',
    steps: [
      ...[FORGOT, ASK_VERIFY].map((route): Step => ({
        send: route,
        json: { email: null },
        ...refuse(missing('email', null))
      })),
      { send: VERIFY, json: { token: null }, ...refuse(missing('token', null)) },
      {
        send: RESET,
        json: { token: null, password: null },
        ...refuse(missing('token', null), missing('password', null))
      },
      {
        send: RESET,
        json: { token: null, password: 7 },
        ...refuse(missing('token', null), noString('password', HIDDEN))
      }
    ]
  },
  {
    at: '1.7',
    name: 'forgot with white space around the e-mail',
    steps: [
      {
        send: FORGOT,
        json: { email: ' galahad@camelot.bt ' },
        ...ACCEPTED,
        after: async (context) => {
          await context.settled()
          return context.eventsNamed('onAfterForgotPassword').length === 1
        }
      }
    ]
  },
  {
    at: '1.7',
    name: 'forgot with text that is not an e-mail',
    steps: [
      { send: FORGOT, json: { email: 'x' }, ...refuse(noEmail('x')) },
      { send: FORGOT, json: { email: 7 }, ...refuse(noString('email', 7)) }
    ]
  },
  {
    at: '1.7',
    name: 'reset',
    steps: [
      { ...use('token'), before: keep('token'), ...DONE },
      { ...login({ password: 'excalibur-3' }), status: 200, body: BEARER },
      { ...login({}), status: 400, body: BAD_CREDENTIALS }
    ]
  },
  {
    at: '1.7',
    name: 'reset: JWTs of the Python service stay valid, sessions of the plugin end',
    steps: [
      {
        ...use('token'),
        before: async (context) => {
          context.kept.ours = await context.login('jwt', 'galahad')
          context.kept.db = await context.login('db', 'galahad')
          await keep('token')(context)
        },
        ...DONE
      },
      { send: 'GET /users/me', as: 'galahad', ...same },
      me(({ kept }) => bearer(String(kept.ours)), NOBODY),
      me(({ kept }) => bearer(String(kept.db)), NOBODY)
    ],
    differs: {
      upstream: 'all sessions stay valid',
      reason: 'D18: a reset ends every session that carries a stamp, and all stored ones'
    }
  },
  {
    at: '1.7',
    name: 'reset with {}',
    steps: [{ send: RESET, json: {}, ...refuse(missing('token', null), missing('password', null)) }]
  },
  {
    at: '1.7',
    name: 'reset with a number as token',
    steps: [{ send: RESET, json: { token: 7, password: 'x' }, ...refuse(noString('token', HIDDEN)) }],
    differs: { upstream: 'input is the token that was sent', reason: 'D14: secrets are redacted' }
  },
  {
    at: '1.7',
    name: 'reset with an empty token',
    steps: [{ send: RESET, json: { token: '', password: 'x' }, ...refuse(tooShort('token')) }],
    differs: NO_EMPTY_TOKEN
  },
  {
    at: '1.12',
    name: 'reset token used again, even for the same password',
    steps: [
      { ...use('token', PASSWORD), before: keep('token'), ...DONE },
      { ...use('token', PASSWORD), ...BAD_RESET }
    ]
  },
  {
    at: '1.12',
    name: 'two unused reset tokens: the first is used, then the second',
    steps: [
      {
        ...use('one'),
        before: async (context) => {
          await keep('one')(context)
          await keep('two')(context)
        },
        ...DONE
      },
      { ...use('two'), ...BAD_RESET }
    ]
  },
  {
    at: '1.12',
    name: 'reset token after a login replaced an old hash',
    steps: [
      {
        ...login({}),
        before: async (context) => {
          await context.makeOldHash('galahad')
          await keep('token')(context)
        },
        status: 200,
        body: BEARER
      },
      { ...use('token'), ...BAD_RESET }
    ]
  },
  {
    at: '1.12',
    name: 'reset token after a change of the e-mail',
    steps: [
      {
        ...use('token'),
        before: async (context) => {
          await keep('token')(context)
          await context.change('galahad', { email: 'new@camelot.bt' })
        },
        ...BAD_RESET
      }
    ],
    differs: { upstream: '200', reason: 'Q23, RST-05: a token that was mailed to the old e-mail is invalid' }
  },
  {
    at: '1.12',
    name: 'reset for a user who became inactive',
    steps: [
      {
        ...use('token'),
        before: async (context) => {
          await keep('token')(context)
          await context.change('galahad', { is_active: false })
        },
        ...BAD_RESET
      }
    ]
  },
  ...(
    [
      ['bad signature', ({ ids }) => reset({ sub: ids.galahad, password_fgpt: 'x' }, SECRETS.verify)],
      ['wrong audience', ({ ids }) => verify({ sub: ids.galahad, password_fgpt: 'x' }, SECRETS.reset)],
      ['expired', ({ ids, now }) => reset({ sub: ids.galahad, password_fgpt: 'x', exp: now - 1 })],
      ['no sub', () => reset({ password_fgpt: 'x' })],
      ['a sub that is not an id', () => reset({ sub: 'king', password_fgpt: 'x' })],
      ['an unknown user', () => reset({ sub: UNKNOWN_ID, password_fgpt: 'x' })],
      ['no fingerprint', ({ ids }) => reset({ sub: ids.galahad })],
      ['text that is not a token', () => 'x']
    ] satisfies [string, (context: RowContext) => string][]
  ).map(([name, make]): WireRow => ({
    at: '1.7',
    name: `reset token: ${name}`,
    steps: [{ send: RESET, json: (context: RowContext) => ({ token: make(context), password: 'x' }), ...BAD_RESET }]
  })),
  ...['x', '$argon2id$v=19$m=8,t=1,p=1$broken', '$2b$12$x', ''].map((print): WireRow => ({
    at: '1.12',
    name: `reset with the fingerprint ${JSON.stringify(print)}`,
    steps: [
      {
        send: RESET,
        json: ({ ids }: RowContext) => ({ token: reset({ sub: ids.galahad, password_fgpt: print }), password: 'x' }),
        ...BAD_RESET
      }
    ],
    differs: { upstream: '500', reason: 'D5: a fingerprint that is not a hash is invalid' }
  })),
  {
    at: '1.12',
    name: 'reset token without exp',
    steps: [
      {
        send: RESET,
        before: async (context) => {
          context.kept.token = resigned(await context.requestToken('reset', 'galahad'), SECRETS.reset)
        },
        json: ({ kept }: RowContext) => ({ token: kept.token, password: 'excalibur-3' }),
        ...DONE
      }
    ]
  },
  {
    at: '1.7',
    name: 'reset with a password that the policy refuses: the token stays valid',
    variant: 'policy',
    steps: [
      {
        ...use('token', 'no'),
        before: keep('token'),
        status: 400,
        body: detail({ code: 'RESET_PASSWORD_INVALID_PASSWORD', reason: 'Too short' })
      },
      { ...use('token'), ...DONE }
    ]
  },
  {
    at: '1.7',
    name: 'reset with an invalid token and a refused password: the token is checked first',
    variant: 'policy',
    steps: [{ send: RESET, json: { token: 'x', password: 'no' }, ...BAD_RESET }]
  },
  {
    at: '1.7',
    name: 'reset: fires the event of the reset and no event of an update',
    steps: [
      {
        ...use('token'),
        before: keep('token'),
        ...DONE,
        after: (context) =>
          context.eventsNamed('onAfterResetPassword').length === 1 && context.eventsNamed('onAfterUpdate').length === 0
      }
    ]
  },
  {
    at: '1.12',
    name: 'reset of a user who has only an OAuth account',
    variant: 'fixture',
    steps: [
      { ...use('token'), before: keep('token'), ...DONE },
      { ...login({ password: 'excalibur-3' }), status: 200, body: BEARER }
    ]
  }
]

const BAD_VERIFY = bad('VERIFY_USER_BAD_TOKEN')
const prove = (key: string): Pick<Step, 'send' | 'json'> => ({
  send: VERIFY,
  json: ({ kept }: RowContext) => ({ token: kept[key] })
})
const verified = { status: 200, body: user('lancelot@camelot.bt', { is_verified: true }) }

const verifications: readonly WireRow[] = [
  {
    at: '1.8',
    name: 'request-verify: unknown, inactive, verified, known',
    steps: ['nobody@camelot.bt', 'mordred@camelot.bt', 'galahad@camelot.bt', 'lancelot@camelot.bt'].map(
      (email): Step => ({ send: ASK_VERIFY, json: { email }, ...ACCEPTED })
    )
  },
  {
    at: '1.8',
    name: 'request-verify: only active, unverified users get a token',
    steps: [
      {
        send: ASK_VERIFY,
        json: { email: 'galahad@camelot.bt' },
        ...ACCEPTED,
        after: (context) => context.eventsNamed('onAfterRequestVerify').length === 0
      },
      {
        send: ASK_VERIFY,
        json: { email: 'mordred@camelot.bt' },
        ...ACCEPTED,
        after: (context) => context.eventsNamed('onAfterRequestVerify').length === 0
      }
    ]
  },
  {
    at: '1.8',
    name: 'request-verify with {}',
    steps: [{ send: ASK_VERIFY, json: {}, ...refuse(missing('email', null)) }]
  },
  {
    at: '1.8',
    name: 'verify',
    steps: [{ ...prove('token'), before: keep('token', 'lancelot', 'verify'), ...verified }]
  },
  { at: '1.8', name: 'verify with {}', steps: [{ send: VERIFY, json: {}, ...refuse(missing('token', null)) }] },
  {
    at: '1.8',
    name: 'verify with an empty token',
    steps: [{ send: VERIFY, json: { token: '' }, ...refuse(tooShort('token')) }],
    differs: NO_EMPTY_TOKEN
  },
  {
    at: '1.12',
    name: 'verify twice',
    steps: [
      { ...prove('token'), before: keep('token', 'lancelot', 'verify'), ...verified },
      { ...prove('token'), ...bad('VERIFY_USER_ALREADY_VERIFIED') }
    ]
  },
  {
    at: '1.12',
    name: 'verify after a change of the e-mail',
    steps: [
      {
        ...prove('token'),
        before: async (context) => {
          await keep('token', 'lancelot', 'verify')(context)
          await context.change('lancelot', { email: 'new@camelot.bt' })
        },
        ...BAD_VERIFY
      }
    ]
  },
  {
    at: '1.12',
    name: 'verify with the id of one user and the e-mail of another user',
    steps: [
      {
        send: VERIFY,
        json: ({ ids }: RowContext) => ({ token: verify({ sub: ids.galahad, email: 'lancelot@camelot.bt' }) }),
        ...BAD_VERIFY
      }
    ]
  },
  {
    at: '1.12',
    name: 'verify an inactive user',
    steps: [
      {
        send: VERIFY,
        json: ({ ids }: RowContext) => ({ token: verify({ sub: ids.mordred, email: 'mordred@camelot.bt' }) }),
        ...BAD_VERIFY
      }
    ],
    differs: {
      upstream: '200, and the user stays inactive',
      reason: 'LOG-04: a deactivated user cannot change anything, and its tokens are invalid'
    }
  },
  {
    at: '1.8',
    name: 'verify with the e-mail in another case',
    steps: [
      {
        send: VERIFY,
        json: ({ ids }: RowContext) => ({ token: verify({ sub: ids.lancelot, email: 'LANCELOT@camelot.bt' }) }),
        ...verified
      }
    ]
  },
  ...(
    [
      ['undecodable', () => 'x'],
      ['expired', ({ ids, now }) => verify({ sub: ids.lancelot, email: 'lancelot@camelot.bt', exp: now - 1 })],
      ['wrong audience', ({ ids }) => reset({ sub: ids.lancelot, email: 'lancelot@camelot.bt' }, SECRETS.verify)],
      ['bad signature', ({ ids }) => verify({ sub: ids.lancelot, email: 'lancelot@camelot.bt' }, SECRETS.reset)],
      ['no sub', () => verify({ email: 'lancelot@camelot.bt' })],
      ['no email', ({ ids }) => verify({ sub: ids.lancelot })],
      ['an e-mail without a user', ({ ids }) => verify({ sub: ids.lancelot, email: 'nobody@camelot.bt' })],
      ['a sub that is not an id', () => verify({ sub: 'king', email: 'lancelot@camelot.bt' })]
    ] satisfies [string, (context: RowContext) => string][]
  ).map(([name, make]): WireRow => ({
    at: '1.8',
    name: `verify token: ${name}`,
    steps: [{ send: VERIFY, json: (context: RowContext) => ({ token: make(context) }), ...BAD_VERIFY }]
  }))
]

const commons: readonly WireRow[] = [
  {
    at: '1.2',
    name: 'success is JSON',
    steps: [
      { send: 'GET /users/me', as: 'galahad', ...same, has: { 'content-type': 'application/json; charset=utf-8' } }
    ],
    differs: {
      upstream: 'content-type: application/json',
      reason: '1.13: Fastify adds the charset, which has no effect for JSON'
    }
  },
  {
    at: '1.2',
    name: 'replies without content are null in JSON',
    steps: [
      {
        send: FORGOT,
        json: { email: 'galahad@camelot.bt' },
        ...ACCEPTED,
        has: { 'content-type': 'application/json; charset=utf-8' }
      }
    ]
  },
  {
    at: '1.2',
    name: '204 has no body, type or length',
    steps: [
      {
        send: 'POST /auth/jwt/logout',
        as: 'galahad',
        status: 204,
        has: { 'content-type': null, 'content-length': null }
      },
      {
        send: 'DELETE /users/{galahad}',
        as: 'arthur',
        status: 204,
        has: { 'content-type': null, 'content-length': null }
      }
    ]
  },
  {
    at: '1.2',
    name: 'an error in a listener',
    variant: 'faulty',
    steps: [
      {
        ...mine({}, { status: 500, body: 'Internal Server Error' }),
        has: { 'content-type': 'text/plain; charset=utf-8' }
      }
    ]
  },
  {
    at: '1.2',
    name: 'unknown keys are ignored',
    steps: [
      { ...register({ ...newcomer('a@camelot.bt'), x: 1, y: { z: [] } }), status: 201, body: user('a@camelot.bt') },
      mine({ x: 1 }, same),
      { send: FORGOT, json: { email: 'galahad@camelot.bt', x: 1 }, ...ACCEPTED },
      { ...login({ x: '1' }), status: 200, body: BEARER }
    ]
  },
  {
    at: '1.2',
    name: 'no reply may be cached',
    steps: [
      {
        send: 'GET /users/me',
        as: 'galahad',
        ...same,
        has: { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }
      }
    ],
    differs: { upstream: 'no such headers', reason: 'CK-08: replies about users must not be cached' }
  },
  ...[
    ['POST /auth/register/', 404],
    ['GET /auth/register', 404],
    ['HEAD /users/me', 404],
    ['OPTIONS /users/me', 404]
  ].map(([send, status]): WireRow => ({
    at: '1.2',
    name: String(send),
    steps: [
      {
        send: String(send),
        status: Number(status),
        body: String(send).startsWith('HEAD')
          ? ''
          : { message: `Route ${String(send).replace(' ', ':')} not found`, error: 'Not Found', statusCode: 404 }
      }
    ],
    differs: String(send).endsWith('/')
      ? {
          upstream: '307 to the URL without the slash',
          reason: '1.13: the application decides about other paths below a prefix (`ignoreTrailingSlash`)'
        }
      : {
          upstream: '405 with `allow`',
          reason: '1.13: the application may add other methods (row 48), so its own 404 is sent; INP-06 for HEAD'
        }
  })),
  {
    at: '1.2',
    name: 'the guard on a route of the application',
    steps: [
      { send: 'GET /guarded', ...NOBODY },
      { send: 'GET /guarded', as: 'mordred', ...NOBODY },
      { send: 'GET /guarded', as: 'galahad', ...same },
      { send: 'GET /superusers', as: 'galahad', status: 403, body: FORBIDDEN },
      { send: 'GET /superusers', as: 'arthur', status: 200, body: arthur }
    ]
  }
]

/** Returns a token with the same claims except `exp`, signed again. */
function resigned (token: string, secret: string): string {
  const { exp, ...claims } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >
  return signLikePython(claims, secret)
}

/** All rows, by the title of the test that sends them. */
export const groups: Readonly<Record<string, readonly WireRow[]>> = {
  'all routes': commons,
  'rows 1-5: register': registrations,
  'rows 7-14: login': logins,
  'rows 15-17: logout': logouts,
  'rows 20, 21, 26, 27: sessions': sessions,
  'rows 37-42: profile of the user': profiles,
  'rows 43-47: users by id': byId,
  'rows 50-54: password reset': resets,
  'rows 55-58: e-mail verification': verifications
}

/** All rows. */
export const rows: readonly WireRow[] = Object.values(groups).flat()
