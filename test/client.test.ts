import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import openapiTypescript, { astToString } from 'openapi-typescript'
import t from 'tap'
import ts from 'typescript'
import { validateDocument } from './helpers/api-document.js'
import { SECRET } from './helpers/build-app.js'
import { buildPackage } from './helpers/build-package.js'
import { oneTimePassword } from './helpers/one-time-password.js'

interface Mail {
  to: string
  purpose: 'reset' | 'verify' | 'login'
  token: string
}
type BuildApp = (options: {
  file: string
  secret: string
  publicUrl: string
  sendMail: (mail: Mail) => void
}) => Promise<FastifyInstance>

/** The options of the generated client. */
interface ClientOptions {
  origin: string
  /** Returns the token of the newest mail. Checks that the mail has this purpose. */
  tokenOf(purpose: Mail['purpose']): Promise<string>
  promote(email: string): Promise<void>
  /** Returns the present code of an authenticator app. */
  codeOf(secret: string): string
}

// The program of an API consumer. It imports the generated types and openapi-fetch, and nothing of this package.
const CLIENT = `
import createClient from 'openapi-fetch'
import type { components, paths } from './api.js'

type User = components['schemas']['UserRead']
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const assertType = <T extends true>(): T | void => {}

interface ClientOptions {
  origin: string
  tokenOf (purpose: 'reset' | 'verify' | 'login'): Promise<string>
  promote (email: string): Promise<void>
  codeOf (secret: string): string
}

function required<T> (value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(what)
  return value
}

export async function runFlow ({ origin, tokenOf, promote, codeOf }: ClientOptions): Promise<string[]> {
  const email = 'king.arthur@camelot.bt'
  const steps: string[] = []
  const anonymous = createClient<paths>({ baseUrl: origin })

  const registered = await anonymous.POST('/auth/register', { body: { email, password: 'guinevere-1', display_name: 'Arthur' } })
  const user: User = required(registered.data, 'register')
  assertType<Equal<User, { id: string, email: string, is_active: boolean, is_superuser: boolean, is_verified: boolean, display_name: string, credits: number, role?: 'king' | 'knight' | null }>>()
  steps.push(\`\${registered.response.status} \${user.display_name} \${user.credits}\`)
  // @ts-expect-error a password is needed
  const nothing: Parameters<typeof anonymous.POST<'/auth/register', { body: { email: string } }>>[1] = { body: { email } }
  // @ts-expect-error there is no hash
  assertType<'hashed_password' extends keyof User ? true : false>()

  const again = await anonymous.POST('/auth/register', { body: { email, password: 'guinevere-1' } })
  const code = required(again.error, 'a second registration').code
  switch (code) {
    case 'FST_USERS_REGISTER_USER_ALREADY_EXISTS': steps.push(\`taken \${again.error?.statusCode} \${String(again.error?.detail)}\`); break
    case 'FST_USERS_REGISTER_INVALID_PASSWORD':
    case 'FST_USERS_INVALID_USER':
    case 'FST_USERS_BAD_REQUEST':
    case 'FST_USERS_INTERNAL_ERROR':
    case 'FST_USERS_STORE_UNAVAILABLE':
    case 'FST_USERS_PASSWORD_QUEUE_FULL':
    case 'FST_ERR_VALIDATION':
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
    case 'FST_USERS_TOO_MANY_ATTEMPTS':
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE': throw new Error(code)
    default: assertType<Equal<typeof code, never>>()     // these are all codes of the route
  }

  const wrong = await anonymous.POST('/auth/jwt/login', { body: { username: email, password: 'wrong-password' } })
  // @ts-expect-error login has no such code
  if (wrong.error?.code === 'FST_USERS_NOT_FOUND') steps.push('never')
  if (wrong.error?.code === 'FST_USERS_LOGIN_BAD_CREDENTIALS') steps.push('bad credentials')

  const refusedPassword = await anonymous.POST('/auth/register', { body: { email, password: 'short' } })
  // the code narrows the type of detail
  const reasons = refusedPassword.error?.code === 'FST_USERS_REGISTER_INVALID_PASSWORD' ? refusedPassword.error.detail.reasons : []
  steps.push(\`refused \${reasons.map(({ code, message }) => code + ': ' + message).join(' ')}\`)

  const login = await anonymous.POST('/auth/jwt/login', { body: { username: email, password: 'guinevere-1' } })
  const { access_token, token_type } = required(login.data, 'login')
  assertType<Equal<typeof token_type, 'bearer'>>()
  const bearer = createClient<paths>({ baseUrl: origin, headers: { authorization: \`Bearer \${access_token}\` } })

  const cookieLogin = await anonymous.POST('/auth/cookie/login', { body: { username: email, password: 'guinevere-1' }, headers: { 'content-type': 'application/x-www-form-urlencoded' } })
  assertType<Equal<typeof cookieLogin.data, undefined>>()
  const cookieOf = (response: Response): string => response.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  const browser = createClient<paths>({ baseUrl: origin, headers: { cookie: cookieOf(cookieLogin.response) } })
  steps.push(\`cookie \${cookieLogin.response.status}\`)

  for (const client of [bearer, browser]) {
    const me = await client.GET('/users/me')
    steps.push(\`me \${me.data?.email ?? me.error?.code ?? ''}\`)
    const hello = await client.GET('/hello')
    steps.push(\`hello \${hello.data?.hello ?? hello.response.status}\`)
  }
  const page = required((await browser.GET('/users/me/sessions', { params: { query: { limit: '10' } } })).data, 'sessions')
  const [first] = page.sessions
  assertType<Equal<NonNullable<typeof first>['device']['browser'], string | null>>()
  steps.push(\`sessions \${page.sessions.map(({ backend, is_current }) => \`\${String(backend)} \${is_current}\`).join(', ')} \${String(page.next)}\`)
  const remembered = await anonymous.POST('/auth/cookie/login', { body: { username: email, password: 'guinevere-1', remember_me: true } })
  const phone = createClient<paths>({ baseUrl: origin, headers: { cookie: cookieOf(remembered.response) } })
  const own = required((await phone.GET('/users/me/sessions')).data?.sessions.find(({ is_current }) => is_current), 'session')
  const one = await phone.DELETE('/users/me/sessions/{id}', { params: { path: { id: own.id } } })
  const unknown = await browser.DELETE('/users/me/sessions/{id}', { params: { path: { id: own.id } } })
  steps.push(\`ended \${own.is_remembered} \${one.response.status} \${unknown.error?.code ?? ''}\`)
  const refused = await anonymous.GET('/users/me')
  steps.push(\`me \${refused.data?.email ?? refused.error?.code ?? ''}\`)
  const asking = required((await anonymous.POST('/auth/jwt/passkey/options')).data, 'options of a passkey')
  assertType<Equal<typeof asking.options.challenge, string>>()
  const response = { clientDataJSON: 'e30', authenticatorData: 'AAAA', signature: 'AAAA' }
  const credential = { id: 'AAAA', rawId: 'AAAA', type: 'public-key' as const, response }
  const entered = await anonymous.POST('/auth/jwt/passkey', { body: { ticket: asking.ticket, credential } })
  const { data: passkeys } = await browser.GET('/users/me/passkeys')
  steps.push(\`passkey \${asking.options.rpId} \${entered.error?.code ?? ''} \${passkeys?.length ?? ''}\`)

  const changed = await bearer.PATCH('/users/me', { body: { display_name: 'King Arthur' } })
  steps.push(\`changed \${changed.data?.display_name ?? changed.error?.code ?? ''}\`)
  const tooLong = await bearer.PATCH('/users/me', { body: { display_name: 'x'.repeat(81) } })
  steps.push(\`tooLong \${tooLong.error?.code ?? ''}\`)
  // @ts-expect-error a name is text
  await bearer.PATCH('/users/me', { body: { display_name: 1 } })

  const asked = await anonymous.POST('/auth/request-verify-token', { body: { email } })
  const verified = await anonymous.POST('/auth/verify', { body: { token: await tokenOf('verify') } })
  steps.push(\`verify \${asked.response.status} \${String(verified.data?.is_verified)}\`)
  const forgot = await anonymous.POST('/auth/forgot-password', { body: { email } })
  const reset = await anonymous.POST('/auth/reset-password', { body: { token: await tokenOf('reset'), password: 'round-table-2' } })
  const ended = await bearer.GET('/users/me')
  steps.push(\`reset \${forgot.response.status} \${reset.response.status} \${ended.error?.code ?? ''}\`)

  await promote(email)
  const second = await anonymous.POST('/auth/jwt/login', { body: { username: email, password: 'round-table-2' } })
  const admin = createClient<paths>({ baseUrl: origin, headers: { authorization: \`Bearer \${required(second.data, 'second login').access_token}\` } })
  const other = required((await anonymous.POST('/auth/register', { body: { email: 'mordred@camelot.bt', password: 'guinevere-1' } })).data, 'register another')
  const path = { id: other.id }
  const given = await admin.PATCH('/users/{id}', { params: { path }, body: { credits: 10, is_active: false } })
  const removed = await admin.DELETE('/users/{id}', { params: { path } })
  const gone = await admin.GET('/users/{id}', { params: { path } })
  steps.push(\`admin \${given.data?.credits ?? ''} \${removed.response.status} \${gone.error?.code ?? ''}\`)
  // @ts-expect-error an id is needed
  await admin.GET('/users/{id}', { params: {} })

  const requested = await anonymous.POST('/auth/jwt/email', { body: { email } })
  const { ticket } = required(requested.data, 'login by e-mail')
  const wrongCode = await anonymous.POST('/auth/jwt/email/confirm', { body: { ticket, code: '0000-0000' } })
  const mailed = await anonymous.POST('/auth/jwt/email/confirm', { body: { ticket, code: await tokenOf('login') } })
  const owner = createClient<paths>({ baseUrl: origin, headers: { authorization: \`Bearer \${required(mailed.data, 'code').access_token}\` } })
  const exported = required((await owner.GET('/users/me/export')).data, 'export')
  steps.push(\`mail \${wrongCode.error?.code ?? ''} \${exported.user.email}\`)
  const deletion = await owner.DELETE('/users/me')
  steps.push(\`deletion \${deletion.error?.code ?? ''}\`)

  const begun = required((await admin.POST('/users/me/totp')).data, 'begin to add an app')
  const { enrolment, secret } = begun
  assertType<Equal<typeof begun, { enrolment: string, expires_at: string, secret: string, url: string, svg: string }>>()
  const active = await admin.POST('/users/me/totp/confirm', { body: { enrolment, code: codeOf(secret) } })
  const codes = required(active.data, 'confirm the app').recovery_codes ?? []
  steps.push(\`app \${active.response.status} \${codes.length} \${(await admin.GET('/users/me')).error?.code ?? ''}\`)
  const third = await anonymous.POST('/auth/jwt/login', { body: { username: email, password: 'round-table-2' } })
  if (third.error?.code !== 'FST_USERS_LOGIN_PENDING') throw new Error('no second factor')
  const pending = third.error.detail as { ticket: string }
  const answer = { ticket: pending.ticket, code: required(codes[0], 'code') }
  const proved = required((await anonymous.POST('/auth/jwt/login/recovery-code', { body: answer })).data, 'recovery code')
  const last = createClient<paths>({ baseUrl: origin, headers: { authorization: \`Bearer \${proved.access_token}\` } })
  const left = required((await last.GET('/users/me/recovery-codes')).data, 'recovery codes')
  steps.push(\`codes \${left.remaining}\`)

  const out = await last.POST('/auth/jwt/logout')
  steps.push(\`logout \${out.response.status}\`)
  return steps
}
`

t.test(
  'a client that is generated from the OpenAPI document of the example compiles in strict mode and runs the flow',
  async (t) => {
    const folder = t.testdir()
    buildPackage(folder)
    const mails: Mail[] = []
    const { buildApp } = (await import(pathToFileURL(join(folder, 'examples/basic/app.js')).href)) as {
      buildApp: BuildApp
    }
    const app = await buildApp({
      file: join(folder, 'users.db'),
      secret: SECRET,
      publicUrl: 'http://localhost:3000',
      sendMail: (mail) => {
        mails.push(mail)
      }
    })
    t.teardown(() => app.close())
    const origin = await app.listen({ host: '127.0.0.1', port: 0 })

    const document = (await (await fetch(`${origin}/docs/json`)).json()) as object
    t.strictSame(
      await validateDocument(document),
      { seriousme: null, readme: null },
      'two OpenAPI validators accept the document'
    )
    writeFileSync(
      join(folder, 'api.ts'),
      astToString(await openapiTypescript(document as Parameters<typeof openapiTypescript>[0]))
    )
    writeFileSync(join(folder, 'client.ts'), CLIENT)
    t.strictSame(compile(folder, ['api.ts', 'client.ts']), [])

    const { runFlow } = (await import(pathToFileURL(join(folder, 'client.js')).href)) as {
      runFlow: (options: ClientOptions) => Promise<string[]>
    }
    const steps = await runFlow({
      origin,
      async tokenOf (purpose) {
        await app.users.settled()
        const mail = mails.at(-1)
        t.equal(mail?.purpose, purpose)
        return mail?.token ?? ''
      },
      async promote (email) {
        const user = await app.users.getByEmail(email)
        if (user !== null) await app.users.update(user, { is_superuser: true })
      },
      codeOf: (secret) => oneTimePassword(secret, Date.now())
    })
    t.strictSame(steps, [
      '201 Arthur 0',
      'taken 400 REGISTER_USER_ALREADY_EXISTS',
      'bad credentials',
      'refused TOO_SHORT: Use at least 8 characters.',
      'cookie 204',
      'me king.arthur@camelot.bt',
      'hello Arthur',
      'me king.arthur@camelot.bt',
      'hello Arthur',
      'sessions cookie true, jwt false null',
      'ended true 204 FST_USERS_SESSION_NOT_FOUND',
      'me FST_USERS_UNAUTHENTICATED',
      'passkey localhost FST_USERS_PASSKEY_INVALID 0',
      'changed King Arthur',
      'tooLong FST_ERR_VALIDATION',
      'verify 202 true',
      'reset 202 200 FST_USERS_UNAUTHENTICATED',
      'admin 10 204 FST_USERS_NOT_FOUND',
      'mail FST_USERS_EMAIL_LOGIN_INVALID king.arthur@camelot.bt',
      'deletion FST_USERS_LAST_SUPERUSER',
      'app 201 10 FST_USERS_UNAUTHENTICATED',
      'codes 9',
      'logout 204'
    ])
  }
)

/** Compiles modules with the options of a strict project. Returns the errors. */
function compile (folder: string, names: string[]): string[] {
  const program = ts.createProgram(
    names.map((name) => join(folder, name)),
    {
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.NodeNext,
      lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
      types: [],
      skipLibCheck: true
    }
  )
  program.emit()
  return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1
    return `${file?.fileName.split('/').at(-1) ?? ''}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}
